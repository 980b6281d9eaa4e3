//! NIST's vectors (CAVP) and those of RFC 4231 through the API, accepted and refused ones. `tests/testdata/nist` says where
//! they are from.

use std::collections::BTreeMap;
use std::path::Path;

use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER};
use serde_json::{Value, json};

use super::vectors::{base64, put};
use super::{stage, write};
use crate::support::client::Client;
use crate::support::server::Server;

/// One vector: the heading that it stands under, and its values.
struct Vector {
    section: String,
    values: BTreeMap<String, String>,
}

impl Vector {
    #[track_caller]
    fn text(&self, name: &str) -> &str {
        self.values.get(name).unwrap_or_else(|| panic!("there is no {name} in a vector of {}", self.section))
    }

    #[track_caller]
    fn bytes(&self, name: &str) -> Vec<u8> {
        let text = self.text(name);
        let even = if text.len() % 2 == 1 { format!("0{text}") } else { text.to_owned() };
        HEXLOWER.decode(even.as_bytes()).unwrap()
    }

    /// A number of so many bytes.
    fn number(&self, name: &str, bytes: usize) -> Vec<u8> {
        let number = self.bytes(name);
        let number = &number[number.len().saturating_sub(bytes)..];
        [&vec![0; bytes - number.len()], number].concat()
    }

    fn passes(&self) -> bool {
        self.text("Result").starts_with('P')
    }
}

fn vectors(file: &str) -> Vec<Vector> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/testdata/nist").join(file);
    let text = std::fs::read_to_string(path).unwrap();
    let mut section = String::new();
    let mut all = Vec::new();
    for block in text.split("\n\n").map(str::trim).filter(|block| !block.starts_with('#')) {
        if let Some(name) = block.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
            name.clone_into(&mut section);
            continue;
        }
        let value = |line: &str| {
            let (name, value) = line.split_once('=').unwrap();
            (name.trim().to_owned(), value.trim().to_owned())
        };
        all.push(Vector { section: section.clone(), values: block.lines().map(value).collect() });
    }
    all
}

/// How many are accepted, and how many refused.
#[derive(Default, Debug)]
struct Counts(usize, usize);

impl Counts {
    fn count(&mut self, passes: bool) {
        if passes { self.0 += 1 } else { self.1 += 1 }
    }
}

#[test]
fn aes_gcm_opens_what_nist_says() {
    let server = Server::initialised_on_sqlite();
    let root = stage(&server);
    let mut counts = BTreeMap::<String, Counts>::new();
    for vector in vectors("aes_gcm.txt") {
        let kind = if vector.section == "aes128-gcm96" { 8 } else { 0 };
        put(&root, "k", kind, &json!({"key": base64(&vector.bytes("Key"))}));
        let sealed = [vector.bytes("IV"), vector.bytes("CT"), vector.bytes("Tag")].concat();
        let body =
            json!({"ciphertext": format!("vault:v1:{}", base64(&sealed)), "associated_data": base64(&vector.bytes("AAD"))});
        let reply = root.call("POST", "transit/decrypt/k", Some(&body));
        if vector.passes() {
            assert_eq!(reply.expect(200).json()["data"]["plaintext"], base64(&vector.bytes("PT")), "{body}");
        } else {
            assert_eq!(reply.expect(400).errors(), ["cipher: message authentication failed"], "{body}");
        }
        counts.entry(vector.section.clone()).or_default().count(vector.passes());
    }
    assert!(counts.len() == 2 && counts.values().all(|counts| counts.0 >= 12 && counts.1 >= 12), "{counts:?}");
}

#[test]
fn hashes_and_macs_are_those_of_nist() {
    let server = Server::initialised_on_sqlite();
    let root = stage(&server);
    let mut hashed = BTreeMap::<String, usize>::new();
    for vector in vectors("hashes.txt") {
        let body = json!({"input": base64(&vector.bytes("Msg"))});
        let made = write(&root, &format!("hash/{}", vector.section), &body);
        assert_eq!(made["sum"], vector.text("MD"), "{} {body}", vector.section);
        *hashed.entry(vector.section).or_default() += 1;
    }
    assert!(hashed.len() == 7 && hashed.values().all(|count| *count >= 12), "{hashed:?}");

    let mut macs = 0;
    for vector in vectors("hmac.txt") {
        // The key of HMAC that belongs to every key may have any length.
        let entry = json!({"key": base64(&[7; 32]), "hmac_key": base64(&vector.bytes("Key"))});
        put(&root, "m", 0, &entry);
        let input = base64(&vector.bytes("Msg"));
        let hmac = format!("vault:v1:{}", base64(&vector.bytes("MD")));
        let made = write(&root, &format!("hmac/m/{}", vector.section), &json!({"input": input}));
        assert_eq!(made["hmac"], hmac, "{} {input}", vector.section);
        let verify = format!("verify/m/{}", vector.section);
        assert_eq!(write(&root, &verify, &json!({"input": input, "hmac": hmac}))["valid"], true);
        let mut wrong = vector.bytes("MD");
        wrong[macs % 28] ^= 1;
        let claim = json!({"input": input, "hmac": format!("vault:v1:{}", base64(&wrong))});
        assert_eq!(write(&root, &verify, &claim)["valid"], false, "{claim}");
        macs += 1;
    }
    assert!(macs >= 20, "{macs}");
}

