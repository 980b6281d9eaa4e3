//! From database rows to plain values, and back where both databases take the same. Columns are read by position, in the
//! order of the constants here; a value of the wrong form is `StoreError::Damaged`, which names its place.

use std::ops::RangeInclusive;

use sqlx::postgres::PgRow;
use sqlx::query::Query;
use sqlx::sqlite::SqliteRow;
use sqlx::{Database, Encode, Row as _, Type};

use super::{
    Archived, Checkpoint, Cosignature, Deployment, DeploymentTree, FeedRow, Fence, Glance, KeptLeaves, LeaseName, LogRow,
    Outlook, RecordRow, StoreError, Tail, TenantRow, TenantState, Wrap,
};
use crate::audit::head::TenantHead;
use crate::id::{DeploymentId, ReplicaId, TenantId};
use crate::record::{DirKey, RecordKey};
use crate::time::Timestamp;

/// The columns of `log` without those that hold events.
pub(super) const TAIL_COLUMNS: usize = 10;

/// Comes before the key of every row: those are keyed hashes.
pub(super) const BEFORE_ALL: RecordKey = RecordKey([0; 32]);

/// A row of either database.
pub(super) trait Cells {
    fn bytes(&self, at: usize) -> Result<Option<Vec<u8>>, sqlx::Error>;
    fn number(&self, at: usize) -> Result<Option<i64>, sqlx::Error>;
    fn text(&self, at: usize) -> Result<Option<String>, sqlx::Error>;
}

macro_rules! cells {
    ($row:ty) => {
        impl Cells for $row {
            fn bytes(&self, at: usize) -> Result<Option<Vec<u8>>, sqlx::Error> {
                self.try_get(at)
            }

            fn number(&self, at: usize) -> Result<Option<i64>, sqlx::Error> {
                self.try_get(at)
            }

            fn text(&self, at: usize) -> Result<Option<String>, sqlx::Error> {
                self.try_get(at)
            }
        }
    };
}

cells!(PgRow);
cells!(SqliteRow);

/// Where a value stands, for errors.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) table: &'static str,
    pub(super) row: &'a [u8],
}

impl Place<'_> {
    fn damaged(&self, column: &'static str) -> StoreError {
        let row = data_encoding::HEXLOWER.encode(self.row.get(..8).unwrap_or(self.row));
        StoreError::Damaged { table: self.table, row, column }
    }

    /// Any bytes.
    pub(super) fn bytes(&self, row: &impl Cells, at: usize, column: &'static str) -> Result<Vec<u8>, StoreError> {
        row.bytes(at)?.ok_or_else(|| self.damaged(column))
    }

    /// Exactly `N` bytes.
    pub(super) fn array<const N: usize>(&self, row: &impl Cells, at: usize, column: &'static str) -> Result<[u8; N], StoreError> {
        self.bytes(row, at, column)?.try_into().map_err(|_| self.damaged(column))
    }

    /// Any text.
    pub(super) fn text(&self, row: &impl Cells, at: usize, column: &'static str) -> Result<String, StoreError> {
        row.text(at)?.ok_or_else(|| self.damaged(column))
    }

    /// A number of the wanted type.
    pub(super) fn number<T: TryFrom<i64>>(&self, row: &impl Cells, at: usize, column: &'static str) -> Result<T, StoreError> {
        row.number(at)?.and_then(|number| T::try_from(number).ok()).ok_or_else(|| self.damaged(column))
    }

    /// What `parse` makes of a number.
    pub(super) fn parsed<T>(
        &self,
        row: &impl Cells,
        at: usize,
        column: &'static str,
        parse: fn(i64) -> Option<T>,
    ) -> Result<T, StoreError> {
        row.number(at)?.and_then(parse).ok_or_else(|| self.damaged(column))
    }
}

/// A number as both databases store it.
pub(super) fn stored(number: u64) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(|_| StoreError::Misused("a number is out of range"))
}

/// A range of numbers as both databases compare it.
pub(super) fn bounds(range: &RangeInclusive<u64>) -> (i64, i64) {
    let number = |end: &u64| i64::try_from(*end).unwrap_or(i64::MAX);
    (number(range.start()), number(range.end()))
}

