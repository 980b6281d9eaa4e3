//! The seals of a deployment that is not in a store yet: what a backup says of them, and what people or the configuration bring.

use super::gathered::Gathered;
use super::record::SealRecord;
use super::{BarrierError, Guard};
use crate::backup::KEEPS_OUT;
use crate::commit::Seals;
use crate::secret::SecretText;
use crate::storage::Deployment;

/// What is said of a store in which a restore was not finished.
const UNFINISHED: &str =
    "this store is being restored from a backup, and that is not finished: run the same `strongroom backup restore` again";

/// Refuses a store that is being restored.
pub(super) fn refuse_unfinished(deployment: &Deployment) -> Result<(), BarrierError> {
    if deployment.seal.starts_with(KEEPS_OUT) { Err(BarrierError::Failed(UNFINISHED.to_owned())) } else { Ok(()) }
}

impl Guard {
    /// The seals that open `deployment`. `next_share` is asked for key shares, or recovery shares, where those are needed.
    ///
    /// # Errors
    /// The configuration is for another kind of seal, or there were too few shares.
    pub async fn seals_of(
        &self,
        deployment: &Deployment,
        next_share: &mut (dyn FnMut() -> Option<SecretText> + Send),
    ) -> Result<Seals, BarrierError> {
        let record = SealRecord::of(deployment)?;
        if let (SealRecord::Auto(record), Some(seals)) = (&record, self.opening()) {
            return Ok(Seals { epoch: record.epoch, list: record.complete(deployment.id, seals.to_vec(), &[]).await? });
        }
        let mut gathered = Gathered::default();
        let (set, root) = loop {
            match (&record, self) {
                (SealRecord::Shamir(_), Self::Shamir) | (SealRecord::Auto(_), Self::Recovery(_)) => {}
                (SealRecord::Auto(record), Self::Shamir) if record.beside.is_some() => {}
                _ => {
                    let text = "the backup is of a deployment with another kind of seal than the configuration names";
                    return Err(BarrierError::Failed(text.to_owned()));
                }
            }
            let share = next_share().ok_or_else(|| BarrierError::Invalid("there were too few key shares".to_owned()))?;
            let sets = match (&record, self) {
                (SealRecord::Auto(record), Self::Shamir) => record.beside.iter().map(|beside| &beside.shares).collect(),
                _ => record.sets(),
            };
            if let Some(joined) = gathered.add(&sets, &share)? {
                break joined;
            }
        };
        let damaged = || BarrierError::Failed("the seal configuration in the backup is damaged".to_owned());
        match (&record, self) {
            (SealRecord::Shamir(shamir), _) => shamir.seals(deployment.id, set, root).await.ok_or_else(damaged),
            (SealRecord::Auto(record), Self::Recovery(to)) => {
                let recovery = record.recovery_seal(&root).await.ok_or_else(damaged)?;
                Ok(Seals { epoch: record.epoch, list: [recovery].into_iter().chain(to.iter().cloned()).collect() })
            }
            (SealRecord::Auto(record), _) => {
                let known = record.beside.as_ref().map(|beside| beside.of(root));
                let list = record.complete(deployment.id, Vec::new(), known.as_slice()).await?;
                Ok(Seals { epoch: record.epoch, list })
            }
        }
    }
}
