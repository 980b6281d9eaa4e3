//! Making a token for somebody who asks for one, with or without a role.

use std::sync::Arc;

use super::cidr::Cidr;
use super::entry::{Parent, TokenKind};
use super::grant::{Giver, matches_any, policies, policies_by_role};
use super::lifetime::Wish;
use super::mint::{NewToken, mint};
use super::operation::{Ask, AskedKind, Endpoint};
use super::role::{self, RoleKind, TokenRole};
use super::show::auth_json;
use crate::answer::{Answer, Refusal};
use crate::auth::{Caller, policies as stored};
use crate::commit::{Place, Txn};
use crate::engine::identity;

/// Runs `create`, `create-orphan` and `create/:role`.
pub(super) async fn create(ask: Ask, place: &Place, caller: &Caller, txn: &mut Txn) -> Result<Answer, Refusal> {
    if caller.entry.kind == TokenKind::Batch {
        return Err(Refusal::invalid("batch tokens cannot create more tokens"));
    }
    if caller.entry.uses_left.is_some() {
        return Err(Refusal::invalid("restricted use token cannot generate child tokens"));
    }
    let role = role_of(&ask, place, txn).await?;
    let path = format!("{}{}", place.path, ask.endpoint.path());
    let sudo = caller.has_sudo(&path);
    check_privileges(&ask, role.is_some(), sudo)?;
    let mut warnings = Vec::new();
    let kind = kind_of(ask.kind, role.as_deref());
    let names = names_of(&ask, role.as_deref(), caller, place, sudo)?;
    let uses = lesser(ask.uses.unwrap_or(0), role.as_ref().map_or(0, |role| role.uses));
    let mut wish = wish_of(&ask, role.as_deref(), &mut warnings);
    if kind == TokenKind::Batch {
        check_batch(&ask, &names, uses)?;
        // It cannot be renewed, so there is nothing that a period could mean.
        wish.period_seconds = 0;
    }
    let orphan = match (&ask.endpoint, role.as_deref()) {
        (Endpoint::Orphan, _) => true,
        (_, Some(role)) => role.orphan,
        (_, None) => ask.no_parent,
    };
    let parent = Parent { tenant: caller.tenant.id(), hash: caller.hash.clone() };
    let entity_id = entity_of(&ask, role.as_deref(), orphan, caller, place, txn).await?;
    // What was shown belongs to the entity: it goes down with it, as old as it is.
    let inherits = !orphan && !entity_id.is_empty() && entity_id == caller.entry.entity_id;
    let factors = if inherits { caller.entry.factors.clone() } else { Vec::new() };
    let new = NewToken {
        kind,
        chosen: ask.id,
        parent: (!orphan).then_some((parent, caller.entry.depth)),
        policies: names,
        meta: ask.meta,
        display_name: ask.display_name,
        path: match role.as_deref() {
            Some(role) if !role.path_suffix.is_empty() => format!("{path}/{}", role.path_suffix),
            _ => path,
        },
        bound_cidrs: cidrs_of(role.as_deref(), caller),
        // A token is not the way out of what its maker's is bound to.
        certificate: caller.entry.certificate,
        login: None,
        factors,
        role: ask.endpoint.role().map(str::to_owned),
        entity_id,
        limits: txn.lease_ttl().at(&place.mount.config),
        wish,
        uses: (uses > 0).then_some(uses),
        renewable: ask.renewable && role.as_ref().is_none_or(|role| role.renewable),
    };
    let minted = mint(txn, &place.tenant, new).await?;
    if minted.entry.expires.is_none() && caller.entry.expires.is_some() {
        return Err(Refusal::invalid("expiring root tokens cannot create non-expiring root tokens"));
    }
    warnings.extend(minted.warnings);
    for name in &minted.entry.policies {
        if !minted.entry.is_root() && stored::in_force(txn, &place.tenant, name).await?.is_none() {
            warnings.push(format!("Policy {name:?} does not exist"));
        }
    }
    let identity = identity::policies(txn, &place.tenant, &minted.entry.entity_id).await?;
    Ok(Answer::Auth { auth: auth_json(&minted.entry, &identity, Some(&minted.token), orphan), warnings })
}

async fn role_of(ask: &Ask, place: &Place, txn: &mut Txn) -> Result<Option<Arc<TokenRole>>, Refusal> {
    let Some(name) = ask.endpoint.role() else { return Ok(None) };
    let found = txn.read::<TokenRole>(&place.tenant, &role::address(name)).await?;
    let found = found.ok_or_else(|| Refusal::invalid(format!("unknown role {name}")))?;
    Ok(Some(found.value))
}

