//! What dies in the middle leaves nothing that looks whole, and is done again.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use super::stage::{Target, create, ok, refused, restored, with_values};
use crate::support::fixture::{mount, namespace, put};
use crate::support::process::PATIENCE;
use crate::support::server::Server;
use crate::support::tools;

/// Objects that look like backups below a folder.
fn objects(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                waiting.push(entry);
            } else if entry.extension().is_some_and(|extension| extension == "backup") {
                found.push(entry);
            }
        }
    }
    found
}

#[test]
fn a_restore_that_dies_leaves_a_store_that_no_server_opens_and_is_gone_on_with() {
    let (mut source, root, key) = with_values("");
    for name in ["a", "b", "c", "d", "e", "f"] {
        let client = namespace(&root, name);
        mount(&client, "secret");
        put(&client, "value", &json!({"of": name}));
    }
    let file = create(&source, &root);
    for (target, full) in [(Target::sqlite(), false), (Target::postgresql(), false), (Target::sqlite(), true)] {
        if full {
            // A disk that is full, to whoever writes to it.
            let program = tools::strongroom();
            let arguments =
                ["--fsize=900000", program.to_str().unwrap(), "backup", "restore", "--key", &key, "--config", target.config()];
            let mut command = Command::new("prlimit");
            command.args(arguments).arg(&file).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
            let mut child = command.spawn().unwrap();
            bring(&mut child, &source);
            assert!(!child.wait().unwrap().success());
        }
        for round in 0..if full { 1_u64 } else { 3 } {
            let mut command = Command::new(tools::strongroom());
            command.args(["backup", "restore", "--key", &key, "--config", target.config()]).arg(&file);
            let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            bring(&mut child, &source);
            let since = Instant::now();
            while !target.is_begun() && child.try_wait().unwrap().is_none() {
                assert!(since.elapsed() < PATIENCE, "a restore did not begin");
                std::thread::sleep(Duration::from_millis(2));
            }
            std::thread::sleep(Duration::from_millis(25 * round));
            let _ = child.kill();
            child.wait().unwrap();
            if !target.is_unfinished() {
                break;
            }
            let refused = target.start();
            assert!(refused.contains("run the same `strongroom backup restore` again"), "{refused}");
        }
        if target.is_unfinished() {
            let (_there, root) = restored(&target, &source, &file, &key);
            for name in ["a", "f"] {
                let read = root.in_namespace(name).call("GET", "secret/data/value", None).expect(200).json();
                assert_eq!(read["data"]["data"]["of"], *name);
            }
            assert_eq!(root.call("GET", "secret/data/large/2", None).expect(200).json()["data"]["data"]["number"], 2);
        }
    }
    // Another backup does not go on with it.
    let target = Target::sqlite();
    ok(&target.restore(&file, &key, source.keys(), &["--dry-run"]));
    a_server_that_dies_while_it_makes_one(&mut source, &root, &key);
}

fn bring(child: &mut std::process::Child, source: &Server) {
    use std::io::Write as _;
    // It may have ended already.
    let _ = child.stdin.take().unwrap().write_all(format!("{}\n", source.keys().join("\n")).as_bytes());
}

fn a_server_that_dies_while_it_makes_one(server: &mut Server, root: &crate::support::client::Client, key: &str) {
    let folder = server.folder().join("backups");
    let before = objects(&folder);
    let asked = root.call("POST", "sys/backups", None).expect(200).json()["data"]["id"].as_str().unwrap().to_owned();
    let since = Instant::now();
    let state = |root: &crate::support::client::Client| {
        root.call("GET", &format!("sys/backups/{asked}"), None).expect(200).json()["data"]["state"].as_str().unwrap().to_owned()
    };
    while state(root) == "waiting" {
        assert!(since.elapsed() < PATIENCE, "a backup did not begin");
        std::thread::sleep(Duration::from_millis(1));
    }
    server.kill();
    let after = objects(&folder);
    server.come_back();
    for whole in after.iter().filter(|object| !before.contains(object)) {
        let told = ok(&super::stage::strongroom(&["backup", "verify", "--key", key, whole.to_str().unwrap()], None));
        assert!(told.contains("whole"), "{told}");
    }
    // It is given up once nobody has been heard of it for a while; the next one waits for that.
    let next = create(server, root);
    assert!(next.exists());
    assert!(["failed", "done"].contains(&state(root).as_str()));
    let said = refused(&super::stage::strongroom(&["backup", "verify", "--key", key, "/nowhere"], None));
    assert!(said.contains("/nowhere"), "{said}");
}
