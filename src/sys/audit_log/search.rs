//! One page of a search: rows of one or many logs, in one order, until the page is full, nothing is left, or the page has
//! taken enough time.

use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::opened;
use super::operation::{Asked, Readers};
use super::page::{self, Hit};
use super::sift::{Content, Sift, Sifted, Unopened};
use super::sources::Source;
use super::stream::{LeftOut, Stream};
use crate::answer::{Answer, Refusal};
use crate::audit::cursor::Position;
use crate::audit::search::{Filter, Outcome};
use crate::commit::{Segments, Tenants};
use crate::id::TenantId;
use crate::json::{Json, Object};
use crate::storage::Glance;
use crate::time::Timestamp;

/// How many events, and rows, one thread looks at before its page goes on.
const EVENTS_AT_ONCE: usize = 8_192;
const ROWS_AT_ONCE: usize = 256;
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
    pub(super) asked: Asked,
    sources: Vec<Source>,
    pub(super) since: Option<Timestamp>,
    pub(super) until: Option<Timestamp>,
    sift: Arc<Sift>,
}

impl Search {
    /// `sources` begins with the log of the request's namespace, in which the paths of the filter begin. `called` are the entities that
    /// mounts call as the caller is called who is looked for.
    pub(super) fn new(mut asked: Asked, sources: Vec<Source>, called: Vec<String>, now: Timestamp) -> Self {
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
        let filter = std::mem::take(&mut asked.filter);
        let stands_for = |id| Filter { caller: None, entity: Some(id), ..filter.clone() };
        let called = called.into_iter().filter(|id| filter.entity.as_ref().is_none_or(|entity| entity == id));
        let filters = called.map(stands_for).chain([filter.clone()]).collect();
        let sift = Sift::new(filters, asked.newest_first, asked.limit);
        Self { asked, sources, since, until, sift: Arc::new(sift) }
    }

    /// What was read at `path` of a namespace, or by one of these references: as many events as one page opens.
    pub(super) fn for_reads(asked: Readers, references: Vec<[u8; 32]>, source: Source, now: Timestamp) -> Self {
        let Readers { path, since, until, cursor, .. } = asked;
        let outcome = Some(Outcome::Done);
        let filter =
            Filter { path: Some(path.as_str().to_owned()), operation: Some("read".to_owned()), outcome, ..Filter::default() };
        let resolve = Some(format!("{}{RESOLVE}", source.namespace));
        let by_reference = |hash| Filter { path: resolve.clone(), reference: Some(hash), outcome, ..Filter::default() };
        let path = filter.path.as_ref().map(|path| format!("{}{path}", source.namespace));
        let direct = Filter { path, ..filter };
        let filters = std::iter::once(direct).chain(references.into_iter().map(by_reference)).collect();
        let asked = Asked { since, until, cursor, newest_first: true, limit: READS_MAX, ..Asked::default() };
        let search = Self::new(asked, vec![source], Vec::new(), now);
        Self { sift: Arc::new(Sift::new(filters, true, READS_MAX)), ..search }
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
        let mut ahead = self.start(&mut streams, 1, &mut page, tenants).await?;
        let mut events_wanted = 1;
        while let Some(job) = ahead.take() {
            // One more is on its way meanwhile, unless a single row may be enough. What is wrong there is told when it is needed.
            let next =
                if events_wanted > 1 { Some(self.start(&mut streams, events_wanted, &mut page, tenants).await) } else { None };
            let mut rows = job.await.map_err(|_| Refusal::Internal("a search was broken off".into()))?.into_iter();
            for row in rows.by_ref() {
                self.take(row?, &mut page);
                if page.full {
                    break;
                }
            }
            let is_over = page.full || page.opened >= OPENED_MAX || tenants.clock().now().since(start) >= TIME_MAX;
            if is_over {
                let is_left = page.full_before_end || rows.next().is_some() || next.is_some_and(|next| !matches!(next, Ok(None)));
                page.more = is_left || !self.at_end(&mut streams, tenants).await?;
                break;
            }
            events_wanted = (events_wanted * 64).min(EVENTS_AT_ONCE);
            ahead = match next {
                Some(next) => next?,
                None => self.start(&mut streams, events_wanted, &mut page, tenants).await?,
            };
        }
        Ok(page)
    }

    /// Whether no summary can tell what need not be opened.
    pub(super) fn opens_all(&self) -> bool {
        self.sift.opens_all()
    }

