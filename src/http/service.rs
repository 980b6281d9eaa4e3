//! From an HTTP request to the pipeline, and back. What must work while the server is sealed goes to `bare` instead.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body as _, Incoming as HyperBody};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, IF_NONE_MATCH, ORIGIN};
use hyper::{Method, Request};

use super::accept::Connection;
use super::bare;
use super::ceremonies::{self, Unauthenticated};
use super::cors::{self, Verdict};
use super::reply::{self, Reply};
use crate::answer::{Answer, Refusal};
use crate::cert::Presented;
use crate::crypto;
use crate::metrics;
use crate::request::{self, Body, Credential, Errand, Incoming, Outcome, Shared};
use crate::secret::{SecretBytes, SecretText};
use crate::spans::{Parent, Recording, Traced, Tracer};
use crate::sys::barrier::{Barrier, BarrierError};
use crate::sys::process::Process;
use crate::time::Timestamp;

/// The longest body of the routes that work while the server is sealed, in bytes: a few shares, and nothing else.
const BARE_BODY_MAX: usize = 64 << 10;

static NAMESPACE: HeaderName = HeaderName::from_static("x-vault-namespace");
static TOKEN: HeaderName = HeaderName::from_static("x-vault-token");
/// Which role of the namespace's cert auth a request without a token is to be judged as.
static ROLE: HeaderName = HeaderName::from_static("x-strongroom-role");
static MFA: HeaderName = HeaderName::from_static("x-vault-mfa");
/// Asks with `1` where the request's event stands in the audit log; the answer's has it.
static RECEIPT: HeaderName = HeaderName::from_static("x-strongroom-receipt");
/// The caller's span (W3C Trace Context): where requests are traced, theirs goes on.
static TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");
static WRAP_TTL: HeaderName = HeaderName::from_static("x-vault-wrap-ttl");

/// What serves the requests of one listener.
pub struct Service {
    barrier: Arc<Barrier>,
    shared: Arc<Shared>,
    process: Arc<Process>,
    tracer: Option<Arc<Tracer>>,
    bare: axum::Router,
    unauthenticated: Unauthenticated,
    request_bytes_max: usize,
    request_duration_max: Duration,
}

impl Service {
    /// `tracer` records requests, if a collector wants that; `unauthenticated` are the older paths that need no token; `request_bytes_max` bounds bodies, `request_duration_max` the time that one request may take.
    pub fn new(
        (barrier, shared, process): (Arc<Barrier>, Arc<Shared>, Arc<Process>),
        tracer: Option<Arc<Tracer>>,
        unauthenticated: Unauthenticated,
        request_bytes_max: usize,
        request_duration_max: Duration,
    ) -> Self {
        let bare = bare::router(Arc::clone(&barrier));
        Self { barrier, shared, process, tracer, bare, unauthenticated, request_bytes_max, request_duration_max }
    }

    /// Serves one request. A panic costs this request only.
    pub async fn serve(self: Arc<Self>, connection: Arc<Connection>, request: Request<HyperBody>) -> Reply {
        // On the heap, where it stays: what is moved on the way to the connection's task is small.
        let served = std::panic::AssertUnwindSafe(Box::pin(self.route(&connection, request))).catch_unwind();
        let mut reply = match tokio::time::timeout(self.request_duration_max, served).await {
            Ok(Ok(reply)) => reply,
            Ok(Err(_panic)) => {
                metrics::panicked();
                reply::refuse(&Refusal::panicked())
            }
            Err(_elapsed) => {
                reply::refuse(&Refusal::Unavailable("the request took too long; it may or may not have been done".into()))
            }
        };
        if connection.encrypted {
            reply::demand_tls(&mut reply);
        }
        reply
    }

    async fn route(&self, connection: &Connection, request: Request<HyperBody>) -> Reply {
        match self.judge(&request).await {
            Verdict::Unconcerned => self.serve_path(connection, request).await,
            Verdict::Answered(reply) => reply,
            Verdict::Allowed(headers) => {
                let mut reply = self.serve_path(connection, request).await;
                reply.headers_mut().extend(headers);
                reply
            }
        }
    }

