//! The table of `sys/audit-log`, and its parameters.

use std::time::Duration;

use super::proofs::Log;
use super::state::parse_key;
use crate::answer::Refusal;
use crate::audit::cursor::Position;
use crate::audit::search::{Filter, Outcome};
use crate::engine::table::{Call, Row, Verb};
use crate::fields::Query;
use crate::path::Path;
use crate::record::RecordKey;
use crate::time::{Timestamp, parse_duration};

/// Most events in one page.
pub(super) const PAGE_MAX: usize = 1_000;
/// Events in a page when nothing else is asked for.
const PAGE_DEFAULT: usize = 100;
/// The longest text to look for, in bytes.
const TEXT_BYTES_MAX: usize = 1_024;

/// One operation.
#[derive(Debug, PartialEq, Eq)]
pub enum Operation {
    /// Events that match.
    Search(Box<Asked>),
    /// One event.
    Event {
        /// Its index.
        index: u64,
        /// In the log of callers without a valid token.
        edge: bool,
        /// Also when it left the database.
        archive: bool,
    },
    /// What of the log is in the archive.
    Archive {
        /// As above.
        edge: bool,
    },
    /// The public key that the log is verified with.
    Key(Log),
    /// The newest signed tree.
    Checkpoint(Log),
    /// That an event is in the tree of some size: none for that of the newest checkpoint.
    Inclusion {
        /// The event's index.
        index: u64,
        /// Events in the tree.
        size: Option<u64>,
        /// Of this log.
        log: Log,
    },
    /// That a tree extends an earlier one.
    Consistency {
        /// Events in the earlier tree.
        from: u64,
        /// Events in the later one, as above.
        size: Option<u64>,
        /// As above.
        log: Log,
    },
    /// The newest signed tree of the deployment's log.
    Deployment,
    /// That the newest checkpoint of the log is in that tree.
    Witnessed {
        /// With so many events at most.
        size: Option<u64>,
        /// As above.
        edge: bool,
    },
    /// That a tree of the deployment's log extends an earlier one.
    DeploymentConsistency {
        /// Heads in the earlier tree.
        from: u64,
        /// Heads in the later one.
        size: Option<u64>,
    },
    /// What the deployment's log consists of: from which head on, and how many at most.
    Heads(u64, usize),
    /// Which records rows of the log have changed, and to what.
    Changes {
        /// The first row.
        from: u64,
        /// As above.
        edge: bool,
    },
    /// Which records are stored, and as what.
    Records {
        /// Those behind this one.
        after: Option<RecordKey>,
        /// As above.
        edge: bool,
    },
    /// Who may do what to a path.
    Access(Box<AccessAsked>),
    /// Who has read a path.
    Readers(Box<Readers>),
    /// What one record is.
    Record {
        /// Its key.
        key: RecordKey,
        /// A row of the log that changed it.
        seq: Option<u64>,
        /// As above.
        edge: bool,
    },
}

/// What a search asks for. Paths of the filter begin in the request's namespace.
#[derive(Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the query")]
pub struct Asked {
    pub(super) filter: Filter,
    pub(super) since: Option<When>,
    pub(super) until: Option<When>,
    /// The first event that is wanted, by its index.
    pub(super) since_index: Option<u64>,
    pub(super) newest_first: bool,
    pub(super) limit: usize,
    pub(super) cursor: Option<Position>,
    pub(super) children: bool,
    pub(super) edge: bool,
    /// Events that left the database, too.
    pub(super) archive: bool,
    /// One event in each line.
    pub(super) lines: bool,
}

/// What `access` asks for. The path begins in the request's namespace.
#[derive(Debug, PartialEq, Eq)]
pub struct AccessAsked {
    pub(super) path: Path,
    pub(super) at: Option<When>,
    pub(super) offset: usize,
    pub(super) limit: usize,
}

/// What `readers` asks for.
#[derive(Debug, PartialEq, Eq)]
pub struct Readers {
    pub(super) path: Path,
    pub(super) since: Option<When>,
    pub(super) until: Option<When>,
    pub(super) cursor: Option<Position>,
}

/// A point in time, as a client writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    At(Timestamp),
    Ago(Duration),
}

impl When {
    pub(super) fn at(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(time) => time,
            Self::Ago(ago) => Timestamp(now.0.saturating_sub(i64::try_from(ago.as_nanos()).unwrap_or(i64::MAX))),
        }
    }
}

