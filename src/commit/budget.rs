//! How many tenants' keys strangers may have opened: opening costs a call to the tenant's seal.

use std::sync::{Mutex, PoisonError};

use crate::time::Timestamp;

/// Tenants that callers without a verified credential may have opened, per second.
const LOADS_PER_SECOND: u32 = 20;

/// What is left of this second.
#[derive(Default)]
pub(super) struct LoadBudget(Mutex<(i64, u32)>);

impl LoadBudget {
    /// Takes one; false when there is none left in this second.
    pub(super) fn take(&self, now: Timestamp) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (second, used) = &mut *state;
        if *second != now.unix_seconds() {
            (*second, *used) = (now.unix_seconds(), 0);
        }
        *used = used.saturating_add(1);
        *used <= LOADS_PER_SECOND
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_second_has_its_own_budget() {
        let budget = LoadBudget::default();
        let second = |at: i64| Timestamp(at * 1_000_000_000);
        assert_eq!((0..100).filter(|_| budget.take(second(1))).count(), 20);
        assert!(budget.take(second(2)));
    }
}
