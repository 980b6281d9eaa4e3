//! Reads outside a group: one statement each, so each sees one snapshot.
//!
//! Limits are written `+?3`: `SQLite` plans a statement whose limit is a bare parameter anew at every use.

use std::ops::RangeInclusive;

use sqlx::SqlitePool;

use super::super::cells::{self, BEFORE_ALL, Place, limit as rows_limit};
use super::super::{
    Archived, Checkpoint, Deployment, Fill, Glance, KeptLeaves, LogRow, RecordRow, StoreError, TenantRow, TenantState,
};
use crate::id::TenantId;
use crate::record::{DirKey, RecordKey};
use crate::time::Timestamp;

const TENANT: &str = "SELECT t.parent, t.state, t.generation, \
    coalesce((SELECT keyring FROM tenant_keyring WHERE tenant_id = ?1), x''), k.seal, k.wrap, \
    l.seq, l.first_index, l.count, l.time, l.prev_root, l.root, l.frontier, l.changed, l.group_id, l.mac FROM tenant t \
    LEFT JOIN tenant_key k ON k.tenant_id = t.tenant_id \
    LEFT JOIN log l ON l.tenant_id = t.tenant_id AND l.seq = (SELECT max(seq) FROM log WHERE tenant_id = ?1) \
    WHERE t.tenant_id = ?1 ORDER BY k.seal";
const RECORD: &str = "SELECT coalesce((SELECT max(seq) FROM log WHERE tenant_id = ?1), 0), r.dir, r.seq, r.expires_at, r.name, r.sealed \
    FROM (SELECT 1) LEFT JOIN record r ON r.tenant_id = ?1 AND r.key = ?2";
// The rows are cut off before they are joined: else all that follow would be read and sorted for each page.
const NAMES: &str = "SELECT coalesce((SELECT max(seq) FROM log WHERE tenant_id = ?1), 0), r.key, r.name \
    FROM (SELECT 1) LEFT JOIN (SELECT key, name FROM record WHERE tenant_id = ?1 AND dir = ?2 AND dir <> \
    x'0000000000000000000000000000000000000000000000000000000000000000' AND key > ?4 ORDER BY key LIMIT +?3) r ON true ORDER BY r.key";
const RECORDS: &str = "SELECT coalesce((SELECT max(seq) FROM log WHERE tenant_id = ?1), 0), r.key, r.dir, r.seq, r.expires_at, r.name, r.sealed \
    FROM (SELECT 1) LEFT JOIN (SELECT * FROM record WHERE tenant_id = ?1 AND key > ?2 ORDER BY key LIMIT +?3) r ON true ORDER BY r.key";

pub(super) async fn deployment(pool: &SqlitePool) -> Result<Option<Deployment>, StoreError> {
    let row = sqlx::query("SELECT id, root, edge, dev, seal, format FROM deployment").fetch_optional(pool).await?;
    row.map(|row| cells::deployment(&row)).transpose()
}

pub(super) async fn tenant(pool: &SqlitePool, tenant: TenantId) -> Result<Option<TenantRow>, StoreError> {
    let rows = sqlx::query(TENANT).bind(&tenant.0[..]).fetch_all(pool).await?;
    cells::tenant(tenant, &rows)
}

pub(super) async fn record(pool: &SqlitePool, tenant: TenantId, key: RecordKey) -> Result<Fill<Option<RecordRow>>, StoreError> {
    let row = sqlx::query(RECORD).bind(&tenant.0[..]).bind(&key.0[..]).fetch_one(pool).await?;
    let place = Place { table: "log", row: &tenant.0 };
    Ok(Fill { seq: place.number(&row, 0, "seq")?, value: cells::record(key, &row, 1)? })
}

pub(super) async fn names(
    pool: &SqlitePool,
    tenant: TenantId,
    directory: DirKey,
    after: Option<RecordKey>,
    limit: usize,
) -> Result<Fill<Vec<(RecordKey, Vec<u8>)>>, StoreError> {
    let rows = sqlx::query(NAMES)
        .bind(&tenant.0[..])
        .bind(&directory.0[..])
        .bind(rows_limit(limit.max(1)))
        .bind(&after.unwrap_or(BEFORE_ALL).0[..])
        .fetch_all(pool)
        .await?;
    Ok(Fill { seq: cells::position(tenant, &rows)?, value: cells::names(&rows, 1)? })
}

