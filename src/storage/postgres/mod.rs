//! The store for many replicas: `PostgreSQL` 15 or newer.
//!
//! Owns: the pool, the signed tenant context, the checks at start, migrations. Direct or session-pooled connections: a
//! context is bound to a backend and a transaction.
//! Must not: send a statement that does not name its tenant, put a value into the text of one, use another isolation
//! level than READ COMMITTED (heads are locked by one statement; what follows sees all that was committed before).

mod archive;
mod check;
mod connect;
mod context;
mod erase;
mod examine;
mod group;
mod heads;
mod hosts;
mod lease;
mod lookups;
mod migrate;
mod read;
mod restore;
mod session;

use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::cells::{bounds, stored};
use super::{
    Archived, Beat, Census, Checkpoint, Cosignature, Deployment, DeploymentTree, Fence, Fill, Glance, Group, KeptLeaves, Known,
    LogRow, NewTenant, Outlook, RecordRow, Restored, Store, StoreError, Structural, TenantRow, TenantState,
};
use crate::audit::head::TenantHead;
use crate::id::{ReplicaId, TenantId};
use crate::record::{DirKey, RecordKey};
use crate::time::Timestamp;
use connect::Link;
use context::ContextKey;
use erase::Erasing;
use lookups::Lookups;
use session::{Purpose, Session, within};

pub use examine::{Examined, Step, examine};
pub use migrate::{Migrated, migrate, print_roles};

/// How long closing waits for groups that are still open.
const CLOSE_WAIT: Duration = Duration::from_secs(10);
/// How many of a tenant's newest log rows are searched for a group whose outcome is unknown.
const COMMITTED_ROWS_MAX: i64 = 1024;

/// The store on `PostgreSQL`.
pub struct PostgresStore {
    link: Link,
    key: Arc<ContextKey>,
    lookups: Lookups,
    erasing: Erasing,
}

impl PostgresStore {
    /// Connects as the runtime role, and refuses a database that could lose or mix up what it is given.
    /// Tries for some seconds while the database is not there.
    pub async fn connect(url: &str, context_key_file: &Path, connections: u32) -> Result<Self, StoreError> {
        let key = ContextKey::load(context_key_file)?.ok_or_else(|| {
            let file = context_key_file.display();
            StoreError::Refused(format!("the context key file {file} is not there: `strongroom migrate` makes it"))
        })?;
        let link = Link::open(url, connections).await?;
        let store = Self::new(link, key);
        store.check_key().await?;
        Ok(store)
    }

    fn new(link: Link, key: ContextKey) -> Self {
        let key = Arc::new(key);
        Self { lookups: Lookups::new(link.clone(), Arc::clone(&key)), link, key, erasing: Erasing::default() }
    }

    /// Whether the database believes what this server signs.
    async fn check_key(&self) -> Result<(), StoreError> {
        match Session::open(&self.link, &self.key, Purpose::Read, &[TenantId([0; 16])]).await {
            Ok(session) => {
                session.rollback().await;
                Ok(())
            }
            Err(StoreError::Failed(_)) => Err(StoreError::Refused(
                "the context key file does not hold the database's key: run `strongroom migrate`".to_owned(),
            )),
            Err(error) => Err(error),
        }
    }

    /// A transaction that holds the heads of `locked`, which are among `tenants`.
    async fn open(&self, tenants: &[TenantId], locked: &[TenantId]) -> Result<Session, StoreError> {
        Session::open(&self.link, &self.key, Purpose::Write { locked }, tenants).await
    }
}

#[async_trait]
impl Store for PostgresStore {
    fn kind(&self) -> &'static str {
        "postgresql"
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn is_away(&self) -> bool {
        !self.link.is_open()
    }

    async fn deployment(&self) -> Result<Option<Deployment>, StoreError> {
        self.read_deployment().await
    }

    async fn initialise(&self, deployment: &Deployment, tenants: &[NewTenant]) -> Result<bool, StoreError> {
        let ids: Vec<TenantId> = tenants.iter().map(|tenant| tenant.id).collect();
        let mut session = Session::open(&self.link, &self.key, Purpose::Initialise, &ids).await?;
        let inserting = sqlx::query(
            "INSERT INTO strongroom.deployment (only_row, id, root, edge, dev, seal, format) VALUES (true, $1, $2, $3, $4, $5, $6) \
             ON CONFLICT DO NOTHING",
        )
        .bind(&deployment.id.0[..])
        .bind(&deployment.root.0[..])
        .bind(&deployment.edge.0[..])
        .bind(i64::from(deployment.dev))
        .bind(&deployment.seal[..])
        .bind(i64::from(deployment.format))
        .execute(session.connection()?);
        if within(inserting).await?.rows_affected() == 0 {
            session.rollback().await;
            return Ok(false);
        }
        for tenant in tenants {
            group::change_tenant(&mut session, &Structural::Create(tenant.clone())).await?;
        }
        session.commit().await?;
        Ok(true)
    }

    async fn replace_seal(&self, before: &[u8], after: &[u8]) -> Result<bool, StoreError> {
        let mut session = Session::open(&self.link, &self.key, Purpose::Initialise, &[]).await?;
        let text = "UPDATE strongroom.deployment SET seal = $2 WHERE seal = $1";
        let replacing = sqlx::query(text).bind(before).bind(after).execute(session.connection()?);
        let replaced = within(replacing).await?.rows_affected() > 0;
        session.commit().await?;
        Ok(replaced)
    }

    async fn tenant(&self, tenant: TenantId) -> Result<Option<TenantRow>, StoreError> {
        self.read_tenant(tenant).await
    }