/// The table.
pub static TABLE: &[Row<Operation>] = &[
    Row::by_verb(Verb::Read, "audit-log", &[], "Searches the namespace's audit log, page by page, newest first.", |call| {
        search(call.query).map(|asked| Operation::Search(Box::new(asked)))
    }),
    Row::by_verb(Verb::Read, "audit-log/event/:index", &[], "Shows one event of the log.", |call| {
        let (edge, archive) = (boolean(call.query, "edge")?, boolean(call.query, "archive")?);
        Ok(Operation::Event { index: index(call)?, edge, archive })
    }),
    Row::by_verb(Verb::Read, "audit-log/archive", &[], "Shows what of the log is in the archive.", |call| {
        Ok(Operation::Archive { edge: boolean(call.query, "edge")? })
    }),
    Row::by_verb(Verb::Read, "audit-log/key", &[], "Shows the public key that the log is verified with.", |call| {
        Log::parse(call.query).map(Operation::Key)
    }),
    Row::by_verb(Verb::Read, "audit-log/checkpoint", &[], "Shows the newest signed tree of the log.", |call| {
        Log::parse(call.query).map(Operation::Checkpoint)
    }),
    Row::by_verb(Verb::Read, "audit-log/proof/:index", &[], "Proves that an event is in a tree of the log.", |call| {
        Ok(Operation::Inclusion { index: index(call)?, size: size(call.query)?, log: Log::parse(call.query)? })
    }),
    Row::by_verb(
        Verb::Read,
        "audit-log/consistency/:from",
        &[],
        "Proves that a tree of the log extends an earlier one.",
        |call| Ok(Operation::Consistency { from: from(call)?, size: size(call.query)?, log: Log::parse(call.query)? }),
    ),
    Row::by_verb(
        Verb::Read,
        "audit-log/deployment",
        &[],
        "Shows the newest signed tree of the deployment's log, with what witnesses have cosigned.",
        |_| Ok(Operation::Deployment),
    ),
    Row::by_verb(
        Verb::Read,
        "audit-log/deployment/proof",
        &[],
        "Proves that the log's checkpoint is in the deployment's log.",
        |call| Ok(Operation::Witnessed { size: size(call.query)?, edge: boolean(call.query, "edge")? }),
    ),
    Row::by_verb(
        Verb::Read,
        "audit-log/deployment/consistency/:from",
        &[],
        "Proves that a tree of the deployment's log extends an earlier one.",
        |call| Ok(Operation::DeploymentConsistency { from: from(call)?, size: size(call.query)? }),
    ),
    Row::by_verb(
        Verb::Read,
        "audit-log/deployment/heads",
        &[],
        "Shows the leaves of the deployment's log: where the log of each tenant stood.",
        |call| {
            let limit = text(call.query, "limit")?.map_or(Ok(PAGE_MAX), |_| limit(call.query))?;
            Ok(Operation::Heads(number(call.query, "from")?.unwrap_or(0), limit))
        },
    ),
    Row::by_verb(
        Verb::Read,
        "audit-log/access/:path*",
        &[],
        "Shows who may do what to a path, now or at an earlier time.",
        |call| {
            let offset = number(call.query, "offset")?.and_then(|offset| usize::try_from(offset).ok()).unwrap_or(0);
            let limit = text(call.query, "limit")?.map_or(Ok(PAGE_MAX), |_| limit(call.query))?;
            Ok(Operation::Access(Box::new(AccessAsked { path: path(call)?, at: when(call.query, "at")?, offset, limit })))
        },
    ),
    Row::by_verb(
        Verb::Read,
        "audit-log/readers/:path*",
        &[],
        "Shows who has read a path, when, and whether they still may.",
        |call| {
            let (since, until) = (when(call.query, "since")?, when(call.query, "until")?);
            Ok(Operation::Readers(Box::new(Readers { path: path(call)?, since, until, cursor: cursor(call.query)? })))
        },
    ),
    Row::by_verb(
        Verb::Read,
        "audit-log/state/changes",
        &[],
        "Shows which records the log says were changed, and to what.",
        |call| {
            let from = number(call.query, "from")?.unwrap_or(1);
            Ok(Operation::Changes { from, edge: boolean(call.query, "edge")? })
        },
    ),
    Row::by_verb(Verb::Read, "audit-log/state/records", &[], "Shows which records are stored, by keyed hashes.", |call| {
        let after = text(call.query, "after")?.map(|text| parse_key(&text)).transpose()?;
        Ok(Operation::Records { after, edge: boolean(call.query, "edge")? })
    }),
    Row::by_verb(Verb::Read, "audit-log/state/record/:key", &[], "Shows what a record is, and what wrote it.", |call| {
        let (key, seq) = (parse_key(call.captures.get(0))?, number(call.query, "seq")?);
        Ok(Operation::Record { key, seq, edge: boolean(call.query, "edge")? })
    }),
];

fn from(call: &Call<'_>) -> Result<u64, Refusal> {
    let from = call.captures.get(0).parse();
    from.map_err(|_| Refusal::invalid("a tree is named by the number of its leaves"))
}

fn size(query: &Query) -> Result<Option<u64>, Refusal> {
    let number = |text: String| text.parse().map_err(|_| Refusal::invalid("size is a whole number of events"));
    text(query, "size")?.map(number).transpose()
}

fn cursor(query: &Query) -> Result<Option<Position>, Refusal> {
    let position =
        |text: String| Position::parse(&text).ok_or_else(|| Refusal::invalid("malformed cursor: not one that was answered"));
    text(query, "cursor")?.map(position).transpose()
}

/// The path that is asked about: what is behind the words of this API.
fn path(call: &Call<'_>) -> Result<Path, Refusal> {
    let path = Path::new(call.captures.get(0)).map_err(|error| Refusal::invalid(error.to_string()))?;
    if path.is_empty() { Err(Refusal::invalid("name a path, as policies do: secret/data/app")) } else { Ok(path) }
}

