//! The audit log against the clients' books.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::client::Teller;
use crate::support::client::Client;
use crate::support::process::{PATIENCE, run};
use crate::support::server::Server;
use crate::support::tools;

const PAGE: usize = 1_000;

/// What events say, in their order.
#[derive(Default)]
pub(super) struct Audit {
    /// Path and status.
    events: Vec<(String, u64)>,
    /// Successful writes of paths.
    writes: HashMap<String, u64>,
    /// Successful looks of tokens at themselves, by accessor.
    uses: HashMap<String, u64>,
}

impl Audit {
    /// The whole log of the root namespace.
    pub(super) fn read(&mut self, root: &Client) {
        loop {
            let path = format!("sys/audit-log?order=asc&since_index={}&limit={PAGE}", self.events.len());
            let page = root.call("GET", &path, None).expect(200).json()["data"].take();
            for event in page["events"].as_array().unwrap() {
                assert_eq!(event["index"], self.events.len(), "an event is missing");
                self.note(&event["event"]);
            }
            if page["more"] == false {
                return;
            }
        }
    }

    fn note(&mut self, event: &Value) {
        let path = event["path"].as_str().unwrap_or_default().to_owned();
        let status = event["status"].as_u64().unwrap_or_default();
        if status == 200 && event["operation"] == "write" {
            *self.writes.entry(path.clone()).or_default() += 1;
        }
        if status == 200 && path == "auth/token/lookup-self" {
            *self.uses.entry(event["caller"]["accessor"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        self.events.push((path, status));
    }

    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    /// Whatever was answered has its event, where its receipt says; and nothing was done without one.
    pub(super) fn compare(&self, teller: &Teller) {
        for answered in &teller.receipts {
            let found = self.events.get(usize::try_from(answered.index).unwrap());
            let said = (answered.path.clone(), u64::from(answered.status));
            assert_eq!(found, Some(&said), "event {}", answered.index);
        }
        for (path, versions) in teller.secrets.versions() {
            assert_eq!(self.writes.get(&path).copied().unwrap_or(0), versions, "versions of {path}, and events of writes");
        }
        for (accessor, uses) in teller.tokens.uses() {
            let events = self.uses.get(accessor).copied().unwrap_or(0);
            assert!(uses.contains(&events), "{events} events of uses of a token that was used {uses:?} times");
        }
    }

    /// The exported log verifies without the server, with as many events as were read at least.
    pub(super) fn verify(&self, server: &Server) {
        let target = server.target();
        let root = Client::new(&target);
        let begun = Instant::now();
        while signed(&root) < self.len() as u64 {
            assert!(begun.elapsed() < PATIENCE, "the log is not signed");
            std::thread::sleep(Duration::from_millis(200));
        }
        let key = root.call("GET", "sys/audit-log/key", None).expect(200).json()["data"]["key"].take();
        let copy = server.folder().join("ledger");
        let (copy, ca) = (copy.to_str().unwrap(), target.ca.as_ref().unwrap().to_str().unwrap());
        let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let variables = [set("BAO_ADDR", &target.url), set("BAO_CACERT", ca), set("BAO_TOKEN", &target.token)];
        for arguments in [&["audit", "export", copy][..], &["audit", "verify", copy, "--key", key.as_str().unwrap()]] {
            let done = run(&tools::strongroom(), arguments, &variables, None);
            assert_eq!(done.code, 0, "{}{}", done.stdout, done.stderr);
        }
    }
}

fn signed(root: &Client) -> u64 {
    let reply = root.call("GET", "sys/audit-log/checkpoint", None);
    if reply.status == 404 { 0 } else { reply.expect(200).json()["data"]["size"].as_u64().unwrap() }
}
