//! The small box for what is sealed directly under a long-lived key: tenant keys, keyrings, audit batches.
//!
//!     format (1) ‖ nonce (24) ‖ commitment (32) ‖ ciphertext ‖ tag (16)
//!     (K_enc, commitment) = HKDF-SHA-256(key, label ‖ nonce), XChaCha20-Poly1305 under K_enc with that nonce
//!
//! The nonce is random: 192 bits need no counter. The commitment is compared before anything is decrypted, so one box opens
//! under one key. What a box is bound to is its `aad`, which begins with the format.

use zeroize::Zeroizing;

use super::Fault;
use super::hazmat::aead::{self, TAG, XNONCE};
use super::hazmat::hash::equal;
use super::keys::Key;
use crate::random;

/// The format byte.
pub(super) const FORMAT: u8 = 1;

/// Seals `plaintext`, followed by zeros up to `length` bytes.
pub(super) fn seal(key: &Key, label: &[u8], aad: &[u8], plaintext: &[u8], length: usize) -> Vec<u8> {
    seal_with(key, label, aad, plaintext, length, &random::frequent())
}

/// `seal` with a given nonce: for test vectors.
pub(super) fn seal_with(key: &Key, label: &[u8], aad: &[u8], plaintext: &[u8], length: usize, nonce: &[u8; XNONCE]) -> Vec<u8> {
    let (encryption, commitment) = key.derive_committed(&[label, nonce]);
    let length = length.max(plaintext.len());
    let mut sealed = Vec::with_capacity(1 + XNONCE + commitment.len() + length + TAG);
    sealed.push(FORMAT);
    sealed.extend_from_slice(nonce);
    sealed.extend_from_slice(&commitment);
    let start = sealed.len();
    sealed.extend_from_slice(plaintext);
    sealed.resize(start + length, 0);
    let (_, text) = sealed.split_at_mut(start);
    let tag = aead::xchacha_seal(encryption.bytes(), nonce, aad, text);
    sealed.extend_from_slice(&tag);
    sealed
}

/// Opens what `seal` made with the same key, label and AAD; the padding is still there.
pub(super) fn open(key: &Key, label: &[u8], aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let ([format], rest) = sealed.split_first_chunk().ok_or(Fault::Truncated)?;
    if *format != FORMAT {
        return Err(Fault::Format);
    }
    let (nonce, rest) = rest.split_first_chunk::<XNONCE>().ok_or(Fault::Truncated)?;
    let (committed, rest) = rest.split_first_chunk::<32>().ok_or(Fault::Truncated)?;
    let (ciphertext, tag) = rest.split_last_chunk::<TAG>().ok_or(Fault::Truncated)?;
    let (encryption, commitment) = key.derive_committed(&[label, nonce]);
    if !equal(&commitment, committed) {
        return Err(Fault::Commitment);
    }
    let mut text = Zeroizing::new(ciphertext.to_vec());
    aead::xchacha_open(encryption.bytes(), nonce, aad, &mut text, tag).map_err(|_| Fault::Payload)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_counts() {
        let key = Key::random();
        let sealed = seal(&key, b"label", b"aad", b"text", 16);
        assert_eq!(open(&key, b"label", b"aad", &sealed).unwrap().as_slice(), b"text\0\0\0\0\0\0\0\0\0\0\0\0");
        assert_eq!(open(&Key::random(), b"label", b"aad", &sealed), Err(Fault::Commitment));
        assert_eq!(open(&key, b"other", b"aad", &sealed), Err(Fault::Commitment));
        assert_eq!(open(&key, b"label", b"other", &sealed), Err(Fault::Payload));
        for length in 0..sealed.len() {
            assert!(open(&key, b"label", b"aad", &sealed[..length]).is_err(), "{length}");
        }
        for at in 0..sealed.len() {
            let mut forged = sealed.clone();
            forged[at] ^= 1;
            assert!(open(&key, b"label", b"aad", &forged).is_err(), "byte {at}");
        }
    }
}
