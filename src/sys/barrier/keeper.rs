//! Finishing a change of the root key in the background, and following one that another server makes.
//!
//! 1. The record in the store names the new root key (`rekey.rs`). Both open everything.
//! 2. The change is announced in the root tenant: from then on nobody makes a tenant that is wrapped by the old one alone.
//! 3. Every tenant is wrapped by both.
//! 4. The record names the new root key alone: shares of the old one open no more.
//! 5. Every tenant is wrapped by the new one alone.
//!
//! Each step is durable and can be done again, so a server that dies goes on where it was. Steps 3 to 5 happen only once the new
//! shares are in people's hands: verified, used to unseal, or given out by this process.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;

use super::BarrierError;
use super::record::{SealRecord, ShamirRecord};
use crate::answer::{Answer, Refusal};
use crate::audit::event::{Event, Word};
use crate::commit::{Attempt, Committer, Tenant, Txn};
use crate::id::DeploymentId;
use crate::namespace::Namespace;
use crate::record::{Address, Kind, SYSTEM};
use crate::seal::shamir::Check;
use crate::storage::{Deployment, Store};

/// Between two looks at the stored seal.
const PERIOD: Duration = Duration::from_secs(2);
/// How long other servers on the same database have to follow, before the old root key is dropped.
const GRACE: Duration = Duration::from_secs(10);

/// How the keeper is told that there is something to do.
#[derive(Default)]
pub(super) struct Bell {
    notify: Notify,
    /// The shares of this set were given out by this process.
    given_out: Mutex<Option<Check<16>>>,
}

impl Bell {
    pub(super) fn ring(&self) {
        self.notify.notify_one();
    }

    pub(super) fn given_out(&self, set: Check<16>) {
        *self.given_out.lock().unwrap_or_else(PoisonError::into_inner) = Some(set);
        self.ring();
    }

    fn gave_out(&self, set: Check<16>) -> bool {
        *self.given_out.lock().unwrap_or_else(PoisonError::into_inner) == Some(set)
    }
}

pub(super) struct Keeper {
    store: Arc<dyn Store>,
    committer: Arc<Committer>,
    bell: Arc<Bell>,
    announced: Option<u32>,
}

/// Why a round came to nothing; the next one tries again.
#[derive(Debug, thiserror::Error)]
enum KeeperError {
    #[error(transparent)]
    Barrier(#[from] BarrierError),
    #[error("a step was refused: {0:?}")]
    Refused(Refusal),
    #[error(
        "the root key was changed through another server, which this one did not follow in time: seal it, and unseal it with the new shares"
    )]
    LeftBehind,
}

impl From<crate::storage::StoreError> for KeeperError {
    fn from(error: crate::storage::StoreError) -> Self {
        Self::Barrier(error.into())
    }
}

impl Keeper {
    pub(super) fn new(store: Arc<dyn Store>, committer: Arc<Committer>, bell: Arc<Bell>) -> Self {
        Self { store, committer, bell, announced: None }
    }

    /// Runs until it is aborted.
    pub(super) async fn run(mut self) {
        loop {
            if let Err(error) = self.tick().await {
                tracing::error!(%error, "the stored seal could not be followed; trying again");
            }
            // Whatever comes first; a bell that rang during the round is heard now.
            let _ = tokio::time::timeout(PERIOD, self.bell.notify.notified()).await;
        }
    }

    async fn tick(&mut self) -> Result<(), KeeperError> {
        let Some(deployment) = self.store.deployment().await? else { return Ok(()) };
        let SealRecord::Shamir(record) = SealRecord::of(&deployment)? else { return Ok(()) };
        self.follow(deployment.id, &record).await?;
        let Some(next) = &record.next else { return if record.sweep { self.sweep(&deployment, record).await } else { Ok(()) } };
        if !next.confirmed && !self.bell.gave_out(next.shares.id) {
            return Ok(());
        }
        let tenants = self.rewrap_all().await?;
        if self.store.kind() == "postgresql" {
            tokio::time::sleep(GRACE).await;
        }
        let Some(taken_over) = record.taken_over() else { return Ok(()) };
        // Another server may have come first, and even begun the next change.
        if self.store.replace_seal(&deployment.seal, &SealRecord::Shamir(taken_over).bytes()?).await? {
            tracing::info!(tenants, "the new root key has taken over: shares of the old one open no more");
        }
        self.bell.ring();
        Ok(())
    }

