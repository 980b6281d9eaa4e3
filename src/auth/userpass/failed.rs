//! Logins that failed: who fails too often waits. A name that nobody has is counted and locked like any other.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::answer::Refusal;
use crate::commit::{Place, Tenant, Txn};
use crate::id::MountId;
use crate::mount::UserLockout;
use crate::record::{Address, Kind, Listing};
use crate::time::Timestamp;

/// How often logins of a name have failed in a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FailedLogins {
    count: u64,
    last: Timestamp,
}

crate::json_record!(FailedLogins, Kind::FailedLogins, Listing::Flat);

impl FailedLogins {
    pub(super) fn address(mount: MountId, name: &str) -> Address {
        Address { kind: Kind::FailedLogins, mount, directory: String::new(), name: name.to_owned() }
    }

    /// What is counted against a name.
    pub(super) async fn of(name: &str, place: &Place, txn: &mut Txn) -> Result<Option<Arc<Self>>, Refusal> {
        let address = Self::address(place.mount.id, name);
        Ok(txn.read::<Self>(&place.tenant, &address).await?.map(|found| found.value))
    }

    /// Whether the name is locked at `now`.
    pub(super) fn locks(&self, lockout: UserLockout, now: Timestamp) -> bool {
        !lockout.disabled && self.count >= lockout.threshold() && now.since(self.last) < lockout.duration()
    }

    /// Counts one more, after `before`, in a way that stays when the request is refused.
    pub(super) async fn count(before: Option<&Self>, name: &str, place: &Place, txn: &mut Txn) -> Result<(), Refusal> {
        let (lockout, now) = (place.mount.config.lockout(), txn.now());
        if lockout.disabled {
            return Ok(());
        }
        let failed = Self::after(before, lockout, now);
        let kept = lockout.duration().max(lockout.counter_reset());
        txn.put(&place.tenant, &Self::address(place.mount.id, name), &failed, Some(now.plus(kept))).await?;
        txn.keep_guards();
        Ok(())
    }

    /// A row begins anew after a lock, and when the last failure is long ago.
    fn after(before: Option<&Self>, lockout: UserLockout, now: Timestamp) -> Self {
        let fresh = |before: &&Self| before.count < lockout.threshold() && now.since(before.last) < lockout.counter_reset();
        let count = before.filter(fresh).map_or(0, |before| before.count);
        Self { count: count.saturating_add(1), last: now }
    }
}

/// The names that are locked at a mount now, sorted.
pub async fn locked(place: &Place, txn: &mut Txn) -> Result<Vec<String>, Refusal> {
    let lockout = place.mount.config.lockout();
    let mut locked = Vec::new();
    for name in txn.names(&place.tenant, Kind::FailedLogins, place.mount.id, "").await?.iter() {
        let now = txn.now();
        if FailedLogins::of(name, place, txn).await?.is_some_and(|failed| failed.locks(lockout, now)) {
            locked.push(name.to_string());
        }
    }
    Ok(locked)
}

/// Forgets what was counted against a name.
pub fn unlock(name: &str, mount: MountId, tenant: &Arc<Tenant>, txn: &mut Txn) {
    txn.forget::<FailedLogins>(tenant, &FailedLogins::address(mount, name));
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LOCKOUT: UserLockout = UserLockout { threshold: 3, duration_seconds: 100, counter_reset_seconds: 50, disabled: false };

    fn at(seconds: u64) -> Timestamp {
        Timestamp(0).plus(Duration::from_secs(seconds))
    }

    fn failing(times: &[u64]) -> FailedLogins {
        let fail = |before: Option<FailedLogins>, time: &u64| Some(FailedLogins::after(before.as_ref(), LOCKOUT, at(*time)));
        times.iter().fold(None, fail).unwrap()
    }

    #[test]
    fn a_row_of_failures_locks_for_a_while() {
        for (times, now, locked) in [
            (&[0, 1][..], 1, false),
            (&[0, 1, 2], 2, true),
            (&[0, 1, 2], 101, true),
            (&[0, 1, 2], 102, false),
            (&[0, 1, 51], 51, false),
            (&[0, 1, 50], 50, true),
            (&[0, 1, 2, 103], 103, false),
            (&[0, 1, 2, 103, 104, 105], 105, true),
        ] {
            assert_eq!(failing(times).locks(LOCKOUT, at(now)), locked, "{times:?} at {now}");
        }
        let off = UserLockout { disabled: true, ..LOCKOUT };
        assert!(!failing(&[0, 1, 2]).locks(off, at(2)));
    }
}
