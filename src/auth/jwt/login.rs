//! Logging in with a token, and renewing what came of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::config::Config;
use super::role::{Role, RoleType};
use super::validate;
use crate::answer::{Answer, Refusal};
use crate::auth::login::{LoginCall, Proven, admit};
use crate::auth::name::canonical;
use crate::auth::named;
use crate::auth::parameters::TokenParameters;
use crate::auth::signed::{Claims, Reason};
use crate::commit::{Place, Txn};
use crate::secret::SecretText;

/// The answer to every login that fails.
pub(super) const FAILED: &str = "the role or the token is not valid for this login, or the issuer's keys cannot be had";
/// The most groups, and the longest name of a user or group in bytes.
const GROUPS_MAX: usize = 1_000;
const NAME_BYTES_MAX: usize = 512;
/// The most that claims give to the notes of a token, in bytes.
const NOTES_BYTES_MAX: usize = 16 << 10;

/// Logs somebody in. The token is verified before anything is looked up that it is for.
pub(super) async fn login(
    role: &str,
    token: &SecretText,
    place: &Place,
    call: LoginCall<'_>,
    txn: &mut Txn,
) -> Result<Answer, Refusal> {
    match proven(role, token, place, call, txn).await? {
        Ok(proven) => admit(proven, call, place, txn).await,
        Err(reason) => Err(refused(reason, txn)),
    }
}

/// The one refusal; the log says why.
pub(super) fn refused(reason: Reason, txn: &mut Txn) -> Refusal {
    txn.note_detail(format!("login refused: {reason}"));
    Refusal::invalid(FAILED)
}

async fn proven(
    role: &str,
    token: &SecretText,
    place: &Place,
    call: LoginCall<'_>,
    txn: &mut Txn,
) -> Result<Result<Proven, Reason>, Refusal> {
    let Some(config) = txn.read::<Config>(&place.tenant, &Config::address(place.mount.id)).await? else {
        return Ok(Err("the mount is not configured"));
    };
    let config = config.value;
    let verified = call.issuers.verified(&config.source, token, &config.supported_algorithms, call.when(txn)).await;
    let (claims, issuer) = match verified {
        Ok(verified) => verified,
        Err(reason) => return Ok(Err(reason)),
    };
    let Ok(name) = canonical(if role.is_empty() { &config.default_role } else { role }) else {
        return Ok(Err("there is no such role"));
    };
    let found = txn.read::<Role>(&place.tenant, &named::address::<Role>(place.mount.id, &name)).await?;
    let Some(role) = found.map(|found| found.value).filter(|role| role.role_type == RoleType::Jwt) else {
        return Ok(Err("there is no such role"));
    };
    let bound = Some(config.bound_issuer.as_str()).filter(|bound| !bound.is_empty());
    let checked = validate::check(&claims, bound, &role, txn.now())
        .and_then(|()| validate::check(&claims, issuer.as_deref(), &role, txn.now()))
        .and_then(|()| validate::audience(&claims, &role))
        .and_then(|()| somebody(&claims, name, &role, call));
    Ok(checked)
}

/// Who a token is of, when it has all that the role binds.
pub(super) fn somebody(claims: &Claims, name: String, role: &Arc<Role>, call: LoginCall<'_>) -> Result<Proven, Reason> {
    let bound = &role.parameters.bound_cidrs.value;
    if !bound.is_empty() && !bound.iter().any(|block| block.contains(call.origin.address)) {
        return Err("it comes from another address");
    }
    validate::bound_claims(claims, role)?;
    // A name with a slash in front is a path only where the role says so.
    let literal = !role.user_claim_json_pointer;
    let user = if literal { claims.literal_text(&role.user_claim) } else { claims.text(&role.user_claim) };
    let user = user.filter(|user| is_name(user)).ok_or("the claim of the user is missing, or no name")?;
    let mut metadata: BTreeMap<String, String> =
        role.claim_mappings.iter().filter_map(|(claim, note)| Some((note.clone(), claims.note(claim)?))).collect();
    if metadata.iter().map(|(name, note)| name.len() + note.len()).sum::<usize>() > NOTES_BYTES_MAX {
        return Err("its notes are too long");
    }
    metadata.insert("role".to_owned(), name.clone());
    Ok(Proven {
        role: name,
        display_name: user.clone(),
        alias: user,
        metadata,
        parameters: role.parameters.clone(),
        bound_cidrs: None,
        subject: claims.literal_text("sub").filter(|subject| is_name(subject)),
        groups: groups(claims, role)?,
        certificate: None,
        refusal: Refusal::invalid(FAILED),
    })
}

fn groups(claims: &Claims, role: &Role) -> Result<Option<Vec<String>>, Reason> {
    if role.groups_claim.is_empty() {
        return Ok(None);
    }
    let groups = claims.texts(&role.groups_claim).map_err(|_| "the claim of groups is no list of texts")?;
    let groups = groups.ok_or("the claim of groups is missing")?;
    if groups.len() > GROUPS_MAX || groups.iter().any(|group| group.len() > NAME_BYTES_MAX) {
        return Err("there are too many groups, or the name of one is too long");
    }
    Ok(Some(groups.into_iter().filter(|group| is_name(group)).collect()))
}

fn is_name(text: &str) -> bool {
    !text.trim().is_empty() && text.len() <= NAME_BYTES_MAX && !text.chars().any(char::is_control)
}

/// What holds for the renewal of a token of a role, as the role is now. `Invalid` when it is gone.
pub async fn renew(name: &str, place: &Place, txn: &mut Txn) -> Result<TokenParameters, Refusal> {
    let found = txn.read::<Role>(&place.tenant, &named::address::<Role>(place.mount.id, name)).await?;
    let gone = || Refusal::invalid(format!("role {name:?} does not exist during renewal"));
    found.map(|found| found.value.parameters.clone()).ok_or_else(gone)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SecretBytes;

    #[test]
    fn a_token_has_so_many_groups_of_such_names_and_no_more() {
        let role = Role { groups_claim: "groups".to_owned(), ..Role::default() };
        for (count, bytes, taken) in
            [(GROUPS_MAX, 1, true), (GROUPS_MAX + 1, 1, false), (1, NAME_BYTES_MAX, true), (1, NAME_BYTES_MAX + 1, false)]
        {
            let names = vec![format!("\"{}\"", "g".repeat(bytes)); count].join(",");
            let claims = Claims::parse(&SecretBytes::new(format!("{{\"groups\":[{names}]}}").into_bytes())).unwrap();
            assert_eq!(groups(&claims, &role).is_ok(), taken, "{count} of {bytes} bytes");
        }
    }
}
