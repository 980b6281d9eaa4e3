//! Doing what the token method is asked for.

use std::sync::Arc;
use std::time::Duration;

use super::authenticate::{Known, by_accessor, by_text};
use super::create::{create, lesser};
use super::entry::{TokenEntry, TokenKind, token_address};
use super::epoch;
use super::lifetime::{Wish, grant};
use super::operation::{NAMES_MAX, Operation, Which};
use super::revoke::{release, revoke};
use super::role::{self, TokenRole};
use super::show::{auth_json, lookup_json};
use crate::answer::{Answer, Refusal};
use crate::auth::{Caller, login};
use crate::commit::{Place, Txn};
use crate::engine::identity;
use crate::engine::listing::Range;
use crate::engine::table::Call;
use crate::record::{Kind, SYSTEM};
use crate::secret::SecretText;

/// Runs one operation of `auth/token/` in the tenant of `place`, for `caller`.
pub async fn run(operation: Operation, place: &Place, caller: &Caller, txn: &mut Txn) -> Result<Answer, Refusal> {
    match operation {
        Operation::Create(ask) => create(*ask, place, caller, txn).await,
        Operation::Lookup(which) => lookup(&which, place, caller, txn).await,
        Operation::Renew(which, increment_seconds) => renew(&which, increment_seconds, place, caller, txn).await,
        Operation::Revoke(which) => end(&which, place, caller, txn).await,
        Operation::RevokeOrphan(text) => end_alone(text, place, caller, txn).await,
        Operation::RevokeBatches => epoch::end_batches(txn, &place.tenant).await.map(|()| Answer::Empty),
        Operation::Tidy => Ok(tidy(txn)),
        Operation::Accessors(range) => list(Kind::TokenAccessor, &range, place, txn).await,
        Operation::Roles(range) => list(Kind::TokenRole, &range, place, txn).await,
        Operation::ReadRole(name) => read_role(&name, place, txn).await,
        Operation::WriteRole(name, change) => write_role(&name, *change, place, txn).await,
        Operation::DeleteRole(name) => {
            txn.remove::<TokenRole>(&place.tenant, &role::address(&name)).await.map(|()| Answer::Empty)
        }
    }
}

async fn lookup(which: &Which, place: &Place, caller: &Caller, txn: &mut Txn) -> Result<Answer, Refusal> {
    let known = match (find(which, place, caller, txn).await?, which) {
        (Some(known), _) => known,
        (None, Which::Accessor(_)) => return Err(Refusal::invalid("invalid accessor")),
        (None, _) => return Err(Refusal::Forbidden("bad token".to_owned())),
    };
    let mut namespace = caller.namespace.clone();
    if known.tenant.id() != caller.tenant.id() {
        namespace.push_str(&caller.prefix);
    }
    let identity = identity::policies(txn, &known.tenant, &known.entry.entity_id).await?;
    Ok(Answer::data(lookup_json(&known, &identity, &namespace, text(which, caller), txn.now())))
}

async fn renew(which: &Which, increment_seconds: u64, place: &Place, caller: &Caller, txn: &mut Txn) -> Result<Answer, Refusal> {
    let known = match (find(which, place, caller, txn).await?, which) {
        (Some(known), _) => known,
        (None, Which::Accessor(_)) => return Err(Refusal::invalid("invalid accessor")),
        (None, _) => return Err(Refusal::invalid("token not found")),
    };
    if known.entry.kind == TokenKind::Batch {
        return Err(Refusal::invalid("batch tokens cannot be renewed"));
    }
    let address = token_address(&known.hash);
    // Read again: a caller at its last use is gone already, and must not come back.
    let Some(found) = txn.read::<TokenEntry>(&known.tenant, &address).await? else {
        return Err(Refusal::invalid("token not found"));
    };
    let old = found.value;
    if old.expires.is_none() {
        return Err(Refusal::invalid("invalid lease ID"));
    }
    if !old.renewable {
        return Err(Refusal::invalid("lease is not renewable"));
    }
    let role = role_of(&old, &known, txn).await?;
    // Whoever gave it decides: the method that it was logged in with, or this one.
    let (limits, usual_ttl, period) = if let Some(terms) = login::renewal(&old, &known.tenant, &caller.origin, txn).await? {
        (terms.limits, terms.ttl_seconds, terms.period_seconds)
    } else {
        let limits = txn.lease_ttl().at(&place.mount.config).at_most(old.max_ttl_seconds);
        (limits, old.ttl_seconds, old.period_seconds)
    };
    let wish = Wish {
        ttl_seconds: if increment_seconds > 0 { increment_seconds } else { usual_ttl },
        // A role that has changed holds for its tokens from their next renewal on.
        period_seconds: role.as_ref().map(|role| role.period.value).filter(|period| *period > 0).unwrap_or(period),
        explicit_max_ttl_seconds: lesser(
            old.explicit_max_ttl_seconds,
            role.as_ref().map_or(0, |role| role.explicit_max_ttl.value),
        ),
    };
    let now = txn.now();
    let granted = grant(limits, wish, old.created, now).map_err(|error| Refusal::invalid(error.to_string()))?;
    let expires = Some(now.plus(Duration::from_secs(granted.ttl_seconds)));
    let entry = TokenEntry { expires, ttl_seconds: granted.ttl_seconds, renewed: Some(now), ..TokenEntry::clone(&old) };
    txn.put(&known.tenant, &address, &entry, expires).await?;
    let orphan = entry.parent.is_none() || known.released;
    let identity = identity::policies(txn, &known.tenant, &entry.entity_id).await?;
    Ok(Answer::Auth { auth: auth_json(&entry, &identity, text(which, caller), orphan), warnings: granted.warnings })
}

