//! Tenants whose values are being wrapped anew. Nobody may ask for one of them again for months, and jobs work on tenants whose keys are
//! open: so the root keeps which they are, and they are opened until it is done, on whichever server and after a crash as well.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::committer::{Attempt, Committer};
use super::lease::Held;
use super::tenant::Tenant;
use super::tenants::Tenants;
use super::txn::Txn;
use crate::answer::{Answer, Refusal};
use crate::audit::event::{Event, Word};
use crate::id::TenantId;
use crate::json_record;
use crate::metrics;
use crate::record::{Address, Kind, Listing, SYSTEM};

/// Tenants that are opened in one round.
const OPENED: usize = 16;

/// That a tenant's values are being wrapped anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct UnfinishedRewrap {
    /// From the one below the root down to it.
    chain: Vec<TenantId>,
}

json_record!(UnfinishedRewrap, Kind::UnfinishedRewrap, Listing::Flat);

impl UnfinishedRewrap {
    fn address(tenant: TenantId) -> Address {
        Address::system(Kind::UnfinishedRewrap, tenant.to_string())
    }
}

impl Txn {
    /// Writes down that a tenant's values are being wrapped anew. The root itself is always open.
    pub(super) async fn mark_unfinished(&mut self, tenant: &Arc<Tenant>) -> Result<(), Refusal> {
        if tenant.parent().is_none() {
            return Ok(());
        }
        let (root, chain) = (self.tenants().root(), self.chain_to(tenant).await?);
        self.put(&root, &UnfinishedRewrap::address(tenant.id()), &UnfinishedRewrap { chain }, None).await
    }

    /// Tenants from the one below the root down to `tenant`.
    pub(super) async fn chain_to(&self, tenant: &Arc<Tenant>) -> Result<Vec<TenantId>, Refusal> {
        let (root, mut chain, mut above) = (self.tenants().root(), vec![tenant.id()], tenant.parent());
        // Not from what is loaded: keys of those above may just have been changed.
        while let Some(id) = above.filter(|id| *id != root.id()) {
            chain.insert(0, id);
            above = self.tenants().parent_of(id).await?.flatten();
        }
        Ok(chain)
    }

    /// The opposite of `mark_unfinished`.
    pub(super) async fn mark_finished(&mut self, tenant: TenantId) -> Result<(), Refusal> {
        let (root, address) = (self.tenants().root(), UnfinishedRewrap::address(tenant));
        if self.exists(&root, &address).await? {
            self.remove::<UnfinishedRewrap>(&root, &address).await?;
        }
        Ok(())
    }
}

/// Opens tenants whose values are being wrapped anew, some in each round.
#[derive(Default)]
pub(super) struct Unfinished {
    round: AtomicUsize,
}

impl Unfinished {
    pub(super) async fn open(&self, committer: &Committer, under: Option<&Held>) {
        let first = self.round.fetch_add(OPENED, Ordering::Relaxed);
        let look = Arc::new(Look { first, found: Mutex::default() });
        if let Err(refusal) = committer.run(Arc::clone(&look) as Arc<dyn Attempt>).await {
            tracing::warn!(?refusal, "unfinished rotations were not looked up; trying again later");
            return;
        }
        let found = std::mem::take(&mut *look.found.lock().unwrap_or_else(PoisonError::into_inner));
        for (tenant, chain) in found {
            match open(committer.tenants(), &chain).await {
                Ok(true) => {}
                Ok(false) => {
                    if committer.tenants().is_gone(tenant).await
                        && let Err(refusal) = committer.run_under(under, Arc::new(Forget { tenant })).await
                    {
                        tracing::warn!(?refusal, "the rotation of an erased tenant is not forgotten yet");
                    }
                }
                // Sealed, or its own key is away: it is opened when somebody can.
                Err(refusal) => tracing::debug!(?refusal, %tenant, "a rotation waits for its tenant's keys"),
            }
        }
    }
}

/// Opens a tenant by those on the way to it. False when one of them is not there.
pub(super) async fn open(tenants: &Tenants, chain: &[TenantId]) -> Result<bool, Refusal> {
    let mut parent = tenants.root();
    for id in chain {
        let tenant = match tenants.get(*id) {
            Some(tenant) => Some(tenant),
            None => match tenants.children(&parent).await?.into_iter().find(|child| child.namespace.tenant == *id) {
                Some(child) => tenants.open_child(&parent, &child.name, *id).await?,
                None => None,
            },
        };
        let Some(tenant) = tenant else { return Ok(false) };
        parent = tenant;
    }
    Ok(true)
}

/// Some that are not open now, others in each round.
struct Look {
    first: usize,
    found: Mutex<Vec<(TenantId, Vec<TenantId>)>>,
}

#[async_trait]
impl Attempt for Look {
    async fn attempt(&self, txn: &mut Txn) -> Result<Answer, Refusal> {
        let root = txn.tenants().root();
        let names = txn.names(&root, Kind::UnfinishedRewrap, SYSTEM, "").await?;
        let here = txn.rewrap_state(&root).await?.is_some_and(|state| state.finished.is_none());
        metrics::rotations_unfinished(names.len() + usize::from(here));
        let closed = |id: &TenantId| txn.tenants().get(*id).is_none();
        let mut waiting: Vec<TenantId> = names.iter().filter_map(|name| TenantId::parse(name)).filter(closed).collect();
        let first = self.first.checked_rem(waiting.len()).unwrap_or(0);
        waiting.rotate_left(first);
        let mut found = Vec::new();
        for id in waiting.into_iter().take(OPENED) {
            if let Some(mark) = txn.read::<UnfinishedRewrap>(&root, &UnfinishedRewrap::address(id)).await? {
                found.push((id, mark.value.chain.clone()));
            }
        }
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = found;
        Ok(Answer::Empty)
    }
}

/// The tenant was erased meanwhile.
struct Forget {
    tenant: TenantId,
}

#[async_trait]
impl Attempt for Forget {
    async fn attempt(&self, txn: &mut Txn) -> Result<Answer, Refusal> {
        txn.mark_finished(self.tenant).await?;
        let root = txn.tenants().root();
        let text = format!("tenant {} was erased: nothing of it is wrapped anew any more", self.tenant);
        txn.conclude(&root, &Event::of_job(txn.now(), root.id(), Word::new("rewrap"), text), false);
        Ok(Answer::Empty)
    }
}
