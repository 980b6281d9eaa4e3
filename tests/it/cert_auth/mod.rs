//! Logins by client certificate, and requests without a token, over HTTP and on both stores.

mod clients;
mod listener;
mod logins;
mod references;
mod roles;
mod tokenless;
mod tokens;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::certificates::Signed;
use crate::support::client::{Client, Reply};
use crate::support::fixture::{policy, put, ready};
use crate::support::server::Server;

/// What every login is answered that fails.
const FAILED: &str = "invalid certificate or no client certificate supplied";

/// A server with a secret, a policy that reads it, and cert auth.
struct Stage {
    root: Client,
    ca: PathBuf,
    folder: TempDir,
}

impl Stage {
    fn new(server: &Server) -> Self {
        let root = ready(server);
        put(&root, "app/db", &json!({"k": "v"}));
        for (name, path) in [("reader", "secret/data/app/*"), ("other", "secret/data/other/*")] {
            policy(&root, name, &format!("path \"{path}\" {{ capabilities = [\"read\"] }}"));
        }
        enable(&root);
        Self { root, ca: server.target().ca.unwrap(), folder: tempfile::tempdir().unwrap() }
    }

    /// A client without a token that shows this certificate, and others behind it.
    fn showing(&self, leaf: &Signed, others: &[&str]) -> Client {
        let [chain, key] = self.files(leaf, others);
        self.root.without_token().with_certificate(&self.ca, &chain, &key)
    }

    /// The certificate with others behind it, and the key.
    fn files(&self, leaf: &Signed, others: &[&str]) -> [PathBuf; 2] {
        let at = fs::read_dir(self.folder.path()).unwrap().count();
        let file = |name: &str, text: &str| write(self.folder.path(), &format!("{at}-{name}.pem"), text);
        [file("chain", &[&[leaf.pem.as_str()], others].concat().concat()), file("key", &leaf.key)]
    }
}

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let file = folder.join(name);
    fs::write(&file, text).unwrap();
    file
}

fn enable(root: &Client) {
    root.call("POST", "sys/auth/cert", Some(&json!({"type": "cert"}))).expect(204);
}

/// Writes a role that trusts `pem` and gives the policy `reader`, and what `more` says.
#[track_caller]
fn role(root: &Client, name: &str, pem: &str, more: &Value) {
    let mut body = json!({"certificate": pem, "token_policies": ["reader"]});
    for (key, value) in more.as_object().unwrap() {
        body[key] = value.clone();
    }
    root.call("POST", &format!("auth/cert/certs/{name}"), Some(&body)).expect(204);
}

fn login(client: &Client, role: &str) -> Reply {
    client.call("POST", "auth/cert/login", Some(&json!({"name": role})))
}

/// Logs in; the token.
#[track_caller]
fn logged_in(client: &Client, role: &str) -> String {
    login(client, role).expect(200).json()["auth"]["client_token"].as_str().unwrap().to_owned()
}

#[track_caller]
fn fails(reply: &Reply, what: &str) {
    assert_eq!((reply.status, reply.errors()), (400, vec![FAILED.to_owned()]), "{what}");
}

fn read(client: &Client) -> Reply {
    client.call("GET", "secret/data/app/db", None)
}
