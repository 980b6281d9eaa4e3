//! Reads outside a group: one statement each in the context of one tenant, so each sees one snapshot.

use std::ops::RangeInclusive;

use sqlx::Postgres;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;

use super::super::cells::{self, BEFORE_ALL, Place, limit as rows_limit};
use super::super::{
    Archived, Checkpoint, Deployment, Fill, Glance, KeptLeaves, LogRow, RecordRow, StoreError, TenantRow, TenantState,
};
use super::PostgresStore;
use super::session::{Purpose, Session, within};
use crate::id::TenantId;
use crate::record::{DirKey, RecordKey};
use crate::time::Timestamp;

const TENANT: &str = "SELECT t.parent, t.state, t.generation, \
    coalesce((SELECT r.keyring FROM strongroom.tenant_keyring r WHERE r.tenant_id = $1), ''::bytea), k.seal, k.wrap, \
    l.seq, l.first_index, l.count, l.time, l.prev_root, l.root, l.frontier, l.changed, l.group_id, l.mac FROM strongroom.tenant t \
    LEFT JOIN strongroom.tenant_key k ON k.tenant_id = t.tenant_id \
    LEFT JOIN LATERAL (SELECT * FROM strongroom.log WHERE tenant_id = $1 ORDER BY seq DESC LIMIT 1) l ON true \
    WHERE t.tenant_id = $1 ORDER BY k.seal";

// Rows are cut off where they are found, by index: no plan reads more of them, whatever the statistics say of other tenants. (An
// aggregate such as `max(seq)` may be planned as a scan of the tenant's whole log, and a limit behind a join as a sort of all that follows.)
macro_rules! with_position {
    ($columns:literal, $rows:literal) => {
        concat!(
            "SELECT coalesce((SELECT seq FROM strongroom.log WHERE tenant_id = $1 ORDER BY seq DESC LIMIT 1), 0), ",
            $columns,
            " FROM (SELECT 1) AS always LEFT JOIN LATERAL (SELECT * FROM strongroom.record WHERE tenant_id = $1 AND ",
            $rows,
            ") r ON true ORDER BY r.key"
        )
    };
}
const NAMES: &str = with_position!(
    "r.key, r.name",
    "dir = $2 AND dir <> '\\x0000000000000000000000000000000000000000000000000000000000000000' AND key > $4 ORDER BY key LIMIT $3"
);
// The order, which one index has, leaves no other plan: for the first of some rows, any scan that comes upon one soon looks cheap.
const OCCUPIED: &str = "SELECT coalesce(r.found, 0) FROM unnest($2::bytea[]) WITH ORDINALITY AS wanted(dir, at) LEFT JOIN LATERAL (\
        SELECT 1::int8 AS found FROM strongroom.record WHERE tenant_id = $1 AND dir >= wanted.dir AND dir <= wanted.dir \
        AND dir <> '\\x0000000000000000000000000000000000000000000000000000000000000000' ORDER BY dir LIMIT 1\
    ) r ON true ORDER BY wanted.at";
const RECORDS: &str = with_position!("r.key, r.dir, r.seq, r.expires_at, r.name, r.sealed", "key > $2 ORDER BY key LIMIT $3");

/// Runs one statement in the context of `tenant`.
macro_rules! rows {
    ($store:expr, $tenant:expr, $text:expr $(, $value:expr)*) => {{
        let mut session = Session::open(&$store.link, &$store.key, Purpose::Read, &[$tenant]).await?;
        let reading = sqlx::query($text).bind(&$tenant.0[..])$(.bind($value))*.fetch_all(session.connection()?);
        let rows: Vec<PgRow> = within(reading).await?;
        session.release();
        rows
    }};
}

pub(super) use rows;

impl PostgresStore {
    pub(super) async fn read_deployment(&self) -> Result<Option<Deployment>, StoreError> {
        let mut session = Session::open(&self.link, &self.key, Purpose::Read, &[]).await?;
        let reading = sqlx::query("SELECT id, root, edge, dev, seal, format FROM strongroom.deployment")
            .fetch_optional(session.connection()?);
        let row = within(reading).await?;
        session.release();
        row.map(|row| cells::deployment(&row)).transpose()
    }

