//! One `PostgreSQL` server per test process, a database per test.
//!
//! The server lives in a temporary folder, listens on a Unix socket only and runs as an ordinary user (it refuses root).
//! A small shell keeps watch: when the pipe to this process closes, however it ended, the shell stops the server by its
//! process id and removes the folder. So nothing is left behind.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test that cannot go on panics")]

#[path = "postgres_trouble.rs"]
mod trouble;

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use strongroom::storage::postgres::{PostgresStore, migrate, print_roles};

/// How long a server may take to start after it was killed.
const RESTART: Duration = Duration::from_secs(30);
/// Starts the server, waits until it answers, then until standard input closes.
const WATCH: &str = r#"
set -u
folder=$1; binaries=$2; settings=$3
trap '' INT HUP TERM PIPE
"$binaries/postgres" -D "$folder/data" -k "$folder" -c listen_addresses= $settings >"$folder/log" 2>&1 &
server=$!
state=ready
until "$binaries/pg_isready" -q -h "$folder"; do
    kill -0 "$server" 2>/dev/null || { state=ended; break; }
    sleep 0.05
done
echo "$state"
cat >/dev/null
kill -QUIT "$server" 2>/dev/null
wait "$server"
[ -e "$folder/keep" ] || rm -rf "$folder"
"#;

/// A running server; it ends with this value, or with the process.
pub(crate) struct Server {
    folder: PathBuf,
    watch: Mutex<Option<Child>>,
    /// `full_disk.so` in its folder stands between it and its files.
    layer: bool,
}

/// A database of its own, migrated, with the context key of the template.
pub(crate) struct Database {
    server: &'static Server,
    pub(crate) name: String,
}

impl Database {
    /// On the server that the tests of this process share.
    pub(crate) fn new() -> Self {
        static SHARED: OnceLock<Server> = OnceLock::new();
        Self::on(SHARED.get_or_init(|| {
            let server = Server::new();
            server.start("");
            server.prepare();
            server
        }))
    }

    /// On a server of its own, which the test may stop.
    pub(crate) fn alone() -> Self {
        let server: &'static Server = Box::leak(Box::new(Server::new()));
        server.start("");
        server.prepare();
        Self::on(server)
    }

    fn on(server: &'static Server) -> Self {
        let name = format!("t{}", &strongroom::random::uuid()[..8]);
        server.psql("postgres", "postgres", &format!("CREATE DATABASE {name} TEMPLATE strongroom OWNER strongroom_owner"));
        server.psql("postgres", "postgres", &format!("REVOKE ALL ON DATABASE {name} FROM PUBLIC"));
        server.psql("postgres", "postgres", &format!("GRANT CONNECT ON DATABASE {name} TO strongroom_runtime"));
        Self { server, name }
    }

    /// How `role` signs in.
    pub(crate) fn url(&self, role: &str) -> String {
        self.server.url(role, &self.name)
    }

    pub(crate) fn key_file(&self) -> PathBuf {
        self.server.key_file()
    }

    /// Where the server listens.
    pub(crate) fn socket(&self) -> PathBuf {
        self.server.folder.join(".s.PGSQL.5432")
    }

    /// Everything on disk that is this database's: its own files, and what it shares with others of its server (their
    /// directory, what was written ahead, the server's output).
    pub(crate) fn places(&self) -> Vec<PathBuf> {
        let id = self.sql("postgres", "SELECT oid FROM pg_database WHERE datname = current_database()");
        let own = format!("data/base/{}", id.trim());
        [own.as_str(), "data/global", "data/pg_wal", "log"].map(|place| self.server.folder.join(place)).to_vec()
    }

    /// The whole database as SQL.
    pub(crate) fn dump(&self) -> String {
        let dump = Command::new(binaries().join("pg_dump"))
            .args(["-U", "postgres", "-d", &self.name, "-h"])
            .arg(&self.server.folder)
            .output();
        let dump = dump.unwrap();
        assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
        String::from_utf8(dump.stdout).unwrap()
    }

