//! Bytes that were sealed once and must open for ever, and forgeries that must fail for the reason they are named by.
//!
//! `vectors/v1.json` is only ever added to. The ignored test at the end wrote it; a later format gets a file of its own.

use serde::{Deserialize, Serialize};

use super::envelope::{Fresh, Suite, WrappingKey};
use super::keys::Key;
use super::{Fault, Keyring, RootKey, Subject, TenantKey, WrapContext, sealed_box};
use crate::id::{DeploymentId, ObjectId, TenantId};
use crate::record::{DirKey, Kind, RecordKey};
use crate::secret::SecretBytes;
use crate::time::Timestamp;

const KIT: &str = include_str!("vectors/v1.json");
const DEPLOYMENT: DeploymentId = DeploymentId([0xd0; 16]);
const TENANT: TenantId = TenantId([0x7e; 16]);
const OBJECT: ObjectId = ObjectId([0x0b; 16]);

/// Everything is hexadecimal. The keys are fixed: see `keyring()`.
#[derive(Serialize, Deserialize)]
struct Kit {
    root_key: String,
    root_wrap: String,
    tenant_key: String,
    tenant_key_commitment: String,
    sealed_keyring: String,
    token_hash_of_t: String,
    audit_batch: String,
    name: String,
    batch_token: String,
    records: Vec<Vector>,
}

