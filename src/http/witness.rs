//! The HTTP of a witness: `POST /add-checkpoint`, and nothing else.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};

use crate::audit::witnessing::REQUEST_BYTES_MAX;
use crate::witness::{Reply, Witness};

/// The longest that a body may take to come.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves one request. A panic costs this request only.
pub async fn serve(witness: Arc<Witness>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    if request.uri().path() != "/add-checkpoint" {
        return respond(404, "there is nothing but /add-checkpoint\n");
    }
    if request.method() != Method::POST {
        return respond(405, "POST a checkpoint\n");
    }
    let body = match tokio::time::timeout(BODY_TIMEOUT, Limited::new(request.into_body(), REQUEST_BYTES_MAX).collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(_)) => return respond(413, "the request is too long, or broke off\n"),
        Err(_) => return respond(408, "the request took too long\n"),
    };
    let done = tokio::task::spawn_blocking(move || witness.add_checkpoint(&body)).await;
    done.map_or_else(|_panic| respond(500, "internal error\n"), |reply| answer(&reply))
}

fn respond(status: u16, text: &str) -> Response<Full<Bytes>> {
    answer(&Reply { status, content_type: "text/plain; charset=utf-8", body: text.to_owned() })
}

fn answer(reply: &Reply) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(reply.body.clone())));
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(reply.content_type));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
