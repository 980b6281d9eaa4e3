//! How the other server is asked: HTTP, over TLS as the configuration says, bounded in time and size.

use std::io::Read as _;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use ureq::http::{HeaderValue, Method, Request, Uri};
use ureq::unversioned::transport::DefaultConnector;
use zeroize::Zeroizing;

use super::super::Failure;
use super::token::Token;
use crate::config::{Transit as Settings, TransitTls};
use crate::outbound::tls::{self, Files, Host};

/// The longest answer, bytes.
const ANSWER_BYTES_MAX: u64 = 64 << 10;
/// The longest header of an answer, bytes.
const HEADER_BYTES_MAX: usize = 16 << 10;
/// How often a call is tried whose connection broke.
const ATTEMPTS_MAX: u32 = 2;

/// The other server.
pub(super) struct Connection {
    /// Exchanged when files of TLS are read again.
    agent: Mutex<ureq::Agent>,
    /// With the name that the certificate is checked for.
    base: String,
    address: String,
    host: Host,
    namespace: Option<String>,
    tls: Option<TlsSettings>,
    timeout: Duration,
}

struct TlsSettings {
    ca_cert: Option<PathBuf>,
    client: Option<(PathBuf, PathBuf)>,
}

/// What it answered. The body may hold a secret.
pub(super) struct Answer {
    pub(super) status: u16,
    body: Zeroizing<Vec<u8>>,
    address: String,
}

#[derive(Deserialize)]
struct Errors {
    errors: Vec<String>,
}

impl Answer {
    /// Reads it as `T`, which borrows from it.
    pub(super) fn parse<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Failure> {
        serde_json::from_slice(&self.body).map_err(|_| self.nonsense())
    }

    /// It came, and is not one.
    pub(super) fn nonsense(&self) -> Failure {
        Failure::Away(format!("{} answered {}, and not as such a server does", self.address, self.status))
    }

    /// What such a server says is wrong; none when something else has answered.
    pub(super) fn errors(&self) -> Option<String> {
        let said: Errors = serde_json::from_slice(&self.body).ok()?;
        Some(said.errors.join("; ").split_whitespace().collect::<Vec<_>>().join(" "))
    }

    /// Such a server has said 403: a proxy in between may say so, too, and in other words.
    pub(super) fn is_denial(&self) -> bool {
        self.status == 403 && self.errors().is_some()
    }
}

impl Connection {
    /// Reads the files of TLS; the text says what is wrong with one.
    pub(super) fn new(settings: &Settings) -> Result<Self, String> {
        let wrong = || format!("{} is no address", settings.address);
        let uri: Uri = settings.address.parse().map_err(|_| wrong())?;
        let name = uri.host().ok_or_else(wrong)?;
        let https = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if https { 443 } else { 80 });
        let base = match &settings.tls.server_name {
            Some(server_name) if https => format!("https://{server_name}:{port}"),
            _ => settings.address.clone(),
        };
        let tls = https.then(|| TlsSettings::of(&settings.tls));
        let host = Host::new(name, port);
        let agent = Mutex::new(agent(tls.as_ref(), &host, settings.timeout)?);
        let (address, namespace, timeout) = (settings.address.clone(), settings.namespace.clone(), settings.timeout);
        Ok(Self { agent, base, address, host, namespace, tls, timeout })
    }

    /// The namespace; empty for the root.
    pub(super) fn namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or_default()
    }

    /// Reads certificates and keys anew: a client certificate may live for hours only.
    pub(super) fn read_files_again(&self) -> Result<(), Failure> {
        let made = agent(self.tls.as_ref(), &self.host, self.timeout).map_err(Failure::Away)?;
        *self.agent.lock().unwrap_or_else(PoisonError::into_inner) = made;
        Ok(())
    }

    /// What the token is.
    pub(super) fn look_up(&self, token: &Token) -> Result<Answer, Failure> {
        self.send(&Method::GET, "auth/token/lookup-self", Some(token), b"")
    }

    /// Sends a body of JSON. `path` begins after `/v1/`.
    pub(super) fn post(&self, path: &str, token: Option<&Token>, body: &[u8]) -> Result<Answer, Failure> {
        self.send(&Method::POST, path, token, body)
    }

    fn send(&self, method: &Method, path: &str, token: Option<&Token>, body: &[u8]) -> Result<Answer, Failure> {
        let away = |what: &dyn std::fmt::Display| Failure::Away(format!("{}: {what}", self.address));
        let agent = self.agent.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut attempt = 1;
        loop {
            let mut request = Request::builder().method(method).uri(format!("{}/v1/{path}", self.base));
            request = request.header("X-Vault-Request", "true").header("Content-Type", "application/json");
            if let Some(namespace) = &self.namespace {
                request = request.header("X-Vault-Namespace", namespace);
            }
            if let Some(token) = token {
                let problem = "the token has characters that cannot be sent";
                let mut value = HeaderValue::from_str(token.expose()).map_err(|_| Failure::Refused(problem.to_owned()))?;
                value.set_sensitive(true);
                request = request.header("X-Vault-Token", value);
            }
            let answered = if *method == Method::GET {
                agent.run(request.body(()).map_err(|error| away(&error))?)
            } else {
                agent.run(request.body(body).map_err(|error| away(&error))?)
            };
            match answered {
                Ok(response) => return self.answer(response),
                // All that is asked for may be done twice.
                Err(ureq::Error::Io(_) | ureq::Error::Protocol(_)) if attempt < ATTEMPTS_MAX => attempt += 1,
                Err(error) => return Err(away(&error)),
            }
        }
    }

    fn answer(&self, response: ureq::http::Response<ureq::Body>) -> Result<Answer, Failure> {
        let status = response.status().as_u16();
        let mut body = Zeroizing::new(Vec::with_capacity(8 << 10));
        let reading = response.into_body().into_with_config().limit(ANSWER_BYTES_MAX).reader().read_to_end(&mut body);
        let broke = |error| Failure::Away(format!("{}: the answer broke off or is too long: {error}", self.address));
        reading.map_err(broke)?;
        Ok(Answer { status, body, address: self.address.clone() })
    }
}

impl TlsSettings {
    fn of(tls: &TransitTls) -> Self {
        let client = tls.client.as_ref().map(|(chain, key)| (chain.path.clone(), key.path.clone()));
        Self { ca_cert: tls.ca_cert.as_ref().map(|file| file.path.clone()), client }
    }
}

fn agent(files: Option<&TlsSettings>, host: &Host, timeout: Duration) -> Result<ureq::Agent, String> {
    let tls = match files {
        None => tls::trusting(&[]),
        Some(files) => {
            let client = files.client.as_ref().map(|(chain, key)| (chain.as_path(), key.as_path()));
            let files = Files { authorities: files.ca_cert.as_deref(), client };
            tls::of_files(files).map_err(|error| error.to_string())?
        }
    };
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .max_response_header_size(HEADER_BYTES_MAX)
        .timeout_connect(Some(timeout / 2))
        .timeout_global(Some(timeout))
        .user_agent(concat!("strongroom/", env!("CARGO_PKG_VERSION")))
        .tls_config(tls.build());
    Ok(ureq::Agent::with_parts(config.build(), DefaultConnector::default(), host.clone()))
}
