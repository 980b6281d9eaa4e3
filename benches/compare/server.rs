//! The servers that are measured: started, asked what they use, and killed at the end.
//!
//! A store that is a process of its own runs on the servers' core too, and its time and memory are the server's.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sqlx::ConnectOptions as _;
use sqlx::sqlite::SqliteConnectOptions;
use strongroom::dev_ca;
use strongroom::seal::static_key;
use strongroom::time::{Clock as _, SystemClock};
use tokio_rustls::TlsConnector;

use crate::client::{self, Connection};
use crate::pin::Cores;
use crate::postgres::Database;
use crate::usage;
use crate::way::Way;

/// Longer than any of them takes to start.
const START_TRIES: u32 = 1_000;
const START_INTERVAL: Duration = Duration::from_millis(20);
/// The database of development mode.
const DEV_DATABASE: &str = "strongroom.db";

/// What a server is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// TLS and HTTP with nothing behind: the most that can be had.
    Bare,
    /// What users would take instead.
    OpenBao,
    /// Ours.
    Strongroom,
}

/// Another process of the same service. Every other connection goes to it.
struct Replica {
    process: Child,
    address: SocketAddr,
}

/// A running server; it ends with this value.
pub(crate) struct Server {
    /// How the report calls it.
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// A token that may do everything; empty where there are none.
    pub(crate) root_token: String,
    process: Child,
    /// A second one on the same database.
    replica: Option<Replica>,
    /// How it is started again, where that is measured.
    again: Option<Command>,
    /// Its database, where that is in a server of its own.
    database: Option<Database>,
    /// The store's first process, whose children count too.
    store: Option<u32>,
    address: SocketAddr,
    /// Its certificates, and one for clients.
    folder: PathBuf,
    connector: TlsConnector,
}

impl Server {
    pub(crate) async fn bare(cores: &Cores, folder: &Path) -> Self {
        fs::create_dir(folder).unwrap();
        let address_file = folder.join("address");
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg(crate::bare::ARGUMENT).arg(folder).stdout(File::create(&address_file).unwrap());
        let process = cores.on_server_core(|| command.spawn()).unwrap();
        let address = wait_for(&address_file, |text| text.strip_suffix('\n')?.parse().ok()).await;
        Self::new(("bare", Kind::Bare), String::new(), (process, None), address, folder)
    }

    /// The real binary in development mode: `SQLite`, with every commit on disk before its answer.
    pub(crate) async fn on_sqlite(cores: &Cores, folder: &Path) -> Self {
        let root_token = "bench-root";
        fs::create_dir(folder).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_strongroom"));
        let address = free_address();
        command.args(["server", "--dev", "--dev-root-token-id", root_token, "--dev-listen-address", &address.to_string()]);
        command.arg("--dev-dir").arg(folder).stdout(Stdio::null()).stderr(File::create(folder.join("log")).unwrap());
        let process = cores.on_server_core(|| command.spawn()).unwrap();
        // Written when the server is open.
        wait_for(&folder.join("env"), |text| text.contains("VAULT_ADDR").then_some(())).await;
        let mut server = Self::new(("sqlite", Kind::Strongroom), root_token.to_owned(), (process, None), address, folder);
        server.again = Some(command);
        server
    }

    /// The real binary as it is configured in production, with a database server of its own beside it.
    pub(crate) async fn on_postgres(cores: &Cores, folder: &Path) -> Self {
        fs::create_dir(folder).unwrap();
        let database = cores.on_server_core(Database::new);
        let files = dev_ca::prepare(folder, SystemClock.now()).unwrap();
        let key_file = folder.join("static.key");
        static_key::create(&key_file).unwrap();
        let address = free_address();
        let config = format!(
            r#"
            listener "tcp" {{
              address = "{address}"
              tls_cert_file = "{}"
              tls_key_file = "{}"
              tls_min_version = "tls13"
            }}
            storage "postgresql" {{
              connection_url = "{}"
              context_key_file = "{}"
            }}
            seal "static" "bench" {{
              key_file = "{}"
            }}
            "#,
            files.server.display(),
            files.server_key.display(),
            database.url("strongroom_runtime"),
            database.key_file().display(),
            key_file.display(),
        );
        let mut command = configured(folder, "strongroom", &config);
        let process = cores.on_server_core(|| command.spawn()).unwrap();
        wait_until_it_listens(address).await;
        let store = postmaster(&database).await;
        let name = ("postgresql", Kind::Strongroom);
        let mut server = Self::new(name, String::new(), (process, Some(store)), address, folder);
        server.again = Some(command);
        server.database = Some(database);
        server.initialised().await
    }

    /// The same with two replicas on the database, all of them on the servers' core.
    pub(crate) async fn on_postgres_twice(cores: &Cores, folder: &Path) -> Self {
        let mut server = Self::on_postgres(cores, folder).await;
        server.name = "postgresql, 2 replicas";
        let address = free_address();
        let first = fs::read_to_string(folder.join("strongroom.hcl")).unwrap();
        let mut command = configured(folder, "second", &first.replace(&server.address.to_string(), &address.to_string()));
        let process = cores.on_server_core(|| command.spawn()).unwrap();
        server.replica = Some(Replica { process, address });
        wait_until_it_listens(address).await;
        Connection::open_at_last(&server.connector, address, &server.root_token).await;
        server
    }

