//! A store as a server has it that dies: from a certain call on nothing reaches the store behind it.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use strongroom::audit::head::TenantHead;
use strongroom::id::TenantId;
use strongroom::record::{DirKey, RecordKey};
use strongroom::storage::{
    Archived, Batch, Cause, Checkpoint, Cosignature, Deployment, DeploymentTree, Feed, Fill, Glance, Group, KeptLeaves, Known,
    LogRow, NewTenant, RecordRow, Restored, Store, StoreError, Structural, TenantRow, TenantState,
};
use strongroom::time::Timestamp;

/// When a server dies, by the number of calls that change the store, from 1.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ends {
    /// Before this one has any effect.
    Before(u64),
    /// When it is durable, and before the server hears of it.
    Behind(u64),
}

/// The life of one server.
#[derive(Default)]
pub(super) struct Life {
    changes: AtomicU64,
    before: AtomicU64,
    behind: AtomicU64,
    dead: AtomicBool,
}

impl Life {
    /// It ends so, counted from now on.
    pub(super) fn arm(&self, ends: Ends) {
        self.changes.store(0, Ordering::SeqCst);
        match ends {
            Ends::Before(number) => self.before.store(number, Ordering::SeqCst),
            Ends::Behind(number) => self.behind.store(number, Ordering::SeqCst),
        }
    }

    pub(super) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }

    fn check(&self) -> Result<(), StoreError> {
        if self.is_dead() { Err(StoreError::Unavailable(Cause::text("the server has died"))) } else { Ok(()) }
    }

    fn die(&self) -> StoreError {
        self.dead.store(true, Ordering::SeqCst);
        // Not `Unknown`: nobody is left to ask for the outcome.
        StoreError::Unavailable(Cause::text("the server has died"))
    }

    async fn change<T>(&self, call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        self.check()?;
        let number = self.changes.fetch_add(1, Ordering::SeqCst) + 1;
        if number == self.before.load(Ordering::SeqCst) {
            return Err(self.die());
        }
        let done = call.await;
        if number == self.behind.load(Ordering::SeqCst) { Err(self.die()) } else { done }
    }
}

pub(super) struct Mortal {
    pub(super) inner: Arc<dyn Store>,
    pub(super) life: Arc<Life>,
}

