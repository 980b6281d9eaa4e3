//! Logins in a browser, at a certified provider (`oidc-provider`), by HTTP and by `bao login`.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::FAILED;
use crate::support::client::{Client, Reply};
use crate::support::process::{Process, free_port, run};
use crate::support::server::Server;
use crate::support::tools;

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/node").join(name)
}

/// A running provider, and where it may send a browser back to.
struct Provider {
    process: Process,
    folder: TempDir,
    port: u16,
    back: String,
}

impl Provider {
    fn start() -> Self {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let back = format!("http://localhost:{}/oidc/callback", free_port());
        let process = Self::launch(folder.path(), port, &back);
        Self { process, folder, port, back }
    }

    fn launch(folder: &Path, port: u16, back: &str) -> Process {
        let mut command = Command::new("node");
        command.arg(script("provider.js")).env("NODE_PATH", tools::node_modules());
        command.env("PORT", port.to_string()).env("REDIRECT_URIS", back);
        let mut process = Process::start(command, folder, "provider");
        process.wait_until("an open port", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        process
    }

    /// Starts it again, with another signing key.
    fn rotate(&mut self) {
        self.process.kill();
        self.process = Self::launch(self.folder.path(), self.port, &self.back);
    }

    fn issuer(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

/// Signs in as somebody; where the browser is sent to in the end.
fn sign_in(url: &str, name: &str, follow: bool) -> String {
    let follow = [("FOLLOW".to_owned(), if follow { "1" } else { "" }.to_owned())];
    let done = run(Path::new("node"), &[&script("browser.js").display().to_string(), url, name], &follow, None);
    assert_eq!(done.code, 0, "{url}\n{}{}", done.stdout, done.stderr);
    done.stdout.trim().to_owned()
}

fn stage(provider: &Provider) -> (Server, Client) {
    let server = Server::dev();
    let root = Client::new(&server.target());
    root.call("POST", "sys/auth/oidc", Some(&json!({"type": "oidc"}))).expect(204);
    let config = json!({
        "oidc_discovery_url": provider.issuer(), "oidc_client_id": "strongroom", "oidc_client_secret": "hidd3n:/% of a client",
        "default_role": "people"
    });
    root.call("POST", "auth/oidc/config", Some(&config)).expect(204);
    let role = json!({
        "user_claim": "sub", "groups_claim": "groups", "oidc_scopes": "profile", "claim_mappings": {"name": "name"},
        "allowed_redirect_uris": provider.back, "token_policies": "x"
    });
    root.call("POST", "auth/oidc/role/people", Some(&role)).expect(204);
    (server, root)
}

fn begin(root: &Client, role: &str, back: &str, nonce: &str) -> String {
    let body = json!({"role": role, "redirect_uri": back, "client_nonce": nonce});
    let begun = root.without_token().call("POST", "auth/oidc/oidc/auth_url", Some(&body)).expect(200).json();
    begun["data"]["auth_url"].as_str().unwrap().to_owned()
}

/// Ends a login with the query that a browser brought back.
fn end(root: &Client, back: &str, nonce: &str) -> Reply {
    let (_, query) = back.split_once('?').unwrap();
    root.without_token().call("GET", &format!("auth/oidc/oidc/callback?{query}&client_nonce={nonce}"), None)
}

#[track_caller]
fn fails(reply: &Reply) {
    assert_eq!((reply.status, reply.errors()), (400, vec![FAILED.to_owned()]));
}

#[test]
fn somebody_logs_in_in_a_browser_once_for_each_state() {
    let provider = Provider::start();
    let (server, root) = stage(&provider);
    let url = begin(&root, "", &provider.back, "mine");
    for part in ["code_challenge_method=S256", "response_type=code", "scope=openid+profile", "nonce=", "client_id=strongroom"] {
        assert!(url.contains(part), "{part} is not in {url}");
    }
    let back = sign_in(&url, "eve", false);
    assert!(back.starts_with(&provider.back), "{back}");
    let auth = end(&root, &back, "mine").expect(200).json()["auth"].clone();
    assert_eq!(auth["metadata"], json!({"role": "people", "name": "eve of tests"}));
    assert_eq!(auth["policies"], json!(["default", "x"]));
    fails(&end(&root, &back, "mine"));

    // Somebody who only saw the address cannot end it, and the one who began it can.
    let back = sign_in(&begin(&root, "people", &provider.back, "mine"), "eve", false);
    fails(&end(&root, &back, "other"));
    fails(&end(&root, &back, ""));
    end(&root, &back, "mine").expect(200);

    // A code of one login is no good in another: the nonce and the verifier of PKCE are others.
    let first = sign_in(&begin(&root, "people", &provider.back, "mine"), "eve", false);
    let second = sign_in(&begin(&root, "people", &provider.back, "mine"), "mallory", false);
    let part = |url: &str, name: &str| {
        let found = url.split(['?', '&']).find_map(|pair| pair.strip_prefix(name)).unwrap();
        found.to_owned()
    };
    let mixed = format!("?state={}&code={}", part(&first, "state="), part(&second, "code="));
    fails(&end(&root, &mixed, "mine"));
    fails(&end(&root, &first, "mine"));
    let mut forged = part(&first, "state=").into_bytes();
    forged[20] = if forged[20] == b'A' { b'B' } else { b'A' };
    fails(&end(&root, &format!("?state={}&code=x", String::from_utf8(forged).unwrap()), "mine"));
    fails(&end(&root, "?state=x&code=y", "mine"));

    assert_eq!(begin(&root, "people", "http://localhost/elsewhere", "mine"), "");
    assert_eq!(begin(&root, "nobody", &provider.back, "mine"), "");
    let output = server.output();
    // As it is, and as it stands in the header.
    assert!(!output.contains("hidd3n") && !output.contains("c3Ryb25ncm9vbTpoaWRk"), "{output}");
    let config: Value = root.call("GET", "auth/oidc/config", None).expect(200).json();
    assert!(!config.to_string().contains("hidd3n"));
}

#[test]
fn a_provider_that_signs_with_another_key_is_followed() {
    let mut provider = Provider::start();
    let (server, root) = stage(&provider);
    let log_in = || end(&root, &sign_in(&begin(&root, "people", &provider.back, "n"), "eve", false), "n");
    log_in().expect(200);
    provider.rotate();
    let deadline = Instant::now() + Duration::from_secs(30);
    let log_in = || end(&root, &sign_in(&begin(&root, "people", &provider.back, "n"), "eve", false), "n");
    while log_in().status != 200 {
        assert!(Instant::now() < deadline, "{}", server.output());
        std::thread::sleep(Duration::from_secs(1));
    }
}

#[test]
fn bao_logs_in_with_a_browser() {
    let provider = Provider::start();
    let (server, root) = stage(&provider);
    let port = provider.back.split([':', '/']).nth(4).unwrap().to_owned();
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(tools::bao());
    command.env("HOME", folder.path()).env("BAO_ADDR", server.target().url).env("BAO_CACERT", server.target().ca.unwrap());
    command.args(["login", "-no-store", "-method=oidc", "-field=token", "skip_browser=true", "role=people"]);
    command.arg(format!("port={port}"));
    let mut bao = Process::start(command, folder.path(), "bao");
    let url = |output: &str| {
        let start = output.find(&provider.issuer())?;
        output[start..].split_whitespace().next().map(str::to_owned)
    };
    let said = |name: &str| std::fs::read_to_string(folder.path().join(format!("bao.{name}"))).unwrap_or_default();
    bao.wait_until("an address to go to", || url(&said("stderr")).or_else(|| url(&said("stdout"))).is_some());
    let url = url(&said("stderr")).or_else(|| url(&said("stdout"))).unwrap();
    sign_in(&url, "eve", true);
    let deadline = Instant::now() + Duration::from_secs(20);
    let token = loop {
        let token = said("stdout").split_whitespace().find(|word| word.starts_with("s.")).map(str::to_owned);
        if let Some(token) = token {
            break token;
        }
        assert!(Instant::now() < deadline, "{}", bao.output());
        std::thread::sleep(Duration::from_millis(100));
    };
    let own = root.with_token(&token).call("GET", "auth/token/lookup-self", None).expect(200).json();
    assert_eq!(own["data"]["display_name"], "oidc-eve");
}
