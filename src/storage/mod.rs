//! Storage: durable rows per tenant, and the one transaction that changes them.
//!
//! Owns: SQL, the schema (`migrations/`), connections, the database's errors. `sqlx` is named in this folder only.
//! Must not: open or seal anything, know an engine, a path or a policy, keep a cache of records.
//! Units: times are `Timestamp` (nanoseconds); `seq` numbers a tenant's groups from 1, indexes number its events from 0.
//!
//! What only one server does at a time says under which lease (`under`), and is refused (`Fenced`) once that has passed to another one.
//!
//! Two stores implement the trait and pass the same tests: `sqlite` (embedded, one server) and `postgres` (many replicas).

mod cells;
mod error;
mod lease;
mod plan;
pub mod postgres;
mod proofs;
mod rows;
pub mod sqlite;

use std::ops::RangeInclusive;

use async_trait::async_trait;

use crate::audit::head::TenantHead;
use crate::id::{ReplicaId, TenantId};
use crate::record::{DirKey, RecordKey};
use crate::time::Timestamp;

pub use error::{Cause, StoreError};
pub use lease::{Beat, Census, Fence, LAPSE, LeaseName, Outlook, Replica};
pub use proofs::{Archived, Checkpoint, Cosignature, DeploymentTree, KeptLeaves};
pub use rows::{
    Batch, Change, Deployment, Feed, FeedRow, Fill, Glance, Known, LogRow, NewTenant, RecordRow, Restored, Structural, Tail,
    TenantKeys, TenantRow, TenantState, Wrap,
};

/// How many newer log rows a feed holds at most; a longer one is not `complete`.
pub const FEED_ROWS_MAX: usize = 256;

/// A store. Every call sees what was committed before it began.
#[async_trait]
pub trait Store: Send + Sync {
    /// `"sqlite"` or `"postgresql"`.
    fn kind(&self) -> &'static str;

    /// Whether several servers may have it open at a time.
    fn is_shared(&self) -> bool;

    /// Whether it is known that no database answers which takes writes: calls fail at once as long as that is so.
    fn is_away(&self) -> bool;

    /// The installation; `None` before `initialise`.
    async fn deployment(&self) -> Result<Option<Deployment>, StoreError>;

    /// Writes the installation and its first tenants, all or nothing. False when there was one already: nothing is changed then.
    async fn initialise(&self, deployment: &Deployment, tenants: &[NewTenant]) -> Result<bool, StoreError>;

    /// Replaces the public seal configuration of the installation, if it is still `before`. False when it is another: nothing
    /// is changed then.
    async fn replace_seal(&self, before: &[u8], after: &[u8]) -> Result<bool, StoreError>;

    /// A tenant with its sealed keys and its newest log row, in one snapshot.
    async fn tenant(&self, tenant: TenantId) -> Result<Option<TenantRow>, StoreError>;

    /// One record, or its absence, with the tenant's position in the same snapshot.
    async fn record(&self, tenant: TenantId, key: RecordKey) -> Result<Fill<Option<RecordRow>>, StoreError>;

    /// The sealed names in a directory, ordered by key, those behind `after` only, at most `limit`, with the tenant's
    /// position in the same snapshot. Names are ordered only once they are opened: whoever gets `limit` of them has a part
    /// that means nothing, except to go through all of them piece by piece.
    async fn names(
        &self,
        tenant: TenantId,
        directory: DirKey,
        after: Option<RecordKey>,
        limit: usize,
    ) -> Result<Fill<Vec<(RecordKey, Vec<u8>)>>, StoreError>;

    /// Records of whatever kind in the order of their keys, those behind `after` only, at most `limit`, with the tenant's
    /// position in the same snapshot: for work that goes through all of a tenant.
    async fn records(&self, tenant: TenantId, after: Option<RecordKey>, limit: usize)
    -> Result<Fill<Vec<RecordRow>>, StoreError>;

    /// Opens a group on `tenants` (each once): locks the heads of those to be locked in the order of their identifiers, then, in
    /// statements begun after the last lock was granted, reads what happened since in all of them and the database's clock. A
    /// tenant that the group will make is named too. Whoever holds such a head makes this wait, for a bounded time
    /// (`Unavailable`); a head that is only watched makes nobody wait.
    async fn begin(&self, tenants: &[Known]) -> Result<Box<dyn Group>, StoreError>;

