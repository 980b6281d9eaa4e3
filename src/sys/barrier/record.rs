//! What is stored about the seal, in the clear, beside the data; and the seals that it and a root key give.
//!
//! While the root key is being changed, both the old and the new one open everything: the record holds each of them wrapped by
//! the other. A server that dies in the middle is opened by the shares of either.

use std::sync::Arc;

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};

use super::BarrierError;
use crate::commit::Seals;
use crate::crypto::{RootKey, WrapContext};
use crate::id::{DeploymentId, TenantId};
use crate::seal::shamir::ShareSet;
use crate::seal::{LocalSeal, Seal};
use crate::storage::Deployment;

/// The public part of the seal, stored with the deployment.
#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum SealRecord {
    /// A key file, and what recognises the recovery shares: they open nothing, and prove who may ask for a root token.
    Static {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        recovery: Option<ShareSet>,
    },
    Shamir(ShamirRecord),
}

/// Shares that people hold.
#[derive(Serialize, Deserialize)]
pub(super) struct ShamirRecord {
    pub(super) shares: ShareSet,
    /// How often the root key was changed: part of the name that its wraps have.
    #[serde(default)]
    pub(super) number: u32,
    /// Counts changes of what tenants are wrapped by.
    #[serde(default)]
    pub(super) epoch: u32,
    /// The root key that is to take over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) next: Option<NextRoot>,
    /// Wraps by the root key before are still to be removed.
    #[serde(default)]
    pub(super) sweep: bool,
}

/// A root key that is to take over, and the bridges between it and the one of now.
#[derive(Serialize, Deserialize)]
pub(super) struct NextRoot {
    pub(super) shares: ShareSet,
    /// Its number. One that was given up has used its own.
    number: u32,
    /// Somebody has shown that the new shares are in people's hands.
    pub(super) confirmed: bool,
    /// The new root key, wrapped by the old one; base64.
    forward: String,
    /// The old root key, wrapped by the new one; base64.
    backward: String,
}

impl SealRecord {
    pub(super) fn of(deployment: &Deployment) -> Result<Self, BarrierError> {
        serde_json::from_slice(&deployment.seal)
            .map_err(|error| BarrierError::Failed(format!("the stored seal is damaged: {error}")))
    }

    pub(super) fn bytes(&self) -> Result<Vec<u8>, BarrierError> {
        serde_json::to_vec(self).map_err(|error| BarrierError::Failed(error.to_string()))
    }

    /// Sets whose shares are good for something: to open, or to prove who somebody is.
    pub(super) fn sets(&self) -> Vec<&ShareSet> {
        match self {
            Self::Static { recovery } => recovery.iter().collect(),
            Self::Shamir(record) => {
                [Some(&record.shares), record.next.as_ref().map(|next| &next.shares)].into_iter().flatten().collect()
            }
        }
    }
}

impl ShamirRecord {
    /// The first root key of a deployment.
    pub(super) fn first(shares: ShareSet) -> Self {
        Self { shares, number: 0, epoch: 0, next: None, sweep: false }
    }

    /// Prepares the change from `old`, which is this record's root key, to `new`.
    pub(super) fn prepare(
        self,
        deployment: DeploymentId,
        old: &RootKey,
        new: &RootKey,
        shares: ShareSet,
        confirmed: bool,
    ) -> Self {
        let number = self.next.as_ref().map_or(self.number, |given_up| given_up.number) + 1;
        let context = bridge(deployment, number);
        let forward = BASE64.encode(&old.wrap(&new.secret(), &context));
        let backward = BASE64.encode(&new.wrap(&old.secret(), &context));
        Self { epoch: self.epoch + 1, next: Some(NextRoot { shares, number, confirmed, forward, backward }), ..self }
    }

    /// The new root key takes over; tenants are still to be freed of the old one's wraps.
    pub(super) fn taken_over(&self) -> Option<Self> {
        let next = self.next.as_ref()?;
        Some(Self { shares: next.shares.clone(), number: next.number, epoch: self.epoch + 1, next: None, sweep: true })
    }

    /// The seals of this record, from the root key that shares of `set` gave.
    pub(super) async fn seals(&self, deployment: DeploymentId, set: &ShareSet, root: RootKey) -> Option<Seals> {
        let by_new = self.next.as_ref().filter(|next| next.shares.id == set.id);
        self.derived(deployment, &[seal(by_new.map_or(self.number, |next| next.number), root)]).await
    }

    /// The seals of this record, with the help of those that are there. None when none of them leads to it.
    pub(super) async fn derived(&self, deployment: DeploymentId, known: &[Arc<dyn Seal>]) -> Option<Seals> {
        let find = |number: u32| known.iter().find(|seal| seal.name() == name(number)).cloned();
        let old = find(self.number);
        let Some(next) = &self.next else { return Some(Seals { epoch: self.epoch, list: vec![old?] }) };
        let new = find(next.number);
        let cross = async |from: &Arc<dyn Seal>, text: &str, number: u32| {
            let wrap = BASE64.decode(text.as_bytes()).ok()?;
            let secret = from.unwrap(&wrap, &bridge(deployment, next.number)).await.ok()?;
            Some(seal(number, RootKey::from_secret(&secret)?))
        };
        let list = match (old, new) {
            (Some(old), Some(new)) => vec![old, new],
            (Some(old), None) => {
                let new = cross(&old, &next.forward, next.number).await?;
                vec![old, new]
            }
            (None, Some(new)) => {
                let old = cross(&new, &next.backward, self.number).await?;
                vec![old, new]
            }
            (None, None) => return None,
        };
        Some(Seals { epoch: self.epoch, list })
    }
}

/// The name that wraps by the root key with this number have.
fn name(number: u32) -> String {
    if number == 0 { "shamir".to_owned() } else { format!("shamir-{number}") }
}

fn seal(number: u32, root: RootKey) -> Arc<dyn Seal> {
    Arc::new(LocalSeal::shamir(name(number), root))
}

/// No tenant has this identifier: a bridge cannot pass for a tenant's wrap, nor the other way round.
fn bridge(deployment: DeploymentId, number: u32) -> WrapContext {
    WrapContext { deployment, tenant: TenantId([0; 16]), generation: number }
}
