//! Keys and signatures in the forms that others read and write.

use data_encoding::BASE64;

use super::der::{self, BIT_STRING, INTEGER, OBJECT, OCTET_STRING, Reader, SEQUENCE};
use super::key::{Key, KeyError};
use super::kind::{Family, KeyType};
use crate::crypto::hazmat::ec::{self, EcKey};
use crate::crypto::hazmat::rsa;
use crate::crypto::signing::Curve;
use crate::secret::{SecretBytes, SecretText};

/// 1.2.840.10045.2.1
const EC_PUBLIC_KEY: &[u8] = b"\x2a\x86\x48\xce\x3d\x02\x01";
/// 1.2.840.113549.1.1.1
const RSA_ENCRYPTION: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01";
/// 1.3.101.112
const ED25519: &[u8] = b"\x2b\x65\x70";

/// Which half of a key is exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Export {
    /// What it encrypts with.
    Encryption,
    /// What it signs with.
    Signing,
    /// What others verify with.
    Public,
    /// The key of HMAC.
    Mac,
}

fn oid(curve: Curve) -> &'static [u8] {
    match curve {
        Curve::P256 => b"\x2a\x86\x48\xce\x3d\x03\x01\x07",
        Curve::P384 => b"\x2b\x81\x04\x00\x22",
        Curve::P521 => b"\x2b\x81\x04\x00\x23",
    }
}

fn base64(bytes: &[u8]) -> SecretText {
    SecretText::new(BASE64.encode(bytes))
}

impl Key {
    /// The public key as answers show it: PEM without a line feed at the end, or base64. Empty where there is none.
    pub fn public_text(&self) -> String {
        let text = match (self.kind.family(), self.curve()) {
            (_, Some(curve)) => der::pem("PUBLIC KEY", point_info(curve, &self.public).expose()),
            (Family::Rsa(_), _) => der::pem("PUBLIC KEY", &self.public),
            _ => base64(&self.public),
        };
        text.expose().to_owned()
    }

    /// A key as text: PEM (SEC 1, PKCS #1) or base64. As `OpenBao` writes it, PEM of RSA alone ends in a line feed.
    pub fn export(&self, what: Export) -> Result<SecretText, KeyError> {
        if what == Export::Mac {
            return Ok(base64(self.mac.expose()));
        }
        if what == Export::Public {
            return if self.kind.signs() || self.kind.is_rsa() {
                Ok(SecretText::new(self.public_text() + if self.kind.is_rsa() { "\n" } else { "" }))
            } else {
                Err(KeyError::Unsupported)
            };
        }
        let private = self.private.as_ref().ok_or(KeyError::NoPrivateKey)?.expose();
        match (self.kind.family(), self.curve()) {
            (_, Some(curve)) => Ok(der::pem("EC PRIVATE KEY", sec1(curve, private, &self.public).expose())),
            (Family::Rsa(_), _) => {
                let text = der::pem("RSA PRIVATE KEY", pkcs1(private).ok_or(KeyError::Unusable)?);
                let mut ended = String::with_capacity(text.expose().len() + 1);
                ended.extend([text.expose(), "\n"]);
                Ok(SecretText::new(ended))
            }
            _ => Ok(base64(private)),
        }
    }

    /// A key that somebody else made: its bytes if it is symmetric or (of derived keys) the input of the derivation, PKCS #8
    /// otherwise. Of ML-DSA the seed.
    pub fn import(kind: KeyType, bytes: &SecretBytes) -> Result<Self, KeyError> {
        let private = match kind.family() {
            Family::Symmetric(suite) if bytes.len() == suite.key_bytes() => bytes.duplicate(),
            Family::Mac if MAC_BYTES.contains(&bytes.len()) => bytes.duplicate(),
            Family::MlDsa(_) if bytes.len() == 32 => bytes.duplicate(),
            Family::Symmetric(_) | Family::Mac | Family::MlDsa(_) => {
                return Err(KeyError::Import("invalid key size for the type of key"));
            }
            Family::Ed25519 => ec::ed25519_seed(bytes.expose()).map_err(|_| NO_PKCS8)?,
            Family::Ec(curve) => {
                let key = EcKey::from_der(curve, bytes.expose()).map_err(|_| NO_PKCS8)?;
                return Ok(Self::with(kind, Some(key.private()?), key.public(), None));
            }
            Family::Rsa(bits) => {
                let key = rsa::PrivateKey::new(bytes.expose()).map_err(|_| NO_PKCS8)?;
                if key.bytes() * 8 != usize::from(bits) {
                    return Err(KeyError::Import("invalid key size for the type of key"));
                }
                key.document()?
            }
        };
        Self::of_private(kind, private)
    }

    /// A public key that somebody else made: a `SubjectPublicKeyInfo` as PEM.
    pub fn import_public(kind: KeyType, text: &str) -> Result<Self, KeyError> {
        let info = der::from_pem("PUBLIC KEY", text).ok_or(KeyError::Import("error parsing public key: not in PEM format"))?;
        let public = match kind.family() {
            Family::Ec(curve) => point_of(curve, &info).filter(|point| ec::is_point(curve, point)),
            Family::Ed25519 => ed25519_of(&info),
            Family::Rsa(bits) => rsa_numbers(&info)
                .filter(|(n, e)| n.len() * 8 == usize::from(bits) && is_usual_exponent(e))
                .map(|(n, e)| rsa_info(n, e).expose().to_vec()),
            _ => return Err(KeyError::Import("provided type does not support public_key import")),
        };
        let public = public.ok_or(KeyError::Import("error parsing public key: it is not of the type of the key"))?;
        Ok(Self::with(kind, None, public, None))
    }
}

