//! What is written about the archive, and what leaves the database because it is there. The schema's triggers hold to it, too.

use std::sync::atomic::Ordering;

use super::super::cells;
use super::super::{Archived, Fence, StoreError};
use super::SqliteStore;
use crate::id::TenantId;
use crate::time::Timestamp;

impl SqliteStore {
    pub(super) async fn insert_archived(
        &self,
        tenant: TenantId,
        archived: &Archived,
        under: Option<Fence>,
    ) -> Result<bool, StoreError> {
        let mut writer = self.writer().await?;
        writer.under(under).await?;
        let text = "INSERT INTO archived (tenant_id, size, first_index, first_seq, last_seq, time, bytes, digest, epoch) \
                    SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9 \
                    WHERE EXISTS (SELECT 1 FROM tenant WHERE tenant_id = ?1 AND state <> 2) ON CONFLICT DO NOTHING";
        let done = cells::inserting_archived(text, &tenant, archived)?.execute(writer.connection().await?).await?;
        self.commits.fetch_add(1, Ordering::Relaxed);
        Ok(done.rows_affected() > 0)
    }

    pub(super) async fn prune_rows(
        &self,
        tenant: TenantId,
        (from, to): (i64, i64),
        before: Timestamp,
        under: Option<Fence>,
    ) -> Result<u64, StoreError> {
        let mut writer = self.writer().await?;
        writer.under(under).await?;
        let connection = writer.connection().await?;
        let kept: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM log WHERE tenant_id = ?1 AND seq = ?2 AND (time >= ?3 \
             OR first_index + count >= coalesce((SELECT max(size) FROM checkpoint WHERE tenant_id = ?1), 0) \
             OR NOT EXISTS (SELECT 1 FROM archived WHERE tenant_id = ?1 AND last_seq >= ?2))",
        )
        .bind(&tenant.0[..])
        .bind(to)
        .bind(before.0)
        .fetch_one(&mut *connection)
        .await?;
        if kept > 0 {
            return Err(StoreError::Misused("rows that are to be kept, or are not in the archive"));
        }
        let text = "UPDATE log SET batch = x'' WHERE tenant_id = ?1 AND seq >= ?2 AND seq <= ?3 AND length(batch) > 0";
        let done = sqlx::query(text).bind(&tenant.0[..]).bind(from).bind(to).execute(connection).await?;
        self.commits.fetch_add(1, Ordering::Relaxed);
        Ok(done.rows_affected())
    }

    pub(super) async fn delete_archived(&self, tenant: TenantId, under: Option<Fence>) -> Result<(), StoreError> {
        let mut writer = self.writer().await?;
        writer.under(under).await?;
        let deleting = sqlx::query("DELETE FROM archived WHERE tenant_id = ?1").bind(&tenant.0[..]);
        deleting.execute(writer.connection().await?).await?;
        self.commits.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}
