//! `audit search`, `tail` and `show`: events of the log.

use std::time::Duration;

use clap::Args;
use serde::Deserialize;
use serde_json::value::RawValue;
use ureq::http::Method;

use super::printable;
use crate::audit::event::Event;
use crate::cli::client::Client;
use crate::cli::failure::Failure;
use crate::cli::output::{Format, Output, complain};

/// Events that are asked for at once.
const PAGE: usize = 500;
/// Between two looks for new events.
const PAUSE: Duration = Duration::from_secs(1);

/// Find events, newest first
#[derive(Args)]
#[command(after_help = "Examples:
  strongroom audit search --since 2h --path secret/data/app/db
  strongroom audit search --caller 1b2c3d --outcome refused --format json
  strongroom audit search --namespace acme --children --prefix team-a/secret/ --limit 1000")]
pub(in crate::cli) struct Search {
    #[command(flatten)]
    filter: Filter,
    /// Not before: a time of RFC 3339, or how long ago, as in 2h
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Not after
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Oldest first
    #[arg(long)]
    oldest_first: bool,
    /// Most events to show
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
    /// Events that are in the archive only, too
    #[arg(long)]
    archive: bool,
}

#[derive(Args)]
struct Filter {
    /// The whole path of the request
    #[arg(long)]
    path: Option<String>,
    /// What its path begins with
    #[arg(long, value_name = "PATH")]
    prefix: Option<String>,
    /// Who asked: accessor, display name, SHA-256 of the client certificate, or address
    #[arg(long)]
    caller: Option<String>,
    /// Id of the entity that asked
    #[arg(long, value_name = "ID")]
    entity: Option<String>,
    /// read, list, scan, write, patch, delete, or the name of a job
    #[arg(long)]
    operation: Option<String>,
    /// done, refused, failed, or an HTTP status
    #[arg(long)]
    outcome: Option<String>,
    /// Why it was refused, in the log's words: denied, invalid, ..
    #[arg(long, value_name = "WORD")]
    error: Option<String>,
    /// Hash of a reference, as events show it
    #[arg(long, value_name = "HASH")]
    reference: Option<String>,
    /// Id of the request
    #[arg(long, value_name = "ID")]
    request: Option<String>,
    /// Text anywhere in the event
    #[arg(long)]
    text: Option<String>,
    /// Namespaces below, too
    #[arg(long)]
    children: bool,
    /// Requests without a valid token, which belong to no namespace
    #[arg(long)]
    edge: bool,
}

/// Show the newest events, then new ones as they come
#[derive(Args)]
#[command(after_help = "Examples:
  strongroom audit tail
  strongroom audit tail --caller 1b2c3d --format json
  strongroom audit tail --lines 50 --once")]
pub(in crate::cli) struct Tail {
    #[command(flatten)]
    filter: Filter,
    /// Events to begin with
    #[arg(long, value_name = "N", default_value_t = 10)]
    lines: usize,
    /// End after these
    #[arg(long)]
    once: bool,
}

/// Show one event
#[derive(Args)]
#[command(after_help = "Examples:
  strongroom audit show 4711
  strongroom audit show --namespace acme 0 --format json")]
pub(in crate::cli) struct Show {
    /// Its index in the log
    index: u64,
    /// In the log of requests without a valid token
    #[arg(long)]
    edge: bool,
    /// Also when it is in the archive only
    #[arg(long)]
    archive: bool,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    data: Page<'a>,
}

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    events: Vec<&'a RawValue>,
    next: Option<String>,
    previous: Option<String>,
    more: bool,
    #[serde(default)]
    archived: bool,
}

#[derive(Deserialize)]
struct Shown {
    index: u64,
    leaf: String,
    logged: String,
    namespace: String,
    event: Event,
}

#[derive(Deserialize)]
struct One<'a> {
    #[serde(borrow)]
    data: &'a RawValue,
}

impl Filter {
    fn query(&self) -> Vec<(&'static str, String)> {
        let texts = [
            ("path", &self.path),
            ("prefix", &self.prefix),
            ("caller", &self.caller),
            ("entity", &self.entity),
            ("operation", &self.operation),
            ("outcome", &self.outcome),
            ("error", &self.error),
            ("reference", &self.reference),
            ("request", &self.request),
            ("text", &self.text),
        ];
        let given = texts.into_iter().filter_map(|(name, value)| Some((name, value.clone()?)));
        let flags = [("children", self.children), ("edge", self.edge)].into_iter().filter(|(_, set)| *set);
        given.chain(flags.map(|(name, _)| (name, "true".to_owned()))).collect()
    }
}

/// Where a reading goes on.
struct Cursors {
    next: Option<String>,
    previous: Option<String>,
    more: bool,
    /// There are events in the archive that were not looked at.
    archived: bool,
}