    pub(crate) fn new(
        (name, kind): (&'static str, Kind),
        root_token: String,
        (process, store): (Child, Option<u32>),
        address: SocketAddr,
        folder: &Path,
    ) -> Self {
        let (folder, connector) = (folder.to_owned(), Way::Kept.connector(folder));
        Self { name, kind, root_token, process, replica: None, again: None, database: None, store, address, folder, connector }
    }

    async fn initialised(mut self) -> Self {
        let mut connection = self.connect().await;
        let answer = connection.json(&client::request("POST", "sys/init", "", "{}")).await;
        answer.pointer("/root_token").unwrap().as_str().unwrap().clone_into(&mut self.root_token);
        self.make_mounts().await;
        self
    }

    /// Those that development mode has from the start.
    pub(crate) async fn make_mounts(&self) {
        let mut connection = self.connect().await;
        let mount = r#"{"type":"kv","options":{"version":"2"}}"#;
        connection.expect_success(&client::request("POST", "sys/mounts/secret", &self.root_token, mount)).await;
        connection.expect_success(&client::request("POST", "sys/auth/cert", &self.root_token, r#"{"type":"cert"}"#)).await;
    }

    /// Kills it and starts it again, with nothing in memory: how long until it answers a request with a token.
    pub(crate) async fn start_again(&mut self, cores: &Cores) -> Duration {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        let command = self.again.as_mut().unwrap();
        let begun = Instant::now();
        self.process = cores.on_server_core(|| command.spawn()).unwrap();
        wait_until_it_listens(self.address).await;
        Connection::open_at_last(&self.connector, self.address, &self.root_token).await;
        begun.elapsed()
    }

    /// What its database takes on the disk.
    pub(crate) async fn database_bytes(&self) -> u64 {
        if let Some(database) = &self.database {
            return database.sql("postgres", "SELECT pg_database_size(current_database())").trim().parse().unwrap();
        }
        // Of the file and of what is still in the write-ahead log.
        let options = SqliteConnectOptions::new().filename(self.folder.join(DEV_DATABASE)).read_only(true);
        let mut connection = options.connect().await.unwrap();
        let size = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size";
        let bytes: i64 = sqlx::query_scalar(size).fetch_one(&mut connection).await.unwrap();
        bytes.unsigned_abs()
    }

    /// Where the connection with this number goes.
    pub(crate) fn address(&self, connection: usize) -> SocketAddr {
        self.replica.as_ref().filter(|_| connection % 2 == 1).map_or(self.address, |replica| replica.address)
    }

    /// Whether a workload says something about it that it does not say about another one. Two replicas are measured at what they
    /// have to agree on.
    pub(crate) fn is_measured_at(&self, workload: &str) -> bool {
        self.replica.is_none() || workload.starts_with("KV ")
    }

    /// Makes connections to it in this way.
    pub(crate) fn connector(&self, way: Way) -> TlsConnector {
        way.connector(&self.folder)
    }

    /// The authority of its client certificate, PEM.
    pub(crate) fn authority(&self) -> String {
        fs::read_to_string(self.folder.join("ca.pem")).unwrap()
    }

    pub(crate) async fn connect(&self) -> Connection {
        Connection::open(&self.connector, self.address).await
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    fn pids(&self) -> impl Iterator<Item = u32> {
        std::iter::once(self.pid()).chain(self.replica.as_ref().map(|replica| replica.process.id()))
    }

    /// User and system time so far, of the server and of its store.
    pub(crate) fn cpu(&self) -> Duration {
        time_of(self.pids()) + self.store_cpu()
    }

    /// The same of its store, where that is a process of its own.
    pub(crate) fn store_cpu(&self) -> Duration {
        time_of(self.store.into_iter().flat_map(|first| std::iter::once(first).chain(usage::children(first))))
    }

    /// Resident memory of the server, without its store.
    pub(crate) fn memory_mib(&self) -> u64 {
        self.pids().map(usage::resident_kib).sum::<u64>() / 1_024
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        for process in std::iter::once(&mut self.process).chain(self.replica.as_mut().map(|replica| &mut replica.process)) {
            // Gone already is as good.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// The real binary with a configuration of this name.
fn configured(folder: &Path, name: &str, config: &str) -> Command {
    let file = folder.join(name).with_extension("hcl");
    fs::write(&file, config).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_strongroom"));
    command.args(["server", "--config"]).arg(&file);
    command.stdout(Stdio::null()).stderr(File::create(file.with_extension("log")).unwrap());
    command
}

fn time_of(processes: impl IntoIterator<Item = u32>) -> Duration {
    let ticks: u64 = processes.into_iter().map(usage::ticks).sum();
    Duration::from_millis(ticks * 1_000 / rustix::param::clock_ticks_per_second())
}

pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

pub(crate) async fn wait_until_it_listens(address: SocketAddr) {
    for _ in 0..START_TRIES {
        if TcpStream::connect(address).is_ok() {
            return;
        }
        tokio::time::sleep(START_INTERVAL).await;
    }
    panic!("nothing listens on {address}: the server did not start")
}

/// The first process of a database's server.
pub(crate) async fn postmaster(database: &Database) -> u32 {
    let file = database.key_file().with_file_name("data").join("postmaster.pid");
    wait_for(&file, |text| text.lines().next()?.parse().ok()).await
}

async fn wait_for<T>(file: &Path, read: impl Fn(&str) -> Option<T>) -> T {
    for _ in 0..START_TRIES {
        if let Some(found) = fs::read_to_string(file).ok().and_then(|text| read(&text)) {
            return found;
        }
        tokio::time::sleep(START_INTERVAL).await;
    }
    panic!("{} was not written: the server did not start", file.display())
}
