//! The one script that applies a group, however large: it crosses to the database's thread once. A group that only read, in
//! one tenant, is one log row: one plain statement, which is its own transaction.
//!
//! Rows travel packed: one buffer of contents, and one of decimal numbers of 20 digits that say where each row's parts
//! stand in it (`apply.sql` takes them apart). So the script's text never changes and is prepared once; a row costs what
//! it costs in a statement of bound values (measured: both are bound by the pages they touch).
//! What fails takes the whole transaction with it (`OR ROLLBACK`): so no statement keeps a journal to undo itself alone.
//! `sqlx` runs all statements of a prepared text for this database; numbered parameters are shared between them.

use sqlx::Arguments as _;
use sqlx::sqlite::SqliteArguments;

use super::super::cells::stored;
use super::super::plan::Plan;
use super::super::{LogRow, RecordRow, StoreError};
use crate::id::TenantId;
use crate::record::RecordKey;

/// Appends one log row, and commits.
const ONE_LOG_ROW: &str = "INSERT INTO log (tenant_id, seq, first_index, count, time, prev_root, root, group_id, mac, frontier, \
    changed, batch, leaves, summary) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";
/// Begins, applies, commits.
const WHOLE: &str = concat!("BEGIN IMMEDIATE;\n", include_str!("apply.sql"), "COMMIT");
/// Applies in a transaction that was begun already, and commits.
const REST: &str = concat!(include_str!("apply.sql"), "COMMIT");

/// The text and the parameters that apply `plan`; with `begun`, in the transaction that is open.
pub(super) fn script(plan: &Plan, begun: bool) -> Result<(&'static str, SqliteArguments), StoreError> {
    match &plan.logs[..] {
        [(tenant, row)] if !begun && plan.puts.is_empty() && plan.removes.is_empty() => Ok((ONE_LOG_ROW, log_row(*tenant, row)?)),
        _ => Ok((if begun { REST } else { WHOLE }, arguments(plan)?)),
    }
}

fn log_row(tenant: TenantId, row: &LogRow) -> Result<SqliteArguments, StoreError> {
    let tail = &row.tail;
    let numbers = [stored(tail.seq)?, stored(tail.first_index)?, i64::from(tail.count), tail.time.0];
    let bytes: [&[u8]; 9] = [
        &tail.prev_root,
        &tail.root,
        &tail.group,
        &tail.mac,
        &tail.frontier,
        &tail.changed,
        &row.batch,
        &row.leaves,
        &row.summary,
    ];
    let mut arguments = SqliteArguments::default();
    arguments.add(&tenant.0[..]).map_err(unencodable)?;
    for number in numbers {
        arguments.add(number).map_err(unencodable)?;
    }
    for part in bytes {
        arguments.add(part).map_err(unencodable)?;
    }
    Ok(arguments)
}

fn unencodable(error: sqlx::error::BoxDynError) -> StoreError {
    StoreError::from(sqlx::Error::Encode(error))
}

/// The script's parameters.
fn arguments(plan: &Plan) -> Result<SqliteArguments, StoreError> {
    let (mut records, mut logs) = (Packed::default(), Packed::default());
    for (tenant, row) in &plan.puts {
        records.record(*tenant, row)?;
    }
    for (tenant, row) in &plan.logs {
        logs.log(*tenant, row)?;
    }
    let mut arguments = SqliteArguments::default();
    let mut add = |count: usize, numbers: Option<Vec<u8>>, bytes: Vec<u8>| {
        arguments.add(stored(count as u64).unwrap_or(i64::MAX))?;
        if let Some(numbers) = numbers {
            arguments.add(numbers)?;
        }
        arguments.add(bytes)
    };
    add(plan.removes.len(), None, removed(&plan.removes))
        .and_then(|()| add(plan.puts.len(), Some(records.numbers), records.bytes))
        .and_then(|()| add(plan.logs.len(), Some(logs.numbers), logs.bytes))
        .map_err(unencodable)?;
    Ok(arguments)
}

fn removed(keys: &[(TenantId, RecordKey)]) -> Vec<u8> {
    keys.iter().flat_map(|(tenant, key)| tenant.0.into_iter().chain(key.0)).collect()
}

#[derive(Default)]
struct Packed {
    numbers: Vec<u8>,
    bytes: Vec<u8>,
}

impl Packed {
    fn number(&mut self, number: i64) {
        self.numbers.extend_from_slice(format!("{number:020}").as_bytes());
    }

    fn length(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.number(stored(bytes.len() as u64)?);
        Ok(())
    }

    /// Where the next row's bytes begin; SQL counts from 1.
    fn start(&mut self) -> Result<(), StoreError> {
        self.number(stored(self.bytes.len() as u64 + 1)?);
        Ok(())
    }

    fn record(&mut self, tenant: TenantId, row: &RecordRow) -> Result<(), StoreError> {
        self.number(stored(row.seq)?);
        self.number(i64::from(row.expires_at.is_some()));
        self.number(row.expires_at.map_or(0, |time| time.0));
        self.start()?;
        self.length(&row.name)?;
        self.length(&row.sealed)?;
        for part in [&tenant.0[..], &row.key.0, &row.directory.0, &row.name, &row.sealed] {
            self.bytes.extend_from_slice(part);
        }
        Ok(())
    }

    fn log(&mut self, tenant: TenantId, row: &LogRow) -> Result<(), StoreError> {
        let tail = &row.tail;
        self.number(stored(tail.seq)?);
        self.number(stored(tail.first_index)?);
        self.number(i64::from(tail.count));
        self.number(tail.time.0);
        self.start()?;
        for part in [&tail.frontier, &tail.changed, &row.batch, &row.leaves, &row.summary] {
            self.length(part)?;
        }
        for part in [&tenant.0[..], &tail.prev_root, &tail.root, &tail.group, &tail.mac] {
            self.bytes.extend_from_slice(part);
        }
        for part in [&tail.frontier, &tail.changed, &row.batch, &row.leaves, &row.summary] {
            self.bytes.extend_from_slice(part);
        }
        Ok(())
    }
}
