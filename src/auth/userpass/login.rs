//! Logging in with a name and a password, and renewing what came of it.

use std::collections::BTreeMap;

use super::failed::{FailedLogins, unlock};
use super::user::User;
use crate::answer::{Answer, Refusal};
use crate::auth::login::{LoginCall, Proven, admit, has_same_policies};
use crate::auth::named;
use crate::auth::parameters::TokenParameters;
use crate::auth::token::entry::TokenEntry;
use crate::commit::{Place, Txn};
use crate::secret::SecretText;

/// The answer to every login that fails: of an unknown user, with a wrong password, of one that is locked, from a wrong place.
const FAILED: &str = "invalid username or password";

/// Logs somebody in. Whatever is wrong, one hash is made before anything is decided.
pub(super) async fn login(
    name: &str,
    password: &SecretText,
    place: &Place,
    call: LoginCall<'_>,
    txn: &mut Txn,
) -> Result<Answer, Refusal> {
    let address = named::address::<User>(place.mount.id, name);
    let user = txn.read::<User>(&place.tenant, &address).await?.map(|found| found.value);
    let failed = FailedLogins::of(name, place, txn).await?;
    let verdict = call.effort.check(user.as_ref().map(|user| &user.password), password).await?;
    if failed.as_ref().is_some_and(|failed| failed.locks(place.mount.config.lockout(), txn.now())) {
        return Err(Refusal::invalid(FAILED));
    }
    let bound = user.as_ref().map(|user| &user.parameters.bound_cidrs.value);
    let from_there = bound.is_none_or(|bound| bound.is_empty() || bound.iter().any(|block| block.contains(call.origin.address)));
    let Some(user) = user.filter(|_| verdict.right && from_there) else {
        FailedLogins::count(failed.as_deref(), name, place, txn).await?;
        return Err(Refusal::invalid(FAILED));
    };
    if failed.is_some() {
        unlock(name, place.mount.id, &place.tenant, txn);
    }
    if let Some(better) = &verdict.better {
        let password = better.duplicate();
        txn.put(&place.tenant, &address, &User { password, parameters: user.parameters.clone() }, None).await?;
    }
    let proven = Proven {
        role: name.to_owned(),
        display_name: name.to_owned(),
        alias: name.to_owned(),
        metadata: BTreeMap::from([("username".to_owned(), name.to_owned())]),
        parameters: user.parameters.clone(),
        bound_cidrs: None,
        subject: None,
        groups: None,
        certificate: None,
        refusal: Refusal::invalid(FAILED),
    };
    admit(proven, call, place, txn).await
}

/// What holds for the renewal of a user's token, as the user is now. `Invalid` when the user is gone, or has other policies.
pub async fn renew(name: &str, entry: &TokenEntry, place: &Place, txn: &mut Txn) -> Result<TokenParameters, Refusal> {
    let found = txn.read::<User>(&place.tenant, &named::address::<User>(place.mount.id, name)).await?;
    let user = found.ok_or_else(|| Refusal::invalid("the user does not exist any more, not renewing"))?.value;
    if !has_same_policies(entry, &user.parameters) {
        return Err(Refusal::invalid("policies have changed, not renewing"));
    }
    Ok(user.parameters.clone())
}
