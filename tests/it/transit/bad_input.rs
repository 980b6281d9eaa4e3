//! What is wrong is refused with 400 and a text that helps, an item at a time; and nothing tells why something does not open.

use serde_json::{Value, json};

use super::{TEXT, stage, write};
use crate::support::client::Client;
use crate::support::on_stores;
use crate::support::server::Server;

on_stores! {
    wrong_requests_are_refused_with_a_text,
    what_does_not_open_looks_the_same,
    items_fail_one_by_one,
    wrong_imports_and_backups_change_nothing,
}

#[track_caller]
fn refused(client: &Client, path: &str, body: &Value) -> String {
    let reply = client.call("POST", &format!("transit/{path}"), Some(body)).expect(400);
    let errors = reply.errors();
    assert!(errors.len() == 1 && !errors[0].is_empty(), "{path} {body}: {errors:?}");
    errors[0].clone()
}

fn keys(client: &Client) {
    for (name, kind) in [("aes", "aes256-gcm96"), ("ec", "ecdsa-p256"), ("ed", "ed25519"), ("rsa", "rsa-2048")] {
        write(client, &format!("keys/{name}"), &json!({"type": kind}));
    }
    write(client, "keys/mac", &json!({"type": "hmac", "key_size": 32}));
    write(client, "keys/derived", &json!({"derived": true, "convergent_encryption": true}));
}

fn wrong_requests_are_refused_with_a_text(server: &mut Server) {
    let root = stage(server);
    keys(&root);
    for (path, body, text) in [
        ("keys/x", json!({"type": "aes-512"}), "unknown key type"),
        ("keys/x", json!({"convergent_encryption": true}), "requires derivation"),
        ("keys/x", json!({"type": "rsa-2048", "derived": true}), "not supported for keys of type"),
        ("keys/x", json!({"type": "hmac"}), "between 32 and 512"),
        ("keys/x", json!({"auto_rotate_period": "1m"}), "at least an hour"),
        ("encrypt/aes", json!({}), "missing plaintext"),
        ("encrypt/aes", json!({"plaintext": "*"}), "illegal base64"),
        ("encrypt/aes", json!({"plaintext": "aGVsbG8"}), "illegal base64"),
        ("encrypt/aes", json!({"plaintext": "YQ==YWI="}), "illegal base64 data at input byte 4"),
        ("encrypt/aes", json!({"plaintext": TEXT, "key_version": 2}), "higher than the latest"),
        ("encrypt/aes", json!({"plaintext": TEXT, "key_version": -1}), "negative"),
        ("encrypt/aes", json!({"plaintext": TEXT, "associated_data": "*"}), "associated_data"),
        ("encrypt/aes", json!({"batch_input": []}), "missing batch input"),
        ("encrypt/aes", json!({"batch_input": "x"}), "list of objects"),
        ("encrypt/aes", json!({"batch_input": [1]}), "list of objects"),
        ("encrypt/derived", json!({"plaintext": TEXT}), "missing 'context'"),
        ("encrypt/ec", json!({"plaintext": TEXT}), "not supported for key type ecdsa-p256"),
        ("encrypt/mac", json!({"plaintext": TEXT}), "not supported for key type hmac"),
        ("encrypt/rsa", json!({"plaintext": TEXT, "associated_data": TEXT}), "non-AEAD"),
        ("encrypt/rsa", json!({"plaintext": "A".repeat(400)}), "too long"),
        ("decrypt/aes", json!({}), "missing ciphertext"),
        ("decrypt/aes", json!({"ciphertext": "x"}), "no prefix"),
        ("decrypt/aes", json!({"ciphertext": "vault:v1"}), "wrong number of fields"),
        ("decrypt/aes", json!({"ciphertext": "vault:vx:AAAA"}), "version number"),
        ("decrypt/aes", json!({"ciphertext": "vault:v-1:AAAA"}), "version number"),
        ("decrypt/aes", json!({"ciphertext": "vault:v2:AAAA"}), "too new"),
        ("decrypt/aes", json!({"ciphertext": "vault:v1:*"}), "could not decode base64"),
        ("decrypt/none", json!({"ciphertext": "vault:v1:AAAA"}), "key not found"),
        ("datakey/plaintext/aes", json!({"bits": 100}), "invalid bit length"),
        ("datakey/open/aes", json!({}), "Invalid path"),
        ("datakey/wrapped/ec", json!({}), "not supported for key type"),
        ("sign/aes", json!({"input": TEXT}), "does not support signing"),
        ("sign/ec", json!({"input": "*"}), "unable to decode input"),
        ("sign/ec", json!({"input": TEXT, "hash_algorithm": "md5"}), "invalid hash algorithm"),
        ("sign/ec", json!({"input": TEXT, "marshaling_algorithm": "x"}), "invalid marshaling type"),
        ("sign/rsa", json!({"input": TEXT, "salt_length": "x"}), "salt length"),
        ("sign/rsa", json!({"input": TEXT, "salt_length": "1000"}), "is invalid"),
        ("sign/rsa", json!({"input": TEXT, "signature_algorithm": "x"}), "unsupported rsa signature algorithm"),
        ("sign/rsa", json!({"input": TEXT, "hash_algorithm": "none"}), "requires both prehashed"),
        ("sign/rsa", json!({"input": TEXT, "prehashed": true}), "must be hashed message"),
        ("sign/rsa", json!({"input": TEXT, "hash_algorithm": "sha1"}), "only verified"),
        ("verify/ec", json!({"input": TEXT}), "neither a 'signature' nor an 'hmac'"),
        ("verify/ec", json!({"input": TEXT, "signature": "x"}), "no prefix"),
        ("verify/ec", json!({"input": TEXT, "signature": "vault:v1:AAAA"}), "supplied signature is invalid"),
        ("verify/ec", json!({"input": TEXT, "signature": "x", "hmac": "x"}), "provide one of"),
        ("hmac/aes", json!({}), "missing input"),
        ("hmac/aes/none", json!({"input": TEXT}), "cannot be none"),
        ("hmac/aes", json!({"input": TEXT, "key_version": 9}), "latest key version is 1"),
        ("keys/aes/config", json!({"min_decryption_version": 2}), "latest key version is 1"),
        ("keys/aes/trim", json!({}), "missing min_available_version"),
        ("keys/none/rotate", json!({}), "key not found"),
        ("cache-config", json!({"size": 5}), "greater or equal to 10"),
    ] {
        let said = refused(&root, path, &body);
        assert!(said.contains(text), "{path} {body}: {said}");
    }
    root.call("POST", "transit/keys/a:b", Some(&json!({}))).expect(404);
    root.call("GET", "transit/encrypt/aes", None).expect(405);
}

