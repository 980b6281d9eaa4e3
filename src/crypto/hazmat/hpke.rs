//! HPKE (RFC 9180), base mode, single shot: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305. The ephemeral key comes from
//! the library's own generator.

use aws_lc_rs::agreement::{PrivateKey, X25519};
use rustls::crypto::aws_lc_rs::hpke::DH_KEM_X25519_HKDF_SHA256_CHACHA20_POLY1305 as SUITE;
use rustls::crypto::hpke::{EncapsulatedSecret, Hpke, HpkePrivateKey, HpkePublicKey};
use zeroize::Zeroizing;

/// Bytes of a public key, of a private one, and of what encapsulates the shared secret.
pub(in crate::crypto) const KEY: usize = 32;

/// A fresh private key and its public one. None when the library fails.
pub(in crate::crypto) fn generate() -> Option<(Zeroizing<Vec<u8>>, [u8; KEY])> {
    let (public, private) = SUITE.generate_key_pair().ok()?;
    Some((Zeroizing::new(private.secret_bytes().to_vec()), public.0.as_slice().try_into().ok()?))
}

/// The public key of a private one. None when it is none.
pub(in crate::crypto) fn public(private: &[u8; KEY]) -> Option<[u8; KEY]> {
    let private = PrivateKey::from_private_key(&X25519, private).ok()?;
    private.compute_public_key().ok()?.as_ref().try_into().ok()
}

/// Encrypts to a public key: the encapsulated secret, then the ciphertext with its tag. None when the key is none.
pub(in crate::crypto) fn seal(public: &[u8; KEY], info: &[u8], aad: &[u8], plaintext: &[u8]) -> Option<Vec<u8>> {
    let (encapsulated, ciphertext) = SUITE.seal(info, aad, plaintext, &HpkePublicKey(public.to_vec())).ok()?;
    Some([encapsulated.0, ciphertext].concat())
}

/// Opens what `seal` made. None when it does not open.
pub(in crate::crypto) fn open(private: &[u8; KEY], info: &[u8], aad: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (encapsulated, ciphertext) = sealed.split_at_checked(KEY)?;
    let private = HpkePrivateKey::from(private.to_vec());
    SUITE.open(&EncapsulatedSecret(encapsulated.to_vec()), info, aad, ciphertext, &private).ok().map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;

    /// RFC 9180, appendix A.2.1: base mode, sequence number 0.
    #[test]
    fn the_vector_of_rfc_9180_opens() {
        let bytes = |hex: &str| HEXLOWER.decode(hex.as_bytes()).unwrap();
        let private = bytes("8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb");
        let public = bytes("4310ee97d88cc1f088a5576c77ab0cf5c3ac797f3d95139c6c84b5429c59662a");
        let info = b"Ode on a Grecian Urn";
        let sealed = bytes(
            "1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a\
             1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28",
        );
        let private: [u8; KEY] = private.try_into().unwrap();
        let opened = open(&private, info, b"Count-0", &sealed).unwrap();
        assert_eq!(opened.as_slice(), b"Beauty is truth, truth beauty");
        for (info, aad) in [(&b"Ode"[..], &b"Count-0"[..]), (&info[..], b"Count-1")] {
            assert!(open(&private, info, aad, &sealed).is_none());
        }
        let public: [u8; KEY] = public.try_into().unwrap();
        assert_eq!(super::public(&private), Some(public));
        let ours = seal(&public, info, b"Count-0", b"text").unwrap();
        assert_eq!(open(&private, info, b"Count-0", &ours).unwrap().as_slice(), b"text");
        assert!(open(&private, info, b"Count-0", &ours[..31]).is_none());
    }
}
