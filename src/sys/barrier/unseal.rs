//! `sys/unseal`: shares come in one at a time until there are enough.

use std::sync::{Arc, MutexGuard, PoisonError};

use super::gathered::Gathered;
use super::record::{AutoRecord, SealRecord, ShamirRecord};
use super::{Barrier, BarrierError, Brought, Guard, SealStatus};
use crate::commit::Seals;
use crate::crypto::RootKey;
use crate::id::DeploymentId;
use crate::seal::Seal;
use crate::seal::shamir::ShareSet;
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
    /// is being changed, shares of the old and of the new one open; new ones show that people have them. `migrate`: the configured seals
    /// take over from the shares, which people have to say as well.
    pub async fn unseal(&self, share: &SecretText, migrate: bool) -> Result<SealStatus, BarrierError> {
        let _alone = self.changing.lock().await;
        let Some(deployment) = self.store.deployment().await? else {
            return Err(BarrierError::Invalid("Vault is not initialized".into()));
        };
        let record = SealRecord::of(&deployment)?;
        if self.open.load().is_some() {
            if migrate {
                self.brought_now(&record, migrate)?;
            }
            return self.status().await;
        }
        let sets = self.brought_now(&record, migrate)?;
        let joined = {
            let mut progress = self.progress();
            if progress.shares.count() == 0 {
                progress.nonce = crate::random::uuid();
            }
            let added = progress.shares.add(&sets, share);
            if progress.shares.count() == 0 {
                progress.nonce.clear();
            }
            added?
        };
        match (joined, &record, &self.guard) {
            (Some((set, root)), SealRecord::Shamir(shamir), _) => self.open_by_shares(deployment.id, shamir, set, root).await?,
            (Some((_, root)), SealRecord::Auto(record), Guard::Recovery(to)) => self.recover(record, &root, to).await?,
            (Some((_, root)), SealRecord::Auto(record), _) => self.open_beside(deployment.id, record, root).await?,
            (None, ..) => {}
        }
        self.status().await
    }

    /// The sets whose shares open this server as it is configured.
    fn brought_now<'r>(&self, record: &'r SealRecord, migrate: bool) -> Result<Vec<&'r ShareSet>, BarrierError> {
        let refused = |text: &str| Err(BarrierError::Invalid(text.to_owned()));
        match (record, &self.guard) {
            (SealRecord::Shamir(_), Guard::Auto(_) | Guard::Both(_)) => {
                if migrate {
                    return Ok(record.sets());
                }
                refused("migrate option not provided and seal migration is pending")
            }
            (SealRecord::Auto(AutoRecord { beside: Some(beside), .. }), Guard::Shamir | Guard::Both(_) | Guard::Auto(_)) => {
                Ok(vec![&beside.shares])
            }
            _ if migrate => refused("can't perform a seal migration, no migration seal found"),
            (SealRecord::Shamir(_), Guard::Shamir) => Ok(record.sets()),
            (SealRecord::Auto(auto), Guard::Recovery(_)) if auto.recovers() => Ok(auto.recovery_shares().into_iter().collect()),
            (SealRecord::Auto(_), Guard::Recovery(_)) => {
                refused("this deployment has no recovery key: nothing but its seals opens it")
            }
            (SealRecord::Auto(_), _) => refused("this deployment has no shares: its seal opens it at start"),
            (SealRecord::Shamir(_), _) => {
                refused("this deployment is sealed by shares: remove the seal stanza \"recovery\", and unseal with them")
            }
        }
    }

    /// People have brought the root key that wraps beside the seals: those may be away, or not listed any more.
    async fn open_beside(&self, deployment: DeploymentId, record: &AutoRecord, root: RootKey) -> Result<(), BarrierError> {
        let Some(beside) = &record.beside else { return Err(BarrierError::Failed("the stored seal is damaged".into())) };
        let known = [beside.of(root)];
        let list = record.complete(deployment, self.guard.seals().to_vec(), &known).await?;
        self.enter(Seals { epoch: record.epoch, list }, Brought::default()).await?;
        tracing::info!("unsealed with shares");
        Ok(())
    }

    async fn open_by_shares(
        &self,
        deployment: DeploymentId,
        shamir: &ShamirRecord,
        set: &ShareSet,
        root: RootKey,
    ) -> Result<(), BarrierError> {
        let by_new = set.id != shamir.shares.id;
        // For the seals that take over, if there are any.
        let brought = Brought { root: RootKey::from_secret(&root.secret()), recovery: None };
        let seals = shamir.seals(deployment, set, root).await;
        let seals = seals.ok_or_else(|| BarrierError::Failed("the stored seal is damaged".into()))?;
        self.enter(seals, brought).await?;
        tracing::info!("unsealed");
        if by_new {
            self.confirm_next().await?;
        } else if shamir.next.is_some() {
            tracing::warn!(
                "the root key is being changed and nobody has shown the new shares yet: both old and new ones open; unseal \
                 with the new ones, or change the root key again"
            );
        }
        Ok(())
    }

    /// People have brought the recovery key: it opens, and the seals of the configuration wrap from now on.
    async fn recover(&self, record: &AutoRecord, root: &RootKey, to: &[Arc<dyn Seal>]) -> Result<(), BarrierError> {
        let damaged = || BarrierError::Failed("the stored recovery key is damaged".into());
        let recovery = record.recovery_seal(root).await.ok_or_else(damaged)?;
        let list = [Arc::clone(&recovery)].into_iter().chain(to.iter().cloned()).collect();
        self.enter(Seals { epoch: record.epoch, list }, Brought { recovery: Some(recovery), root: None }).await?;
        tracing::warn!("unsealed with recovery shares: every key is wrapped by the configured seals now");
        Ok(())
    }
}
