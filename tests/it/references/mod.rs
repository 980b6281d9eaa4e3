//! References over HTTP: made, bound, resolved one by one and many at once, managed, and carried along by a move.

mod ahead;
mod alike;
mod data_keys;
mod large;
mod manage;
mod many;
mod subjects;

use serde_json::{Value, json};

use crate::support::client::{Client, Reply};
use crate::support::fixture::{namespace, policy, put, ready, token};
use crate::support::on_stores;
use crate::support::server::Server;

on_stores! {
    a_reference_follows_the_newest_version_or_pins_one,
    references_of_a_first_version_mount_give_one_field,
    minting_needs_the_right_to_read,
    a_bound_consumer_needs_no_policy_on_the_secret,
    a_reference_for_somebody_else_looks_like_none,
    every_condition_of_a_binding_must_hold,
}

fn stage(server: &Server) -> Client {
    let root = ready(server);
    put(&root, "app", &json!({"user": "u", "password": "one"}));
    root
}

fn post(client: &Client, path: &str, body: &Value) -> Reply {
    client.call("POST", &format!("sys/references/{path}"), Some(body))
}

#[track_caller]
fn made(reply: Reply) -> String {
    reply.expect(200).json()["data"]["reference"].as_str().unwrap().to_owned()
}

#[track_caller]
fn mint(client: &Client, body: &Value) -> String {
    made(post(client, "mint", body))
}

/// A reference that nobody has made.
fn of_nobody() -> String {
    strongroom::reference::Reference::random().as_str().to_owned()
}

fn resolve(client: &Client, reference: &str) -> Reply {
    post(client, "resolve", &json!({"reference": reference}))
}

#[track_caller]
fn password(client: &Client, reference: &str) -> String {
    resolve(client, reference).expect(200).json()["data"]["data"]["password"].as_str().unwrap().to_owned()
}

/// A token with these rules, and nothing else.
fn holder(root: &Client, name: &str, rules: &str) -> Client {
    policy(root, name, rules);
    root.with_token(&token(root, &json!({"policies": [name], "no_default_policy": true})).text)
}

/// A token of a fresh entity, which may resolve references and nothing else; and the entity's id.
fn worker(root: &Client, name: &str) -> (Client, String) {
    let entity = root.call("POST", "identity/entity", Some(&json!({"name": name}))).expect(200).json();
    let id = entity["data"]["id"].as_str().unwrap().to_owned();
    let accessor = root.call("GET", "sys/auth", None).expect(200).json()["data"]["token/"]["accessor"].clone();
    let alias = json!({"name": name, "canonical_id": id, "mount_accessor": accessor});
    root.call("POST", "identity/entity-alias", Some(&alias)).expect(200);
    policy(root, "resolves", RESOLVES);
    let role = json!({"allowed_entity_aliases": [name], "allowed_policies": ["resolves"], "token_no_default_policy": true});
    root.call("POST", &format!("auth/token/roles/{name}"), Some(&role)).expect(204);
    let body = json!({"entity_alias": name, "policies": ["resolves"]});
    let login = root.call("POST", &format!("auth/token/create/{name}"), Some(&body)).expect(200).json();
    assert_eq!(login["auth"]["entity_id"], id.as_str());
    (root.with_token(login["auth"]["client_token"].as_str().unwrap()), id)
}

const RESOLVES: &str = r#"path "sys/references/resolve" { capabilities = ["update"] }"#;

const DENIED: &str = "1 error occurred:\n\t* permission denied\n\n";

