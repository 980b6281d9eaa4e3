//! Hash functions by name, and HMAC (RFC 2104) with them: SHA-1 (for what others still ask for), SHA-2 and SHA-3 (FIPS 180-4,
//! FIPS 202).

use aws_lc_rs::digest::{self, Algorithm};
use zeroize::Zeroizing;

/// A hash function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    /// Broken where collisions matter.
    Sha1,
    /// SHA-2.
    Sha224,
    /// SHA-2.
    Sha256,
    /// SHA-2.
    Sha384,
    /// SHA-2.
    Sha512,
    /// SHA-3.
    Sha3_256,
    /// SHA-3.
    Sha3_384,
    /// SHA-3.
    Sha3_512,
}

/// The longest block of these functions, in bytes.
const BLOCK_MAX: usize = 136;

impl Hash {
    /// The one that Vault's API names so.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "sha1" => Self::Sha1,
            "sha2-224" => Self::Sha224,
            "sha2-256" => Self::Sha256,
            "sha2-384" => Self::Sha384,
            "sha2-512" => Self::Sha512,
            "sha3-256" => Self::Sha3_256,
            "sha3-384" => Self::Sha3_384,
            "sha3-512" => Self::Sha3_512,
            _ => return None,
        })
    }

    fn algorithm(self) -> &'static Algorithm {
        match self {
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha224 => &digest::SHA224,
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
            Self::Sha3_256 => &digest::SHA3_256,
            Self::Sha3_384 => &digest::SHA3_384,
            Self::Sha3_512 => &digest::SHA3_512,
        }
    }

    /// Bytes that it takes in at a time: what HMAC pads keys to.
    fn block_bytes(self) -> usize {
        match self {
            Self::Sha1 | Self::Sha224 | Self::Sha256 => 64,
            Self::Sha384 | Self::Sha512 => 128,
            Self::Sha3_256 => 136,
            Self::Sha3_384 => 104,
            Self::Sha3_512 => 72,
        }
    }

    /// Bytes of a hash.
    pub fn bytes(self) -> usize {
        self.algorithm().output_len()
    }

    /// The hash of the parts, one after the other.
    pub fn of(self, parts: &[&[u8]]) -> Vec<u8> {
        let mut context = digest::Context::new(self.algorithm());
        for part in parts {
            context.update(part);
        }
        context.finish().as_ref().to_vec()
    }

    /// HMAC of `text` under a key of any length.
    pub(in crate::crypto) fn mac(self, key: &[u8], text: &[u8]) -> Vec<u8> {
        let mut padded = Zeroizing::new([0; BLOCK_MAX]);
        let hashed = (key.len() > self.block_bytes()).then(|| Zeroizing::new(self.of(&[key])));
        let key = hashed.as_ref().map_or(key, |hashed| hashed.as_slice());
        padded.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
        let pad = |with: u8| Zeroizing::new(padded.iter().take(self.block_bytes()).map(|byte| byte ^ with).collect::<Vec<u8>>());
        let inner = self.of(&[&pad(0x36), text]);
        self.of(&[&pad(0x5c), &inner])
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::hmac;
    use data_encoding::HEXLOWER;

    use super::*;

    #[test]
    fn macs_are_those_of_another_implementation() {
        let algorithms = [
            (Hash::Sha1, hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY),
            (Hash::Sha224, hmac::HMAC_SHA224),
            (Hash::Sha256, hmac::HMAC_SHA256),
            (Hash::Sha384, hmac::HMAC_SHA384),
            (Hash::Sha512, hmac::HMAC_SHA512),
        ];
        for length in [1, 32, 63, 64, 65, 127, 128, 129, 512] {
            let key = vec![7; length];
            for (hash, algorithm) in algorithms {
                let other = hmac::sign(&hmac::Key::new(algorithm, &key), b"text");
                assert_eq!(hash.mac(&key, b"text"), other.as_ref(), "{hash:?} {length}");
            }
        }
    }

    /// NIST's examples of HMAC with SHA-3: "Sample message for keylen<blocklen", and a key longer than a block.
    #[test]
    fn macs_with_sha_3_are_those_of_nist() {
        let key: Vec<u8> = (0..32).collect();
        let mac = Hash::Sha3_256.mac(&key, b"Sample message for keylen<blocklen");
        assert_eq!(HEXLOWER.encode(&mac), "4fe8e202c4f058e8dddc23d8c34e467343e23555e24fc2f025d598f558f67205");
        let key: Vec<u8> = (0..168).collect();
        let mac = Hash::Sha3_256.mac(&key, b"Sample message for keylen>blocklen");
        assert_eq!(HEXLOWER.encode(&mac), "9bcf2c238e235c3ce88404e813bd2f3a97185ac6f238c63d6229a00b07974258");
    }
}