pub(super) async fn records(
    pool: &SqlitePool,
    tenant: TenantId,
    after: Option<RecordKey>,
    limit: usize,
) -> Result<Fill<Vec<RecordRow>>, StoreError> {
    let rows = sqlx::query(RECORDS)
        .bind(&tenant.0[..])
        .bind(&after.unwrap_or(BEFORE_ALL).0[..])
        .bind(rows_limit(limit.max(1)))
        .fetch_all(pool)
        .await?;
    Ok(Fill { seq: cells::position(tenant, &rows)?, value: cells::records(tenant, &rows, 1)? })
}

pub(super) async fn occupied(pool: &SqlitePool, tenant: TenantId, directories: &[DirKey]) -> Result<Vec<bool>, StoreError> {
    let text = "SELECT EXISTS (SELECT 1 FROM record WHERE tenant_id = ?1 AND dir = ?2 \
                AND dir <> x'0000000000000000000000000000000000000000000000000000000000000000')";
    let mut reader = pool.acquire().await?;
    let mut found = Vec::with_capacity(directories.len());
    for directory in directories {
        let asking = sqlx::query_scalar(text).bind(&tenant.0[..]).bind(&directory.0[..]);
        found.push(asking.fetch_one(&mut *reader).await?);
    }
    Ok(found)
}

pub(super) async fn expired(
    pool: &SqlitePool,
    tenant: TenantId,
    times: RangeInclusive<Timestamp>,
    limit: usize,
) -> Result<Vec<(Timestamp, RecordKey)>, StoreError> {
    let text = "SELECT expires_at, key FROM record WHERE tenant_id = ?1 AND expires_at IS NOT NULL AND expires_at >= ?2 \
                AND expires_at <= ?3 ORDER BY expires_at LIMIT +?4";
    let rows = sqlx::query(text)
        .bind(&tenant.0[..])
        .bind(times.start().0)
        .bind(times.end().0)
        .bind(rows_limit(limit))
        .fetch_all(pool)
        .await?;
    rows.iter().map(|row| cells::expired(tenant, row)).collect()
}

pub(super) async fn next_expiry(pool: &SqlitePool, tenant: TenantId) -> Result<Option<Timestamp>, StoreError> {
    let text = "SELECT min(expires_at) FROM record WHERE tenant_id = ?1 AND expires_at IS NOT NULL";
    let next: Option<i64> = sqlx::query_scalar(text).bind(&tenant.0[..]).fetch_one(pool).await?;
    Ok(next.map(Timestamp))
}

pub(super) async fn tenants_in(pool: &SqlitePool, state: TenantState, limit: usize) -> Result<Vec<TenantId>, StoreError> {
    let rows = sqlx::query("SELECT tenant_id FROM tenant WHERE state = ?1 AND state <> 0 ORDER BY tenant_id LIMIT +?2")
        .bind(i64::from(state.code()))
        .bind(rows_limit(limit))
        .fetch_all(pool)
        .await?;
    let place = Place { table: "tenant", row: &[] };
    rows.iter().map(|row| place.array(row, 0, "tenant_id").map(TenantId)).collect()
}

pub(super) async fn kept_leaves(
    pool: &SqlitePool,
    tenant: TenantId,
    below: i64,
    limit: usize,
) -> Result<Vec<KeptLeaves>, StoreError> {
    let rows = sqlx::query(
        "SELECT first_index, leaves, frontier FROM erased_log WHERE tenant_id = ?1 AND first_index < ?2 \
         ORDER BY first_index DESC LIMIT +?3",
    )
    .bind(&tenant.0[..])
    .bind(below)
    .bind(rows_limit(limit))
    .fetch_all(pool)
    .await?;
    rows.iter().map(|row| cells::kept_leaves(tenant, row)).collect()
}

