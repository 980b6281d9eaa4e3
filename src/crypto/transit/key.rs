//! One version of a key, and what is done with it.

use std::sync::OnceLock;

use super::kind::{Family, KeyType};
use super::symmetric::{Scheme, Sealer};
use crate::crypto::hazmat::digest::Hash;
use crate::crypto::hazmat::ec::{self, EcKey, EdPair, MlDsaPair};
use crate::crypto::hazmat::rsa::{self, Padding};
use crate::crypto::hazmat::{kdf, key_wrap};
use crate::crypto::signing::Curve;
use crate::random;
use crate::secret::SecretBytes;

/// Bytes of the HMAC key that every other key has besides.
const MAC_KEY_BYTES: usize = 32;

/// Why a key was not made or used. Nothing is said of what a ciphertext holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The type of key cannot do this.
    #[error("the type of the key does not support it")]
    Unsupported,
    /// A derived key needs a context.
    #[error("a context is missing")]
    NoContext,
    /// Only the public key was imported.
    #[error("there is no private key")]
    NoPrivateKey,
    /// Wrong key, wrong context, wrong associated data, or damaged: it looks the same.
    #[error("does not open")]
    Open,
    /// A text is too long for RSA.
    #[error("the text is too long for the key")]
    TooLong,
    /// A hash has not the length that its name says.
    #[error("the hash has a wrong length")]
    HashLength,
    /// What was given is no key of this type; the text says what is wrong with it.
    #[error("{0}")]
    Import(&'static str),
    /// The library failed, or what is stored is no such key.
    #[error("the key cannot be used")]
    Unusable,
}

/// One version.
pub struct Key {
    pub(super) kind: KeyType,
    /// None where only the public key was imported.
    pub(super) private: Option<SecretBytes>,
    pub(super) public: Vec<u8>,
    pub(super) mac: SecretBytes,
    parsed: OnceLock<Option<Parsed>>,
}

/// A private key that is ready for use; wiped when dropped.
enum Parsed {
    Symmetric(Sealer),
    Ec(Box<EcKey>),
    Ed(Box<EdPair>),
    Rsa(Box<rsa::PrivateKey>),
    MlDsa(Box<MlDsaPair>),
}

/// Which key of a key: itself, or one that is derived for a context.
#[derive(Clone, Copy)]
pub struct Derivation<'a> {
    /// Of a derived key: what the key in use is derived for.
    pub context: Option<&'a [u8]>,
    /// Equal texts make equal ciphertexts.
    pub convergent: bool,
}

impl Derivation<'_> {
    /// The key itself.
    pub const NONE: Self = Self { context: None, convergent: false };
}

