//! What is asked of a server, over and over; and what must be there before: one function for each group of workloads.

use std::rc::Rc;
use std::time::Duration;

use crate::client::{self, Connection};
use crate::server::{Kind, Server};
use crate::way::Way;

/// Names in the workloads over many.
pub(crate) const NAMES: usize = 1_000;
/// Bytes of a secret's value.
pub(crate) const VALUE_BYTES: usize = 200;

/// References that are resolved at once.
const BATCH: usize = 100;

/// Policies of the token that has many, besides `default`.
const POLICIES: usize = 20;
/// How long after the mounts of new namespaces requests for them are sent: OpenBao's do not work at once.
pub(crate) const MOUNTS_SETTLE: Duration = Duration::from_secs(1);

const POLICY: &str = r#"
path "secret/data/*" { capabilities = ["create", "read", "update"] }
path "sys/references/*" { capabilities = ["update"] }
path "transit/*" { capabilities = ["update"] }
path "+/secret/data/*" { capabilities = ["read"] }
"#;

/// Requests that are sent in turn, again and again.
pub(crate) struct Workload {
    /// Whose it is.
    pub(crate) server: &'static str,
    /// The same for what is compared.
    pub(crate) name: String,
    pub(crate) way: Way,
    pub(crate) requests: Rc<[Vec<u8>]>,
}

/// Makes what must be there, a policy and a token with it; returns what to measure.
pub(crate) async fn prepare(server: &Server, namespaces: usize) -> Vec<Workload> {
    if server.kind == Kind::Bare {
        let one = || vec![client::request("GET", "bare", "", "")];
        return vec![
            Workload::new(server, "400 B of JSON", one()),
            Workload::new(server, "full handshake", one()).made(Way::Anew),
            Workload::new(server, "resumed handshake", one()).made(Way::Resumed),
        ];
    }
    let mut connection = server.connect().await;
    let token = service_token(&mut connection, &server.root_token, "", POLICY).await;
    let mut all = secrets(server, &mut connection, &token).await;
    all.push(with_many_policies(server, &mut connection).await);
    all.push(over_namespaces(server, &mut connection, &token, namespaces).await);
    if server.kind == Kind::Strongroom {
        all.extend(references(server, &mut connection, &token).await);
    }
    all.extend(transit(server, &mut connection, &token).await);
    all.extend(with_certificates(server, &mut connection).await);
    all
}

