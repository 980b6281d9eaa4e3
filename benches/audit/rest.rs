//! What events take at rest: the columns of a sample of the rows that were written.

use std::fmt;

use crate::deployed::Deployed;

/// Rows that are looked at.
const SAMPLE: u64 = 200;

/// Bytes of a sample, by column, and the events in it.
#[derive(Default)]
pub(crate) struct Bytes {
    rows: usize,
    events: usize,
    batch: usize,
    leaves: usize,
    summary: usize,
    rest: usize,
}

/// Rows of the log so far.
pub(crate) async fn rows(deployed: &Deployed) -> u64 {
    let tenants = deployed.committer().tenants();
    tenants.newest_row(tenants.root().id()).await.unwrap().map_or(0, |row| row.seq)
}

impl Bytes {
    pub(crate) async fn of(deployed: &Deployed, first_row: u64) -> Self {
        let (tenants, mut bytes) = (deployed.committer().tenants(), Self::default());
        let last = rows(deployed).await;
        let step = ((last - first_row) / SAMPLE).max(1);
        for at in (first_row..=last).step_by(usize::try_from(step).unwrap()) {
            for row in tenants.log_rows(tenants.root().id(), at, 1).await.unwrap() {
                bytes.rows += 1;
                bytes.events += usize::try_from(row.tail.count).unwrap();
                bytes.batch += row.batch.len();
                bytes.leaves += row.leaves.len();
                bytes.summary += row.summary.len();
                // Numbers and hashes of fixed size: tenant, seq, first index, count, time, two roots, group, MAC.
                bytes.rest += 16 + 8 + 8 + 4 + 8 + 32 + 32 + 16 + 32 + row.tail.frontier.len() + row.tail.changed.len();
            }
        }
        bytes
    }

    pub(crate) fn events_per_row(&self) -> f64 {
        self.events as f64 / self.rows as f64
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each = |bytes: usize| bytes as f64 / self.events as f64;
        let all = self.batch + self.leaves + self.summary + self.rest;
        write!(
            f,
            "{:.0} | {:.1} | {:.1} | {:.1} | {:.1}",
            each(all),
            each(self.batch),
            each(self.leaves),
            each(self.summary),
            each(self.rest)
        )
    }
}
