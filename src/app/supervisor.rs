//! Telling a service manager how far the server is, as `sd_notify(3)` describes: one datagram per state.

use std::ffi::OsStr;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The service manager that started the process, if it wants to be told.
pub(super) struct Supervisor(Option<SocketAddr>);

impl Supervisor {
    /// `socket` is what `NOTIFY_SOCKET` holds: a path, or `@` and an abstract name.
    pub(super) fn new(socket: Option<&OsStr>) -> Self {
        let address = socket.and_then(|socket| {
            let address = match socket.as_bytes().split_first() {
                Some((b'@', name)) => SocketAddr::from_abstract_name(name),
                _ => SocketAddr::from_pathname(socket),
            };
            address.map_err(|error| tracing::warn!(%error, "NOTIFY_SOCKET is no address")).ok()
        });
        Self(address)
    }

    /// Sockets listen. Whether the server is open or sealed, `sys/health` says.
    pub(super) fn ready(&self) {
        self.tell("READY=1");
    }

    /// No new connections are taken.
    pub(super) fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    fn tell(&self, state: &str) {
        let Some(address) = &self.0 else { return };
        let told = UnixDatagram::unbound().and_then(|socket| socket.send_to_addr(state.as_bytes(), address));
        if let Err(error) = told {
            tracing::warn!(%error, state, "the service manager was not told");
        }
    }
}
