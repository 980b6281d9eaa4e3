//! Fetching from other servers: keys of an issuer of tokens, its discovery document, the answer to a code.
//!
//! Owns where the server may call at all: `outbound_allow` of its configuration, and nothing that the API says adds to that.
//! Only HTTPS (plain HTTP on loopback while developing), no redirects, no proxies, bounded in time, size and number. What
//! comes back is bytes of a stranger. It must not know tenants, mounts or tokens. Sizes are bytes.

mod allow;
mod post;
pub mod tls;

use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use crate::secret::SecretText;
pub use allow::Destination;
use allow::Host;
pub use post::Poster;

/// The longest answer.
pub const ANSWER_BYTES_MAX: u64 = 1 << 20;
/// The longest header of an answer.
const HEADER_BYTES_MAX: usize = 16 << 10;
/// Until there is a connection, and until the whole answer is there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// As above.
pub const FETCH_TIMEOUT: Duration = Duration::from_secs(8);
/// Fetches at a time; one more waits no longer than a fetch may take.
pub const FETCHES_MAX: usize = 16;

/// Why there is no answer. Texts name what is wrong, and nothing that the other server said.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FetchError {
    /// The URL is none, not HTTPS, or of a host that the configuration does not name.
    #[error("{0} is not an https URL of a host that outbound_allow of the server's configuration names")]
    NotAllowed(String),
    /// The authorities are no certificates.
    #[error("no certificate in PEM form")]
    NoAuthority,
    /// The other server did not answer, or something else than 200.
    #[error("{0}")]
    Failed(String),
    /// Too many fetches, or one that failed a moment ago.
    #[error("{0}")]
    Later(&'static str),
}

/// Calls other servers, as far as the configuration lets it.
pub struct Outbound {
    allow: Vec<Host>,
    /// Loopback may be called without being named, and without TLS.
    development: bool,
    places: Arc<Semaphore>,
}

/// What is sent besides the URL.
#[derive(Clone, Copy)]
pub enum Ask<'a> {
    /// GET.
    Get,
    /// GET with a bearer token.
    GetAs(&'a SecretText),
    /// POST of a form, with the content of the header `Authorization`, if there is one.
    Post(&'a SecretText, Option<&'a SecretText>),
}

impl Outbound {
    /// May call the hosts of `allow` (`host` is port 443, or `host:port`); in development loopback besides.
    pub fn new(allow: &[String], development: bool) -> Self {
        let allow = allow.iter().filter_map(|text| Host::parse(text)).collect();
        Self { allow, development, places: Arc::new(Semaphore::new(FETCHES_MAX)) }
    }

    /// A URL that may be called.
    pub fn check(&self, url: &str) -> Result<Destination, FetchError> {
        Destination::parse(url, &self.allow, self.development).ok_or_else(|| FetchError::NotAllowed(shown(url)))
    }

    /// Asks, and returns the body of an answer with status 200. `authorities` in PEM form stand in place of those of the
    /// operating system.
    pub async fn fetch(
        &self,
        to: &Destination,
        authorities: Option<&str>,
        ask: Ask<'_>,
    ) -> Result<Zeroizing<Vec<u8>>, FetchError> {
        let busy = || FetchError::Later("too many fetches from other servers are under way; try again");
        let waiting = tokio::time::timeout(FETCH_TIMEOUT, Arc::clone(&self.places).acquire_owned());
        let place = waiting.await.ok().and_then(Result::ok).ok_or_else(busy)?;
        let agent = agent(to, authorities)?;
        let sent = Sent::new(to, ask)?;
        let fetched = tokio::task::spawn_blocking(move || {
            let fetched = sent.send(&agent);
            drop(place);
            fetched
        });
        fetched.await.map_err(|_| FetchError::Later("the server is stopping"))?
    }
}

/// A request that owns what it needs.
struct Sent {
    request: ureq::http::request::Builder,
    body: Option<Zeroizing<Vec<u8>>>,
    host: String,
}

impl Sent {
    fn new(to: &Destination, ask: Ask<'_>) -> Result<Self, FetchError> {
        let request = ureq::http::Request::builder().uri(to.url()).header("Accept", "application/json");
        let sensitive = |text: &str| {
            let mut value = ureq::http::HeaderValue::from_str(text)
                .map_err(|_| FetchError::Failed("a credential cannot be sent in a header".to_owned()))?;
            value.set_sensitive(true);
            Ok::<_, FetchError>(value)
        };
        let (request, body) = match ask {
            Ask::Get => (request, None),
            Ask::GetAs(token) => (request.header("Authorization", sensitive(&format!("Bearer {}", token.expose()))?), None),
            Ask::Post(form, authorization) => {
                let mut request = request.method("POST").header("Content-Type", "application/x-www-form-urlencoded");
                if let Some(authorization) = authorization {
                    request = request.header("Authorization", sensitive(authorization.expose())?);
                }
                (request, Some(Zeroizing::new(form.expose().as_bytes().to_vec())))
            }
        };
        Ok(Self { request, body, host: to.authority().to_owned() })
    }