/// Imports a public key, and asks whether it has signed. One that is no key at all has signed nothing.
fn is_signed(client: &Client, (kind, info): (&str, &[u8]), hash: &str, claim: &Value) -> bool {
    let public = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", BASE64.encode(info));
    // A name of its own for each key.
    let name = HEXLOWER.encode(&strongroom::crypto::sha256(&[info]));
    let import = json!({"type": kind, "public_key": public});
    let reply = client.call("POST", &format!("transit/keys/{name}/import"), Some(&import));
    if client.call("GET", &format!("transit/keys/{name}"), None).status != 200 {
        assert_eq!(reply.status, 400, "{kind} {reply:?}");
        return false;
    }
    write(client, &format!("verify/{name}/{hash}"), claim)["valid"].as_bool().unwrap()
}

#[test]
fn ecdsa_signatures_are_valid_as_nist_says() {
    let server = Server::initialised_on_sqlite();
    let root = stage(&server);
    let mut counts = BTreeMap::<String, Counts>::new();
    for vector in vectors("ecdsa.txt") {
        let (kind, hash) = vector.section.split_once(' ').unwrap();
        // SubjectPublicKeyInfo up to the point (RFC 5480 section 2).
        let (head, bytes) = match kind {
            "ecdsa-p256" => ("3059301306072a8648ce3d020106082a8648ce3d03010703420004", 32),
            "ecdsa-p384" => ("3076301006072a8648ce3d020106052b8104002203620004", 48),
            _ => ("30819b301006072a8648ce3d020106052b810400230381860004", 66),
        };
        let head = HEXLOWER.decode(head.as_bytes()).unwrap();
        let info = [head, vector.number("Qx", bytes), vector.number("Qy", bytes)].concat();
        let signature = [vector.number("R", bytes), vector.number("S", bytes)].concat();
        let signature = format!("vault:v1:{}", BASE64URL_NOPAD.encode(&signature));
        let claim = json!({"input": base64(&vector.bytes("Msg")), "signature": signature, "marshaling_algorithm": "jws"});
        let signed = is_signed(&root, (kind, &info), hash, &claim);
        assert_eq!(signed, vector.passes(), "{} {}", vector.section, vector.text("Result"));
        counts.entry(vector.section.clone()).or_default().count(signed);
    }
    assert!(counts.len() == 3 && counts.values().all(|counts| counts.0 >= 3 && counts.1 >= 12), "{counts:?}");
}

#[test]
fn rsa_signatures_are_valid_as_nist_says() {
    let server = Server::initialised_on_sqlite();
    let root = stage(&server);
    for (file, algorithm) in [("rsa_pkcs1.txt", "pkcs1v15"), ("rsa_pss.txt", "pss")] {
        let mut counts = Counts::default();
        for vector in vectors(file) {
            let modulus = HEXLOWER.decode(vector.section.as_bytes()).unwrap();
            let info = rsa_info(&modulus, &vector.bytes("e"));
            let mut claim = json!({
                "input": base64(&vector.bytes("Msg")),
                "signature": format!("vault:v1:{}", base64(&vector.bytes("S"))),
                "signature_algorithm": algorithm,
            });
            if algorithm == "pss" {
                claim["salt_length"] = json!(vector.bytes("SaltVal").len());
            }
            let signed = is_signed(&root, ("rsa-2048", &info), vector.text("Hash"), &claim);
            assert_eq!(signed, vector.passes(), "{file} {}", vector.text("Result"));
            counts.count(signed);
        }
        assert!(counts.0 >= 3 && counts.1 >= 12, "{file} {counts:?}");
    }
}

/// `SubjectPublicKeyInfo` of RSA (RFC 8017 appendix A.1.1).
fn rsa_info(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    let integer = |bytes: &[u8]| der(2, &[&[0][..bytes.first().map_or(0, |first| usize::from(*first >> 7))], bytes].concat());
    let key = der(0x30, &[integer(modulus), integer(exponent)].concat());
    let algorithm = HEXLOWER.decode(b"300d06092a864886f70d0101010500").unwrap();
    der(0x30, &[algorithm, der(3, &[&[0], &key[..]].concat())].concat())
}

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    let length: &[u8] = match content.len() {
        0..=0x7f => &length[1..],
        0x80..=0xff => &[0x81, length[1]],
        _ => &[0x82, length[0], length[1]],
    };
    [&[tag], length, content].concat()
}