/// Asks for one page and hands over each event of it.
fn page(
    client: &Client,
    query: &[(&str, String)],
    (limit, cursor): (usize, Option<&str>),
    mut each: impl FnMut(&RawValue) -> Result<(), Failure>,
) -> Result<Cursors, Failure> {
    let mut text = form_urlencoded::Serializer::new(String::from("sys/audit-log?"));
    text.extend_pairs(query).append_pair("limit", &limit.clamp(1, PAGE).to_string());
    text.extend_pairs(cursor.map(|cursor| ("cursor", cursor)));
    let reply = client.send(Method::GET, &text.finish().replacen("?&", "?", 1), None)?;
    let Page { events, next, previous, more, archived } = reply.parse::<Envelope<'_>>()?.data;
    events.into_iter().try_for_each(&mut each)?;
    Ok(Cursors { next, previous, more, archived })
}

impl Search {
    pub(super) fn run(self, client: &Client, output: &Output) -> Result<(), Failure> {
        let mut query = self.filter.query();
        for (name, value) in [("since", self.since), ("until", self.until)] {
            query.extend(value.map(|value| (name, value)));
        }
        if self.oldest_first {
            query.push(("order", "asc".to_owned()));
        }
        if self.archive {
            query.push(("archive", "true".to_owned()));
        }
        let mut archived = false;
        let (mut left, mut cursor) = (self.limit, None::<String>);
        while left > 0 {
            let found = page(client, &query, (left, cursor.as_deref()), |event| {
                left = left.saturating_sub(1);
                print(event, output)
            })?;
            archived |= found.archived;
            if !found.more {
                break;
            }
            cursor = found.next;
        }
        if archived && left > 0 {
            complain("there are older events in the archive: search it, too, with --archive");
        }
        Ok(())
    }
}

impl Tail {
    pub(super) fn run(self, client: &Client, output: &Output) -> Result<(), Failure> {
        let mut query = self.filter.query();
        let (mut newest, mut from, mut cursor) = (Vec::new(), None, None::<String>);
        // An empty page may only mean that the search is not at its end yet.
        while newest.len() < self.lines.max(1) {
            let found = page(client, &query, (self.lines - newest.len().min(self.lines), cursor.as_deref()), |event| {
                newest.push(event.to_owned());
                Ok(())
            })?;
            from = from.or(found.previous);
            if !found.more {
                break;
            }
            cursor = found.next;
        }
        newest.iter().rev().skip(newest.len().saturating_sub(self.lines)).try_for_each(|event| print(event, output))?;
        if self.once {
            return Ok(());
        }
        query.push(("order", "asc".to_owned()));
        loop {
            let found = page(client, &query, (PAGE, from.as_deref()), |event| print(event, output))?;
            from = found.next.or(from);
            if !found.more {
                std::thread::sleep(PAUSE);
            }
        }
    }
}

impl Show {
    pub(super) fn run(self, client: &Client, output: &Output) -> Result<(), Failure> {
        let query = format!("edge={}&archive={}", self.edge, self.archive);
        let reply = client.send(Method::GET, &format!("sys/audit-log/event/{}?{query}", self.index), None)?;
        if output.format == Format::Json {
            return output.answer(&reply.body);
        }
        let data = reply.parse::<One<'_>>()?.data;
        let shown: Shown = parse(data)?;
        let fields: std::collections::BTreeMap<&str, &RawValue> = event_fields(data)?;
        output.line(&format!(
            "index       {}\nlogged      {}\nnamespace   {}\nleaf        {}",
            shown.index, shown.logged, shown.namespace, shown.leaf
        ))?;
        fields
            .iter()
            .try_for_each(|(name, value)| output.line(&format!("{name:<12}{}", printable(value.get().trim_matches('"')))))
    }
}

#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    event: std::collections::BTreeMap<&'a str, &'a RawValue>,
}

fn event_fields(data: &RawValue) -> Result<std::collections::BTreeMap<&str, &RawValue>, Failure> {
    let fields: Fields<'_> = serde_json::from_str(data.get()).map_err(|_| unexpected())?;
    Ok(fields.event)
}

fn parse(event: &RawValue) -> Result<Shown, Failure> {
    serde_json::from_str(event.get()).map_err(|_| unexpected())
}

fn unexpected() -> Failure {
    Failure::local("an event is not what was expected: was it written by a newer strongroom?")
}

/// One line for each event.
fn print(event: &RawValue, output: &Output) -> Result<(), Failure> {
    if output.format == Format::Json {
        return output.line(event.get());
    }
    let Shown { index, logged, event, .. } = parse(event)?;
    let caller = event.caller.as_ref().map_or("-", |caller| &caller.accessor);
    let name = event.caller.as_ref().map_or("-", |caller| &caller.display_name);
    let remote = event.remote.map_or_else(|| "-".to_owned(), |remote| remote.ip().to_string());
    let said = event.error.as_ref().map(|word| word.as_str().to_owned()).or(event.detail).unwrap_or_default();
    let line = format!(
        "{logged:<30}  {index:>8}  {}  {:<9}  {}  {name} {caller} {remote}  {said}",
        event.status,
        event.operation.as_str(),
        event.path,
    );
    output.line(printable(line.trim_end()).trim_end())
}
