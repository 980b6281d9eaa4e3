//! Requests without a token, on a connection with a client certificate.

use serde_json::{Value, json};

use super::{FAILED, Stage, enable, login, read, role};
use crate::support::certificates::{Authority, Leaf};
use crate::support::client::Client;
use crate::support::fixture::{mount, namespace, policy, put};
use crate::support::on_stores;
use crate::support::server::Server;

on_stores! {
    a_certificate_reads_without_a_token_only_where_its_role_says_so,
    any_token_at_all_goes_before_the_certificate,
    nothing_that_belongs_to_a_token_is_done_without_one,
    a_browser_and_a_proxy_are_not_who_holds_the_certificate,
    two_roles_that_grant_different_things_are_refused_until_one_is_named,
    a_changed_role_counts_from_the_next_request_on,
    a_certificate_that_ends_is_nobody_on_a_standing_connection,
    only_the_namespace_of_the_request_counts,
    the_entity_of_the_holder_counts_if_there_is_one,
}

/// A role `web` that needs no token, and a client that shows its certificate.
fn ready(stage: &Stage) -> (Authority, Client) {
    let authority = Authority::new("CA");
    role(&stage.root, "web", &authority.pem(), &json!({"tokenless": true}));
    let client = stage.showing(&authority.sign(&Leaf { common_name: Some("web"), ..Leaf::new() }), &[]);
    (authority, client)
}

fn a_certificate_reads_without_a_token_only_where_its_role_says_so(server: &mut Server) {
    let stage = Stage::new(server);
    let (authority, client) = ready(&stage);
    let rows = "SELECT count(*) FROM record";
    let before = server.tables().number(rows);
    let value = read(&client).expect(200).json();
    assert_eq!(value["data"]["data"], json!({"k": "v"}));
    client.call("GET", "sys/internal/ui/mounts/secret/app/db", None).expect(200);
    client.call("GET", "secret/data/other/x", None).expect(403);
    client.call("POST", "secret/data/app/db", Some(&json!({"data": {}}))).expect(403);
    assert_eq!(server.tables().number(rows), before, "no row is written for it");
    role(&stage.root, "web", &authority.pem(), &json!({"tokenless": false}));
    read(&client).expect(403);
    read(&stage.root.without_token()).expect(403);
    let other = stage.showing(&Authority::new("CA").sign(&Leaf { common_name: Some("web"), ..Leaf::new() }), &[]);
    read(&other).expect(403);
}

fn any_token_at_all_goes_before_the_certificate(server: &mut Server) {
    let stage = Stage::new(server);
    let (_, client) = ready(&stage);
    read(&client).expect(200);
    for (name, value) in [
        ("X-Vault-Token", "s.AAAAAAAAAAAAAAAAAAAAAAAA"),
        ("X-Vault-Token", "nonsense"),
        ("X-Vault-Token", ""),
        ("X-Vault-Token", "\u{fc}"),
        ("Authorization", "Bearer s.AAAAAAAAAAAAAAAAAAAAAAAA"),
        ("Authorization", "Basic YTpi"),
        ("Authorization", ""),
    ] {
        read(&client.with_header(name, value)).expect(403);
    }
    // One in the body is one, too.
    let body = json!({"token": "s.AAAAAAAAAAAAAAAAAAAAAAAA"});
    for path in ["sys/wrapping/unwrap", "sys/wrapping/lookup"] {
        assert_ne!(client.call("POST", path, Some(&body)).status, 200, "{path}");
    }
}

