//! Recovery shares: they open what a key service had wrapped, when that is gone for good.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::seals::{REGION, get, initialised, start_with, uninitialised};
use crate::support::client::{Client, Reply};
use crate::support::fixture::{mount, namespace, put};
use crate::support::kms::{Does, Kms};
use crate::support::process::PATIENCE;
use crate::support::server::Server;

/// A new key file, and the seal that it is.
fn key_file(folder: &Path) -> String {
    let path = folder.join("new.key");
    std::fs::write(&path, [7; 32]).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    format!("seal \"static\" \"new\" {{\n  key_file = \"{}\"\n}}\n", path.display())
}

/// Changes the configuration of a server that has stopped.
fn configure(server: &Server, before: &str, after: &str) {
    let file = server.folder().join("strongroom.hcl");
    let config = std::fs::read_to_string(&file).unwrap();
    assert!(config.contains(before), "{config}");
    std::fs::write(&file, config.replace(before, after)).unwrap();
}

fn unseal(server: &Server, share: &str) -> Reply {
    Client::new(&server.target()).call("PUT", "sys/unseal", Some(&json!({"key": share})))
}

fn wraps(server: &Server, name: &str) -> i64 {
    server.tables().number(&format!("SELECT count(*) FROM tenant_key WHERE seal = '{name}'"))
}

#[test]
fn recovery_shares_open_when_the_kms_is_gone_for_good() {
    let kms = Kms::start();
    let key = kms.create_key(REGION);
    let mut server = uninitialised(&kms, &key);
    let (root, init) = initialised(&server);
    let shares: Vec<&str> = init["recovery_keys"].as_array().unwrap().iter().map(|share| share.as_str().unwrap()).collect();
    mount(&root, "secret");
    put(&root, "a", &json!({"k": "v"}));
    let team = namespace(&root, "team");
    mount(&team, "secret");
    put(&team, "b", &json!({"k": "w"}));
    assert_eq!((wraps(&server, "eu"), wraps(&server, "recovery")), (3, 3));
    assert_eq!(root.call("GET", "sys/seals", None).expect(200).json()["data"]["recovery_shares_open"], true);

    // The key service never comes back.
    assert!(server.stop().success());
    kms.all(Does::Reset);
    server.start_again(503);
    let refused = unseal(&server, shares[0]).expect(400).errors();
    assert_eq!(refused, ["this deployment has no shares: its seal opens it at start"], "without the stanza shares open nothing");
    assert!(server.stop().success());
    let (eu, new) = (kms.seal(server.folder(), "eu", REGION, &key, ""), key_file(server.folder()));
    let recovery = "seal \"recovery\" {}\n";
    let (code, line) = start_with(&server, &eu, recovery);
    assert!(code == 1 && line.contains("needs another seal beside it, which takes over"), "{code} {line}");
    let (code, line) = start_with(&server, &eu, &new);
    assert!(code == 1 && line.contains("none of the configured seals has wrapped it"), "{code} {line}");

    configure(&server, &eu, &format!("{recovery}{new}"));
    server.start_again(503);
    let status = Client::new(&server.target()).call("GET", "sys/seal-status", None).expect(200).json();
    assert_eq!((&status["type"], &status["recovery_seal"]), (&"recovery".into(), &false.into()), "{status}");
    assert_eq!((&status["t"], &status["n"], &status["sealed"]), (&2.into(), &3.into(), &true.into()), "{status}");
    unseal(&server, &"00".repeat(33)).expect(400);
    assert_eq!(unseal(&server, shares[2]).expect(200).json()["sealed"], true);
    assert_eq!(unseal(&server, shares[2]).expect(200).json()["sealed"], true, "one share counts once");
    assert_eq!(unseal(&server, shares[0]).expect(200).json()["sealed"], false);
    assert_eq!(get(&root, "a").expect(200).json()["data"]["data"]["k"], "v");
    assert_eq!(get(&team, "b").expect(200).json()["data"]["data"]["k"], "w");

    let begun = Instant::now();
    loop {
        let state = root.call("GET", "sys/seals", None).expect(200).json();
        if state["data"]["finished"] == true && wraps(&server, "eu") == 0 {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{state}");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!((wraps(&server, "new"), wraps(&server, "recovery")), (3, 3));
    assert!(server.stop().success());
    configure(&server, recovery, "");
    server.start_again(200);
    assert_eq!(get(&root, "a").expect(200).json()["data"]["data"]["k"], "v");
    assert_eq!(get(&team, "b").expect(200).json()["data"]["data"]["k"], "w");
}

#[test]
fn without_recovery_shares_nothing_but_the_seal_opens() {
    let kms = Kms::start();
    let key = kms.create_key(REGION);
    let mut server = uninitialised(&kms, &key);
    let stranger = Client::new(&server.target());
    let init: Value = stranger.call("PUT", "sys/init", Some(&json!({}))).expect(200).json();
    assert_eq!(init["recovery_keys"], Value::Null);
    assert_eq!((wraps(&server, "eu"), wraps(&server, "recovery")), (2, 0));
    assert!(server.stop().success());
    let (eu, new) = (kms.seal(server.folder(), "eu", REGION, &key, ""), key_file(server.folder()));
    configure(&server, &eu, &format!("seal \"recovery\" {{}}\n{new}"));
    server.start_again(503);
    let refused = unseal(&server, &"00".repeat(33)).expect(400).errors();
    assert_eq!(refused, ["this deployment has no recovery key: nothing but its seals opens it"]);
    let refused = stranger.call("PUT", "sys/init", Some(&json!({}))).expect(400).errors();
    assert_eq!(refused.len(), 1);
}