    /// Takes the seals of the record into use, and says so to all servers.
    async fn follow(&mut self, deployment: DeploymentId, record: &ShamirRecord) -> Result<(), KeeperError> {
        let tenants = self.committer.tenants();
        let seals = tenants.seals();
        if seals.epoch != record.epoch {
            tenants.set_seals(record.derived(deployment, &seals.list).await.ok_or(KeeperError::LeftBehind)?);
        }
        if record.epoch > 0 && self.announced != Some(record.epoch) {
            self.run_step(Arc::new(Announce { epoch: record.epoch })).await?;
            self.announced = Some(record.epoch);
        }
        Ok(())
    }

    /// Removes the wraps of the root key before.
    async fn sweep(&self, deployment: &Deployment, record: ShamirRecord) -> Result<(), KeeperError> {
        let tenants = self.rewrap_all().await?;
        let swept = SealRecord::Shamir(ShamirRecord { sweep: false, ..record });
        self.store.replace_seal(&deployment.seal, &swept.bytes()?).await?;
        tracing::info!(tenants, "nothing is wrapped by the old root key any more");
        Ok(())
    }

    /// Has every tenant wrapped by the seals of now; how many there are.
    async fn rewrap_all(&self) -> Result<usize, KeeperError> {
        let tenants = self.committer.tenants();
        let mut waiting = vec![tenants.root(), tenants.edge()];
        let mut done = 0;
        while let Some(tenant) = waiting.pop() {
            let step = Arc::new(Rewrap { tenant, children: Mutex::default() });
            self.run_step(Arc::clone(&step) as Arc<dyn Attempt>).await?;
            waiting.append(&mut step.children.lock().unwrap_or_else(PoisonError::into_inner));
            done += 1;
        }
        Ok(done)
    }

    async fn run_step(&self, step: Arc<dyn Attempt>) -> Result<(), KeeperError> {
        self.committer.run(step).await.map(drop).map_err(KeeperError::Refused)
    }
}

struct Announce {
    epoch: u32,
}

#[async_trait]
impl Attempt for Announce {
    async fn attempt(&self, txn: &mut Txn) -> Result<Answer, Refusal> {
        txn.announce_seals(self.epoch).await?;
        let root = txn.tenants().root();
        let text = format!("tenants are wrapped by the seals of change {} from now on", self.epoch);
        txn.conclude(&root, &Event::of_job(txn.now(), root.id(), Word::new("rekey"), text), false);
        Ok(Answer::Empty)
    }
}

/// Wraps one tenant anew, and finds the tenants below it. Its commit makes sure that the list was whole.
struct Rewrap {
    tenant: Arc<Tenant>,
    children: Mutex<Vec<Arc<Tenant>>>,
}

#[async_trait]
impl Attempt for Rewrap {
    async fn attempt(&self, txn: &mut Txn) -> Result<Answer, Refusal> {
        let tenant = &self.tenant;
        let mut children = Vec::new();
        for name in txn.names(tenant, Kind::Namespace, SYSTEM, "").await?.iter() {
            let found = txn.read::<Namespace>(tenant, &Address::system(Kind::Namespace, &**name)).await?;
            if let Some(found) = found {
                children.push(txn.enter(tenant, &found.value).await?);
            }
        }
        let changed = txn.rewrap(tenant).await?;
        *self.children.lock().unwrap_or_else(PoisonError::into_inner) = children;
        let text = if changed { "the tenant's key was wrapped anew" } else { "the tenant's key is wrapped as it should be" };
        txn.conclude(tenant, &Event::of_job(txn.now(), tenant.id(), Word::new("rekey"), text.to_owned()), false);
        Ok(Answer::Empty)
    }
}
