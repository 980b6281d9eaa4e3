//! All cryptography on stored data: keys, the tenant's keyring, the envelope around every value. Pure: no IO but the
//! operating system's random generator.
//!
//! Owns the byte formats and the derivations; must not know stores, seals or requests. Only `hazmat/` names cipher crates.
//! Keys are 32 bytes, lengths are bytes, numbers inside formats are big endian. Every format begins with a format byte, and
//! what was written once opens for ever: `vectors/` holds bytes that every later version must still open.

mod backup;
mod batch;
mod batch_token;
#[cfg(test)]
mod commitment_tests;
mod envelope;
mod framing;
mod hazmat;
mod keyring;
mod keys;
mod login_state;
mod name;
mod padding;
pub mod password;
mod public_key;
mod record;
mod recovery;
mod sealed_box;
mod signing;
pub mod totp;
pub mod transit;
#[cfg(test)]
mod vectors;
mod verifying;

pub use backup::{BackupKey, ChunkPlace};
pub use keyring::Keyring;
pub use keys::{RootKey, TenantKey, WrapContext};
pub use public_key::NoPublicKey;
pub use record::{Opened, RecordOpener, Subject};
pub use recovery::{RecoveryKey, RecoveryPublicKey};
pub use signing::{SigningAlgorithm, SigningError, SigningKey, VerifyingKey};
pub use verifying::VerifyingAlgorithm;

use crate::secret::SecretBytes;

/// Something sealed does not open. It carries nothing, on purpose: why it failed helps only whoever is trying keys or places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("does not open")]
pub struct OpenError;

/// Why something did not open. Stays inside `crypto/`, where tests check that a forgery fails for the expected reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// Shorter than the format's fixed parts.
    Truncated,
    /// A format byte that this version does not know.
    Format,
    /// The suite byte differs from the suite that the wrapping key's version fixes.
    Suite,
    /// The keyring has no wrapping key of that version.
    UnknownKey,
    /// The wrapped `DataKey` does not open: wrong wrapping key, other place, or damaged.
    Wrap,
    /// The key is not the one that the ciphertext commits to.
    Commitment,
    /// The ciphertext does not open: other place, or damaged.
    Payload,
    /// It opened, and says that it belongs into another row.
    Row,
    /// It opened, and its content does not parse.
    Content,
}

impl From<Fault> for OpenError {
    fn from(_: Fault) -> Self {
        Self
    }
}

/// SHA-256 (FIPS 180-4) of the parts, one after the other.
pub fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    hazmat::hash::sha256(parts)
}

/// HMAC-SHA-256 (RFC 2104) under `key`, of any length, over the parts, each behind its length (u64).
pub fn keyed_hash(key: &SecretBytes, parts: &[&[u8]]) -> [u8; 32] {
    hazmat::kdf::MacKey::new(key.expose()).mac(parts)
}

/// Compares in a time that depends on the lengths only.
pub fn equal(a: &[u8], b: &[u8]) -> bool {
    hazmat::hash::equal(a, b)
}
