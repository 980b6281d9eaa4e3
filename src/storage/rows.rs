//! What the tables hold, as plain values. Bytes that look like content are sealed already.

use super::proofs::{Archived, Checkpoint};
use crate::audit::changed::{StateHash, state_hash};
use crate::id::{DeploymentId, TenantId};
use crate::record::{DirKey, RecordKey};
use crate::time::Timestamp;

/// One installation: the only row of its table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployment {
    /// Its identifier, part of every key context.
    pub id: DeploymentId,
    /// The tenant that all others descend from.
    pub root: TenantId,
    /// The tenant whose log takes the events of callers without a credential.
    pub edge: TenantId,
    /// Made by `server --dev`: refused in production.
    pub dev: bool,
    /// How the root key is guarded: public configuration, JSON, opaque to the store.
    pub seal: Vec<u8>,
    /// Version of the sealed formats that this deployment writes.
    pub format: u32,
}

/// What may be done with a tenant. Numbers are stored; they are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum TenantState {
    /// In use.
    Active = 0,
    /// Closed by its administrator; nothing is served until it is opened again.
    Sealed = 1,
    /// Its keys are destroyed; its rows are on their way out.
    Erasing = 2,
}

impl TenantState {
    /// The state with the stored number `code`.
    pub fn from_code(code: i64) -> Option<Self> {
        match code {
            0 => Some(Self::Active),
            1 => Some(Self::Sealed),
            2 => Some(Self::Erasing),
            _ => None,
        }
    }

    /// The number that is stored.
    pub fn code(self) -> u8 {
        self as u8
    }
}

/// A tenant key as one seal wrapped it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrap {
    /// Name of the seal in the server's configuration.
    pub seal: String,
    /// The wrapped key.
    pub wrap: Vec<u8>,
}

/// A tenant with its keys, as sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantRow {
    /// Its identifier.
    pub id: TenantId,
    /// The tenant above it; `None` for the root and the edge.
    pub parent: Option<TenantId>,
    /// What may be done with it.
    pub state: TenantState,
    /// Generation of its tenant key; counts up from 1.
    pub generation: u32,
    /// The tenant key, once per seal, ordered by the seal's name. Empty when it is erasing.
    pub wraps: Vec<Wrap>,
    /// The keyring, sealed by the tenant key. Empty when it is erasing.
    pub keyring: Vec<u8>,
    /// Its newest log row; `None` before its first event.
    pub tail: Option<Tail>,
}

/// A tenant to be made, active. Its identifier is among the tenants of the group that makes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTenant {
    /// Its identifier.
    pub id: TenantId,
    /// The tenant above it; `None` for the root and the edge.
    pub parent: Option<TenantId>,
    /// Its first keys.
    pub keys: TenantKeys,
}

/// The keys of one tenant, as sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantKeys {
    /// Generation of the tenant key.
    pub generation: u32,
    /// The tenant key, once per seal.
    pub wraps: Vec<Wrap>,
    /// The keyring, sealed by the tenant key.
    pub keyring: Vec<u8>,
}

/// The newest log row without its batch and leaf hashes: the tenant's state. All that a MAC over it may cover is here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tail {
    /// Number of the group among the tenant's groups, from 1 without gaps.
    pub seq: u64,
    /// Index of the row's first event in the tenant's log, from 0.
    pub first_index: u64,
    /// Events in the row.
    pub count: u32,
    /// When the group was committed.
    pub time: Timestamp,
    /// Merkle root before the row.
    pub prev_root: [u8; 32],
    /// Merkle root after the row.
    pub root: [u8; 32],
    /// The right edge of the Merkle tree after the row.
    pub frontier: Vec<u8>,
    /// Keys and directories that the group changed; written and read by `commit/`.
    pub changed: Vec<u8>,
    /// The group's random identifier.
    pub group: [u8; 16],
    /// Over the other fields, under the tenant's audit key.
    pub mac: [u8; 32],
}

impl Tail {
    /// Events so far: the index that the next event will have.
    pub fn size(&self) -> u64 {
        self.first_index.saturating_add(u64::from(self.count))
    }
}

/// One row of a tenant's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRow {
    /// Everything but the events themselves.
    pub tail: Tail,
    /// The events, compressed and sealed; empty when they are in the archive only.
    pub batch: Vec<u8>,
    /// Their leaf hashes, 32 bytes each.
    pub leaves: Vec<u8>,
    /// What the events are about, sealed; empty when the row has too few of them for that to pay.
    pub summary: Vec<u8>,
}

/// Of a log row, what a search needs to know whether it has to open it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glance {
    /// As in `Tail`.
    pub seq: u64,
    /// As in `Tail`.
    pub first_index: u64,
    /// As in `Tail`.
    pub count: u32,
    /// As in `Tail`.
    pub time: Timestamp,
    /// The leaf hash of its first event.
    pub first_leaf: [u8; 32],
    /// As in `LogRow`, unless the row is to be opened.
    pub summary: Vec<u8>,
    /// As in `LogRow`, when there is no summary here; else empty.
    pub batch: Vec<u8>,
    /// Its events are in the archive only.
    pub pruned: bool,
}

