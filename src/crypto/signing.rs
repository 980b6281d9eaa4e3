//! Keys that sign what others verify with a published key, by the names that JOSE gives them (RFC 7518, RFC 8037).

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};

use super::hazmat::signature as raw;
use crate::secret::SecretBytes;

/// How something is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SigningAlgorithm {
    /// RSA and SHA-256.
    #[serde(rename = "RS256")]
    Rs256,
    /// RSA and SHA-384.
    #[serde(rename = "RS384")]
    Rs384,
    /// RSA and SHA-512.
    #[serde(rename = "RS512")]
    Rs512,
    /// ECDSA on P-256.
    #[serde(rename = "ES256")]
    Es256,
    /// ECDSA on P-384.
    #[serde(rename = "ES384")]
    Es384,
    /// ECDSA on P-521.
    #[serde(rename = "ES512")]
    Es512,
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
}

/// A digest of the SHA-2 family.
#[derive(Clone, Copy)]
pub(super) enum Digest {
    Sha256,
    Sha384,
    Sha512,
}

/// A curve of FIPS 186-5, with the digest that JOSE ties to it.
#[derive(Clone, Copy)]
pub(super) enum Curve {
    P256,
    P384,
    P521,
}

impl Curve {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
            Self::P521 => "P-521",
        }
    }
}

enum Family {
    Rsa(Digest),
    Ec(Curve),
    Ed,
}

impl SigningAlgorithm {
    /// All of them.
    pub const ALL: [Self; 7] = [Self::Rs256, Self::Rs384, Self::Rs512, Self::Es256, Self::Es384, Self::Es512, Self::EdDsa];

    /// As JOSE writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Es512 => "ES512",
            Self::EdDsa => "EdDSA",
        }
    }

    /// The one with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    fn family(self) -> Family {
        match self {
            Self::Rs256 => Family::Rsa(Digest::Sha256),
            Self::Rs384 => Family::Rsa(Digest::Sha384),
            Self::Rs512 => Family::Rsa(Digest::Sha512),
            Self::Es256 => Family::Ec(Curve::P256),
            Self::Es384 => Family::Ec(Curve::P384),
            Self::Es512 => Family::Ec(Curve::P521),
            Self::EdDsa => Family::Ed,
        }
    }
}

/// The curve of `EdDSA` that is known here.
pub(super) const ED25519: &str = "Ed25519";

/// A key could not be made or used: the library failed, or what was stored is no such key.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("a signing key could not be made or used")]
pub struct SigningError;

impl From<raw::Refused> for SigningError {
    fn from(_: raw::Refused) -> Self {
        Self
    }
}

/// A private key.
pub struct SigningKey {
    algorithm: SigningAlgorithm,
    /// PKCS #8.
    document: SecretBytes,
}

/// A public key, as a JWK has it (RFC 7517): numbers in base64url.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kty")]
pub enum VerifyingKey {
    /// RSA.
    #[serde(rename = "RSA")]
    Rsa {
        /// Modulus.
        n: String,
        /// Exponent.
        e: String,
    },
    /// A point of a curve.
    #[serde(rename = "EC")]
    Ec {
        /// The curve.
        crv: String,
        /// Coordinate.
        x: String,
        /// Coordinate.
        y: String,
    },
    /// Ed25519.
    #[serde(rename = "OKP")]
    Okp {
        /// `Ed25519`.
        crv: String,
        /// The key.
        x: String,
    },
}

impl SigningKey {
    /// A fresh key. RSA keys take a good part of a second: not for a thread that others wait for.
    pub fn generate(algorithm: SigningAlgorithm) -> Result<Self, SigningError> {
        let document = match algorithm.family() {
            Family::Rsa(_) => raw::rsa_key()?,
            Family::Ec(curve) => raw::ec_key(curve)?,
            Family::Ed => raw::ed_key()?,
        };
        Ok(Self { algorithm, document })
    }

    /// The Ed25519 key of these 32 bytes (RFC 8032, section 5.1.5).
    ///
    /// # Errors
    /// They are not 32.
    pub fn from_seed(seed: &SecretBytes) -> Result<Self, SigningError> {
        Ok(Self { algorithm: SigningAlgorithm::EdDsa, document: raw::ed_of_seed(seed)? })
    }

