//! Doing what a JWT mount is asked for.

use super::config::{ClientSecret, Config, NewConfig};
use super::login::login;
use super::oidc;
use super::operation::Operation;
use super::role::{Change, Role};
use crate::answer::{Answer, Refusal};
use crate::auth::login::LoginCall;
use crate::auth::named::{self, list};
use crate::commit::{Place, Txn};
use crate::engine::table::Call;
use crate::record::Kind;
use crate::secret::SecretBytes;

/// Runs one operation.
pub async fn run(operation: Operation, place: &Place, call: LoginCall<'_>, txn: &mut Txn) -> Result<Answer, Refusal> {
    match operation {
        Operation::ReadConfig => {
            let found = txn.read::<Config>(&place.tenant, &Config::address(place.mount.id)).await?;
            Ok(Answer::data(found.ok_or(Refusal::NotFound)?.value.json()))
        }
        Operation::WriteConfig(new) => configure(*new, place, call, txn).await,
        Operation::Roles(range) => list(Kind::JwtRole, "", &range, place, txn).await,
        Operation::ReadRole(name) => {
            Ok(Answer::data(named::find::<Role>(&name, place, txn).await?.ok_or(Refusal::NotFound)?.json()))
        }
        Operation::WriteRole(name, change) => write(&name, *change, place, txn).await,
        Operation::DeleteRole(name) => {
            named::remove::<Role>(&name, place, txn).await?;
            Ok(Answer::Empty)
        }
        Operation::Login(role, token) => login(&role, &token, place, call, txn).await,
        Operation::Begin(begin) => oidc::begin(&begin, place, call, txn).await,
        Operation::End(end) => oidc::end(&end, place, call, txn).await,
    }
}

/// Whether a role or the configuration is there, for policies that tell making one from changing one.
pub async fn exists(place: &Place, call: &Call<'_>, txn: &mut Txn) -> Result<bool, Refusal> {
    named::exists::<Role>(place, call, txn).await
}

/// Removes up to `limit` roles of a disabled mount, and the configuration with the last. True when nothing is left but what
/// expires.
pub async fn purge(place: &Place, limit: usize, txn: &mut Txn) -> Result<bool, Refusal> {
    if named::remove_some::<Role>(place, limit, txn).await? > limit {
        return Ok(false);
    }
    txn.remove::<Config>(&place.tenant, &Config::address(place.mount.id)).await?;
    txn.remove::<ClientSecret>(&place.tenant, &ClientSecret::address(place.mount.id)).await?;
    Ok(true)
}

/// Writes the configuration, once what it leads to was fetched.
async fn configure(new: NewConfig, place: &Place, call: LoginCall<'_>, txn: &mut Txn) -> Result<Answer, Refusal> {
    if call.effort.may_begin() {
        call.issuers.check(&new.config.source, txn.now()).await?;
    }
    txn.put(&place.tenant, &Config::address(place.mount.id), &new.config, None).await?;
    let address = ClientSecret::address(place.mount.id);
    match new.client_secret {
        Some(secret) => {
            let secret = ClientSecret(SecretBytes::new(secret.expose().as_bytes().to_vec()));
            txn.put(&place.tenant, &address, &secret, None).await?;
        }
        None => txn.remove::<ClientSecret>(&place.tenant, &address).await?,
    }
    Ok(Answer::Empty)
}

async fn write(name: &str, change: Change, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    let before = named::find::<Role>(name, place, txn).await?;
    let (role, warnings) = change.apply(before.as_deref(), txn.lease_ttl().at(&place.mount.config))?;
    txn.put(&place.tenant, &named::address::<Role>(place.mount.id, name), &role, None).await?;
    Ok(Answer::done(warnings))
}
