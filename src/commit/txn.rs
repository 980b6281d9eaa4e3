//! One request's view of its tenants, and what it collects.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::collected::{Commit, Item, Notes, Prepared, Reads, Write};
use super::opening::{damaged, decode};
use super::overlay::Overlay;
use super::tenant::Tenant;
use super::tenants::{Tenants, Wake};
use super::work::Work;
use crate::answer::Refusal;
use crate::audit::event::{self, Event};
use crate::id::{ObjectId, TenantId};
use crate::mount::LeaseTtl;
use crate::namespace::{Namespace, OwnSeal};
use crate::record::{Address, DirKey, Kind, Listing, Record, RecordKey};
use crate::storage::{Structural, TenantState};
use crate::time::Timestamp;

/// A record that was found.
pub struct Found<R> {
    /// Its payload.
    pub value: Arc<R>,
    /// Which object it is.
    pub object: ObjectId,
    /// How often it was written.
    pub version: u64,
}

/// One request's transaction: reads are remembered, writes are sealed and collected, nothing is stored here.
pub struct Txn {
    pub(super) tenants: Arc<Tenants>,
    now: Timestamp,
    pub(super) overlay: Option<Overlay>,
    pub(super) collected: Commit,
    pub(super) work: Arc<Work>,
    seen: Vec<Seen>,
    notes: Notes,
    items: Vec<Item>,
    /// Writes below this mark stay when the request is refused.
    guard: usize,
    /// How often it has asked the store for a record.
    pub(super) asked: usize,
}

/// What became of a record that seemed to be past its expiry.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Swept {
    /// It was, and is removed.
    Removed,
    /// It is not there any more, or was renewed.
    Current,
    /// It does not open as the row says: nothing was done.
    Damaged,
}

/// What was found at a key: kept so that a later write continues the object.
struct Seen {
    tenant: TenantId,
    key: RecordKey,
    found: Option<(ObjectId, u64)>,
}

impl Txn {
    /// `work` is the same at every attempt of one request.
    pub(super) fn new(tenants: Arc<Tenants>, now: Timestamp, overlay: Option<Overlay>, work: Arc<Work>) -> Self {
        let (collected, notes) = (Commit::default(), Notes::default());
        Self { tenants, now, overlay, collected, work, seen: Vec::new(), notes, items: Vec::new(), guard: 0, asked: 0 }
    }

    /// The time of this attempt.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// The default and longest TTL of the server.
    pub fn lease_ttl(&self) -> LeaseTtl {
        self.tenants.lease_ttl()
    }

    /// The loaded tenants.
    pub fn tenants(&self) -> &Arc<Tenants> {
        &self.tenants
    }

    /// Reads a record; its own writes included. One past its expiry is absent.
    pub async fn read<R: Record>(&mut self, tenant: &Arc<Tenant>, address: &Address) -> Result<Option<Found<R>>, Refusal> {
        let key = tenant.keyring().record_key(address);
        let Some(entry) = self.entry(tenant, key).await? else {
            self.see(tenant, key, None);
            return Ok(None);
        };
        let found = decode::<R>(tenant, address, key, &entry)?;
        self.see(tenant, key, Some((found.object, found.version)));
        Ok(Some(found))
    }

    /// Whether there is a record, without opening it.
    pub async fn exists(&mut self, tenant: &Arc<Tenant>, address: &Address) -> Result<bool, Refusal> {
        let key = tenant.keyring().record_key(address);
        Ok(self.entry(tenant, key).await?.is_some())
    }

    /// Whether a row is at an address that says of itself that it has expired. Nobody has opened it yet: the job of expiry
    /// does, and removes it if that is true.
    pub async fn awaits_expiry(&mut self, tenant: &Arc<Tenant>, address: &Address) -> Result<bool, Refusal> {
        let key = tenant.keyring().record_key(address);
        let entry = self.stored(tenant, key).await?;
        Ok(entry.row.as_ref().and_then(|row| row.expires_at).is_some_and(|at| at <= self.now))
    }

    /// Writes a record. It continues the object that was read at this address in this transaction; otherwise it is a
    /// new object.
    pub async fn put<R: Record>(
        &mut self,
        tenant: &Arc<Tenant>,
        address: &Address,
        value: &R,
        expires_at: Option<Timestamp>,
    ) -> Result<(), Refusal> {
        self.note_past(tenant, address, Some((value, expires_at))).await?;
        self.put_payload(tenant, address, R::LISTING, &value.encode(), expires_at);
        if R::LISTING == Listing::Tree {
            self.mark_directories(tenant, address).await?;
        }
        Ok(())
    }

    /// Removes a record; nothing happens when it is not there. Directories of a tree that become empty vanish.
    pub async fn remove<R: Record>(&mut self, tenant: &Arc<Tenant>, address: &Address) -> Result<(), Refusal> {
        if !self.exists(tenant, address).await? {
            return Ok(());
        }
        self.note_past::<R>(tenant, address, None).await?;
        self.remove_row(tenant, address, R::LISTING);
        if R::LISTING == Listing::Tree {
            self.prune_directories(tenant, address).await?;
        }
        Ok(())
    }

