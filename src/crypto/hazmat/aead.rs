//! Authenticated encryption, in place: AES-256-GCM (NIST SP 800-38D) and XChaCha20-Poly1305 (RFC 8439 with the
//! 192-bit nonce of draft-irtf-cfrg-xchacha). Both crates wipe their expanded keys when dropped.

use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{AeadCore, AeadInOut, KeyInit, KeySizeUser, Nonce, Tag};
use chacha20poly1305::XChaCha20Poly1305;

/// Bytes of the tag of both ciphers.
pub(in crate::crypto) const TAG: usize = 16;
/// Bytes of an XChaCha20-Poly1305 nonce.
pub(in crate::crypto) const XNONCE: usize = 24;

/// A tag did not match; the buffer still holds the ciphertext.
pub(in crate::crypto) struct Forged;

/// Encrypts `text` in place with AES-256-GCM. A (key, nonce) pair must never be used twice.
pub(in crate::crypto) fn aes_seal(key: &[u8; 32], nonce: &[u8; 12], aad: &[u8], text: &mut [u8]) -> [u8; TAG] {
    seal(&Aes256Gcm::new(key.into()), nonce.into(), aad, text).into()
}

/// Decrypts `text` in place with AES-256-GCM; the tag is checked first.
pub(in crate::crypto) fn aes_open(
    key: &[u8; 32],
    nonce: &[u8; 12],
    aad: &[u8],
    text: &mut [u8],
    tag: &[u8; TAG],
) -> Result<(), Forged> {
    Aes256Gcm::new(key.into()).decrypt_inout_detached(nonce.into(), aad, text.into(), tag.into()).map_err(|_| Forged)
}

/// Encrypts `text` in place with XChaCha20-Poly1305. Nonces are random: 192 bits never collide in practice.
pub(in crate::crypto) fn xchacha_seal(key: &[u8; 32], nonce: &[u8; XNONCE], aad: &[u8], text: &mut [u8]) -> [u8; TAG] {
    seal(&XChaCha20Poly1305::new(key.into()), nonce.into(), aad, text).into()
}

/// Decrypts `text` in place with XChaCha20-Poly1305; the tag is checked first.
pub(in crate::crypto) fn xchacha_open(
    key: &[u8; 32],
    nonce: &[u8; XNONCE],
    aad: &[u8],
    text: &mut [u8],
    tag: &[u8; TAG],
) -> Result<(), Forged> {
    XChaCha20Poly1305::new(key.into()).decrypt_inout_detached(nonce.into(), aad, text.into(), tag.into()).map_err(|_| Forged)
}

#[expect(clippy::expect_used, reason = "only a text of 64 GiB fails, and going on would store it in the clear")]
fn seal<C: AeadInOut + AeadCore + KeySizeUser>(cipher: &C, nonce: &Nonce<C>, aad: &[u8], text: &mut [u8]) -> Tag<C> {
    cipher.encrypt_inout_detached(nonce, aad, text.into()).expect("texts are far below the limit of the cipher")
}
