//! Several servers on one database: all of them are active, and what only one does at a time goes on wherever a server lives.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use strongroom::storage::LAPSE;
use strongroom::time::Timestamp;

use crate::support::client::Client;
use crate::support::fixture::{mount, namespace, put, ready, token};
use crate::support::postgres::Database;
use crate::support::process::until;
use crate::support::server::Server;
use crate::support::{full, say};

/// Those of servers that have neither an archive nor a place for backups.
const LEASES: [&str; 2] = ["upkeep", "checkpoint"];

/// Servers on one database. Dead ones leave.
struct Cluster {
    servers: Vec<Server>,
    /// A client of each, with the root token.
    clients: Vec<Client>,
}

impl Cluster {
    fn of(count: usize) -> Self {
        let first = Server::initialised_on_postgresql(Database::new());
        let root = ready(&first);
        let mut cluster = Self { servers: vec![first], clients: vec![root] };
        while cluster.servers.len() < count {
            let server = cluster.servers[0].another();
            cluster.add(server);
        }
        cluster
    }

    fn add(&mut self, server: Server) {
        self.clients.push(Client::new(&server.target()));
        self.servers.push(server);
    }

    fn sql(&self, text: &str) -> String {
        self.servers[0].postgres().unwrap().sql("postgres", text).trim().to_owned()
    }

    fn number(&self, text: &str) -> u64 {
        self.sql(text).parse().unwrap()
    }

    /// Which server has a lease.
    fn holder(&self, lease: &str) -> Option<usize> {
        let address = self.sql(&format!(
            "SELECT r.api_addr FROM strongroom.lease l JOIN strongroom.replica r ON r.replica_id = l.holder WHERE l.name = '{lease}'"
        ));
        self.servers.iter().position(|server| server.target().url == address)
    }

    fn has_all(&self, server: usize) -> bool {
        LEASES.iter().all(|lease| self.holder(lease) == Some(server))
    }

    fn epoch(&self, lease: &str) -> u64 {
        self.number(&format!("SELECT epoch FROM strongroom.lease WHERE name = '{lease}'"))
    }

    fn send(&self, server: usize, signal: Signal) {
        let process = Pid::from_raw(i32::try_from(self.servers[server].process_id()).unwrap()).unwrap();
        kill_process(process, signal).unwrap();
    }

    /// Records past their expiry that are there still.
    fn expired(&self) -> u64 {
        self.number(
            "SELECT count(*) FROM strongroom.record WHERE expires_at < extract(epoch FROM clock_timestamp()) * 1000000000",
        )
    }
}

/// Until a log has a checkpoint of all that it has now; the index of the newest event of that.
#[track_caller]
fn until_signed(namespace: &Client) -> u64 {
    let newest = namespace.call("GET", "sys/audit-log?limit=1", None).expect(200).json();
    let newest = newest["data"]["events"][0]["index"].as_u64().unwrap();
    until("a checkpoint", || {
        let shown = namespace.call("GET", "sys/audit-log/checkpoint", None);
        shown.status == 200 && shown.json()["data"]["size"].as_u64().unwrap() > newest
    });
    newest
}

fn metric(client: &Client, name: &str) -> f64 {
    let text = String::from_utf8(client.call("GET", "sys/metrics?format=prometheus", None).expect(200).body).unwrap();
    text.lines().find_map(|line| line.strip_prefix(name)).map_or(0.0, |value| value.trim().parse().unwrap())
}

#[test]
fn every_server_is_an_active_one_and_knows_the_others() {
    let mut cluster = Cluster::of(3);
    for (server, client) in cluster.servers.iter().zip(&cluster.clients) {
        let (own, stranger) = (server.target().url, client.without_token());
        let leader = stranger.call("GET", "sys/leader", None).expect(200).json();
        assert_eq!((&leader["ha_enabled"], &leader["is_self"]), (&json!(true), &json!(true)));
        assert_eq!(leader["leader_address"], own);
        assert!(leader["active_time"].as_str().unwrap() > "2026", "{leader}");
        let health = stranger.call("GET", "sys/health", None).expect(200).json();
        assert_eq!((&health["standby"], &health["performance_standby"]), (&json!(false), &json!(false)));
        until("the other servers", || nodes(client).len() == 3);
        let nodes = nodes(client);
        assert_eq!((&nodes[0]["api_address"], &nodes[0]["last_echo"]), (&json!(own), &Value::Null), "itself first");
        assert!(nodes.iter().all(|node| node["active_node"] == true && node["version"] == nodes[0]["version"]));
        assert!(nodes[1..].iter().all(|node| node["last_echo"].is_string() && node["api_address"] != own));
        assert!((metric(client, "strongroom_replicas ") - 3.0).abs() < 0.1);
    }
    // One that is sealed is none, and one that stopped.
    cluster.clients[2].call("PUT", "sys/seal", None).expect(204);
    until("two servers", || nodes(&cluster.clients[0]).len() == 2);
    cluster.clients[2].without_token().call("GET", "sys/leader", None).expect(503);
    assert!(cluster.servers[1].stop().success());
    assert_eq!(cluster.number("SELECT count(*) FROM strongroom.replica"), 1, "it said so before it ended");
    until("one server", || nodes(&cluster.clients[0]).len() == 1);
}