#[derive(Serialize, Deserialize)]
struct Vector {
    name: String,
    /// `opens`, or the fault.
    expect: String,
    tenant: TenantId,
    kind: u8,
    directory: String,
    expires_at: Option<Timestamp>,
    payload: String,
    sealed: String,
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

fn unhex(text: &str) -> Vec<u8> {
    data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap()
}

fn key(byte: u8) -> Key {
    Key::from_slice(&[byte; 32]).unwrap()
}

/// Wrapping keys 1 (thirty-two bytes 0x11) and 2 (0x22), seed 0x5e.
fn keyring(tenant: TenantId) -> Keyring {
    let wrapping = |version, byte| WrappingKey { version, suite: Suite::AesGcm, key: key(byte) };
    Keyring::from_parts(DEPLOYMENT, tenant, key(0x5e), wrapping(2, 0x22), vec![wrapping(1, 0x11)])
}

fn row() -> Subject {
    let (key, directory) = (RecordKey([0xee; 32]), DirKey([0xdd; 32]));
    Subject { kind: Kind::KvVersion, object: OBJECT, version: 5, key, directory, expires_at: Some(Timestamp(1_000_000_007)) }
}

fn fresh() -> Fresh {
    Fresh { data_key: key(0xda), wrap_nonce: [0x90; 24] }
}

fn batch_token() -> Vec<u8> {
    let (keyring, label) = (keyring(TENANT), super::batch_token::LABEL);
    sealed_box::seal_with(&keyring.batch_tokens, label, &keyring.batch_token_aad(), b"batch token", 11, &[0x93; 24])
}

fn payload() -> SecretBytes {
    SecretBytes::new(br#"{"password":"correct horse"}"#.to_vec())
}

fn open(vector: &Vector) -> Result<Vec<u8>, Fault> {
    let kind = if vector.kind == Kind::KvVersion as u8 { Kind::KvVersion } else { Kind::KvMetadata };
    let directory = DirKey(unhex(&vector.directory).try_into().unwrap());
    let opened =
        keyring(vector.tenant).try_open_record(kind, &row().key, &directory, vector.expires_at, &unhex(&vector.sealed))?;
    Ok(opened.payload.expose().to_vec())
}

#[test]
fn records_open_or_fail_as_named() {
    let kit: Kit = serde_json::from_str(KIT).unwrap();
    assert!(kit.records.len() >= 15);
    for vector in &kit.records {
        let found = match open(vector) {
            Ok(payload) => {
                assert_eq!(hex(&payload), vector.payload, "{}", vector.name);
                "opens".to_owned()
            }
            Err(fault) => format!("{fault:?}"),
        };
        assert_eq!(found, vector.expect, "{}", vector.name);
    }
}

#[test]
fn the_keys_above_open() {
    let kit: Kit = serde_json::from_str(KIT).unwrap();
    let root = RootKey::from_secret(&SecretBytes::new(unhex(&kit.root_key))).unwrap();
    let context = WrapContext { deployment: DEPLOYMENT, tenant: TENANT, generation: 3 };
    let tenant_key = TenantKey::from_secret(root.unwrap(&unhex(&kit.root_wrap), &context).unwrap()).unwrap();
    assert_eq!(hex(tenant_key.secret().expose()), kit.tenant_key);
    assert_eq!(hex(&tenant_key.commitment()), kit.tenant_key_commitment);
    let opened = Keyring::open(&tenant_key, DEPLOYMENT, TENANT, 3, &unhex(&kit.sealed_keyring)).unwrap();
    assert_eq!(hex(&opened.token_hash("t")), kit.token_hash_of_t);
    assert_eq!(opened.open_batch(&unhex(&kit.audit_batch)).ok().unwrap().expose(), b"batch");
    assert_eq!(opened.open_name(&row().key, &row().directory, &unhex(&kit.name)), Ok("database-password".to_owned()));
    assert_eq!(opened.open_batch_token(&unhex(&kit.batch_token)).ok().unwrap().expose(), b"batch token");
    assert!(keyring(TenantId([0x7f; 16])).open_batch_token(&unhex(&kit.batch_token)).is_err());
    let record = kit.records.iter().find(|vector| vector.expect == "opens").unwrap();
    let row = row();
    assert!(opened.open_record(row.kind, &row.key, &row.directory, row.expires_at, &unhex(&record.sealed)).is_ok());
}

#[test]
fn sealing_still_makes_the_same_bytes() {
    let kit: Kit = serde_json::from_str(KIT).unwrap();
    let sealed = keyring(TENANT).seal_record_with(&row(), &payload(), fresh());
    assert_eq!(hex(&sealed), kit.records[0].sealed);
    let name = keyring(TENANT).seal_name_with(&row().key, &row().directory, "database-password", &[0x91; 24]);
    assert_eq!(hex(&name), kit.name);
    assert_eq!(hex(&batch_token()), kit.batch_token);
    let context = WrapContext { deployment: DEPLOYMENT, tenant: TENANT, generation: 3 };
    let wrap = sealed_box::seal_with(&key(0x40), b"strongroom v1 root wrap", &context.aad(), &[0x7a; 32], 32, &[0x92; 24]);
    assert_eq!(hex(&wrap), kit.root_wrap);
}

#[test]
#[ignore = "writes the kit: run by hand when a format is added, never for an old one"]
fn write_the_kit() {
    let good = keyring(TENANT).seal_record_with(&row(), &payload(), fresh());
    let vector = |name: &str, expect: &str, sealed: &[u8]| Vector {
        name: name.to_owned(),
        expect: expect.to_owned(),
        tenant: TENANT,
        kind: row().kind as u8,
        directory: hex(&row().directory.0),
        expires_at: row().expires_at,
        payload: hex(payload().expose()),
        sealed: hex(sealed),
    };
    let with = |name: &str, expect: &str, at: usize, value: u8| {
        let mut sealed = good.clone();
        sealed[at] = value;
        vector(name, expect, &sealed)
    };
    let same = |name, expect| vector(name, expect, &good);
    let first = WrappingKey { version: 1, suite: Suite::AesGcm, key: key(0x11) };
    let old = Keyring::from_parts(DEPLOYMENT, TENANT, key(0x5e), first, Vec::new());
    let records = vec![
        same("newest wrapping key", "opens"),
        vector("older wrapping key", "opens", &old.seal_record_with(&row(), &payload(), fresh())),
        vector("empty", "Truncated", &[]),
        vector("cut in the wrap", "Truncated", &good[..60]),
        vector("cut in the tag", "Payload", &good[..good.len() - 1]),
        vector("one byte more", "Payload", &[good.as_slice(), &[0]].concat()),
        with("format 2", "Format", 24, 2),
        with("suite 2", "Suite", 25, 2),
        with("suite 0", "Suite", 25, 0),
        with("wrapping key 3, which is not there", "UnknownKey", 29, 3),
        with("wrapping key 1 instead of 2", "Wrap", 29, 1),
        with("other object id", "Wrap", 0, 0xff),
        with("other object version", "Wrap", 23, 6),
        with("wrap nonce damaged", "Wrap", 30, 0xff),
        with("wrapped key damaged", "Wrap", 60, good[60] ^ 1),
        with("commitment damaged", "Commitment", 24 + 6 + 72, good[24 + 6 + 72] ^ 1),
        with("ciphertext damaged", "Payload", 24 + 6 + 72 + 32, good[24 + 6 + 72 + 32] ^ 1),
        with("tag damaged", "Payload", good.len() - 1, good[good.len() - 1] ^ 1),
        Vector { tenant: TenantId([0x7f; 16]), ..same("other tenant", "Wrap") },
        Vector { kind: Kind::KvMetadata as u8, ..same("other kind", "Wrap") },
        Vector { directory: hex(&[0; 32]), ..same("other directory", "Row") },
        Vector { expires_at: None, ..same("expiry removed", "Row") },
        Vector { expires_at: Some(Timestamp(i64::MAX)), ..same("expiry moved", "Row") },
    ];
    let context = WrapContext { deployment: DEPLOYMENT, tenant: TENANT, generation: 3 };
    let tenant_key = TenantKey::from_secret(SecretBytes::new(vec![0x7a; 32])).unwrap();
    let kit = Kit {
        root_key: hex(key(0x40).bytes()),
        root_wrap: hex(&sealed_box::seal_with(
            &key(0x40),
            b"strongroom v1 root wrap",
            &context.aad(),
            &[0x7a; 32],
            32,
            &[0x92; 24],
        )),
        tenant_key: hex(&[0x7a; 32]),
        tenant_key_commitment: hex(&tenant_key.commitment()),
        sealed_keyring: hex(&keyring(TENANT).seal(&tenant_key, 3)),
        token_hash_of_t: hex(&keyring(TENANT).token_hash("t")),
        audit_batch: hex(&keyring(TENANT).seal_batch(b"batch")),
        name: hex(&keyring(TENANT).seal_name_with(&row().key, &row().directory, "database-password", &[0x91; 24])),
        batch_token: hex(&batch_token()),
        records,
    };
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/crypto/vectors/v1.json");
    std::fs::write(path, serde_json::to_string_pretty(&kit).unwrap() + "\n").unwrap();
}
