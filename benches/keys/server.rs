//! The server that is measured: started, started again, and killed at the end.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use strongroom::dev_ca;
use strongroom::seal::static_key;
use strongroom::time::{Clock as _, SystemClock};

use crate::client::{Connection, request};
use crate::usage;
use crate::way::Way;

/// Longer than it takes to start.
const START_TRIES: u32 = 3_000;
const START_INTERVAL: Duration = Duration::from_millis(20);

/// A running server; it ends with this value.
pub(crate) struct Server {
    process: Child,
    address: SocketAddr,
    folder: PathBuf,
    config: PathBuf,
    token: String,
}

impl Server {
    /// On SQLite, with a key file, or with the seal in the file `seal`; not initialised.
    pub(crate) async fn start(folder: &Path, seal: Option<&Path>) -> Self {
        let files = dev_ca::prepare(folder, SystemClock.now()).unwrap();
        let seal = seal.map_or_else(
            || {
                let key_file = folder.join("static.key");
                static_key::create(&key_file).unwrap();
                format!("seal \"static\" \"bench\" {{\n  key_file = \"{}\"\n}}\n", key_file.display())
            },
            |file| fs::read_to_string(file).unwrap(),
        );
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let config = format!(
            "listener \"tcp\" {{\n  address = \"{address}\"\n  tls_cert_file = \"{}\"\n  tls_key_file = \"{}\"\n}}\n\
             storage \"sqlite\" {{\n  path = \"{}\"\n}}\n{seal}",
            files.server.display(),
            files.server_key.display(),
            folder.join("store.db").display(),
        );
        let file = folder.join("strongroom.hcl");
        fs::write(&file, config).unwrap();
        let process = launch(&file, folder);
        let server = Self { process, address, folder: folder.to_owned(), config: file, token: String::new() };
        server.wait().await;
        server
    }

    /// With a KV 2 mount at `secret/`.
    pub(crate) async fn initialise(&mut self) {
        let mut connection = self.connect().await;
        let answer = connection.json(&request("POST", "sys/init", "", "{}")).await;
        answer.pointer("/root_token").unwrap().as_str().unwrap().clone_into(&mut self.token);
        let mount = r#"{"type":"kv","options":{"version":"2"}}"#;
        connection.expect_success(&request("POST", "sys/mounts/secret", &self.token, mount)).await;
    }

    /// Kills it and starts it again: it has nothing in memory then.
    pub(crate) async fn start_again(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        self.process = launch(&self.config, &self.folder);
        self.wait().await;
        Connection::open_at_last(&Way::Kept.connector(&self.folder), self.address, &self.token).await;
    }

    /// Its root token.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    pub(crate) async fn connect(&self) -> Connection {
        Connection::open(&Way::Kept.connector(&self.folder), self.address).await
    }

    /// Resident memory.
    pub(crate) fn memory_kib(&self) -> u64 {
        usage::resident_kib(self.process.id())
    }

    async fn wait(&self) {
        for _ in 0..START_TRIES {
            if TcpStream::connect(self.address).is_ok() {
                return;
            }
            tokio::time::sleep(START_INTERVAL).await;
        }
        panic!("nothing listens on {}: the server did not start", self.address)
    }
}

fn launch(config: &Path, folder: &Path) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_strongroom"));
    command.args(["server", "--config"]).arg(config);
    command.stdout(Stdio::null()).stderr(File::create(folder.join("log")).unwrap()).spawn().unwrap()
}

impl Drop for Server {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
