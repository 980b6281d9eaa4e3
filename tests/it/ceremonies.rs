//! What people do together with their key shares: changing the root key, and making a root token.

mod interrupted;

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::client::{Client, Reply};
use crate::support::fixture::{mount, namespace, policy, put, ready, token};
use crate::support::on_stores;
use crate::support::server::Server;

on_stores! {
    a_root_token_is_made_with_shares,
    old_shares_open_until_new_ones_have_taken_over,
    nothing_changes_before_new_shares_are_verified,
    a_ceremony_is_for_the_root_and_for_sudo,
    a_new_wrapping_key_seals_what_is_written_from_now_on,
}

/// How long a change of the root key may take in the background, the time for other servers included.
const PATIENCE: Duration = Duration::from_mins(1);

fn read(client: &Client, name: &str) -> Value {
    client.call("GET", &format!("secret/data/{name}"), None).expect(200).json()["data"]["data"].clone()
}

#[track_caller]
fn refused(reply: Reply, text: &str) {
    let errors = reply.expect(400).errors();
    assert!(errors[0].contains(text), "{errors:?}");
}

fn strings(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

/// Begins a ceremony, and returns its nonce.
fn begin(client: &Client, path: &str, body: &Value) -> String {
    client.call("PUT", path, Some(body)).expect(200).json()["data"]["nonce"].as_str().unwrap().to_owned()
}

/// Changes the root key with `old` shares. Returns the new ones.
fn change_root(client: &Client, old: &[String], shares: u8, threshold: u8) -> Vec<String> {
    let nonce = begin(client, "sys/rotate/root/init", &json!({"secret_shares": shares, "secret_threshold": threshold}));
    let mut last = Value::Null;
    for key in old {
        last = client.call("PUT", "sys/rotate/root/update", Some(&json!({"key": key, "nonce": nonce}))).expect(200).json();
    }
    assert_eq!(last["data"]["complete"], true, "{last}");
    strings(&last["data"]["keys"])
}

#[track_caller]
fn wait_for(server: &Server, sign: &str) {
    let begun = Instant::now();
    while !server.output().contains(sign) {
        assert!(begun.elapsed() < PATIENCE, "no sign of {sign:?}\n{}", server.output());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Asks again while the server says that it is not the time.
fn persist(ask: impl Fn() -> Reply) -> Reply {
    let begun = Instant::now();
    loop {
        let reply = ask();
        if reply.status != 503 || begun.elapsed() > PATIENCE {
            return reply;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn xored(encoded: &Value, otp: &Value) -> String {
    let hidden = data_encoding::BASE64_NOPAD.decode(encoded.as_str().unwrap().as_bytes()).unwrap();
    let bytes = hidden.iter().zip(otp.as_str().unwrap().bytes()).map(|(hidden, otp)| hidden ^ otp).collect();
    String::from_utf8(bytes).unwrap()
}

fn a_root_token_is_made_with_shares(server: &mut Server) {
    let root = ready(server);
    let (attempt, update) = ("sys/generate-root-token/attempt", "sys/generate-root-token/update");
    let status = root.call("GET", attempt, None).expect(200).json()["data"].clone();
    assert_eq!((&status["started"], &status["required"], &status["otp_length"]), (&json!(false), &json!(1), &json!(26)));
    let key = server.keys()[0].clone();
    refused(root.call("PUT", update, Some(&json!({"key": key, "nonce": "x"}))), "no root generation in progress");
    refused(root.call("PUT", attempt, Some(&json!({"otp": "short"}))), "OTP string has incorrect length");
    refused(root.call("PUT", attempt, Some(&json!({"pgp_key": "a key"}))), "unsupported: pgp_key");

    let begun = root.call("PUT", attempt, Some(&json!({}))).expect(200).json()["data"].clone();
    let (nonce, otp) = (begun["nonce"].clone(), begun["otp"].clone());
    assert_eq!(otp.as_str().unwrap().len(), 26);
    // The password is told once.
    assert_eq!(root.call("GET", attempt, None).expect(200).json()["data"]["otp"], "");
    refused(root.call("PUT", attempt, Some(&json!({}))), "root generation already in progress");
    refused(root.call("PUT", update, Some(&json!({"key": key}))), "missing required field 'nonce'");
    refused(root.call("PUT", update, Some(&json!({"nonce": nonce}))), "missing required field 'key'");
    refused(root.call("PUT", update, Some(&json!({"key": key, "nonce": "x"}))), "incorrect nonce supplied");
    refused(
        root.call("PUT", update, Some(&json!({"key": "ab".repeat(33), "nonce": nonce}))),
        "does not belong to this deployment",
    );
    refused(root.call("PUT", update, Some(&json!({"key": "no share", "nonce": nonce}))), "valid hex or base64");
    root.call("DELETE", attempt, None).expect(204);
    refused(root.call("PUT", update, Some(&json!({"key": key, "nonce": nonce}))), "no root generation in progress");

    let own = "x".repeat(26);
    for otp in [None, Some(own.as_str())] {
        let begun =
            root.call("PUT", attempt, Some(&otp.map_or(json!({}), |otp| json!({"otp": otp})))).expect(200).json()["data"].clone();
        let body = json!({"key": key, "nonce": begun["nonce"]});
        let done = root.call("PUT", update, Some(&body)).expect(200).json()["data"].clone();
        assert_eq!((&done["complete"], &done["otp"]), (&json!(true), &json!("")));
        let made = xored(&done["encoded_token"], &begun["otp"]);
        let lookup = root.with_token(&made).call("GET", "auth/token/lookup-self", None).expect(200).json();
        assert_eq!(lookup["data"]["policies"], json!(["root"]));
        assert!(!server.output().contains(&made) && !server.output().contains(&key), "a secret is in the log");
    }
    assert_eq!(root.call("GET", attempt, None).expect(200).json()["data"]["started"], false);
}

fn old_shares_open_until_new_ones_have_taken_over(server: &mut Server) {
    let root = ready(server);
    let team = namespace(&root, "team");
    mount(&team, "secret");
    put(&root, "a", &json!({"k": "root"}));
    put(&team, "a", &json!({"k": "team"}));
    let first = server.keys().to_vec();
    let (init, update) = ("sys/rotate/root/init", "sys/rotate/root/update");
    let status = root.call("GET", init, None).expect(200).json()["data"].clone();
    assert_eq!((&status["started"], &status["required"], &status["n"]), (&json!(false), &json!(1), &json!(0)));
    refused(root.call("PUT", update, Some(&json!({"key": first[0], "nonce": "x"}))), "no rotation in progress");
    for (shares, threshold) in [(0, 0), (2, 3), (3, 1), (256, 2), (-1, 1), (3, -1)] {
        let body = json!({"secret_shares": shares, "secret_threshold": threshold});
        refused(root.call("PUT", init, Some(&body)), "invalid shares");
    }
    let pgp = json!({"secret_shares": 1, "secret_threshold": 1, "pgp_keys": ["a key"]});
    refused(root.call("PUT", init, Some(&pgp)), "unsupported: pgp_keys");
    let nonce = begin(&root, init, &json!({"secret_shares": 3, "secret_threshold": 2}));
    refused(root.call("PUT", init, Some(&json!({"secret_shares": 3, "secret_threshold": 2}))), "already in progress");
    refused(root.call("PUT", update, Some(&json!({"key": first[0], "nonce": "x"}))), "incorrect nonce supplied");
    refused(root.call("PUT", update, Some(&json!({"key": "cd".repeat(33), "nonce": nonce}))), "does not belong");
    root.call("DELETE", init, None).expect(204);
    assert_eq!(root.call("GET", init, None).expect(200).json()["data"]["started"], false);

    let second = change_root(&root, &first, 3, 2);
    assert_eq!(second.len(), 3);
    // Tenants that are made meanwhile are of both worlds.
    let late = namespace(&root, "late");
    mount(&late, "secret");
    put(&late, "a", &json!({"k": "late"}));
    wait_for(server, "nothing is wrapped by the old root key any more");
    assert_eq!(server.tables().number("SELECT count(*) FROM tenant_key WHERE seal = 'shamir'"), 0);
    server.kill();
    server.start_again(503);
    refused(root.call("PUT", "sys/unseal", Some(&json!({"key": first[0]}))), "does not belong to this deployment");
    server.set_keys(&second[1..]);
    server.unseal();
    for (client, text) in [(&root, "root"), (&team, "team"), (&late, "late")] {
        assert_eq!(read(client, "a"), json!({"k": text}));
    }

    let third = change_root(&root, &second[..2], 1, 1);
    server.set_keys(&third);
    let swept = |server: &Server| server.output().matches("nothing is wrapped by the old root key any more").count();
    let begun = Instant::now();
    while swept(server) < 2 {
        assert!(begun.elapsed() < PATIENCE, "{}", server.output());
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(server.stop().success());
    server.come_back();
    assert_eq!(read(&late, "a"), json!({"k": "late"}));
    namespace(&root, "after");
    let output = server.output();
    let secrets = first.iter().chain(&second).chain(&third);
    assert!(!secrets.clone().any(|share| output.contains(share.as_str())), "a share is in the log");
}

fn nothing_changes_before_new_shares_are_verified(server: &mut Server) {
    let root = ready(server);
    put(&root, "a", &json!({"k": "v"}));
    let first = server.keys()[0].clone();
    let (init, update, verify) = ("sys/rotate/root/init", "sys/rotate/root/update", "sys/rotate/root/verify");
    refused(root.call("GET", verify, None), "no rotation configuration found");
    let ask = json!({"secret_shares": 3, "secret_threshold": 2, "require_verification": true});
    let give = |nonce: &str| {
        let done = root.call("PUT", update, Some(&json!({"key": first, "nonce": nonce}))).expect(200).json()["data"].clone();
        assert_eq!((&done["complete"], &done["verification_required"]), (&json!(true), &json!(true)));
        (strings(&done["keys"]), done["verification_nonce"].as_str().unwrap().to_owned())
    };
    // The shares got lost, and the server was stopped: everything is as before.
    let (lost, nonce) = give(&begin(&root, init, &ask));
    assert_eq!(root.call("GET", verify, None).expect(200).json()["data"]["nonce"], nonce);
    assert!(server.stop().success());
    server.start_again(503);
    refused(root.call("PUT", "sys/unseal", Some(&json!({"key": lost[0]}))), "does not belong to this deployment");
    server.unseal();
    refused(root.call("GET", verify, None), "no rotation configuration found");

    let (second, nonce) = give(&begin(&root, init, &ask));
    let bring = |key: &str, nonce: &str| root.call("PUT", verify, Some(&json!({"key": key, "nonce": nonce})));
    refused(bring(&second[0], "x"), "incorrect nonce supplied");
    refused(bring(&first, &nonce), "does not belong");
    assert_eq!(bring(&second[0], &nonce).expect(200).json()["data"]["progress"], 1);
    let again = root.call("DELETE", verify, None).expect(200).json()["data"].clone();
    assert_eq!(again["progress"], 0);
    let nonce = again["nonce"].as_str().unwrap().to_owned();
    assert_eq!(bring(&second[2], &nonce).expect(200).json()["data"]["progress"], 1);
    assert_eq!(bring(&second[0], &nonce).expect(200).json()["data"]["complete"], true);
    wait_for(server, "nothing is wrapped by the old root key any more");
    server.set_keys(&second[..2]);
    assert!(server.stop().success());
    server.come_back();
    assert_eq!(read(&root, "a"), json!({"k": "v"}));
}

fn a_ceremony_is_for_the_root_and_for_sudo(server: &mut Server) {
    let root = ready(server);
    let team = namespace(&root, "team");
    policy(&root, "no-sudo", "path \"sys/*\" { capabilities = [\"read\", \"create\", \"update\", \"delete\"] }");
    let plain = root.with_token(&token(&root, &json!({"policies": ["no-sudo"]})).text);
    for path in ["sys/rotate/root/init", "sys/generate-root-token/attempt", "sys/rotate/root/verify"] {
        plain.call("GET", path, None).expect(403);
        root.without_token().call("GET", path, None).expect(403);
        team.call("GET", path, None).expect(404);
    }
    plain.call("PUT", "sys/rotate/keyring", None).expect(403);
    // Its answer is made after the commit, too late to be put away.
    let wrapped = root.send("GET", "/v1/sys/generate-root-token/attempt", &[("X-Vault-Wrap-TTL", "60")], b"");
    refused(wrapped, "cannot be wrapped");
    // The older forms need no token, so they are not offered unless the listener says so.
    for path in
        ["sys/rekey/init", "sys/rekey/update", "sys/rekey/verify", "sys/generate-root/attempt", "sys/generate-root/update"]
    {
        for client in [&root, &root.without_token()] {
            for method in ["GET", "PUT", "DELETE"] {
                assert_eq!(client.call(method, path, None).expect(405).errors(), ["unsupported operation"]);
            }
        }
    }
    refused(root.call("GET", "sys/rekey/backup", None), "no backed-up keys found");
    root.call("DELETE", "sys/rotate/root/backup", None).expect(204);
}

fn a_new_wrapping_key_seals_what_is_written_from_now_on(server: &mut Server) {
    let root = ready(server);
    let team = namespace(&root, "team");
    mount(&team, "secret");
    let newest =
        |client: &Client| client.call("GET", "sys/key-status", None).expect(200).json()["data"]["term"].as_u64().unwrap();
    for client in [&root, &team] {
        put(client, "before", &json!({"k": "before"}));
    }
    assert_eq!((newest(&root), newest(&team)), (1, 1));
    root.call("PUT", "sys/rotate/keyring", None).expect(204);
    root.call("POST", "sys/rotate", None).expect(204);
    team.call("PUT", "sys/rotate/keyring", None).expect(204);
    assert_eq!((newest(&root), newest(&team)), (3, 2));
    for client in [&root, &team] {
        put(client, "after", &json!({"k": "after"}));
    }
    // Many at once, with values written in between: none of them is lost.
    std::thread::scope(|scope| {
        for writer in 0..8 {
            let team = &team;
            scope.spawn(move || {
                for round in 0..5 {
                    persist(|| team.call("PUT", "sys/rotate/keyring", None)).expect(204);
                    let path = format!("secret/data/storm/{writer}-{round}");
                    persist(|| team.call("POST", &path, Some(&json!({"data": {"k": round}})))).expect(200);
                }
            });
        }
    });
    assert_eq!(newest(&team), 42);
    for restart in [false, true] {
        if restart {
            server.kill();
            server.come_back();
        }
        for client in [&root, &team] {
            assert_eq!((read(client, "before"), read(client, "after")), (json!({"k": "before"}), json!({"k": "after"})));
        }
        for writer in 0..8 {
            for round in 0..5 {
                assert_eq!(read(&team, &format!("storm/{writer}-{round}")), json!({"k": round}));
            }
        }
    }
}

#[test]
fn a_key_file_has_recovery_shares_for_a_root_token_and_none_to_change() {
    let key = |folder: &std::path::Path| {
        let file = folder.join("root.key");
        std::fs::write(&file, [7; 32]).unwrap();
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let store = folder.join("store.db");
        format!(
            "storage \"sqlite\" {{\n  path = \"{}\"\n}}\nseal \"static\" {{\n  key_file = \"{}\"\n}}",
            store.display(),
            file.display()
        )
    };
    let server = Server::uninitialised(key);
    let stranger = Client::new(&server.target());
    let ask = json!({"recovery_shares": 3, "recovery_threshold": 2});
    let init = stranger.call("PUT", "sys/init", Some(&ask)).expect(200).json();
    assert_eq!(init["keys"], json!([]));
    let shares = strings(&init["recovery_keys_base64"]);
    let root = stranger.with_token(init["root_token"].as_str().unwrap());
    refused(root.call("PUT", "sys/rotate/root/init", Some(&json!({"secret_shares": 1, "secret_threshold": 1}))), "has no shares");
    let begun = root.call("PUT", "sys/generate-root-token/attempt", Some(&json!({}))).expect(200).json()["data"].clone();
    let give = |share: &str| {
        let body = json!({"key": share, "nonce": begun["nonce"]});
        root.call("PUT", "sys/generate-root-token/update", Some(&body)).expect(200).json()["data"].clone()
    };
    assert_eq!(give(&shares[0])["progress"], 1);
    assert_eq!(give(&shares[0])["progress"], 1);
    let made = xored(&give(&shares[2])["encoded_token"], &begun["otp"]);
    root.with_token(&made).call("GET", "sys/mounts", None).expect(200);
    // Recovery shares open nothing.
    let unsealed = root.call("PUT", "sys/seal", None).expect(204);
    drop(unsealed);
    refused(stranger.call("PUT", "sys/unseal", Some(&json!({"key": shares[0]}))), "no shares");

    let server = Server::uninitialised(key);
    let stranger = Client::new(&server.target());
    let init = stranger.call("PUT", "sys/init", Some(&json!({}))).expect(200).json();
    let root = stranger.with_token(init["root_token"].as_str().unwrap());
    refused(root.call("PUT", "sys/generate-root-token/attempt", Some(&json!({}))), "no shares");
}

/// The listener says that it wants the older forms: without a token, and without the envelope.
#[test]
fn older_forms_are_offered_where_the_listener_says_so() {
    let server = Server::uninitialised_with_listener(
        "  disable_unauthed_rekey_endpoints = false\n  disable_unauthed_generate_root_endpoints = false\n",
    )
    .initialise();
    let root = ready(&server);
    let stranger = root.without_token();
    let key = &server.keys()[0];
    assert_eq!(stranger.call("GET", "sys/rekey/init", None).expect(200).json()["started"], false);
    let begun =
        stranger.call("PUT", "sys/rekey/init", Some(&json!({"secret_shares": 1, "secret_threshold": 1}))).expect(200).json();
    stranger.call("DELETE", "sys/rekey/init", None).expect(204);
    refused(
        stranger.call("PUT", "sys/rekey/update", Some(&json!({"key": key, "nonce": begun["nonce"]}))),
        "no rotation in progress",
    );
    let begun = stranger.call("PUT", "sys/generate-root/attempt", Some(&json!({}))).expect(200).json();
    let body = json!({"key": key, "nonce": begun["nonce"]});
    let done = stranger.call("PUT", "sys/generate-root/update", Some(&body)).expect(200).json();
    assert_eq!(done["encoded_root_token"], done["encoded_token"]);
    root.with_token(&xored(&done["encoded_token"], &begun["otp"])).call("GET", "sys/mounts", None).expect(200);
    stranger.call("PATCH", "sys/rekey/init", None).expect(405);
    root.call("PUT", "sys/seal", None).expect(204);
    assert_eq!(stranger.call("GET", "sys/rekey/init", None).expect(503).errors(), ["Vault is sealed"]);
}
