//! Does the operations of KV version 1.

use std::time::Duration;

use super::{KvSecret, Operation};
use crate::answer::{Answer, Data, Refusal};
use crate::commit::{Found, Place, Txn};
use crate::engine::kv::standing;
use crate::engine::listing::Tree;
use crate::engine::object::named;
use crate::engine::table::Call;
use crate::fields::Fields;
use crate::id::ObjectId;
use crate::json::Json;
use crate::record::Kind;
use crate::reference::Reference;
use crate::secret::SecretBytes;

/// Does one operation.
pub async fn run(operation: Operation, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    match operation {
        Operation::Read(path) => read(place, &path, txn).await,
        Operation::Write(path, value) => write(place, &path, value, txn).await,
        Operation::Delete(path) => remove(place, &path, txn).await,
        Operation::List(directory, page) => tree(place).list(&directory, &page, txn).await,
        Operation::Scan(directory, page) => tree(place).scan(&directory, &page, txn).await,
    }
}

/// Whether something is at the path of a call: then policy is asked for `update`, else for `create`.
pub async fn exists(place: &Place, call: &Call<'_>, txn: &mut Txn) -> Result<bool, Refusal> {
    match named(call) {
        Some(path) => txn.exists(&place.tenant, &KvSecret::address(place.mount.id, path)).await,
        None => Ok(false),
    }
}

/// The secret at `path`, for whoever looks past the API.
pub async fn secret(place: &Place, path: &str, txn: &mut Txn) -> Result<Option<Found<KvSecret>>, Refusal> {
    txn.read::<KvSecret>(&place.tenant, &KvSecret::address(place.mount.id, path)).await
}

/// Removes up to `limit` secrets of a mount. True when nothing is left.
pub async fn purge(place: &Place, limit: usize, txn: &mut Txn) -> Result<bool, Refusal> {
    let paths = tree(place).first("", limit, txn).await?;
    for path in &paths {
        remove(place, path, txn).await?;
    }
    Ok(paths.len() < limit)
}

/// Secrets by path.
pub(in crate::engine::kv) fn tree(place: &Place) -> Tree<'_> {
    Tree { place, kind: Kind::KvSecret }
}

/// Removes a value and leaves its reference, for who takes both over.
pub(in crate::engine::kv) async fn forget(place: &Place, path: &str, txn: &mut Txn) -> Result<(), Refusal> {
    txn.remove::<KvSecret>(&place.tenant, &KvSecret::address(place.mount.id, path)).await
}

/// Writes another standing reference into a secret. Which secret it is, and what it had before.
pub(in crate::engine::kv) async fn set_standing(
    place: &Place,
    path: &str,
    new: &Reference,
    txn: &mut Txn,
) -> Result<Option<(ObjectId, Option<Reference>)>, Refusal> {
    let Some(before) = secret(place, path, txn).await? else { return Ok(None) };
    let after = KvSecret { reference: new.clone(), value: before.value.value.duplicate() };
    txn.put(&place.tenant, &KvSecret::address(place.mount.id, path), &after, None).await?;
    Ok(Some((before.object, Some(before.value.reference.clone()))))
}

async fn read(place: &Place, path: &str, txn: &mut Txn) -> Result<Answer, Refusal> {
    let found = secret(place, path, txn).await?.ok_or(Refusal::NotFound)?;
    txn.note_read(found.version);
    let value = &found.value.value;
    let lease_duration = ttl_seconds(value).unwrap_or_else(|| txn.lease_ttl().at(&place.mount.config).default_seconds);
    let json = Json::from_text(value.expose().to_vec());
    Ok(Answer::Data(Data { lease_duration, ..Data::new(Some(json)) }))
}

/// What the value says of itself: how long a client may keep it. One that is no duration says nothing.
fn ttl_seconds(value: &SecretBytes) -> Option<u64> {
    let fields = Fields::parse(value.expose(), None).ok()?;
    let name = ["ttl", "lease"].into_iter().find(|name| fields.has(name))?;
    fields.duration(name).ok().flatten().as_ref().map(Duration::as_secs)
}

async fn write(place: &Place, path: &str, value: SecretBytes, txn: &mut Txn) -> Result<Answer, Refusal> {
    let before = secret(place, path, txn).await?;
    let reference = before.as_ref().map_or_else(Reference::random, |before| before.value.reference.clone());
    let address = KvSecret::address(place.mount.id, path);
    txn.put(&place.tenant, &address, &KvSecret { reference: reference.clone(), value }, None).await?;
    if before.is_none() {
        let object = txn.object_of(&place.tenant, &address).ok_or_else(lost)?;
        standing::put(place, path, object, &reference, txn).await?;
    }
    txn.note_written(before.map_or(1, |before| before.version + 1));
    Ok(Answer::Written { reference: reference.to_string() })
}

async fn remove(place: &Place, path: &str, txn: &mut Txn) -> Result<Answer, Refusal> {
    if let Some(secret) = secret(place, path, txn).await? {
        standing::remove(place, secret.object, Some(&secret.value.reference), txn).await?;
        forget(place, path, txn).await?;
    }
    Ok(Answer::Empty)
}

/// A record that this transaction wrote is not known to it: a flaw of ours.
fn lost() -> Refusal {
    Refusal::Internal("a secret lost its identity within one request".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_says_how_long_it_may_be_kept() {
        for (value, seconds) in [
            (r#"{"ttl":"30m"}"#, Some(1800)),
            (r#"{"ttl":90}"#, Some(90)),
            (r#"{"ttl":"90"}"#, Some(90)),
            (r#"{"lease":"5m"}"#, Some(300)),
            (r#"{"ttl":0}"#, Some(0)),
            (r#"{"ttl":"1h","lease":"5m"}"#, Some(3600)),
            (r#"{"ttl":null}"#, None),
            (r#"{"ttl":"soon"}"#, None),
            (r#"{"ttl":"-5m"}"#, None),
            (r#"{"ttl":1.5}"#, None),
            (r#"{"ttl":["3"]}"#, None),
            (r#"{"x":"30m"}"#, None),
        ] {
            assert_eq!(ttl_seconds(&SecretBytes::new(value.as_bytes().to_vec())), seconds, "{value}");
        }
    }
}
