//! Changing the stored keys of tenants while they are in use: a new wrapping key, or new wraps when the root key changes. A new key of the
//! tenant itself: `renewal.rs`.
//!
//! A change of a tenant's stored keys reads the tenant's `KeyState` and its `WrapState`, and writes the one that it changes. So two
//! changes at once cannot undo each other. When the `KeyState` changes, every server drops what it has loaded of the tenant; other
//! wraps of the same keys disturb nobody.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::faults::{KeyError, key_refusal};
use super::tenant::Tenant;
use super::tenants::Tenants;
use super::txn::Txn;
use super::wraps::{open, own_seal, wraps};
use crate::answer::Refusal;
use crate::crypto::{Keyring, TenantKey, WrapContext};
use crate::id::TenantId;
use crate::json_record;
use crate::namespace::{Namespace, OwnSeal};
use crate::record::{Address, Kind, Listing, SYSTEM};
use crate::seal::{Seal, SealError};
use crate::storage::{Structural, TenantKeys, TenantRow};
use crate::time::Timestamp;

/// When a tenant's keys were changed last. None: never since the tenant was made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyState {
    /// When the newest wrapping key was made.
    pub installed: Option<Timestamp>,
    /// The change of seals that the wraps were of. Now in `WrapState`, which counts if it is newer.
    pub seal_epoch: u32,
}

json_record!(KeyState, Kind::KeyState, Listing::None);

/// What a tenant's key was wrapped by last. None: by the seals it was made with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct WrapState {
    /// The change of seals that the wraps are of.
    pub(super) epoch: u32,
    /// How often it was wrapped anew, so that each time is seen.
    pub(super) count: u64,
    /// The generation of the tenant's key; 0: the one that the tenant was made with.
    #[serde(default)]
    pub(super) generation: u32,
    /// When this generation was made.
    #[serde(default)]
    pub(super) renewed: Option<Timestamp>,
}

json_record!(WrapState, Kind::WrapState, Listing::None);

impl WrapState {
    pub(super) fn address() -> Address {
        Address::system(Kind::WrapState, "wraps")
    }
}

impl KeyState {
    /// Where it is, in each tenant.
    pub fn address() -> Address {
        Address::system(Kind::KeyState, "keys")
    }
}

/// Which seals new tenants are wrapped by, as the number of the change that made them so: in the root tenant. A server that
/// makes a tenant reads it, so none is made with the seals of yesterday.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct SealEpoch {
    epoch: u32,
    /// Counts tenants that were made while some seal did not wrap.
    #[serde(default)]
    incomplete: u64,
    /// Those of them that all seals are known to have wrapped since.
    #[serde(default)]
    completed: u64,
}

json_record!(SealEpoch, Kind::SealEpoch, Listing::None);

impl SealEpoch {
    fn address() -> Address {
        Address::system(Kind::SealEpoch, "seals")
    }
}

/// The seals that wrap now.
#[derive(Clone)]
pub struct Seals {
    /// Number of the change that made them so.
    pub epoch: u32,
    /// In the order in which they are asked.
    pub list: Vec<Arc<dyn Seal>>,
}

impl Txn {
    /// When a tenant's keys were changed last.
    pub async fn key_state(&mut self, tenant: &Arc<Tenant>) -> Result<KeyState, Refusal> {
        let found = self.read::<KeyState>(tenant, &KeyState::address()).await?;
        Ok(found.map_or_else(KeyState::default, |found| KeyState::clone(&found.value)))
    }

    pub(super) async fn wrap_state(&mut self, tenant: &Arc<Tenant>) -> Result<WrapState, Refusal> {
        let before = self.key_state(tenant).await?.seal_epoch;
        let found = self.read::<WrapState>(tenant, &WrapState::address()).await?;
        let state = found.map_or_else(WrapState::default, |found| WrapState::clone(&found.value));
        Ok(WrapState { epoch: state.epoch.max(before), ..state })
    }

    /// Gives a tenant a new wrapping key, which wraps from the next request on. Older ones open what they wrapped until a job
    /// has wrapped it by the new one, or, to `reencrypt`, has sealed each value again under a fresh data key.
    pub async fn rotate_keyring(&mut self, tenant: &Arc<Tenant>, reencrypt: bool) -> Result<(), Refusal> {
        let state = self.key_state(tenant).await?;
        let (row, key, mut keyring) = self.stored_keys(tenant).await?;
        let version = keyring.add_wrapping_key();
        let version = version.ok_or_else(|| Refusal::invalid("the keyring is full: no more wrapping keys can be added"))?;
        let keys = TenantKeys { generation: row.generation, wraps: row.wraps, keyring: keyring.seal(&key, row.generation) };
        self.put_keys(tenant, keys, &KeyState { installed: Some(self.now()), ..state }).await?;
        self.begin_rewrap(tenant, version, keyring.wrapping_keys(), reencrypt).await
    }

