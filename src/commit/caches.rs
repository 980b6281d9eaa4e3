//! What all tenants' caches together have in memory, and a bound of it. Each tenant's own bound is in `tenant.rs`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

use super::tenant::Tenant;
use super::tenants::Tenants;

/// How many bytes the caches of all tenants have together; past it what was not used lately goes, and then what is most.
const CACHES_BYTES_MAX: usize = 1 << 30;

/// The sum, and who is told when it is too much.
pub(super) struct Caches {
    bytes: AtomicUsize,
    most: usize,
    full: Notify,
}

impl Default for Caches {
    fn default() -> Self {
        Self::of(CACHES_BYTES_MAX)
    }
}

impl Caches {
    fn of(most: usize) -> Self {
        Self { bytes: AtomicUsize::new(0), most, full: Notify::new() }
    }

    /// A tenant's cache had `before` bytes, and has `after`.
    pub(super) fn changed(&self, before: usize, after: usize) {
        if after > before {
            let all = self.bytes.fetch_add(after - before, Ordering::Relaxed) + (after - before);
            if all > self.most {
                self.full.notify_one();
            }
        } else {
            self.bytes.fetch_sub(before - after, Ordering::Relaxed);
        }
    }

    fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }
}

impl Tenants {
    /// Keeps all caches together within their bound, for ever.
    pub async fn keep_caches_small(self: Arc<Self>) {
        loop {
            self.caches.full.notified().await;
            self.shrink_caches(self.caches.most / 4 * 3);
            tokio::task::yield_now().await;
        }
    }

    /// Down to so many bytes: first by what was not used since the last time, then to the same part for each.
    fn shrink_caches(&self, wanted: usize) {
        let tenants = self.all();
        let part = wanted / tenants.len().max(1);
        let steps: [&dyn Fn(&Tenant); 2] = [&Tenant::drop_unused, &|tenant| tenant.shrink_to(part)];
        for (step, tenant) in steps.into_iter().flat_map(|step| tenants.iter().map(move |tenant| (step, tenant))) {
            if self.caches.bytes() <= wanted {
                return;
            }
            step(tenant);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commit::tenant::Entry;
    use crate::commit::testing::Deployed;
    use crate::commit::txn::Txn;
    use crate::record::RecordKey;
    use crate::time::Timestamp;

    fn key(number: u64) -> RecordKey {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&number.to_le_bytes());
        RecordKey(key)
    }

    fn fill(tenant: &Tenant, numbers: std::ops::Range<u64>) {
        numbers.for_each(|number| tenant.fill(key(number), tenant.position(), &Arc::new(Entry::new(None))));
    }

    fn there(tenant: &Tenant, numbers: std::ops::Range<u64>) -> usize {
        numbers.filter(|number| tenant.cached(&key(*number)).1.is_some()).count()
    }

    #[tokio::test]
    async fn all_caches_together_stay_within_a_bound() {
        let deployed = Deployed::at(Timestamp(1_795_251_600_000_000_000)).await;
        let tenants = deployed.tenants().await;
        let (large, small, before) = (tenants.root(), tenants.edge(), tenants.caches.bytes());
        fill(&large, 0..1_000);
        fill(&small, 0..10);
        let each = (tenants.caches.bytes() - before) / 1_010;
        assert_eq!(tenants.caches.bytes() - before, 1_010 * each);
        // All of it is new: who has most gives.
        tenants.shrink_caches(200 * each);
        assert!(tenants.caches.bytes() <= 200 * each);
        assert_eq!(there(&small, 0..10), 10);
        assert!((90..=100).contains(&there(&large, 0..1_000)));
        // What was used since stays before what was not.
        tenants.shrink_caches(0);
        fill(&large, 0..100);
        large.drop_unused();
        assert_eq!(there(&large, 50..100), 50);
        tenants.shrink_caches(60 * each);
        assert_eq!((there(&large, 0..50), there(&large, 50..100)), (0, 50));
        drop((large, small, tenants));
    }

    #[tokio::test]
    async fn what_was_removed_has_nothing_in_memory() {
        let deployed = Deployed::at(Timestamp(1_795_251_600_000_000_000)).await;
        let tenants = deployed.tenants().await;
        let (tenant, before) = (tenants.root(), tenants.caches.bytes());
        fill(&tenant, 0..10);
        tenant.advance(tenant.head(), (0..1_000).map(|number| (key(number), None)).collect(), &[]);
        assert_eq!((tenants.caches.bytes(), there(&tenant, 0..1_000)), (before, 0));
    }

    #[tokio::test]
    async fn what_was_derived_counts_and_goes_like_the_rest() {
        let deployed = Deployed::at(Timestamp(1_795_251_600_000_000_000)).await;
        let tenants = deployed.tenants().await;
        let (tenant, now) = (tenants.root(), tenants.clock().now());
        fill(&tenant, 0..1);
        let before = tenants.caches.bytes();
        let mut txn = Txn::new(Arc::clone(&tenants), now, None, Arc::default());
        for number in 0..10 {
            let mark = txn.mark(&tenant);
            txn.stored(&tenant, key(0)).await.unwrap();
            txn.keep(&tenant, key(number).0, &mark, &Arc::new(number));
        }
        assert_eq!(tenants.caches.bytes() - before, 10 * 1_024);
        assert_eq!(txn.recall::<u64>(&tenant, &key(7).0).as_deref(), Some(&7));
        tenants.shrink_caches(0);
        assert_eq!(tenants.caches.bytes(), 0);
        assert!(txn.recall::<u64>(&tenant, &key(7).0).is_none());
    }

    #[tokio::test]
    async fn a_tenant_that_is_forgotten_has_nothing_in_memory() {
        let caches = Caches::of(100);
        caches.changed(0, 90);
        caches.changed(90, 101);
        tokio::time::timeout(std::time::Duration::from_secs(5), caches.full.notified()).await.unwrap();
        caches.changed(101, 0);
        assert_eq!(caches.bytes(), 0);
    }
}
