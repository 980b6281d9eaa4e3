//! Whose turn it is. A job that goes through all loaded tenants passes by those in which nothing has happened since it was there:
//! thousands of idle tenants must cost next to nothing.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::tenant::Tenant;
use super::tenants::Tenants;
use crate::id::TenantId;

/// The longest that a tenant is passed by: what another server wrote is seen by its jobs, unless it died first.
const IDLE: Duration = Duration::from_mins(1);

/// What a job knows of the tenants from its rounds before.
#[derive(Default)]
pub struct Rounds {
    /// When the round began, by the clock's uptime.
    now: Duration,
    idle: HashMap<TenantId, Idle>,
}

/// A tenant in which nothing was left to do.
struct Idle {
    /// What `mark` said then.
    mark: u64,
    /// One that was loaded anew since is another: its jobs may have been refused for that alone.
    tenant: Weak<Tenant>,
    /// When it is looked at all the same, by the clock's uptime.
    until: Duration,
}

impl Idle {
    fn is(&self, tenant: &Arc<Tenant>) -> bool {
        std::ptr::eq(self.tenant.as_ptr(), Arc::as_ptr(tenant))
    }
}

/// A tenant to look at.
pub struct Turn {
    /// Which.
    pub tenant: Arc<Tenant>,
    /// As it was before anybody looked: what changes meanwhile is for the next round.
    mark: u64,
}

impl Rounds {
    /// Begins a round: the loaded tenants whose `mark` has changed, or whose time has come.
    pub fn turns(&mut self, tenants: &Tenants, mark: impl Fn(&Tenant) -> u64) -> Vec<Turn> {
        self.now = tenants.clock().uptime();
        let mut before = std::mem::take(&mut self.idle);
        let mut turns = Vec::new();
        for tenant in tenants.all() {
            let (id, mark) = (tenant.id(), mark(&tenant));
            match before.remove(&id).filter(|idle| idle.mark == mark && self.now < idle.until && idle.is(&tenant)) {
                Some(idle) => {
                    self.idle.insert(id, idle);
                }
                None => turns.push(Turn { tenant, mark }),
            }
        }
        turns
    }

    /// Nothing is left to do in a tenant, as long as it stays as it was and for `pause` at most.
    pub fn idle(&mut self, turn: &Turn, pause: Duration) {
        let id = turn.tenant.id();
        // Tenants that were loaded together are not all looked at together.
        let longest = IDLE / 2 + IDLE / 2 * u32::from(id.0[0]) / 256;
        let tenant = Arc::downgrade(&turn.tenant);
        self.idle.insert(id, Idle { mark: turn.mark, tenant, until: self.now + pause.min(longest) });
    }

    /// Everybody's turn comes in the next round.
    pub fn restart(&mut self) {
        self.idle.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commit::testing::Deployed;
    use crate::time::Timestamp;

    #[tokio::test]
    async fn who_has_changed_or_waited_has_a_turn() {
        let deployed = Deployed::at(Timestamp(1_795_251_600_000_000_000)).await;
        let tenants = deployed.tenants().await;
        let root = tenants.root().id();
        let changed = |at: u64| move |tenant: &Tenant| if tenant.id() == root { at } else { 0 };
        let of = |turns: &[Turn]| turns.iter().map(|turn| turn.tenant.id() == root).collect::<Vec<_>>();
        let mut rounds = Rounds::default();
        let all = rounds.turns(&tenants, changed(1));
        assert_eq!(all.len(), 2);
        assert_eq!(rounds.turns(&tenants, changed(1)).len(), 2, "nobody was found idle");
        for turn in &all {
            rounds.idle(turn, Duration::MAX);
        }
        assert!(rounds.turns(&tenants, changed(1)).is_empty());
        // One that changes while it is looked at has another turn.
        let turns = rounds.turns(&tenants, changed(2));
        assert_eq!(of(&turns), [true]);
        rounds.idle(&turns[0], Duration::from_secs(3));
        assert_eq!(of(&rounds.turns(&tenants, changed(3))), [true]);
        let turns = rounds.turns(&tenants, changed(3));
        rounds.idle(&turns[0], Duration::from_secs(3));
        assert!(rounds.turns(&tenants, changed(3)).is_empty());
        deployed.clock.advance(Duration::from_secs(3));
        assert_eq!(of(&rounds.turns(&tenants, changed(3))), [true]);
        deployed.clock.advance(IDLE);
        assert_eq!(rounds.turns(&tenants, changed(3)).len(), 2);
        rounds.restart();
        assert_eq!(rounds.turns(&tenants, changed(3)).len(), 2);
    }
}
