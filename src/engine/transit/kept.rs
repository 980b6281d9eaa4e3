//! Data keys that are kept for references: each is sealed under the tenant, and read by its one reference only.
//!
//! They belong to the Transit key that they were made with, and end with it. Rotating, trimming or configuring that key does
//! not touch them: what is kept is the data key itself, not only its ciphertext.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::record::{self, Ring};
use crate::answer::{Data, Refusal};
use crate::commit::{Place, Tenant, Txn};
use crate::engine::references;
use crate::id::{MountId, ObjectId};
use crate::json::Json;
use crate::record::{Address, Kind, Listing, SYSTEM};
use crate::reference::{Binding, Reference, ReferenceId, ReferenceListing, ReferenceRecord};
use crate::secret::SecretBytes;

/// A data key: the JSON object that it is answered as.
pub struct TransitDataKey(SecretBytes);

crate::secret_record!(TransitDataKey, Kind::TransitDataKey, Listing::None);

/// That a Transit key with kept data keys was removed, by its object id.
#[derive(Serialize, Deserialize)]
pub struct TransitRemains {
    mount: MountId,
}

crate::json_record!(TransitRemains, Kind::TransitRemains, Listing::Flat);

fn address(mount: MountId, id: &str) -> Address {
    Address { kind: Kind::TransitDataKey, mount, directory: String::new(), name: id.to_owned() }
}

/// The name of the Transit key and the id of the data key, of the path that a reference has in the mount; no id in the path
/// that stands for all data keys of a key.
fn split(path: &str) -> (&str, &str) {
    path.split_once('/').unwrap_or((path, ""))
}

/// The name of the Transit key, which is what policies go by.
pub fn key_name(path: &str) -> &str {
    split(path).0
}

/// Keeps a data key, and makes the reference to it.
pub(super) async fn keep(
    json: &Json,
    (name, ring): (&str, &Ring),
    binding: Binding,
    place: &Place,
    txn: &mut Txn,
) -> Result<Reference, Refusal> {
    let id = ObjectId::random().to_string();
    let data_key = TransitDataKey(SecretBytes::new(json.expose().to_vec()));
    txn.put(&place.tenant, &address(place.mount.id, &id), &data_key, binding.expires).await?;
    let record = ReferenceRecord {
        target_mount: place.mount.id,
        target_path: format!("{name}/{id}"),
        target_object: ring.object,
        pinned: None,
        field: None,
        created: txn.now(),
        standing: false,
        binding,
    };
    let reference = Reference::random();
    references::put(&place.tenant, &reference, &record, txn).await?;
    txn.note_reference(place.tenant.keyring().reference_hash(reference.as_str()));
    Ok(reference)
}

/// The Transit key that a path in the mount belongs to, and whether the path's data key is there.
pub async fn find(place: &Place, path: &str, txn: &mut Txn) -> Result<Option<(ObjectId, bool)>, Refusal> {
    let (name, id) = split(path);
    let Some(ring) = record::find(name, place, txn).await? else { return Ok(None) };
    Ok(Some((ring.object, txn.exists(&place.tenant, &address(place.mount.id, id)).await?)))
}

/// A data key, in the form of a secret of KV version 2.
pub async fn read(place: &Place, path: &str, txn: &mut Txn) -> Result<Data, Refusal> {
    let address = address(place.mount.id, split(path).1);
    let found = txn.read::<TransitDataKey>(&place.tenant, &address).await?.ok_or(Refusal::NotFound)?;
    txn.note_read(found.version);
    Ok(Data::new(Some(Json::object(|data| {
        data.raw("data", found.value.0.expose()).null("metadata");
    }))))
}

/// Removes a data key whose reference has ended.
pub async fn forget(place: &Place, path: &str, txn: &mut Txn) -> Result<(), Refusal> {
    txn.remove::<TransitDataKey>(&place.tenant, &address(place.mount.id, split(path).1)).await
}

/// Notes down that the data keys of a Transit key that goes are to go, too.
pub(super) async fn leave(ring: &Ring, place: &Place, txn: &mut Txn) -> Result<(), Refusal> {
    let tenant = &place.tenant;
    if references::of_object(tenant, ring.object, txn).await?.is_empty() {
        return Ok(());
    }
    let address = Address::system(Kind::TransitRemains, ring.object.to_string());
    txn.put(tenant, &address, &TransitRemains { mount: place.mount.id }, None).await?;
    txn.wake_jobs(false);
    Ok(())
}

/// Removes up to `limit` data keys of a tenant's removed Transit keys, with their references. Returns how many went; 0 when
/// nothing is left.
pub async fn clear(limit: usize, tenant: &Arc<Tenant>, txn: &mut Txn) -> Result<usize, Refusal> {
    let names = txn.names(tenant, Kind::TransitRemains, SYSTEM, "").await?;
    let Some(object) = names.first() else { return Ok(0) };
    let remains = Address::system(Kind::TransitRemains, &**object);
    let Some(found) = txn.read::<TransitRemains>(tenant, &remains).await? else { return Ok(0) };
    let directory = ReferenceListing::of(object);
    let ids = txn.page(tenant, (Kind::ReferenceListing, SYSTEM, &directory), None, limit).await?;
    for id in ids.iter().filter_map(|(_, name)| ReferenceId::parse(name)) {
        match references::read(tenant, &id, txn).await? {
            Some(record) => {
                txn.forget::<TransitDataKey>(tenant, &address(found.value.mount, split(&record.target_path).1));
                references::remove(tenant, &id, txn).await?;
            }
            // It has expired, and the data key with it: only the listing is left.
            None => txn.forget::<ReferenceListing>(tenant, &ReferenceListing::address(&directory, &id)),
        }
    }
    if ids.is_empty() {
        txn.remove::<TransitRemains>(tenant, &remains).await?;
    }
    Ok(ids.len().max(1))
}