/// A row count as both databases take it.
pub(super) fn limit(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

/// When a record expires, and its key.
pub(super) fn expired(tenant: TenantId, row: &impl Cells) -> Result<(Timestamp, RecordKey), StoreError> {
    let place = Place { table: "record", row: &tenant.0 };
    Ok((Timestamp(place.number(row, 0, "expires_at")?), RecordKey(place.array(row, 1, "key")?)))
}

/// id, root, edge, dev (0 or 1), seal, format
pub(super) fn deployment(row: &impl Cells) -> Result<Deployment, StoreError> {
    let place = Place { table: "deployment", row: &[] };
    Ok(Deployment {
        id: DeploymentId(place.array(row, 0, "id")?),
        root: TenantId(place.array(row, 1, "root")?),
        edge: TenantId(place.array(row, 2, "edge")?),
        dev: place.number::<i64>(row, 3, "dev")? != 0,
        seal: place.bytes(row, 4, "seal")?,
        format: place.number(row, 5, "format")?,
    })
}

/// seq, `first_index`, count, time, `prev_root`, root, frontier, changed, `group_id`, mac from column `at` on; `None` when seq is null.
pub(super) fn tail(tenant: TenantId, row: &impl Cells, at: usize) -> Result<Option<Tail>, StoreError> {
    if row.number(at)?.is_none() {
        return Ok(None);
    }
    let place = Place { table: "log", row: &tenant.0 };
    Ok(Some(Tail {
        seq: place.number(row, at, "seq")?,
        first_index: place.number(row, at + 1, "first_index")?,
        count: place.number(row, at + 2, "count")?,
        time: Timestamp(place.number(row, at + 3, "time")?),
        prev_root: place.array(row, at + 4, "prev_root")?,
        root: place.array(row, at + 5, "root")?,
        frontier: place.bytes(row, at + 6, "frontier")?,
        changed: place.bytes(row, at + 7, "changed")?,
        group: place.array(row, at + 8, "group_id")?,
        mac: place.array(row, at + 9, "mac")?,
    }))
}

/// The columns of `tail`, then batch, leaves, summary.
pub(super) fn log_row(tenant: TenantId, row: &impl Cells) -> Result<LogRow, StoreError> {
    let place = Place { table: "log", row: &tenant.0 };
    Ok(LogRow {
        tail: tail(tenant, row, 0)?.ok_or_else(|| place.damaged("seq"))?,
        batch: place.bytes(row, TAIL_COLUMNS, "batch")?,
        leaves: place.bytes(row, TAIL_COLUMNS + 1, "leaves")?,
        summary: place.bytes(row, TAIL_COLUMNS + 2, "summary")?,
    })
}

/// seq, `first_index`, count, time, first leaf, summary, batch, whether its events are gone (0 or 1).
pub(super) fn glance(tenant: TenantId, row: &impl Cells) -> Result<Glance, StoreError> {
    let place = Place { table: "log", row: &tenant.0 };
    Ok(Glance {
        seq: place.number(row, 0, "seq")?,
        first_index: place.number(row, 1, "first_index")?,
        count: place.number(row, 2, "count")?,
        time: Timestamp(place.number(row, 3, "time")?),
        first_leaf: place.array(row, 4, "leaves")?,
        summary: place.bytes(row, 5, "summary")?,
        batch: place.bytes(row, 6, "batch")?,
        pruned: place.number::<i64>(row, 7, "batch")? != 0,
    })
}

/// `first_index`, size, `first_seq`, `last_seq`, time, bytes, digest, epoch.
pub(super) fn archived(tenant: TenantId, row: &impl Cells) -> Result<Archived, StoreError> {
    let place = Place { table: "archived", row: &tenant.0 };
    Ok(Archived {
        first_index: place.number(row, 0, "first_index")?,
        size: place.number(row, 1, "size")?,
        first_seq: place.number(row, 2, "first_seq")?,
        last_seq: place.number(row, 3, "last_seq")?,
        time: Timestamp(place.number(row, 4, "time")?),
        bytes: place.number(row, 5, "bytes")?,
        digest: place.array(row, 6, "digest")?,
        epoch: place.number(row, 7, "epoch")?,
    })
}

/// A statement whose first nine arguments are tenant, size, `first_index`, `first_seq`, `last_seq`, time, bytes, digest, epoch.
pub(super) fn inserting_archived<'q, DB: Database>(
    text: &'static str,
    tenant: &'q TenantId,
    archived: &'q Archived,
) -> Result<Query<'q, DB, DB::Arguments>, StoreError>
where
    i64: Encode<'q, DB> + Type<DB>,
    &'q [u8]: Encode<'q, DB> + Type<DB>,
{
    Ok(sqlx::query(text)
        .bind(&tenant.0[..])
        .bind(stored(archived.size)?)
        .bind(stored(archived.first_index)?)
        .bind(stored(archived.first_seq)?)
        .bind(stored(archived.last_seq)?)
        .bind(archived.time.0)
        .bind(stored(archived.bytes)?)
        .bind(&archived.digest[..])
        .bind(i64::from(archived.epoch)))
}

