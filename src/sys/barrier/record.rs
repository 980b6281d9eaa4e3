//! What is stored about the seal, in the clear, beside the data; and the seals that it and a root key give.
//!
//! While the root key is being changed, both the old and the new one open everything: the record holds each of them wrapped by
//! the other. A server that dies in the middle is opened by the shares of either.

use std::sync::Arc;

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};

use super::BarrierError;
use super::beside::Beside;
use crate::commit::{Seals, probe};
use crate::crypto::{RecoveryKey, RecoveryPublicKey, RootKey, WrapContext};
use crate::id::{DeploymentId, TenantId};
use crate::seal::recovery::RecoverySeal;
use crate::seal::shamir::ShareSet;
use crate::seal::{LocalSeal, Seal};
use crate::storage::Deployment;

/// The public part of the seal, stored with the deployment.
#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum SealRecord {
    /// Seals that need nobody. It is stored under the name of the first of them that there was.
    #[serde(rename = "static")]
    Auto(AutoRecord),
    Shamir(ShamirRecord),
}

/// Seals that need nobody, and what they wrap. Any one of them opens.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(super) struct AutoRecord {
    /// What recognises the recovery shares, which also prove who may ask for a root token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    recovery: Option<ShareSet>,
    /// The public recovery key, base64. Without one (older deployments) the shares open nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    recovery_key: Option<String>,
    /// How often the recovery key was changed: part of the name that its wraps have.
    #[serde(default)]
    recovery_number: u32,
    /// The recovery key that is to take over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next_recovery: Option<NextRecovery>,
    /// Counts changes of the list.
    #[serde(default)]
    pub(super) epoch: u32,
    /// Identities of the seals that every tenant is to be wrapped by. Empty in what was stored before there could be several.
    #[serde(default)]
    seals: Vec<String>,
    /// The list before it. While the change is not finished, every tenant is wrapped by the one or by the other.
    #[serde(default)]
    before: Vec<String>,
    /// Tenants are still to be rewrapped.
    #[serde(default)]
    pub(super) unfinished: bool,
    /// A root key of shares that wraps beside them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) beside: Option<Beside>,
    /// The number of the root key of shares that there was last.
    #[serde(default)]
    pub(super) root_number: u32,
}

/// A recovery key that is to take over. Every tenant is wrapped to it, and to the one of now, before it does.
#[derive(Clone, Serialize, Deserialize)]
struct NextRecovery {
    shares: ShareSet,
    /// The public key, base64.
    key: String,
    /// Its number. One that was given up has used its own.
    number: u32,
    /// The new shares were seen in people's hands.
    confirmed: bool,
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
        super::restoring::refuse_unfinished(deployment)?;
        serde_json::from_slice(&deployment.seal)
            .map_err(|error| BarrierError::Failed(format!("the stored seal is damaged: {error}")))
    }

    pub(super) fn bytes(&self) -> Result<Vec<u8>, BarrierError> {
        serde_json::to_vec(self).map_err(|error| BarrierError::Failed(error.to_string()))
    }

    /// Sets whose shares are good for something: to open, or to prove who somebody is.
    pub(super) fn sets(&self) -> Vec<&ShareSet> {
        match self {
            Self::Auto(record) => record.recovery.iter().chain(record.beside.iter().map(|beside| &beside.shares)).collect(),
            Self::Shamir(record) => {
                [Some(&record.shares), record.next.as_ref().map(|next| &next.shares)].into_iter().flatten().collect()
            }
        }
    }
}

impl AutoRecord {
    /// A new deployment, wrapped by `seals`.
    pub(super) fn first(seals: &[Arc<dyn Seal>], recovery: Option<(ShareSet, RecoveryPublicKey)>) -> Self {
        let (recovery, public) = recovery.unzip();
        let recovery_key = public.map(|public| BASE64.encode(public.bytes()));
        Self { recovery, recovery_key, seals: identities(seals), ..Self::default() }
    }

    /// The seals take over from a root key of shares, which wraps beside them until it is dropped. Its shares recover from then on.
    pub(super) fn joining(seals: &[Arc<dyn Seal>], shamir: &ShamirRecord, root: &RootKey, beside: Beside) -> Option<Self> {
        let public = RecoveryKey::of(root)?.public()?;
        Some(Self {
            epoch: shamir.epoch + 1,
            unfinished: true,
            root_number: shamir.number,
            beside: Some(beside),
            ..Self::first(seals, Some((shamir.shares.clone(), public)))
        })
    }

