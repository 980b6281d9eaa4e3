//! HMAC-SHA-256 (RFC 2104) and HKDF-SHA-256 (RFC 5869).

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::{Zeroize, Zeroizing};

use crate::secret::SecretBytes;

/// An HMAC key, already absorbed: each use clones the keyed state and saves two of the four compressions.
pub(in crate::crypto) struct MacKey(Hmac<Sha256>);

impl MacKey {
    /// Absorbs `key`, of any length.
    #[expect(clippy::expect_used, reason = "HMAC takes keys of every length")]
    pub(in crate::crypto) fn new(key: &[u8]) -> Self {
        Self(Hmac::new_from_slice(key).expect("HMAC takes keys of every length"))
    }

    /// HMAC over the parts, each behind its length (u64), so that no two lists of parts are the same text.
    pub(in crate::crypto) fn mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = self.0.clone();
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

/// `length` bytes of HKDF-SHA-256 of a key of any length, without a salt.
pub(in crate::crypto) fn hkdf_of(key: &[u8], info: &[u8], length: usize) -> Option<SecretBytes> {
    let mut output = Zeroizing::new(vec![0; length]);
    let (mut pseudorandom_key, expander) = Hkdf::<Sha256>::extract(None, key);
    let filled = expander.expand(info, &mut output);
    pseudorandom_key.as_mut_slice().zeroize();
    filled.ok().map(|()| SecretBytes::from_wiping(output))
}

/// Fills `output` with HKDF-SHA-256 of `key` (no salt: the key is uniform, RFC 5869 section 3.1) and the parts of `info`,
/// one after the other.
#[expect(clippy::expect_used, reason = "HKDF fails above 8,160 bytes of output only")]
pub(in crate::crypto) fn hkdf<const N: usize>(key: &[u8; 32], info: &[&[u8]], output: &mut [u8; N]) {
    const { assert!(N <= 255 * 32, "RFC 5869 section 2.3") };
    let (mut pseudorandom_key, expander) = Hkdf::<Sha256>::extract(None, key);
    expander.expand_multi_info(info, output).expect("the length was checked when this was compiled");
    pseudorandom_key.as_mut_slice().zeroize();
}