fn nodes(client: &Client) -> Vec<Value> {
    client.call("GET", "sys/ha-status", None).expect(200).json()["data"]["nodes"].as_array().unwrap().clone()
}

/// Of a namespace that is used through the other server only, logs are signed and records expire, before and after the death of
/// the server that does so.
#[test]
fn jobs_go_on_when_their_server_dies() {
    let mut cluster = Cluster::of(3);
    let holder = cluster.holder("checkpoint").unwrap();
    assert!(cluster.has_all(holder), "who came first has what was free");
    let others: Vec<usize> = (0..3).filter(|at| *at != holder).collect();
    let used = others[0];
    let team = namespace(&cluster.clients[used], "team");
    mount(&team, "secret");
    put(&team, "a", &json!({"k": "v"}));
    for _ in 0..5 {
        token(&team, &json!({"policies": ["default"], "ttl": "1s"}));
    }
    until_signed(&team);
    until("expiry", || cluster.expired() == 0);
    assert!((metric(&cluster.clients[holder], "strongroom_lease_held{lease=\"checkpoint\"} ") - 1.0).abs() < 0.1);
    for other in others {
        assert!(metric(&cluster.clients[other], "strongroom_lease_held{lease=\"checkpoint\"} ") < 0.1);
    }

    let epoch = cluster.epoch("checkpoint");
    cluster.servers[holder].kill();
    let took = until("another holder", || cluster.holder("checkpoint").is_some_and(|next| next != holder));
    say(&format!("another server had the lease after {took:?}"));
    assert!(!full() || took < Duration::from_secs(5), "{took:?}");
    assert_eq!(cluster.epoch("checkpoint"), epoch + 1);
    for _ in 0..5 {
        token(&team, &json!({"policies": ["default"], "ttl": "1s"}));
    }
    put(&team, "a", &json!({"k": "w"}));
    until_signed(&team);
    until("expiry", || cluster.expired() == 0);
}

#[test]
fn a_server_that_stops_in_good_order_hands_over_at_once() {
    let mut cluster = Cluster::of(2);
    let holder = cluster.holder("upkeep").unwrap();
    let other = 1 - holder;
    assert!(cluster.servers[holder].stop().success());
    assert_eq!(cluster.number("SELECT count(*) FROM strongroom.replica"), 1, "nobody has to wait until it was not heard of");
    let took = until("the other holder", || cluster.has_all(other));
    assert!(!full() || took < LAPSE, "{took:?}");
    // It comes back, and has nothing.
    cluster.servers[holder].come_back();
    until("both", || nodes(&cluster.clients[other]).len() == 2);
    assert!(cluster.has_all(other));
    until_signed(&cluster.clients[holder]);
}

/// One that was stopped as by a hypervisor, longer than its lease, goes on as one that has nothing, and serves.
#[test]
fn a_server_that_was_stopped_in_the_middle_finds_its_leases_with_another() {
    let cluster = Cluster::of(2);
    let holder = cluster.holder("upkeep").unwrap();
    let other = 1 - holder;
    let team = namespace(&cluster.clients[holder], "team");
    mount(&team, "secret");
    for round in 0..if full() { 5 } else { 1 } {
        let (holder, other) = if round % 2 == 0 { (holder, other) } else { (other, holder) };
        let epochs = LEASES.map(|lease| cluster.epoch(lease));
        for _ in 0..20 {
            token(&cluster.clients[holder].in_namespace("team"), &json!({"policies": ["default"], "ttl": "1s"}));
        }
        cluster.send(holder, Signal::STOP);
        // What it was in the middle of holds a lease until the database ends its transaction.
        until("the other holder", || cluster.has_all(other));
        put(&cluster.clients[other].in_namespace("team"), "while", &json!({"round": round}));
        cluster.send(holder, Signal::CONT);
        let client = &cluster.clients[holder];
        until("both", || nodes(client).len() == 2);
        assert!(cluster.has_all(other), "it took nothing back");
        assert_eq!(LEASES.map(|lease| cluster.epoch(lease)), epochs.map(|epoch| epoch + 1));
        assert!(metric(client, "strongroom_lease_held{lease=\"upkeep\"} ") < 0.1);
        let read = client.in_namespace("team").call("GET", "secret/data/while", None).expect(200).json();
        assert_eq!(read["data"]["data"]["round"], round);
        until("expiry", || cluster.expired() == 0);
        until_signed(&client.in_namespace("team"));
    }
    assert!(cluster.servers[holder].output().contains("another server has the lease now"));
}

