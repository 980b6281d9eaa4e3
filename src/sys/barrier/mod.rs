//! The server's own state: not initialised, sealed, or open. Everything that can be done without an open keyring is here:
//! `sys/init`, `sys/unseal`, `sys/seal-status`, `sys/health`, `sys/leader`.
//!
//! What a request needs while the server is open is one value, [`Open`], that is swapped: after `seal` nothing new finds
//! it, and what was under way is answered before the keys are gone.

mod init;
mod status;
mod unseal;

use std::sync::{Arc, Mutex};

use arc_swap::ArcSwapOption;
use serde::{Deserialize, Serialize};

use crate::commit::{Committer, KeyError, Tenants};
use crate::mount::LeaseTtl;
use crate::seal::shamir::ShareSet;
use crate::seal::{LocalSeal, Seal};
use crate::storage::{Store, StoreError};
use crate::sys::jobs::Jobs;
use crate::time::Clock;

pub use init::{InitRequest, Initialised};
pub use status::{API_VERSION, Health, SealStatus};

/// How the root key of this server is guarded, from its configuration.
pub enum Guard {
    /// A key that is there at start: the server opens itself.
    Auto(Arc<LocalSeal>),
    /// Shares that people bring.
    Shamir,
}

/// The public part of the seal, stored with the deployment.
#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum SealRecord {
    Static,
    Shamir { shares: ShareSet },
}

/// Why the server did not change its state. The texts are for the client.
#[derive(Debug, thiserror::Error)]
pub enum BarrierError {
    /// 400: the input is wrong, or it is not the time for it.
    #[error("{0}")]
    Invalid(String),
    /// 503: the store is away.
    #[error("storage is unavailable: {0}")]
    Store(#[from] StoreError),
    /// The keys in the store do not open with the root key, or the seal is away.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// A flaw, or a damaged store.
    #[error("{0}")]
    Failed(String),
}

/// An open server.
pub struct Open {
    committer: Arc<Committer>,
    jobs: tokio::task::JoinHandle<()>,
}

impl Open {
    /// Takes commits.
    pub fn committer(&self) -> &Committer {
        &self.committer
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.jobs.abort();
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
}

/// The server's state.
pub struct Barrier {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    guard: Guard,
    settings: Settings,
    open: ArcSwapOption<Open>,
    progress: Mutex<unseal::Progress>,
    /// One change of state at a time.
    changing: tokio::sync::Mutex<()>,
}

impl Barrier {
    /// A sealed server on `store`.
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, guard: Guard, settings: Settings) -> Self {
        let progress = Mutex::new(unseal::Progress::default());
        Self { store, clock, guard, settings, open: ArcSwapOption::empty(), progress, changing: tokio::sync::Mutex::new(()) }
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
    pub async fn open_at_start(&self) -> Result<bool, BarrierError> {
        let _alone = self.changing.lock().await;
        let Some(deployment) = self.store.deployment().await? else { return Ok(false) };
        if deployment.dev != self.settings.dev {
            return Err(BarrierError::Failed(if self.settings.dev {
                "this store was made by a production server: start it with --config".into()
            } else {
                "this store was made by `server --dev`: its keys were never guarded, so it is refused in production".into()
            }));
        }
        let Guard::Auto(seal) = &self.guard else { return Ok(false) };
        self.enter(Arc::clone(seal) as Arc<dyn Seal>).await?;
        Ok(true)
    }

    /// Opens the root's keys and starts committing.
    async fn enter(&self, seal: Arc<dyn Seal>) -> Result<Arc<Open>, BarrierError> {
        let tenants =
            Tenants::open(Arc::clone(&self.store), vec![seal], Arc::clone(&self.clock), self.settings.lease_ttl).await?;
        let committer = Arc::new(Committer::start(tenants).map_err(|error| BarrierError::Failed(error.to_string()))?);
        let jobs = tokio::spawn(Jobs::new(Arc::clone(&committer)).run());
        let open = Arc::new(Open { committer, jobs });
        self.open.store(Some(Arc::clone(&open)));
        Ok(open)
    }

    /// Seals the server: when this returns, nothing more is committed. Keys go with the last request that holds them.
    pub async fn seal(&self) {
        let _alone = self.changing.lock().await;
        self.close().await;
    }

    async fn close(&self) {
        self.progress().reset();
        if let Some(open) = self.open.swap(None) {
            open.jobs.abort();
            open.committer.stop().await;
        }
    }
}
