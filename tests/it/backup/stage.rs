//! Deployments that are backed up, and empty stores that they are brought back into.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::support::client::Client;
use crate::support::postgres::Database;
use crate::support::process::{Finished, PATIENCE, run};
use crate::support::server::{Server, storage_stanza};
use crate::support::tools;

/// Gives a server a folder for backups, and further lines of its configuration.
pub(super) fn backed_up(server: &mut Server, lines: &str) {
    let path = server.folder().join("backups");
    fs::create_dir_all(&path).unwrap();
    declare(server, &format!("backup \"file\" {{\n  path = \"{}\"\n{lines}}}\n", path.display()));
}

/// Starts a server again with further stanzas.
pub(super) fn declare(server: &mut Server, stanzas: &str) {
    assert!(server.stop().success());
    let file = server.folder().join("strongroom.hcl");
    let config = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{config}\n{stanzas}\n")).unwrap();
    server.come_back();
}

/// The command line, without a server.
pub(super) fn strongroom(arguments: &[&str], input: Option<&str>) -> Finished {
    run(&tools::strongroom(), arguments, &[], input)
}

/// What a command said that went well.
#[track_caller]
pub(super) fn ok(finished: &Finished) -> String {
    assert_eq!(finished.code, 0, "{}{}", finished.stdout, finished.stderr);
    format!("{}{}", finished.stdout, finished.stderr)
}

/// What a command said that was refused.
#[track_caller]
pub(super) fn refused(finished: &Finished) -> String {
    assert_eq!(finished.code, 1, "{}{}", finished.stdout, finished.stderr);
    finished.stderr.clone()
}

fn asking(server: &Server, token: &str, arguments: &[&str]) -> Finished {
    let target = server.target();
    let ca = target.ca.unwrap();
    let variables = [("BAO_ADDR", target.url.as_str()), ("BAO_CACERT", ca.to_str().unwrap()), ("BAO_TOKEN", token)];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    run(&tools::strongroom(), arguments, &variables, None)
}

/// Has a backup made; where it is.
#[track_caller]
pub(super) fn create(server: &Server, root: &Client) -> PathBuf {
    // It is signed with the key of the logs, which the first checkpoint makes.
    log_key(root);
    let made = asking(server, &server.target().token, &["backup", "create"]);
    ok(&made);
    PathBuf::from(made.stdout.trim())
}

/// The key that backups are verified with.
#[track_caller]
pub(super) fn log_key(root: &Client) -> String {
    let since = Instant::now();
    loop {
        let reply = root.call("GET", "sys/audit-log/key", None);
        if reply.status == 200 {
            return reply.json()["data"]["key"].as_str().unwrap().to_owned();
        }
        assert!(since.elapsed() < PATIENCE, "no log key");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

/// An empty store with a configuration, and no server on it.
pub(super) struct Target {
    server: std::cell::RefCell<Option<Server>>,
    config: PathBuf,
    database: Option<std::rc::Rc<Database>>,
}

impl Target {
    pub(super) fn sqlite() -> Self {
        Self::sqlite_with("")
    }

    /// With further lines of configuration.
    pub(super) fn sqlite_with(lines: &str) -> Self {
        let stanzas =
            |folder: &Path| format!("storage \"sqlite\" {{\n  path = \"{}\"\n}}\n{lines}", folder.join("store.db").display());
        Self::of(Server::configured(stanzas, "", 501), None)
    }

    pub(super) fn postgresql() -> Self {
        let database = std::rc::Rc::new(Database::new());
        let mut server = Server::configured(|_| storage_stanza(&database), "", 501);
        server.set_database(&database);
        Self::of(server, Some(database))
    }

    fn of(mut server: Server, database: Option<std::rc::Rc<Database>>) -> Self {
        assert!(server.stop().success());
        let config = server.folder().join("strongroom.hcl");
        Self { server: std::cell::RefCell::new(Some(server)), config, database }
    }

    pub(super) fn config(&self) -> &str {
        self.config.to_str().unwrap()
    }

    fn seal(&self) -> String {
        if let Some(database) = &self.database {
            return database.sql("postgres", "SELECT encode(seal, 'escape') FROM strongroom.deployment");
        }
        let file = self.config.with_file_name("store.db");
        let found = crate::support::database::Database::open(&file).bytes("SELECT seal FROM deployment");
        found.first().map(|seal| String::from_utf8(seal.clone()).unwrap()).unwrap_or_default()
    }

    /// Whether a restore has written anything.
    pub(super) fn is_begun(&self) -> bool {
        !self.seal().trim().is_empty()
    }

    /// Whether a restore was begun and is not at its end.
    pub(super) fn is_unfinished(&self) -> bool {
        self.seal().contains("restoring")
    }

    /// What a server says that does not start.
    pub(super) fn start(&self) -> String {
        let server = self.server.borrow();
        let output = server.as_ref().unwrap().same_command().output().unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap() + &String::from_utf8(output.stdout).unwrap()
    }

    /// Changes its configuration.
    pub(super) fn edit(&self, before: &str, after: &str) {
        let config = fs::read_to_string(&self.config).unwrap();
        assert!(config.contains(before), "{config}");
        fs::write(&self.config, config.replacen(before, after, 1)).unwrap();
    }

    /// The server on it, not running.
    pub(super) fn server(&self) -> Server {
        self.server.borrow_mut().take().unwrap()
    }

    /// Runs a restore, with key shares.
    pub(super) fn restore(&self, file: &Path, key: &str, shares: &[String], more: &[&str]) -> Finished {
        let mut arguments = vec!["backup", "restore", "--key", key, "--config", self.config()];
        arguments.extend(more);
        arguments.push(file.to_str().unwrap());
        strongroom(&arguments, Some(&format!("{}\n", shares.join("\n"))))
    }
}

/// An open server with something in it, that makes backups: with the client of its root token, and the key of its logs.
pub(super) fn with_values(lines: &str) -> (Server, Client, String) {
    let mut server = Server::initialised_on_sqlite();
    let root = crate::support::fixture::ready(&server);
    backed_up(&mut server, lines);
    for number in 0..4 {
        // More than one part of a backup.
        let value = "v".repeat(700_000);
        crate::support::fixture::put(&root, &format!("large/{number}"), &serde_json::json!({"value": value, "number": number}));
    }
    let key = log_key(&root);
    (server, root, key)
}

/// A deployment that was brought back, with a server on it.
pub(super) struct Restored {
    server: Server,
    token: String,
}

impl Restored {
    pub(super) fn client(&self, arguments: &[&str]) -> Finished {
        asking(&self.server, &self.token, arguments)
    }

    pub(super) fn stop(&mut self) {
        assert!(self.server.stop().success());
    }

    pub(super) fn folder(&self) -> &Path {
        self.server.folder()
    }
}

/// Restores a backup of `from` into an empty store, starts a server on it, and opens that: with a root token that was made there.
#[track_caller]
pub(super) fn restored(target: &Target, from: &Server, file: &Path, key: &str) -> (Restored, Client) {
    restored_with(target, from, file, key, &[])
}

/// The same, with further words.
#[track_caller]
pub(super) fn restored_with(target: &Target, from: &Server, file: &Path, key: &str, more: &[&str]) -> (Restored, Client) {
    let token = target.config.with_file_name("root-token");
    ok(&target.restore(file, key, from.keys(), &[&["--root-token-file", token.to_str().unwrap()], more].concat()));
    let mut server = target.server();
    server.set_keys(from.keys());
    server.come_back();
    let token = fs::read_to_string(token).unwrap();
    let client = Client::new(&server.target()).with_token(&token);
    (Restored { server, token }, client)
}
