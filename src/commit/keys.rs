//! Changing the stored keys of tenants while they are in use: a new wrapping key, or new wraps when the root key changes.
//!
//! Every change of a tenant's stored keys reads and writes the tenant's `KeyState`. So two changes at once cannot undo each
//! other, and every server drops what it has loaded of the tenant when it follows the change.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::tenant::Tenant;
use super::tenants::{KeyError, Tenants, key_refusal};
use super::txn::Txn;
use super::wraps::{unwrap, wraps};
use crate::answer::Refusal;
use crate::crypto::{Keyring, TenantKey, WrapContext};
use crate::json_record;
use crate::record::{Address, Kind, Listing};
use crate::seal::Seal;
use crate::storage::{Structural, TenantKeys, TenantRow};
use crate::time::Timestamp;

/// When a tenant's keys were changed last. None: never since the tenant was made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyState {
    /// When the newest wrapping key was made.
    pub installed: Option<Timestamp>,
    /// The change of seals that the wraps are of.
    pub seal_epoch: u32,
}

json_record!(KeyState, Kind::KeyState, Listing::None);

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
}

json_record!(SealEpoch, Kind::SealEpoch, Listing::None);

impl SealEpoch {
    fn address() -> Address {
        Address::system(Kind::SealEpoch, "seals")
    }
}

/// The seals that wrap now.
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

    /// Gives a tenant a new wrapping key, which wraps from the next request on. Older ones open what they wrapped until a job
    /// has wrapped it by the new one.
    pub async fn rotate_keyring(&mut self, tenant: &Arc<Tenant>) -> Result<(), Refusal> {
        let state = self.key_state(tenant).await?;
        let (row, key, mut keyring) = self.stored_keys(tenant).await?;
        let version = keyring.add_wrapping_key();
        let version = version.ok_or_else(|| Refusal::invalid("the keyring is full: no more wrapping keys can be added"))?;
        let keys = TenantKeys { generation: row.generation, wraps: row.wraps, keyring: keyring.seal(&key, row.generation) };
        self.put_keys(tenant, keys, &KeyState { installed: Some(self.now()), ..state }).await?;
        self.begin_rewrap(tenant, version, keyring.wrapping_keys()).await
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

    /// Wraps a tenant's key by the seals of now, and by no others. False when it is wrapped by them, or newer ones, already.
    pub async fn rewrap(&mut self, tenant: &Arc<Tenant>) -> Result<bool, Refusal> {
        let seals = self.tenants().seals();
        let state = self.key_state(tenant).await?;
        // Newer: another server is ahead of this one.
        if state.seal_epoch >= seals.epoch {
            return Ok(false);
        }
        let (row, key, _) = self.stored_keys(tenant).await?;
        let context = WrapContext { deployment: self.tenants().deployment(), tenant: tenant.id(), generation: row.generation };
        let wraps = wraps(&seals.list, &key, &context).await.map_err(|error| key_refusal(KeyError::Seal(tenant.id(), error)))?;
        let keys = TenantKeys { generation: row.generation, wraps, keyring: row.keyring };
        self.put_keys(tenant, keys, &KeyState { seal_epoch: seals.epoch, ..state }).await?;
        Ok(true)
    }

    /// Says in the root tenant that tenants are wrapped by the seals of `epoch` from now on.
    pub async fn announce_seals(&mut self, epoch: u32) -> Result<(), Refusal> {
        let root = self.tenants().root();
        let found = self.read::<SealEpoch>(&root, &SealEpoch::address()).await?;
        if found.is_none_or(|found| found.value.epoch < epoch) {
            self.put(&root, &SealEpoch::address(), &SealEpoch { epoch }, None).await?;
        }
        Ok(())
    }

    /// The seals for a new tenant. Refused as long as this server does not have those of now.
    pub(super) async fn current_seals(&mut self) -> Result<Arc<Seals>, Refusal> {
        let (root, seals) = (self.tenants().root(), self.tenants().seals());
        let found = self.read::<SealEpoch>(&root, &SealEpoch::address()).await?;
        // Newer than announced is fine: those are the seals that the store names already.
        if found.map_or(0, |found| found.value.epoch) <= seals.epoch {
            return Ok(seals);
        }
        Err(Refusal::Unavailable("the root key is being changed and this server does not have the new one yet; try again".into()))
    }

    /// What is stored of a tenant's keys, read after its `KeyState`: current if that still is when the change is committed.
    async fn stored_keys(&self, tenant: &Arc<Tenant>) -> Result<(TenantRow, TenantKey, Keyring), Refusal> {
        self.tenants().stored_keys(tenant).await.map_err(key_refusal)
    }

    async fn put_keys(&mut self, tenant: &Arc<Tenant>, keys: TenantKeys, state: &KeyState) -> Result<(), Refusal> {
        self.put(tenant, &KeyState::address(), state, None).await?;
        self.collected.structural.push(Structural::Keys(tenant.id(), keys));
        Ok(())
    }
}

impl Tenants {
    pub(super) async fn stored_keys(&self, tenant: &Tenant) -> Result<(TenantRow, TenantKey, Keyring), KeyError> {
        let id = tenant.id();
        let row = self.store().tenant(id).await?.filter(|row| !row.keyring.is_empty()).ok_or(KeyError::Gone(id))?;
        let context = WrapContext { deployment: self.deployment(), tenant: id, generation: row.generation };
        let key = unwrap(&self.seals().list, &row.wraps, &context).await?;
        let opened = Keyring::open(&key, self.deployment(), id, row.generation, &row.keyring);
        // Older keys that were put back would open, too: they must be those of the tenant that is in use.
        let same = |keyring: &Keyring| {
            keyring.record_key(&KeyState::address()) == tenant.keyring().record_key(&KeyState::address())
                && keyring.wrapping_key_version() >= tenant.keyring().wrapping_key_version()
        };
        let keyring = opened.ok().filter(same).ok_or(KeyError::Damaged(id))?;
        Ok((row, key, keyring))
    }
}
