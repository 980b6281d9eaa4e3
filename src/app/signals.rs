//! What tells the process to stop, or to read files again.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::AppError;

/// Caught from before the first request can arrive: whoever sees the server answer can have it stop in good order.
pub(super) struct Signals {
    pub(super) term: Signal,
    pub(super) int: Signal,
    pub(super) hup: Signal,
    /// A file at its limit: caught, so that the write fails with an error instead of ending the server.
    _file_limit: Signal,
}

impl Signals {
    pub(super) fn catch() -> Result<Self, AppError> {
        let catch = |kind| signal(kind).map_err(|error| AppError::Io("cannot listen for signals".into(), error));
        Ok(Self {
            term: catch(SignalKind::terminate())?,
            int: catch(SignalKind::interrupt())?,
            hup: catch(SignalKind::hangup())?,
            _file_limit: catch(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?,
        })
    }
}
