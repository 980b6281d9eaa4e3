//! One ciphertext, two keys: AES-GCM allows it, the envelope and Transit's committing keys do not (the technique behind
//! CVE-2020-8897).
//!
//! The tag of AES-GCM is E(J0) xor GHASH, and GHASH is a polynomial in H = E(0) over GF(2^128) whose coefficients are the blocks
//! of AAD and ciphertext and the lengths. For two keys and one nonce, a single free ciphertext block x has to satisfy
//!
//!     tag1 = tag2:  mask1 + rest1 + x * H1^2 = mask2 + rest2 + x * H2^2
//!
//! which is linear in x: x = (mask1 + rest1 + mask2 + rest2) / (H1^2 + H2^2). All of H, mask and rest can be read off tags.

use super::Fault;
use super::envelope::{self, Fresh, PayloadKey, Place, Suite, WrappingKey};
use super::framing::framed;
use super::hazmat::aead::{aes_open, aes_seal};
use super::keys::Key;
use super::transit::{self, KeyError, KeyType, symmetric};
use crate::id::{DeploymentId, ObjectId, TenantId};
use crate::secret::SecretBytes;

const NONCE: [u8; 12] = [0; 12];

/// Multiplication in GHASH's field (NIST SP 800-38D section 6.3): the first bit of a block is the constant term.
fn multiply(a: u128, b: u128) -> u128 {
    let (mut product, mut shifted) = (0, a);
    for bit in (0..128).rev() {
        if b >> bit & 1 == 1 {
            product ^= shifted;
        }
        shifted = (shifted >> 1) ^ if shifted & 1 == 1 { 0xe1 << 120 } else { 0 };
    }
    product
}

/// a^(2^128 - 2).
fn inverse(a: u128) -> u128 {
    let mut result = 1 << 127;
    for _ in 0..127 {
        result = multiply(multiply(result, result), a);
    }
    multiply(result, result)
}

/// The tag over AAD and a *ciphertext*: encrypting twice gives the keystream back, so the text that encrypts to it is known.
fn tag_of(key: &Key, aad: &[u8], ciphertext: &[u8]) -> u128 {
    let mut keystream = vec![0; ciphertext.len()];
    aes_seal(key.bytes(), &NONCE, b"", &mut keystream);
    let mut text: Vec<u8> = keystream.iter().zip(ciphertext).map(|(a, b)| a ^ b).collect();
    u128::from_be_bytes(aes_seal(key.bytes(), &NONCE, aad, &mut text))
}

/// H of a key: with one zero block as AAD, GHASH is lengths * H.
fn ghash_key(key: &Key) -> u128 {
    let mask = tag_of(key, b"", b"");
    multiply(tag_of(key, &[0; 16], b"") ^ mask, inverse(128 << 64))
}

/// Two blocks of ciphertext and a tag that open under both keys.
fn for_both(first: &Key, second: &Key, aad: &[u8]) -> (Vec<u8>, [u8; 16]) {
    let mut ciphertext = vec![0x42; 32];
    ciphertext[16..].fill(0);
    let [h1, h2] = [first, second].map(ghash_key);
    let difference = tag_of(first, aad, &ciphertext) ^ tag_of(second, aad, &ciphertext);
    let x = multiply(difference, inverse(multiply(h1, h1) ^ multiply(h2, h2)));
    ciphertext[16..].copy_from_slice(&x.to_be_bytes());
    let tag = tag_of(first, aad, &ciphertext);
    (ciphertext, tag.to_be_bytes())
}

