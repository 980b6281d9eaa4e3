//! One group: lock, bring up to date, check what was read, run again what is stale, apply, answer.

use std::collections::{BTreeMap, HashMap};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt as _;
use tokio::sync::oneshot;

use super::apply::{Accepted, Failure};
use super::collected::{Commit, Prepared, Reads};
use super::committer::{Attempt, Fate};
use super::faults::store_refusal;
use super::log::{Head, SealedEvents};
use super::overlay::Overlay;
use super::queue::Queue;
use super::tenant::Tenant;
use super::tenants::Tenants;
use super::txn::Txn;
use super::work::Work;
use crate::answer::{Answer, Refusal};
use crate::audit::batch::BatchEncoder;
use crate::audit::changed;
use crate::id::TenantId;
use crate::metrics;
use crate::storage::{Feed, Fence, Group, Known, StoreError, TenantState};
use crate::time::Timestamp;

/// How often one commit may be put into another group.
const TRIES_MAX: u8 = 8;

/// What is told when a group was not committed; and when nobody knows whether it was.
pub(super) const NOT_DONE: &str = "storage is unavailable; nothing was changed";
pub(super) const NOT_KNOWN: &str =
    "storage was lost while the change was on its way: it may or may not be there; read before you write again";

/// A commit that waits for its group.
pub(super) struct Item {
    pub(super) attempt: Arc<dyn Attempt>,
    pub(super) commit: Commit,
    pub(super) outcome: Result<Answer, Refusal>,
    pub(super) done: oneshot::Sender<Result<Answer, Refusal>>,
    pub(super) tries: u8,
    pub(super) work: Arc<Work>,
    /// What it is committed under, if one server does it at a time.
    pub(super) under: Option<Fence>,
    /// Whether it is in a group.
    pub(super) fate: Arc<Fate>,
}

impl Item {
    /// Decides anew. A panic costs this request only: the task that commits for everybody goes on.
    async fn decide(&mut self, mut txn: Txn) {
        metrics::decided_again();
        let decided = AssertUnwindSafe(self.attempt.attempt(&mut txn)).catch_unwind().await;
        (self.commit, self.outcome) = match decided {
            Ok(outcome) => (txn.into_commit(), outcome),
            Err(_panic) => (Commit::default(), Err(Refusal::panicked())),
        };
    }

    pub(super) fn answer(self) {
        // Nobody waits any more when the client has gone.
        let _ = self.done.send(self.outcome);
    }

    fn refuse(self, refusal: Refusal) {
        let _ = self.done.send(Err(refusal));
    }
}

/// Commits groups one after the other.
pub(super) struct Groups {
    pub(super) tenants: Arc<Tenants>,
    pub(super) queue: Arc<Queue<Item>>,
    encoder: BatchEncoder,
}

/// Tenants that a group reads or writes, in the order in which they are locked.
pub(super) type Involved = BTreeMap<TenantId, Stake>;

/// What a group needs of a tenant.
pub(super) struct Stake {
    tenant: Arc<Tenant>,
    pub(super) locked: bool,
}

impl Stake {
    /// Whether it is this tenant object, and locked if it has to be.
    pub(super) fn serves(&self, tenant: &Arc<Tenant>, locked: bool) -> bool {
        (self.locked || !locked) && Arc::ptr_eq(&self.tenant, tenant)
    }
}

impl Groups {
    pub(super) fn new(tenants: Arc<Tenants>, queue: Arc<Queue<Item>>, encoder: BatchEncoder) -> Self {
        Self { tenants, queue, encoder }
    }

