//! The first start of a deployment whose configuration has `initialize` stanzas: it is made, and their requests are done,
//! before anybody else is listened to.

use std::sync::Arc;

use super::AppError;
use crate::answer::Refusal;
use crate::auth::signed::Issuers;
use crate::commit::Committer;
use crate::config::Initialize;
use crate::json::Json;
use crate::outbound::Outbound;
use crate::request::{self, Body, Credential, Incoming, NoHeaders, Shared};
use crate::secret::{SecretBytes, SecretText};
use crate::stanza::LookUp;
use crate::storage::Store;
use crate::sys::barrier::{Barrier, BarrierError, InitRequest};
use crate::tree::Tree;

/// A request with everything that stands elsewhere read.
struct Prepared<'a> {
    from: &'a Initialize,
    data: Option<Json>,
    token: Option<SecretText>,
}

/// Makes the deployment if there is none, and does the requests. True when it was made: the server is open then. The root
/// token is known to nobody, and revoked at the end, whatever happened.
pub(super) async fn run(
    requests: &[Initialize],
    store: &dyn Store,
    barrier: &Barrier,
    look_up: &LookUp<'_>,
) -> Result<bool, AppError> {
    if requests.is_empty() {
        return Ok(false);
    }
    match store.deployment().await {
        Ok(None) => {}
        Ok(Some(_)) => {
            tracing::info!("there is a deployment: the initialize stanzas are not run again");
            return Ok(false);
        }
        // As without the stanzas: the server comes up sealed, and a later start tries again.
        Err(_) => return Ok(false),
    }
    // Before anything is made: a variable that is missing is found while nothing has to be cleared away.
    let prepared = requests.iter().map(|request| prepare(request, look_up)).collect::<Result<Vec<_>, _>>()?;
    let made = match barrier.initialise(&InitRequest { shares: 0, threshold: 0 }, None).await {
        // Another replica was quicker.
        Err(BarrierError::Invalid(_)) => return Ok(false),
        made => made?,
    };
    let open = barrier.open().ok_or_else(|| BarrierError::Failed("sealed while it was initialised".to_owned()))?;
    let done = run_all(open.committer(), prepared, &made.root_token).await;
    let revoked = send(open.committer(), "POST", "auth/token/revoke-self", None, &made.root_token).await;
    done?;
    revoked.map_err(|refusal| AppError::Initialize(format!("the root token was not revoked: {}", reason(&refusal))))?;
    tracing::info!(requests = requests.len(), "a deployment was made, and the initialize stanzas were run");
    Ok(true)
}

fn prepare<'a>(from: &'a Initialize, look_up: &LookUp<'_>) -> Result<Prepared<'a>, AppError> {
    let data = from.data.as_ref().map(|data| data.tree(look_up)).transpose()?;
    let token = from.token.as_ref().map(|token| token.tree(look_up)).transpose()?;
    let token = match token {
        None => None,
        Some(Tree::Text(token)) => Some(token),
        Some(_) => return Err(from.setting.wrong("token must be a text").into()),
    };
    Ok(Prepared { from, data: data.map(|data| Json::value(&data)), token })
}

async fn run_all(committer: &Committer, requests: Vec<Prepared<'_>>, root: &SecretText) -> Result<(), AppError> {
    let count = requests.len();
    for (at, Prepared { from, data, token }) in requests.into_iter().enumerate() {
        let token = token.as_ref().unwrap_or(root);
        let Err(refusal) = send(committer, from.method, &from.path, data, token).await else { continue };
        let what = format!("{} ({} {}): {}", from.setting, from.method, from.path, reason(&refusal));
        if from.allow_failure {
            tracing::warn!("initialize: {what}: allowed to fail");
            continue;
        }
        return Err(AppError::Initialize(format!(
            "{what}. {at} of {count} requests were done. There is a deployment now, and its root token is revoked: remove its store \
             and start again, or start as it is; the requests are not run again"
        )));
    }
    Ok(())
}

/// Through the pipeline, like everybody else's.
pub(super) async fn send(
    committer: &Committer,
    method: &str,
    path: &str,
    body: Option<Json>,
    token: &SecretText,
) -> Result<(), Refusal> {
    let content_type = (method == "PATCH").then(|| "application/merge-patch+json".to_owned());
    let incoming = Incoming {
        id: crate::random::uuid().into(),
        method: method.to_owned(),
        path: path.to_owned(),
        query: String::new(),
        namespace: None,
        credential: Credential::Token(SecretText::new(token.expose().to_owned())),
        wrap_ttl: None,
        receipt: false,
        passcodes: Vec::new(),
        if_none_match: None,
        content_type,
        headers: Box::new(NoHeaders),
        body: Body::Whole(body.map_or_else(|| SecretBytes::new(Vec::new()), Json::into_secret)),
        remote: ([127, 0, 0, 1], 0).into(),
        certificate: None,
        spans: None,
    };
    // What a deployment begins with does not depend on other servers.
    let shared = Arc::new(Shared::new(Issuers::new(Outbound::new(&[], false))));
    request::handle(committer, &shared, incoming).await.answer.map(drop)
}

/// A refusal in words; its texts hold no secret.
pub(super) fn reason(refusal: &Refusal) -> String {
    let text = match refusal {
        Refusal::Invalid(text)
        | Refusal::Forbidden(text)
        | Refusal::Missing(text)
        | Refusal::UnsupportedMedia(text)
        | Refusal::TooMany(text)
        | Refusal::Internal(text)
        | Refusal::Unavailable(text) => text.clone(),
        Refusal::NoToken | Refusal::Denied => "permission denied".to_owned(),
        Refusal::NoMount(_) => "nothing is mounted there".to_owned(),
        other => format!("{other:?}"),
    };
    format!("{} {text}", refusal.status())
}