    /// After `StoreError::Unknown`: whether the group was committed in `tenants`. Waits for the group's old transaction to end.
    async fn committed(&self, tenants: &[TenantId], group: [u8; 16]) -> Result<bool, StoreError>;

    /// Which of these directories have names in them, in their order.
    async fn occupied(&self, tenant: TenantId, directories: &[DirKey]) -> Result<Vec<bool>, StoreError>;

    /// Records that expire at `times`, each with when it does, earliest first, at most `limit`.
    async fn expired(
        &self,
        tenant: TenantId,
        times: RangeInclusive<Timestamp>,
        limit: usize,
    ) -> Result<Vec<(Timestamp, RecordKey)>, StoreError>;

    /// When the next of a tenant's records expires, be that in the past.
    async fn next_expiry(&self, tenant: TenantId) -> Result<Option<Timestamp>, StoreError>;

    /// Tenants in a state other than `Active` (jobs look for work here), at most `limit`.
    async fn tenants_in(&self, state: TenantState, limit: usize) -> Result<Vec<TenantId>, StoreError>;

    /// Says that a server lives; then takes for it those leases that it wants and no living server has. Who was not heard of for `LAPSE` does not
    /// live. What the answer says that it has is its own until `LAPSE` after it asked, and longer when it asks again in time. Where
    /// there is one server only, who asks has all that it wants.
    async fn beat(&self, beat: &Beat) -> Result<Census, StoreError>;

    /// A server stops: what leases it has are free from now on.
    async fn leave(&self, replica: ReplicaId) -> Result<(), StoreError>;

    /// Where tenants in ordinary use stand, those among `tenants`, in whatever order.
    async fn outlook(&self, tenants: &[TenantId]) -> Result<Vec<Outlook>, StoreError>;

    /// Deletes up to `limit` rows of a tenant in state `Erasing`: records, then log rows, then the tenant itself. Leaf hashes of the
    /// log stay (`kept_leaves`), and so do signed trees.
    /// How many were deleted: 0 when nothing is left. `Misused` when the tenant is in another state.
    async fn erase_chunk(&self, tenant: TenantId, limit: usize, under: Option<Fence>) -> Result<u64, StoreError>;

    /// What was kept of an erased tenant's log: runs of leaf hashes that begin below index `below`, the last first, at most `limit`.
    async fn kept_leaves(&self, tenant: TenantId, below: u64, limit: usize) -> Result<Vec<KeptLeaves>, StoreError>;

    /// Log rows from `from_seq` on, oldest first, at most `limit`.
    async fn log(&self, tenant: TenantId, from_seq: u64, limit: usize) -> Result<Vec<LogRow>, StoreError>;

    /// Of log rows with numbers in `seqs`, what a search looks at first: newest first if so wanted, at most `limit`. `opening` all of
    /// them anyway: their batches, and no summaries.
    async fn glance(
        &self,
        tenant: TenantId,
        seqs: RangeInclusive<u64>,
        newest_first: bool,
        limit: usize,
        opening: bool,
    ) -> Result<Vec<Glance>, StoreError>;

    /// Signed trees of a tenant with sizes in `sizes`: largest first if so wanted, at most `limit`.
    async fn checkpoints(
        &self,
        tenant: TenantId,
        sizes: RangeInclusive<u64>,
        largest_first: bool,
        limit: usize,
    ) -> Result<Vec<Checkpoint>, StoreError>;

    /// Adds a signed tree. False when there is one of that size: nothing is changed then.
    async fn add_checkpoint(&self, tenant: TenantId, checkpoint: &Checkpoint, under: Option<Fence>) -> Result<bool, StoreError>;

    /// Heads of tenants' logs in the deployment's log, from this place on, at most `limit`. `root` is the root tenant, to which that
    /// log belongs.
    async fn heads(&self, root: TenantId, from: u64, limit: usize) -> Result<Vec<TenantHead>, StoreError>;

    /// Place and content of the newest head of a tenant's log, of those that stand before `before` and have at most `size` events.
    async fn head_of(
        &self,
        root: TenantId,
        tenant: TenantId,
        before: u64,
        size: u64,
    ) -> Result<Option<(u64, TenantHead)>, StoreError>;

