//! Leases where there is one server: it has them all, from its first word on and until another one opens the file.

use sqlx::SqliteConnection;

use super::super::cells::{self, stored};
use super::super::{Beat, Census, Fence, Outlook, Replica, StoreError};
use super::SqliteStore;
use super::writer::Writer;
use crate::id::TenantId;

const OUTLOOK: &str = "SELECT coalesce(l.seq, 0), coalesce(l.time, 0), coalesce(l.first_index + l.count, 0), \
    coalesce((SELECT max(size) FROM checkpoint WHERE tenant_id = ?1), 0), \
    (SELECT min(expires_at) FROM record WHERE tenant_id = ?1 AND expires_at IS NOT NULL) \
    FROM tenant t LEFT JOIN log l ON l.tenant_id = t.tenant_id AND l.seq = (SELECT max(seq) FROM log WHERE tenant_id = ?1) \
    WHERE t.tenant_id = ?1 AND t.state = 0";

impl SqliteStore {
    pub(super) async fn take_leases(&self, beat: &Beat) -> Result<Census, StoreError> {
        let mut writer = self.writer().await?;
        let connection = writer.connection().await?;
        for lease in &beat.wants {
            let taking = sqlx::query("UPDATE lease SET holder = ?1, epoch = epoch + 1 WHERE name = ?2 AND holder IS NOT ?1");
            let taking = taking.bind(&beat.replica.0[..]).bind(lease.word());
            taking.execute(&mut *connection).await.map_err(|error| StoreError::from(error).at_commit())?;
        }
        let rows = sqlx::query("SELECT name, holder, epoch FROM lease WHERE holder IS NOT NULL ORDER BY name")
            .fetch_all(connection)
            .await?;
        let leases = rows.iter().filter_map(|row| cells::lease(row).transpose()).collect::<Result<_, _>>()?;
        let now = self.clock.now();
        let Beat { replica: id, api_addr, hostname, version, asked, quotas, .. } = beat.clone();
        Ok(Census { replicas: vec![Replica { id, api_addr, hostname, version, asked, since: now, heard: now, quotas }], leases })
    }

    pub(super) async fn read_outlook(&self, tenants: &[TenantId]) -> Result<Vec<Outlook>, StoreError> {
        let mut found = Vec::with_capacity(tenants.len());
        for tenant in tenants {
            let row = sqlx::query(OUTLOOK).bind(&tenant.0[..]).fetch_optional(&self.readers).await?;
            found.extend(row.map(|row| cells::outlook(*tenant, &row, 0)).transpose()?);
        }
        Ok(found)
    }
}

impl Writer {
    /// Refuses when the lease has passed on. Whoever holds the writer is alone: it stays as it is until they give it back.
    pub(super) async fn under(&mut self, fence: Option<Fence>) -> Result<(), StoreError> {
        let Some(fence) = fence else { return Ok(()) };
        if self.holds(fence).await? { Ok(()) } else { Err(StoreError::Fenced(fence.lease)) }
    }

    pub(super) async fn holds(&mut self, fence: Fence) -> Result<bool, StoreError> {
        let connection: &mut SqliteConnection = self.connection().await?;
        let asking = sqlx::query("SELECT 1 FROM lease WHERE name = ?1 AND holder = ?2 AND epoch = ?3")
            .bind(fence.lease.word())
            .bind(&fence.holder.0[..])
            .bind(stored(fence.epoch)?);
        Ok(asking.fetch_optional(connection).await?.is_some())
    }
}
