//! One change of all tenants, from the root down: each is wrapped by the seals of now, in a commit of its own. What was done
//! stays done; what is refused now is tried again by the next walk.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::answer::{Answer, Refusal};
use crate::audit::event::{Event, Word};
use crate::commit::{Attempt, Committer, Tenant, Txn};
use crate::id::TenantId;
use crate::namespace::Namespace;
use crate::record::{Address, Kind, SYSTEM};

/// How far a walk is.
#[derive(Clone, Default)]
pub(super) struct Progress {
    /// Tenants that are wrapped as they should be.
    pub(super) done: usize,
    /// Those that were found, and are not yet.
    pub(super) waiting: usize,
    /// Those that could not be wrapped.
    pub(super) failed: usize,
    /// Those that were passed by, with all below them: they have keys of their own.
    pub(super) own_keys: usize,
    /// Why the last round came to nothing; empty when it did not.
    pub(super) problem: String,
}

/// Why a walk did not reach its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum WalkError {
    #[error("a step was refused: {0:?}")]
    Refused(Refusal),
    #[error("{failed} namespaces could not be opened or wrapped, {first} among them: {refusal:?}")]
    Some { failed: usize, first: TenantId, refusal: Refusal },
}

pub(super) struct Walk<'a> {
    pub(super) committer: &'a Committer,
    pub(super) progress: &'a Mutex<Progress>,
}

impl Walk<'_> {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has every tenant wrapped by the seals of now; how many there are.
    pub(super) async fn wrap_all(&self) -> Result<usize, WalkError> {
        let tenants = self.committer.tenants();
        let mut waiting = vec![tenants.root(), tenants.edge()];
        let mut refused: Option<(TenantId, Refusal)> = None;
        *self.progress() = Progress { waiting: waiting.len(), ..Progress::default() };
        while let Some(tenant) = waiting.pop() {
            let step = Arc::new(Rewrap { tenant, found: Mutex::default() });
            let done = self.run(Arc::clone(&step) as Arc<dyn Attempt>).await;
            let found = std::mem::take(&mut *step.found.lock().unwrap_or_else(PoisonError::into_inner));
            let mut progress = self.progress();
            progress.failed += found.closed.len() + usize::from(done.is_err());
            progress.done += usize::from(done.is_ok());
            progress.own_keys += found.own_keys;
            waiting.extend(found.children);
            progress.waiting = waiting.len();
            let here = done.err().map(|refusal| (step.tenant.id(), refusal));
            refused = refused.or(here).or_else(|| found.closed.into_iter().next());
        }
        let Progress { done, failed, .. } = *self.progress();
        match refused {
            None => Ok(done),
            Some((first, refusal)) => Err(WalkError::Some { failed, first, refusal }),
        }
    }

    /// Says to all servers by which change of seals tenants are wrapped.
    pub(super) async fn announce(&self, epoch: u32) -> Result<(), WalkError> {
        self.run(Arc::new(Announce { epoch })).await.map_err(WalkError::Refused)
    }

    /// A number, if there are tenants that not every seal has wrapped.
    pub(super) async fn incomplete(&self) -> Result<Option<u64>, WalkError> {
        let look = Arc::new(Incomplete::default());
        self.run(Arc::clone(&look) as Arc<dyn Attempt>).await.map_err(WalkError::Refused)?;
        Ok(*look.found.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Every seal has wrapped what `incomplete` spoke of.
    pub(super) async fn completed(&self, incomplete: u64) -> Result<(), WalkError> {
        self.run(Arc::new(Completed { incomplete })).await.map_err(WalkError::Refused)
    }

    async fn run(&self, step: Arc<dyn Attempt>) -> Result<(), Refusal> {
        self.committer.run(step).await.map(drop)
    }
}

struct Announce {
    epoch: u32,
}

#[async_trait]
impl Attempt for Announce {
    async fn attempt(&self, txn: &mut Txn) -> Result<Answer, Refusal> {
        txn.announce_seals(self.epoch).await?;
        conclude_in_root(txn, format!("tenants are wrapped by the seals of change {} from now on", self.epoch));
        Ok(Answer::Empty)
    }
}

#[derive(Default)]
struct Incomplete {
    found: Mutex<Option<u64>>,
}

#[async_trait]
impl Attempt for Incomplete {
    async fn attempt(&self, txn: &mut Txn) -> Result<Answer, Refusal> {
        let found = txn.incomplete_wraps().await?;
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = found;
        Ok(Answer::Empty)
    }
}

struct Completed {
    incomplete: u64,
}

#[async_trait]
impl Attempt for Completed {
    async fn attempt(&self, txn: &mut Txn) -> Result<Answer, Refusal> {
        txn.wraps_completed(self.incomplete).await?;
        conclude_in_root(txn, "tenants that a seal had not wrapped are wrapped by all".to_owned());
        Ok(Answer::Empty)
    }
}

fn conclude_in_root(txn: &mut Txn, text: String) {
    let root = txn.tenants().root();
    txn.conclude(&root, &Event::of_job(txn.now(), root.id(), Word::new("rekey"), text), false);
}

/// Wraps one tenant anew, and finds the tenants below it. Its commit makes sure that the list was whole.
struct Rewrap {
    tenant: Arc<Tenant>,
    found: Mutex<Found>,
}

#[derive(Default)]
struct Found {
    children: Vec<Arc<Tenant>>,
    /// Those whose keys are not to be had now.
    closed: Vec<(TenantId, Refusal)>,
    /// How many have keys of their own.
    own_keys: usize,
}

#[async_trait]
impl Attempt for Rewrap {
    async fn attempt(&self, txn: &mut Txn) -> Result<Answer, Refusal> {
        let tenant = &self.tenant;
        let mut below = Found::default();
        for name in txn.names(tenant, Kind::Namespace, SYSTEM, "").await?.iter() {
            let found = txn.read::<Namespace>(tenant, &Address::system(Kind::Namespace, &**name)).await?;
            let Some(found) = found else { continue };
            // One with a key of its own has no other wraps, nor has what is below it.
            if found.value.own_seal.is_some() {
                below.own_keys += 1;
            } else {
                match txn.enter(tenant, name, &found.value).await {
                    Ok(child) => below.children.push(child),
                    Err(refusal) => below.closed.push((found.value.tenant, refusal)),
                }
            }
        }
        let changed = txn.rewrap(tenant).await?;
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = below;
        let text = if changed { "the tenant's key was wrapped anew" } else { "the tenant's key is wrapped as it should be" };
        txn.conclude(tenant, &Event::of_job(txn.now(), tenant.id(), Word::new("rekey"), text.to_owned()), false);
        Ok(Answer::Empty)
    }
}
