//! What becomes of a deleted namespace: its keys at once, its rows, its own key where that was asked for, and the signed list that keeps
//! an old database from bringing it back.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use strongroom::audit::note::LogKey;

use crate::seals::{REGION, get, initialised, sqlite};
use crate::support::client::Client;
use crate::support::fixture::{mount, namespace, policy, put, ready, token};
use crate::support::kms::{Does, Kms};
use crate::support::on_stores;
use crate::support::postgres::Database;
use crate::support::process::PATIENCE;
use crate::support::server::{Server, storage_stanza};

on_stores! {
    an_erasure_is_pending_as_long_as_nobody_says_that_backups_are_gone,
}

/// All erasures by the path that the namespace had.
fn erasures(root: &Client) -> Vec<Value> {
    let reply = root.call("LIST", "sys/erasures", None);
    if reply.status == 404 {
        return Vec::new();
    }
    let listed = reply.expect(200).json()["data"].clone();
    let ids = listed["keys"].as_array().unwrap().clone();
    ids.iter()
        .map(|id| {
            let shown =
                root.call("GET", &format!("sys/erasures/{}", id.as_str().unwrap()), None).expect(200).json()["data"].clone();
            assert_eq!(shown["id"], *id);
            shown
        })
        .collect()
}

/// Waits for the erasure of `path` to be so.
#[track_caller]
fn wait_until(root: &Client, path: &str, is: impl Fn(&Value) -> bool) -> Value {
    let begun = Instant::now();
    loop {
        let all = erasures(root);
        if let Some(found) = all.iter().find(|erasure| erasure["path"] == path && is(erasure)) {
            return found.clone();
        }
        assert!(begun.elapsed() < PATIENCE, "{path}: {all:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The ids in a signed list, which the key verifies.
fn verified(key: &str, note: &str) -> Vec<String> {
    let (text, others) = LogKey::parse(key).unwrap().open_text(note.as_bytes()).unwrap();
    assert_eq!(others, 0);
    text.lines().skip(2).map(|line| line.split_once(' ').unwrap().0.to_owned()).collect()
}

fn an_erasure_is_pending_as_long_as_nobody_says_that_backups_are_gone(server: &mut Server) {
    let root = ready(server);
    root.call("LIST", "sys/erasures", None).expect(404);
    let keys = |server: &Server| server.tables().number("SELECT count(*) FROM tenant_key");
    let before = keys(server);
    let team = namespace(&root, "team");
    namespace(&team, "deep");
    mount(&team, "secret");
    for number in 0..100 {
        put(&team, &format!("db/{number}"), &json!({"k": "v"}));
    }
    let deep = root.call("GET", "sys/namespaces/team", None).expect(200).json();
    root.in_namespace("team").call("DELETE", "sys/namespaces/deep", None).expect(200);
    assert_eq!(keys(server), before + 1);
    root.call("DELETE", "sys/namespaces/team", None).expect(200);
    assert_eq!(keys(server), before, "no wrap is left when the answer comes");

    for path in ["team/", "team/deep/"] {
        let gone = wait_until(&root, path, |erasure| erasure["waits_for"] == json!(["backups"]));
        assert_eq!((&gone["state"], &gone["backups_until"], &gone["erased"]), (&json!("pending"), &Value::Null, &Value::Null));
        assert!(gone["rows_gone"].is_string() && gone["begun"].is_string(), "{gone}");
    }
    assert_eq!(server.tables().number("SELECT count(*) FROM tenant"), 2, "the root and the edge");
    let signed = root.call("GET", "sys/erased-list", None).expect(200).json()["data"].clone();
    let mut ids: Vec<String> = erasures(&root).iter().map(|erasure| erasure["id"].as_str().unwrap().to_owned()).collect();
    ids.sort();
    assert_eq!(verified(signed["key"].as_str().unwrap(), signed["note"].as_str().unwrap()), ids);
    let uuid = deep["data"]["uuid"].as_str().unwrap().replace('-', "");
    assert!(ids.contains(&uuid), "{uuid} {ids:?}");

    // It is the deployment's to know.
    let other = namespace(&root, "other");
    for path in ["sys/erasures/00000000000000000000000000000000", "sys/erased-list"] {
        other.call("GET", path, None).expect(400);
    }
    root.call("GET", "sys/erasures/00000000000000000000000000000000", None).expect(404);
    root.call("GET", "sys/erasures/nobody", None).expect(404);
    root.call("DELETE", "sys/namespaces/other?destroy_key=true", None).expect(400);
    root.call("GET", "sys/namespaces/other", None).expect(200);
}

/// Lines of a configuration that keeps a list, and no backups.
fn list(folder: &Path) -> String {
    format!("erased_list_file = \"{}\"\nbackup_retention = \"0s\"\n", folder.join("erased.list").display())
}

fn key_file(folder: &Path) -> String {
    let file = folder.join("root.key");
    fs::write(&file, [7; 32]).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    format!("seal \"static\" {{\n  key_file = \"{}\"\n}}\n", file.display())
}

/// Waits until the file names `number` tenants, verified.
#[track_caller]
fn listed(root: &Client, file: &Path, number: usize) -> String {
    let key = root.call("GET", "sys/erased-list", None).expect(200).json()["data"]["key"].as_str().unwrap().to_owned();
    let begun = Instant::now();
    loop {
        if let Ok(note) = fs::read_to_string(file)
            && verified(&key, &note).len() == number
        {
            return note;
        }
        assert!(begun.elapsed() < PATIENCE, "{} does not name {number}", file.display());
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn an_old_database_does_not_bring_back_what_the_list_names() {
    let mut server = Server::configured(|folder| sqlite(folder) + &list(folder) + &key_file(folder), "", 501);
    let file = server.folder().join("erased.list");
    let (root, _) = initialised(&server);
    for name in ["team", "other"] {
        let child = namespace(&root, name);
        mount(&child, "secret");
        put(&child, "a", &json!({"k": name}));
    }
    namespace(&root.in_namespace("other"), "below");
    // The key that signs the list is made soon after the first start, and is in the backup.
    let begun = Instant::now();
    while root.call("GET", "sys/erased-list", None).status != 200 {
        assert!(begun.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(server.stop().success());
    let backup: Vec<(PathBuf, Vec<u8>)> = ["store.db", "store.db-wal"]
        .map(|name| server.folder().join(name))
        .map(|path| (path.clone(), fs::read(path).unwrap_or_default()))
        .into();
    server.start_again(200);

    root.in_namespace("other").call("DELETE", "sys/namespaces/below", None).expect(200);
    root.call("DELETE", "sys/namespaces/team", None).expect(200);
    wait_until(&root, "team/", |erasure| erasure["state"] == "erased" && erasure["waits_for"] == json!([]));
    let signed = listed(&root, &file, 2);

    // The database of before: what was erased since is not answered by it, from the first request on.
    assert!(server.stop().success());
    for (path, bytes) in &backup {
        fs::write(path, bytes).unwrap();
    }
    server.start_again(200);
    root.call("GET", "sys/namespaces/team", None).expect(404);
    assert!(get(&root.in_namespace("team"), "a").status >= 400);
    root.in_namespace("other").call("GET", "sys/namespaces/below", None).expect(404);
    assert_eq!(get(&root.in_namespace("other"), "a").expect(200).json()["data"]["data"]["k"], "other");
    for path in ["team/", "other/below/"] {
        let again = wait_until(&root, path, |erasure| erasure["state"] == "erased");
        assert_eq!(again["from_list"], true, "{again}");
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), signed, "nothing is lost from the list");

    // A list that was edited is neither followed nor written over, and the operator hears of it.
    assert!(server.stop().success());
    let edited = signed.replacen("\n2\n", "\n1\n", 1);
    fs::write(&file, &edited).unwrap();
    server.start_again(200);
    namespace(&root, "third");
    root.call("DELETE", "sys/namespaces/third", None).expect(200);
    wait_until(&root, "third/", |erasure| erasure["state"] == "erased");
    assert!(server.output().contains("the list of erased namespaces is not kept"), "{}", server.output());
    assert_eq!(fs::read_to_string(&file).unwrap(), edited);
}

/// A server with a list whose seal allows these keys, too.
fn with_keys(kms: &Kms, keys: &[String], storage: impl FnOnce(&Path) -> String) -> Server {
    let main = kms.create_key(REGION);
    let lines = format!("  allowed_key_ids = {keys:?}\n");
    Server::configured(|folder| storage(folder) + &list(folder) + &kms.seal(folder, "eu", REGION, &main, &lines), "", 501)
}

fn with_own_key(root: &Client, name: &str, key: &str) -> Client {
    root.call("POST", &format!("sys/namespaces/{name}"), Some(&json!({"seal": "eu", "key_id": key}))).expect(200);
    root.in_namespace(name)
}

/// What the key service itself says of a key.
fn state(kms: &Kms, key: &str) -> Value {
    kms.ask(REGION, "DescribeKey", &json!({"KeyId": key}))["KeyMetadata"]["KeyState"].clone()
}

#[test]
fn a_tenants_own_key_is_destroyed_when_that_is_asked_for_and_only_then() {
    let kms = Kms::start();
    let keys = [(); 2].map(|()| kms.create_key(REGION));
    let [one, two] = &keys;
    let server = with_keys(&kms, &keys, sqlite);
    let (root, _) = initialised(&server);
    with_own_key(&root, "acme", one);
    with_own_key(&root, "twin", one);
    with_own_key(&root, "kept", two);
    namespace(&root, "plain");

    policy(&root, "all", r#"path "*" { capabilities = ["create", "read", "update", "delete", "list"] }"#);
    let weak = root.with_token(&token(&root, &json!({"policies": ["all"]})).text);
    weak.call("DELETE", "sys/namespaces/acme?destroy_key=true", None).expect(403);
    for (path, text) in [
        ("plain?destroy_key=true", "has no key of its own"),
        ("acme?destroy_key=true", "namespace \"twin/\" has the same key"),
        ("acme?destroy_key=true&destroy_after_days=6", "must be from 7 to 30"),
        ("acme?destroy_key=true&destroy_after_days=31", "must be from 7 to 30"),
        ("acme?destroy_after_days=7", "of no use without destroy_key"),
    ] {
        let errors = root.call("DELETE", &format!("sys/namespaces/{path}"), None).expect(400).errors();
        assert!(errors[0].contains(text), "{path}: {errors:?}");
    }
    for name in ["acme", "plain"] {
        root.call("GET", &format!("sys/namespaces/{name}"), None).expect(200);
    }
    // Without asking for it the key stays: it is its owner's.
    for name in ["twin", "kept"] {
        root.call("DELETE", &format!("sys/namespaces/{name}"), None).expect(200);
        let gone = wait_until(&root, &format!("{name}/"), |erasure| erasure["state"] == "erased");
        assert_eq!((&gone["key"]["destroy"], &gone["key"]["state"]), (&json!(false), &Value::Null), "{gone}");
    }
    assert_eq!((state(&kms, one), state(&kms, two)), (json!("Enabled"), json!("Enabled")));

    // One that will not: the erasure says so, and waits.
    kms.key(one, Does::Refuse("AccessDeniedException"));
    root.call("DELETE", "sys/namespaces/acme?destroy_key=true&destroy_after_days=7", None).expect(200);
    let waiting = wait_until(&root, "acme/", |erasure| !erasure["key"]["problem"].is_null());
    assert_eq!((&waiting["state"], &waiting["key"]["problem"]), (&json!("pending"), &json!("seal eu refuses the key")));
    assert!(waiting["waits_for"].as_array().unwrap().contains(&json!("key")), "{waiting}");
    kms.key(one, Does::Pass);
    let done = wait_until(&root, "acme/", |erasure| erasure["state"] == "erased");
    assert_eq!(
        (&done["key"]["state"], &done["key"]["key_id"], &done["key"]["problem"]),
        (&json!("PendingDeletion"), &json!(one), &Value::Null)
    );
    assert!(done["key"]["deletion"].as_str() > done["begun"].as_str(), "{done}");
    assert_eq!((state(&kms, one), state(&kms, two)), (json!("PendingDeletion"), json!("Enabled")));
}

fn goes_on_after_kills(kms: &Kms, keys: &[String], server: &mut Server) {
    let (root, _) = initialised(server);
    let file = server.folder().join("erased.list");
    for (number, key) in keys.iter().enumerate() {
        let team = with_own_key(&root, &format!("team{number}"), key);
        mount(&team, "secret");
        // More rows than are deleted at once.
        for at in 0..100 {
            put(&team, &format!("db/{at}"), &json!({"k": "v"}));
        }
        kms.key(key, Does::Slowly);
    }
    // Just behind the answer; while rows are deleted; while the guardian is asked, and before its answer is written down.
    for (number, after) in [0, 40, 120, 250].into_iter().enumerate().take(keys.len()) {
        root.call("DELETE", &format!("sys/namespaces/team{number}?destroy_key=true"), None).expect(200);
        std::thread::sleep(Duration::from_millis(after));
        server.kill();
        server.start_again(200);
    }
    for (number, key) in keys.iter().enumerate() {
        let done = wait_until(&root, &format!("team{number}/"), |erasure| erasure["state"] == "erased");
        assert_eq!(done["key"]["state"], "PendingDeletion", "{done}");
        assert_eq!(state(kms, key), "PendingDeletion");
        let calls = kms.calls();
        let times = calls.iter().filter(|(target, call)| {
            target == "ScheduleKeyDeletion" && call["KeyId"].as_str().is_some_and(|asked| asked.ends_with(key.as_str()))
        });
        assert_eq!(times.count(), 1, "a key that is to be destroyed already is left as it is");
    }
    listed(&root, &file, keys.len());
    for table in ["tenant", "tenant_key", "record", "log"] {
        let of = server.tables().number(&format!("SELECT count(DISTINCT tenant_id) FROM {table}"));
        let wraps = server.tables().number("SELECT count(*) FROM tenant");
        assert!(of <= 2 && wraps == 2, "{table}: {of} {wraps}");
    }
}

#[test]
fn an_erasure_goes_on_after_kills_on_sqlite() {
    let kms = Kms::start();
    let keys: Vec<String> = (0..4).map(|_| kms.create_key(REGION)).collect();
    let mut server = with_keys(&kms, &keys, sqlite);
    goes_on_after_kills(&kms, &keys, &mut server);
}

#[test]
fn an_erasure_goes_on_after_kills_on_postgresql() {
    let (kms, database) = (Kms::start(), Rc::new(Database::new()));
    let keys: Vec<String> = (0..2).map(|_| kms.create_key(REGION)).collect();
    let mut server = with_keys(&kms, &keys, |_| storage_stanza(&database) + "\n");
    server.set_database(&database);
    goes_on_after_kills(&kms, &keys, &mut server);
}
