//! A group: lock the heads; then, in statements begun after the last lock was granted, read the feed, apply, commit.
//! Two round trips happen while a head is held, and one more where records go, however many tenants and rows there are.

use std::collections::HashMap;

use async_trait::async_trait;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::super::cells::{self, Place};
use super::super::plan::Plan;
use super::super::{
    Batch, FEED_ROWS_MAX, Feed, FeedRow, Fence, Group, Known, RecordRow, StoreError, Structural, TenantKeys, TenantState,
};
use super::connect::Link;
use super::context::ContextKey;
use super::session::{Purpose, Session, within};
use crate::id::TenantId;
use crate::record::{DirKey, RecordKey};
use crate::time::Timestamp;

macro_rules! append {
    () => {
        "INSERT INTO strongroom.log (tenant_id, seq, first_index, count, time, prev_root, root, frontier, changed, group_id, mac, batch, \
         leaves, summary) SELECT * FROM unnest($1::bytea[], $2::int8[], $3::int8[], $4::int8[], $5::int8[], $6::bytea[], $7::bytea[], \
         $8::bytea[], $9::bytea[], $10::bytea[], $11::bytea[], $12::bytea[], $13::bytea[], $14::bytea[])"
    };
}
/// A group that wrote no record.
const APPEND: &str = append!();
/// A group that wrote records.
const APPLY: &str = concat!(
    "WITH written AS (INSERT INTO strongroom.record (tenant_id, key, dir, seq, expires_at, name, sealed) \
     SELECT * FROM unnest($15::bytea[], $16::bytea[], $17::bytea[], $18::int8[], $19::int8[], $20::bytea[], $21::bytea[]) \
     ON CONFLICT (tenant_id, key) DO UPDATE SET seq = excluded.seq, expires_at = excluded.expires_at, sealed = excluded.sealed) ",
    append!()
);

pub(super) struct PostgresGroup {
    session: Session,
    feeds: HashMap<TenantId, Feed>,
    nothing: Feed,
    now: Timestamp,
}

impl PostgresGroup {
    /// Locks the heads of those to be locked, and reads the feed of all.
    pub(super) async fn open(link: &Link, key: &ContextKey, tenants: &[Known]) -> Result<Self, StoreError> {
        let ids: Vec<TenantId> = tenants.iter().map(|known| known.tenant).collect();
        let (mut session, context) = Session::signed(link, key, Purpose::Write { locked: &[] }, &ids).await?;
        let locked = tenants.iter().filter(|known| known.locked).map(|known| &known.tenant.0[..]);
        let seqs = tenants.iter().map(|known| cells::stored(known.seq)).collect::<Result<Vec<i64>, _>>()?;
        let reading = sqlx::query("SELECT * FROM strongroom.open_group($1, $2, $3, $4, $5)")
            .bind(context)
            .bind(locked.collect::<Vec<_>>())
            .bind(tenants.iter().map(|known| &known.tenant.0[..]).collect::<Vec<_>>())
            .bind(seqs)
            .bind(cells::limit(FEED_ROWS_MAX))
            .fetch_all(session.connection()?);
        let rows = within(reading).await?;
        let mut group = Self { session, feeds: HashMap::with_capacity(rows.len()), nothing: Feed::default(), now: Timestamp(0) };
        for row in &rows {
            let place = Place { table: "tenant", row: &[] };
            let id = TenantId(place.array(row, 0, "tenant_id")?);
            let known = tenants.iter().find(|known| known.tenant == id);
            let feed =
                Feed { locked: known.is_some_and(|known| known.locked), ..feed(id, known.map_or(0, |known| known.seq), row)? };
            group.now = Timestamp(place.number::<i64>(row, 1, "clock")?.saturating_mul(1000));
            group.feeds.insert(id, feed);
        }
        Ok(group)
    }
}

#[async_trait]
impl Group for PostgresGroup {
    fn now(&self) -> Timestamp {
        self.now
    }

    fn feed(&self, tenant: TenantId) -> &Feed {
        self.feeds.get(&tenant).unwrap_or(&self.nothing)
    }

    async fn record(&mut self, tenant: TenantId, key: RecordKey) -> Result<Option<RecordRow>, StoreError> {
        let reading =
            sqlx::query("SELECT dir, seq, expires_at, name, sealed FROM strongroom.record WHERE tenant_id = $1 AND key = $2")
                .bind(&tenant.0[..])
                .bind(&key.0[..])
                .fetch_optional(self.session.connection()?);
        within(reading).await?.map_or(Ok(None), |row| cells::record(key, &row, 0))
    }

