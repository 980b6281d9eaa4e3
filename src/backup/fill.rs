//! Putting a backup into an empty store.
//!
//! While that goes on, and until the deployment is ready to be served, the deployment's row has a mark in the place of its seal
//! configuration: no server opens such a store. A restore that died is done again: what is there stays, what is missing is added.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::entry::Entry;
use super::frame::Header;
use crate::id::{BackupId, TenantId};
use crate::storage::{Archived, Change, Checkpoint, Deployment, LogRow, NewTenant, Restored, Store, StoreError, Structural};
use crate::time::Timestamp;

/// Rows, and bytes of them, that are written in one transaction.
const ROWS: usize = 256;
const BYTES: usize = 4 << 20;

/// What every mark begins with: no seal configuration does.
pub const KEEPS_OUT: &[u8] = br#"{"restoring":"#;

/// How far a restore is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Rows are being written.
    Rows,
    /// All rows are there; tenants are being told that they were restored.
    Epochs,
}

/// What stands in a store that is being restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marker {
    /// From which backup.
    pub restoring: BackupId,
    /// How far it is.
    pub phase: Phase,
    /// The epoch that logs get.
    pub epoch: u32,
    /// When it was begun: tokens of before are dead.
    pub at: Timestamp,
}

impl Marker {
    /// In place of a seal configuration.
    pub fn bytes(&self) -> Vec<u8> {
        // Numbers and words always serialise.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads `bytes`. `None` for a seal configuration.
    pub fn parse(seal: &[u8]) -> Option<Self> {
        seal.starts_with(KEEPS_OUT).then(|| serde_json::from_slice(seal).ok()).flatten()
    }

    /// The row of a deployment that has this mark.
    pub fn deployment(&self, header: &Header) -> Deployment {
        let Header { deployment: id, root, edge, format, .. } = *header;
        Deployment { id, root, edge, dev: false, seal: self.bytes(), format }
    }
}

/// Takes entries in their order.
pub struct Filler<'a> {
    store: &'a dyn Store,
    /// Tenants of which nothing is to be restored.
    left_out: &'a BTreeSet<TenantId>,
    now: Option<TenantId>,
    /// Rows of the log up to this one are there.
    there: u64,
    rows: Restored,
    waiting: usize,
    bytes: usize,
}

impl<'a> Filler<'a> {
    /// For a store that has the mark. Tenants in `left_out` are passed by.
    pub fn new(store: &'a dyn Store, left_out: &'a BTreeSet<TenantId>) -> Self {
        Self { store, left_out, now: None, there: 0, rows: Restored::default(), waiting: 0, bytes: 0 }
    }

    /// The next entry.
    ///
    /// # Errors
    /// The store did not take it.
    pub async fn take(&mut self, entry: Entry) -> Result<(), StoreError> {
        if let Entry::Tenant { id, parent, keys } = entry {
            self.now = (!self.left_out.contains(&id)).then_some(id);
            if self.now.is_some() {
                let found = self.store.tenant(id).await?;
                self.there = found.as_ref().and_then(|row| row.tail.as_ref()).map_or(0, |tail| tail.seq);
                if found.is_none() {
                    self.rows.structural.push(Structural::Create(NewTenant { id, parent, keys }));
                }
            }
            return Ok(());
        }
        let Some(id) = self.now else { return Ok(()) };
        match entry {
            Entry::Record(row) => {
                self.count(row.sealed.len() + row.name.len());
                self.rows.changes.push(Change::Put(row));
            }
            Entry::Removed(key) => {
                self.count(0);
                self.rows.changes.push(Change::Remove(key));
            }
            Entry::Log(row) => self.log(row),
            Entry::Checkpoint(checkpoint) => self.checkpoint(checkpoint),
            Entry::Archived(run) => self.archived(run),
            Entry::TenantEnd { state, keys, .. } => {
                self.flush(id).await?;
                self.rows.structural.push(Structural::Keys(id, keys));
                self.rows.structural.push(Structural::State(id, state));
                self.flush(id).await?;
                self.now = None;
            }
            Entry::Gone => {
                self.flush(id).await?;
                self.rows.structural.push(Structural::State(id, crate::storage::TenantState::Erasing));
                self.flush(id).await?;
                self.now = None;
            }
            Entry::Tenant { .. } | Entry::End { .. } => {}
        }
        if self.waiting >= ROWS || self.bytes >= BYTES { self.flush(id).await } else { Ok(()) }
    }

    fn count(&mut self, bytes: usize) {
        self.waiting += 1;
        self.bytes += bytes;
    }

    fn log(&mut self, row: LogRow) {
        if row.tail.seq > self.there {
            self.count(row.batch.len() + row.leaves.len() + row.summary.len() + row.tail.changed.len());
            self.rows.log.push(row);
        }
    }

    fn checkpoint(&mut self, checkpoint: Checkpoint) {
        self.count(checkpoint.note.len());
        self.rows.checkpoints.push(checkpoint);
    }

    fn archived(&mut self, run: Archived) {
        self.count(0);
        self.rows.archived.push(run);
    }

    async fn flush(&mut self, id: TenantId) -> Result<(), StoreError> {
        (self.waiting, self.bytes) = (0, 0);
        let rows = std::mem::take(&mut self.rows);
        if rows.is_empty() { Ok(()) } else { self.store.restore(id, rows).await }
    }
}
