//! The archive of the audit log: a job that copies what is signed of every log into object storage, as segments that prove
//! themselves; takes out of the database what is there and was verified; and deletes what is past its retention.
//!
//! It follows the logs from behind, so no request waits for it. One server does it, by its lease; each step can be done twice, by one
//! server after a crash or by two when one of them was stopped in the middle: objects are named by the events that they have, and what the store remembers of them is only added to. A segment
//! is read back and held against the signed tree before it counts, and once more before anything is pruned. Indexes and sizes
//! count events, `seq` numbers rows.

mod erase;
mod prune;
mod read;
mod retain;
mod segment;
mod write;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::committer::{Attempt, Committer};
use super::family::Family;
use super::lease::Held;
use super::tenant::Tenant;
use super::tenants::Tenants;
use super::txn::Txn;
use crate::answer::{Answer, Refusal};
use crate::archive::{Archive, ArchiveError};
use crate::audit::note::LogKey;
use crate::id::TenantId;
use crate::metrics;
use crate::storage::{Fence, LeaseName, StoreError};
use crate::time::Timestamp;

use retain::Expiring;

pub use read::Segments;
pub use retain::ArchiveSettings;

/// Between two looks at how far behind the archive is.
const TICK: Duration = Duration::from_secs(5);
/// After a round in which something failed, unless the next one is due before that.
const PAUSE: Duration = Duration::from_mins(1);

/// Why something was not archived, pruned or deleted now. It is tried again in the next round.
#[derive(Debug, thiserror::Error)]
enum Fault {
    /// The object storage.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Reading or committing.
    #[error("{0:?}")]
    Refused(Refusal),
    /// What is in the archive is not what was written there, or not what is in the database.
    #[error("events {0} to {1}: {2}")]
    Unproven(u64, u64, String),
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// The archiver of one server.
pub struct Archiver {
    committer: Arc<Committer>,
    archive: Arc<Archive>,
    family: Family,
    expiring: HashMap<TenantId, Expiring>,
    /// What it is done under, where there may be other servers.
    held: Option<Held>,
}

/// What a round works with.
struct Round<'a> {
    archive: &'a Archive,
    /// What all logs are signed with, under the name of one of them.
    key: LogKey,
    /// Events that were not in the archive when they were looked at.
    behind: u64,
    failed: bool,
}

impl Archiver {
    /// Archives logs of the tenants of `committer`.
    pub fn new(committer: Arc<Committer>, archive: Arc<Archive>) -> Self {
        Self { committer, archive, family: Family::default(), expiring: HashMap::new(), held: None }
    }

    fn tenants(&self) -> &Arc<Tenants> {
        self.committer.tenants()
    }

    /// What a change is made under. Asked before each step, so that not much of what another server does by now is done twice.
    fn under(&self) -> Result<Option<Fence>, Fault> {
        match &self.held {
            Some(held) if !held.is_valid() => Err(Fault::Store(StoreError::Fenced(LeaseName::Archive))),
            held => Ok(held.as_ref().map(Held::fence)),
        }
    }

    /// Rounds whenever this server has the lease.
    pub async fn run(mut self) {
        let leases = Arc::clone(self.tenants().leases());
        let mut changes = leases.changes();
        loop {
            self.held = leases.held(LeaseName::Archive);
            if self.held.is_some() {
                self.rounds().await;
                // Another server tells how far the archive is.
                metrics::archive_lags(Duration::ZERO);
                metrics::archive_behind(0);
            } else {
                let _ = tokio::time::timeout(TICK, changes.changed()).await;
            }
        }
    }

    /// Rounds as long as this server has the lease. How far behind the archive is is told while a round hangs, too.
    async fn rounds(&mut self) {
        let mut whole = self.tenants().clock().now();
        let clock = Arc::clone(self.tenants());
        let tell = |whole: Timestamp| metrics::archive_lags(clock.clock().now().since(whole));
        loop {
            let began = clock.clock().now();
            let (archive, mut ticks) = (Arc::clone(&self.archive), tokio::time::interval(TICK));
            let done = {
                let round = self.round();
                tokio::pin!(round);
                loop {
                    tokio::select! {
                        done = &mut round => break done,
                        _ = ticks.tick() => tell(whole),
                    }
                }
            };
            let mut wait = archive.interval;
            if done {
                whole = began;
            } else {
                wait = wait.min(PAUSE);
            }
            let next = tokio::time::sleep(wait);
            tokio::pin!(next);
            loop {
                tokio::select! {
                    () = &mut next => break,
                    _ = ticks.tick() => tell(whole),
                }
                if self.under().is_err() {
                    return;
                }
            }
            if self.under().is_err() {
                return;
            }
        }
    }

