//! What seals do with the keys of tenants: wrap them, and open the wraps again.

use std::sync::Arc;

use super::tenants::KeyError;
use crate::crypto::{Keyring, TenantKey, WrapContext, equal};
use crate::id::{DeploymentId, TenantId};
use crate::seal::{Seal, SealError};
use crate::storage::{NewTenant, TenantKeys, Wrap};

/// Makes the keys of a new tenant and has every seal wrap them. Returns the commitment to the TenantKey in hexadecimal.
pub async fn new_tenant(
    seals: &[Arc<dyn Seal>],
    deployment: DeploymentId,
    parent: Option<TenantId>,
) -> Result<(NewTenant, String), (TenantId, SealError)> {
    let (id, generation) = (TenantId::random(), 1);
    let key = TenantKey::generate();
    let context = WrapContext { deployment, tenant: id, generation };
    let wraps = wraps(seals, &key, &context).await.map_err(|error| (id, error))?;
    let keyring = Keyring::generate(deployment, id).seal(&key, generation);
    let commitment = data_encoding::HEXLOWER.encode(&key.commitment());
    Ok((NewTenant { id, parent, keys: TenantKeys { generation, wraps, keyring } }, commitment))
}

/// Whether every seal wraps, and opens what it has wrapped. Nothing is kept.
pub async fn probe(seals: &[Arc<dyn Seal>]) -> Result<(), SealError> {
    let context = WrapContext { deployment: DeploymentId::random(), tenant: TenantId::random(), generation: 1 };
    wraps(seals, &TenantKey::generate(), &context).await.map(drop)
}

/// A tenant key, wrapped by every seal. Each has opened its wrap again: what nobody has seen open is not stored.
pub(super) async fn wraps(seals: &[Arc<dyn Seal>], key: &TenantKey, context: &WrapContext) -> Result<Vec<Wrap>, SealError> {
    let mut wraps = Vec::with_capacity(seals.len());
    for seal in seals {
        let wrap = seal.wrap(&key.secret(), context).await?;
        if !equal(seal.unwrap(&wrap, context).await?.expose(), key.secret().expose()) {
            let reason = "it opened its own wrap to another key".to_owned();
            return Err(SealError::Unavailable { seal: seal.name().to_owned(), reason });
        }
        wraps.push(Wrap { seal: seal.name().to_owned(), wrap });
    }
    Ok(wraps)
}

/// Asks the seals that hold a wrap, in the configured order, until one opens it. When none does, the key is refused only if
/// every one of them says so: one that is away might have opened it.
pub(super) async fn unwrap(seals: &[Arc<dyn Seal>], wraps: &[Wrap], context: &WrapContext) -> Result<TenantKey, KeyError> {
    let mut failure: Option<SealError> = None;
    for seal in seals {
        for wrap in wraps.iter().filter(|wrap| wrap.seal == seal.name()) {
            match seal.unwrap(&wrap.wrap, context).await {
                Ok(secret) => return TenantKey::from_secret(secret).ok_or(KeyError::Damaged(context.tenant)),
                Err(error) if failure.as_ref().is_some_and(SealError::is_outage) && !error.is_outage() => {}
                Err(error) => failure = Some(error),
            }
        }
    }
    let none = || SealError::DoesNotOpen { seal: "(none that is configured)".into() };
    Err(KeyError::Seal(context.tenant, failure.unwrap_or_else(none)))
}