    /// What CORS says: of a request without an origin, as nearly all are, at once and without the open server.
    async fn judge(&self, request: &Request<HyperBody>) -> Verdict {
        let Some(origin) = request.headers().get(ORIGIN) else { return Verdict::Unconcerned };
        let Some(open) = self.barrier.open() else { return Verdict::Unconcerned };
        cors::judge(open.committer(), request.method(), request.headers(), origin).await
    }

    async fn serve_path(&self, connection: &Connection, request: Request<HyperBody>) -> Reply {
        let Some(path) = request.uri().path().strip_prefix("/v1/") else {
            return reply::refuse(&Refusal::NoMount(String::new()));
        };
        if self.unauthenticated.metrics && path == "sys/metrics" {
            return self.show_metrics(request.method());
        }
        if bare::ROUTES.contains(&path) {
            return bare::serve(self.bare.clone(), request, BARE_BODY_MAX).await;
        }
        if ceremonies::PATHS.contains(&path) {
            let (path, method) = (path.to_owned(), request.method().clone());
            let body = whole_body(request.into_body(), BARE_BODY_MAX).await;
            return Box::pin(self.unauthenticated.serve(&self.barrier, &path, &method, &body)).await;
        }
        let Some(open) = self.barrier.open() else { return reply::refuse(&Refusal::Sealed) };
        let path = path.to_owned();
        let namespace = request.headers().get(&NAMESPACE).cloned();
        let traced = self.tracer.as_ref().and_then(|tracer| traced(tracer, connection, &request, self.barrier.clock().now()));
        let spans = traced.as_ref().map(|traced| Arc::clone(traced.recording()));
        let incoming = self.incoming(connection, request, path, spans).await;
        let id = Arc::clone(&incoming.id);
        let (now, since) = (self.barrier.clock().now(), Instant::now());
        let _underway = self.process.begin(&id, now, connection.remote, &incoming.method, &incoming.path);
        let Outcome { mut answer, errand, receipt, rate } = request::handle(open.committer(), &self.shared, incoming).await;
        match errand {
            None => {}
            Some(Errand::Process(operation)) => answer = self.process.answer(operation, open.committer().tenants(), now),
            Some(Errand::AuditLog(reading)) => answer = Box::pin(reading.answer(open.committer().tenants())).await,
            Some(Errand::Seal) => {
                drop(open);
                self.barrier.seal().await;
            }
            Some(Errand::Seals) => {
                answer = Box::pin(self.barrier.seals()).await.map(Answer::data).map_err(BarrierError::refusal);
            }
            Some(Errand::Ceremony(step)) => {
                let done = Box::pin(self.barrier.ceremony(step)).await.map_err(BarrierError::refusal);
                answer = done.map(|json| json.map_or(Answer::Empty, Answer::data));
            }
        }
        let mut reply = reply::reply(answer, &id);
        metrics::answered(reply.status().as_u16(), since.elapsed());
        if let Some(traced) = traced {
            traced.answered(reply.status().as_u16(), Arc::clone(&id));
        }
        if let Some(Ok(receipt)) = receipt.map(|receipt| HeaderValue::try_from(receipt.to_string())) {
            reply.headers_mut().insert(&RECEIPT, receipt);
        }
        if let Some(rate) = rate {
            reply::tell_rate(&mut reply, &rate);
        }
        if let Some(namespace) = namespace {
            reply.headers_mut().insert(&NAMESPACE, namespace);
        }
        reply
    }

    /// For whoever reaches the listener, also while the server is sealed; like all that works then, without an audit event.
    fn show_metrics(&self, method: &Method) -> Reply {
        if *method != Method::GET {
            return reply::refuse(&Refusal::UnsupportedOperation);
        }
        let tenants = self.barrier.open().map(|open| open.committer().tenants().count());
        reply::reply(self.process.metrics(tenants), "")
    }

