//! Finishing a change of the root key in the background, and following one that another server makes.
//!
//! Of seals that open by themselves: the server that starts with another list writes it down, every tenant is wrapped by it, and
//! that is written down too. Of shares:
//!
//! 1. The record in the store names the new root key (`rekey.rs`). Both open everything.
//! 2. The change is announced in the root tenant: from then on nobody makes a tenant that is wrapped by the old one alone.
//! 3. Every tenant is wrapped by both.
//! 4. The record names the new root key alone: shares of the old one open no more.
//! 5. Every tenant is wrapped by the new one alone.
//!
//! From shares to seals and back: `beside.rs`.
//!
//! Each step is durable and can be done again, so a server that dies goes on where it was. Steps 3 to 5 happen only once the new
//! shares are in people's hands: verified, used to unseal, or given out by this process.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::BarrierError;
use super::beside::Beside;
use super::record::{AutoRecord, SealRecord, ShamirRecord};
use super::walk::{Progress, Walk, WalkError};
use crate::commit::{Committer, Seals, probe};
use crate::crypto::RootKey;
use crate::id::DeploymentId;
use crate::seal::Seal;
use crate::seal::shamir::Check;
use crate::storage::{Deployment, Store};

/// Between two looks at the stored seal.
const PERIOD: Duration = Duration::from_secs(2);
/// The longest pause after rounds that came to nothing: two to this power of `PERIOD`.
const PAUSE_MAX: u32 = 4;
/// How long other servers on the same database have to follow, before the old root key is dropped.
const GRACE: Duration = Duration::from_secs(10);

/// How the keeper is told that there is something to do.
#[derive(Default)]
pub(super) struct Bell {
    notify: Notify,
    /// The shares of this set were given out by this process.
    given_out: Mutex<Option<Check<16>>>,
    /// How far the last walk over all tenants is.
    pub(super) progress: Mutex<Progress>,
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
    configured: Configured,
    /// They were compared with the stored list.
    compared: bool,
}

/// The seals that this server has.
pub(super) struct Configured {
    /// Those of the configuration that open by themselves.
    pub(super) seals: Vec<Arc<dyn Seal>>,
    /// Shares are listed, too.
    pub(super) shares: bool,
    pub(super) brought: Brought,
}

/// What people have brought the shares of.
#[derive(Default)]
pub(super) struct Brought {
    /// The recovery key.
    pub(super) recovery: Option<Arc<dyn Seal>>,
    /// The root key.
    pub(super) root: Option<RootKey>,
}

/// Why a round came to nothing; the next one tries again.
#[derive(Debug, thiserror::Error)]
enum KeeperError {
    #[error(transparent)]
    Barrier(#[from] BarrierError),
    #[error(transparent)]
    Walk(#[from] WalkError),
    #[error("not every configured seal wraps now: {0}")]
    Seal(#[from] crate::seal::SealError),
    #[error(
        "the root key was changed through another server, which this one did not follow in time: seal it, and unseal it with the new shares"
    )]
    LeftBehind,
    #[error(
        "another server wraps by seals that this one does not have: give all servers the same seals; until then no namespace can be made here"
    )]
    OtherSeals,
}

impl From<crate::storage::StoreError> for KeeperError {
    fn from(error: crate::storage::StoreError) -> Self {
        Self::Barrier(error.into())
    }
}

impl Keeper {
    pub(super) fn new(store: Arc<dyn Store>, committer: Arc<Committer>, bell: Arc<Bell>, configured: Configured) -> Self {
        Self { store, committer, bell, announced: None, configured, compared: false }
    }

    /// Runs until it is aborted.
    pub(super) async fn run(mut self) {
        let mut failures: u32 = 0;
        loop {
            match self.tick().await {
                Ok(()) => failures = 0,
                Err(error) => {
                    tracing::error!(%error, "the stored seal could not be followed; trying again");
                    self.bell.progress.lock().unwrap_or_else(PoisonError::into_inner).problem = error.to_string();
                    failures += 1;
                }
            }
            // Whatever comes first; a bell that rang during the round is heard now.
            let period = PERIOD * 2_u32.pow(failures.min(PAUSE_MAX));
            let _ = tokio::time::timeout(period, self.bell.notify.notified()).await;
        }
    }