    async fn names(
        &mut self,
        tenant: TenantId,
        directory: DirKey,
        limit: usize,
    ) -> Result<Vec<(RecordKey, Vec<u8>)>, StoreError> {
        if directory == DirKey::NONE {
            return Ok(Vec::new());
        }
        let reading = sqlx::query(
            "SELECT key, name FROM strongroom.record WHERE tenant_id = $1 AND dir = $2 \
             AND dir <> '\\x0000000000000000000000000000000000000000000000000000000000000000' ORDER BY key LIMIT $3",
        )
        .bind(&tenant.0[..])
        .bind(&directory.0[..])
        .bind(cells::limit(limit))
        .fetch_all(self.session.connection()?);
        cells::names(&within(reading).await?, 0)
    }

    async fn holds(&mut self, fence: Fence) -> Result<bool, StoreError> {
        self.session.holds(fence).await
    }

    async fn commit(mut self: Box<Self>, batches: Vec<Batch>, structural: Vec<Structural>) -> Result<(), StoreError> {
        let plan = Plan::new(batches, &structural, &self.feeds)?;
        apply(&mut self.session, &plan, &structural).await?;
        self.session.commit().await
    }

    async fn rollback(self: Box<Self>) {
        self.session.rollback().await;
    }
}

fn numbers(numbers: impl Iterator<Item = u64>) -> Result<Vec<i64>, StoreError> {
    numbers.map(cells::stored).collect()
}

/// The columns of `open_group` from `state` on.
fn feed(id: TenantId, known: u64, row: &PgRow) -> Result<Feed, StoreError> {
    let tail = cells::tail(id, row, 4)?;
    let newest = tail.as_ref().map_or(0, |tail| tail.seq);
    let mut feed = Feed { tail, complete: known == newest, ..Feed::default() };
    if cells::Cells::number(row, 2)?.is_some() {
        let place = Place { table: "tenant", row: &id.0 };
        feed.state = Some(place.parsed(row, 2, "state", TenantState::from_code)?);
        feed.generation = place.number(row, 3, "generation")?;
    }
    if known > 0 && known < newest {
        let seqs: Vec<i64> = row.try_get::<Option<_>, _>(14)?.unwrap_or_default();
        let roots: Vec<Vec<u8>> = row.try_get::<Option<_>, _>(15)?.unwrap_or_default();
        let changes: Vec<Vec<u8>> = row.try_get::<Option<_>, _>(16)?.unwrap_or_default();
        let damaged = |column| StoreError::Damaged { table: "log", row: id.to_string(), column };
        for ((seq, prev_root), changed) in seqs.into_iter().zip(roots).zip(changes) {
            let prev_root = prev_root.try_into().map_err(|_| damaged("prev_root"))?;
            feed.changed.push(FeedRow { seq: u64::try_from(seq).map_err(|_| damaged("seq"))?, prev_root, changed });
        }
        feed.complete = feed.changed.len() as u64 == newest - known;
    }
    Ok(feed)
}

/// Writes rows, in the transaction of `session`.
pub(super) async fn apply(session: &mut Session, plan: &Plan, structural: &[Structural]) -> Result<(), StoreError> {
    for change in structural {
        change_tenant(session, change).await?;
    }
    let (logs, removes, puts) = (&plan.logs, &plan.removes, &plan.puts);
    if !removes.is_empty() {
        let removing = sqlx::query("SELECT strongroom.remove($1, $2)")
            .bind(removes.iter().map(|(tenant, _)| &tenant.0[..]).collect::<Vec<_>>())
            .bind(removes.iter().map(|(_, key)| &key.0[..]).collect::<Vec<_>>());
        within(removing.execute(session.connection()?)).await?;
    }
    if logs.is_empty() && puts.is_empty() {
        return Ok(());
    }
    let mut query = sqlx::query(if puts.is_empty() { APPEND } else { APPLY })
        .bind(logs.iter().map(|(tenant, _)| &tenant.0[..]).collect::<Vec<_>>())
        .bind(numbers(logs.iter().map(|(_, row)| row.tail.seq))?)
        .bind(numbers(logs.iter().map(|(_, row)| row.tail.first_index))?)
        .bind(logs.iter().map(|(_, row)| i64::from(row.tail.count)).collect::<Vec<_>>())
        .bind(logs.iter().map(|(_, row)| row.tail.time.0).collect::<Vec<_>>())
        .bind(logs.iter().map(|(_, row)| &row.tail.prev_root[..]).collect::<Vec<_>>())
        .bind(logs.iter().map(|(_, row)| &row.tail.root[..]).collect::<Vec<_>>())
        .bind(logs.iter().map(|(_, row)| &row.tail.frontier[..]).collect::<Vec<_>>())
        .bind(logs.iter().map(|(_, row)| &row.tail.changed[..]).collect::<Vec<_>>())
        .bind(logs.iter().map(|(_, row)| &row.tail.group[..]).collect::<Vec<_>>())
        .bind(logs.iter().map(|(_, row)| &row.tail.mac[..]).collect::<Vec<_>>())
        .bind(logs.iter().map(|(_, row)| &row.batch[..]).collect::<Vec<_>>())
        .bind(logs.iter().map(|(_, row)| &row.leaves[..]).collect::<Vec<_>>())
        .bind(logs.iter().map(|(_, row)| &row.summary[..]).collect::<Vec<_>>());
    if !puts.is_empty() {
        query = query
            .bind(puts.iter().map(|(tenant, _)| &tenant.0[..]).collect::<Vec<_>>())
            .bind(puts.iter().map(|(_, row)| &row.key.0[..]).collect::<Vec<_>>())
            .bind(puts.iter().map(|(_, row)| &row.directory.0[..]).collect::<Vec<_>>())
            .bind(numbers(puts.iter().map(|(_, row)| row.seq))?)
            .bind(puts.iter().map(|(_, row)| row.expires_at.map(|time| time.0)).collect::<Vec<_>>())
            .bind(puts.iter().map(|(_, row)| &row.name[..]).collect::<Vec<_>>())
            .bind(puts.iter().map(|(_, row)| &row.sealed[..]).collect::<Vec<_>>());
    }
    within(query.execute(session.connection()?)).await?;
    Ok(())
}