    /// A key that was stored.
    pub fn from_document(algorithm: SigningAlgorithm, document: SecretBytes) -> Self {
        Self { algorithm, document }
    }

    /// What is to be stored.
    pub fn document(&self) -> &SecretBytes {
        &self.document
    }

    /// How it signs.
    pub fn algorithm(&self) -> SigningAlgorithm {
        self.algorithm
    }

    /// Signs a text.
    pub fn sign(&self, text: &[u8]) -> Result<Vec<u8>, SigningError> {
        Ok(match self.algorithm.family() {
            Family::Rsa(digest) => raw::rsa_sign(&self.document, digest, text)?,
            Family::Ec(curve) => raw::ec_sign(&self.document, curve, text)?,
            Family::Ed => raw::ed_sign(&self.document, text)?,
        })
    }

    /// What others verify with.
    pub fn verifying_key(&self) -> Result<VerifyingKey, SigningError> {
        let text = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
        Ok(match self.algorithm.family() {
            Family::Rsa(_) => {
                let (n, e) = raw::rsa_public(&self.document)?;
                VerifyingKey::Rsa { n: text(&n), e: text(&e) }
            }
            Family::Ec(curve) => {
                let point = raw::ec_public(&self.document, curve)?;
                let (_, both) = point.split_first().ok_or(SigningError)?;
                let (x, y) = both.split_at(both.len() / 2);
                VerifyingKey::Ec { crv: curve.name().to_owned(), x: text(x), y: text(y) }
            }
            Family::Ed => VerifyingKey::Okp { crv: ED25519.to_owned(), x: text(&raw::ed_public(&self.document)?) },
        })
    }
}

impl VerifyingKey {
    /// Whether `signed` is a signature of `text` by this key, made in this way and no other.
    pub fn verify(&self, algorithm: SigningAlgorithm, text: &[u8], signed: &[u8]) -> bool {
        let bytes = |text: &str| BASE64URL_NOPAD.decode(text.as_bytes()).unwrap_or_default();
        match (self, algorithm.family()) {
            (Self::Rsa { n, e }, Family::Rsa(digest)) => raw::rsa_verify((&bytes(n), &bytes(e)), digest, text, signed),
            (Self::Ec { crv, x, y }, Family::Ec(curve)) if crv == curve.name() => {
                let point = [vec![4], bytes(x), bytes(y)].concat();
                raw::ec_verify(&point, curve, text, signed)
            }
            (Self::Okp { crv, x }, Family::Ed) if crv == ED25519 => raw::ed_verify(&bytes(x), text, signed),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_key_signs_its_public_key_verifies_and_nothing_else() {
        for algorithm in SigningAlgorithm::ALL {
            assert_eq!(SigningAlgorithm::parse(algorithm.name()), Some(algorithm));
            let made = SigningKey::generate(algorithm).unwrap();
            let key = SigningKey::from_document(algorithm, made.document().duplicate());
            let public = key.verifying_key().unwrap();
            let mut signed = key.sign(b"text").unwrap();
            assert!(public.verify(algorithm, b"text", &signed), "{algorithm:?}");
            assert!(!public.verify(algorithm, b"texT", &signed), "{algorithm:?}");
            for other in SigningAlgorithm::ALL.into_iter().filter(|other| *other != algorithm) {
                assert!(!public.verify(other, b"text", &signed), "{algorithm:?} as {other:?}");
            }
            *signed.last_mut().unwrap() ^= 1;
            assert!(!public.verify(algorithm, b"text", &signed), "{algorithm:?}");
        }
        assert_eq!(SigningAlgorithm::parse("HS256"), None);
        assert_eq!(SigningAlgorithm::parse("none"), None);
    }

    /// RFC 8037 appendix A: the key, what it signs and the signature.
    #[test]
    fn ed25519_verifies_the_example_of_its_rfc() {
        let key = VerifyingKey::Okp { crv: "Ed25519".into(), x: "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo".into() };
        let text = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
        let signed = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
        assert!(key.verify(SigningAlgorithm::EdDsa, text, &BASE64URL_NOPAD.decode(signed.as_bytes()).unwrap()));
    }
}