    fn walk(&self) -> Walk<'_> {
        Walk { committer: &self.committer, progress: &self.bell.progress }
    }

    async fn tick(&mut self) -> Result<(), KeeperError> {
        let Some(deployment) = self.store.deployment().await? else { return Ok(()) };
        let record = match SealRecord::of(&deployment)? {
            SealRecord::Auto(record) => return self.keep_list(&deployment, &record).await,
            SealRecord::Shamir(record) => record,
        };
        self.follow(deployment.id, &record).await?;
        let Some(next) = &record.next else {
            return if record.sweep { self.sweep(&deployment, record).await } else { self.join(&deployment, &record).await };
        };
        if !next.confirmed && !self.bell.gave_out(next.shares.id) {
            return Ok(());
        }
        let tenants = self.walk().wrap_all().await?;
        if self.store.is_shared() {
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

    /// From shares to the seals of this server, for which they were brought. What is stored says so until the next server, whoever it is.
    async fn join(&mut self, deployment: &Deployment, record: &ShamirRecord) -> Result<(), KeeperError> {
        let Configured { seals, brought, .. } = &self.configured;
        let Some(root) = brought.root.as_ref().filter(|_| !seals.is_empty()) else {
            self.compared = true;
            return Ok(());
        };
        // One that does not open what it wraps would take over from one that does.
        probe(seals).await?;
        let beside = Beside::new(deployment.id, seals, root, (record.shares.clone(), record.number, true)).await?;
        let damaged = || BarrierError::Failed("the root key makes no recovery key".into());
        let next = AutoRecord::joining(seals, record, root, beside).ok_or_else(damaged)?;
        if self.store.replace_seal(&deployment.seal, &SealRecord::Auto(next).bytes()?).await? {
            tracing::info!("the configured seals wrap beside the root key of the shares from now on");
            self.configured.brought.root = None;
        }
        self.bell.ring();
        Ok(())
    }

    /// Writes down what this server lists, unless that is stored already. True when there is nothing to wait for.
    async fn compare(&mut self, deployment: &Deployment, record: &AutoRecord) -> Result<bool, KeeperError> {
        let Configured { seals, shares, brought } = &self.configured;
        let next = if seals.is_empty() {
            Some(SealRecord::Shamir(record.shares_alone()?))
        } else if record.beside.is_some() && !shares {
            if record.unfinished {
                // Every key is to be wrapped by the seals before the shares are dropped.
                return Ok(true);
            }
            // The shares would open no more, and these nothing.
            probe(seals).await?;
            Some(SealRecord::Auto(record.beside(None)))
        } else {
            // What the recovery key or the shares open cannot be lost by a change.
            let any = brought.recovery.is_some() || record.beside.as_ref().is_some_and(|beside| beside.whole);
            match record.change(seals, any)? {
                None => None,
                Some(mut next) => {
                    if let Some(beside) = &record.beside {
                        next.beside = Some(beside.by(deployment.id, seals).await?);
                    }
                    Some(SealRecord::Auto(next))
                }
            }
        };
        // Another server may have come first: then its list is compared.
        self.compared = match &next {
            None => true,
            Some(next) => self.store.replace_seal(&deployment.seal, &next.bytes()?).await?,
        };
        self.bell.ring();
        Ok(false)
    }

    /// Has every tenant wrapped by the list of seals that was started with last.
    async fn keep_list(&mut self, deployment: &Deployment, record: &AutoRecord) -> Result<(), KeeperError> {
        if !self.compared && !self.compare(deployment, record).await? {
            return Ok(());
        }
        let tenants = self.committer.tenants();
        if tenants.seals().epoch != record.epoch {
            let list = record.wrapping(&self.configured.seals).ok_or(KeeperError::OtherSeals)?;
            let mut list = record.complete(deployment.id, list, &tenants.seals().list).await?;
            if let Some(recovery) = &self.configured.brought.recovery
                && let Some(closed) = list.iter_mut().find(|seal| seal.name() == recovery.name())
            {
                *closed = Arc::clone(recovery);
            }
            tenants.set_seals(Seals { epoch: record.epoch, list });
        }
        self.announce(record.epoch).await?;
        let seals = self.committer.tenants().seals();
        // Nobody else asks those that are away, as long as others open.
        for seal in seals.list.iter().filter(|seal| !seal.is_well()) {
            let _ = probe(std::slice::from_ref(seal)).await;
        }
        let incomplete = self.walk().incomplete().await?;
        // A new recovery key takes over once its shares are in people's hands, as a new root key does.
        let taking_over = record.next_recovery().is_some_and(|(next, confirmed)| confirmed || self.bell.gave_out(next.id));
        if !record.unfinished && incomplete.is_none() && !taking_over {
            return Ok(());
        }
        // One that does not wrap would be asked once for every tenant.
        probe(&seals.list).await?;
        let tenants = self.walk().wrap_all().await?;
        if let Some(incomplete) = incomplete {
            self.walk().completed(incomplete).await?;
        }
        if taking_over {
            let next = SealRecord::Auto(record.recovery_taken_over());
            if self.store.replace_seal(&deployment.seal, &next.bytes()?).await? {
                tracing::info!(tenants, "the new recovery key has taken over: shares of the old one are good for nothing more");
            }
            self.bell.ring();
            return Ok(());
        }
        if record.unfinished && !self.store.replace_seal(&deployment.seal, &SealRecord::Auto(record.finished()).bytes()?).await? {
            return Ok(());
        }
        tracing::info!(tenants, "every key is wrapped by the configured seals, and by no other");
        Ok(())
    }

    /// Takes the seals of the record into use, and says so to all servers.
    async fn follow(&mut self, deployment: DeploymentId, record: &ShamirRecord) -> Result<(), KeeperError> {
        let tenants = self.committer.tenants();
        let seals = tenants.seals();
        if seals.epoch != record.epoch {
            tenants.set_seals(record.derived(deployment, &seals.list).await.ok_or(KeeperError::LeftBehind)?);
        }
        self.announce(record.epoch).await
    }

    async fn announce(&mut self, epoch: u32) -> Result<(), KeeperError> {
        if epoch > 0 && self.announced != Some(epoch) {
            self.walk().announce(epoch).await?;
            self.announced = Some(epoch);
        }
        Ok(())
    }

    /// Removes the wraps of the root key before.
    async fn sweep(&self, deployment: &Deployment, record: ShamirRecord) -> Result<(), KeeperError> {
        let tenants = self.walk().wrap_all().await?;
        let swept = SealRecord::Shamir(ShamirRecord { sweep: false, ..record });
        self.store.replace_seal(&deployment.seal, &swept.bytes()?).await?;
        tracing::info!(tenants, "nothing is wrapped by the old root key any more");
        Ok(())
    }
}