impl Glance {
    /// Events up to the end of the row.
    pub fn end(&self) -> u64 {
        self.first_index.saturating_add(u64::from(self.count))
    }
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordRow {
    /// Its place.
    pub key: RecordKey,
    /// The directory that lists it; `DirKey::NONE` when none does.
    pub directory: DirKey,
    /// The group that wrote it.
    pub seq: u64,
    /// When it ceases to be; `None` for never.
    pub expires_at: Option<Timestamp>,
    /// Its name in the directory, sealed; empty when no directory lists it.
    pub name: Vec<u8>,
    /// Its payload, sealed.
    pub sealed: Vec<u8>,
}

impl RecordRow {
    /// What the log says of it when it is stored like this.
    pub fn state_hash(&self) -> StateHash {
        state_hash(&self.key, &self.directory, self.expires_at, &self.sealed)
    }
}

/// A change of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Insert it, or replace what is there, except for its directory and its name: both follow from what the key was made of,
    /// so they are the same, and leaving them alone leaves their indexes alone.
    Put(RecordRow),
    /// Remove it; nothing happens when it is not there.
    Remove(RecordKey),
}

impl Change {
    /// The record that is changed.
    pub fn key(&self) -> RecordKey {
        match self {
            Self::Put(row) => row.key,
            Self::Remove(key) => *key,
        }
    }
}

/// What a group does in one tenant. When a key is changed twice, the later change counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The tenant.
    pub tenant: TenantId,
    /// Its changed records.
    pub changes: Vec<Change>,
    /// Its new log row, numbered one past its tail.
    pub log: LogRow,
}

/// A change of the tenants themselves. Those it names are among the tenants of the group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Structural {
    /// Make a tenant.
    Create(NewTenant),
    /// Change a tenant's state. `Erasing` destroys its wraps and its keyring with it, and is final.
    State(TenantId, TenantState),
    /// Replace a tenant's wraps and keyring (rotation, rewrap).
    Keys(TenantId, TenantKeys),
}

impl Structural {
    /// The tenant that is changed.
    pub fn tenant(&self) -> TenantId {
        match self {
            Self::Create(new) => new.id,
            Self::State(id, _) | Self::Keys(id, _) => *id,
        }
    }
}

/// Rows of one tenant as another store had them, for a store that no server uses yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Changes of the tenant itself, which come first.
    pub structural: Vec<Structural>,
    /// Records; of two changes of one key the later counts.
    pub changes: Vec<Change>,
    /// Rows of the log, none of which is there.
    pub log: Vec<LogRow>,
    /// Signed trees; those that are there stay.
    pub checkpoints: Vec<Checkpoint>,
    /// Runs of the log that are in the archive; those that are there stay.
    pub archived: Vec<Archived>,
}

impl Restored {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        let rows = [self.structural.len(), self.changes.len(), self.log.len(), self.checkpoints.len(), self.archived.len()];
        rows.iter().all(|rows| *rows == 0)
    }
}

/// A value with the position it was read at, both in one snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fill<T> {
    /// `seq` of the tenant's newest log row; 0 when there is none.
    pub seq: u64,
    /// What was read.
    pub value: T,
}

/// What a committer knows of a tenant when it opens a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// The tenant.
    pub tenant: TenantId,
    /// The newest `seq` that it has seen; 0 for none (also for a tenant to be made).
    pub seq: u64,
    /// The group may change it, so its head is locked. Else it is only watched: its feed is read after the locks were
    /// granted, and others may change it meanwhile.
    pub locked: bool,
}

impl Known {
    /// A tenant that the group may change.
    pub fn locked(tenant: TenantId, seq: u64) -> Self {
        Self { tenant, seq, locked: true }
    }

    /// A tenant that the group only reads.
    pub fn watched(tenant: TenantId, seq: u64) -> Self {
        Self { tenant, seq, locked: false }
    }
}

/// A tenant as found after the group's locks were granted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Feed {
    /// The group holds its head, so nobody else changes it and the group may.
    pub locked: bool,
    /// What may be done with it; `None` when there is no such tenant.
    pub state: Option<TenantState>,
    /// Generation of its tenant key; 0 when there is no such tenant.
    pub generation: u32,
    /// Its newest log row; `None` before its first event.
    pub tail: Option<Tail>,
    /// The rows after the `seq` that the committer knew, oldest first.
    pub changed: Vec<FeedRow>,
    /// False when rows are missing in `changed` (there were too many, or they were pruned): drop the tenant's cache.
    pub complete: bool,
}

impl Feed {
    /// `seq` of the newest log row; 0 when there is none.
    pub fn seq(&self) -> u64 {
        self.tail.as_ref().map_or(0, |tail| tail.seq)
    }
}

/// One row of a feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedRow {
    /// Its number.
    pub seq: u64,
    /// Merkle root before it: the root that whoever knew `seq - 1` has, or history has forked.
    pub prev_root: [u8; 32],
    /// Keys and directories that the group changed.
    pub changed: Vec<u8>,
}
