//! Keys travel between this server and a real OpenBao, both ways; what one encrypts, signs or authenticates, the other
//! decrypts or verifies.

use std::process::Command;

use serde_json::{Value, json};

use super::{TEXT, mount, read, stage, write};
use crate::support::client::Client;
use crate::support::openbao::OpenBao;
use crate::support::server::Server;

const TYPES: [&str; 15] = [
    "aes128-gcm96",
    "aes256-gcm96",
    "chacha20-poly1305",
    "xchacha20-poly1305",
    "ed25519",
    "ecdsa-p256",
    "ecdsa-p384",
    "ecdsa-p521",
    "rsa-2048",
    "rsa-3072",
    "rsa-4096",
    "hmac",
    "mldsa-44",
    "mldsa-65",
    "mldsa-87",
];

fn make(client: &Client, kind: &str) {
    let mut body = json!({"type": kind, "exportable": true, "allow_plaintext_backup": true});
    if kind == "hmac" {
        body["key_size"] = json!(48);
    }
    write(client, &format!("keys/{kind}"), &body);
    write(client, &format!("keys/{kind}/rotate"), &json!({}));
}

fn carry(from: &Client, to: &Client, name: &str) {
    let backup = read(from, &format!("backup/{name}"))["backup"].clone();
    write(to, "restore", &json!({"backup": backup}));
}

