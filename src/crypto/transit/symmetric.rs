//! Symmetric encryption: the form that `OpenBao` writes, and one of our own that commits to its key.
//!
//!     stock       nonce ‖ text ‖ tag
//!     committing  format (1) ‖ nonce (24) ‖ commitment (32) ‖ text ‖ tag (16)
//!                 (K_enc, commitment) = HKDF-SHA-256(key, label ‖ format ‖ nonce ‖ SHA-256(associated data))
//!                 text and tag are AES-256-GCM under K_enc
//!
//! A committing ciphertext opens under one key, with one associated data only: nobody can find two that have the same
//! commitment short of a collision of SHA-256, and it is compared before anything is decrypted. Each nonce has a `K_enc` of its own,
//! so that AES-GCM's nonce is fixed at zero and random nonces need not be counted.

use zeroize::Zeroizing;

use super::KeyError;
use crate::crypto::hazmat::aead::{self, TAG};
use crate::crypto::hazmat::cipher::{Cipher, Suite};
use crate::crypto::hazmat::hash::{equal, sha256};
use crate::crypto::keys;
use crate::secret::SecretBytes;

const FORMAT: u8 = 1;
const LABEL: &[u8] = b"strongroom v1 transit committing";
const NONCE: usize = 24;
const COMMITMENT: usize = 32;
const PAYLOAD_NONCE: [u8; 12] = [0; 12];

/// How texts are encrypted.
#[derive(Clone, Copy)]
pub(in crate::crypto) enum Scheme {
    /// As elsewhere.
    Stock(Suite),
    /// With a commitment to the key.
    Committing,
}

/// A key that is ready for use; wiped when dropped.
pub(in crate::crypto) enum Sealer {
    Stock(Suite, Cipher),
    Committing(keys::Key),
}

impl Scheme {
    /// Bytes of a key.
    pub(in crate::crypto) fn key_bytes(self) -> usize {
        match self {
            Self::Stock(suite) => suite.key_bytes(),
            Self::Committing => 32,
        }
    }

    /// Bytes of a nonce.
    pub(in crate::crypto) fn nonce_bytes(self) -> usize {
        match self {
            Self::Stock(suite) => suite.nonce_bytes(),
            Self::Committing => NONCE,
        }
    }

    /// `None` when the key has not the length that is wanted.
    pub(in crate::crypto) fn sealer(self, key: &[u8]) -> Option<Sealer> {
        match self {
            Self::Stock(suite) => Some(Sealer::Stock(suite, Cipher::new(suite, key)?)),
            Self::Committing => Some(Sealer::Committing(keys::Key::from_slice(key)?)),
        }
    }
}

impl Sealer {
    /// Encrypts. One nonce must never be used for two texts.
    pub(in crate::crypto) fn seal(&self, nonce: &[u8], aad: &[u8], text: &SecretBytes) -> Result<Vec<u8>, KeyError> {
        let mut out = Zeroizing::new(Vec::with_capacity(1 + nonce.len() + COMMITMENT + text.len() + TAG));
        let tag = match self {
            Self::Stock(_, cipher) => {
                out.extend_from_slice(nonce);
                let body = append(&mut out, text).ok_or(KeyError::Unusable)?;
                cipher.seal(nonce, aad, body).ok_or(KeyError::Unusable)?
            }
            Self::Committing(key) => {
                let (encryption, commitment) = committed(key, nonce, aad);
                out.push(FORMAT);
                out.extend_from_slice(nonce);
                out.extend_from_slice(&commitment);
                let body = append(&mut out, text).ok_or(KeyError::Unusable)?;
                aead::aes_seal(encryption.bytes(), &PAYLOAD_NONCE, aad, body)
            }
        };
        out.extend_from_slice(&tag);
        Ok(std::mem::take(&mut *out))
    }

    /// Decrypts. Everything that does not open looks the same.
    pub(in crate::crypto) fn open(&self, aad: &[u8], sealed: &[u8]) -> Result<SecretBytes, KeyError> {
        self.opened(aad, sealed).map(SecretBytes::from_wiping).ok_or(KeyError::Open)
    }

    fn opened(&self, aad: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        match self {
            Self::Stock(suite, cipher) => {
                let (nonce, rest) = sealed.split_at_checked(suite.nonce_bytes())?;
                let (body, tag) = rest.split_last_chunk::<TAG>()?;
                let mut text = Zeroizing::new(body.to_vec());
                cipher.open(nonce, aad, &mut text, tag).ok()?;
                Some(text)
            }
            Self::Committing(key) => {
                let (nonce, rest) = sealed.strip_prefix(&[FORMAT])?.split_first_chunk::<NONCE>()?;
                let (commitment, rest) = rest.split_first_chunk::<COMMITMENT>()?;
                let (body, tag) = rest.split_last_chunk::<TAG>()?;
                let (encryption, expected) = committed(key, nonce, aad);
                if !equal(&expected, commitment) {
                    return None;
                }
                let mut text = Zeroizing::new(body.to_vec());
                aead::aes_open(encryption.bytes(), &PAYLOAD_NONCE, aad, &mut text, tag).ok()?;
                Some(text)
            }
        }
    }
}

/// The key of one ciphertext, and the commitment to all that it is made of.
pub(in crate::crypto) fn committed(key: &keys::Key, nonce: &[u8], aad: &[u8]) -> (keys::Key, [u8; COMMITMENT]) {
    key.derive_committed(&[LABEL, &[FORMAT], nonce, &sha256(&[aad])])
}

fn append<'a>(out: &'a mut Vec<u8>, text: &SecretBytes) -> Option<&'a mut [u8]> {
    let start = out.len();
    out.extend_from_slice(text.expose());
    out.get_mut(start..)
}
