//! Reading public keys that another library wrote.

use super::*;
use crate::crypto::VerifyingAlgorithm;

/// Every kind of key, as rcgen writes it, verifies what it signs.
#[test]
fn keys_and_certificates_in_pem_form_are_read() {
    for (made, name) in [
        (&rcgen::PKCS_ECDSA_P256_SHA256, "ES256"),
        (&rcgen::PKCS_ECDSA_P384_SHA384, "ES384"),
        (&rcgen::PKCS_ED25519, "EdDSA"),
        (&rcgen::PKCS_RSA_SHA256, "RS256"),
    ] {
        let pair = rcgen::KeyPair::generate_for(made).unwrap();
        let certificate = rcgen::CertificateParams::new(vec!["a".to_owned()]).unwrap().self_signed(&pair).unwrap();
        let key = VerifyingKey::from_pem(&pair.public_key_pem()).unwrap();
        assert_eq!(VerifyingKey::from_pem(&format!("a text before\n{}", certificate.pem())), Ok(key.clone()), "{name}");
        assert!(!key.verifies(VerifyingAlgorithm::parse(name).unwrap(), b"text", b"no signature"), "{name}");
    }
    for text in ["", "nope", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"] {
        assert_eq!(VerifyingKey::from_pem(text), Err(NoPublicKey), "{text}");
    }
}
