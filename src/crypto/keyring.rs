//! A tenant's working keys, and how they are stored.
//!
//!     plaintext = format (1) ‖ seed (32) ‖ count (2) ‖ count × (version (4) ‖ suite (1) ‖ wrapping key (32)), oldest first
//!     sealed    = `sealed_box` under the TenantKey, AAD = length-prefixed (format, deployment, tenant, generation)
//!
//! Wrapping keys are random, each with a version that also fixes the suite of the envelopes under it. Purpose keys are derived:
//! HKDF-SHA-256(seed, label). One stored seed is enough, because purposes never rotate apart from each other, and a purpose that
//! a later version adds has its key in every keyring that already exists, without a migration.

use zeroize::Zeroizing;

use super::envelope::{Suite, WrappingKey};
use super::hazmat::kdf::MacKey;
use super::keys::Key;
use super::{Fault, OpenError, TenantKey, WrapContext, sealed_box};
use crate::id::{DeploymentId, MountId, TenantId};
use crate::record::{Address, DirKey, Kind, RecordKey};

const FORMAT: u8 = 1;
const BOX: &[u8] = b"strongroom v1 keyring";
const INDEX: &[u8] = b"strongroom v1 record index";
const DIRECTORY: &[u8] = b"strongroom v1 directory";
const NAMES: &[u8] = b"strongroom v1 names";
const TOKENS: &[u8] = b"strongroom v1 tokens";
const REFERENCES: &[u8] = b"strongroom v1 references";
const BATCH_TOKENS: &[u8] = b"strongroom v1 batch tokens";
const LOGIN_STATES: &[u8] = b"strongroom v1 login states";
const RECOVERY_CODES: &[u8] = b"strongroom v1 recovery codes";
const AUDIT: &[u8] = b"strongroom v1 audit";
const AUDIT_MAC: &[u8] = b"strongroom v1 audit mac";
const AUDIT_HASH: &[u8] = b"strongroom v1 audit hash";

/// The working keys of one tenant. Opens and seals that tenant's rows, and no other's.
pub struct Keyring {
    pub(super) deployment: DeploymentId,
    pub(super) tenant: TenantId,
    /// Apart from the older ones, so that there is always one.
    newest: WrappingKey,
    /// Oldest first.
    older: Vec<WrappingKey>,
    seed: Key,
    index: MacKey,
    directory: MacKey,
    tokens: MacKey,
    references: MacKey,
    recovery_codes: MacKey,
    audit_mac: MacKey,
    audit_hash: MacKey,
    pub(super) names: Key,
    pub(super) audit: Key,
    pub(super) batch_tokens: Key,
    pub(super) login_states: Key,
}

impl Keyring {
    /// Fresh keys for a tenant, with wrapping key 1.
    pub fn generate(deployment: DeploymentId, tenant: TenantId) -> Self {
        let first = WrappingKey { version: 1, suite: Suite::AesGcm, key: Key::random() };
        Self::from_parts(deployment, tenant, Key::random(), first, Vec::new())
    }

    /// The keyring as it is stored: opens with the same `TenantKey`, deployment, tenant and generation.
    pub fn seal(&self, tenant_key: &TenantKey, generation: u32) -> Vec<u8> {
        let plaintext = self.encode();
        sealed_box::seal(&tenant_key.0, BOX, &self.context(generation).aad(), &plaintext, plaintext.len())
    }

    /// Opens what `seal` made. The commitment to the `TenantKey` is checked before anything is decrypted.
    ///
    /// # Errors
    /// Another key or place, damaged bytes, or a format of a newer version.
    pub fn open(
        tenant_key: &TenantKey,
        deployment: DeploymentId,
        tenant: TenantId,
        generation: u32,
        sealed: &[u8],
    ) -> Result<Self, OpenError> {
        let context = WrapContext { deployment, tenant, generation };
        let plaintext = sealed_box::open(&tenant_key.0, BOX, &context.aad(), sealed)?;
        Ok(Self::decode(deployment, tenant, &plaintext).ok_or(Fault::Content)?)
    }

    /// Adds a wrapping key, which wraps every `DataKey` from now on, and returns its version. `None` after 2^32 of them, or when
    /// the keyring is full (65,535).
    pub fn add_wrapping_key(&mut self) -> Option<u32> {
        let version = self.newest.version.checked_add(1)?;
        u16::try_from(self.older.len() + 2).ok()?;
        let fresh = WrappingKey { version, suite: Suite::AesGcm, key: Key::random() };
        self.older.push(std::mem::replace(&mut self.newest, fresh));
        Some(version)
    }

    /// Destroys the wrapping keys before the one that wraps now, and returns how many they were. What they wrapped and nobody
    /// has wrapped anew is lost.
    pub fn retire_older(&mut self) -> usize {
        std::mem::take(&mut self.older).len()
    }

    /// How many wrapping keys there are, the newest among them.
    pub fn wrapping_keys(&self) -> usize {
        self.older.len() + 1
    }

