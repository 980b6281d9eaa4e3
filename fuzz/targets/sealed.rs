//! Sealed bytes as the store has them, and shares of the root key. The keys are those of the committed test vectors.

use std::sync::OnceLock;

use serde_json::Value;
use strongroom::crypto::{Keyring, TenantKey};
use strongroom::id::{DeploymentId, TenantId};
use strongroom::record::{DirKey, Kind, RecordKey};
use strongroom::seal::shamir::{self, ShareSet};
use strongroom::secret::SecretBytes;
use strongroom::time::Timestamp;

const KIT: &str = include_str!("../../src/crypto/vectors/v1.json");
const KEY: RecordKey = RecordKey([0xee; 32]);
const DIRECTORY: DirKey = DirKey([0xdd; 32]);
const EXPIRES_AT: Timestamp = Timestamp(1_000_000_007);

/// The keyring of the vectors, and what opens with it.
struct Kit {
    keyring: Keyring,
    records: Vec<Vec<u8>>,
    name: Vec<u8>,
}

fn kit() -> &'static Kit {
    static OPENED: OnceLock<Kit> = OnceLock::new();
    OPENED.get_or_init(|| read_kit().unwrap_or_else(|| panic!("the test vectors do not open")))
}

fn read_kit() -> Option<Kit> {
    let kit: Value = serde_json::from_str(KIT).ok()?;
    let tenant_key = TenantKey::from_secret(SecretBytes::new(unhex(kit.get("tenant_key")?)?))?;
    let (deployment, tenant) = (DeploymentId([0xd0; 16]), TenantId([0x7e; 16]));
    let keyring = Keyring::open(&tenant_key, deployment, tenant, 3, &unhex(kit.get("sealed_keyring")?)?).ok()?;
    let opens = |vector: &&Value| vector.get("expect").and_then(Value::as_str) == Some("opens");
    let records = kit.get("records")?.as_array()?.iter().filter(opens).map(|vector| unhex(vector.get("sealed")?));
    Some(Kit { keyring, records: records.collect::<Option<_>>()?, name: unhex(kit.get("name")?)? })
}

fn unhex(text: &Value) -> Option<Vec<u8>> {
    data_encoding::HEXLOWER.decode(text.as_str()?.as_bytes()).ok()
}

/// A sealed record. Nothing opens but what was sealed, and only as what it was sealed; a rewrap changes no content.
pub(super) fn record(data: &[u8]) {
    let Kit { keyring, records, .. } = kit();
    let open = |kind, sealed: &[u8]| keyring.open_record(kind, &KEY, &DIRECTORY, Some(EXPIRES_AT), sealed);
    let _ = keyring.is_outdated(data);
    assert!(open(Kind::KvMetadata, data).is_err(), "a record opens as another kind");
    match open(Kind::KvVersion, data) {
        Err(_) => assert!(!records.iter().any(|known| known == data), "a vector does not open"),
        Ok(opened) => {
            assert!(records.iter().any(|known| known == data), "a forgery opens");
            let Ok(rewrapped) = keyring.rewrap_record(data) else { panic!("what opens can be rewrapped") };
            assert!(!keyring.is_outdated(&rewrapped));
            let Ok(again) = open(Kind::KvVersion, &rewrapped) else { panic!("a rewrapped record does not open") };
            assert!(again.payload.expose() == opened.payload.expose() && again.object == opened.object);
        }
    }
}

/// A sealed name. Nothing opens but what was sealed.
pub(super) fn name(data: &[u8]) {
    let Kit { keyring, name, .. } = kit();
    assert_eq!(keyring.open_name(&KEY, &DIRECTORY, data).is_ok(), data == name.as_slice(), "a forged name opens");
    assert!(keyring.open_name(&KEY, &DirKey::NONE, data).is_err(), "a name opens in another directory");
}

/// `{"set": .., "shares": ["hex", ..]}`: what the store keeps of a split key, and what people bring.
pub(super) fn share(data: &[u8]) {
    let Ok(Value::Object(mut members)) = serde_json::from_slice::<Value>(data) else { return };
    let Some(set) = members.remove("set").and_then(|set| serde_json::from_value::<ShareSet>(set).ok()) else { return };
    let Some(Value::Array(shares)) = members.remove("shares") else { return };
    let shares: Vec<SecretBytes> = shares.iter().filter_map(unhex).map(SecretBytes::new).collect();
    let known = shares.iter().filter(|share| set.recognises(share).is_some()).count();
    if shamir::combine(&shares, &set).is_ok() {
        assert_eq!(known, shares.len(), "a share that does not belong to the set gave a key");
        assert!(known >= usize::from(set.threshold), "too few shares gave a key");
    }
}
