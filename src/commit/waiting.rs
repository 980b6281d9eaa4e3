//! Tenants in which there is work, and which nobody may ask for in months. Jobs work on tenants whose keys are open: so the root keeps a
//! mark for each of these, and they are opened, some in each round, on whichever server and after a crash as well. The job that visits
//! every open tenant does the rest.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use super::committer::{Attempt, Committer};
use super::lease::Held;
use super::tenant::Tenant;
use super::tenants::Tenants;
use super::txn::Txn;
use crate::answer::{Answer, Refusal};
use crate::audit::event::{Event, Word};
use crate::id::TenantId;
use crate::record::{Address, Record, SYSTEM};
use crate::time::Timestamp;

/// Tenants that are opened in one round.
const OPENED: usize = 16;

/// That there is work in a tenant: a record of the root.
pub(super) trait Mark: Record {
    /// What the server's log calls the work.
    const WORK: &'static str;
    /// The job that forgets a mark whose tenant was erased, and what its event says behind that.
    const FORGOTTEN: (&'static str, &'static str);

    /// Those of these names, in their order, whose tenants are to be open now; and these tenants.
    fn wanted(names: &[Box<str>], now: Timestamp) -> impl Iterator<Item = (&str, TenantId)>;

    /// From the one below the root down to the tenant.
    fn chain(&self) -> &[TenantId];

    /// So many marks are there, those of open tenants among them.
    fn counted(_txn: &mut Txn, _marks: usize) -> impl Future<Output = Result<(), Refusal>> + Send {
        async { Ok(()) }
    }
}

impl Txn {
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
}

/// Opens the tenants that have marks of one kind.
pub(super) struct Waiting<M> {
    round: AtomicUsize,
    marks: PhantomData<fn() -> M>,
}

impl<M> Default for Waiting<M> {
    fn default() -> Self {
        Self { round: AtomicUsize::new(0), marks: PhantomData }
    }
}

impl<M: Mark> Waiting<M> {
    pub(super) async fn open(&self, committer: &Committer, under: Option<&Held>) {
        let first = self.round.fetch_add(OPENED, Ordering::Relaxed);
        let look = Arc::new(Look::<M> { first, found: Mutex::default(), marks: PhantomData });
        if let Err(refusal) = committer.run(Arc::clone(&look) as Arc<dyn Attempt>).await {
            tracing::warn!(?refusal, work = M::WORK, "tenants that wait for work were not looked up; trying again later");
            return;
        }
        let found = std::mem::take(&mut *look.found.lock().unwrap_or_else(PoisonError::into_inner));
        for Found { name, tenant, chain } in found {
            match open(committer.tenants(), &chain).await {
                Ok(true) => {}
                Ok(false) => {
                    let forget = Arc::new(Forget::<M> { name, tenant, marks: PhantomData });
                    if committer.tenants().is_gone(tenant).await
                        && let Err(refusal) = committer.run_under(under, forget).await
                    {
                        tracing::warn!(?refusal, work = M::WORK, "the work of an erased tenant is not forgotten yet");
                    }
                }
                // Sealed, or its own key is away: it is opened when somebody can.
                Err(refusal) => tracing::debug!(?refusal, %tenant, work = M::WORK, "work waits for its tenant's keys"),
            }
        }
    }
}

/// Opens a tenant by those on the way to it. False when one of them is not there.
async fn open(tenants: &Tenants, chain: &[TenantId]) -> Result<bool, Refusal> {
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

/// A mark, and the way to its tenant.
struct Found {
    name: String,
    tenant: TenantId,
    chain: Vec<TenantId>,
}

/// Some that are not open now, others in each round.
struct Look<M> {
    first: usize,
    found: Mutex<Vec<Found>>,
    marks: PhantomData<fn() -> M>,
}

#[async_trait]
impl<M: Mark> Attempt for Look<M> {
    async fn attempt(&self, txn: &mut Txn) -> Result<Answer, Refusal> {
        let (root, now) = (txn.tenants().root(), txn.now());
        let names = txn.names(&root, M::KIND, SYSTEM, "").await?;
        M::counted(txn, names.len()).await?;
        let mut waiting: Vec<_> = M::wanted(&names, now).filter(|(_, tenant)| txn.tenants().get(*tenant).is_none()).collect();
        let first = self.first.checked_rem(waiting.len()).unwrap_or(0);
        waiting.rotate_left(first);
        let mut found = Vec::new();
        for (name, tenant) in waiting.into_iter().take(OPENED) {
            if let Some(mark) = txn.read::<M>(&root, &Address::system(M::KIND, name.to_owned())).await? {
                found.push(Found { name: name.to_owned(), tenant, chain: mark.value.chain().to_vec() });
            }
        }
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = found;
        Ok(Answer::Empty)
    }
}

/// The tenant was erased meanwhile.
struct Forget<M> {
    name: String,
    tenant: TenantId,
    marks: PhantomData<fn() -> M>,
}

#[async_trait]
impl<M: Mark> Attempt for Forget<M> {
    async fn attempt(&self, txn: &mut Txn) -> Result<Answer, Refusal> {
        let (root, address) = (txn.tenants().root(), Address::system(M::KIND, self.name.clone()));
        if txn.exists(&root, &address).await? {
            txn.remove::<M>(&root, &address).await?;
        }
        let (job, says) = M::FORGOTTEN;
        let text = format!("tenant {} was erased: {says}", self.tenant);
        txn.conclude(&root, &Event::of_job(txn.now(), root.id(), Word::new(job), text), false);
        Ok(Answer::Empty)
    }
}
