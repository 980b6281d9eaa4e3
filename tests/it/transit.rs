//! Transit over HTTP: what clients rely on, bad input, and keys that travel between this server and the real OpenBao.

mod bad_input;
mod interoperable;
mod nist;
mod vectors;

use serde_json::{Value, json};

use crate::support::bao::Bao;
use crate::support::client::{Client, Reply};
use crate::support::fixture::{at_once, namespace, policy, token};
use crate::support::on_stores;
use crate::support::server::Server;

on_stores! {
    bao_writes_as_its_users_do,
    encrypting_needs_create_where_the_key_is_not_there,
    tenants_and_mounts_have_keys_of_their_own,
    a_disabled_mount_takes_its_keys_along,
    many_at_once_are_counted_and_none_is_lost,
    a_key_that_is_rotated_while_it_signs_signs_on,
    exports_and_backups_need_their_permission,
    a_committing_key_is_used_like_any_other,
}

pub(crate) const TEXT: &str = "aGVsbG8=";

/// A client with the root token, on a server with Transit at `transit/`.
pub(crate) fn stage(server: &Server) -> Client {
    let root = Client::new(&server.target());
    mount(&root);
    root
}

#[track_caller]
pub(crate) fn mount(client: &Client) {
    client.call("POST", "sys/mounts/transit", Some(&json!({"type": "transit"}))).expect(204);
}

/// Writes, and takes `data` of the answer.
#[track_caller]
pub(crate) fn write(client: &Client, path: &str, body: &Value) -> Value {
    let reply = client.call("POST", &format!("transit/{path}"), Some(body));
    assert!(matches!(reply.status, 200 | 204), "{path}: {} {}", reply.status, String::from_utf8_lossy(&reply.body));
    if reply.body.is_empty() { Value::Null } else { reply.json()["data"].clone() }
}

#[track_caller]
pub(crate) fn read(client: &Client, path: &str) -> Value {
    client.call("GET", &format!("transit/{path}"), None).expect(200).json()["data"].clone()
}

fn bao_writes_as_its_users_do(server: &mut Server) {
    let bao = Bao::new(&server.target());
    bao.ok(&["secrets", "enable", "transit"]);
    bao.ok(&["write", "-f", "transit/keys/orders"]);
    let made = bao.json(1, &["write", "transit/encrypt/orders", &format!("plaintext={TEXT}")]);
    let ciphertext = made["data"]["ciphertext"].as_str().unwrap().to_owned();
    assert!(ciphertext.starts_with("vault:v1:"));
    bao.ok(&["write", "-f", "transit/keys/orders/rotate"]);
    let rewrapped = bao.json(1, &["write", "transit/rewrap/orders", &format!("ciphertext={ciphertext}")]);
    let rewrapped = rewrapped["data"]["ciphertext"].as_str().unwrap().to_owned();
    assert!(rewrapped.starts_with("vault:v2:"));
    for ciphertext in [ciphertext, rewrapped] {
        let opened = bao.json(1, &["write", "transit/decrypt/orders", &format!("ciphertext={ciphertext}")]);
        assert_eq!(opened["data"]["plaintext"], TEXT);
    }
    bao.ok(&["write", "transit/keys/orders/config", "min_decryption_version=2", "deletion_allowed=true"]);
    assert_eq!(bao.json(1, &["list", "transit/keys"]), json!(["orders"]));
    assert_eq!(bao.json(1, &["read", "transit/keys/orders"])["data"]["latest_version"], 2);
    bao.ok(&["write", "-f", "transit/datakey/plaintext/orders"]);
    bao.ok(&["delete", "transit/keys/orders"]);
    bao.refused(&["write", "transit/decrypt/orders", "ciphertext=vault:v1:AAAA"], "encryption key not found");
}

