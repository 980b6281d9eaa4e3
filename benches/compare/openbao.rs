//! OpenBao, which users would take instead: the real one, with TLS 1.3, its audit file, and a store that is on disk.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use strongroom::dev_ca;
use strongroom::time::{Clock as _, SystemClock};

use crate::client;
use crate::pin::Cores;
use crate::postgres::Database;
use crate::server::{Kind, Server, free_address, postmaster, wait_until_it_listens};

/// How long after its mounts were made requests for them are sent: they do not work at once.
const MOUNTS_SETTLE: Duration = Duration::from_secs(1);
/// How long it takes to become active after it was unsealed, in steps of this.
const STEP: Duration = Duration::from_millis(100);
const STEPS_MAX: u32 = 300;

/// The program, where the test command installs it.
pub(crate) fn program() -> Option<PathBuf> {
    let venv = std::env::var_os("STRONGROOM_TEST_VENV").map(PathBuf::from);
    let venv = venv.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv"));
    Some(venv.join("bin/bao")).filter(|program| program.exists())
}

/// On its own store, which its makers recommend.
pub(crate) async fn on_raft(program: &Path, cores: &Cores, folder: &Path) -> Server {
    fs::create_dir_all(folder.join("raft")).unwrap();
    let storage = format!("storage \"raft\" {{\n  path = \"{}\"\n  node_id = \"one\"\n}}\n", folder.join("raft").display());
    start("openbao", (program, &storage), cores, folder, None).await
}

/// On a `PostgreSQL` of its own, with as many idle connections as keep it from making new ones all the time.
pub(crate) async fn on_postgres(program: &Path, cores: &Cores, folder: &Path) -> Server {
    fs::create_dir_all(folder).unwrap();
    let database = cores.on_server_core(Database::alone);
    let socket = database.socket();
    let url = format!("postgres:///{}?host={}&user=postgres&sslmode=disable", database.name, socket.parent().unwrap().display());
    let storage = format!("storage \"postgresql\" {{\n  connection_url = \"{url}\"\n  max_idle_connections = \"128\"\n}}\n");
    let store = postmaster(&database).await;
    start("openbao on postgresql", (program, &storage), cores, folder, Some(store)).await
}

async fn start(
    name: &'static str,
    (program, storage): (&Path, &str),
    cores: &Cores,
    folder: &Path,
    store: Option<u32>,
) -> Server {
    let files = dev_ca::prepare(folder, SystemClock.now()).unwrap();
    let (address, cluster) = (free_address(), free_address());
    let config = format!(
        r#"
        {storage}
        listener "tcp" {{
          address = "{address}"
          cluster_address = "{cluster}"
          tls_cert_file = "{}"
          tls_key_file = "{}"
          tls_min_version = "tls13"
        }}
        api_addr = "https://{address}"
        cluster_addr = "https://{cluster}"
        audit "file" "file" {{
          options {{
            file_path = "{}"
          }}
        }}
        "#,
        files.server.display(),
        files.server_key.display(),
        folder.join("audit.log").display(),
    );
    let file = folder.join("openbao.hcl");
    fs::write(&file, config).unwrap();
    let mut command = Command::new(program);
    command.arg("server").arg(format!("-config={}", file.display())).env("HOME", folder);
    command.stdout(File::create(folder.join("log")).unwrap()).stderr(Stdio::null());
    let process = cores.on_server_core(|| command.spawn()).unwrap();
    wait_until_it_listens(address).await;
    opened(Server::new((name, Kind::OpenBao), String::new(), (process, store), address, folder)).await
}

/// Initialised with one share, unsealed and active, with the mounts that the workloads use.
async fn opened(mut server: Server) -> Server {
    let mut connection = server.connect().await;
    let init = connection.json(&client::request("POST", "sys/init", "", r#"{"secret_shares":1,"secret_threshold":1}"#)).await;
    let key = serde_json::json!({ "key": init.pointer("/keys/0").unwrap() }).to_string();
    connection.expect_success(&client::request("POST", "sys/unseal", "", &key)).await;
    init.pointer("/root_token").unwrap().as_str().unwrap().clone_into(&mut server.root_token);
    for step in 0.. {
        let (status, _) = connection.exchange(&client::request("GET", "sys/health", "", "")).await;
        if status == 200 {
            break;
        }
        assert!(step < STEPS_MAX, "OpenBao did not become active: {status}");
        tokio::time::sleep(STEP).await;
    }
    server.make_mounts().await;
    tokio::time::sleep(MOUNTS_SETTLE).await;
    server
}