fn a_reference_follows_the_newest_version_or_pins_one(server: &mut Server) {
    let root = stage(server);
    let newest = mint(&root, &json!({"path": "secret/data/app"}));
    let pinned = mint(&root, &json!({"path": "secret/data/app", "version": 1}));
    let field = mint(&root, &json!({"path": "secret/data/app", "field": "password"}));
    put(&root, "app", &json!({"user": "u", "password": "two"}));
    assert_eq!((password(&root, &newest).as_str(), password(&root, &pinned).as_str()), ("two", "one"));
    let one = resolve(&root, &field).expect(200).json();
    assert_eq!((&one["data"]["data"], &one["data"]["metadata"]["version"]), (&json!({"password": "two"}), &json!(2)));
    put(&root, "app", &json!({"user": "u"}));
    resolve(&root, &field).expect(404);
    root.call("DELETE", "secret/data/app", None).expect(204);
    assert_eq!(resolve(&root, &newest).expect(404).json()["data"]["data"], Value::Null);
    assert_eq!(password(&root, &pinned), "one");
    root.call("POST", "secret/destroy/app", Some(&json!({"versions": [1]}))).expect(204);
    resolve(&root, &pinned).expect(404);
    // Rotated keys, a new version: references go on.
    root.call("POST", "sys/rotate/keyring", None).expect(204);
    put(&root, "app", &json!({"password": "three"}));
    assert_eq!(password(&root, &newest), "three");
    let quiet = json!({"data": {"k": "v"}, "options": {"reference": false}});
    assert!(root.call("POST", "secret/data/app", Some(&quiet)).expect(200).json()["data"].get("reference").is_none());
}

fn references_of_a_first_version_mount_give_one_field(server: &mut Server) {
    let root = stage(server);
    root.call("POST", "sys/mounts/old", Some(&json!({"type": "kv"}))).expect(204);
    root.call("POST", "old/a", Some(&json!({"user": "u", "password": "one"}))).expect(204);
    let whole = mint(&root, &json!({"path": "old/a"}));
    let field = mint(&root, &json!({"path": "old/a", "field": "password"}));
    assert_eq!(resolve(&root, &whole).expect(200).json()["data"]["data"], json!({"user": "u", "password": "one"}));
    assert_eq!(resolve(&root, &field).expect(200).json()["data"], json!({"data": {"password": "one"}, "metadata": null}));
    post(&root, "mint", &json!({"path": "old/a", "version": 1})).expect(400);
    // An upgrade of the mount takes them along.
    root.call("POST", "sys/mounts/old/tune", Some(&json!({"options": {"version": "2"}}))).expect(204);
    assert_eq!(resolve(&root, &field).expect(200).json()["data"]["data"], json!({"password": "one"}));
    let found = post(&root, "search", &json!({"path": "old/data/a"})).expect(200).json();
    assert_eq!(found["data"]["keys"].as_array().unwrap().len(), 3);
}

