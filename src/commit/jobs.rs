//! Background work: removing what has expired, and the rows of erased tenants; wrapping values anew after a rotation. Small steps through the same path as
//! requests, so that it never holds them up.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::NAMES_MAX;
use super::committer::{Attempt, Committer};
use super::due::DueRotation;
use super::expiry::{Expiring, Remains};
use super::lease::Held;
use super::rewrap::RewrapStep;
use super::tenant::Tenant;
use super::unfinished::UnfinishedRewrap;
use super::waiting::Waiting;
use crate::answer::Answer;
use crate::id::TenantId;
use crate::record::{Kind, SYSTEM};
use crate::storage::TenantState;

/// Changes in one commit of a job.
const CHUNK: usize = 256;
/// Steps of wrapping a tenant's values anew before other tenants have their turn.
const REWRAP_STEPS: usize = 16;
/// Erased tenants worked on in one tick.
const ERASURES: usize = 16;

/// The jobs that concern every record, whatever it is.
pub struct Upkeep {
    committer: Arc<Committer>,
    expiring: Expiring,
    unfinished: Waiting<UnfinishedRewrap>,
    due: Waiting<DueRotation>,
}

impl Upkeep {
    /// Jobs that commit through `committer`. With an expired record goes what `remains` says.
    pub fn new(committer: Arc<Committer>, remains: Option<Arc<dyn Remains>>) -> Self {
        Self { committer, expiring: Expiring::new(remains), unfinished: Waiting::default(), due: Waiting::default() }
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

    /// Removes expired records of a tenant, some of them. True when more is left.
    pub async fn expire(&self, tenant: &Arc<Tenant>, under: Option<&Held>) -> bool {
        self.expiring.step(&self.committer, tenant, under).await
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
