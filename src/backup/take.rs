//! Taking a backup from a store that is in use.
//!
//! No snapshot is held. Of each tenant the records are read page by page, each page as it is at that moment; then the log, and what
//! it says was changed meanwhile is read again. What is left to be followed gets small, and is read at last while the tenant's head is
//! held, for some milliseconds. So what is written of a tenant is exactly its state at its last row of the log.
//!
//! Tenants are taken from the bottom up, and those that were made meanwhile at the end: who is named by a parent is there.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::entry::Entry;
use super::write::{Output, Writer};
use crate::audit::changed;
use crate::id::TenantId;
use crate::record::RecordKey;
use crate::storage::{Feed, Group, Known, LogRow, RecordRow, Store, StoreError, TenantKeys, TenantRow, TenantState};

/// Rows of records, of the log, of what is signed, that are read at once.
const ROWS: usize = 64;
/// Tenants that are listed at once.
const TENANTS: usize = 1_000;
/// Rows of the log that are read while the head is held, at most.
const LAST_ROWS: usize = 16;
/// Looks at a log that grows faster than it is read.
const LOOKS_MAX: usize = 10_000;

/// How far it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Tenants that are done.
    pub tenants: u64,
    /// Of so many.
    pub of: u64,
    /// Bytes written.
    pub bytes: u64,
}

/// Why a backup came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum TakeError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Where it goes.
    #[error("{0}")]
    Output(String),
    /// A tenant that is written to without a pause.
    #[error("the log of tenant {0} grew faster than it was read")]
    TooFast(TenantId),
}

/// Writes all tenants of a store. `tell` hears how far it is, after each of them.
///
/// # Errors
/// See `TakeError`; what was written is of no use then.
pub async fn take<O: Output>(
    store: &dyn Store,
    root: TenantId,
    writer: &mut Writer<O>,
    tell: &(dyn Fn(Progress) + Send + Sync),
) -> Result<Progress, TakeError> {
    let mut progress = Progress::default();
    let mut known = BTreeSet::new();
    loop {
        let found = family(store, root, &known).await?;
        if found.is_empty() {
            break;
        }
        progress.of += found.len() as u64;
        for id in found {
            known.insert(id);
            tell(progress);
            let there = Taking { store, id, writer: &mut *writer }.run().await?;
            if there {
                progress.tenants += 1;
            } else {
                progress.of -= 1;
            }
            progress.bytes = writer.bytes();
        }
    }
    add(writer, &Entry::End { tenants: progress.tenants }).await?;
    tell(progress);
    Ok(progress)
}

async fn add<O: Output>(writer: &mut Writer<O>, entry: &Entry) -> Result<(), TakeError> {
    writer.add(entry).await.map_err(TakeError::Output)
}

/// The tenants that are not `known`: the deepest first, the root last.
async fn family(store: &dyn Store, root: TenantId, known: &BTreeSet<TenantId>) -> Result<Vec<TenantId>, StoreError> {
    let (mut parents, mut after) = (BTreeMap::new(), None);
    loop {
        let page = store.tenants(after, TENANTS).await?;
        for id in page.iter().filter(|id| !known.contains(id)) {
            let parent = store.tenant(*id).await?.and_then(|row| row.parent);
            parents.insert(*id, parent);
        }
        match page.last() {
            Some(last) if page.len() == TENANTS => after = Some(*last),
            _ => break,
        }
    }
    let depth = |id: &TenantId| {
        let above = |id: &TenantId| parents.get(id).copied().flatten();
        std::iter::successors(above(id), above).take(parents.len()).count()
    };
    let mut found: Vec<TenantId> = parents.keys().copied().collect();
    found.sort_by_cached_key(|id| (Reverse(depth(id)), *id == root));
    Ok(found)
}

struct Taking<'a, O> {
    store: &'a dyn Store,
    id: TenantId,
    writer: &'a mut Writer<O>,
}

/// The last rows, read while the head is held.
struct Last {
    row: TenantRow,
    log: Vec<LogRow>,
    records: Vec<(RecordKey, Option<RecordRow>)>,
}

fn keys(row: &TenantRow) -> TenantKeys {
    TenantKeys { generation: row.generation, wraps: row.wraps.clone(), keyring: row.keyring.clone() }
}

