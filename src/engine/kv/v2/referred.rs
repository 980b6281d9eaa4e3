//! What references need of a secret: which version it is at, one field of it, and to follow it to another path.

use super::data::{Secret, secret};
use super::metadata::{KvMetadata, KvVersion};
use super::shown::{Shown, Stored};
use crate::answer::Refusal;
use crate::commit::{Place, Txn};
use crate::engine::references;
use crate::id::ObjectId;
use crate::reference::Reference;

/// The most bytes of values that are moved to another mount at once.
pub const MOVE_BYTES_MAX: usize = 8 << 20;

/// A secret as a reference finds it.
pub struct Referred {
    secret: Secret,
    /// The version that was asked for.
    wanted: Option<Stored>,
    /// Its number, if its value can be read.
    pub readable: Option<u64>,
}

impl Referred {
    /// Which secret it is.
    pub fn object(&self) -> ObjectId {
        self.secret.object
    }

    /// The standing reference.
    pub fn standing(&self) -> Option<&Reference> {
        self.secret.metadata.reference.as_ref()
    }

    /// As a read of the version.
    pub async fn show(&self, place: &Place, txn: &mut Txn) -> Result<Shown, Refusal> {
        Shown::find(place, &self.secret, self.wanted.ok_or(Refusal::NotFound)?, txn).await
    }
}

/// What is at a path now; `wanted` as in a read.
pub async fn referred(place: &Place, path: &str, wanted: Option<u64>, txn: &mut Txn) -> Result<Option<Referred>, Refusal> {
    let Some(secret) = secret(place, path, txn).await? else { return Ok(None) };
    let wanted = Stored::of(place, &secret, wanted);
    let readable = wanted.filter(|wanted| wanted.readable(txn)).map(|wanted| wanted.number);
    Ok(Some(Referred { secret, wanted, readable }))
}

/// Writes another standing reference into a secret's metadata. Which secret it is, and what it had before.
pub(in crate::engine::kv) async fn set_standing(
    place: &Place,
    path: &str,
    new: &Reference,
    txn: &mut Txn,
) -> Result<Option<(ObjectId, Option<Reference>)>, Refusal> {
    let Some(secret) = secret(place, path, txn).await? else { return Ok(None) };
    let metadata = KvMetadata { reference: Some(new.clone()), ..secret.metadata.as_ref().clone() };
    txn.put(&place.tenant, &secret.address, &metadata, None).await?;
    Ok(Some((secret.object, secret.metadata.reference.clone())))
}

/// Moves a secret, with its versions, metadata and references, to a path where nothing is. It stays the same object.
pub async fn relocate(from: (&Place, &str), to: (&Place, &str), txn: &mut Txn) -> Result<(), Refusal> {
    let (old, new) = (from.0, to.0);
    let secret = secret(old, from.1, txn).await?.ok_or(Refusal::NotFound)?;
    let address = KvMetadata::address(new.mount.id, to.1);
    if txn.exists(&new.tenant, &address).await? {
        return Err(Refusal::invalid("there is a secret at the destination"));
    }
    let object = secret.object;
    txn.relocate(&new.tenant, &secret.address, &address, &*secret.metadata).await?;
    if old.mount.id != new.mount.id {
        let mut bytes = 0;
        for number in secret.metadata.stored() {
            let (before, after) = [old, new].map(|place| KvVersion::address(place.mount.id, object, number)).into();
            let Some(value) = txn.read::<KvVersion>(&old.tenant, &before).await? else { continue };
            bytes += value.value.0.len();
            if bytes > MOVE_BYTES_MAX {
                return Err(Refusal::Invalid(format!(
                    "the versions hold more than {MOVE_BYTES_MAX} bytes, and move within their mount only"
                )));
            }
            txn.relocate(&new.tenant, &before, &after, &*value.value).await?;
        }
    }
    references::follow(object, (new, to.1, object), secret.metadata.reference.as_ref(), txn).await
}