fn minting_needs_the_right_to_read(server: &mut Server) {
    let root = stage(server);
    let own = r#"path "sys/references/*" { capabilities = ["update"] }"#;
    let rules = |path: &str, capability: &str| format!("{own}\npath \"{path}\" {{ capabilities = [\"{capability}\"] }}");
    for (name, path, capability, status) in [
        ("reader", "secret/data/app", "read", 200),
        ("writer", "secret/data/app", "update", 403),
        ("other", "secret/data/b", "read", 403),
        ("denied", "secret/data/app", "deny", 403),
    ] {
        let client = holder(&root, name, &rules(path, capability));
        assert_eq!(post(&client, "mint", &json!({"path": "secret/data/app"})).status, status, "{name}");
        // Whether something is there is not told either.
        let absent = post(&client, "mint", &json!({"path": "secret/data/none"}));
        assert_eq!(absent.status, 403, "{name}");
    }
    // Binding has a capability of its own, by path; reading is not needed, but an explicit deny wins.
    let (_, entity) = worker(&root, "w");
    let body = json!({"entities": [entity]});
    let bind = |path: &str| format!(r#"path "sys/references/bind/{path}" {{ capabilities = ["update"] }}"#);
    let installer = holder(&root, "installer", &bind("secret/data/app"));
    post(&installer, "bind/secret/data/app", &body).expect(200);
    post(&installer, "bind/secret/data/b", &body).expect(403);
    post(&installer, "mint", &json!({"path": "secret/data/app"})).expect(403);
    let deny = r#"path "secret/data/app" { capabilities = ["deny"] }"#;
    let denied = holder(&root, "kept", &format!("{}\n{deny}", bind("*")));
    assert_eq!(post(&denied, "bind/secret/data/app", &body).expect(403).errors(), [DENIED]);
    let minter = holder(&root, "minter", &rules("secret/data/app", "read").replace("references/*", "references/mint"));
    post(&minter, "bind/secret/data/app", &body).expect(403);
    post(&minter, "mint", &json!({"path": "secret/data/app"})).expect(200);
}

fn a_bound_consumer_needs_no_policy_on_the_secret(server: &mut Server) {
    let root = stage(server);
    let (client, entity) = worker(&root, "w");
    client.call("GET", "secret/data/app", None).expect(403);
    let bound = made(post(&root, "bind/secret/data/app", &json!({"entities": [entity]})));
    assert_eq!(password(&client, &bound), "one");
    client.call("GET", "secret/data/app", None).expect(403);
    // Its standing reference, and one that is bound to nobody, still need a policy.
    let unbound = mint(&root, &json!({"path": "secret/data/app"}));
    assert_eq!(resolve(&client, &unbound).expect(403).errors(), [DENIED]);
    // An explicit deny wins.
    policy(&root, "resolves", &format!("{RESOLVES}\npath \"secret/data/app\" {{ capabilities = [\"deny\"] }}"));
    assert_eq!(resolve(&client, &bound).expect(403).errors(), [DENIED]);
    policy(&root, "resolves", RESOLVES);
    assert_eq!(password(&client, &bound), "one");
    // A disabled entity is nobody.
    root.call("POST", &format!("identity/entity/id/{entity}"), Some(&json!({"disabled": true}))).expect(204);
    resolve(&client, &bound).expect(403);
}

fn a_reference_for_somebody_else_looks_like_none(server: &mut Server) {
    let root = stage(server);
    let (_, mine) = worker(&root, "one");
    let (stranger, _) = worker(&root, "two");
    let bound = made(post(&root, "bind/secret/data/app", &json!({"entities": [mine], "purpose": "p"})));
    let unknown = mint(&root, &json!({"path": "secret/data/app"}));
    post(&root, "revoke", &json!({"reference": unknown})).expect(200);
    let other = namespace(&root, "acme");
    // Also for who may read the secret, and for root; and in another namespace.
    let reader = holder(&root, "reads", &format!("{RESOLVES}\npath \"secret/data/app\" {{ capabilities = [\"read\"] }}"));
    for client in [&stranger, &reader, &root, &other] {
        let (seen, none) = (resolve(client, &bound), resolve(client, &unknown));
        assert_eq!((seen.status, &seen.body), (403, &none.body));
        let names = |reply: &Reply| reply.headers.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        assert_eq!((none.status, names(&seen)), (403, names(&none)));
        let batch = post(client, "resolve", &json!({"references": [bound, unknown]})).expect(200).json();
        let item = |at: usize| {
            let mut item = batch["data"]["results"][at].clone();
            item["reference"] = Value::Null;
            item
        };
        assert_eq!(item(0), item(1));
        assert_eq!((&item(0)["status"], &item(0)["error"]), (&json!(403), &json!("permission denied")));
    }
}

fn every_condition_of_a_binding_must_hold(server: &mut Server) {
    let root = stage(server);
    let path = "secret/data/app";
    let purposeful = mint(&root, &json!({"path": path, "purpose": "nightly"}));
    for (purpose, status) in [(json!("nightly"), 200), (json!("daily"), 403), (json!(""), 403), (Value::Null, 403)] {
        let reply = post(&root, "resolve", &json!({"reference": purposeful, "purpose": purpose}));
        assert_eq!(reply.status, status, "{purpose}");
    }
    let later = mint(&root, &json!({"path": path, "not_before": "2200-01-01T00:00:00Z"}));
    resolve(&root, &later).expect(403);
    let since = mint(&root, &json!({"path": path, "not_before": "2001-01-01T00:00:00Z", "expires": "2200-01-01T00:00:00Z"}));
    assert_eq!(password(&root, &since), "one");
    let short = mint(&root, &json!({"path": path, "ttl": "1s"}));
    assert_eq!(password(&root, &short), "one");
    std::thread::sleep(std::time::Duration::from_millis(1_200));
    assert_eq!(resolve(&root, &short).expect(403).errors(), [DENIED]);
    post(&root, "describe", &json!({"reference": short})).expect(404);
}