    /// The version of the wrapping key that wraps now.
    pub fn wrapping_key_version(&self) -> u32 {
        self.newest.version
    }

    /// The primary key of a record's row.
    pub fn record_key(&self, address: &Address) -> RecordKey {
        let Address { kind, mount, directory, name } = address;
        RecordKey(self.index.mac(&[&[*kind as u8], &mount.0, directory.as_bytes(), name.as_bytes()]))
    }

    /// What all records of one kind in one directory share.
    pub fn dir_key(&self, kind: Kind, mount: MountId, directory: &str) -> DirKey {
        DirKey(self.directory.mac(&[&[kind as u8], &mount.0, directory.as_bytes()]))
    }

    /// The keyed hash that a token or accessor is looked up by.
    pub fn token_hash(&self, token: &str) -> [u8; 32] {
        self.tokens.mac(&[token.as_bytes()])
    }

    /// The keyed hash that a reference is looked up by.
    pub fn reference_hash(&self, reference: &str) -> [u8; 32] {
        self.references.mac(&[reference.as_bytes()])
    }

    /// Stands for a version of what a reference points to. Whoever sees two of them does not learn whether they are of one
    /// secret.
    pub fn reference_etag(&self, reference: &str, version: u64) -> [u8; 32] {
        self.references.mac(&[b"etag", reference.as_bytes(), &version.to_be_bytes()])
    }

    /// The keyed hash that a recovery code of an entity is known by.
    pub fn recovery_code_hash(&self, entity_id: &str, code: &str) -> [u8; 32] {
        self.recovery_codes.mac(&[entity_id.as_bytes(), code.as_bytes()])
    }

