//! `sys/config/auditing`: which request headers a namespace has in its audit log; and entities in events.

use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::fixture::{at_once, namespace, put, ready};
use crate::support::on_stores;
use crate::support::server::Server;

on_stores! {
    headers_are_logged_in_clear_or_as_keyed_hashes_of_the_namespace,
    credentials_are_never_logged_as_headers,
    the_setting_counts_with_the_next_request,
    an_auditor_finds_what_an_entity_did,
}

const ALL: &str = "sys/config/auditing/request-headers";

#[track_caller]
fn set(client: &Client, name: &str, hmac: bool) {
    client.call("POST", &format!("{ALL}/{name}"), Some(&json!({"hmac": hmac}))).expect(204);
}

/// The events of a path, newest first.
fn events(client: &Client, query: &str) -> Vec<Value> {
    let page = client.call("GET", &format!("sys/audit-log?{query}"), None).expect(200).json();
    page["data"]["events"].as_array().unwrap().iter().map(|event| event["event"].clone()).collect()
}

fn headers_are_logged_in_clear_or_as_keyed_hashes_of_the_namespace(server: &mut Server) {
    let root = ready(server);
    let (acme, other) = (namespace(&root, "acme"), namespace(&root, "other"));
    assert_eq!(acme.call("GET", ALL, None).expect(200).json()["data"], json!({"headers": {}}));
    let missing = acme.call("GET", &format!("{ALL}/x-clear"), None).expect(400);
    assert_eq!(missing.errors(), ["Could not find header in config"]);
    acme.call("DELETE", &format!("{ALL}/x-clear"), None).expect(204);
    acme.call("POST", &format!("{ALL}/X-Clear"), None).expect(204);
    for client in [&acme, &other] {
        set(client, "x-hashed", true);
    }
    let shown = acme.call("GET", ALL, None).expect(200).json();
    assert_eq!(shown["data"]["headers"], json!({"x-clear": {"hmac": false}, "x-hashed": {"hmac": true}}));
    assert_eq!(shown["headers"], shown["data"]["headers"]);
    assert_eq!(
        acme.call("GET", &format!("{ALL}/X-HASHED"), None).expect(200).json()["data"],
        json!({"X-HASHED": {"hmac": true}})
    );
    acme.call("LIST", ALL, None).expect(405);

    let send = |client: &Client, path: &str| {
        client
            .with_header("X-Clear", "in clear")
            .with_header("X-Hashed", "canary-header")
            .with_header("X-Other", "no")
            .call("GET", path, None)
    };
    send(&acme, "cubbyhole/a").expect(404);
    // A refusal has them, too.
    send(&acme, "nowhere/a").expect(404);
    send(&other, "cubbyhole/a").expect(404);
    send(&root, "cubbyhole/a").expect(404);
    send(&acme.without_token(), "cubbyhole/a").expect(403);

    let logged = |client: &Client, path: &str| events(client, &format!("path={path}"))[0].clone();
    let (ours, theirs) = (logged(&acme, "cubbyhole/a"), logged(&other, "cubbyhole/a"));
    assert_eq!((&ours["v"], &ours["headers"]["x-clear"]), (&json!(2), &json!(["in clear"])));
    let hash = ours["headers"]["x-hashed"][0].as_str().unwrap();
    assert!(hash.starts_with("hmac-sha256:") && hash.len() == 76, "{hash}");
    assert_eq!(ours["headers"].as_object().unwrap().len(), 2);
    assert_eq!(logged(&acme, "nowhere/a")["headers"], ours["headers"]);
    assert!(theirs["headers"]["x-hashed"][0].as_str().unwrap() != hash, "two namespaces have one key");
    assert_eq!(theirs["headers"].as_object().unwrap().len(), 1);
    for event in [logged(&root, "cubbyhole/a"), events(&root, "edge=true&path=acme/cubbyhole/a")[0].clone()] {
        assert_eq!((&event["headers"], &event["v"]), (&Value::Null, &json!(1)), "{event}");
    }
}

fn credentials_are_never_logged_as_headers(server: &mut Server) {
    let root = ready(server);
    for name in ["Authorization", "proxy-authorization", "X-Vault-Token", "x-vault-mfa"] {
        for hmac in [true, false] {
            root.call("POST", &format!("{ALL}/{name}"), Some(&json!({"hmac": hmac}))).expect(400);
        }
    }
    root.call("POST", &format!("{ALL}/Cookie"), Some(&json!({"hmac": false}))).expect(400);
    set(&root, "cookie", true);
    let long = "a".repeat(129);
    for name in ["a%20b", "a:b", "%C3%A9", long.as_str()] {
        root.call("POST", &format!("{ALL}/{name}"), None).expect(400);
    }
    root.call("POST", &format!("{ALL}/x-a"), Some(&json!({"hmac": "maybe"}))).expect(400);
    for at in 1..32 {
        set(&root, &format!("x-{at}"), false);
    }
    root.call("POST", &format!("{ALL}/x-32"), None).expect(400);
    set(&root, "x-1", true);
    root.with_header("Cookie", "session=canary")
        .with_header("X-2", &"é".repeat(400))
        .call("GET", "cubbyhole/b", None)
        .expect(404);
    let event = events(&root, "path=cubbyhole/b")[0].to_string();
    assert!(!event.contains("canary") && event.contains("\"cookie\":[\"hmac-sha256:"), "{event}");
    assert!(event.contains(&"é".repeat(256)) && !event.contains(&"é".repeat(257)), "{event}");
}

/// No event after the answer to a change has the old setting, whoever asks at the same time.
fn the_setting_counts_with_the_next_request(server: &mut Server) {
    let root = ready(server);
    put(&root, "a", &json!({"k": "v"}));
    for round in 0..6 {
        let on = round % 2 == 0;
        if on {
            set(&root, "x-tag", false);
        } else {
            root.call("DELETE", &format!("{ALL}/x-tag"), None).expect(204);
        }
        let tag = format!("round-{round}");
        at_once(&vec![root.clone(); 8], |_, session| session.send("GET", "/v1/secret/data/a", &[("X-Tag", &tag)], b""));
        let found = events(&root, "path=secret/data/a&operation=read&limit=8");
        let expected = if on { json!([tag]) } else { Value::Null };
        assert_eq!(found.iter().filter(|event| event["headers"]["x-tag"] == expected).count(), 8, "round {round}: {found:?}");
    }
}

fn an_auditor_finds_what_an_entity_did(server: &mut Server) {
    let root = ready(server);
    root.call("POST", "sys/auth/userpass", Some(&json!({"type": "userpass"}))).expect(204);
    root.call("POST", "auth/userpass/users/bob", Some(&json!({"password": "pw"}))).expect(204);
    let path = "auth/userpass/login/bob";
    let login = || root.without_token().call("POST", path, Some(&json!({"password": "pw"}))).expect(200).json()["auth"].clone();
    let (first, second) = (login(), login());
    let entity = first["entity_id"].as_str().unwrap();
    for auth in [&first, &second] {
        root.with_token(auth["client_token"].as_str().unwrap()).call("GET", "auth/token/lookup-self", None).expect(200);
    }
    let found = events(&root, &format!("entity={entity}"));
    let paths: Vec<&str> = found.iter().map(|event| event["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["auth/token/lookup-self", "auth/token/lookup-self", path, path]);
    assert!(found.iter().all(|event| event["caller"]["entity"] == json!(entity)), "{found:?}");
    assert!(events(&root, "entity=nobody").is_empty());
}
