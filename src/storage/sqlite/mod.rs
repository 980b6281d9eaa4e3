//! The embedded store: one file, one server, one writer.
//!
//! Owns: the file, its lock, its one writing connection, a few reading ones, checkpoints.
//! Must not: let two groups overlap. Every commit is on disk (`synchronous=FULL`, write-ahead log) when it returns.
//! The walls between tenants are the tenant predicate of every statement and the sealed envelopes: there is no row security.

mod archive;
mod erase;
mod examine;
mod group;
mod heads;
mod lease;
mod maintenance;
mod open;
mod read;
mod restore;
mod script;
mod writer;

use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use sqlx::sqlite::SqlitePoolOptions;
use sqlx::{ConnectOptions as _, Connection as _, SqlitePool};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::task::AbortHandle;

use super::cells::{bounds, limit as rows_limit, stored};
use super::{
    Archived, Beat, Census, Checkpoint, Cosignature, Deployment, DeploymentTree, Fence, Fill, Glance, Group, KeptLeaves, Known,
    LogRow, NewTenant, Outlook, RecordRow, Restored, Store, StoreError, Structural, TenantRow, TenantState,
};
use crate::audit::head::TenantHead;
use crate::id::{ReplicaId, TenantId};
use crate::record::{DirKey, RecordKey};
use crate::time::{Clock, Timestamp};
use writer::Writer;

pub use examine::{Examined, examine};

const READERS: u32 = 4;
/// How long a group waits for the one before it.
const WRITER_WAIT: Duration = Duration::from_secs(10);
/// How many of a tenant's newest log rows are searched for a group whose outcome is unknown.
const COMMITTED_ROWS_MAX: i64 = 1024;

/// Changes a database behind its server's back.
#[cfg(test)]
pub(crate) async fn tamper(path: &Path, statement: &'static str) {
    let mut connection = open::options(path).connect().await.unwrap();
    sqlx::raw_sql(statement).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

/// The embedded store.
pub struct SqliteStore {
    writer: Arc<Mutex<Writer>>,
    readers: SqlitePool,
    clock: Arc<dyn Clock>,
    commits: Arc<AtomicU64>,
    checkpoints: AbortHandle,
    _lock: open::Lock,
}

impl SqliteStore {
    /// Opens the file, makes it when it is not there, and brings its schema up to date.
    /// `Refused` when another server has it, or it is not ours, or it is of a newer version.
    pub async fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        Self::open_bounded(path, clock, maintenance::WAL_BYTES_MAX).await
    }

    /// The same, with another size past which the write-ahead log is emptied, in bytes.
    pub async fn open_bounded(path: &Path, clock: Arc<dyn Clock>, wal_bytes_max: u64) -> Result<Self, StoreError> {
        let lock = open::Lock::take(path)?;
        open::create(path)?;
        let options = open::options(path);
        let mut connection = options.clone().pragma("cache_size", open::WRITER_CACHE).connect().await?;
        open::migrate(&mut connection, path).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .min_connections(1)
            .acquire_timeout(WRITER_WAIT)
            .test_before_acquire(false)
            .connect_with(options.clone().pragma("query_only", "ON"))
            .await?;
        let writer = Arc::new(Mutex::new(Writer::new(connection)));
        let commits = Arc::new(AtomicU64::new(0));
        let checkpoints = maintenance::Checkpoints {
            connection: options.connect().await?,
            writer: Arc::clone(&writer),
            wal: open::suffixed(path, "-wal"),
            wal_bytes_max,
            commits: Arc::clone(&commits),
        };
        let checkpoints = tokio::spawn(checkpoints.run()).abort_handle();
        Ok(Self { writer, readers, clock, commits, checkpoints, _lock: lock })
    }

    async fn writer(&self) -> Result<OwnedMutexGuard<Writer>, StoreError> {
        if self.readers.is_closed() {
            return Err(StoreError::unavailable("the store is closed"));
        }
        let waiting = tokio::time::timeout(WRITER_WAIT, Arc::clone(&self.writer).lock_owned());
        waiting.await.map_err(|_| StoreError::unavailable("the group before did not end in time"))
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        self.checkpoints.abort();
    }
}