async fn role_of(entry: &TokenEntry, known: &Known, txn: &mut Txn) -> Result<Option<Arc<TokenRole>>, Refusal> {
    let Some(name) = &entry.role else { return Ok(None) };
    let found = txn.read::<TokenRole>(&known.tenant, &role::address(name)).await?;
    let missing = || Refusal::invalid(format!("original token role {name:?} could not be found, not renewing"));
    found.map(|found| Some(found.value)).ok_or_else(missing)
}

async fn end(which: &Which, place: &Place, caller: &Caller, txn: &mut Txn) -> Result<Answer, Refusal> {
    match (find(which, place, caller, txn).await?, which) {
        (Some(known), _) => revoke(txn, &stored(known)?).await?,
        (None, Which::Accessor(_)) => {
            let warnings = vec!["No token found with this accessor".to_owned()];
            return Ok(Answer::done(warnings));
        }
        (None, _) => {}
    }
    Ok(Answer::Empty)
}

/// A token that can be ended by itself.
fn stored(known: Known) -> Result<Known, Refusal> {
    if known.entry.kind == TokenKind::Batch {
        return Err(Refusal::invalid("batch tokens cannot be revoked"));
    }
    Ok(known)
}

async fn end_alone(text: SecretText, place: &Place, caller: &Caller, txn: &mut Txn) -> Result<Answer, Refusal> {
    if !caller.has_sudo(&format!("{}revoke-orphan", place.path)) {
        return Err(Refusal::invalid("root or sudo privileges required to revoke and orphan"));
    }
    let Some(known) = find(&Which::Text(text), place, caller, txn).await? else {
        return Err(Refusal::invalid("token to revoke not found"));
    };
    release(txn, &stored(known)?).await?;
    Ok(Answer::Empty)
}

/// Whether a role is there, for policies that tell making one from changing one.
pub async fn exists(place: &Place, call: &Call<'_>, txn: &mut Txn) -> Result<bool, Refusal> {
    txn.exists(&place.tenant, &role::address(call.captures.get(0))).await
}

async fn read_role(name: &str, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    let found = txn.read::<TokenRole>(&place.tenant, &role::address(name)).await?;
    found.map(|found| Answer::data(found.value.json(name))).ok_or(Refusal::NotFound)
}

async fn write_role(name: &str, change: role::Change, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    let address = role::address(name);
    let before = txn.read::<TokenRole>(&place.tenant, &address).await?.map_or_else(Arc::default, |found| found.value);
    let (role, warnings) = change.apply(&before, txn.lease_ttl().at(&place.mount.config))?;
    txn.put(&place.tenant, &address, &role, None).await?;
    Ok(Answer::done(warnings))
}

/// Dead tokens are looked for all the time; this has the jobs look at all of them at once.
fn tidy(txn: &mut Txn) -> Answer {
    txn.wake_jobs(true);
    let warning = "Tidy operation successfully started. Any information from the operation will be printed to the server's logs.";
    Answer::Accepted { warnings: vec![warning.to_owned()] }
}

async fn list(kind: Kind, range: &Range, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    let names = txn.names(&place.tenant, kind, SYSTEM, "").await?;
    Answer::keys(range.of(&names, NAMES_MAX)?)
}

/// The live token that is meant. Only tokens of the request's own tenant are found, and the caller's own wherever
/// it belongs to: a token of another tenant is as unknown as one that is not there.
async fn find(which: &Which, place: &Place, caller: &Caller, txn: &mut Txn) -> Result<Option<Known>, Refusal> {
    match which {
        Which::Caller => Ok(Some(own(caller))),
        Which::Text(text) if caller.is_own(text) => Ok(Some(own(caller))),
        Which::Text(text) => by_text(txn, &caller.chain, &place.tenant, text).await,
        Which::Accessor(accessor) => by_accessor(txn, &caller.chain, &place.tenant, accessor).await,
    }
}

fn own(caller: &Caller) -> Known {
    Known {
        tenant: Arc::clone(&caller.tenant),
        hash: caller.hash.clone(),
        entry: Arc::clone(&caller.entry),
        released: caller.released,
    }
}

/// The text of the token, if the client named it.
fn text<'a>(which: &'a Which, caller: &'a Caller) -> Option<&'a SecretText> {
    match which {
        Which::Caller => Some(&caller.token),
        Which::Text(text) => Some(text),
        Which::Accessor(_) => None,
    }
}