    /// The same seals, with another root key of shares beside them, or none. Tenants are still to be rewrapped.
    pub(super) fn beside(&self, beside: Option<Beside>) -> Self {
        let root_number = beside.as_ref().map_or(self.root_number, |beside| beside.number);
        Self { epoch: self.epoch + 1, before: self.seals.clone(), unfinished: true, root_number, beside, ..self.clone() }
    }

    fn public(&self) -> Option<RecoveryPublicKey> {
        public(self.recovery_key.as_ref()?)
    }

    /// What recognises the recovery shares.
    pub(super) fn recovery_shares(&self) -> Option<&ShareSet> {
        self.recovery.as_ref()
    }

    /// Whether recovery shares open.
    pub(super) fn recovers(&self) -> bool {
        self.public().is_some()
    }

    /// `seals`, and the recovery key, which wraps with them; while it is being changed, both.
    pub(super) fn with_recovery(&self, mut seals: Vec<Arc<dyn Seal>>) -> Vec<Arc<dyn Seal>> {
        let closed = |number, public| Arc::new(RecoverySeal::closed(number, public)) as Arc<dyn Seal>;
        seals.extend(self.public().map(|public| closed(self.recovery_number, public)));
        seals.extend(self.next_recovery.as_ref().and_then(|next| Some(closed(next.number, public(&next.key)?))));
        seals
    }

    /// Prepares the change to another recovery key.
    pub(super) fn prepare_recovery(&self, shares: ShareSet, public: &RecoveryPublicKey, confirmed: bool) -> Self {
        let number = self.next_recovery.as_ref().map_or(self.recovery_number, |given_up| given_up.number) + 1;
        let next = NextRecovery { shares, key: BASE64.encode(public.bytes()), number, confirmed };
        Self { epoch: self.epoch + 1, next_recovery: Some(next), ..self.clone() }
    }

    /// The shares of the recovery key that is to take over, and whether they were seen in people's hands.
    pub(super) fn next_recovery(&self) -> Option<(&ShareSet, bool)> {
        self.next_recovery.as_ref().map(|next| (&next.shares, next.confirmed))
    }

    /// The new recovery key takes over; tenants are still to be freed of the wraps of the one before.
    pub(super) fn recovery_taken_over(&self) -> Self {
        let Some(NextRecovery { shares, key, number, .. }) = self.next_recovery.clone() else { return self.clone() };
        Self {
            recovery: Some(shares),
            recovery_key: Some(key),
            recovery_number: number,
            next_recovery: None,
            epoch: self.epoch + 1,
            before: self.seals.clone(),
            unfinished: true,
            ..self.clone()
        }
    }

    /// The recovery key that shares gave. None when it is not that of this deployment, or there is none.
    pub(super) async fn recovery_seal(&self, joined: &RootKey) -> Option<Arc<dyn Seal>> {
        let seal: Arc<dyn Seal> = Arc::new(RecoverySeal::open(self.recovery_number, self.public()?, RecoveryKey::of(joined)?));
        probe(std::slice::from_ref(&seal)).await.is_ok().then_some(seal)
    }

    /// The change to `seals`; none when they are those of now. `any`: also before another one is finished.
    ///
    /// # Errors
    /// Another change is not finished, and this one is not its end: nobody knows of every tenant that one of `seals` opens it.
    pub(super) fn change(&self, seals: &[Arc<dyn Seal>], any: bool) -> Result<Option<Self>, BarrierError> {
        let wanted = identities(seals);
        if wanted == self.seals {
            return Ok(None);
        }
        if self.unfinished && !any && wanted != self.before {
            let names = |list: &[String]| list.iter().map(|seal| Self::name(seal)).collect::<Vec<_>>().join(", ");
            return Err(BarrierError::Failed(format!(
                "the change of seals from ({}) to ({}) is not finished: start with the seals of either, until the log says that it is",
                names(&self.before),
                names(&self.seals)
            )));
        }
        let (epoch, before) = (self.epoch + 1, self.seals.clone());
        Ok(Some(Self { epoch, seals: wanted, before, unfinished: true, ..self.clone() }))
    }

