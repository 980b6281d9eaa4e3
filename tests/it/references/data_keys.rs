//! Data keys that references resolve to: made once, fetched again by those they are for, ended with their Transit key.

use serde_json::{Value, json};

use super::{DENIED, RESOLVES, holder, made, post, resolve, worker};
use crate::support::client::{Client, Reply};
use crate::support::fixture::{namespace, policy};
use crate::support::on_stores;
use crate::support::server::Server;
use crate::transit::{TEXT, read, stage, write};

on_stores! {
    a_data_key_is_fetched_again_by_its_reference,
    a_data_key_for_others_needs_the_right_to_bind,
    references_to_data_keys_are_managed_like_others,
    data_keys_end_with_their_transit_key,
    wrong_conditions_make_no_data_key,
}

const PATH: &str = "transit/datakey/reference/orders";

fn data_key(client: &Client, body: &Value) -> Reply {
    client.call("POST", PATH, Some(body))
}

/// What a reference resolves to.
#[track_caller]
fn fetched(client: &Client, reference: &str) -> Value {
    resolve(client, reference).expect(200).json()["data"].clone()
}

/// Waits until no reference is left: jobs clear away in the background.
fn wait_until_cleared(root: &Client) {
    for _ in 0..100 {
        if root.call("LIST", "sys/references", None).status == 404 {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    panic!("references are left");
}

fn a_data_key_is_fetched_again_by_its_reference(server: &mut Server) {
    let root = stage(server);
    write(&root, "keys/orders", &json!({}));
    let made = data_key(&root, &json!({"bits": 512, "associated_data": TEXT})).expect(200).json()["data"].clone();
    let reference = made["reference"].as_str().unwrap();
    assert_eq!(data_encoding::BASE64.decode(made["plaintext"].as_str().unwrap().as_bytes()).unwrap().len(), 64);
    let opened = write(&root, "decrypt/orders", &json!({"ciphertext": made["ciphertext"], "associated_data": TEXT}));
    assert_eq!(opened["plaintext"], made["plaintext"]);

    let key = json!({"plaintext": made["plaintext"], "ciphertext": made["ciphertext"], "key_version": 1});
    assert_eq!(fetched(&root, reference), json!({"data": key, "metadata": null}));
    // Whatever becomes of the Transit key's versions.
    write(&root, "keys/orders/rotate", &json!({}));
    write(&root, "keys/orders/config", &json!({"min_decryption_version": 2, "min_encryption_version": 2}));
    write(&root, "keys/orders/trim", &json!({"min_available_version": 2}));
    assert_eq!(fetched(&root, reference)["data"], key);

    let second = data_key(&root, &json!({})).expect(200).json()["data"].clone();
    assert_eq!(second["key_version"], 2);
    assert_ne!(second["plaintext"], made["plaintext"]);
    let all = post(&root, "resolve", &json!({"references": [reference, second["reference"]]})).expect(200).json();
    let results = &all["data"]["results"];
    assert_eq!((&results[0]["data"]["data"], &results[1]["data"]["data"]["plaintext"]), (&key, &second["plaintext"]));
    let asked = json!({"references": [{"reference": reference, "etag": results[0]["etag"]}]});
    assert_eq!(post(&root, "resolve", &asked).expect(200).json()["data"]["results"][0]["status"], 304);

    // Whoever may make one may not read others' by that; who may read the path may.
    let maker = holder(&root, "makes", &format!("{RESOLVES}\npath \"{PATH}\" {{ capabilities = [\"update\"] }}"));
    let own = super::made(data_key(&maker, &json!({})));
    assert_eq!(resolve(&maker, &own).expect(403).errors(), [DENIED]);
    let reader = holder(&root, "reads", &format!("{RESOLVES}\npath \"{PATH}\" {{ capabilities = [\"read\"] }}"));
    data_key(&reader, &json!({})).expect(403);
    assert_eq!(fetched(&reader, reference)["data"], key);
    resolve(&namespace(&root, "acme"), reference).expect(403);
}

fn a_data_key_for_others_needs_the_right_to_bind(server: &mut Server) {
    let root = stage(server);
    write(&root, "keys/orders", &json!({}));
    let (client, entity) = worker(&root, "w");
    let making = format!("path \"{PATH}\" {{ capabilities = [\"update\"] }}");
    let binding = format!("path \"sys/references/bind/{PATH}\" {{ capabilities = [\"update\"] }}");
    let bound = json!({"entities": [entity], "purpose": "sync", "uses": 2});
    let maker = holder(&root, "makes", &making);
    data_key(&maker, &bound).expect(403);
    root.call("LIST", "sys/references", None).expect(404);
    data_key(&maker, &json!({})).expect(200);
    let binder = holder(&root, "binds", &format!("{making}\n{binding}"));
    let made = data_key(&binder, &bound).expect(200).json()["data"].clone();
    let reference = &made["reference"];
    let as_worker = |purpose: &str| post(&client, "resolve", &json!({"reference": reference, "purpose": purpose}));
    as_worker("another").expect(403);
    // To everybody else it looks like one that does not exist.
    let none = post(&root, "resolve", &json!({"reference": "sref_uidbu3qjmlu2tuttz4rq25fkukex6vr5", "purpose": "sync"}));
    let seen = post(&root, "resolve", &json!({"reference": reference, "purpose": "sync"}));
    assert_eq!((seen.status, &seen.body), (403, &none.body));
    assert_eq!(as_worker("sync").expect(200).json()["data"]["data"]["plaintext"], made["plaintext"]);
    policy(&root, "resolves", &format!("{RESOLVES}\npath \"{PATH}\" {{ capabilities = [\"deny\"] }}"));
    as_worker("sync").expect(403);
    policy(&root, "resolves", RESOLVES);
    as_worker("sync").expect(200);
    as_worker("sync").expect(403);
}

fn references_to_data_keys_are_managed_like_others(server: &mut Server) {
    let root = stage(server);
    write(&root, "keys/orders", &json!({}));
    let (client, entity) = worker(&root, "w");
    let body = json!({"entities": [entity], "ttl": "1h"});
    let made_of = |body: &Value| made(data_key(&root, body));
    let (bound, open) = (made_of(&body), made_of(&json!({})));
    let told = post(&root, "describe", &json!({"reference": bound})).expect(200);
    assert!(!String::from_utf8_lossy(&told.body).contains("plaintext"), "{told:?}");
    let told = told.json()["data"].clone();
    assert_eq!((&told["path"], &told["entities"], &told["standing"]), (&json!(PATH), &json!([entity]), &json!(false)));
    let found = |query: Value| {
        let found = post(&root, "search", &query).expect(200).json();
        found["data"]["keys"].as_array().unwrap().len()
    };
    assert_eq!((found(json!({"path": PATH})), found(json!({"entity": entity}))), (2, 1));
    let new = made(post(&root, "rotate", &json!({"reference": bound})));
    resolve(&client, &bound).expect(403);
    let key = fetched(&client, &new);
    assert_eq!(key["data"]["key_version"], 1);
    post(&root, "revoke", &json!({"reference": new})).expect(200);
    resolve(&client, &new).expect(403);
    assert!(fetched(&root, &open)["data"]["plaintext"].is_string(), "the other one goes on");
    // A data key has one reference, and no other place to be.
    let said = post(&root, "mint", &json!({"path": PATH})).expect(400).errors();
    assert!(said[0].contains("when it is made"), "{said:?}");
    post(&root, "bind/transit/datakey/reference/orders", &json!({"entities": [entity]})).expect(400);
    root.call("POST", "sys/mounts/kv", Some(&json!({"type": "kv-v2"}))).expect(204);
    root.call("POST", "sys/secrets/move", Some(&json!({"from": PATH, "to": "kv/data/a"}))).expect(400);
    made_of(&json!({}));
    assert_eq!(post(&root, "revoke", &json!({"path": PATH})).expect(200).json()["data"]["revoked"], 2);
    resolve(&root, &open).expect(403);
    root.call("LIST", "sys/references", None).expect(404);
}

fn data_keys_end_with_their_transit_key(server: &mut Server) {
    let root = stage(server);
    for end in ["delete", "replace", "unmount"] {
        write(&root, "keys/orders", &json!({}));
        let references: Vec<String> = (0..40).map(|_| made(data_key(&root, &json!({})))).collect();
        fetched(&root, &references[39]);
        let lenient = json!({"deletion_allowed": true, "exportable": true, "allow_plaintext_backup": true});
        write(&root, "keys/orders/config", &lenient);
        match end {
            "delete" => root.call("DELETE", "transit/keys/orders", None).expect(204),
            "replace" => {
                let backup = read(&root, "backup/orders")["backup"].clone();
                write(&root, "restore/orders", &json!({"backup": backup, "force": true}));
                root.call("GET", "transit/keys/orders", None).expect(200)
            }
            _ => root.call("DELETE", "sys/mounts/transit", None).expect(204),
        };
        let gone = resolve(&root, &references[0]);
        assert!(matches!(gone.status, 403 | 404), "{end}: {gone:?}");
        if end == "delete" {
            // Another key of that name is not the one that they belong to.
            write(&root, "keys/orders", &json!({}));
            assert!(matches!(resolve(&root, &references[39]).status, 403 | 404), "{end}");
        }
        wait_until_cleared(&root);
        assert_eq!(resolve(&root, &references[0]).expect(403).errors(), [DENIED]);
    }
}

fn wrong_conditions_make_no_data_key(server: &mut Server) {
    let root = stage(server);
    write(&root, "keys/orders", &json!({}));
    write(&root, "keys/signs", &json!({"type": "ed25519"}));
    for (key, body) in [
        ("orders", json!({"bits": 7})),
        ("orders", json!({"uses": -1})),
        ("orders", json!({"ttl": "soon"})),
        ("orders", json!({"ttl": "1h", "expires": "2200-01-01T00:00:00Z"})),
        ("orders", json!({"expires": "2001-01-01T00:00:00Z"})),
        ("orders", json!({"entities": ["a/b"]})),
        ("orders", json!({"subjects": ["*"]})),
        ("orders", json!({"subjects": [""]})),
        ("orders", json!({"subjects": ["x".repeat(513)]})),
        ("orders", json!({"key_version": 2})),
        ("signs", json!({})),
        ("none", json!({})),
    ] {
        let reply = root.call("POST", &format!("transit/datakey/reference/{key}"), Some(&body));
        assert_eq!(reply.status, 400, "{key} {body}: {reply:?}");
    }
    root.call("LIST", "sys/references", None).expect(404);
}
