//! `audit access`: who may do what to a path, who has read it, and who of those may not any more.

use std::path::PathBuf;

use clap::Args;
use serde::{Deserialize, Serialize};
use ureq::http::Method;

use super::export::{Envelope, Progress};
use super::{html, printable};
use crate::cli::client::Client;
use crate::cli::failure::Failure;
use crate::cli::kv::encode;
use crate::cli::output::{Format, Output};

/// Show who may do what to a path, now or at an earlier time, and who has read it
#[derive(Args)]
#[command(after_help = "Examples:
  strongroom audit access secret/data/app/db
  strongroom audit access secret/data/app/db --at 2026-03-01T00:00:00Z --html review.html
  strongroom audit access --namespace acme secret/data/db --since 90d --format json")]
pub(in crate::cli) struct Access {
    /// The path, as policies and the log name it: of KV 2 with data/
    path: String,
    /// As it was at this time: RFC 3339, or how long ago, as in 30d
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// Reads from this time on; without, of the whole log
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Write a page that opens in a browser, without a network
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// All of it.
#[derive(Serialize)]
pub(super) struct Report {
    pub(super) path: String,
    pub(super) namespace: String,
    /// The time that it is of.
    pub(super) at: String,
    pub(super) basis: String,
    pub(super) forgotten_policies: Vec<String>,
    pub(super) forgotten: Vec<String>,
    pub(super) not_looked_at: Vec<String>,
    pub(super) principals: Vec<Principal>,
    pub(super) readers: Vec<Reader>,
}

#[derive(Deserialize)]
struct Page {
    path: String,
    namespace: String,
    at: String,
    basis: String,
    forgotten_policies: Vec<String>,
    #[serde(default)]
    forgotten: Vec<String>,
    not_looked_at: Vec<String>,
    principals: Vec<Principal>,
    next: Option<usize>,
}

/// Somebody who may do something.
#[derive(Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a field of its own in the answer")]
pub(super) struct Principal {
    pub(super) kind: String,
    pub(super) mount: String,
    pub(super) name: String,
    pub(super) policies: Vec<String>,
    pub(super) capabilities: Vec<String>,
    pub(super) depends_on_entity: bool,
    pub(super) second_factor: bool,
    pub(super) any_policy: bool,
    pub(super) tokens: Option<u64>,
    #[serde(default)]
    pub(super) since_unknown: bool,
    pub(super) note: Option<String>,
}

#[derive(Deserialize)]
struct Reads {
    readers: Vec<Reader>,
    more: bool,
    next: Option<String>,
}

/// Somebody who has read it.
#[derive(Serialize, Deserialize)]
pub(super) struct Reader {
    pub(super) display_name: String,
    pub(super) entity: Option<String>,
    pub(super) kind: String,
    pub(super) policies: Vec<String>,
    pub(super) accessors: Vec<String>,
    pub(super) count: u64,
    pub(super) by_reference: u64,
    pub(super) first: String,
    pub(super) last: String,
    pub(super) may_read: Option<bool>,
    pub(super) basis: String,
}

impl Access {
    pub(super) fn run(self, client: &Client, output: &Output) -> Result<(), Failure> {
        let path = encode(self.path.trim_matches('/'));
        let mut report = principals(client, &path, self.at.as_deref())?;
        report.readers = readers(client, &path, self.since.as_deref())?;
        if let Some(file) = &self.html {
            let cannot = |error| Failure::local(format!("{} cannot be written: {error}", file.display()));
            std::fs::write(file, html::page(&report)).map_err(cannot)?;
        }
        if output.format == Format::Json {
            let shown = serde_json::to_string(&report).map_err(|_| Failure::local("the answer cannot be shown"))?;
            return output.line(&shown);
        }
        report.lines().iter().try_for_each(|line| output.line(&printable(line)))
    }
}

fn principals(client: &Client, path: &str, at: Option<&str>) -> Result<Report, Failure> {
    let mut report: Option<Report> = None;
    let mut offset = 0;
    loop {
        let query = query(&[("offset", Some(&offset.to_string())), ("at", at)]);
        let reply = client.send(Method::GET, &format!("sys/audit-log/access/{path}?{query}"), None)?;
        let page = reply.parse::<Envelope<Page>>()?.data;
        let next = page.next;
        match &mut report {
            Some(report) => report.principals.extend(page.principals),
            None => report = Some(page.into()),
        }
        match (next, report) {
            (Some(next), known) if next > offset => (offset, report) = (next, known),
            (_, Some(report)) => return Ok(report),
            (_, None) => return Err(Failure::local("the server's answer is malformed")),
        }
    }
}

fn readers(client: &Client, path: &str, since: Option<&str>) -> Result<Vec<Reader>, Failure> {
    let (mut all, mut cursor): (Vec<Reader>, Option<String>) = (Vec::new(), None);
    let mut progress = Progress::new("reads were found");
    loop {
        let query = query(&[("since", since), ("cursor", cursor.as_deref())]);
        let reply = client.send(Method::GET, &format!("sys/audit-log/readers/{path}?{query}"), None)?;
        let Reads { readers, more, next } = reply.parse::<Envelope<Reads>>()?.data;
        for reader in readers {
            match all.iter_mut().find(|known| known.is(&reader)) {
                Some(known) => known.add(reader),
                None => all.push(reader),
            }
        }
        progress.tell(all.iter().map(|reader| reader.count).sum(), None);
        if !more || next.is_none() {
            all.sort_by(|a, b| b.last.cmp(&a.last));
            return Ok(all);
        }
        cursor = next;
    }
}

fn query(pairs: &[(&str, Option<&str>)]) -> String {
    let mut text = form_urlencoded::Serializer::new(String::new());
    text.extend_pairs(pairs.iter().filter_map(|(name, value)| Some((name, (*value)?))));
    text.finish()
}

impl From<Page> for Report {
    fn from(page: Page) -> Self {
        let Page { path, namespace, at, basis, forgotten_policies, forgotten, not_looked_at, principals, next: _ } = page;
        Self { path, namespace, at, basis, forgotten_policies, forgotten, not_looked_at, principals, readers: Vec::new() }
    }
}

impl Reader {
    fn is(&self, other: &Self) -> bool {
        (&self.display_name, &self.entity, &self.kind, &self.policies)
            == (&other.display_name, &other.entity, &other.kind, &other.policies)
    }