    /// Looks at every log once. True when all that is signed is in the archive, and nothing failed.
    async fn round(&mut self) -> bool {
        let key = match self.key().await {
            Ok(Some(key)) => key,
            // Nothing is signed yet.
            Ok(None) => return true,
            Err(refusal) => {
                tracing::warn!(?refusal, "the key of the audit logs was not read; archiving later");
                return false;
            }
        };
        let archive = Arc::clone(&self.archive);
        let mut round = Round { archive: &archive, key, behind: 0, failed: false };
        if let Err(fault) = self.erase(&round).await {
            complain(&mut round, None, &fault);
        }
        let mut waiting = vec![self.tenants().edge().id(), self.tenants().root().id()];
        while let Some(id) = waiting.pop() {
            if self.under().is_err() {
                return false;
            }
            match self.visit(id, &mut round).await {
                Ok(children) => waiting.extend(children),
                // Its events wait until it is unsealed; those of its children, too.
                Err(Fault::Refused(Refusal::NamespaceSealed)) => {}
                Err(fault) => complain(&mut round, Some(id), &fault),
            }
        }
        metrics::archive_behind(round.behind);
        !round.failed
    }

    /// The public key that logs are signed with, under the name of the root's.
    async fn key(&self) -> Result<Option<LogKey>, Refusal> {
        let step = Arc::new(ReadKey(Mutex::default()));
        self.committer.run_under(self.held.as_ref(), Arc::clone(&step) as Arc<dyn Attempt>).await?;
        Ok(step.0.lock().unwrap_or_else(PoisonError::into_inner).take())
    }

    /// All that is to be done for one tenant. Returns its children.
    async fn visit(&mut self, id: TenantId, round: &mut Round<'_>) -> Result<Vec<TenantId>, Fault> {
        let tenants = Arc::clone(self.tenants());
        let standing = tenants.standing(&[id]).await?.pop();
        let Some(tail) = standing.filter(|standing| !standing.gone).and_then(|standing| standing.tail) else {
            self.family.forget(id);
            self.expiring.remove(&id);
            return Ok(Vec::new());
        };
        let children = self.family.children(&tenants, id, tail.seq).await?;
        let done = match self.write(id, round).await {
            Ok(()) => self.prune(id, round).await,
            Err(fault) => Err(fault),
        };
        let done = match done {
            Ok(()) => self.expire((id, tail.seq), round).await,
            Err(fault) => Err(fault),
        };
        let archived = tenants.store().archived(id, 0..=u64::MAX, true, 1).await?.pop();
        round.behind += tail.size().saturating_sub(archived.map_or(0, |archived| archived.size));
        if let Err(fault) = done {
            // Its children are archived all the same.
            complain(round, Some(id), &fault);
        }
        Ok(children)
    }

    async fn opened(&mut self, id: TenantId) -> Result<Option<Arc<Tenant>>, Refusal> {
        let tenants = Arc::clone(self.tenants());
        self.family.opened(&tenants, id).await
    }
}

fn complain(round: &mut Round<'_>, tenant: Option<TenantId>, fault: &Fault) {
    round.failed = true;
    metrics::archive_failed();
    if let Some(tenant) = tenant {
        tracing::error!(%fault, %tenant, "a log was not archived, or not pruned; trying again");
    } else {
        tracing::error!(%fault, "what was archived of an erased tenant was not deleted; trying again");
    }
}

/// Reads the public key, and leaves no event.
struct ReadKey(Mutex<Option<LogKey>>);

#[async_trait]
impl Attempt for ReadKey {
    async fn attempt(&self, txn: &mut Txn) -> Result<Answer, Refusal> {
        let root = txn.tenants().root();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = txn.log_key(&root).await?;
        Ok(Answer::Empty)
    }
}

#[cfg(test)]
mod tests;
