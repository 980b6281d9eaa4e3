//! Background work: removing what has expired, and the rows of erased tenants. Small steps through the same path as
//! requests, so that it never holds them up.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;

use super::NAMES_MAX;
use super::committer::{Attempt, Committer};
use super::tenant::Tenant;
use super::txn::Txn;
use crate::answer::{Answer, Refusal};
use crate::audit::event::{Event, Word};
use crate::id::TenantId;
use crate::record::{Kind, RecordKey, SYSTEM};
use crate::storage::TenantState;

/// Changes in one commit of a job.
const CHUNK: usize = 256;
/// Erased tenants worked on in one tick.
const ERASURES: usize = 16;

/// The jobs that concern every record, whatever it is.
pub struct Upkeep {
    committer: Arc<Committer>,
}

impl Upkeep {
    /// Jobs that commit through `committer`.
    pub fn new(committer: Arc<Committer>) -> Self {
        Self { committer }
    }

    /// One round. Returns true when more is left to do at once.
    pub async fn tick(&self) -> bool {
        let mut more = false;
        self.drop_sealed().await;
        for tenant in self.committer.tenants().all() {
            more |= self.expire(&tenant).await;
        }
        more | self.erase().await
    }

    /// Drops the keys of namespaces that another server has sealed. What they would be used for is refused already: every
    /// commit follows what other servers wrote.
    async fn drop_sealed(&self) {
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

    /// Removes up to `CHUNK` expired records of a tenant.
    async fn expire(&self, tenant: &Arc<Tenant>) -> bool {
        let tenants = self.committer.tenants();
        let keys = match tenants.store().expired(tenant.id(), tenants.clock().now(), CHUNK).await {
            Ok(keys) => keys,
            Err(error) => {
                tracing::warn!(%error, "expired records were not looked up; trying again later");
                return false;
            }
        };
        if keys.is_empty() {
            return false;
        }
        let full = keys.len() == CHUNK;
        let outcome = self.committer.run(Arc::new(Expiry { tenant: Arc::clone(tenant), keys })).await;
        match outcome {
            Ok(_) => full,
            Err(refusal) => {
                tracing::warn!(?refusal, "expired records were not removed; trying again later");
                false
            }
        }
    }

    /// Deletes a chunk of rows of each tenant whose keys are destroyed.
    async fn erase(&self) -> bool {
        let store = self.committer.tenants().store();
        let mut more = false;
        for tenant in store.tenants_in(TenantState::Erasing, ERASURES).await.unwrap_or_default() {
            match store.erase_chunk(tenant, CHUNK).await {
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
}

#[async_trait]
impl Attempt for Expiry {
    async fn attempt(&self, txn: &mut Txn) -> Result<Answer, Refusal> {
        let mut removed = 0;
        for key in &self.keys {
            removed += usize::from(txn.sweep(&self.tenant, *key).await?);
        }
        let event = Event::of_job(txn.now(), self.tenant.id(), Word::new("expire"), format!("{removed} expired records removed"));
        txn.conclude(&self.tenant, &event, false);
        Ok(Answer::Empty)
    }
}
