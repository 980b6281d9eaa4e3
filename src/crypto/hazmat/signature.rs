//! Signatures that others verify: RSA with PKCS #1 v1.5 padding (RFC 8017 section 8.2), ECDSA (FIPS 186-5) and Ed25519
//! (RFC 8032), as JOSE uses them (RFC 7518 section 3, RFC 8037). Private keys are PKCS #8 documents (RFC 5958).

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RsaEncoding, UnparsedPublicKey};
use aws_lc_rs::signature::{EcdsaVerificationAlgorithm, RsaParameters};

use crate::crypto::signing::{Curve, Digest};
use crate::secret::SecretBytes;

/// The library refused: the bytes are no such key, or it failed.
pub(in crate::crypto) struct Refused;

/// A fresh RSA key of 2048 bits, with the public exponent 65537.
pub(in crate::crypto) fn rsa_key() -> Result<SecretBytes, Refused> {
    let key = RsaKeyPair::generate(KeySize::Rsa2048).map_err(|_| Refused)?;
    let document: Pkcs8V1Der<'static> = key.as_der().map_err(|_| Refused)?;
    Ok(SecretBytes::new(document.as_ref().to_vec()))
}

/// Its modulus and exponent, big endian.
pub(in crate::crypto) fn rsa_public(key: &SecretBytes) -> Result<(Vec<u8>, Vec<u8>), Refused> {
    let key = RsaKeyPair::from_pkcs8(key.expose()).map_err(|_| Refused)?;
    let bytes = |number: aws_lc_rs::io::Positive<'_>| number.big_endian_without_leading_zero().to_vec();
    Ok((bytes(key.public_key().modulus()), bytes(key.public_key().exponent())))
}

pub(in crate::crypto) fn rsa_sign(key: &SecretBytes, digest: Digest, text: &[u8]) -> Result<Vec<u8>, Refused> {
    let key = RsaKeyPair::from_pkcs8(key.expose()).map_err(|_| Refused)?;
    let padding: &'static dyn RsaEncoding = match digest {
        Digest::Sha256 => &signature::RSA_PKCS1_SHA256,
        Digest::Sha384 => &signature::RSA_PKCS1_SHA384,
        Digest::Sha512 => &signature::RSA_PKCS1_SHA512,
    };
    let mut signed = vec![0; key.public_modulus_len()];
    key.sign(padding, &SystemRandom::new(), text, &mut signed).map_err(|_| Refused)?;
    Ok(signed)
}

pub(in crate::crypto) fn rsa_verify((n, e): (&[u8], &[u8]), digest: Digest, text: &[u8], signed: &[u8]) -> bool {
    let parameters: &'static RsaParameters = match digest {
        Digest::Sha256 => &signature::RSA_PKCS1_2048_8192_SHA256,
        Digest::Sha384 => &signature::RSA_PKCS1_2048_8192_SHA384,
        Digest::Sha512 => &signature::RSA_PKCS1_2048_8192_SHA512,
    };
    signature::RsaPublicKeyComponents { n, e }.verify(parameters, text, signed).is_ok()
}

/// The same with PSS padding (RFC 8017 section 8.1), whose salt is as long as the digest.
pub(in crate::crypto) fn rsa_pss_verify((n, e): (&[u8], &[u8]), digest: Digest, text: &[u8], signed: &[u8]) -> bool {
    let parameters: &'static RsaParameters = match digest {
        Digest::Sha256 => &signature::RSA_PSS_2048_8192_SHA256,
        Digest::Sha384 => &signature::RSA_PSS_2048_8192_SHA384,
        Digest::Sha512 => &signature::RSA_PSS_2048_8192_SHA512,
    };
    signature::RsaPublicKeyComponents { n, e }.verify(parameters, text, signed).is_ok()
}

/// A fresh key on a curve.
pub(in crate::crypto) fn ec_key(curve: Curve) -> Result<SecretBytes, Refused> {
    let document = EcdsaKeyPair::generate_pkcs8(ec_signing(curve), &SystemRandom::new()).map_err(|_| Refused)?;
    Ok(SecretBytes::new(document.as_ref().to_vec()))
}

/// Its public point, uncompressed: 4, x, y.
pub(in crate::crypto) fn ec_public(key: &SecretBytes, curve: Curve) -> Result<Vec<u8>, Refused> {
    let key = EcdsaKeyPair::from_pkcs8(ec_signing(curve), key.expose()).map_err(|_| Refused)?;
    Ok(key.public_key().as_ref().to_vec())
}

/// Signs with the curve's own digest; the signature is r and s, of fixed length.
pub(in crate::crypto) fn ec_sign(key: &SecretBytes, curve: Curve, text: &[u8]) -> Result<Vec<u8>, Refused> {
    let key = EcdsaKeyPair::from_pkcs8(ec_signing(curve), key.expose()).map_err(|_| Refused)?;
    Ok(key.sign(&SystemRandom::new(), text).map_err(|_| Refused)?.as_ref().to_vec())
}

pub(in crate::crypto) fn ec_verify(point: &[u8], curve: Curve, text: &[u8], signed: &[u8]) -> bool {
    let algorithm: &'static EcdsaVerificationAlgorithm = match curve {
        Curve::P256 => &signature::ECDSA_P256_SHA256_FIXED,
        Curve::P384 => &signature::ECDSA_P384_SHA384_FIXED,
        Curve::P521 => &signature::ECDSA_P521_SHA512_FIXED,
    };
    UnparsedPublicKey::new(algorithm, point).verify(text, signed).is_ok()
}

fn ec_signing(curve: Curve) -> &'static EcdsaSigningAlgorithm {
    match curve {
        Curve::P256 => &signature::ECDSA_P256_SHA256_FIXED_SIGNING,
        Curve::P384 => &signature::ECDSA_P384_SHA384_FIXED_SIGNING,
        Curve::P521 => &signature::ECDSA_P521_SHA512_FIXED_SIGNING,
    }
}

/// A fresh Ed25519 key.
pub(in crate::crypto) fn ed_key() -> Result<SecretBytes, Refused> {
    let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| Refused)?;
    Ok(SecretBytes::new(document.as_ref().to_vec()))
}

/// The Ed25519 key of 32 bytes.
pub(in crate::crypto) fn ed_of_seed(seed: &SecretBytes) -> Result<SecretBytes, Refused> {
    let key = Ed25519KeyPair::from_seed_unchecked(seed.expose()).map_err(|_| Refused)?;
    Ok(SecretBytes::new(key.to_pkcs8().map_err(|_| Refused)?.as_ref().to_vec()))
}

/// Its public key, 32 bytes.
pub(in crate::crypto) fn ed_public(key: &SecretBytes) -> Result<Vec<u8>, Refused> {
    let key = Ed25519KeyPair::from_pkcs8(key.expose()).map_err(|_| Refused)?;
    Ok(key.public_key().as_ref().to_vec())
}

pub(in crate::crypto) fn ed_sign(key: &SecretBytes, text: &[u8]) -> Result<Vec<u8>, Refused> {
    let key = Ed25519KeyPair::from_pkcs8(key.expose()).map_err(|_| Refused)?;
    Ok(key.sign(text).as_ref().to_vec())
}

pub(in crate::crypto) fn ed_verify(public: &[u8], text: &[u8], signed: &[u8]) -> bool {
    UnparsedPublicKey::new(&signature::ED25519, public).verify(text, signed).is_ok()
}
