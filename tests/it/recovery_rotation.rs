//! New recovery shares: `sys/rotate/recovery`, as `bao operator rotate-keys -target=recovery` asks for them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::seals::{get, sqlite, start_with};
use crate::support::bao::Bao;
use crate::support::client::{Client, Reply};
use crate::support::fixture::{mount, namespace, policy, put, token};
use crate::support::process::PATIENCE;
use crate::support::server::Server;

/// A key file and the seal that it is.
fn key_file(folder: &Path, name: &str) -> String {
    let path = folder.join(format!("{name}.key"));
    fs::write(&path, &[name.as_bytes(), &[7; 32]].concat()[..32]).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    format!("seal \"static\" \"{name}\" {{\n  key_file = \"{}\"\n}}\n", path.display())
}

/// A server whose key file opens it, with recovery shares; where the older paths need no token if that is wanted.
fn deployed(shares: &Value, listener: &str) -> (Server, Client, Value) {
    let server = Server::configured(|folder| sqlite(folder) + &key_file(folder, "one"), listener, 501);
    let stranger = Client::new(&server.target());
    let init = stranger.call("PUT", "sys/init", Some(shares)).expect(200).json();
    let root = stranger.with_token(init["root_token"].as_str().unwrap());
    (server, root, init)
}

fn three() -> Value {
    json!({"recovery_shares": 3, "recovery_threshold": 2})
}

fn strings(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().map(|text| text.as_str().unwrap().to_owned()).collect()
}

fn wraps(server: &Server, name: &str) -> i64 {
    server.tables().number(&format!("SELECT count(*) FROM tenant_key WHERE seal = '{name}'"))
}

