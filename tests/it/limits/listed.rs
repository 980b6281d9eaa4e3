//! Limits on how many there may be in one list. What is listed so often is one thing: in front of the store stands something that tells a
//! name of one directory as often as a test wants.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::{Value, json};
use strongroom::record::RecordKey;
use strongroom::storage::{Store, StoreError};
use tempfile::TempDir;

use crate::support::between::{Between, Call, Guarded};
use crate::support::certificates::Authority;
use crate::support::full;
use crate::support::in_process::{Ask, Quiet, deploy, sqlite};

/// Tells as many names of a directory as `times` says, by repeating its first; 0: as it is. Which directory it is, is known by how many names
/// it really has.
struct Often {
    really: usize,
    times: AtomicUsize,
    /// Another text stands in place of the first.
    tampered: AtomicBool,
}

impl Between for Often {
    async fn pass<T: Send>(
        &self,
        _call: Call,
        done: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        done.await
    }

    fn names(&self, names: Vec<(RecordKey, Vec<u8>)>, limit: usize) -> Vec<(RecordKey, Vec<u8>)> {
        let more = self.times.load(Ordering::SeqCst).min(limit).saturating_sub(names.len());
        if names.len() != self.really {
            return names;
        }
        let mut told = names.clone();
        told.resize(names.len() + more, names[0].clone());
        if self.tampered.load(Ordering::SeqCst) {
            told[0].1[0] ^= 1;
        }
        told
    }
}

/// A deployment on such a store.
struct Stage {
    store: Arc<dyn Store>,
    often: Arc<Often>,
    _folder: TempDir,
}

impl Stage {
    /// With such a store for directories that have so many names.
    async fn new(really: usize) -> Self {
        let (inner, folder) = sqlite().await;
        let often = Arc::new(Often { really, times: AtomicUsize::new(0), tampered: AtomicBool::new(false) });
        let store: Arc<dyn Store> = Arc::new(Guarded { inner, between: Arc::clone(&often) });
        deploy(&store).await;
        Self { store, often, _folder: folder }
    }

    /// Asks a server that has read nothing yet; the directory has so many names.
    async fn ask(&self, times: usize, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        self.often.times.store(times, Ordering::SeqCst);
        let server = Quiet::new(&self.store, &["main"]).await;
        let answered = server.ask(Ask::root(method, path, body)).await;
        server.end().await;
        self.often.times.store(0, Ordering::SeqCst);
        answered
    }

    /// The same, which has to have this status.
    async fn expect(&self, (times, status): (usize, u16), (method, path): (&str, &str), body: Option<Value>) -> Value {
        let (found, answer) = self.ask(times, method, path, body).await;
        assert_eq!(found, status, "{times}: {method} {path}: {answer}");
        answer
    }

    /// What is listed `most` times is answered, what is listed once more is refused.
    async fn measure(&self, most: usize, request: (&str, &str), body: Option<Value>) {
        self.expect((most, 200), request, body.clone()).await;
        let refused = self.expect((most + 1, 400), request, body).await.to_string();
        assert!(refused.contains(&format!("more than {most} ")), "{request:?}: {refused}");
    }

    /// With KV 2 at `secret/`.
    async fn with_secrets(really: usize) -> Self {
        let stage = Self::new(really).await;
        let kv = json!({"type": "kv", "options": {"version": "2"}});
        stage.expect((0, 204), ("POST", "sys/mounts/secret"), Some(kv)).await;
        stage
    }
}

#[tokio::test]
async fn a_list_has_no_more_entries_than_one_answer_may_have() {
    let stage = Stage::new(1).await;
    stage.expect((0, 200), ("POST", "auth/token/create"), Some(json!({}))).await;
    stage.measure(100_000, ("LIST", "sys/leases/lookup/auth/token/create/"), None).await;
    stage.expect((0, 200), ("POST", "identity/entity"), Some(json!({"name": "one"}))).await;
    stage.measure(10_000, ("LIST", "identity/entity/id"), None).await;
    stage.measure(10_000, ("LIST", "identity/entity/name"), None).await;
    // A part of it is answered however long it is.
    stage.expect((10_001, 200), ("LIST", "identity/entity/id?limit=10000"), None).await;
    stage.expect((0, 200), ("POST", "sys/namespaces/team"), None).await;
    stage.measure(10_000, ("SCAN", "sys/namespaces"), None).await;
    stage.expect((0, 200), ("DELETE", "sys/namespaces/team"), None).await;
    stage.measure(10_000, ("LIST", "sys/erasures"), None).await;
}

