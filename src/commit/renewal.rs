//! A new key of a tenant, of the next generation.
//!
//! A tenant's key seals its keyring and nothing else, and its parent keeps a commitment to it. So the keyring is sealed again, its
//! wraps by the seals take the place of those before, and the parent's record says the new generation and commitment: in one commit,
//! so there is no step in between for anybody to die at. The keyring itself stays what it is: who has it open goes on with it, on
//! every server, and no value is touched. The root and the edge have no parent: that their key is not one that was put back is said
//! by a record of their own (`loader.rs`).

use std::sync::Arc;

use super::faults::{KeyError, key_refusal};
use super::keys::WrapState;
use super::tenant::Tenant;
use super::tenants::Tenants;
use super::txn::Txn;
use super::wraps::{open, own_seal, wraps};
use crate::answer::Refusal;
use crate::crypto::{self, TenantKey, WrapContext};
use crate::id::TenantId;
use crate::namespace::Namespace;
use crate::record::{Address, Kind};
use crate::seal::Seal;
use crate::storage::{Structural, TenantKeys, Wrap};
use crate::time::Timestamp;

/// A key that was just made, and its wraps by every seal that is to have one.
struct Fresh {
    key: TenantKey,
    wraps: Vec<Wrap>,
}

impl Txn {
    /// The generation of a tenant's key, and when that was made; none for the one that the tenant was made with.
    pub async fn key_generation(&mut self, tenant: &Arc<Tenant>) -> Result<(u32, Option<Timestamp>), Refusal> {
        let state = self.wrap_state(tenant).await?;
        Ok((state.generation.max(1), state.renewed))
    }

    /// Gives a tenant a new key, and returns its generation. `above`: its parent, and its name there; none for those that have none.
    ///
    /// # Errors
    /// Unavailable when one of its seals does not wrap: then nothing is changed.
    pub async fn renew_tenant_key(&mut self, tenant: &Arc<Tenant>, above: Option<(&Arc<Tenant>, &str)>) -> Result<u32, Refusal> {
        let seals = self.current_seals().await?;
        let state = self.wrap_state(tenant).await?;
        let (row, _, keyring) = self.stored_keys(tenant).await?;
        let generation = row.generation.checked_add(1).ok_or_else(|| Refusal::invalid("there were as many keys as can be"))?;
        let context = WrapContext { deployment: self.tenants().deployment(), tenant: tenant.id(), generation };
        let fresh = self.fresh(tenant.seals(&seals.list), seals.epoch, context).await?;
        if let Some((parent, name)) = above {
            self.commit_to(parent, name, &context, &fresh.key).await?;
        }
        let (wraps, keyring) = (fresh.wraps.clone(), keyring.seal(&fresh.key, generation));
        self.collected.structural.push(Structural::Keys(tenant.id(), TenantKeys { generation, wraps, keyring }));
        let (epoch, count, renewed) = (seals.epoch.max(state.epoch), state.count + 1, Some(self.now()));
        self.put(tenant, &WrapState::address(), &WrapState { epoch, count, generation, renewed }, None).await?;
        Ok(generation)
    }

    /// The key and its wraps, made once in a request: seals may be far away, and a request that is decided again holds locks.
    async fn fresh(&self, seals: &[Arc<dyn Seal>], epoch: u32, context: WrapContext) -> Result<Arc<Fresh>, Refusal> {
        let mut parts = vec![context.aad(), epoch.to_be_bytes().to_vec()];
        parts.extend(seals.iter().map(|seal| seal.identity().into_bytes()));
        let mut name = vec![&b"strongroom new tenant key"[..]];
        name.extend(parts.iter().map(Vec::as_slice));
        self.once(crypto::sha256(&name), async {
            let key = TenantKey::generate();
            let wrapped = wraps(seals, &key, &context).await;
            let wraps = wrapped.map_err(|error| key_refusal(KeyError::Seal(context.tenant, error)))?;
            Ok(Fresh { key, wraps })
        })
        .await
    }

    /// The parent binds the child to this key, and to no other.
    async fn commit_to(
        &mut self,
        parent: &Arc<Tenant>,
        name: &str,
        context: &WrapContext,
        key: &TenantKey,
    ) -> Result<(), Refusal> {
        let address = Address::system(Kind::Namespace, name);
        let found = self.read::<Namespace>(parent, &address).await?.filter(|found| found.value.tenant == context.tenant);
        let found = found.ok_or_else(|| Refusal::Missing("namespace not found".into()))?;
        let commitment = data_encoding::HEXLOWER.encode(&key.commitment());
        let namespace = Namespace { generation: context.generation, commitment, ..Namespace::clone(&found.value) };
        self.put(parent, &address, &namespace, None).await
    }

    /// Binds a child to the key that it came out of a backup with.
    pub async fn bind_restored(&mut self, parent: &Arc<Tenant>, name: &str, namespace: &Namespace) -> Result<(), Refusal> {
        let address = Address::system(Kind::Namespace, name);
        self.read::<Namespace>(parent, &address).await?;
        self.put(parent, &address, namespace, None).await
    }
}

impl Tenants {
    /// What a parent is to say of a child that came out of a backup with an older key than the parent's record names: the key was
    /// renewed between the moments at which the backup took the one and the other. None when they agree. The backup is signed, so
    /// what it has of the child is what there was.
    ///
    /// # Errors
    /// The older key does not open either.
    pub async fn older_key(&self, namespace: &Namespace) -> Result<Option<Namespace>, KeyError> {
        let id: TenantId = namespace.tenant;
        let row = self.store().tenant(id).await?.ok_or(KeyError::Gone(id))?;
        if row.generation >= namespace.generation {
            return Ok(None);
        }
        let shared = self.seals();
        let own = namespace.own_seal.as_ref().map(|own| own_seal(&shared.list, own)).transpose();
        let own = own.map_err(|error| KeyError::Seal(id, error))?;
        let seals = own.as_ref().map_or(&shared.list[..], std::slice::from_ref);
        let context = WrapContext { deployment: self.deployment(), tenant: id, generation: row.generation };
        let (key, _) = open(seals, &row, &context).await?;
        let commitment = data_encoding::HEXLOWER.encode(&key.commitment());
        Ok(Some(Namespace { generation: row.generation, commitment, ..namespace.clone() }))
    }
}
