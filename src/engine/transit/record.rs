//! What the engine keeps: keys with all their versions, how often they were used, and settings of the mount.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::answer::Refusal;
use crate::commit::{Place, Txn};
use crate::crypto;
use crate::crypto::transit::{Key, KeyType};
use crate::id::ObjectId;
use crate::record::{Address, DecodeError, Kind, Listing, Record};
use crate::secret::SecretBytes;
use crate::time::Timestamp;

/// A named key.
pub struct TransitKey {
    pub(super) settings: Settings,
    /// By version.
    pub(super) keys: BTreeMap<u32, Key>,
}

/// What is not secret about it.
#[derive(Clone, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "the API has these switches")]
pub(super) struct Settings {
    pub(super) kind: KeyType,
    #[serde(default)]
    pub(super) derived: bool,
    #[serde(default)]
    pub(super) convergent: bool,
    #[serde(default)]
    pub(super) exportable: bool,
    #[serde(default)]
    pub(super) plaintext_backup: bool,
    #[serde(default)]
    pub(super) deletion_allowed: bool,
    /// From 1.
    pub(super) min_decryption: u32,
    /// 0: the newest only, unless a request names another.
    #[serde(default)]
    pub(super) min_encryption: u32,
    /// Versions below are gone; 0 when nothing was trimmed.
    #[serde(default)]
    pub(super) min_available: u32,
    pub(super) latest: u32,
    /// Bytes of an HMAC key; 0 for other types.
    #[serde(default)]
    pub(super) mac_bytes: usize,
    /// 0 for never.
    #[serde(default)]
    pub(super) rotate_seconds: u64,
    #[serde(default)]
    pub(super) imported: bool,
    #[serde(default)]
    pub(super) imported_rotates: bool,
    #[serde(default)]
    pub(super) backup: Option<Stamp>,
    #[serde(default)]
    pub(super) restore: Option<Stamp>,
    pub(super) created: BTreeMap<u32, Timestamp>,
}

/// When something was done with which version.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Stamp {
    pub(super) time: Timestamp,
    pub(super) version: u32,
}

impl TransitKey {
    /// A second copy, to be changed and written.
    pub(super) fn duplicate(&self) -> Self {
        let keys = self.keys.iter().map(|(version, key)| (*version, key.duplicate())).collect();
        Self { settings: self.settings.clone(), keys }
    }

    /// Adds the next version, and uses it from now on.
    pub(super) fn push(&mut self, key: Key, now: Timestamp) {
        self.settings.latest += 1;
        self.settings.created.insert(self.settings.latest, now);
        self.keys.insert(self.settings.latest, key);
    }
}

/// The settings behind their length (u32); then every version: its number (u32), and private key, public key and key of HMAC,
/// each behind its length, which is `u32::MAX` for a private key that is not there.
impl Record for TransitKey {
    const KIND: Kind = Kind::TransitKey;
    const LISTING: Listing = Listing::Flat;
    const CACHED: bool = false;

    fn encode(&self) -> SecretBytes {
        // Plain structs of strings and numbers always serialise.
        let settings = serde_json::to_vec(&self.settings).unwrap_or_default();
        let parts = |key: &Key| {
            let (private, public, mac) = key.parts();
            private.map_or(0, SecretBytes::len) + public.len() + mac.len() + 16
        };
        let length = 4 + settings.len() + self.keys.values().map(parts).sum::<usize>();
        let mut bytes = zeroize::Zeroizing::new(Vec::with_capacity(length));
        put(&mut bytes, Some(&settings));
        for (version, key) in &self.keys {
            let (private, public, mac) = key.parts();
            bytes.extend_from_slice(&version.to_be_bytes());
            put(&mut bytes, private.map(SecretBytes::expose));
            put(&mut bytes, Some(public));
            put(&mut bytes, Some(mac.expose()));
        }
        SecretBytes::from_wiping(bytes)
    }

    fn decode(payload: SecretBytes) -> Result<Self, DecodeError> {
        let error = |reason: &str| DecodeError { kind: Kind::TransitKey, reason: reason.to_owned() };
        let mut rest = payload.expose();
        let settings = take(&mut rest).flatten().ok_or_else(|| error("it is cut in the settings"))?;
        let settings: Settings = serde_json::from_slice(settings).map_err(|_| error("the settings do not parse"))?;
        let mut keys = BTreeMap::new();
        while let Some((version, tail)) = rest.split_first_chunk::<4>() {
            rest = tail;
            let cut = || error("it is cut in a version");
            let private = take(&mut rest).ok_or_else(cut)?.map(|bytes| SecretBytes::new(bytes.to_vec()));
            let public = take(&mut rest).flatten().ok_or_else(cut)?.to_vec();
            let mac = SecretBytes::new(take(&mut rest).flatten().ok_or_else(cut)?.to_vec());
            keys.insert(u32::from_be_bytes(*version), Key::stored(settings.kind, private, public, mac));
        }
        Ok(Self { settings, keys })
    }
}

