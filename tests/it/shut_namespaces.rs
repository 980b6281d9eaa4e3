//! Locked and sealed namespaces over HTTP: who is refused, who can open them again, and what nobody learns.

use serde_json::json;

use crate::support::client::Client;
use crate::support::fixture::{mount, namespace, policy, put, ready, token};
use crate::support::on_stores;
use crate::support::server::Server;

on_stores! {
    a_locked_namespace_answers_nobody_and_its_own_tokens_free_it_with_the_key_only,
    a_sealed_namespace_answers_nobody_until_it_is_unsealed,
}

const EVERYTHING: &str = r#"path "*" { capabilities = ["create", "read", "update", "delete", "list", "patch", "sudo"] }"#;

/// `team` with a secret and `team/sub`; the last client has a token of `team` that may do everything there.
fn stage(server: &Server) -> (Client, Client, Client, Client) {
    let root = ready(server);
    let team = namespace(&root, "team");
    mount(&team, "secret");
    put(&team, "a", &json!({"k": "v"}));
    namespace(&team, "sub");
    policy(&team, "all", EVERYTHING);
    let admin = team.with_token(&token(&team, &json!({"policies": ["all"]})).text);
    let sub = root.in_namespace("team/sub");
    (root, team, sub, admin)
}

fn a_locked_namespace_answers_nobody_and_its_own_tokens_free_it_with_the_key_only(server: &mut Server) {
    let (root, team, sub, admin) = stage(server);
    let text = "API access to this namespace has been locked by an administrator - \"team/\" must be unlocked to gain access.";
    let key = admin.call("POST", "sys/namespaces/api-lock/lock", None).expect(200).json()["data"]["unlock_key"].clone();
    for inside in [&team, &sub, &admin] {
        for path in ["secret/data/a", "sys/mounts", "nosuch/x", "sys/internal/ui/mounts"] {
            assert_eq!(inside.call("GET", path, None).expect(503).errors(), [text], "{path}");
        }
    }
    root.call("GET", "team/secret/data/a", None).expect(503);
    // Who has no right there is told nothing else than before.
    let weak = token(&root, &json!({"policies": ["default"]}));
    team.with_token(&weak.text).call("GET", "secret/data/a", None).expect(403);
    for path in ["secret/data/a", "sys/internal/ui/mounts"] {
        team.without_token().call("GET", path, None).expect(403);
    }
    // The key is not stored: whoever holds a token of the namespace needs it.
    assert_eq!(admin.call("POST", "sys/namespaces/api-lock/unlock", None).expect(400).errors(), ["provided empty key"]);
    let unlock = |client: &Client, key| client.call("POST", "sys/namespaces/api-lock/unlock", Some(&json!({"unlock_key": key})));
    assert_eq!(unlock(&admin, json!("wrong")).expect(400).errors(), ["incorrect unlock key"]);
    // Not from a namespace below, whose lock it is not.
    assert_eq!(unlock(&sub, key.clone()).expect(503).errors(), [text]);
    unlock(&admin, key).expect(204);
    admin.call("GET", "secret/data/a", None).expect(200);

    // From above without the key: with sudo only.
    root.call("POST", "sys/namespaces/api-lock/lock/team", None).expect(200);
    policy(&root, "update", r#"path "sys/namespaces/api-lock/*" { capabilities = ["update"] }"#);
    let updater = root.with_token(&token(&root, &json!({"policies": ["update"]})).text);
    let refused = updater.call("POST", "sys/namespaces/api-lock/unlock/team", None).expect(400);
    assert_eq!(refused.errors(), ["provided empty key"]);
    let freed = root.call("POST", "sys/namespaces/api-lock/unlock/team", None).expect(200).json();
    assert_eq!(freed["warnings"], json!(["Namespace unlocked using sudo capabilities"]));
    team.call("GET", "secret/data/a", None).expect(200);
}

fn a_sealed_namespace_answers_nobody_until_it_is_unsealed(server: &mut Server) {
    let (root, team, sub, admin) = stage(server);
    let status = |expected: bool| {
        let data = root.call("GET", "sys/namespaces/team/seal-status", None).expect(200).json()["data"].clone();
        assert_eq!((&data["sealed"], &data["n"], &data["t"]), (&json!(expected), &json!(0), &json!(0)));
    };
    status(false);
    for path in ["seal", "unseal"] {
        let refused = root.call("POST", &format!("sys/namespaces/nosuch/{path}"), None).expect(400);
        assert_eq!(refused.errors(), ["namespace doesn't exist"]);
    }
    root.call("POST", "sys/namespaces/team/seal", None).expect(204);
    root.call("POST", "sys/namespaces/team/seal", None).expect(204);
    status(true);
    for inside in [&team, &sub, &admin] {
        assert_eq!(inside.call("GET", "secret/data/a", None).expect(503).errors(), ["namespace is sealed"]);
    }
    assert_eq!(root.call("DELETE", "sys/namespaces/team", None).expect(503).errors(), ["namespace is sealed"]);
    // To strangers it looks like one that is not there.
    for token in ["", "s.nonsense"] {
        let stranger = team.with_token(token);
        let [here, nowhere] = ["team", "nowhere"].map(|name| stranger.in_namespace(name).call("GET", "secret/data/a", None));
        assert_eq!((here.status, here.body), (nowhere.status, nowhere.body));
    }
    policy(&root, "list", r#"path "sys/namespaces" { capabilities = ["list"] }"#);
    for (named, status, text) in [("list", 503, "namespace is sealed"), ("default", 403, "permission denied")] {
        let from_above = team.with_token(&token(&root, &json!({"policies": [named]})).text);
        assert_eq!(from_above.call("GET", "secret/data/a", None).expect(status).errors(), [text]);
    }
    // It stays sealed over a restart, and what is listed shows no more than its name.
    server.kill();
    server.come_back();
    status(true);
    let below = root.call("SCAN", "sys/namespaces", None).expect(200).json();
    assert_eq!(below["data"]["keys"], json!(["team/"]));

    let share = root.call("POST", "sys/namespaces/team/unseal", Some(&json!({"key": "aGVsbG8gd29ybGQhISEhIQ=="}))).expect(400);
    assert!(share.errors()[0].starts_with("unsupported: a namespace has no key shares"), "{share:?}");
    root.call("POST", "sys/namespaces/team/unseal", Some(&json!({"reset": true}))).expect(200);
    status(true);
    let opened = root.call("POST", "sys/namespaces/team/unseal", None).expect(200).json();
    assert_eq!(opened["data"]["sealed"], false);
    for inside in [&team, &admin] {
        assert_eq!(inside.call("GET", "secret/data/a", None).expect(200).json()["data"]["data"]["k"], "v");
    }
    sub.call("GET", "sys/mounts", None).expect(200);
}
