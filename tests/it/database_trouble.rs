//! What becomes of requests while PostgreSQL has trouble, and afterwards: they are refused in bounded time, nothing that was
//! acknowledged is missing, and service is back soon after the database.

mod load;

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::client::Client;
use crate::support::fixture::{put, ready};
use crate::support::postgres::Database;
use crate::support::process::until;
use crate::support::server::Server;
use crate::support::{full, say};
use load::Load;

/// On a quiet machine service is back soon after the database.
#[track_caller]
fn soon(took: Duration) {
    say(&format!("service was back after {took:?}"));
    assert!(!full() || took < Duration::from_secs(2), "service was back after {took:?}");
}

/// A server on a database server of its own, which may be treated as a test likes.
fn alone() -> (Server, Client) {
    let server = Server::initialised_on_postgresql(Database::alone());
    let root = ready(&server);
    (server, root)
}

fn send(processes: &[u32], signal: Signal) {
    for process in processes {
        // A backend may have ended meanwhile.
        let _ = kill_process(Pid::from_raw(i32::try_from(*process).unwrap()).unwrap(), signal);
    }
}

#[test]
fn a_restart_of_the_database_is_survived() {
    let (server, root) = alone();
    let database = server.postgres().unwrap();
    let load = Load::on(&root);
    for round in 0..if full() { 6 } else { 2 } {
        if round % 2 == 0 {
            // In good order: sessions end with 57P01.
            let first = database.processes()[0];
            send(&[first], Signal::INT);
            until("the end of the database", || !std::path::Path::new(&format!("/proc/{first}")).exists());
        }
        // At once: without a word.
        database.stop();
        load.until_it_is_refused();
        root.without_token().call("GET", "sys/health", None).expect(503);
        database.start("");
        soon(load.until_it_works());
    }
    load.end(&root);
    root.without_token().call("GET", "sys/health", None).expect(200);
}

#[test]
fn a_storm_of_terminated_connections_is_survived() {
    let (server, root) = alone();
    let load = Load::on(&root);
    for _ in 0..if full() { 400 } else { 40 } {
        let storm = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'strongroom'";
        server.postgres().unwrap().sql("postgres", storm);
        std::thread::sleep(Duration::from_millis(20));
    }
    soon(load.until_it_works());
    load.end(&root);
}

#[test]
fn a_database_that_hangs_holds_up_requests_for_a_bounded_time() {
    let (server, root) = alone();
    let database = server.postgres().unwrap();
    let load = Load::on(&root);
    let processes = database.processes();
    send(&processes, Signal::STOP);
    let since = Instant::now();
    load.until_it_is_refused();
    // Now it is known: whoever comes is answered at once, and not only after everybody before.
    let begun = Instant::now();
    root.call("GET", "secret/data/other", None).expect(503);
    root.without_token().call("GET", "sys/health", None).expect(503);
    assert!(!full() || begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    std::thread::sleep(Duration::from_secs(if full() { 30 } else { 0 }).saturating_sub(since.elapsed()));
    send(&processes, Signal::CONT);
    soon(load.until_it_works());
    load.end(&root);
}

#[test]
fn a_database_without_free_connections_is_waited_for() {
    let (server, root) = alone();
    let database = server.postgres().unwrap();
    database.stop();
    database.start("-c max_connections=12");
    // Its connections have ended with the database before.
    until("the server has its database again", || {
        root.call("POST", "secret/data/before", Some(&serde_json::json!({"data": {}}))).status == 200
    });
    let load = Load::on(&root);
    // Whoever is first has what becomes free: nothing is left for the server.
    let mut others = Vec::new();
    let clear = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'strongroom'";
    while load.refused() == 0 {
        for _ in 0..12 {
            let mut session = database.psql_session("strongroom_owner");
            session.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
            others.push(session.spawn().unwrap());
        }
        std::thread::sleep(Duration::from_millis(200));
        database.sql("postgres", clear);
        assert!(others.len() < 600, "the database has always room");
    }
    for mut other in others {
        let _ = other.kill();
        other.wait().unwrap();
    }
    soon(load.until_it_works());
    load.end(&root);
}

#[test]
fn a_database_that_takes_no_writes_is_waited_for() {
    let (server, root) = alone();
    let database = server.postgres().unwrap();
    let load = Load::on(&root);
    database.configure("default_transaction_read_only", "on");
    load.until_it_is_refused();
    // Reading leaves an event, which is a write.
    root.call("GET", "secret/data/load/0/1", None).expect(503);
    // Who sets it back writes, too.
    database.sql(
        "postgres",
        "SET default_transaction_read_only = off;\nALTER SYSTEM RESET default_transaction_read_only;\nSELECT pg_reload_conf()",
    );
    soon(load.until_it_works());
    load.end(&root);
}

#[test]
fn a_database_whose_disk_is_full_is_waited_for() {
    let server = Server::initialised_on_postgresql(Database::on_a_small_disk());
    let (root, database) = (ready(&server), server.postgres().unwrap());
    let load = Load::on(&root);
    database.fill_disk(true);
    load.until_it_is_refused();
    let large = serde_json::json!({"data": {"k": "v".repeat(500_000)}});
    root.call("POST", "secret/data/large", Some(&large)).expect(503);
    root.without_token().call("GET", "sys/health", None).expect(200);
    database.fill_disk(false);
    soon(load.until_it_works());
    load.end(&root);
    root.call("GET", "secret/data/large", None).expect(404);
}

/// A server that knows both hosts, and both.
struct Pair {
    primary: Database,
    standby: Database,
    server: Server,
    root: Client,
}

impl Pair {
    fn new() -> Self {
        let primary = Database::alone();
        let standby = primary.standby();
        let (url, other) = (primary.url("strongroom_runtime"), standby.url("strongroom_runtime"));
        // The standby comes first: it is passed over.
        let host = |url: &str| url.split('@').nth(1).unwrap().split('/').next().unwrap().to_owned();
        let url = format!(
            "postgresql://strongroom_runtime@{},{}/{}?target_session_attrs=read-write",
            host(&other),
            host(&url),
            primary.name
        );
        let key = primary.key_file();
        let server = Server::uninitialised(|_| {
            format!("storage \"postgresql\" {{\n  connection_url = \"{url}\"\n  context_key_file = \"{}\"\n}}", key.display())
        });
        let server = server.initialise();
        let root = ready(&server);
        Self { primary, standby, server, root }
    }
}

#[test]
fn after_a_failover_nothing_that_was_acknowledged_is_missing() {
    let pair = Pair::new();
    let load = Load::on(&pair.root);
    std::thread::sleep(Duration::from_millis(500));
    pair.primary.stop();
    load.until_it_is_refused();
    pair.standby.promote();
    soon(load.until_it_works());
    let (acknowledged, _) = load.end(&pair.root);
    assert!(acknowledged > 0);
    assert!(pair.server.output().contains("connections are made anew"));
    put(&pair.root, "after", &serde_json::json!({}));
}

/// The primary is demoted, and stays: it answers, and refuses writes.
#[test]
fn a_demoted_primary_is_left_for_the_one_that_takes_writes() {
    let pair = Pair::new();
    let load = Load::on(&pair.root);
    pair.primary.configure("default_transaction_read_only", "on");
    load.until_it_is_refused();
    pair.standby.promote();
    soon(load.until_it_works());
    load.end(&pair.root);
    let there = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'strongroom'";
    assert_ne!(pair.standby.sql("postgres", there).trim(), "0");
}
