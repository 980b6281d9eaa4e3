//! One HTTP client for all commands.

use std::io::Read as _;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use ureq::http::{Method, Request, Uri};
use ureq::tls::TlsConfig;
use ureq::unversioned::transport::DefaultConnector;
use zeroize::Zeroizing;

use super::environment::{Environment, Flags};
use super::failure::Failure;
use crate::json::Json;
use crate::outbound::tls::{self, FileError, Files, Host, Role};
use crate::secret::SecretText;
use crate::time::{Timestamp, parse_duration};

/// Larger answers are refused: twice the largest request.
const ANSWER_SIZE_MAX: u64 = 64 << 20;

/// From flags and environment.
pub(super) struct ClientOptions {
    address: String,
    token: Option<SecretText>,
    namespace: Option<String>,
    ca_cert: Option<PathBuf>,
    client_cert: Option<(PathBuf, PathBuf)>,
    skip_verify: bool,
    tls_server_name: Option<String>,
    timeout: Duration,
}

impl ClientOptions {
    /// Flags win over the environment.
    pub(super) fn gather(flags: &Flags, environment: &Environment) -> Result<Self, Failure> {
        let address = flags.address.clone().or_else(|| environment.text("ADDR"));
        let address = address.unwrap_or_else(|| "https://127.0.0.1:8200".to_owned());
        let client_cert = match (environment.text("CLIENT_CERT"), environment.text("CLIENT_KEY")) {
            (None, None) => None,
            (Some(chain), Some(key)) => Some((PathBuf::from(chain), PathBuf::from(key))),
            _ => return Err(Failure::local("a client certificate needs both BAO_CLIENT_CERT and BAO_CLIENT_KEY")),
        };
        let timeout = match environment.text("CLIENT_TIMEOUT") {
            None => Some(Duration::from_mins(1)),
            Some(text) => parse_duration(&text),
        };
        Ok(Self {
            address: address.trim_end_matches('/').to_owned(),
            token: environment.token()?,
            namespace: flags.namespace.clone().or_else(|| environment.text("NAMESPACE")),
            ca_cert: flags.ca_cert.clone().or_else(|| environment.text("CACERT").map(PathBuf::from)),
            client_cert,
            skip_verify: environment.boolean("SKIP_VERIFY")?,
            tls_server_name: environment.text("TLS_SERVER_NAME"),
            timeout: timeout
                .filter(|timeout| !timeout.is_zero())
                .ok_or_else(|| Failure::local("BAO_CLIENT_TIMEOUT must be a duration like 60s"))?,
        })
    }
}

pub(super) struct Client {
    agent: ureq::Agent,
    /// With the name that the certificate is checked for.
    base: String,
    options: ClientOptions,
}

/// What the server answered, below 400. The body may hold secrets.
pub(super) struct Reply {
    pub(super) body: Zeroizing<Vec<u8>>,
    /// When, by the server's clock; to the second.
    pub(super) date: Option<Timestamp>,
}

impl Reply {
    /// Reads the body as `T`, which borrows from it.
    pub(super) fn parse<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Failure> {
        // serde_json's text could quote a value.
        serde_json::from_slice(&self.body)
            .map_err(|_| Failure::local("the answer is not what was expected: is this the right address?"))
    }
}