fn check_privileges(ask: &Ask, role: bool, sudo: bool) -> Result<(), Refusal> {
    let wanted = [
        (ask.id.is_some(), "specify token id"),
        // With a role it is the role that says whether it is one.
        (ask.no_parent && !role, "create orphan token"),
        (ask.wish.period_seconds > 0, "create periodic token"),
    ];
    match wanted.into_iter().find(|(asked, _)| *asked && !sudo) {
        Some((_, what)) => Err(Refusal::invalid(format!("root or sudo privileges required to {what}"))),
        None => Ok(()),
    }
}

fn kind_of(asked: Option<AskedKind>, role: Option<&TokenRole>) -> TokenKind {
    let asked = asked.map(|asked| match asked {
        AskedKind::Service => TokenKind::Service,
        AskedKind::Batch => TokenKind::Batch,
    });
    match role.map(|role| role.kind) {
        Some(RoleKind::Service) => TokenKind::Service,
        Some(RoleKind::Batch) => TokenKind::Batch,
        Some(RoleKind::DefaultBatch) => asked.unwrap_or(TokenKind::Batch),
        Some(RoleKind::DefaultService) | None => asked.unwrap_or(TokenKind::Service),
    }
}

fn names_of(ask: &Ask, role: Option<&TokenRole>, caller: &Caller, place: &Place, sudo: bool) -> Result<Vec<String>, Refusal> {
    let from_above = caller.tenant.id() != place.tenant.id();
    let giver = Giver { policies: &caller.entry.policies, sudo, from_above };
    let decline = ask.no_default_policy || role.is_some_and(|role| role.no_default_policy);
    match role {
        Some(role) => policies_by_role(&ask.policies, decline, role, giver),
        None => policies(&ask.policies, decline, giver),
    }
}

/// The stricter of what is asked for and what the role says.
fn wish_of(ask: &Ask, role: Option<&TokenRole>, warnings: &mut Vec<String>) -> Wish {
    let Some(role) = role else { return ask.wish };
    let mut stricter = |what: &str, asked: u64, role: u64| {
        let value = lesser(asked, role);
        if asked > 0 && role > 0 {
            warnings.push(format!(
                "{what} specified both during creation call and in role; using the lesser value of {value} seconds"
            ));
        }
        value
    };
    Wish {
        ttl_seconds: ask.wish.ttl_seconds,
        explicit_max_ttl_seconds: stricter("Explicit max TTL", ask.wish.explicit_max_ttl_seconds, role.explicit_max_ttl.value),
        period_seconds: stricter("Period", ask.wish.period_seconds, role.period.value),
    }
}

/// What a batch token cannot keep is refused, also where a role wants it.
fn check_batch(ask: &Ask, names: &[String], uses: u64) -> Result<(), Refusal> {
    let wrong = [
        (uses > 0, "num_uses"),
        (ask.wish.period_seconds > 0, "period"),
        (ask.wish.explicit_max_ttl_seconds > 0, "explicit_max_ttl"),
    ];
    if let Some((_, what)) = wrong.into_iter().find(|(wrong, _)| *wrong) {
        return Err(Refusal::invalid(format!("batch tokens cannot have {what:?} set")));
    }
    if names.iter().any(|name| name == super::entry::ROOT_POLICY) {
        return Err(Refusal::invalid("batch tokens cannot be root tokens"));
    }
    Ok(())
}

/// Whom the token is to stand for: the entity that this method calls by the alias, made if there is none; without an
/// alias that of the token above, as long as both are of one tenant.
async fn entity_of(
    ask: &Ask,
    role: Option<&TokenRole>,
    orphan: bool,
    caller: &Caller,
    place: &Place,
    txn: &mut Txn,
) -> Result<String, Refusal> {
    let Some(alias) = &ask.entity_alias else {
        let inherits = !orphan && caller.tenant.id() == place.tenant.id();
        return Ok(if inherits { caller.entry.entity_id.clone() } else { String::new() });
    };
    let Some(role) = role else {
        return Err(Refusal::invalid("'entity_alias' is only allowed in combination with token role"));
    };
    let allowed = role.allowed_entity_aliases.as_deref().unwrap_or_default();
    if !matches_any(allowed, &alias.to_lowercase()) {
        return Err(Refusal::invalid("invalid 'entity_alias' value"));
    }
    Ok(identity::login(txn, &place.tenant, (&place.mount.accessor, alias), None).await?.entity_id)
}

/// The role's addresses, or those of the maker's own token: a token is not the way out of them.
fn cidrs_of(role: Option<&TokenRole>, caller: &Caller) -> Vec<Cidr> {
    match role {
        Some(role) if role.strictly_bind_ip => vec![Cidr::of(caller.origin.address)],
        Some(role) if !role.bound_cidrs.value.is_empty() => role.bound_cidrs.value.clone(),
        _ => caller.entry.bound_cidrs.clone(),
    }
}

/// The lesser of two numbers of which 0 is none.
pub(super) fn lesser(a: u64, b: u64) -> u64 {
    match (a, b) {
        (0, other) | (other, 0) => other,
        (a, b) => a.min(b),
    }
}