    /// Another database with the same in it; nobody may be connected to this one.
    pub(crate) fn saved(&self) -> String {
        let saved = format!("{}saved", self.name);
        self.server.psql(
            "postgres",
            "postgres",
            &format!("CREATE DATABASE {saved} TEMPLATE {} OWNER strongroom_owner", self.name),
        );
        saved
    }

    /// Puts back what was saved.
    pub(crate) fn put_back(&self, saved: &str) {
        let name = &self.name;
        for statement in [
            format!("DROP DATABASE {name}"),
            format!("CREATE DATABASE {name} TEMPLATE {saved} OWNER strongroom_owner"),
            format!("REVOKE ALL ON DATABASE {name} FROM PUBLIC"),
            format!("GRANT CONNECT ON DATABASE {name} TO strongroom_runtime"),
        ] {
            self.server.psql("postgres", "postgres", &statement);
        }
    }

    /// A store as the server opens it.
    pub(crate) async fn store(&self) -> PostgresStore {
        PostgresStore::connect(&self.url("strongroom_runtime"), &self.key_file(), 4).await.unwrap()
    }

    /// Runs SQL as a role; what it printed. Fails the test when the database refuses.
    pub(crate) fn sql(&self, role: &str, text: &str) -> String {
        self.server.psql(role, &self.name, text)
    }

    /// A `psql` session as a role, for a test that speaks with it.
    pub(crate) fn psql_session(&self, role: &str) -> Command {
        self.server.psql_command(role, &self.name)
    }

    /// Stops the server at once, as a crash does; its data stays for the next start.
    pub(crate) fn stop(&self) {
        self.server.stop();
    }

    pub(crate) fn start(&self, settings: &str) {
        self.server.start(settings);
    }

    /// Kills the server's first process, whose children then end by themselves.
    pub(crate) fn kill(&self) {
        self.server.kill();
    }

