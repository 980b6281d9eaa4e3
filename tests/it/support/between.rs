//! A store with something in front of it that a test chooses: every call of a server passes it.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use async_trait::async_trait;
use strongroom::audit::head::TenantHead;
use strongroom::id::{ReplicaId, TenantId};
use strongroom::record::{DirKey, RecordKey};
use strongroom::storage::{
    Archived, Batch, Beat, Census, Checkpoint, Cosignature, Deployment, DeploymentTree, Feed, Fence, Fill, Glance, Group,
    KeptLeaves, Known, LogRow, NewTenant, Outlook, RecordRow, Restored, Store, StoreError, Structural, TenantRow, TenantState,
};
use strongroom::time::Timestamp;

/// A call of a store or of one of its groups.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    /// The method.
    pub(crate) name: &'static str,
    /// It may change what is stored.
    pub(crate) changes: bool,
}

impl Call {
    fn reading(name: &'static str) -> Self {
        Self { name, changes: false }
    }

    fn changing(name: &'static str) -> Self {
        Self { name, changes: true }
    }
}

/// What stands between a server and its store.
pub(crate) trait Between: Send + Sync + 'static {
    /// Has a call done, or not, and says what came of it.
    fn pass<T: Send>(
        &self,
        call: Call,
        done: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> impl Future<Output = Result<T, StoreError>> + Send;

    /// The names of a directory that the server is told, of which it wants at most `limit`.
    fn names(&self, names: Vec<(RecordKey, Vec<u8>)>, _limit: usize) -> Vec<(RecordKey, Vec<u8>)> {
        names
    }

    /// What the server is told of a tenant at the beginning of a group.
    fn feed(&self, feed: &Feed) -> Feed {
        feed.clone()
    }
}

/// A store with something in front of it.
pub(crate) struct Guarded<B> {
    pub(crate) inner: Arc<dyn Store>,
    pub(crate) between: Arc<B>,
}

