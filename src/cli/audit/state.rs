//! `audit verify --state`: holds what the server has stored against what its log says.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::process::ExitCode;

use data_encoding::{BASE64, HEXLOWER};
use serde::Deserialize;
use serde_json::{Value, json};

use super::export::{Envelope, Log, Progress, Which};
use super::printable;
use crate::audit::state::{Difference, Finding, Ledger, Stored};
use crate::cli::client::Client;
use crate::cli::failure::Failure;
use crate::cli::output::{Format, Output};
use crate::record::RecordKey;

/// Findings that are named. More are counted.
const NAMED_MAX: usize = 1_000;

#[derive(Deserialize)]
struct Changes {
    rows: Vec<Row>,
    next: u64,
    newest: u64,
}

#[derive(Deserialize)]
struct Row {
    seq: u64,
    changed: String,
    fault: Option<String>,
}

#[derive(Deserialize)]
struct Stretch {
    records: Vec<Record>,
    /// The newest row of the log when they were read.
    position: u64,
    more: bool,
}

#[derive(Deserialize)]
struct Record {
    key: String,
    seq: u64,
    state: String,
    named: bool,
}

/// What a record is, as far as the server knows.
#[derive(Default, Deserialize)]
struct Described {
    opens: bool,
    kind: Option<String>,
    name: Option<String>,
    path: Option<String>,
    logged: Option<Value>,
}

/// The comparison as far as it has come.
struct Check<'a> {
    log: Log<'a>,
    ledger: Ledger,
    /// What rows of the log say that are read already, and newer than the records that are compared next.
    ahead: VecDeque<(u64, Vec<u8>)>,
    /// The row of the log that is read next.
    next: u64,
    rows: Progress,
    records: Progress,
    compared: u64,
    /// Findings about rows of the log, and about records.
    faults: Vec<(u64, String)>,
    findings: Vec<(Finding, Described)>,
    unnamed: u64,
}

/// Asks the server for both, compares, and shows what differs. Exit code 1 when anything does.
pub(super) fn verify(client: &Client, edge: bool, output: &Output) -> Result<ExitCode, Failure> {
    let log = Log { client, namespace: client.namespace(), which: Which::of(edge) };
    let mut check = Check {
        log,
        ledger: Ledger::default(),
        ahead: VecDeque::new(),
        next: 1,
        rows: Progress::new("rows of the log were read"),
        records: Progress::new("records were compared"),
        compared: 0,
        faults: Vec::new(),
        findings: Vec::new(),
        unnamed: 0,
    };
    check.run()?;
    check.show(output)?;
    Ok(ExitCode::from(u8::from(!check.is_sound())))
}

