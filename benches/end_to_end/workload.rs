//! What is asked of a server, over and over; and what must be there before.

use std::rc::Rc;

use crate::client::{self, Connection};
use crate::server::Server;

/// Names in the workloads over many.
const NAMES: usize = 1_000;
/// Bytes of a secret's value.
const VALUE_BYTES: usize = 200;

const POLICY: &str = r#"path "secret/data/*" { capabilities = ["create", "read", "update"] }"#;

/// Requests that are sent in turn, again and again.
pub(crate) struct Workload {
    pub(crate) name: String,
    pub(crate) requests: Rc<[Vec<u8>]>,
}

/// Makes secrets, a policy and a token with it; returns what to measure.
pub(crate) async fn prepare(server: &Server) -> Vec<Workload> {
    if server.bare {
        return vec![workload(server, "400 B of JSON", vec![client::request("GET", "bare", "", "")])];
    }
    let mut connection = server.connect().await;
    let token = service_token(&mut connection, &server.root_token).await;
    let value = "v".repeat(VALUE_BYTES);
    let body = format!(r#"{{"data":{{"value":"{value}"}}}}"#);
    let requests = |method: &str, folder: &str, body: &str| -> Vec<Vec<u8>> {
        (0..NAMES).map(|name| client::request(method, &format!("secret/data/{folder}/{name}"), &token, body)).collect()
    };
    for folder in ["read", "write"] {
        for request in requests("POST", folder, &body) {
            connection.expect_success(&request).await;
        }
    }
    let one = client::request("GET", "secret/data/read/0", &token, "");
    let lookup = client::request("GET", "auth/token/lookup-self", &token, "");
    vec![
        workload(server, "KV read, 1 secret", vec![one]),
        workload(server, "KV read, 1,000 secrets", requests("GET", "read", "")),
        workload(server, "KV write, 1,000 secrets", requests("POST", "write", &body)),
        workload(server, "token lookup-self", vec![lookup]),
    ]
}

fn workload(server: &Server, name: &str, requests: Vec<Vec<u8>>) -> Workload {
    Workload { name: format!("{}: {name}", server.name), requests: requests.into() }
}

/// A token as a service has one: a policy that allows what is measured, besides `default`.
async fn service_token(connection: &mut Connection, root: &str) -> String {
    let policy = serde_json::json!({ "policy": POLICY }).to_string();
    connection.expect_success(&client::request("POST", "sys/policies/acl/bench", root, &policy)).await;
    let request = client::request("POST", "auth/token/create", root, r#"{"policies":["bench"],"ttl":"24h"}"#);
    let answer = connection.json(&request).await;
    answer.pointer("/auth/client_token").unwrap().as_str().unwrap().to_owned()
}
