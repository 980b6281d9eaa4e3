//! The routes that work while the server is sealed, or not initialised. They change nothing but the server's own state,
//! need no token, and have no audit event, except that `sys/init` begins the root's log.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Query as AxumQuery, State};
use axum::routing::{any, get};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming as HyperBody;
use hyper::{Method, Request, StatusCode};
use tower_service::Service as _;

use super::reply::{self, Reply};
use crate::answer::Refusal;
use crate::fields::Fields;
use crate::json::Json;
use crate::sys::barrier::{Barrier, BarrierError, InitRequest};

/// Their paths behind `/v1/`.
pub(super) const ROUTES: [&str; 5] = ["sys/health", "sys/init", "sys/leader", "sys/seal-status", "sys/unseal"];

pub(super) fn router(barrier: Arc<Barrier>) -> Router {
    Router::new()
        .route("/v1/sys/health", get(health))
        .route("/v1/sys/init", get(is_initialised).post(initialise).put(initialise))
        .route("/v1/sys/leader", get(leader))
        .route("/v1/sys/seal-status", get(seal_status))
        .route("/v1/sys/unseal", any(unseal))
        .method_not_allowed_fallback(async || answered(Err(BareError::Method)))
        .with_state(barrier)
}

/// Reads the body within `limit` bytes, and lets the router answer.
pub(super) async fn serve(mut router: Router, request: Request<HyperBody>, limit: usize) -> Reply {
    let (head, body) = request.into_parts();
    let Ok(body) = http_body_util::Limited::new(body, limit).collect().await else { return reply::refuse(&Refusal::TooLarge) };
    let request = Request::from_parts(head, Body::from(body.to_bytes()));
    let Ok(response) = router.call(request).await;
    let (head, body) = response.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    Reply::from_parts(head, Full::new(body))
}

/// Why one of these routes did not do what it was asked.
enum BareError {
    Method,
    Refused(Refusal),
    Barrier(BarrierError),
}

impl From<BarrierError> for BareError {
    fn from(error: BarrierError) -> Self {
        Self::Barrier(error)
    }
}

impl From<Refusal> for BareError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

fn answered(outcome: Result<(u16, Json), BareError>) -> axum::response::Response {
    let reply = match outcome {
        Ok((status, body)) => reply::respond(status, Some(body)),
        Err(BareError::Method) => reply::refuse(&Refusal::UnsupportedOperation),
        Err(BareError::Refused(refusal)) => reply::refuse(&refusal),
        Err(BareError::Barrier(error)) => reply::refuse(&error.refusal()),
    };
    reply.map(Body::new)
}

async fn seal_status(State(barrier): State<Arc<Barrier>>) -> axum::response::Response {
    answered(barrier.status().await.map(|status| (200, status.json())).map_err(BareError::from))
}

async fn leader(State(barrier): State<Arc<Barrier>>) -> axum::response::Response {
    answered(barrier.leader().map(|leader| (200, leader.json())).ok_or_else(|| Refusal::Sealed.into()))
}

/// Codes may be overridden in the query, as load balancers do.
async fn health(
    State(barrier): State<Arc<Barrier>>,
    AxumQuery(query): AxumQuery<Vec<(String, String)>>,
) -> axum::response::Response {
    let code = |name: &str, usual: u16| {
        let wanted = query.iter().find(|(key, _)| key == name).and_then(|(_, value)| value.parse().ok());
        wanted.filter(|code| (200..=599).contains(code)).unwrap_or(usual)
    };
    answered(match barrier.health().await {
        Ok(health) => {
            let status = match (health.initialized, health.sealed) {
                (false, _) => code("uninitcode", 501),
                (true, true) => code("sealedcode", 503),
                (true, false) => code("activecode", 200),
            };
            Ok((status, health.body))
        }
        Err(error) if error.is_outage() => {
            let mut reply = answered(Err(error.into()));
            // A process that waits for its store is alive: who would start it again for that asks for another status.
            let status = code("unavailablecode", reply.status().as_u16());
            *reply.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
            return reply;
        }
        Err(error) => Err(error.into()),
    })
}

async fn is_initialised(State(barrier): State<Arc<Barrier>>) -> axum::response::Response {
    let status = barrier.status().await;
    answered(
        status
            .map(|status| {
                (
                    200,
                    Json::object(|o| {
                        o.field("initialized", &status.initialized);
                    }),
                )
            })
            .map_err(BareError::from),
    )
}

async fn initialise(State(barrier): State<Arc<Barrier>>, body: Bytes) -> axum::response::Response {
    answered(try_initialise(&barrier, &body).await)
}

async fn try_initialise(barrier: &Barrier, body: &[u8]) -> Result<(u16, Json), BareError> {
    let fields = Fields::parse(body, None)?;
    let request = InitRequest::parse(&fields, barrier.opens_itself())?;
    let made = barrier.initialise(&request, None).await?;
    Ok((200, made.json()))
}

async fn unseal(State(barrier): State<Arc<Barrier>>, method: Method, body: Bytes) -> axum::response::Response {
    if method != Method::POST && method != Method::PUT {
        return answered(Err(BareError::Method));
    }
    answered(try_unseal(&barrier, &body).await)
}

async fn try_unseal(barrier: &Barrier, body: &[u8]) -> Result<(u16, Json), BareError> {
    let fields = Fields::parse(body, None)?;
    let migrate = fields.boolean("migrate")?.unwrap_or(false);
    if fields.boolean("reset")?.unwrap_or(false) {
        return Ok((200, barrier.reset_unseal().await?.json()));
    }
    let Some(share) = fields.secret("key")? else {
        return Err(Refusal::invalid("'key' must be specified in request body as JSON, or 'reset' set to true").into());
    };
    Ok((200, barrier.unseal(&share, migrate).await?.json()))
}