    /// Commits `items` in one transaction and answers them. A group that the database refuses is split, so that a
    /// culprit fails alone. Returns what has to go into another group.
    pub(super) async fn commit(&mut self, items: Vec<Item>) -> Vec<Item> {
        self.tenants.reload_fixed().await;
        let mut again = Vec::new();
        let mut groups = vec![items];
        while let Some(items) = groups.pop() {
            let items = self.decide_anew(items).await;
            match self.commit_one(items, &mut again).await {
                Ok(()) => {}
                Err((items, Failure::Store(StoreError::Unavailable(cause)))) => {
                    metrics::group_failed(items.len());
                    tracing::warn!(%cause, requests = items.len(), "the group was not committed");
                    refuse_all(items, NOT_DONE);
                }
                Err((items, Failure::Undecided)) => {
                    metrics::group_failed(items.len());
                    refuse_all(items, NOT_KNOWN);
                }
                Err((items, error @ (Failure::Store(StoreError::Conflict(_)) | Failure::NotCommitted))) => {
                    tracing::warn!(%error, requests = items.len(), "the group runs again");
                    for item in items {
                        retry(item, &mut again);
                    }
                }
                Err((mut items, error)) if items.len() > 1 => {
                    tracing::error!(%error, requests = items.len(), "the group was refused and is split");
                    for item in &mut items {
                        item.tries += 1;
                    }
                    let second = items.split_off(items.len() / 2);
                    groups.extend([second, items]);
                }
                Err((items, error)) => {
                    metrics::group_failed(items.len());
                    for item in items {
                        tracing::error!(%error, "a commit was refused by the database");
                        item.refuse(Refusal::Internal("the database refused the change".into()));
                    }
                }
            }
        }
        again
    }

    /// Commits that were in a group before are decided again from the start: nothing of the last time is kept.
    async fn decide_anew(&self, items: Vec<Item>) -> Vec<Item> {
        let mut decided = Vec::with_capacity(items.len());
        for mut item in items {
            if item.tries > 0 {
                item.decide(Txn::new(Arc::clone(&self.tenants), self.tenants.clock().now(), None, Arc::clone(&item.work))).await;
                if item.commit.events.is_empty() {
                    item.answer();
                    continue;
                }
            }
            decided.push(item);
        }
        decided
    }

    async fn commit_one(&mut self, items: Vec<Item>, again: &mut Vec<Item>) -> Result<(), (Vec<Item>, Failure)> {
        let since = Instant::now();
        let (items, involved) = self.involved(items, again);
        if items.is_empty() {
            return Ok(());
        }
        let sealed = match self.seal(&items) {
            Ok(sealed) => sealed,
            Err(error) => return Err((items, error)),
        };
        let known = known(&items, &involved);
        let mut group = match self.tenants.store().begin(&known).await {
            Ok(group) => group,
            Err(error) => return Err((items, error.into())),
        };
        self.follow(group.as_ref(), involved.values().map(|stake| &stake.tenant));
        let closed = items.len();
        let items = self.join(items, &involved, again);
        let joined = items.len();
        let items = refuse_fenced(group.as_mut(), items).await?;
        let others_are_in_it = joined > closed || items.len() < joined;
        let mut accepted = self.accept(items, &involved, group.now(), again).await;
        accepted.rerun |= others_are_in_it;
        self.apply(group, accepted, sealed, since).await
    }

    /// Brings loaded tenants up to what other servers have committed, without a group of their own.
    pub(super) async fn catch_up(&self, tenants: &[Arc<Tenant>]) -> Result<(), Refusal> {
        let known = |tenant: &Arc<Tenant>| Known::watched(tenant.id(), tenant.position());
        let known: Vec<Known> = tenants.iter().filter(|tenant| self.tenants.is_loaded(tenant)).map(known).collect();
        if known.is_empty() {
            return Ok(());
        }
        let group = self.tenants.store().begin(&known).await.map_err(|error| store_refusal(&error))?;
        self.follow(group.as_ref(), tenants.iter().filter(|tenant| self.tenants.is_loaded(tenant)));
        group.rollback().await;
        Ok(())
    }

    /// The tenants of the group. A commit that used a tenant object which is no longer the loaded one (its keys were
    /// refreshed or dropped) is decided anew.
    fn involved(&self, items: Vec<Item>, again: &mut Vec<Item>) -> (Vec<Item>, Involved) {
        let mut involved = Involved::new();
        let mut kept = Vec::with_capacity(items.len());
        for item in items {
            let stakes: Vec<(&Arc<Tenant>, bool)> = stakes(&item).collect();
            let known = |tenant: &Arc<Tenant>| involved.get(&tenant.id()).is_some_and(|stake| Arc::ptr_eq(&stake.tenant, tenant));
            if !stakes.iter().all(|(tenant, _)| known(tenant) || self.tenants.is_loaded(tenant)) {
                retry(item, again);
                continue;
            }
            for (tenant, locked) in stakes {
                let stake = involved.entry(tenant.id()).or_insert_with(|| Stake { tenant: Arc::clone(tenant), locked });
                stake.locked |= locked;
            }
            kept.push(item);
        }
        (kept, involved)
    }