    async fn incoming(
        &self,
        connection: &Connection,
        request: Request<HyperBody>,
        path: String,
        spans: Option<Arc<Recording>>,
    ) -> Incoming {
        let (head, body) = request.into_parts();
        let text = |name: &HeaderName| head.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        Incoming {
            id: crate::random::uuid().into(),
            method: head.method.as_str().to_owned(),
            path,
            query: head.uri.query().unwrap_or("").to_owned(),
            namespace: text(&NAMESPACE),
            credential: credential(&head.headers, connection.certificate.as_ref()),
            // One that is no text must be refused, and not be taken for none.
            wrap_ttl: head.headers.get(&WRAP_TTL).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()),
            receipt: head.headers.get(&RECEIPT).is_some_and(|value| value == "1"),
            passcodes: passcodes(&head.headers),
            if_none_match: text(&IF_NONE_MATCH),
            content_type: text(&CONTENT_TYPE),
            headers: Box::new(Received(head.headers)),
            body: whole_body(body, self.request_bytes_max).await,
            remote: connection.remote,
            certificate: connection.certificate.clone(),
            spans,
        }
    }
}

/// `None` of a request that is not recorded. A header that is there twice says nothing.
fn traced(tracer: &Arc<Tracer>, connection: &Connection, request: &Request<HyperBody>, now: Timestamp) -> Option<Traced> {
    let mut headers = request.headers().get_all(&TRACE_PARENT).iter();
    let parent = match (headers.next(), headers.next()) {
        (Some(one), None) => one.to_str().ok().and_then(Parent::parse),
        _ => None,
    };
    tracer.begin(parent, request.method().as_str(), connection.encrypted, now)
}

struct Received(HeaderMap);

impl request::Headers for Received {
    fn values(&self, name: &str) -> Vec<&[u8]> {
        self.0.get_all(name).iter().map(HeaderValue::as_bytes).collect()
    }
}

/// `X-Vault-MFA`. One that is no text is right for nothing, and not taken for none.
fn passcodes(headers: &HeaderMap) -> Vec<SecretText> {
    let text = |value: &HeaderValue| SecretText::new(String::from_utf8_lossy(value.as_bytes()).into_owned());
    headers.get_all(&MFA).iter().map(text).collect()
}

/// `X-Vault-Token` or `Authorization: Bearer`. Both are fine when they say the same. The certificate of the connection
/// counts only where there is neither, not even one that says nothing.
fn credential(headers: &HeaderMap, certificate: Option<&Arc<Presented>>) -> Credential {
    for (name, text) in [
        (&TOKEN, "X-Vault-Token is given twice"),
        (&AUTHORIZATION, "Authorization is given twice"),
        (&ROLE, "X-Strongroom-Role is given twice"),
    ] {
        if headers.get_all(name).iter().nth(1).is_some() {
            return Credential::Conflicting(text);
        }
    }
    if headers.get_all(&NAMESPACE).iter().nth(1).is_some() {
        return Credential::Conflicting("X-Vault-Namespace is given twice");
    }
    let token = headers.get(&TOKEN).map(HeaderValue::as_bytes).filter(|token| !token.is_empty());
    let bearer = headers.get(AUTHORIZATION).and_then(|value| bearer(value.as_bytes()));
    match (token, bearer) {
        (Some(token), Some(bearer)) if !crypto::equal(token, bearer) => {
            Credential::Conflicting("X-Vault-Token and Authorization carry different tokens")
        }
        (Some(token), _) | (None, Some(token)) => match std::str::from_utf8(token) {
            Ok(token) => Credential::Token(SecretText::new(token.to_owned())),
            Err(_) => Credential::None,
        },
        (None, None) => by_certificate(headers, certificate),
    }
}

/// Whoever holds the certificate's key must have meant this very request. A browser shows it to requests that a page of
/// another origin makes, and a proxy shows its own for everybody behind it.
fn by_certificate(headers: &HeaderMap, certificate: Option<&Arc<Presented>>) -> Credential {
    let Some(presented) = certificate else { return Credential::None };
    let doubtful = [TOKEN.as_str(), "authorization", "origin", "sec-fetch-site", "forwarded", "x-forwarded-for", "via"];
    if doubtful.into_iter().any(|name| headers.contains_key(name)) {
        return Credential::None;
    }
    let role = match headers.get(&ROLE).map(HeaderValue::to_str) {
        None => None,
        Some(Ok(role)) => Some(role.to_owned()),
        Some(Err(_)) => return Credential::None,
    };
    Credential::Certificate { presented: Arc::clone(presented), role }
}

