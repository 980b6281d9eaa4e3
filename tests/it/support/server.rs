//! This server: the real binary, as its operators start it.

use std::ffi::OsString;
use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::rc::Rc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use serde_json::json;
use tempfile::TempDir;

use super::client::Client;
use super::database::Tables;
use super::postgres::Database;
use super::process::{Process, free_port};
use super::{Target, marks, overheard, tools};

/// The root token that dev servers are started with.
const DEV_TOKEN: &str = "root";
/// Where a dev server leaves the authority of its certificate, in its folder.
const DEV_CA: &str = "ca.pem";

/// A running server; ends with this value. It logs everything it can, so that tests may look for what must not be there.
pub(crate) struct Server {
    // Dropped in this order: the process first, then its folder.
    process: Process,
    folder: TempDir,
    target: Target,
    /// What the binary is started with.
    arguments: Vec<OsString>,
    /// The key shares, hexadecimal, once it is initialised.
    keys: Vec<String>,
    /// Its database, if it is not the SQLite file in its folder.
    database: Option<Rc<Database>>,
}

impl Server {
    /// `server --dev`: initialised, unsealed, a KV 2 mount at `secret/`.
    pub(crate) fn dev() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = format!("127.0.0.1:{}", free_port());
        let store = folder.path().join("dev");
        let mut arguments =
            ["server", "--dev", "--dev-root-token-id", DEV_TOKEN, "--log-level", "trace", "--dev-listen-address", &address]
                .map(OsString::from)
                .to_vec();
        arguments.extend(["--dev-dir".into(), store.clone().into_os_string()]);
        let target = Target { url: format!("https://{address}"), ca: Some(store.join(DEV_CA)), token: DEV_TOKEN.to_owned() };
        Self::start(arguments, folder, target, 200)
    }

    /// With a configuration file, SQLite and Shamir shares; neither initialised nor unsealed.
    pub(crate) fn uninitialised_on_sqlite() -> Self {
        Self::uninitialised(|folder| format!("storage \"sqlite\" {{\n  path = \"{}\"\n}}", folder.join("store.db").display()))
    }

    /// The same, initialised with one share and unsealed.
    pub(crate) fn initialised_on_sqlite() -> Self {
        Self::uninitialised_on_sqlite().initialise()
    }

    /// With a configuration file, a database of its own and Shamir shares; initialised and unsealed.
    pub(crate) fn initialised_on_postgresql(database: Database) -> Self {
        Self::uninitialised_on_postgresql(database).initialise()
    }

    /// The same, neither initialised nor unsealed.
    pub(crate) fn uninitialised_on_postgresql(database: Database) -> Self {
        let mut server = Self::uninitialised(|_| storage_stanza(&database));
        server.database = Some(Rc::new(database));
        server
    }

    /// With a configuration file and Shamir shares. `storage` writes the storage stanza, given the server's folder.
    pub(crate) fn uninitialised(storage: impl FnOnce(&Path) -> String) -> Self {
        Self::configured(storage, "", 501)
    }

    /// On SQLite, with further lines in the listener's stanza.
    pub(crate) fn uninitialised_with_listener(lines: &str) -> Self {
        Self::configured(
            |folder| format!("storage \"sqlite\" {{\n  path = \"{}\"\n}}", folder.join("store.db").display()),
            lines,
            501,
        )
    }

    /// An initialised server with SQLite that may call these hosts.
    pub(crate) fn that_may_call(allow: &[String]) -> Self {
        let stanzas = |folder: &Path| {
            format!("outbound_allow = {allow:?}\nstorage \"sqlite\" {{\n  path = \"{}\"\n}}", folder.join("store.db").display())
        };
        Self::configured(stanzas, "", 501).initialise()
    }

    /// With a configuration file. `stanzas` writes what is not a listener, `listener_lines` stand in the listener's; `health` is
    /// the status that `sys/health` is to have.
    pub(crate) fn configured(stanzas: impl FnOnce(&Path) -> String, listener_lines: &str, health: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = format!("127.0.0.1:{}", free_port());
        let [ca, certificate, key] = write_certificates(folder.path());
        let listener = format!(
            "listener \"tcp\" {{\n  address = \"{address}\"\n  tls_cert_file = \"{}\"\n  tls_key_file = \"{}\"\n{listener_lines}}}",
            certificate.display(),
            key.display()
        );
        let rest = format!("api_addr = \"https://{address}\"\nlog_level = \"trace\"\n");
        let file = folder.path().join("strongroom.hcl");
        fs::write(&file, [listener, stanzas(folder.path()), rest].join("\n")).unwrap();
        let arguments = vec!["server".into(), "--config".into(), file.into_os_string()];
        let target = Target { url: format!("https://{address}"), ca: Some(ca), token: String::new() };
        Self::start(arguments, folder, target, health)
    }

    /// Makes one key share and opens the server with it.
    pub(crate) fn initialise(mut self) -> Self {
        let client = Client::new(&self.target);
        let init = client.call("PUT", "sys/init", Some(&json!({"secret_shares": 1, "secret_threshold": 1}))).expect(200).json();
        self.keys = vec![init["keys"][0].as_str().unwrap().to_owned()];
        init["root_token"].as_str().unwrap().clone_into(&mut self.target.token);
        self.unseal();
        self
    }

    /// Brings the key shares, if there are any.
    pub(crate) fn unseal(&self) {
        let client = Client::new(&self.target);
        for (at, key) in self.keys.iter().enumerate() {
            let status = client.call("PUT", "sys/unseal", Some(&json!({"key": key}))).expect(200).json();
            assert_eq!(status["sealed"], at + 1 < self.keys.len());
        }
    }

    fn start(arguments: Vec<OsString>, folder: TempDir, target: Target, health: u16) -> Self {
        let process = Self::launch(&arguments, folder.path(), &target, health);
        Self { process, folder, target, arguments, keys: Vec::new(), database: None }
    }

    fn launch(arguments: &[OsString], folder: &Path, target: &Target, health: u16) -> Process {
        let mut process = Process::start(command(arguments, folder), folder, "strongroom");
        let certified = || target.ca.as_ref().is_none_or(|ca| ca.exists());
        process.wait_until("an open port", || certified() && TcpStream::connect(target.authority()).is_ok());
        process.wait_until("a healthy answer", || {
            Client::new(target).try_send("GET", "/v1/sys/health", &[], b"").is_ok_and(|reply| reply.status == health)
        });
        process
    }

    /// Another server on the same database, open with the same shares.
    pub(crate) fn another(&self) -> Self {
        self.another_with(|_| String::new())
    }

    /// The same, with further stanzas.
    pub(crate) fn another_with(&self, stanzas: impl FnOnce(&Path) -> String) -> Self {
        let database = Rc::clone(self.database.as_ref().unwrap());
        let mut other = Self::configured(|folder| format!("{}\n{}", storage_stanza(&database), stanzas(folder)), "", 503);
        (other.keys, other.target.token) = (self.keys.clone(), self.target.token.clone());
        other.database = Some(database);
        other.unseal();
        other
    }

    /// The same on a URL of its own for the database: what is in between is the test's.
    pub(crate) fn another_at(&self, url: &str) -> Self {
        let database = Rc::clone(self.database.as_ref().unwrap());
        let mut other = Self::configured(|_| storage_at(url, &database), "", 503);
        (other.keys, other.target.token) = (self.keys.clone(), self.target.token.clone());
        other.database = Some(database);
        other.unseal();
        other
    }

    /// Its tables are those of this database.
    pub(crate) fn set_database(&mut self, database: &Rc<Database>) {
        self.database = Some(Rc::clone(database));
    }

    /// Starts it again, in the same folder, after it has ended. `health` is the status that `sys/health` is to have.
    pub(crate) fn start_again(&mut self, health: u16) {
        self.process = Self::launch(&self.arguments, self.folder.path(), &self.target, health);
    }

    /// Starts it again after it has ended, and opens it.
    pub(crate) fn come_back(&mut self) {
        self.start_again(if self.keys.is_empty() { 200 } else { 503 });
        self.unseal();
    }

    /// A command that would start another server in this one's folder.
    pub(crate) fn same_command(&self) -> Command {
        command(&self.arguments, self.folder.path())
    }

    /// Its folder: configuration, keys, database.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The tables that it keeps everything in.
    pub(crate) fn tables(&self) -> Tables {
        self.database
            .as_ref()
            .map_or_else(|| Tables::sqlite(&self.sqlite_file()), |database| Tables::Postgres(Rc::clone(database)))
    }

    /// Its database, if that is PostgreSQL.
    pub(crate) fn postgres(&self) -> Option<&Database> {
        self.database.as_deref()
    }

    /// The SQLite file.
    pub(crate) fn sqlite_file(&self) -> PathBuf {
        let [dev, own] = ["dev/strongroom.db", "store.db"].map(|name| self.folder.path().join(name));
        if dev.exists() { dev } else { own }
    }

    /// The key shares that open it, hexadecimal.
    pub(crate) fn keys(&self) -> &[String] {
        &self.keys
    }

    /// Other key shares open it from now on.
    pub(crate) fn set_keys(&mut self, keys: &[String]) {
        self.keys = keys.to_vec();
    }

    /// The id of its process.
    pub(crate) fn process_id(&self) -> u32 {
        self.process.id()
    }

    /// Ends it at once, as a crash would.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// Asks it to stop (SIGTERM), and does not wait.
    pub(crate) fn ask_to_stop(&self) {
        self.process.ask_to_stop();
    }

    /// How to reach it.
    pub(crate) fn target(&self) -> Target {
        self.target.clone()
    }

    /// Everything it wrote to standard output and error so far.
    pub(crate) fn output(&self) -> String {
        self.process.output()
    }

    /// Asks it to stop (SIGTERM), and waits until it has.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        self.process.stop()
    }

    /// Ends it with SIGABRT, which would leave a core where that is allowed.
    pub(crate) fn abort(&mut self) -> ExitStatus {
        self.process.abort()
    }
}

