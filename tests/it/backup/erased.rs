//! Namespaces that were erased after the backup, schedules, and how long backups are kept.

use std::fs;
use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};

use super::stage::{Target, create, declare, log_key, ok, refused, restored, restored_with, with_values};
use crate::support::client::Client;
use crate::support::fixture::{mount, namespace, put};
use crate::support::process::PATIENCE;

/// Waits until something is true.
#[track_caller]
fn until(what: &str, ready: impl Fn() -> bool) {
    let since = Instant::now();
    while !ready() {
        assert!(since.elapsed() < PATIENCE, "{what} did not come in time");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

fn backups(root: &Client) -> Vec<Value> {
    let reply = root.call("LIST", "sys/backups", None);
    if reply.status == 404 {
        return Vec::new();
    }
    reply.expect(200).json()["data"]["key_info"].as_object().unwrap().values().cloned().collect()
}

#[test]
fn an_erased_namespace_does_not_come_back_and_its_report_names_the_backups_that_hold_it() {
    let (mut server, root, _) = with_values("");
    let list = server.folder().join("erased");
    declare(&mut server, &format!("erased_list_file = \"{}\"\nbackup_retention = \"720h\"\n", list.display()));
    let [gone, stays] = ["gone", "stays"].map(|name| namespace(&root, name));
    let below = namespace(&gone, "below").in_namespace("gone/below");
    for client in [&gone, &stays, &below] {
        mount(client, "secret");
        put(client, "a", &json!({"k": "v"}));
    }
    let key = log_key(&root);
    let file = create(&server, &root);
    root.in_namespace("gone").call("DELETE", "sys/namespaces/below", None).expect(200);
    root.call("DELETE", "sys/namespaces/gone", None).expect(200);
    put(&stays, "a", &json!({"k": "newer"}));
    let after = create(&server, &root);
    let listed = || fs::read_to_string(&list).is_ok_and(|text| text.lines().nth(1) == Some("2"));
    until("the list of two", listed);
    let erasures = root.call("LIST", "sys/erasures", None).expect(200).json();
    for erasure in erasures["data"]["key_info"].as_object().unwrap().values() {
        assert_eq!(erasure["backups"], json!([file.to_str().unwrap()]), "{erasures}");
        assert_eq!(erasure["state"], "pending");
    }
    assert!(after.exists() && backups(&root).iter().all(|backup| backup["expires"].is_string()));

    let line = |list: &Path| format!("erased_list_file = \"{}\"\n", list.display());
    let target = Target::sqlite_with(&line(&list));
    let (_there, top) = restored(&target, &server, &file, &key);
    let names = top.call("LIST", "sys/namespaces", None).expect(200).json()["data"]["keys"].clone();
    assert_eq!(names, json!(["stays/"]));
    top.in_namespace("gone").call("GET", "secret/data/a", None).expect(404);
    top.in_namespace("stays").call("GET", "secret/data/a", None).expect(200);
    until("the erasures in the restored store", || {
        let reply = top.call("LIST", "sys/erasures", None);
        reply.status == 200 && reply.json()["data"]["keys"].as_array().unwrap().len() == 2
    });

    // Without the list nothing is restored, unless that is said; with one that was changed neither.
    let missing = Target::sqlite_with(&line(&server.folder().join("nowhere")));
    let said = refused(&missing.restore(&file, &key, server.keys(), &[]));
    assert!(said.contains("--without-erased-list"), "{said}");
    let changed = server.folder().join("changed");
    fs::write(&changed, fs::read_to_string(&list).unwrap().replacen("\n2\n", "\n1\n", 1)).unwrap();
    let said = refused(&Target::sqlite_with(&line(&changed)).restore(&file, &key, server.keys(), &[]));
    assert!(said.contains("not a list that this deployment has signed"), "{said}");
    ok(&missing.restore(&file, &key, server.keys(), &["--without-erased-list", "--dry-run"]));

    // One that cannot be opened, say, is left out by its id.
    assert!(server.stop().success());
    let wanted = "SELECT tenant_id FROM tenant WHERE parent IS NOT NULL AND state = 0";
    let ids = crate::support::database::Database::open(&server.sqlite_file()).bytes(wanted);
    assert_eq!(ids.len(), 1);
    let stays = data_encoding::HEXLOWER.encode(&ids[0]);
    let said = refused(&missing.restore(&file, &key, server.keys(), &["--without-erased-list", "--leave-out", &"0".repeat(32)]));
    assert!(said.contains("no such namespace"), "{said}");
    let (_there, top) = restored_with(&missing, &server, &file, &key, &["--without-erased-list", "--leave-out", &stays]);
    let names = top.call("LIST", "sys/namespaces", None).expect(200).json()["data"]["keys"].clone();
    assert_eq!(names, json!(["gone/"]));
    top.in_namespace("gone/below").call("GET", "secret/data/a", None).expect(200);
}

#[test]
fn backups_are_made_by_a_schedule_and_go_when_they_were_kept_long_enough() {
    let (mut server, root, _) = with_values("  interval = \"1s\"\n");
    declare(&mut server, "backup_retention = \"4s\"\n");
    until("a backup by the schedule", || backups(&root).iter().any(|backup| backup["state"] == "done"));
    let first = backups(&root).into_iter().find(|backup| backup["state"] == "done").unwrap();
    assert_eq!(first["scheduled"], true);
    let metrics = String::from_utf8(root.call("GET", "sys/metrics?format=prometheus", None).expect(200).body).unwrap();
    let age = metrics.lines().find_map(|line| line.strip_prefix("strongroom_backup_age_seconds ")).unwrap();
    assert!(age.parse::<f64>().is_ok_and(f64::is_finite), "{age}");
    let name = first["name"].as_str().unwrap();
    until("the end of the first", || !Path::new(name).exists());
    until("another one", || backups(&root).iter().any(|backup| backup["state"] == "done" && backup["name"] != first["name"]));
    root.in_namespace("none").call("POST", "sys/backups", None).expect(404);
}
