//! Whether the entries of a backup make whole tenants: each has a beginning and an end, and its log is one tree without gaps.

use std::collections::BTreeSet;

use super::entry::Entry;
use crate::audit::merkle::Frontier;
use crate::id::TenantId;
use crate::storage::LogRow;

/// Entries that do not make a backup; the text says what is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct OutOfOrder(String);

/// What was read so far. 16 bytes of memory for each tenant.
#[derive(Default)]
pub struct Order {
    seen: BTreeSet<TenantId>,
    now: Option<Part>,
    ended: bool,
    /// Rows of records, and events of logs.
    counted: Counted,
}

/// What a backup holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Tenants.
    pub tenants: u64,
    /// Records that were written; one that changed while the backup was made counts twice.
    pub records: u64,
    /// Events of all logs.
    pub events: u64,
}

/// The tenant that is being read.
struct Part {
    id: TenantId,
    seq: u64,
    tree: Frontier,
}

impl Order {
    /// What was read.
    pub fn counted(&self) -> Counted {
        self.counted
    }

    /// The next entry.
    ///
    /// # Errors
    /// It does not follow those before.
    pub fn take(&mut self, entry: &Entry) -> Result<(), OutOfOrder> {
        if self.ended {
            return Err(OutOfOrder("something follows the last entry".to_owned()));
        }
        match (entry, &mut self.now) {
            (Entry::Tenant { id, .. }, now @ None) => {
                if !self.seen.insert(*id) {
                    return Err(OutOfOrder(format!("tenant {id} is there twice")));
                }
                *now = Some(Part { id: *id, seq: 0, tree: Frontier::new() });
                self.counted.tenants += 1;
                Ok(())
            }
            (Entry::End { tenants }, None) => {
                self.ended = true;
                let counted = self.counted.tenants;
                if *tenants == counted { Ok(()) } else { Err(OutOfOrder(format!("it has {counted} tenants of {tenants}"))) }
            }
            (Entry::Tenant { .. } | Entry::End { .. }, Some(part)) => Err(OutOfOrder(format!("tenant {} has no end", part.id))),
            (_, None) => Err(OutOfOrder("a row belongs to no tenant".to_owned())),
            (Entry::Log(row), Some(part)) => {
                self.counted.events += u64::from(row.tail.count);
                part.append(row)
            }
            (Entry::TenantEnd { seq, .. }, Some(part)) => {
                if part.seq != *seq {
                    return Err(OutOfOrder(format!("the log of tenant {} has {} rows of {seq}", part.id, part.seq)));
                }
                self.now = None;
                Ok(())
            }
            (Entry::Gone, now) => {
                *now = None;
                Ok(())
            }
            (Entry::Record(_), Some(_)) => {
                self.counted.records += 1;
                Ok(())
            }
            (Entry::Removed(_) | Entry::Checkpoint(_) | Entry::Archived(_), Some(_)) => Ok(()),
        }
    }

    /// Nothing more comes.
    ///
    /// # Errors
    /// The last entry was not the last.
    pub fn finish(&self) -> Result<(), OutOfOrder> {
        if self.ended { Ok(()) } else { Err(OutOfOrder("the last entry is missing".to_owned())) }
    }
}

impl Part {
    /// The row continues the log, and its hashes give the root that it says.
    fn append(&mut self, row: &LogRow) -> Result<(), OutOfOrder> {
        let wrong = |what: &str| Err(OutOfOrder(format!("row {} of the log of tenant {} {what}", row.tail.seq, self.id)));
        if row.tail.seq != self.seq + 1 || row.tail.first_index != self.tree.size() || row.tail.prev_root != self.tree.root() {
            return wrong("does not follow the one before");
        }
        let (leaves, rest) = row.leaves.as_chunks::<32>();
        if !rest.is_empty() || leaves.len() as u64 != u64::from(row.tail.count) {
            return wrong("has another number of events than it says");
        }
        for leaf in leaves {
            self.tree.push(*leaf);
        }
        if self.tree.root() != row.tail.root {
            return wrong("has other events than its root says");
        }
        self.seq = row.tail.seq;
        Ok(())
    }
}