/// Truncated, swapped between keys, other context, other associated data, one bit, the wrong kind of key: one text.
fn what_does_not_open_looks_the_same(server: &mut Server) {
    let root = stage(server);
    keys(&root);
    write(&root, "keys/other", &json!({}));
    let sealed = write(&root, "encrypt/aes", &json!({"plaintext": TEXT, "associated_data": TEXT}))["ciphertext"].clone();
    let sealed = sealed.as_str().unwrap();
    let of_other = write(&root, "encrypt/other", &json!({"plaintext": TEXT}))["ciphertext"].clone();
    let of_rsa = write(&root, "encrypt/rsa", &json!({"plaintext": TEXT}))["ciphertext"].clone();
    let body = data_encoding::BASE64.decode(&sealed.as_bytes()[9..]).unwrap();
    let again = |bytes: &[u8]| format!("vault:v1:{}", data_encoding::BASE64.encode(bytes));
    let mut flipped = body.clone();
    flipped[20] ^= 1;
    for ciphertext in [
        json!(sealed),
        of_other,
        of_rsa.clone(),
        json!("vault:v1:"),
        json!(again(&body[..11])),
        json!(again(&body[..30])),
        json!(again(&flipped)),
    ] {
        let said = refused(&root, "decrypt/aes", &json!({"ciphertext": ciphertext}));
        assert_eq!(said, "cipher: message authentication failed", "{ciphertext}");
    }
    let derived = write(&root, "encrypt/derived", &json!({"plaintext": TEXT, "context": "YQ=="}))["ciphertext"].clone();
    let said = refused(&root, "decrypt/derived", &json!({"ciphertext": derived, "context": "Yg=="}));
    assert_eq!(said, "cipher: message authentication failed");
    for ciphertext in [json!("vault:v1:AAAA"), json!(format!("vault:v1:{}", "A".repeat(344))), json!(sealed)] {
        assert_eq!(refused(&root, "decrypt/rsa", &json!({"ciphertext": ciphertext})), "cipher: message authentication failed");
    }
}