    /// Signed trees of the deployment's log with sizes in `sizes`, largest first, at most `limit`.
    async fn deployment_trees(
        &self,
        root: TenantId,
        sizes: RangeInclusive<u64>,
        limit: usize,
    ) -> Result<Vec<DeploymentTree>, StoreError>;

    /// Appends heads to the deployment's log, with the signed tree that they end. False when others have appended meanwhile:
    /// nothing is changed then.
    async fn add_heads(
        &self,
        root: TenantId,
        heads: &[TenantHead],
        tree: &DeploymentTree,
        under: Option<Fence>,
    ) -> Result<bool, StoreError>;

    /// What witnesses have cosigned of the deployment's log, largest trees first, at most `limit`.
    async fn cosignatures(&self, root: TenantId, limit: usize) -> Result<Vec<Cosignature>, StoreError>;

    /// Adds a cosignature. Nothing happens when this witness's of this tree is there.
    async fn add_cosignature(&self, root: TenantId, cosignature: &Cosignature, under: Option<Fence>) -> Result<(), StoreError>;

    /// What of a log is in the archive, by the ends of its runs in `sizes`: largest first if so wanted, at most `limit`.
    async fn archived(
        &self,
        tenant: TenantId,
        sizes: RangeInclusive<u64>,
        largest_first: bool,
        limit: usize,
    ) -> Result<Vec<Archived>, StoreError>;

    /// Adds a run that was verified in the archive. False when there is one that ends there: nothing is changed then.
    async fn add_archived(&self, tenant: TenantId, archived: &Archived, under: Option<Fence>) -> Result<bool, StoreError>;

    /// Takes the events out of rows, all of which are in the archive, were logged before `before`, and end below the newest
    /// signed tree; `Misused` when that is not so. How many rows lost theirs.
    async fn prune(
        &self,
        tenant: TenantId,
        seqs: RangeInclusive<u64>,
        before: Timestamp,
        under: Option<Fence>,
    ) -> Result<u64, StoreError>;

    /// Forgets what of a tenant in state `Erasing` was in the archive: until then the tenant itself stays.
    async fn forget_archived(&self, tenant: TenantId, under: Option<Fence>) -> Result<(), StoreError>;

    /// Identifiers of tenants in whatever state, in their order, those behind `after` only, at most `limit`.
    async fn tenants(&self, after: Option<TenantId>, limit: usize) -> Result<Vec<TenantId>, StoreError>;

    /// Writes rows of a tenant that another store had. Only for a store that no server uses, whose deployment is marked; what failed may
    /// be there in part, and is written again.
    async fn restore(&self, tenant: TenantId, rows: Restored) -> Result<(), StoreError>;

    /// Ends all connections in good order. Later calls are `Unavailable`.
    async fn close(&self);
}

/// An open transaction that holds the heads of its tenants. Dropping it rolls it back.
#[async_trait]
pub trait Group: Send {
    /// The database's clock, read after the locks were granted.
    fn now(&self) -> Timestamp;

    /// What happened in a tenant; empty for one that is not in the group.
    fn feed(&self, tenant: TenantId) -> &Feed;

    /// One record, as the group's transaction sees it.
    async fn record(&mut self, tenant: TenantId, key: RecordKey) -> Result<Option<RecordRow>, StoreError>;

    /// The sealed names in a directory, as `Store::names`.
    async fn names(&mut self, tenant: TenantId, directory: DirKey, limit: usize)
    -> Result<Vec<(RecordKey, Vec<u8>)>, StoreError>;

    /// Whether a lease is as `fence` says. If so, it does not pass to another server before the group has ended.
    async fn holds(&mut self, fence: Fence) -> Result<bool, StoreError>;

    /// Applies everything and commits. Durable when it returns `Ok`; nothing is done when it fails, except for `Unknown`.
    /// Once called it is not to be cancelled: dropping its future leaves the outcome unknown.
    async fn commit(self: Box<Self>, batches: Vec<Batch>, structural: Vec<Structural>) -> Result<(), StoreError>;

    /// Gives the locks back.
    async fn rollback(self: Box<Self>);
}