    /// Authenticates the columns of a log row.
    pub fn batch_mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        self.audit_mac.mac(parts)
    }

    /// What stands in the audit log and its sinks for a value that is not to be read there.
    pub fn audit_hash(&self, value: &[u8]) -> String {
        format!("hmac-sha256:{}", data_encoding::HEXLOWER.encode(&self.audit_hash.mac(&[value])))
    }

    pub(super) fn newest(&self) -> &WrappingKey {
        &self.newest
    }

    pub(super) fn wrapping_key(&self, version: u32) -> Option<&WrappingKey> {
        if version == self.newest.version {
            return Some(&self.newest);
        }
        self.older.iter().rev().find(|key| key.version == version)
    }

    pub(super) fn from_parts(
        deployment: DeploymentId,
        tenant: TenantId,
        seed: Key,
        newest: WrappingKey,
        older: Vec<WrappingKey>,
    ) -> Self {
        let mac = |label| MacKey::new(seed.derive(label).bytes());
        Self {
            deployment,
            tenant,
            newest,
            older,
            index: mac(INDEX),
            directory: mac(DIRECTORY),
            tokens: mac(TOKENS),
            references: mac(REFERENCES),
            recovery_codes: mac(RECOVERY_CODES),
            audit_mac: mac(AUDIT_MAC),
            audit_hash: mac(AUDIT_HASH),
            names: seed.derive(NAMES),
            audit: seed.derive(AUDIT),
            batch_tokens: seed.derive(BATCH_TOKENS),
            login_states: seed.derive(LOGIN_STATES),
            seed,
        }
    }

    fn context(&self, generation: u32) -> WrapContext {
        WrapContext { deployment: self.deployment, tenant: self.tenant, generation }
    }

    fn encode(&self) -> Zeroizing<Vec<u8>> {
        let keys = self.older.iter().chain([&self.newest]);
        let count = self.older.len() + 1;
        let mut bytes = Zeroizing::new(Vec::with_capacity(1 + 32 + 2 + count * (4 + 1 + 32)));
        bytes.push(FORMAT);
        bytes.extend_from_slice(self.seed.bytes());
        // `add_wrapping_key` keeps the count within 16 bits.
        bytes.extend_from_slice(&u16::try_from(count).unwrap_or(u16::MAX).to_be_bytes());
        for WrappingKey { version, suite, key } in keys {
            bytes.extend_from_slice(&version.to_be_bytes());
            bytes.push(*suite as u8);
            bytes.extend_from_slice(key.bytes());
        }
        bytes
    }

    fn decode(deployment: DeploymentId, tenant: TenantId, bytes: &[u8]) -> Option<Self> {
        let ([FORMAT], rest) = bytes.split_first_chunk()? else { return None };
        let (seed, rest) = rest.split_first_chunk::<32>()?;
        let (count, mut rest) = rest.split_first_chunk()?;
        let mut keys: Vec<WrappingKey> = Vec::new();
        for _ in 0..u16::from_be_bytes(*count) {
            let (version, tail) = rest.split_first_chunk()?;
            let ([suite], tail) = tail.split_first_chunk()?;
            let (key, tail) = tail.split_first_chunk::<32>()?;
            let version = u32::from_be_bytes(*version);
            if keys.last().is_some_and(|before| before.version >= version) {
                return None;
            }
            keys.push(WrappingKey { version, suite: Suite::from_byte(*suite)?, key: Key::from_slice(key)? });
            rest = tail;
        }
        let newest = keys.pop()?;
        rest.is_empty().then_some(())?;
        Some(Self::from_parts(deployment, tenant, Key::from_slice(seed)?, newest, keys))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEPLOYMENT: DeploymentId = DeploymentId([1; 16]);
    const TENANT: TenantId = TenantId([2; 16]);

    #[test]
    fn a_keyring_survives_being_stored() {
        let tenant_key = TenantKey::generate();
        let mut keyring = Keyring::generate(DEPLOYMENT, TENANT);
        assert_eq!(keyring.add_wrapping_key(), Some(2));
        let sealed = keyring.seal(&tenant_key, 7);
        let opened = Keyring::open(&tenant_key, DEPLOYMENT, TENANT, 7, &sealed).unwrap();
        assert_eq!(*opened.encode(), *keyring.encode());
        assert_eq!(opened.token_hash("t"), keyring.token_hash("t"));
        assert_eq!(opened.wrapping_key_version(), 2);
        assert!(opened.wrapping_key(1).is_some() && opened.wrapping_key(3).is_none());
    }

    #[test]
    fn it_opens_in_its_place_only() {
        let (tenant_key, other) = (TenantKey::generate(), TenantKey::generate());
        let sealed = Keyring::generate(DEPLOYMENT, TENANT).seal(&tenant_key, 7);
        let opens = |key, deployment, tenant, generation| Keyring::open(key, deployment, tenant, generation, &sealed).is_ok();
        assert!(opens(&tenant_key, DEPLOYMENT, TENANT, 7));
        assert!(!opens(&other, DEPLOYMENT, TENANT, 7));
        assert!(!opens(&tenant_key, DeploymentId([9; 16]), TENANT, 7));
        assert!(!opens(&tenant_key, DEPLOYMENT, TenantId([9; 16]), 7));
        assert!(!opens(&tenant_key, DEPLOYMENT, TENANT, 6));
    }

    #[test]
    fn malformed_plaintexts_are_refused() {
        let mut keyring = Keyring::generate(DEPLOYMENT, TENANT);
        keyring.add_wrapping_key();
        let good = keyring.encode().to_vec();
        let decodes = |bytes: &[u8]| Keyring::decode(DEPLOYMENT, TENANT, bytes).is_some();
        assert!(decodes(&good));
        for length in 0..good.len() {
            assert!(!decodes(&good[..length]), "cut at {length}");
        }
        for (name, at, value) in [("format", 0, 2), ("count", 34, 1), ("version order", 38, 2), ("suite", 39, 2)] {
            let mut bad = good.clone();
            bad[at] = value;
            assert!(!decodes(&bad), "{name}");
        }
        assert!(!decodes(&[good.as_slice(), &[0]].concat()), "trailing byte");
    }

    #[test]
    fn hashes_differ_by_every_part_and_purpose() {
        let keyring = Keyring::generate(DEPLOYMENT, TENANT);
        let address = |kind, mount, directory: &str, name: &str| {
            keyring.record_key(&Address { kind, mount: MountId(mount), directory: directory.into(), name: name.into() })
        };
        let keys = [
            address(Kind::KvMetadata, [0; 16], "a/", "b"),
            address(Kind::KvVersion, [0; 16], "a/", "b"),
            address(Kind::KvMetadata, [1; 16], "a/", "b"),
            address(Kind::KvMetadata, [0; 16], "", "a/b"),
            address(Kind::KvMetadata, [0; 16], "a/", "c"),
            Keyring::generate(DEPLOYMENT, TENANT).record_key(&Address::tree(Kind::KvMetadata, MountId([0; 16]), "a/b")),
        ];
        let distinct: std::collections::BTreeSet<_> = keys.into_iter().collect();
        assert_eq!(distinct.len(), keys.len());
        assert_ne!(keyring.token_hash("x"), keyring.reference_hash("x"));
        assert_ne!(keyring.token_hash("x"), keyring.batch_mac(&[b"x"]));
        assert!(!keyring.audit_hash(b"x").ends_with(&data_encoding::HEXLOWER.encode(&keyring.batch_mac(&[b"x"]))));
        assert_ne!(keyring.recovery_code_hash("e", "x"), keyring.batch_mac(&[b"e", b"x"]));
        assert_ne!(keyring.recovery_code_hash("e", "x"), keyring.recovery_code_hash("f", "x"));
        let dir = |kind, mount, directory| keyring.dir_key(kind, MountId(mount), directory);
        assert_ne!(dir(Kind::KvMetadata, [0; 16], "a/"), dir(Kind::Mount, [0; 16], "a/"));
        assert_ne!(dir(Kind::KvMetadata, [0; 16], "a/"), dir(Kind::KvMetadata, [1; 16], "a/"));
        assert_ne!(dir(Kind::KvMetadata, [0; 16], "a/"), dir(Kind::KvMetadata, [0; 16], ""));
    }
}
