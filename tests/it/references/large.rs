//! Batches that are large enough to be written while their events reach the disk. What is written then was opened before: each is asked
//! for often enough that it is in memory.

use serde_json::{Value, json};

use super::{RESOLVES, holder, mint, post, resolve, stage};
use crate::support::client::Client;
use crate::support::fixture::{at_once, count, put};
use crate::support::on_stores;
use crate::support::server::Server;

on_stores! {
    a_large_batch_says_what_each_reference_says_alone,
    a_large_batch_follows_what_is_written,
    a_large_batch_can_be_put_away,
    large_batches_of_many_are_each_their_own,
}

/// How often a batch is asked for: the first time nothing is in memory, the second time not all is known of it.
const TIMES: usize = 4;

/// Secrets, and a reference to each.
fn secrets(root: &Client, count: usize) -> Vec<String> {
    let reference = |at: usize| {
        put(root, &format!("large/{at}"), &json!({"password": format!("value {at}"), "user": "u"}));
        mint(root, &json!({"path": format!("secret/data/large/{at}")}))
    };
    (0..count).map(reference).collect()
}

#[track_caller]
fn batch(client: &Client, references: &[String]) -> Vec<Value> {
    let all = post(client, "resolve", &json!({"references": references})).expect(200).json();
    let results = all["data"]["results"].as_array().unwrap().clone();
    assert_eq!(results.len(), references.len());
    results
}

/// What the log says of the newest resolved references, oldest first.
fn logged(root: &Client, count: usize) -> Vec<Value> {
    let log = root.call("GET", &format!("sys/audit-log?path=sys/references/resolve&limit={count}"), None).expect(200).json();
    let mut events = log["data"]["events"].as_array().unwrap().clone();
    events.sort_by_key(|event| event["index"].as_u64().unwrap());
    events.iter().map(|event| event["event"]["status"].clone()).collect()
}

fn a_large_batch_says_what_each_reference_says_alone(server: &mut Server) {
    let root = stage(server);
    let mut references = secrets(&root, 20);
    put(&root, "large/0", &json!({"password": "second", "user": "u"}));
    put(&root, "gone", &json!({"k": "v"}));
    root.call("POST", "sys/mounts/old", Some(&json!({"type": "kv"}))).expect(204);
    root.call("POST", "old/a", Some(&json!({"password": "one"}))).expect(204);
    for target in [
        json!({"path": "secret/data/large/0", "version": 1}),
        json!({"path": "secret/data/large/1", "field": "password"}),
        json!({"path": "secret/data/large/2", "field": "absent"}),
        json!({"path": "secret/data/gone"}),
        json!({"path": "secret/data/app"}),
        json!({"path": "old/a"}),
        json!({"path": "old/a", "field": "password"}),
    ] {
        references.push(mint(&root, &target));
    }
    root.call("DELETE", "secret/data/gone", None).expect(204);
    references.push("sref_cut".to_owned());
    let rules = ["secret/data/large/*", "secret/data/gone", "old/a"];
    let rules = rules.map(|path| format!("path \"{path}\" {{ capabilities = [\"read\"] }}")).join("\n");
    let reader = holder(&root, "reads-large", &format!("{RESOLVES}\n{rules}"));
    for _ in 0..TIMES {
        let results = batch(&reader, &references);
        let answered: Vec<&Value> = results.iter().map(|item| &item["status"]).collect();
        assert_eq!(logged(&root, references.len()), answered.into_iter().cloned().collect::<Vec<_>>());
        for (item, reference) in results.iter().zip(&references) {
            let alone = resolve(&reader, reference);
            assert_eq!((&item["reference"], &item["status"]), (&json!(reference), &json!(alone.status)), "{reference}");
            let body = alone.json();
            assert_eq!(item["data"], body.get("data").cloned().unwrap_or_default());
            let tag = item["etag"].as_str().unwrap_or_default();
            let tag_alone = alone.header("etag").unwrap_or_default().trim_matches('"');
            assert_eq!(tag, tag_alone);
            assert_eq!(item["error"].is_null(), body.get("errors").is_none());
        }
    }
}

fn a_large_batch_follows_what_is_written(server: &mut Server) {
    let root = stage(server);
    let references = secrets(&root, 40);
    let passwords = |root: &Client| -> Vec<Value> {
        batch(root, &references).iter().map(|item| item["data"]["data"]["password"].clone()).collect()
    };
    let mut written: Vec<Value> = (0..40).map(|at| json!(format!("value {at}"))).collect();
    for round in 0..TIMES {
        for _ in 0..TIMES {
            assert_eq!(passwords(&root), written);
        }
        put(&root, &format!("large/{round}"), &json!({"password": format!("round {round}")}));
        written[round] = json!(format!("round {round}"));
        // What is deleted is not there from the next request on.
        root.call("DELETE", &format!("secret/data/large/{}", 39 - round), None).expect(204);
        written[39 - round] = Value::Null;
    }
    assert_eq!(passwords(&root), written);
}

fn a_large_batch_can_be_put_away(server: &mut Server) {
    let root = stage(server);
    let references = secrets(&root, 20);
    let body = json!({"references": references}).to_string();
    for _ in 0..TIMES {
        let results = batch(&root, &references);
        let sent = root.send("POST", "/v1/sys/references/resolve", &[("X-Vault-Wrap-TTL", "60")], body.as_bytes());
        let sent = sent.expect(200);
        assert!(!String::from_utf8_lossy(&sent.body).contains("value 7"));
        let token = sent.json()["wrap_info"]["token"].as_str().unwrap().to_owned();
        let out = root.with_token(&token).call("POST", "sys/wrapping/unwrap", None).expect(200).json();
        assert_eq!(out["data"]["results"], json!(results));
    }
}

/// More at once than are written while their group reaches the disk.
fn large_batches_of_many_are_each_their_own(server: &mut Server) {
    const CLIENTS: usize = 16;
    let root = stage(server);
    let references = secrets(&root, CLIENTS + 20);
    let body = |at: usize| json!({"references": &references[at..at + 20]}).to_string();
    let clients = vec![root.clone(); CLIENTS];
    for _ in 0..TIMES {
        let replies =
            at_once(&clients, |at, session| session.send("POST", "/v1/sys/references/resolve", &[], body(at).as_bytes()));
        assert_eq!(count(&replies, 200), CLIENTS);
        for (at, reply) in replies.iter().enumerate() {
            let results = reply.json()["data"]["results"].clone();
            let found: Vec<&Value> = (0..20).map(|item| &results[item]["data"]["data"]["password"]).collect();
            let wanted: Vec<Value> = (at..at + 20).map(|number| json!(format!("value {number}"))).collect();
            assert_eq!(found, wanted.iter().collect::<Vec<_>>());
        }
    }
}
