//! Who asks without a token, on a connection with a client certificate: a role of the namespace's cert auth that says so.
//!
//! Nothing is stored for such a request. What it may do is worked out from the roles, revocation lists and settings of the
//! namespace's cert mounts, all of which are in its read-set, and kept until one of them changes or the certificate ends.

use std::net::IpAddr;
use std::sync::Arc;

use super::matching::{Matched, Wanted, matching};
use super::run::alias;
use crate::answer::Refusal;
use crate::auth::origin::{Fingerprint, Origin};
use crate::auth::token::cidr::may_come_from;
use crate::auth::token::entry::{Holder, TokenEntry};
use crate::auth::token::grant::policies_of_login;
use crate::auth::{Caller, policies};
use crate::cert::Presented;
use crate::commit::{Place, Tenant, Txn};
use crate::engine::{directory, identity};
use crate::mount::Engine;
use crate::policy::Acl;
use crate::secret::SecretText;

const AMBIGUOUS: &str = "more than one role takes the client certificate, and they grant different things: name one in \
                         X-Strongroom-Role (role, or mount/role)";

/// What a client sent instead of a token.
pub struct Shown<'a> {
    /// Its certificate.
    pub presented: &'a Presented,
    /// The role that it wants to be judged by: `role`, or `mount/role`.
    pub role: Option<&'a str>,
    /// The connection.
    pub origin: &'a Origin,
    /// Its address sends more than its share: only what is known already is used.
    pub hasty: bool,
}

/// What a role grants to whoever shows a certificate. One that is kept holds no tenant.
struct Grant {
    entry: Arc<TokenEntry>,
    acl: Arc<Acl>,
}

/// Who sends a request to `tenant`, which is at `namespace` (`a/b/`). `None` when no role of its cert mounts takes the
/// certificate without a token; `Forbidden` when several do, and grant different things.
pub async fn caller(
    txn: &mut Txn,
    (tenant, namespace): (&Arc<Tenant>, &str),
    shown: Shown<'_>,
) -> Result<Option<Caller>, Refusal> {
    let Some(grants) = grants(txn, tenant, &shown).await? else { return Ok(None) };
    let grant = one(&grants, shown.origin.address)?;
    txn.refuse_unconfirmed(tenant).await?;
    Ok(grant.map(|grant| Caller {
        tenant: Arc::clone(tenant),
        token: SecretText::new(String::new()),
        hash: String::new(),
        entry: Arc::clone(&grant.entry),
        released: false,
        origin: shown.origin.clone(),
        acl: Arc::clone(&grant.acl),
        chain: txn.tenants().chain(tenant).unwrap_or_else(|| vec![Arc::clone(tenant)]),
        namespace: namespace.to_owned(),
        prefix: String::new(),
    }))
}

/// The one that holds for this address.
fn one(grants: &[Grant], address: IpAddr) -> Result<Option<&Grant>, Refusal> {
    let mut may_come = grants.iter().filter(|grant| may_come_from(&grant.entry.bound_cidrs, address));
    let Some(first) = may_come.next() else { return Ok(None) };
    let same = |other: &Grant| (&other.entry.policies, &other.entry.entity_id) == (&first.entry.policies, &first.entry.entity_id);
    if may_come.all(same) { Ok(Some(first)) } else { Err(Refusal::Forbidden(AMBIGUOUS.to_owned())) }
}

async fn grants(txn: &mut Txn, tenant: &Arc<Tenant>, shown: &Shown<'_>) -> Result<Option<Arc<Vec<Grant>>>, Refusal> {
    // No token's text has a zero byte.
    let digest = data_encoding::HEXLOWER.encode(&shown.presented.digest());
    let name = tenant.keyring().token_hash(&format!("certificate\0{digest}\0{}", shown.role.unwrap_or_default()));
    if let Some(kept) = txn.recall(tenant, &name) {
        return Ok(Some(kept));
    }
    if shown.hasty {
        return Ok(None);
    }
    let mark = txn.mark(tenant);
    let mut grants = Vec::new();
    for mounted in directory::all(tenant, txn).await?.into_iter().filter(|mounted| mounted.mount.engine == Engine::Cert) {
        let place = Place { tenant: Arc::clone(tenant), mount: mounted.mount, path: mounted.path };
        let Some(name) = wanted_at(shown.role, &place) else { continue };
        for matched in matching(shown.presented, Wanted { name, tokenless: true }, &place, txn).await? {
            grants.extend(grant(txn, &place, &matched, shown.presented).await?);
        }
    }
    if grants.is_empty() {
        return Ok(None);
    }
    let grants = Arc::new(grants);
    txn.keep(tenant, name, &mark, &grants);
    Ok(Some(grants))
}

/// Which role of a mount is wanted, any if the inner one is `None`; the outer one is `None` when another mount is meant.
#[expect(clippy::option_option, reason = "no role named, and no role of this mount, are different things")]
fn wanted_at<'r>(role: Option<&'r str>, place: &Place) -> Option<Option<&'r str>> {
    match role.map(|role| role.rsplit_once('/').unwrap_or(("", role))) {
        None => Some(None),
        Some(("", role)) => Some(Some(role)),
        Some((mount, role)) => (place.path == format!("auth/{mount}/")).then_some(Some(role)),
    }
}

/// `None` when its holder's entity is disabled, or logins of its kind need a second factor.
async fn grant(txn: &mut Txn, place: &Place, matched: &Matched, presented: &Presented) -> Result<Option<Grant>, Refusal> {
    let Some(identity) = presented.identity() else { return Ok(None) };
    let tokens = &matched.role.tokens;
    let alias = alias(identity, presented.fingerprint());
    let entity_id = identity::known_as(txn, &place.tenant, (&place.mount.accessor, &alias)).await?.unwrap_or_default();
    // Who would have to show a second factor at a login is not let in without one here.
    let mount = (place.mount.accessor.as_str(), place.mount.engine.type_name());
    if !identity::mfa::demands(txn, &place.tenant, mount, &entity_id).await?.is_empty() {
        return Ok(None);
    }
    let holder = Holder {
        policies: policies_of_login(&tokens.policies.value, tokens.no_default_policy)?,
        display_name: format!("{}certs/{}", place.path, matched.name),
        entity_id,
        bound_cidrs: tokens.bound_cidrs.value.clone(),
        certificate: Fingerprint(presented.fingerprint()),
    };
    let entry = TokenEntry::of_holder(holder, txn.now());
    let Some(acl) = policies::of_token(txn, &place.tenant, &entry).await? else { return Ok(None) };
    Ok(Some(Grant { entry: Arc::new(entry), acl: Arc::new(acl) }))
}
