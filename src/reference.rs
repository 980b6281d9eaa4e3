//! Opaque references: what other systems store in place of a secret.
//!
//! `sref_` and 32 characters of lower-case base32: 128 random bits and a 32-bit checksum. A reference carries no
//! tenant, path, engine or size, and it is not a credential: whoever holds it still needs the right to resolve it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::crypto;
use crate::id::{MountId, ObjectId};
use crate::record::{Address, Kind, Listing, SYSTEM};
use crate::time::Timestamp;

const PREFIX: &str = "sref_";

/// A well-formed reference.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Reference(String);

impl Reference {
    /// A fresh reference.
    pub fn random() -> Self {
        Self::from_random(crate::random::bytes())
    }

    fn from_random(random: [u8; 16]) -> Self {
        let mut raw = [0; 20];
        raw[..16].copy_from_slice(&random);
        raw[16..].copy_from_slice(&checksum(&random));
        Self(format!("{PREFIX}{}", data_encoding::BASE32_NOPAD.encode(&raw).to_ascii_lowercase()))
    }

    /// Reads a reference; `None` when the form or the checksum is wrong (a typing error, a cut copy).
    pub fn parse(text: &str) -> Option<Self> {
        let body = text.strip_prefix(PREFIX)?;
        if body.len() != 32 || body.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return None;
        }
        let raw: [u8; 20] = data_encoding::BASE32_NOPAD.decode(body.to_ascii_uppercase().as_bytes()).ok()?.try_into().ok()?;
        let (random, check) = raw.split_at(16);
        (check == checksum(random)).then(|| Self(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Finds typing errors only; it keeps nobody from making up a well-formed reference.
fn checksum(random: &[u8]) -> [u8; 4] {
    let [a, b, c, d, ..] = crypto::sha256(&[b"strongroom reference checksum", random]);
    [a, b, c, d]
}

/// What a reference points to. Stored under the reference's keyed hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReferenceRecord {
    /// The mount of the target.
    pub target_mount: MountId,
    /// The path of the target in its mount.
    pub target_path: String,
    /// The target itself: another secret that is later made at the same path is not it.
    pub target_object: ObjectId,
    /// Always this version, instead of the newest.
    #[serde(default)]
    pub pinned: Option<u64>,
    /// One field of the value, instead of all.
    #[serde(default)]
    pub field: Option<String>,
    /// When it was made.
    pub created: Timestamp,
    /// Made with the secret's first version, and for one consumer.
    #[serde(default)]
    pub standing: bool,
}

crate::json_record!(ReferenceRecord, Kind::Reference, Listing::None);

impl ReferenceRecord {
    /// Where the record of `reference` lives in the tenant whose keyring this is.
    pub fn address(keyring: &crypto::Keyring, reference: &Reference) -> Address {
        let hash = keyring.reference_hash(reference.as_str());
        Address { kind: Kind::Reference, mount: SYSTEM, directory: String::new(), name: data_encoding::HEXLOWER.encode(&hash) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_recognised_and_typing_errors_found() {
        let reference = Reference::random();
        assert_eq!(reference.as_str().len(), 37);
        assert_eq!(Reference::parse(reference.as_str()), Some(reference.clone()));
        for at in PREFIX.len()..37 {
            let mut text = reference.as_str().to_owned().into_bytes();
            text[at] = if text[at] == b'a' { b'b' } else { b'a' };
            assert_eq!(Reference::parse(std::str::from_utf8(&text).unwrap()), None, "position {at}");
        }
        assert_eq!(Reference::parse(&reference.as_str().to_uppercase()), None);
        assert_eq!(Reference::parse("sref_short"), None);
        assert_eq!(Reference::parse(""), None);
    }

    #[test]
    fn the_format_is_fixed() {
        assert_eq!(Reference::from_random([0; 16]).as_str().len(), 37);
        assert!(Reference::from_random([0; 16]).as_str().starts_with("sref_aaaaaaaaaaaaaaaaaaaaaaaaa"));
    }
}
