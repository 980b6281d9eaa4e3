//! Standing references: one for each secret, made with it and removed with it.

use super::{v1, v2};
use crate::answer::Refusal;
use crate::commit::{Place, Txn};
use crate::engine::references;
use crate::id::ObjectId;
use crate::mount::Engine;
use crate::reference::{Binding, Reference, ReferenceId, ReferenceRecord};

/// Makes a new `reference` stand for the secret at `path`, whose identity is `object`.
pub(super) async fn put(
    place: &Place,
    path: &str,
    object: ObjectId,
    reference: &Reference,
    txn: &mut Txn,
) -> Result<(), Refusal> {
    let record = ReferenceRecord {
        target_mount: place.mount.id,
        target_path: path.to_owned(),
        target_object: object,
        pinned: None,
        field: None,
        created: txn.now(),
        standing: true,
        binding: Binding::default(),
    };
    references::put(&place.tenant, reference, &record, txn).await
}

/// Makes a secret's standing reference, and all others to it, stand for nothing.
pub(super) async fn remove(place: &Place, object: ObjectId, standing: Option<&Reference>, txn: &mut Txn) -> Result<(), Refusal> {
    if let Some(reference) = standing {
        references::remove(&place.tenant, &ReferenceId::of(place.tenant.keyring(), reference), txn).await?;
    }
    references::remove_all(&place.tenant, object, txn).await
}

/// Gives the secret at `path` another standing reference; the one before stands for nothing. Nothing happens where no
/// secret is.
pub async fn replace(place: &Place, path: &str, new: &Reference, txn: &mut Txn) -> Result<(), Refusal> {
    let replaced = match place.mount.engine {
        Engine::Kv1 => v1::set_standing(place, path, new, txn).await?,
        _ => v2::set_standing(place, path, new, txn).await?,
    };
    let Some((object, before)) = replaced else { return Ok(()) };
    if let Some(before) = before {
        references::remove(&place.tenant, &ReferenceId::of(place.tenant.keyring(), &before), txn).await?;
    }
    put(place, path, object, new, txn).await
}
