//! Copies of audit logs, made and verified by the command line, and by a checker that is not ours.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use strongroom::audit::tile::Tile;

use crate::support::client::Client;
use crate::support::fixture::{mount, namespace, put, ready, token};
use crate::support::on_stores;
use crate::support::process::{Finished, run};
use crate::support::server::Server;
use crate::support::tools;

on_stores! {
    a_copy_goes_on_where_it_ended_and_verifies_without_the_server,
    copies_of_all_namespaces_are_made_as_far_as_the_token_reads,
}

/// Runs `strongroom audit ..` against a server, with this token.
fn audit(server: &Server, token: &str, arguments: &[&str]) -> Finished {
    let target = server.target();
    let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let ca = target.ca.as_ref().unwrap().to_str().unwrap();
    let variables = [set("BAO_ADDR", &target.url), set("BAO_CACERT", ca), set("BAO_TOKEN", token)];
    run(&tools::strongroom(), &[&["audit"], arguments].concat(), &variables, None)
}

/// Runs `strongroom audit verify` with nothing but a folder.
fn verify(copy: &Path, arguments: &[&str]) -> Finished {
    run(&tools::strongroom(), &[&["audit", "verify", copy.to_str().unwrap()], arguments].concat(), &[], None)
}

/// The findings of a verification, as (fault, place).
fn findings(copy: &Path, key: &str) -> Vec<(String, String)> {
    let done = verify(copy, &["--key", key, "--format", "json"]);
    let report: Value =
        serde_json::from_str(&done.stdout).unwrap_or_else(|error| panic!("{error}: {}{}", done.stdout, done.stderr));
    assert_eq!((done.code, &report["verified"]), (i32::from(report["findings"] != json!([])), &json!(done.code == 0)));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    report["findings"].as_array().unwrap().iter().map(|finding| (text(&finding["fault"]), text(&finding["place"]))).collect()
}

