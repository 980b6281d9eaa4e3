//! What was worked out from several records, kept as long as none of them changes: who a token stands for, say.
//!
//! It lives with its tenant, and is dropped with the tenant's keys. A request that recalls it depends on the same records
//! as the request that worked it out, so the committer checks the same reads.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::recent::{ByHash, Recent};
use super::tenant::Tenant;
use super::txn::Txn;
use crate::time::Timestamp;

/// How many a tenant keeps; past it all are forgotten.
const DERIVED_MAX: usize = 8_192;
/// What one counts for in the tenant's cache: about what most take.
const DERIVED_BYTES: usize = 1_024;

/// A kept value and what it was worked out from.
pub(super) struct Derived {
    value: Arc<dyn Any + Send + Sync>,
    keys: Box<[[u8; 32]]>,
    /// None of the keys has changed up to here.
    position: AtomicU64,
    valid_until: Option<Timestamp>,
}

/// What a tenant keeps, by names that are keyed hashes.
#[derive(Default)]
pub(super) struct Shelf(ByHash<[u8; 32], Arc<Derived>>);

impl Shelf {
    /// What stands under `name`, if it holds up to the position `now`.
    pub(super) fn find(&self, name: &[u8; 32], recent: &Recent, now: u64) -> Option<Arc<Derived>> {
        let derived = self.0.get(name)?;
        let position = derived.position.load(Ordering::Relaxed);
        if derived.keys.iter().any(|key| recent.changed_after(key, position)) {
            return None;
        }
        derived.position.fetch_max(now, Ordering::Relaxed);
        Some(Arc::clone(derived))
    }

    /// What it counts for in the tenant's cache.
    pub(super) fn bytes(&self) -> usize {
        self.0.len() * DERIVED_BYTES
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn put(&mut self, name: [u8; 32], derived: Derived) {
        if self.0.len() >= DERIVED_MAX {
            self.0.clear();
        }
        self.0.insert(name, Arc::new(derived));
    }
}

/// Where a transaction stood when something began to be worked out.
pub struct Mark {
    /// Reads in the tenant, and in all tenants.
    reads: (usize, usize),
}

impl Txn {
    /// What was kept under `name`, if nothing that it was worked out from has changed. All of that is then in the read-set.
    pub fn recall<T: Send + Sync + 'static>(&mut self, tenant: &Arc<Tenant>, name: &[u8; 32]) -> Option<Arc<T>> {
        if self.has_changes() {
            return None;
        }
        let (position, derived) = tenant.derived(name)?;
        if derived.valid_until.is_some_and(|until| until <= self.now()) {
            return None;
        }
        let value = Arc::clone(&derived.value).downcast().ok()?;
        for key in &derived.keys {
            self.remember(tenant, *key, position);
        }
        if let Some(until) = derived.valid_until {
            self.relies_until(until);
        }
        Some(value)
    }

    /// Begins to work something out: what is read from now on is what it depends on.
    pub fn mark(&self, tenant: &Arc<Tenant>) -> Mark {
        Mark { reads: self.reads(tenant) }
    }

    /// Keeps what was worked out since `mark`, unless it depends on other tenants, or on what is not committed yet.
    /// `value` must not hold a tenant: the tenant would then hold itself, and its keys would never be wiped.
    pub fn keep<T: Send + Sync + 'static>(&self, tenant: &Arc<Tenant>, name: [u8; 32], mark: &Mark, value: &Arc<T>) {
        let (own, all) = self.reads(tenant);
        if self.has_changes() || all - mark.reads.1 != own - mark.reads.0 {
            return;
        }
        let Some(reads) = self.collected.reads.iter().find(|reads| Arc::ptr_eq(&reads.tenant, tenant)) else { return };
        let since = reads.keys.get(mark.reads.0..).unwrap_or_default();
        let Some(position) = since.iter().map(|(_, position)| *position).min() else { return };
        tenant.keep(
            name,
            Derived {
                value: Arc::clone(value) as _,
                keys: since.iter().map(|(key, _)| *key).collect(),
                position: AtomicU64::new(position),
                valid_until: self.collected.valid_until,
            },
        );
    }

    fn reads(&self, tenant: &Arc<Tenant>) -> (usize, usize) {
        let mut counts = (0, 0);
        for reads in &self.collected.reads {
            counts.0 += if Arc::ptr_eq(&reads.tenant, tenant) { reads.keys.len() } else { 0 };
            counts.1 += reads.keys.len();
        }
        counts
    }
}