    /// Those of `configured` that wrap now; none when this server lacks one of them.
    pub(super) fn wrapping(&self, configured: &[Arc<dyn Seal>]) -> Option<Vec<Arc<dyn Seal>>> {
        let list: Vec<_> = configured.iter().filter(|seal| self.seals.contains(&seal.identity())).cloned().collect();
        (list.len() == self.seals.len()).then_some(list)
    }

    /// Identities of the seals of now, and of those before a change that is not finished.
    pub(super) fn lists(&self) -> (&[String], &[String]) {
        (&self.seals, &self.before)
    }

    /// The name of the seal that has this identity.
    pub(super) fn name(identity: &str) -> &str {
        identity.split(' ').next().unwrap_or_default()
    }

    /// Every tenant is wrapped by the list.
    pub(super) fn finished(&self) -> Self {
        let beside = self.beside.clone().map(Beside::finished);
        Self { before: Vec::new(), unfinished: false, beside, ..self.clone() }
    }
}

fn public(text: &str) -> Option<RecoveryPublicKey> {
    RecoveryPublicKey::from_bytes(&BASE64.decode(text.as_bytes()).ok()?)
}

/// In one order, whatever that of the configuration is.
pub(super) fn identities(seals: &[Arc<dyn Seal>]) -> Vec<String> {
    let mut identities: Vec<String> = seals.iter().map(|seal| seal.identity()).collect();
    identities.sort();
    identities
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
pub(super) fn name(number: u32) -> String {
    if number == 0 { "shamir".to_owned() } else { format!("shamir-{number}") }
}

pub(super) fn seal(number: u32, root: RootKey) -> Arc<dyn Seal> {
    Arc::new(LocalSeal::shamir(name(number), root))
}

/// No tenant has this identifier: a bridge cannot pass for a tenant's wrap, nor the other way round.
pub(super) fn bridge(deployment: DeploymentId, number: u32) -> WrapContext {
    WrapContext { deployment, tenant: TenantId([0; 16]), generation: number }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seals(names: &[&str]) -> Vec<Arc<dyn Seal>> {
        let root = |name: &str| {
            let secret = crate::secret::SecretBytes::new(vec![u8::try_from(name.len()).unwrap(); 32]);
            RootKey::from_secret(&secret).unwrap()
        };
        names.iter().map(|name| Arc::new(LocalSeal::static_key(*name, root(name))) as Arc<dyn Seal>).collect()
    }

    #[test]
    fn a_change_of_seals_is_finished_or_taken_back_before_the_next() {
        let first = AutoRecord::first(&seals(&["a", "bb"]), None);
        assert!(first.change(&seals(&["bb", "a"]), false).unwrap().is_none(), "the order does not count");
        let added = first.change(&seals(&["a", "bb", "ccc"]), false).unwrap().unwrap();
        assert!((added.epoch, added.unfinished) == (1, true));
        let error = added.change(&seals(&["ccc"]), false).err().unwrap().to_string();
        assert_eq!(error.split(": ").next(), Some("the change of seals from (a, bb) to (a, bb, ccc) is not finished"));
        let back = added.change(&seals(&["a", "bb"]), false).unwrap().unwrap();
        assert!((back.epoch, back.unfinished) == (2, true));
        assert!(added.finished().change(&seals(&["ccc"]), false).unwrap().is_some());
        assert!(back.finished().change(&seals(&["a", "bb"]), false).unwrap().is_none());
    }

    #[test]
    fn a_server_wraps_by_the_listed_seals_if_it_has_them_all() {
        let record = AutoRecord::first(&seals(&["a", "bb"]), None);
        let names = |configured: &[&str]| {
            let list = record.wrapping(&seals(configured))?;
            Some(list.iter().map(|seal| seal.name().to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(names(&["bb", "ccc", "a"]), Some(vec!["bb".to_owned(), "a".to_owned()]));
        assert_eq!(names(&["a", "ccc"]), None);
    }

    #[test]
    fn what_was_stored_before_there_were_several_seals_is_read() {
        let old: SealRecord = serde_json::from_slice(br#"{"type":"static"}"#).unwrap();
        let SealRecord::Auto(old) = old else { panic!("another record") };
        let next = old.change(&seals(&["a"]), false).unwrap().unwrap();
        assert!((next.epoch, next.unfinished) == (1, true), "everything is wrapped once more, and written down");
    }
}