fn items_fail_one_by_one(server: &mut Server) {
    let root = stage(server);
    keys(&root);
    let good = write(&root, "encrypt/aes", &json!({"plaintext": TEXT}))["ciphertext"].clone();
    let batch = json!([{"ciphertext": good, "reference": "a"}, {"ciphertext": "x"}, {}, {"ciphertext": "vault:v1:AAAA"}]);
    let reply = root.call("POST", "transit/decrypt/aes", Some(&json!({"batch_input": batch}))).expect(400).json();
    let results = reply["data"]["batch_results"].as_array().unwrap();
    assert_eq!(results[0], json!({"plaintext": TEXT, "reference": "a"}));
    assert!(results[1..].iter().all(|item| item["plaintext"] == "" && item["error"].is_string()), "{results:?}");
    let body = json!({"batch_input": batch, "partial_failure_response_code": 207});
    root.call("POST", "transit/decrypt/aes", Some(&body)).expect(207);
    // Signing, HMAC and rewrapping tell it in the items.
    let inputs = json!([{"input": TEXT}, {"input": "*"}, {}]);
    for path in ["sign/ec", "sign/ed", "sign/rsa", "hmac/mac"] {
        let data = write(&root, path, &json!({"batch_input": inputs}));
        let results = data["batch_results"].as_array().unwrap();
        assert!(results[0]["error"].is_null() && results[1..].iter().all(|item| item["error"].is_string()), "{path} {data}");
    }
    let data = write(&root, "rewrap/aes", &json!({"batch_input": [{"ciphertext": good}, {"ciphertext": "x"}]}));
    assert!(data["batch_results"][0]["ciphertext"].is_string() && data["batch_results"][1]["error"].is_string(), "{data}");
}

fn wrong_imports_and_backups_change_nothing(server: &mut Server) {
    let root = stage(server);
    write(&root, "keys/old", &json!({"exportable": true, "allow_plaintext_backup": true}));
    let backup = super::read(&root, "backup/old")["backup"].as_str().unwrap().to_owned();
    assert!(refused(&root, "restore", &json!({"backup": backup})).contains("already exists"));
    let decoded = String::from_utf8(data_encoding::BASE64.decode(backup.as_bytes()).unwrap()).unwrap();
    let changed = |from: &str, to: &str| {
        assert!(decoded.contains(from), "{from} is not in {decoded}");
        data_encoding::BASE64.encode(decoded.replace(from, to).as_bytes())
    };
    for backup in [
        String::new(),
        "*".to_owned(),
        "e30=".to_owned(),
        "bnVsbA==".to_owned(),
        backup[..backup.len() / 2 / 4 * 4].to_owned(),
        changed("\"type\":0", "\"type\":99"),
        changed("\"type\":0", "\"type\":1"),
        changed("\"latest_version\":1", "\"latest_version\":2"),
        changed("\"latest_version\":1", "\"latest_version\":4294967295"),
        changed("\"min_decryption_version\":1", "\"min_decryption_version\":9"),
    ] {
        refused(&root, "restore/new", &json!({"backup": backup}));
    }
    for body in [
        json!({}),
        json!({"ciphertext": "*"}),
        json!({"ciphertext": "AAAA"}),
        json!({"ciphertext": "A".repeat(2000)}),
        json!({"ciphertext": "AAAA", "hash_function": "md5"}),
        json!({"public_key": "x", "type": "ecdsa-p256"}),
        json!({"public_key": "x"}),
        json!({"ciphertext": "AAAA", "public_key": "x"}),
    ] {
        refused(&root, "keys/new/import", &body);
    }
    root.call("GET", "transit/keys/new", None).expect(404);
    assert!(refused(&root, "keys/old/import_version", &json!({"ciphertext": "A".repeat(2000)})).contains("imported key"));
}
