//! A loaded tenant: its keyring and everything derived from it, in one object that is dropped as one.

use std::any::Any;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::caches::Caches;
use super::derived::{Derived, Shelf};
use super::epoch::LogEpoch;
use super::keys::KeyState;
use super::log::Head;
use super::recent::{ByHash, Recent};
use super::refresh::Freshness;
use super::reserve::Reserve;
use crate::audit::anchor::Anchor;
use crate::crypto::{Keyring, RecordOpener};
use crate::id::{ObjectId, TenantId};
use crate::namespace::OwnSeal;
use crate::record::{DirKey, RecordKey};
use crate::seal::Seal;
use crate::storage::RecordRow;
use crate::time::Timestamp;

/// How many bytes of sealed records, opened names and what follows from them one tenant keeps in memory.
const CACHE_BYTES_MAX: usize = 64 << 20;

/// What one cached entry costs besides its bytes: itself with the two counts of its `Arc`, and its place in a table that is two thirds full.
const ENTRY_BYTES: usize = size_of::<Entry>() + 2 * size_of::<usize>() + (size_of::<(RecordKey, Arc<Entry>)>() + 1) * 3 / 2;

/// A tenant whose keys are open.
pub struct Tenant {
    id: TenantId,
    parent: Option<TenantId>,
    keyring: Keyring,
    /// The key that it chose for itself, and the seal that has it.
    own: Option<(OwnSeal, Arc<dyn Seal>)>,
    /// When its seals were asked for the keyring last.
    pub(super) freshness: Freshness,
    /// The record that changes with the tenant's stored keys.
    key_state: RecordKey,
    /// The record that says which epoch of its log this is, and what it said.
    epoch: (RecordKey, u32),
    /// What its store was found not to extend. Nothing is done in it then, but to begin a new epoch.
    pub(super) ended: OnceLock<Anchor>,
    reserve: Reserve,
    caches: Arc<Caches>,
    state: RwLock<State>,
}

/// What the committer changes and everybody else reads. Position and content are under one lock, so that a reader
/// gets a record together with a position at which it was current.
struct State {
    head: Head,
    recent: Recent,
    records: ByHash<RecordKey, Arc<Entry>>,
    names: ByHash<DirKey, Arc<[Box<str>]>>,
    derived: Shelf,
    bytes: usize,
}

/// A record as it is stored (sealed), or its absence; and what was decoded from it, or opens it again.
pub(super) struct Entry {
    pub(super) row: Option<RecordRow>,
    pub(super) decoded: OnceLock<Decoded>,
    pub(super) opener: OnceLock<RecordOpener>,
    used: AtomicBool,
}

/// The decoded form of a record that is not secret. Its type is the `Record` of the address that the key was made
/// from: a key stands for one kind only.
pub(super) struct Decoded {
    pub(super) value: Arc<dyn Any + Send + Sync>,
    pub(super) object: ObjectId,
    pub(super) version: u64,
}

impl Entry {
    pub(super) fn new(row: Option<RecordRow>) -> Self {
        Self { row, decoded: OnceLock::new(), opener: OnceLock::new(), used: AtomicBool::new(true) }
    }

    fn bytes(&self) -> usize {
        // What is decoded from a record is about as large as the record itself.
        ENTRY_BYTES + self.row.as_ref().map_or(0, |row| 2 * row.sealed.len() + row.name.len())
    }
}

impl Tenant {
    pub(super) fn new(
        (id, parent): (TenantId, Option<TenantId>),
        keyring: Keyring,
        own: Option<(OwnSeal, Arc<dyn Seal>)>,
        freshness: Freshness,
        head: Head,
        caches: Arc<Caches>,
    ) -> Self {
        let recent = Recent::from(head.seq);
        let state =
            State { head, recent, records: ByHash::default(), names: ByHash::default(), derived: Shelf::default(), bytes: 0 };
        let key_state = keyring.record_key(&KeyState::address());
        let (epoch, ended) = ((keyring.record_key(&LogEpoch::address()), 0), OnceLock::new());
        let (reserve, state) = (Reserve::default(), RwLock::new(state));
        Self { id, parent, keyring, own, freshness, key_state, epoch, ended, reserve, caches, state }
    }

