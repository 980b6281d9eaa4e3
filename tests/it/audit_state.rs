//! `audit verify --state`: what was changed in the database behind the server's back is found and named, and nothing else is.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::database::{Record, Tables, added};
use crate::support::fixture::{mount, namespace, policy, put, token};
use crate::support::on_stores;
use crate::support::process::run;
use crate::support::server::Server;
use crate::support::tools;

on_stores! {
    an_honest_store_under_load_has_no_finding,
    records_changed_behind_the_server_are_found_and_named,
    who_may_not_read_the_log_learns_nothing_of_records,
}

const NAMESPACE: &str = "one";

/// A namespace with KV 2, and the text of a token that reviews it.
fn stage(server: &Server) -> (Client, String) {
    let team = namespace(&Client::new(&server.target()), NAMESPACE);
    mount(&team, "secret");
    let auditor = token(&team, &json!({"policies": ["auditor"]})).text;
    (team, auditor)
}

/// Runs the command; its exit code and its report.
fn verify(server: &Server, token: &str) -> (i32, Value) {
    let target = server.target();
    let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let ca = target.ca.as_ref().unwrap().to_str().unwrap();
    let variables = [set("BAO_ADDR", &target.url), set("BAO_CACERT", ca), set("BAO_TOKEN", token)];
    let arguments = ["audit", "verify", "--state", "--namespace", NAMESPACE, "--format", "json"];
    let done = run(&tools::strongroom(), &arguments, &variables, None);
    let report = serde_json::from_str(&done.stdout).unwrap_or_else(|error| panic!("{error}: {}{}", done.stdout, done.stderr));
    (done.code, report)
}

fn an_honest_store_under_load_has_no_finding(server: &mut Server) {
    let (team, auditor) = stage(server);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let (mut session, over) = (team.session().unwrap(), &over);
            scope.spawn(move || {
                for at in 0.. {
                    let path = format!("/v1/secret/data/w{writer}/s{}", at % 5);
                    let body = format!(r#"{{"data":{{"k":"{at}"}}}}"#);
                    session.send("POST", &path, &[], body.as_bytes()).unwrap().expect(200);
                    if at % 7 == 6 {
                        let path = format!("/v1/secret/metadata/w{writer}/s{}", at % 5);
                        session.send("DELETE", &path, &[], b"").unwrap().expect(204);
                    }
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                }
            });
        }
        let reports: Vec<_> = (0..3).map(|_| verify(server, &auditor)).collect();
        over.store(true, Ordering::Relaxed);
        for (code, report) in reports {
            assert_eq!((code, &report["verified"], &report["findings"]), (0, &json!(true), &json!([])), "{report}");
            assert!(report["records"].as_u64().unwrap() > 10, "{report}");
        }
    });
}

/// A record with the number that it was written with.
struct Kept {
    record: Record,
    seq: i64,
}

fn keep(database: &mut Tables, record: Record) -> Kept {
    let place = database.place(&record);
    Kept { seq: database.number(&format!("SELECT seq FROM record WHERE {place}")), record }
}

/// Puts a row where there is none, or in the place of the one that is there.
fn put_back(database: &mut Tables, Kept { record, seq }: &Kept) {
    let [tenant, key, dir, name, sealed] =
        [&record.tenant, &record.key, &record.directory, &record.name, &record.sealed].map(|bytes| database.literal(bytes));
    let expires_at = record.expires_at.map_or("NULL".to_owned(), |at| at.to_string());
    let place = database.place(record);
    database.run(&format!(
        "DELETE FROM record WHERE {place}; INSERT INTO record (tenant_id, key, dir, seq, expires_at, name, sealed) \
         VALUES ({tenant}, {key}, {dir}, {seq}, {expires_at}, {name}, {sealed})"
    ));
}

/// Writes something; of the rows that are new, the one that is wanted.
fn written(database: &mut Tables, is_wanted: impl Fn(&Record) -> bool, write: impl FnOnce()) -> Kept {
    let before = database.rows();
    write();
    let record = added(&before, &database.rows()).into_iter().find(is_wanted).unwrap();
    keep(database, record)
}