    /// Pages come newest first; what a newer one says of today counts, unless only the older one has seen a token that is good.
    fn add(&mut self, older: Self) {
        self.count += older.count;
        self.by_reference += older.by_reference;
        if older.first < self.first {
            self.first = older.first;
        }
        if older.may_read == Some(true) && self.may_read != Some(true) {
            (self.may_read, self.basis) = (older.may_read, older.basis);
        }
        self.accessors.extend(older.accessors);
        self.accessors.sort_unstable();
        self.accessors.dedup();
    }

    /// Whether it may still read, as a word.
    pub(super) fn still(&self) -> &'static str {
        match self.may_read {
            Some(true) => "yes",
            Some(false) => "no longer",
            None => "not known",
        }
    }
}

impl Principal {
    /// What it may do.
    pub(super) fn may(&self) -> String {
        let mut may = self.capabilities.join(", ");
        let mut add = |text: &str| {
            if !may.is_empty() {
                may.push_str("; ");
            }
            may.push_str(text);
        };
        if self.depends_on_entity {
            add("more or less, depending on the entity");
        }
        if self.any_policy {
            add("as much as whoever makes a token with it");
        }
        if self.second_factor {
            add("after a second factor");
        }
        may
    }

    /// What else is known.
    pub(super) fn remark(&self) -> String {
        let tokens = self.tokens.map(|tokens| if tokens == 1 { "1 token".to_owned() } else { format!("{tokens} tokens") });
        let since = self.since_unknown.then(|| "since when is not known".to_owned());
        tokens.into_iter().chain(since).chain(self.note.clone()).collect::<Vec<_>>().join("; ")
    }
}

impl Report {
    /// Those who have read it and may not any more.
    pub(super) fn no_longer(&self) -> impl Iterator<Item = &Reader> {
        self.readers.iter().filter(|reader| reader.may_read == Some(false))
    }

    /// What is to be known before anything is concluded from it.
    pub(super) fn warnings(&self) -> Vec<String> {
        let forgotten =
            self.forgotten_policies.iter().map(|name| format!("The text that policy {name} had then is not kept any more."));
        let unknown = self.forgotten.iter().map(|what| format!("Not kept any more: what this was then: {what}."));
        let left_out = self.not_looked_at.iter().map(|what| format!("Not looked at: {what}."));
        forgotten.chain(unknown).chain(left_out).collect()
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = vec![
            format!("path         {}{}", self.namespace, self.path),
            format!("as of        {}", self.at),
            self.basis.clone(),
        ];
        lines.extend(self.warnings());
        lines.push(format!("\nwho may ({})", self.principals.len()));
        for principal in &self.principals {
            let (who, remark) = (format!("{} {}{}", principal.kind, principal.mount, principal.name), principal.remark());
            let policies = principal.policies.join(" ");
            lines.push(format!("  {who}: {}  [{policies}]  {remark}", principal.may()).trim_end().to_owned());
        }
        lines.push(format!("\nwho did ({})", self.readers.len()));
        for reader in &self.readers {
            let entity = reader.entity.as_deref().unwrap_or("-");
            lines.push(format!(
                "  {} (entity {entity}): {} reads, {} by reference, from {} to {}; may still: {} ({})",
                reader.display_name,
                reader.count,
                reader.by_reference,
                reader.first,
                reader.last,
                reader.still(),
                reader.basis
            ));
        }
        lines.push(format!("\nwho did, and no longer may ({})", self.no_longer().count()));
        lines
            .extend(self.no_longer().map(|reader| format!("  {}: last {} ({})", reader.display_name, reader.last, reader.basis)));
        lines.iter().flat_map(|line| line.split('\n')).map(str::to_owned).collect()
    }
}
