//! From rows of logs to the events in them that are asked for: opening, decompressing and comparing, on a thread that may take its time.

use std::ops::Range;
use std::sync::Arc;

use super::opened::{damaged, parse, proven};
use crate::answer::Refusal;
use crate::audit::batch::BatchDecoder;
use crate::audit::search::{Filter, Sieve};
use crate::audit::summary::{self, Term};
use crate::commit::Tenant;
use crate::storage::Glance;
use crate::time::Timestamp;

/// Most bytes of matching events that are taken from one row: more than a page has.
const BYTES_MAX: usize = 16 << 20;

/// What is asked for.
pub(super) struct Sift {
    /// An event that is wanted matches one of these.
    filters: Vec<Filter>,
    /// What events that match a filter have, and what to sort others out with: filter by filter.
    terms: Vec<Vec<Term>>,
    sieves: Vec<Sieve>,
    newest_first: bool,
    /// As many of one row are enough.
    limit: usize,
}

/// A row of a log.
pub(super) struct Unopened {
    /// Which of the sources it is from.
    pub(super) source: usize,
    pub(super) tenant: Arc<Tenant>,
    pub(super) row: Glance,
    /// Indexes of the events that are wanted of it.
    pub(super) wanted: Range<u64>,
    pub(super) content: Content,
}

/// The events of a row.
pub(super) enum Content {
    /// None is wanted.
    None,
    /// As they are stored.
    Sealed(Vec<u8>),
    /// As they came from the archive.
    Open(Vec<Vec<u8>>),
}

/// What was found in a row.
pub(super) struct Sifted {
    pub(super) source: usize,
    pub(super) time: Timestamp,
    pub(super) wanted: Range<u64>,
    /// Indexes and canonical bytes of those that match, in the order that is asked for.
    pub(super) hits: Vec<(u64, Vec<u8>)>,
    /// Events that were opened for that.
    pub(super) opened: usize,
}

impl Sift {
    pub(super) fn new(filters: Vec<Filter>, newest_first: bool, limit: usize) -> Self {
        let terms = filters.iter().map(Filter::terms).collect();
        let sieves = filters.iter().map(Filter::sieve).collect();
        Self { filters, terms, sieves, newest_first, limit }
    }

    /// Whether no summary can tell what need not be opened.
    pub(super) fn opens_all(&self) -> bool {
        self.terms.iter().any(Vec::is_empty)
    }

    /// Whether an event of a row may match, as its summary tells.
    pub(super) fn may_have(&self, tenant: &Tenant, row: &Glance) -> bool {
        if row.summary.is_empty() || self.opens_all() {
            return true;
        }
        match tenant.keyring().open_summary(&row.summary, &row.first_leaf) {
            Ok(summary) => self.terms.iter().any(|terms| terms.iter().all(|term| summary::may_have(&summary, *term))),
            Err(error) => {
                tracing::error!(%error, tenant = %tenant.id(), seq = row.seq, "the summary of a log row does not open: it was changed");
                true
            }
        }
    }

    /// What is found in rows, one after the other, up to one that does not open: a page that ends before it has nothing to say of it.
    /// Takes milliseconds.
    pub(super) fn all(&self, rows: Vec<Unopened>) -> Vec<Result<Sifted, Refusal>> {
        let mut scratch = String::new();
        let Ok(mut decoder) = BatchDecoder::new() else {
            return vec![Err(Refusal::Internal("the audit log cannot be decompressed".into()))];
        };
        let mut sifted = Vec::with_capacity(rows.len());
        for unopened in rows {
            sifted.push(self.one(unopened, &mut decoder, &mut scratch));
            if matches!(sifted.last(), Some(Err(_))) {
                break;
            }
        }
        sifted
    }

    fn one(&self, unopened: Unopened, decoder: &mut BatchDecoder, scratch: &mut String) -> Result<Sifted, Refusal> {
        let Unopened { source, tenant, row, wanted, content } = unopened;
        let found = match &content {
            Content::None => (Vec::new(), 0),
            Content::Open(events) => {
                let numbered = (row.first_index..).zip(events.iter().map(Vec::as_slice));
                // The archive's rows are held against their leaf hashes when they are read.
                (self.of(numbered.collect(), &tenant, &row, &wanted, scratch)?, events.len())
            }
            Content::Sealed(batch) => {
                let opened = tenant.keyring().open_batch(batch).map_err(|error| damaged(&tenant, &row, &error))?;
                let events = decoder.decode(opened.expose()).map_err(|error| damaged(&tenant, &row, &error))?;
                proven(&tenant, &row, events.iter())?;
                let numbered = (row.first_index..).zip(events.iter());
                (self.of(numbered.collect(), &tenant, &row, &wanted, scratch)?, events.len())
            }
        };
        let (hits, opened) = found;
        Ok(Sifted { source, time: row.time, wanted, hits, opened })
    }

    fn of(
        &self,
        numbered: Vec<(u64, &[u8])>,
        tenant: &Tenant,
        row: &Glance,
        wanted: &Range<u64>,
        scratch: &mut String,
    ) -> Result<Vec<(u64, Vec<u8>)>, Refusal> {
        let (mut hits, mut bytes) = (Vec::new(), 0);
        let mut ordered = numbered;
        if self.newest_first {
            ordered.reverse();
        }
        for (index, event) in ordered {
            if !wanted.contains(&index) || !self.matches(tenant, row, event, scratch)? {
                continue;
            }
            bytes += event.len();
            hits.push((index, event.to_vec()));
            if hits.len() >= self.limit || bytes > BYTES_MAX {
                break;
            }
        }
        Ok(hits)
    }

    fn matches(&self, tenant: &Tenant, row: &Glance, bytes: &[u8], scratch: &mut String) -> Result<bool, Refusal> {
        if !self.sieves.iter().any(|sieve| sieve.may_match(bytes, scratch)) {
            return Ok(false);
        }
        let event = parse(tenant, row, bytes)?;
        Ok(self.filters.iter().any(|filter| filter.matches(&event, bytes)))
    }
}
