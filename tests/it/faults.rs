//! What breaks below the server: a connection that is lost at the worst moment, and a disk that is full.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::json;

use crate::support::client::Client;
use crate::support::fixture::{put, ready};
use crate::support::postgres::Database;
use crate::support::process::PATIENCE;
use crate::support::server::Server;

/// The message of the protocol that carries COMMIT: a simple query of 11 bytes, its length included.
const COMMIT: &[u8] = b"Q\x00\x00\x00\x0bCOMMIT\x00";

/// What happens to the next COMMIT.
const PASSES: u8 = 0;
/// It reaches the database, and its answer gets lost.
const LOSES_ANSWER: u8 = 1;
/// It does not reach the database.
const LOSES_COMMIT: u8 = 2;

/// Stands between server and database, and cuts the connection when it is told to.
struct Cutter {
    folder: tempfile::TempDir,
    next: Arc<AtomicU8>,
}

impl Cutter {
    fn before(database: &Database) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join(".s.PGSQL.5432")).unwrap();
        let next = Arc::new(AtomicU8::new(PASSES));
        let (seen, behind) = (Arc::clone(&next), database.socket());
        std::thread::spawn(move || {
            for front in listener.incoming() {
                let (Ok(front), Ok(back)) = (front, UnixStream::connect(&behind)) else { return };
                let seen = Arc::clone(&seen);
                let (front_too, back_too) = (front.try_clone().unwrap(), back.try_clone().unwrap());
                std::thread::spawn(move || forward(front, &back, &seen));
                std::thread::spawn(move || answer(back_too, &front_too));
            }
        });
        Self { folder, next }
    }

    fn url(&self, database: &Database) -> String {
        let folder = self.folder.path().to_str().unwrap().replace('/', "%2F");
        format!("postgresql://strongroom_runtime@{folder}/{}", database.name)
    }
}

/// From server to database.
fn forward(mut front: UnixStream, mut back: &UnixStream, next: &AtomicU8) {
    let mut buffer = [0; 8192];
    while let Ok(length) = front.read(&mut buffer) {
        let part = &buffer[..length];
        let is_commit = part.windows(COMMIT.len()).any(|window| window == COMMIT);
        let fate = if is_commit { next.swap(PASSES, Ordering::SeqCst) } else { PASSES };
        if length == 0 || fate == LOSES_COMMIT {
            break;
        }
        if fate == LOSES_ANSWER {
            // Nobody listens any more to what the database answers, and it commits.
            front.shutdown(Shutdown::Both).unwrap();
        }
        if back.write_all(part).is_err() || fate == LOSES_ANSWER {
            std::thread::sleep(Duration::from_millis(200));
            break;
        }
    }
    let _ = (front.shutdown(Shutdown::Both), back.shutdown(Shutdown::Both));
}

/// From database to server.
fn answer(mut back: UnixStream, mut front: &UnixStream) {
    let mut buffer = [0; 8192];
    while let Ok(length) = back.read(&mut buffer) {
        if length == 0 || front.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = front.shutdown(Shutdown::Both);
}

/// Done or not done, it is found out, and the client gets the one right answer: each write counts once.
#[test]
fn a_commit_that_is_lost_on_its_way_is_found_or_done_again() {
    let database = Database::new();
    let cutter = Cutter::before(&database);
    let (url, key) = (cutter.url(&database), database.key_file());
    let storage = |_: &Path| {
        format!("storage \"postgresql\" {{\n  connection_url = \"{url}\"\n  context_key_file = \"{}\"\n}}", key.display())
    };
    let server = Server::uninitialised(storage).initialise();
    let root = ready(&server);
    let mut version = 0;
    for (fate, sign) in [(LOSES_ANSWER, "looking for the group in the log"), (LOSES_COMMIT, "the group runs again")] {
        for round in 0..5 {
            cutter.next.store(fate, Ordering::SeqCst);
            let body = json!({"options": {"cas": version}, "data": {"round": round}});
            let written = root.call("POST", "secret/data/a", Some(&body)).expect(200).json();
            version += 1;
            assert_eq!(cutter.next.load(Ordering::SeqCst), PASSES, "no COMMIT was cut");
            assert_eq!(written["data"]["version"], version);
            let read = root.call("GET", "secret/data/a", None).expect(200).json();
            assert_eq!((&read["data"]["data"]["round"], &read["data"]["metadata"]["version"]), (&json!(round), &json!(version)));
        }
        assert!(server.output().contains(sign), "{}", server.output());
    }
}

/// Bounds the length of every file that the server writes: for it the disk is full there.
fn limit_files(server: &Server, bytes: Option<u64>) {
    let process = Pid::from_raw(i32::try_from(server.process_id()).unwrap()).unwrap();
    prlimit(Some(process), Resource::Fsize, Rlimit { current: bytes, maximum: None }).unwrap();
}

fn length(file: &Path) -> u64 {
    std::fs::metadata(file).map_or(0, |metadata| metadata.len())
}

#[test]
fn a_full_disk_refuses_and_heals() {
    let server = Server::initialised_on_sqlite();
    let root = ready(&server);
    put(&root, "before", &json!({"k": "v"}));
    let wal = PathBuf::from(format!("{}-wal", server.sqlite_file().display()));
    let longest = std::fs::read_dir(server.folder()).unwrap().map(|entry| length(&entry.unwrap().path())).max().unwrap();
    limit_files(&server, Some(longest.max(length(&wal)) + 200_000));
    let value = json!({"data": {"k": "v".repeat(20_000)}});
    let begun = Instant::now();
    let mut written = 0;
    let refused = loop {
        assert!(begun.elapsed() < PATIENCE, "the disk is never full");
        let reply = root.call("POST", &format!("secret/data/many/{written}"), Some(&value));
        if reply.status != 200 {
            break reply;
        }
        written += 1;
    };
    let errors = refused.expect(503).errors();
    assert!(errors[0].contains("storage is unavailable"), "{errors:?}");
    // What cannot be logged is not done, reading included; the server itself is up.
    let big = json!({"data": {"k": "v".repeat(500_000)}});
    root.call("POST", "secret/data/big", Some(&big)).expect(503);
    root.without_token().call("GET", "sys/health", None).expect(200);

    limit_files(&server, None);
    root.call("GET", "secret/data/before", None).expect(200);
    root.call("GET", "secret/data/big", None).expect(404);
    root.call("GET", &format!("secret/data/many/{written}"), None).expect(404);
    for name in 0..written {
        root.call("GET", &format!("secret/data/many/{name}"), None).expect(200);
    }
    assert_eq!(put(&root, &format!("many/{written}"), &json!({"k": "v"})), 1);
    let names = root.call("LIST", "secret/metadata/many", None).expect(200).json();
    assert_eq!(names["data"]["keys"].as_array().unwrap().len(), written + 1);
    let stranger = Client::new(&server.target());
    stranger.call("GET", "sys/seal-status", None).expect(200);
}
