//! What is stored before it is measured.

use std::ops::Range;

use futures_util::future::join_all;

use super::LOADED;
use crate::client::{Connection, request};
use crate::server::Server;
use crate::workload::VALUE_BYTES;

/// Names in one directory of those that are nested.
const IN_ONE: usize = 1_000;

/// Paths of secrets.
pub(super) struct Names {
    folder: String,
    /// Names in one directory.
    in_one: usize,
    count: usize,
}

impl Names {
    /// A thousand in each directory.
    pub(super) fn nested(count: usize) -> Self {
        Self { folder: "grown".to_owned(), in_one: IN_ONE, count }
    }

    /// All in one directory.
    pub(super) fn flat(folder: &str, count: usize) -> Self {
        Self { folder: folder.to_owned(), in_one: usize::MAX, count }
    }

    fn path(&self, number: usize) -> String {
        let Self { folder, in_one, .. } = self;
        match number / in_one {
            0 => format!("secret/data/{folder}/{number}"),
            directory => format!("secret/data/{folder}/{directory}/{}", number % in_one),
        }
    }

    /// Up to `most` of them, from everywhere, none of them twice.
    pub(super) fn spread(&self, most: usize) -> impl Iterator<Item = String> {
        let step = self.count.div_ceil(most);
        (0..self.count).step_by(step).map(|number| self.path(number))
    }
}

/// A secret of the size that all have.
pub(super) fn body() -> String {
    format!(r#"{{"data":{{"value":"{}"}}}}"#, "v".repeat(VALUE_BYTES))
}

/// Writes the names of a range.
pub(super) async fn fill(server: &Server, names: &Names, range: Range<usize>) {
    let body = body();
    let write = |number| vec![request("POST", &names.path(number), &server.root_token, &body)];
    on_many(server, range, write).await;
}

/// The number of the namespace whose log grows, behind all others.
pub(super) const LOGGED: usize = 1_000_000;

/// How many events the log of a namespace has.
pub(super) async fn events_of(server: &Server, number: usize) -> usize {
    let newest = request("GET", &format!("n{number}/sys/audit-log?limit=1"), &server.root_token, "");
    let answer = server.connect().await.json(&newest).await;
    let index = answer.pointer("/data/events/0/index").and_then(serde_json::Value::as_u64).unwrap();
    usize::try_from(index).unwrap() + 1
}

/// The secret of a namespace.
pub(super) fn in_namespace(number: usize) -> String {
    format!("n{number}/secret/data/a")
}

/// Makes namespaces, each with KV 2 and a secret.
pub(super) async fn namespaces(server: &Server, range: Range<usize>) {
    let (body, token) = (body(), &server.root_token);
    let mount = r#"{"type":"kv","options":{"version":"2"}}"#;
    let make = |number| {
        vec![
            request("POST", &format!("sys/namespaces/n{number}"), token, "{}"),
            request("POST", &format!("n{number}/sys/mounts/secret"), token, mount),
            request("POST", &in_namespace(number), token, &body),
        ]
    };
    on_many(server, range, make).await;
}

/// Sends the requests of each number, one after the other, and of many numbers at once.
pub(super) async fn on_many(server: &Server, range: Range<usize>, requests: impl Fn(usize) -> Vec<Vec<u8>>) {
    let requests = &requests;
    let all = (0..LOADED).map(|first| {
        let mine = range.clone().skip(first).step_by(LOADED);
        async move {
            let mut connection: Connection = server.connect().await;
            for request in mine.flat_map(requests) {
                connection.expect_success(&request).await;
            }
        }
    });
    join_all(all).await;
}