    /// Destroys all wrapping keys but the newest.
    pub(super) async fn retire_wrapping_keys(&mut self, tenant: &Arc<Tenant>) -> Result<(), Refusal> {
        let state = self.key_state(tenant).await?;
        let (row, key, mut keyring) = self.stored_keys(tenant).await?;
        // Newer than what this server has loaded: there are values that only the one before opens.
        if keyring.wrapping_key_version() != tenant.keyring().wrapping_key_version() || keyring.retire_older() == 0 {
            return Ok(());
        }
        let keys = TenantKeys { generation: row.generation, wraps: row.wraps, keyring: keyring.seal(&key, row.generation) };
        self.put_keys(tenant, keys, &state).await
    }

    /// Wraps a tenant's key by the seals of now, and by no others: what others wrapped goes when all of now have wrapped. False
    /// when it is wrapped by them, or newer ones, already.
    pub async fn rewrap(&mut self, tenant: &Arc<Tenant>) -> Result<bool, Refusal> {
        let seals = self.tenants().seals();
        let state = self.wrap_state(tenant).await?;
        // Newer: another server is ahead of this one.
        if state.epoch > seals.epoch {
            return Ok(false);
        }
        let (row, key, _) = self.stored_keys(tenant).await?;
        let missing = |seal: &Arc<dyn Seal>| !row.wraps.iter().any(|wrap| wrap.seal == seal.name());
        if state.epoch == seals.epoch && row.wraps.len() == seals.list.len() && !seals.list.iter().any(missing) {
            return Ok(false);
        }
        let context = WrapContext { deployment: self.tenants().deployment(), tenant: tenant.id(), generation: row.generation };
        let wraps = wraps(&seals.list, &key, &context).await.map_err(|error| key_refusal(KeyError::Seal(tenant.id(), error)))?;
        let keys = TenantKeys { generation: row.generation, wraps, keyring: row.keyring };
        let state = WrapState { epoch: seals.epoch, count: state.count + 1, ..state };
        self.put(tenant, &WrapState::address(), &state, None).await?;
        self.collected.structural.push(Structural::Keys(tenant.id(), keys));
        Ok(true)
    }

    /// Has a child namespace's key wrapped by the key that it is to have from now on, and by no other; none: by the deployment's seals.
    /// Every server drops what it has loaded of it.
    ///
    /// Below a tenant with a key of its own all have one, so that whoever wraps by the deployment's seals need not go there.
    pub async fn move_child(&mut self, parent: &Arc<Tenant>, name: &str, own: Option<OwnSeal>) -> Result<(), Refusal> {
        let Some((child, namespace)) = self.child(parent, name).await? else { return Ok(()) };
        let seals = self.current_seals().await?;
        let to = match &own {
            Some(own) => {
                self.refuse_shared_below(&child).await?;
                vec![self.chosen_seal(own)?]
            }
            None if parent.own_seal().is_some() => {
                return Err(Refusal::invalid("the namespace above has a key of its own: this one must have one, too"));
            }
            None => seals.list.clone(),
        };
        let (state, wrapped) = (self.key_state(&child).await?, self.wrap_state(&child).await?);
        let (row, key, _) = self.stored_keys(&child).await?;
        let context = WrapContext { deployment: self.tenants().deployment(), tenant: child.id(), generation: row.generation };
        let wraps = wraps(&to, &key, &context).await.map_err(|error| key_refusal(KeyError::Seal(child.id(), error)))?;
        let wrapped = WrapState { epoch: seals.epoch.max(wrapped.epoch), count: wrapped.count + 1, ..wrapped };
        self.put(&child, &WrapState::address(), &wrapped, None).await?;
        self.put_keys(&child, TenantKeys { generation: row.generation, wraps, keyring: row.keyring }, &state).await?;
        let namespace = Namespace { own_seal: own, ..Namespace::clone(&namespace) };
        self.put(parent, &Address::system(Kind::Namespace, name), &namespace, None).await
    }

    /// The seal of a choice that a client made.
    pub(super) fn chosen_seal(&self, own: &OwnSeal) -> Result<Arc<dyn Seal>, Refusal> {
        own_seal(&self.tenants().seals().list, own).map_err(|_| {
            let OwnSeal { seal, key_id } = own;
            Refusal::invalid(format!("seal {seal:?} is not configured, or its configuration does not allow the key {key_id:?}"))
        })
    }

    async fn refuse_shared_below(&mut self, tenant: &Arc<Tenant>) -> Result<(), Refusal> {
        for name in self.names(tenant, Kind::Namespace, SYSTEM, "").await?.iter() {
            let found = self.read::<Namespace>(tenant, &Address::system(Kind::Namespace, &**name)).await?;
            if found.is_some_and(|found| found.value.own_seal.is_none()) {
                return Err(Refusal::invalid(format!("namespace {name:?} below it has no key of its own: give it one first")));
            }
        }
        Ok(())
    }

