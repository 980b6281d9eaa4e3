//! `operator`: what whoever keeps the server running does beyond what other clients offer.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Deserialize;
use ureq::http::Method;

use super::client::Client;
use super::doctor::Doctor;
use super::failure::Failure;
use super::kv::{Envelope, RawFields, rows};
use super::output::{Format, Output};
use crate::json::Json;
use crate::secret::SecretText;

/// Between two looks at a rotation.
const PAUSE: Duration = Duration::from_millis(500);
/// Signs in a progress bar.
const BAR: usize = 40;

/// Rotate keys, change seals, and see what is wrong with a server
#[derive(Subcommand)]
pub(super) enum Operator {
    Rotate(Rotate),
    KeyStatus(KeyStatus),
    SealMigrate(SealMigrate),
    Doctor(Doctor),
}

/// Give the namespace a new wrapping key; its values are wrapped anew in the background
#[derive(Args)]
#[command(after_help = "Examples:
  strongroom operator rotate --watch
  strongroom operator rotate --reencrypt --watch
  strongroom operator rotate --namespace acme")]
pub(super) struct Rotate {
    /// Wait until all values are wrapped anew, and show how far that is
    #[arg(long)]
    watch: bool,
    /// Encrypt every value anew, too: for when somebody may have held the keys of values
    #[arg(long)]
    reencrypt: bool,
}

/// Show which wrapping key is in use, and how far values are wrapped by it
#[derive(Args)]
#[command(after_help = "Examples:
  strongroom operator key-status
  strongroom operator key-status --format json")]
pub(super) struct KeyStatus {}

/// Show which seals wrap keys, how far a change of them is, and which may be dropped now
#[derive(Args)]
#[command(
    after_help = "Add the new seal to the configuration and restart; when this shows that the change is complete, drop the old one and restart.

Examples:
  strongroom operator seal-migrate
  strongroom operator seal-migrate --format json"
)]
pub(super) struct SealMigrate {}

#[derive(Deserialize)]
struct Change {
    finished: bool,
    wrapped: u64,
    waiting: u64,
    failed: u64,
    #[serde(default)]
    own_keys: u64,
    problem: String,
    seals: BTreeMap<String, Seal>,
}

#[derive(Deserialize)]
struct Seal {
    r#type: String,
    listed: bool,
    answers: bool,
    may_be_dropped: bool,
    reason: String,
}

#[derive(Deserialize)]
struct State {
    term: u32,
    complete: bool,
    progress_percent: f64,
    #[serde(default)]
    rewrapped: u64,
    #[serde(default)]
    damaged: u64,
}

impl Operator {
    pub(super) fn run(self, client: &Client, output: &Output) -> Result<(), Failure> {
        match self {
            Self::Rotate(rotate) => {
                let body = rotate.reencrypt.then(|| {
                    Json::object(|body| {
                        body.field("reencrypt", &true);
                    })
                });
                client.send(Method::POST, "sys/rotate/keyring", body.as_ref())?;
                if rotate.watch { watch(client, output) } else { status(client, output) }
            }
            Self::KeyStatus(KeyStatus {}) => status(client, output),
            Self::SealMigrate(SealMigrate {}) => seals(client, output),
            Self::Doctor(_) => Err(Failure::local("operator doctor looks at files of this machine")),
        }
    }
}

fn status(client: &Client, output: &Output) -> Result<(), Failure> {
    let reply = client.send(Method::GET, "sys/rotate/status", None)?;
    match output.format {
        Format::Json => output.answer(&reply.body),
        Format::Table => output.table(&rows(&reply.parse::<Envelope<RawFields<'_>>>()?.data)),
    }
}

fn seals(client: &Client, output: &Output) -> Result<(), Failure> {
    let reply = client.send(Method::GET, "sys/seals", None)?;
    match output.format {
        Format::Json => output.answer(&reply.body),
        Format::Table => {
            let state = reply.parse::<Envelope<Change>>()?.data;
            let lines: Vec<(&str, SecretText)> = state
                .seals
                .iter()
                .map(|(name, seal)| (name.as_str(), seal.line()))
                .chain([("complete", state.line())])
                .map(|(name, line)| (name, SecretText::new(line)))
                .collect();
            output.table(&lines)
        }
    }
}

impl Seal {
    fn line(&self) -> String {
        let kind = if self.r#type.is_empty() { "not configured here" } else { self.r#type.as_str() };
        let place = if self.listed { "wraps every key" } else { "being dropped" };
        let answers = if self.answers { "answers" } else { "does not answer" };
        let end = if self.may_be_dropped { "may be dropped now".to_owned() } else { format!("needed: {}", self.reason) };
        format!("{kind}; {place}; {answers}; {end}")
    }
}

impl Change {
    fn line(&self) -> String {
        let Self { wrapped, waiting, failed, own_keys, problem, .. } = self;
        // Those below them are not looked at: whoever has disabled such a key holds up nobody else.
        let own = if *own_keys == 0 { String::new() } else { format!("; {own_keys} passed by, which have keys of their own") };
        if self.finished {
            return format!("yes: every key is wrapped by the seals above, and by no other{own}");
        }
        let why = if problem.is_empty() { String::new() } else { format!(" ({problem})") };
        format!("no: {wrapped} namespaces wrapped, {waiting} waiting, {failed} failed{own}{why}")
    }
}

/// Asks until it is done. The bar is for people: it goes to standard error, and only when that is a terminal.
fn watch(client: &Client, output: &Output) -> Result<(), Failure> {
    let mut shown = std::io::stderr().is_terminal().then(std::io::stderr);
    loop {
        let reply = client.send(Method::GET, "sys/rotate/status", None)?;
        let state = reply.parse::<Envelope<State>>()?.data;
        if let Some(terminal) = &mut shown {
            let _ = write!(terminal, "\r{}", bar(&state)).and_then(|()| terminal.flush());
        }
        if state.complete {
            if let Some(terminal) = &mut shown {
                let _ = writeln!(terminal);
            }
            status(client, output)?;
            if state.damaged > 0 {
                let text = "some records do not open and were left: the older wrapping keys stay; see the server's audit log";
                return Err(Failure::local(text));
            }
            return Ok(());
        }
        std::thread::sleep(PAUSE);
    }
}

fn bar(state: &State) -> String {
    let filled = (0..BAR).filter(|sign| f64::from(u32::try_from(*sign).unwrap_or(0)) * 2.5 < state.progress_percent).count();
    let (done, left) = ("#".repeat(filled), ".".repeat(BAR - filled));
    format!("key {} [{done}{left}] {:5.1}%  {} records", state.term, state.progress_percent, state.rewrapped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_fills_with_progress() {
        let at = |progress_percent| bar(&State { term: 2, complete: false, progress_percent, rewrapped: 7, damaged: 0 });
        assert_eq!(at(0.0), format!("key 2 [{}]   0.0%  7 records", ".".repeat(40)));
        assert_eq!(at(50.0), format!("key 2 [{}{}]  50.0%  7 records", "#".repeat(20), ".".repeat(20)));
        assert_eq!(at(100.0), format!("key 2 [{}] 100.0%  7 records", "#".repeat(40)));
    }
}
