//! Every type of key through everything that it can do, and published vectors.

use data_encoding::{BASE64, HEXLOWER};

use super::*;
use crate::json::Json;
use crate::secret::SecretBytes;

const CONVERGENT: Option<Derivation<'_>> = Some(Derivation { context: Some(b"context"), convergent: true });

fn secret(bytes: &[u8]) -> SecretBytes {
    SecretBytes::new(bytes.to_vec())
}

fn hex(text: &str) -> Vec<u8> {
    HEXLOWER.decode(text.as_bytes()).unwrap()
}

/// Types whose keys are quickly made.
fn quick() -> impl Iterator<Item = KeyType> {
    KeyType::ALL.into_iter().filter(|kind| !matches!(kind, KeyType::Rsa3072 | KeyType::Rsa4096))
}

/// By parts, as a record has it; by a backup; and, where there is one, by its public half.
fn copies(key: &Key) -> Vec<Key> {
    let json = Json::object(|out| key.write_portable(out).unwrap());
    let restored = Key::read_portable(key.kind(), std::str::from_utf8(json.expose()).unwrap()).unwrap();
    vec![key.duplicate(), restored]
}

#[test]
fn names_of_types_are_read_back() {
    for kind in KeyType::ALL {
        assert_eq!(KeyType::parse(kind.name()), Some(kind));
        assert_eq!(serde_json::to_string(&kind).unwrap(), format!("{:?}", kind.name()));
    }
    assert_eq!(KeyType::parse("ml-dsa-65"), Some(KeyType::MlDsa65));
    assert_eq!(KeyType::parse("rsa-1024"), None);
    assert_eq!(KeyType::parse(""), None);
}

#[test]
fn what_a_key_encrypts_its_copies_open_and_no_other_key() {
    for kind in quick().filter(|kind| kind.encrypts()) {
        let (key, other) = (Key::generate(kind, 0).unwrap(), Key::generate(kind, 0).unwrap());
        let sealed = key.encrypt(None, b"", &secret(b"text")).unwrap();
        for copy in copies(&key) {
            assert_eq!(copy.decrypt(None, b"", &sealed).unwrap().expose(), b"text", "{kind:?}");
        }
        assert_eq!(other.decrypt(None, b"", &sealed).err(), Some(KeyError::Open), "{kind:?}");
        for at in [0, sealed.len() / 2, sealed.len() - 1] {
            let mut forged = sealed.clone();
            forged[at] ^= 1;
            assert_eq!(key.decrypt(None, b"", &forged).err(), Some(KeyError::Open), "{kind:?} {at}");
        }
        for length in [0, 5, 27, sealed.len() - 1] {
            assert_eq!(key.decrypt(None, b"", &sealed[..length]).err(), Some(KeyError::Open), "{kind:?} {length}");
        }
    }
}

#[test]
fn associated_data_and_context_must_be_the_same() {
    for kind in quick().filter(|kind| kind.is_symmetric()) {
        let key = Key::generate(kind, 0).unwrap();
        let sealed = key.encrypt(CONVERGENT, b"about", &secret(b"text")).unwrap();
        assert_eq!(key.decrypt(CONVERGENT, b"about", &sealed).unwrap().expose(), b"text");
        let elsewhere = Some(Derivation { context: Some(b"other"), convergent: true });
        for (derivation, aad) in [(CONVERGENT, &b""[..]), (CONVERGENT, b"abouT"), (elsewhere, b"about"), (None, b"about")] {
            assert_eq!(key.decrypt(derivation, aad, &sealed).err(), Some(KeyError::Open));
        }
        let none = Some(Derivation { context: None, convergent: true });
        assert_eq!(key.encrypt(none, b"", &secret(b"text")).err(), Some(KeyError::NoContext));
    }
}

#[test]
fn convergent_nonces_follow_from_all_that_is_sealed() {
    let key = Key::generate(KeyType::Aes256Gcm96, 0).unwrap();
    let seal = |aad: &[u8], text: &[u8]| key.encrypt(CONVERGENT, aad, &secret(text)).unwrap();
    assert_eq!(seal(b"", b"text"), seal(b"", b"text"));
    assert_eq!(seal(b"a", b"text"), seal(b"a", b"text"));
    let nonces =
        [seal(b"", b"text"), seal(b"", b"texT"), seal(b"a", b"text"), seal(b"b", b"text")].map(|sealed| sealed[..12].to_vec());
    for (at, nonce) in nonces.iter().enumerate() {
        assert!(!nonces[at + 1..].contains(nonce), "two texts under one nonce");
    }
    assert_ne!(key.encrypt(None, b"", &secret(b"text")).unwrap(), key.encrypt(None, b"", &secret(b"text")).unwrap());
}