/// Bytes of an HMAC key.
pub(super) const MAC_BYTES: std::ops::RangeInclusive<usize> = 32..=512;

const NO_PKCS8: KeyError = KeyError::Import("error parsing asymmetric key: it is not PKCS#8 of the type of the key");

/// Odd, more than one, of at most 33 bits, as the library wants it.
fn is_usual_exponent(e: &[u8]) -> bool {
    e.len() <= 4 && e.last().is_some_and(|byte| byte & 1 == 1) && e != [1]
}

fn point_info(curve: Curve, point: &[u8]) -> SecretBytes {
    let algorithm = [der::value(OBJECT, &[EC_PUBLIC_KEY]), der::value(OBJECT, &[oid(curve)])];
    let [name, group] = &algorithm;
    let algorithm = der::value(SEQUENCE, &[name.expose(), group.expose()]);
    der::value(SEQUENCE, &[algorithm.expose(), der::value(BIT_STRING, &[&[0], point]).expose()])
}

fn point_of(curve: Curve, info: &[u8]) -> Option<Vec<u8>> {
    let (mut algorithm, key) = public_info(info)?;
    (algorithm.take(OBJECT)? == EC_PUBLIC_KEY && algorithm.take(OBJECT)? == oid(curve)).then(|| key.to_vec())
}

fn ed25519_of(info: &[u8]) -> Option<Vec<u8>> {
    let (mut algorithm, key) = public_info(info)?;
    (algorithm.take(OBJECT)? == ED25519 && key.len() == 32).then(|| key.to_vec())
}

/// Algorithm and key of a `SubjectPublicKeyInfo` (RFC 5280 section 4.1).
fn public_info(info: &[u8]) -> Option<(Reader<'_>, &[u8])> {
    let mut outer = Reader::new(info);
    let mut inner = Reader::new(outer.take(SEQUENCE)?);
    outer.end()?;
    let algorithm = Reader::new(inner.take(SEQUENCE)?);
    let (unused, key) = inner.take(BIT_STRING)?.split_first()?;
    inner.end()?;
    (*unused == 0).then_some((algorithm, key))
}

/// Modulus and exponent of a `SubjectPublicKeyInfo`.
pub(super) fn rsa_numbers(info: &[u8]) -> Option<(&[u8], &[u8])> {
    let (mut algorithm, key) = public_info(info)?;
    if algorithm.take(OBJECT)? != RSA_ENCRYPTION {
        return None;
    }
    let mut numbers = Reader::new(Reader::new(key).take(SEQUENCE)?);
    Some((numbers.number()?, numbers.number()?))
}

/// A `SubjectPublicKeyInfo` of modulus and exponent.
pub(super) fn rsa_info(n: &[u8], e: &[u8]) -> SecretBytes {
    let algorithm = der::value(SEQUENCE, &[der::value(OBJECT, &[RSA_ENCRYPTION]).expose(), &[5, 0]]);
    let key = der::value(SEQUENCE, &[der::number(n).expose(), der::number(e).expose()]);
    der::value(SEQUENCE, &[algorithm.expose(), der::value(BIT_STRING, &[&[0], key.expose()]).expose()])
}

/// The `RSAPrivateKey` in PKCS #8 (RFC 5208 section 5).
pub(super) fn pkcs1(pkcs8: &[u8]) -> Option<&[u8]> {
    let mut fields = Reader::new(Reader::new(pkcs8).take(SEQUENCE)?);
    fields.take(INTEGER)?;
    fields.take(SEQUENCE)?;
    fields.take(OCTET_STRING)
}

/// An `ECPrivateKey` (RFC 5915 section 3).
fn sec1(curve: Curve, private: &[u8], point: &[u8]) -> SecretBytes {
    let point = der::value(BIT_STRING, &[&[0], point]);
    der::value(
        SEQUENCE,
        &[
            &[INTEGER, 1, 1],
            der::value(OCTET_STRING, &[private]).expose(),
            der::value(0xa0, &[der::value(OBJECT, &[oid(curve)]).expose()]).expose(),
            der::value(0xa1, &[point.expose()]).expose(),
        ],
    )
}

/// r and s of an ECDSA signature, each as long as a coordinate, as JWS has them (RFC 7518 section 3.4).
pub fn fixed_signature(kind: KeyType, sequence: &[u8]) -> Option<Vec<u8>> {
    let Family::Ec(curve) = kind.family() else { return None };
    let (r, s) = numbers(sequence)?;
    let mut out = Vec::with_capacity(2 * curve.bytes());
    for number in [r, s] {
        out.resize(out.len() + curve.bytes().checked_sub(number.len())?, 0);
        out.extend_from_slice(number);
    }
    Some(out)
}

/// The other way round; of any even length.
pub fn signature_of_fixed(fixed: &[u8]) -> Vec<u8> {
    let (r, s) = fixed.split_at(fixed.len() / 2);
    der::value(SEQUENCE, &[der::number(r).expose(), der::number(s).expose()]).expose().to_vec()
}

/// Whether bytes are a SEQUENCE of two numbers, and nothing else.
pub fn is_signature(sequence: &[u8]) -> bool {
    numbers(sequence).is_some()
}

fn numbers(sequence: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut outer = Reader::new(sequence);
    let mut inner = Reader::new(outer.take(SEQUENCE)?);
    outer.end()?;
    let both = (inner.number()?, inner.number()?);
    inner.end()?;
    Some(both)
}
