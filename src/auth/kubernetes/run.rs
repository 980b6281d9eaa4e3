//! Doing what a Kubernetes mount is asked for.

use std::sync::Arc;

use super::config::Config;
use super::login::login;
use super::operation::Operation;
use super::role::{Change, Role};
use crate::answer::{Answer, Data, Refusal};
use crate::auth::login::LoginCall;
use crate::auth::name::canonical;
use crate::commit::{Place, Txn};
use crate::engine::listing::{NAMES_MAX, Range};
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
        Operation::Roles(range) => list(&range, place, txn).await,
        Operation::ReadRole(name) => Ok(Answer::data(role(&name, place, txn).await?.ok_or(Refusal::NotFound)?.json())),
        Operation::WriteRole(name, change) => write(&name, *change, place, txn).await,
        Operation::DeleteRole(name) => {
            txn.remove::<Role>(&place.tenant, &Role::address(place.mount.id, &name)).await?;
            Ok(Answer::Empty)
        }
        Operation::Login(role, token) => login(&role, &token, place, call, txn).await,
    }
}

/// Whether a role is there, for policies that tell making one from changing one.
pub async fn exists(place: &Place, call: &Call<'_>, txn: &mut Txn) -> Result<bool, Refusal> {
    match canonical(call.captures.get(0)) {
        Ok(name) => txn.exists(&place.tenant, &Role::address(place.mount.id, &name)).await,
        Err(_) => Ok(false),
    }
}

/// Removes up to `limit` roles of a disabled mount, and the configuration with the last. True when nothing is left.
pub async fn purge(place: &Place, limit: usize, txn: &mut Txn) -> Result<bool, Refusal> {
    let names = txn.names(&place.tenant, Kind::KubernetesRole, place.mount.id, "").await?;
    for name in names.iter().take(limit) {
        txn.remove::<Role>(&place.tenant, &Role::address(place.mount.id, name)).await?;
    }
    if names.len() > limit {
        return Ok(false);
    }
    txn.remove::<Config>(&place.tenant, &Config::address(place.mount.id)).await?;
    Ok(true)
}

async fn role(name: &str, place: &Place, txn: &mut Txn) -> Result<Option<Arc<Role>>, Refusal> {
    Ok(txn.read::<Role>(&place.tenant, &Role::address(place.mount.id, name)).await?.map(|found| found.value))
}

async fn write(name: &str, change: Change, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    let before = role(name, place, txn).await?.unwrap_or_default();
    let (role, warnings) = change.apply(&before, txn.lease_ttl().at(&place.mount.config))?;
    txn.put(&place.tenant, &Role::address(place.mount.id, name), &role, None).await?;
    Ok(if warnings.is_empty() { Answer::Empty } else { Answer::Data(Data { warnings, ..Data::new(None) }) })
}

async fn list(range: &Range, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    let names = txn.names(&place.tenant, Kind::KubernetesRole, place.mount.id, "").await?;
    Answer::keys(range.of(&names, NAMES_MAX)?)
}