#[async_trait]
impl<B: Between> Store for Guarded<B> {
    fn kind(&self) -> &'static str {
        self.inner.kind()
    }

    fn is_shared(&self) -> bool {
        self.inner.is_shared()
    }

    fn is_away(&self) -> bool {
        self.inner.is_away()
    }

    async fn beat(&self, beat: &Beat) -> Result<Census, StoreError> {
        self.between.pass(Call::reading("beat"), self.inner.beat(beat)).await
    }

    async fn leave(&self, replica: ReplicaId) -> Result<(), StoreError> {
        self.between.pass(Call::reading("leave"), self.inner.leave(replica)).await
    }

    async fn outlook(&self, tenants: &[TenantId]) -> Result<Vec<Outlook>, StoreError> {
        self.between.pass(Call::reading("outlook"), self.inner.outlook(tenants)).await
    }

    async fn deployment(&self) -> Result<Option<Deployment>, StoreError> {
        self.between.pass(Call::reading("deployment"), self.inner.deployment()).await
    }

    async fn initialise(&self, deployment: &Deployment, tenants: &[NewTenant]) -> Result<bool, StoreError> {
        self.between.pass(Call::changing("initialise"), self.inner.initialise(deployment, tenants)).await
    }

    async fn replace_seal(&self, before: &[u8], after: &[u8]) -> Result<bool, StoreError> {
        self.between.pass(Call::changing("replace_seal"), self.inner.replace_seal(before, after)).await
    }

    async fn tenant(&self, tenant: TenantId) -> Result<Option<TenantRow>, StoreError> {
        self.between.pass(Call::reading("tenant"), self.inner.tenant(tenant)).await
    }

    async fn record(&self, tenant: TenantId, key: RecordKey) -> Result<Fill<Option<RecordRow>>, StoreError> {
        self.between.pass(Call::reading("record"), self.inner.record(tenant, key)).await
    }

    async fn names(
        &self,
        tenant: TenantId,
        directory: DirKey,
        after: Option<RecordKey>,
        limit: usize,
    ) -> Result<Fill<Vec<(RecordKey, Vec<u8>)>>, StoreError> {
        let read = self.between.pass(Call::reading("names"), self.inner.names(tenant, directory, after, limit)).await?;
        Ok(Fill { value: self.between.names(read.value, limit), seq: read.seq })
    }

    async fn records(
        &self,
        tenant: TenantId,
        after: Option<RecordKey>,
        limit: usize,
    ) -> Result<Fill<Vec<RecordRow>>, StoreError> {
        self.between.pass(Call::reading("records"), self.inner.records(tenant, after, limit)).await
    }

    async fn begin(&self, tenants: &[Known]) -> Result<Box<dyn Group>, StoreError> {
        let inner = self.between.pass(Call::reading("begin"), self.inner.begin(tenants)).await?;
        let feeds = tenants.iter().map(|known| (known.tenant, self.between.feed(inner.feed(known.tenant)))).collect();
        Ok(Box::new(GuardedGroup { inner, feeds, nothing: Feed::default(), between: Arc::clone(&self.between) }))
    }

    async fn committed(&self, tenants: &[TenantId], group: [u8; 16]) -> Result<bool, StoreError> {
        self.between.pass(Call::reading("committed"), self.inner.committed(tenants, group)).await
    }

    async fn occupied(&self, tenant: TenantId, directories: &[DirKey]) -> Result<Vec<bool>, StoreError> {
        self.between.pass(Call::reading("occupied"), self.inner.occupied(tenant, directories)).await
    }

    async fn expired(
        &self,
        tenant: TenantId,
        times: RangeInclusive<Timestamp>,
        limit: usize,
    ) -> Result<Vec<(Timestamp, RecordKey)>, StoreError> {
        self.between.pass(Call::reading("expired"), self.inner.expired(tenant, times, limit)).await
    }

    async fn next_expiry(&self, tenant: TenantId) -> Result<Option<Timestamp>, StoreError> {
        self.between.pass(Call::reading("next_expiry"), self.inner.next_expiry(tenant)).await
    }

    async fn tenants_in(&self, state: TenantState, limit: usize) -> Result<Vec<TenantId>, StoreError> {
        self.between.pass(Call::reading("tenants_in"), self.inner.tenants_in(state, limit)).await
    }

    async fn erase_chunk(&self, tenant: TenantId, limit: usize, under: Option<Fence>) -> Result<u64, StoreError> {
        self.between.pass(Call::changing("erase_chunk"), self.inner.erase_chunk(tenant, limit, under)).await
    }

    async fn kept_leaves(&self, tenant: TenantId, below: u64, limit: usize) -> Result<Vec<KeptLeaves>, StoreError> {
        self.between.pass(Call::reading("kept_leaves"), self.inner.kept_leaves(tenant, below, limit)).await
    }

    async fn log(&self, tenant: TenantId, from_seq: u64, limit: usize) -> Result<Vec<LogRow>, StoreError> {
        self.between.pass(Call::reading("log"), self.inner.log(tenant, from_seq, limit)).await
    }

    async fn glance(
        &self,
        tenant: TenantId,
        seqs: RangeInclusive<u64>,
        newest_first: bool,
        limit: usize,
        opening: bool,
    ) -> Result<Vec<Glance>, StoreError> {
        self.between.pass(Call::reading("glance"), self.inner.glance(tenant, seqs, newest_first, limit, opening)).await
    }

    async fn checkpoints(
        &self,
        tenant: TenantId,
        sizes: RangeInclusive<u64>,
        largest_first: bool,
        limit: usize,
    ) -> Result<Vec<Checkpoint>, StoreError> {
        self.between.pass(Call::reading("checkpoints"), self.inner.checkpoints(tenant, sizes, largest_first, limit)).await
    }

    async fn add_checkpoint(&self, tenant: TenantId, checkpoint: &Checkpoint, under: Option<Fence>) -> Result<bool, StoreError> {
        self.between.pass(Call::changing("add_checkpoint"), self.inner.add_checkpoint(tenant, checkpoint, under)).await
    }

    async fn archived(
        &self,
        tenant: TenantId,
        sizes: RangeInclusive<u64>,
        largest_first: bool,
        limit: usize,
    ) -> Result<Vec<Archived>, StoreError> {
        self.between.pass(Call::reading("archived"), self.inner.archived(tenant, sizes, largest_first, limit)).await
    }

    async fn add_archived(&self, tenant: TenantId, archived: &Archived, under: Option<Fence>) -> Result<bool, StoreError> {
        self.between.pass(Call::changing("add_archived"), self.inner.add_archived(tenant, archived, under)).await
    }

    async fn prune(
        &self,
        tenant: TenantId,
        seqs: RangeInclusive<u64>,
        before: Timestamp,
        under: Option<Fence>,
    ) -> Result<u64, StoreError> {
        self.between.pass(Call::changing("prune"), self.inner.prune(tenant, seqs, before, under)).await
    }

    async fn forget_archived(&self, tenant: TenantId, under: Option<Fence>) -> Result<(), StoreError> {
        self.between.pass(Call::changing("forget_archived"), self.inner.forget_archived(tenant, under)).await
    }

    async fn heads(&self, root: TenantId, from: u64, limit: usize) -> Result<Vec<TenantHead>, StoreError> {
        self.between.pass(Call::reading("heads"), self.inner.heads(root, from, limit)).await
    }

    async fn head_of(
        &self,
        root: TenantId,
        tenant: TenantId,
        before: u64,
        size: u64,
    ) -> Result<Option<(u64, TenantHead)>, StoreError> {
        self.between.pass(Call::reading("head_of"), self.inner.head_of(root, tenant, before, size)).await
    }

    async fn deployment_trees(
        &self,
        root: TenantId,
        sizes: RangeInclusive<u64>,
        limit: usize,
    ) -> Result<Vec<DeploymentTree>, StoreError> {
        self.between.pass(Call::reading("deployment_trees"), self.inner.deployment_trees(root, sizes, limit)).await
    }

    async fn add_heads(
        &self,
        root: TenantId,
        heads: &[TenantHead],
        tree: &DeploymentTree,
        under: Option<Fence>,
    ) -> Result<bool, StoreError> {
        self.between.pass(Call::changing("add_heads"), self.inner.add_heads(root, heads, tree, under)).await
    }

    async fn cosignatures(&self, root: TenantId, limit: usize) -> Result<Vec<Cosignature>, StoreError> {
        self.between.pass(Call::reading("cosignatures"), self.inner.cosignatures(root, limit)).await
    }

    async fn add_cosignature(&self, root: TenantId, cosignature: &Cosignature, under: Option<Fence>) -> Result<(), StoreError> {
        self.between.pass(Call::changing("add_cosignature"), self.inner.add_cosignature(root, cosignature, under)).await
    }

    async fn tenants(&self, after: Option<TenantId>, limit: usize) -> Result<Vec<TenantId>, StoreError> {
        self.between.pass(Call::reading("tenants"), self.inner.tenants(after, limit)).await
    }

    async fn restore(&self, tenant: TenantId, rows: Restored) -> Result<(), StoreError> {
        self.between.pass(Call::changing("restore"), self.inner.restore(tenant, rows)).await
    }

    /// The next server has it.
    async fn close(&self) {}
}

