//! The archive of the audit log: every event gets there and proves itself, also after crashes and with a storage that fails; what
//! left the database is found, shown and exported from it; and it ends when it may, and not before.

pub(crate) mod s3;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use strongroom::audit::note::LogKey;
use strongroom::audit::segment::Segment;

use crate::support::client::Client;
use crate::support::fixture::{mount, namespace, put, ready, token};
use crate::support::on_stores;
use crate::support::process::{Finished, run, until};
use crate::support::server::Server;
use crate::support::tools;

on_stores! {
    every_event_is_archived_and_proves_itself_after_crashes,
    events_that_left_the_database_are_found_shown_and_exported,
}

/// Starts the server again with an archive.
fn declare(server: &mut Server, stanza: &str) {
    assert!(server.stop().success());
    let file = server.folder().join("strongroom.hcl");
    let config = fs::read_to_string(&file).unwrap();
    let config = config.split("\narchive ").next().unwrap();
    fs::write(&file, format!("{config}\narchive {stanza}\n")).unwrap();
    server.come_back();
}

/// An archive in a folder; where it is.
fn archived_in_folder(server: &mut Server, lines: &str) -> PathBuf {
    let path = server.folder().join("archive");
    fs::create_dir_all(&path).unwrap();
    declare(server, &format!("\"file\" {{\n  path = \"{}\"\n  interval = \"1s\"\n{lines}}}", path.display()));
    path
}

/// What `sys/audit-log/archive` says.
fn standing(client: &Client) -> Value {
    client.call("GET", "sys/audit-log/archive", None).expect(200).json()["data"].take()
}

fn number(client: &Client, field: &str) -> u64 {
    standing(client)[field].as_u64().unwrap()
}

fn log_key(client: &Client) -> LogKey {
    let shown = client.call("GET", "sys/audit-log/key", None).expect(200).json();
    LogKey::parse(shown["data"]["key"].as_str().unwrap()).unwrap()
}

/// Index of the newest event; asking is one, too.
fn newest(client: &Client) -> u64 {
    let shown = client.call("GET", "sys/audit-log?limit=1", None).expect(200).json();
    shown["data"]["events"][0]["index"].as_u64().unwrap()
}

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

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            files(&entry.path(), found);
        } else {
            found.push(entry.path());
        }
    }
}

/// The segments of a folder, by tenant; each is whole and proves itself. What a crash left half written has another name.
fn segments(folder: &Path, key: &LogKey) -> BTreeMap<String, Vec<Segment>> {
    let mut paths = Vec::new();
    files(folder, &mut paths);
    let mut segments: BTreeMap<String, Vec<Segment>> = BTreeMap::new();
    for path in paths.iter().filter(|path| !path.to_str().unwrap().contains('#')) {
        let segment = Segment::parse(&fs::read(path).unwrap()).unwrap();
        let tenant = segment.tenant.to_string();
        let name = key.name().rsplit('/').nth(1).unwrap();
        segment.prove(&key.named(&key.name().replace(name, &tenant))).unwrap();
        segments.entry(tenant).or_default().push(segment);
    }
    segments
}

/// Up to where segments have all events from the first on.
fn covered(segments: &[Segment]) -> u64 {
    let mut spans: Vec<(u64, u64)> = segments.iter().map(|segment| (segment.first_index(), segment.after().size())).collect();
    spans.sort_unstable();
    spans.into_iter().fold(0, |end, (first, next)| if first <= end { end.max(next) } else { end })
}

fn every_event_is_archived_and_proves_itself_after_crashes(server: &mut Server) {
    let root = ready(server);
    let folder = archived_in_folder(server, "  prefix = \"strongroom/audit\"\n");
    let acme = namespace(&root, "acme");
    mount(&acme, "secret");
    put(&acme, "canary-path", &json!({"k": "canary-value"}));
    root.without_token().call("GET", "secret/data/edge", None).expect(403);
    for _ in 0..3 {
        // In the middle of whatever it does: segments are written once a second, and signed every five.
        std::thread::scope(|scope| {
            for client in [&root, &acme] {
                let mut session = client.session().unwrap();
                scope.spawn(move || while session.send("GET", "/v1/secret/data/none", &[], b"").is_ok() {});
            }
            until("a checkpoint", || root.call("GET", "sys/audit-log/checkpoint", None).status == 200);
            std::thread::sleep(std::time::Duration::from_millis(700));
            server.kill();
        });
        server.come_back();
    }
    let last = [&root, &acme].map(newest);
    for (client, last) in [&root, &acme].into_iter().zip(last) {
        until("every event in the archive", || number(client, "archived") > last);
    }
    let key = log_key(&root);
    let all = segments(&folder, &key);
    assert_eq!(all.len(), 3, "the root's, the edge's and the namespace's");
    let of = |client: &Client| log_key(client).name().rsplit('/').nth(1).unwrap().to_owned();
    for (client, last) in [&root, &acme].into_iter().zip(last) {
        assert!(covered(&all[&of(client)]) > last);
    }
    let mut paths = Vec::new();
    files(&folder, &mut paths);
    for path in paths {
        assert!(path.starts_with(folder.join("strongroom/audit")));
        let bytes = fs::read(&path).unwrap();
        for secret in ["canary", "acme", "secret/data"] {
            let there = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!there && !path.to_str().unwrap().contains("acme"), "{secret} is in {}", path.display());
        }
    }
}