impl<O: Output> Taking<'_, O> {
    /// False when there is no such tenant any more: nothing was written of it then.
    async fn run(mut self) -> Result<bool, TakeError> {
        let row = self.store.tenant(self.id).await?.filter(|row| row.state != TenantState::Erasing);
        let Some(row) = row else { return Ok(false) };
        let begun = row.tail.as_ref().map_or(0, |tail| tail.seq);
        self.add(&Entry::Tenant { id: self.id, parent: row.parent, keys: keys(&row) }).await?;
        self.records().await?;
        let mut next = 1;
        for _ in 0..LOOKS_MAX {
            let rows = self.store.log(self.id, next, ROWS).await?;
            let full = rows.len() == ROWS;
            next = rows.last().map_or(next, |row| row.tail.seq + 1);
            self.follow(rows, begun).await?;
            if full {
                continue;
            }
            match last(self.store, self.id, next).await? {
                Ended::Whole(last) => return self.end(*last).await.map(|()| true),
                Ended::Grown => {}
                Ended::Gone => {
                    self.add(&Entry::Gone).await?;
                    return Ok(true);
                }
            }
        }
        Err(TakeError::TooFast(self.id))
    }

    async fn add(&mut self, entry: &Entry) -> Result<(), TakeError> {
        add(self.writer, entry).await
    }

    async fn records(&mut self) -> Result<(), TakeError> {
        let mut after = None;
        loop {
            let page = self.store.records(self.id, after, ROWS).await?.value;
            let full = page.len() == ROWS;
            after = page.last().map(|row| row.key);
            for row in page {
                self.add(&Entry::Record(row)).await?;
            }
            if !full {
                return Ok(());
            }
        }
    }

    /// Writes rows of the log, and anew the records that those behind `begun` have changed.
    async fn follow(&mut self, rows: Vec<LogRow>, begun: u64) -> Result<(), TakeError> {
        let changed = changed_keys(rows.iter().filter(|row| row.tail.seq > begun).map(|row| &row.tail.changed));
        for row in rows {
            self.add(&Entry::Log(row)).await?;
        }
        for key in changed {
            let found = self.store.record(self.id, key).await?.value;
            self.record(key, found).await?;
        }
        Ok(())
    }

    async fn record(&mut self, key: RecordKey, found: Option<RecordRow>) -> Result<(), TakeError> {
        self.add(&found.map_or(Entry::Removed(key), Entry::Record)).await
    }

    async fn end(&mut self, last: Last) -> Result<(), TakeError> {
        for row in last.log {
            self.add(&Entry::Log(row)).await?;
        }
        for (key, found) in last.records {
            self.record(key, found).await?;
        }
        let (seq, size) = last.row.tail.as_ref().map_or((0, 0), |tail| (tail.seq, tail.size()));
        let mut from = 0;
        while from <= size {
            let page = self.store.checkpoints(self.id, from..=size, false, ROWS).await?;
            from = if page.len() == ROWS { page.last().map_or(size, |found| found.size) + 1 } else { size + 1 };
            for found in page {
                self.add(&Entry::Checkpoint(found)).await?;
            }
        }
        from = 0;
        while from <= size {
            let page = self.store.archived(self.id, from..=size, false, ROWS).await?;
            from = if page.len() == ROWS { page.last().map_or(size, |found| found.size) + 1 } else { size + 1 };
            for found in page {
                self.add(&Entry::Archived(found)).await?;
            }
        }
        self.add(&Entry::TenantEnd { state: last.row.state, keys: keys(&last.row), seq }).await
    }
}

/// Looks at what came after row `next - 1` with the head held.
async fn last(store: &dyn Store, id: TenantId, next: u64) -> Result<Ended, TakeError> {
    let known = next.saturating_sub(1);
    let mut group = store.begin(&[Known::locked(id, known)]).await?;
    let outcome = held(store, id, known, &mut *group).await;
    group.rollback().await;
    outcome
}

async fn held(store: &dyn Store, id: TenantId, known: u64, group: &mut dyn Group) -> Result<Ended, TakeError> {
    let feed: &Feed = group.feed(id);
    if feed.state.is_none_or(|state| state == TenantState::Erasing) {
        return Ok(Ended::Gone);
    }
    if !feed.complete || feed.changed.len() > LAST_ROWS {
        return Ok(Ended::Grown);
    }
    let (grown, changed) = (!feed.changed.is_empty(), changed_keys(feed.changed.iter().map(|row| &row.changed)));
    let Some(row) = store.tenant(id).await? else { return Ok(Ended::Gone) };
    let log = if grown { store.log(id, known + 1, LAST_ROWS).await? } else { Vec::new() };
    let mut records = Vec::with_capacity(changed.len());
    for key in changed {
        records.push((key, group.record(id, key).await?));
    }
    Ok(Ended::Whole(Box::new(Last { row, log, records })))
}

enum Ended {
    /// Nothing can have come since.
    Whole(Box<Last>),
    /// Too much came to be read with the head held.
    Grown,
    /// The tenant was erased.
    Gone,
}

/// Keys of records, and of directories in rows of older servers, at which no record is.
fn changed_keys<'a>(columns: impl Iterator<Item = &'a Vec<u8>>) -> BTreeSet<RecordKey> {
    let mut found = BTreeSet::new();
    for column in columns {
        match changed::records(column) {
            Some(records) => found.extend(records.map(|(key, _)| key)),
            None => found.extend(changed::keys(column).iter().map(|key| RecordKey(*key))),
        }
    }
    found
}