pub(super) async fn tenants(pool: &SqlitePool, after: Option<TenantId>, limit: usize) -> Result<Vec<TenantId>, StoreError> {
    let rows = sqlx::query("SELECT tenant_id FROM tenant WHERE tenant_id > ?1 ORDER BY tenant_id LIMIT +?2")
        .bind(after.map_or_else(Vec::new, |after| after.0.to_vec()))
        .bind(rows_limit(limit))
        .fetch_all(pool)
        .await?;
    let place = Place { table: "tenant", row: &[] };
    rows.iter().map(|row| place.array(row, 0, "tenant_id").map(TenantId)).collect()
}

pub(super) async fn log(pool: &SqlitePool, tenant: TenantId, from_seq: i64, limit: usize) -> Result<Vec<LogRow>, StoreError> {
    let rows = sqlx::query(
        "SELECT seq, first_index, count, time, prev_root, root, frontier, changed, group_id, mac, batch, leaves, summary FROM log \
         WHERE tenant_id = ?1 AND seq >= ?2 ORDER BY seq LIMIT +?3",
    )
    .bind(&tenant.0[..])
    .bind(from_seq)
    .bind(rows_limit(limit))
    .fetch_all(pool)
    .await?;
    rows.iter().map(|row| cells::log_row(tenant, row)).collect()
}

pub(super) async fn glance(
    pool: &SqlitePool,
    tenant: TenantId,
    (first, last): (i64, i64),
    newest_first: bool,
    limit: usize,
    opening: bool,
) -> Result<Vec<Glance>, StoreError> {
    // A column behind the batch is read by way of all its pages: whoever wants the batch does without the summary.
    macro_rules! text {
        ($columns:literal, $order:literal) => {
            concat!(
                "SELECT seq, first_index, count, time, substr(leaves, 1, 32), ",
                $columns,
                ", length(batch) = 0 FROM log WHERE tenant_id = ?1 AND seq >= ?2 AND seq <= ?3 ORDER BY seq ",
                $order,
                " LIMIT +?4"
            )
        };
    }
    let text = match (opening, newest_first) {
        (true, true) => text!("x'', batch", "DESC"),
        (true, false) => text!("x'', batch", "ASC"),
        (false, true) => text!("summary, iif(length(summary) = 0, batch, x'')", "DESC"),
        (false, false) => text!("summary, iif(length(summary) = 0, batch, x'')", "ASC"),
    };
    let reading = sqlx::query(text).bind(&tenant.0[..]).bind(first).bind(last).bind(rows_limit(limit));
    reading.fetch_all(pool).await?.iter().map(|row| cells::glance(tenant, row)).collect()
}

pub(super) async fn checkpoints(
    pool: &SqlitePool,
    tenant: TenantId,
    (first, last): (i64, i64),
    largest_first: bool,
    limit: usize,
) -> Result<Vec<Checkpoint>, StoreError> {
    macro_rules! text {
        ($order:literal) => {
            concat!(
                "SELECT size, root, note FROM checkpoint WHERE tenant_id = ?1 AND size >= ?2 AND size <= ?3 ORDER BY size ",
                $order,
                " LIMIT +?4"
            )
        };
    }
    let text = if largest_first { text!("DESC") } else { text!("ASC") };
    let reading = sqlx::query(text).bind(&tenant.0[..]).bind(first).bind(last).bind(rows_limit(limit));
    reading.fetch_all(pool).await?.iter().map(|row| cells::checkpoint(tenant, row)).collect()
}

pub(super) async fn archived(
    pool: &SqlitePool,
    tenant: TenantId,
    (first, last): (i64, i64),
    largest_first: bool,
    limit: usize,
) -> Result<Vec<Archived>, StoreError> {
    macro_rules! text {
        ($order:literal) => {
            concat!(
                "SELECT first_index, size, first_seq, last_seq, time, bytes, digest, epoch FROM archived \
                 WHERE tenant_id = ?1 AND size >= ?2 AND size <= ?3 ORDER BY size ",
                $order,
                " LIMIT +?4"
            )
        };
    }
    let text = if largest_first { text!("DESC") } else { text!("ASC") };
    let reading = sqlx::query(text).bind(&tenant.0[..]).bind(first).bind(last).bind(rows_limit(limit));
    reading.fetch_all(pool).await?.iter().map(|row| cells::archived(tenant, row)).collect()
}
