//! How long an opened keyring is used: its seals are asked again in the background, ahead of its end. A refusal drops it at
//! once, an outage is waited out for a bounded time.
//!
//! Times are of `Clock::uptime`, which counts suspended time: a machine that slept wakes up with keys that have lapsed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;

use super::faults::KeyError;
use super::tenant::Tenant;
use super::tenants::Tenants;
use crate::seal::Seal;
use crate::time::Clock;

/// Refreshes under way at a time.
const CALLS_MAX: usize = 64;
/// Until the next try after an outage; up to as much again.
const RETRY: Duration = Duration::from_secs(1);

/// How long keyrings are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyringTimes {
    /// After this the seal is asked again.
    pub refresh: Duration,
    /// A keyring that its seal has not confirmed for this long is dropped.
    pub max_age: Duration,
}

impl KeyringTimes {
    /// Never asked again.
    pub const ENDLESS: Self = Self { refresh: Duration::MAX, max_age: Duration::MAX };
}

/// When the seals of a tenant were asked for its keyring last. Milliseconds of `Clock::uptime`.
pub(super) struct Freshness {
    /// False when one of its seals is in this process: that one always opens it.
    asks: bool,
    /// The seal opened the key, asked at this time.
    confirmed: AtomicU64,
    /// Not asked again before this time; 0: `refresh` after it was confirmed.
    next: AtomicU64,
    /// Somebody asks.
    asking: AtomicBool,
    /// What of `refresh` this tenant takes, in 1/256: so that tenants that were loaded together are not refreshed together.
    share: u8,
}

impl Freshness {
    /// Of a keyring that is about to be opened with `seals`.
    pub(super) fn new(clock: &dyn Clock, seals: &[Arc<dyn Seal>]) -> Self {
        let [jitter] = crate::random::frequent::<1>();
        Self {
            asks: !seals.iter().any(|seal| seal.is_local()),
            confirmed: AtomicU64::new(millis(clock.uptime())),
            next: AtomicU64::new(0),
            asking: AtomicBool::new(false),
            share: 192 + jitter / 4,
        }
    }

    /// Whether no seal has confirmed it for too long.
    pub(super) fn has_lapsed(&self, clock: &dyn Clock, times: KeyringTimes) -> bool {
        self.asks && self.age(clock) >= millis(times.max_age)
    }

    fn age(&self, clock: &dyn Clock) -> u64 {
        millis(clock.uptime()).saturating_sub(self.confirmed.load(Ordering::Acquire))
    }

    /// True when it is time to ask, and nobody does.
    fn begin(&self, clock: &dyn Clock, times: KeyringTimes) -> bool {
        let after = millis(times.refresh).saturating_mul(u64::from(self.share)) / 256;
        self.asks
            && self.age(clock) >= after
            && millis(clock.uptime()) >= self.next.load(Ordering::Acquire)
            && !self.asking.swap(true, Ordering::AcqRel)
    }

    fn confirm(&self, asked_at: u64) {
        self.confirmed.store(asked_at, Ordering::Release);
    }

    fn try_later(&self, clock: &dyn Clock) {
        let [jitter] = crate::random::frequent::<1>();
        let pause = millis(RETRY) * (256 + u64::from(jitter)) / 256;
        self.next.store(millis(clock.uptime()) + pause, Ordering::Release);
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Asks the seals again for the keyrings that are loaded.
pub struct Refresher {
    tenants: Arc<Tenants>,
    running: JoinSet<()>,
}

impl Refresher {
    /// For all that `tenants` has loaded.
    pub fn new(tenants: Arc<Tenants>) -> Self {
        Self { tenants, running: JoinSet::new() }
    }

    /// One round: drops what has lapsed, begins to ask for what is due. False when the keys of the root or the edge are gone,
    /// and with them all others.
    pub async fn tick(&mut self) -> bool {
        while self.running.try_join_next().is_some() {}
        let times = self.tenants.keyring_times();
        for tenant in self.tenants.all() {
            let clock = self.tenants.clock();
            if tenant.freshness.has_lapsed(clock, times) {
                tracing::warn!(tenant = %tenant.id(), "no seal has confirmed the keys for too long: dropped");
                self.tenants.forget(tenant.id());
            } else if self.running.len() < CALLS_MAX && tenant.freshness.begin(clock, times) {
                self.running.spawn(refresh(Arc::clone(&self.tenants), tenant));
            }
        }
        let lost = || [self.tenants.root(), self.tenants.edge()].iter().any(|tenant| !self.tenants.is_loaded(tenant));
        if lost() {
            // Their keys may have been changed through another server, and open anew.
            self.tenants.reload_fixed().await;
        }
        !lost()
    }
}

async fn refresh(tenants: Arc<Tenants>, tenant: Arc<Tenant>) {
    let asked_at = millis(tenants.clock().uptime());
    match tenants.stored_keys(&tenant).await {
        Ok(_) => tenant.freshness.confirm(asked_at),
        Err(KeyError::Store(error)) => {
            tracing::warn!(%error, "keys were not confirmed; trying again");
            tenant.freshness.try_later(tenants.clock());
        }
        Err(KeyError::Seal(_, error)) if error.is_outage() => {
            tracing::warn!(%error, tenant = %tenant.id(), "keys were not confirmed; trying again");
            tenant.freshness.try_later(tenants.clock());
        }
        Err(error) => {
            tracing::error!(%error, "keys are refused: dropped, with everything that was made of them");
            tenants.forget(tenant.id());
        }
    }
    tenant.freshness.asking.store(false, Ordering::Release);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::RootKey;
    use crate::seal::LocalSeal;
    use crate::time::{ManualClock, Timestamp};

    const TIMES: KeyringTimes = KeyringTimes { refresh: Duration::from_mins(5), max_age: Duration::from_hours(1) };

    #[test]
    fn keyrings_are_due_and_lapse_by_a_clock_that_goes_on() {
        let clock = ManualClock::new(Timestamp(1_000_000_000_000_000));
        let freshness = Freshness::new(&clock, &[]);
        clock.advance(Duration::from_secs(224));
        assert!(!freshness.begin(&clock, TIMES), "not before three quarters of the time");
        clock.advance(Duration::from_secs(76));
        assert!(freshness.begin(&clock, TIMES));
        assert!(!freshness.begin(&clock, TIMES), "one asks");
        freshness.try_later(&clock);
        freshness.asking.store(false, Ordering::Release);
        assert!(!freshness.begin(&clock, TIMES), "an outage has a pause");
        clock.advance(Duration::from_secs(2));
        assert!(freshness.begin(&clock, TIMES));

        clock.advance(Duration::from_secs(3600 - 303));
        assert!(!freshness.has_lapsed(&clock, TIMES));
        clock.advance(Duration::from_secs(1));
        assert!(freshness.has_lapsed(&clock, TIMES));
        freshness.confirm(millis(clock.uptime()));
        assert!(!freshness.has_lapsed(&clock, TIMES));
        clock.advance(Duration::from_hours(10));
        assert!(freshness.has_lapsed(&clock, TIMES) && !freshness.has_lapsed(&clock, KeyringTimes::ENDLESS));
    }

    #[test]
    fn a_key_in_this_process_is_not_asked_for() {
        let clock = ManualClock::new(Timestamp(0));
        let seals: [Arc<dyn Seal>; 1] = [Arc::new(LocalSeal::static_key("static", RootKey::generate()))];
        let freshness = Freshness::new(&clock, &seals);
        clock.advance(Duration::from_hours(10));
        assert!(!freshness.begin(&clock, TIMES) && !freshness.has_lapsed(&clock, TIMES));
    }
}
