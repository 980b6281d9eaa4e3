//! Background work: removing what has expired, and the rows of erased tenants; wrapping values anew after a rotation. Small steps through the same path as
//! requests, so that it never holds them up.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;

use super::NAMES_MAX;
use super::committer::{Attempt, Committer};
use super::due::DueRotation;
use super::lease::Held;
use super::rewrap::RewrapStep;
use super::tenant::{Entry, Tenant};
use super::txn::{Swept, Txn};
use super::unfinished::UnfinishedRewrap;
use super::waiting::Waiting;
use crate::answer::{Answer, Refusal};
use crate::audit::event::{Event, Word};
use crate::id::TenantId;
use crate::record::{Kind, RecordKey, SYSTEM};
use crate::storage::TenantState;

/// Changes in one commit of a job.
const CHUNK: usize = 256;
/// The same of expiry, of which there may be minutes without a pause: requests that share a group with it wait for its rows, too.
const EXPIRY_CHUNK: usize = 64;
/// What goes with one of them at most.
const REMAINS_MAX: usize = 5;
/// Damaged records of one tenant that are remembered. With more of them its expired records are not removed any more.
const DAMAGED_MAX: usize = 4096;
/// Steps of wrapping a tenant's values anew before other tenants have their turn.
const REWRAP_STEPS: usize = 16;
/// Erased tenants worked on in one tick.
const ERASURES: usize = 16;

/// Knows what else goes with a record that has expired.
#[async_trait]
pub trait Remains: Send + Sync {
    /// Removes the record at `key` with all that leads to it, if it is of the kind that this one knows and has expired. At most five changes;
    /// false when it is something else.
    async fn remove(&self, txn: &mut Txn, tenant: &Arc<Tenant>, key: RecordKey) -> Result<bool, Refusal>;
}

/// The jobs that concern every record, whatever it is.
pub struct Upkeep {
    committer: Arc<Committer>,
    remains: Option<Arc<dyn Remains>>,
    /// Records that seem to be past their expiry and do not open: told once, and passed over.
    damaged: Mutex<HashMap<TenantId, HashSet<RecordKey>>>,
    unfinished: Waiting<UnfinishedRewrap>,
    due: Waiting<DueRotation>,
}

impl Upkeep {
    /// Jobs that commit through `committer`. With an expired record goes what `remains` says.
    pub fn new(committer: Arc<Committer>, remains: Option<Arc<dyn Remains>>) -> Self {
        Self { committer, remains, damaged: Mutex::default(), unfinished: Waiting::default(), due: Waiting::default() }
    }

    /// What concerns no tenant alone, done under a lease where there may be other servers. Returns true when more is left to do at once.
    pub async fn around(&self, under: Option<&Held>) -> bool {
        self.unfinished.open(&self.committer, under).await;
        self.due.open(&self.committer, under).await;
        self.erase(under).await
    }

    /// Wraps values of one tenant anew, some of them. Likewise.
    pub async fn visit(&self, tenant: &Arc<Tenant>, under: Option<&Held>) -> bool {
        self.rewrap(tenant, under).await
    }

    /// How long nothing expires in a tenant in which nothing is written. Zero as long as that is not known.
    pub async fn nothing_expires_for(&self, tenant: &Tenant) -> Duration {
        let tenants = self.committer.tenants();
        match tenants.store().next_expiry(tenant.id()).await {
            Ok(next) => next.map_or(Duration::MAX, |next| next.since(tenants.clock().now())),
            Err(_) => Duration::ZERO,
        }
    }

    /// Drops the keys of namespaces that another server has sealed; every server does so for itself. What they would be used for is
    /// refused already: every commit follows what other servers wrote.
    pub async fn drop_sealed(&self) {
        let tenants = self.committer.tenants();
        let loaded = tenants.all();
        let parents: BTreeSet<TenantId> = loaded.iter().filter_map(|tenant| tenant.parent()).collect();
        for parent in loaded.iter().filter(|tenant| parents.contains(&tenant.id())) {
            let directory = parent.keyring().dir_key(Kind::NamespaceLock, SYSTEM, "");
            let listed = match tenants.store().names(parent.id(), directory, None, NAMES_MAX).await {
                Ok(listed) => listed.value,
                Err(error) => {
                    tracing::warn!(%error, "sealed namespaces were not looked up; trying again later");
                    continue;
                }
            };
            let names = listed.iter().filter_map(|(key, name)| parent.keyring().open_name(key, &directory, name).ok());
            names.filter_map(|name| TenantId::parse(&name)).for_each(|tenant| tenants.forget(tenant));
        }
    }