impl Client {
    pub(super) fn new(options: ClientOptions) -> Result<Self, Failure> {
        let wrong =
            || Failure::local(format!("{} is not an address like https://127.0.0.1:8200 (BAO_ADDR, --address)", options.address));
        let uri: Uri = options.address.parse().map_err(|_| wrong())?;
        let host = uri.host().filter(|_| matches!(uri.scheme_str(), Some("https" | "http"))).ok_or_else(wrong)?;
        let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("http") { 80 } else { 443 });
        let base = match &options.tls_server_name {
            None => options.address.clone(),
            Some(name) => format!("{}://{name}:{port}", uri.scheme_str().unwrap_or("https")),
        };
        let mut config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_global(Some(options.timeout))
            .user_agent(concat!("strongroom/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls_config(&options, uri.scheme_str() == Some("https"))?);
        if matches!(host, "127.0.0.1" | "localhost" | "[::1]") {
            config = config.proxy(None);
        }
        let agent = ureq::Agent::with_parts(config.build(), DefaultConnector::default(), Host::new(host, port));
        Ok(Self { agent, base, options })
    }

    /// The namespace that commands work in.
    pub(super) fn namespace(&self) -> Option<&str> {
        self.options.namespace.as_deref()
    }

    /// Sends one request in the client's namespace. `path` begins after `/v1/` and is already encoded.
    pub(super) fn send(&self, method: Method, path: &str, body: Option<&Json>) -> Result<Reply, Failure> {
        self.send_in(self.namespace(), method, path, body)
    }

    /// Sends one request in `namespace`.
    pub(super) fn send_in(
        &self,
        namespace: Option<&str>,
        method: Method,
        path: &str,
        body: Option<&Json>,
    ) -> Result<Reply, Failure> {
        let what = format!("{method} /v1/{path}");
        let mut request =
            Request::builder().method(method).uri(format!("{}/v1/{path}", self.base)).header("X-Vault-Request", "true");
        if let Some(token) = &self.options.token {
            request = request.header("X-Vault-Token", token.expose());
        }
        if let Some(namespace) = namespace {
            request = request.header("X-Vault-Namespace", namespace);
        }
        let invalid = |_| Failure::local("the token, the namespace or the path has characters that cannot be sent");
        let answered = match body {
            Some(json) => {
                self.agent.run(request.header("Content-Type", "application/json").body(json.expose()).map_err(invalid)?)
            }
            None => self.agent.run(request.body(()).map_err(invalid)?),
        };
        let response = answered.map_err(|error| self.no_answer(&error))?;
        let status = response.status().as_u16();
        let date = response.headers().get("date").and_then(|date| Timestamp::parse_http(date.to_str().ok()?));
        let body = read_body(response.into_body()).map_err(|error| Failure::local(format!("the answer broke off: {error}")))?;
        if status < 300 { Ok(Reply { body, date }) } else { Err(refused(status, what, &body, self.options.token.is_some())) }
    }

    /// What to do about a request without an answer.
    fn no_answer(&self, error: &ureq::Error) -> Failure {
        let address = &self.options.address;
        let text = match error {
            ureq::Error::Io(io) if io.kind() == std::io::ErrorKind::ConnectionRefused => {
                format!("{address} refuses connections: is the server running? (BAO_ADDR, --address)")
            }
            ureq::Error::HostNotFound => format!("the host of {address} is not known (BAO_ADDR, --address)"),
            ureq::Error::ConnectionFailed => format!("{address} cannot be reached: is the server running? (BAO_ADDR, --address)"),
            ureq::Error::Timeout(_) => format!("{address} did not answer in {:?} (BAO_CLIENT_TIMEOUT)", self.options.timeout),
            other => match tls_error(other) {
                Some(error) => tls_advice(address, error),
                None => format!("{address} did not answer: {other}"),
            },
        };
        Failure::Local(text)
    }
}

fn tls_error(error: &ureq::Error) -> Option<&rustls::Error> {
    match error {
        ureq::Error::Rustls(error) => Some(error),
        ureq::Error::Io(io) => io.get_ref().and_then(|inner| inner.downcast_ref()),
        _ => None,
    }
}

fn tls_advice(address: &str, error: &rustls::Error) -> String {
    use rustls::CertificateError::{Expired, ExpiredContext, NotValidForName, NotValidForNameContext, UnknownIssuer};
    match error {
        rustls::Error::InvalidCertificate(UnknownIssuer) => {
            format!("the certificate of {address} is from an unknown authority: name its file with --ca-cert or BAO_CACERT")
        }
        rustls::Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. }) => {
            format!("the certificate of {address} is for another name: set BAO_TLS_SERVER_NAME to a name that is in it")
        }
        rustls::Error::InvalidCertificate(Expired | ExpiredContext { .. }) => format!("the certificate of {address} has expired"),
        rustls::Error::InvalidMessage(_) => format!("{address} does not speak TLS: is it a plain http:// address?"),
        other => format!("TLS with {address} failed: {other}"),
    }
}

#[derive(Deserialize)]
struct Errors {
    #[serde(default)]
    errors: Vec<String>,
}

fn refused(status: u16, what: String, body: &[u8], token: bool) -> Failure {
    let errors = serde_json::from_slice::<Errors>(body).map(|body| body.errors).unwrap_or_default();
    let mut text = errors.iter().map(|error| error.trim()).collect::<Vec<_>>().join("; ");
    if text.is_empty() {
        text.push_str(if status == 404 { "nothing is there" } else { "no reason given" });
    }
    match status {
        403 if !token => text.push_str("\nNo token was sent: set BAO_TOKEN, or put a token into ~/.vault-token."),
        503 if text.contains("sealed") => text.push_str("\nThe server is sealed: its operator has to unseal it."),
        _ => {}
    }
    Failure::Server { status, what, text }
}

fn read_body(body: ureq::Body) -> std::io::Result<Zeroizing<Vec<u8>>> {
    // Sized at once where the length is known, because a buffer that grows leaves pieces of itself behind.
    let length = body.content_length().unwrap_or(64 << 10).min(ANSWER_SIZE_MAX);
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(length).unwrap_or(0) + 1));
    body.into_with_config().limit(ANSWER_SIZE_MAX).reader().read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn tls_config(options: &ClientOptions, https: bool) -> Result<TlsConfig, Failure> {
    let client = options.client_cert.as_ref().map(|(chain, key)| (chain.as_path(), key.as_path()));
    let files = Files { authorities: options.ca_cert.as_deref(), client };
    let config = if https { tls::of_files(files).map_err(|error| wrong_file(&error))? } else { tls::trusting(&[]) };
    Ok(config.disable_verification(options.skip_verify).build())
}

fn wrong_file(error: &FileError) -> Failure {
    let named_by = match error.role {
        Role::Authorities => "BAO_CACERT, --ca-cert",
        Role::Chain => "BAO_CLIENT_CERT",
        Role::Key => "BAO_CLIENT_KEY",
    };
    Failure::local(format!("{error} ({named_by})"))
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
