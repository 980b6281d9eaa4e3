//! Everything that a command prints goes through here.

use std::io::{IsTerminal as _, Write as _};

use super::failure::Failure;
use crate::secret::SecretText;

/// Form of what is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// Lines for people.
    Table,
    /// The server's answer.
    Json,
}

pub(super) struct Output {
    pub(super) format: Format,
}

impl Output {
    pub(super) fn new(format: Format) -> Self {
        Self { format }
    }

    /// A line on standard output.
    pub(super) fn line(&self, text: &str) -> Result<(), Failure> {
        self.bytes(text.as_bytes())?;
        self.bytes(b"\n")
    }

    /// Names and values in two columns.
    pub(super) fn table(&self, rows: &[(&str, SecretText)]) -> Result<(), Failure> {
        let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        rows.iter().try_for_each(|(name, value)| {
            self.bytes(format!("{name:<width$}    ").as_bytes())?;
            self.line(value.expose())
        })
    }

    /// One value as it is; a line end follows only on a terminal, so that a pipe gets the value itself.
    pub(super) fn value(&self, text: &str) -> Result<(), Failure> {
        self.bytes(text.as_bytes())?;
        if std::io::stdout().is_terminal() { self.bytes(b"\n") } else { Ok(()) }
    }

    /// Bytes as they are.
    pub(super) fn raw(&self, bytes: &[u8]) -> Result<(), Failure> {
        self.bytes(bytes)
    }

    /// The server's answer.
    pub(super) fn answer(&self, json: &[u8]) -> Result<(), Failure> {
        self.bytes(json.trim_ascii_end())?;
        self.bytes(b"\n")
    }

    #[expect(clippy::unused_self, reason = "whoever prints needs to hold the output")]
    fn bytes(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut out = std::io::stdout().lock();
        out.write_all(bytes).and_then(|()| out.flush()).map_err(|error| Failure::local(format!("cannot print: {error}")))
    }
}

/// A message on standard error. When that is gone too, nobody is left to tell.
pub(super) fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "strongroom: {text}");
}
