//! Rows that another store had, written into one that no server uses; and which tenants there are.

use super::super::cells::{self, limit as rows_limit, stored};
use super::super::plan::Plan;
use super::super::{Restored, StoreError};
use super::PostgresStore;
use super::group;
use super::session::{Purpose, Session, within};
use crate::id::TenantId;

const CHECKPOINTS: &str = "INSERT INTO strongroom.checkpoint (tenant_id, size, root, note) \
    SELECT $1, * FROM unnest($2::int8[], $3::bytea[], $4::bytea[]) ON CONFLICT DO NOTHING";
const ARCHIVED: &str = "INSERT INTO strongroom.archived (tenant_id, size, first_index, first_seq, last_seq, time, bytes, digest, epoch) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING";

impl PostgresStore {
    pub(super) async fn write_restored(&self, tenant: TenantId, rows: Restored) -> Result<(), StoreError> {
        let Restored { structural, changes, log, checkpoints, archived } = rows;
        let mut session = Session::open(&self.link, &self.key, Purpose::Initialise, &[tenant]).await?;
        group::apply(&mut session, &Plan::restored(tenant, changes, log), &structural).await?;
        if !checkpoints.is_empty() {
            let sizes = checkpoints.iter().map(|found| stored(found.size)).collect::<Result<Vec<_>, _>>()?;
            let inserting = sqlx::query(CHECKPOINTS)
                .bind(&tenant.0[..])
                .bind(sizes)
                .bind(checkpoints.iter().map(|found| &found.root[..]).collect::<Vec<_>>())
                .bind(checkpoints.iter().map(|found| &found.note[..]).collect::<Vec<_>>());
            within(inserting.execute(session.connection()?)).await?;
        }
        for run in &archived {
            let inserting = cells::inserting_archived(ARCHIVED, &tenant, run)?;
            within(inserting.execute(session.connection()?)).await?;
        }
        session.commit().await
    }

    pub(super) async fn read_tenants(&self, after: Option<TenantId>, limit: usize) -> Result<Vec<TenantId>, StoreError> {
        let reading = sqlx::query("SELECT * FROM strongroom.tenants_after($1, $2)");
        let after = after.map_or_else(Vec::new, |after| after.0.to_vec());
        self.tenant_ids(reading.bind(after).bind(rows_limit(limit))).await
    }
}
