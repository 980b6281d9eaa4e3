//! A server that keeps anchors, and a database that can be put back.

use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde_json::json;
use strongroom::audit::anchor::Anchored;
use strongroom::id::TenantId;

use crate::support::client::{Client, Reply};
use crate::support::postgres::Database;
use crate::support::process::{Finished, run};
use crate::support::server::{Server, storage_stanza};
use crate::support::tools;

/// For what comes within seconds on a machine with nothing else to do.
const PATIENCE: Duration = Duration::from_mins(1);

/// Waits until there is something.
#[track_caller]
pub(super) fn seen<T>(look: impl Fn() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begin.elapsed() < PATIENCE, "nothing was seen");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// The id of a client's namespace.
pub(super) fn id(client: &Client) -> String {
    let origin = client.call("GET", "sys/audit-log/key", None).expect(200).json()["data"]["origin"].as_str().unwrap().to_owned();
    origin.split('/').nth(2).unwrap().to_owned()
}

/// Origin and note of the newest checkpoint.
pub(super) fn checkpoint(client: &Client) -> (String, String) {
    let reply = client.call("GET", "sys/audit-log/checkpoint", None);
    if reply.status == 404 {
        return Default::default();
    }
    let note = reply.expect(200).json()["data"]["checkpoint"].as_str().unwrap().to_owned();
    (note.lines().next().unwrap().to_owned(), note)
}

/// The first checkpoint whose origin ends so.
pub(super) fn newer(client: &Client, end: &str) -> (String, String) {
    seen(|| Some(checkpoint(client)).filter(|(origin, _)| origin.ends_with(end)))
}

pub(super) fn anchor_file(server: &Server) -> PathBuf {
    server.folder().join("anchors")
}

/// Waits until a server's anchors have all events of these clients' namespaces up to now.
#[track_caller]
pub(super) fn anchored(server: &Server, clients: &[&Client]) {
    let wanted: Vec<(TenantId, u64)> = clients
        .iter()
        .map(|client| {
            seen(|| (client.call("GET", "sys/audit-log/key", None).status == 200).then_some(()));
            let newest = client.call("GET", "sys/audit-log?limit=1", None).expect(200).json();
            (TenantId::parse(&id(client)).unwrap(), newest["data"]["events"][0]["index"].as_u64().unwrap() + 1)
        })
        .collect();
    seen(|| {
        let (anchored, _) = Anchored::parse(&fs::read_to_string(anchor_file(server)).ok()?).unwrap();
        let reached = |(tenant, size): &(TenantId, u64)| anchored.anchors.get(tenant).is_some_and(|anchor| anchor.size >= *size);
        wanted.iter().all(reached).then_some(())
    });
}

fn anchor_stanza(folder: &Path) -> String {
    format!("anchor \"file\" {{\n  path = \"{}\"\n}}\n", folder.join("anchors").display())
}

/// The server, and where its database is saved.
pub(super) struct Stage {
    pub(super) server: Server,
    database: Option<Rc<Database>>,
}

/// A state of the database.
pub(super) enum Saved {
    Sqlite(Vec<u8>),
    Postgres(String),
}

impl Stage {
    pub(super) fn new(database: Option<Database>) -> Self {
        let database = database.map(Rc::new);
        let storage = |folder: &Path| match &database {
            None => format!("storage \"sqlite\" {{\n  path = \"{}\"\n}}", folder.join("store.db").display()),
            Some(database) => storage_stanza(database),
        };
        let mut server = Server::configured(|folder| format!("{}\n{}", storage(folder), anchor_stanza(folder)), "", 501);
        if let Some(database) = &database {
            server.set_database(database);
        }
        Self { server: server.initialise(), database }
    }

    /// Another server on the same database, with a file of its own.
    pub(super) fn another(&self) -> Server {
        self.server.another_with(anchor_stanza)
    }

    #[track_caller]
    pub(super) fn anchored(&self, clients: &[&Client]) {
        anchored(&self.server, clients);
    }

    /// Brings the key share.
    pub(super) fn unseal(&self) -> Reply {
        Client::new(&self.server.target()).call("PUT", "sys/unseal", Some(&json!({"key": self.server.keys()[0]})))
    }

    /// Saves the database, between a stop and a start.
    pub(super) fn save(&mut self) -> Saved {
        assert!(self.server.stop().success());
        let saved = match &self.database {
            None => Saved::Sqlite(fs::read(self.server.sqlite_file()).unwrap()),
            Some(database) => Saved::Postgres(database.saved()),
        };
        self.server.come_back();
        saved
    }

    /// Puts it back, and leaves the server sealed.
    pub(super) fn put_back(&mut self, saved: &Saved) {
        assert!(self.server.stop().success());
        match (saved, &self.database) {
            (Saved::Sqlite(bytes), _) => fs::write(self.server.sqlite_file(), bytes).unwrap(),
            (Saved::Postgres(name), Some(database)) => database.put_back(name),
            (Saved::Postgres(_), None) => panic!("no database"),
        }
        self.server.start_again(503);
    }

    /// Runs `strongroom audit ..` with the root token.
    pub(super) fn audit(&self, arguments: &[&str]) -> Finished {
        let target = self.server.target();
        let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let ca = target.ca.as_ref().unwrap().to_str().unwrap();
        let variables = [set("BAO_ADDR", &target.url), set("BAO_CACERT", ca), set("BAO_TOKEN", &target.token)];
        run(&tools::strongroom(), &[&["audit"], arguments].concat(), &variables, None)
    }
}