    fn send(self, agent: &ureq::Agent) -> Result<Zeroizing<Vec<u8>>, FetchError> {
        let host = self.host;
        let failed = |what: String| FetchError::Failed(format!("{host}: {what}"));
        let wrong = |error: ureq::http::Error| failed(error.to_string());
        let answered = match &self.body {
            Some(body) => agent.run(self.request.body(body.as_slice()).map_err(wrong)?),
            None => agent.run(self.request.body(()).map_err(wrong)?),
        };
        let response = answered.map_err(|error| failed(error.to_string()))?;
        if response.status() != 200 {
            return Err(failed(format!("answered {}, and not 200", response.status().as_u16())));
        }
        let body = response.into_body();
        let length = body.content_length().unwrap_or(8 << 10);
        if length > ANSWER_BYTES_MAX {
            return Err(failed(format!("the answer is longer than {ANSWER_BYTES_MAX} bytes")));
        }
        let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(length).unwrap_or(0) + 1));
        body.into_with_config()
            .limit(ANSWER_BYTES_MAX)
            .reader()
            .read_to_end(&mut bytes)
            .map_err(|error| failed(format!("the answer broke off or is too long: {error}")))?;
        Ok(bytes)
    }
}

/// One for each fetch: no connection is kept, and nothing that one tenant trusts is used for another.
fn agent(to: &Destination, authorities: Option<&str>) -> Result<ureq::Agent, FetchError> {
    Ok(settings(to, authorities)?.build().new_agent())
}

fn settings(
    to: &Destination,
    authorities: Option<&str>,
) -> Result<ureq::config::ConfigBuilder<ureq::typestate::AgentScope>, FetchError> {
    let roots = match authorities {
        _ if !to.is_https() => Vec::new(),
        Some(pem) => tls::certificates(pem.as_bytes()).ok_or(FetchError::NoAuthority)?,
        None => tls::of_system(),
    };
    Ok(ureq::Agent::config_builder()
        .https_only(to.is_https())
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .max_response_header_size(HEADER_BYTES_MAX)
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_global(Some(FETCH_TIMEOUT))
        .user_agent(concat!("strongroom/", env!("CARGO_PKG_VERSION")))
        .tls_config(tls::trusting(&roots).build()))
}

/// Whether a text has certificates in PEM form.
pub fn has_authorities(pem: &str) -> bool {
    tls::certificates(pem.as_bytes()).is_some()
}

/// A URL in an error: bounded, and without what may be a secret in it.
fn shown(url: &str) -> String {
    let plain: String = url.split(['?', '#']).next().unwrap_or("").chars().filter(|c| !c.is_control()).take(200).collect();
    match plain.rsplit_once('@') {
        Some((_, rest)) => format!("..@{rest}"),
        None => plain,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    async fn answer(mut to: TcpStream) {
        let mut head = [0; 1024];
        assert!(to.read(&mut head).await.unwrap() > 0);
        to.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}").await.unwrap();
    }

    #[tokio::test]
    async fn so_many_servers_are_asked_at_a_time_and_one_more_waits() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let outbound = Arc::new(Outbound::new(&[], true));
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let fetch = || {
            let (outbound, to) = (Arc::clone(&outbound), outbound.check(&url).unwrap());
            tokio::spawn(async move { outbound.fetch(&to, None, Ask::Get).await })
        };
        let mut fetches: Vec<_> = (0..=FETCHES_MAX).map(|_| fetch()).collect();
        let mut asked = Vec::new();
        for _ in 0..FETCHES_MAX {
            asked.push(listener.accept().await.unwrap().0);
        }
        let next = tokio::time::timeout(Duration::from_millis(300), listener.accept()).await;
        assert!(next.is_err(), "more than {FETCHES_MAX} are asked at a time");
        answer(asked.pop().unwrap()).await;
        asked.push(listener.accept().await.unwrap().0);
        for connection in asked {
            answer(connection).await;
        }
        for fetch in fetches.drain(..) {
            assert_eq!(&**fetch.await.unwrap().unwrap(), b"{}");
        }
    }

    /// No place becomes free, and the clock runs ahead.
    #[tokio::test(start_paused = true)]
    async fn who_waits_longer_than_a_fetch_may_take_is_refused() {
        let outbound = Outbound::new(&[], true);
        let to = outbound.check("http://127.0.0.1:1/").unwrap();
        let places = u32::try_from(FETCHES_MAX).unwrap();
        let others = Arc::clone(&outbound.places).try_acquire_many_owned(places).unwrap();
        assert!(matches!(outbound.fetch(&to, None, Ask::Get).await, Err(FetchError::Later(_))));
        drop(others);
        // Nobody is there, but somebody was asked.
        assert!(matches!(outbound.fetch(&to, None, Ask::Get).await, Err(FetchError::Failed(_))));
    }
}
