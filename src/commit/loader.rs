//! From what is stored of a tenant to the tenant with its keys open.

use std::sync::Arc;

use super::caches::Caches;
use super::epoch::LogEpoch;
use super::faults::KeyError;
use super::keys::WrapState;
use super::log::{Head, LoadError};
use super::opening::decode;
use super::refresh::Freshness;
use super::tenant::{Entry, Tenant};
use super::wraps::{open, own_seal};
use crate::crypto::WrapContext;
use crate::id::{DeploymentId, TenantId};
use crate::namespace::Namespace;
use crate::record::{Address, Record};
use crate::seal::Seal;
use crate::storage::{Store, TenantState};
use crate::time::Clock;

/// What tenants are loaded with.
pub(super) struct Loader<'a> {
    pub(super) store: &'a dyn Store,
    pub(super) seals: &'a [Arc<dyn Seal>],
    pub(super) deployment: DeploymentId,
    pub(super) clock: &'a dyn Clock,
    pub(super) caches: &'a Arc<Caches>,
}

impl Loader<'_> {
    /// Unwraps, opens and verifies one tenant.
    pub(super) async fn load(&self, id: TenantId, expected: Option<(TenantId, &Namespace)>) -> Result<Arc<Tenant>, KeyError> {
        let Self { store, seals, deployment, clock, caches } = *self;
        let own = expected.and_then(|(_, namespace)| namespace.own_seal.clone());
        let own = own
            .map(|own| own_seal(seals, &own).map(|seal| (own, seal)))
            .transpose()
            .map_err(|error| KeyError::Seal(id, error))?;
        let seals = own.as_ref().map_or(seals, |(_, seal)| std::slice::from_ref(seal));
        let freshness = Freshness::new(clock, seals);
        let row = store.tenant(id).await?.filter(|row| row.state != TenantState::Erasing).ok_or(KeyError::Gone(id))?;
        if expected.is_some_and(|(_, namespace)| row.generation > namespace.generation) {
            return Err(KeyError::Renewed(id));
        }
        let context = WrapContext { deployment, tenant: id, generation: row.generation };
        let (key, keyring) = open(seals, &row, &context).await?;
        if let Some((parent, namespace)) = expected {
            let commitment = data_encoding::HEXLOWER.encode(&key.commitment());
            if row.parent != Some(parent) || row.generation != namespace.generation || commitment != namespace.commitment {
                return Err(KeyError::Damaged(id));
            }
        }
        let head = match row.tail {
            None => Head::genesis(),
            Some(tail) => {
                let newest = store.log(id, tail.seq, 1).await?.into_iter().next().ok_or(KeyError::Log(LoadError::Forged(id)))?;
                Head::verified(&keyring, deployment, id, &newest)?
            }
        };
        let tenant = Tenant::new((id, row.parent), keyring, own, freshness, head, Arc::clone(caches));
        // Who has no parent says itself which key it has: an older one that was put back does not load.
        if expected.is_none()
            && let Some(state) = self.record::<WrapState>(&tenant, &WrapState::address()).await?
            && row.generation < state.generation
        {
            return Err(KeyError::Damaged(id));
        }
        let epoch = self.record::<LogEpoch>(&tenant, &LogEpoch::address()).await?;
        Ok(Arc::new(tenant.in_epoch(epoch.map_or(0, |epoch| epoch.epoch))))
    }

    async fn record<R: Record>(&self, tenant: &Tenant, address: &Address) -> Result<Option<Arc<R>>, KeyError> {
        let key = tenant.keyring().record_key(address);
        let Some(row) = self.store.record(tenant.id(), key).await?.value else { return Ok(None) };
        let found = decode::<R>(tenant, address, key, &Entry::new(Some(row)));
        found.map(|found| Some(found.value)).map_err(|_| KeyError::Damaged(tenant.id()))
    }
}
