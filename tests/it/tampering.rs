//! Whoever can write to the database can destroy, but not put one thing in the place of another: what was moved or edited
//! does not open, is never answered as something else, and takes down neither the server nor other tenants.
//!
//! Not promised, and so not tested: that one record put back to an older state of itself is noticed.

mod stage;

use serde_json::json;

use crate::support::client::{Client, Reply};
use crate::support::database::{Database, Record, Tables};
use crate::support::fixture::{mount, namespace, put};
use crate::support::on_stores;
use crate::support::server::Server;
use stage::Stage;

on_stores! {
    what_was_not_touched_reads_after_a_restart,
    payloads_of_two_secrets_in_one_directory_exchanged,
    payloads_of_two_versions_exchanged,
    payloads_of_two_tenants_exchanged,
    a_damaged_value_in_a_batch_is_logged_as_not_given_out,
    whole_rows_moved_to_another_place,
    names_exchanged,
    every_byte_of_a_payload_counts,
    an_expiry_put_off_or_taken_away,
    an_expiry_brought_forward_deletes_nothing,
    keys_of_two_tenants_exchanged,
}

/// What is written as `version` of `name` by a client: no two are alike.
fn value(client: &Client, name: &str, version: u64) -> serde_json::Value {
    json!({"v": format!("{} {name} {version}", client.call("GET", "sys/mounts", None).json()["data"]["secret/"]["uuid"])})
}

fn exchange(database: &mut Tables, rows: [&Record; 2], column: &str) {
    let cell = |row: &Record| match column {
        "name" => row.name.clone(),
        "sealed" => row.sealed.clone(),
        other => panic!("{other}"),
    };
    database.overwrite(rows[0], column, &cell(rows[1]));
    database.overwrite(rows[1], column, &cell(rows[0]));
}

#[track_caller]
fn does_not_open(reply: Reply) {
    let errors = reply.expect(500).errors();
    assert!(errors.len() == 1 && errors[0].contains("does not open"), "{errors:?}");
}

/// Reads one version; only what was written there may come back.
#[track_caller]
fn reads(team: &Client, name: &str, version: u64) {
    let read = team.call("GET", &format!("secret/data/dir/{name}?version={version}"), None).expect(200).json();
    assert_eq!(read["data"]["data"], value(team, name, version));
}

fn read(team: &Client, name: &str, version: u64) -> Reply {
    team.call("GET", &format!("secret/data/dir/{name}?version={version}"), None)
}

fn what_was_not_touched_reads_after_a_restart(server: &mut Server) {
    let mut stage = Stage::new(server);
    stage.tamper(|_| ());
    for version in 1..=3 {
        reads(&stage.teams[0], "a", version);
    }
    reads(&stage.teams[0], "b", 1);
    reads(&stage.teams[1], "a", 2);
    stage.teams[0].with_token(&stage.token).call("GET", "auth/token/lookup-self", None).expect(200);
}

fn payloads_of_two_secrets_in_one_directory_exchanged(server: &mut Server) {
    let mut stage = Stage::new(server);
    stage.exchange(|stage| [&stage.metadata[0], &stage.metadata[1]], "sealed");
    for name in ["a", "b"] {
        does_not_open(read(&stage.teams[0], name, 1));
        does_not_open(stage.teams[0].call("GET", &format!("secret/metadata/dir/{name}"), None));
        does_not_open(stage.teams[0].call("POST", &format!("secret/data/dir/{name}"), Some(&json!({"data": {}}))));
    }
    reads(&stage.teams[1], "a", 1);
    stage.is_well();
}

fn payloads_of_two_versions_exchanged(server: &mut Server) {
    let mut stage = Stage::new(server);
    stage.exchange(|stage| [&stage.versions[0], &stage.versions[1]], "sealed");
    reads(&stage.teams[0], "a", 1);
    does_not_open(read(&stage.teams[0], "a", 2));
    does_not_open(read(&stage.teams[0], "a", 3));
    stage.is_well();
}

fn payloads_of_two_tenants_exchanged(server: &mut Server) {
    let mut stage = Stage::new(server);
    stage.exchange(|stage| [&stage.versions[0], &stage.versions[2]], "sealed");
    does_not_open(read(&stage.teams[0], "a", 2));
    does_not_open(read(&stage.teams[1], "a", 2));
    reads(&stage.teams[0], "a", 3);
    stage.is_well();
}

