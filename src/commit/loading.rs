//! Who is being loaded, and who could not be loaded a moment ago: a tenant whose seal is in trouble costs its seal one call at
//! a time and a few in a second, and other tenants nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::answer::Refusal;
use crate::id::TenantId;

/// How long a seal is not asked again for a key that it did not open.
const PAUSE: Duration = Duration::from_secs(1);
/// Slots that are kept before those that nobody uses are cleared away.
const SLOTS_MAX: usize = 1024;

/// One slot for each tenant that is being loaded or did not load.
#[derive(Default)]
pub(super) struct Loading(Mutex<HashMap<TenantId, Arc<Slot>>>);

/// Whoever holds the lock loads the tenant.
pub(super) type Slot = tokio::sync::Mutex<Failure>;

/// What the last load came to, if that was nothing.
#[derive(Default)]
pub(super) struct Failure(Option<(Refusal, Duration)>);

impl Failure {
    /// The refusal of a moment ago.
    pub(super) fn recent(&self, now: Duration) -> Option<Refusal> {
        let (refusal, at) = self.0.as_ref()?;
        (now.saturating_sub(*at) < PAUSE).then(|| refusal.clone())
    }

    /// Keeps a refusal for a moment.
    pub(super) fn note(&mut self, refusal: Refusal, now: Duration) {
        self.0 = Some((refusal, now));
    }
}

impl Loading {
    fn slots(&self) -> MutexGuard<'_, HashMap<TenantId, Arc<Slot>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The slot of a tenant.
    pub(super) fn slot(&self, tenant: TenantId) -> Arc<Slot> {
        let mut slots = self.slots();
        if slots.len() > SLOTS_MAX {
            slots.retain(|_, slot| Arc::strong_count(slot) > 1);
        }
        Arc::clone(slots.entry(tenant).or_default())
    }

    /// A tenant is loaded, and needs its slot no more.
    pub(super) fn forget(&self, tenant: TenantId) {
        self.slots().remove(&tenant);
    }
}