/// Changes the tenants' own tables.
pub(super) async fn change_tenant(session: &mut Session, change: &Structural) -> Result<(), StoreError> {
    match change {
        Structural::Create(new) => {
            let text = "WITH tenant AS (INSERT INTO strongroom.tenant (tenant_id, parent, state, generation) VALUES ($1, $2, 0, $3)) \
                        INSERT INTO strongroom.head (tenant_id) VALUES ($1)";
            let inserting = sqlx::query(text)
                .bind(&new.id.0[..])
                .bind(new.parent.as_ref().map(|parent| &parent.0[..]))
                .bind(i64::from(new.keys.generation));
            within(inserting.execute(session.connection()?)).await?;
            insert_keys(session, new.id, &new.keys).await
        }
        Structural::State(tenant, state) => {
            let updating = sqlx::query("UPDATE strongroom.tenant SET state = $2 WHERE tenant_id = $1 AND state <> 2")
                .bind(&tenant.0[..])
                .bind(i64::from(state.code()));
            within(updating.execute(session.connection()?)).await?;
            if *state == TenantState::Erasing { delete_keys(session, *tenant).await } else { Ok(()) }
        }
        Structural::Keys(tenant, keys) => {
            let updating = sqlx::query("UPDATE strongroom.tenant SET generation = $2 WHERE tenant_id = $1 AND state <> 2")
                .bind(&tenant.0[..])
                .bind(i64::from(keys.generation));
            if within(updating.execute(session.connection()?)).await?.rows_affected() == 0 {
                return Err(StoreError::Misused("keys for a tenant that is not there or is erasing"));
            }
            delete_keys(session, *tenant).await?;
            insert_keys(session, *tenant, keys).await
        }
    }
}

async fn insert_keys(session: &mut Session, tenant: TenantId, keys: &TenantKeys) -> Result<(), StoreError> {
    let text = "WITH keyring AS (INSERT INTO strongroom.tenant_keyring (tenant_id, keyring) VALUES ($1, $2)) \
                INSERT INTO strongroom.tenant_key (tenant_id, seal, wrap) SELECT $1, * FROM unnest($3::text[], $4::bytea[])";
    let inserting = sqlx::query(text)
        .bind(&tenant.0[..])
        .bind(&keys.keyring[..])
        .bind(keys.wraps.iter().map(|wrap| wrap.seal.as_str()).collect::<Vec<_>>())
        .bind(keys.wraps.iter().map(|wrap| &wrap.wrap[..]).collect::<Vec<_>>());
    within(inserting.execute(session.connection()?)).await?;
    Ok(())
}

async fn delete_keys(session: &mut Session, tenant: TenantId) -> Result<(), StoreError> {
    for text in
        ["DELETE FROM strongroom.tenant_keyring WHERE tenant_id = $1", "DELETE FROM strongroom.tenant_key WHERE tenant_id = $1"]
    {
        within(sqlx::query(text).bind(&tenant.0[..]).execute(session.connection()?)).await?;
    }
    Ok(())
}
