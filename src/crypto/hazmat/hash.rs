//! SHA-256 and constant-time comparison.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// SHA-256 (FIPS 180-4) of the parts, one after the other.
pub(in crate::crypto) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

/// Compares in a time that depends on the lengths only.
pub(in crate::crypto) fn equal(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}