struct GuardedGroup<B> {
    inner: Box<dyn Group>,
    feeds: HashMap<TenantId, Feed>,
    nothing: Feed,
    between: Arc<B>,
}

#[async_trait]
impl<B: Between> Group for GuardedGroup<B> {
    fn now(&self) -> Timestamp {
        self.inner.now()
    }

    fn feed(&self, tenant: TenantId) -> &Feed {
        self.feeds.get(&tenant).unwrap_or(&self.nothing)
    }

    async fn record(&mut self, tenant: TenantId, key: RecordKey) -> Result<Option<RecordRow>, StoreError> {
        self.between.pass(Call::reading("record of a group"), self.inner.record(tenant, key)).await
    }

    async fn names(
        &mut self,
        tenant: TenantId,
        directory: DirKey,
        limit: usize,
    ) -> Result<Vec<(RecordKey, Vec<u8>)>, StoreError> {
        self.between.pass(Call::reading("names of a group"), self.inner.names(tenant, directory, limit)).await
    }

    async fn holds(&mut self, fence: Fence) -> Result<bool, StoreError> {
        self.between.pass(Call::reading("holds of a group"), self.inner.holds(fence)).await
    }

    async fn commit(self: Box<Self>, batches: Vec<Batch>, structural: Vec<Structural>) -> Result<(), StoreError> {
        let Self { inner, between, .. } = *self;
        between.pass(Call::changing("commit"), inner.commit(batches, structural)).await
    }

    async fn rollback(self: Box<Self>) {
        self.inner.rollback().await;
    }
}
