//! A small HTTP/1.1 client over TLS that sends exactly what a test says: any method, raw paths (`a//b`, `%2F`, `..`), repeated
//! headers. Ordinary clients mend or refuse such requests before they are sent.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;

use super::{Target, overheard};

/// No answer takes longer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Who asks, and whom. Cheap to copy and vary.
#[derive(Clone)]
pub(crate) struct Client {
    authority: String,
    tls: Option<Arc<ClientConfig>>,
    headers: Vec<(String, String)>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    /// The HTTP status.
    pub(crate) status: u16,
    /// Headers in order, names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    /// The body as it came.
    pub(crate) body: Vec<u8>,
}

impl Client {
    /// With the target's root token, if it has one.
    pub(crate) fn new(target: &Target) -> Self {
        let tls = target.ca.as_deref().map(|ca| Arc::new(trusting(ca).with_no_client_auth()));
        let plain = Self { authority: target.authority().to_owned(), tls, headers: Vec::new() };
        if target.token.is_empty() { plain } else { plain.with_token(&target.token) }
    }

    /// The same with another token.
    pub(crate) fn with_token(&self, token: &str) -> Self {
        self.with_header("X-Vault-Token", token)
    }

    /// The same without a token.
    pub(crate) fn without_token(&self) -> Self {
        let mut client = self.clone();
        client.headers.retain(|(name, _)| name != "X-Vault-Token");
        client
    }

    /// The same in another namespace.
    pub(crate) fn in_namespace(&self, namespace: &str) -> Self {
        self.with_header("X-Vault-Namespace", namespace)
    }

    /// The same with a client certificate, however odd; files are PEM, leaf first.
    pub(crate) fn with_certificate(&self, ca: &Path, chain: &Path, key: &Path) -> Self {
        let chain = CertificateDer::pem_file_iter(chain).unwrap().map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_file(key).unwrap();
        let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).unwrap();
        let resolver = rustls::sign::SingleCertAndKey::from(rustls::sign::CertifiedKey::new(chain, key));
        let tls = trusting(ca).with_client_cert_resolver(Arc::new(resolver));
        Self { tls: Some(Arc::new(tls)), ..self.clone() }
    }

    /// The same with another header, instead of one of the same name.
    pub(crate) fn with_header(&self, name: &str, value: &str) -> Self {
        let mut client = self.clone();
        client.headers.retain(|(known, _)| known != name);
        client.headers.push((name.to_owned(), value.to_owned()));
        client
    }

    /// Sends a JSON body, or none, to `/v1/PATH`.
    pub(crate) fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Reply {
        let body = body.map(Value::to_string).unwrap_or_default();
        let merge = [("Content-Type", "application/merge-patch+json")];
        let headers: &[(&str, &str)] = if method == "PATCH" { &merge } else { &[] };
        self.send(method, &format!("/v1/{path}"), headers, body.as_bytes())
    }

    /// Sends these very bytes as method, request target, further headers and body.
    pub(crate) fn send(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        self.try_send(method, target, headers, body).unwrap_or_else(|error| panic!("{method} {target}: {error}"))
    }

    /// The same; an error when there is no server, or it closes the connection.
    pub(crate) fn try_send(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<Reply> {
        self.session()?.send(method, target, headers, body)
    }

    /// A connection that serves many requests, one after the other.
    pub(crate) fn session(&self) -> io::Result<Session> {
        let tcp = TcpStream::connect(&self.authority)?;
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(TIMEOUT))?;
        tcp.set_write_timeout(Some(TIMEOUT))?;
        let stream: Box<dyn ReadWrite> = match &self.tls {
            None => Box::new(tcp),
            Some(config) => {
                let name = ServerName::try_from("127.0.0.1").unwrap();
                let connection = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
                Box::new(StreamOwned::new(connection, tcp))
            }
        };
        Ok(Session { stream: BufReader::new(stream), client: self.clone() })
    }
}

fn trusting(ca: &Path) -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca).unwrap_or_else(|error| panic!("{}: {error}", ca.display())) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap().with_root_certificates(roots)
}

trait ReadWrite: Read + Write + Send {}
impl<T: Read + Write + Send> ReadWrite for T {}

/// One connection.
pub(crate) struct Session {
    stream: BufReader<Box<dyn ReadWrite>>,
    client: Client,
}