    /// Which tenant it is.
    pub fn id(&self) -> TenantId {
        self.id
    }

    /// The tenant that holds this one's namespace record; none for the root.
    pub fn parent(&self) -> Option<TenantId> {
        self.parent
    }

    /// The key that it chose for itself. None: its key is wrapped by the deployment's seals.
    pub fn own_seal(&self) -> Option<&OwnSeal> {
        self.own.as_ref().map(|(own, _)| own)
    }

    /// The seals that open it: its own, or `shared`.
    pub(super) fn seals<'a>(&'a self, shared: &'a [Arc<dyn Seal>]) -> &'a [Arc<dyn Seal>] {
        self.own.as_ref().map_or(shared, |(_, seal)| std::slice::from_ref(seal))
    }

    /// Its working keys.
    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// Amounts that were granted and not taken yet.
    pub(super) fn reserve(&self) -> &Reserve {
        &self.reserve
    }

    /// The epoch of its log, from 0.
    pub fn epoch(&self) -> u32 {
        self.epoch.1
    }

    /// The same tenant, once its epoch was read.
    pub(super) fn in_epoch(mut self, epoch: u32) -> Self {
        self.epoch.1 = epoch;
        self
    }

    /// Whether these changes mean that its stored keys are others now, or that its log has a new epoch: it is loaded anew then.
    pub(super) fn keys_changed(&self, changed: &[(u64, [u8; 32])]) -> bool {
        changed.iter().any(|(_, key)| *key == self.key_state.0 || *key == self.epoch.0.0)
    }

