//! Replicas in this process, each with a store, a pool and caches of its own, on one database.

use std::sync::Arc;

use serde_json::{Value, json};
use strongroom::storage::{Feed, FeedRow, Store, StoreError};
use strongroom::sys::erasure::ErasureSettings;
use tokio::runtime::{Handle, Runtime};

use super::clients::{CLIENTS, Heard, Lines, Replica};
use crate::support::between::{Between, Call};
use crate::support::in_process::{Ask, InProcess, Quiet, guard};
use crate::support::postgres::Database;

/// Lets everything through but what other servers have changed: a server behind it keeps what it has in its cache.
pub(super) struct Deaf;

impl Between for Deaf {
    async fn pass<T: Send>(&self, _: Call, done: impl Future<Output = Result<T, StoreError>> + Send) -> Result<T, StoreError> {
        done.await
    }

    fn feed(&self, feed: &Feed) -> Feed {
        let changed = feed.changed.iter().map(|row| FeedRow { changed: Vec::new(), ..row.clone() }).collect();
        Feed { changed, ..feed.clone() }
    }
}

/// Three of them with KV 2 at `secret/`, each with `before` in front of its store.
pub(super) async fn three(database: &Database, before: impl Fn(Arc<dyn Store>) -> Arc<dyn Store>) -> Vec<Arc<Quiet>> {
    let store: Arc<dyn Store> = Arc::new(database.store().await);
    let first = InProcess::new(&store, guard(&["main"]), ErasureSettings::default());
    first.initialise(0, 0).await;
    let kv = json!({"type": "kv", "options": {"version": "2"}});
    first.expect(204, ("POST", "", "sys/mounts/secret"), Some(kv)).await;
    first.end().await;
    let mut replicas = Vec::new();
    for _ in 0..3 {
        replicas.push(Arc::new(Quiet::new(&before(Arc::new(database.store().await)), &["main"]).await));
    }
    replicas
}

struct Inside {
    runtime: Handle,
    server: Arc<Quiet>,
}

impl Replica for Inside {
    fn ask(&mut self, token: &str, method: &str, path: &str, body: Option<&Value>) -> Heard {
        let ask = Ask { token, ..Ask::root(method, path, body.cloned()) };
        match self.runtime.block_on(self.server.ask(ask)) {
            (503, body) if body.to_string().contains("nothing was changed") => Heard::Undone,
            (503, _) => Heard::Nothing,
            (status, body) => Heard::Answer(status, body),
        }
    }
}

pub(super) fn in_process_lines(runtime: &Runtime, replicas: &[Arc<Quiet>]) -> Lines {
    let line = |server: &Arc<Quiet>| {
        Box::new(Inside { runtime: runtime.handle().clone(), server: Arc::clone(server) }) as Box<dyn Replica>
    };
    (0..CLIENTS).map(|_| replicas.iter().map(line).collect()).collect()
}
