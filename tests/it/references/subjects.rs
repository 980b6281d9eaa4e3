//! References for the subjects of tokens that others signed.

use serde_json::{Value, json};

use super::{RESOLVES, holder, made, mint, password, post, resolve, stage};
use crate::jwt::{login, mount, role};
use crate::support::client::Client;
use crate::support::fixture::{namespace, policy, put};
use crate::support::on_stores;
use crate::support::server::Server;
use crate::support::tokens::{Key, claims};

on_stores! {
    a_subject_counts_from_a_login_at_a_jwt_mount_only,
    references_are_found_by_the_subject_that_they_are_for,
}

/// Logs in with a token of this subject.
#[track_caller]
fn subject(root: &Client, key: &Key, name: &str) -> Client {
    let token = key.token("ES256", "any", &claims(name, &json!({})));
    let answer = login(root, "ci", &token).expect(200).json();
    root.with_token(answer["auth"]["client_token"].as_str().unwrap())
}

fn trusting(server: &Server, key: &Key) -> Client {
    let root = stage(server);
    mount(&root, &[key]);
    policy(&root, "resolves", RESOLVES);
    role(&root, "ci", &json!({"token_policies": "resolves,makes"}));
    policy(&root, "makes", r#"path "auth/token/create" { capabilities = ["update"] }"#);
    root
}

fn bind(root: &Client, subjects: &Value) -> String {
    made(post(root, "bind/secret/data/app", &json!({"subjects": subjects})))
}

fn a_subject_counts_from_a_login_at_a_jwt_mount_only(server: &mut Server) {
    let key = Key::new("ES256");
    let root = trusting(server, &key);
    let (one, many) = (bind(&root, &json!(["repo:acme/app"])), bind(&root, &json!(["repo:acme/*", "job:7"])));
    let (app, tool, job) =
        (subject(&root, &key, "repo:acme/app"), subject(&root, &key, "repo:acme/tool"), subject(&root, &key, "job:7"));
    assert_eq!(password(&app, &one), "one");
    for client in [&app, &tool, &job] {
        assert_eq!(password(client, &many), "one");
    }
    // For everybody else it is not there: other subjects, readers of the secret, root, another namespace's.
    let unknown = mint(&root, &json!({"path": "secret/data/app"}));
    post(&root, "revoke", &json!({"reference": unknown})).expect(200);
    let reader = holder(&root, "reads", &format!("{RESOLVES}\npath \"secret/data/app\" {{ capabilities = [\"read\"] }}"));
    let team = namespace(&root, "team");
    mount(&team, &[&key]);
    policy(&team, "x", RESOLVES);
    let elsewhere = subject(&team, &key, "repo:acme/app");
    // A name of a token, its entity or a note is no subject; nor is that of the login handed down.
    let meta = json!({"policies": ["resolves"], "meta": {"sub": "repo:acme/app"}, "display_name": "repo:acme/app"});
    let named = root.call("POST", "auth/token/create", Some(&meta)).expect(200).json();
    let child = app.call("POST", "auth/token/create", Some(&json!({"policies": ["resolves"]}))).expect(200).json();
    let of = |answer: &Value| root.with_token(answer["auth"]["client_token"].as_str().unwrap());
    for client in [&tool, &job, &reader, &root, &elsewhere, &of(&named), &of(&child)] {
        let (seen, none) = (resolve(client, &one), resolve(client, &unknown));
        assert_eq!((seen.status, &seen.body), (403, &none.body));
    }
    // An explicit deny wins, and the mount takes its logins along.
    policy(&root, "resolves", &format!("{RESOLVES}\npath \"secret/data/app\" {{ capabilities = [\"deny\"] }}"));
    resolve(&app, &one).expect(403);
    policy(&root, "resolves", RESOLVES);
    assert_eq!(password(&app, &one), "one");
    root.call("DELETE", "sys/auth/jwt", None).expect(204);
    resolve(&app, &one).expect(403);
}

fn references_are_found_by_the_subject_that_they_are_for(server: &mut Server) {
    let key = Key::new("ES256");
    let root = trusting(server, &key);
    put(&root, "b", &json!({"password": "b"}));
    bind(&root, &json!(["repo:acme/app"]));
    bind(&root, &json!(["repo:acme/*", "repo:*"]));
    bind(&root, &json!(["job:*"]));
    let found = |text: &str| {
        let reply = post(&root, "search", &json!({"subject": text}));
        if reply.status == 404 { 0 } else { reply.expect(200).json()["data"]["keys"].as_array().unwrap().len() }
    };
    let counts = ["repo:acme/app", "repo:acme/b", "repo:acme/*", "job:*", "job:1", "other"].map(found);
    assert_eq!(counts, [2, 1, 1, 1, 1, 0]);
    let all = post(&root, "search", &json!({"path": "secret/data/app"})).expect(200).json();
    let of_patterns = all["data"]["key_info"].as_object().unwrap().values();
    assert_eq!(of_patterns.filter(|told| told["subjects"] == json!(["repo:*", "repo:acme/*"])).count(), 1);
    assert_eq!(post(&root, "revoke", &json!({"path": "secret/data/app"})).expect(200).json()["data"]["revoked"], 4);
    assert_eq!(found("repo:acme/app"), 0);
    post(&root, "search", &json!({"subject": "*", "path": "secret/data/app"})).expect(400);
}
