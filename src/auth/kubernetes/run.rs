//! Doing what a Kubernetes mount is asked for.

use super::config::Config;
use super::login::login;
use super::operation::Operation;
use super::role::{Change, Role};
use crate::answer::{Answer, Refusal};
use crate::auth::login::LoginCall;
use crate::auth::named::{self, list};
use crate::commit::{Place, Txn};
use crate::engine::table::Call;
use crate::record::Kind;

/// Runs one operation.
pub async fn run(operation: Operation, place: &Place, call: LoginCall<'_>, txn: &mut Txn) -> Result<Answer, Refusal> {
    match operation {
        Operation::ReadConfig => {
            let found = txn.read::<Config>(&place.tenant, &Config::address(place.mount.id)).await?;
            Ok(Answer::data(found.ok_or(Refusal::NotFound)?.value.json()))
        }
        Operation::WriteConfig(config) => {
            if call.effort.may_begin() {
                call.issuers.check(&config.source, txn.now()).await?;
            }
            txn.put(&place.tenant, &Config::address(place.mount.id), &*config, None).await?;
            Ok(Answer::Empty)
        }
        Operation::Roles(range) => list(Kind::KubernetesRole, "", &range, place, txn).await,
        Operation::ReadRole(name) => {
            Ok(Answer::data(named::find::<Role>(&name, place, txn).await?.ok_or(Refusal::NotFound)?.json()))
        }
        Operation::WriteRole(name, change) => write(&name, *change, place, txn).await,
        Operation::DeleteRole(name) => {
            named::remove::<Role>(&name, place, txn).await?;
            Ok(Answer::Empty)
        }
        Operation::Login(role, token) => login(&role, &token, place, call, txn).await,
    }
}

/// Whether a role is there, for policies that tell making one from changing one.
pub async fn exists(place: &Place, call: &Call<'_>, txn: &mut Txn) -> Result<bool, Refusal> {
    named::exists::<Role>(place, call, txn).await
}

/// Removes up to `limit` roles of a disabled mount, and the configuration with the last. True when nothing is left.
pub async fn purge(place: &Place, limit: usize, txn: &mut Txn) -> Result<bool, Refusal> {
    if named::remove_some::<Role>(place, limit, txn).await? > limit {
        return Ok(false);
    }
    txn.remove::<Config>(&place.tenant, &Config::address(place.mount.id)).await?;
    Ok(true)
}

async fn write(name: &str, change: Change, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    let before = named::find::<Role>(name, place, txn).await?.unwrap_or_default();
    let (role, warnings) = change.apply(&before, txn.lease_ttl().at(&place.mount.config))?;
    txn.put(&place.tenant, &named::address::<Role>(place.mount.id, name), &role, None).await?;
    Ok(Answer::done(warnings))
}
