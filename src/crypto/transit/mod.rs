//! Keys of the Transit engine: what one version of a key is made of, and what is done with it.
//!
//! Owns the types of keys, their stored and exchanged forms, and nothing about requests, versions or policies. Stored forms:
//! symmetric and HMAC keys are their bytes, Ed25519 its seed and public key (64 bytes), ECDSA the private number and the
//! uncompressed point, RSA PKCS #8 and a `SubjectPublicKeyInfo`, ML-DSA its seed of 32 bytes and the public key.
//!
//! A ciphertext is nonce ‖ text ‖ tag, as `OpenBao` writes it. It does not commit to its key: who can choose two keys can make
//! one ciphertext that opens under both. One type of key, which is ours alone, does commit (`symmetric`). What the server seals
//! for itself is sealed by the envelope, never by these keys.

mod decimal;
mod der;
mod exchange;
mod key;
mod kind;
mod portable;
pub(in crate::crypto) mod symmetric;
#[cfg(test)]
mod tests;

pub use super::hazmat::digest::Hash;
pub use super::hazmat::rsa::{Padding, Salt};
pub use exchange::{Export, fixed_signature, is_signature, signature_of_fixed};
pub use key::{Derivation, Key, KeyError, Signable, WrappingKey};
pub use kind::KeyType;

/// HMAC of a text under a key of any length.
pub fn mac(hash: Hash, key: &crate::secret::SecretBytes, text: &[u8]) -> Vec<u8> {
    hash.mac(key.expose(), text)
}