fn nothing_that_belongs_to_a_token_is_done_without_one(server: &mut Server) {
    let stage = Stage::new(server);
    let (authority, client) = ready(&stage);
    policy(
        &stage.root,
        "reader",
        r#"path "*" { capabilities = ["create", "read", "update", "patch", "delete", "list", "sudo"] }"#,
    );
    read(&client).expect(200);
    let rows = "SELECT count(*) FROM record";
    let before = server.tables().number(rows);
    for (method, path, body) in [
        ("POST", "auth/token/create", json!({})),
        ("POST", "auth/token/create-orphan", json!({})),
        ("POST", "auth/token/create/role", json!({})),
        ("GET", "auth/token/lookup-self", Value::Null),
        ("POST", "auth/token/renew-self", json!({})),
        ("POST", "auth/token/revoke-self", json!({})),
        ("LIST", "auth/token/accessors", Value::Null),
        ("POST", "cubbyhole/a", json!({"k": "v"})),
        ("GET", "cubbyhole/a", Value::Null),
        ("LIST", "cubbyhole", Value::Null),
    ] {
        let body = Some(&body).filter(|body| !body.is_null());
        assert_eq!(client.call(method, path, body).status, 403, "{method} {path}");
    }
    let wrapped = client.send("GET", "/v1/secret/data/app/db", &[("X-Vault-Wrap-TTL", "60")], b"");
    assert_eq!(wrapped.status, 400, "a wrapping token is a token");
    let wrap = client.send("POST", "/v1/sys/wrapping/wrap", &[("X-Vault-Wrap-TTL", "60")], br#"{"k":"v"}"#);
    assert_eq!(wrap.status, 400);
    for path in ["sys/wrapping/unwrap", "sys/wrapping/lookup", "sys/wrapping/rewrap"] {
        assert_eq!(client.call("POST", path, Some(&json!({}))).status, 400, "{path}");
    }
    stage.root.call("POST", "identity/oidc/key/k", Some(&json!({"allowed_client_ids": "*"}))).expect(204);
    stage.root.call("POST", "identity/oidc/role/r", Some(&json!({"key": "k"}))).expect(204);
    let made = server.tables().number(rows);
    client.call("GET", "identity/oidc/token/r", None).expect(400);
    assert_eq!(server.tables().number(rows), made, "{before}");
    // What it may, it may: also a login, which is no part of it.
    client.call("GET", "sys/mounts", None).expect(200);
    assert_eq!(login(&client, "web").expect(200).json()["auth"]["metadata"]["cert_name"], "web");
    drop(authority);
}

fn a_browser_and_a_proxy_are_not_who_holds_the_certificate(server: &mut Server) {
    let stage = Stage::new(server);
    let (_, client) = ready(&stage);
    read(&client).expect(200);
    for (name, value) in [
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Site", "same-origin"),
        ("Origin", "null"),
        ("Forwarded", "for=192.0.2.60"),
        ("X-Forwarded-For", "192.0.2.60"),
        ("Via", "1.1 proxy"),
    ] {
        assert_eq!(read(&client.with_header(name, value)).status, 403, "{name}");
    }
}

fn two_roles_that_grant_different_things_are_refused_until_one_is_named(server: &mut Server) {
    let stage = Stage::new(server);
    let (authority, client) = ready(&stage);
    let also = |name: &str, more: &Value| role(&stage.root, name, &authority.pem(), more);
    also("same", &json!({"tokenless": true}));
    read(&client).expect(200);
    also("more", &json!({"tokenless": true, "token_policies": ["reader", "other"]}));
    let refused = read(&client).expect(403);
    assert!(refused.errors()[0].contains("X-Strongroom-Role"), "{:?}", refused.errors());
    for (named, status) in
        [("web", 200), ("more", 200), ("cert/web", 200), ("other/web", 403), ("none", 403), ("", 403), ("a/b/c", 403)]
    {
        assert_eq!(read(&client.with_header("X-Strongroom-Role", named)).status, status, "{named}");
    }
    let twice = client.send("GET", "/v1/secret/data/app/db", &[("X-Strongroom-Role", "web"), ("X-Strongroom-Role", "more")], b"");
    assert_eq!(twice.status, 400);
    // A role for another address, or for logins only, is not one of two.
    also("more", &json!({"tokenless": true, "token_policies": ["other"], "token_bound_cidrs": "10.0.0.0/8"}));
    read(&client).expect(200);
    also("more", &json!({"tokenless": false, "token_bound_cidrs": []}));
    read(&client).expect(200);
    // Another mount counts as well.
    stage.root.call("POST", "sys/auth/second", Some(&json!({"type": "cert"}))).expect(204);
    let body = json!({"certificate": authority.pem(), "tokenless": true, "token_policies": ["other"]});
    stage.root.call("POST", "auth/second/certs/web", Some(&body)).expect(204);
    read(&client).expect(403);
    read(&client.with_header("X-Strongroom-Role", "web")).expect(403);
    read(&client.with_header("X-Strongroom-Role", "cert/web")).expect(200);
    // A login is not judged by this.
    assert_eq!(login(&client, "web").status, 200, "{FAILED}");
}

fn a_changed_role_counts_from_the_next_request_on(server: &mut Server) {
    let stage = Stage::new(server);
    let (authority, client) = ready(&stage);
    let mut session = client.session().unwrap();
    let mut status = || session.send("GET", "/v1/secret/data/app/db", &[], b"").unwrap().status;
    assert_eq!((status(), status()), (200, 200));
    let write = |more: &Value| role(&stage.root, "web", &authority.pem(), more);
    write(&json!({"allowed_common_names": "dev"}));
    assert_eq!(status(), 403);
    write(&json!({"allowed_common_names": "web"}));
    assert_eq!(status(), 200);
    write(&json!({"token_policies": ["other"]}));
    assert_eq!(status(), 403);
    write(&json!({}));
    assert_eq!(status(), 200);
    policy(&stage.root, "reader", r#"path "secret/data/none" { capabilities = ["read"] }"#);
    assert_eq!(status(), 403);
    policy(&stage.root, "reader", r#"path "secret/data/app/*" { capabilities = ["read"] }"#);
    assert_eq!(status(), 200);
    write(&json!({"require_crl": true}));
    assert_eq!(status(), 403);
    let crl = authority.crl(&[], (crate::support::certificates::BEGIN, crate::support::certificates::FUTURE));
    stage.root.call("POST", "auth/cert/crls/a", Some(&json!({"crl": crl}))).expect(204);
    assert_eq!(status(), 200);
    stage.root.call("DELETE", "auth/cert/crls/a", None).expect(204);
    assert_eq!(status(), 403);
    write(&json!({"require_crl": false}));
    assert_eq!(status(), 200);
    stage.root.call("DELETE", "auth/cert/certs/web", None).expect(204);
    assert_eq!(status(), 403);
}

fn a_certificate_that_ends_is_nobody_on_a_standing_connection(server: &mut Server) {
    let stage = Stage::new(server);
    let (authority, _) = ready(&stage);
    let until = now() + 4;
    let client = stage.showing(&authority.sign(&Leaf { until, ..Leaf::new() }), &[]);
    let mut session = client.session().unwrap();
    let mut status = || session.send("GET", "/v1/secret/data/app/db", &[], b"").unwrap().status;
    assert_eq!(status(), 200);
    while now() <= until {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert_eq!(status(), 403);
    read(&client).expect(403);
}

fn now() -> u64 {
    use strongroom::time::Clock as _;
    u64::try_from(strongroom::time::SystemClock.now().unix_seconds()).unwrap()
}

fn only_the_namespace_of_the_request_counts(server: &mut Server) {
    let stage = Stage::new(server);
    let (authority, client) = ready(&stage);
    let team = namespace(&stage.root, "team");
    mount(&team, "secret");
    put(&team, "app/db", &json!({"k": "team"}));
    policy(&team, "reader", r#"path "secret/data/app/*" { capabilities = ["read"] }"#);
    policy(&stage.root, "reader", r#"path "*" { capabilities = ["read"] }"#);
    read(&client).expect(200);
    read(&client.in_namespace("team")).expect(403);
    client.call("GET", "team/secret/data/app/db", None).expect(403);
    enable(&team);
    role(&team, "web", &authority.pem(), &json!({"tokenless": true}));
    assert_eq!(read(&client.in_namespace("team")).expect(200).json()["data"]["data"]["k"], "team");
    client.call("GET", "team/secret/data/app/db", None).expect(200);
    client.in_namespace("nowhere").call("GET", "secret/data/app/db", None).expect(403);
    // A locked namespace answers nobody.
    stage.root.call("POST", "sys/namespaces/api-lock/lock/team", None).expect(200);
    assert_eq!(read(&client.in_namespace("team")).status, 503);
}

fn the_entity_of_the_holder_counts_if_there_is_one(server: &mut Server) {
    let stage = Stage::new(server);
    let (_, client) = ready(&stage);
    read(&client).expect(200);
    assert_eq!(stage.root.call("LIST", "identity/entity/id", None).status, 404, "none is made");
    let auth = login(&client, "web").expect(200).json()["auth"].clone();
    let entity = format!("identity/entity/id/{}", auth["entity_id"].as_str().unwrap());
    client.call("GET", "secret/data/other/x", None).expect(403);
    stage.root.call("POST", &entity, Some(&json!({"policies": ["other"]}))).expect(204);
    client.call("GET", "secret/data/other/x", None).expect(404);
    stage.root.call("POST", &entity, Some(&json!({"disabled": true}))).expect(204);
    read(&client).expect(403);
    super::fails(&login(&client, "web"), "a disabled entity");
}