fn number(query: &Query, name: &str) -> Result<Option<u64>, Refusal> {
    let number = |text: String| text.parse().map_err(|_| Refusal::Invalid(format!("{name} is a whole number")));
    text(query, name)?.map(number).transpose()
}

fn index(call: &Call<'_>) -> Result<u64, Refusal> {
    event_index(call.captures.get(0))
}

fn event_index(digits: &str) -> Result<u64, Refusal> {
    digits.parse().map_err(|_| Refusal::invalid("an event is named by its index: a whole number from 0 on"))
}

fn search(query: &Query) -> Result<Asked, Refusal> {
    let asked = Asked {
        filter: filter(query)?,
        since: when(query, "since")?,
        until: when(query, "until")?,
        since_index: text(query, "since_index")?.map(|digits| event_index(&digits)).transpose()?,
        newest_first: match query.value("order") {
            None | Some("" | "desc") => true,
            Some("asc") => false,
            Some(_) => return Err(Refusal::invalid("order is desc (newest first) or asc")),
        },
        limit: limit(query)?,
        cursor: cursor(query)?,
        children: boolean(query, "children")?,
        edge: boolean(query, "edge")?,
        archive: boolean(query, "archive")?,
        lines: match query.value("format") {
            None | Some("" | "json") => false,
            Some("ndjson") => true,
            Some(_) => return Err(Refusal::invalid("format is json or ndjson")),
        },
    };
    if asked.children && asked.edge {
        return Err(Refusal::invalid("children and edge are not read together"));
    }
    if asked.children && asked.since_index.is_some() {
        return Err(Refusal::invalid("since_index is a place in one log: it does not go with children"));
    }
    if let (Some(When::At(since)), Some(When::At(until))) = (asked.since, asked.until)
        && since > until
    {
        return Err(Refusal::invalid("since is later than until"));
    }
    Ok(asked)
}

fn filter(query: &Query) -> Result<Filter, Refusal> {
    let outcome = text(query, "outcome")?
        .map(|text| Outcome::parse(&text).ok_or_else(|| Refusal::invalid("outcome is done, refused, failed, or an HTTP status")));
    let caller = text(query, "caller")?.map(|caller| {
        // A fingerprint as other tools print it.
        let digits: String = caller.chars().filter(|c| *c != ':').collect();
        let fingerprint = digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        if fingerprint { digits.to_ascii_lowercase() } else { caller }
    });
    Ok(Filter {
        path: text(query, "path")?,
        prefix: text(query, "prefix")?,
        caller,
        entity: text(query, "entity")?,
        operation: text(query, "operation")?,
        outcome: outcome.transpose()?,
        error: text(query, "error")?,
        reference: text(query, "reference")?.map(|text| reference(&text)).transpose()?,
        request: text(query, "request")?,
        text: text(query, "text")?,
    })
}

/// The hash, as events show it. A reference itself must not be in a URL.
fn reference(text: &str) -> Result<[u8; 32], Refusal> {
    let hash = data_encoding::HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok().and_then(|hash| hash.try_into().ok());
    hash.ok_or_else(|| {
        Refusal::invalid("reference is the hash that events show, 64 hexadecimal digits, and not the reference itself")
    })
}

fn limit(query: &Query) -> Result<usize, Refusal> {
    let Some(text) = text(query, "limit")? else { return Ok(PAGE_DEFAULT) };
    let limit = text.parse().ok().filter(|limit| (1..=PAGE_MAX).contains(limit));
    limit.ok_or_else(|| Refusal::Invalid(format!("limit is a whole number from 1 to {PAGE_MAX}")))
}

pub(super) fn text(query: &Query, name: &str) -> Result<Option<String>, Refusal> {
    let Some(text) = query.value(name).filter(|text| !text.is_empty()) else { return Ok(None) };
    if text.len() > TEXT_BYTES_MAX {
        return Err(Refusal::Invalid(format!("{name} is longer than {TEXT_BYTES_MAX} bytes")));
    }
    Ok(Some(text.to_owned()))
}

pub(super) fn boolean(query: &Query, name: &str) -> Result<bool, Refusal> {
    match query.value(name) {
        None | Some("" | "0" | "f" | "F" | "false" | "False" | "FALSE") => Ok(false),
        Some(_) if query.flag(name) => Ok(true),
        Some(_) => Err(Refusal::Invalid(format!("{name} is true or false"))),
    }
}

fn when(query: &Query, name: &str) -> Result<Option<When>, Refusal> {
    let Some(text) = text(query, name)? else { return Ok(None) };
    let at = Timestamp::parse_rfc3339(&text).map(When::At).or_else(|| parse_duration(&text).map(When::Ago));
    let wrong = || Refusal::Invalid(format!("{name} is a time of RFC 3339, or how long ago, as in 2h"));
    at.map(Some).ok_or_else(wrong)
}

#[cfg(test)]
#[path = "operation_tests.rs"]
mod tests;