    /// Compresses and seals the events of each tenant, before any lock is taken.
    pub(super) fn seal(&mut self, items: &[Item]) -> Result<HashMap<TenantId, SealedEvents>, Failure> {
        let mut events: HashMap<TenantId, (&Arc<Tenant>, Vec<&Prepared>)> = HashMap::new();
        for (tenant, event) in items.iter().flat_map(|item| &item.commit.events) {
            events.entry(tenant.id()).or_insert_with(|| (tenant, Vec::new())).1.push(event);
        }
        let mut sealed = HashMap::with_capacity(events.len());
        for (id, (tenant, events)) in events {
            let batch = SealedEvents::new(tenant.keyring(), &mut self.encoder, events.iter().copied());
            sealed.insert(id, batch?);
        }
        Ok(sealed)
    }

    /// Brings every tenant of the group up to what other servers have committed.
    fn follow<'t>(&self, group: &dyn Group, involved: impl Iterator<Item = &'t Arc<Tenant>>) {
        for tenant in involved {
            let feed = group.feed(tenant.id());
            if feed.state.is_none_or(|state| state == TenantState::Erasing) {
                self.tenants.forget(tenant.id());
            }
            if feed.seq() == tenant.position() {
                continue;
            }
            let Some(next) = feed.tail.as_ref().and_then(|tail| Head::of(tenant.id(), tail).ok()) else { continue };
            // One that went back was put back, or the database has lost commits: nothing that is known of it counts.
            let behind = feed.seq() < tenant.position();
            let chained = !behind && feed.complete && feed.changed.first().is_none_or(|row| row.prev_root == tenant.head().root);
            let changed = chained.then(|| changed_keys(feed));
            if changed.as_deref().is_none_or(|changed| tenant.keys_changed(changed)) {
                // Another server changed its keys, or may have: what is loaded may not open what is stored.
                self.tenants.forget(tenant.id());
            }
            tenant.follow(next, changed.as_deref());
        }
    }

    /// Takes every commit whose reads are current, in arrival order; runs the others again on top of what was taken.
    async fn accept(&self, items: Vec<Item>, involved: &Involved, clock: Timestamp, again: &mut Vec<Item>) -> Accepted {
        let overlay = Overlay::default();
        let mut accepted = Accepted { items: Vec::with_capacity(items.len()), rerun: false };
        let dropped: Vec<TenantId> =
            involved.values().filter(|stake| !self.tenants.is_loaded(&stake.tenant)).map(|stake| stake.tenant.id()).collect();
        for mut item in items {
            if !dropped.is_empty() && stakes(&item).any(|(tenant, _)| dropped.contains(&tenant.id())) {
                // Its event is among those sealed before, and must not be logged with this group, too.
                accepted.rerun = true;
                retry(item, again);
                continue;
            }
            let now = latest(clock, &item.commit);
            if !current(&item.commit, &overlay, now) {
                accepted.rerun = true;
                item.decide(Txn::new(Arc::clone(&self.tenants), now, Some(overlay.clone()), Arc::clone(&item.work))).await;
                if item.commit.events.is_empty() {
                    item.answer();
                    continue;
                }
                // It went another way this time, through tenants that this group has not locked; or read one that is only
                // watched, which may have moved on since the feed. The next group locks all that it needs.
                let held = |tenant: &Arc<Tenant>| involved.get(&tenant.id()).is_some_and(|stake| stake.serves(tenant, true));
                if !stakes(&item).all(|(tenant, _)| held(tenant)) || !item.commit.structural.is_empty() {
                    retry(item, again);
                    continue;
                }
            }
            overlay.add(&item.commit.writes);
            accepted.items.push(item);
        }
        accepted
    }
}

