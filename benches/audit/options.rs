//! What the command line asks for.

use std::time::Duration;

const USAGE: &str = "cargo bench --bench audit -- [options]

  --quick              a million events and short windows
  --events N           events in the log that is searched (10000000)
  --store NAME         sqlite or postgresql only";

/// Options of a run.
pub(crate) struct Options {
    /// How many events the log is filled with.
    pub(crate) events: u64,
    /// How long appending is measured with few requests on their way.
    pub(crate) window: Duration,
    store: Option<String>,
}

impl Options {
    /// The error is what to print.
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self { events: 10_000_000, window: Duration::from_secs(5), store: None };
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                // Cargo says so to every benchmark.
                "--bench" => {}
                "--quick" => (options.events, options.window) = (1_000_000, Duration::from_secs(1)),
                "--events" => options.events = arguments.next().and_then(|word| word.parse().ok()).ok_or(USAGE)?,
                "--store" => options.store = Some(arguments.next().ok_or(USAGE)?),
                _ => return Err(USAGE.to_owned()),
            }
        }
        Ok(options)
    }

    pub(crate) fn wants(&self, store: &str) -> bool {
        self.store.as_ref().is_none_or(|word| word == store)
    }
}
