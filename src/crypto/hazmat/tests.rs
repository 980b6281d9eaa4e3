//! The ciphers against a second implementation (aws-lc-rs), and the attack that key commitment is there for.

use aws_lc_rs::aead::{AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use proptest::prelude::*;

use super::aead;

/// Ciphertext and tag, by aws-lc-rs.
fn reference(algorithm: &'static Algorithm, key: &[u8; 32], nonce: [u8; 12], aad: &[u8], text: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let key = LessSafeKey::new(UnboundKey::new(algorithm, key).unwrap());
    let mut text = text.to_vec();
    let tag = key.seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), &mut text).unwrap();
    (text, tag.as_ref().to_vec())
}

/// `HChaCha20` (draft-irtf-cfrg-xchacha-03 section 2.2), written out: aws-lc-rs has no `XChaCha20`.
fn hchacha20(key: &[u8; 32], nonce: &[u8; 16]) -> [u8; 32] {
    let word = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().unwrap());
    let mut state = [0_u32; 16];
    let input = [b"expand 32-byte k", key.as_slice(), nonce.as_slice()].concat();
    for (slot, bytes) in state.iter_mut().zip(input.chunks(4)) {
        *slot = word(bytes);
    }
    for round in 0..20 {
        for column in 0..4 {
            // Columns, then diagonals.
            let shift = round % 2;
            let [a, b, c, d] = std::array::from_fn(|row| row * 4 + (column + row * shift) % 4);
            for (sum, with, mixed, bits) in [(a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)] {
                state[sum] = state[sum].wrapping_add(state[with]);
                state[mixed] = (state[mixed] ^ state[sum]).rotate_left(bits);
            }
        }
    }
    let mut output = [0; 32];
    for (bytes, at) in output.chunks_mut(4).zip([0, 1, 2, 3, 12, 13, 14, 15]) {
        bytes.copy_from_slice(&state[at].to_le_bytes());
    }
    output
}

proptest! {
    #[test]
    fn aes_gcm_agrees(key: [u8; 32], nonce: [u8; 12], aad: Vec<u8>, text in prop::collection::vec(any::<u8>(), 0..600)) {
        let mut ours = text.clone();
        let tag = aead::aes_seal(&key, &nonce, &aad, &mut ours);
        let (ciphertext, expected) = reference(&AES_256_GCM, &key, nonce, &aad, &text);
        prop_assert_eq!((&ours, tag.as_slice()), (&ciphertext, expected.as_slice()));
        prop_assert!(aead::aes_open(&key, &nonce, &aad, &mut ours, &tag).is_ok());
        prop_assert_eq!(ours, text);
    }

    #[test]
    fn xchacha_agrees(key: [u8; 32], nonce: [u8; 24], aad: Vec<u8>, text in prop::collection::vec(any::<u8>(), 0..600)) {
        let mut ours = text.clone();
        let tag = aead::xchacha_seal(&key, &nonce, &aad, &mut ours);
        let subkey = hchacha20(&key, nonce[..16].try_into().unwrap());
        let mut inner = [0; 12];
        inner[4..].copy_from_slice(&nonce[16..]);
        let (ciphertext, expected) = reference(&CHACHA20_POLY1305, &subkey, inner, &aad, &text);
        prop_assert_eq!((&ours, tag.as_slice()), (&ciphertext, expected.as_slice()));
        prop_assert!(aead::xchacha_open(&key, &nonce, &aad, &mut ours, &tag).is_ok());
        prop_assert_eq!(ours, text);
    }
}

#[test]
fn a_wrong_tag_leaves_the_ciphertext() {
    let (key, mut text) = ([1; 32], *b"some text");
    let tag = aead::aes_seal(&key, &[0; 12], b"", &mut text);
    let ciphertext = text;
    assert!(aead::aes_open(&key, &[0; 12], b"x", &mut text, &tag).is_err());
    assert_eq!(text, ciphertext);
}

/// RFC 5869 appendix A.3 (no salt, no info) has a key of 22 bytes; ours are 32, so HKDF is rebuilt from HMAC here.
#[test]
fn hkdf_is_extract_and_expand() {
    let mac = |key: &[u8], text: &[u8]| {
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, key);
        aws_lc_rs::hmac::sign(&key, text).as_ref().to_vec()
    };
    let key = [7; 32];
    let pseudorandom_key = mac(&[0; 32], &key);
    let first = mac(&pseudorandom_key, b"info\x01");
    let second = mac(&pseudorandom_key, &[first.as_slice(), b"info\x02"].concat());
    let mut output = [0; 64];
    super::kdf::hkdf(&key, &[b"in", b"fo"], &mut output);
    assert_eq!(output.as_slice(), [first, second].concat());
    let framed = [&[0, 0, 0, 0, 0, 0, 0, 2], b"ab".as_slice(), &[0; 8]].concat();
    assert_eq!(super::kdf::MacKey::new(&key).mac(&[b"ab", b""]).as_slice(), mac(&key, &framed));
    assert_eq!(super::hash::sha256(&[b"a", b"bc"])[..4], [0xba, 0x78, 0x16, 0xbf]);
}
