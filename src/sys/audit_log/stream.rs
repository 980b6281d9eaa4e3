//! The rows of one log that a search has before it, fetched some at a time.

use std::collections::VecDeque;

use super::search::Search;
use super::sources::Source;
use crate::answer::Refusal;
use crate::audit::cursor::Position;
use crate::commit::{Tenants, missing};
use crate::storage::Glance;

/// Rows that are fetched at once: at first, then more and more, fewer with their batches.
const ROWS_FIRST: usize = 4;
const ROWS_MAX: usize = 64;
const BATCHES_MAX: usize = 16;

/// Whether there are events in the time of a search that it does not look at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum LeftOut {
    #[default]
    Nothing,
    /// They were deleted from the archive.
    Expired,
    /// They are in the archive, and nobody asked for that.
    Archived,
}

/// The rows of one log that are still to be looked at.
pub(super) struct Stream<'a> {
    pub(super) source: &'a Source,
    /// Which of the sources it is.
    pub(super) at: usize,
    pub(super) rows: VecDeque<Glance>,
    /// Numbers of rows that are not fetched yet: from, and up to before.
    low: u64,
    high: u64,
    pub(super) left_out: LeftOut,
    /// How many are fetched next: a page may need few.
    fetch: usize,
    opening: bool,
}

impl<'a> Stream<'a> {
    pub(super) async fn new(search: &Search, at: usize, source: &'a Source, tenants: &Tenants) -> Result<Self, Refusal> {
        let id = source.tenant.id();
        let mut low = match search.since {
            Some(since) => tenants.row_after(id, |row| row.time < since).await?,
            None => 1,
        };
        let mut high = match search.until {
            Some(until) => tenants.row_after(id, |row| row.time <= until).await?,
            None => tenants.newest_row(id).await?.map_or(1, |row| row.seq + 1),
        };
        if let Some(index) = search.asked.since_index {
            low = low.max(tenants.row_after(id, |row| row.end() <= index).await?);
        }
        if let Some(cursor) = search.asked.cursor {
            let position = |row: &Glance, index| Position { time: row.time, tenant: id, index };
            if search.asked.newest_first {
                high = high.min(tenants.row_after(id, |row| position(row, row.first_index) < cursor).await?);
            } else {
                low = low.max(tenants.row_after(id, |row| position(row, row.end().saturating_sub(1)) <= cursor).await?);
            }
        }
        let mut left_out = LeftOut::Nothing;
        if low < high && tenants.glance(id, low..=low, false, 1).await?.first().is_some_and(|row| row.pruned) {
            let expired = source.expired;
            let (above, why) = if search.asked.archive {
                (tenants.row_after(id, |row| row.pruned && row.end() <= expired).await?, LeftOut::Expired)
            } else {
                (tenants.row_after(id, |row| row.pruned).await?, LeftOut::Archived)
            };
            if above > low {
                (low, left_out) = (above, why);
            }
        }
        let (rows, fetch, opening) = (VecDeque::new(), ROWS_FIRST, search.opens_all());
        Ok(Self { source, at, rows, low, high, left_out, fetch, opening })
    }

    /// The row that is next, fetched if it is not there yet.
    pub(super) async fn peek(&mut self, newest_first: bool, tenants: &Tenants) -> Result<Option<&Glance>, Refusal> {
        if self.rows.is_empty() && self.low < self.high {
            let id = self.source.tenant.id();
            let seqs = self.low..=self.high - 1;
            let rows = if self.opening {
                tenants.glance_opening(id, seqs, newest_first, self.fetch).await?
            } else {
                tenants.glance(id, seqs, newest_first, self.fetch).await?
            };
            self.fetch = (self.fetch * 4).min(if self.opening { BATCHES_MAX } else { ROWS_MAX });
            let first = if newest_first { self.high - 1 } else { self.low };
            for (at, row) in (0..).zip(&rows) {
                let expected = if newest_first { first.saturating_sub(at) } else { first + at };
                if row.seq != expected {
                    return Err(missing(id, expected));
                }
            }
            match rows.last() {
                None => return Err(missing(id, first)),
                Some(last) if newest_first => self.high = last.seq,
                Some(last) => self.low = last.seq + 1,
            }
            self.rows = rows.into();
        }
        Ok(self.rows.front())
    }
}