    async fn record(&self, tenant: TenantId, key: RecordKey) -> Result<Fill<Option<RecordRow>>, StoreError> {
        self.lookups.record(tenant, key).await
    }

    async fn names(
        &self,
        tenant: TenantId,
        directory: DirKey,
        after: Option<RecordKey>,
        limit: usize,
    ) -> Result<Fill<Vec<(RecordKey, Vec<u8>)>>, StoreError> {
        self.read_names(tenant, directory, after, limit).await
    }

    async fn records(
        &self,
        tenant: TenantId,
        after: Option<RecordKey>,
        limit: usize,
    ) -> Result<Fill<Vec<RecordRow>>, StoreError> {
        self.read_records(tenant, after, limit).await
    }

    async fn begin(&self, tenants: &[Known]) -> Result<Box<dyn Group>, StoreError> {
        Ok(Box::new(group::PostgresGroup::open(&self.link, &self.key, tenants).await?))
    }

    async fn committed(&self, tenants: &[TenantId], group: [u8; 16]) -> Result<bool, StoreError> {
        let mut session = self.open(tenants, tenants).await?;
        let mut found = false;
        for tenant in tenants {
            let searching = sqlx::query_scalar(
                "SELECT EXISTS (SELECT FROM (SELECT group_id FROM strongroom.log WHERE tenant_id = $1 ORDER BY seq DESC LIMIT $3) n \
                 WHERE group_id = $2)",
            )
            .bind(&tenant.0[..])
            .bind(&group[..])
            .bind(COMMITTED_ROWS_MAX)
            .fetch_one(session.connection()?);
            found |= within::<bool>(searching).await?;
        }
        session.rollback().await;
        Ok(found)
    }

    async fn occupied(&self, tenant: TenantId, directories: &[DirKey]) -> Result<Vec<bool>, StoreError> {
        self.read_occupied(tenant, directories).await
    }

    async fn expired(
        &self,
        tenant: TenantId,
        times: RangeInclusive<Timestamp>,
        limit: usize,
    ) -> Result<Vec<(Timestamp, RecordKey)>, StoreError> {
        self.read_expired(tenant, times, limit).await
    }

    async fn next_expiry(&self, tenant: TenantId) -> Result<Option<Timestamp>, StoreError> {
        self.read_next_expiry(tenant).await
    }

    async fn tenants_in(&self, state: TenantState, limit: usize) -> Result<Vec<TenantId>, StoreError> {
        self.read_tenants_in(state, limit).await
    }

    async fn beat(&self, beat: &Beat) -> Result<Census, StoreError> {
        self.say_beat(beat).await
    }

    async fn leave(&self, replica: ReplicaId) -> Result<(), StoreError> {
        self.delete_replica(replica).await
    }

    async fn outlook(&self, tenants: &[TenantId]) -> Result<Vec<Outlook>, StoreError> {
        self.read_outlook(tenants).await
    }

    async fn erase_chunk(&self, tenant: TenantId, limit: usize, under: Option<Fence>) -> Result<u64, StoreError> {
        self.erase_rows(tenant, limit, under).await
    }

    async fn kept_leaves(&self, tenant: TenantId, below: u64, limit: usize) -> Result<Vec<KeptLeaves>, StoreError> {
        self.read_kept_leaves(tenant, bounds(&(0..=below)).1, limit).await
    }

    async fn log(&self, tenant: TenantId, from_seq: u64, limit: usize) -> Result<Vec<LogRow>, StoreError> {
        self.read_log(tenant, from_seq, limit).await
    }

    async fn glance(
        &self,
        tenant: TenantId,
        seqs: RangeInclusive<u64>,
        newest_first: bool,
        limit: usize,
        opening: bool,
    ) -> Result<Vec<Glance>, StoreError> {
        self.read_glance(tenant, bounds(&seqs), newest_first, limit, opening).await
    }

    async fn checkpoints(
        &self,
        tenant: TenantId,
        sizes: RangeInclusive<u64>,
        largest_first: bool,
        limit: usize,
    ) -> Result<Vec<Checkpoint>, StoreError> {
        self.read_checkpoints(tenant, bounds(&sizes), largest_first, limit).await
    }

    async fn add_checkpoint(&self, tenant: TenantId, checkpoint: &Checkpoint, under: Option<Fence>) -> Result<bool, StoreError> {
        let mut session = Session::open(&self.link, &self.key, Purpose::Write { locked: &[] }, &[tenant]).await?;
        session.under(under).await?;
        let text = "INSERT INTO strongroom.checkpoint (tenant_id, size, root, note) SELECT $1, $2, $3, $4 \
                    WHERE EXISTS (SELECT FROM strongroom.tenant WHERE tenant_id = $1 AND state <> 2) ON CONFLICT DO NOTHING";
        let inserting = sqlx::query(text)
            .bind(&tenant.0[..])
            .bind(stored(checkpoint.size)?)
            .bind(&checkpoint.root[..])
            .bind(&checkpoint.note[..])
            .execute(session.connection()?);
        let added = within(inserting).await?.rows_affected() > 0;
        session.commit().await?;
        Ok(added)
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
        self.read_archived(tenant, bounds(&sizes), largest_first, limit).await
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
        self.read_tenants(after, limit).await
    }

    async fn restore(&self, tenant: TenantId, rows: Restored) -> Result<(), StoreError> {
        self.write_restored(tenant, rows).await
    }

    async fn close(&self) {
        if tokio::time::timeout(CLOSE_WAIT, self.link.close()).await.is_err() {
            tracing::warn!("the store was closed while a group was open");
        }
    }
}
