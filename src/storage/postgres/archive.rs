//! What is written about the archive, and what leaves the database because it is there.

use std::time::Duration;

use super::super::cells;
use super::super::{Archived, Fence, StoreError};
use super::PostgresStore;
use super::session::{Purpose, Session, within};
use crate::id::TenantId;
use crate::time::Timestamp;

/// How long pruning some rows may take.
const PRUNE_WAIT: Duration = Duration::from_mins(1);

impl PostgresStore {
    async fn archiving(&self, tenant: TenantId, under: Option<Fence>) -> Result<Session, StoreError> {
        let mut session = Session::open(&self.link, &self.key, Purpose::Write { locked: &[] }, &[tenant]).await?;
        session.under(under).await?;
        Ok(session)
    }

    pub(super) async fn insert_archived(
        &self,
        tenant: TenantId,
        archived: &Archived,
        under: Option<Fence>,
    ) -> Result<bool, StoreError> {
        let mut session = self.archiving(tenant, under).await?;
        let text = "INSERT INTO strongroom.archived (tenant_id, size, first_index, first_seq, last_seq, time, bytes, digest, epoch) \
                    SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9 \
                    WHERE EXISTS (SELECT FROM strongroom.tenant WHERE tenant_id = $1 AND state <> 2) ON CONFLICT DO NOTHING";
        let inserting = cells::inserting_archived(text, &tenant, archived)?.execute(session.connection()?);
        let added = within(inserting).await?.rows_affected() > 0;
        session.commit().await?;
        Ok(added)
    }

    pub(super) async fn prune_rows(
        &self,
        tenant: TenantId,
        (from, to): (i64, i64),
        before: Timestamp,
        under: Option<Fence>,
    ) -> Result<u64, StoreError> {
        let mut session = self.archiving(tenant, under).await?;
        let pruning = sqlx::query_scalar("SELECT strongroom.log_prune($1, $2, $3, $4)")
            .bind(&tenant.0[..])
            .bind(from)
            .bind(to)
            .bind(before.0)
            .fetch_one(session.connection()?);
        let pruned: i64 = match tokio::time::timeout(PRUNE_WAIT, pruning).await {
            Ok(Err(sqlx::Error::Database(answer))) if answer.code().as_deref() == Some("SR003") => {
                return Err(StoreError::Misused("rows that are to be kept, or are not in the archive"));
            }
            Ok(pruned) => pruned?,
            Err(_) => return Err(StoreError::unavailable("pruning took too long: use fewer rows")),
        };
        session.commit().await?;
        Ok(u64::try_from(pruned).unwrap_or(0))
    }

    pub(super) async fn delete_archived(&self, tenant: TenantId, under: Option<Fence>) -> Result<(), StoreError> {
        let mut session = self.archiving(tenant, under).await?;
        let deleting = sqlx::query("SELECT strongroom.forget_archived($1)").bind(&tenant.0[..]).execute(session.connection()?);
        within(deleting).await?;
        session.commit().await
    }
}
