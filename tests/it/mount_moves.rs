//! Moving a mount: its records stay valid, references go on meaning the same secrets, and nothing leaves its namespace.

use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::fixture::{mount, namespace, policy, ready, token};
use crate::support::on_stores;
use crate::support::server::Server;

on_stores! {
    what_a_mount_keeps_moves_with_it,
    what_cannot_be_moved_is_refused_and_stays,
    settings_come_back_as_they_were_written,
}

fn remount(client: &Client, from: &str, to: &str) -> crate::support::client::Reply {
    client.call("POST", "sys/remount", Some(&json!({"from": from, "to": to})))
}

fn what_a_mount_keeps_moves_with_it(server: &mut Server) {
    let root = ready(server);
    let written = root.call("POST", "secret/data/a", Some(&json!({"data": {"k": "v"}}))).expect(200).json();
    let reference = &written["data"]["reference"];
    let accessor = root.call("GET", "sys/mounts/secret", None).expect(200).json()["data"]["accessor"].clone();
    let moved = remount(&root, "secret/", "deep/er").expect(200).json();
    assert_eq!(moved["migration_id"], moved["data"]["migration_id"]);
    let id = moved["migration_id"].as_str().unwrap();
    let status = root.call("GET", &format!("sys/remount/status/{id}"), None).expect(200).json();
    let info = json!({"source_mount": "secret/", "target_mount": "deep/er/", "status": "success"});
    assert_eq!(status["data"], json!({"migration_id": id, "migration_info": info}));
    root.call("GET", "sys/remount/status/nosuch", None).expect(404);

    root.call("GET", "secret/data/a", None).expect(404);
    let read = |path: &str| root.call("GET", path, None).expect(200).json()["data"]["data"].clone();
    assert_eq!(read("deep/er/data/a"), json!({"k": "v"}));
    let resolved = root.call("POST", "sys/references/resolve", Some(&json!({"reference": reference}))).expect(200).json();
    assert_eq!(resolved["data"]["data"], json!({"k": "v"}));
    assert_eq!(root.call("GET", "sys/mounts/deep/er", None).expect(200).json()["data"]["accessor"], accessor);
    // What is mounted at the old path is new.
    mount(&root, "secret");
    root.call("GET", "secret/data/a", None).expect(404);
    // The server's memory is not what made it true.
    server.kill();
    server.come_back();
    assert_eq!(read("deep/er/data/a"), json!({"k": "v"}));
}

fn what_cannot_be_moved_is_refused_and_stays(server: &mut Server) {
    let root = ready(server);
    let team = namespace(&root, "team");
    mount(&team, "kv");
    mount(&root, "other");
    for (from, to, text) in [
        ("nosuch", "x", "no matching mount at \"nosuch/\""),
        ("secret", "other", "path already in use at \"other/\""),
        ("secret", "other/x", "path already in use at \"other/\""),
        ("secret", "secret", "path already in use at \"secret/\""),
        ("secret", "", "both 'from' and 'to' path must be specified as a string"),
        ("sys", "x", "cannot remount \"sys/\""),
        ("secret", "sys/x", "cannot remount to destination sys/x/"),
        ("secret", "auth/x", "cannot remount to destination auth/x/"),
    ] {
        assert_eq!(remount(&root, from, to).expect(400).errors(), [text], "{from} {to}");
    }
    // Another tenant has other keys: neither into it nor out of it.
    for (from, to) in [("secret", "team/kv2"), ("team/kv", "x"), ("team/kv", "team/kv2")] {
        assert!(remount(&root, from, to).expect(400).errors()[0].starts_with("unsupported: a mount cannot be moved"), "{from}");
    }
    policy(&root, "update", r#"path "sys/remount" { capabilities = ["update"] }"#);
    let weak = root.with_token(&token(&root, &json!({"policies": ["update"]})).text);
    remount(&weak, "secret", "x").expect(403);
    for path in ["sys/mounts/secret", "team/sys/mounts/kv"] {
        root.call("GET", path, None).expect(200);
    }
    remount(&team, "kv", "kv2").expect(200);
}

/// Tools that keep what they want of a mount compare it with what they read.
fn settings_come_back_as_they_were_written(server: &mut Server) {
    let root = ready(server);
    let config = json!({"default_lease_ttl": "1h", "max_lease_ttl": "86400", "force_no_cache": true, "listing_visibility": "unauth",
        "audit_non_hmac_request_keys": ["b", "a"], "audit_non_hmac_response_keys": ["c"],
        "passthrough_request_headers": ["X-One"], "allowed_response_headers": ["X-Two"]});
    let body = json!({"type": "kv", "description": "of the team", "local": true, "seal_wrap": true, "external_entropy_access": true,
        "options": {"version": "2"}, "config": config});
    root.call("POST", "sys/mounts/app", Some(&body)).expect(204);
    let data = |path: &str| root.call("GET", path, None).expect(200).json()["data"].clone();
    let mut expected = config.clone();
    expected["default_lease_ttl"] = json!(3600);
    expected["max_lease_ttl"] = json!(86_400);
    let shown = data("sys/mounts/app");
    assert_eq!(shown["config"], expected);
    for field in ["type", "description", "local", "seal_wrap", "external_entropy_access", "options"] {
        assert_eq!(shown[field], body[field], "{field}");
    }
    assert_eq!(data("sys/mounts")["app/"], shown);
    expected["description"] = json!("of the team");
    expected["options"] = json!({"version": "2"});
    assert_eq!(data("sys/mounts/app/tune"), expected);

    // In all three spellings; what is not named stays, what is empty goes.
    for path in ["sys/auth/token/tune", "sys/mounts/auth/token/tune"] {
        root.call("POST", path, Some(&json!({"description": path, "default_lease_ttl": "2h"}))).expect(204);
        assert_eq!(data("sys/auth/token/tune"), data("sys/mounts/auth/token/tune"));
        assert_eq!((&data(path)["description"], &data(path)["default_lease_ttl"]), (&json!(path), &json!(7200)));
    }
    assert_eq!(data("sys/auth/token"), data("sys/mounts/auth/token"));
    let change = json!({"listing_visibility": "", "audit_non_hmac_request_keys": [], "max_lease_ttl": "system"});
    root.call("POST", "sys/mounts/app/tune", Some(&change)).expect(204);
    let config = data("sys/mounts/app")["config"].clone();
    assert_eq!((&config["max_lease_ttl"], &config["default_lease_ttl"]), (&json!(0), &json!(3600)));
    for gone in ["listing_visibility", "audit_non_hmac_request_keys"] {
        assert_eq!(config[gone], Value::Null, "{gone}");
    }
    for (path, text) in [
        ("sys/auth/nosuch/tune", "tune of path \"auth/nosuch/\" failed: no mount entry found"),
        ("sys/mounts/nosuch/tune", "tune of path \"nosuch/\" failed: no mount entry found"),
    ] {
        assert_eq!(root.call("POST", path, Some(&json!({}))).expect(400).errors(), [text]);
    }
    for (body, text) in [
        (json!({"type": "nosuch"}), "plugin not found in the catalog: nosuch"),
        (json!({"type": "token"}), "token credential backend cannot be instantiated"),
        (json!({}), "backend type must be specified as a string"),
    ] {
        let errors = root.call("POST", "sys/auth/ci", Some(&body)).expect(400).errors();
        assert!(errors[0].starts_with(text), "{errors:?}");
    }
    assert_eq!(root.call("DELETE", "sys/auth/token", None).expect(400).errors(), ["token credential backend cannot be disabled"]);
}
