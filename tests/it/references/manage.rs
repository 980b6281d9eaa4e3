//! References that are listed, described, rotated, revoked, and carried along by a move; and input that is wrong.

use std::collections::BTreeSet;

use serde_json::json;

use super::{DENIED, holder, made, mint, password, post, resolve, stage, worker};
use crate::support::client::{Client, Reply};
use crate::support::fixture::put;
use crate::support::server::Server;
use crate::support::{full, on_stores};

on_stores! {
    references_are_listed_described_rotated_and_revoked,
    a_removed_secret_takes_its_references_along,
    a_moved_secret_keeps_its_versions_and_references,
    moving_needs_rights_at_both_ends,
    bad_input_is_told_and_changes_nothing,
}

fn references_are_listed_described_rotated_and_revoked(server: &mut Server) {
    let root = stage(server);
    let standing = put_for_reference(&root, "app");
    root.call("LIST", "sys/references", None).expect(404);
    let (client, entity) = worker(&root, "w");
    let minted = mint(&root, &json!({"path": "secret/data/app", "field": "password"}));
    let bound = made(post(&root, "bind/secret/data/app", &json!({"entities": [entity], "purpose": "p", "uses": 3})));
    let keys = |reply: Reply| -> BTreeSet<String> {
        let keys = reply.expect(200).json()["data"]["keys"].clone();
        keys.as_array().unwrap().iter().map(|key| key.as_str().unwrap().to_owned()).collect()
    };
    let describe = |reference: &str| post(&root, "describe", &json!({"reference": reference}));
    let id = |reference: &str| describe(reference).expect(200).json()["data"]["id"].as_str().unwrap().to_owned();
    let listed = keys(root.call("LIST", "sys/references", None));
    assert_eq!(listed, BTreeSet::from([id(&minted), id(&bound)]));
    assert_eq!(keys(post(&root, "search", &json!({"path": "secret/data/app"}))), &listed | &BTreeSet::from([id(&standing)]));
    assert_eq!(keys(post(&root, "search", &json!({"entity": entity}))), BTreeSet::from([id(&bound)]));
    post(&root, "search", &json!({"entity": "nobody"})).expect(404);
    post(&root, "search", &json!({"path": "secret/data/none"})).expect(404);

    let told = describe(&bound).expect(200);
    let text = String::from_utf8_lossy(&told.body).into_owned();
    assert!(!text.contains("sref_") && !text.contains("one"), "{text}");
    let told = told.json()["data"].clone();
    assert_eq!((&told["path"], &told["entities"], &told["uses_left"]), (&json!("secret/data/app"), &json!([entity]), &json!(3)));
    assert_eq!((&told["purpose"], &told["standing"]), (&json!("p"), &json!(false)));
    assert_eq!(describe(&standing).expect(200).json()["data"]["standing"], true);

    // Rotated: another text, the same conditions.
    let new = made(post(&root, "rotate", &json!({"id": id(&bound)})));
    describe(&bound).expect(404);
    let as_bound = |reference: &str| post(&client, "resolve", &json!({"reference": reference, "purpose": "p"}));
    as_bound(&bound).expect(403);
    as_bound(&new).expect(200);
    resolve(&root, &new).expect(403);
    assert_eq!(keys(post(&root, "search", &json!({"entity": entity}))), BTreeSet::from([id(&new)]));
    let other = made(post(&root, "rotate", &json!({"reference": standing})));
    resolve(&root, &standing).expect(403);
    assert_eq!(password(&root, &other), "one");
    assert_eq!(put_for_reference(&root, "app"), other);

    assert_eq!(post(&root, "revoke", &json!({"reference": minted})).expect(200).json()["data"]["revoked"], 1);
    resolve(&root, &minted).expect(403);
    post(&root, "revoke", &json!({"reference": minted})).expect(404);
    assert_eq!(post(&root, "revoke", &json!({"path": "secret/data/app"})).expect(200).json()["data"]["revoked"], 2);
    as_bound(&new).expect(403);
    resolve(&root, &other).expect(403);
    root.call("LIST", "sys/references", None).expect(404);
    let fresh = put_for_reference(&root, "app");
    assert!(fresh != other && fresh != standing);
    assert_eq!(password(&root, &fresh), "one");
}

