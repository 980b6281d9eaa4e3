//! A system log: messages of RFC 5424, one for each entry. Datagrams on this machine or to another (RFC 5426), or a TCP connection
//! with counted octets (RFC 6587 section 3.4.1). What the kernel has taken counts as delivered: neither form has an answer.

use std::io::{self, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use super::Line;
use crate::config::{SyslogAddress, SyslogSink};
use crate::time::Timestamp;

/// The longest datagram; what is longer is cut.
const DATAGRAM_BYTES_MAX: usize = 60_000;
/// What one message, or the connection for it, may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Informational, of RFC 5424 section 6.2.1.
const SEVERITY: u8 = 6;

pub(in crate::sink) struct SyslogReceiver {
    settings: SyslogSink,
    /// What is the same in all messages, before and behind the time.
    around: [String; 2],
    socket: Option<Socket>,
}

enum Socket {
    Unix(UnixDatagram),
    Udp(UdpSocket),
    Tcp(TcpStream),
}

impl SyslogReceiver {
    pub(in crate::sink) fn new(settings: SyslogSink) -> Self {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let host: String = host.trim().chars().filter(char::is_ascii_graphic).take(255).collect();
        let host = if host.is_empty() { "-" } else { &host };
        let before = format!("<{}>1 ", settings.facility | SEVERITY);
        let behind = format!(" {host} {} {} audit - ", settings.tag, std::process::id());
        Self { settings, around: [before, behind], socket: None }
    }

    pub(in crate::sink) fn close(&mut self) {
        self.socket = None;
    }

    pub(in crate::sink) fn write(&mut self, line: &Line) -> io::Result<()> {
        let message = self.message(line);
        if self.socket.is_none() {
            self.socket = Some(connect(&self.settings.address)?);
        }
        let written = match &mut self.socket {
            Some(Socket::Unix(socket)) => socket.send(cut(&message)).map(drop),
            Some(Socket::Udp(socket)) => socket.send(cut(&message)).map(drop),
            Some(Socket::Tcp(stream)) => stream.write_all(&[format!("{} ", message.len()).as_bytes(), &message].concat()),
            None => Ok(()),
        };
        if written.is_err() {
            self.socket = None;
        }
        written
    }

    fn message(&self, line: &Line) -> Vec<u8> {
        let [before, behind] = &self.around;
        let json = line.json.strip_suffix(b"\n").unwrap_or(&line.json);
        [before.as_bytes(), timestamp(line.time).as_bytes(), behind.as_bytes(), json].concat()
    }
}

/// RFC 5424 section 6.2.3 has no more than six digits of a second.
fn timestamp(time: Timestamp) -> String {
    Timestamp(time.0 - time.0.rem_euclid(1_000)).rfc3339()
}

fn cut(message: &[u8]) -> &[u8] {
    message.get(..DATAGRAM_BYTES_MAX).unwrap_or(message)
}

fn connect(address: &SyslogAddress) -> io::Result<Socket> {
    match address {
        SyslogAddress::Unix(path) => {
            let socket = UnixDatagram::unbound()?;
            socket.connect(path)?;
            socket.set_write_timeout(Some(TIMEOUT))?;
            Ok(Socket::Unix(socket))
        }
        SyslogAddress::Udp(to) => {
            let from: SocketAddr =
                if to.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
            let socket = UdpSocket::bind(from)?;
            socket.connect(to)?;
            socket.set_write_timeout(Some(TIMEOUT))?;
            Ok(Socket::Udp(socket))
        }
        SyslogAddress::Tcp(to) => {
            let stream = TcpStream::connect_timeout(to, TIMEOUT)?;
            stream.set_write_timeout(Some(TIMEOUT))?;
            Ok(Socket::Tcp(stream))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_the_form_of_rfc_5424() {
        let settings = SyslogSink { address: SyslogAddress::Unix("/x".into()), facility: 32, tag: "sr".to_owned() };
        let receiver = SyslogReceiver::new(settings);
        let line = Line { time: Timestamp(1_795_251_600_123_456_789), json: b"{}\n".to_vec() };
        let message = String::from_utf8(receiver.message(&line)).unwrap();
        let parts: Vec<&str> = message.splitn(8, ' ').collect();
        assert_eq!((parts[0], parts[1]), ("<38>1", "2026-11-21T09:00:00.123456Z"));
        assert_eq!((parts[3], parts[5], parts[6], parts[7]), ("sr", "audit", "-", "{}"));
        assert_eq!(cut(&vec![0; 70_000]).len(), DATAGRAM_BYTES_MAX);
    }
}
