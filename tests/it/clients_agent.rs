//! `bao agent` and `bao proxy`, with a token from a file: templates of KV 2 secrets, rendered again when the secret has
//! changed; requests passed on with the agent's token; a token that is renewed before it runs out. On OpenBao (the control)
//! and on this server.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::bao::Bao;
use crate::support::client::Client;
use crate::support::fixture::{mount, policy};
use crate::support::openbao::OpenBao;
use crate::support::postgres::Database;
use crate::support::process::{Process, free_port};
use crate::support::server::Server;
use crate::support::tokens::{Key, claims};
use crate::support::{Target, tools};

/// Short, so that the agent has to renew within the test.
const TTL_SECONDS: u64 = 6;
const TEMPLATE: &str =
    "{{ with secret \"team/data/app/db\" }}{{ .Data.data.user }}:{{ .Data.data.pass }}:{{ .Data.metadata.version }}{{ end }}";

macro_rules! agents {
    ($($name:ident: $session:path,)*) => {
        $(mod $name {
            use super::*;

            #[test]
            fn on_openbao() {
                $session(&OpenBao::initialised().target);
            }

            #[test]
            fn on_sqlite() {
                $session(&Server::initialised_on_sqlite().target());
            }

            #[test]
            fn on_postgresql() {
                $session(&Server::initialised_on_postgresql(Database::new()).target());
            }
        })*
    };
}

agents! {
    agent: agent_session,
    proxy: proxy_session,
    agent_of_a_role: role_session,
    agent_of_an_issuer: issuer_session,
}

/// Token, policy and secret on the server; the agent's folder on this side.
struct Stage {
    folder: TempDir,
    root: Client,
    accessor: String,
    /// Where the agent or the proxy listens.
    local: Target,
}

