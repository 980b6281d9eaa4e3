//! Sealing audit batches under the tenant's audit key: `sealed_box`, padded with Padmé after compression.
//!
//!     content = length (8) ‖ batch ‖ zeros
//!     AAD     = length-prefixed (format, deployment, tenant, kind byte)
//!
//! Which rows of the log a batch is for is not part of its AAD: adjacent batches are merged later, and the log's own chain, its
//! Merkle tree and `batch_mac` say where events stand.

use zeroize::Zeroizing;

use super::framing::framed;
use super::padding::padme;
use super::{Fault, Keyring, OpenError, sealed_box};
use crate::secret::SecretBytes;

const LABEL: &[u8] = b"strongroom v1 audit batch";
/// A number that no `Kind` of record has.
const KIND: u8 = 255;

impl Keyring {
    /// Seals a batch of events, already compressed.
    pub fn seal_batch(&self, batch: &[u8]) -> Vec<u8> {
        let mut content = Zeroizing::new(Vec::with_capacity(8 + batch.len()));
        content.extend_from_slice(&(batch.len() as u64).to_be_bytes());
        content.extend_from_slice(batch);
        sealed_box::seal(&self.audit, LABEL, &self.batch_aad(), &content, padme(content.len()))
    }

    /// Opens what `seal_batch` made.
    ///
    /// # Errors
    /// Not a batch of this tenant, damaged, or of a newer format.
    pub fn open_batch(&self, sealed: &[u8]) -> Result<SecretBytes, OpenError> {
        let mut content = sealed_box::open(&self.audit, LABEL, &self.batch_aad(), sealed)?;
        let (length, rest) = content.split_first_chunk().ok_or(Fault::Content)?;
        let length = usize::try_from(u64::from_be_bytes(*length)).ok().filter(|length| *length <= rest.len());
        let length = length.ok_or(Fault::Content)?;
        content.copy_within(8..8 + length, 0);
        content.truncate(length);
        Ok(SecretBytes::new(std::mem::take(&mut *content)))
    }

    fn batch_aad(&self) -> Vec<u8> {
        framed(&[&[sealed_box::FORMAT], &self.deployment.0, &self.tenant.0, &[KIND]])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{DeploymentId, TenantId};

    #[test]
    fn batches_open_for_their_tenant_and_hide_their_length() {
        let keyring = Keyring::generate(DeploymentId([1; 16]), TenantId([2; 16]));
        for length in [0, 1, 248, 249, 5_000] {
            let batch = vec![7; length];
            let sealed = keyring.seal_batch(&batch);
            assert_eq!(sealed.len(), 1 + 24 + 32 + 16 + padme(8 + length));
            assert_eq!(keyring.open_batch(&sealed).unwrap().expose(), batch);
            assert!(Keyring::generate(DeploymentId([1; 16]), TenantId([2; 16])).open_batch(&sealed).is_err());
        }
    }
}
