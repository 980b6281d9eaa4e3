//! The one place that knows the envelope of answers and the texts of refusals.

use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER, STRICT_TRANSPORT_SECURITY};
use zeroize::Zeroizing;

use crate::answer::{Answer, Data, Refusal};
use crate::json::{Json, Object};

/// About as long as an envelope without its content.
const ENVELOPE_BYTES: usize = 320;

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
    let body = match answer {
        Answer::Empty => None,
        Answer::Bare { body, .. } => Some(body),
        Answer::Data(data) => Some(envelope(request_id, &data, None)),
        Answer::Auth { auth, warnings } => Some(envelope(request_id, &Data { warnings, ..Data::new(None) }, Some(&auth))),
    };
    respond(status, body)
}

/// The eight keys that every answer has, `mount_type`, and `data`'s own keys besides where `sys/*` repeats them.
fn envelope(request_id: &str, data: &Data, auth: Option<&Json>) -> Json {
    let content = data.data.as_ref().or(auth).map_or(0, |json| json.expose().len());
    let bytes = ENVELOPE_BYTES + if data.doubled { 2 * content } else { content };
    Json::object_of(bytes, |o| {
        if data.doubled {
            data.data.as_ref().into_iter().for_each(|json| {
                o.splice(json);
            });
        }
        o.field("request_id", request_id).field("lease_id", "").field("renewable", &false);
        o.field("lease_duration", &data.lease_duration);
        optional(o, "data", data.data.as_ref());
        o.null("wrap_info");
        if data.warnings.is_empty() {
            o.null("warnings")
        } else {
            o.strings("warnings", &data.warnings)
        };
        optional(o, "auth", auth);
        if !data.mount_type.is_empty() {
            o.field("mount_type", data.mount_type);
        }
    })
}

fn optional(object: &mut Object<'_>, name: &str, json: Option<&Json>) {
    match json {
        Some(json) => object.raw(name, json.expose()),
        None => object.null(name),
    };
}

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

/// A reply with the headers that all have. The body's buffer is wiped when it has been sent.
pub(super) fn respond(status: u16, body: Option<Json>) -> Reply {
    let body = body.map_or_else(Bytes::new, |json| Bytes::from_owner(Owned(json.into_inner())));
    let mut reply = Response::new(Full::new(body));
    *reply.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or(hyper::StatusCode::INTERNAL_SERVER_ERROR);
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000; includeSubDomains"));
    reply
}

struct Owned(Zeroizing<Vec<u8>>);

impl AsRef<[u8]> for Owned {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}
