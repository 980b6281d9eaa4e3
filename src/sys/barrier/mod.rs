//! The server's own state: not initialised, sealed, or open. Everything that can be done without an open keyring is here:
//! `sys/init`, `sys/unseal`, `sys/seal-status`, `sys/health`, `sys/leader`.
//!
//! What a request needs while the server is open is one value, [`Open`], that is swapped: after `seal` nothing new finds
//! it, and what was under way is answered before the keys are gone.

mod beside;
mod ceremony;
mod custodian;
mod gathered;
mod generate_root;
mod init;
mod keeper;
mod record;
mod rekey;
mod restoring;
mod seals;
mod status;
mod unseal;
mod walk;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwapOption;

use crate::answer::Refusal;
use crate::archive::Archive;
use crate::commit::{
    Anchors, Archiver, Committer, KeyError, KeyringTimes, Refresher, Seals, Signer, Submitter, Tenants, Witnesses, begin_epochs,
};
use crate::mount::LeaseTtl;
use crate::seal::{Seal, SealError};
use crate::sink::Sinks;
use crate::storage::{Store, StoreError};
use crate::sys::backups::{BackupJob, Making};
use crate::sys::erasure::{Eraser, ErasureSettings};
use crate::sys::host;
use crate::sys::jobs::Jobs;
use crate::time::Clock;

use keeper::Brought;

pub use ceremony::{RekeyRequest, Share, Step, Target};
pub use init::{InitRequest, Initialised};
pub use status::{API_VERSION, Health, Leader, SealStatus};

/// How the root key of this server is guarded, from its configuration.
pub enum Guard {
    /// Seals that need nobody: the server opens itself. At least one.
    Auto(Vec<Arc<dyn Seal>>),
    /// The same, and shares that people hold beside them: either opens. At least one seal.
    Both(Vec<Arc<dyn Seal>>),
    /// Recovery shares that people bring, because the seals before are gone for good; these take over.
    Recovery(Vec<Arc<dyn Seal>>),
    /// Shares that people bring.
    Shamir,
}

impl Guard {
    /// The seals of the configuration that need nobody.
    fn seals(&self) -> &[Arc<dyn Seal>] {
        match self {
            Self::Auto(seals) | Self::Both(seals) | Self::Recovery(seals) => seals,
            Self::Shamir => &[],
        }
    }

    /// Those that open the server, if that is what they are for.
    fn opening(&self) -> Option<&[Arc<dyn Seal>]> {
        match self {
            Self::Auto(seals) | Self::Both(seals) => Some(seals),
            Self::Recovery(_) | Self::Shamir => None,
        }
    }

    /// Whether shares are listed.
    fn lists_shares(&self) -> bool {
        matches!(self, Self::Both(_) | Self::Shamir)
    }
}

/// Why the server did not change its state. The texts are for the client.
#[derive(Debug, thiserror::Error)]
pub enum BarrierError {
    /// 400: the input is wrong, or it is not the time for it.
    #[error("{0}")]
    Invalid(String),
    /// 503: the server is sealed.
    #[error("Vault is sealed")]
    Sealed,
    /// 503: the store is away.
    #[error("storage is unavailable: {0}")]
    Store(#[from] StoreError),
    /// The keys in the store do not open with the root key, or the seal is away.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// 503: a seal does not do what it is asked.
    #[error("kms unavailable: {0}")]
    Seal(SealError),
    /// A flaw, or a damaged store.
    #[error("{0}")]
    Failed(String),
}

impl BarrierError {
    /// What a client is told.
    pub fn refusal(self) -> Refusal {
        match self {
            Self::Invalid(text) => Refusal::Invalid(text),
            Self::Sealed => Refusal::Sealed,
            Self::Store(error) => {
                tracing::warn!(%error, "the store did not answer");
                Refusal::Unavailable("storage is unavailable".into())
            }
            error @ (Self::Seal(_) | Self::Keys(KeyError::Seal(..))) => {
                tracing::warn!(%error, "the seal did not do what it was asked");
                Refusal::Unavailable(error.to_string())
            }
            error @ Self::Keys(KeyError::RolledBack(..) | KeyError::Anchors(_) | KeyError::Unproven(_)) => {
                tracing::error!(%error, "sealed");
                Refusal::Unavailable(error.to_string())
            }
            error => {
                tracing::error!(%error, "the server's state was not changed");
                Refusal::Internal(error.to_string())
            }
        }
    }

