//! One page of a search: rows of one or many logs, in one order, until the page is full, nothing is left, or the page has
//! taken enough time.

use std::collections::VecDeque;
use std::time::Duration;

use super::opened;
use super::operation::{Asked, Readers};
use super::page::{self, Hit};
use super::sources::Source;
use crate::answer::{Answer, Refusal};
use crate::audit::cursor::Position;
use crate::audit::search::{Filter, Outcome, Sieve};
use crate::audit::summary::Term;
use crate::commit::{Segments, Tenants, missing};
use crate::json::Json;
use crate::storage::Glance;
use crate::time::Timestamp;

/// Rows that are fetched at once.
const ROWS: usize = 64;
/// Most events that one page opens.
const OPENED_MAX: usize = 250_000;
/// Where references are used.
const RESOLVE: &str = "sys/references/resolve";
/// Most reads that one page of `sys/audit-log/readers` puts together.
const READS_MAX: usize = 10_000;
/// Most bytes of events in one page.
const BYTES_MAX: usize = 8 << 20;
/// How long one page may take. It is then answered with what was found, and goes on by its cursor.
const TIME_MAX: Duration = Duration::from_secs(2);
/// Logs of several tenants that are read forwards are read up to this long ago: groups commit in no order between tenants,
/// and what was logged a moment earlier may still be on its way. Longer than a group can take.
const SETTLED: Duration = Duration::from_secs(15);

/// A search that was let in.
pub(super) struct Search {
    asked: Asked,
    sources: Vec<Source>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    /// An event that is wanted matches one of these.
    filters: Vec<Filter>,
    /// What events that match a filter have, and what to sort others out with: filter by filter.
    terms: Vec<Vec<Term>>,
    sieves: Vec<Sieve>,
}

impl Search {
    /// `sources` begins with the log of the request's namespace, in which the paths of the filter begin.
    pub(super) fn new(mut asked: Asked, sources: Vec<Source>, now: Timestamp) -> Self {
        let namespace = sources.first().map_or("", |source| source.namespace.as_str());
        let Filter { path, prefix, .. } = &mut asked.filter;
        for path in [path, prefix].into_iter().flatten() {
            path.insert_str(0, namespace);
        }
        let since = asked.since.map(|when| when.at(now));
        let mut until = asked.until.map(|when| when.at(now));
        if asked.children && !asked.newest_first {
            let settled = Timestamp(now.0.saturating_sub(i64::try_from(SETTLED.as_nanos()).unwrap_or(i64::MAX)));
            until = Some(until.map_or(settled, |until| until.min(settled)));
        }
        let filters = vec![std::mem::take(&mut asked.filter)];
        Self { asked, sources, since, until, filters, terms: Vec::new(), sieves: Vec::new() }.sharpened()
    }

    /// What was read at `path` of a namespace, or by one of these references: as many events as one page opens.
    pub(super) fn for_reads(asked: Readers, references: Vec<[u8; 32]>, source: Source, now: Timestamp) -> Self {
        let Readers { path, since, until, cursor, .. } = asked;
        let outcome = Some(Outcome::Done);
        let filter =
            Filter { path: Some(path.as_str().to_owned()), operation: Some("read".to_owned()), outcome, ..Filter::default() };
        let asked = Asked { filter, since, until, cursor, newest_first: true, limit: READS_MAX, ..Asked::default() };
        let mut search = Self::new(asked, vec![source], now);
        let resolve = search.source().map(|source| format!("{}{RESOLVE}", source.namespace));
        let by_reference = |hash| Filter { path: resolve.clone(), reference: Some(hash), outcome, ..Filter::default() };
        search.filters.extend(references.into_iter().map(by_reference));
        search.sharpened()
    }

    fn sharpened(mut self) -> Self {
        self.terms = self.filters.iter().map(Filter::terms).collect();
        self.sieves = self.filters.iter().map(Filter::sieve).collect();
        self
    }

