//! From the bytes of a request to a route: after this nobody looks at a URL again.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::wrapping;
use crate::answer::Refusal;
use crate::auth::Origin;
use crate::cert::Presented;
use crate::engine::table::Verb;
use crate::fields::Query;
use crate::path::Path;
use crate::secret::{SecretBytes, SecretText};
use crate::spans::Recording;

/// The headers of a request.
pub trait Headers: Send + Sync {
    /// All values of the header of this name (lower case), in their order.
    fn values(&self, name: &str) -> Vec<&[u8]>;
}

/// A request that came without any.
pub struct NoHeaders;

impl Headers for NoHeaders {
    fn values(&self, _name: &str) -> Vec<&[u8]> {
        Vec::new()
    }
}

/// A request as the HTTP side hands it over.
pub struct Incoming {
    /// The request id, a UUID.
    pub id: Arc<str>,
    /// The HTTP method.
    pub method: String,
    /// The raw path behind `/v1/`.
    pub path: String,
    /// The raw query string.
    pub query: String,
    /// `X-Vault-Namespace`.
    pub namespace: Option<String>,
    /// Who the client says it is.
    pub credential: Credential,
    /// `X-Vault-Wrap-TTL`.
    pub wrap_ttl: Option<String>,
    /// Whether `X-Strongroom-Receipt` asks where the event stands in the log.
    pub receipt: bool,
    /// `X-Vault-MFA`, as often as it was sent.
    pub passcodes: Vec<SecretText>,
    /// `If-None-Match`.
    pub if_none_match: Option<String>,
    /// `Content-Type`.
    pub content_type: Option<String>,
    /// All headers, for tenants that want some of them in their log.
    pub headers: Box<dyn Headers>,
    /// The body.
    pub body: Body,
    /// Where the connection comes from.
    pub remote: SocketAddr,
    /// The client certificate whose key the connection proved.
    pub certificate: Option<Arc<Presented>>,
    /// What it spends its time on, if it is traced.
    pub spans: Option<Arc<Recording>>,
}

impl Incoming {
    /// The connection that it came on.
    pub fn origin(&self) -> Origin {
        Origin { address: self.remote.ip(), presented: self.certificate.clone() }
    }
}

/// A request's credential.
pub enum Credential {
    /// There is none.
    None,
    /// A token.
    Token(SecretText),
    /// No token in any form, on a connection with a client certificate.
    Certificate {
        /// What was shown.
        presented: Arc<Presented>,
        /// Which role of the namespace's cert auth it is to be judged by, if that was said.
        role: Option<String>,
    },
    /// Headers that contradict or repeat each other; the text says which.
    Conflicting(&'static str),
}

/// A request's body, read up to the limit.
pub enum Body {
    /// All of it.
    Whole(SecretBytes),
    /// It is longer than the limit.
    TooLarge,
}

impl Body {
    /// The bytes; none of a body that is too large, whose route is refused anyway.
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Whole(bytes) => bytes.expose(),
            Self::TooLarge => &[],
        }
    }
}

/// What is asked for, in canonical form.
pub struct Route {
    /// What is to be done.
    pub verb: Verb,
    /// The namespace of the header, as segments joined by slashes; empty for the root.
    pub namespace: Path,
    /// The path behind `/v1/`; it may begin with more namespaces.
    pub path: Path,
    /// The query string.
    pub query: Query,
    /// How long the answer is to be put away; `None` when it is not.
    pub wrap_ttl: Option<Duration>,
    /// Explain the path instead of doing anything (`GET` with `help=1`).
    pub help: bool,
}

impl Route {
    /// Checks limits and form. What is not canonical is refused, never mended.
    pub fn parse(incoming: &Incoming) -> Result<Self, Refusal> {
        if let Credential::Conflicting(text) = incoming.credential {
            return Err(Refusal::invalid(text));
        }
        if matches!(incoming.body, Body::TooLarge) {
            return Err(Refusal::TooLarge);
        }
        let path = Path::from_url(&incoming.path).map_err(|error| Refusal::invalid(error.to_string()))?;
        let query = Query::parse(&incoming.query)?;
        let verb = verb(&incoming.method, &query)?;
        let namespace = namespace(incoming.namespace.as_deref().unwrap_or(""))?;
        let wrap_ttl = wrapping::ttl(incoming.wrap_ttl.as_deref())?;
        let help = incoming.method == "GET" && query.flag("help");
        Ok(Self { verb, namespace, path, query, wrap_ttl, help })
    }
}

