//! A root key of shares beside seals that open by themselves: the way from the ones to the other, in both directions, while all are served.
//!
//! While both are listed every tenant is wrapped by both, and either opens everything. The root key is kept wrapped by each of the seals, so
//! that a server which one of them opens can wrap by it, and nobody has to bring shares again.
//!
//! From shares to seals: `unseal` with `migrate` on a server that has seals (`keeper.rs` writes the change down). The shares recover then. From
//! seals to shares: `sys/rotate/root` on a server that lists shares beside its seals gives them out. Either way whoever is not listed by the
//! server that starts next is dropped.

use std::collections::BTreeMap;
use std::sync::Arc;

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};

use super::BarrierError;
use super::record::{AutoRecord, ShamirRecord, bridge, name, seal};
use crate::crypto::RootKey;
use crate::id::DeploymentId;
use crate::seal::shamir::ShareSet;
use crate::seal::{Seal, SealError};

/// The root key that shares give.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Beside {
    pub(super) shares: ShareSet,
    /// How many root keys of shares there were before: part of the name that its wraps have.
    pub(super) number: u32,
    /// The root key, wrapped by each of the seals, by their identities; base64.
    bridges: BTreeMap<String, String>,
    /// Every tenant is wrapped by it.
    pub(super) whole: bool,
}

impl Beside {
    /// Has every seal wrap the root key.
    pub(super) async fn new(
        deployment: DeploymentId,
        seals: &[Arc<dyn Seal>],
        root: &RootKey,
        (shares, number, whole): (ShareSet, u32, bool),
    ) -> Result<Self, SealError> {
        let mut bridges = BTreeMap::new();
        for seal in seals {
            let wrap = seal.wrap(&root.secret(), &bridge(deployment, number)).await?;
            bridges.insert(seal.identity(), BASE64.encode(&wrap));
        }
        Ok(Self { shares, number, bridges, whole })
    }

    /// The same for another list of seals, one of which opens the root key.
    pub(super) async fn by(&self, deployment: DeploymentId, seals: &[Arc<dyn Seal>]) -> Result<Self, BarrierError> {
        let root = self.root(deployment, seals).await?;
        Self::new(deployment, seals, &root, (self.shares.clone(), self.number, self.whole)).await.map_err(BarrierError::Seal)
    }

    /// The root key as a seal: one that is in memory, or what one of `seals` opens.
    pub(super) async fn seal(
        &self,
        deployment: DeploymentId,
        seals: &[Arc<dyn Seal>],
        known: &[Arc<dyn Seal>],
    ) -> Result<Arc<dyn Seal>, BarrierError> {
        match known.iter().find(|seal| seal.name() == name(self.number)) {
            Some(found) => Ok(Arc::clone(found)),
            None => Ok(self.of(self.root(deployment, seals).await?)),
        }
    }

    async fn root(&self, deployment: DeploymentId, seals: &[Arc<dyn Seal>]) -> Result<RootKey, BarrierError> {
        let damaged = || BarrierError::Failed("none of the configured seals opens the root key of the shares".into());
        let mut failure: Option<SealError> = None;
        for seal in seals {
            let of_it = self.bridges.iter().filter(|(identity, _)| AutoRecord::name(identity) == seal.name());
            for wrap in of_it.filter_map(|(_, text)| BASE64.decode(text.as_bytes()).ok()) {
                match seal.unwrap(&wrap, &bridge(deployment, self.number)).await {
                    Ok(secret) => return RootKey::from_secret(&secret).ok_or_else(damaged),
                    // One that is away might have opened it.
                    Err(error) if !failure.as_ref().is_some_and(SealError::is_outage) => failure = Some(error),
                    Err(_) => {}
                }
            }
        }
        Err(failure.map_or_else(damaged, BarrierError::Seal))
    }

    /// Every tenant is wrapped by it.
    pub(super) fn finished(self) -> Self {
        Self { whole: true, ..self }
    }

    /// The root key that shares gave, as a seal.
    pub(super) fn of(&self, root: RootKey) -> Arc<dyn Seal> {
        seal(self.number, root)
    }
}

impl AutoRecord {
    /// All that wraps where these seals do: they, the recovery key, and the root key of shares, which one of them or of `known` opens.
    ///
    /// # Errors
    /// None of them gives the root key of shares now.
    pub(super) async fn complete(
        &self,
        deployment: DeploymentId,
        seals: Vec<Arc<dyn Seal>>,
        known: &[Arc<dyn Seal>],
    ) -> Result<Vec<Arc<dyn Seal>>, BarrierError> {
        let shares = match &self.beside {
            Some(beside) => Some(beside.seal(deployment, &seals, known).await?),
            None => None,
        };
        let mut list = self.with_recovery(seals);
        list.extend(shares);
        Ok(list)
    }

    /// The shares alone open from now on; tenants are still to be freed of the wraps by the seals.
    ///
    /// # Errors
    /// There are no shares, or not every tenant is known to be wrapped by their key.
    pub(super) fn shares_alone(&self) -> Result<ShamirRecord, BarrierError> {
        let refused = |text: &str| Err(BarrierError::Failed(text.to_owned()));
        match &self.beside {
            None => refused("this deployment has no shares: list its seals, and \"shamir\" beside them, to have some given out"),
            Some(Beside { whole: false, .. }) => refused(
                "not every key is wrapped by the root key of the shares yet: start with the seals beside them, until the log says so",
            ),
            Some(Beside { shares, number, .. }) => {
                Ok(ShamirRecord { shares: shares.clone(), number: *number, epoch: self.epoch + 1, next: None, sweep: true })
            }
        }
    }
}
