//! The deployment's log: what is read of it and appended to it.

use std::sync::atomic::Ordering;

use sqlx::Connection as _;

use super::super::cells::{self, limit as rows_limit, stored};
use super::super::{Cosignature, DeploymentTree, Fence, StoreError};
use super::SqliteStore;
use crate::audit::head::TenantHead;
use crate::id::TenantId;

impl SqliteStore {
    pub(super) async fn read_heads(&self, root: TenantId, from: i64, limit: usize) -> Result<Vec<TenantHead>, StoreError> {
        let text = "SELECT place, head_of, epoch, size, root FROM tenant_head WHERE tenant_id = ?1 AND place >= ?2 \
                    ORDER BY place LIMIT +?3";
        let reading = sqlx::query(text).bind(&root.0[..]).bind(from).bind(rows_limit(limit));
        reading.fetch_all(&self.readers).await?.iter().map(|row| cells::head(row).map(|(_, head)| head)).collect()
    }

    pub(super) async fn read_head_of(
        &self,
        root: TenantId,
        tenant: TenantId,
        (before, size): (i64, i64),
    ) -> Result<Option<(u64, TenantHead)>, StoreError> {
        let text = "SELECT place, head_of, epoch, size, root FROM tenant_head \
                    WHERE tenant_id = ?1 AND head_of = ?2 AND place < ?3 AND size <= ?4 ORDER BY place DESC LIMIT 1";
        let reading = sqlx::query(text).bind(&root.0[..]).bind(&tenant.0[..]).bind(before).bind(size);
        reading.fetch_optional(&self.readers).await?.map(|row| cells::head(&row)).transpose()
    }

    pub(super) async fn read_deployment_trees(
        &self,
        root: TenantId,
        (first, last): (i64, i64),
        limit: usize,
    ) -> Result<Vec<DeploymentTree>, StoreError> {
        let text = "SELECT size, frontier, note FROM deployment_tree \
                    WHERE tenant_id = ?1 AND size >= ?2 AND size <= ?3 ORDER BY size DESC LIMIT +?4";
        let reading = sqlx::query(text).bind(&root.0[..]).bind(first).bind(last).bind(rows_limit(limit));
        reading.fetch_all(&self.readers).await?.iter().map(cells::deployment_tree).collect()
    }

    pub(super) async fn insert_heads(
        &self,
        root: TenantId,
        heads: &[TenantHead],
        tree: &DeploymentTree,
        under: Option<Fence>,
    ) -> Result<bool, StoreError> {
        let first = tree.size.checked_sub(heads.len() as u64).ok_or(StoreError::Misused("a tree smaller than its heads"))?;
        let mut writer = self.writer().await?;
        writer.under(under).await?;
        let mut transaction = writer.connection().await?.begin_with("BEGIN IMMEDIATE").await?;
        for (place, head) in (first..).zip(heads) {
            let text = "INSERT INTO tenant_head (tenant_id, place, head_of, epoch, size, root) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
                        ON CONFLICT DO NOTHING";
            let inserting = sqlx::query(text)
                .bind(&root.0[..])
                .bind(stored(place)?)
                .bind(&head.tenant.0[..])
                .bind(i64::from(head.epoch))
                .bind(stored(head.size)?)
                .bind(&head.root[..]);
            if inserting.execute(&mut *transaction).await?.rows_affected() == 0 {
                return Ok(false);
            }
        }
        let text = "INSERT INTO deployment_tree (tenant_id, size, frontier, note) VALUES (?1, ?2, ?3, ?4)";
        let inserting =
            sqlx::query(text).bind(&root.0[..]).bind(stored(tree.size)?).bind(&tree.frontier[..]).bind(&tree.note[..]);
        inserting.execute(&mut *transaction).await?;
        transaction.commit().await.map_err(|error| StoreError::from(error).at_commit())?;
        self.commits.fetch_add(1, Ordering::Relaxed);
        Ok(true)
    }

    pub(super) async fn read_cosignatures(&self, root: TenantId, limit: usize) -> Result<Vec<Cosignature>, StoreError> {
        let text = "SELECT size, witness, line FROM cosignature WHERE tenant_id = ?1 ORDER BY size DESC, witness LIMIT +?2";
        let reading = sqlx::query(text).bind(&root.0[..]).bind(rows_limit(limit));
        reading.fetch_all(&self.readers).await?.iter().map(cells::cosignature).collect()
    }

    pub(super) async fn insert_cosignature(
        &self,
        root: TenantId,
        cosignature: &Cosignature,
        under: Option<Fence>,
    ) -> Result<(), StoreError> {
        let mut writer = self.writer().await?;
        writer.under(under).await?;
        let text = "INSERT INTO cosignature (tenant_id, size, witness, line) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING";
        let inserting = sqlx::query(text)
            .bind(&root.0[..])
            .bind(stored(cosignature.size)?)
            .bind(&cosignature.witness)
            .bind(&cosignature.line);
        inserting.execute(writer.connection().await?).await.map_err(|error| StoreError::from(error).at_commit())?;
        self.commits.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}