    /// Whether it may pass by itself.
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Store(_) => true,
            Self::Seal(error) => error.is_outage(),
            Self::Keys(error) => error.is_outage(),
            _ => false,
        }
    }
}

/// An open server.
pub struct Open {
    committer: Arc<Committer>,
    leases: tokio::task::JoinHandle<()>,
    jobs: tokio::task::JoinHandle<()>,
    signer: tokio::task::JoinHandle<()>,
    keeper: tokio::task::JoinHandle<()>,
    /// What follows the logs from behind: sinks, the archiver, the submission to witnesses.
    feeds: Vec<tokio::task::JoinHandle<()>>,
    refresher: tokio::sync::Mutex<Refresher>,
}

impl Open {
    /// Takes commits.
    pub fn committer(&self) -> &Committer {
        &self.committer
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.leases.abort();
        self.jobs.abort();
        self.signer.abort();
        self.keeper.abort();
        self.feeds.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

/// What the configuration says about a server besides store and seal.
pub struct Settings {
    /// The cluster name that status answers show.
    pub name: String,
    /// Marks what `initialise` makes as a development store.
    pub dev: bool,
    /// How long tokens and leases live.
    pub lease_ttl: LeaseTtl,
    /// Where clients reach this server; empty if that is not configured.
    pub api_addr: String,
    /// How long opened keyrings are used.
    pub keyring_times: KeyringTimes,
    /// Where the audit log is copied to.
    pub sinks: Arc<Sinks>,
    /// Where the audit log is archived.
    pub archive: Option<Arc<Archive>>,
    /// Where backups are kept.
    pub backups: Option<Arc<Making>>,
    /// The list of erased namespaces, and how long backups live.
    pub erasure: ErasureSettings,
    /// Where logs stood when they were signed last.
    pub anchors: Arc<Anchors>,
    /// Who cosigns the log of the deployment.
    pub witnesses: Arc<Witnesses>,
}

/// The server's state.
pub struct Barrier {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    guard: Guard,
    settings: Settings,
    open: ArcSwapOption<Open>,
    /// Nobody has sealed it: when its keys are lost, they are to be opened again.
    wants_open: AtomicBool,
    progress: Mutex<unseal::Progress>,
    rekeys: Mutex<rekey::Rekeys>,
    root_generation: Mutex<Option<generate_root::Attempt>>,
    /// Tells the keeper that there is something to do.
    wake: Arc<keeper::Bell>,
    /// One change of state at a time.
    changing: tokio::sync::Mutex<()>,
}

impl Barrier {
    /// A sealed server on `store`.
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, guard: Guard, settings: Settings) -> Self {
        for seal in guard.seals() {
            crate::metrics::seal_configured(seal.name());
        }
        if guard.lists_shares() {
            crate::metrics::seal_configured("shamir");
        }
        Self {
            store,
            clock,
            guard,
            settings,
            open: ArcSwapOption::empty(),
            wants_open: AtomicBool::new(true),
            progress: Mutex::default(),
            rekeys: Mutex::default(),
            root_generation: Mutex::default(),
            wake: Arc::default(),
            changing: tokio::sync::Mutex::default(),
        }
    }

    /// The open server; none while it is sealed.
    pub fn open(&self) -> Option<Arc<Open>> {
        self.open.load_full()
    }

    /// The clock.
    pub fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// Opens the server at start, if its key is there and the store is initialised. False when it stays sealed.
    /// Without a deployment it tries the seals, so that a wrong one is found before there is something to lose.
    pub async fn open_at_start(&self) -> Result<bool, BarrierError> {
        match self.store.deployment().await? {
            None => self.probe().await?,
            Some(deployment) => restoring::refuse_unfinished(&deployment)?,
        }
        self.open_by_itself().await
    }

    async fn open_by_itself(&self) -> Result<bool, BarrierError> {
        let _alone = self.changing.lock().await;
        if self.open().is_some() {
            return Ok(true);
        }
        let Some(deployment) = self.store.deployment().await? else { return Ok(false) };
        if deployment.dev != self.settings.dev {
            return Err(BarrierError::Failed(if self.settings.dev {
                "this store was made by a production server: start it with --config".into()
            } else {
                "this store was made by `server --dev`: its keys were never guarded, so it is refused in production".into()
            }));
        }
        let Some(seals) = self.guard.opening() else { return Ok(false) };
        let seals = match record::SealRecord::of(&deployment)? {
            record::SealRecord::Auto(record) => {
                record.change(seals, false)?;
                Seals { epoch: record.epoch, list: record.complete(deployment.id, seals.to_vec(), &[]).await? }
            }
            // They take over once people have brought shares.
            record::SealRecord::Shamir(_) => return Ok(false),
        };
        self.enter(seals, Brought::default()).await?;
        Ok(true)
    }

    /// Opens the root's keys and starts committing.
    async fn enter(&self, seals: Seals, brought: Brought) -> Result<Arc<Open>, BarrierError> {
        let tenants = Tenants::open(
            Arc::clone(&self.store),
            seals,
            Arc::clone(&self.clock),
            self.settings.lease_ttl,
            Arc::clone(&self.settings.anchors),
        )
        .await?;
        tenants.announce(&self.settings.api_addr);
        tenants.leases().introduce(host::name(), API_VERSION);
        tenants.set_keyring_times(self.settings.keyring_times);
        tenants.tell(self.settings.sinks.news());
        self.settings.archive.iter().for_each(|archive| tenants.set_archive(Arc::clone(archive)));
        tenants.set_witnesses(Arc::clone(&self.settings.witnesses));
        self.settings.backups.iter().for_each(|making| tenants.set_makes_backups(making.retention));
        let deployment = tenants.deployment();
        let committer = Arc::new(Committer::start(tenants).map_err(|error| BarrierError::Failed(error.to_string()))?);
        if let Err(refusal) = begin_epochs(&committer).await {
            committer.stop().await;
            return Err(BarrierError::Failed(format!("the accepted rollback was not written down: {refusal:?}")));
        }
        let mut eraser = Eraser::new(Arc::clone(&committer), self.settings.erasure.clone());
        eraser.honour().await;
        // What is free is this server's from the beginning; otherwise it is tried again.
        committer.tenants().say_that_it_lives().await;
        let leases = tokio::spawn(Arc::clone(committer.tenants()).keep_leases());
        let jobs = tokio::spawn(Jobs::new(Arc::clone(&committer), eraser).run());
        let signer = tokio::spawn(Signer::new(Arc::clone(&committer)).run());
        let (seals, shares) = (self.guard.seals().to_vec(), self.guard.lists_shares());
        let configured = keeper::Configured { seals, shares, brought };
        let keeper = keeper::Keeper::new(Arc::clone(&self.store), Arc::clone(&committer), Arc::clone(&self.wake), configured);
        let keeper = tokio::spawn(keeper.run());
        let refresher = tokio::sync::Mutex::new(Refresher::new(Arc::clone(committer.tenants())));
        let mut feeds = self.settings.sinks.feed(&committer, deployment);
        let archiver = |archive: &Arc<Archive>| tokio::spawn(Archiver::new(Arc::clone(&committer), Arc::clone(archive)).run());
        feeds.extend(self.settings.archive.as_ref().map(archiver));
        feeds.push(tokio::spawn(Arc::clone(committer.tenants()).keep_caches_small()));
        feeds.push(tokio::spawn(Submitter::new(Arc::clone(committer.tenants()), &self.settings.witnesses).run()));
        feeds.extend(self.settings.backups.as_ref().map(|making| {
            let job = BackupJob::new(Arc::clone(&committer), Arc::clone(&self.store), Arc::clone(making));
            tokio::spawn(job.run())
        }));
        let open = Arc::new(Open { committer, leases, jobs, signer, keeper, feeds, refresher });
        self.open.store(Some(Arc::clone(&open)));
        Ok(open)
    }

    /// Seals the server: when this returns, nothing more is committed. Keys go with the last request that holds them.
    pub async fn seal(&self) {
        self.wants_open.store(false, Ordering::Release);
        let _alone = self.changing.lock().await;
        self.close().await;
    }

    async fn close(&self) {
        self.progress().reset();
        self.forget_ceremonies();
        if let Some(open) = self.open.swap(None) {
            open.jobs.abort();
            open.signer.abort();
            open.keeper.abort();
            open.feeds.iter().for_each(tokio::task::JoinHandle::abort);
            open.leases.abort();
            open.committer.stop().await;
            open.committer.tenants().give_leases_back().await;
        }
    }
}