/// Objects of the archive: their places, the oldest first.
fn objects(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() { objects(&entry.path(), found) } else { found.push(entry.path()) }
    }
    found.sort();
}

#[test]
fn nothing_is_archived_or_backed_up_twice() {
    let place = tempfile::tempdir().unwrap();
    let (archive, backups) = (place.path().join("archive"), place.path().join("backups"));
    for folder in [&archive, &backups] {
        fs::create_dir(folder).unwrap();
    }
    let stanzas = |_: &Path| {
        let folders = (archive.display(), backups.display());
        format!(
            "archive \"file\" {{\n  path = \"{}\"\n  interval = \"1s\"\n}}\nbackup \"file\" {{\n  path = \"{}\"\n  interval = \"3s\"\n}}\n",
            folders.0, folders.1
        )
    };
    let mut cluster = Cluster::of(1);
    for _ in 0..2 {
        let server = cluster.servers[0].another_with(stanzas);
        cluster.add(server);
    }
    // The first one has no archive, and leaves the lease to those that have.
    let archiver = |cluster: &Cluster| cluster.holder("archive").filter(|at| Some(*at) == cluster.holder("backup"));
    until("a holder", || archiver(&cluster).is_some());
    let holder = archiver(&cluster).unwrap();
    let other = 3 - holder;
    assert!(holder > 0);
    let team = namespace(&cluster.clients[0], "team");
    mount(&team, "secret");
    let team = cluster.clients[other].in_namespace("team");
    archived(&team);
    assert!(metric(&cluster.clients[holder], "strongroom_audit_archive_segments_total ") > 0.0);
    assert!(metric(&cluster.clients[other], "strongroom_audit_archive_segments_total ") < 0.1, "one archives");
    until("backups", || made(&cluster.clients[other]).len() >= 2);
    cluster.send(holder, Signal::KILL);
    until("the other holder", || archiver(&cluster) == Some(other));
    archived(&team);
    let before = made(&cluster.clients[other]).len();
    until("backups of the other", || made(&cluster.clients[other]).len() > before);

    // Each event is in one object, and the schedule asked for one backup at a time.
    let mut paths = Vec::new();
    objects(&archive, &mut paths);
    let mut ends = BTreeMap::new();
    for path in paths.iter().filter(|path| !path.to_str().unwrap().contains('#')) {
        let part = |at: usize| path.iter().nth_back(at).unwrap().to_str().unwrap();
        let (log, first, end): (&str, u64, u64) = (part(3), part(1).parse().unwrap(), part(0).parse().unwrap());
        let reached = ends.entry(log.to_owned()).or_insert(0);
        assert_eq!(*reached, first, "{}", path.display());
        *reached = end;
    }
    assert!(ends.len() >= 2, "{ends:?}");
    let wanted = made(&cluster.clients[other]);
    assert!(wanted.windows(2).all(|pair| pair[1].since(pair[0]) >= Duration::from_secs(3)), "{wanted:?}");
}

/// Writes something, and waits until all that is signed of it is archived.
#[track_caller]
fn archived(client: &Client) {
    put(client, "a", &json!({"k": "v"}));
    let newest = until_signed(client);
    until("the archive", || {
        let shown = client.call("GET", "sys/audit-log/archive", None).expect(200).json();
        shown["data"]["archived"].as_u64().is_some_and(|archived| archived > newest)
    });
}

/// When the backups that there are were asked for, the oldest first.
fn made(client: &Client) -> Vec<Timestamp> {
    let reply = client.call("LIST", "sys/backups", None);
    let shown = if reply.status == 404 { json!({}) } else { reply.expect(200).json() };
    let all = shown["data"]["key_info"].as_object().cloned().unwrap_or_default();
    let mut wanted: Vec<Timestamp> =
        all.values().map(|backup| Timestamp::parse_rfc3339(backup["wanted"].as_str().unwrap()).unwrap()).collect();
    wanted.sort();
    wanted
}
