//! `sys/unseal`: shares come in one at a time until there are enough.

use std::sync::{Arc, MutexGuard, PoisonError};

use super::{Barrier, BarrierError, SealRecord, SealStatus};
use crate::seal::LocalSeal;
use crate::seal::shamir::combine;
use crate::secret::{SecretBytes, SecretText};

/// Shares that were brought since the last reset.
#[derive(Default)]
pub(super) struct Progress {
    /// Which share each is, and the share.
    shares: Vec<(usize, SecretBytes)>,
    /// Names this attempt, so that people see whether they work on the same one.
    nonce: String,
}

impl Progress {
    pub(super) fn reset(&mut self) {
        self.shares.clear();
        self.nonce.clear();
    }

    pub(super) fn shown(&self) -> (usize, String) {
        (self.shares.len(), self.nonce.clone())
    }

    fn add(&mut self, which: usize, share: SecretBytes) {
        if self.shares.is_empty() {
            self.nonce = crate::random::uuid();
        }
        if !self.shares.iter().any(|(known, _)| *known == which) {
            self.shares.push((which, share));
        }
    }
}

impl Barrier {
    pub(super) fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets the shares that were brought.
    pub async fn reset_unseal(&self) -> Result<SealStatus, BarrierError> {
        self.progress().reset();
        self.status().await
    }

    /// Takes one share, as hexadecimal or base64. One that is not of this deployment is told at once.
    pub async fn unseal(&self, share: &SecretText) -> Result<SealStatus, BarrierError> {
        let _alone = self.changing.lock().await;
        let Some(deployment) = self.store.deployment().await? else {
            return Err(BarrierError::Invalid("Vault is not initialized".into()));
        };
        if self.open.load().is_some() {
            return self.status().await;
        }
        let record = serde_json::from_slice(&deployment.seal).map_err(|error| BarrierError::Failed(error.to_string()))?;
        let SealRecord::Shamir { shares: set } = record else {
            return Err(BarrierError::Invalid("this deployment has no shares: its seal opens it at start".into()));
        };
        let share =
            decode(share.expose()).ok_or_else(|| BarrierError::Invalid("'key' must be a valid hex or base64 string".into()))?;
        let which = set.recognises(&share).ok_or_else(|| {
            BarrierError::Invalid(
                "this key share does not belong to this deployment's seal; the shares given before are kept".into(),
            )
        })?;
        let enough = {
            let mut progress = self.progress();
            progress.add(which, share);
            progress.shares.len() >= usize::from(set.threshold)
        };
        if enough {
            let shares: Vec<SecretBytes> =
                std::mem::take(&mut self.progress().shares).into_iter().map(|(_, share)| share).collect();
            self.progress().reset();
            let root = combine(&shares, &set).map_err(|error| BarrierError::Invalid(error.to_string()))?;
            self.enter(Arc::new(LocalSeal::shamir("shamir", root))).await?;
            tracing::info!("unsealed");
        }
        self.status().await
    }
}

/// Clients send a share as they got it: hexadecimal or base64.
fn decode(text: &str) -> Option<SecretBytes> {
    let text = text.trim();
    let hex = data_encoding::HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok();
    let raw = hex.or_else(|| data_encoding::BASE64.decode(text.as_bytes()).ok());
    raw.filter(|raw| !raw.is_empty()).map(SecretBytes::new)
}