/// `one` uses the key and `other` undoes or checks it.
fn understand(one: &Client, other: &Client, name: &str, more: &Value) {
    let shown = read(one, &format!("keys/{name}"));
    let with = |mut body: Value| {
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    for version in [1, 2] {
        if shown["supports_encryption"] == true {
            let made = write(one, &format!("encrypt/{name}"), &with(json!({"plaintext": TEXT, "key_version": version})));
            let opened = write(other, &format!("decrypt/{name}"), &with(json!({"ciphertext": made["ciphertext"]})));
            assert_eq!(opened["plaintext"], TEXT, "{name}");
        }
        if shown["supports_signing"] == true {
            for way in [json!({}), json!({"marshaling_algorithm": "jws"}), json!({"signature_algorithm": "pkcs1v15"})] {
                let mut body = with(json!({"input": TEXT, "key_version": version}));
                body.as_object_mut().unwrap().extend(way.as_object().unwrap().clone());
                for hash in ["sha2-256", "sha2-384", "sha2-512"] {
                    let made = write(one, &format!("sign/{name}/{hash}"), &body);
                    let mut claim = body.clone();
                    claim["signature"] = made["signature"].clone();
                    claim.as_object_mut().unwrap().remove("key_version");
                    let said = write(other, &format!("verify/{name}/{hash}"), &claim);
                    assert_eq!(said["valid"], true, "{name} {hash} {way}");
                    claim["input"] = json!("AAAA");
                    assert_eq!(write(other, &format!("verify/{name}/{hash}"), &claim)["valid"], false, "{name} {hash} {way}");
                }
            }
        }
        // An imported key has a key of HMAC that its server made.
        let same_mac = shown["imported_key"] == false || name == "hmac";
        for hash in ["sha2-224", "sha2-256", "sha2-512", "sha3-256", "sha3-384", "sha3-512"].iter().filter(|_| same_mac) {
            let body = json!({"input": TEXT, "key_version": version});
            let made = write(one, &format!("hmac/{name}/{hash}"), &body);
            let claim = json!({"input": TEXT, "hmac": made["hmac"]});
            assert_eq!(write(other, &format!("verify/{name}/{hash}"), &claim)["valid"], true, "{name} {hash}");
        }
    }
}

#[test]
fn keys_travel_by_backup_both_ways() {
    let (openbao, server) = (OpenBao::dev(), Server::initialised_on_sqlite());
    let (theirs, ours) = (Client::new(&openbao.target), stage(&server));
    mount(&theirs);
    for kind in TYPES {
        // OpenBao 2.7.2 ends the connection when it is to use an ML-DSA key that was restored.
        if !kind.starts_with("mldsa") {
            make(&ours, kind);
            carry(&ours, &theirs, kind);
            for half in ["encryption-key", "signing-key", "public-key", "hmac-key"] {
                let path = format!("transit/export/{half}/{kind}");
                let [a, b] = [&ours, &theirs].map(|client| client.call("GET", &path, None));
                assert_eq!(a.status == 200, b.status == 200, "{path}");
                if a.status == 200 {
                    assert_eq!(a.json()["data"], b.json()["data"], "{path}");
                }
            }
            understand(&ours, &theirs, kind, &json!({}));
            understand(&theirs, &ours, kind, &json!({}));
            write(&theirs, &format!("keys/{kind}/config"), &json!({"deletion_allowed": true}));
            write(&ours, &format!("keys/{kind}/config"), &json!({"deletion_allowed": true}));
            for client in [&ours, &theirs] {
                client.call("DELETE", &format!("transit/keys/{kind}"), None).expect(204);
            }
        }
        make(&theirs, kind);
        carry(&theirs, &ours, kind);
        understand(&theirs, &ours, kind, &json!({}));
        understand(&ours, &theirs, kind, &json!({}));
    }
}

#[test]
fn derived_and_convergent_keys_are_the_same_here_and_there() {
    let (openbao, server) = (OpenBao::dev(), Server::initialised_on_sqlite());
    let (theirs, ours) = (Client::new(&openbao.target), stage(&server));
    mount(&theirs);
    for (kind, convergent) in [
        ("aes128-gcm96", true),
        ("aes256-gcm96", true),
        ("chacha20-poly1305", true),
        ("xchacha20-poly1305", true),
        ("aes256-gcm96", false),
        ("ed25519", false),
    ] {
        let name = format!("{kind}-{convergent}");
        let body = json!({"type": kind, "derived": true, "convergent_encryption": convergent, "exportable": true, "allow_plaintext_backup": true});
        write(&theirs, &format!("keys/{name}"), &body);
        write(&theirs, &format!("keys/{name}/rotate"), &json!({}));
        carry(&theirs, &ours, &name);
        let context = json!({"context": "Y29udGV4dA=="});
        understand(&theirs, &ours, &name, &context);
        understand(&ours, &theirs, &name, &context);
        if convergent {
            let body = json!({"plaintext": TEXT, "context": "Y29udGV4dA=="});
            let [a, b] = [&ours, &theirs].map(|client| write(client, &format!("encrypt/{name}"), &body)["ciphertext"].clone());
            assert_eq!(a, b, "{name}: one text, one ciphertext, wherever");
        }
        if kind == "ed25519" {
            let path = format!("keys/{name}?context=Y29udGV4dA%3D%3D");
            let [a, b] = [&ours, &theirs].map(|client| read(client, &path)["keys"]["2"]["public_key"].clone());
            assert_eq!(a, b);
        }
    }
}

/// `openssl` wraps keys as the documentation of OpenBao says, for both servers.
#[test]
fn wrapped_keys_are_imported() {
    let server = Server::initialised_on_sqlite();
    let openbao = OpenBao::dev();
    let (theirs, ours) = (Client::new(&openbao.target), stage(&server));
    mount(&theirs);
    let folder = tempfile::tempdir().unwrap();
    let run = |line: &str| {
        let done = Command::new("sh").arg("-c").arg(line).current_dir(folder.path()).output().unwrap();
        assert!(done.status.success(), "{line}\n{}", String::from_utf8_lossy(&done.stderr));
        done.stdout
    };
    run("openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -outform DER -out ecdsa-p256.key");
    run("openssl genpkey -algorithm ed25519 -outform DER -out ed25519.key");
    run("openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -outform DER -out rsa-2048.key");
    for kind in ["ecdsa-p256", "ed25519", "rsa-2048"] {
        run(&format!("openssl pkcs8 -topk8 -nocrypt -inform DER -in {kind}.key -outform DER -out it && mv it {kind}.key"));
    }
    run("openssl rand -out aes256-gcm96.key 32");
    run("openssl rand -out hmac.key 64");
    for kind in ["ecdsa-p256", "ed25519", "rsa-2048", "aes256-gcm96", "hmac"] {
        for client in [&ours, &theirs] {
            let public = read(client, "wrapping_key")["public_key"].as_str().unwrap().to_owned();
            assert_eq!(read(client, "wrapping_key")["public_key"], public, "it stays the same");
            std::fs::write(folder.path().join("wrapping.pem"), public).unwrap();
            run("openssl rand -out ephemeral 32");
            run("openssl pkeyutl -encrypt -in ephemeral -out first -inkey wrapping.pem -pubin -pkeyopt rsa_padding_mode:oaep \
                 -pkeyopt rsa_oaep_md:sha256 -pkeyopt rsa_mgf1_md:sha256");
            let key = run("xxd -p -c 64 ephemeral 2>/dev/null || od -An -tx1 -v ephemeral | tr -d ' \\n'");
            let key = String::from_utf8(key).unwrap();
            run(&format!("openssl enc -id-aes256-wrap-pad -K {} -iv A65959A6 -in {kind}.key -out second", key.trim()));
            let wrapped =
                [std::fs::read(folder.path().join("first")).unwrap(), std::fs::read(folder.path().join("second")).unwrap()];
            let mut body = json!({"type": kind, "ciphertext": data_encoding::BASE64.encode(&wrapped.concat()), "exportable": true, "allow_rotation": true});
            write(client, &format!("keys/{kind}/import"), &body);
            let shown = read(client, &format!("keys/{kind}"));
            assert_eq!((&shown["imported_key"], &shown["imported_key_allow_rotation"]), (&json!(true), &json!(true)));
            body["ciphertext"] = json!(data_encoding::BASE64.encode(&wrapped.concat()));
            write(client, &format!("keys/{kind}/import_version"), &body);
            assert_eq!(read(client, &format!("keys/{kind}"))["latest_version"], 2);
        }
        understand(&ours, &theirs, kind, &json!({}));
        understand(&theirs, &ours, kind, &json!({}));
        if kind == "ecdsa-p256" {
            // The public half alone verifies, and takes its private half later.
            let public = read(&ours, "keys/ecdsa-p256")["keys"]["1"]["public_key"].clone();
            write(&ours, "keys/public/import", &json!({"type": kind, "public_key": public}));
            let signed = write(&theirs, "sign/ecdsa-p256", &json!({"input": TEXT, "key_version": 1}))["signature"].clone();
            assert_eq!(write(&ours, "verify/public", &json!({"input": TEXT, "signature": signed}))["valid"], true);
            let said = ours.call("POST", "transit/sign/public", Some(&json!({"input": TEXT}))).expect(400).errors();
            assert!(said[0].contains("private part"), "{said:?}");
        }
    }
}
