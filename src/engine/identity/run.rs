//! Doing what `identity/` is asked for.

use super::operation::Operation;
use super::{alias, entity, group, group_alias, list, merge, mfa, oidc};
use crate::answer::{Answer, Refusal};
use crate::commit::{Place, Txn};
use crate::engine::table::Call;
use crate::policy::ShownFactor;

/// Who asks, as far as this engine needs to know.
pub struct Asker<'a> {
    /// The entity that the token stands for, if it lives in the tenant that is asked; empty for none.
    pub entity_id: &'a str,
    /// Path of the request's tenant from the root: empty or ending in a slash.
    pub namespace: &'a str,
    /// The second factors that the token has shown.
    pub shown: &'a [ShownFactor],
}

/// Runs one operation of `identity/` in the tenant of `place`.
pub async fn run(operation: Operation, place: &Place, asker: &Asker<'_>, txn: &mut Txn) -> Result<Answer, Refusal> {
    match operation {
        Operation::WriteEntity(change) => entity::write(*change, place, txn).await,
        Operation::ReadEntity(by) => entity::read(&by, place, txn).await,
        Operation::DeleteEntity(by) => entity::delete(&by, place, txn).await,
        Operation::DeleteEntities(ids) => entity::delete_many(&ids, place, txn).await,
        Operation::Merge(what) => merge::merge(&what, place, txn).await,
        Operation::LookupEntity(way) => entity::lookup(&way, place, txn).await,
        Operation::WriteAlias(change) => alias::write(*change, place, txn).await,
        Operation::ReadAlias(id) => alias::read(&id, place, txn).await,
        Operation::DeleteAlias(id) => alias::delete(&id, place, txn).await,
        Operation::WriteGroup(change) => group::write(*change, place, txn).await,
        Operation::ReadGroup(by) => group::read(&by, place, txn).await,
        Operation::DeleteGroup(by) => group::delete(&by, place, txn).await,
        Operation::LookupGroup(way) => group::lookup(&way, place, txn).await,
        Operation::WriteGroupAlias(change) => group_alias::write(*change, place, txn).await,
        Operation::ReadGroupAlias(id) => group_alias::read(&id, place, txn).await,
        Operation::DeleteGroupAlias(id) => group_alias::delete(&id, place, txn).await,
        Operation::List(what, range) => list::list(what, &range, place, txn).await,
        Operation::Oidc(operation) => oidc::run(operation, place, asker, txn).await,
        Operation::Mfa(operation) => mfa::run(operation, place, asker, txn).await,
    }
}

/// Whether there is something at a path already, for policies that tell making from changing.
pub async fn exists(place: &Place, call: &Call<'_>, txn: &mut Txn) -> Result<bool, Refusal> {
    oidc::exists(place, call, txn).await
}