impl Session {
    /// As `Client::send`, on this connection.
    pub(crate) fn send(&mut self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<Reply> {
        let head = self.head(method, target, headers, body.len());
        let own = self.client.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        overheard::sent(&self.client.authority, own.chain(headers.iter().copied()), target, body);
        // A server that has refused a body may close before all of it was sent: what it said counts.
        let written = self.write(&[head.as_bytes(), body].concat());
        self.reply(method).map_err(|error| written.err().unwrap_or(error))
    }

    /// The head of a request with a body of `length` bytes, as `send` sends it.
    pub(crate) fn head(&self, method: &str, target: &str, headers: &[(&str, &str)], length: usize) -> String {
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: {}\r\nContent-Length: {length}\r\n", self.client.authority);
        let own = self.client.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in own.chain(headers.iter().copied()) {
            head.extend([name, ": ", value, "\r\n"]);
        }
        head + "\r\n"
    }

    /// Sends a part of a request.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let stream = self.stream.get_mut();
        stream.write_all(bytes)?;
        stream.flush()
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end_matches(['\r', '\n']).to_owned())
    }

    /// Reads the answer to a request of this method.
    pub(crate) fn reply(&mut self, method: &str) -> io::Result<Reply> {
        let malformed = |what: &str| io::Error::other(format!("malformed answer: {what}"));
        let first = self.line()?;
        let status = first.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(|| malformed(&first))?;
        let mut reply = Reply { status, headers: Vec::new(), body: Vec::new() };
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').ok_or_else(|| malformed(&line))?;
            reply.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        if method != "HEAD" && status != 204 && status != 304 {
            reply.body = self.body(&reply)?;
            overheard::answered(&self.client.authority, &reply.body);
        }
        Ok(reply)
    }

    fn body(&mut self, reply: &Reply) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        if reply.header("transfer-encoding") == Some("chunked") {
            loop {
                let line = self.line()?;
                let length = usize::from_str_radix(&line, 16).map_err(io::Error::other)?;
                self.exactly(length, &mut body)?;
                self.line()?;
                if length == 0 {
                    return Ok(body);
                }
            }
        }
        match reply.header("content-length") {
            Some(length) => self.exactly(length.parse().map_err(io::Error::other)?, &mut body)?,
            None => _ = self.stream.read_to_end(&mut body)?,
        }
        Ok(body)
    }

    fn exactly(&mut self, length: usize, body: &mut Vec<u8>) -> io::Result<()> {
        let start = body.len();
        body.resize(start + length, 0);
        self.stream.read_exact(body.get_mut(start..).unwrap_or_default())
    }
}

impl Reply {
    /// The first header of that name (lower case).
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// The texts of `errors`.
    pub(crate) fn errors(&self) -> Vec<String> {
        let json = self.json();
        let errors = json["errors"].as_array().unwrap_or_else(|| panic!("no errors in {json}"));
        errors.iter().map(|error| error.as_str().unwrap().to_owned()).collect()
    }

    /// Asserts the status, and shows the answer when it is another.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        self
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::support::openbao::OpenBao;

    /// The client itself, checked on a server that is known to be right.
    #[test]
    fn sends_what_it_is_told() {
        let openbao = OpenBao::dev();
        let client = Client::new(&openbao.target);
        client.call("PUT", "secret/data/a/b", Some(&json!({"data": {"k": "v"}}))).expect(200);
        assert_eq!(client.call("GET", "secret/data/a/b", None).expect(200).json()["data"]["data"]["k"], "v");
        assert_eq!(client.call("LIST", "secret/metadata/", None).expect(200).json()["data"]["keys"], json!(["a/"]));
        client.call("PATCH", "secret/data/a/b", Some(&json!({"data": {"k": "w"}}))).expect(200);
        client.call("DELETE", "secret/metadata/a/b", None).expect(204);
        assert_eq!(client.call("GET", "secret/data/a/b", None).expect(404).errors(), Vec::<String>::new());
        // Sent as it stands: OpenBao redirects what it has to clean.
        client.send("GET", "/v1/secret//data/../x", &[], b"").expect(307);
        client.without_token().call("GET", "sys/mounts", None).expect(403);
        client.with_token("wrong").call("GET", "sys/mounts", None).expect(403);
        client.in_namespace("nowhere").call("GET", "sys/mounts", None).expect(404);
        assert!(client.send("HEAD", "/v1/sys/health", &[], b"").expect(200).body.is_empty());
    }

    #[test]
    fn a_session_serves_many_requests() {
        let openbao = OpenBao::dev();
        let mut session = Client::new(&openbao.target).session().unwrap();
        for _ in 0..3 {
            let reply = session.send("GET", "/v1/sys/mounts", &[], b"").unwrap();
            assert_eq!(reply.expect(200).header("content-type"), Some("application/json"));
        }
    }
}
