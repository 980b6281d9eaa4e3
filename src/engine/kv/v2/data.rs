//! Values: read, write, patch, and the marks of versions.

use std::sync::Arc;

use super::metadata::{KvMetadata, KvVersion};
use super::operation::WriteOptions;
use super::settings::KvConfig;
use super::shown::{Shown, Stored, version_fields};
use super::subkeys;
use crate::answer::{Answer, Data, Refusal};
use crate::commit::{Place, Txn};
use crate::engine::kv::standing;
use crate::engine::references;
use crate::fields::merge_patch;
use crate::id::ObjectId;
use crate::json::Json;
use crate::record::Address;
use crate::reference::Reference;
use crate::secret::SecretBytes;

/// The longest value that a patch may make, in bytes: as long as the longest request body that can be configured.
const VALUE_BYTES_MAX: usize = 32 << 20;

/// A secret that exists.
pub(super) struct Secret {
    pub(super) address: Address,
    pub(super) metadata: Arc<KvMetadata>,
    pub(super) object: ObjectId,
}

/// Reads a secret's metadata.
pub(super) async fn secret(place: &Place, path: &str, txn: &mut Txn) -> Result<Option<Secret>, Refusal> {
    let address = KvMetadata::address(place.mount.id, path);
    let found = txn.read::<KvMetadata>(&place.tenant, &address).await?;
    Ok(found.map(|found| Secret { address, metadata: found.value, object: found.object }))
}

/// The mount's configuration, or the default one.
pub(super) async fn config(place: &Place, txn: &mut Txn) -> Result<KvConfig, Refusal> {
    let found = txn.read::<KvConfig>(&place.tenant, &KvConfig::address(place.mount.id)).await?;
    Ok(found.map(|found| *found.value).unwrap_or_default())
}

/// `{data, metadata}` of a version; a deleted one has `data: null` and is not found.
pub(super) async fn read(place: &Place, path: &str, version: Option<u64>, txn: &mut Txn) -> Result<Answer, Refusal> {
    Ok(Answer::Data(shown(place, path, version, txn).await?.answer(None)?))
}

/// `{subkeys, metadata}` of a version, likewise.
pub(super) async fn subkeys(
    place: &Place,
    path: &str,
    version: Option<u64>,
    depth: u64,
    txn: &mut Txn,
) -> Result<Answer, Refusal> {
    let structure = |value: &SecretBytes| {
        subkeys::subkeys(value.expose(), depth).ok_or_else(|| Refusal::Internal("a stored value is not a JSON object".to_owned()))
    };
    Ok(Answer::Data(shown(place, path, version, txn).await?.write("subkeys", structure)?))
}

async fn shown(place: &Place, path: &str, version: Option<u64>, txn: &mut Txn) -> Result<Shown, Refusal> {
    let secret = secret(place, path, txn).await?.ok_or(Refusal::NotFound)?;
    let stored = Stored::of(place, &secret, version).ok_or(Refusal::NotFound)?;
    Shown::find(place, &secret, stored, txn).await
}

/// A new version with `value`.
pub(super) async fn write(
    place: &Place,
    path: &str,
    value: SecretBytes,
    options: WriteOptions,
    txn: &mut Txn,
) -> Result<Answer, Refusal> {
    let config = config(place, txn).await?;
    let secret = secret(place, path, txn).await?;
    let metadata = secret.map_or_else(|| KvMetadata::new(txn.now()), |secret| secret.metadata.as_ref().clone());
    metadata.check_cas(&config, options.cas)?;
    store(place, path, metadata, &config, KvVersion(value), options, txn).await
}

/// A new version: the newest one with `change` applied. A secret that does not exist is `MissingSilently`; where the
/// newest version is deleted, its fields come with the 404.
pub(super) async fn patch(
    place: &Place,
    path: &str,
    change: &SecretBytes,
    options: WriteOptions,
    txn: &mut Txn,
) -> Result<Answer, Refusal> {
    let secret = secret(place, path, txn).await?.ok_or(Refusal::MissingSilently)?;
    let config = config(place, txn).await?;
    secret.metadata.check_cas(&config, options.cas)?;
    let stored = Stored::of(place, &secret, None).ok_or(Refusal::MissingSilently)?;
    let Some(old) = stored.value(place, txn).await? else {
        let json = Json::object(|fields| version_fields(fields, stored.number, stored.version, &secret.metadata));
        return Ok(Answer::Data(Data { status: 404, ..Data::new(Some(json)) }));
    };
    txn.note_read(stored.number);
    let merged = merge_patch(old.open()?.0.expose(), change.expose())?;
    if merged.len() > VALUE_BYTES_MAX {
        return Err(Refusal::TooLarge);
    }
    store(place, path, secret.metadata.as_ref().clone(), &config, KvVersion(merged), options, txn).await
}