    /// Removes expired records of a tenant, in up to `EXPIRY_CHUNK` changes. True when more is left.
    pub async fn expire(&self, tenant: &Arc<Tenant>, under: Option<&Held>) -> bool {
        let tenants = self.committer.tenants();
        let known = self.damaged().remove(&tenant.id()).unwrap_or_default();
        let limit = EXPIRY_CHUNK + known.len();
        let found = match tenants.store().expired(tenant.id(), tenants.clock().now(), limit).await {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(%error, "expired records were not looked up; trying again later");
                self.remember(tenant, known);
                return false;
            }
        };
        let full = found.len() == limit;
        // What is no longer there, or no longer past its expiry, is forgotten here.
        let (damaged, keys): (Vec<RecordKey>, Vec<RecordKey>) = found.into_iter().partition(|key| known.contains(key));
        self.remember(tenant, damaged);
        if keys.is_empty() {
            return false;
        }
        self.look_up(tenant, &keys).await;
        let (damaged, rest) = (Mutex::default(), AtomicBool::new(full));
        let expiry = Arc::new(Expiry { tenant: Arc::clone(tenant), keys, remains: self.remains.clone(), damaged, rest });
        match self.committer.run_under(under, Arc::clone(&expiry) as Arc<dyn Attempt>).await {
            Ok(_) => {
                self.remember(tenant, expiry.found_damaged().drain(..));
                expiry.rest.load(Ordering::Relaxed)
            }
            Err(refusal) => {
                tracing::warn!(?refusal, "expired records were not removed; trying again later");
                false
            }
        }
    }

    /// Has records in the cache, all asked for at once: whoever needs one after another would wait for the database each time. One that cannot
    /// be read now is asked for again.
    async fn look_up(&self, tenant: &Tenant, keys: &[RecordKey]) {
        let store = self.committer.tenants().store();
        let unknown = keys.iter().filter(|key| tenant.cached(key).1.is_none());
        let reading = unknown.map(async |key| {
            if let Ok(found) = store.record(tenant.id(), *key).await {
                tenant.fill(*key, found.seq, &Arc::new(Entry::new(found.value)));
            }
        });
        join_all(reading).await;
    }

    /// Wraps values of a tenant by its newest wrapping key, after that was changed.
    async fn rewrap(&self, tenant: &Arc<Tenant>, under: Option<&Held>) -> bool {
        for _ in 0..REWRAP_STEPS {
            let step = Arc::new(RewrapStep::new(tenant));
            match self.committer.run_under(under, Arc::clone(&step) as Arc<dyn Attempt>).await {
                Ok(Answer::Empty) => return false,
                Ok(_) => step.count(),
                Err(refusal) => {
                    tracing::warn!(?refusal, "values were not wrapped anew; trying again later");
                    return false;
                }
            }
        }
        true
    }

    fn damaged(&self) -> MutexGuard<'_, HashMap<TenantId, HashSet<RecordKey>>> {
        self.damaged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, tenant: &Tenant, damaged: impl IntoIterator<Item = RecordKey>) {
        let mut all = self.damaged();
        let keys = all.entry(tenant.id()).or_default();
        keys.extend(damaged.into_iter().take(DAMAGED_MAX.saturating_sub(keys.len())));
        if keys.is_empty() {
            all.remove(&tenant.id());
        }
    }

    /// Deletes a chunk of rows of each tenant whose keys are destroyed.
    async fn erase(&self, under: Option<&Held>) -> bool {
        let store = self.committer.tenants().store();
        let mut more = false;
        for tenant in store.tenants_in(TenantState::Erasing, ERASURES).await.unwrap_or_default() {
            match store.erase_chunk(tenant, CHUNK, under.map(Held::fence)).await {
                Ok(deleted) => more |= deleted > 0,
                Err(error) => tracing::warn!(%error, %tenant, "rows of an erased tenant were not deleted; trying again later"),
            }
        }
        more
    }
}

/// Removes records that are past their expiry; one that was renewed meanwhile stays.
struct Expiry {
    tenant: Arc<Tenant>,
    keys: Vec<RecordKey>,
    remains: Option<Arc<dyn Remains>>,
    /// Those that do not open, as the last attempt found them.
    damaged: Mutex<Vec<RecordKey>>,
    /// Not all of those were removed that there are.
    rest: AtomicBool,
}

impl Expiry {
    fn found_damaged(&self) -> MutexGuard<'_, Vec<RecordKey>> {
        self.damaged.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Attempt for Expiry {
    async fn attempt(&self, txn: &mut Txn) -> Result<Answer, Refusal> {
        let (mut removed, mut damaged) = (0, Vec::new());
        for key in &self.keys {
            if txn.changes() + REMAINS_MAX > EXPIRY_CHUNK {
                self.rest.store(true, Ordering::Relaxed);
                break;
            }
            if let Some(remains) = &self.remains
                && remains.remove(txn, &self.tenant, *key).await?
            {
                removed += 1;
                continue;
            }
            match txn.sweep(&self.tenant, *key).await? {
                Swept::Removed => removed += 1,
                Swept::Damaged => damaged.push(*key),
                Swept::Current => {}
            }
        }
        let mut text = format!("{removed} expired records removed");
        if !damaged.is_empty() {
            // For the auditor: somebody has changed the database.
            let _ = write!(text, ", {} left because they do not open as their rows say", damaged.len());
        }
        *self.found_damaged() = damaged;
        let event = Event::of_job(txn.now(), self.tenant.id(), Word::new("expire"), text);
        txn.conclude(&self.tenant, &event, false);
        Ok(Answer::Empty)
    }
}