fn encrypting_needs_create_where_the_key_is_not_there(server: &mut Server) {
    let root = stage(server);
    policy(&root, "update", r#"path "transit/*" { capabilities = ["update"] }"#);
    policy(&root, "create", r#"path "transit/encrypt/*" { capabilities = ["create"] }"#);
    let of = |name: &str| root.with_token(&token(&root, &json!({"policies": [name]})).text);
    let body = json!({"plaintext": TEXT});
    of("update").call("POST", "transit/encrypt/new", Some(&body)).expect(403);
    root.call("GET", "transit/keys/new", None).expect(404);
    of("create").call("POST", "transit/encrypt/new", Some(&body)).expect(200);
    of("create").call("POST", "transit/encrypt/new", Some(&body)).expect(403);
    of("update").call("POST", "transit/encrypt/new", Some(&body)).expect(200);
    write(&root, "config/keys", &json!({"disable_upsert": true}));
    let said = of("create").call("POST", "transit/encrypt/other", Some(&body)).expect(400).errors();
    assert_eq!(said, ["encryption key not found"]);
}

fn tenants_and_mounts_have_keys_of_their_own(server: &mut Server) {
    let root = stage(server);
    let team = namespace(&root, "team");
    mount(&team);
    root.call("POST", "sys/mounts/second", Some(&json!({"type": "transit"}))).expect(204);
    for client in [&root, &team] {
        write(client, "keys/k", &json!({}));
    }
    root.call("POST", "second/keys/k", Some(&json!({}))).expect(200);
    let sealed = write(&root, "encrypt/k", &json!({"plaintext": TEXT}));
    let body = json!({"ciphertext": sealed["ciphertext"]});
    let refused = |reply: Reply| assert_eq!(reply.expect(400).errors(), ["cipher: message authentication failed"]);
    refused(team.call("POST", "transit/decrypt/k", Some(&body)));
    refused(root.call("POST", "second/decrypt/k", Some(&body)));
    write(&root, "keys/other", &json!({}));
    refused(root.call("POST", "transit/decrypt/other", Some(&body)));
    assert_eq!(write(&root, "decrypt/k", &body)["plaintext"], TEXT);
}

fn a_disabled_mount_takes_its_keys_along(server: &mut Server) {
    let root = stage(server);
    let sealed = write(&root, "encrypt/k", &json!({"plaintext": TEXT}));
    root.call("DELETE", "sys/mounts/transit", None).expect(204);
    mount(&root);
    root.call("LIST", "transit/keys", None).expect(404);
    write(&root, "keys/k", &json!({}));
    let reply = root.call("POST", "transit/decrypt/k", Some(&json!({"ciphertext": sealed["ciphertext"]})));
    assert_eq!(reply.expect(400).errors(), ["cipher: message authentication failed"]);
}

fn many_at_once_are_counted_and_none_is_lost(server: &mut Server) {
    let root = stage(server);
    write(&root, "keys/k", &json!({}));
    let clients = vec![root.clone(); 16];
    let body = json!({"batch_input": vec![json!({"plaintext": TEXT}); 50]}).to_string();
    let replies = at_once(&clients, |_, session| session.send("POST", "/v1/transit/encrypt/k", &[], body.as_bytes()));
    let mut nonces = std::collections::BTreeSet::new();
    for reply in replies {
        let results = reply.expect(200).json()["data"]["batch_results"].clone();
        for item in results.as_array().unwrap() {
            nonces.insert(item["ciphertext"].as_str().unwrap()[..25].to_owned());
        }
    }
    assert_eq!(nonces.len(), 800, "nonces differ");
    let reserved = read(&root, "keys/k")["encryptions_reserved"]["1"].as_u64().unwrap();
    assert!(reserved >= 800, "{reserved} are written down");
}

fn a_key_that_is_rotated_while_it_signs_signs_on(server: &mut Server) {
    let root = stage(server);
    write(&root, "keys/k", &json!({"type": "ecdsa-p256"}));
    let clients = vec![root.clone(); 12];
    let replies = at_once(&clients, |at, session| {
        let path = if at % 4 == 0 { "/v1/transit/keys/k/rotate" } else { "/v1/transit/sign/k" };
        session.send("POST", path, &[], json!({"input": TEXT}).to_string().as_bytes())
    });
    let signed = replies.iter().filter_map(|reply| reply.json()["data"]["signature"].as_str().map(str::to_owned));
    let signed: Vec<String> = signed.collect();
    assert_eq!(signed.len(), 9);
    for signature in signed {
        let valid = write(&root, "verify/k", &json!({"input": TEXT, "signature": signature}));
        assert_eq!(valid["valid"], true, "{signature}");
    }
    assert_eq!(read(&root, "keys/k")["latest_version"], 4);
}

fn exports_and_backups_need_their_permission(server: &mut Server) {
    let root = stage(server);
    write(&root, "keys/k", &json!({}));
    let refused = |path: &str, text: &str| {
        let said = root.call("GET", &format!("transit/{path}"), None).expect(400).errors();
        assert!(said[0].contains(text), "{path}: {said:?}");
    };
    refused("export/encryption-key/k", "not exportable");
    refused("export/hmac-key/k", "not exportable");
    refused("backup/k", "exporting is disallowed");
    write(&root, "keys/k/config", &json!({"exportable": true}));
    refused("backup/k", "plaintext backup is disallowed");
    refused("export/signing-key/k", "signing not supported");
    assert!(read(&root, "export/encryption-key/k")["keys"]["1"].is_string());
    // What was allowed once stays allowed: whoever had the key may have it still.
    write(&root, "keys/k/config", &json!({"exportable": false, "allow_plaintext_backup": true}));
    assert!(read(&root, "backup/k")["backup"].is_string());
    let key = read(&root, "export/encryption-key/k")["keys"]["1"].as_str().unwrap().to_owned();
    let shown = root.call("GET", "transit/keys/k", None).expect(200);
    assert!(!String::from_utf8_lossy(&shown.body).contains(&key));
}

fn a_committing_key_is_used_like_any_other(server: &mut Server) {
    let root = stage(server);
    let kind = "aes256-gcm-committing";
    let body = json!({"type": kind, "exportable": true, "allow_plaintext_backup": true});
    write(&root, "keys/k", &body);
    write(&root, "keys/derived", &json!({"type": kind, "derived": true, "convergent_encryption": true}));
    let seal = |body: &Value| write(&root, "encrypt/k", body)["ciphertext"].as_str().unwrap().to_owned();
    let first = seal(&json!({"plaintext": TEXT, "associated_data": TEXT}));
    let inside = data_encoding::BASE64.decode(first.strip_prefix("vault:v1:").unwrap().as_bytes()).unwrap();
    assert_eq!((inside.first(), inside.len()), (Some(&1), 5 + 28 + 45), "the format comes first");
    write(&root, "keys/k/rotate", &json!({}));
    let open = |ciphertext: &str, associated: Option<&str>| {
        root.call("POST", "transit/decrypt/k", Some(&json!({"ciphertext": ciphertext, "associated_data": associated})))
    };
    assert_eq!(open(&first, Some(TEXT)).expect(200).json()["data"]["plaintext"], TEXT);
    assert_eq!(open(&first, None).expect(400).errors(), ["cipher: message authentication failed"]);
    let rewrapped = write(&root, "rewrap/k", &json!({"ciphertext": first, "associated_data": TEXT}));
    let rewrapped = rewrapped["ciphertext"].as_str().unwrap();
    assert!(rewrapped.starts_with("vault:v2:"));
    open(&rewrapped.replace("v2", "v1"), Some(TEXT)).expect(400);
    assert!(read(&root, "keys/k").get("encryptions_reserved").is_none_or(|uses| *uses == json!({})), "nothing is counted");

    let context = json!({"plaintext": TEXT, "context": TEXT});
    let twice = [0, 1].map(|_| write(&root, "encrypt/derived", &context)["ciphertext"].clone());
    assert_eq!(twice[0], twice[1], "convergent");
    let opened = write(&root, "decrypt/derived", &json!({"ciphertext": twice[0], "context": TEXT}));
    assert_eq!(opened["plaintext"], TEXT);

    // A stock key of the same bytes does not open it, nor the other way round; a backup does.
    let backup = read(&root, "backup/k")["backup"].clone();
    write(&root, "restore/copy", &json!({"backup": backup}));
    let opened = write(&root, "decrypt/copy", &json!({"ciphertext": first, "associated_data": TEXT}));
    assert_eq!(opened["plaintext"], TEXT);
    let stock = data_encoding::BASE64.decode(backup.as_str().unwrap().as_bytes()).unwrap();
    let stock = String::from_utf8(stock).unwrap().replace("\"type\":1000", "\"type\":0");
    write(&root, "restore/stock", &json!({"backup": data_encoding::BASE64.encode(stock.as_bytes())}));
    assert_eq!(read(&root, "keys/stock")["type"], "aes256-gcm96");
    let body = json!({"ciphertext": first, "associated_data": TEXT});
    root.call("POST", "transit/decrypt/stock", Some(&body)).expect(400);
    let of_stock = write(&root, "encrypt/stock", &json!({"plaintext": TEXT, "associated_data": TEXT}))["ciphertext"].clone();
    open(of_stock.as_str().unwrap(), Some(TEXT)).expect(400);
}
