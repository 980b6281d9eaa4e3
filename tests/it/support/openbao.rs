//! A real OpenBao: the control. The scripts of the client tests run against it too, so that a script that asks for what
//! OpenBao does not do either fails there, and is known to be wrong.

use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use serde_json::json;
use tempfile::TempDir;

use super::client::Client;
use super::process::{Process, free_port};
use super::{Target, tools};

/// A running OpenBao; ends with this value.
pub(crate) struct OpenBao {
    // Dropped in this order: the process first, then its folder.
    process: Process,
    _folder: TempDir,
    /// How to reach it.
    pub(crate) target: Target,
}

impl OpenBao {
    /// Initialised, unsealed, TLS with an authority of its own, a KV 2 mount at `secret/`.
    pub(crate) fn dev() -> Self {
        Self::start(|folder, address| {
            let arguments = ["server", "-dev", "-dev-tls", "-dev-no-store-token", "-dev-root-token-id=root"].map(str::to_owned);
            let tls = format!("-dev-tls-cert-dir={}", folder.display());
            let target =
                Target { url: format!("https://{address}"), ca: Some(folder.join("vault-ca.pem")), token: "root".to_owned() };
            ([arguments.to_vec(), vec![tls, format!("-dev-listen-address={address}")]].concat(), target)
        })
    }

    /// Neither initialised nor unsealed, without TLS.
    pub(crate) fn uninitialised() -> Self {
        Self::uninitialised_with_listener("")
    }

    /// The same, which offers the ceremonies that need no token.
    pub(crate) fn uninitialised_with_older_ceremonies() -> Self {
        Self::uninitialised_with_listener(
            "  disable_unauthed_rekey_endpoints = false\n  disable_unauthed_generate_root_endpoints = false\n",
        )
    }

    fn uninitialised_with_listener(lines: &str) -> Self {
        Self::start(|folder, address| {
            let file = folder.join("server.hcl");
            let listener = format!("listener \"tcp\" {{\n  address = \"{address}\"\n  tls_disable = true\n{lines}}}");
            std::fs::write(&file, format!("storage \"inmem\" {{}}\n{listener}\napi_addr = \"http://{address}\"\n")).unwrap();
            let target = Target { url: format!("http://{address}"), ca: None, token: String::new() };
            (vec!["server".to_owned(), format!("-config={}", file.display())], target)
        })
    }

    /// Initialised with one key share and unsealed, without TLS.
    pub(crate) fn initialised() -> Self {
        let mut openbao = Self::uninitialised();
        let client = Client::new(&openbao.target);
        let init = client.call("PUT", "sys/init", Some(&json!({"secret_shares": 1, "secret_threshold": 1}))).expect(200).json();
        client.call("PUT", "sys/unseal", Some(&json!({"key": init["keys"][0]}))).expect(200);
        init["root_token"].as_str().unwrap().clone_into(&mut openbao.target.token);
        // Open, and not yet active.
        openbao.process.wait_until("health", || client.send("GET", "/v1/sys/health", &[], b"").status == 200);
        openbao
    }

    fn start(prepare: impl FnOnce(&Path, &str) -> (Vec<String>, Target)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = format!("127.0.0.1:{}", free_port());
        let (arguments, target) = prepare(folder.path(), &address);
        let mut command = Command::new(tools::bao());
        command.args(arguments).env("HOME", folder.path()).env_remove("VAULT_TOKEN").env_remove("BAO_TOKEN");
        let mut process = Process::start(command, folder.path(), "openbao");
        process.wait_until("an open port", || TcpStream::connect(&address).is_ok());
        process.wait_until("an answer to sys/health", || {
            Client::new(&target)
                .try_send("GET", "/v1/sys/health", &[], b"")
                .is_ok_and(|reply| if target.token.is_empty() { reply.status == 501 } else { reply.status == 200 })
        });
        Self { process, _folder: folder, target }
    }
}
