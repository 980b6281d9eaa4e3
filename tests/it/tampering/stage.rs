//! What is tampered with.

use serde_json::json;

use super::{exchange, value};
use crate::support::client::Client;
use crate::support::database::{Record, Tables, added};
use crate::support::fixture::{mount, namespace, put, token};
use crate::support::server::Server;

/// A server with secrets in two tenants, and the rows that they are stored in.
pub(super) struct Stage<'a> {
    pub(super) server: &'a mut Server,
    pub(super) root: Client,
    /// Clients of the namespaces `one` and `two`.
    pub(super) teams: [Client; 2],
    /// Tenants of the namespaces.
    pub(super) tenants: [Vec<u8>; 2],
    /// The metadata rows of `dir/a` and `dir/b` in `one`, and of `dir/a` in `two`.
    pub(super) metadata: [Record; 3],
    /// The rows of versions 2 and 3 of `dir/a` in `one`, and of version 2 of it in `two`.
    pub(super) versions: [Record; 3],
    /// The row of a token in `one`.
    pub(super) token_row: Record,
    pub(super) token: String,
}

impl<'a> Stage<'a> {
    pub(super) fn new(server: &'a mut Server) -> Self {
        let root = Client::new(&server.target());
        let mut database = server.tables();
        let teams = ["one", "two"].map(|name| namespace(&root, name));
        for team in &teams {
            mount(team, "secret");
            // The directory is there: from here on each secret adds one listed row.
            put(team, "dir/first", &json!({}));
        }
        let first = |client: &Client, name: &str, database: &mut Tables| {
            let before = database.rows();
            put(client, &format!("dir/{name}"), &value(client, name, 1));
            only(added(&before, &database.rows()).into_iter().filter(Record::is_listed))
        };
        let further = |client: &Client, version: u64, database: &mut Tables| {
            let before = database.rows();
            assert_eq!(put(client, "dir/a", &value(client, "a", version)), version);
            only(added(&before, &database.rows()).into_iter())
        };
        let mut metadata =
            [first(&teams[0], "a", &mut database), first(&teams[0], "b", &mut database), first(&teams[1], "a", &mut database)];
        let versions =
            [further(&teams[0], 2, &mut database), further(&teams[0], 3, &mut database), further(&teams[1], 2, &mut database)];
        let before = database.rows();
        let made = token(&teams[0], &json!({"policies": ["default"], "ttl": "1h"}));
        // The token itself holds more than the rows that lead to it.
        let new = added(&before, &database.rows()).into_iter().filter(|row| !row.is_listed() && row.expires_at.is_some());
        let token_row = new.max_by_key(|row| row.sealed.len()).unwrap();
        let all = database.rows();
        for row in &mut metadata {
            let mut all = all.iter().cloned();
            *row = all.find(|now| (&now.tenant, &now.key) == (&row.tenant, &row.key)).unwrap();
        }
        let tenants = [metadata[0].tenant.clone(), metadata[2].tenant.clone()];
        Self { server, root, teams, tenants, metadata, versions, token_row, token: made.text }
    }

    /// Changes the database while the server is stopped.
    pub(super) fn tamper(&mut self, change: impl FnOnce(&mut Tables)) {
        self.stop();
        change(&mut self.server.tables());
        self.server.come_back();
    }

    pub(super) fn stop(&mut self) {
        let status = self.server.stop();
        assert!(status.success(), "{status}: {}", self.server.output());
    }

    pub(super) fn exchange(&mut self, rows: impl FnOnce(&Self) -> [&Record; 2], column: &str) {
        self.stop();
        exchange(&mut self.server.tables(), rows(self), column);
        self.server.come_back();
    }

    /// The server's log complains about a row with one of these keys.
    pub(super) fn log_names_one_of(&self, keys: &[Vec<u8>]) -> bool {
        let log = self.server.output();
        let complaints = || log.lines().filter(|line| line.contains("stored data does not open"));
        keys.iter().any(|key| complaints().any(|line| line.contains(&data_encoding::HEXLOWER.encode(&key[..8]))))
    }

    /// The server is up, and what was not touched is as it was.
    #[track_caller]
    pub(super) fn is_well(&self) {
        self.root.call("GET", "sys/mounts", None).expect(200);
    }
}

fn only(mut rows: impl Iterator<Item = Record>) -> Record {
    let row = rows.next().unwrap();
    assert_eq!(rows.next(), None, "more than one new row");
    row
}
