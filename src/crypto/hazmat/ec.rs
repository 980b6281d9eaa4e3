//! ECDSA (FIPS 186-5), Ed25519 (RFC 8032) and ML-DSA (FIPS 204) with keys that are parsed once, and signatures of hashes that
//! were made elsewhere. All by aws-lc-rs, in constant time.

use aws_lc_rs::digest::{Digest, SHA256, SHA384, SHA512};
use aws_lc_rs::encoding::{AsBigEndian, EcPrivateKeyBin};
use aws_lc_rs::signature::{
    self, EcdsaKeyPair, EcdsaSigningAlgorithm, EcdsaVerificationAlgorithm, Ed25519KeyPair, KeyPair, PqdsaKeyPair,
    PqdsaSigningAlgorithm, PqdsaVerificationAlgorithm, UnparsedPublicKey,
};

use super::signature::Refused;
use crate::crypto::signing::Curve;
use crate::secret::SecretBytes;

/// A private key of a curve, ready for use.
pub(in crate::crypto) struct EcKey {
    pair: EcdsaKeyPair,
    curve: Curve,
}

impl Curve {
    /// Bytes of a coordinate, and of a private number.
    pub(in crate::crypto) fn bytes(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }

    fn signing(self) -> &'static EcdsaSigningAlgorithm {
        match self {
            Self::P256 => &signature::ECDSA_P256_SHA256_ASN1_SIGNING,
            Self::P384 => &signature::ECDSA_P384_SHA384_ASN1_SIGNING,
            Self::P521 => &signature::ECDSA_P521_SHA512_ASN1_SIGNING,
        }
    }

    fn verifying(self) -> &'static EcdsaVerificationAlgorithm {
        match self {
            Self::P256 => &signature::ECDSA_P256_SHA256_ASN1,
            Self::P384 => &signature::ECDSA_P384_SHA384_ASN1,
            Self::P521 => &signature::ECDSA_P521_SHA512_ASN1,
        }
    }

    /// A hash of any function as one of the function that the library ties to the curve. ECDSA takes the leftmost bits of a
    /// hash, as many as the order of the group has, for a number (FIPS 186-5 section 6.4.1): a hash that is longer is cut
    /// there, and one that is shorter is the same number with zeros in front. `None` past what the library takes.
    fn digest(self, hashed: &[u8]) -> Option<Digest> {
        let (algorithm, bytes) = match self {
            Self::P256 => (&SHA256, 32),
            Self::P384 => (&SHA384, 48),
            Self::P521 => (&SHA512, 64),
        };
        let hashed = match self {
            // The order has 521 bits: nothing is cut off.
            Self::P521 => hashed,
            Self::P256 | Self::P384 => hashed.get(..bytes).unwrap_or(hashed),
        };
        let zeros = bytes.checked_sub(hashed.len())?;
        Digest::import_less_safe(&[vec![0; zeros].as_slice(), hashed].concat(), algorithm).ok()
    }
}

impl EcKey {
    pub(in crate::crypto) fn generate(curve: Curve) -> Result<Self, Refused> {
        Ok(Self { pair: EcdsaKeyPair::generate(curve.signing()).map_err(|_| Refused)?, curve })
    }

    /// From the private number and the public point, which must belong together.
    pub(in crate::crypto) fn new(curve: Curve, private: &[u8], point: &[u8]) -> Result<Self, Refused> {
        let pair = EcdsaKeyPair::from_private_key_and_public_key(curve.signing(), private, point).map_err(|_| Refused)?;
        Ok(Self { pair, curve })
    }

    /// From PKCS #8 or the older form of RFC 5915.
    pub(in crate::crypto) fn from_der(curve: Curve, der: &[u8]) -> Result<Self, Refused> {
        Ok(Self { pair: EcdsaKeyPair::from_private_key_der(curve.signing(), der).map_err(|_| Refused)?, curve })
    }

    /// The private number, as long as a coordinate.
    pub(in crate::crypto) fn private(&self) -> Result<SecretBytes, Refused> {
        let number: EcPrivateKeyBin<'static> = self.pair.private_key().as_be_bytes().map_err(|_| Refused)?;
        let number = number.as_ref();
        let zeros = self.curve.bytes().checked_sub(number.len()).ok_or(Refused)?;
        Ok(SecretBytes::new([vec![0; zeros].as_slice(), number].concat()))
    }

    /// The public point, uncompressed: 4, x, y.
    pub(in crate::crypto) fn public(&self) -> Vec<u8> {
        self.pair.public_key().as_ref().to_vec()
    }

