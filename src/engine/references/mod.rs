//! References as they are stored: each under its own hash, and listed under what it points to and whom it is for; and the
//! conditions of a new one, as requests state them. Must not decide who may make or resolve one.

pub mod conditions;

use std::sync::Arc;

use crate::answer::Refusal;
use crate::commit::{Place, Tenant, Txn};
use crate::id::ObjectId;
use crate::record::{Kind, SYSTEM};
use crate::reference::{Reference, ReferenceId, ReferenceListing, ReferenceRecord};

/// The most references that one secret may have besides its standing one: all of them go with it, in one commit.
pub const REFERENCES_MAX: usize = 256;

/// The record of a reference.
pub async fn read(tenant: &Arc<Tenant>, id: &ReferenceId, txn: &mut Txn) -> Result<Option<Arc<ReferenceRecord>>, Refusal> {
    Ok(txn.read::<ReferenceRecord>(tenant, &id.address()).await?.map(|found| found.value))
}

/// Stores a new reference, and lists it.
pub async fn put(tenant: &Arc<Tenant>, reference: &Reference, record: &ReferenceRecord, txn: &mut Txn) -> Result<(), Refusal> {
    let id = ReferenceId::of(tenant.keyring(), reference);
    txn.put(tenant, &id.address(), record, record.binding.expires).await?;
    for directory in ReferenceListing::directories(record) {
        let address = ReferenceListing::address(&directory, &id);
        txn.put(tenant, &address, &ReferenceListing {}, record.binding.expires).await?;
    }
    Ok(())
}

/// Makes it stand for nothing.
pub async fn remove(tenant: &Arc<Tenant>, id: &ReferenceId, txn: &mut Txn) -> Result<(), Refusal> {
    let Some(record) = read(tenant, id, txn).await? else { return Ok(()) };
    txn.remove::<ReferenceRecord>(tenant, &id.address()).await?;
    for directory in ReferenceListing::directories(&record) {
        txn.remove::<ReferenceListing>(tenant, &ReferenceListing::address(&directory, id)).await?;
    }
    Ok(())
}

/// The ids of the references that point to an object, without its standing one.
pub async fn of_object(tenant: &Arc<Tenant>, object: ObjectId, txn: &mut Txn) -> Result<Vec<ReferenceId>, Refusal> {
    listed(tenant, &ReferenceListing::of_object(object), txn).await
}

/// The ids in a directory of `ReferenceListing`.
pub async fn listed(tenant: &Arc<Tenant>, directory: &str, txn: &mut Txn) -> Result<Vec<ReferenceId>, Refusal> {
    let names = txn.names(tenant, Kind::ReferenceListing, SYSTEM, directory).await?;
    Ok(names.iter().filter_map(|name| ReferenceId::parse(name)).collect())
}

/// Removes all references to an object that is removed, without its standing one.
pub async fn remove_all(tenant: &Arc<Tenant>, object: ObjectId, txn: &mut Txn) -> Result<(), Refusal> {
    for id in of_object(tenant, object, txn).await? {
        remove(tenant, &id, txn).await?;
    }
    Ok(())
}

/// Makes all references to an object follow it: to another path, and maybe to what continues it under another id.
/// `standing` is the object's own.
pub async fn follow(
    from: ObjectId,
    to: (&Place, &str, ObjectId),
    standing: Option<&Reference>,
    txn: &mut Txn,
) -> Result<(), Refusal> {
    let (place, path, object) = to;
    let tenant = &place.tenant;
    let standing = standing.map(|reference| ReferenceId::of(tenant.keyring(), reference));
    for id in of_object(tenant, from, txn).await?.into_iter().chain(standing) {
        let Some(before) = read(tenant, &id, txn).await? else { continue };
        let record = ReferenceRecord {
            target_mount: place.mount.id,
            target_path: path.to_owned(),
            target_object: object,
            ..before.as_ref().clone()
        };
        txn.put(tenant, &id.address(), &record, record.binding.expires).await?;
        if object != from && !record.standing {
            txn.remove::<ReferenceListing>(tenant, &ReferenceListing::address(&ReferenceListing::of_object(from), &id)).await?;
            let address = ReferenceListing::address(&ReferenceListing::of_object(object), &id);
            txn.put(tenant, &address, &ReferenceListing {}, record.binding.expires).await?;
        }
    }
    Ok(())
}
