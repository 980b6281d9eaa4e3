//! What many tests begin with, on a server that is open.

use std::io;
use std::sync::Barrier;

use serde_json::{Value, json};

use super::client::{Client, Reply, Session};
use super::server::Server;

/// A token that a test made.
pub(crate) struct Token {
    /// Its text.
    pub(crate) text: String,
    /// Its accessor.
    pub(crate) accessor: String,
}

/// A client with the root token, on a server with KV 2 at `secret/`.
pub(crate) fn ready(server: &Server) -> Client {
    let root = Client::new(&server.target());
    mount(&root, "secret");
    root
}

/// Mounts KV 2.
#[track_caller]
pub(crate) fn mount(client: &Client, path: &str) {
    client.call("POST", &format!("sys/mounts/{path}"), Some(&json!({"type": "kv", "options": {"version": "2"}}))).expect(204);
}

/// Makes a child namespace.
#[track_caller]
pub(crate) fn namespace(client: &Client, name: &str) -> Client {
    client.call("POST", &format!("sys/namespaces/{name}"), None).expect(200);
    client.in_namespace(name)
}

/// Writes a policy.
#[track_caller]
pub(crate) fn policy(client: &Client, name: &str, rules: &str) {
    client.call("POST", &format!("sys/policies/acl/{name}"), Some(&json!({"policy": rules}))).expect(204);
}

/// Makes a token.
#[track_caller]
pub(crate) fn token(client: &Client, body: &Value) -> Token {
    let made = client.call("POST", "auth/token/create", Some(body)).expect(200).json();
    let text = |name: &str| made["auth"][name].as_str().unwrap().to_owned();
    Token { text: text("client_token"), accessor: text("accessor") }
}

/// Writes a value; the version it got.
#[track_caller]
pub(crate) fn put(client: &Client, path: &str, value: &Value) -> u64 {
    let written = client.call("POST", &format!("secret/data/{path}"), Some(&json!({"data": value}))).expect(200).json();
    written["data"]["version"].as_u64().unwrap()
}

/// Lets every client send one request, all in the same moment, on connections that are open already.
pub(crate) fn at_once(clients: &[Client], send: impl Fn(usize, &mut Session) -> io::Result<Reply> + Sync) -> Vec<Reply> {
    let start = Barrier::new(clients.len());
    std::thread::scope(|scope| {
        let threads: Vec<_> = clients
            .iter()
            .enumerate()
            .map(|(at, client)| {
                let (start, send) = (&start, &send);
                scope.spawn(move || {
                    let mut session = client.session().unwrap();
                    session.send("GET", "/v1/sys/health", &[], b"").unwrap();
                    start.wait();
                    send(at, &mut session).unwrap()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// How many of the answers have this status.
pub(crate) fn count(replies: &[Reply], status: u16) -> usize {
    replies.iter().filter(|reply| reply.status == status).count()
}
