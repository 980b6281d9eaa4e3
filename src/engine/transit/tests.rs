//! A Transit mount on a real store: real commits, a clock that is set by hand.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::record::{self, TransitUses, uses_address};
use super::{ROTATE_AT, STOP_AT, TABLE, rotate_due, run};
use crate::answer::{Answer, Data, Refusal};
use crate::audit::event::{Event, Word};
use crate::commit::testing::Deployed;
use crate::commit::{Attempt, Committer, Place, Txn, testing};
use crate::engine::table::{Call, Match, Verb, find};
use crate::fields::{Fields, Query};
use crate::id::MountId;
use crate::mount::Engine;
use crate::path::Path;
use crate::time::{ManualClock, Timestamp};

struct Server {
    committer: Committer,
    place: Arc<Place>,
    clock: Arc<ManualClock>,
    _deployed: Deployed,
}

/// What one attempt does.
enum Job {
    Request(Verb, Path, String),
    /// Sets what a version is written down to have encrypted.
    Used(&'static str, u32, u64),
    Rotation,
}

struct Attempted(Arc<Place>, Job);

#[async_trait]
impl Attempt for Attempted {
    async fn attempt(&self, txn: &mut Txn) -> Result<Answer, Refusal> {
        let outcome = self.decide(txn).await;
        let event = Event::of_job(txn.now(), self.0.tenant.id(), Word::new("write"), String::new());
        txn.conclude(&self.0.tenant, &event, outcome.is_err());
        outcome
    }
}

impl Attempted {
    async fn decide(&self, txn: &mut Txn) -> Result<Answer, Refusal> {
        let Self(place, job) = self;
        match job {
            Job::Request(verb, path, body) => {
                let Match::Row(row, captures) = find(TABLE, *verb, path) else { return Err(Refusal::UnsupportedOperation) };
                let (fields, query) = (Fields::parse(body.as_bytes(), None)?, Query::parse("").unwrap());
                let call = Call { verb: *verb, path, captures, query: &query, fields: &fields };
                run((row.parse)(&call)?, place, txn).await
            }
            Job::Used(name, version, uses) => {
                let ring = record::read(name, place, txn).await?.unwrap();
                let uses = TransitUses { reserved: [(*version, *uses)].into() };
                txn.put(&place.tenant, &uses_address(place, ring.object), &uses, None).await?;
                Ok(Answer::Empty)
            }
            Job::Rotation => {
                let (_, rotated) = rotate_due(place, None, 10, txn).await?;
                Ok(if rotated { Answer::Data(Data::new(None)) } else { Answer::Empty })
            }
        }
    }
}

impl Server {
    async fn start() -> Self {
        let deployed = Deployed::at(Timestamp(1_795_251_600_000_000_001)).await;
        let tenants = deployed.tenants().await;
        let mount = testing::mount(Engine::Transit, MountId::random());
        let place = Arc::new(Place { tenant: tenants.root(), mount, path: "transit/".to_owned() });
        Self { committer: Committer::start(tenants).unwrap(), place, clock: Arc::clone(&deployed.clock), _deployed: deployed }
    }

    async fn attempt(&self, job: Job) -> Result<Answer, Refusal> {
        self.clock.advance(Duration::from_millis(1));
        self.committer.run(Arc::new(Attempted(Arc::clone(&self.place), job))).await
    }

    async fn call(&self, verb: Verb, path: &str, body: &Value) -> (u16, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        match self.attempt(Job::Request(verb, Path::new(path).unwrap(), body)).await {
            Ok(Answer::Empty) => (204, Value::Null),
            Ok(Answer::Data(data)) => {
                (data.status, data.data.map_or(Value::Null, |json| serde_json::from_slice(json.expose()).unwrap()))
            }
            Ok(_) => panic!("not an answer of this engine"),
            Err(Refusal::Invalid(text)) => (400, json!(text)),
            Err(refusal) => (refusal.status(), Value::Null),
        }
    }

    async fn write(&self, path: &str, body: Value) -> Value {
        let (status, data) = self.call(Verb::Write, path, &body).await;
        assert!(matches!(status, 200 | 204), "{path}: {data}");
        data
    }