/// What is signed.
#[derive(Clone, Copy)]
pub enum Signable<'a> {
    /// A text (Ed25519, ML-DSA).
    Text(&'a [u8]),
    /// A hash (ECDSA); or a hash and its padding (RSA).
    Hash(&'a [u8], Padding),
}

impl Key {
    /// A fresh key. `mac_bytes` is the length of an HMAC key. RSA takes long: not for a thread that others wait for.
    pub fn generate(kind: KeyType, mac_bytes: usize) -> Result<Self, KeyError> {
        let private = match kind.family() {
            Family::Symmetric(scheme) => random::secret(scheme.key_bytes()),
            Family::Ed25519 | Family::MlDsa(_) => random::secret(32),
            Family::Ec(curve) => {
                let key = EcKey::generate(curve)?;
                return Ok(Self::with(kind, Some(key.private()?), key.public(), None));
            }
            Family::Rsa(bits) => rsa::generate(bits)?,
            Family::Mac => random::secret(mac_bytes),
        };
        Self::of_private(kind, private)
    }

    /// A key of its stored private form (of Ed25519 and ML-DSA: of the seed), with a fresh HMAC key.
    pub(super) fn of_private(kind: KeyType, private: SecretBytes) -> Result<Self, KeyError> {
        Ok(match kind.family() {
            Family::Symmetric(_) => Self::with(kind, Some(private), Vec::new(), None),
            Family::Mac => {
                let mac = private.duplicate();
                Self::with(kind, Some(private), Vec::new(), Some(mac))
            }
            Family::Ed25519 => {
                let public = ec::ed25519_public(&ec::ed25519(private.expose())?);
                let both = SecretBytes::new([private.expose(), &public].concat());
                Self::with(kind, Some(both), public, None)
            }
            Family::MlDsa(set) => {
                let public = ec::ml_dsa_public(&set.key(private.expose())?);
                Self::with(kind, Some(private), public, None)
            }
            Family::Rsa(_) => {
                let public = rsa::PrivateKey::new(private.expose())?.public()?;
                Self::with(kind, Some(private), public, None)
            }
            // The point belongs to the stored form.
            Family::Ec(_) => return Err(KeyError::Unusable),
        })
    }

    pub(super) fn with(kind: KeyType, private: Option<SecretBytes>, public: Vec<u8>, mac: Option<SecretBytes>) -> Self {
        let mac = mac.unwrap_or_else(|| random::secret(MAC_KEY_BYTES));
        Self { kind, private, public, mac, parsed: OnceLock::new() }
    }

    /// A key from its stored parts.
    pub fn stored(kind: KeyType, private: Option<SecretBytes>, public: Vec<u8>, mac: SecretBytes) -> Self {
        Self { kind, private, public, mac, parsed: OnceLock::new() }
    }

    /// The parts to be stored: private, public, and the key of HMAC.
    pub fn parts(&self) -> (Option<&SecretBytes>, &[u8], &SecretBytes) {
        (self.private.as_ref(), &self.public, &self.mac)
    }

    /// A second copy, wiped on its own.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        let private = self.private.as_ref().map(SecretBytes::duplicate);
        Self::stored(self.kind, private, self.public.clone(), self.mac.duplicate())
    }

    /// Its type.
    pub fn kind(&self) -> KeyType {
        self.kind
    }

    /// Whether more than the public key is there.
    pub fn has_private(&self) -> bool {
        self.private.is_some()
    }

    /// The key of HMAC.
    pub fn mac_key(&self) -> &SecretBytes {
        &self.mac
    }

    fn secret(&self) -> Result<&SecretBytes, KeyError> {
        self.private.as_ref().ok_or(KeyError::NoPrivateKey)
    }

    fn parsed(&self) -> Result<&Parsed, KeyError> {
        let private = self.secret()?;
        self.parsed.get_or_init(|| self.parse(private)).as_ref().ok_or(KeyError::Unusable)
    }

    fn parse(&self, private: &SecretBytes) -> Option<Parsed> {
        let bytes = private.expose();
        Some(match self.kind.family() {
            Family::Symmetric(scheme) => Parsed::Symmetric(scheme.sealer(bytes)?),
            Family::Ed25519 => Parsed::Ed(Box::new(ec::ed25519(bytes.get(..32)?).ok()?)),
            Family::Ec(curve) => Parsed::Ec(Box::new(EcKey::new(curve, bytes, &self.public).ok()?)),
            Family::Rsa(_) => Parsed::Rsa(Box::new(rsa::PrivateKey::new(bytes).ok()?)),
            Family::MlDsa(set) => Parsed::MlDsa(Box::new(set.key(bytes).ok()?)),
            Family::Mac => return None,
        })
    }

    /// HKDF-SHA-256 with the context as its info (RFC 5869). The whole stored key is the input: 64 bytes of Ed25519.
    fn derived(&self, context: Option<&[u8]>, length: usize) -> Result<SecretBytes, KeyError> {
        let context = context.filter(|context| !context.is_empty()).ok_or(KeyError::NoContext)?;
        kdf::hkdf_of(self.secret()?.expose(), context, length).ok_or(KeyError::Unusable)
    }

    /// Encrypts, as `symmetric` says, or by OAEP. `derived` says that the key is one of derived keys.
    pub fn encrypt(&self, derivation: Option<Derivation<'_>>, aad: &[u8], text: &SecretBytes) -> Result<Vec<u8>, KeyError> {
        match self.kind.family() {
            Family::Symmetric(scheme) => self.seal(scheme, derivation, aad, text),
            Family::Rsa(_) => rsa::encrypt(&self.public, text.expose()).map_err(|_| KeyError::TooLong),
            _ => Err(KeyError::Unsupported),
        }
    }

    fn seal(
        &self,
        scheme: Scheme,
        derivation: Option<Derivation<'_>>,
        aad: &[u8],
        text: &SecretBytes,
    ) -> Result<Vec<u8>, KeyError> {
        let mut nonce = [0; 24];
        let nonce = nonce.get_mut(..scheme.nonce_bytes()).ok_or(KeyError::Unusable)?;
        let fresh: [u8; 24] = random::frequent();
        nonce.iter_mut().zip(fresh).for_each(|(to, from)| *to = from);
        let Some(Derivation { context, convergent }) = derivation else { return self.sealer()?.seal(nonce, aad, text) };
        let both = self.derived(context, scheme.key_bytes() + if convergent { MAC_KEY_BYTES } else { 0 })?;
        let (key, mac) = both.expose().split_at_checked(scheme.key_bytes()).ok_or(KeyError::Unusable)?;
        if convergent {
            let made = convergent_nonce(mac, aad, text);
            nonce.iter_mut().zip(made).for_each(|(to, from)| *to = from);
        }
        scheme.sealer(key).ok_or(KeyError::Unusable)?.seal(nonce, aad, text)
    }

    fn sealer(&self) -> Result<&Sealer, KeyError> {
        match self.parsed()? {
            Parsed::Symmetric(sealer) => Ok(sealer),
            _ => Err(KeyError::Unusable),
        }
    }

    /// Decrypts what `encrypt` or `OpenBao` made.
    pub fn decrypt(&self, derivation: Option<Derivation<'_>>, aad: &[u8], sealed: &[u8]) -> Result<SecretBytes, KeyError> {
        let scheme = match self.kind.family() {
            Family::Symmetric(scheme) => scheme,
            Family::Rsa(_) => match self.parsed()? {
                Parsed::Rsa(key) => return key.decrypt(Hash::Sha256, sealed).map_err(|_| KeyError::Open),
                _ => return Err(KeyError::Unusable),
            },
            _ => return Err(KeyError::Unsupported),
        };
        let Some(Derivation { context, .. }) = derivation else { return self.sealer()?.open(aad, sealed) };
        let key = self.derived(context, scheme.key_bytes())?;
        scheme.sealer(key.expose()).ok_or(KeyError::Unusable)?.open(aad, sealed)
    }

    /// Signs. ECDSA signatures are a SEQUENCE of r and s.
    pub fn sign(&self, derivation: Option<Derivation<'_>>, what: Signable<'_>) -> Result<Vec<u8>, KeyError> {
        if let (Some(Derivation { context, .. }), Signable::Text(text)) = (derivation, what) {
            return Ok(ec::ed25519_sign(&self.derived_pair(context)?, text));
        }
        match (self.parsed()?, what) {
            (Parsed::Ed(pair), Signable::Text(text)) => Ok(ec::ed25519_sign(pair, text)),
            (Parsed::MlDsa(pair), Signable::Text(text)) => Ok(ec::ml_dsa_sign(pair, text)?),
            (Parsed::Ec(key), Signable::Hash(hashed, _)) => key.sign(hashed).map_err(|_| KeyError::HashLength),
            (Parsed::Rsa(key), Signable::Hash(hashed, padding)) => {
                key.sign(padding, hashed).ok_or(KeyError::Unsupported)?.map_err(|_| KeyError::HashLength)
            }
            _ => Err(KeyError::Unsupported),
        }
    }

    /// Whether something is a signature.
    pub fn verify(&self, derivation: Option<Derivation<'_>>, what: Signable<'_>, signed: &[u8]) -> Result<bool, KeyError> {
        match (self.kind.family(), what) {
            (Family::Ed25519, Signable::Text(text)) => {
                let derived = derivation.map(|Derivation { context, .. }| self.derived_public(context)).transpose()?;
                Ok(ec::ed25519_verify(derived.as_ref().unwrap_or(&self.public), text, signed))
            }
            (Family::MlDsa(set), Signable::Text(text)) => Ok(set.verify(&self.public, text, signed)),
            (Family::Ec(curve), Signable::Hash(hashed, _)) => Ok(ec::verify(curve, &self.public, hashed, signed)),
            (Family::Rsa(_), Signable::Hash(hashed, padding)) => {
                let (n, e) = super::exchange::rsa_numbers(&self.public).ok_or(KeyError::Unusable)?;
                Ok(rsa::verify((n, e), padding, hashed, signed))
            }
            _ => Err(KeyError::Unsupported),
        }
    }

    fn derived_pair(&self, context: Option<&[u8]>) -> Result<EdPair, KeyError> {
        match self.kind {
            KeyType::Ed25519 => Ok(ec::ed25519(self.derived(context, 32)?.expose())?),
            _ => Err(KeyError::Unsupported),
        }
    }

    /// The public key that belongs to a context.
    pub fn derived_public(&self, context: Option<&[u8]>) -> Result<Vec<u8>, KeyError> {
        Ok(ec::ed25519_public(&self.derived_pair(context)?))
    }

    /// The curve, of an ECDSA key.
    pub(super) fn curve(&self) -> Option<Curve> {
        match self.kind.family() {
            Family::Ec(curve) => Some(curve),
            _ => None,
        }
    }
}

