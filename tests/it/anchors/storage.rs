//! Anchors in object storage are as good as those in a file: S3, as moto speaks it.

use std::fs;

use serde_json::json;
use strongroom::audit::anchor::Anchored;
use strongroom::id::TenantId;

use super::stage::{id, seen};
use crate::support::client::{Client, Reply};
use crate::support::fixture::{put, ready};
use crate::support::process::run;
use crate::support::s3::{Fault, S3};
use crate::support::server::Server;
use crate::support::tools;

const NAME: &str = "server-1/anchors";

/// Waits until the anchors have all events of the root namespace up to now.
#[track_caller]
fn anchored(storage: &S3, root: &Client) -> Vec<u8> {
    let newest = root.call("GET", "sys/audit-log?limit=1", None).expect(200).json();
    let size = newest["data"]["events"][0]["index"].as_u64().unwrap() + 1;
    seen(|| (root.call("GET", "sys/audit-log/key", None).status == 200).then_some(()));
    let tenant = TenantId::parse(&id(root)).unwrap();
    seen(|| {
        let object = storage.object(NAME)?;
        let (anchored, _) = Anchored::parse(&String::from_utf8(object.clone()).unwrap()).unwrap();
        anchored.anchors.get(&tenant).is_some_and(|anchor| anchor.size >= size).then_some(object)
    })
}

fn unseal(server: &Server) -> Reply {
    Client::new(&server.target()).call("PUT", "sys/unseal", Some(&json!({"key": server.keys()[0]})))
}

fn failures(root: &Client) -> f64 {
    let text = String::from_utf8(root.call("GET", "sys/metrics?format=prometheus", None).expect(200).body).unwrap();
    let line = text.lines().find(|line| line.starts_with("strongroom_audit_anchor_failures_total ")).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn anchors_in_object_storage_refuse_an_older_database_and_are_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let storage = S3::start(folder.path(), "anchors");
    let stanzas = |folder: &std::path::Path| {
        format!(
            "storage \"sqlite\" {{\n  path = \"{}\"\n}}\nanchor \"s3\" {{\n{}  name = \"{NAME}\"\n  timeout = \"2s\"\n}}\n",
            folder.join("store.db").display(),
            storage.settings()
        )
    };
    let server = Server::configured(stanzas, "", 501);
    // As long as nobody can tell whether there are anchors of another deployment, none is made.
    storage.set(Fault::Hang);
    let body = json!({"secret_shares": 1, "secret_threshold": 1});
    Client::new(&server.target()).call("PUT", "sys/init", Some(&body)).expect(503);
    storage.set(Fault::None);
    let mut server = server.initialise();
    let root = ready(&server);
    anchored(&storage, &root);
    assert!(server.stop().success());
    let older = fs::read(server.sqlite_file()).unwrap();
    server.come_back();
    put(&root, "a", &json!({"k": "after"}));
    anchored(&storage, &root);

    // The storage is away: requests are not, and what was not written is written later.
    storage.set(Fault::Hang);
    put(&root, "a", &json!({"k": "meanwhile"}));
    seen(|| (failures(&root) > 0.0).then_some(()));
    storage.set(Fault::None);
    anchored(&storage, &root);
    assert!(server.stop().success());
    storage.set(Fault::Hang);
    server.start_again(503);
    let refused = unseal(&server).expect(503).errors();
    assert!(refused[0].contains("server-1/anchors"), "{refused:?}");
    storage.set(Fault::None);
    seen(|| (unseal(&server).status == 200).then_some(()));
    let newest = anchored(&storage, &root);

    // Changed by somebody, or something else: refused until it is put back.
    assert!(server.stop().success());
    let text = String::from_utf8(newest.clone()).unwrap();
    let line = text.lines().nth(1).unwrap();
    for (changed, said) in [
        (text.replacen(&format!("{line}\n"), "", 1), "were changed outside this server"),
        ("hello\n".to_owned(), "it is no file of anchors"),
    ] {
        storage.put(NAME, changed.as_bytes());
        server.start_again(503);
        let refused = unseal(&server).expect(503).errors();
        assert!(refused[0].contains(said), "{refused:?}");
        assert!(server.stop().success());
    }
    storage.put(NAME, &newest);

    // An older database.
    fs::write(server.sqlite_file(), older).unwrap();
    for end in ["-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{end}", server.sqlite_file().display()));
    }
    server.start_again(503);
    let refused = unseal(&server).expect(503).errors();
    assert!(refused[0].contains("rolled back"), "{refused:?}");
    // Given up: in a copy of the object, and then beside it.
    let copy = folder.path().join("anchors");
    fs::write(&copy, &newest).unwrap();
    let arguments = ["audit", "accept-rollback", "--anchors", copy.to_str().unwrap()];
    let done = run(&tools::strongroom(), &arguments, &[], None);
    assert_eq!(done.code, 0, "{}{}", done.stdout, done.stderr);
    storage.put("server-1/anchors.accepted", &fs::read(copy.with_extension("accepted")).unwrap());
    unseal(&server).expect(200);
    root.call("GET", "secret/data/a", None).expect(404);
    assert!(storage.object("server-1/anchors.accepted").is_none(), "what was accepted counts once");

    // A lost object is told, as a lost file is: what the store has now is taken for whole.
    assert!(server.stop().success());
    storage.delete(NAME);
    server.come_back();
    assert!(server.output().contains("no anchors yet"), "{}", server.output());
    root.call("GET", "sys/mounts", None).expect(200);
    assert!(!server.output().contains("canary-of-a-credential"));
}