    /// Removes whatever is at an address, without looking whether something is: what is not read cannot be stale.
    pub fn forget<R: Record>(&mut self, tenant: &Arc<Tenant>, address: &Address) {
        const { assert!(!R::HAS_PAST, "what it was is kept: it has to be read") };
        self.remove_row(tenant, address, R::LISTING);
    }

    /// Wakes the background jobs once this is durable, `all` to have them look at every token.
    pub fn wake_jobs(&mut self, all: bool) {
        let wanted = if all { Wake::Everything } else { Wake::Now };
        self.collected.wake = self.collected.wake.max(Some(wanted));
    }

    /// Which object was read or written at an address in this transaction.
    pub fn object_of(&self, tenant: &Arc<Tenant>, address: &Address) -> Option<ObjectId> {
        let key = tenant.keyring().record_key(address);
        self.seen_at(tenant.id(), key).map(|(object, _)| object)
    }

    /// The answer holds only before `at`.
    pub fn relies_until(&mut self, at: Timestamp) {
        self.collected.valid_until = Some(self.collected.valid_until.map_or(at, |until| until.min(at)));
    }

    /// What was collected up to now stays even when the request is refused: a use that was counted, a failed attempt.
    pub fn keep_guards(&mut self) {
        self.guard = self.collected.writes.len();
    }

    /// Whether something was collected that stays when the request is refused.
    pub fn has_guards(&self) -> bool {
        self.guard > 0
    }

    /// The version that was read, for the event.
    pub fn note_read(&mut self, version: u64) {
        self.notes.read_version = Some(version);
    }

    /// The version that was written, for the event.
    pub fn note_written(&mut self, version: u64) {
        self.notes.written_version = Some(version);
    }

    /// The keyed hash of the reference that was used, for the event.
    pub fn note_reference(&mut self, hash: [u8; 32]) {
        self.notes.reference = Some(hash);
    }

    /// A sentence for the event; never any content.
    pub fn note_detail(&mut self, detail: String) {
        self.notes.detail = Some(detail);
    }

    /// The token that a login gave, for the event.
    pub fn note_login(&mut self, caller: Arc<event::Caller>) {
        self.notes.login = Some(caller);
    }

    /// Facts for the event.
    pub fn notes(&self) -> &Notes {
        &self.notes
    }

    /// Ends an item of a batch: the facts noted since the item before are for an event of its own.
    pub fn end_item(&mut self, outcome: Result<u16, &Refusal>) {
        let (status, error) = match outcome {
            Ok(status) => (status, None),
            Err(refusal) => (refusal.status(), Some(event::error_class(refusal))),
        };
        self.items.push(Item { notes: std::mem::take(&mut self.notes), status, error });
    }

    /// The items of a batch, in order.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// The loaded tenant of a namespace record that was read in `parent` as `name`. The keys of a sealed one are not opened.
    pub async fn enter(&self, parent: &Arc<Tenant>, name: &str, namespace: &Namespace) -> Result<Arc<Tenant>, Refusal> {
        if namespace.sealed {
            return Err(Refusal::NamespaceSealed);
        }
        self.tenants.child(parent, name, namespace).await
    }

    /// A child namespace and its loaded tenant.
    pub async fn child(&mut self, parent: &Arc<Tenant>, name: &str) -> Result<Option<(Arc<Tenant>, Arc<Namespace>)>, Refusal> {
        let Some(found) = self.read::<Namespace>(parent, &Address::system(Kind::Namespace, name)).await? else { return Ok(None) };
        let tenant = self.enter(parent, name, &found.value).await?;
        Ok(Some((tenant, found.value)))
    }

    /// Makes a child namespace with keys of its own, in this transaction. They are wrapped by the key that it chose, else by its
    /// parent's own, else by the deployment's seals.
    pub async fn create_child(
        &mut self,
        parent: &Arc<Tenant>,
        name: &str,
        custom_metadata: BTreeMap<String, String>,
        own: Option<OwnSeal>,
    ) -> Result<Arc<Namespace>, Refusal> {
        let seals = self.current_seals().await?;
        let own_seal = own.or_else(|| parent.own_seal().cloned());
        let chosen = own_seal.as_ref().map(|own| self.chosen_seal(own)).transpose()?;
        let (new, commitment) = self.tenants.generate(&seals, chosen.as_ref(), Some(parent.id())).await?;
        if chosen.is_none() && new.keys.wraps.len() < seals.list.len() {
            self.note_incomplete_wraps().await?;
        }
        let generation = new.keys.generation;
        let (lock, sealed) = (None, false);
        let (tenant, created) = (new.id, self.now);
        let namespace = Namespace { tenant, generation, commitment, custom_metadata, created, lock, sealed, own_seal };
        self.put(parent, &Address::system(Kind::Namespace, name), &namespace, None).await?;
        self.collected.structural.push(Structural::Create(new));
        Ok(Arc::new(namespace))
    }