    pub(super) async fn read_tenant(&self, tenant: TenantId) -> Result<Option<TenantRow>, StoreError> {
        cells::tenant(tenant, &rows!(self, tenant, TENANT))
    }

    pub(super) async fn read_names(
        &self,
        tenant: TenantId,
        directory: DirKey,
        after: Option<RecordKey>,
        limit: usize,
    ) -> Result<Fill<Vec<(RecordKey, Vec<u8>)>>, StoreError> {
        let rows = rows!(self, tenant, NAMES, &directory.0[..], rows_limit(limit.max(1)), &after.unwrap_or(BEFORE_ALL).0[..]);
        Ok(Fill { seq: cells::position(tenant, &rows)?, value: cells::names(&rows, 1)? })
    }

    pub(super) async fn read_records(
        &self,
        tenant: TenantId,
        after: Option<RecordKey>,
        limit: usize,
    ) -> Result<Fill<Vec<RecordRow>>, StoreError> {
        let rows = rows!(self, tenant, RECORDS, &after.unwrap_or(BEFORE_ALL).0[..], rows_limit(limit.max(1)));
        Ok(Fill { seq: cells::position(tenant, &rows)?, value: cells::records(tenant, &rows, 1)? })
    }

    pub(super) async fn read_expired(
        &self,
        tenant: TenantId,
        times: RangeInclusive<Timestamp>,
        limit: usize,
    ) -> Result<Vec<(Timestamp, RecordKey)>, StoreError> {
        let text = "SELECT expires_at, key FROM strongroom.record \
                    WHERE tenant_id = $1 AND expires_at IS NOT NULL AND expires_at >= $2 AND expires_at <= $3 \
                    ORDER BY expires_at LIMIT $4";
        let rows = rows!(self, tenant, text, times.start().0, times.end().0, rows_limit(limit));
        rows.iter().map(|row| cells::expired(tenant, row)).collect()
    }

    pub(super) async fn read_occupied(&self, tenant: TenantId, directories: &[DirKey]) -> Result<Vec<bool>, StoreError> {
        let wanted: Vec<&[u8]> = directories.iter().map(|directory| &directory.0[..]).collect();
        let rows = rows!(self, tenant, OCCUPIED, wanted);
        let place = Place { table: "record", row: &tenant.0 };
        rows.iter().map(|row| place.number::<u8>(row, 0, "dir").map(|found| found > 0)).collect()
    }

    pub(super) async fn read_next_expiry(&self, tenant: TenantId) -> Result<Option<Timestamp>, StoreError> {
        let text = "SELECT expires_at FROM strongroom.record WHERE tenant_id = $1 AND expires_at IS NOT NULL ORDER BY expires_at LIMIT 1";
        let rows = rows!(self, tenant, text);
        let place = Place { table: "record", row: &tenant.0 };
        rows.first().map(|row| place.number(row, 0, "expires_at").map(Timestamp)).transpose()
    }

    pub(super) async fn read_kept_leaves(
        &self,
        tenant: TenantId,
        below: i64,
        limit: usize,
    ) -> Result<Vec<KeptLeaves>, StoreError> {
        let text = "SELECT first_index, leaves, frontier FROM strongroom.erased_log WHERE tenant_id = $1 AND first_index < $2 \
                    ORDER BY first_index DESC LIMIT $3";
        let rows = rows!(self, tenant, text, below, rows_limit(limit));
        rows.iter().map(|row| cells::kept_leaves(tenant, row)).collect()
    }

    pub(super) async fn read_log(&self, tenant: TenantId, from_seq: u64, limit: usize) -> Result<Vec<LogRow>, StoreError> {
        let text = "SELECT seq, first_index, count, time, prev_root, root, frontier, changed, group_id, mac, batch, leaves, summary \
                    FROM strongroom.log WHERE tenant_id = $1 AND seq >= $2 ORDER BY seq LIMIT $3";
        let rows = rows!(self, tenant, text, cells::stored(from_seq)?, rows_limit(limit));
        rows.iter().map(|row| cells::log_row(tenant, row)).collect()
    }