/// Waits until tenants are wrapped by this recovery key alone.
#[track_caller]
fn taken_over(server: &Server, name: &str, tenants: i64) {
    let begun = Instant::now();
    let all = |server: &Server| server.tables().number("SELECT count(*) FROM tenant_key WHERE seal LIKE 'recovery%'");
    while (wraps(server, name), all(server)) != (tenants, tenants) {
        assert!(begun.elapsed() < PATIENCE, "{} of {}: {}", wraps(server, name), all(server), server.output());
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn unseal(server: &Server, share: &str) -> Reply {
    Client::new(&server.target()).call("PUT", "sys/unseal", Some(&json!({"key": share})))
}

/// Starts the server with other seals in its configuration.
fn restart_with(server: &mut Server, before: &str, after: &str, status: u16) {
    assert!(server.stop().success());
    let file = server.folder().join("strongroom.hcl");
    let config = fs::read_to_string(&file).unwrap();
    assert!(config.contains(before), "{config}");
    fs::write(&file, config.replace(before, after)).unwrap();
    server.start_again(status);
}

#[test]
fn new_recovery_shares_take_over_and_those_before_are_dead() {
    let (mut server, root, init) = deployed(&three(), "");
    let first = strings(&init["recovery_keys"]);
    let team = namespace(&root, "team");
    mount(&team, "secret");
    put(&team, "a", &json!({"k": "v"}));
    assert_eq!(wraps(&server, "recovery"), 3);
    let bao = Bao::new(&server.target()).with_token(init["root_token"].as_str().unwrap());
    let words = ["operator", "rotate-keys", "-target=recovery"];
    let json = |arguments: &[&str]| bao.json(2, &[&words, arguments].concat());
    let ok = |arguments: &[&str]| bao.ok(&[&words, arguments].concat());
    ok(&["-status"]).row("Started", "false");
    let begun = json(&["-init", "-key-shares=5", "-key-threshold=3", "-verify"]);
    let at = format!("-nonce={}", begun["nonce"].as_str().unwrap());
    ok(&[&at, &first[0]]).row("Progress", "1/2");
    let done = json(&[&at, &first[2]]);
    let second = strings(&done["keys"]);
    assert_eq!(second.len(), 5);
    // Nothing is changed before the new shares were brought.
    assert_eq!(wraps(&server, "recovery"), 3);
    let at = format!("-nonce={}", done["verification_nonce"].as_str().unwrap());
    for share in &second[..2] {
        ok(&["-verify", &at, share]);
    }
    ok(&["-verify", &at, &second[4]]).says(&["verification successful"]);
    taken_over(&server, "recovery-1", 3);
    // A namespace that is made now has the new wrap alone.
    namespace(&root, "late");
    assert_eq!((wraps(&server, "recovery-1"), wraps(&server, "recovery")), (4, 0));

    // Who proves with shares who they are, brings new ones.
    let begun = root.call("PUT", "sys/generate-root-token/attempt", Some(&json!({}))).expect(200).json();
    let prove = |share: &str| {
        let body = json!({"key": share, "nonce": begun["data"]["nonce"]});
        root.call("PUT", "sys/generate-root-token/update", Some(&body))
    };
    assert!(prove(&first[0]).expect(400).errors()[0].contains("does not belong to this deployment's seal"));
    assert_eq!(prove(&second[0]).expect(200).json()["data"]["progress"], 1);

    // The seal is gone for good: new shares open, old ones do not.
    let (one, two) = (key_file(server.folder(), "one"), key_file(server.folder(), "two"));
    restart_with(&mut server, &one, &format!("seal \"recovery\" {{}}\n{two}"), 503);
    assert!(unseal(&server, &first[0]).expect(400).errors()[0].contains("does not belong to this deployment's seal"));
    for share in &second[1..3] {
        assert_eq!(unseal(&server, share).expect(200).json()["sealed"], true);
    }
    assert_eq!(unseal(&server, &second[3]).expect(200).json()["sealed"], false);
    assert_eq!(get(&team, "a").expect(200).json()["data"]["data"]["k"], "v");
    let refused = root.call("GET", "sys/rotate/recovery/init", None).expect(400).errors();
    assert_eq!(refused, ["a recovery is under way: start without seal \"recovery\" first"]);
    taken_over(&server, "recovery-1", 4);
    let begun = Instant::now();
    while wraps(&server, "two") != 4 || wraps(&server, "one") != 0 {
        assert!(begun.elapsed() < PATIENCE, "{}", server.output());
        std::thread::sleep(Duration::from_millis(50));
    }
    restart_with(&mut server, "seal \"recovery\" {}\n", "", 200);
    assert_eq!(get(&team, "a").expect(200).json()["data"]["data"]["k"], "v");
    let output = server.output();
    assert!(!first.iter().chain(&second).any(|share| output.contains(share.as_str())), "a share is in the log");
}

#[test]
fn shares_that_are_wrong_are_told_and_change_nothing() {
    let (server, root, made) = deployed(&three(), "");
    let first = strings(&made["recovery_keys"]);
    let (init, update, verify) = ("sys/rotate/recovery/init", "sys/rotate/recovery/update", "sys/rotate/recovery/verify");
    let refused = |reply: Reply, text: &str| {
        let errors = reply.expect(400).errors();
        assert!(errors[0].contains(text), "{errors:?}");
    };
    let ask = json!({"secret_shares": 2, "secret_threshold": 2});
    let bring = |key: &str, nonce: &str| root.call("PUT", update, Some(&json!({"key": key, "nonce": nonce})));
    refused(bring(&first[0], "x"), "no rotation in progress");
    refused(root.call("GET", verify, None), "no rotation configuration found");
    refused(root.call("GET", "sys/rotate/recovery/backup", None), "no backed-up keys found");
    for (body, text) in [
        (json!({}), "shares must be at least one"),
        (json!({"secret_shares": 3, "secret_threshold": 4}), "threshold cannot be larger than shares"),
        (json!({"secret_shares": 3, "secret_threshold": 1}), "threshold must be greater than one for multiple shares"),
        (json!({"secret_shares": 1, "secret_threshold": 1, "pgp_keys": ["x"]}), "unsupported: pgp_keys"),
    ] {
        refused(root.call("PUT", init, Some(&body)), text);
    }
    let begun = root.call("PUT", init, Some(&ask)).expect(200).json()["data"].clone();
    assert_eq!(
        (&begun["started"], &begun["required"], &begun["n"], &begun["t"]),
        (&json!(true), &json!(2), &json!(2), &json!(2))
    );
    refused(root.call("PUT", init, Some(&ask)), "rotation already in progress");
    let nonce = begun["nonce"].as_str().unwrap();
    refused(bring(&first[0], "x"), "incorrect nonce supplied; nonce for rotation is");
    refused(bring("zz", nonce), "must be a valid hex or base64 string");
    assert_eq!(bring(&first[0], nonce).expect(200).json()["data"]["progress"], 1);
    assert_eq!(bring(&first[0], nonce).expect(200).json()["data"]["progress"], 1, "one share counts once");
    refused(bring(&format!("11{}", &first[1][2..]), nonce), "does not belong to this deployment's seal");
    root.call("DELETE", init, None).expect(204);
    assert_eq!(root.call("GET", init, None).expect(200).json()["data"]["started"], false);
    refused(bring(&first[1], nonce), "no rotation in progress");
    assert_eq!(wraps(&server, "recovery"), 2);

    // It is for the root namespace, and for sudo; and there must be such shares.
    let team = namespace(&root, "team");
    policy(&root, "no-sudo", "path \"sys/*\" { capabilities = [\"read\", \"create\", \"update\", \"delete\"] }");
    let plain = root.with_token(&token(&root, &json!({"policies": ["no-sudo"]})).text);
    for path in [init, verify, "sys/rekey/recovery-key-backup"] {
        plain.call("GET", path, None).expect(403);
        root.without_token().call("GET", path, None).expect(403);
        team.call("GET", path, None).expect(404);
    }
    root.call("GET", "sys/rekey-recovery-key/init", None).expect(405);
    let (_server, unshared, _) = deployed(&json!({}), "");
    refused(unshared.call("GET", init, None), "was initialised without recovery shares");
    let shamir = Server::initialised_on_sqlite();
    let root = Client::new(&shamir.target());
    refused(root.call("GET", init, None), "recovery rotation not supported");
}

#[test]
fn the_older_paths_change_recovery_shares_where_the_listener_allows_it() {
    let (server, root, init) = deployed(&three(), "  disable_unauthed_rekey_endpoints = false\n");
    let first = strings(&init["recovery_keys"]);
    let bao = Bao::new(&server.target());
    let rekey = |arguments: &[&str]| {
        let arguments = [&["operator", "rekey", "-target=recovery"], arguments].concat();
        bao.json(2, &arguments)
    };
    let begun = rekey(&["-init", "-key-shares=1", "-key-threshold=1"]);
    let at = format!("-nonce={}", begun["nonce"].as_str().unwrap());
    rekey(&[&at, &first[0]]);
    let second = strings(&rekey(&[&at, &first[1]])["keys"]);
    assert_eq!(second.len(), 1);
    taken_over(&server, "recovery-1", 2);
    // And once more, by the new one.
    let begun = rekey(&["-init", "-key-shares=1", "-key-threshold=1"]);
    let at = format!("-nonce={}", begun["nonce"].as_str().unwrap());
    rekey(&[&at, &second[0]]);
    taken_over(&server, "recovery-2", 2);
    root.call("GET", "sys/rotate/recovery/init", None).expect(200);
}

#[test]
fn shares_beside_a_recovery_are_refused() {
    let (mut server, ..) = deployed(&three(), "");
    assert!(server.stop().success());
    let one = key_file(server.folder(), "one");
    let (code, line) = start_with(&server, &one, &format!("{one}seal \"shamir\" {{}}\nseal \"recovery\" {{}}\n"));
    assert!(code == 1 && line.contains("shares do not open beside seal \"recovery\""), "{code} {line}");
    let (code, line) = start_with(&server, &one, &one.replace("\"one\"", "\"recovery-1\""));
    assert!(code == 1 && line.contains("is the name of a recovery key"), "{code} {line}");
}