fn page(client: &Client, query: &str) -> Value {
    client.call("GET", &format!("sys/audit-log?{query}"), None).expect(200).json()["data"].take()
}

/// The indexes of all events of a search, page by page.
fn all(client: &Client, query: &str) -> Vec<u64> {
    let (mut events, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = page(client, &format!("{query}&cursor={cursor}"));
        events.extend(page["events"].as_array().unwrap().iter().map(|event| event["index"].as_u64().unwrap()));
        if page["more"] == json!(false) {
            return events;
        }
        page["next"].as_str().unwrap().clone_into(&mut cursor);
    }
}

fn audit(server: &Server, token: &str, arguments: &[&str]) -> Finished {
    let target = server.target();
    let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let ca = target.ca.as_ref().unwrap().to_str().unwrap();
    let variables = [set("BAO_ADDR", &target.url), set("BAO_CACERT", ca), set("BAO_TOKEN", token)];
    run(&tools::strongroom(), &[&["audit"], arguments].concat(), &variables, None)
}

fn events_that_left_the_database_are_found_shown_and_exported(server: &mut Server) {
    let root = ready(server);
    let auditor = token(&root, &json!({"policies": ["auditor"]})).text;
    put(&root, "a/b", &json!({"k": "v"}));
    let shown = page(&root, "path=secret/data/a/b");
    let index = shown["events"][0]["index"].as_u64().unwrap();
    work(&root, 240);
    let folder = archived_in_folder(server, "  keep_in_database = \"1s\"\n");
    let last = newest(&root);
    // The newest signed tree's last row stays, so there must be a newer one.
    until("what was logged before is in the archive only", || {
        root.call("GET", "secret/data/none", None);
        number(&root, "in_database_from") > last
    });
    let mut tables = server.tables();
    assert!(tables.number("SELECT count(*) FROM log WHERE length(batch) = 0") > 0);
    assert_eq!(tables.number("SELECT count(*) FROM log WHERE length(leaves) <> 32 * count"), 0);

    // Searches say that there is more, and go on there when asked.
    let without = page(&root, "path=secret/data/a/b");
    assert_eq!((&without["events"], &without["archived"]), (&json!([]), &json!(true)));
    let found = page(&root, "path=secret/data/a/b&archive=true");
    assert_eq!((&found["events"], &found["archived"]), (&shown["events"], &json!(false)));
    let down = all(&root, &format!("until={}&limit=37&archive=true", found["events"][0]["logged"].as_str().unwrap()));
    assert_eq!(down, (0..=index).rev().collect::<Vec<u64>>());
    let up = all(&root, "order=asc&limit=100&archive=true");
    let count = up.len() as u64;
    assert!(count > last && up == (0..count).collect::<Vec<u64>>());
    assert!(all(&root, "order=asc&limit=1000")[0] > last);
    let one = format!("sys/audit-log/event/{index}");
    root.call("GET", &one, None).expect(400);
    assert_eq!(root.call("GET", &format!("{one}?archive=true"), None).expect(200).json()["data"], shown["events"][0]);
    root.call("GET", &format!("sys/audit-log/proof/{index}"), None).expect(200);
    let text = audit(server, &auditor, &["search", "--path", "secret/data/a/b", "--archive"]);
    assert!(text.code == 0 && text.stdout.contains("secret/data/a/b"), "{}{}", text.stdout, text.stderr);
    let text = audit(server, &auditor, &["search", "--path", "secret/data/a/b"]);
    assert!(text.code == 0 && text.stdout.is_empty() && text.stderr.contains("--archive"), "{}", text.stderr);
    let copy = server.folder().join("copy");
    let copy = copy.to_str().unwrap();
    for arguments in [&["export", copy][..], &["verify", copy, "--key", &log_key(&root).to_string()]] {
        let done = audit(server, &auditor, arguments);
        assert_eq!(done.code, 0, "{}{}", done.stdout, done.stderr);
    }

    // A segment that somebody changed is no event; without its archive the server answers all the same.
    let mut paths = Vec::new();
    files(&folder.join(log_key(&root).name().split('/').nth(1).unwrap()), &mut paths);
    let tenant = log_key(&root).name().rsplit('/').nth(1).unwrap().to_owned();
    paths.retain(|path| path.to_str().unwrap().contains(&tenant));
    let first = paths.into_iter().min().unwrap();
    let bytes = fs::read(&first).unwrap();
    let mut changed = bytes.clone();
    changed[bytes.len() / 2] ^= 1;
    fs::write(&first, changed).unwrap();
    root.call("GET", "sys/audit-log/event/0?archive=true", None).expect(500);
    fs::write(&first, bytes).unwrap();
    root.call("GET", "sys/audit-log/event/0?archive=true", None).expect(200);
    let away = folder.with_extension("away");
    fs::rename(&folder, &away).unwrap();
    root.call("GET", "sys/audit-log/event/0?archive=true", None).expect(500);
    root.call("GET", "secret/data/a/b", None).expect(200);
    root.call("GET", "sys/audit-log", None).expect(200);
    fs::rename(&away, &folder).unwrap();
    // A sink that comes late begins with the first event of all.
    let sink = server.folder().join("sink.log");
    let stanza = format!("audit \"file\" \"late\" {{\n  options {{\n    file_path = \"{}\"\n  }}\n}}\n", sink.display());
    assert!(server.stop().success());
    let file = server.folder().join("strongroom.hcl");
    fs::write(&file, format!("{stanza}{}", fs::read_to_string(&file).unwrap())).unwrap();
    server.come_back();
    let first_event = format!("\"tenant\":\"{tenant}\",\"index\":0,");
    until("the first event in a sink", || fs::read_to_string(&sink).unwrap_or_default().contains(&first_event));
}