/// The nonce of convergent encryption, version 3: a MAC of the text. Where there is associated data, the key of that MAC is
/// made of it: one nonce for two tags would give the key of GHASH away.
fn convergent_nonce(mac: &[u8], aad: &[u8], text: &SecretBytes) -> Vec<u8> {
    if aad.is_empty() {
        return Hash::Sha256.mac(mac, text.expose());
    }
    let bound = zeroize::Zeroizing::new(Hash::Sha256.mac(mac, &[b"strongroom convergent associated data\0", aad].concat()));
    Hash::Sha256.mac(&bound, text.expose())
}

/// The key that keys are wrapped to for their import: RSA of 4096 bits.
pub struct WrappingKey(rsa::PrivateKey);

impl WrappingKey {
    /// A fresh one, in its stored form. Takes seconds.
    pub fn generate() -> Result<SecretBytes, KeyError> {
        Ok(rsa::generate(4096)?)
    }

    /// From its stored form.
    pub fn new(stored: &SecretBytes) -> Result<Self, KeyError> {
        Ok(Self(rsa::PrivateKey::new(stored.expose())?))
    }

    /// The public key as PEM.
    pub fn public(&self) -> Result<String, KeyError> {
        Ok(format!("{}\n", super::der::pem("PUBLIC KEY", &self.0.public()?).expose()))
    }

    /// The key in RSA-OAEP(ephemeral AES key) ‖ AES-KWP(key). All failures look the same.
    pub fn unwrap(&self, hash: Hash, wrapped: &[u8]) -> Result<SecretBytes, KeyError> {
        let (sealed, wrapped) = wrapped.split_at_checked(self.0.bytes()).ok_or(KeyError::Open)?;
        let ephemeral = self.0.decrypt(hash, sealed).map_err(|_| KeyError::Open)?;
        key_wrap::unwrap(ephemeral.expose(), wrapped).map_err(|_| KeyError::Open)
    }
}

impl From<crate::crypto::hazmat::signature::Refused> for KeyError {
    fn from(_: crate::crypto::hazmat::signature::Refused) -> Self {
        Self::Unusable
    }
}