/// RFC 6750 section 2.1; the scheme's name has no case (RFC 9110 section 11.1).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii()).filter(|token| !token.is_empty())
}

/// Reads a body up to `limit` bytes, into one buffer that wipes itself.
pub(super) async fn whole_body(body: HyperBody, limit: usize) -> Body {
    let announced = body.size_hint().lower();
    if announced > limit as u64 {
        return Body::TooLarge;
    }
    // One chunk is the rule; the announced length is within the limit.
    let mut bytes = SecretBytes::with_capacity(usize::try_from(announced).unwrap_or(0));
    let mut body = Limited::new(body, limit);
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return Body::TooLarge };
        if let Ok(data) = frame.into_data() {
            bytes.append(&data);
        }
    }
    Body::Whole(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cert;
    use crate::cert::testing::Authority;

    fn headers(list: &[(&HeaderName, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in list {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn one_credential_counts_and_two_that_differ_are_refused() {
        let token = |list: &[(&HeaderName, &str)]| match credential(&headers(list), None) {
            Credential::None | Credential::Certificate { .. } => "none".to_owned(),
            Credential::Token(token) => token.expose().to_owned(),
            Credential::Conflicting(text) => format!("conflict: {text}"),
        };
        assert_eq!(token(&[]), "none");
        assert_eq!(token(&[(&TOKEN, "s.a")]), "s.a");
        assert_eq!(token(&[(&AUTHORIZATION, "Bearer s.b")]), "s.b");
        assert_eq!(token(&[(&AUTHORIZATION, "bearer  s.b ")]), "s.b");
        assert_eq!(token(&[(&AUTHORIZATION, "Basic abc")]), "none");
        assert_eq!(token(&[(&TOKEN, "s.a"), (&AUTHORIZATION, "Bearer s.a")]), "s.a");
        assert!(token(&[(&TOKEN, "s.a"), (&AUTHORIZATION, "Bearer s.b")]).starts_with("conflict"));
        assert!(token(&[(&TOKEN, "s.a"), (&TOKEN, "s.a")]).starts_with("conflict"));
        assert!(token(&[(&NAMESPACE, "a"), (&NAMESPACE, "b")]).starts_with("conflict"));
    }

    #[test]
    fn a_certificate_counts_only_where_nothing_else_was_sent_and_nobody_stands_between() {
        let presented = Presented::new(&[cert::der(&Authority::new("CA").pem())]).map(Arc::new);
        let counts = |list: &[(&str, &str)]| {
            let names: Vec<_> = list.iter().map(|(name, value)| (name.parse::<HeaderName>().unwrap(), *value)).collect();
            let list: Vec<_> = names.iter().map(|(name, value)| (name, *value)).collect();
            matches!(credential(&headers(&list), presented.as_ref()), Credential::Certificate { .. })
        };
        assert!(counts(&[]) && counts(&[("x-strongroom-role", "web"), ("x-vault-namespace", "a"), ("user-agent", "bao")]));
        for (name, value) in [
            ("x-vault-token", "s.a"),
            ("x-vault-token", ""),
            ("authorization", "Bearer s.a"),
            ("authorization", "Basic YQ=="),
            ("authorization", ""),
            ("origin", "https://example.com"),
            ("origin", "null"),
            ("sec-fetch-site", "same-origin"),
            ("forwarded", "for=192.0.2.1"),
            ("x-forwarded-for", "192.0.2.1"),
            ("via", "1.1 proxy"),
        ] {
            assert!(!counts(&[(name, value)]), "{name}: {value}");
        }
        assert!(matches!(credential(&headers(&[]), None), Credential::None));
        let twice = [(&ROLE, "a"), (&ROLE, "b")];
        assert!(matches!(credential(&headers(&twice), presented.as_ref()), Credential::Conflicting(_)));
    }
}
