//! Erasing a tenant's rows, all but the leaf hashes of its log.

use std::sync::atomic::Ordering;

use sqlx::{Connection as _, SqliteConnection};

use super::super::cells::{self, Place};
use super::super::{Fence, KeptLeaves, StoreError, TenantState};
use super::SqliteStore;
use crate::id::TenantId;

impl SqliteStore {
    pub(super) async fn erase_rows(&self, tenant: TenantId, limit: i64, under: Option<Fence>) -> Result<u64, StoreError> {
        let mut writer = self.writer().await?;
        writer.under(under).await?;
        writer.forget(tenant);
        let mut transaction = writer.connection().await?.begin_with("BEGIN IMMEDIATE").await?;
        let state: Option<i64> = sqlx::query_scalar("SELECT state FROM tenant WHERE tenant_id = ?1")
            .bind(&tenant.0[..])
            .fetch_optional(&mut *transaction)
            .await?;
        match state.map(TenantState::from_code) {
            None => return Ok(0),
            Some(Some(TenantState::Erasing)) => {}
            Some(_) => return Err(StoreError::Misused("rows of a tenant that is not erasing")),
        }
        let records = "DELETE FROM record WHERE rowid IN (SELECT rowid FROM record WHERE tenant_id = ?1 LIMIT +?2)";
        // What is in the archive is deleted there first.
        let itself =
            "DELETE FROM tenant WHERE tenant_id = ?1 AND ?2 > 0 AND NOT EXISTS (SELECT 1 FROM archived WHERE tenant_id = ?1)";
        let mut deleted = delete(&mut transaction, records, tenant, limit).await?;
        if deleted == 0 {
            deleted = keep_leaves(&mut transaction, tenant, limit).await?;
        }
        if deleted == 0 {
            deleted = delete(&mut transaction, itself, tenant, limit).await?;
        }
        transaction.commit().await.map_err(|error| StoreError::from(error).at_commit())?;
        self.commits.fetch_add(1, Ordering::Relaxed);
        Ok(deleted)
    }
}

async fn delete(connection: &mut SqliteConnection, text: &'static str, tenant: TenantId, limit: i64) -> Result<u64, StoreError> {
    Ok(sqlx::query(text).bind(&tenant.0[..]).bind(limit).execute(connection).await?.rows_affected())
}

/// Deletes the oldest rows of the log, and keeps their leaves as one run. In the log's order, so that what is kept is always its
/// beginning.
async fn keep_leaves(connection: &mut SqliteConnection, tenant: TenantId, limit: i64) -> Result<u64, StoreError> {
    let text = "SELECT first_index, leaves, frontier, seq FROM log WHERE tenant_id = ?1 ORDER BY seq LIMIT +?2";
    let rows = sqlx::query(text).bind(&tenant.0[..]).bind(limit).fetch_all(&mut *connection).await?;
    let runs: Vec<KeptLeaves> = rows.iter().map(|row| cells::kept_leaves(tenant, row)).collect::<Result<_, _>>()?;
    let (Some(first), Some(last), Some(row)) = (runs.first(), runs.last(), rows.last()) else { return Ok(0) };
    let last_seq: i64 = Place { table: "log", row: &tenant.0 }.number(row, 3, "seq")?;
    // Rows that somebody has edited must not keep a tenant from being erased.
    let keeping = sqlx::query(
        "INSERT INTO erased_log (tenant_id, first_index, leaves, frontier) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
    );
    keeping
        .bind(&tenant.0[..])
        .bind(cells::stored(first.first_index)?)
        .bind(runs.iter().flat_map(|run| &run.leaves).copied().collect::<Vec<u8>>())
        .bind(&last.frontier[..])
        .execute(&mut *connection)
        .await?;
    delete(connection, "DELETE FROM log WHERE tenant_id = ?1 AND seq <= ?2", tenant, last_seq).await
}
