//! What entries are written to. All of it blocks, on a thread of its own, for a bounded time where the operating system lets it.

mod file;
mod syslog;

use std::io::{self, Write as _};

use super::worker::Line;
use crate::config::SinkTarget;
use crate::outbound::{Outbound, Poster};
use file::FileReceiver;
use syslog::SyslogReceiver;

/// One of them.
pub(super) enum Receiver {
    Stdout,
    File(Box<FileReceiver>),
    Syslog(Box<SyslogReceiver>),
    Http(Box<Poster>),
}

impl Receiver {
    /// Opens nothing yet. The text says what is wrong with the configuration.
    pub(super) fn new(target: SinkTarget, outbound: &Outbound) -> Result<Self, String> {
        Ok(match target {
            SinkTarget::Stdout => Self::Stdout,
            SinkTarget::File(settings) => Self::File(Box::new(FileReceiver::new(settings))),
            SinkTarget::Syslog(settings) => Self::Syslog(Box::new(SyslogReceiver::new(settings))),
            SinkTarget::Http(settings) => {
                let authorities = match &settings.ca_file {
                    Some(file) => {
                        let read = std::fs::read_to_string(file);
                        Some(read.map_err(|error| format!("{}: {error}", file.display()))?)
                    }
                    None => None,
                };
                let to = outbound.check(&settings.uri).map_err(|error| error.to_string())?;
                let authorization: Vec<_> =
                    settings.authorization.map(|text| ("authorization".to_owned(), text)).into_iter().collect();
                let poster = Poster::new(&to, authorities.as_deref(), &authorization);
                Self::Http(Box::new(poster.map_err(|error| error.to_string())?))
            }
        })
    }

    /// Writes the lines behind the first `sent`, and counts in `sent` those that are there for certain.
    pub(super) fn write(&mut self, lines: &[Line], sent: &mut usize) -> io::Result<()> {
        let rest = lines.get(*sent..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(());
        }
        match self {
            Self::Stdout => {
                let mut out = io::stdout().lock();
                for line in rest {
                    out.write_all(&line.json)?;
                    *sent += 1;
                }
                return out.flush();
            }
            Self::File(file) => file.write(&joined(rest))?,
            Self::Syslog(syslog) => return rest.iter().try_for_each(|line| syslog.write(line).map(|()| *sent += 1)),
            Self::Http(poster) => poster.post("application/x-ndjson", &joined(rest)).map_err(io::Error::other)?,
        }
        *sent = lines.len();
        Ok(())
    }

    /// Opens a file again, which may have been moved away.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        match self {
            Self::File(file) => file.reopen(),
            Self::Syslog(syslog) => {
                syslog.close();
                Ok(())
            }
            Self::Stdout | Self::Http(_) => Ok(()),
        }
    }
}

fn joined(lines: &[Line]) -> Vec<u8> {
    lines.iter().flat_map(|line| &line.json).copied().collect()
}