impl Stage {
    fn new(target: &Target) -> Self {
        let root = Client::new(target);
        mount(&root, "team");
        policy(&root, "app", r#"path "team/data/app/*" { capabilities = ["read"] }"#);
        put(&root, "first");
        let body = json!({"policies": ["app"], "ttl": TTL_SECONDS, "display_name": "agent"});
        let made = root.call("POST", "auth/token/create", Some(&body)).expect(200).json();
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("token"), text(&made["auth"]["client_token"])).unwrap();
        let local = Target { url: format!("http://127.0.0.1:{}", free_port()), ca: None, token: String::new() };
        Self { folder, root, accessor: text(&made["auth"]["accessor"]), local }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts `bao agent` or `bao proxy` with the token in the file, the listener, and what `more` says.
    fn start(&self, kind: &str, target: &Target, more: &str) -> Process {
        let token = format!(
            "method \"token_file\" {{\n    config = {{\n      token_file_path = \"{}\"\n    }}\n  }}",
            self.file("token").display()
        );
        self.start_with(kind, target, &token, more)
    }

    /// The same with another way to log in.
    fn start_with(&self, kind: &str, target: &Target, method: &str, more: &str) -> Process {
        let ca = target.ca.as_ref().map(|ca| format!("  ca_cert = \"{}\"\n", ca.display())).unwrap_or_default();
        let config = format!(
            "vault {{\n  address = \"{}\"\n{ca}}}\nauto_auth {{\n  {method}\n}}\nlistener \"tcp\" {{\n  address = \"{}\"\n  tls_disable = true\n}}\n{more}",
            target.url,
            self.local.authority(),
        );
        fs::write(self.file("config.hcl"), config).unwrap();
        let mut command = Command::new(tools::bao());
        command.args([kind, "-config"]).arg(self.file("config.hcl"));
        command.env_clear().env("HOME", self.folder.path()).env("PATH", "/usr/bin:/bin");
        let mut process = Process::start(command, self.folder.path(), kind);
        let local = Client::new(&self.local);
        process.wait_until("an answer of its listener", || {
            local.try_send("GET", "/v1/sys/health", &[], b"").is_ok_and(|reply| reply.status == 200)
        });
        process
    }

    /// Waits until the token, whose TTL is over by then, has been renewed and lives.
    fn is_renewed(&self, process: &mut Process) {
        let start = Instant::now();
        process.wait_until("the end of the token's first TTL", || start.elapsed() > Duration::from_secs(TTL_SECONDS + 1));
        let body = json!({"accessor": self.accessor});
        let token = self.root.call("POST", "auth/token/lookup-accessor", Some(&body)).expect(200).json();
        assert_eq!(token["data"]["display_name"], "token-agent");
        assert!(token["data"]["last_renewal_time"].is_u64(), "{token}");
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn put(root: &Client, pass: &str) {
    root.call("POST", "team/data/app/db", Some(&json!({"data": {"user": "u", "pass": pass}}))).expect(200);
}

fn holds(file: &Path, wanted: &str) -> bool {
    fs::read_to_string(file).is_ok_and(|text| text == wanted)
}

fn agent_session(target: &Target) {
    let stage = Stage::new(target);
    let rendered = stage.file("rendered");
    let more = format!(
        "template_config {{\n  static_secret_render_interval = \"1s\"\n}}\ntemplate {{\n  contents = <<EOT\n{TEMPLATE}\nEOT\n  destination = \"{}\"\n}}\n",
        rendered.display(),
    );
    let mut agent = stage.start("agent", target, &more);
    agent.wait_until("the rendered file", || holds(&rendered, "u:first:1\n"));
    put(&stage.root, "second");
    agent.wait_until("the file rendered again", || holds(&rendered, "u:second:2\n"));
    stage.is_renewed(&mut agent);
    put(&stage.root, "third");
    agent.wait_until("the file rendered with the renewed token", || holds(&rendered, "u:third:3\n"));
    agent.stop();
}

/// Auto-auth by `AppRole`: what it logs in for is renewed, and logged in for again when that cannot be.
fn role_session(target: &Target) {
    let stage = Stage::new(target);
    stage.root.call("POST", "sys/auth/approle", Some(&json!({"type": "approle"}))).expect(204);
    let role = json!({"token_policies": "app", "token_ttl": TTL_SECONDS, "token_max_ttl": TTL_SECONDS * 2});
    stage.root.call("POST", "auth/approle/role/app", Some(&role)).expect(204);
    let role_id = stage.root.call("GET", "auth/approle/role/app/role-id", None).expect(200).json();
    let secret_id = stage.root.call("POST", "auth/approle/role/app/secret-id", Some(&json!({}))).expect(200).json();
    fs::write(stage.file("role_id"), text(&role_id["data"]["role_id"])).unwrap();
    fs::write(stage.file("secret_id"), text(&secret_id["data"]["secret_id"])).unwrap();
    let method = format!(
        "method \"approle\" {{\n    config = {{\n      role_id_file_path = \"{}\"\n      secret_id_file_path = \"{}\"\n      remove_secret_id_file_after_reading = false\n    }}\n  }}\n  sink \"file\" {{\n    config = {{\n      path = \"{}\"\n    }}\n  }}",
        stage.file("role_id").display(),
        stage.file("secret_id").display(),
        stage.file("sink").display(),
    );
    let rendered = stage.file("rendered");
    let more = format!(
        "template_config {{\n  static_secret_render_interval = \"1s\"\n}}\ntemplate {{\n  contents = <<EOT\n{TEMPLATE}\nEOT\n  destination = \"{}\"\n}}\n",
        rendered.display(),
    );
    let mut agent = stage.start_with("agent", target, &method, &more);
    agent.wait_until("the rendered file", || holds(&rendered, "u:first:1\n"));
    let first = fs::read_to_string(stage.file("sink")).unwrap();
    let own = stage.root.with_token(&first).call("GET", "auth/token/lookup-self", None).expect(200).json();
    assert_eq!(own["data"]["meta"], json!({"role_name": "app"}));
    agent.wait_until("another token, as the first one has ended", || {
        fs::read_to_string(stage.file("sink")).is_ok_and(|token| !token.is_empty() && token != first)
    });
    put(&stage.root, "second");
    agent.wait_until("the file rendered with the new token", || holds(&rendered, "u:second:2\n"));
    agent.stop();
}

/// The agent logs in with a signed token from a file.
fn issuer_session(target: &Target) {
    let stage = Stage::new(target);
    let key = Key::new("ES256");
    stage.root.call("POST", "sys/auth/jwt", Some(&json!({"type": "jwt"}))).expect(204);
    stage.root.call("POST", "auth/jwt/config", Some(&json!({"jwt_validation_pubkeys": key.public_pem()}))).expect(204);
    let role = json!({"role_type": "jwt", "user_claim": "sub", "bound_audiences": "strongroom", "token_policies": "app"});
    stage.root.call("POST", "auth/jwt/role/app", Some(&role)).expect(204);
    fs::write(stage.file("jwt"), key.token("ES256", "a", &claims("machine", &json!({})))).unwrap();
    let method = format!(
        "method \"jwt\" {{\n    config = {{\n      path = \"{}\"\n      role = \"app\"\n      remove_jwt_after_reading = false\n    }}\n  }}",
        stage.file("jwt").display(),
    );
    let own = stage.logs_in(target, &method);
    assert_eq!((&own["meta"], &own["display_name"]), (&json!({"role": "app"}), &json!("jwt-machine")));
}

/// The token of a pod's service account, with the keys of its cluster. OpenBao would ask the cluster, so it is no control.
#[test]
fn agent_of_a_cluster() {
    let server = Server::initialised_on_sqlite();
    let target = server.target();
    let stage = Stage::new(&target);
    let key = Key::new("RS256");
    stage.root.call("POST", "sys/auth/kubernetes", Some(&json!({"type": "kubernetes"}))).expect(204);
    stage.root.call("POST", "auth/kubernetes/config", Some(&json!({"pem_keys": key.public_pem()}))).expect(204);
    let role = json!({
        "bound_service_account_names": "web", "bound_service_account_namespaces": "team-a", "audience": "strongroom",
        "token_policies": "app",
    });
    stage.root.call("POST", "auth/kubernetes/role/app", Some(&role)).expect(204);
    let bound = json!({"namespace": "team-a", "serviceaccount": {"name": "web", "uid": "u-1"}});
    let claims = claims("system:serviceaccount:team-a:web", &json!({"kubernetes.io": bound}));
    fs::write(stage.file("jwt"), key.token("RS256", "a", &claims)).unwrap();
    let method = format!(
        "method \"kubernetes\" {{\n    config = {{\n      token_path = \"{}\"\n      role = \"app\"\n    }}\n  }}",
        stage.file("jwt").display(),
    );
    let own = stage.logs_in(&target, &method);
    assert_eq!((&own["meta"]["service_account_name"], &own["display_name"]), (&json!("web"), &json!("kubernetes-team-a-web")));
}

impl Stage {
    /// An agent logs in by a method and renders the secret; what its token looks like.
    fn logs_in(&self, target: &Target, method: &str) -> Value {
        let sink = self.file("sink");
        let method = format!("{method}\n  sink \"file\" {{\n    config = {{\n      path = \"{}\"\n    }}\n  }}", sink.display());
        let rendered = self.file("rendered");
        let more = format!("template {{\n  contents = <<EOT\n{TEMPLATE}\nEOT\n  destination = \"{}\"\n}}\n", rendered.display());
        let mut agent = self.start_with("agent", target, &method, &more);
        agent.wait_until("the rendered file", || holds(&rendered, "u:first:1\n"));
        let token = fs::read_to_string(sink).unwrap();
        let own = self.root.with_token(&token).call("GET", "auth/token/lookup-self", None).expect(200).json();
        agent.stop();
        own["data"].clone()
    }
}

fn proxy_session(target: &Target) {
    let stage = Stage::new(target);
    let mut proxy = stage.start("proxy", target, "api_proxy {\n  use_auto_auth_token = true\n}\n");
    // Whoever asks has no token: the proxy adds its own.
    let bao = Bao::new(&stage.local);
    proxy.wait_until("a token", || bao.run(&["token", "lookup"]).code == 0);
    bao.ok(&["token", "lookup"]).row("display_name", "token-agent");
    assert_eq!(bao.ok(&["kv", "get", "-mount=team", "-field=pass", "app/db"]).text(), "first");
    bao.refused(&["kv", "put", "-mount=team", "app/db", "pass=x"], "permission denied");
    bao.refused(&["read", "team/data/none"], "permission denied");
    let local = Client::new(&stage.local);
    let plain = local.call("GET", "team/data/app/db", None).expect(200);
    assert_eq!(plain.json()["data"]["data"], json!({"user": "u", "pass": "first"}));
    // A token of whoever asks goes before that of the proxy.
    local.with_token("s.AAAAAAAAAAAAAAAAAAAAAAAA").call("GET", "team/data/app/db", None).expect(403);
    stage.is_renewed(&mut proxy);
    put(&stage.root, "second");
    assert_eq!(bao.ok(&["kv", "get", "-mount=team", "-field=pass", "app/db"]).text(), "second");
    proxy.stop();
}