#[tokio::test]
async fn references_are_shown_and_revoked_up_to_so_many_at_once() {
    let stage = Stage::with_secrets(1).await;
    let value = || Some(json!({"data": {"k": "v"}}));
    stage.expect((0, 200), ("POST", "secret/data/one"), value()).await;
    let bound = Some(json!({"subjects": ["CN=eve"]}));
    stage.expect((0, 200), ("POST", "sys/references/bind/secret/data/one"), bound).await;
    stage.measure(1_000, ("POST", "sys/references/search"), Some(json!({"subject": "CN=eve"}))).await;
    // Besides its standing reference.
    stage.expect((0, 200), ("POST", "secret/data/two"), value()).await;
    stage.expect((0, 200), ("POST", "sys/references/mint"), Some(json!({"path": "secret/data/two"}))).await;
    let revoked = Some(json!({"path": "secret/data/two"}));
    stage.expect((1_000, 400), ("POST", "sys/references/revoke"), revoked.clone()).await;
    stage.expect((999, 200), ("POST", "sys/references/revoke"), revoked).await;
}

#[tokio::test]
async fn a_cert_mount_has_so_many_roles_and_revocation_lists() {
    let stage = Stage::new(1).await;
    stage.expect((0, 204), ("POST", "sys/auth/cert"), Some(json!({"type": "cert"}))).await;
    let authority = Authority::new("ca");
    let role = || Some(json!({"certificate": authority.pem()}));
    let list = || Some(json!({"crl": authority.crl(&[1], (1_700_000_000, 4_000_000_000))}));
    stage.expect((0, 204), ("POST", "auth/cert/certs/one"), role()).await;
    stage.expect((0, 204), ("POST", "auth/cert/crls/one"), list()).await;
    for (kind, most) in [("certs", 1_000), ("crls", 100)] {
        let body = || if kind == "certs" { role() } else { list() };
        stage.expect((most, 400), ("POST", &format!("auth/cert/{kind}/last")), body()).await;
        // What is there already can be changed.
        stage.expect((most, 204), ("POST", &format!("auth/cert/{kind}/one")), body()).await;
        stage.expect((most - 1, 204), ("POST", &format!("auth/cert/{kind}/last")), body()).await;
    }
}

/// The largest is listed: its names are opened, and one of them is not what it says. That a larger one is not is seen before. To open them all
/// takes minutes in a build without optimisations.
#[tokio::test]
async fn a_directory_is_listed_up_to_a_million_names_and_works_beyond() {
    const MOST: usize = 1_000_000;
    let stage = Stage::with_secrets(3).await;
    let value = || Some(json!({"data": {"k": "v"}}));
    for name in ["one", "two", "three"] {
        stage.expect((0, 200), ("POST", &format!("secret/data/large/{name}")), value()).await;
    }
    let list = ("LIST", "secret/metadata/large?limit=1");
    if full() {
        stage.measure(MOST, list, None).await;
    }
    stage.often.tampered.store(true, Ordering::SeqCst);
    stage.expect((MOST, 500), list, None).await;
    stage.expect((MOST + 1, 400), list, None).await;
    stage.often.tampered.store(false, Ordering::SeqCst);
    stage.expect((MOST + 1, 200), ("POST", "secret/data/large/one"), value()).await;
    stage.expect((MOST + 1, 200), ("GET", "secret/data/large/one"), None).await;
    stage.expect((MOST + 1, 204), ("DELETE", "secret/metadata/large/one"), None).await;
    stage.expect((0, 404), ("GET", "secret/data/large/one"), None).await;
}
