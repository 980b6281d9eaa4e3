//! The recovery key: whoever has its public half can wrap tenant keys, and only who joins the shares of its private half opens
//! them.
//!
//!     format (1) ‖ encapsulated secret (32) ‖ ciphertext ‖ tag (16)
//!     HPKE (RFC 9180) with the context's AAD

use super::OpenError;
use super::hazmat::hpke;
use super::keys::{Key, RootKey, WrapContext};
use crate::secret::SecretBytes;

const FORMAT: u8 = 1;
const INFO: &[u8] = b"strongroom v1 recovery wrap";

/// The public half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecoveryPublicKey([u8; hpke::KEY]);

/// The private half: 32 bytes, to be split into shares.
pub struct RecoveryKey(Key);

impl RecoveryPublicKey {
    /// Takes 32 bytes; `None` when it is another number.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The 32 bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Encrypts a tenant key. None when this is not a public key.
    pub fn wrap(&self, plaintext: &SecretBytes, context: &WrapContext) -> Option<Vec<u8>> {
        let sealed = hpke::seal(&self.0, INFO, &context.aad(), plaintext.expose())?;
        Some([&[FORMAT], &sealed[..]].concat())
    }
}

impl RecoveryKey {
    /// A fresh pair. None when the generator fails.
    pub fn generate() -> Option<(Self, RecoveryPublicKey)> {
        let (private, public) = hpke::generate()?;
        Some((Self(Key::from_slice(&private)?), RecoveryPublicKey(public)))
    }

    /// The public half. None when this is not a private key.
    pub fn public(&self) -> Option<RecoveryPublicKey> {
        hpke::public(self.0.bytes()).map(RecoveryPublicKey)
    }

    /// The private half that shares gave.
    pub fn of(joined: &RootKey) -> Option<Self> {
        Key::from_slice(joined.secret().expose()).map(Self)
    }

    /// In the form that is split into shares.
    pub fn to_split(&self) -> Option<RootKey> {
        RootKey::from_secret(&SecretBytes::new(self.0.bytes().to_vec()))
    }

    /// Opens what `RecoveryPublicKey::wrap` made with an equal context.
    ///
    /// # Errors
    /// Another key, another context, or damaged bytes.
    pub fn unwrap(&self, wrap: &[u8], context: &WrapContext) -> Result<SecretBytes, OpenError> {
        let sealed = wrap.strip_prefix(&[FORMAT]).ok_or(OpenError)?;
        let mut opened = hpke::open(self.0.bytes(), INFO, &context.aad(), sealed).ok_or(OpenError)?;
        Ok(SecretBytes::new(std::mem::take(&mut *opened)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{DeploymentId, TenantId};

    #[test]
    fn only_the_private_half_opens_and_only_in_its_place() {
        let (private, public) = RecoveryKey::generate().unwrap();
        assert_eq!(private.public(), Some(public));
        let context = WrapContext { deployment: DeploymentId([1; 16]), tenant: TenantId([2; 16]), generation: 3 };
        let secret = SecretBytes::new(vec![7; 32]);
        let wrap = public.wrap(&secret, &context).unwrap();
        let joined = RecoveryKey::of(&private.to_split().unwrap()).unwrap();
        assert_eq!(joined.unwrap(&wrap, &context).unwrap().expose(), secret.expose());
        let (other, _) = RecoveryKey::generate().unwrap();
        assert!(other.unwrap(&wrap, &context).is_err());
        assert!(private.unwrap(&wrap, &WrapContext { generation: 4, ..context }).is_err());
        assert!(private.unwrap(&wrap, &WrapContext { tenant: TenantId([3; 16]), ..context }).is_err());
        for position in 0..wrap.len() {
            let mut changed = wrap.clone();
            changed[position] ^= 1;
            assert!(private.unwrap(&changed, &context).is_err(), "{position}");
            assert!(private.unwrap(&wrap[..position], &context).is_err(), "{position}");
        }
        assert_ne!(public.wrap(&secret, &context).unwrap(), wrap, "never the same twice");
    }
}