/// The tenants of a commit, and whether each must be locked.
///
/// Tenants whose log takes an event are. Others that were only read (the ancestors of a namespace, where the caller's
/// token may live) are locked too when the commit makes something lasting, and else only watched. A commit that makes
/// nothing lasting is as if it had happened at the one moment of the feed's snapshot: all it read was current then, its
/// own tenant stays as it was until COMMIT, and what others do to an ancestor after that moment is after it in history,
/// as both were under way at once. A commit that writes must not be so: its write would appear after, say, the
/// revocation of the token that it was made with, and whoever saw the one and then the other saw a forbidden order.
/// A commit that comes a second time locks everything, so that it cannot miss its ancestors again and again.
pub(super) fn stakes(item: &Item) -> impl Iterator<Item = (&Arc<Tenant>, bool)> {
    let commit = &item.commit;
    let lasting = !commit.writes.is_empty() || !commit.structural.is_empty() || item.tries > 0;
    let read = commit.reads.iter().map(move |reads| (&reads.tenant, lasting));
    let told = commit.events.iter().map(|(tenant, _)| (tenant, true));
    read.chain(told).chain(commit.writes.iter().map(|write| (&write.tenant, true)))
}

fn known(items: &[Item], involved: &Involved) -> Vec<Known> {
    let known = involved.values().map(|Stake { tenant, locked }| (tenant.id(), tenant.position(), *locked));
    let mut known: Vec<Known> = known.map(|(tenant, seq, locked)| Known { tenant, seq, locked }).collect();
    for change in items.iter().flat_map(|item| &item.commit.structural) {
        match known.iter_mut().find(|known| known.tenant == change.tenant()) {
            Some(known) => known.locked = true,
            None => known.push(Known::locked(change.tenant(), 0)),
        }
    }
    known
}

fn changed_keys(feed: &Feed) -> Vec<(u64, [u8; 32])> {
    let keys = feed.changed.iter().flat_map(|row| changed::keys(&row.changed).iter().map(|key| (row.seq, *key)));
    keys.collect()
}

/// The time that expiry is judged by: the database's clock, and never before the tenant's last event.
fn latest(now: Timestamp, commit: &Commit) -> Timestamp {
    commit.events.iter().map(|(tenant, _)| tenant.time()).fold(now, Timestamp::max)
}

/// Whether everything that the commit depended on still holds.
fn current(commit: &Commit, overlay: &Overlay, now: Timestamp) -> bool {
    if commit.valid_until.is_some_and(|until| until <= now) {
        return false;
    }
    let untouched = overlay.is_empty();
    commit.reads.iter().all(|Reads { tenant, oldest, keys }| {
        let known = untouched || !keys.iter().any(|(key, _)| overlay.touches(tenant.id(), *key));
        known && (tenant.position() <= *oldest || !keys.iter().any(|(key, position)| tenant.changed_after(key, *position)))
    })
}

/// Refuses what was to be done under a lease that another server has by now. The other leases stay as they are until the group ends.
async fn refuse_fenced(group: &mut dyn Group, items: Vec<Item>) -> Result<Vec<Item>, (Vec<Item>, Failure)> {
    let (mut held, mut lost): (Vec<Fence>, Vec<Fence>) = (Vec::new(), Vec::new());
    for fence in items.iter().filter_map(|item| item.under) {
        if held.contains(&fence) || lost.contains(&fence) {
            continue;
        }
        match group.holds(fence).await {
            Ok(true) => held.push(fence),
            Ok(false) => lost.push(fence),
            Err(error) => return Err((items, error.into())),
        }
    }
    let (refused, kept): (Vec<Item>, Vec<Item>) =
        items.into_iter().partition(|item| item.under.is_some_and(|fence| lost.contains(&fence)));
    for item in refused {
        item.refuse(Refusal::Unavailable("another server does this now".into()));
    }
    Ok(kept)
}

fn refuse_all(items: Vec<Item>, text: &str) {
    for item in items {
        item.refuse(Refusal::Unavailable(text.to_owned()));
    }
}

/// Puts a commit into the next group, to be decided anew there, as long as it has tries left.
fn retry(mut item: Item, again: &mut Vec<Item>) {
    item.tries += 1;
    if item.tries > TRIES_MAX {
        item.refuse(Refusal::Unavailable("what the request depends on changes too quickly; try again".into()));
    } else {
        again.push(item);
    }
}
