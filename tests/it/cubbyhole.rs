//! The cubbyhole over HTTP: each token has its own, and it goes with the token.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::client::Client;
use crate::support::database::Tables;
use crate::support::fixture::{namespace, policy, token};
use crate::support::on_stores;
use crate::support::server::Server;

on_stores! {
    objects_are_kept_listed_and_removed,
    nobody_reaches_the_cubbyhole_of_another_token,
    what_dead_tokens_kept_is_cleared_away,
}

/// A new token with the default policy.
fn holder(root: &Client) -> Client {
    root.with_token(&token(root, &json!({"policies": ["default"]})).text)
}

fn objects_are_kept_listed_and_removed(server: &mut Server) {
    let root = Client::new(&server.target());
    let shown = root.call("GET", "sys/mounts", None).expect(200).json()["data"]["cubbyhole/"].clone();
    assert_eq!((&shown["type"], &shown["local"]), (&json!("cubbyhole"), &json!(true)));
    assert_eq!((&shown["description"], &shown["options"]), (&json!("per-token private secret storage"), &json!(null)));
    let team = namespace(&root, "team");
    assert_eq!(team.call("GET", "sys/mounts", None).expect(200).json()["data"]["cubbyhole/"]["type"], "ns_cubbyhole");
    root.call("DELETE", "sys/mounts/cubbyhole", None).expect(400);
    root.call("POST", "sys/mounts/cubbyhole", Some(&json!({"type": "kv"}))).expect(400);

    let client = holder(&root);
    client.call("POST", "cubbyhole/a/b", Some(&json!({"x": 1, "y": {"z": [2]}}))).expect(204);
    client.call("PUT", "cubbyhole/c", Some(&json!({"x": 1}))).expect(204);
    client.call("PUT", "cubbyhole/c", Some(&json!({"x": 2}))).expect(204);
    assert_eq!(client.call("GET", "cubbyhole/a/b", None).expect(200).json()["data"], json!({"x": 1, "y": {"z": [2]}}));
    assert_eq!(client.call("GET", "cubbyhole/c", None).expect(200).json()["data"], json!({"x": 2}));
    assert_eq!(client.call("LIST", "cubbyhole/", None).expect(200).json()["data"]["keys"], json!(["a/", "c"]));
    assert_eq!(client.call("LIST", "cubbyhole/a", None).expect(200).json()["data"]["keys"], json!(["b"]));
    for body in [None, Some(json!({}))] {
        assert_eq!(client.call("POST", "cubbyhole/c", body.as_ref()).expect(400).errors(), ["missing data fields"]);
    }
    assert_eq!(root.call("POST", "cubbyhole", Some(&json!({"x": 1}))).expect(400).errors(), ["missing path"]);
    root.call("SCAN", "cubbyhole", None).expect(405);
    for path in ["cubbyhole/a/b", "cubbyhole/c", "cubbyhole/never"] {
        client.call("DELETE", path, None).expect(204);
        client.call("GET", path, None).expect(404);
    }
    client.call("LIST", "cubbyhole/", None).expect(404);
}

fn nobody_reaches_the_cubbyhole_of_another_token(server: &mut Server) {
    let root = Client::new(&server.target());
    let (one, two) = (holder(&root), holder(&root));
    one.call("POST", "cubbyhole/a", Some(&json!({"x": 1}))).expect(204);
    for other in [&two, &root] {
        other.call("GET", "cubbyhole/a", None).expect(404);
        other.call("LIST", "cubbyhole/", None).expect(404);
        other.call("DELETE", "cubbyhole/a", None).expect(204);
    }
    // Knowing the accessor, which the store knows it by, helps nobody.
    let accessor = one.call("GET", "auth/token/lookup-self", None).expect(200).json()["data"]["accessor"].clone();
    root.call("GET", &format!("cubbyhole/{}/a", accessor.as_str().unwrap()), None).expect(404);
    one.call("GET", "cubbyhole/a", None).expect(200);

    // Each namespace has another one, for the same token too.
    let team = namespace(&root, "team");
    root.call("POST", "cubbyhole/n", Some(&json!({"x": 1}))).expect(204);
    team.call("GET", "cubbyhole/n", None).expect(404);
    team.call("POST", "cubbyhole/n", Some(&json!({"x": 2}))).expect(204);
    assert_eq!(root.call("GET", "team/cubbyhole/n", None).expect(200).json()["data"], json!({"x": 2}));
    assert_eq!(root.call("GET", "cubbyhole/n", None).expect(200).json()["data"], json!({"x": 1}));

    // A token whose text is chosen again is another token.
    for _ in 0..2 {
        token(&root, &json!({"policies": ["default"], "id": "chosen"}));
        let chosen = root.with_token("chosen");
        chosen.call("GET", "cubbyhole/a", None).expect(404);
        chosen.call("POST", "cubbyhole/a", Some(&json!({"x": 1}))).expect(204);
        root.call("POST", "auth/token/revoke", Some(&json!({"token": "chosen"}))).expect(204);
        chosen.call("GET", "cubbyhole/a", None).expect(403);
    }
    let refused = root.with_token(&token(&root, &json!({"policies": ["none"], "no_default_policy": true})).text);
    refused.call("POST", "cubbyhole/a", Some(&json!({"x": 1}))).expect(403);
}

fn what_dead_tokens_kept_is_cleared_away(server: &mut Server) {
    let root = Client::new(&server.target());
    policy(&root, "maker", r#"path "auth/token/create" { capabilities = ["update"] }"#);
    let mut database = server.tables();
    let survivor = holder(&root);
    survivor.call("POST", "cubbyhole/a", Some(&json!({"x": 1}))).expect(204);
    let before = rows(&mut database);

    let parent = root.with_token(&token(&root, &json!({"policies": ["default", "maker"]})).text);
    let child = parent.with_token(&token(&parent, &json!({"policies": ["default"]})).text);
    let short = root.with_token(&token(&root, &json!({"policies": ["default"], "ttl": "8s"})).text);
    short.call("POST", "cubbyhole/a", Some(&json!({"x": 1}))).expect(204);
    for client in [&parent, &child] {
        for at in 0..40 {
            client.call("POST", &format!("cubbyhole/d{}/{at}", at % 3), Some(&json!({"x": at}))).expect(204);
        }
    }
    assert!(rows(&mut database) >= before + 80);
    parent.call("POST", "auth/token/revoke-self", None).expect(204);
    let deadline = Instant::now() + Duration::from_mins(1);
    while rows(&mut database) > before {
        assert!(Instant::now() < deadline, "{} rows are left, {before} were there", rows(&mut database));
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(survivor.call("GET", "cubbyhole/a", None).expect(200).json()["data"], json!({"x": 1}));
}

fn rows(database: &mut Tables) -> i64 {
    database.number("SELECT count(*) FROM record")
}
