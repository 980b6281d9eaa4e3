//! An HTTP/1.1 client that does as little as possible: bytes that are ready to send, and the status of the answer.

use std::net::SocketAddr;
use std::time::Duration;

use rustls::HandshakeKind;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Larger than every answer that is measured.
const BUFFER_BYTES: usize = 64 << 10;
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// The end of a body in chunks. It may stand at the end of what was read of a longer one only if its content has these bytes: JSON has not.
const LAST_CHUNK: &[u8] = b"\r\n0\r\n\r\n";

/// The bytes of one request; without a token where that is empty.
pub(crate) fn request(method: &str, path: &str, token: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    let token_field = if token.is_empty() { String::new() } else { format!("X-Vault-Token: {token}\r\n") };
    let head = format!("{method} /v1/{path} HTTP/1.1\r\nHost: localhost\r\n{token_field}");
    let body_fields = if body.is_empty() { String::new() } else { format!("Content-Length: {length}\r\n") };
    format!("{head}{body_fields}\r\n{body}").into_bytes()
}

/// One connection, kept alive.
pub(crate) struct Connection {
    stream: TlsStream<BufReader<TcpStream>>,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(connector: &TlsConnector, address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        // rustls alone would ask the system for 4 KiB at a time.
        let stream = BufReader::with_capacity(BUFFER_BYTES, stream);
        let stream = connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
        Self { stream, buffer: Vec::with_capacity(BUFFER_BYTES) }
    }

    /// One to a server that listens before it is open: when it answers a request with this token.
    pub(crate) async fn open_at_last(connector: &TlsConnector, address: SocketAddr, token: &str) -> Self {
        let look = request("GET", "auth/token/lookup-self", token, "");
        loop {
            let mut connection = Self::open(connector, address).await;
            if connection.exchange(&look).await.0 == 200 {
                return connection;
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    /// Whether the handshake went on with an earlier session.
    pub(crate) fn is_resumed(&self) -> bool {
        self.stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// Ends it at once, so that no address is kept for what may still come.
    pub(crate) fn abort(self) {
        self.stream.get_ref().0.get_ref().set_zero_linger().unwrap();
    }

    /// Sends the bytes, reads the whole answer: its status and its body.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> (u16, &[u8]) {
        self.stream.write_all(request).await.unwrap();
        self.stream.flush().await.unwrap();
        self.buffer.clear();
        let head = loop {
            self.more().await;
            if let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break end;
            }
        };
        let (status, length) = parse(self.buffer.get(..head).unwrap());
        let body = head + 4;
        let Length::Known(length) = length else {
            while !self.buffer.ends_with(LAST_CHUNK) {
                self.more().await;
            }
            unchunk(&mut self.buffer, body);
            return (status, self.buffer.get(body..).unwrap());
        };
        while self.buffer.len() < body + length {
            self.more().await;
        }
        assert_eq!(self.buffer.len(), body + length, "the server sent more than it said");
        (status, self.buffer.get(body..).unwrap())
    }

    /// For preparations: the body of an answer that must be a success.
    pub(crate) async fn expect_success(&mut self, request: &[u8]) -> &[u8] {
        let (status, body) = self.exchange(request).await;
        assert!((200..300).contains(&status), "{status}: {}", String::from_utf8_lossy(body));
        body
    }

    /// For preparations: an answer that must be a success, as JSON.
    pub(crate) async fn json(&mut self, request: &[u8]) -> serde_json::Value {
        serde_json::from_slice(self.expect_success(request).await).unwrap()
    }

    async fn more(&mut self) {
        let read = self.stream.read_buf(&mut self.buffer).await.unwrap();
        assert_ne!(read, 0, "the server closed the connection");
    }
}

/// How an answer says where it ends.
enum Length {
    Known(usize),
    /// By a chunk without content, as OpenBao sends what is longer than a few KiB.
    Chunked,
}

/// Status and length (0 if nothing is said: a 204).
fn parse(head: &[u8]) -> (u16, Length) {
    let head = std::str::from_utf8(head).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let field = |wanted: &str| {
        let mut fields = head.split("\r\n").filter_map(|line| line.split_once(": "));
        fields.find_map(|(name, value)| name.eq_ignore_ascii_case(wanted).then_some(value))
    };
    let length = match field("transfer-encoding") {
        Some(coding) => {
            assert_eq!(coding, "chunked");
            Length::Chunked
        }
        None => Length::Known(field("content-length").map_or(0, |value| value.parse().unwrap())),
    };
    (status, length)
}

/// Takes out of a whole body, from `start` on, the lines that say how long its chunks are (RFC 9112, section 7.1).
fn unchunk(buffer: &mut Vec<u8>, start: usize) {
    let mut at = start;
    loop {
        let end = at + buffer.get(at..).unwrap().windows(2).position(|two| two == b"\r\n").unwrap();
        let length = usize::from_str_radix(std::str::from_utf8(buffer.get(at..end).unwrap()).unwrap(), 16).unwrap();
        buffer.drain(at..end + 2);
        at += length;
        // The end of the line behind the content; behind the last chunk, that of the message.
        buffer.drain(at..at + 2);
        if length == 0 {
            return assert_eq!(buffer.len(), at, "the server sent more than it said");
        }
    }
}
