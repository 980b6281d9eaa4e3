//! Sealing audit batches under the tenant's audit key: `sealed_box`, padded with Padmé after compression.
//!
//!     content = length (8) ‖ batch ‖ zeros
//!     AAD     = length-prefixed (format, deployment, tenant, kind byte)
//!
//! A batch's summary is a box of its own, not padded: its length tells no more than the number of events does, which the row
//! has in the clear, and how varied they are. Its AAD names the first event by its leaf hash.
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
const SUMMARY_LABEL: &[u8] = b"strongroom v1 audit summary";
/// Another number that no `Kind` of record has.
const SUMMARY_KIND: u8 = 254;

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

    /// Seals the summary of a batch. `leaf` is the leaf hash of its first event: a summary that was exchanged for
    /// another row's does not open.
    pub fn seal_summary(&self, summary: &[u8], leaf: &[u8; 32]) -> Vec<u8> {
        sealed_box::seal(&self.audit, SUMMARY_LABEL, &self.summary_aad(leaf), summary, summary.len())
    }

    /// Opens what `seal_summary` made.
    ///
    /// # Errors
    /// Not the summary of these events, damaged, or of a newer format.
    pub fn open_summary(&self, sealed: &[u8], leaf: &[u8; 32]) -> Result<Vec<u8>, OpenError> {
        let mut summary = sealed_box::open(&self.audit, SUMMARY_LABEL, &self.summary_aad(leaf), sealed)?;
        Ok(std::mem::take(&mut *summary))
    }

    fn summary_aad(&self, leaf: &[u8; 32]) -> Vec<u8> {
        framed(&[&[sealed_box::FORMAT], &self.deployment.0, &self.tenant.0, &[SUMMARY_KIND], leaf])
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
    fn a_summary_opens_beside_its_own_events_only() {
        let keyring = Keyring::generate(DeploymentId([1; 16]), TenantId([2; 16]));
        let sealed = keyring.seal_summary(b"summary", &[7; 32]);
        assert_eq!(keyring.open_summary(&sealed, &[7; 32]).unwrap(), b"summary");
        assert!(keyring.open_summary(&sealed, &[8; 32]).is_err());
        assert!(keyring.open_batch(&sealed).is_err());
        assert!(Keyring::generate(DeploymentId([1; 16]), TenantId([2; 16])).open_summary(&sealed, &[7; 32]).is_err());
    }

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
