//! Records of an auth mount that have names in its paths: roles, users, revocation lists. What every method does with them alike.

use std::sync::Arc;

use super::name::canonical;
use crate::answer::{Answer, Refusal};
use crate::commit::{Place, Txn};
use crate::engine::listing::{NAMES_MAX, Range};
use crate::engine::table::Call;
use crate::id::MountId;
use crate::record::{Address, Kind, Record};

/// Where the one of this name is.
pub(super) fn address<R: Record>(mount: MountId, name: &str) -> Address {
    Address { kind: R::KIND, mount, directory: String::new(), name: name.to_owned() }
}

/// The one of this name.
pub(super) async fn find<R: Record>(name: &str, place: &Place, txn: &mut Txn) -> Result<Option<Arc<R>>, Refusal> {
    Ok(txn.read::<R>(&place.tenant, &address::<R>(place.mount.id, name)).await?.map(|found| found.value))
}

/// Whether the one that a call's path names is there, for policies that tell making one from changing one.
pub(super) async fn exists<R: Record>(place: &Place, call: &Call<'_>, txn: &mut Txn) -> Result<bool, Refusal> {
    match canonical(call.captures.get(0)) {
        Ok(name) => txn.exists(&place.tenant, &address::<R>(place.mount.id, &name)).await,
        Err(_) => Ok(false),
    }
}

/// Those of a directory that a client asks for.
pub(super) async fn list(kind: Kind, directory: &str, range: &Range, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    let names = txn.names(&place.tenant, kind, place.mount.id, directory).await?;
    Answer::keys(range.of(&names, NAMES_MAX)?)
}

/// Removes one; nothing happens when it is not there.
pub(super) async fn remove<R: Record>(name: &str, place: &Place, txn: &mut Txn) -> Result<(), Refusal> {
    txn.remove::<R>(&place.tenant, &address::<R>(place.mount.id, name)).await
}

/// Removes up to `limit` of a disabled mount. How many there were.
pub(super) async fn remove_some<R: Record>(place: &Place, limit: usize, txn: &mut Txn) -> Result<usize, Refusal> {
    let names = txn.names(&place.tenant, R::KIND, place.mount.id, "").await?;
    for name in names.iter().take(limit) {
        remove::<R>(name, place, txn).await?;
    }
    Ok(names.len())
}
