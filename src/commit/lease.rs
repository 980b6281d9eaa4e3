//! What only one server does at a time: each such job has a lease in the database. A server that is open says every second that it
//! lives, and has by that what no other living server has; who was not heard of for `LAPSE` is not living.
//!
//! Two things keep a server that was stopped in the middle, and goes on, from doing what another one does by now. Its own view:
//! a lease counts for less than `LAPSE` after the server last *began* to say that it lives, by a clock that does not step and goes on in
//! suspension. And the fence: whatever a job commits names its lease and the lease's epoch, which are compared in the same transaction.
//! Only the second is a promise; the first keeps work outside of the database (archives, witnesses) from being done twice.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use super::tenants::{Tenants, Wake};
use crate::id::ReplicaId;
use crate::metrics;
use crate::quota::Buckets;
use crate::storage::{Beat, Census, Fence, LeaseName, Replica, StoreError};
use crate::time::{Clock, Timestamp};

/// Between two words of a server that it lives.
const PAUSE: Duration = Duration::from_secs(1);
/// How long the database may take to hear one.
const WAIT: Duration = Duration::from_secs(2);
/// How long a lease counts after that. Less than `LAPSE`, so that it has ended here before another server takes it.
const VALID: Duration = Duration::from_secs(3);

/// The leases of one server, from its opening to its sealing.
pub struct Leases {
    id: ReplicaId,
    since: Timestamp,
    clock: Arc<dyn Clock>,
    /// There may be other servers.
    is_shared: bool,
    /// Name of the machine, version.
    introduced: OnceLock<(String, &'static str)>,
    asked: AtomicU64,
    buckets: Buckets,
    known: Mutex<Known>,
    changes: watch::Sender<()>,
    bell: Notify,
}

#[derive(Default)]
struct Known {
    census: Census,
    /// When this server began to say what the census answers, by the clock's uptime. None: not yet.
    said: Option<Duration>,
    /// When others were last among the servers.
    others: Option<Duration>,
    is_heard: bool,
}

/// A lease that this server had when it looked.
#[derive(Clone)]
pub struct Held {
    fence: Fence,
    leases: Arc<Leases>,
}

impl Held {
    /// Whether it has it still: to be asked before whatever the fence does not guard.
    pub fn is_valid(&self) -> bool {
        self.leases.held(self.fence.lease).is_some_and(|held| held.fence == self.fence)
    }

    /// What a change names that is made under it.
    pub fn fence(&self) -> Fence {
        self.fence
    }
}

impl Leases {
    pub(super) fn new(clock: Arc<dyn Clock>, is_shared: bool) -> Arc<Self> {
        Arc::new(Self {
            id: ReplicaId::random(),
            since: clock.now(),
            clock,
            is_shared,
            introduced: OnceLock::new(),
            asked: AtomicU64::new(0),
            buckets: Buckets::default(),
            known: Mutex::default(),
            changes: watch::Sender::default(),
            bell: Notify::new(),
        })
    }

    /// Says what others are told of this server. The first word counts.
    pub fn introduce(&self, hostname: String, version: &'static str) {
        self.introduced.get_or_init(|| (hostname, version));
    }

    /// This server.
    pub fn id(&self) -> ReplicaId {
        self.id
    }

    /// When it was opened.
    pub fn since(&self) -> Timestamp {
        self.since
    }

    /// The servers that lived when this one last spoke, itself among them.
    pub fn replicas(&self) -> Vec<Replica> {
        self.known().census.replicas.clone()
    }

    /// The lease, if this server has it now.
    pub fn held(self: &Arc<Self>, name: LeaseName) -> Option<Held> {
        let known = self.known();
        let said = known.said?;
        if self.is_shared && self.clock.uptime() >= said + VALID {
            return None;
        }
        let fence = known.census.leases.iter().find(|fence| fence.lease == name && fence.holder == self.id);
        fence.map(|fence| Held { fence: *fence, leases: Arc::clone(self) })
    }

    /// How often rate limits were used: of each this server has a part, as it agrees with the others whenever it says that it lives.
    pub fn buckets(&self) -> &Buckets {
        &self.buckets
    }

    /// Tells when leases come and go.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Has whoever does the upkeep look at all tokens.
    pub fn ask(&self) {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.bell.notify_one();
    }

