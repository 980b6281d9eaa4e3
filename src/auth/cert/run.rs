//! Does what was asked of `auth/cert/`.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::config::CertConfig;
use super::crl;
use super::matching::{Matched, Wanted, config, matching};
use super::operation::Operation;
use super::role::{self, CertRole, ROLES_MAX};
use crate::answer::{Answer, Refusal};
use crate::auth::login::{LoginCall, Proven, admit, has_same_policies};
use crate::auth::name::canonical;
use crate::auth::named::{self, list};
use crate::auth::origin::Origin;
use crate::auth::parameters::TokenParameters;
use crate::auth::token::TokenEntry;
use crate::auth::token::cidr::may_come_from;
use crate::cert::{Crl, Identity};
use crate::commit::{Place, Txn};
use crate::engine::table::Call;
use crate::record::Kind;

/// What every login is answered that fails, whatever the reason.
const FAILED: &str = "invalid certificate or no client certificate supplied";

/// Runs one operation.
pub async fn run(operation: Operation, place: &Place, call: LoginCall<'_>, txn: &mut Txn) -> Result<Answer, Refusal> {
    match operation {
        Operation::Login(name) => login(name.as_deref(), place, call, txn).await,
        Operation::Roles(range) => list(Kind::CertRole, "", &range, place, txn).await,
        Operation::ReadRole(name) => read_role(&name, place, txn).await,
        Operation::WriteRole(name, change) => write_role(&name, *change, place, txn).await,
        Operation::DeleteRole(name) => {
            named::remove::<CertRole>(&name, place, txn).await?;
            Ok(Answer::Empty)
        }
        Operation::Crls(range) => list(Kind::CertCrl, "", &range, place, txn).await,
        Operation::ReadCrl(name) => crl::read(&name, place, txn).await,
        Operation::WriteCrl(name, list) => crl::write(&name, &list, place, txn).await,
        Operation::DeleteCrl(name) => crl::delete(&name, place, txn).await,
        Operation::ReadConfig => Ok(Answer::data(config(place, txn).await?.json())),
        Operation::WriteConfig(change) => {
            let config = change.apply(&*config(place, txn).await?);
            txn.put(&place.tenant, &CertConfig::address(place.mount.id), &config, None).await?;
            Ok(Answer::Empty)
        }
    }
}

/// Whether what a call names is there, for policies that tell making one from changing one.
pub async fn exists(place: &Place, call: &Call<'_>, txn: &mut Txn) -> Result<bool, Refusal> {
    let name = call.captures.get(0);
    if call.path.as_str().starts_with("crls/") {
        return txn.exists(&place.tenant, &named::address::<Crl>(place.mount.id, name)).await;
    }
    txn.exists(&place.tenant, &named::address::<CertRole>(place.mount.id, name)).await
}

/// What a renewal of a token that this method gave is granted by. Only on a connection with the certificate that it was
/// logged in with, and only while the role takes that.
pub async fn renew(
    role: &str,
    entry: &TokenEntry,
    place: &Place,
    origin: &Origin,
    txn: &mut Txn,
) -> Result<TokenParameters, Refusal> {
    let refused = || Refusal::invalid("client identity during renewal not matching client identity used during login");
    let shown = origin.presented.as_deref().ok_or_else(refused)?;
    let logged_in_with = entry.login.as_ref().and_then(|login| login.certificate);
    if logged_in_with.is_none() || logged_in_with != origin.certificate() {
        return Err(refused());
    }
    let matched = matching(shown, Wanted { name: Some(role), tokenless: false }, place, txn).await?;
    let matched = matched.into_iter().next().ok_or_else(refused)?;
    if !has_same_policies(entry, &matched.role.tokens) {
        return Err(Refusal::invalid("policies have changed, not renewing"));
    }
    Ok(matched.role.tokens.clone())
}

/// Removes what a disabled mount kept, some of it at a time; whether nothing is left.
pub async fn purge(place: &Place, limit: usize, txn: &mut Txn) -> Result<bool, Refusal> {
    let roles = named::remove_some::<CertRole>(place, limit, txn).await?;
    let left = limit.saturating_sub(roles);
    let lists = named::remove_some::<Crl>(place, left, txn).await?;
    txn.remove::<CertConfig>(&place.tenant, &CertConfig::address(place.mount.id)).await?;
    Ok(lists <= left && roles <= limit)
}

async fn login(name: Option<&str>, place: &Place, call: LoginCall<'_>, txn: &mut Txn) -> Result<Answer, Refusal> {
    let failed = || Refusal::invalid(FAILED);
    let shown = call.origin.presented.as_deref().ok_or_else(failed)?;
    let name = name.map(canonical).transpose().map_err(|_| failed())?;
    let matched = matching(shown, Wanted { name: name.as_deref(), tokenless: false }, place, txn).await?;
    let may_come = |matched: &Matched| may_come_from(&matched.role.tokens.bound_cidrs.value, call.origin.address);
    let mut may_come = matched.into_iter().filter(may_come);
    let (matched, identity) = may_come.next().zip(shown.identity()).ok_or_else(failed)?;
    let role = &matched.role;
    let proven = Proven {
        display_name: role.display_name().to_owned(),
        alias: alias(identity, shown.fingerprint()),
        metadata: metadata(&matched.name, role, identity),
        parameters: role.tokens.clone(),
        bound_cidrs: None,
        subject: None,
        groups: None,
        certificate: call.origin.certificate().filter(|_| role.binds_token),
        refusal: failed(),
        role: matched.name,
    };
    admit(proven, call, place, txn).await
}

/// What the mount calls the holder: the common name, else the first URI, else the certificate itself.
pub(super) fn alias(identity: &Identity, fingerprint: [u8; 32]) -> String {
    const BYTES_MAX: usize = 512;
    let names = identity.common_name.iter().chain(identity.uris.first());
    let fits = |name: &&String| !name.is_empty() && name.len() <= BYTES_MAX;
    names.clone().find(fits).cloned().unwrap_or_else(|| data_encoding::HEXLOWER.encode(&fingerprint))
}

fn metadata(name: &str, role: &CertRole, identity: &Identity) -> BTreeMap<String, String> {
    let common_name = identity.common_name.clone().unwrap_or_default();
    let own = [
        ("cert_name", name.to_owned()),
        ("common_name", common_name),
        ("serial_number", identity.serial.clone()),
        ("subject_key_id", identity.subject_key_id.clone()),
        ("authority_key_id", identity.authority_key_id.clone()),
    ];
    own.into_iter().map(|(key, value)| (key.to_owned(), value)).chain(role.metadata_extensions(identity)).collect()
}

async fn read_role(name: &str, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    let found = named::find::<CertRole>(name, place, txn).await?;
    found.map(|role| Answer::data(role.json())).ok_or(Refusal::NotFound)
}

async fn write_role(name: &str, change: role::Change, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    let address = named::address::<CertRole>(place.mount.id, name);
    let before = if let Some(found) = txn.read::<CertRole>(&place.tenant, &address).await? {
        found.value
    } else {
        let names = txn.names(&place.tenant, Kind::CertRole, place.mount.id, "").await?;
        if names.len() >= ROLES_MAX {
            return Err(Refusal::invalid(format!("at most {ROLES_MAX} roles")));
        }
        Arc::default()
    };
    let (role, warnings) = change.apply(name, &before, txn.lease_ttl().at(&place.mount.config))?;
    txn.put(&place.tenant, &address, &role, None).await?;
    Ok(Answer::done(warnings))
}
