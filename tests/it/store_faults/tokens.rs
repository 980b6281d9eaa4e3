//! Tokens: made, used as often as they may be, revoked; and the policy that says what one may do.

use serde_json::{Value, json};

use super::play::{Play, Told};
use crate::support::in_process::Ask;

const SELF: &str = "auth/token/lookup-self";

fn with<'a>(token: &'a str, method: &'a str, path: &'a str) -> Ask<'a> {
    Ask { token, ..Ask::root(method, path, None) }
}

fn text(made: &Value) -> String {
    made["auth"]["client_token"].as_str().unwrap().to_owned()
}

pub(super) async fn a_token_is_used_and_revoked_as_it_was_answered(play: &Play<'_>) {
    let body = || Some(json!({"policies": ["default"], "num_uses": 5}));
    let revoke = |token: &str| Ask::root("POST", "auth/token/revoke", Some(json!({"token": token})));
    play.begin();
    let made = play.act(Ask::root("POST", "auth/token/create", body())).await;
    made.only(200);
    let token = match made.with(200) {
        Some(made) => text(made),
        // One that nobody knows: nothing more can happen with it.
        None => text(&play.again(Ask::root("POST", "auth/token/create", body())).await.1),
    };
    let mut uses = Vec::new();
    for _ in 0..2 {
        uses.push(play.act(with(&token, "GET", SELF)).await);
    }
    let lookup = || Ask::root("POST", "auth/token/lookup", Some(json!({"token": token})));
    let revoked = play.act(revoke(&token)).await;
    play.over();
    revoked.only(204);

    let answered = uses.iter().filter(|told| told.only(200).is_answered()).count() as u64;
    let untold = uses.iter().filter(|told| !told.is_answered() && !told.is_undone()).count() as u64;
    let (status, shown) = play.shown(lookup).await;
    if status == 200 {
        assert!(revoked.with(204).is_none(), "{}: it was revoked", play.name);
        let spent = 5 - shown["num_uses"].as_u64().unwrap();
        assert!((answered..=answered + untold).contains(&spent), "{}: {spent} uses, {answered} answered", play.name);
        assert_eq!(play.again(with(&token, "GET", SELF)).await.0, 200, "{}", play.name);
    } else {
        assert_eq!((status, revoked.is_undone()), (403, false), "{}: {shown}", play.name);
    }
    assert_eq!(play.again(revoke(&token)).await.0, 204);
    assert_eq!(play.shown(lookup).await.0, 403, "{}", play.name);
    assert_eq!(play.shown(|| with(&token, "GET", SELF)).await.0, 403, "{}", play.name);
}

pub(super) async fn a_policy_holds_as_soon_as_it_is_answered(play: &Play<'_>) {
    let path = format!("sys/policies/acl/{}", play.name);
    let write = |capability: &str| {
        let rules = format!("path \"secret/data/*\" {{ capabilities = [\"{capability}\"] }}");
        Ask::root("POST", &path, Some(json!({"policy": rules})))
    };
    let data = format!("secret/data/{}", play.name);
    play.prepare(200, Ask::root("POST", &data, Some(json!({"data": {}})))).await;
    play.prepare(204, write("read")).await;
    let body = json!({"policies": [play.name], "no_default_policy": true});
    let token = text(&play.prepare(200, Ask::root("POST", "auth/token/create", Some(body))).await);
    let read = || with(&token, "GET", &data);
    play.begin();
    let before = play.act(read()).await;
    let denied = play.act(write("deny")).await;
    let after = play.act(read()).await;
    play.over();
    before.only(200);
    denied.only(204);

    let (status, _) = play.shown(read).await;
    assert!(matches!(status, 200 | 403), "{}: {status}", play.name);
    if denied.is_undone() {
        assert_eq!(status, 200, "{}", play.name);
    }
    if denied.is_answered() {
        after.only(403);
        assert_eq!(status, 403, "{}", play.name);
    }
    if let Told::Answer(told, _) = after {
        assert_eq!(status, told, "{}", play.name);
    }
    assert_eq!(play.again(write("deny")).await.0, 204);
    assert_eq!(play.shown(read).await.0, 403, "{}", play.name);
    assert_eq!(play.again(write("read")).await.0, 204);
    assert_eq!(play.shown(read).await.0, 200, "{}", play.name);
}