    /// Starts the server again after it was killed.
    pub(crate) fn start_after_death(&self) {
        let begun = Instant::now();
        while !self.server.try_start("") {
            // Until the last of the children has ended, the new server refuses to start.
            self.server.stop();
            assert!(begun.elapsed() < RESTART, "{}", self.server.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Ids of the processes that serve connections of this database.
    pub(crate) fn backends(&self) -> Vec<i32> {
        let text = self.sql(
            "postgres",
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND usename = 'strongroom_runtime' ORDER BY pid",
        );
        text.lines().map(|line| line.parse().unwrap()).collect()
    }
}

impl Server {
    fn new() -> Self {
        let (folder, account) = own_folder();
        let made = as_ordinary(account, &binaries().join("initdb"))
            .args(["-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-locale", "--no-sync", "-D"])
            .arg(folder.join("data"))
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Self { folder, watch: Mutex::new(None), layer: false }
    }

    fn start(&self, settings: &str) {
        assert!(self.try_start(settings), "{}", self.log());
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// False when it has ended instead.
    fn try_start(&self, settings: &str) -> bool {
        let _ = fs::remove_file(self.folder.join("keep"));
        let mut watch = as_ordinary(ordinary_account(), Path::new("/bin/sh"));
        if self.layer {
            watch.env("LD_PRELOAD", self.folder.join("full_disk.so"));
        }
        let mut watch = watch
            .args(["-c", WATCH, "watch"])
            .arg(&self.folder)
            .arg(binaries())
            .arg(settings)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // A signal to the terminal's foreground processes must not reach the watch before the pipe closes.
            .process_group(0)
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(watch.stdout.take().unwrap()).read_line(&mut line).unwrap();
        *self.watch.lock().unwrap() = Some(watch);
        line == "ready\n"
    }

    fn kill(&self) {
        let file = fs::read_to_string(self.folder.join("data/postmaster.pid")).unwrap();
        let id = file.lines().next().and_then(|line| Pid::from_raw(line.parse().ok()?)).unwrap();
        kill_process(id, Signal::KILL).unwrap();
        self.stop();
    }

    fn stop(&self) {
        fs::write(self.folder.join("keep"), "").unwrap();
        if let Some(mut watch) = self.watch.lock().unwrap().take() {
            drop(watch.stdin.take());
            watch.wait().unwrap();
        }
    }

    /// Makes roles and template as an administrator would, and migrates.
    fn prepare(&self) {
        self.psql("postgres", "postgres", print_roles());
        let url = self.url("strongroom_owner", "strongroom");
        let key_file = self.key_file();
        // A runtime of its own: this runs once, whichever test comes first.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(migrate(&url, &key_file)).unwrap();
        })
        .join()
        .unwrap();
    }

    fn url(&self, role: &str, database: &str) -> String {
        let folder = self.folder.to_str().unwrap().replace('/', "%2F");
        format!("postgresql://{role}@{folder}/{database}")
    }

    fn key_file(&self) -> PathBuf {
        self.folder.join("context.key")
    }

    fn psql(&self, role: &str, database: &str, text: &str) -> String {
        let mut psql = self
            .psql_command(role, database)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        psql.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let done = psql.wait_with_output().unwrap();
        assert!(done.status.success(), "{text}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    }

    fn psql_command(&self, role: &str, database: &str) -> Command {
        let mut psql = Command::new(binaries().join("psql"));
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", role, "-d", database, "-f", "-", "-h"])
            .arg(&self.folder);
        psql
    }
}

/// The folder of the newest installed server's programs.
fn binaries() -> &'static Path {
    static BINARIES: OnceLock<PathBuf> = OnceLock::new();
    BINARIES.get_or_init(|| {
        let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().filter_map(Result::ok);
        let newest = versions.max_by_key(|entry| entry.file_name().to_string_lossy().parse::<u32>().unwrap_or(0));
        let packaged = newest.map(|entry| entry.path().join("bin"));
        let paths = option_env!("PATH").unwrap_or_default().split(':').map(PathBuf::from);
        packaged
            .into_iter()
            .chain(paths)
            .find(|folder| folder.join("initdb").exists() && folder.join("postgres").exists())
            .expect("these tests need PostgreSQL's server programs (initdb, postgres, psql)")
    })
}

/// A folder that the account of the servers may write to.
fn own_folder() -> (PathBuf, Option<(u32, u32)>) {
    let folder = tempfile::Builder::new().prefix("pg").tempdir().unwrap().keep();
    let account = ordinary_account();
    if let Some((user, group)) = account {
        chown(&folder, Some(user), Some(group)).unwrap();
    }
    (folder, account)
}

/// User and group to run the server as, when this process is root.
fn ordinary_account() -> Option<(u32, u32)> {
    if !is_root() {
        return None;
    }
    let accounts = fs::read_to_string("/etc/passwd").unwrap();
    ["postgres", "nobody"].into_iter().find_map(|wanted| {
        let fields: Vec<&str> = accounts.lines().find(|line| line.split(':').next() == Some(wanted))?.split(':').collect();
        Some((fields[2].parse().ok()?, fields[3].parse().ok()?))
    })
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

fn as_ordinary(account: Option<(u32, u32)>, program: &Path) -> Command {
    let Some((user, group)) = account else { return Command::new(program) };
    let mut command = Command::new("setpriv");
    command.arg(format!("--reuid={user}")).arg(format!("--regid={group}")).arg("--clear-groups").arg(program);
    command.current_dir("/");
    command
}

/// Makes a copy of the key file with other rights, for tests of what is refused.
pub(crate) fn copy_with_mode(from: &Path, to: &Path, mode: u32) {
    fs::copy(from, to).unwrap();
    fs::set_permissions(to, fs::Permissions::from_mode(mode)).unwrap();
}