/// In a batch that is large enough to be written after it was decided: whether each value opens is known before.
fn a_damaged_value_in_a_batch_is_logged_as_not_given_out(server: &mut Server) {
    let mut stage = Stage::new(server);
    let pinned = |version: u64| {
        let target = json!({"path": "secret/data/dir/a", "version": version});
        let made = stage.teams[0].call("POST", "sys/references/mint", Some(&target)).expect(200).json();
        made["data"]["reference"].clone()
    };
    let (damaged, well) = (pinned(2), pinned(3));
    let references = [well, damaged];
    let references: Vec<_> = references.iter().cycle().take(40).collect();
    stage.exchange(|stage| [&stage.versions[0], &stage.versions[2]], "sealed");
    for _ in 0..4 {
        let all = stage.teams[0].call("POST", "sys/references/resolve", Some(&json!({"references": references})));
        let all = all.expect(200).json();
        let log = stage.teams[0].call("GET", "sys/audit-log?path=sys/references/resolve&limit=40", None).expect(200).json();
        let mut events = log["data"]["events"].as_array().unwrap().clone();
        events.sort_by_key(|event| event["index"].as_u64().unwrap());
        for (at, wanted) in [200, 500].into_iter().cycle().take(40).enumerate() {
            let item = &all["data"]["results"][at];
            assert_eq!((&item["status"], item["error"].is_null()), (&json!(wanted), wanted == 200), "{item}");
            let event = &events[at]["event"];
            assert_eq!((&event["read_version"], &event["status"]), (&json!(if wanted == 200 { 3 } else { 2 }), &json!(wanted)));
        }
    }
    stage.is_well();
}

fn whole_rows_moved_to_another_place(server: &mut Server) {
    let mut stage = Stage::new(server);
    let [from, to] = [stage.versions[2].clone(), stage.versions[0].clone()];
    // The row of the second tenant is put where the first one looks for its own: key and tenant are the other's then.
    stage.tamper(|database| {
        let (tenant, key) = (database.literal(&to.tenant), database.literal(&to.key));
        database.run(&format!("DELETE FROM record WHERE {}", database.place(&to)));
        database.run(&format!("UPDATE record SET tenant_id = {tenant}, key = {key} WHERE {}", database.place(&from)));
    });
    does_not_open(read(&stage.teams[0], "a", 2));
    let errors = read(&stage.teams[1], "a", 2).expect(500).errors();
    assert!(errors[0].contains("missing from the store"), "{errors:?}");
    reads(&stage.teams[0], "a", 3);
    stage.is_well();
}

fn names_exchanged(server: &mut Server) {
    let mut stage = Stage::new(server);
    stage.exchange(|stage| [&stage.metadata[0], &stage.metadata[1]], "name");
    // Not a shorter list: who reads one would take what is not in it for gone. The log says which rows.
    does_not_open(stage.teams[0].call("LIST", "secret/metadata/dir", None));
    assert!(stage.log_names_one_of(&[0, 1].map(|at| stage.metadata[at].key.clone())), "{}", stage.server.output());
    // Reading a secret does not go through its directory.
    reads(&stage.teams[0], "a", 1);
    stage.teams[1].call("LIST", "secret/metadata/dir", None).expect(200);
    stage.is_well();
}

fn every_byte_of_a_payload_counts(server: &mut Server) {
    let mut stage = Stage::new(server);
    let row = stage.versions[0].clone();
    let length = row.sealed.len();
    let flipped = |at: usize| {
        let mut bytes = row.sealed.clone();
        bytes[at] ^= 1;
        bytes
    };
    let cut = |length: usize| row.sealed[..length].to_vec();
    for bytes in [0, 15, 16, 23, 24, 30, 60, length / 2, length - 1].map(flipped).into_iter().chain([0, 24, length - 1].map(cut))
    {
        stage.tamper(|database| database.overwrite(&row, "sealed", &bytes));
        does_not_open(read(&stage.teams[0], "a", 2));
    }
    stage.tamper(|database| database.overwrite(&row, "sealed", &row.sealed));
    reads(&stage.teams[0], "a", 2);
}

fn an_expiry_put_off_or_taken_away(server: &mut Server) {
    let mut stage = Stage::new(server);
    let (row, text) = (stage.token_row.clone(), stage.token.clone());
    let expires_at = row.expires_at.unwrap();
    let change = |stage: &mut Stage<'_>, to: &str| {
        stage.tamper(|database| database.run(&format!("UPDATE record SET expires_at = {to} WHERE {}", database.place(&row))));
        stage.teams[0].with_token(&text).call("GET", "auth/token/lookup-self", None)
    };
    for later in [(expires_at + 1).to_string(), i64::MAX.to_string(), "NULL".to_owned()] {
        does_not_open(change(&mut stage, &later));
        stage.is_well();
    }
    change(&mut stage, &expires_at.to_string()).expect(200);
}

