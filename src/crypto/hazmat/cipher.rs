//! AEAD ciphers whose keys are expanded once and used many times: AES-GCM (NIST SP 800-38D), ChaCha20-Poly1305 (RFC 8439) and
//! XChaCha20-Poly1305. The crates wipe expanded keys when dropped.

use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes128Gcm, Aes256Gcm};
use chacha20poly1305::{ChaCha20Poly1305, XChaCha20Poly1305};

use super::aead::{Forged, TAG};

/// Which cipher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::crypto) enum Suite {
    Aes128Gcm,
    Aes256Gcm,
    ChaCha20Poly1305,
    XChaCha20Poly1305,
}

impl Suite {
    /// Bytes of a key.
    pub(in crate::crypto) fn key_bytes(self) -> usize {
        if self == Self::Aes128Gcm { 16 } else { 32 }
    }

    /// Bytes of a nonce.
    pub(in crate::crypto) fn nonce_bytes(self) -> usize {
        if self == Self::XChaCha20Poly1305 { 24 } else { 12 }
    }
}

/// A cipher with its key.
pub(in crate::crypto) enum Cipher {
    Aes128Gcm(Box<Aes128Gcm>),
    Aes256Gcm(Box<Aes256Gcm>),
    ChaCha20Poly1305(Box<ChaCha20Poly1305>),
    XChaCha20Poly1305(Box<XChaCha20Poly1305>),
}

impl Cipher {
    /// Expands a key. `None` when it has not the length that the cipher wants.
    pub(in crate::crypto) fn new(suite: Suite, key: &[u8]) -> Option<Self> {
        Some(match suite {
            Suite::Aes128Gcm => Self::Aes128Gcm(Box::new(Aes128Gcm::new_from_slice(key).ok()?)),
            Suite::Aes256Gcm => Self::Aes256Gcm(Box::new(Aes256Gcm::new_from_slice(key).ok()?)),
            Suite::ChaCha20Poly1305 => Self::ChaCha20Poly1305(Box::new(ChaCha20Poly1305::new_from_slice(key).ok()?)),
            Suite::XChaCha20Poly1305 => Self::XChaCha20Poly1305(Box::new(XChaCha20Poly1305::new_from_slice(key).ok()?)),
        })
    }

    /// Encrypts `text` in place. A nonce must never be used twice with one key for two texts. `None` when the nonce has a wrong
    /// length, or the text has more than the cipher's 64 GiB: `text` is then not encrypted.
    pub(in crate::crypto) fn seal(&self, nonce: &[u8], aad: &[u8], text: &mut [u8]) -> Option<[u8; TAG]> {
        let tag = match self {
            Self::Aes128Gcm(cipher) => cipher.encrypt_inout_detached(nonce.try_into().ok()?, aad, text.into()).ok()?,
            Self::Aes256Gcm(cipher) => cipher.encrypt_inout_detached(nonce.try_into().ok()?, aad, text.into()).ok()?,
            Self::ChaCha20Poly1305(cipher) => cipher.encrypt_inout_detached(nonce.try_into().ok()?, aad, text.into()).ok()?,
            Self::XChaCha20Poly1305(cipher) => cipher.encrypt_inout_detached(nonce.try_into().ok()?, aad, text.into()).ok()?,
        };
        Some(tag.into())
    }

    /// Decrypts `text` in place; the tag is checked first.
    pub(in crate::crypto) fn open(&self, nonce: &[u8], aad: &[u8], text: &mut [u8], tag: &[u8; TAG]) -> Result<(), Forged> {
        let opened = match (self, nonce.len()) {
            (Self::Aes128Gcm(cipher), 12) => {
                cipher.decrypt_inout_detached(nonce.try_into().map_err(|_| Forged)?, aad, text.into(), tag.into())
            }
            (Self::Aes256Gcm(cipher), 12) => {
                cipher.decrypt_inout_detached(nonce.try_into().map_err(|_| Forged)?, aad, text.into(), tag.into())
            }
            (Self::ChaCha20Poly1305(cipher), 12) => {
                cipher.decrypt_inout_detached(nonce.try_into().map_err(|_| Forged)?, aad, text.into(), tag.into())
            }
            (Self::XChaCha20Poly1305(cipher), 24) => {
                cipher.decrypt_inout_detached(nonce.try_into().map_err(|_| Forged)?, aad, text.into(), tag.into())
            }
            _ => return Err(Forged),
        };
        opened.map_err(|_| Forged)
    }
}