    /// Signs a hash; the signature is a SEQUENCE of r and s.
    pub(in crate::crypto) fn sign(&self, hashed: &[u8]) -> Result<Vec<u8>, Refused> {
        let digest = self.curve.digest(hashed).ok_or(Refused)?;
        Ok(self.pair.sign_digest(&digest).map_err(|_| Refused)?.as_ref().to_vec())
    }
}

/// Whether a SEQUENCE of r and s is a signature of a hash.
pub(in crate::crypto) fn verify(curve: Curve, point: &[u8], hashed: &[u8], signed: &[u8]) -> bool {
    let Some(digest) = curve.digest(hashed) else { return false };
    UnparsedPublicKey::new(curve.verifying(), point).verify_digest(&digest, signed).is_ok()
}

/// Whether bytes are a point of the curve, uncompressed.
pub(in crate::crypto) fn is_point(curve: Curve, point: &[u8]) -> bool {
    point.len() == 2 * curve.bytes() + 1
        && point.first() == Some(&4)
        && signature::ParsedPublicKey::new(curve.verifying(), point).is_ok()
}

/// An Ed25519 key, ready for use.
pub(in crate::crypto) struct EdPair(Ed25519KeyPair);

/// An Ed25519 key of its seed.
pub(in crate::crypto) fn ed25519(seed: &[u8]) -> Result<EdPair, Refused> {
    Ok(EdPair(Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| Refused)?))
}

pub(in crate::crypto) fn ed25519_public(pair: &EdPair) -> Vec<u8> {
    pair.0.public_key().as_ref().to_vec()
}

pub(in crate::crypto) fn ed25519_sign(pair: &EdPair, text: &[u8]) -> Vec<u8> {
    pair.0.sign(text).as_ref().to_vec()
}

pub(in crate::crypto) fn ed25519_verify(public: &[u8], text: &[u8], signed: &[u8]) -> bool {
    UnparsedPublicKey::new(&signature::ED25519, public).verify(text, signed).is_ok()
}

/// The seed of an Ed25519 key in PKCS #8.
pub(in crate::crypto) fn ed25519_seed(pkcs8: &[u8]) -> Result<SecretBytes, Refused> {
    let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8).map_err(|_| Refused)?;
    let seed = pair.seed().map_err(|_| Refused)?.as_be_bytes().map_err(|_| Refused)?;
    Ok(SecretBytes::new(seed.as_ref().to_vec()))
}

/// A set of parameters of ML-DSA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::crypto) enum MlDsa {
    Of44,
    Of65,
    Of87,
}

impl MlDsa {
    fn signing(self) -> &'static PqdsaSigningAlgorithm {
        match self {
            Self::Of44 => &signature::ML_DSA_44_SIGNING,
            Self::Of65 => &signature::ML_DSA_65_SIGNING,
            Self::Of87 => &signature::ML_DSA_87_SIGNING,
        }
    }

    fn verifying(self) -> &'static PqdsaVerificationAlgorithm {
        match self {
            Self::Of44 => &signature::ML_DSA_44,
            Self::Of65 => &signature::ML_DSA_65,
            Self::Of87 => &signature::ML_DSA_87,
        }
    }

    /// A key of its seed of 32 bytes (FIPS 204 algorithm 6).
    pub(in crate::crypto) fn key(self, seed: &[u8]) -> Result<MlDsaPair, Refused> {
        Ok(MlDsaPair(PqdsaKeyPair::from_seed(self.signing(), seed).map_err(|_| Refused)?))
    }

    /// Whether `signed` is a signature of `text`, with an empty context.
    pub(in crate::crypto) fn verify(self, public: &[u8], text: &[u8], signed: &[u8]) -> bool {
        UnparsedPublicKey::new(self.verifying(), public).verify(text, signed).is_ok()
    }
}

/// An ML-DSA key, ready for use.
pub(in crate::crypto) struct MlDsaPair(PqdsaKeyPair);

pub(in crate::crypto) fn ml_dsa_public(pair: &MlDsaPair) -> Vec<u8> {
    pair.0.public_key().as_ref().to_vec()
}

/// Signs with an empty context.
pub(in crate::crypto) fn ml_dsa_sign(MlDsaPair(pair): &MlDsaPair, text: &[u8]) -> Result<Vec<u8>, Refused> {
    let mut signed = vec![0; pair.algorithm().signature_len()];
    let length = pair.sign(text, &mut signed).map_err(|_| Refused)?;
    signed.truncate(length);
    Ok(signed)
}
