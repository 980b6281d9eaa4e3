//! Replicas that are processes, and what happens to them, to their connections to the database, and to the database's own processes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::clients::{CLIENTS, Findings, Heard, Lines, Replica, Stage};
use crate::support::client::Client;
use crate::support::fixture::ready;
use crate::support::line::{self, Line};
use crate::support::link::{Link, Weather};
use crate::support::postgres::Database;
use crate::support::seed::Seed;
use crate::support::server::{Server, storage_at};
use crate::support::{full, say};

/// Ends the database's processes that serve replicas.
const TERMINATE: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND usename = 'strongroom_runtime'";

/// Says that it is over, also when the test fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn rounds() -> usize {
    if full() { 700 } else { 35 }
}

impl Replica for Line {
    fn ask(&mut self, token: &str, method: &str, path: &str, body: Option<&Value>) -> Heard {
        match Self::ask(self, token, method, path, body) {
            line::Heard::Answer(reply) => {
                Heard::Answer(reply.status, if reply.body.is_empty() { Value::Null } else { reply.json() })
            }
            line::Heard::Undone => Heard::Undone,
            line::Heard::Nothing => Heard::Nothing,
        }
    }
}

pub(super) fn under_faults(seed: &Seed) {
    let database = Database::new();
    let networks: Vec<Link> = (0..3).map(|_| Link::to(&database)).collect();
    let url = networks[0].url(&database);
    let mut first = Server::uninitialised(|_| storage_at(&url, &database)).initialise();
    ready(&first);
    let database = std::rc::Rc::new(database);
    first.set_database(&database);
    let mut servers: Vec<Server> = vec![first];
    for link in &networks[1..] {
        servers.push(servers[0].another_at(&link.url(&database)));
    }

    let root = servers[0].target().token;
    let mut lines: Lines = (0..CLIENTS).map(|_| servers.iter().map(line_to).collect()).collect();
    let done = AtomicBool::new(false);
    let found = std::thread::scope(|scope| {
        let playing = scope.spawn(|| {
            let mut found = Findings::default();
            while !done.load(Ordering::SeqCst) {
                let stage = Stage::new(&mut lines, &root, found.histories);
                found.add(&stage.play(&mut lines, &seed.part(found.histories as u64)));
            }
            found
        });
        let over = Over(&done);
        let mut chance = seed.part(u64::MAX);
        for round in 0..rounds() {
            if playing.is_finished() {
                break;
            }
            strike(&mut chance, round, &mut servers, &networks, &database);
        }
        drop(over);
        playing.join().unwrap()
    });
    say(&format!("{} histories in {} rounds", found.histories, rounds()));
    assert!(found.histories > 0, "nobody got anything done");
    assert_eq!((found.secrets, found.tokens), (0, 0), "of {} histories", found.histories);
}

fn line_to(server: &Server) -> Box<dyn Replica> {
    Box::new(Line::new(Client::new(&server.target()).without_token()))
}

/// One fault, and its end. Each kind has its turn; whom it meets and how long it lasts is chance.
fn strike(chance: &mut Seed, round: usize, servers: &mut [Server], networks: &[Link], database: &Database) {
    let at = chance.below(servers.len());
    let (server, link) = (&mut servers[at], &networks[at]);
    let moment = Duration::from_millis(chance.below(300) as u64);
    match round % 7 {
        0 => stop(i32::try_from(server.process_id()).unwrap(), moment),
        1 | 4 => {
            server.kill();
            server.come_back();
        }
        2 => {
            database.sql("postgres", TERMINATE);
        }
        3 => weather(link, Weather::Still, moment),
        5 => {
            let backends = database.backends();
            if !backends.is_empty() {
                stop(*chance.one_of(&backends), moment);
            }
        }
        _ => {
            weather(link, Weather::Slow(Duration::from_millis(1 + chance.below(10) as u64)), moment);
            weather(link, Weather::Down, moment / 4);
        }
    }
    // Between two faults something works.
    std::thread::sleep(Duration::from_millis(chance.below(200) as u64));
}

/// A process hangs for a moment; it may have ended by itself.
fn stop(process: i32, moment: Duration) {
    let process = Pid::from_raw(process).unwrap();
    if kill_process(process, Signal::STOP).is_ok() {
        std::thread::sleep(moment);
        let _ = kill_process(process, Signal::CONT);
    }
}

fn weather(link: &Link, weather: Weather, moment: Duration) {
    link.set(weather);
    std::thread::sleep(moment);
    link.set(Weather::Fair);
}