    /// Says in the root tenant that tenants are wrapped by the seals of `epoch` from now on.
    pub async fn announce_seals(&mut self, epoch: u32) -> Result<(), Refusal> {
        let root = self.tenants().root();
        let found = self.seal_epoch(&root).await?;
        if found.epoch < epoch {
            self.put(&root, &SealEpoch::address(), &SealEpoch { epoch, ..found }, None).await?;
        }
        Ok(())
    }

    /// A number that is above `completed` when some tenants were made while a seal did not wrap.
    pub async fn incomplete_wraps(&mut self) -> Result<Option<u64>, Refusal> {
        let root = self.tenants().root();
        let found = self.seal_epoch(&root).await?;
        Ok((found.incomplete > found.completed).then_some(found.incomplete))
    }

    /// Every tenant was looked at since `incomplete_wraps` gave this number.
    pub async fn wraps_completed(&mut self, incomplete: u64) -> Result<(), Refusal> {
        let root = self.tenants().root();
        let found = self.seal_epoch(&root).await?;
        let completed = found.completed.max(incomplete);
        self.put(&root, &SealEpoch::address(), &SealEpoch { completed, ..found }, None).await
    }

    /// A tenant is made that some seal has not wrapped: the keeper has it wrapped later.
    pub(super) async fn note_incomplete_wraps(&mut self) -> Result<(), Refusal> {
        let root = self.tenants().root();
        let found = self.seal_epoch(&root).await?;
        let incomplete = found.incomplete + 1;
        self.put(&root, &SealEpoch::address(), &SealEpoch { incomplete, ..found }, None).await
    }

    async fn seal_epoch(&mut self, root: &Arc<Tenant>) -> Result<SealEpoch, Refusal> {
        let found = self.read::<SealEpoch>(root, &SealEpoch::address()).await?;
        Ok(found.map_or_else(SealEpoch::default, |found| SealEpoch::clone(&found.value)))
    }

    /// The seals for a new tenant. Refused as long as this server does not have those of now.
    pub(super) async fn current_seals(&mut self) -> Result<Arc<Seals>, Refusal> {
        let (root, seals) = (self.tenants().root(), self.tenants().seals());
        // Newer than announced is fine: those are the seals that the store names already.
        if self.seal_epoch(&root).await?.epoch <= seals.epoch {
            return Ok(seals);
        }
        Err(Refusal::Unavailable("the root key is being changed and this server does not have the new one yet; try again".into()))
    }

    /// What is stored of a tenant's keys, read after what changes with it: current if that still is when the change is committed.
    pub(super) async fn stored_keys(&mut self, tenant: &Arc<Tenant>) -> Result<(TenantRow, TenantKey, Keyring), Refusal> {
        let state = self.wrap_state(tenant).await?;
        let (row, key, keyring) = self.tenants().stored_keys(tenant).await.map_err(key_refusal)?;
        // A key that was renewed since, and put back.
        if row.generation < state.generation {
            return Err(key_refusal(KeyError::Damaged(tenant.id())));
        }
        Ok((row, key, keyring))
    }

    async fn put_keys(&mut self, tenant: &Arc<Tenant>, keys: TenantKeys, state: &KeyState) -> Result<(), Refusal> {
        self.put(tenant, &KeyState::address(), state, None).await?;
        self.collected.structural.push(Structural::Keys(tenant.id(), keys));
        self.drop_keys(tenant.id());
        Ok(())
    }
}

impl Tenants {
    /// Whether no row is left of a tenant. False when the store does not answer.
    pub async fn is_gone(&self, tenant: TenantId) -> bool {
        matches!(self.store().tenant(tenant).await, Ok(None))
    }

    /// The seal of a key that a tenant chose for itself.
    ///
    /// # Errors
    /// Refused, when it is not configured here any more, or its configuration does not allow the key.
    pub fn own_seal(&self, own: &OwnSeal) -> Result<Arc<dyn Seal>, SealError> {
        own_seal(&self.seals().list, own)
    }

    pub(super) async fn stored_keys(&self, tenant: &Tenant) -> Result<(TenantRow, TenantKey, Keyring), KeyError> {
        let id = tenant.id();
        let row = self.store().tenant(id).await?.filter(|row| !row.keyring.is_empty()).ok_or(KeyError::Gone(id))?;
        let context = WrapContext { deployment: self.deployment(), tenant: id, generation: row.generation };
        let (key, keyring) = open(tenant.seals(&self.seals().list), &row, &context).await?;
        // Older keys that were put back would open, too: they must be those of the tenant that is in use.
        let same = |keyring: &Keyring| {
            keyring.record_key(&KeyState::address()) == tenant.keyring().record_key(&KeyState::address())
                && keyring.wrapping_key_version() >= tenant.keyring().wrapping_key_version()
        };
        if same(&keyring) { Ok((row, key, keyring)) } else { Err(KeyError::Damaged(id)) }
    }
}
