//! RSA (RFC 8017) with keys that are parsed once. Private keys are used by aws-lc-rs alone, in constant time: OAEP with
//! SHA-256, PKCS #1 v1.5 and PSS signatures with SHA-2 and a salt as long as the hash, which is all that it offers.
//! Signatures are verified here for every hash and every salt, from public numbers only.

use aws_lc_rs::digest::{self, Digest};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{
    KeyPair, KeySize, OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OAEP_SHA384_MGF1SHA384, OAEP_SHA512_MGF1SHA512, OaepAlgorithm,
    OaepPrivateDecryptingKey, OaepPublicEncryptingKey, PrivateDecryptingKey, PublicEncryptingKey,
};
use aws_lc_rs::signature::{self, KeyPair as _, RsaEncoding};
use num_bigint::BigUint;

use super::digest::Hash;
use super::signature::Refused;
use crate::secret::SecretBytes;

/// A private key, ready for use.
pub(in crate::crypto) struct PrivateKey {
    pair: KeyPair,
    oaep: OaepPrivateDecryptingKey,
}

/// How a hash is made into a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// PKCS #1 v1.5 (section 8.2). No hash: what is signed stands there as it is.
    Pkcs1(Option<Hash>),
    /// PSS (section 8.1).
    Pss(Hash, Salt),
}

/// The length of a PSS salt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Salt {
    /// Signing: as long as the hash. Verifying: any.
    Auto,
    /// So many bytes.
    Bytes(usize),
}

/// A fresh key as PKCS #8. Takes from a tenth of a second to some seconds.
pub(in crate::crypto) fn generate(bits: u16) -> Result<SecretBytes, Refused> {
    let size = match bits {
        2048 => KeySize::Rsa2048,
        3072 => KeySize::Rsa3072,
        4096 => KeySize::Rsa4096,
        _ => return Err(Refused),
    };
    document(&KeyPair::generate(size).map_err(|_| Refused)?)
}

fn document(pair: &KeyPair) -> Result<SecretBytes, Refused> {
    let document: Pkcs8V1Der<'static> = pair.as_der().map_err(|_| Refused)?;
    Ok(SecretBytes::new(document.as_ref().to_vec()))
}

/// Makes PKCS #8 of a PKCS #1 `RSAPrivateKey`, whose numbers must fit together.
pub(in crate::crypto) fn from_pkcs1(der: &[u8]) -> Result<SecretBytes, Refused> {
    document(&KeyPair::from_der(der).map_err(|_| Refused)?)
}

impl PrivateKey {
    /// Parses PKCS #8.
    pub(in crate::crypto) fn new(pkcs8: &[u8]) -> Result<Self, Refused> {
        let pair = KeyPair::from_pkcs8(pkcs8).map_err(|_| Refused)?;
        let oaep = PrivateDecryptingKey::from_pkcs8(pkcs8).and_then(|key| Ok(OaepPrivateDecryptingKey::new(key)?));
        Ok(Self { pair, oaep: oaep.map_err(|_| Refused)? })
    }

    /// The same key as PKCS #8, in the one form that is stored.
    pub(in crate::crypto) fn document(&self) -> Result<SecretBytes, Refused> {
        document(&self.pair)
    }

    /// The public key, as a `SubjectPublicKeyInfo`.
    pub(in crate::crypto) fn public(&self) -> Result<Vec<u8>, Refused> {
        let info: PublicKeyX509Der<'static> = self.pair.public_key().as_der().map_err(|_| Refused)?;
        Ok(info.as_ref().to_vec())
    }

    /// Bytes of the modulus.
    pub(in crate::crypto) fn bytes(&self) -> usize {
        self.pair.public_modulus_len()
    }

    /// Decrypts OAEP with this hash, in constant time.
    pub(in crate::crypto) fn decrypt(&self, hash: Hash, text: &[u8]) -> Result<SecretBytes, Refused> {
        let algorithm: &'static OaepAlgorithm = match hash {
            Hash::Sha1 => &OAEP_SHA1_MGF1SHA1,
            Hash::Sha256 => &OAEP_SHA256_MGF1SHA256,
            Hash::Sha384 => &OAEP_SHA384_MGF1SHA384,
            Hash::Sha512 => &OAEP_SHA512_MGF1SHA512,
            _ => return Err(Refused),
        };
        let mut plain = zeroize::Zeroizing::new(vec![0; self.oaep.min_output_size()]);
        let length = self.oaep.decrypt(algorithm, text, &mut plain, None).map_err(|_| Refused)?.len();
        plain.truncate(length);
        Ok(SecretBytes::from_wiping(plain))
    }

    /// Signs a hash. `None` where aws-lc-rs does not offer the padding.
    pub(in crate::crypto) fn sign(&self, padding: Padding, hashed: &[u8]) -> Option<Result<Vec<u8>, Refused>> {
        let (hash, encoding): (Hash, &'static dyn RsaEncoding) = match padding {
            Padding::Pkcs1(Some(Hash::Sha256)) => (Hash::Sha256, &signature::RSA_PKCS1_SHA256),
            Padding::Pkcs1(Some(Hash::Sha384)) => (Hash::Sha384, &signature::RSA_PKCS1_SHA384),
            Padding::Pkcs1(Some(Hash::Sha512)) => (Hash::Sha512, &signature::RSA_PKCS1_SHA512),
            Padding::Pss(hash, Salt::Bytes(bytes)) if bytes != hash.bytes() => return None,
            Padding::Pss(Hash::Sha256, _) => (Hash::Sha256, &signature::RSA_PSS_SHA256),
            Padding::Pss(Hash::Sha384, _) => (Hash::Sha384, &signature::RSA_PSS_SHA384),
            Padding::Pss(Hash::Sha512, _) => (Hash::Sha512, &signature::RSA_PSS_SHA512),
            _ => return None,
        };
        let algorithm = match hash {
            Hash::Sha384 => &digest::SHA384,
            Hash::Sha512 => &digest::SHA512,
            _ => &digest::SHA256,
        };
        let Ok(hashed) = Digest::import_less_safe(hashed, algorithm) else { return Some(Err(Refused)) };
        let mut signed = vec![0; self.pair.public_modulus_len()];
        let outcome = self.pair.sign_digest(encoding, &hashed, &mut signed);
        Some(outcome.map(|()| signed).map_err(|_| Refused))
    }
}

