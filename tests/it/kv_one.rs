//! KV version 1 over HTTP: what clients rely on, references, and the way to version 2.

use serde_json::json;

use crate::support::client::{Client, Reply};
use crate::support::fixture::{at_once, count, policy, ready, token};
use crate::support::on_stores;
use crate::support::server::Server;

on_stores! {
    values_are_written_read_listed_and_removed,
    bad_requests_change_nothing,
    references_stand_for_secrets_of_both_versions,
    create_and_update_are_told_apart,
    an_upgraded_mount_has_its_values_as_first_versions,
    a_mount_that_is_too_large_is_not_upgraded,
    writes_during_an_upgrade_are_not_lost,
}

fn stage(server: &Server) -> Client {
    let root = ready(server);
    root.call("POST", "sys/mounts/old", Some(&json!({"type": "kv"}))).expect(204);
    root
}

/// Writes, and returns the reference.
#[track_caller]
fn write(client: &Client, path: &str, value: &serde_json::Value) -> String {
    let reply = client.call("POST", path, Some(value)).expect(204);
    assert!(reply.body.is_empty());
    reply.header("x-strongroom-reference").unwrap().to_owned()
}

#[track_caller]
fn invalid(reply: Reply, text: &str) {
    assert_eq!(reply.expect(400).errors(), [text]);
}

fn values_are_written_read_listed_and_removed(server: &mut Server) {
    let root = stage(server);
    for path in ["sys/mounts/old", "sys/internal/ui/mounts/old/a"] {
        let shown = root.call("GET", path, None).expect(200).json();
        assert_eq!((&shown["data"]["type"], &shown["data"]["options"]), (&json!("kv"), &json!({})), "{shown}");
        assert_eq!(shown["data"]["deprecation_status"], "supported");
    }
    let value = json!({"x": 1, "deep": {"a": [null, true, "ü"]}});
    write(&root, "old/a/b", &value);
    let read = root.call("GET", "old/a/b", None).expect(200).json();
    assert_eq!((&read["data"], &read["lease_duration"], &read["renewable"]), (&value, &json!(2_764_800), &json!(false)));
    assert_eq!((&read["lease_id"], &read["warnings"], &read["wrap_info"]), (&json!(""), &json!(null), &json!(null)));

    write(&root, "old/a/b", &json!({"ttl": "30m"}));
    let read = root.call("GET", "old/a/b", None).expect(200).json();
    assert_eq!((&read["data"], &read["lease_duration"]), (&json!({"ttl": "30m"}), &json!(1800)));
    root.call("POST", "sys/mounts/old/tune", Some(&json!({"default_lease_ttl": "1h"}))).expect(204);
    write(&root, "old/c", &json!({"x": 1}));
    assert_eq!(root.call("GET", "old/c", None).expect(200).json()["lease_duration"], 3600);

    let keys = |path: &str, method: &str| root.call(method, path, None).expect(200).json()["data"]["keys"].clone();
    assert_eq!(keys("old", "LIST"), json!(["a/", "c"]));
    assert_eq!(keys("old/a?list=true", "GET"), json!(["b"]));
    assert_eq!(keys("old/?list=true&limit=1&after=a/", "GET"), json!(["c"]));
    assert_eq!(keys("old", "SCAN"), json!(["a/b", "c"]));

    for _ in 0..2 {
        root.call("DELETE", "old/a/b", None).expect(204);
    }
    assert_eq!(root.call("GET", "old/a/b", None).expect(404).errors(), Vec::<String>::new());
    root.call("LIST", "old/a", None).expect(404);
    assert_eq!(root.call("SCAN", "old/a", None).expect(200).json()["data"], json!({}));
    assert_eq!(keys("old", "LIST"), json!(["c"]));

    // Mounting again at the same path begins anew.
    root.call("DELETE", "sys/mounts/old", None).expect(204);
    root.call("POST", "sys/mounts/old", Some(&json!({"type": "kv", "options": {"version": "1"}}))).expect(204);
    assert_eq!(root.call("GET", "sys/mounts/old", None).expect(200).json()["data"]["options"], json!({"version": "1"}));
    root.call("LIST", "old", None).expect(404);
}