fn verb(method: &str, query: &Query) -> Result<Verb, Refusal> {
    Ok(match method {
        "GET" if query.flag("list") => Verb::List,
        "GET" if query.flag("scan") => Verb::Scan,
        "GET" => Verb::Read,
        "LIST" => Verb::List,
        "SCAN" => Verb::Scan,
        "PUT" | "POST" => Verb::Write,
        "PATCH" => Verb::Patch,
        "DELETE" => Verb::Delete,
        _ => return Err(Refusal::UnsupportedOperation),
    })
}

/// `X-Vault-Namespace`: slashes at either end are allowed; `root` and `/` are the root.
fn namespace(header: &str) -> Result<Path, Refusal> {
    let trimmed = header.trim().trim_matches('/');
    if trimmed.is_empty() || trimmed == "root" {
        return Ok(Path::default());
    }
    Path::new(trimmed).map_err(|error| Refusal::invalid(format!("X-Vault-Namespace: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn incoming(method: &str, path: &str, query: &str, namespace: Option<&str>) -> Incoming {
        Incoming {
            id: "id".into(),
            method: method.into(),
            path: path.into(),
            query: query.into(),
            namespace: namespace.map(str::to_owned),
            credential: Credential::None,
            wrap_ttl: None,
            receipt: false,
            passcodes: Vec::new(),
            if_none_match: None,
            content_type: None,
            headers: Box::new(NoHeaders),
            body: Body::Whole(SecretBytes::new(Vec::new())),
            remote: ([127, 0, 0, 1], 1).into(),
            certificate: None,
            spans: None,
        }
    }

    #[test]
    fn verbs_are_told_apart() {
        for (method, query, verb) in [
            ("GET", "", Verb::Read),
            ("GET", "list=true", Verb::List),
            ("GET", "list=1", Verb::List),
            ("GET", "list=True", Verb::List),
            ("GET", "list=yes", Verb::Read),
            ("GET", "scan=true", Verb::Scan),
            ("LIST", "", Verb::List),
            ("SCAN", "", Verb::Scan),
            ("PUT", "", Verb::Write),
            ("POST", "list=true", Verb::Write),
            ("PATCH", "", Verb::Patch),
            ("DELETE", "", Verb::Delete),
        ] {
            let route = Route::parse(&incoming(method, "a/b", query, None)).unwrap_or_else(|_| panic!("{method}"));
            assert_eq!(route.verb, verb, "{method} {query}");
        }
        assert!(matches!(Route::parse(&incoming("HEAD", "a", "", None)), Err(Refusal::UnsupportedOperation)));
    }

    #[test]
    fn namespaces_take_slashes_at_their_ends() {
        for (header, expected) in [("a/b", "a/b"), ("/a/b/", "a/b"), ("/", ""), ("root", ""), ("", "")] {
            let route = Route::parse(&incoming("GET", "x", "", Some(header))).unwrap_or_else(|_| panic!("{header}"));
            assert_eq!(route.namespace.as_str(), expected);
        }
        assert!(matches!(Route::parse(&incoming("GET", "x", "", Some("a//b"))), Err(Refusal::Invalid(_))));
        assert!(matches!(Route::parse(&incoming("GET", "x", "", Some("../b"))), Err(Refusal::Invalid(_))));
    }

    #[test]
    fn what_is_not_canonical_is_refused() {
        for path in ["a//b", "/a", "a/../b", "a%2fb", "a%00"] {
            assert!(matches!(Route::parse(&incoming("GET", path, "", None)), Err(Refusal::Invalid(_))), "{path}");
        }
    }
}
