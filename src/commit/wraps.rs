//! What seals do with the keys of tenants: wrap them, and open the wraps again.

use std::sync::Arc;

use super::faults::KeyError;
use crate::crypto::{Keyring, TenantKey, WrapContext, equal};
use crate::id::{DeploymentId, TenantId};
use crate::namespace::OwnSeal;
use crate::seal::{Seal, SealError};
use crate::secret::SecretBytes;
use crate::storage::{NewTenant, TenantKeys, TenantRow, Wrap};

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
    Ok(with_wraps(&key, &context, parent, wraps))
}

/// The seal that a tenant chose for itself.
///
/// # Errors
/// Refused, when it is not configured, or does not allow the key.
pub(super) fn own_seal(seals: &[Arc<dyn Seal>], own: &OwnSeal) -> Result<Arc<dyn Seal>, SealError> {
    let found = seals.iter().find(|seal| seal.name() == own.seal).and_then(|seal| seal.with_key(&own.key_id));
    let reason = || "it is not configured here, or its configuration does not allow this key".to_owned();
    found.ok_or_else(|| SealError::Refused { seal: own.seal.clone(), reason: reason() })
}

/// The same with the seals that wrap it now: at least one that opens. The rest is to be made up for.
pub(super) async fn new_tenant_by_some(
    seals: &[Arc<dyn Seal>],
    deployment: DeploymentId,
    parent: Option<TenantId>,
) -> Result<(NewTenant, String), (TenantId, SealError)> {
    let (id, generation) = (TenantId::random(), 1);
    let key = TenantKey::generate();
    let context = WrapContext { deployment, tenant: id, generation };
    let (mut wraps, mut failure, mut opens) = (Vec::new(), None, false);
    for seal in seals {
        match wrap(&**seal, &key, &context).await {
            Ok(wrap) => {
                wraps.push(wrap);
                opens |= seal.opens();
            }
            Err(error) => {
                tracing::warn!(%error, tenant = %id, "a new key is not wrapped by every seal yet");
                failure = Some(error);
            }
        }
    }
    match failure {
        Some(error) if !opens => Err((id, error)),
        _ => Ok(with_wraps(&key, &context, parent, wraps)),
    }
}

fn with_wraps(key: &TenantKey, context: &WrapContext, parent: Option<TenantId>, wraps: Vec<Wrap>) -> (NewTenant, String) {
    let WrapContext { deployment, tenant: id, generation } = *context;
    let keyring = Keyring::generate(deployment, id).seal(key, generation);
    let commitment = data_encoding::HEXLOWER.encode(&key.commitment());
    (NewTenant { id, parent, keys: TenantKeys { generation, wraps, keyring } }, commitment)
}

/// Whether every seal wraps, and opens what it has wrapped. Nothing is kept.
pub async fn probe(seals: &[Arc<dyn Seal>]) -> Result<(), SealError> {
    let context = WrapContext { deployment: DeploymentId::random(), tenant: TenantId::random(), generation: 1 };
    wraps(seals, &TenantKey::generate(), &context).await.map(drop)
}

/// A tenant key, wrapped by every seal.
pub(super) async fn wraps(seals: &[Arc<dyn Seal>], key: &TenantKey, context: &WrapContext) -> Result<Vec<Wrap>, SealError> {
    let mut wraps = Vec::with_capacity(seals.len());
    for seal in seals {
        wraps.push(wrap(&**seal, key, context).await?);
    }
    Ok(wraps)
}

/// A tenant key, wrapped by one seal, which has opened its wrap again: what nobody has seen open is not stored. Only the recovery seal
/// cannot: what it does was tried when it was made.
async fn wrap(seal: &dyn Seal, key: &TenantKey, context: &WrapContext) -> Result<Wrap, SealError> {
    let wrap = seal.wrap(&key.secret(), context).await?;
    if seal.opens() && !equal(seal.unwrap(&wrap, context).await?.expose(), key.secret().expose()) {
        let reason = "it opened its own wrap to another key".to_owned();
        return Err(SealError::Unavailable { seal: seal.name().to_owned(), reason });
    }
    Ok(Wrap { seal: seal.name().to_owned(), wrap })
}

/// The key of a stored tenant, and the keyring that it opens. Asks the seals that hold a wrap, those that answered the last
/// time first, until one gives the right key: one that gives another key is as good as one that gives none. When none does, the
/// key is refused only if every one of them says so: one that is away might have opened it.
pub(super) async fn open(
    seals: &[Arc<dyn Seal>],
    row: &TenantRow,
    context: &WrapContext,
) -> Result<(TenantKey, Keyring), KeyError> {
    let tenant = context.tenant;
    let mut failure: Option<KeyError> = None;
    let (well, ill): (Vec<_>, Vec<_>) = seals.iter().filter(|seal| seal.opens()).partition(|seal| seal.is_well());
    for seal in well.into_iter().chain(ill) {
        for wrap in row.wraps.iter().filter(|wrap| wrap.seal == seal.name()) {
            let error = match seal.unwrap(&wrap.wrap, context).await {
                Ok(secret) => {
                    if let Some(opened) = keyring(secret, row, context) {
                        return Ok(opened);
                    }
                    tracing::error!(%tenant, seal = seal.name(), "a seal gave a key that opens nothing");
                    KeyError::Damaged(tenant)
                }
                Err(error) => KeyError::Seal(tenant, error),
            };
            if !failure.as_ref().is_some_and(KeyError::is_outage) {
                failure = Some(error);
            }
        }
    }
    Err(failure.unwrap_or(KeyError::Unwrapped(tenant)))
}

fn keyring(secret: SecretBytes, row: &TenantRow, context: &WrapContext) -> Option<(TenantKey, Keyring)> {
    let key = TenantKey::from_secret(secret)?;
    let keyring = Keyring::open(&key, context.deployment, context.tenant, row.generation, &row.keyring).ok()?;
    Some((key, keyring))
}
