//! Doing what the token method is asked for.

use std::sync::Arc;
use std::time::Duration;

use super::authenticate::{Known, by_accessor, by_text};
use super::entry::{Parent, TokenEntry, token_address};
use super::grant::{Giver, policies};
use super::lifetime::{Wish, grant};
use super::mint::{NewToken, mint};
use super::operation::{Ask, NAMES_MAX, Operation, Which};
use super::revoke::{release, revoke};
use super::show::{auth_json, lookup_json};
use crate::answer::{Answer, Data, Refusal};
use crate::auth::{Caller, policies as stored};
use crate::commit::{Place, Txn};
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
        Operation::Accessors(after, limit) => accessors(after.as_deref(), limit, place, txn).await,
    }
}

async fn create(ask: Ask, place: &Place, caller: &Caller, txn: &mut Txn) -> Result<Answer, Refusal> {
    if caller.entry.uses_left.is_some() {
        return Err(Refusal::invalid("restricted use token cannot generate child tokens"));
    }
    let path = format!("{}{}", place.path, ask.endpoint);
    let sudo = caller.has_sudo(&path);
    let from_above = caller.tenant.id() != place.tenant.id();
    let giver = Giver { policies: &caller.entry.policies, sudo, from_above };
    let names = policies(&ask.policies, ask.no_default_policy, giver)?;
    check_privileges(&ask, sudo)?;
    let orphan = ask.no_parent || ask.endpoint == "create-orphan";
    let parent = Parent { tenant: caller.tenant.id(), hash: caller.hash.clone() };
    let new = NewToken {
        chosen: ask.id,
        parent: (!orphan).then_some((parent, caller.entry.depth)),
        policies: names,
        meta: ask.meta,
        display_name: ask.display_name,
        path,
        limits: txn.lease_ttl().at(&place.mount.config),
        wish: ask.wish,
        uses: ask.uses,
        renewable: ask.renewable,
    };
    let minted = mint(txn, &place.tenant, new).await?;
    if minted.entry.expires.is_none() && caller.entry.expires.is_some() {
        return Err(Refusal::invalid("expiring root tokens cannot create non-expiring root tokens"));
    }
    let mut warnings = minted.warnings;
    for name in &minted.entry.policies {
        if !minted.entry.is_root() && stored::in_force(txn, &place.tenant, name).await?.is_none() {
            warnings.push(format!("Policy {name:?} does not exist"));
        }
    }
    Ok(Answer::Auth { auth: auth_json(&minted.entry, Some(&minted.token), orphan), warnings })
}

fn check_privileges(ask: &Ask, sudo: bool) -> Result<(), Refusal> {
    let wanted = [
        (ask.id.is_some(), "specify token id"),
        (ask.no_parent, "create orphan token"),
        (ask.wish.period_seconds > 0, "create periodic token"),
    ];
    match wanted.into_iter().find(|(asked, _)| *asked && !sudo) {
        Some((_, what)) => Err(Refusal::invalid(format!("root or sudo privileges required to {what}"))),
        None => Ok(()),
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
    Ok(Answer::data(lookup_json(&known, &namespace, text(which, caller), txn.now())))
}

async fn renew(which: &Which, increment_seconds: u64, place: &Place, caller: &Caller, txn: &mut Txn) -> Result<Answer, Refusal> {
    let known = match (find(which, place, caller, txn).await?, which) {
        (Some(known), _) => known,
        (None, Which::Accessor(_)) => return Err(Refusal::invalid("invalid accessor")),
        (None, _) => return Err(Refusal::invalid("token not found")),
    };
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
    let limits = txn.lease_ttl().at(&place.mount.config).at_most(old.max_ttl_seconds);
    let wish = Wish {
        ttl_seconds: if increment_seconds > 0 { increment_seconds } else { old.ttl_seconds },
        period_seconds: old.period_seconds,
        explicit_max_ttl_seconds: old.explicit_max_ttl_seconds,
    };
    let now = txn.now();
    let granted = grant(limits, wish, old.created, now).map_err(|error| Refusal::invalid(error.to_string()))?;
    let expires = Some(now.plus(Duration::from_secs(granted.ttl_seconds)));
    let entry = TokenEntry { expires, ttl_seconds: granted.ttl_seconds, renewed: Some(now), ..TokenEntry::clone(&old) };
    txn.put(&known.tenant, &address, &entry, expires).await?;
    let orphan = entry.parent.is_none() || known.released;
    Ok(Answer::Auth { auth: auth_json(&entry, text(which, caller), orphan), warnings: granted.warnings })
}

async fn end(which: &Which, place: &Place, caller: &Caller, txn: &mut Txn) -> Result<Answer, Refusal> {
    match (find(which, place, caller, txn).await?, which) {
        (Some(known), _) => revoke(txn, &known).await?,
        (None, Which::Accessor(_)) => {
            let warnings = vec!["No token found with this accessor".to_owned()];
            return Ok(Answer::Data(Data { warnings, ..Data::new(None) }));
        }
        (None, _) => {}
    }
    Ok(Answer::Empty)
}

async fn end_alone(text: SecretText, place: &Place, caller: &Caller, txn: &mut Txn) -> Result<Answer, Refusal> {
    if !caller.has_sudo(&format!("{}revoke-orphan", place.path)) {
        return Err(Refusal::invalid("root or sudo privileges required to revoke and orphan"));
    }
    let Some(known) = find(&Which::Text(text), place, caller, txn).await? else {
        return Err(Refusal::invalid("token to revoke not found"));
    };
    release(txn, &known).await?;
    Ok(Answer::Empty)
}

async fn accessors(after: Option<&str>, limit: Option<usize>, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    let names = txn.names(&place.tenant, Kind::TokenAccessor, SYSTEM, "").await?;
    let start = after.map_or(0, |after| names.partition_point(|name| &**name <= after));
    let rest = names.get(start..).unwrap_or_default();
    let shown = limit.map_or(rest, |limit| rest.get(..limit).unwrap_or(rest));
    if shown.len() > NAMES_MAX {
        return Err(Refusal::invalid(format!("more than {NAMES_MAX} accessors: ask with after and limit")));
    }
    Answer::keys(shown)
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
