//! A group: the writing connection, held. Nothing is begun until the commit, so a group that only looks costs nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use tokio::sync::OwnedMutexGuard;

use super::super::cells::{limit as rows_limit, names, record};
use super::super::plan::Plan;
use super::super::{Batch, Feed, Fence, Group, Known, RecordRow, StoreError, Structural};
use super::writer::Writer;
use crate::id::TenantId;
use crate::record::{DirKey, RecordKey};
use crate::time::Timestamp;

pub(super) struct SqliteGroup {
    writer: OwnedMutexGuard<Writer>,
    feeds: HashMap<TenantId, Feed>,
    nothing: Feed,
    now: Timestamp,
    commits: Arc<AtomicU64>,
}

impl SqliteGroup {
    pub(super) async fn open(
        mut writer: OwnedMutexGuard<Writer>,
        tenants: &[Known],
        now: Timestamp,
        commits: Arc<AtomicU64>,
    ) -> Result<Self, StoreError> {
        let mut feeds = HashMap::with_capacity(tenants.len());
        for known in tenants {
            feeds.insert(known.tenant, writer.feed(*known).await?);
        }
        Ok(Self { writer, feeds, nothing: Feed::default(), now, commits })
    }
}

#[async_trait]
impl Group for SqliteGroup {
    fn now(&self) -> Timestamp {
        self.now
    }

    fn feed(&self, tenant: TenantId) -> &Feed {
        self.feeds.get(&tenant).unwrap_or(&self.nothing)
    }

    async fn record(&mut self, tenant: TenantId, key: RecordKey) -> Result<Option<RecordRow>, StoreError> {
        let connection = self.writer.connection().await?;
        let row = sqlx::query("SELECT dir, seq, expires_at, name, sealed FROM record WHERE tenant_id = ?1 AND key = ?2")
            .bind(&tenant.0[..])
            .bind(&key.0[..])
            .fetch_optional(connection)
            .await?;
        row.map_or(Ok(None), |row| record(key, &row, 0))
    }

    async fn names(
        &mut self,
        tenant: TenantId,
        directory: DirKey,
        limit: usize,
    ) -> Result<Vec<(RecordKey, Vec<u8>)>, StoreError> {
        let connection = self.writer.connection().await?;
        let rows = sqlx::query(
            "SELECT key, name FROM record WHERE tenant_id = ?1 AND dir = ?2 AND dir <> zeroblob(32) ORDER BY key LIMIT +?3",
        )
        .bind(&tenant.0[..])
        .bind(&directory.0[..])
        .bind(rows_limit(limit))
        .fetch_all(connection)
        .await?;
        names(&rows, 0)
    }

    async fn holds(&mut self, fence: Fence) -> Result<bool, StoreError> {
        self.writer.holds(fence).await
    }

    async fn commit(mut self: Box<Self>, batches: Vec<Batch>, structural: Vec<Structural>) -> Result<(), StoreError> {
        let plan = Plan::new(batches, &structural, &self.feeds)?;
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.writer.apply(plan, structural).await
    }

    async fn rollback(self: Box<Self>) {}
}