#[async_trait]
impl Store for SqliteStore {
    fn kind(&self) -> &'static str {
        "sqlite"
    }

    fn is_shared(&self) -> bool {
        false
    }

    fn is_away(&self) -> bool {
        false
    }

    async fn deployment(&self) -> Result<Option<Deployment>, StoreError> {
        read::deployment(&self.readers).await
    }

    async fn initialise(&self, deployment: &Deployment, tenants: &[NewTenant]) -> Result<bool, StoreError> {
        let mut writer = self.writer().await?;
        let mut transaction = writer.connection().await?.begin_with("BEGIN IMMEDIATE").await?;
        let inserted = sqlx::query(
            "INSERT INTO deployment (only_row, id, root, edge, dev, seal, format) VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6) \
             ON CONFLICT DO NOTHING",
        )
        .bind(&deployment.id.0[..])
        .bind(&deployment.root.0[..])
        .bind(&deployment.edge.0[..])
        .bind(i64::from(deployment.dev))
        .bind(&deployment.seal[..])
        .bind(i64::from(deployment.format))
        .execute(&mut *transaction)
        .await?;
        if inserted.rows_affected() == 0 {
            transaction.rollback().await?;
            return Ok(false);
        }
        for tenant in tenants {
            writer::change_tenant(&mut transaction, &Structural::Create(tenant.clone())).await?;
        }
        transaction.commit().await.map_err(|error| StoreError::from(error).at_commit())?;
        Ok(true)
    }

    async fn replace_seal(&self, before: &[u8], after: &[u8]) -> Result<bool, StoreError> {
        let mut writer = self.writer().await?;
        let connection = writer.connection().await?;
        let replacing = sqlx::query("UPDATE deployment SET seal = ?2 WHERE seal = ?1").bind(before).bind(after);
        Ok(replacing.execute(connection).await?.rows_affected() > 0)
    }

    async fn tenant(&self, tenant: TenantId) -> Result<Option<TenantRow>, StoreError> {
        read::tenant(&self.readers, tenant).await
    }

    async fn record(&self, tenant: TenantId, key: RecordKey) -> Result<Fill<Option<RecordRow>>, StoreError> {
        read::record(&self.readers, tenant, key).await
    }

    async fn names(
        &self,
        tenant: TenantId,
        directory: DirKey,
        after: Option<RecordKey>,
        limit: usize,
    ) -> Result<Fill<Vec<(RecordKey, Vec<u8>)>>, StoreError> {
        read::names(&self.readers, tenant, directory, after, limit).await
    }

    async fn records(
        &self,
        tenant: TenantId,
        after: Option<RecordKey>,
        limit: usize,
    ) -> Result<Fill<Vec<RecordRow>>, StoreError> {
        read::records(&self.readers, tenant, after, limit).await
    }

    async fn begin(&self, tenants: &[Known]) -> Result<Box<dyn Group>, StoreError> {
        let writer = self.writer().await?;
        let group = group::SqliteGroup::open(writer, tenants, self.clock.now(), Arc::clone(&self.commits)).await?;
        Ok(Box::new(group))
    }

    async fn committed(&self, tenants: &[TenantId], group: [u8; 16]) -> Result<bool, StoreError> {
        let mut writer = self.writer().await?;
        for tenant in tenants {
            let connection = writer.connection().await?;
            let found: i64 = sqlx::query_scalar(
                "SELECT count(*) FROM (SELECT group_id FROM log WHERE tenant_id = ?1 ORDER BY seq DESC LIMIT +?3) WHERE group_id = ?2",
            )
            .bind(&tenant.0[..])
            .bind(&group[..])
            .bind(COMMITTED_ROWS_MAX)
            .fetch_one(connection)
            .await?;
            if found > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn occupied(&self, tenant: TenantId, directories: &[DirKey]) -> Result<Vec<bool>, StoreError> {
        read::occupied(&self.readers, tenant, directories).await
    }

    async fn expired(
        &self,
        tenant: TenantId,
        times: RangeInclusive<Timestamp>,
        limit: usize,
    ) -> Result<Vec<(Timestamp, RecordKey)>, StoreError> {
        read::expired(&self.readers, tenant, times, limit).await
    }

    async fn next_expiry(&self, tenant: TenantId) -> Result<Option<Timestamp>, StoreError> {
        read::next_expiry(&self.readers, tenant).await
    }

    async fn tenants_in(&self, state: TenantState, limit: usize) -> Result<Vec<TenantId>, StoreError> {
        read::tenants_in(&self.readers, state, limit).await
    }

    async fn beat(&self, beat: &Beat) -> Result<Census, StoreError> {
        self.take_leases(beat).await
    }

    async fn leave(&self, _replica: ReplicaId) -> Result<(), StoreError> {
        Ok(())
    }

    async fn outlook(&self, tenants: &[TenantId]) -> Result<Vec<Outlook>, StoreError> {
        self.read_outlook(tenants).await
    }

    async fn erase_chunk(&self, tenant: TenantId, limit: usize, under: Option<Fence>) -> Result<u64, StoreError> {
        self.erase_rows(tenant, rows_limit(limit), under).await
    }

    async fn kept_leaves(&self, tenant: TenantId, below: u64, limit: usize) -> Result<Vec<KeptLeaves>, StoreError> {
        read::kept_leaves(&self.readers, tenant, bounds(&(0..=below)).1, limit).await
    }

    async fn log(&self, tenant: TenantId, from_seq: u64, limit: usize) -> Result<Vec<LogRow>, StoreError> {
        read::log(&self.readers, tenant, stored(from_seq)?, limit).await
    }

    async fn glance(
        &self,
        tenant: TenantId,
        seqs: RangeInclusive<u64>,
        newest_first: bool,
        limit: usize,
        opening: bool,
    ) -> Result<Vec<Glance>, StoreError> {
        read::glance(&self.readers, tenant, bounds(&seqs), newest_first, limit, opening).await
    }

    async fn checkpoints(
        &self,
        tenant: TenantId,
        sizes: RangeInclusive<u64>,
        largest_first: bool,
        limit: usize,
    ) -> Result<Vec<Checkpoint>, StoreError> {
        read::checkpoints(&self.readers, tenant, bounds(&sizes), largest_first, limit).await
    }

    async fn add_checkpoint(&self, tenant: TenantId, checkpoint: &Checkpoint, under: Option<Fence>) -> Result<bool, StoreError> {
        let mut writer = self.writer().await?;
        writer.under(under).await?;
        let text = "INSERT INTO checkpoint (tenant_id, size, root, note) SELECT ?1, ?2, ?3, ?4 \
                    WHERE EXISTS (SELECT 1 FROM tenant WHERE tenant_id = ?1 AND state <> 2) ON CONFLICT DO NOTHING";
        let inserting = sqlx::query(text)
            .bind(&tenant.0[..])
            .bind(stored(checkpoint.size)?)
            .bind(&checkpoint.root[..])
            .bind(&checkpoint.note[..]);
        let done = inserting.execute(writer.connection().await?).await.map_err(|error| StoreError::from(error).at_commit())?;
        self.commits.fetch_add(1, Ordering::Relaxed);
        Ok(done.rows_affected() > 0)
    }

    async fn heads(&self, root: TenantId, from: u64, limit: usize) -> Result<Vec<TenantHead>, StoreError> {
        self.read_heads(root, stored(from)?, limit).await
    }

    async fn head_of(
        &self,
        root: TenantId,
        tenant: TenantId,
        before: u64,
        size: u64,
    ) -> Result<Option<(u64, TenantHead)>, StoreError> {
        self.read_head_of(root, tenant, bounds(&(before..=size))).await
    }

    async fn deployment_trees(
        &self,
        root: TenantId,
        sizes: RangeInclusive<u64>,
        limit: usize,
    ) -> Result<Vec<DeploymentTree>, StoreError> {
        self.read_deployment_trees(root, bounds(&sizes), limit).await
    }

    async fn add_heads(
        &self,
        root: TenantId,
        heads: &[TenantHead],
        tree: &DeploymentTree,
        under: Option<Fence>,
    ) -> Result<bool, StoreError> {
        self.insert_heads(root, heads, tree, under).await
    }

    async fn cosignatures(&self, root: TenantId, limit: usize) -> Result<Vec<Cosignature>, StoreError> {
        self.read_cosignatures(root, limit).await
    }

    async fn add_cosignature(&self, root: TenantId, cosignature: &Cosignature, under: Option<Fence>) -> Result<(), StoreError> {
        self.insert_cosignature(root, cosignature, under).await
    }

    async fn archived(
        &self,
        tenant: TenantId,
        sizes: RangeInclusive<u64>,
        largest_first: bool,
        limit: usize,
    ) -> Result<Vec<Archived>, StoreError> {
        read::archived(&self.readers, tenant, bounds(&sizes), largest_first, limit).await
    }

    async fn add_archived(&self, tenant: TenantId, archived: &Archived, under: Option<Fence>) -> Result<bool, StoreError> {
        self.insert_archived(tenant, archived, under).await
    }

    async fn prune(
        &self,
        tenant: TenantId,
        seqs: RangeInclusive<u64>,
        before: Timestamp,
        under: Option<Fence>,
    ) -> Result<u64, StoreError> {
        self.prune_rows(tenant, bounds(&seqs), before, under).await
    }

    async fn forget_archived(&self, tenant: TenantId, under: Option<Fence>) -> Result<(), StoreError> {
        self.delete_archived(tenant, under).await
    }

    async fn tenants(&self, after: Option<TenantId>, limit: usize) -> Result<Vec<TenantId>, StoreError> {
        read::tenants(&self.readers, after, limit).await
    }

    async fn restore(&self, tenant: TenantId, rows: Restored) -> Result<(), StoreError> {
        self.write_restored(tenant, rows).await
    }

    async fn close(&self) {
        self.checkpoints.abort();
        self.readers.close().await;
        let Ok(mut writer) = tokio::time::timeout(WRITER_WAIT, self.writer.lock()).await else { return };
        // The last word before the file is left: everything into the database file, and the log cut to nothing.
        if let Ok(connection) = writer.connection().await
            && let Err(error) = sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)").execute(connection).await
        {
            tracing::warn!(%error, "the closing checkpoint did not succeed; the next start does it");
        }
    }
}