    /// Whether there was no other server at any time since `uptime`, as far as this one was told.
    pub(super) fn alone_since(&self, uptime: Duration) -> bool {
        let known = self.known();
        known.said.is_some_and(|said| said >= uptime) && known.others.is_none_or(|others| others < uptime)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn word(&self, api_addr: &str, wants: Vec<LeaseName>) -> Beat {
        let (hostname, version) = self.introduced.get().cloned().unwrap_or_default();
        let (api_addr, version) = (api_addr.to_owned(), version.to_owned());
        let (asked, quotas) = (self.asked.load(Ordering::Relaxed), self.buckets.word(self.clock.uptime()));
        Beat { replica: self.id, api_addr, hostname, version, asked, wants, quotas }
    }

    /// Takes the answer to what was said from `began` on. What the jobs are to do about it, if anything.
    fn heard(&self, began: Duration, census: Census) -> Option<Wake> {
        let mine =
            |census: &Census| -> Vec<Fence> { census.leases.iter().filter(|fence| fence.holder == self.id).copied().collect() };
        let mut known = self.known();
        let (before, after) = (mine(&known.census), mine(&census));
        let asked = |replica: &Replica| known.census.replicas.iter().find(|old| old.id == replica.id).map_or(0, |old| old.asked);
        let others = || census.replicas.iter().filter(|replica| replica.id != self.id);
        let is_asked = known.said.is_some() && others().any(|replica| replica.asked > asked(replica));
        if others().next().is_some() {
            known.others = Some(began);
        }
        metrics::replicas(census.replicas.len());
        if let Some(own) = census.replicas.iter().position(|replica| replica.id == self.id) {
            let words: Vec<&[u8]> = census.replicas.iter().map(|replica| replica.quotas.as_slice()).collect();
            if self.buckets.heard(&words, own) {
                self.bell.notify_one();
            }
        }
        (known.census, known.said, known.is_heard) = (census, Some(began), true);
        drop(known);
        if before == after {
            return is_asked.then_some(Wake::Everything);
        }
        for fence in before.iter().filter(|fence| !after.contains(fence)) {
            tracing::info!(lease = fence.lease.word(), "another server has the lease now");
            metrics::lease_lost(fence.lease.word());
        }
        for fence in after.iter().filter(|fence| !before.contains(fence)) {
            tracing::info!(lease = fence.lease.word(), epoch = fence.epoch, "this server has the lease now");
            metrics::lease_taken(fence.lease.word());
        }
        self.changes.send_replace(());
        Some(if is_asked { Wake::Everything } else { Wake::Now })
    }

    fn unheard(&self, error: &StoreError) {
        if std::mem::take(&mut self.known().is_heard) {
            tracing::warn!(%error, "the database was not told that this server lives; trying again");
        }
    }
}

impl Tenants {
    /// What only one server does at a time.
    pub fn leases(&self) -> &Arc<Leases> {
        &self.leases
    }

    /// Says that this server lives, every second. Where there can be no other, once.
    pub async fn keep_leases(self: Arc<Self>) {
        loop {
            if self.say_that_it_lives().await && !self.store().is_shared() {
                return;
            }
            let _ = tokio::time::timeout(PAUSE, self.leases.bell.notified()).await;
        }
    }

    /// Says it once. False when the database did not hear it.
    pub async fn say_that_it_lives(&self) -> bool {
        // A server without an archive must not keep those that have one from it.
        let has_work = |lease: &LeaseName| match lease {
            LeaseName::Upkeep | LeaseName::Checkpoint => true,
            LeaseName::Archive => self.archive.get().is_some(),
            LeaseName::Backup => self.makes_backups(),
        };
        let wants = LeaseName::ALL.into_iter().filter(has_work).collect();
        let (began, word) = (self.clock().uptime(), self.leases.word(self.api_addr(), wants));
        let heard = match tokio::time::timeout(WAIT, self.store().beat(&word)).await {
            Ok(heard) => heard,
            Err(_) => Err(StoreError::Unavailable(crate::storage::Cause::text("it did not answer in time"))),
        };
        match heard {
            Ok(census) => {
                if let Some(wake) = self.leases.heard(began, census) {
                    self.wake_jobs(wake);
                }
                true
            }
            Err(error) => {
                self.leases.unheard(&error);
                false
            }
        }
    }

    /// Gives the leases back: this server stops, or is sealed. Its jobs have ended.
    pub async fn give_leases_back(&self) {
        let left = tokio::time::timeout(WAIT, self.store().leave(self.leases.id)).await;
        if !matches!(left, Ok(Ok(()))) {
            tracing::info!("the leases were not given back; other servers take them within seconds");
        }
        *self.leases.known() = Known::default();
        for name in LeaseName::ALL {
            metrics::lease_lost(name.word());
        }
    }
}

#[cfg(test)]
#[path = "lease_tests.rs"]
mod tests;