/// KV, and a request that touches nothing but the token.
async fn secrets(server: &Server, connection: &mut Connection, token: &str) -> Vec<Workload> {
    let value = "v".repeat(VALUE_BYTES);
    let body = format!(r#"{{"data":{{"value":"{value}"}}}}"#);
    let requests = |method: &str, folder: &str, body: &str| -> Vec<Vec<u8>> {
        (0..NAMES).map(|name| client::request(method, &format!("secret/data/{folder}/{name}"), token, body)).collect()
    };
    for folder in ["read", "write"] {
        for request in requests("POST", folder, &body) {
            connection.expect_success(&request).await;
        }
    }
    let one = client::request("GET", "secret/data/read/0", token, "");
    let lookup = client::request("GET", "auth/token/lookup-self", token, "");
    let write = client::request("POST", "secret/data/write/0", token, &body);
    let mixed = std::iter::repeat_n(&one, 19).chain([&write]).cloned().collect();
    vec![
        Workload::new(server, "KV read, 1 secret", vec![one.clone()]),
        Workload::new(server, "KV read, 1,000 secrets", requests("GET", "read", "")),
        Workload::new(server, "KV write, 1,000 secrets", requests("POST", "write", &body)),
        Workload::new(server, "KV 19 reads, 1 write", mixed),
        Workload::new(server, "token lookup-self", vec![lookup]),
    ]
}

/// The same read with a token that many policies with templates are attached to. Needs the secrets.
async fn with_many_policies(server: &Server, connection: &mut Connection) -> Workload {
    let mut names = Vec::with_capacity(POLICIES);
    for number in 1..POLICIES {
        let policy = format!(
            r#"path "secret/data/team{number}/{{{{identity.entity.id}}}}/*" {{ capabilities = ["read", "list"] }}
               path "secret/metadata/team{number}/+/{{{{identity.entity.name}}}}" {{ capabilities = ["read"] }}"#
        );
        let body = serde_json::json!({ "policy": policy }).to_string();
        let path = format!("sys/policies/acl/team{number}");
        connection.expect_success(&client::request("POST", &path, &server.root_token, &body)).await;
        names.push(format!("team{number}"));
    }
    names.push("bench".to_owned());
    let token = token_with(connection, &server.root_token, "", &names).await;
    Workload::new(server, "KV read, 20 policies", vec![client::request("GET", "secret/data/read/0", &token, "")])
}

/// A secret of each of many namespaces in turn.
async fn over_namespaces(server: &Server, connection: &mut Connection, token: &str, count: usize) -> Workload {
    let root = &server.root_token;
    let mount = r#"{"type":"kv","options":{"version":"2"}}"#;
    for number in 0..count {
        connection.expect_success(&client::request("POST", &format!("sys/namespaces/n{number}"), root, "{}")).await;
        connection.expect_success(&client::request("POST", &format!("n{number}/sys/mounts/secret"), root, mount)).await;
    }
    if server.kind == Kind::OpenBao {
        tokio::time::sleep(MOUNTS_SETTLE).await;
    }
    let body = format!(r#"{{"data":{{"value":"{}"}}}}"#, "v".repeat(VALUE_BYTES));
    let mut reads = Vec::with_capacity(count);
    for number in 0..count {
        let path = format!("n{number}/secret/data/a");
        connection.expect_success(&client::request("POST", &path, root, &body)).await;
        reads.push(client::request("GET", &path, token, ""));
    }
    Workload::new(server, &format!("KV read, {count} namespaces"), reads)
}

/// Logins with a client certificate, a connection for each, and reads without a token. Needs the secrets.
async fn with_certificates(server: &Server, connection: &mut Connection) -> Vec<Workload> {
    // In development mode there is a role already that takes the certificate.
    connection.expect_success(&client::request("DELETE", "auth/cert/certs/dev-client", &server.root_token, "")).await;
    for (role, tokenless, kind) in [("service", false, "service"), ("batch", false, "batch"), ("reader", true, "service")] {
        let body = serde_json::json!({
            "certificate": server.authority(), "token_policies": "bench", "token_type": kind, "tokenless": tokenless,
        });
        let path = format!("auth/cert/certs/{role}");
        connection.expect_success(&client::request("POST", &path, &server.root_token, &body.to_string())).await;
    }
    let read = || client::request("GET", "secret/data/read/0", "", "");
    let without_token = server.kind == Kind::Strongroom;
    let mut all = Vec::new();
    if without_token {
        all.push(Workload::new(server, "tokenless KV read, 1 secret", vec![read()]).made(Way::Showing));
    }
    for (way, handshake) in [(Way::Anew, "full handshake"), (Way::Resumed, "resumed handshake")] {
        for kind in ["service", "batch"] {
            let login = client::request("POST", "auth/cert/login", "", &serde_json::json!({ "name": kind }).to_string());
            all.push(Workload::new(server, &format!("cert login, {kind} token, {handshake}"), vec![login]).made(way));
        }
        if without_token {
            all.push(Workload::new(server, &format!("tokenless KV read, {handshake}"), vec![read()]).made(way));
        }
    }
    all
}

impl Workload {
    /// Requests of a kept connection.
    pub(crate) fn new(server: &Server, name: &str, requests: Vec<Vec<u8>>) -> Self {
        Self { server: server.name, name: name.to_owned(), way: Way::Kept, requests: requests.into() }
    }

    /// The same with connections that are made in another way.
    fn made(self, way: Way) -> Self {
        Self { way, ..self }
    }
}

/// Needs the secrets.
async fn references(server: &Server, connection: &mut Connection, token: &str) -> Vec<Workload> {
    let mut references = Vec::with_capacity(BATCH);
    for name in 0..BATCH {
        let body = format!(r#"{{"path":"secret/data/read/{name}"}}"#);
        let made = connection.json(&client::request("POST", "sys/references/mint", token, &body)).await;
        references.push(made.pointer("/data/reference").unwrap().as_str().unwrap().to_owned());
    }
    let resolve = |body: &str| vec![client::request("POST", "sys/references/resolve", token, body)];
    let one = format!(r#"{{"reference":"{}"}}"#, references.first().unwrap());
    let batch = serde_json::json!({ "references": references }).to_string();
    vec![
        Workload::new(server, "resolve 1 reference", resolve(&one)),
        Workload::new(server, "resolve a batch of 100", resolve(&batch)),
    ]
}

/// Encryption as a service.
async fn transit(server: &Server, connection: &mut Connection, token: &str) -> Vec<Workload> {
    let root = &server.root_token;
    connection.expect_success(&client::request("POST", "sys/mounts/transit", root, r#"{"type":"transit"}"#)).await;
    for (name, kind) in [("aes", "aes256-gcm96"), ("ed", "ed25519")] {
        let body = format!(r#"{{"type":"{kind}"}}"#);
        connection.expect_success(&client::request("POST", &format!("transit/keys/{name}"), root, &body)).await;
    }
    let ask = |path: &str, body: &str| vec![client::request("POST", &format!("transit/{path}"), token, body)];
    // 64 bytes, and 4,096, in base64.
    let (text, long) = (format!("{}==", "A".repeat(86)), format!("{}==", "A".repeat(5_462)));
    let encrypted = connection.json(ask("encrypt/aes", &format!(r#"{{"plaintext":"{text}"}}"#)).first().unwrap()).await;
    let ciphertext = encrypted.pointer("/data/ciphertext").unwrap();
    vec![
        Workload::new(server, "transit encrypt 4 KiB", ask("encrypt/aes", &format!(r#"{{"plaintext":"{long}"}}"#))),
        Workload::new(server, "transit decrypt 64 B", ask("decrypt/aes", &format!(r#"{{"ciphertext":{ciphertext}}}"#))),
        Workload::new(server, "transit encrypt 64 B", ask("encrypt/aes", &format!(r#"{{"plaintext":"{text}"}}"#))),
        Workload::new(server, "transit datakey", ask("datakey/plaintext/aes", "")),
        Workload::new(server, "transit sign ed25519", ask("sign/ed", &format!(r#"{{"input":"{text}"}}"#))),
    ]
}

/// A token as a service has one: a policy that allows what is measured, besides `default`. `namespace` is empty, or ends in `/`.
pub(crate) async fn service_token(connection: &mut Connection, root: &str, namespace: &str, policy: &str) -> String {
    let policy = serde_json::json!({ "policy": policy }).to_string();
    let path = format!("{namespace}sys/policies/acl/bench");
    connection.expect_success(&client::request("POST", &path, root, &policy)).await;
    token_with(connection, root, namespace, &["bench".to_owned()]).await
}

/// A token with these policies and `default`. `namespace` likewise.
pub(crate) async fn token_with(connection: &mut Connection, root: &str, namespace: &str, policies: &[String]) -> String {
    let body = serde_json::json!({ "policies": policies, "ttl": "24h" }).to_string();
    let answer = connection.json(&client::request("POST", &format!("{namespace}auth/token/create"), root, &body)).await;
    answer.pointer("/auth/client_token").unwrap().as_str().unwrap().to_owned()
}