impl Drop for Server {
    /// Whatever the test was about: no secret that its clients sent or got is in what the server wrote, at log level trace.
    fn drop(&mut self) {
        let mut secrets = overheard::taken(self.target.authority());
        if std::thread::panicking() {
            return;
        }
        self.process.kill();
        secrets.extend(self.keys.iter().cloned());
        let output = self.output();
        let found = marks::Wanted::new(&secrets).within(output.as_bytes());
        assert!(found.is_empty(), "the server wrote secrets: {found:?}\n{output}");
    }
}

/// What the file of this name in a server's folder says is its environment, besides its home.
const ENVIRONMENT: &str = "environment";

/// Gives the server that is started in `folder` these variables.
pub(crate) fn set_environment(folder: &Path, variables: &[(&str, &str)]) {
    let lines: Vec<String> = variables.iter().map(|(name, value)| format!("{name}={value}")).collect();
    fs::write(folder.join(ENVIRONMENT), lines.join("\n")).unwrap();
}

/// The stanza that names a database.
pub(crate) fn storage_stanza(database: &Database) -> String {
    storage_at(&database.url("strongroom_runtime"), database)
}

/// The stanza that names a database by this URL.
pub(crate) fn storage_at(url: &str, database: &Database) -> String {
    let key = database.key_file();
    format!("storage \"postgresql\" {{\n  connection_url = \"{url}\"\n  context_key_file = \"{}\"\n}}", key.display())
}

