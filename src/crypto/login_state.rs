//! Sealing what a login in a browser carries from its first step to its last, under a key of the tenant's keyring that has
//! no other purpose. Nothing is stored for it, and only the tenant's own servers can make one or read it.
//!
//!     text = sealed_box(content), AAD = length-prefixed (format, deployment, tenant)

use super::framing::framed;
use super::{Keyring, OpenError, sealed_box};
use crate::secret::SecretBytes;

const LABEL: &[u8] = b"strongroom v1 login state";

impl Keyring {
    /// Seals the state of a login.
    pub fn seal_login_state(&self, content: &[u8]) -> Vec<u8> {
        sealed_box::seal(&self.login_states, LABEL, &self.login_state_aad(), content, content.len())
    }

    /// Opens what `seal_login_state` made.
    ///
    /// # Errors
    /// Not a state of this tenant, damaged, or of a newer format.
    pub fn open_login_state(&self, sealed: &[u8]) -> Result<SecretBytes, OpenError> {
        let mut content = sealed_box::open(&self.login_states, LABEL, &self.login_state_aad(), sealed)?;
        Ok(SecretBytes::new(std::mem::take(&mut *content)))
    }

    fn login_state_aad(&self) -> Vec<u8> {
        framed(&[&[sealed_box::FORMAT], &self.deployment.0, &self.tenant.0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{DeploymentId, TenantId};

    #[test]
    fn a_state_opens_for_its_tenant_and_its_purpose_only() {
        let keyring = Keyring::generate(DeploymentId([1; 16]), TenantId([2; 16]));
        let sealed = keyring.seal_login_state(b"content");
        assert_eq!(keyring.open_login_state(&sealed).unwrap().expose(), b"content");
        assert!(Keyring::generate(DeploymentId([1; 16]), TenantId([2; 16])).open_login_state(&sealed).is_err());
        assert!(keyring.open_batch_token(&sealed).is_err());
        assert!(keyring.open_login_state(&keyring.seal_batch_token(b"content")).is_err());
        for at in 0..sealed.len() {
            let mut forged = sealed.clone();
            forged[at] ^= 1;
            assert!(keyring.open_login_state(&forged).is_err(), "byte {at}");
        }
    }
}
