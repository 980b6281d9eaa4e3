//! `operator`: what whoever keeps the server running does beyond what other clients offer.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Deserialize;
use ureq::http::Method;

use super::client::Client;
use super::failure::Failure;
use super::kv::{Envelope, RawFields, rows};
use super::output::{Format, Output};

/// Between two looks at a rotation.
const PAUSE: Duration = Duration::from_millis(500);
/// Signs in a progress bar.
const BAR: usize = 40;

/// Rotate keys
#[derive(Subcommand)]
pub(super) enum Operator {
    Rotate(Rotate),
    KeyStatus(KeyStatus),
}

/// Give the namespace a new wrapping key; its values are wrapped anew in the background
#[derive(Args)]
#[command(after_help = "Examples:
  strongroom operator rotate --watch
  strongroom operator rotate --namespace acme")]
pub(super) struct Rotate {
    /// Wait until all values are wrapped anew, and show how far that is
    #[arg(long)]
    watch: bool,
}

/// Show which wrapping key is in use, and how far values are wrapped by it
#[derive(Args)]
#[command(after_help = "Examples:
  strongroom operator key-status
  strongroom operator key-status --format json")]
pub(super) struct KeyStatus {}

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
                client.send(Method::POST, "sys/rotate/keyring", None)?;
                if rotate.watch { watch(client, output) } else { status(client, output) }
            }
            Self::KeyStatus(KeyStatus {}) => status(client, output),
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
