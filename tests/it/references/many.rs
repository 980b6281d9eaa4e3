//! Many references at once, and one that many use.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{RESOLVES, holder, mint, post, resolve, stage};
use crate::support::fixture::{at_once, count, put};
use crate::support::server::Server;
use crate::support::{full, on_stores};

const WORKERS: usize = 64;

on_stores! {
    a_batch_answers_each_item_on_its_own,
    what_has_not_changed_is_not_sent_again,
    a_batch_leaves_one_event_for_each_item,
    a_reference_is_used_as_often_as_it_may_be,
    references_show_no_structure,
}

fn a_batch_answers_each_item_on_its_own(server: &mut Server) {
    let root = stage(server);
    put(&root, "b", &json!({"password": "b"}));
    let (a, b) = (mint(&root, &json!({"path": "secret/data/app"})), mint(&root, &json!({"path": "secret/data/b"})));
    let gone = mint(&root, &json!({"path": "secret/data/b", "version": 1}));
    put(&root, "b", &json!({"password": "c"}));
    root.call("POST", "secret/destroy/b", Some(&json!({"versions": [1]}))).expect(204);
    let rules = format!("{RESOLVES}\npath \"secret/data/b\" {{ capabilities = [\"read\"] }}");
    let reader = holder(&root, "reads-b", &rules);
    let sent = json!({"references": [b, {"reference": a}, "sref_cut", {"reference": b}, gone, a]});
    let results = post(&reader, "resolve", &sent).expect(200).json()["data"]["results"].clone();
    let results = results.as_array().unwrap();
    let statuses: Vec<u64> = results.iter().map(|item| item["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [200, 403, 400, 200, 404, 403]);
    let echoed: Vec<&str> = results.iter().map(|item| item["reference"].as_str().unwrap()).collect();
    assert_eq!(echoed, [&b, &a, "sref_cut", &b, &gone, &a]);
    assert_eq!(results[0]["data"]["data"], json!({"password": "c"}));
    assert_eq!((&results[1]["data"], &results[1]["etag"]), (&Value::Null, &Value::Null));
    assert!(results[2]["error"].as_str().unwrap().starts_with("malformed reference"));
    assert_eq!(results[4]["data"]["data"], Value::Null);
    let many = vec![b.clone(); 1_000];
    let all = post(&reader, "resolve", &json!({"references": many})).expect(200).json();
    assert_eq!(all["data"]["results"].as_array().unwrap().len(), 1_000);
    let more = vec![b; 1_001];
    post(&reader, "resolve", &json!({"references": more})).expect(400);
}

fn what_has_not_changed_is_not_sent_again(server: &mut Server) {
    let root = stage(server);
    let references: Vec<String> = (0..100)
        .map(|at| {
            put(&root, &format!("many/{at}"), &json!({"password": "hunter2"}));
            mint(&root, &json!({"path": format!("secret/data/many/{at}")}))
        })
        .collect();
    let first = post(&root, "resolve", &json!({"references": references})).expect(200).json();
    let etag = |at: usize| first["data"]["results"][at]["etag"].as_str().unwrap().to_owned();
    assert_eq!((0..100).map(etag).collect::<BTreeSet<_>>().len(), 100);
    let items: Vec<Value> = (0..100).map(|at| json!({"reference": references[at], "etag": etag(at)})).collect();
    let again = post(&root, "resolve", &json!({"references": items})).expect(200);
    assert!(!String::from_utf8_lossy(&again.body).contains("hunter2"));
    let again = again.json();
    for item in again["data"]["results"].as_array().unwrap() {
        assert_eq!((&item["status"], &item["data"]), (&json!(304), &Value::Null));
    }
    put(&root, "many/7", &json!({"password": "new"}));
    let polled = post(&root, "resolve", &json!({"references": items})).expect(200).json();
    let changed: Vec<usize> = (0..100).filter(|at| polled["data"]["results"][*at]["status"] == 200).collect();
    assert_eq!(changed, [7]);

    // One by one: the tag is a header, and comes back in a header or in the body.
    let reply = resolve(&root, &references[0]).expect(200);
    let tag = reply.header("etag").unwrap().to_owned();
    assert_eq!(tag, format!("\"{}\"", etag(0)));
    let body = json!({"reference": references[0]}).to_string();
    let send = |tag: &str| root.send("POST", "/v1/sys/references/resolve", &[("If-None-Match", tag)], body.as_bytes());
    let unchanged = send(&tag).expect(304);
    assert!(unchanged.body.is_empty() && unchanged.header("etag") == Some(tag.as_str()));
    send(&format!("\"x\", W/{tag}")).expect(304);
    send("\"x\"").expect(200);
    post(&root, "resolve", &json!({"reference": references[0], "etag": etag(0)})).expect(304);
    // Two references to one secret have nothing in common, tags included; and who may not resolve one learns nothing by a tag.
    let second = mint(&root, &json!({"path": "secret/data/many/0"}));
    assert_ne!(resolve(&root, &second).expect(200).header("etag").unwrap(), tag);
    let nobody = holder(&root, "nobody", RESOLVES);
    post(&nobody, "resolve", &json!({"reference": references[0], "etag": etag(0)})).expect(403);
}

fn a_batch_leaves_one_event_for_each_item(server: &mut Server) {
    let root = stage(server);
    let mut database = server.tables();
    let mut events = || database.number("SELECT CAST(coalesce(sum(count), 0) AS BIGINT) FROM log");
    let reference = mint(&root, &json!({"path": "secret/data/app"}));
    let before = events();
    resolve(&root, &reference).expect(200);
    assert_eq!(events() - before, 1);
    let before = events();
    post(&root, "resolve", &json!({"references": [reference, "sref_cut", reference]})).expect(200);
    assert_eq!(events() - before, 3);
    let before = events();
    post(&root, "resolve", &json!({"references": [reference, 7]})).expect(400);
    assert_eq!(events() - before, 1, "a batch that is refused as a whole is one request");
}

fn a_reference_is_used_as_often_as_it_may_be(server: &mut Server) {
    let root = stage(server);
    for round in 0..if full() { 40 } else { 2 } {
        let reference = mint(&root, &json!({"path": "secret/data/app", "uses": 5}));
        let body = json!({"reference": reference}).to_string();
        let clients = vec![root.clone(); WORKERS];
        let replies = at_once(&clients, |_, session| session.send("POST", "/v1/sys/references/resolve", &[], body.as_bytes()));
        assert_eq!((count(&replies, 200), count(&replies, 403)), (5, WORKERS - 5), "round {round}");
        let described = post(&root, "describe", &json!({"reference": reference})).expect(200).json();
        assert_eq!((&described["data"]["uses"], &described["data"]["uses_left"]), (&json!(5), &json!(0)));
    }
    // In a batch each item is a use; what is not given out is none.
    let reference = mint(&root, &json!({"path": "secret/data/app", "uses": 2, "purpose": "p"}));
    resolve(&root, &reference).expect(403);
    let item = json!({"reference": reference, "purpose": "p"});
    let batch = post(&root, "resolve", &json!({"references": [item, item, item]})).expect(200).json();
    let statuses: Vec<&Value> = (0..3).map(|at| &batch["data"]["results"][at]["status"]).collect();
    assert_eq!(statuses, [&json!(200), &json!(200), &json!(403)]);
}

/// What is minted for one secret in a row says nothing of its order or of the secret: every symbol at every place is as
/// likely as any other. (A million texts of the generator itself: `reference::tests`.)
fn references_show_no_structure(server: &mut Server) {
    let root = stage(server);
    let mut all: Vec<String> = Vec::new();
    for _ in 0..64 {
        let reference = mint(&root, &json!({"path": "secret/data/app"}));
        post(&root, "revoke", &json!({"reference": reference})).expect(200);
        all.push(reference);
    }
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
    assert!(all.iter().all(|text| text.len() == 37 && text.starts_with("sref_")));
    // No two share so many symbols at the same places: 32 places, each the same with chance 1/32, so 1 on the average.
    let same = |a: &str, b: &str| a.bytes().zip(b.bytes()).skip(5).filter(|(a, b)| a == b).count();
    for (at, a) in all.iter().enumerate() {
        assert!(all.iter().skip(at + 1).all(|b| same(a, b) < 14), "{a}");
    }
}
