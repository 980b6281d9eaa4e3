//! The deployment's log: what is read of it and appended to it.

use sqlx::postgres::PgRow;

use super::super::cells::{self, limit as rows_limit, stored};
use super::super::{Cosignature, DeploymentTree, Fence, StoreError};
use super::PostgresStore;
use super::read::rows;
use super::session::{Purpose, Session, within};
use crate::audit::head::TenantHead;
use crate::id::TenantId;

impl PostgresStore {
    pub(super) async fn read_heads(&self, root: TenantId, from: i64, limit: usize) -> Result<Vec<TenantHead>, StoreError> {
        let text = "SELECT place, head_of, epoch, size, root FROM strongroom.tenant_head \
                    WHERE tenant_id = $1 AND place >= $2 ORDER BY place LIMIT $3";
        rows!(self, root, text, from, rows_limit(limit)).iter().map(|row| cells::head(row).map(|(_, head)| head)).collect()
    }

    pub(super) async fn read_head_of(
        &self,
        root: TenantId,
        tenant: TenantId,
        (before, size): (i64, i64),
    ) -> Result<Option<(u64, TenantHead)>, StoreError> {
        let text = "SELECT place, head_of, epoch, size, root FROM strongroom.tenant_head \
                    WHERE tenant_id = $1 AND head_of = $2 AND place < $3 AND size <= $4 ORDER BY place DESC LIMIT 1";
        rows!(self, root, text, &tenant.0[..], before, size).first().map(cells::head).transpose()
    }

    pub(super) async fn read_deployment_trees(
        &self,
        root: TenantId,
        (first, last): (i64, i64),
        limit: usize,
    ) -> Result<Vec<DeploymentTree>, StoreError> {
        let text = "SELECT size, frontier, note FROM strongroom.deployment_tree \
                    WHERE tenant_id = $1 AND size >= $2 AND size <= $3 ORDER BY size DESC LIMIT $4";
        rows!(self, root, text, first, last, rows_limit(limit)).iter().map(cells::deployment_tree).collect()
    }

    pub(super) async fn insert_heads(
        &self,
        root: TenantId,
        heads: &[TenantHead],
        tree: &DeploymentTree,
        under: Option<Fence>,
    ) -> Result<bool, StoreError> {
        let first = tree.size.checked_sub(heads.len() as u64).ok_or(StoreError::Misused("a tree smaller than its heads"))?;
        let mut session = Session::open(&self.link, &self.key, Purpose::Write { locked: &[] }, &[root]).await?;
        session.under(under).await?;
        let text = "INSERT INTO strongroom.tenant_head (tenant_id, place, head_of, epoch, size, root) \
                    SELECT $1, $2 + at - 1, head_of, epoch, size, root \
                    FROM unnest($3::bytea[], $4::int8[], $5::int8[], $6::bytea[]) WITH ORDINALITY AS head(head_of, epoch, size, root, at) \
                    ON CONFLICT DO NOTHING";
        let inserting = sqlx::query(text)
            .bind(&root.0[..])
            .bind(stored(first)?)
            .bind(heads.iter().map(|head| &head.tenant.0[..]).collect::<Vec<_>>())
            .bind(heads.iter().map(|head| i64::from(head.epoch)).collect::<Vec<_>>())
            .bind(heads.iter().map(|head| stored(head.size)).collect::<Result<Vec<_>, _>>()?)
            .bind(heads.iter().map(|head| &head.root[..]).collect::<Vec<_>>())
            .execute(session.connection()?);
        if within(inserting).await?.rows_affected() < heads.len() as u64 {
            session.release();
            return Ok(false);
        }
        let text = "INSERT INTO strongroom.deployment_tree (tenant_id, size, frontier, note) VALUES ($1, $2, $3, $4)";
        let inserting = sqlx::query(text)
            .bind(&root.0[..])
            .bind(stored(tree.size)?)
            .bind(&tree.frontier[..])
            .bind(&tree.note[..])
            .execute(session.connection()?);
        within(inserting).await?;
        session.commit().await?;
        Ok(true)
    }

    pub(super) async fn read_cosignatures(&self, root: TenantId, limit: usize) -> Result<Vec<Cosignature>, StoreError> {
        let text =
            "SELECT size, witness, line FROM strongroom.cosignature WHERE tenant_id = $1 ORDER BY size DESC, witness LIMIT $2";
        rows!(self, root, text, rows_limit(limit)).iter().map(cells::cosignature).collect()
    }

    pub(super) async fn insert_cosignature(
        &self,
        root: TenantId,
        cosignature: &Cosignature,
        under: Option<Fence>,
    ) -> Result<(), StoreError> {
        let mut session = Session::open(&self.link, &self.key, Purpose::Write { locked: &[] }, &[root]).await?;
        session.under(under).await?;
        let text =
            "INSERT INTO strongroom.cosignature (tenant_id, size, witness, line) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
        let inserting = sqlx::query(text)
            .bind(&root.0[..])
            .bind(stored(cosignature.size)?)
            .bind(&cosignature.witness)
            .bind(&cosignature.line)
            .execute(session.connection()?);
        within(inserting).await?;
        session.commit().await
    }
}