    pub(super) async fn read_glance(
        &self,
        tenant: TenantId,
        (first, last): (i64, i64),
        newest_first: bool,
        limit: usize,
        opening: bool,
    ) -> Result<Vec<Glance>, StoreError> {
        macro_rules! text {
            ($columns:literal, $order:literal) => {
                concat!(
                    "SELECT seq, first_index, count, time, substring(leaves FROM 1 FOR 32), ",
                    $columns,
                    ", (octet_length(batch) = 0)::int::int8 FROM strongroom.log \
                     WHERE tenant_id = $1 AND seq >= $2 AND seq <= $3 ORDER BY seq ",
                    $order,
                    " LIMIT $4"
                )
            };
        }
        let text = match (opening, newest_first) {
            (true, true) => text!("''::bytea, batch", "DESC"),
            (true, false) => text!("''::bytea, batch", "ASC"),
            (false, true) => text!("summary, CASE WHEN octet_length(summary) = 0 THEN batch ELSE ''::bytea END", "DESC"),
            (false, false) => text!("summary, CASE WHEN octet_length(summary) = 0 THEN batch ELSE ''::bytea END", "ASC"),
        };
        let rows = rows!(self, tenant, text, first, last, rows_limit(limit));
        rows.iter().map(|row| cells::glance(tenant, row)).collect()
    }

    pub(super) async fn read_checkpoints(
        &self,
        tenant: TenantId,
        (first, last): (i64, i64),
        largest_first: bool,
        limit: usize,
    ) -> Result<Vec<Checkpoint>, StoreError> {
        macro_rules! text {
            ($order:literal) => {
                concat!(
                    "SELECT size, root, note FROM strongroom.checkpoint \
                     WHERE tenant_id = $1 AND size >= $2 AND size <= $3 ORDER BY size ",
                    $order,
                    " LIMIT $4"
                )
            };
        }
        let text = if largest_first { text!("DESC") } else { text!("ASC") };
        let rows = rows!(self, tenant, text, first, last, rows_limit(limit));
        rows.iter().map(|row| cells::checkpoint(tenant, row)).collect()
    }

    pub(super) async fn read_archived(
        &self,
        tenant: TenantId,
        (first, last): (i64, i64),
        largest_first: bool,
        limit: usize,
    ) -> Result<Vec<Archived>, StoreError> {
        macro_rules! text {
            ($order:literal) => {
                concat!(
                    "SELECT first_index, size, first_seq, last_seq, time, bytes, digest, epoch FROM strongroom.archived \
                     WHERE tenant_id = $1 AND size >= $2 AND size <= $3 ORDER BY size ",
                    $order,
                    " LIMIT $4"
                )
            };
        }
        let text = if largest_first { text!("DESC") } else { text!("ASC") };
        let rows = rows!(self, tenant, text, first, last, rows_limit(limit));
        rows.iter().map(|row| cells::archived(tenant, row)).collect()
    }

    pub(super) async fn read_tenants_in(&self, state: TenantState, limit: usize) -> Result<Vec<TenantId>, StoreError> {
        let reading = sqlx::query("SELECT * FROM strongroom.tenants_in($1, $2)");
        self.tenant_ids(reading.bind(i64::from(state.code())).bind(rows_limit(limit))).await
    }

    /// Ids of tenants, one in each row.
    pub(super) async fn tenant_ids(&self, reading: Query<'_, Postgres, PgArguments>) -> Result<Vec<TenantId>, StoreError> {
        let mut session = Session::open(&self.link, &self.key, Purpose::Read, &[]).await?;
        let rows = within(reading.fetch_all(session.connection()?)).await?;
        session.release();
        let place = Place { table: "tenant", row: &[] };
        rows.iter().map(|row| place.array(row, 0, "tenant_id").map(TenantId)).collect()
    }
}