    async fn refused(&self, path: &str, body: Value) -> String {
        let (status, data) = self.call(Verb::Write, path, &body).await;
        assert_eq!(status, 400, "{path}: {data}");
        data.as_str().unwrap_or_default().to_owned()
    }
}

const TEXT: &str = "aGVsbG8=";

#[tokio::test]
async fn a_version_counts_in_blocks_and_rotates_before_its_nonces_are_used_up() {
    let server = Server::start().await;
    server.write("keys/a", json!({})).await;
    for _ in 0..3 {
        server.write("encrypt/a", json!({ "plaintext": TEXT })).await;
    }
    let shown = server.call(Verb::Read, "keys/a", &Value::Null).await.1;
    assert_eq!(shown["encryptions_reserved"], json!({ "1": 64 }));

    server.attempt(Job::Used("a", 1, ROTATE_AT)).await.unwrap();
    // What was reserved before is used up first.
    let batch: Vec<Value> = (0..62).map(|_| json!({ "plaintext": TEXT })).collect();
    let made = server.write("encrypt/a", json!({ "batch_input": batch })).await;
    assert_eq!(made["batch_results"][61]["key_version"], 2);
    let shown = server.call(Verb::Read, "keys/a", &Value::Null).await.1;
    assert_eq!((&shown["latest_version"], &shown["encryptions_reserved"]["2"]), (&json!(2), &json!(64)));
    // The old one may still be named, up to its end.
    server.write("encrypt/a", json!({ "plaintext": TEXT, "key_version": 1 })).await;
}

#[tokio::test]
async fn a_version_that_may_not_rotate_stops() {
    let server = Server::start().await;
    server.write("keys/a", json!({})).await;
    server.write("keys/a/rotate", json!({})).await;
    server.attempt(Job::Used("a", 1, STOP_AT - 1)).await.unwrap();
    server.write("encrypt/a", json!({ "plaintext": TEXT, "key_version": 1 })).await;
    let said = server.refused("encrypt/a", json!({ "plaintext": TEXT, "key_version": 1 })).await;
    assert!(said.contains("rotate the key"), "{said}");
    // The newest version is another matter, and so is what was encrypted before.
    server.write("encrypt/a", json!({ "plaintext": TEXT })).await;
}

#[tokio::test]
async fn counting_begins_anew_with_a_new_key_of_the_same_name() {
    let server = Server::start().await;
    server.write("keys/a", json!({})).await;
    server.attempt(Job::Used("a", 1, STOP_AT)).await.unwrap();
    server.write("keys/a/config", json!({ "deletion_allowed": true })).await;
    assert_eq!(server.call(Verb::Delete, "keys/a", &Value::Null).await.0, 204);
    server.write("keys/a", json!({})).await;
    let made = server.write("encrypt/a", json!({ "plaintext": TEXT })).await;
    assert_eq!(made["key_version"], 1);
}

#[tokio::test]
async fn a_key_rotates_by_itself_when_its_time_has_come() {
    let server = Server::start().await;
    server.write("keys/a", json!({ "auto_rotate_period": "1h" })).await;
    server.write("keys/b", json!({})).await;
    assert!(matches!(server.attempt(Job::Rotation).await, Ok(Answer::Empty)));
    server.clock.advance(Duration::from_hours(1));
    assert!(matches!(server.attempt(Job::Rotation).await, Ok(Answer::Data(_))));
    assert!(matches!(server.attempt(Job::Rotation).await, Ok(Answer::Empty)));
    assert_eq!(server.call(Verb::Read, "keys/a", &Value::Null).await.1["latest_version"], 2);
    assert_eq!(server.call(Verb::Read, "keys/b", &Value::Null).await.1["latest_version"], 1);
}

#[tokio::test]
async fn a_kept_key_follows_every_change() {
    let server = Server::start().await;
    server.write("keys/a", json!({})).await;
    let first = server.write("encrypt/a", json!({ "plaintext": TEXT })).await["ciphertext"].clone();
    server.write("keys/a/rotate", json!({})).await;
    assert_eq!(server.write("encrypt/a", json!({ "plaintext": TEXT })).await["key_version"], 2);
    assert_eq!(server.write("decrypt/a", json!({ "ciphertext": first })).await["plaintext"], TEXT);
    server.write("keys/a/config", json!({ "min_decryption_version": 2 })).await;
    let said = server.refused("decrypt/a", json!({ "ciphertext": first })).await;
    assert_eq!(said, "ciphertext or signature version is disallowed by policy (too old)");
    server.write("keys/a/config", json!({ "deletion_allowed": true })).await;
    server.call(Verb::Delete, "keys/a", &Value::Null).await;
    assert_eq!(server.refused("decrypt/a", json!({ "ciphertext": first })).await, "encryption key not found");
}

#[tokio::test]
async fn a_trimmed_version_is_gone() {
    let server = Server::start().await;
    server.write("keys/a", json!({})).await;
    let first = server.write("encrypt/a", json!({ "plaintext": TEXT })).await["ciphertext"].clone();
    server.write("keys/a/rotate", json!({})).await;
    let said = server.refused("keys/a/trim", json!({ "min_available_version": 2 })).await;
    assert!(said.contains("minimum encryption version is not set"), "{said}");
    server.write("keys/a/config", json!({ "min_decryption_version": 2, "min_encryption_version": 2 })).await;
    server.write("keys/a/trim", json!({ "min_available_version": 2 })).await;
    for version in [0, 1] {
        let said = server.refused("keys/a/config", json!({ "min_decryption_version": version })).await;
        assert!(said.contains("were trimmed"), "{said}");
    }
    server.refused("decrypt/a", json!({ "ciphertext": first })).await;
}

#[tokio::test]
async fn one_bad_item_does_not_keep_the_others_from_being_done() {
    let server = Server::start().await;
    server.write("keys/a", json!({})).await;
    let batch =
        json!([{ "plaintext": TEXT, "reference": "x" }, { "plaintext": "*" }, {}, { "plaintext": TEXT, "key_version": 9 }]);
    let (status, data) = server.call(Verb::Write, "encrypt/a", &json!({ "batch_input": batch })).await;
    assert_eq!(status, 400);
    let results = data["batch_results"].as_array().unwrap();
    assert!(results[0]["ciphertext"].as_str().unwrap().starts_with("vault:v1:"));
    assert_eq!((&results[0]["reference"], &results[0]["error"]), (&json!("x"), &Value::Null));
    assert!(results[1..].iter().all(|item| item["error"].is_string() && item["ciphertext"].is_null()), "{results:?}");
    let body = json!({ "batch_input": batch, "partial_failure_response_code": 206 });
    assert_eq!(server.call(Verb::Write, "encrypt/a", &body).await.0, 206);
    let all_bad = json!({ "batch_input": [{ "plaintext": "*" }], "partial_failure_response_code": 206 });
    assert_eq!(server.call(Verb::Write, "encrypt/a", &all_bad).await.0, 400);
    let long = json!({ "batch_input": [{ "plaintext": TEXT }, { "plaintext": "A".repeat(12 << 20) }] });
    let (status, data) = server.call(Verb::Write, "encrypt/a", &long).await;
    assert!(status == 400 && data["batch_results"][0]["ciphertext"].is_string());
    assert!(data["batch_results"][1]["error"].as_str().unwrap().contains("at most 8388608 bytes"), "{data}");
    let many: Vec<Value> = (0..=super::BATCH_MAX).map(|_| json!({ "plaintext": "" })).collect();
    assert!(server.refused("encrypt/a", json!({ "batch_input": many })).await.contains("at most"));
}

#[tokio::test]
async fn data_keys_open_to_what_was_answered() {
    let server = Server::start().await;
    server.write("keys/a", json!({})).await;
    let made = server.write("datakey/plaintext/a", json!({ "bits": 512, "count": 3 })).await;
    let keys = made["data_keys"].as_array().unwrap();
    assert_eq!(keys.len(), 3);
    for key in keys {
        let opened = server.write("decrypt/a", json!({ "ciphertext": key["ciphertext"] })).await;
        assert_eq!(opened["plaintext"], key["plaintext"]);
        assert_eq!(data_encoding::BASE64.decode(key["plaintext"].as_str().unwrap().as_bytes()).unwrap().len(), 64);
    }
    assert_ne!(keys[0]["plaintext"], keys[1]["plaintext"]);
    assert!(server.write("datakey/wrapped/a", json!({})).await["plaintext"].is_null());
    for body in [json!({ "bits": 7 }), json!({ "count": 0 }), json!({ "count": 101 })] {
        server.refused("datakey/plaintext/a", body).await;
    }
}