/// On one store: what the other does differently is tested with the stores.
#[test]
fn held_archives_stay_and_others_end_with_their_retention_and_their_namespace() {
    let server = &mut Server::initialised_on_sqlite();
    let root = ready(server);
    let folder = archived_in_folder(server, "  keep_in_database = \"1s\"\n  retention = \"1h\"\n");
    let [held, free] = ["held", "free"].map(|name| namespace(&root, name));
    root.call("POST", "sys/namespaces/held/legal-hold", Some(&json!({"reason": "case 7"}))).expect(204);
    let setting = |seconds: &str| json!({"retention": seconds});
    for client in [&held, &free] {
        client.call("POST", "sys/config/auditing/archive", Some(&setting("500ms"))).expect(400);
        client.call("POST", "sys/config/auditing/archive", Some(&json!({}))).expect(400);
        client.call("POST", "sys/config/auditing/archive", Some(&setting("1s"))).expect(204);
        let read = client.call("GET", "sys/config/auditing/archive", None).expect(200).json();
        assert_eq!((&read["data"]["retention"], &read["data"]["default"]), (&json!(1), &json!(false)));
    }
    until("an archive that has nothing of its beginning", || {
        for client in [&held, &free] {
            client.call("GET", "sys/mounts", None).expect(200);
        }
        number(&free, "in_archive_from") > 3 && number(&held, "in_database_from") > 3
    });
    assert_eq!(number(&held, "in_archive_from"), 0);
    held.call("GET", "sys/audit-log/event/0?archive=true", None).expect(200);
    free.call("GET", "sys/audit-log/event/0?archive=true", None).expect(404);
    let rest = page(&free, "order=asc&archive=true");
    assert_eq!(rest["expired"], json!(true));
    assert!(rest["events"][0]["index"].as_u64().unwrap() > 0);
    let told = page(&free, "operation=archive-expire&archive=true&limit=1");
    assert_eq!(told["events"][0]["event"]["operation"], json!("archive-expire"));

    let of = |client: &Client| {
        let name = log_key(client).name().to_owned();
        folder.join(name.split('/').nth(1).unwrap()).join(name.split('/').nth(2).unwrap())
    };
    let (of_held, of_free) = (of(&held), of(&free));
    assert!(of_held.exists() && of_free.exists());
    root.call("DELETE", "sys/namespaces/held", None).expect(400);
    root.call("DELETE", "sys/namespaces/free", None);
    let there = |path: &Path| {
        let mut found = Vec::new();
        files(path, &mut found);
        !found.is_empty()
    };
    until("the archive of a namespace that was deleted is gone", || !there(&of_free));
    assert!(there(&of_held));
    // The hold is lifted: what was due goes.
    root.call("DELETE", "sys/namespaces/held/legal-hold", None).expect(204);
    until("what was held is deleted", || {
        held.call("GET", "sys/mounts", None).expect(200);
        number(&held, "in_archive_from") > 0
    });
    root.call("DELETE", "sys/namespaces/held", None);
    until("the archive of the other one is gone", || !there(&of_held));
}
