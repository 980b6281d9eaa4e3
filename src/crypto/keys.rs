//! The keys above the keyring, and the box that every key of 32 bytes lives in.
//!
//! No key type has `Debug`, `Clone` or `Serialize`. Each purpose has a label of its own, so that no key is used for two things.

use zeroize::Zeroizing;

use super::framing::framed;
use super::hazmat::kdf;
use super::{OpenError, sealed_box};
use crate::id::{DeploymentId, TenantId};
use crate::random;
use crate::secret::SecretBytes;

const TENANT_KEY_COMMITMENT: &[u8] = b"strongroom v1 tenant key commitment";
const ROOT_WRAP: &[u8] = b"strongroom v1 root wrap";

/// 32 secret bytes on the heap, where moving them leaves no copy behind, wiped when dropped.
pub(super) struct Key(Box<Zeroizing<[u8; 32]>>);

impl Key {
    /// A fresh key.
    pub(super) fn random() -> Self {
        Self::filled(|bytes| *bytes = random::bytes())
    }

    /// Takes 32 bytes; `None` when it is another number.
    pub(super) fn from_slice(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; 32] = bytes.try_into().ok()?;
        Some(Self::filled(|key| *key = *bytes))
    }

    /// The key that belongs to `label`: HKDF of this one.
    pub(super) fn derive(&self, label: &[u8]) -> Self {
        Self::filled(|bytes| kdf::hkdf(self.bytes(), &[label], bytes))
    }

    /// An encryption key and the commitment to it, of one derivation: nobody can find a second key with the same commitment
    /// short of a collision of SHA-256.
    pub(super) fn derive_committed(&self, info: &[&[u8]]) -> (Self, [u8; 32]) {
        let mut output = Zeroizing::new([0; 64]);
        kdf::hkdf(self.bytes(), info, &mut output);
        let (key, commitment) = output.split_at(32);
        let mut public = [0; 32];
        public.copy_from_slice(commitment);
        (Self::filled(|bytes| bytes.copy_from_slice(key)), public)
    }

    /// The bytes.
    pub(super) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    fn filled(fill: impl FnOnce(&mut [u8; 32])) -> Self {
        let mut key = Self(Box::new(Zeroizing::new([0; 32])));
        fill(&mut key.0);
        key
    }
}

/// What a wrapped tenant key is bound to: it unwraps for this tenant of this deployment and this generation only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrapContext {
    /// The installation.
    pub deployment: DeploymentId,
    /// The tenant whose key it is.
    pub tenant: TenantId,
    /// Counts the tenant's keys, from 1.
    pub generation: u32,
}

impl WrapContext {
    /// What a wrap is bound to, as AAD: length-prefixed (format, deployment, tenant, generation).
    pub fn aad(&self) -> Vec<u8> {
        framed(&[&[sealed_box::FORMAT], &self.deployment.0, &self.tenant.0, &self.generation.to_be_bytes()])
    }
}

/// A root key held in memory: of a static key file, or joined from shares.
pub struct RootKey(Key);

impl RootKey {
    /// A fresh root key.
    pub fn generate() -> Self {
        Self(Key::random())
    }

    /// Takes 32 bytes; `None` when it is another number.
    pub fn from_secret(secret: &SecretBytes) -> Option<Self> {
        Key::from_slice(secret.expose()).map(Self)
    }

    /// The 32 bytes, to be split into shares or written to a key file.
    pub fn secret(&self) -> SecretBytes {
        SecretBytes::new(self.0.bytes().to_vec())
    }

    /// Encrypts a tenant key. Layout and guarantee: `sealed_box`.
    pub fn wrap(&self, plaintext: &SecretBytes, context: &WrapContext) -> Vec<u8> {
        sealed_box::seal(&self.0, ROOT_WRAP, &context.aad(), plaintext.expose(), plaintext.len())
    }

    /// Opens what `wrap` made with the same key and context.
    ///
    /// # Errors
    /// Another key, another context, or damaged bytes.
    pub fn unwrap(&self, wrap: &[u8], context: &WrapContext) -> Result<SecretBytes, OpenError> {
        let mut plaintext = sealed_box::open(&self.0, ROOT_WRAP, &context.aad(), wrap)?;
        Ok(SecretBytes::new(std::mem::take(&mut *plaintext)))
    }
}

/// A tenant's own key: seals its keyring, and is itself stored only as wraps under root keys.
pub struct TenantKey(pub(super) Key);

impl TenantKey {
    /// A fresh key.
    pub fn generate() -> Self {
        Self(Key::random())
    }

    /// Takes 32 bytes, as a seal unwrapped them; `None` when it is another number.
    #[expect(clippy::needless_pass_by_value, reason = "the caller's copy ends here")]
    pub fn from_secret(secret: SecretBytes) -> Option<Self> {
        Key::from_slice(secret.expose()).map(Self)
    }

    /// The 32 bytes, for a seal to wrap.
    pub fn secret(&self) -> SecretBytes {
        SecretBytes::new(self.0.bytes().to_vec())
    }

    /// A public value that only this key has, for the parent's record of the tenant: a planted key is told by it. The key
    /// belongs to one tenant and generation, so it needs no other context than its label.
    pub fn commitment(&self) -> [u8; 32] {
        *self.0.derive(TENANT_KEY_COMMITMENT).bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context() -> WrapContext {
        WrapContext { deployment: DeploymentId([1; 16]), tenant: TenantId([2; 16]), generation: 3 }
    }

    #[test]
    fn a_wrap_opens_with_its_key_and_context_only() {
        let (root, key) = (RootKey::generate(), TenantKey::generate());
        let wrap = root.wrap(&key.secret(), &context());
        let opened = TenantKey::from_secret(root.unwrap(&wrap, &context()).unwrap()).unwrap();
        assert_eq!(opened.commitment(), key.commitment());
        for other in [
            WrapContext { deployment: DeploymentId([9; 16]), ..context() },
            WrapContext { tenant: TenantId([9; 16]), ..context() },
            WrapContext { generation: 4, ..context() },
        ] {
            assert!(root.unwrap(&wrap, &other).is_err(), "{other:?}");
        }
        assert!(RootKey::generate().unwrap(&wrap, &context()).is_err());
    }

    #[test]
    fn keys_have_32_bytes() {
        for length in [0, 16, 31, 33, 64] {
            assert!(TenantKey::from_secret(SecretBytes::new(vec![7; length])).is_none());
            assert!(RootKey::from_secret(&SecretBytes::new(vec![7; length])).is_none());
        }
    }

    #[test]
    fn commitments_tell_keys_apart_and_are_not_the_key() {
        let key = TenantKey::generate();
        assert_ne!(key.commitment(), TenantKey::generate().commitment());
        assert_ne!(key.commitment().as_slice(), key.secret().expose());
    }
}
