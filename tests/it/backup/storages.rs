//! Backups in object storage; and deployments whose seal opens by itself.

use super::stage::{Target, declare, log_key, ok, refused, restored, strongroom};
use crate::support::client::Client;
use crate::support::fixture::{mount, put};
use crate::support::s3::S3;
use crate::support::server::Server;

#[test]
fn a_backup_in_object_storage_is_verified_and_restored_from_there() {
    let mut server = Server::initialised_on_sqlite();
    let folder = tempfile::tempdir().unwrap();
    let storage = S3::start(folder.path(), "kept");
    let stanza = format!("backup \"s3\" {{\n{}  prefix = \"some/where\"\n}}\n", storage.settings());
    let root = crate::support::fixture::ready(&server);
    put(&root, "a", &serde_json::json!({"number": 1}));
    // Parts of 8 MiB, and a last one.
    for number in 0..14 {
        put(&root, &format!("large/{number}"), &serde_json::json!({"value": "v".repeat(700_000)}));
    }
    declare(&mut server, &stanza);
    let key = log_key(&root);
    let name = super::stage::create(&server, &root);
    let name = name.to_str().unwrap().strip_prefix("s3:some/where/").unwrap().to_owned();
    let object = format!("some/where/{name}");
    let target = Target::sqlite_with(&stanza);
    let verify = ["backup", "verify", "--key", &key, "--config", target.config(), "--object", &object];
    let told = ok(&strongroom(&verify, Some(&format!("{}\n", server.keys().join("\n")))));
    assert!(told.contains("it opens: "), "{told}");
    let missing = ["backup", "verify", "--key", &key, "--config", target.config(), "--object", "some/where/else"];
    assert!(refused(&strongroom(&missing, None)).contains("some/where/else"));
    let restore = ["backup", "restore", "--key", &key, "--config", target.config(), "--object", &object];
    ok(&strongroom(&restore, Some(&format!("{}\n", server.keys().join("\n")))));
    target.edit("listener \"tcp\" {", "listener \"tcp\" {\n  disable_unauthed_generate_root_endpoints = false");
    let mut there = target.server();
    there.set_keys(server.keys());
    there.come_back();
    // Root gets in again with the shares.
    let top = Client::new(&there.target()).with_token(&generated_root(&there));
    assert_eq!(top.call("GET", "secret/data/a", None).expect(200).json()["data"]["data"]["number"], 1);
    assert!(!server.output().contains("canary-of-a-credential"));
}

/// A root token, made with key shares.
fn generated_root(server: &Server) -> String {
    let client = Client::new(&server.target());
    let begun = client.call("PUT", "sys/generate-root/attempt", Some(&serde_json::json!({}))).expect(200).json();
    let share = serde_json::json!({"key": server.keys()[0], "nonce": begun["nonce"]});
    let done = client.call("PUT", "sys/generate-root/update", Some(&share)).expect(200).json();
    let hidden = data_encoding::BASE64_NOPAD.decode(done["encoded_root_token"].as_str().unwrap().as_bytes()).unwrap();
    hidden.iter().zip(begun["otp"].as_str().unwrap().bytes()).map(|(byte, otp)| char::from(byte ^ otp)).collect()
}

#[test]
fn a_deployment_with_a_key_file_is_restored_where_the_key_file_is() {
    let keys = tempfile::tempdir().unwrap();
    let seal = |name: &str, byte: u8| {
        use std::os::unix::fs::PermissionsExt as _;
        let path = keys.path().join(name);
        std::fs::write(&path, [byte; 32]).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        format!("seal \"static\" {{\n  key_file = \"{}\"\n}}\n", path.display())
    };
    let right = seal("right.key", 7);
    let stanzas = |folder: &std::path::Path| {
        std::fs::create_dir_all(folder.join("backups")).unwrap();
        format!(
            "storage \"sqlite\" {{\n  path = \"{}\"\n}}\n{right}backup \"file\" {{\n  path = \"{}\"\n}}\n",
            folder.join("store.db").display(),
            folder.join("backups").display()
        )
    };
    let server = Server::configured(stanzas, "", 501);
    let body = serde_json::json!({"recovery_shares": 1, "recovery_threshold": 1});
    let init = Client::new(&server.target()).call("PUT", "sys/init", Some(&body)).expect(200).json();
    let token = init["root_token"].as_str().unwrap();
    let root = Client::new(&server.target()).with_token(token);
    mount(&root, "secret");
    put(&root, "a", &serde_json::json!({"number": 1}));
    let key = log_key(&root);
    let asked = root.call("POST", "sys/backups", None).expect(200).json()["data"]["id"].as_str().unwrap().to_owned();
    let state = || root.call("GET", &format!("sys/backups/{asked}"), None).expect(200).json()["data"].clone();
    let since = std::time::Instant::now();
    while state()["state"] != "done" {
        assert!(since.elapsed() < crate::support::process::PATIENCE, "{}", state());
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let file = std::path::PathBuf::from(state()["name"].as_str().unwrap());
    let wrong = Target::sqlite_with(&seal("wrong.key", 8));
    let said = refused(&wrong.restore(&file, &key, &[], &[]));
    assert!(said.contains("its key does not open"), "{said}");
    // The key file is lost: people with recovery shares open the backup, and the store gets another key.
    let share = [init["recovery_keys"][0].as_str().unwrap().to_owned()];
    let recovering = Target::sqlite_with(&format!(
        "{}seal \"recovery\" {{}}\n",
        seal("new.key", 9).replace("\"static\" {", "\"static\" \"new\" {")
    ));
    ok(&recovering.restore(&file, &key, &share, &[]));
    // The restore makes a token where nobody brings shares.
    let (_there, top) = restored(&Target::sqlite_with(&right), &server, &file, &key);
    assert_eq!(top.call("GET", "secret/data/a", None).expect(200).json()["data"]["data"]["number"], 1);
}
