//! Requests that a browser sends for a page of another origin. Those of origins that are not allowed are refused before
//! anything is done; the others carry the headers that let the page read the answer.

use hyper::Method;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderValue, VARY,
};

use super::reply::{self, Reply};
use crate::answer::Refusal;
use crate::commit::Committer;
use crate::sys::cors::{self, CorsConfig};

/// What a page may use.
const METHODS: &str = "DELETE,GET,OPTIONS,POST,PUT,PATCH,LIST,SCAN";
/// How long a browser may remember what it may do, in seconds.
const MAX_AGE_SECONDS: &str = "300";

/// What CORS says of a request.
pub(super) enum Verdict {
    /// It has no origin, or CORS is off: it is answered as if there were no browsers.
    Unconcerned,
    /// It is refused, or was only a question whether it may be sent.
    Answered(Reply),
    /// It is served, and its answer gets these headers.
    Allowed(HeaderMap),
}

/// Judges a request that names its `origin`, by its method and headers.
pub(super) async fn judge(committer: &Committer, method: &Method, headers: &HeaderMap, origin: &HeaderValue) -> Verdict {
    let config = match cors::in_force(committer).await {
        Ok(Some(config)) => config,
        Ok(None) => return Verdict::Unconcerned,
        Err(refusal) => return Verdict::Answered(reply::refuse(&refusal)),
    };
    if !origin.to_str().is_ok_and(|origin| config.allows(origin)) {
        return Verdict::Answered(reply::refuse(&Refusal::Forbidden("origin not allowed".into())));
    }
    let allowed = allowance(&config, origin);
    if method != Method::OPTIONS {
        return Verdict::Allowed(allowed);
    }
    let wanted = headers.get(ACCESS_CONTROL_REQUEST_METHOD).and_then(|method| method.to_str().ok()).unwrap_or_default();
    let known = METHODS.split(',').any(|method| method == wanted);
    let mut answer = reply::respond(if known { 200 } else { 405 }, None);
    if known {
        answer.headers_mut().extend(allowed);
        answer.headers_mut().extend(preflight(&config));
    }
    Verdict::Answered(answer)
}

/// What every answer to an allowed page carries.
fn allowance(config: &CorsConfig, origin: &HeaderValue) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    headers.insert(VARY, HeaderValue::from_static("Origin"));
    if config.credentials {
        headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
    headers
}

/// What the answer to a preflight carries besides.
fn preflight(config: &CorsConfig) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE_SECONDS));
    if let Ok(names) = HeaderValue::from_str(&config.headers.join(",")) {
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, names);
    }
    headers
}