    /// The log of the request's namespace.
    pub(super) fn source(&self) -> Option<&Source> {
        self.sources.first()
    }

    pub(super) async fn run(&self, tenants: &Tenants) -> Result<Answer, Refusal> {
        Ok(self.show(&self.page(tenants).await?))
    }

    /// One page, as it was found.
    pub(super) async fn page(&self, tenants: &Tenants) -> Result<Page, Refusal> {
        let start = tenants.clock().now();
        let mut streams = Vec::with_capacity(self.sources.len());
        for (at, source) in self.sources.iter().enumerate() {
            streams.push(Stream::new(self, at, source, tenants).await?);
        }
        let left_out = streams.iter().map(|stream| stream.left_out).max().unwrap_or_default();
        let mut page = Page { left_out, ..Page::default() };
        while let Some((source, row)) = self.next_row(&mut streams, tenants).await? {
            self.take(source, &row, &mut page, tenants).await?;
            if page.full || page.opened >= OPENED_MAX || tenants.clock().now().since(start) >= TIME_MAX {
                page.more = page.full_before_end || !self.at_end(&mut streams, tenants).await?;
                break;
            }
        }
        Ok(page)
    }

    /// The first row of all streams.
    async fn next_row(&self, streams: &mut [Stream<'_>], tenants: &Tenants) -> Result<Option<(usize, Glance)>, Refusal> {
        let mut best: Option<(usize, (Timestamp, crate::id::TenantId))> = None;
        for (at, stream) in streams.iter_mut().enumerate() {
            let Some(row) = stream.peek(self.asked.newest_first, tenants).await? else { continue };
            let key = (row.time, stream.source.tenant.id());
            let first = best.is_none_or(|(_, known)| if self.asked.newest_first { key > known } else { key < known });
            if first {
                best = Some((at, key));
            }
        }
        Ok(best.and_then(|(at, _)| streams.get_mut(at)).and_then(|stream| Some((stream.at, stream.rows.pop_front()?))))
    }

    async fn at_end(&self, streams: &mut [Stream<'_>], tenants: &Tenants) -> Result<bool, Refusal> {
        for stream in streams {
            if stream.peek(self.asked.newest_first, tenants).await?.is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Adds the matching events of a row to the page.
    async fn take(&self, at: usize, row: &Glance, page: &mut Page, tenants: &Tenants) -> Result<(), Refusal> {
        let Some(source) = self.sources.get(at) else { return Ok(()) };
        let position = |index| Position { time: row.time, tenant: source.tenant.id(), index };
        let (first, last) = (position(row.first_index), position(row.end().saturating_sub(1)));
        let (begin, end) = if self.asked.newest_first { (last, first) } else { (first, last) };
        if !opened::may_have(&source.tenant, row, &self.terms) {
            page.examined(begin, end);
            return Ok(());
        }
        let events = opened::events(tenants, &source.tenant, row, &mut page.segments).await?;
        page.opened += events.len();
        let numbered: Vec<(u64, Vec<u8>)> = (row.first_index..).zip(events).collect();
        let ordered: Box<dyn Iterator<Item = (u64, Vec<u8>)> + Send> =
            if self.asked.newest_first { Box::new(numbered.into_iter().rev()) } else { Box::new(numbered.into_iter()) };
        for (index, bytes) in ordered {
            let position = position(index);
            if self.is_behind_cursor(&position) || self.asked.since_index.is_some_and(|first| index < first) {
                continue;
            }
            if page.full {
                page.full_before_end = true;
                return Ok(());
            }
            let matches = self.matches(source, row, &bytes)?;
            if matches && page.bytes + bytes.len() > BYTES_MAX && !page.hits.is_empty() {
                (page.full, page.full_before_end) = (true, true);
                return Ok(());
            }
            page.examined(position, position);
            if matches {
                page.bytes += bytes.len();
                page.hits.push(Hit { position, source: at, bytes });
                page.full = page.hits.len() >= self.asked.limit;
            }
        }
        Ok(())
    }

    fn matches(&self, source: &Source, row: &Glance, bytes: &[u8]) -> Result<bool, Refusal> {
        if !self.sieves.iter().any(|sieve| sieve.may_match(bytes)) {
            return Ok(false);
        }
        let event = opened::parse(&source.tenant, row, bytes)?;
        Ok(self.filters.iter().any(|filter| filter.matches(&event, bytes)))
    }

    /// Whether an earlier page has had it.
    fn is_behind_cursor(&self, position: &Position) -> bool {
        self.asked.cursor.is_some_and(|cursor| if self.asked.newest_first { *position >= cursor } else { *position <= cursor })
    }

    /// The cursor behind a page. Backwards, an end is an end; forwards there will be more.
    pub(super) fn next(&self, page: &Page) -> Option<String> {
        let last = page.last.or(self.asked.cursor).filter(|_| page.more || !self.asked.newest_first);
        last.map(|position| position.cursor())
    }

    fn show(&self, page: &Page) -> Answer {
        let mut events = vec![b'['];
        for hit in &page.hits {
            if events.len() > 1 {
                events.push(b',');
            }
            if let Some(source) = self.sources.get(hit.source) {
                let shown =
                    Json::object_of(hit.bytes.len() + 256, |object| page::show(object, source, &hit.position, &hit.bytes));
                events.extend_from_slice(shown.expose());
            }
        }
        events.push(b']');
        let cursor = |position: Option<Position>| position.or(self.asked.cursor).map(|position| position.cursor());
        let next = self.next(page);
        Answer::data(Json::object_of(events.len() + 512, |data| {
            data.raw("events", &events).field("next", &next).field("previous", &cursor(page.first)).field("more", &page.more);
            data.field("archived", &(page.left_out == LeftOut::Archived)).field("expired", &(page.left_out == LeftOut::Expired));
            let namespaces: Vec<&str> = self.sources.iter().map(|source| source.namespace.as_str()).collect();
            data.strings("namespaces", &namespaces);
        }))
    }
}

/// What a page has so far.
#[derive(Default)]
pub(super) struct Page {
    pub(super) hits: Vec<Hit>,
    bytes: usize,
    opened: usize,
    /// The first event that was looked at, and the last.
    first: Option<Position>,
    last: Option<Position>,
    full: bool,
    /// It was full before its last row was at its end.
    full_before_end: bool,
    /// What it says nothing of.
    left_out: LeftOut,
    /// What was read from the archive last.
    segments: Segments,
    /// There is more to be read.
    pub(super) more: bool,
}

impl Page {
    fn examined(&mut self, first: Position, last: Position) {
        self.first.get_or_insert(first);
        self.last = Some(last);
    }
}

/// Whether there are events in the time of a search that it does not look at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum LeftOut {
    #[default]
    Nothing,
    /// They were deleted from the archive.
    Expired,
    /// They are in the archive, and nobody asked for that.
    Archived,
}

/// The rows of one log that are still to be looked at.
struct Stream<'a> {
    source: &'a Source,
    at: usize,
    rows: VecDeque<Glance>,
    /// Numbers of rows that are not fetched yet: from, and up to before.
    low: u64,
    high: u64,
    left_out: LeftOut,
}

impl<'a> Stream<'a> {
    async fn new(search: &Search, at: usize, source: &'a Source, tenants: &Tenants) -> Result<Self, Refusal> {
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
        Ok(Self { source, at, rows: VecDeque::new(), low, high, left_out })
    }

    /// The row that is next, fetched if it is not there yet.
    async fn peek(&mut self, newest_first: bool, tenants: &Tenants) -> Result<Option<&Glance>, Refusal> {
        if self.rows.is_empty() && self.low < self.high {
            let id = self.source.tenant.id();
            let rows = tenants.glance(id, self.low..=self.high - 1, newest_first, ROWS).await?;
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