fn an_expiry_brought_forward_deletes_nothing(server: &mut Server) {
    let mut stage = Stage::new(server);
    let (row, text) = (stage.token_row.clone(), stage.token.clone());
    let still_there =
        |stage: &Stage<'_>| stage.server.tables().rows().iter().any(|now| (&now.tenant, &now.key) == (&row.tenant, &row.key));
    stage.tamper(|database| database.run(&format!("UPDATE record SET expires_at = 1 WHERE {}", database.place(&row))));
    // The tenant's keys are open, so that its jobs run; the first round comes within seconds.
    reads(&stage.teams[0], "a", 1);
    let begun = std::time::Instant::now();
    while !stage.log_names_one_of(std::slice::from_ref(&row.key)) {
        assert!(begun.elapsed() < crate::support::process::PATIENCE, "no sign of the damaged row\n{}", stage.server.output());
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    stage.stop();
    assert!(still_there(&stage), "the row was deleted though it does not open with that expiry");
    let expires_at = row.expires_at.unwrap();
    stage
        .server
        .tables()
        .run(&format!("UPDATE record SET expires_at = {expires_at} WHERE {}", stage.server.tables().place(&row)));
    stage.server.come_back();
    stage.teams[0].with_token(&text).call("GET", "auth/token/lookup-self", None).expect(200);
    stage.is_well();
}

fn keys_of_two_tenants_exchanged(server: &mut Server) {
    let mut stage = Stage::new(server);
    for (table, column) in [("tenant_key", "wrap"), ("tenant_keyring", "keyring")] {
        let exchange = |stage: &mut Stage<'_>| {
            let tenants = stage.tenants.clone();
            stage.tamper(|database| {
                let [one, two] = tenants.map(|tenant| database.literal(&tenant));
                database.run(&format!(
                    "CREATE TEMP TABLE old AS SELECT tenant_id, {column} AS bytes FROM {table};
                     UPDATE {table} SET {column} = (SELECT bytes FROM old WHERE old.tenant_id = {two}) WHERE tenant_id = {one};
                     UPDATE {table} SET {column} = (SELECT bytes FROM old WHERE old.tenant_id = {one}) WHERE tenant_id = {two}"
                ));
            });
        };
        exchange(&mut stage);
        for team in &stage.teams {
            let reply = read(team, "a", 1);
            assert!([500, 503].contains(&reply.status), "{table}: {reply:?}");
            assert_eq!(reply.errors().len(), 1);
        }
        stage.is_well();
        exchange(&mut stage);
        reads(&stage.teams[0], "a", 1);
    }
}

/// On SQLite, where the file can be put back; the check is above the stores.
#[test]
fn the_newest_log_row_edited() {
    let mut server = Server::initialised_on_sqlite();
    let teams = ["one", "two"].map(|name| namespace(&Client::new(&server.target()), name));
    for team in &teams {
        mount(team, "secret");
        put(team, "dir/a", &value(team, "a", 1));
    }
    assert!(server.stop().success());
    let file = server.sqlite_file();
    let saved = std::fs::read(&file).unwrap();
    // The tenant that was made last is the one with the newest first event.
    let newest = "(tenant_id, seq) = (SELECT tenant_id, max(seq) FROM log WHERE tenant_id = \
                  (SELECT tenant_id FROM log WHERE seq = 1 ORDER BY time DESC LIMIT 1))";
    let mut database = Database::open(&file);
    for sql in [format!("UPDATE log SET time = time + 1 WHERE {newest}"), format!("DELETE FROM log WHERE {newest}")] {
        let refused = database.run(&sql).unwrap_err();
        assert!(refused.contains("log rows"), "{refused}");
    }
    drop(database);
    for edit in [
        "time = time + 1",
        "count = count + 1",
        "first_index = first_index + 1",
        "prev_root = zeroblob(32)",
        "root = zeroblob(32)",
        "mac = zeroblob(32)",
        "changed = CAST(changed || zeroblob(32) AS BLOB)",
        "batch = CAST(batch || x'00' AS BLOB)",
        "leaves = CAST(leaves || zeroblob(32) AS BLOB)",
        "frontier = (SELECT other.frontier FROM log AS other WHERE other.tenant_id <> log.tenant_id LIMIT 1)",
        "seq = seq + 1",
    ] {
        Database::open(&file).run(&format!("DROP TRIGGER log_never_updated; UPDATE log SET {edit} WHERE {newest}")).unwrap();
        server.come_back();
        let errors = read(&teams[1], "a", 1).expect(500).errors();
        assert!(errors.len() == 1 && errors[0].contains("do not verify"), "{edit}: {errors:?}");
        reads(&teams[0], "a", 1);
        assert!(server.stop().success(), "{}", server.output());
        std::fs::write(&file, &saved).unwrap();
    }
    server.come_back();
    reads(&teams[1], "a", 1);
}
