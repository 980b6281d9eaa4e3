//! Amounts that were written down as used before they are: a count that is durable and costs a write only now and then.
//!
//! Whoever counts writes "so many more are used" into a record, grants that amount in the same transaction, and then takes
//! from it. What is left of a grant when the server stops, or when the tenant's keys leave its memory, stays written down as
//! used: the record is never behind the truth, on any number of servers. A request that is decided twice may take twice.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::tenant::Tenant;
use super::txn::Txn;

/// Names that a tenant keeps amounts for; past it all are forgotten, which leaves them written down as used.
const NAMES_MAX: usize = 65_536;

/// What is there to be taken in one tenant, by names that are hashes.
#[derive(Default)]
pub(super) struct Reserve(Mutex<HashMap<[u8; 32], u64>>);

impl Reserve {
    fn take(&self, name: &[u8; 32], amount: u64) -> bool {
        let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(there) = left.get_mut(name) else { return false };
        let rest = there.checked_sub(amount);
        rest.inspect(|rest| *there = *rest).is_some()
    }

    fn add(&self, name: [u8; 32], amount: u64) {
        let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if left.len() >= NAMES_MAX && !left.contains_key(&name) {
            left.clear();
        }
        let there = left.entry(name).or_default();
        *there = there.saturating_add(amount);
    }
}

/// An amount that is there to be taken once its commit is durable.
pub(super) struct Grant {
    tenant: Arc<Tenant>,
    name: [u8; 32],
    amount: u64,
}

impl Grant {
    pub(super) fn settle(self) {
        self.tenant.reserve().add(self.name, self.amount);
    }
}

impl Txn {
    /// Takes `amount` from what was granted under `name`. False when so much is not there: then nothing is taken.
    pub fn take(&self, tenant: &Arc<Tenant>, name: &[u8; 32], amount: u64) -> bool {
        tenant.reserve().take(name, amount)
    }

    /// Once this transaction is durable, `amount` more is there to be taken.
    pub fn grant(&mut self, tenant: &Arc<Tenant>, name: [u8; 32], amount: u64) {
        self.collected.grants.push(Grant { tenant: Arc::clone(tenant), name, amount });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_taken_than_was_granted() {
        let reserve = Reserve::default();
        assert!(!reserve.take(&[1; 32], 1));
        reserve.add([1; 32], 5);
        assert!(reserve.take(&[1; 32], 3));
        assert!(!reserve.take(&[1; 32], 3));
        assert!(!reserve.take(&[2; 32], 1));
        assert!(reserve.take(&[1; 32], 2));
        assert!(!reserve.take(&[1; 32], 1));
        reserve.add([1; 32], u64::MAX);
        reserve.add([1; 32], 1);
        assert!(reserve.take(&[1; 32], u64::MAX));
    }
}