    /// Has a thread of its own look at the rows that come next: as many as have some `events`. `None` when there are none.
    async fn start(
        &self,
        streams: &mut [Stream<'_>],
        events: usize,
        page: &mut Page,
        tenants: &Tenants,
    ) -> Result<Option<JoinHandle<Vec<Result<Sifted, Refusal>>>>, Refusal> {
        let (mut rows, mut gathered) = (Vec::new(), 0);
        while gathered < events && rows.len() < ROWS_AT_ONCE {
            let Some((at, mut row)) = self.next_row(streams, tenants).await? else { break };
            let Some(source) = self.sources.get(at) else { break };
            gathered += usize::try_from(row.count).unwrap_or(usize::MAX);
            let wanted = self.wanted(source, &row);
            let content = if wanted.is_empty() || !self.sift.may_have(&source.tenant, &row) {
                Content::None
            } else {
                opened::content(tenants, &source.tenant, &mut row, &mut page.segments).await?
            };
            rows.push(Unopened { source: at, tenant: Arc::clone(&source.tenant), row, wanted, content });
        }
        if rows.is_empty() {
            return Ok(None);
        }
        let sift = Arc::clone(&self.sift);
        Ok(Some(tokio::task::spawn_blocking(move || sift.all(rows))))
    }

    /// The first row of all streams.
    async fn next_row(&self, streams: &mut [Stream<'_>], tenants: &Tenants) -> Result<Option<(usize, Glance)>, Refusal> {
        let mut best: Option<(usize, (Timestamp, TenantId))> = None;
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

    /// The events of a row that no earlier page has had, and that are not before the first that is wanted.
    fn wanted(&self, source: &Source, row: &Glance) -> Range<u64> {
        let mut wanted = row.first_index.max(self.asked.since_index.unwrap_or_default())..row.end();
        let Some(cursor) = self.asked.cursor else { return wanted };
        match (row.time, source.tenant.id()).cmp(&(cursor.time, cursor.tenant)) {
            Ordering::Equal if self.asked.newest_first => wanted.end = wanted.end.min(cursor.index),
            Ordering::Equal => wanted.start = wanted.start.max(cursor.index.saturating_add(1)),
            Ordering::Less if !self.asked.newest_first => wanted.end = wanted.start,
            Ordering::Greater if self.asked.newest_first => wanted.end = wanted.start,
            Ordering::Less | Ordering::Greater => {}
        }
        wanted
    }

    /// Adds the matching events of a row to the page.
    fn take(&self, sifted: Sifted, page: &mut Page) {
        let Sifted { source: at, time, wanted, hits, opened } = sifted;
        page.opened += opened;
        let Some(source) = self.sources.get(at).filter(|_| !wanted.is_empty()) else { return };
        let position = |index| Position { time, tenant: source.tenant.id(), index };
        let newest_first = self.asked.newest_first;
        let (first, last) = if newest_first { (wanted.end - 1, wanted.start) } else { (wanted.start, wanted.end - 1) };
        for (index, bytes) in hits {
            if page.bytes + bytes.len() > BYTES_MAX && !page.hits.is_empty() {
                (page.full, page.full_before_end) = (true, true);
                if index != first {
                    let before = if newest_first { index + 1 } else { index - 1 };
                    page.examined(position(first), position(before));
                }
                return;
            }
            page.bytes += bytes.len();
            page.hits.push(Hit { position: position(index), source: at, bytes });
            if page.hits.len() >= self.asked.limit {
                (page.full, page.full_before_end) = (true, index != last);
                page.examined(position(first), position(index));
                return;
            }
        }
        page.examined(position(first), position(last));
    }

    /// The cursor behind a page. Backwards, an end is an end; forwards there will be more.
    pub(super) fn next(&self, page: &Page) -> Option<String> {
        let last = page.last.or(self.asked.cursor).filter(|_| page.more || !self.asked.newest_first);
        last.map(|position| position.cursor())
    }

    fn show(&self, page: &Page) -> Answer {
        let end: &[u8] = if self.asked.lines { b"\n" } else { b"," };
        let mut events = Vec::with_capacity(page.bytes + page.hits.len() * 256);
        for hit in &page.hits {
            if let Some(source) = self.sources.get(hit.source) {
                let shown =
                    Json::object_of(hit.bytes.len() + 256, |object| page::show(object, source, &hit.position, &hit.bytes));
                events.extend_from_slice(shown.expose());
                events.extend_from_slice(end);
            }
        }
        if self.asked.lines {
            let last = Json::object(|object| self.tell(page, object));
            events.extend_from_slice(last.expose());
            events.push(b'\n');
            let text = String::from_utf8(events).unwrap_or_default();
            return Answer::Text { content_type: "application/x-ndjson", text };
        }
        events.pop();
        let events = [b"[", events.as_slice(), b"]"].concat();
        Answer::data(Json::object_of(events.len() + 512, |data| {
            data.raw("events", &events);
            self.tell(page, data);
        }))
    }

    /// Where the page stands.
    fn tell(&self, page: &Page, object: &mut Object<'_>) {
        let previous = page.first.or(self.asked.cursor).map(|position| position.cursor());
        object.field("next", &self.next(page)).field("previous", &previous).field("more", &page.more);
        object.field("archived", &(page.left_out == LeftOut::Archived)).field("expired", &(page.left_out == LeftOut::Expired));
        let namespaces: Vec<&str> = self.sources.iter().map(|source| source.namespace.as_str()).collect();
        object.strings("namespaces", &namespaces);
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