/// `first_index`, leaves, frontier.
pub(super) fn kept_leaves(tenant: TenantId, row: &impl Cells) -> Result<KeptLeaves, StoreError> {
    let place = Place { table: "erased_log", row: &tenant.0 };
    Ok(KeptLeaves {
        first_index: place.number(row, 0, "first_index")?,
        leaves: place.bytes(row, 1, "leaves")?,
        frontier: place.bytes(row, 2, "frontier")?,
    })
}

/// size, root, note.
pub(super) fn checkpoint(tenant: TenantId, row: &impl Cells) -> Result<Checkpoint, StoreError> {
    let place = Place { table: "checkpoint", row: &tenant.0 };
    Ok(Checkpoint { size: place.number(row, 0, "size")?, root: place.array(row, 1, "root")?, note: place.bytes(row, 2, "note")? })
}

/// place, `head_of`, epoch, size, root.
pub(super) fn head(row: &impl Cells) -> Result<(u64, TenantHead), StoreError> {
    let place = Place { table: "tenant_head", row: &[] };
    let head = TenantHead {
        tenant: TenantId(place.array(row, 1, "head_of")?),
        epoch: place.number(row, 2, "epoch")?,
        size: place.number(row, 3, "size")?,
        root: place.array(row, 4, "root")?,
    };
    Ok((place.number(row, 0, "place")?, head))
}

/// size, frontier, note.
pub(super) fn deployment_tree(row: &impl Cells) -> Result<DeploymentTree, StoreError> {
    let place = Place { table: "deployment_tree", row: &[] };
    let (size, frontier) = (place.number(row, 0, "size")?, place.bytes(row, 1, "frontier")?);
    Ok(DeploymentTree { size, frontier, note: place.bytes(row, 2, "note")? })
}

/// size, witness, line.
pub(super) fn cosignature(row: &impl Cells) -> Result<Cosignature, StoreError> {
    let place = Place { table: "cosignature", row: &[] };
    let size = place.number(row, 0, "size")?;
    Ok(Cosignature { size, witness: place.text(row, 1, "witness")?, line: place.text(row, 2, "line")? })
}

/// name, holder, epoch; `None` for a lease that newer software has.
pub(super) fn lease(row: &impl Cells) -> Result<Option<Fence>, StoreError> {
    let place = Place { table: "lease", row: &[] };
    let Some(lease) = LeaseName::parse(&place.text(row, 0, "name")?) else { return Ok(None) };
    Ok(Some(Fence { lease, holder: ReplicaId(place.array(row, 1, "holder")?), epoch: place.number(row, 2, "epoch")? }))
}

/// seq, time, size, signed, `expires_at` from column `at` on. Nonsense in one tenant's rows must not hide the others: whoever works in
/// that tenant says what is wrong there.
pub(super) fn outlook(tenant: TenantId, row: &impl Cells, at: usize) -> Result<Outlook, StoreError> {
    let number = |at| Ok::<_, sqlx::Error>(row.number(at)?.and_then(|number| u64::try_from(number).ok()).unwrap_or(u64::MAX));
    Ok(Outlook {
        tenant,
        seq: number(at)?,
        time: Timestamp(row.number(at + 1)?.unwrap_or_default()),
        size: number(at + 2)?,
        signed: number(at + 3)?,
        next_expiry: row.number(at + 4)?.map(Timestamp),
    })
}