    /// Removes a child namespace and destroys its keys, in this transaction. Its rows are a job's work.
    pub async fn delete_child(&mut self, parent: &Arc<Tenant>, name: &str) -> Result<(), Refusal> {
        let address = Address::system(Kind::Namespace, name);
        let Some(found) = self.read::<Namespace>(parent, &address).await? else { return Ok(()) };
        self.remove::<Namespace>(parent, &address).await?;
        self.destroy_keys(found.value.tenant);
        Ok(())
    }

    /// Destroys the stored keys of a tenant, in this transaction: every wrap, and what they open.
    pub fn destroy_keys(&mut self, tenant: TenantId) {
        self.collected.structural.push(Structural::State(tenant, TenantState::Erasing));
    }

    /// Once this is durable, drops the keys of a tenant and of all below it from this server's memory.
    pub fn drop_keys(&mut self, tenant: TenantId) {
        self.collected.dropped.push(tenant);
    }

    /// Adds the request's event, and a copy to every other tenant that it writes in. A refused request keeps its
    /// guard writes only.
    pub fn conclude(&mut self, tenant: &Arc<Tenant>, event: &Event, refused: bool) {
        self.conclude_all(tenant, std::slice::from_ref(event), refused);
    }

    /// The same with the events of all items of a batch.
    pub fn conclude_all(&mut self, tenant: &Arc<Tenant>, events: &[Event], refused: bool) {
        if refused {
            self.collected.writes.truncate(self.guard);
            self.collected.structural.clear();
            self.collected.dropped.clear();
            self.collected.grants.clear();
            self.collected.begun.clear();
        }
        self.collected.events.extend(Prepared::all(events).map(|event| (Arc::clone(tenant), event)));
        self.collected.events.append(&mut self.collected.begun);
        let others: BTreeMap<TenantId, Arc<Tenant>> =
            self.collected.writes.iter().map(|write| (write.tenant.id(), Arc::clone(&write.tenant))).collect();
        for (_, other) in others.into_iter().filter(|(id, _)| *id != tenant.id()) {
            self.collected.events.extend(Prepared::all(events).map(|event| (Arc::clone(&other), event)));
        }
    }

    /// Removes a record by its key if it is past its expiry, whatever it is.
    ///
    /// The row's expiry is only what the database says. It is the record's own when the record opens with it: one that
    /// does not open was edited, and is left as it is for people to look at.
    pub(super) async fn sweep(&mut self, tenant: &Arc<Tenant>, key: RecordKey) -> Result<Swept, Refusal> {
        let entry = self.stored(tenant, key).await?;
        let Some(row) = entry.row.as_ref().filter(|row| row.expires_at.is_some_and(|at| at <= self.now)) else {
            return Ok(Swept::Current);
        };
        let keyring = tenant.keyring();
        if let Err(error) = keyring.verify_record(&key, &row.directory, row.expires_at, &row.sealed) {
            damaged("record", tenant, (key, row.directory), error);
            return Ok(Swept::Damaged);
        }
        let listed = if row.directory == DirKey::NONE {
            None
        } else {
            match keyring.open_name(&key, &row.directory, &row.name) {
                Ok(name) => Some((false, name.into_boxed_str())),
                Err(error) => {
                    damaged("name", tenant, (key, row.directory), error);
                    return Ok(Swept::Damaged);
                }
            }
        };
        self.collected.writes.push(Write { tenant: Arc::clone(tenant), key, directory: row.directory, listed, row: None });
        Ok(Swept::Removed)
    }

    /// Whether it sees something that is not committed: its own writes, or those of its group.
    pub(super) fn has_changes(&self) -> bool {
        self.overlay.is_some() || !self.collected.writes.is_empty()
    }

    pub(super) fn into_commit(self) -> Commit {
        self.collected
    }

    pub(super) fn remember(&mut self, tenant: &Arc<Tenant>, key: [u8; 32], position: u64) {
        if let Some(reads) = self.collected.reads.iter_mut().find(|reads| Arc::ptr_eq(&reads.tenant, tenant)) {
            reads.oldest = reads.oldest.min(position);
            reads.keys.push((key, position));
        } else {
            let mut keys = Vec::with_capacity(8);
            keys.push((key, position));
            self.collected.reads.push(Reads { tenant: Arc::clone(tenant), oldest: position, keys });
        }
    }

    pub(super) fn see(&mut self, tenant: &Arc<Tenant>, key: RecordKey, found: Option<(ObjectId, u64)>) {
        self.seen.push(Seen { tenant: tenant.id(), key, found });
    }

    /// The object that was last seen at a key; `None` when nothing was there, or nobody looked.
    pub(super) fn seen_at(&self, tenant: TenantId, key: RecordKey) -> Option<(ObjectId, u64)> {
        self.seen.iter().rev().find(|seen| seen.key == key && seen.tenant == tenant).and_then(|seen| seen.found)
    }
}
