//! The older paths of ceremonies, which need no token: whoever reaches the port could give up what others have begun. So a
//! listener offers them only when its configuration says so, and answers 405 otherwise, as OpenBao does.

use hyper::Method;

use super::reply::{self, Reply};
use crate::answer::Refusal;
use crate::engine::table::Verb;
use crate::fields::Fields;
use crate::json::Json;
use crate::request::Body;
use crate::sys::barrier::Barrier;
use crate::sys::ceremonies::unauthenticated;

/// Which of them a listener offers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unauthenticated {
    /// `sys/rekey/*` and `sys/rekey-recovery-key/*`
    pub rekey: bool,
    /// `sys/generate-root/*`
    pub generate_root: bool,
    /// `sys/metrics`, which is no ceremony, and is offered without a token in the same way.
    pub metrics: bool,
}

/// The paths behind `/v1/` that are answered here and nowhere else.
pub(super) const PATHS: [&str; 8] = [
    "sys/rekey/init",
    "sys/rekey/update",
    "sys/rekey/verify",
    "sys/rekey-recovery-key/init",
    "sys/rekey-recovery-key/update",
    "sys/rekey-recovery-key/verify",
    "sys/generate-root/attempt",
    "sys/generate-root/update",
];

impl Unauthenticated {
    fn offers(self, path: &str) -> bool {
        if path.starts_with("sys/rekey") { self.rekey } else { self.generate_root }
    }

    /// Answers a request for one of `PATHS`.
    pub(super) async fn serve(self, barrier: &Barrier, path: &str, method: &Method, body: &Body) -> Reply {
        if !self.offers(path) {
            // Without the frame that the pipeline gives this text: clients know this answer so.
            let refusal = Json::object(|o| {
                o.strings("errors", &["unsupported operation"]);
            });
            return reply::respond(405, Some(refusal));
        }
        match step(barrier, path, method, body).await {
            Ok(json) => reply::respond(if json.is_some() { 200 } else { 204 }, json),
            Err(refusal) => reply::refuse(&refusal),
        }
    }
}

async fn step(barrier: &Barrier, path: &str, method: &Method, body: &Body) -> Result<Option<Json>, Refusal> {
    let Body::Whole(body) = body else { return Err(Refusal::TooLarge) };
    let verb = match *method {
        Method::GET => Verb::Read,
        Method::POST | Method::PUT => Verb::Write,
        Method::DELETE => Verb::Delete,
        _ => return Err(Refusal::UnsupportedOperation),
    };
    let fields = if verb == Verb::Write { Fields::parse(body.expose(), None)? } else { Fields::empty() };
    let step = unauthenticated(path, verb, &fields).ok_or(Refusal::UnsupportedOperation)??;
    barrier.ceremony(step).await.map_err(crate::sys::barrier::BarrierError::refusal)
}