/// Writes, and returns the standing reference.
fn put_for_reference(client: &Client, path: &str) -> String {
    let body = json!({"data": {"user": "u", "password": "one"}});
    made(client.call("POST", &format!("secret/data/{path}"), Some(&body)))
}

fn a_removed_secret_takes_its_references_along(server: &mut Server) {
    let root = stage(server);
    let reference = mint(&root, &json!({"path": "secret/data/app"}));
    root.call("DELETE", "secret/metadata/app", None).expect(204);
    assert_eq!(resolve(&root, &reference).expect(403).errors(), [DENIED]);
    root.call("LIST", "sys/references", None).expect(404);
    put(&root, "app", &json!({"password": "another secret"}));
    resolve(&root, &reference).expect(403);
}

fn a_moved_secret_keeps_its_versions_and_references(server: &mut Server) {
    let root = stage(server);
    let standing = put_for_reference(&root, "app");
    let pinned = mint(&root, &json!({"path": "secret/data/app", "version": 1}));
    let custom = json!({"custom_metadata": {"owner": "x"}, "max_versions": 4});
    root.call("POST", "secret/metadata/app", Some(&custom)).expect(204);
    root.call("POST", "sys/mounts/kv", Some(&json!({"type": "kv-v2"}))).expect(204);
    let etag = |reference: &str| resolve(&root, reference).expect(200).header("etag").unwrap().to_owned();
    let tags = (etag(&standing), etag(&pinned));
    let metadata = |path: &str| root.call("GET", path, None).expect(200).json()["data"].clone();
    let before = metadata("secret/metadata/app");
    let mut at = "secret/data/app".to_owned();
    for (to, shown) in [
        ("secret/data/deep/er/app", "secret/metadata/deep/er/app"),
        ("kv/data/app", "kv/metadata/app"),
        ("secret/data/back", "secret/metadata/back"),
    ] {
        root.call("POST", "sys/secrets/move", Some(&json!({"from": at, "to": to}))).expect(204);
        root.call("GET", &at, None).expect(404);
        assert_eq!(root.call("GET", to, None).expect(200).json()["data"]["data"]["password"], "one");
        assert_eq!(metadata(shown), before);
        assert_eq!((etag(&standing), etag(&pinned)), tags);
        assert_eq!(post(&root, "describe", &json!({"reference": pinned})).expect(200).json()["data"]["path"], to);
        to.clone_into(&mut at);
    }
    assert_eq!(root.call("LIST", "secret/metadata", None).expect(200).json()["data"]["keys"], json!(["back"]));
    root.call("LIST", "kv/metadata", None).expect(404);
    // It goes on as the same secret: another version, and its end.
    put(&root, "back", &json!({"password": "two"}));
    assert_eq!((password(&root, &standing).as_str(), password(&root, &pinned).as_str()), ("two", "one"));
    root.call("DELETE", "secret/metadata/back", None).expect(204);
    resolve(&root, &pinned).expect(403);
    root.call("LIST", "sys/references", None).expect(404);
}

fn moving_needs_rights_at_both_ends(server: &mut Server) {
    let root = stage(server);
    put(&root, "taken", &json!({"k": "v"}));
    let rule = |path: &str, capabilities: &str| format!("path \"{path}\" {{ capabilities = [{capabilities}] }}\n");
    let (own, read) = (rule("sys/secrets/move", "\"update\""), rule("secret/data/app", "\"read\""));
    let (delete, create) = (rule("secret/metadata/app", "\"delete\""), rule("secret/data/to", "\"create\""));
    let body = json!({"from": "secret/data/app", "to": "secret/data/to"});
    for (name, rules) in [
        ("a", [&read, &delete, &create].map(String::as_str).concat()),
        ("b", [&own, &delete, &create].map(String::as_str).concat()),
        ("c", [&own, &read, &create].map(String::as_str).concat()),
        ("d", [&own, &read, &delete].map(String::as_str).concat()),
    ] {
        holder(&root, name, &rules).call("POST", "sys/secrets/move", Some(&body)).expect(403);
    }
    for (from, to, status) in [
        ("secret/data/app", "secret/data/taken", 400),
        ("secret/data/app", "secret/data/app", 400),
        ("secret/data/none", "secret/data/to", 404),
        ("secret/metadata/app", "secret/data/to", 400),
        ("secret/data/app", "nosuch/data/to", 400),
        ("secret/data/app", "cubbyhole/to", 400),
        ("secret/data/app/", "secret/data/to", 400),
        ("secret/data/../app", "secret/data/to", 400),
    ] {
        let reply = root.call("POST", "sys/secrets/move", Some(&json!({"from": from, "to": to})));
        assert_eq!(reply.status, status, "{from} {to}: {reply:?}");
    }
    for body in [json!({}), json!({"from": "secret/data/app"}), json!({"from": 7, "to": []})] {
        root.call("POST", "sys/secrets/move", Some(&body)).expect(400);
    }
    let all = [own, read, delete, create].concat();
    holder(&root, "all", &all).call("POST", "sys/secrets/move", Some(&body)).expect(204);
}