/// dir, seq, `expires_at`, name, sealed from column `at` on; `None` when dir is null (a join that found no record).
pub(super) fn record(key: RecordKey, row: &impl Cells, at: usize) -> Result<Option<RecordRow>, StoreError> {
    if row.bytes(at)?.is_none() {
        return Ok(None);
    }
    let place = Place { table: "record", row: &key.0 };
    Ok(Some(RecordRow {
        key,
        directory: DirKey(place.array(row, at, "dir")?),
        seq: place.number(row, at + 1, "seq")?,
        expires_at: row.number(at + 2)?.map(Timestamp),
        name: place.bytes(row, at + 3, "name")?,
        sealed: place.bytes(row, at + 4, "sealed")?,
    }))
}

/// key, name from column `at` on; `None` when key is null (a join that found nothing).
fn name(row: &impl Cells, at: usize) -> Result<Option<(RecordKey, Vec<u8>)>, StoreError> {
    let Some(key) = row.bytes(at)? else { return Ok(None) };
    let place = Place { table: "record", row: &key };
    Ok(Some((RecordKey(place.array(row, at, "key")?), place.bytes(row, at + 1, "name")?)))
}

/// seq of the newest log row, in column 0 of what has at least one row.
pub(super) fn position(tenant: TenantId, rows: &[impl Cells]) -> Result<u64, StoreError> {
    let place = Place { table: "log", row: &tenant.0 };
    place.number(rows.first().ok_or_else(|| place.damaged("seq"))?, 0, "seq")
}

/// key, name from column `at` on; rows whose key is null hold no name.
pub(super) fn names(rows: &[impl Cells], at: usize) -> Result<Vec<(RecordKey, Vec<u8>)>, StoreError> {
    rows.iter().filter_map(|row| name(row, at).transpose()).collect()
}

/// key, then the columns of `record` from column `at` on; rows whose key is null hold no record.
pub(super) fn records(tenant: TenantId, rows: &[impl Cells], at: usize) -> Result<Vec<RecordRow>, StoreError> {
    let place = Place { table: "record", row: &tenant.0 };
    let mut records = Vec::with_capacity(rows.len());
    for row in rows {
        if row.bytes(at)?.is_some() {
            records.extend(record(RecordKey(place.array(row, at, "key")?), row, at + 1)?);
        }
    }
    Ok(records)
}

/// parent, state, generation, keyring, seal, wrap, then the columns of `tail`: one row per wrap, at least one when there is such a tenant.
pub(super) fn tenant(id: TenantId, rows: &[impl Cells]) -> Result<Option<TenantRow>, StoreError> {
    let Some(first) = rows.first() else { return Ok(None) };
    let place = Place { table: "tenant", row: &id.0 };
    let parent = first.bytes(0)?.map(|_| place.array(first, 0, "parent")).transpose()?;
    let keys = Place { table: "tenant_key", row: &id.0 };
    let mut wraps = Vec::with_capacity(rows.len());
    for row in rows {
        if let Some(seal) = row.text(4)? {
            wraps.push(Wrap { seal, wrap: keys.bytes(row, 5, "wrap")? });
        }
    }
    Ok(Some(TenantRow {
        id,
        parent: parent.map(TenantId),
        state: place.parsed(first, 1, "state", TenantState::from_code)?,
        generation: place.number(first, 2, "generation")?,
        wraps,
        keyring: place.bytes(first, 3, "keyring")?,
        tail: tail(id, first, 6)?,
    }))
}

/// seq, `prev_root`, changed from column `at` on.
pub(super) fn feed_row(tenant: TenantId, row: &impl Cells, at: usize) -> Result<FeedRow, StoreError> {
    let place = Place { table: "log", row: &tenant.0 };
    Ok(FeedRow {
        seq: place.number(row, at, "seq")?,
        prev_root: place.array(row, at + 1, "prev_root")?,
        changed: place.bytes(row, at + 2, "changed")?,
    })
}
