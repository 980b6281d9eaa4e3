//! A new wrapping key: values are wrapped by it in the background, and the older keys are destroyed.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::database::Record;
use crate::support::fixture::{mount, namespace, put, ready};
use crate::support::on_stores;
use crate::support::process::run;
use crate::support::server::Server;
use crate::support::{full, tools};

on_stores! {
    values_are_wrapped_anew_and_the_older_keys_destroyed,
    values_are_encrypted_anew_when_that_is_asked_for,
    the_schedule_is_set_as_others_set_it,
    a_rotation_goes_on_after_a_crash,
    nobody_waits_for_a_rotation_and_nothing_is_lost,
    what_does_not_open_is_left_and_keeps_the_older_keys,
    the_command_line_watches_a_rotation,
    the_command_line_rotates_all_namespaces,
}

const PATIENCE: Duration = Duration::from_mins(5);

pub(crate) fn status(client: &Client) -> Value {
    client.call("GET", "sys/rotate/status", None).expect(200).json()["data"].clone()
}

pub(crate) fn rotate(client: &Client) {
    client.call("POST", "sys/rotate/keyring", None).expect(204);
}

/// The status when all is wrapped by the newest key.
#[track_caller]
pub(crate) fn completed(client: &Client) -> Value {
    let begun = Instant::now();
    loop {
        let status = status(client);
        if status["complete"] == true {
            return status;
        }
        assert!(begun.elapsed() < PATIENCE, "{status}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The wrapping key's version, where it stands in a sealed record: behind object, version, format and suite.
fn version(record: &Record) -> u32 {
    u32::from_be_bytes(*record.sealed[26..].first_chunk().unwrap())
}

pub(crate) fn read(client: &Client, name: &str) -> Value {
    client.call("GET", &format!("secret/data/{name}"), None).expect(200).json()["data"]["data"].clone()
}

fn values_are_wrapped_anew_and_the_older_keys_destroyed(server: &mut Server) {
    let root = ready(server);
    let team = namespace(&root, "team");
    mount(&team, "secret");
    let before = status(&team);
    assert_eq!((&before["complete"], &before["term"], &before["wrapping_keys"]), (&json!(true), &json!(1), &json!(1)));
    for number in 0..150 {
        put(&team, &format!("db/{number}"), &json!({"password": number}));
    }
    for term in [2, 3] {
        rotate(&team);
        let after = completed(&team);
        assert_eq!((&after["term"], &after["wrapping_keys"], &after["damaged"]), (&json!(term), &json!(1), &json!(0)), "{after}");
        assert!(after["rewrapped"].as_u64().unwrap() > 450 && after["progress_percent"] == 100.0, "{after}");
        let rows = server.tables().rows();
        let of_team = rows.iter().max_by_key(|row| version(row)).unwrap().tenant.clone();
        let versions: Vec<u32> = rows.iter().filter(|row| row.tenant == of_team).map(version).collect();
        assert!(versions.len() > 450 && versions.iter().all(|version| *version == term), "{versions:?}");
        // Another tenant's keys are its own.
        assert!(rows.iter().any(|row| row.tenant != of_team && version(row) == 1));
    }
    for restart in [false, true] {
        if restart {
            server.kill();
            server.come_back();
        }
        for number in 0..150 {
            assert_eq!(read(&team, &format!("db/{number}")), json!({"password": number}));
        }
    }
    root.without_token().call("GET", "sys/rotate/status", None).expect(403);
}

/// Where the commitment to the data key stands: behind object, version, format, suite, wrapping key and wrap.
fn commitment(record: &Record) -> Vec<u8> {
    record.sealed[24 + 6 + 72..][..32].to_vec()
}

fn values_are_encrypted_anew_when_that_is_asked_for(server: &mut Server) {
    let root = ready(server);
    let number = if full() { 3_000 } else { 120 };
    for at in 0..number {
        put(&root, &format!("db/{at}"), &json!({"password": at}));
    }
    let of_root = |server: &mut Server| {
        let rows = server.tables().rows();
        let tenant =
            rows.iter().max_by_key(|row| rows.iter().filter(|other| other.tenant == row.tenant).count()).unwrap().tenant.clone();
        rows.into_iter().filter(|row| row.tenant == tenant).collect::<Vec<_>>()
    };
    let before = of_root(server);
    rotate(&root);
    assert_eq!(completed(&root)["reencrypt"], false);
    let kept: BTreeSet<Vec<u8>> = before.iter().map(commitment).collect();
    let wrapped = of_root(server).iter().filter(|row| kept.contains(&commitment(row))).count();
    assert!(wrapped >= number, "a rotation alone keeps the data keys: {wrapped}");

    root.call("POST", "sys/rotate/keyring", Some(&json!({"reencrypt": true}))).expect(204);
    // In the middle of it the server dies, and another rotation is asked for: it still is what was asked first.
    server.kill();
    server.come_back();
    if status(&root)["complete"] == false {
        rotate(&root);
    }
    let done = completed(&root);
    assert_eq!((&done["reencrypt"], &done["damaged"], &done["wrapping_keys"]), (&json!(true), &json!(0), &json!(1)), "{done}");
    let after = of_root(server);
    assert!(after.len() > number && after.iter().all(|row| !kept.contains(&commitment(row))), "a data key is still in use");
    for at in 0..number {
        assert_eq!(read(&root, &format!("db/{at}")), json!({"password": at}));
    }
    let errors = root.call("POST", "sys/rotate/keyring", Some(&json!({"reencrypt": "maybe"}))).expect(400).errors();
    assert!(errors[0].contains("reencrypt"), "{errors:?}");
}

fn the_schedule_is_set_as_others_set_it(server: &mut Server) {
    let root = ready(server);
    let team = namespace(&root, "team");
    let shown = |client: &Client, path: &str| client.call("GET", path, None).expect(200).json()["data"].clone();
    let unset = json!({"enabled": true, "interval": 0, "max_operations": 3_865_470_566_u64});
    assert_eq!(shown(&root, "sys/rotate/config"), unset);
    for (body, text) in [
        (json!({"interval": "23h59m"}), "interval must be greater or equal to 24h0m0s"),
        (json!({"max_operations": 5}), "max_operations must be in the range [1000000,3865470566]"),
        (json!({"enabled": "maybe"}), "enabled"),
        (json!({"interval": "soon"}), "interval"),
    ] {
        let errors = root.call("POST", "sys/rotate/config", Some(&body)).expect(400).errors();
        assert!(errors[0].contains(text), "{errors:?}");
    }
    assert_eq!(shown(&root, "sys/rotate/keyring/config"), unset);
    root.call("POST", "sys/rotate/config", Some(&json!({"interval": "48h", "max_operations": 2_000_000}))).expect(204);
    root.call("PUT", "sys/rotate/keyring/config", Some(&json!({"enabled": false}))).expect(204);
    let set = json!({"enabled": false, "interval": "48h0m0s", "max_operations": 2_000_000});
    server.kill();
    server.come_back();
    for path in ["sys/rotate/config", "sys/rotate/keyring/config"] {
        assert_eq!(shown(&root, path), set);
        assert_eq!(shown(&team, path), unset, "each namespace has its own");
    }
    root.call("POST", "sys/rotate/config", Some(&json!({"interval": 0}))).expect(204);
    assert_eq!(shown(&root, "sys/rotate/config")["interval"], 0);
    root.call("DELETE", "sys/rotate/config", None).expect(405);
}

fn a_rotation_goes_on_after_a_crash(server: &mut Server) {
    let root = ready(server);
    let number = if full() { 10_000 } else { 1_000 };
    for at in 0..number {
        put(&root, &format!("many/{at}"), &json!({"n": at}));
    }
    rotate(&root);
    let mut rounds = 0;
    while status(&root)["complete"] == false && rounds < 5 {
        server.kill();
        server.come_back();
        rounds += 1;
    }
    let done = completed(&root);
    assert_eq!((&done["wrapping_keys"], &done["damaged"]), (&json!(1), &json!(0)), "{done}");
    for at in (0..number).step_by(97) {
        assert_eq!(read(&root, &format!("many/{at}")), json!({"n": at}));
    }
}

/// Readers and writers, none of whom is ever refused, while keys are rotated again and again.
fn nobody_waits_for_a_rotation_and_nothing_is_lost(server: &mut Server) {
    let root = ready(server);
    let number = if full() { 100_000 } else { 1_200 };
    each(number, |at| {
        put(&root, &format!("many/{at}"), &json!({"n": 0}));
    });
    let (stop, requests) = (AtomicBool::new(false), AtomicU64::new(0));
    let written = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..6_usize)
            .map(|worker| {
                let (root, stop, requests) = (&root, &stop, &requests);
                scope.spawn(move || {
                    let mut last = vec![0; number];
                    for round in 1_u64.. {
                        if stop.load(Ordering::Relaxed) {
                            break;
                        }
                        let at = (usize::try_from(round).unwrap() * 7 + worker) % number / 6 * 6 + worker;
                        if at < number {
                            put(root, &format!("many/{at}"), &json!({"n": round}));
                            last[at] = round;
                            assert_eq!(read(root, &format!("many/{at}")), json!({"n": round}));
                            requests.fetch_add(2, Ordering::Relaxed);
                        }
                    }
                    last
                })
            })
            .collect();
        // Nobody writes these: each is read all the while, wherever the rotation is.
        let reader = scope.spawn(|| {
            for round in 0_usize.. {
                if stop.load(Ordering::Relaxed) {
                    return round;
                }
                let at = round.wrapping_mul(7919) % number;
                assert!(read(&root, &format!("many/{at}"))["n"].is_u64());
            }
            0
        });
        for _ in 0..3 {
            rotate(&root);
            root.call("POST", "sys/rotate/root", None).expect(204);
            completed(&root);
        }
        stop.store(true, Ordering::Relaxed);
        assert!(reader.join().unwrap() > 10);
        workers.into_iter().map(|worker| worker.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(requests.load(Ordering::Relaxed) > 20);
    each(number, |at| {
        let expected = written.iter().map(|last| last[at]).max().unwrap();
        assert_eq!(read(&root, &format!("many/{at}")), json!({"n": expected}), "many/{at}");
    });
}

/// Does something for each of so many numbers, six at a time.
fn each(number: usize, work: impl Fn(usize) + Sync) {
    let work = &work;
    std::thread::scope(|scope| {
        for worker in 0..6 {
            scope.spawn(move || (worker..number).step_by(6).for_each(work));
        }
    });
}

fn what_does_not_open_is_left_and_keeps_the_older_keys(server: &mut Server) {
    let root = ready(server);
    put(&root, "good", &json!({"k": "good"}));
    put(&root, "bad", &json!({"k": "bad"}));
    let rows = server.tables().rows();
    let before = |row: &&Record| version(row) == 1;
    put(&root, "bad", &json!({"k": "worse"}));
    // The one row that is new: the second version of `bad`.
    let mut tables = server.tables();
    let all = tables.rows();
    let new = all.iter().filter(before).find(|row| !rows.iter().any(|old| old.key == row.key)).unwrap();
    let mut sealed = new.sealed.clone();
    sealed[60] ^= 1;
    tables.overwrite(new, "sealed", &sealed);
    drop(tables);
    rotate(&root);
    let done = completed(&root);
    assert_eq!((&done["damaged"], &done["wrapping_keys"]), (&json!(1), &json!(2)), "{done}");
    assert_eq!(read(&root, "good"), json!({"k": "good"}));
    let first = root.call("GET", "secret/data/bad?version=1", None).expect(200).json();
    assert_eq!(first["data"]["data"], json!({"k": "bad"}));
    root.call("GET", "secret/data/bad", None).expect(500);
}

fn the_command_line_watches_a_rotation(server: &mut Server) {
    let root = ready(server);
    put(&root, "db", &json!({"k": 1}));
    let target = server.target();
    let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let ca = target.ca.as_ref().unwrap().to_str().unwrap();
    let variables = [set("BAO_ADDR", &target.url), set("BAO_CACERT", ca), set("BAO_TOKEN", &target.token)];
    let done = run(&tools::strongroom(), &["operator", "rotate", "--reencrypt", "--watch"], &variables, None);
    assert_eq!(done.code, 0, "{}{}", done.stdout, done.stderr);
    for line in ["term                2", "complete            true", "wrapping_keys       1", "reencrypt           true"] {
        assert!(done.stdout.contains(line), "{line} is not in\n{}", done.stdout);
    }
    let done = run(&tools::strongroom(), &["operator", "key-status", "--format", "json"], &variables, None);
    let answer: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(answer["data"]["progress_percent"], 100.0);
}

fn command(server: &Server, arguments: &[&str]) -> (i32, String, String) {
    let target = server.target();
    let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let ca = target.ca.as_ref().unwrap().to_str().unwrap();
    let variables = [set("BAO_ADDR", &target.url), set("BAO_CACERT", ca), set("BAO_TOKEN", &target.token)];
    let done = run(&tools::strongroom(), arguments, &variables, None);
    (done.code, done.stdout, done.stderr)
}

fn the_command_line_rotates_all_namespaces(server: &mut Server) {
    let root = ready(server);
    let teams = ["one", "two"].map(|name| namespace(&root, name));
    namespace(&teams[0], "below");
    let below = root.in_namespace("one/below");
    for team in teams.iter().chain([&below]) {
        mount(team, "secret");
        put(team, "a", &json!({"k": "v"}));
    }
    let (code, stdout, stderr) = command(server, &["operator", "rotate", "--all", "--watch"]);
    assert_eq!(code, 0, "{stdout}{stderr}");
    for name in ["root", "one", "two", "one/below"] {
        let line = stdout.lines().find(|line| line.split("    ").next().is_some_and(|first| first.trim() == name));
        assert!(line.is_some_and(|line| line.contains("wrapping key 2, tenant key 1; complete")), "{name}: {stdout}");
    }
    let (code, stdout, stderr) = command(server, &["operator", "rotate", "--root", "--all", "--format", "json"]);
    assert_eq!(code, 0, "{stdout}{stderr}");
    let told: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(told["namespaces"].as_object().unwrap().len(), 4, "{told}");
    assert!(told["namespaces"].as_object().unwrap().values().all(|one| one["tenant_key"] == 2 && one["term"] == 2), "{told}");

    // One that is shut is told of, and the others are rotated.
    root.call("POST", "sys/namespaces/two/seal", None).expect(204);
    let (code, stdout, stderr) = command(server, &["operator", "rotate", "--all", "--watch"]);
    assert!(code == 1 && stderr.contains("1 of 4 namespaces were not rotated"), "{code} {stderr}");
    assert!(stdout.contains("namespace is sealed"), "{stdout}");
    assert_eq!(status(&below)["term"], 3);
    let (code, _, stderr) = command(server, &["operator", "rotate", "--root", "--reencrypt"]);
    assert!(code == 1 && stderr.contains("cannot be used with"), "{stderr}");
}
