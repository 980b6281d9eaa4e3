//! Sealing batch tokens: what a token that is not stored carries with it, under a key of the tenant's keyring that has no
//! other purpose. Only the tenant's own servers can make one or read it.
//!
//!     text = sealed_box(content), AAD = length-prefixed (format, deployment, tenant)
//!
//! The content is the business of `auth/token/batch.rs`. Its length shows in the token's, which only its holder sees.

use super::framing::framed;
use super::{Keyring, OpenError, sealed_box};
use crate::secret::SecretBytes;

pub(super) const LABEL: &[u8] = b"strongroom v1 batch token";

impl Keyring {
    /// Seals the content of a batch token.
    pub fn seal_batch_token(&self, content: &[u8]) -> Vec<u8> {
        sealed_box::seal(&self.batch_tokens, LABEL, &self.batch_token_aad(), content, content.len())
    }

    /// Opens what `seal_batch_token` made.
    ///
    /// # Errors
    /// Not a batch token of this tenant, damaged, or of a newer format.
    pub fn open_batch_token(&self, sealed: &[u8]) -> Result<SecretBytes, OpenError> {
        let mut content = sealed_box::open(&self.batch_tokens, LABEL, &self.batch_token_aad(), sealed)?;
        Ok(SecretBytes::new(std::mem::take(&mut *content)))
    }

    pub(super) fn batch_token_aad(&self) -> Vec<u8> {
        framed(&[&[sealed_box::FORMAT], &self.deployment.0, &self.tenant.0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{DeploymentId, TenantId};

    #[test]
    fn batch_tokens_open_for_their_tenant_only() {
        let keyring = Keyring::generate(DeploymentId([1; 16]), TenantId([2; 16]));
        let sealed = keyring.seal_batch_token(b"content");
        assert_eq!(keyring.open_batch_token(&sealed).unwrap().expose(), b"content");
        assert_ne!(keyring.seal_batch_token(b"content"), sealed, "the nonce is fresh");
        let other = Keyring::generate(DeploymentId([1; 16]), TenantId([2; 16]));
        assert!(other.open_batch_token(&sealed).is_err());
        assert!(keyring.open_batch(&sealed).is_err(), "an audit batch is sealed under another key");
        assert!(keyring.open_batch_token(&keyring.seal_batch(b"content")).is_err());
        for at in 0..sealed.len() {
            let mut forged = sealed.clone();
            forged[at] ^= 1;
            assert!(keyring.open_batch_token(&forged).is_err(), "byte {at}");
            assert!(keyring.open_batch_token(&sealed[..at]).is_err(), "cut at {at}");
        }
    }
}