impl Check<'_> {
    fn run(&mut self) -> Result<(), Failure> {
        // What there is now comes first; then what is logged while records are read.
        self.follow(None)?;
        let mut after: Option<RecordKey> = None;
        loop {
            let query = after.map_or_else(String::new, |key| format!("after={}", HEXLOWER.encode(&key.0)));
            let reply = self.log.ask("/state/records", &query)?;
            let Stretch { records, position, more } = reply.parse::<Envelope<Stretch>>()?.data;
            let page: Vec<Stored> = records.iter().map(Record::stored).collect::<Option<_>>().ok_or_else(malformed)?;
            if more && page.is_empty() {
                return Err(malformed());
            }
            self.follow(Some(position))?;
            while let Some((seq, changed)) = self.ahead.pop_front_if(|(seq, _)| *seq <= position) {
                self.ledger.take(seq, &changed);
            }
            let mut found = self.ledger.compare(after, &page, !more);
            // The name is sealed apart: a record whose name was exchanged is in its state all the same.
            for (stored, _) in page.iter().zip(&records).filter(|(_, record)| !record.named) {
                let (key, difference) = (stored.key, Difference::Other);
                if found.iter().all(|finding| finding.key != key) {
                    found.push(Finding { key, difference, logged: None, stored: Some(stored.seq) });
                }
            }
            for finding in found {
                self.name(finding)?;
            }
            self.compared += page.len() as u64;
            self.records.tell(self.compared, None);
            match page.last() {
                Some(stored) if more => after = Some(stored.key),
                _ => return Ok(()),
            }
        }
    }

    /// Reads the log on, at least up to row `to`, or up to where it ends now: each question is itself an event of it.
    fn follow(&mut self, mut to: Option<u64>) -> Result<(), Failure> {
        while to.is_none_or(|to| self.next <= to) {
            let reply = self.log.ask("/state/changes", &format!("from={}", self.next))?;
            let Changes { rows, next, newest } = reply.parse::<Envelope<Changes>>()?.data;
            for row in rows {
                let changed = BASE64.decode(row.changed.as_bytes()).map_err(|_| malformed())?;
                self.ahead.push_back((row.seq, changed));
                self.faults.extend(row.fault.map(|fault| (row.seq, fault)));
            }
            if next <= self.next {
                return Err(Failure::local(format!("the log has no row {}, which it had", self.next)));
            }
            (self.next, to) = (next, to.or(Some(newest)));
            self.rows.tell(next - 1, Some(newest));
        }
        Ok(())
    }

    /// Asks what the record is.
    fn name(&mut self, finding: Finding) -> Result<(), Failure> {
        if self.findings.len() >= NAMED_MAX {
            self.unnamed += 1;
            return Ok(());
        }
        let seq = finding.logged.map_or_else(String::new, |seq| format!("seq={seq}"));
        let reply = self.log.ask(&format!("/state/record/{}", HEXLOWER.encode(&finding.key.0)), &seq)?;
        self.findings.push((finding, reply.parse::<Envelope<Described>>()?.data));
        Ok(())
    }

    fn is_sound(&self) -> bool {
        self.faults.is_empty() && self.findings.is_empty()
    }

    fn show(&self, output: &Output) -> Result<(), Failure> {
        if output.format == Format::Json {
            let rows: Vec<Value> = self.faults.iter().map(|(seq, fault)| json!({"row": seq, "fault": fault})).collect();
            let records: Vec<Value> = self.findings.iter().map(|(finding, described)| as_json(finding, described)).collect();
            let shown = json!({
                "verified": self.is_sound(),
                "records": self.compared,
                "rows": self.next - 1,
                "findings": records,
                "not_shown": self.unnamed,
                "log": rows,
            });
            return output.line(&shown.to_string());
        }
        output.line(&format!("records      {}\nlog rows     {}", self.compared, self.next - 1))?;
        for (seq, fault) in &self.faults {
            output.line(&printable(&format!("{fault}: row {seq} of the log")))?;
        }
        for (finding, described) in &self.findings {
            output.line(&printable(&as_text(finding, described)))?;
        }
        let all = self.faults.len() as u64 + self.findings.len() as u64 + self.unnamed;
        output.line(&match all {
            0 => "verified: every stored record is as the log says".to_owned(),
            1 => "1 finding: what is stored is not what the log says".to_owned(),
            many => format!("{many} findings: what is stored is not what the log says"),
        })
    }
}

impl Record {
    fn stored(&self) -> Option<Stored> {
        let bytes = |text: &str| HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok();
        Some(Stored { key: RecordKey(bytes(&self.key)?), seq: self.seq, state: bytes(&self.state)? })
    }
}

/// The word for a finding. One that opens where it is was there before: an older state of it was put back.
fn word(finding: &Finding, described: &Described) -> &'static str {
    match finding.difference {
        Difference::RolledBack => "rolled-back",
        Difference::Other if described.opens && finding.logged.is_some() => "rolled-back",
        Difference::Other => "swapped",
        Difference::Missing => "removed",
        Difference::Returned => "brought-back",
        Difference::Added => "added",
    }
}

fn as_json(finding: &Finding, described: &Described) -> Value {
    json!({
        "fault": word(finding, described),
        "key": HEXLOWER.encode(&finding.key.0),
        "kind": described.kind,
        "name": described.name,
        "path": described.path,
        "stored_row": finding.stored,
        "logged_row": finding.logged,
        "opens": described.opens,
        "logged": described.logged,
    })
}

fn as_text(finding: &Finding, described: &Described) -> String {
    let key = HEXLOWER.encode(finding.key.0.get(..8).unwrap_or_default());
    let kind = described.kind.as_deref().unwrap_or("a record");
    let path = described.path.as_deref().or(described.name.as_deref());
    let mut text = format!("{}: {kind} {}", word(finding, described), path.unwrap_or("whose path is not known"));
    let _ = match (finding.stored, finding.logged) {
        (Some(stored), Some(logged)) => write!(text, " (key {key}.., stored by row {stored}, changed last by row {logged}"),
        (Some(stored), None) => write!(text, " (key {key}.., stored by row {stored}"),
        (None, logged) => write!(text, " (key {key}.., changed last by row {}", logged.unwrap_or(0)),
    };
    let event = |what: &str| described.logged.as_ref().and_then(|logged| logged.pointer(&format!("/events/0/{what}"))?.as_str());
    if let (Some(operation), Some(path)) = (event("operation"), event("path")) {
        let _ = write!(text, ": {operation} {path} by {}", event("caller").unwrap_or("the server"));
    }
    text.push(')');
    text
}

fn malformed() -> Failure {
    Failure::local("the server's answer is malformed")
}
