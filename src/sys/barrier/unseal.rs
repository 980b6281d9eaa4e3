//! `sys/unseal`: shares come in one at a time until there are enough.

use std::sync::{MutexGuard, PoisonError};

use super::gathered::Gathered;
use super::record::SealRecord;
use super::{Barrier, BarrierError, SealStatus};
use crate::secret::SecretText;

/// An unsealing that is under way.
#[derive(Default)]
pub(super) struct Progress {
    shares: Gathered,
    /// Names this attempt, so that people see whether they work on the same one.
    nonce: String,
}

impl Progress {
    pub(super) fn reset(&mut self) {
        self.shares.reset();
        self.nonce.clear();
    }

    pub(super) fn shown(&self) -> (usize, String) {
        (self.shares.count(), self.nonce.clone())
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

    /// Takes one share, as hexadecimal or base64. One that is not of this deployment is told at once. While the root key
    /// is being changed, shares of the old and of the new one open; new ones show that people have them.
    pub async fn unseal(&self, share: &SecretText) -> Result<SealStatus, BarrierError> {
        let _alone = self.changing.lock().await;
        let Some(deployment) = self.store.deployment().await? else {
            return Err(BarrierError::Invalid("Vault is not initialized".into()));
        };
        if self.open.load().is_some() {
            return self.status().await;
        }
        let record = SealRecord::of(&deployment)?;
        let SealRecord::Shamir(shamir) = &record else {
            return Err(BarrierError::Invalid("this deployment has no shares: its seal opens it at start".into()));
        };
        let joined = {
            let mut progress = self.progress();
            if progress.shares.count() == 0 {
                progress.nonce = crate::random::uuid();
            }
            let added = progress.shares.add(&record.sets(), share);
            if progress.shares.count() == 0 {
                progress.nonce.clear();
            }
            added?
        };
        if let Some((set, root)) = joined {
            let by_new = set.id != shamir.shares.id;
            let seals = shamir.seals(deployment.id, set, root).await;
            let seals = seals.ok_or_else(|| BarrierError::Failed("the stored seal is damaged".into()))?;
            self.enter(seals).await?;
            tracing::info!("unsealed");
            if by_new {
                self.confirm_next().await?;
            } else if shamir.next.is_some() {
                tracing::warn!(
                    "the root key is being changed and nobody has shown the new shares yet: both old and new ones open; unseal \
                     with the new ones, or change the root key again"
                );
            }
        }
        self.status().await
    }
}