/// Encrypts with OAEP and SHA-256 to a public key (`SubjectPublicKeyInfo`). Refused when the text is too long for it.
pub(in crate::crypto) fn encrypt(public: &[u8], text: &[u8]) -> Result<Vec<u8>, Refused> {
    let key = PublicEncryptingKey::from_der(public).map_err(|_| Refused)?;
    let key = OaepPublicEncryptingKey::new(key).map_err(|_| Refused)?;
    let mut sealed = vec![0; key.ciphertext_size()];
    let length = key.encrypt(&OAEP_SHA256_MGF1SHA256, text, &mut sealed, None).map_err(|_| Refused)?.len();
    sealed.truncate(length);
    Ok(sealed)
}

/// Whether `signed` is a signature of a hash by the key with these numbers (big endian, without leading zeros).
pub(in crate::crypto) fn verify((n, e): (&[u8], &[u8]), padding: Padding, hashed: &[u8], signed: &[u8]) -> bool {
    let modulus = BigUint::from_bytes_be(n);
    let number = BigUint::from_bytes_be(signed);
    if signed.len() != n.len() || number >= modulus {
        return false;
    }
    let opened = number.modpow(&BigUint::from_bytes_be(e), &modulus).to_bytes_be();
    let Some(zeros) = n.len().checked_sub(opened.len()) else { return false };
    let message = [vec![0; zeros], opened].concat();
    match padding {
        Padding::Pkcs1(hash) => pkcs1(hash, hashed, n.len()).is_some_and(|expected| expected == message),
        Padding::Pss(hash, salt) => pss(hash, salt, hashed, &message, n),
    }
}

/// EMSA-PKCS1-v1_5 (section 9.2), made and compared: nothing of the signature is parsed.
fn pkcs1(hash: Option<Hash>, hashed: &[u8], length: usize) -> Option<Vec<u8>> {
    let info = match hash {
        None => hashed.to_vec(),
        Some(hash) if hashed.len() != hash.bytes() => return None,
        Some(hash) => [digest_info(hash), hashed].concat(),
    };
    let fill = length.checked_sub(info.len() + 3).filter(|fill| *fill >= 8)?;
    Some([&[0, 1], vec![0xff; fill].as_slice(), &[0], &info].concat())
}

/// What stands before a hash (section 9.2, note 1, and NIST's identifiers of SHA-3).
fn digest_info(hash: Hash) -> &'static [u8] {
    match hash {
        Hash::Sha1 => b"\x30\x21\x30\x09\x06\x05\x2b\x0e\x03\x02\x1a\x05\x00\x04\x14",
        Hash::Sha224 => b"\x30\x2d\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x04\x05\x00\x04\x1c",
        Hash::Sha256 => b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20",
        Hash::Sha384 => b"\x30\x41\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\x04\x30",
        Hash::Sha512 => b"\x30\x51\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03\x05\x00\x04\x40",
        Hash::Sha3_256 => b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x08\x05\x00\x04\x20",
        Hash::Sha3_384 => b"\x30\x41\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x09\x05\x00\x04\x30",
        Hash::Sha3_512 => b"\x30\x51\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x0a\x05\x00\x04\x40",
    }
}

/// EMSA-PSS-VERIFY (section 9.1.2), with the mask generation function of appendix B.2.1 and the same hash.
fn pss(hash: Hash, salt: Salt, hashed: &[u8], message: &[u8], n: &[u8]) -> bool {
    let leading = n.first().map_or(8, |byte| byte.leading_zeros());
    // The encoded message has one bit less than the modulus: for a modulus of 8k+1 bits it has a byte less.
    let (message, unused) = if leading == 7 {
        match message.split_first() {
            Some((0, rest)) => (rest, 0),
            _ => return false,
        }
    } else {
        (message, leading + 1)
    };
    let length = hash.bytes();
    let Some((body, [0xbc])) = message.split_last_chunk::<1>() else { return false };
    let Some(split) = body.len().checked_sub(length).filter(|_| hashed.len() == length) else { return false };
    let (masked, expected) = body.split_at(split);
    let clear = 0xff_u8.checked_shr(unused).unwrap_or(0);
    if masked.first().is_none_or(|first| first & !clear != 0) {
        return false;
    }
    let mut open: Vec<u8> = masked.iter().zip(mask(hash, expected, masked.len())).map(|(byte, mask)| byte ^ mask).collect();
    if let Some(first) = open.first_mut() {
        *first &= clear;
    }
    let Some(one) = open.iter().position(|byte| *byte != 0) else { return false };
    let Some((1, found)) = open.get(one..).and_then(|rest| rest.split_first()) else { return false };
    if matches!(salt, Salt::Bytes(bytes) if bytes != found.len()) {
        return false;
    }
    hash.of(&[&[0; 8], hashed, found]) == expected
}

fn mask(hash: Hash, seed: &[u8], length: usize) -> impl Iterator<Item = u8> {
    (0..=u32::MAX).flat_map(move |counter| hash.of(&[seed, &counter.to_be_bytes()])).take(length)
}
