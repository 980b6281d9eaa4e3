//! Who comes while a group waits for other servers' groups goes with it.
//!
//! A group is closed before it asks for its tenants' heads. Where servers take turns at one, it then has those few who came while the one
//! before it was answered, and everybody else would wait for one turn more.

use super::group::{Groups, Involved, Item, stakes};

/// A group that has more than that is large enough.
const SMALL: usize = 128;

impl Groups {
    /// Takes what waits in its tenants' lines, once the heads are held, if that is as much as the group has: it is sealed anew then. What needs
    /// other tenants, too, goes into the next group.
    pub(super) fn join(&self, mut items: Vec<Item>, involved: &Involved, again: &mut Vec<Item>) -> Vec<Item> {
        let tenants = || involved.iter().filter(|(_, stake)| stake.locked).map(|(tenant, _)| *tenant);
        if items.len() <= SMALL && self.queue.waiting(tenants()) >= items.len() {
            let come = self.queue.more(tenants(), |item| item.fate.take());
            let (fitting, others): (Vec<Item>, Vec<Item>) = come.into_iter().partition(|item| fits(item, involved));
            items.extend(fitting);
            again.extend(others);
        }
        items
    }
}

/// Whether the group holds all that a commit needs, in the same objects.
fn fits(item: &Item, involved: &Involved) -> bool {
    item.commit.structural.is_empty()
        && stakes(item).all(|(tenant, locked)| involved.get(&tenant.id()).is_some_and(|stake| stake.serves(tenant, locked)))
}
