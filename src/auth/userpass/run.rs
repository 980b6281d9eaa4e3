//! Doing what a userpass mount is asked for.

use std::sync::Arc;

use super::login::login;
use super::operation::{NewPassword, Operation, needs_password};
use super::user::User;
use crate::answer::{Answer, Refusal};
use crate::auth::login::LoginCall;
use crate::auth::named::{self, list};
use crate::auth::parameters::{Change, TokenParameters};
use crate::commit::{Place, Txn};
use crate::engine::identity;
use crate::engine::table::Call;
use crate::record::Kind;

/// Runs one operation.
pub async fn run(operation: Operation, place: &Place, call: LoginCall<'_>, txn: &mut Txn) -> Result<Answer, Refusal> {
    match operation {
        Operation::Login(name, password) => login(&name, &password, place, call, txn).await,
        Operation::Users(range) => list(Kind::User, "", &range, place, txn).await,
        Operation::Read(name) => {
            let user = named::find::<User>(&name, place, txn).await?.ok_or(Refusal::NotFound)?;
            let last = identity::last_login(txn, &place.tenant, (&place.mount.accessor, &name)).await?;
            Ok(Answer::data(user.json(last.as_deref())))
        }
        Operation::Write(name, password, change) => {
            let before = named::find::<User>(&name, place, txn).await?;
            write(&name, before, password, *change, place, call, txn).await
        }
        Operation::Delete(name) => remove(&name, place, txn).await.map(|()| Answer::Empty),
        Operation::SetPassword(name, password) => {
            let before = needed(&name, place, txn).await?;
            write(&name, Some(before), Some(password), Change::default(), place, call, txn).await
        }
        Operation::SetPolicies(name, change) => {
            let before = needed(&name, place, txn).await?;
            write(&name, Some(before), None, *change, place, call, txn).await
        }
    }
}

/// Whether a user is there, for policies that tell making one from changing one.
pub async fn exists(place: &Place, call: &Call<'_>, txn: &mut Txn) -> Result<bool, Refusal> {
    named::exists::<User>(place, call, txn).await
}

/// Removes up to `limit` users of a disabled mount. True when none is left; what was counted against names expires.
pub async fn purge(place: &Place, limit: usize, txn: &mut Txn) -> Result<bool, Refusal> {
    let names = txn.names(&place.tenant, Kind::User, place.mount.id, "").await?;
    for name in names.iter().take(limit) {
        remove(name, place, txn).await?;
    }
    Ok(names.len() <= limit)
}

async fn needed(name: &str, place: &Place, txn: &mut Txn) -> Result<Arc<User>, Refusal> {
    named::find::<User>(name, place, txn).await?.ok_or_else(|| Refusal::invalid("username does not exist"))
}

async fn write(
    name: &str,
    before: Option<Arc<User>>,
    password: Option<NewPassword>,
    change: Change,
    place: &Place,
    call: LoginCall<'_>,
    txn: &mut Txn,
) -> Result<Answer, Refusal> {
    let nothing = TokenParameters::default();
    let parameters = before.as_ref().map_or(&nothing, |before| &before.parameters);
    let (parameters, warnings) = change.apply(parameters, txn.lease_ttl().at(&place.mount.config))?;
    let password = match (password, before) {
        (Some(NewPassword::Text(text)), _) => call.effort.hash(&text).await?.duplicate(),
        (Some(NewPassword::Hash(hash)), _) => hash,
        (None, Some(before)) => before.password.duplicate(),
        (None, None) => return Err(needs_password()),
    };
    txn.put(&place.tenant, &named::address::<User>(place.mount.id, name), &User { password, parameters }, None).await?;
    Ok(Answer::done(warnings))
}

async fn remove(name: &str, place: &Place, txn: &mut Txn) -> Result<(), Refusal> {
    identity::forget_last_login(txn, &place.tenant, (&place.mount.accessor, name)).await?;
    named::remove::<User>(name, place, txn).await
}
