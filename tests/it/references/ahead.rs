//! A batch of which nothing is in memory asks the store for many records at once. In this process, where every call of the store is seen.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use strongroom::storage::{Store, StoreError};

use super::of_nobody;
use crate::support::between::{Between, Call, Guarded};
use crate::support::in_process::{Quiet, deploy, postgresql, sqlite};

const SECRETS: usize = 40;
/// So many are looked up at once at the most.
const AT_ONCE: usize = 32;

/// How many records were asked for, now and at most at the same time.
#[derive(Default)]
struct Asked {
    all: AtomicUsize,
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Between for Asked {
    async fn pass<T: Send>(&self, call: Call, done: impl Future<Output = Result<T, StoreError>> + Send) -> Result<T, StoreError> {
        if call.name != "record" {
            return done.await;
        }
        self.all.fetch_add(1, Ordering::Relaxed);
        self.most.fetch_max(self.now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(2)).await;
        let found = done.await;
        self.now.fetch_sub(1, Ordering::Relaxed);
        found
    }
}

#[tokio::test]
async fn what_is_not_in_memory_is_asked_for_together_on_sqlite() {
    let (store, _folder) = sqlite().await;
    asked_for_together(store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_in_memory_is_asked_for_together_on_postgresql() {
    let (store, _database) = postgresql().await;
    asked_for_together(store).await;
}

async fn asked_for_together(inner: Arc<dyn Store>) {
    let asked = Arc::new(Asked::default());
    let store: Arc<dyn Store> = Arc::new(Guarded { inner, between: Arc::clone(&asked) });
    deploy(&store).await;
    let server = Quiet::new(&store, &["main"]).await;
    let references = references(&server).await;
    server.end().await;

    let server = started(&store, &asked).await;
    let tags = all_are_answered(&server, &references).await;
    // The record of the reference, that of the secret, and the value, of each.
    let (all, most) = (asked.all.load(Ordering::Relaxed), asked.most.load(Ordering::Relaxed));
    assert!((3 * SECRETS..3 * SECRETS + 8).contains(&all), "{all} in all, {most} at once");
    // Jobs in the background ask for some, too.
    assert!((AT_ONCE / 2..AT_ONCE + 4).contains(&most), "{all} in all, {most} at once");

    all_are_answered(&server, &references).await;
    assert_eq!(asked.all.load(Ordering::Relaxed), all, "all of it is in memory");
    server.end().await;

    // Values that the client has already are not read.
    let server = started(&store, &asked).await;
    let polled: Vec<Value> = references.iter().zip(&tags).map(|(text, tag)| json!({"reference": text, "etag": tag})).collect();
    let results = resolved(&server, &json!({"references": polled})).await;
    assert!((0..SECRETS).all(|at| results[at]["status"] == 304), "{results}");
    let all = asked.all.load(Ordering::Relaxed);
    assert!((2 * SECRETS..2 * SECRETS + 8).contains(&all), "{all} in all");
    server.end().await;
}

/// A server that has in memory what every request of the root token needs, and nothing else.
async fn started(store: &Arc<dyn Store>, asked: &Asked) -> Quiet {
    let server = Quiet::new(store, &["main"]).await;
    server.expect(403, ("POST", "sys/references/resolve"), Some(json!({"reference": of_nobody()}))).await;
    for count in [&asked.all, &asked.most] {
        count.store(0, Ordering::Relaxed);
    }
    server
}

async fn references(server: &Quiet) -> Vec<String> {
    let kv = json!({"type": "kv", "options": {"version": "2"}});
    server.expect(204, ("POST", "sys/mounts/secret"), Some(kv)).await;
    let mut references = Vec::new();
    for at in 0..SECRETS {
        let path = format!("secret/data/ahead/{at}");
        let made = server.expect(200, ("POST", &path), Some(json!({"data": {"at": at}}))).await;
        references.push(made["data"]["reference"].as_str().unwrap().to_owned());
    }
    references
}

async fn resolved(server: &Quiet, body: &Value) -> Value {
    let answer = server.expect(200, ("POST", "sys/references/resolve"), Some(body.clone())).await;
    answer["data"]["results"].clone()
}

/// The tags of the answers.
async fn all_are_answered(server: &Quiet, references: &[String]) -> Vec<Value> {
    let results = resolved(server, &json!({"references": references})).await;
    let found: Vec<Value> = (0..SECRETS).map(|at| results[at]["data"]["data"]["at"].clone()).collect();
    assert_eq!(found, (0..SECRETS).map(|at| json!(at)).collect::<Vec<_>>());
    (0..SECRETS).map(|at| results[at]["etag"].clone()).collect()
}
