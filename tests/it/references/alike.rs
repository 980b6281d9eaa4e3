//! A reference that is for somebody else, and one that does not exist, also cost the same: a refusal asks the store once, whatever the server
//! has in memory. In this process, where every call of the store is seen.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};
use strongroom::storage::{Store, StoreError};

use super::of_nobody;
use crate::support::between::{Between, Call, Guarded};
use crate::support::in_process::{Ask, Quiet, deploy, postgresql, sqlite};

/// Which calls there were.
#[derive(Default)]
struct Calls(Mutex<Vec<&'static str>>);

impl Calls {
    fn take(&self) -> Vec<&'static str> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Between for Calls {
    async fn pass<T: Send>(&self, call: Call, done: impl Future<Output = Result<T, StoreError>> + Send) -> Result<T, StoreError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(call.name);
        done.await
    }
}

#[tokio::test]
async fn a_refusal_asks_the_store_once_on_sqlite() {
    let (store, _folder) = sqlite().await;
    refusals_are_alike(store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_asks_the_store_once_on_postgresql() {
    let (store, _database) = postgresql().await;
    refusals_are_alike(store).await;
}

async fn refusals_are_alike(inner: Arc<dyn Store>) {
    let calls = Arc::new(Calls::default());
    let store: Arc<dyn Store> = Arc::new(Guarded { inner, between: Arc::clone(&calls) });
    deploy(&store).await;
    let server = Quiet::new(&store, &["main"]).await;
    let references = references(&server).await;
    // What was made a moment ago is in memory, and after a start nothing is.
    told_apart_by_nothing(&server, &calls, &references).await;
    server.end().await;
    let server = Quiet::new(&store, &["main"]).await;
    told_apart_by_nothing(&server, &calls, &references).await;
    // Whom it is for does not pay for that.
    let mine = json!({"reference": references.mine});
    asked(&server, &calls, &mine, 200).await;
    assert_eq!(asked(&server, &calls, &mine, 200).await, ["begin", "commit"]);
    server.end().await;
}

struct References {
    /// What the root token may resolve.
    mine: String,
    /// What it may not, and what there is not.
    refused: Vec<String>,
}

async fn references(server: &Quiet) -> References {
    let kv = json!({"type": "kv", "options": {"version": "2"}});
    server.expect(204, ("POST", "sys/mounts/secret"), Some(kv)).await;
    server.expect(200, ("POST", "secret/data/app"), Some(json!({"data": {"password": "one"}}))).await;
    let text = |made: &Value| made["data"]["reference"].as_str().unwrap().to_owned();
    let bind = async |consumers: Value| {
        text(&server.expect(200, ("POST", "sys/references/bind/secret/data/app"), Some(consumers)).await)
    };
    let mine = text(&server.expect(200, ("POST", "sys/references/mint"), Some(json!({"path": "secret/data/app"}))).await);
    let revoked = bind(json!({"entities": ["somebody"]})).await;
    server.expect(200, ("POST", "sys/references/revoke"), Some(json!({"reference": revoked}))).await;
    let refused = vec![
        revoked,
        bind(json!({"entities": ["somebody"]})).await,
        bind(json!({"certificates": ["ab".repeat(32)], "uses": 5})).await,
        bind(json!({"uri_sans": ["spiffe://acme/worker"], "ttl": "1h"})).await,
        bind(json!({"subjects": ["system:*"], "purpose": "nightly"})).await,
        text(
            &server.expect(200, ("POST", "sys/references/mint"), Some(json!({"path": "secret/data/app", "purpose": "p"}))).await,
        ),
        of_nobody(),
    ];
    References { mine, refused }
}

/// Asks for each several times, alone and with others.
async fn told_apart_by_nothing(server: &Quiet, calls: &Calls, references: &References) {
    let unknown = of_nobody();
    // What every request of this token needs is in memory from here on.
    asked(server, calls, &json!({"reference": unknown}), 403).await;
    for time in 1..=3 {
        for (number, reference) in references.refused.iter().enumerate() {
            let alone = asked(server, calls, &json!({"reference": reference}), 403).await;
            assert_eq!(alone, ["record", "begin", "commit"], "reference {number}, time {time}");
            let many = asked(server, calls, &json!({"references": [unknown, reference, unknown]}), 200).await;
            assert_eq!(many, ["record", "record", "record", "begin", "commit"], "reference {number}, time {time}");
        }
    }
}

/// The calls of the store for an answer with this status.
async fn asked(server: &Quiet, calls: &Calls, body: &Value, status: u16) -> Vec<&'static str> {
    calls.take();
    let (found, answer) = server.ask(Ask::root("POST", "sys/references/resolve", Some(body.clone()))).await;
    assert_eq!(found, status, "{answer}");
    calls.take()
}