    /// What ends its tokens and accessors; empty for the root.
    pub fn label(&self) -> String {
        if self.parent.is_none() { String::new() } else { self.id.label() }
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        // A panic while the lock was held leaves at worst a cache that is missing something.
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn state_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is cached, and counts what that comes to.
    fn change_cache(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state_mut();
        let before = state.bytes;
        change(&mut state);
        self.caches.changed(before, state.bytes);
    }

    /// Drops what is cached and was not used since the last time.
    pub(super) fn drop_unused(&self) {
        self.change_cache(|state| state.keep(usize::MAX, |entry| entry.used.swap(false, Ordering::Relaxed)));
    }

    /// Drops what is cached past so many bytes.
    pub(super) fn shrink_to(&self, bytes: usize) {
        self.change_cache(|state| state.keep(bytes, |_| true));
    }

    /// The cached record, and the position at which it is current.
    pub(super) fn cached(&self, key: &RecordKey) -> (u64, Option<Arc<Entry>>) {
        let state = self.state();
        let entry = state.records.get(key);
        if let Some(entry) = entry {
            entry.used.store(true, Ordering::Relaxed);
        }
        (state.head.seq, entry.cloned())
    }

    /// The cached listing, and the position at which it is current.
    pub(super) fn cached_names(&self, directory: &DirKey) -> (u64, Option<Arc<[Box<str>]>>) {
        let state = self.state();
        (state.head.seq, state.names.get(directory).cloned())
    }

    /// Keeps what was read from the store at `position`, unless it has changed since.
    pub(super) fn fill(&self, key: RecordKey, position: u64, entry: &Arc<Entry>) {
        self.change_cache(|state| {
            if !state.recent.changed_after(&key.0, position) {
                state.replace(key, Some(Arc::clone(entry)));
                state.shrink();
            }
        });
    }

    /// Keeps a listing that was read from the store at `position`, unless it has changed since.
    pub(super) fn fill_names(&self, directory: DirKey, position: u64, names: &Arc<[Box<str>]>) {
        self.change_cache(|state| {
            if !state.recent.changed_after(&directory.0, position) {
                state.bytes += names_bytes(names);
                state.forget_names(&directory);
                state.names.insert(directory, Arc::clone(names));
                state.shrink();
            }
        });
    }

    /// What was kept under `name`, and the position up to which it holds; none when something that it depends on changed.
    pub(super) fn derived(&self, name: &[u8; 32]) -> Option<(u64, Arc<Derived>)> {
        let state = self.state();
        let derived = state.derived.find(name, &state.recent, state.head.seq)?;
        Some((state.head.seq, derived))
    }

    pub(super) fn keep(&self, name: [u8; 32], derived: Derived) {
        self.change_cache(|state| {
            let before = state.derived.bytes();
            state.derived.put(name, derived);
            state.bytes = (state.bytes + state.derived.bytes()).saturating_sub(before);
            state.shrink();
        });
    }

    /// Where the tenant's history stands, as far as this server knows.
    pub(super) fn head(&self) -> Head {
        self.state().head.clone()
    }

    /// The newest known position: how many groups were committed in it.
    pub fn position(&self) -> u64 {
        self.state().head.seq
    }

    /// The newest position at which a record changed, as far as this server knows: events alone leave it as it is.
    pub fn changed(&self) -> u64 {
        self.state().recent.newest()
    }

    /// The time of its newest event.
    pub(super) fn time(&self) -> Timestamp {
        self.state().head.time
    }

    /// Whether something read at `position` may have changed since.
    pub(super) fn changed_after(&self, key: &[u8; 32], position: u64) -> bool {
        self.state().recent.changed_after(key, position)
    }

    /// Takes over what this server has committed: `written` are the new rows, `directories` changed their names. What was removed is evicted: few
    /// ask for it again, and whoever does finds out from the store.
    pub(super) fn advance(&self, head: Head, written: Vec<(RecordKey, Option<RecordRow>)>, directories: &[DirKey]) {
        self.change_cache(|state| {
            let position = head.seq;
            for (key, row) in written {
                state.recent.note(position, key.0);
                state.replace(key, row.map(|row| Arc::new(Entry::new(Some(row)))));
            }
            for directory in directories {
                state.recent.note(position, directory.0);
                state.forget_names(directory);
            }
            state.head = head;
            state.shrink();
        });
    }

    /// Takes over what another server has committed: evicts what it changed. `None`: nothing is known, so drop all.
    pub(super) fn follow(&self, head: Head, changed: Option<&[(u64, [u8; 32])]>) {
        self.change_cache(|state| {
            if let Some(changed) = changed {
                for (position, key) in changed {
                    state.recent.note(*position, *key);
                    state.replace(RecordKey(*key), None);
                    state.forget_names(&DirKey(*key));
                }
            } else {
                state.records.clear();
                state.names.clear();
                state.derived.clear();
                state.bytes = 0;
                state.recent = Recent::from(head.seq);
            }
            state.head = head;
        });
    }
}

impl Drop for Tenant {
    fn drop(&mut self) {
        self.caches.changed(self.state().bytes, 0);
    }
}

impl State {
    /// Caches a record in place of what was known of it, or nothing.
    fn replace(&mut self, key: RecordKey, entry: Option<Arc<Entry>>) {
        self.bytes += entry.as_ref().map_or(0, |entry| entry.bytes());
        let old = match entry {
            Some(entry) => self.records.insert(key, entry),
            None => self.records.remove(&key),
        };
        self.bytes = self.bytes.saturating_sub(old.map_or(0, |old| old.bytes()));
    }

    fn forget_names(&mut self, directory: &DirKey) {
        if let Some(old) = self.names.remove(directory) {
            self.bytes = self.bytes.saturating_sub(names_bytes(&old));
        }
    }

    /// Past the bound, drops listings and what was derived (they are quick to make again), then what was not used since the last time,
    /// then anything, down to half of the bound.
    fn shrink(&mut self) {
        if self.bytes > CACHE_BYTES_MAX {
            self.keep(CACHE_BYTES_MAX / 2, |entry| entry.used.swap(false, Ordering::Relaxed));
        }
    }

    /// Keeps no listings, nothing derived, and of the records those that are wanted, up to so many bytes.
    fn keep(&mut self, most: usize, wanted: impl Fn(&Entry) -> bool) {
        self.names.clear();
        self.derived.clear();
        let mut kept = 0;
        self.records.retain(|_, entry| {
            let keep = wanted(entry) && kept + entry.bytes() <= most;
            kept += if keep { entry.bytes() } else { 0 };
            keep
        });
        self.bytes = kept;
    }
}

fn names_bytes(names: &[Box<str>]) -> usize {
    names.iter().map(|name| name.len() + 16).sum::<usize>() + ENTRY_BYTES
}
