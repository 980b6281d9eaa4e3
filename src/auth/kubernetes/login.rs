//! Logging in with the token of a service account, and renewing what came of it.

use std::collections::BTreeMap;

use super::account::Account;
use super::config::Config;
use super::role::Role;
use crate::answer::{Answer, Refusal};
use crate::auth::login::{LoginCall, Proven, admit};
use crate::auth::name::canonical;
use crate::auth::named;
use crate::auth::parameters::TokenParameters;
use crate::auth::signed::{Claims, Leeways, Reason};
use crate::auth::token::cidr::may_come_from;
use crate::commit::{Place, Txn};
use crate::crypto::{SigningAlgorithm, VerifyingAlgorithm};
use crate::secret::SecretText;

/// How clusters sign.
const ALGORITHMS: [VerifyingAlgorithm; 6] = [
    VerifyingAlgorithm::As(SigningAlgorithm::Rs256),
    VerifyingAlgorithm::As(SigningAlgorithm::Rs384),
    VerifyingAlgorithm::As(SigningAlgorithm::Rs512),
    VerifyingAlgorithm::As(SigningAlgorithm::Es256),
    VerifyingAlgorithm::As(SigningAlgorithm::Es384),
    VerifyingAlgorithm::As(SigningAlgorithm::Es512),
];

/// Logs a service account in. The token is verified before anything is looked up that it is for.
pub(super) async fn login(
    role: &str,
    token: &SecretText,
    place: &Place,
    call: LoginCall<'_>,
    txn: &mut Txn,
) -> Result<Answer, Refusal> {
    match proven(role, token, place, call, txn).await? {
        Ok(proven) => admit(proven, call, place, txn).await,
        Err(reason) => {
            txn.note_detail(format!("login refused: {reason}"));
            Err(refused())
        }
    }
}

/// The one refusal.
fn refused() -> Refusal {
    Refusal::Forbidden("permission denied".to_owned())
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
    let verified = call.issuers.verified(&config.source, token, &ALGORITHMS, call.when(txn)).await;
    let account = verified.and_then(|(claims, discovered)| {
        of_cluster(&claims, config.issuer())?;
        of_cluster(&claims, discovered.as_deref())?;
        in_time(&claims, txn)?;
        Ok((Account::of(&claims)?, claims))
    });
    let (account, claims) = match account {
        Ok(found) => found,
        Err(reason) => return Ok(Err(reason)),
    };
    let Ok(name) = canonical(role) else { return Ok(Err("there is no such role")) };
    let Some(found) = txn.read::<Role>(&place.tenant, &named::address::<Role>(place.mount.id, &name)).await? else {
        return Ok(Err("there is no such role"));
    };
    let role = found.value;
    if let Err(reason) = role.check(&account, &claims) {
        return Ok(Err(reason));
    }
    if !may_come_from(&role.parameters.bound_cidrs.value, call.origin.address) {
        return Ok(Err("it comes from another address"));
    }
    Ok(Ok(somebody(&account, name, &role)))
}

fn of_cluster(claims: &Claims, issuer: Option<&str>) -> Result<(), Reason> {
    let is = |issuer: &str| claims.text("iss").as_deref() == Some(issuer);
    if issuer.is_none_or(is) { Ok(()) } else { Err("it is of another issuer") }
}

/// A token without an end could be ended by the cluster only, which is not asked.
fn in_time(claims: &Claims, txn: &Txn) -> Result<(), Reason> {
    if claims.seconds("exp").ok().flatten().is_none() {
        return Err("it has no end");
    }
    Leeways::default().check(claims, txn.now())
}

fn somebody(account: &Account, role_name: String, role: &Role) -> Proven {
    let metadata = [
        ("role", role_name.clone()),
        ("service_account_name", account.name.clone()),
        ("service_account_namespace", account.namespace.clone()),
        ("service_account_secret_name", String::new()),
        ("service_account_uid", account.uid.clone()),
    ];
    Proven {
        role: role_name,
        display_name: format!("{}-{}", account.namespace, account.name),
        alias: role.alias(account),
        metadata: BTreeMap::from(metadata.map(|(name, note)| (name.to_owned(), note))),
        parameters: role.parameters.clone(),
        bound_cidrs: None,
        subject: None,
        groups: None,
        certificate: None,
        refusal: refused(),
    }
}

/// What holds for the renewal of a token of a role, as the role is now. `Invalid` when it is gone.
pub async fn renew(name: &str, place: &Place, txn: &mut Txn) -> Result<TokenParameters, Refusal> {
    let found = txn.read::<Role>(&place.tenant, &named::address::<Role>(place.mount.id, name)).await?;
    let gone = || Refusal::invalid(format!("role {name:?} does not exist during renewal"));
    found.map(|found| found.value.parameters.clone()).ok_or_else(gone)
}