fn bad_requests_change_nothing(server: &mut Server) {
    let root = stage(server);
    write(&root, "old/a", &json!({"x": 1}));
    invalid(root.call("POST", "old/a", None), "missing data fields");
    invalid(root.call("POST", "old/a", Some(&json!({}))), "missing data fields");
    invalid(root.call("POST", "old/a/", Some(&json!({"x": 2}))), "cannot write to a path ending in '/'");
    invalid(root.call("POST", "old", Some(&json!({"x": 2}))), "missing path");
    root.call("GET", "old", None).expect(404);
    root.call("GET", "old/a/", None).expect(404);
    root.call("DELETE", "old/a/", None).expect(404);
    let json = [("Content-Type", "application/merge-patch+json")];
    root.send("PATCH", "/v1/old/a", &json, br#"{"x":2}"#).expect(405);
    root.send("POST", "/v1/old/a", &[], br#"{"x":2,"x":3}"#).expect(400);
    root.send("POST", "/v1/old/a", &[], b"[1]").expect(400);
    for version in ["0", "3", "v2", ""] {
        let options = json!({"options": {"version": version}});
        root.call("POST", "sys/mounts/old/tune", Some(&options)).expect(400);
    }
    assert_eq!(root.call("GET", "old/a", None).expect(200).json()["data"], json!({"x": 1}));
}

fn references_stand_for_secrets_of_both_versions(server: &mut Server) {
    let root = stage(server);
    let reference = write(&root, "old/a", &json!({"x": 1}));
    assert_eq!(write(&root, "old/a", &json!({"x": 2})), reference, "it stays for the life of the secret");
    let resolve = |client: &Client| client.call("POST", "sys/references/resolve", Some(&json!({"reference": reference})));
    assert_eq!(resolve(&root).expect(200).json()["data"], json!({"data": {"x": 2}, "metadata": null}));

    let rules = |path: &str| {
        let own = r#"path "sys/references/resolve" { capabilities = ["update"] }"#;
        format!("{own}\npath \"{path}\" {{ capabilities = [\"read\"] }}")
    };
    for (name, path, may) in [("reader", "old/a", true), ("other", "old/data/a", false), ("none", "old/b", false)] {
        policy(&root, name, &rules(path));
        let reader = root.with_token(&token(&root, &json!({"policies": [name]})).text);
        assert_eq!(resolve(&reader).status, if may { 200 } else { 403 }, "{name}");
    }
    root.call("DELETE", "old/a", None).expect(204);
    resolve(&root).expect(403);
    assert_ne!(write(&root, "old/a", &json!({"x": 3})), reference, "another secret at the same path");
    resolve(&root).expect(403);
}

fn create_and_update_are_told_apart(server: &mut Server) {
    let root = stage(server);
    let rules = ["old/*", "cubbyhole/*"].map(|path| format!("path \"{path}\" {{ capabilities = [\"create\"] }}\n"));
    policy(&root, "maker", &rules.concat());
    let maker = root.with_token(&token(&root, &json!({"policies": ["maker"], "no_default_policy": true})).text);
    for path in ["old/a", "cubbyhole/a"] {
        maker.call("POST", path, Some(&json!({"x": 1}))).expect(204);
        maker.call("POST", path, Some(&json!({"x": 2}))).expect(403);
    }
    assert_eq!(root.call("GET", "old/a", None).expect(200).json()["data"], json!({"x": 1}));
}

fn an_upgraded_mount_has_its_values_as_first_versions(server: &mut Server) {
    let root = stage(server);
    let reference = write(&root, "old/a/b", &json!({"x": 1}));
    write(&root, "old/c", &json!({"x": 2}));
    let two = json!({"options": {"version": "2"}});
    for _ in 0..2 {
        root.call("POST", "sys/mounts/old/tune", Some(&two)).expect(204);
    }
    let shown = root.call("GET", "sys/internal/ui/mounts/old", None).expect(200).json();
    assert_eq!(shown["data"]["options"], json!({"version": "2"}));
    let read = root.call("GET", "old/data/a/b", None).expect(200).json();
    assert_eq!((&read["data"]["data"], &read["data"]["metadata"]["version"]), (&json!({"x": 1}), &json!(1)));
    assert_eq!(root.call("LIST", "old/metadata", None).expect(200).json()["data"]["keys"], json!(["a/", "c"]));
    root.call("GET", "old/a/b", None).expect(404);

    let resolved = root.call("POST", "sys/references/resolve", Some(&json!({"reference": reference}))).expect(200).json();
    assert_eq!(resolved["data"]["data"], json!({"x": 1}));
    let written = root.call("POST", "old/data/a/b", Some(&json!({"data": {"x": 3}}))).expect(200).json();
    assert_eq!((&written["data"]["version"], &written["data"]["reference"]), (&json!(2), &json!(reference)));
    invalid(
        root.call("POST", "sys/mounts/old/tune", Some(&json!({"options": {"version": "1"}}))),
        "cannot downgrade mount from version 2",
    );
    root.call("DELETE", "old/metadata/a/b", None).expect(204);
    root.call("POST", "sys/references/resolve", Some(&json!({"reference": reference}))).expect(403);
}

fn a_mount_that_is_too_large_is_not_upgraded(server: &mut Server) {
    let root = stage(server);
    let mut session = root.session().unwrap();
    for number in 0..=strongroom::engine::kv::UPGRADE_MAX {
        session.send("POST", &format!("/v1/old/many/{number}"), &[], br#"{"x":1}"#).unwrap().expect(204);
    }
    let two = json!({"options": {"version": "2"}});
    let refused = root.call("POST", "sys/mounts/old/tune", Some(&two)).expect(400).errors();
    assert!(refused[0].contains("more than 256 secrets"), "{refused:?}");
    root.call("GET", "old/many/0", None).expect(200);
    root.call("DELETE", "old/many/0", None).expect(204);
    root.call("POST", "sys/mounts/old/tune", Some(&two)).expect(204);
    root.call("GET", "old/data/many/256", None).expect(200);

    root.call("POST", "sys/mounts/large", Some(&json!({"type": "kv"}))).expect(204);
    let value = json!({"x": "y".repeat(1_000_000)});
    for number in 0..9 {
        write(&root, &format!("large/{number}"), &value);
    }
    let refused = root.call("POST", "sys/mounts/large/tune", Some(&two)).expect(400).errors();
    assert!(refused[0].contains("more than 8388608 bytes"), "{refused:?}");
    root.call("GET", "large/8", None).expect(200);
    root.call("DELETE", "large/8", None).expect(204);
    root.call("POST", "sys/mounts/large/tune", Some(&two)).expect(204);
    assert_eq!(root.call("GET", "large/data/7", None).expect(200).json()["data"]["data"], value);
}

fn writes_during_an_upgrade_are_not_lost(server: &mut Server) {
    let root = stage(server);
    let clients = vec![root.clone(); 17];
    let replies = at_once(&clients, |at, session| match at {
        16 => session.send("POST", "/v1/sys/mounts/old/tune", &[], br#"{"options":{"version":"2"}}"#),
        _ => session.send("POST", &format!("/v1/old/w{at}"), &[], format!("{{\"x\":{at}}}").as_bytes()),
    });
    // Whoever came after the upgrade hears that this is no path of version 2, and everybody else's value is there.
    assert_eq!(count(&replies, 204) + count(&replies, 404), 17, "{replies:?}");
    for (at, reply) in replies[..16].iter().enumerate() {
        let read = root.call("GET", &format!("old/data/w{at}"), None);
        assert_eq!(read.status, if reply.status == 204 { 200 } else { 404 }, "{at}");
    }
    assert_eq!(replies[16].status, 204);
}