#[test]
fn what_a_key_signs_its_copies_verify_and_no_other_key() {
    for kind in quick().filter(|kind| kind.signs()) {
        let (key, other) = (Key::generate(kind, 0).unwrap(), Key::generate(kind, 0).unwrap());
        let hashed = Hash::Sha256.of(&[b"text"]);
        let padding = Padding::Pss(Hash::Sha256, Salt::Auto);
        let what = if kind.signs_hashes() { Signable::Hash(&hashed, padding) } else { Signable::Text(b"text") };
        let signed = key.sign(None, what).unwrap();
        for copy in copies(&key) {
            assert!(copy.verify(None, what, &signed).unwrap(), "{kind:?}");
        }
        assert!(!other.verify(None, what, &signed).unwrap(), "{kind:?}");
        let mut forged = signed.clone();
        *forged.last_mut().unwrap() ^= 1;
        assert!(!key.verify(None, what, &forged).unwrap(), "{kind:?}");
        assert!(!key.verify(None, what, &signed[1..]).unwrap(), "{kind:?}");
        assert!(!key.verify(None, what, &[]).unwrap(), "{kind:?}");
        if kind.imports_public() {
            let text = match kind {
                KeyType::Ed25519 => {
                    let info = [&hex("302a300506032b6570032100")[..], key.parts().1].concat();
                    der::pem("PUBLIC KEY", &info).expose().to_owned()
                }
                _ => key.public_text(),
            };
            let public = Key::import_public(kind, &text).unwrap();
            assert!(public.verify(None, what, &signed).unwrap(), "{kind:?}");
            assert_eq!(public.sign(None, what).err(), Some(KeyError::NoPrivateKey));
            assert!(copies(&public).iter().all(|copy| !copy.has_private()));
        }
    }
}

/// A hash of any function is signed by any curve, as others do it.
#[test]
fn curves_sign_hashes_of_every_length() {
    for kind in [KeyType::EcdsaP256, KeyType::EcdsaP384, KeyType::EcdsaP521] {
        let key = Key::generate(kind, 0).unwrap();
        for hash in [Hash::Sha1, Hash::Sha224, Hash::Sha256, Hash::Sha384, Hash::Sha512, Hash::Sha3_512] {
            let hashed = hash.of(&[b"text"]);
            let what = Signable::Hash(&hashed, Padding::Pkcs1(None));
            let signed = key.sign(None, what).unwrap();
            assert!(key.verify(None, what, &signed).unwrap(), "{kind:?} {hash:?}");
            let fixed = fixed_signature(kind, &signed).unwrap();
            assert!(key.verify(None, what, &signature_of_fixed(&fixed)).unwrap(), "{kind:?} {hash:?}");
        }
    }
}

#[test]
fn derived_ed25519_keys_sign_for_their_context_only() {
    let key = Key::generate(KeyType::Ed25519, 0).unwrap();
    let of = |context: &'static [u8]| Some(Derivation { context: Some(context), convergent: false });
    let signed = key.sign(of(b"a"), Signable::Text(b"text")).unwrap();
    assert!(key.verify(of(b"a"), Signable::Text(b"text"), &signed).unwrap());
    assert!(!key.verify(of(b"b"), Signable::Text(b"text"), &signed).unwrap());
    assert!(!key.verify(None, Signable::Text(b"text"), &signed).unwrap());
}

#[test]
fn what_is_no_key_of_the_type_is_not_imported() {
    let p256 = Key::generate(KeyType::EcdsaP256, 0).unwrap();
    for kind in KeyType::ALL {
        for bytes in [&b""[..], b"x", &[7; 31], &[0; 1000]] {
            assert!(matches!(Key::import(kind, &secret(bytes)), Err(KeyError::Import(_))), "{kind:?} {}", bytes.len());
        }
        if kind != KeyType::EcdsaP256 {
            assert!(matches!(Key::import_public(kind, &p256.public_text()), Err(KeyError::Import(_))), "{kind:?}");
        }
        for json in ["{}", "null", "[]", r#"{"key":"*"}"#, r#"{"key":"AAAA","ec_d":1,"ec_x":1,"ec_y":1}"#] {
            assert!(Key::read_portable(kind, json).is_err(), "{kind:?} {json}");
        }
    }
    // A point that is not on the curve.
    let mut point = p256.parts().1.to_vec();
    *point.last_mut().unwrap() ^= 1;
    let info = [&hex("3059301306072a8648ce3d020106082a8648ce3d030107034200")[..], &point].concat();
    assert!(Key::import_public(KeyType::EcdsaP256, der::pem("PUBLIC KEY", &info).expose()).is_err());
}

#[test]
fn a_wrapped_key_comes_out_and_a_damaged_one_does_not() {
    use crate::crypto::hazmat::rsa;
    let stored = rsa::generate(2048).ok().unwrap();
    let key = WrappingKey::new(&stored).unwrap();
    assert!(key.public().unwrap().starts_with("-----BEGIN PUBLIC KEY-----\n"));
    for length in [0, 10, 255, 256, 300] {
        assert_eq!(key.unwrap(Hash::Sha256, &vec![7; length]).err(), Some(KeyError::Open));
    }
}

/// RFC 4231, test cases 2 and 6.
#[test]
fn macs_are_those_of_their_rfc() {
    let mac = mac(Hash::Sha256, &secret(b"Jefe"), b"what do ya want for nothing?");
    assert_eq!(HEXLOWER.encode(&mac), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

/// nonce ‖ text ‖ tag: nothing else is added.
#[test]
fn a_ciphertext_is_as_long_as_nonce_text_and_tag() {
    let key = Key::generate(KeyType::Aes256Gcm96, 0).unwrap();
    for length in [0, 1, 15, 16, 17, 1000] {
        let sealed = key.encrypt(None, b"", &secret(&vec![1; length])).unwrap();
        assert_eq!(BASE64.encode(&sealed).len(), (length + 28).div_ceil(3) * 4);
    }
}