fn records_changed_behind_the_server_are_found_and_named(server: &mut Server) {
    let (team, auditor) = stage(server);
    let mut database = server.tables();
    let secret = |name: &str| {
        put(&team, name, &json!({"k": "v"}));
    };
    let mut metadata = |name: &str| written(&mut database, Record::is_listed, || secret(name));
    let [old, forged, one, other, emptied, deleted] =
        ["old", "forged", "swapped-1", "swapped-2", "emptied", "deleted"].map(&mut metadata);
    let reader = |level: &str| format!(r#"path "secret/*" {{ capabilities = ["{level}"] }}"#);
    let before = database.rows();
    policy(&team, "reader", &reader("read"));
    // The policy, and what is kept of its versions.
    let new = added(&before, &database.rows());
    let rules: Vec<Kept> = new.into_iter().map(|record| keep(&mut database, record)).collect();
    let version = written(&mut database, |row| !row.is_listed(), || secret("emptied"));
    ["old", "forged"].into_iter().for_each(secret);
    policy(&team, "reader", &reader("deny"));
    team.call("DELETE", "secret/metadata/deleted", None).expect(204);
    let (code, report) = verify(server, &auditor);
    assert_eq!((code, &report["findings"]), (0, &json!([])), "{report}");

    // With its number, and with that of the newest state.
    put_back(&mut database, &old);
    database.overwrite(&forged.record, "sealed", &forged.record.sealed);
    for row in &rules {
        put_back(&mut database, row);
    }
    // Two records in each other's place.
    database.overwrite(&one.record, "sealed", &other.record.sealed);
    database.overwrite(&other.record, "sealed", &one.record.sealed);
    let place = database.place(&version.record);
    database.run(&format!("DELETE FROM record WHERE {place}"));
    put_back(&mut database, &deleted);
    let mut planted = Kept { seq: emptied.seq, record: emptied.record.clone() };
    planted.record.key = vec![7; 32];
    put_back(&mut database, &planted);

    let (code, report) = verify(server, &auditor);
    let findings = report["findings"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let named: BTreeSet<(String, String, String)> =
        findings.iter().map(|finding| (text(&finding["fault"]), text(&finding["kind"]), text(&finding["path"]))).collect();
    let expected = [
        ("rolled-back", "KvMetadata", "secret/data/old"),
        ("rolled-back", "KvMetadata", "secret/data/forged"),
        ("rolled-back", "Policy", "sys/policies/acl/reader"),
        ("swapped", "KvMetadata", "secret/data/swapped-1"),
        ("swapped", "KvMetadata", "secret/data/swapped-2"),
        ("removed", "KvVersion", "secret/data/emptied version 2"),
        ("brought-back", "KvMetadata", "secret/metadata/deleted"),
        ("added", "-", "-"),
    ];
    let expected: BTreeSet<_> = expected.map(|(fault, kind, path)| (fault.to_owned(), kind.to_owned(), path.to_owned())).into();
    assert_eq!(named, expected, "{report:#}");
    assert_eq!((code, findings.len(), &report["verified"]), (1, expected.len(), &json!(false)));
    let removed = findings.iter().find(|finding| finding["fault"] == "removed").unwrap();
    assert_eq!(removed["logged"]["events"][0]["path"], json!("one/secret/data/emptied"), "{removed}");
}

fn who_may_not_read_the_log_learns_nothing_of_records(server: &mut Server) {
    let (team, _) = stage(server);
    let weak = team.with_token(&token(&team, &json!({"policies": ["default"]})).text);
    let key = "0".repeat(64);
    for path in ["changes", "records", &format!("record/{key}")] {
        weak.call("GET", &format!("sys/audit-log/state/{path}"), None).expect(403);
    }
    for query in ["changes?from=x", "records?after=zz", "record/zz", &format!("record/{key}?seq=-1")] {
        team.call("GET", &format!("sys/audit-log/state/{query}"), None).expect(400);
    }
    let unknown = team.call("GET", &format!("sys/audit-log/state/record/{key}"), None).expect(200).json();
    assert_eq!((&unknown["data"]["stored"], &unknown["data"]["kind"]), (&json!(false), &Value::Null));
}

/// On SQLite, where the triggers can be taken away.
#[test]
fn a_changed_row_of_the_log_is_named() {
    let server = Server::initialised_on_sqlite();
    let (team, auditor) = stage(&server);
    put(&team, "a", &json!({"k": "v"}));
    let mut database = server.tables();
    // The row of the namespace's log that changed most.
    let wide = "length(changed) = (SELECT max(length(changed)) FROM log WHERE tenant_id = (SELECT tenant_id FROM tenant \
                WHERE parent IS NOT NULL))";
    let place = format!("tenant_id = (SELECT tenant_id FROM tenant WHERE parent IS NOT NULL) AND {wide}");
    let seq = database.number(&format!("SELECT seq FROM log WHERE {place} LIMIT 1"));
    database.run(&format!("DROP TRIGGER log_never_updated; UPDATE log SET changed = x'' WHERE seq = {seq} AND {place}"));
    let (code, report) = verify(&server, &auditor);
    assert_eq!((code, &report["verified"]), (1, &json!(false)));
    assert!(report["log"].as_array().unwrap().contains(&json!({"row": seq, "fault": "changed"})), "{report}");
}
