//! Logging in with a role id and a secret id, and renewing what came of it.

use std::sync::Arc;

use super::operation::{Credentials, Which};
use super::role::{Role, RoleId};
use super::secret_id::{self, Found};
use crate::answer::{Answer, Refusal};
use crate::auth::login::{LoginCall, Proven, admit};
use crate::auth::named;
use crate::auth::parameters::TokenParameters;
use crate::auth::token::cidr::Cidr;
use crate::commit::{Place, Txn};
use crate::secret::SecretText;

/// The answer to every login that fails.
const FAILED: &str = "invalid role or secret ID";

/// Logs somebody in. A use of the secret id is counted only when everything else is right.
pub(super) async fn login(
    credentials: &Credentials,
    place: &Place,
    call: LoginCall<'_>,
    txn: &mut Txn,
) -> Result<Answer, Refusal> {
    let refusal = || Refusal::invalid(FAILED);
    let (name, role) = role_of(&credentials.role_id, place, txn).await?.ok_or_else(refusal)?;
    let comes_from = |blocks: &[Cidr]| blocks.is_empty() || blocks.iter().any(|block| block.contains(call.origin.address));
    if !comes_from(&role.secret_id_bound_cidrs) || !comes_from(&role.parameters.bound_cidrs.value) {
        return Err(refusal());
    }
    let mut metadata = std::collections::BTreeMap::new();
    let mut bound_cidrs = None;
    if role.bind_secret_id {
        let found = valid(&credentials.secret_id, &role, place, txn).await?.ok_or_else(refusal)?;
        if !comes_from(&found.value.cidr_list) {
            return Err(refusal());
        }
        secret_id::count_use(&found, &role, place, txn).await?;
        metadata.clone_from(&found.value.metadata);
        bound_cidrs = Some(found.value.token_bound_cidrs.clone()).filter(|bound| !bound.is_empty());
    }
    metadata.insert("role_name".to_owned(), name.clone());
    let proven = Proven {
        role: name,
        display_name: String::new(),
        alias: role.role_id.clone(),
        metadata,
        parameters: role.parameters.clone(),
        bound_cidrs,
        subject: None,
        groups: None,
        certificate: None,
        refusal: refusal(),
    };
    admit(proven, call, place, txn).await
}

async fn role_of(role_id: &SecretText, place: &Place, txn: &mut Txn) -> Result<Option<(String, Arc<Role>)>, Refusal> {
    let address = RoleId::address(place.mount.id, role_id.expose());
    let Some(found) = txn.read::<RoleId>(&place.tenant, &address).await? else { return Ok(None) };
    let name = found.value.name.clone();
    let role = txn.read::<Role>(&place.tenant, &named::address::<Role>(place.mount.id, &name)).await?;
    Ok(role.map(|role| (name, role.value)).filter(|(_, role)| role.role_id == role_id.expose()))
}

/// The secret id, as long as it promises no more than the role does now. One of before a restore may have been used or deleted since.
async fn valid(text: &SecretText, role: &Role, place: &Place, txn: &mut Txn) -> Result<Option<Found>, Refusal> {
    let which = Which::Text(SecretText::new(text.expose().to_owned()));
    let Some(found) = secret_id::find(&which, role, place, txn).await? else { return Ok(None) };
    if txn.is_of_before_restore(&place.tenant, found.value.created).await? {
        return Ok(None);
    }
    let within = secret_id::is_within(&found.value.cidr_list, &role.secret_id_bound_cidrs)
        && secret_id::is_within(&found.value.token_bound_cidrs, &role.parameters.bound_cidrs.value);
    Ok(Some(found).filter(|_| within))
}

/// What holds for the renewal of a token of a role, as the role is now. `Invalid` when it is gone.
pub async fn renew(name: &str, place: &Place, txn: &mut Txn) -> Result<TokenParameters, Refusal> {
    let found = txn.read::<Role>(&place.tenant, &named::address::<Role>(place.mount.id, name)).await?;
    let gone = || Refusal::invalid(format!("role {name:?} does not exist during renewal"));
    found.map(|found| found.value.parameters.clone()).ok_or_else(gone)
}