/// Makes `value` the first version of a secret, which takes over the references of another object.
pub(in crate::engine::kv) async fn adopt(
    place: &Place,
    path: &str,
    value: SecretBytes,
    (from, reference): (ObjectId, &Reference),
    txn: &mut Txn,
) -> Result<(), Refusal> {
    let config = config(place, txn).await?;
    let metadata = KvMetadata { reference: Some(reference.clone()), ..KvMetadata::new(txn.now()) };
    let options = WriteOptions { cas: None, reference: false };
    store(place, path, metadata, &config, KvVersion(value), options, txn).await?;
    let object = txn.object_of(&place.tenant, &KvMetadata::address(place.mount.id, path)).ok_or_else(lost)?;
    references::follow(from, (place, path, object), Some(reference), txn).await
}

/// Stores a new version with everything that belongs to it, in one transaction.
async fn store(
    place: &Place,
    path: &str,
    mut metadata: KvMetadata,
    config: &KvConfig,
    value: KvVersion,
    options: WriteOptions,
    txn: &mut Txn,
) -> Result<Answer, Refusal> {
    let now = txn.now();
    let (tenant, mount) = (&place.tenant, place.mount.id);
    let added = metadata.add_version(config, now);
    let first = metadata.reference.is_none();
    let reference = metadata.reference.get_or_insert_with(Reference::random).clone();
    let address = KvMetadata::address(mount, path);
    txn.put(tenant, &address, &metadata, None).await?;
    let object = txn.object_of(tenant, &address).ok_or_else(lost)?;
    txn.put(tenant, &KvVersion::address(mount, object, added.number), &value, None).await?;
    for dropped in added.dropped {
        txn.remove::<KvVersion>(tenant, &KvVersion::address(mount, object, dropped)).await?;
    }
    if first {
        standing::put(place, path, object, &reference, txn).await?;
    }
    txn.note_written(added.number);
    let (number, version) = metadata.version(None).ok_or_else(lost)?;
    Ok(Answer::data(Json::object(|fields| {
        version_fields(fields, number, version, &metadata);
        if options.reference {
            fields.field("reference", &reference);
        }
    })))
}

/// Which mark of versions changes.
pub(super) enum Mark {
    /// The newest version is deleted.
    DeleteLatest,
    /// These are deleted.
    Delete(Vec<u64>),
    /// These are no longer deleted.
    Undelete(Vec<u64>),
    /// The values of these are gone.
    Destroy(Vec<u64>),
}

/// Changes marks. What does not exist is passed over: 204 either way.
pub(super) async fn mark(place: &Place, path: &str, mark: Mark, txn: &mut Txn) -> Result<Answer, Refusal> {
    let Some(secret) = secret(place, path, txn).await? else { return Ok(Answer::Empty) };
    let now = txn.now();
    let mut metadata = secret.metadata.as_ref().clone();
    let mut destroyed = Vec::new();
    let changed = match mark {
        Mark::DeleteLatest => metadata.delete(&[metadata.current_version], now),
        Mark::Delete(versions) => metadata.delete(&versions, now),
        Mark::Undelete(versions) => metadata.undelete(&versions),
        Mark::Destroy(versions) => {
            destroyed = metadata.destroy(&versions);
            !destroyed.is_empty()
        }
    };
    if changed {
        txn.put(&place.tenant, &secret.address, &metadata, None).await?;
    }
    remove_values(place, secret.object, destroyed, txn).await?;
    Ok(Answer::Empty)
}

/// Removes a secret with all its versions and references.
pub(super) async fn remove(place: &Place, path: &str, txn: &mut Txn) -> Result<Answer, Refusal> {
    let Some(secret) = secret(place, path, txn).await? else { return Ok(Answer::Empty) };
    remove_values(place, secret.object, secret.metadata.stored(), txn).await?;
    standing::remove(place, secret.object, secret.metadata.reference.as_ref(), txn).await?;
    txn.remove::<KvMetadata>(&place.tenant, &secret.address).await?;
    Ok(Answer::Empty)
}

async fn remove_values(place: &Place, object: ObjectId, numbers: Vec<u64>, txn: &mut Txn) -> Result<(), Refusal> {
    for number in numbers {
        txn.remove::<KvVersion>(&place.tenant, &KvVersion::address(place.mount.id, object, number)).await?;
    }
    Ok(())
}

/// A record that this transaction read or wrote is not known to it: a flaw of ours.
pub(super) fn lost() -> Refusal {
    Refusal::Internal("a secret's metadata lost its identity within one request".to_owned())
}