#[async_trait]
impl Store for Mortal {
    fn kind(&self) -> &'static str {
        self.inner.kind()
    }

    async fn deployment(&self) -> Result<Option<Deployment>, StoreError> {
        self.life.check()?;
        self.inner.deployment().await
    }

    async fn initialise(&self, deployment: &Deployment, tenants: &[NewTenant]) -> Result<bool, StoreError> {
        self.life.change(self.inner.initialise(deployment, tenants)).await
    }

    async fn replace_seal(&self, before: &[u8], after: &[u8]) -> Result<bool, StoreError> {
        self.life.change(self.inner.replace_seal(before, after)).await
    }

    async fn tenant(&self, tenant: TenantId) -> Result<Option<TenantRow>, StoreError> {
        self.life.check()?;
        self.inner.tenant(tenant).await
    }

    async fn record(&self, tenant: TenantId, key: RecordKey) -> Result<Fill<Option<RecordRow>>, StoreError> {
        self.life.check()?;
        self.inner.record(tenant, key).await
    }

    async fn names(
        &self,
        tenant: TenantId,
        directory: DirKey,
        after: Option<RecordKey>,
        limit: usize,
    ) -> Result<Fill<Vec<(RecordKey, Vec<u8>)>>, StoreError> {
        self.life.check()?;
        self.inner.names(tenant, directory, after, limit).await
    }

    async fn records(
        &self,
        tenant: TenantId,
        after: Option<RecordKey>,
        limit: usize,
    ) -> Result<Fill<Vec<RecordRow>>, StoreError> {
        self.life.check()?;
        self.inner.records(tenant, after, limit).await
    }

    async fn begin(&self, tenants: &[Known]) -> Result<Box<dyn Group>, StoreError> {
        self.life.check()?;
        let inner = self.inner.begin(tenants).await?;
        Ok(Box::new(MortalGroup { inner, life: Arc::clone(&self.life) }))
    }

    async fn committed(&self, tenants: &[TenantId], group: [u8; 16]) -> Result<bool, StoreError> {
        self.life.check()?;
        self.inner.committed(tenants, group).await
    }

    async fn expired(&self, tenant: TenantId, before: Timestamp, limit: usize) -> Result<Vec<RecordKey>, StoreError> {
        self.life.check()?;
        self.inner.expired(tenant, before, limit).await
    }

    async fn next_expiry(&self, tenant: TenantId) -> Result<Option<Timestamp>, StoreError> {
        self.life.check()?;
        self.inner.next_expiry(tenant).await
    }

    async fn tenants_in(&self, state: TenantState, limit: usize) -> Result<Vec<TenantId>, StoreError> {
        self.life.check()?;
        self.inner.tenants_in(state, limit).await
    }

    async fn erase_chunk(&self, tenant: TenantId, limit: usize) -> Result<u64, StoreError> {
        self.life.change(self.inner.erase_chunk(tenant, limit)).await
    }

    async fn kept_leaves(&self, tenant: TenantId, below: u64, limit: usize) -> Result<Vec<KeptLeaves>, StoreError> {
        self.life.check()?;
        self.inner.kept_leaves(tenant, below, limit).await
    }

    async fn log(&self, tenant: TenantId, from_seq: u64, limit: usize) -> Result<Vec<LogRow>, StoreError> {
        self.life.check()?;
        self.inner.log(tenant, from_seq, limit).await
    }

    async fn glance(
        &self,
        tenant: TenantId,
        seqs: RangeInclusive<u64>,
        newest_first: bool,
        limit: usize,
    ) -> Result<Vec<Glance>, StoreError> {
        self.life.check()?;
        self.inner.glance(tenant, seqs, newest_first, limit).await
    }

    async fn checkpoints(
        &self,
        tenant: TenantId,
        sizes: RangeInclusive<u64>,
        largest_first: bool,
        limit: usize,
    ) -> Result<Vec<Checkpoint>, StoreError> {
        self.life.check()?;
        self.inner.checkpoints(tenant, sizes, largest_first, limit).await
    }

    async fn add_checkpoint(&self, tenant: TenantId, checkpoint: &Checkpoint) -> Result<bool, StoreError> {
        self.life.change(self.inner.add_checkpoint(tenant, checkpoint)).await
    }

    async fn archived(
        &self,
        tenant: TenantId,
        sizes: RangeInclusive<u64>,
        largest_first: bool,
        limit: usize,
    ) -> Result<Vec<Archived>, StoreError> {
        self.life.check()?;
        self.inner.archived(tenant, sizes, largest_first, limit).await
    }

    async fn add_archived(&self, tenant: TenantId, archived: &Archived) -> Result<bool, StoreError> {
        self.life.change(self.inner.add_archived(tenant, archived)).await
    }

    async fn prune(&self, tenant: TenantId, seqs: RangeInclusive<u64>, before: Timestamp) -> Result<u64, StoreError> {
        self.life.change(self.inner.prune(tenant, seqs, before)).await
    }

    async fn forget_archived(&self, tenant: TenantId) -> Result<(), StoreError> {
        self.life.change(self.inner.forget_archived(tenant)).await
    }

    async fn heads(&self, root: TenantId, from: u64, limit: usize) -> Result<Vec<TenantHead>, StoreError> {
        self.life.check()?;
        self.inner.heads(root, from, limit).await
    }

    async fn head_of(
        &self,
        root: TenantId,
        tenant: TenantId,
        before: u64,
        size: u64,
    ) -> Result<Option<(u64, TenantHead)>, StoreError> {
        self.life.check()?;
        self.inner.head_of(root, tenant, before, size).await
    }

    async fn deployment_trees(
        &self,
        root: TenantId,
        sizes: RangeInclusive<u64>,
        limit: usize,
    ) -> Result<Vec<DeploymentTree>, StoreError> {
        self.life.check()?;
        self.inner.deployment_trees(root, sizes, limit).await
    }

    async fn add_heads(&self, root: TenantId, heads: &[TenantHead], tree: &DeploymentTree) -> Result<bool, StoreError> {
        self.life.change(self.inner.add_heads(root, heads, tree)).await
    }

    async fn cosignatures(&self, root: TenantId, limit: usize) -> Result<Vec<Cosignature>, StoreError> {
        self.life.check()?;
        self.inner.cosignatures(root, limit).await
    }

    async fn add_cosignature(&self, root: TenantId, cosignature: &Cosignature) -> Result<(), StoreError> {
        self.life.change(self.inner.add_cosignature(root, cosignature)).await
    }

    async fn tenants(&self, after: Option<TenantId>, limit: usize) -> Result<Vec<TenantId>, StoreError> {
        self.life.check()?;
        self.inner.tenants(after, limit).await
    }

    async fn restore(&self, tenant: TenantId, rows: Restored) -> Result<(), StoreError> {
        self.life.change(self.inner.restore(tenant, rows)).await
    }

    /// The next server has it.
    async fn close(&self) {}
}

struct MortalGroup {
    inner: Box<dyn Group>,
    life: Arc<Life>,
}

#[async_trait]
impl Group for MortalGroup {
    fn now(&self) -> Timestamp {
        self.inner.now()
    }

    fn feed(&self, tenant: TenantId) -> &Feed {
        self.inner.feed(tenant)
    }

    async fn record(&mut self, tenant: TenantId, key: RecordKey) -> Result<Option<RecordRow>, StoreError> {
        self.life.check()?;
        self.inner.record(tenant, key).await
    }

    async fn names(
        &mut self,
        tenant: TenantId,
        directory: DirKey,
        limit: usize,
    ) -> Result<Vec<(RecordKey, Vec<u8>)>, StoreError> {
        self.life.check()?;
        self.inner.names(tenant, directory, limit).await
    }

    async fn commit(self: Box<Self>, batches: Vec<Batch>, structural: Vec<Structural>) -> Result<(), StoreError> {
        let Self { inner, life } = *self;
        life.change(inner.commit(batches, structural)).await
    }

    async fn rollback(self: Box<Self>) {
        self.inner.rollback().await;
    }
}