fn bad_input_is_told_and_changes_nothing(server: &mut Server) {
    let root = stage(server);
    let path = "secret/data/app";
    let long = "x".repeat(257);
    let many: Vec<String> = (0..65).map(|at| format!("e{at}")).collect();
    for (verb, body) in [
        ("mint", json!({})),
        ("mint", json!({"path": ""})),
        ("mint", json!({"path": "secret/data/none"})),
        ("mint", json!({"path": "secret/app"})),
        ("mint", json!({"path": "secret/data/app/"})),
        ("mint", json!({"path": "secret//data"})),
        ("mint", json!({"path": "sys/mounts"})),
        ("mint", json!({"path": "nosuch/a"})),
        ("mint", json!({"path": path, "version": 2})),
        ("mint", json!({"path": path, "version": -1})),
        ("mint", json!({"path": path, "version": "x"})),
        ("mint", json!({"path": path, "uses": -1})),
        ("mint", json!({"path": path, "ttl": "soon"})),
        ("mint", json!({"path": path, "ttl": "1h", "expires": "2200-01-01T00:00:00Z"})),
        ("mint", json!({"path": path, "expires": "2001-01-01T00:00:00Z"})),
        ("mint", json!({"path": path, "expires": "tomorrow"})),
        ("mint", json!({"path": path, "not_before": "2200-01-02T00:00:00Z", "expires": "2200-01-01T00:00:00Z"})),
        ("mint", json!({"path": path, "purpose": long})),
        ("mint", json!({"path": path, "field": long})),
        ("bind/secret/data/app", json!({})),
        ("bind/secret/data/app", json!({"entities": []})),
        ("bind/secret/data/app", json!({"entities": ["a/b"]})),
        ("bind/secret/data/app", json!({"certificates": ["a"]})),
        ("bind/secret/data/app", json!({"uri_sans": ["no uri"]})),
        ("bind/secret/data/app", json!({"entities": many})),
        ("bind/secret/data/none", json!({"entities": ["e"]})),
        ("bind", json!({"entities": ["e"]})),
        ("resolve", json!({"references": []})),
        ("resolve", json!({"references": "x"})),
        ("resolve", json!({"references": [7]})),
        ("resolve", json!({"references": [{"purpose": "p"}]})),
        ("resolve", json!({"references": ["x"], "reference": "x"})),
        ("resolve", json!({"reference": "sref_UIDBU3QJMLU2TUTTZ4RQ25FKUKEX6VR5"})),
        ("describe", json!({})),
        ("describe", json!({"id": "x"})),
        ("describe", json!({"reference": "sref_x"})),
        ("rotate", json!({"id": "A".repeat(64)})),
        ("revoke", json!({})),
        ("revoke", json!({"path": "secret/data/none/"})),
        ("revoke", json!({"path": path, "id": "a".repeat(64)})),
        ("search", json!({})),
        ("search", json!({"path": path, "entity": "e"})),
    ] {
        let reply = post(&root, verb, &body);
        assert_eq!(reply.status, 400, "{verb} {body}: {reply:?}");
        assert!(!reply.errors()[0].is_empty());
    }
    post(&root, "describe", &json!({"id": "a".repeat(64)})).expect(404);
    root.call("LIST", "sys/references", None).expect(404);
    // So many references a secret can have, and no more.
    if full() {
        for _ in 0..256 {
            mint(&root, &json!({"path": path}));
        }
        post(&root, "mint", &json!({"path": path})).expect(400);
        root.call("DELETE", "secret/metadata/app", None).expect(204);
        root.call("LIST", "sys/references", None).expect(404);
    }
}
