//! SHA-2 and constant-time comparison.

use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};
use subtle::ConstantTimeEq;

/// SHA-256 (FIPS 180-4) of the parts, one after the other.
pub(in crate::crypto) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

/// The hash of `bytes` by the SHA-2 function (FIPS 180-4) with an output of so many bits: 224, 256, 384 or 512.
pub(in crate::crypto) fn sha2(bits: u16, bytes: &[u8]) -> Option<Vec<u8>> {
    Some(match bits {
        224 => Sha224::digest(bytes).to_vec(),
        256 => Sha256::digest(bytes).to_vec(),
        384 => Sha384::digest(bytes).to_vec(),
        512 => Sha512::digest(bytes).to_vec(),
        _ => return None,
    })
}

/// Compares in a time that depends on the lengths only.
pub(in crate::crypto) fn equal(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}
