//! Standing references: one for each secret, made with it and removed with it.

use crate::answer::Refusal;
use crate::commit::{Place, Txn};
use crate::id::ObjectId;
use crate::reference::{Reference, ReferenceRecord};

/// Makes `reference`, which stood for another secret, stand for this one.
pub(super) async fn hand_over(
    place: &Place,
    path: &str,
    object: ObjectId,
    reference: &Reference,
    txn: &mut Txn,
) -> Result<(), Refusal> {
    // Read first: the new version continues the object.
    txn.read::<ReferenceRecord>(&place.tenant, &ReferenceRecord::address(place.tenant.keyring(), reference)).await?;
    put(place, path, object, reference, txn).await
}

/// Makes a new `reference` stand for the secret at `path`, whose identity is `object`.
pub(super) async fn put(
    place: &Place,
    path: &str,
    object: ObjectId,
    reference: &Reference,
    txn: &mut Txn,
) -> Result<(), Refusal> {
    let address = ReferenceRecord::address(place.tenant.keyring(), reference);
    let record = ReferenceRecord {
        target_mount: place.mount.id,
        target_path: path.to_owned(),
        target_object: object,
        pinned: None,
        field: None,
        created: txn.now(),
        standing: true,
    };
    txn.put(&place.tenant, &address, &record, None).await
}

/// Makes it stand for nothing.
pub(super) async fn remove(place: &Place, reference: &Reference, txn: &mut Txn) -> Result<(), Refusal> {
    txn.remove::<ReferenceRecord>(&place.tenant, &ReferenceRecord::address(place.tenant.keyring(), reference)).await
}
