//! `bao` with a client certificate: logged in, and with nothing but it; `bao agent` with cert auto-auth.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use super::{Stage, role, write};
use crate::support::bao::Bao;
use crate::support::certificates::{Authority, Leaf};
use crate::support::client::Client;
use crate::support::on_stores;
use crate::support::process::Process;
use crate::support::server::Server;
use crate::support::tools;

on_stores! {
    bao_logs_in_with_a_certificate,
    bao_reads_with_nothing_but_a_certificate,
    bao_agent_logs_in_with_a_certificate_and_renders,
}

fn bao_logs_in_with_a_certificate(server: &mut Server) {
    let stage = Stage::new(server);
    let authority = Authority::new("CA");
    role(&stage.root, "web", &authority.pem(), &json!({}));
    let [chain, key] = stage.files(&authority.sign(&Leaf::new()), &[]).map(|file| file.display().to_string());
    let bao = Bao::new(&server.target()).without_token();
    let pair = [format!("-client-cert={chain}"), format!("-client-key={key}")];
    let login = ["login", "-method=cert", &pair[0], &pair[1], "name=web"];
    bao.ok(&login).says(&["Success! You are now authenticated."]).row("token_meta_cert_name", "web");
    assert_eq!(bao.ok(&["kv", "get", "-mount=secret", "-field=k", "app/db"]).text(), "v");
    bao.refused(&["login", "-method=cert", "name=web"], super::FAILED);
    let admin = Bao::new(&server.target());
    admin.ok(&["read", "auth/cert/certs/web"]).row("display_name", "web");
    admin.ok(&["list", "auth/cert/certs"]).says(&["web"]);
    admin.ok(&["auth", "list"]).says(&["cert/", "auth_cert_"]);
}

fn bao_reads_with_nothing_but_a_certificate(server: &mut Server) {
    let stage = Stage::new(server);
    let authority = Authority::new("CA");
    role(&stage.root, "web", &authority.pem(), &json!({"tokenless": true}));
    let [chain, key] = stage.files(&authority.sign(&Leaf::new()), &[]);
    let bao = Bao::new(&server.target()).without_token();
    bao.refused(&["kv", "get", "-mount=secret", "app/db"], "permission denied");
    let bao = bao.with_certificate(&chain, &key);
    assert_eq!(bao.ok(&["kv", "get", "-mount=secret", "-field=k", "app/db"]).text(), "v");
    bao.refused(&["kv", "put", "-mount=secret", "app/db", "k=w"], "permission denied");
    bao.refused(&["token", "create"], "permission denied");
}

/// As the README shows it.
#[test]
fn a_development_server_lets_its_client_in_without_a_token_also_after_another_start() {
    let mut server = Server::dev();
    change(&Client::new(&server.target()), "v");
    let folder = server.target().ca.unwrap().parent().unwrap().to_owned();
    let bao = Bao::new(&server.target()).without_token();
    let bao = bao.with_certificate(&folder.join("client.pem"), &folder.join("client-key.pem"));
    assert_eq!(bao.ok(&["kv", "get", "-mount=secret", "-field=k", "app/db"]).text(), "v");
    bao.refused(&["kv", "put", "-mount=secret", "app/db", "k=w"], "permission denied");
    assert!(server.stop().success());
    // Certificates are made anew when one is missing.
    std::fs::remove_file(folder.join("client.pem")).unwrap();
    server.start_again(200);
    assert_eq!(bao.ok(&["kv", "get", "-mount=secret", "-field=k", "app/db"]).text(), "v");
    // With a new authority, too.
    Client::new(&server.target()).call("DELETE", "auth/cert/certs/dev-client", None).expect(204);
    assert!(server.stop().success());
    server.start_again(200);
    bao.refused(&["kv", "get", "-mount=secret", "app/db"], "permission denied");
}

fn bao_agent_logs_in_with_a_certificate_and_renders(server: &mut Server) {
    let stage = Stage::new(server);
    let authority = Authority::new("CA");
    role(&stage.root, "web", &authority.pem(), &json!({"token_ttl": "6s"}));
    let [chain, key] = stage.files(&authority.sign(&Leaf::new()), &[]);
    let rendered = stage.folder.path().join("rendered");
    let config = format!(
        "vault {{\n  address = \"{}\"\n  ca_cert = \"{}\"\n  client_cert = \"{}\"\n  client_key = \"{}\"\n}}\n\
         auto_auth {{\n  method \"cert\" {{\n    config = {{\n      name = \"web\"\n    }}\n  }}\n}}\n\
         template_config {{\n  static_secret_render_interval = \"1s\"\n}}\n\
         template {{\n  contents = \"{{{{ with secret \\\"secret/data/app/db\\\" }}}}{{{{ .Data.data.k }}}}{{{{ end }}}}\"\n  destination = \"{}\"\n}}\n",
        server.target().url,
        stage.ca.display(),
        chain.display(),
        key.display(),
        rendered.display(),
    );
    let file = write(stage.folder.path(), "agent.hcl", &config);
    let mut command = Command::new(tools::bao());
    command.args(["agent", "-config"]).arg(file).env_clear().env("HOME", stage.folder.path()).env("PATH", "/usr/bin:/bin");
    let mut agent = Process::start(command, stage.folder.path(), "agent");
    agent.wait_until("the rendered file", || holds(&rendered, "v"));
    // Past the first TTL: it was renewed, or logged in again.
    std::thread::sleep(std::time::Duration::from_secs(7));
    change(&stage.root, "w");
    agent.wait_until("the file rendered again", || holds(&rendered, "w"));
    agent.stop();
}

fn change(root: &Client, value: &str) {
    crate::support::fixture::put(root, "app/db", &json!({"k": value}));
}

fn holds(file: &Path, wanted: &str) -> bool {
    std::fs::read_to_string(file).is_ok_and(|text| text == wanted)
}