/// The binary, with nothing in its environment that the test has not put there.
fn command(arguments: &[OsString], folder: &Path) -> Command {
    let mut command = Command::new(tools::strongroom());
    let environment = fs::read_to_string(folder.join(ENVIRONMENT)).unwrap_or_default();
    let variables = environment.lines().filter_map(|line| line.split_once('='));
    command.args(arguments).current_dir(folder).env_clear().env("HOME", folder).envs(variables);
    command
}

/// An authority and a certificate for 127.0.0.1 by it: `[authority, chain, key]`, PEM files.
pub(crate) fn write_certificates(folder: &Path) -> [PathBuf; 3] {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    // A name unlike that of the certificate: OpenSSL takes a certificate whose issuer is its subject for self-signed.
    authority.distinguished_name.push(DnType::CommonName, "Strongroom test authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let names = ["127.0.0.1", "localhost"].map(str::to_owned);
    let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &authority).unwrap();
    let write = |name: &str, text: String| {
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        path
    };
    [
        write("test-ca.pem", authority.pem()),
        write("server-cert.pem", certificate.pem()),
        write("server-key.pem", key.serialize_pem()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dev_server_stops_when_it_is_told_to_and_says_no_secret() {
        let mut server = Server::dev();
        let client = Client::new(&server.target());
        let canary = "canary-of-a-value-5b1f";
        client.call("PUT", "secret/data/a", Some(&json!({"data": {"k": canary}}))).expect(200);
        client.call("GET", "secret/data/a", None).expect(200);
        client.with_token("canary-of-a-token-77aa").call("GET", "secret/data/a", None).expect(403);
        assert!(server.stop().success(), "{}", server.output());
        let output = server.output();
        assert!(!output.contains("canary-of-a"), "{output}");
    }
}
