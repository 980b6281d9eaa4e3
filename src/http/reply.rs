//! The one place that knows headers and statuses of answers, and the texts of refusals.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, RETRY_AFTER, STRICT_TRANSPORT_SECURITY};

use crate::answer::{Answer, Data, Refusal};
use crate::json::Json;
use crate::quota::Taken;
use crate::request::Rate;
use crate::secret::SecretBytes;

/// The standing reference of what was written, where the answer has no body that could hold it.
static REFERENCE: HeaderName = HeaderName::from_static("x-strongroom-reference");

/// Of the rate limit that holds for a request: its rate, what is left, and in how many seconds all of it is there again.
static RATE_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
static RATE_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
static RATE_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// What we send.
pub(super) type Reply = Response<Full<Bytes>>;

/// The reply to a request that went through the pipeline.
pub(super) fn reply(outcome: Result<Answer, Refusal>, request_id: &str) -> Reply {
    match outcome {
        Ok(answer) => success(answer, request_id),
        Err(refusal) => refuse(&refusal),
    }
}

fn success(answer: Answer, request_id: &str) -> Reply {
    let status = answer.status();
    if let Answer::Text { content_type, text } = answer {
        let mut reply = with_body(status, Bytes::from(text));
        reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        return reply;
    }
    let header = match &answer {
        Answer::Written { reference } => Some((REFERENCE.clone(), HeaderValue::from_str(reference))),
        Answer::Unchanged { etag } | Answer::Data(Data { etag: Some(etag), .. }) if !etag.is_empty() => {
            Some((ETAG, HeaderValue::from_str(&format!("\"{etag}\""))))
        }
        _ => None,
    };
    let mut reply = respond(status, answer.into_body(request_id));
    if let Some((name, Ok(value))) = header {
        reply.headers_mut().insert(name, value);
    }
    reply
}

/// Says what to do, too: nothing in the namespace is answered until somebody does it.
const ROLLED_BACK: &str = "namespace is sealed: rolled back. The store has less of its history than was signed. Put back the newer \
    state; or give up what is missing: `strongroom audit accept-rollback NAME` in the namespace above";

/// The reply to a refused request: status and `{"errors": [...]}`. Texts are those that clients match on.
pub(super) fn refuse(refusal: &Refusal) -> Reply {
    let multiple = |text: &str| Some(format!("1 error occurred:\n\t* {text}\n\n"));
    let text = match refusal {
        Refusal::MissingSilently => return respond(refusal.status(), None),
        Refusal::NotFound => None,
        Refusal::Invalid(text)
        | Refusal::Forbidden(text)
        | Refusal::Missing(text)
        | Refusal::UnsupportedMedia(text)
        | Refusal::TooMany(text)
        | Refusal::Unavailable(text) => Some(text.clone()),
        Refusal::NoToken => Some("permission denied".to_owned()),
        Refusal::Denied => multiple("permission denied"),
        Refusal::NoMount(path) => Some(format!("no handler for route \"{path}\". route entry not found.")),
        Refusal::UnsupportedPath => multiple("unsupported path"),
        Refusal::UnsupportedOperation => multiple("unsupported operation"),
        Refusal::Behind => Some("required index state not present".to_owned()),
        Refusal::TooLarge => Some("the request body is larger than max_request_size".to_owned()),
        Refusal::Internal(text) => multiple(text),
        Refusal::Sealed => Some("Vault is sealed".to_owned()),
        Refusal::NamespaceSealed => Some("namespace is sealed".to_owned()),
        Refusal::RolledBack => Some(ROLLED_BACK.to_owned()),
        Refusal::Locked(path) => Some(format!(
            "API access to this namespace has been locked by an administrator - {path:?} must be unlocked to gain access."
        )),
    };
    let errors: Vec<String> = text.into_iter().collect();
    let mut reply = respond(
        refusal.status(),
        Some(Json::object(|o| {
            o.strings("errors", &errors);
        })),
    );
    if matches!(refusal, Refusal::Unavailable(_) | Refusal::TooMany(_)) {
        reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    reply
}

/// How a request stands to its rate limit: when to come back, and what is left, if answers are to say so.
pub(super) fn tell_rate(reply: &mut Reply, rate: &Rate) {
    // Rounded up: who comes back then must not come too early.
    let seconds = |time: Duration| HeaderValue::from(time.as_secs() + u64::from(time.subsec_nanos() > 0));
    let Taken { limit, remaining, reset, refused } = &rate.taken;
    let headers = reply.headers_mut();
    if rate.shown {
        headers.insert(&RATE_LIMIT, (*limit).into());
        headers.insert(&RATE_REMAINING, (*remaining).into());
        headers.insert(&RATE_RESET, seconds(*reset));
    }
    if let Some(refused) = refused {
        headers.insert(RETRY_AFTER, seconds(refused.retry_after.max(Duration::from_secs(1))));
    }
}

/// What all replies over TLS have besides; over plain HTTP it must not be sent (RFC 6797 section 7.2).
pub(super) fn demand_tls(reply: &mut Reply) {
    let value = HeaderValue::from_static("max-age=31536000; includeSubDomains");
    reply.headers_mut().insert(STRICT_TRANSPORT_SECURITY, value);
}

/// A reply with the headers that all have. The body's buffer is wiped when it has been sent.
pub(super) fn respond(status: u16, body: Option<Json>) -> Reply {
    with_body(status, body.map_or_else(Bytes::new, |json| Bytes::from_owner(Owned(json.into_secret()))))
}

fn with_body(status: u16, body: Bytes) -> Reply {
    let mut reply = Response::new(Full::new(body));
    *reply.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or(hyper::StatusCode::INTERNAL_SERVER_ERROR);
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}

struct Owned(SecretBytes);

impl AsRef<[u8]> for Owned {
    fn as_ref(&self) -> &[u8] {
        self.0.expose()
    }
}