/// How many events are signed, once there are at least as many.
fn signed(client: &Client, at_least: u64) -> u64 {
    let begin = Instant::now();
    loop {
        let reply = client.call("GET", "sys/audit-log/checkpoint", None);
        let size = if reply.status == 404 { 0 } else { reply.expect(200).json()["data"]["size"].as_u64().unwrap() };
        if size >= at_least {
            return size;
        }
        assert!(begin.elapsed() < Duration::from_secs(20), "{size} of {at_least} events were signed");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Many events in little time.
fn work(client: &Client, events: usize) {
    std::thread::scope(|scope| {
        for _ in 0..8 {
            let mut session = client.session().unwrap();
            scope.spawn(move || {
                for _ in 0..events / 8 {
                    session.send("GET", "/v1/secret/data/none", &[], b"").unwrap();
                }
            });
        }
    });
}

fn duplicate(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            duplicate(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn a_copy_goes_on_where_it_ended_and_verifies_without_the_server(server: &mut Server) {
    let root = ready(server);
    let auditor = token(&root, &json!({"policies": ["auditor"]})).text;
    let weak = token(&root, &json!({"policies": ["default"]})).text;
    let copy = server.folder().join("copy");
    let path = copy.to_str().unwrap().to_owned();
    let export = |server: &Server| audit(server, &auditor, &["export", &path]);
    assert_eq!(audit(server, &weak, &["export", &path]).code, 2);
    assert!(!copy.exists());

    work(&root, 320);
    let first = signed(&root, 320);
    let counts = |done: &Finished| -> [u64; 2] {
        assert_eq!(done.code, 0, "{}{}", done.stdout, done.stderr);
        let numbers: Vec<u64> = done.stdout.split(' ').filter_map(|word| word.parse().ok()).collect();
        numbers.try_into().unwrap()
    };
    let [size, new] = counts(&export(server));
    assert!(size >= first && new == size);
    let key = root.call("GET", "sys/audit-log/key", None).expect(200).json()["data"]["key"].as_str().unwrap().to_owned();
    assert_eq!(findings(&copy, &key), []);
    let kept = fs::read(copy.join("checkpoint")).unwrap();
    let earlier = server.folder().join("earlier");
    duplicate(&copy, &earlier);

    // Keys are rotated, the server crashes under load, and comes back.
    root.call("POST", "sys/rotate", None).expect(204);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let mut session = root.session().unwrap();
            scope.spawn(move || while session.send("GET", "/v1/secret/data/none", &[], b"").is_ok() {});
        }
        std::thread::sleep(Duration::from_millis(300));
        server.kill();
    });
    server.come_back();
    work(&root, 320);
    let second = signed(&root, first + 330);

    // An export that was cut off is seen, and goes on.
    fs::write(copy.join("unfinished"), "").unwrap();
    assert_eq!(findings(&copy, &key), [("unfinished".to_owned(), "unfinished".to_owned())]);
    let [longer, added] = counts(&export(server));
    assert!(longer >= second && added == longer - size);
    assert_eq!(findings(&copy, &key), []);
    let [again, _] = counts(&export(server));
    assert!(again >= longer);
    assert_eq!(findings(&copy, &key), []);

    // What was kept of an earlier time is of one history with it; the other way round it has lost its end.
    let note = server.folder().join("kept");
    fs::write(&note, kept).unwrap();
    assert_eq!(verify(&copy, &["--key", &key, "--kept", note.to_str().unwrap()]).code, 0);
    fs::copy(copy.join("checkpoint"), &note).unwrap();
    let shorter = verify(&earlier, &["--key", &key, "--kept", note.to_str().unwrap()]);
    assert!(shorter.code == 1 && shorter.stdout.contains("truncated: events "), "{}", shorter.stdout);

    let own = verify(&copy, &[]);
    assert!(
        own.code == 0 && own.stdout.contains("verified") && own.stderr.contains("the key that is in the copy itself"),
        "{}",
        own.stderr
    );
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/python/audit_copy.py");
    let foreign = |copy: &Path| run(&tools::python(), &[script.to_str().unwrap(), copy.to_str().unwrap(), &key], &[], None);
    let done = foreign(&copy);
    assert_eq!(done.code, 0, "{}{}", done.stdout, done.stderr);
    edits(&copy, &key);
    assert_ne!(foreign(&copy).code, 0);
}

/// A changed event, a file too many, another key: each is named, and the exit code says so.
fn edits(copy: &Path, key: &str) {
    let other = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8";
    assert_eq!(
        findings(copy, other),
        [("other-key", "key"), ("other-key", "checkpoint")].map(|(a, b)| (a.to_owned(), b.to_owned()))
    );
    assert_eq!(verify(copy, &["--key", "no key"]).code, 1);
    assert_eq!(verify(&copy.join("nowhere"), &["--key", key]).code, 1);
    fs::write(copy.join("notes.txt"), "x").unwrap();
    assert_eq!(findings(copy, key), [("unexpected".to_owned(), "notes.txt".to_owned())]);
    fs::remove_file(copy.join("notes.txt")).unwrap();
    let bundle = copy.join(Tile { level: None, index: 1, width: 256 }.path());
    let mut bytes = fs::read(&bundle).unwrap();
    // The first byte of its first event.
    bytes[2] ^= 1;
    fs::write(&bundle, bytes).unwrap();
    assert_eq!(findings(copy, key), [("changed".to_owned(), "event 256".to_owned())]);
    let table = verify(copy, &["--key", key]);
    assert!(
        table.code == 1 && table.stdout.contains("changed: event 256: its bytes are not those that were logged\n"),
        "{}",
        table.stdout
    );
}

fn copies_of_all_namespaces_are_made_as_far_as_the_token_reads(server: &mut Server) {
    let root = ready(server);
    let team = namespace(&root, "team");
    mount(&team, "secret");
    put(&team, "a", &json!({"k": "canary-value"}));
    signed(&root, 1);
    signed(&team, 1);
    let folder = server.folder().join("all");
    let path = folder.to_str().unwrap();
    let done = audit(server, &server.target().token, &["export", "--children", path]);
    assert_eq!(done.code, 0, "{}{}", done.stdout, done.stderr);
    let copies: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(copies.len(), 2);
    // One key signs them all, under the name of each.
    let key = root.call("GET", "sys/audit-log/key", None).expect(200).json()["data"]["key"].as_str().unwrap().to_owned();
    let done = verify(&folder, &["--key", &key]);
    assert!(done.code == 0 && done.stdout.matches("verified").count() == 2, "{}{}", done.stdout, done.stderr);
    fs::remove_file(copies[1].join("checkpoint")).unwrap();
    let done = verify(&folder, &["--key", &key]);
    assert!(done.code == 1 && done.stdout.contains("missing: checkpoint: "), "{}{}", done.stdout, done.stderr);

    let auditor = token(&team, &json!({"policies": ["auditor"]})).text;
    let own = server.folder().join("team");
    let done = audit(server, &auditor, &["export", "--namespace", "team", own.to_str().unwrap()]);
    assert_eq!(done.code, 0, "{}{}", done.stdout, done.stderr);
    assert_eq!(verify(&own, &[]).code, 0);
    let stolen = audit(server, &auditor, &["export", server.folder().join("stolen").to_str().unwrap()]);
    assert_eq!(stolen.code, 2, "{}{}", stolen.stdout, stolen.stderr);
    // A folder that is something else is left alone, and so is the copy of another log.
    let full = server.folder().join("full");
    fs::create_dir_all(&full).unwrap();
    fs::write(full.join("diary"), "x").unwrap();
    for (folder, text) in [(&full, "no copy of a log"), (&own, "the copy of another log")] {
        let refused = audit(server, &server.target().token, &["export", folder.to_str().unwrap()]);
        assert!(refused.code == 1 && refused.stderr.contains(text), "{}", refused.stderr);
    }
    let edge = server.folder().join("edge");
    root.without_token().call("GET", "secret/data/edge", None).expect(403);
    signed_edge(&root);
    let done = audit(server, &server.target().token, &["export", "--edge", edge.to_str().unwrap()]);
    assert_eq!((done.code, verify(&edge, &[]).code), (0, 0), "{}{}", done.stdout, done.stderr);
}

fn signed_edge(root: &Client) {
    let begin = Instant::now();
    while root.call("GET", "sys/audit-log/checkpoint?edge=true", None).status != 200 {
        assert!(begin.elapsed() < Duration::from_secs(20), "the edge log was not signed");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// An older database in place of the newer one: the copy knows better.
#[test]
fn a_server_that_went_back_does_not_extend_a_copy() {
    let mut server = Server::initialised_on_sqlite();
    let root = ready(&server);
    signed(&root, 1);
    assert!(server.stop().success());
    let older = fs::read(server.sqlite_file()).unwrap();
    server.come_back();
    work(&root, 80);
    signed(&root, 80);
    let copy = server.folder().join("copy");
    let path = copy.to_str().unwrap().to_owned();
    let export = |server: &Server| audit(server, &server.target().token, &["export", &path]);
    assert_eq!(export(&server).code, 0);
    assert!(server.stop().success());
    fs::write(server.sqlite_file(), older).unwrap();
    for end in ["-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{end}", server.sqlite_file().display()));
    }
    server.come_back();
    let refused = export(&server);
    assert!(refused.code == 1 && refused.stderr.contains("its log has lost its end"), "{}{}", refused.stdout, refused.stderr);
    work(&root, 160);
    signed(&root, 160);
    let refused = export(&server);
    assert!(
        refused.code == 1 && refused.stderr.contains("not those that the server signed"),
        "{}{}",
        refused.stdout,
        refused.stderr
    );
}
