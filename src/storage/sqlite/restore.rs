//! Rows that another store had, written into one that no server uses.

use sqlx::Connection as _;

use super::super::cells::{self, stored};
use super::super::plan::Plan;
use super::super::{Restored, StoreError};
use super::SqliteStore;
use crate::id::TenantId;

const CHECKPOINT: &str = "INSERT INTO checkpoint (tenant_id, size, root, note) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING";
const ARCHIVED: &str = "INSERT INTO archived (tenant_id, size, first_index, first_seq, last_seq, time, bytes, digest, epoch) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT DO NOTHING";

impl SqliteStore {
    pub(super) async fn write_restored(&self, tenant: TenantId, rows: Restored) -> Result<(), StoreError> {
        let Restored { structural, changes, log, checkpoints, archived } = rows;
        let mut writer = self.writer().await?;
        writer.forget(tenant);
        writer.apply(Plan::restored(tenant, changes, log), structural).await?;
        writer.forget(tenant);
        if checkpoints.is_empty() && archived.is_empty() {
            return Ok(());
        }
        let mut transaction = writer.connection().await?.begin_with("BEGIN IMMEDIATE").await?;
        for found in &checkpoints {
            let inserting = sqlx::query(CHECKPOINT).bind(&tenant.0[..]).bind(stored(found.size)?);
            inserting.bind(&found.root[..]).bind(&found.note[..]).execute(&mut *transaction).await?;
        }
        for run in &archived {
            cells::inserting_archived(ARCHIVED, &tenant, run)?.execute(&mut *transaction).await?;
        }
        transaction.commit().await.map_err(|error| StoreError::from(error).at_commit())
    }
}
