//! What the log says of a tenant's records, and the records as they are stored: for whoever holds the one against the other.
//! Straight from the store, so that what was changed outside this server shows.

use std::sync::Arc;

use super::faults::store_refusal;
use super::log::Head;
use super::tenant::Tenant;
use super::tenants::Tenants;
use super::txn::Txn;
use crate::answer::Refusal;
use crate::record::RecordKey;
use crate::storage::{Fill, LogRow, RecordRow};
use crate::time::Timestamp;

/// Rows that are read at once.
const ROWS: usize = 64;

/// What one row of the log says.
pub struct Told {
    /// Its number.
    pub seq: u64,
    /// When its group was committed.
    pub time: Timestamp,
    /// Its column `changed` (`audit::changed`).
    pub changed: Vec<u8>,
    /// What is wrong with the row, if anything.
    pub fault: Option<Fault>,
}

/// What is wrong with a row of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is not there.
    Missing,
    /// It is not as it was written, or does not follow the row before it.
    Changed,
}

impl Fault {
    /// A word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Changed => "changed",
        }
    }
}

impl Tenants {
    /// Rows of a tenant's log from number `from` on, each held against its MAC and the row before it, some at a time. None:
    /// that is the end of the log.
    pub async fn told(&self, tenant: &Tenant, from: u64) -> Result<Vec<Told>, Refusal> {
        // Before the rows are read: meanwhile there may be more of them.
        let known = tenant.position();
        let from = from.max(1);
        let mut rows = self.log_rows(tenant.id(), from.saturating_sub(1).max(1), ROWS).await?;
        let mut before = None;
        if from > 1 && rows.first().is_some_and(|row| row.tail.seq == from - 1) {
            before = Some(rows.remove(0).tail.root);
        } else if from == 1 {
            before = Some(Head::genesis().root);
        }
        let (mut told, mut next) = (Vec::with_capacity(rows.len()), from);
        for row in rows {
            let missing = next..row.tail.seq;
            if !missing.is_empty() {
                told.extend(missing.take(ROWS).map(|seq| Told::missing(seq, row.tail.time)));
                before = None;
            }
            let follows = before.is_none_or(|root| row.tail.prev_root == root);
            let sound = follows && Head::verified(tenant.keyring(), self.deployment(), tenant.id(), &row).is_ok();
            (next, before) = (row.tail.seq + 1, Some(row.tail.root));
            told.push(Told::of(row, sound));
        }
        // This server has seen more of it than there is.
        if told.is_empty() && next <= known {
            told.push(Told::missing(next, tenant.time()));
        }
        Ok(told)
    }

    /// A transaction that only looks: it is part of no group, so nothing waits for it, and what it reads one after the other
    /// may be of different moments. What it would write is lost.
    pub fn look(self: &Arc<Self>) -> Txn {
        Txn::new(Arc::clone(self), self.clock().now(), None, Arc::default())
    }

    /// As `Store::records`.
    pub async fn stored(&self, tenant: &Tenant, after: Option<RecordKey>, limit: usize) -> Result<Fill<Vec<RecordRow>>, Refusal> {
        self.store().records(tenant.id(), after, limit).await.map_err(|error| store_refusal(&error))
    }

    /// As `Store::record`.
    pub async fn stored_at(&self, tenant: &Tenant, key: RecordKey) -> Result<Option<RecordRow>, Refusal> {
        Ok(self.store().record(tenant.id(), key).await.map_err(|error| store_refusal(&error))?.value)
    }
}

impl Told {
    fn of(row: LogRow, sound: bool) -> Self {
        let fault = (!sound).then_some(Fault::Changed);
        Self { seq: row.tail.seq, time: row.tail.time, changed: row.tail.changed, fault }
    }

    fn missing(seq: u64, time: Timestamp) -> Self {
        Self { seq, time, changed: Vec::new(), fault: Some(Fault::Missing) }
    }
}