fn put(bytes: &mut Vec<u8>, part: Option<&[u8]>) {
    let length = part.map_or(u32::MAX, |part| u32::try_from(part.len()).unwrap_or(u32::MAX));
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(part.unwrap_or_default());
}

#[expect(clippy::option_option, reason = "cut off, or said to be absent")]
fn take<'a>(rest: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let (length, tail) = rest.split_first_chunk::<4>()?;
    if *length == [0xff; 4] {
        *rest = tail;
        return Some(None);
    }
    let (part, tail) = tail.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    *rest = tail;
    Some(Some(part))
}

/// How many texts each version is written down to have encrypted: never fewer than it has.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct TransitUses {
    pub(super) reserved: BTreeMap<u32, u64>,
}

crate::json_record!(TransitUses, Kind::TransitUses, Listing::None);

/// Settings of a mount.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct TransitConfig {
    /// What clients set; keys are cached within other bounds here.
    #[serde(default)]
    pub(super) cache_size: u64,
    /// Encrypting does not make keys.
    #[serde(default)]
    pub(super) disable_upsert: bool,
}

crate::json_record!(TransitConfig, Kind::TransitConfig, Listing::None);

/// The private key that keys are wrapped to for their import.
pub struct TransitWrappingKey(pub(super) SecretBytes);

crate::secret_record!(TransitWrappingKey, Kind::TransitWrappingKey, Listing::None);

/// A key as it was found, ready for use.
pub(super) struct Ring {
    pub(super) key: TransitKey,
    /// Which object it is, and how often it was written.
    pub(super) object: ObjectId,
    pub(super) written: u64,
}

pub(super) fn address(place: &Place, name: &str) -> Address {
    Address { kind: Kind::TransitKey, mount: place.mount.id, directory: String::new(), name: name.to_owned() }
}

/// Where the uses of a key are written down. A key that is made anew under an old name begins at nothing.
pub(super) fn uses_address(place: &Place, object: ObjectId) -> Address {
    Address { kind: Kind::TransitUses, mount: place.mount.id, directory: String::new(), name: object.to_string() }
}

pub(super) fn config_address(place: &Place) -> Address {
    Address { kind: Kind::TransitConfig, mount: place.mount.id, directory: String::new(), name: "config".to_owned() }
}

pub(super) fn wrapping_address(place: &Place) -> Address {
    Address { kind: Kind::TransitWrappingKey, mount: place.mount.id, directory: String::new(), name: "wrapping".to_owned() }
}

/// The names of all keys, sorted.
pub(super) async fn names(place: &Place, txn: &mut Txn) -> Result<Arc<[Box<str>]>, Refusal> {
    txn.names(&place.tenant, Kind::TransitKey, place.mount.id, "").await
}

/// A key for use: parsed once, and kept until it changes, on whichever server it is changed.
pub(super) async fn find(name: &str, place: &Place, txn: &mut Txn) -> Result<Option<Arc<Ring>>, Refusal> {
    let tenant = &place.tenant;
    let memo = crypto::sha256(&[b"strongroom transit key", &tenant.keyring().record_key(&address(place, name)).0]);
    if let Some(ring) = txn.recall(tenant, &memo) {
        return Ok(Some(ring));
    }
    let mark = txn.mark(tenant);
    let Some(ring) = read(name, place, txn).await? else { return Ok(None) };
    let ring = Arc::new(ring);
    txn.keep(tenant, memo, &mark, &ring);
    Ok(Some(ring))
}

/// A key to be changed: what is put back in this transaction continues it.
pub(super) async fn read(name: &str, place: &Place, txn: &mut Txn) -> Result<Option<Ring>, Refusal> {
    let Some(found) = txn.read::<TransitKey>(&place.tenant, &address(place, name)).await? else { return Ok(None) };
    Ok(Some(Ring {
        key: Arc::try_unwrap(found.value).unwrap_or_else(|shared| shared.duplicate()),
        object: found.object,
        written: found.version,
    }))
}

/// Writes a key.
pub(super) async fn write(name: &str, key: &TransitKey, place: &Place, txn: &mut Txn) -> Result<(), Refusal> {
    txn.put(&place.tenant, &address(place, name), key, None).await
}
