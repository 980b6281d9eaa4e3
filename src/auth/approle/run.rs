//! Doing what an `AppRole` mount is asked for.

use std::sync::Arc;

use super::login::login;
use super::operation::{Operation, Which};
use super::remains::RoleRemains;
use super::role::{Change, Role, RoleId};
use super::secret_id;
use super::setting::Setting;
use crate::answer::{Answer, Data, Refusal};
use crate::auth::login::LoginCall;
use crate::auth::named::{self, list};
use crate::commit::{Place, Txn};
use crate::engine::table::Call;
use crate::json::Json;
use crate::record::Kind;

/// Runs one operation.
pub async fn run(operation: Operation, place: &Place, call: LoginCall<'_>, txn: &mut Txn) -> Result<Answer, Refusal> {
    match operation {
        Operation::Login(credentials) => login(&credentials, place, call, txn).await,
        Operation::Roles(range) => list(Kind::AppRole, "", &range, place, txn).await,
        Operation::ReadRole(name) => Ok(Answer::data(shown(&name, place, txn).await?.json())),
        Operation::WriteRole(name, change) => write(&name, *change, place, txn).await,
        Operation::DeleteRole(name) => delete(&name, place, txn).await,
        Operation::ReadRoleId(name) => {
            let role = shown(&name, place, txn).await?;
            Ok(Answer::data(Json::object(|data| {
                data.field("role_id", &role.role_id);
            })))
        }
        Operation::WriteRoleId(name, role_id) => {
            let before = named::find::<Role>(&name, place, txn).await?.ok_or(Refusal::UnsupportedPath)?;
            store(&name, Some(&before), &Role { role_id, ..Role::clone(&before) }, place, txn).await?;
            Ok(Answer::Empty)
        }
        Operation::ReadSetting(name, setting) => Ok(setting.answer(&*shown(&name, place, txn).await?)),
        Operation::WriteSetting(name, setting, change) => write_setting(&name, setting, Some(*change), place, txn).await,
        Operation::ResetSetting(name, setting) => write_setting(&name, setting, None, place, txn).await,
        Operation::Issue(name, issue) => {
            let missing = || Refusal::Missing(format!("role {name:?} does not exist"));
            let role = named::find::<Role>(&name, place, txn).await?.ok_or_else(missing)?;
            secret_id::issue(*issue, &role, place, txn).await
        }
        Operation::Accessors(name, range) => {
            let role = needed(&name, place, txn).await?;
            list(Kind::SecretIdAccessor, &secret_id::directory(&role.id), &range, place, txn).await
        }
        Operation::Lookup(name, which) => lookup(&name, &which, place, txn).await,
        Operation::Destroy(name, which) => destroy(&name, &which, place, txn).await,
        Operation::Tidy => {
            txn.wake_jobs(true);
            let warning =
                "Tidy operation successfully started. Any information from the operation will be printed to the server's logs.";
            Ok(Answer::Accepted { warnings: vec![warning.to_owned()] })
        }
    }
}

/// Whether a role is there, for policies that tell making one from changing one.
pub async fn exists(place: &Place, call: &Call<'_>, txn: &mut Txn) -> Result<bool, Refusal> {
    named::exists::<Role>(place, call, txn).await
}

async fn shown(name: &str, place: &Place, txn: &mut Txn) -> Result<Arc<Role>, Refusal> {
    named::find::<Role>(name, place, txn).await?.ok_or(Refusal::NotFound)
}

async fn needed(name: &str, place: &Place, txn: &mut Txn) -> Result<Arc<Role>, Refusal> {
    named::find::<Role>(name, place, txn).await?.ok_or_else(|| Refusal::invalid(format!("role {name:?} does not exist")))
}

async fn write(name: &str, change: Change, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    let before = named::find::<Role>(name, place, txn).await?;
    let (role, warnings) = change.apply(before.as_deref(), txn.lease_ttl().at(&place.mount.config))?;
    store(name, before.as_deref(), &role, place, txn).await?;
    Ok(Answer::done(warnings))
}

/// Writes a role, and what leads to it from its role id.
async fn store(name: &str, before: Option<&Role>, role: &Role, place: &Place, txn: &mut Txn) -> Result<(), Refusal> {
    if before.is_none_or(|before| before.role_id != role.role_id) {
        let address = RoleId::address(place.mount.id, &role.role_id);
        if txn.read::<RoleId>(&place.tenant, &address).await?.is_some() {
            return Err(Refusal::invalid("role_id already in use"));
        }
        txn.put(&place.tenant, &address, &RoleId { name: name.to_owned() }, None).await?;
        if let Some(before) = before {
            txn.remove::<RoleId>(&place.tenant, &RoleId::address(place.mount.id, &before.role_id)).await?;
        }
    }
    txn.put(&place.tenant, &named::address::<Role>(place.mount.id, name), role, None).await
}

async fn delete(name: &str, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    if let Some(role) = named::find::<Role>(name, place, txn).await? {
        named::remove::<Role>(name, place, txn).await?;
        txn.remove::<RoleId>(&place.tenant, &RoleId::address(place.mount.id, &role.role_id)).await?;
        RoleRemains::leave(&role.id, place, txn).await?;
    }
    Ok(Answer::Empty)
}

/// Changes a setting, or takes it back to what a new role has.
async fn write_setting(
    name: &str,
    setting: Setting,
    change: Option<Change>,
    place: &Place,
    txn: &mut Txn,
) -> Result<Answer, Refusal> {
    if setting == Setting::LocalSecretIds {
        return Err(Refusal::UnsupportedOperation);
    }
    let before = match (named::find::<Role>(name, place, txn).await?, &change) {
        (Some(before), _) => before,
        (None, None) => return Ok(Answer::Empty),
        (None, Some(_)) => return Err(Refusal::UnsupportedPath),
    };
    let (source, warnings) = match change {
        Some(change) => change.apply(Some(&before), txn.lease_ttl().at(&place.mount.config))?,
        None => (Role::new(), Vec::new()),
    };
    let mut after = Role::clone(&before);
    setting.take(&source, &mut after);
    after.check()?;
    store(name, Some(&before), &after, place, txn).await?;
    Ok(Answer::done(warnings))
}

async fn lookup(name: &str, which: &Which, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    let role = needed(name, place, txn).await?;
    match (secret_id::find(which, &role, place, txn).await?, which) {
        (Some(found), _) => Ok(Answer::data(found.value.json())),
        // Clients know an unknown secret id by an empty answer.
        (None, Which::Text(_)) => Ok(Answer::Empty),
        (None, Which::Accessor(accessor)) => {
            let data = Json::object(|data| {
                data.field("error", &no_accessor(accessor));
            });
            Ok(Answer::Data(Data { status: 404, ..Data::new(Some(data)) }))
        }
    }
}

async fn destroy(name: &str, which: &Which, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    let role = needed(name, place, txn).await?;
    match (secret_id::find(which, &role, place, txn).await?, which) {
        (Some(found), _) => secret_id::destroy(&found, &role, place, txn),
        (None, Which::Text(_)) => {}
        (None, Which::Accessor(accessor)) => return Err(Refusal::Invalid(no_accessor(accessor))),
    }
    Ok(Answer::Empty)
}

fn no_accessor(accessor: &str) -> String {
    format!("failed to find accessor entry for secret_id_accessor: {accessor:?}")
}