#[test]
fn one_ciphertext_that_two_keys_open_is_refused() {
    let wrapping = WrappingKey { version: 1, suite: Suite::AesGcm, key: Key::random() };
    let (deployment, tenant, object) = (DeploymentId([1; 16]), TenantId([2; 16]), ObjectId([3; 16]));
    let place = Place { deployment, tenant, kind: 9, object, version: 1 };
    let aad = framed(&[&[1], &[1], &deployment.0, &tenant.0, &[9], &object.0, &1_u64.to_be_bytes()]);
    let data_keys = [[7; 32], [8; 32]];

    // What an attacker who knows both DataKeys can make: the two payload keys, and a ciphertext for both.
    let payload_keys = data_keys.map(|key| {
        let key = Key::from_slice(&key).unwrap();
        key.derive_committed(&[b"strongroom v1 envelope", &[1, 1]]).0
    });
    let (ciphertext, tag) = for_both(&payload_keys[0], &payload_keys[1], &aad);
    let texts = payload_keys.each_ref().map(|key| {
        let mut text = ciphertext.clone();
        assert!(aes_open(key.bytes(), &NONCE, &aad, &mut text, &tag).is_ok(), "AES-GCM alone opens it");
        text
    });
    assert_ne!(texts[0], texts[1]);

    // Two envelopes around it, with both wraps and the first key's commitment.
    let envelopes = data_keys.map(|key| {
        let mut envelope = Vec::new();
        let fresh = Fresh { data_key: Key::from_slice(&key).unwrap(), wrap_nonce: [5; 24] };
        envelope::seal_into(&mut envelope, &wrapping, &place, fresh, &[], ciphertext.len());
        let payload = envelope.len() - ciphertext.len() - tag.len();
        envelope[payload..].copy_from_slice(&[ciphertext.as_slice(), &tag].concat());
        envelope
    });
    let [first, mut second] = envelopes;
    let commitment = 1 + 1 + 4 + 72..1 + 1 + 4 + 72 + 32;
    second[commitment.clone()].copy_from_slice(&first[commitment]);
    let open = |envelope: &[u8]| {
        let key = PayloadKey::unwrap(|_| Some(&wrapping), &place, envelope)?;
        key.open(&place, envelope).map(|text| text.to_vec())
    };
    assert_eq!(open(&first), Ok(texts[0].clone()));
    assert_eq!(open(&second), Err(Fault::Commitment));
}

/// Transit keys with these bytes, as they are imported.
fn imported(kind: KeyType) -> [transit::Key; 2] {
    [[7; 32], [8; 32]].map(|bytes| transit::Key::import(kind, &SecretBytes::new(bytes.to_vec())).unwrap())
}

#[test]
fn one_transit_ciphertext_that_two_keys_open_is_refused_by_committing_keys() {
    let aad = b"order 7";
    // Keys of a stock type open it: nonce, text and tag are all there is.
    let keys = [[7; 32], [8; 32]].map(|key| Key::from_slice(&key).unwrap());
    let (ciphertext, tag) = for_both(&keys[0], &keys[1], aad);
    let sealed = [&NONCE[..], &ciphertext, &tag].concat();
    let texts = imported(KeyType::Aes256Gcm96).map(|key| key.decrypt(None, aad, &sealed).unwrap().expose().to_vec());
    assert_ne!(texts[0], texts[1]);

    // Committing keys refuse it as it is; and what is made for the two keys that they would decrypt with opens under the one
    // that it commits to.
    let nonce = [5; 24];
    let derived = keys.each_ref().map(|key| symmetric::committed(key, &nonce, aad));
    let (ciphertext, tag) = for_both(&derived[0].0, &derived[1].0, aad);
    let committing = imported(KeyType::Aes256GcmCommitting);
    for (at, (_, commitment)) in derived.iter().enumerate() {
        assert_eq!(committing[at].decrypt(None, aad, &sealed).err(), Some(KeyError::Open));
        let sealed = [&[1], &nonce[..], commitment, &ciphertext, &tag].concat();
        assert!(committing[at].decrypt(None, aad, &sealed).is_ok());
        assert_eq!(committing[1 - at].decrypt(None, aad, &sealed).err(), Some(KeyError::Open));
        assert_eq!(committing[at].decrypt(None, b"order 8", &sealed).err(), Some(KeyError::Open));
        let unknown = [&[2], sealed.get(1..).unwrap()].concat();
        assert_eq!(committing[at].decrypt(None, aad, &unknown).err(), Some(KeyError::Open));
    }
}

/// Ciphertexts are kept by others: one that was made once opens for ever.
#[test]
fn the_format_of_committing_keys_is_fixed() {
    let fixed = symmetric::Scheme::Committing.sealer(&[7; 32]).unwrap();
    let sealed = fixed.seal(&[5; 24], b"order 7", &SecretBytes::new(b"hello".to_vec())).unwrap();
    assert_eq!(data_encoding::HEXLOWER.encode(&sealed), FIXED);
    let [key, _] = imported(KeyType::Aes256GcmCommitting);
    let opened = key.decrypt(None, b"order 7", &data_encoding::HEXLOWER.decode(FIXED.as_bytes()).unwrap()).unwrap();
    assert_eq!(opened.expose(), b"hello");
}

/// HKDF of it was computed by another implementation, too.
const FIXED: &str = "01050505050505050505050505050505050505050505050505\
    ecc956790420f67f851fe291b80c177e6524c53ed085ffd8270b0e1da524ac0b5063ef4ff78efd6d12a5b81d7b81ac2a045a3cbe01";
