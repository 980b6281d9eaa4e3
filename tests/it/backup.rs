//! Backups: taken from a deployment that is written to, verified, and brought back into an empty store of either kind, where nothing
//! that was revoked or erased since lives again.

mod erased;
mod killed;
mod refused;
mod renewed;
mod stage;
mod storages;

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::support::fixture::{mount, namespace, policy, put, ready, token};
use crate::support::on_stores;
use crate::support::process::PATIENCE;
use crate::support::server::Server;
use stage::{Target, backed_up, create, log_key, ok, restored, strongroom};

on_stores! {
    a_deployment_that_is_written_to_is_restored_into_either_store,
}

fn a_deployment_that_is_written_to_is_restored_into_either_store(server: &mut Server) {
    let root = ready(server);
    backed_up(server, "");
    let team = namespace(&root, "team");
    mount(&team, "secret");
    let below = namespace(&team, "below");
    let below = below.in_namespace("team/below");
    mount(&below, "secret");
    for number in 0..200 {
        put(&team, &format!("db/{number}"), &json!({"number": number}));
    }
    policy(&team, "reads", "path \"secret/*\" { capabilities = [\"read\", \"list\"] }");
    team.call("POST", "sys/auth/userpass", Some(&json!({"type": "userpass"}))).expect(204);
    team.call("POST", "auth/userpass/users/eve", Some(&json!({"password": "right", "policies": "reads"}))).expect(204);
    team.call("POST", "sys/auth/approle", Some(&json!({"type": "approle"}))).expect(204);
    team.call("POST", "auth/approle/role/app", Some(&json!({"token_policies": "reads"}))).expect(204);
    let role_id = team.call("GET", "auth/approle/role/app/role-id", None).expect(200).json()["data"]["role_id"].clone();
    let issued = team.call("POST", "auth/approle/role/app/secret-id", None).expect(200).json()["data"]["secret_id"].clone();
    let app_login = json!({"role_id": role_id, "secret_id": issued});
    let kept = token(&team, &json!({"policies": ["reads"]}));
    let wrapped = team.with_header("X-Vault-Wrap-TTL", "1h").call("GET", "secret/data/db/1", None).expect(200).json();
    let wrapped = wrapped["wrap_info"]["token"].as_str().unwrap().to_owned();
    let key = log_key(&root);

    // Written to while the backup is taken: each value is there as it was, or as it was written last.
    let stop = AtomicBool::new(false);
    let file = std::thread::scope(|scope| {
        for which in [&team, &below] {
            let mut session = which.session().unwrap();
            let stop = &stop;
            scope.spawn(move || {
                let mut number = 0;
                while !stop.load(Ordering::Relaxed) {
                    number += 1;
                    let body = serde_json::to_vec(&json!({"data": {"number": number}})).unwrap();
                    let path = format!("/v1/secret/data/hot/{}", number % 7);
                    assert_eq!(session.send("POST", &path, &[], &body).unwrap().status, 200);
                }
            });
        }
        let file = create(server, &root);
        stop.store(true, Ordering::Relaxed);
        file
    });
    // After the backup: revoked, used.
    team.call("POST", "auth/token/revoke", Some(&json!({"token": kept.text}))).expect(204);
    team.with_token(&wrapped).call("POST", "sys/wrapping/unwrap", None).expect(200);
    put(&team, "later", &json!({"k": "v"}));
    let told = ok(&strongroom(&["backup", "verify", "--key", &key, file.to_str().unwrap()], None));
    assert!(told.contains("whole, and as it was signed"), "{told}");

    for target in [Target::sqlite(), Target::postgresql()] {
        let (there, top) = restored(&target, server, &file, &key);
        let team = top.in_namespace("team");
        // Who had a token has none.
        for text in [server.target().token.as_str(), kept.text.as_str()] {
            top.with_token(text).call("GET", "sys/mounts", None).expect(403);
            team.with_token(text).call("GET", "secret/data/db/1", None).expect(403);
        }
        team.with_token(&wrapped).call("POST", "sys/wrapping/unwrap", None).expect(400);
        // Everything is there, as of the backup.
        for number in [0, 1, 199] {
            let read = team.call("GET", &format!("secret/data/db/{number}"), None).expect(200).json();
            assert_eq!(read["data"]["data"]["number"], json!(number));
        }
        team.call("GET", "secret/data/later", None).expect(404);
        top.in_namespace("team/below").call("GET", "secret/data/hot/1", None).expect(200);
        // What was granted waits, and works once it is confirmed; what can be used once does not.
        let user = json!({"password": "right"});
        let waits = team.without_token().call("POST", "auth/userpass/login/eve", Some(&user)).expect(503).errors();
        assert!(waits[0].contains("sys/restore/confirm"), "{waits:?}");
        let shown = team.call("GET", "sys/restore", None).expect(200).json()["data"].clone();
        assert_eq!((&shown["restored"], &shown["confirmed"]), (&json!(true), &json!(false)));
        ok(&there.client(&["backup", "confirm", "--all"]));
        team.call("POST", "sys/restore/confirm", None).expect(400);
        let login = team.without_token().call("POST", "auth/userpass/login/eve", Some(&user)).expect(200).json();
        let eve = team.with_token(login["auth"]["client_token"].as_str().unwrap());
        eve.call("GET", "secret/data/db/1", None).expect(200);
        team.without_token().call("POST", "auth/approle/login", Some(&app_login)).expect(400);
        let fresh = team.call("POST", "auth/approle/role/app/secret-id", None).expect(200).json()["data"]["secret_id"].clone();
        let fresh = json!({"role_id": role_id, "secret_id": fresh});
        team.without_token().call("POST", "auth/approle/login", Some(&fresh)).expect(200);
        logs_go_on(&there, &team);
    }
}

/// A new epoch has begun, with an event that names the last checkpoint; log and records are as they say of each other.
fn logs_go_on(there: &stage::Restored, team: &crate::support::client::Client) {
    let key = team.call("GET", "sys/audit-log/key", None).expect(200).json()["data"]["key"].as_str().unwrap().to_owned();
    let epoch: u64 = key.split('+').next().unwrap().rsplit('/').next().unwrap().parse().unwrap();
    assert!(epoch > 1_000_000_000, "{key}");
    let found = team.call("GET", "sys/audit-log?operation=begin-epoch&limit=10", None).expect(200).json();
    let events: &Vec<Value> = found["data"]["events"].as_array().unwrap();
    let text = serde_json::to_string(events).unwrap();
    assert!(events.len() == 1 && text.contains("restored from backup"), "{text}");
    let state = there.client(&["audit", "verify", "--state", "--namespace", "team"]);
    assert_eq!(state.code, 0, "{}{}", state.stdout, state.stderr);
    let since = std::time::Instant::now();
    while team.call("GET", "sys/audit-log/checkpoint", None).status != 200 {
        assert!(since.elapsed() < PATIENCE, "nothing is signed");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let copy = there.folder().join("copy");
    let exported = there.client(&["audit", "export", "--namespace", "team", copy.to_str().unwrap()]);
    assert_eq!(exported.code, 0, "{}{}", exported.stdout, exported.stderr);
    let verified = strongroom(&["audit", "verify", copy.to_str().unwrap(), "--key", &key], None);
    assert_eq!(verified.code, 0, "{}{}", verified.stdout, verified.stderr);
}
