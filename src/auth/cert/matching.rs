//! Which roles of a mount take a certificate.

use std::sync::Arc;

use super::config::CertConfig;
use super::crl;
use super::role::CertRole;
use crate::answer::Refusal;
use crate::auth::named;
use crate::cert::{Crl, Presented, Revocation};
use crate::commit::{Place, Txn};
use crate::record::Kind;

/// A role that takes a certificate.
pub(super) struct Matched {
    /// Its name.
    pub(super) name: String,
    /// The role.
    pub(super) role: Arc<CertRole>,
}

/// What is looked for.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    /// This role; any when there is none.
    pub(super) name: Option<&'a str>,
    /// Only roles that let in without a token.
    pub(super) tokenless: bool,
}

/// The roles that take what was shown, by name. Everything that this depends on is in the read-set, and so is the end of
/// the certificates that it rests on: the answer of the request holds no longer.
pub(super) async fn matching(
    shown: &Presented,
    wanted: Wanted<'_>,
    place: &Place,
    txn: &mut Txn,
) -> Result<Vec<Matched>, Refusal> {
    let Some(identity) = shown.identity() else { return Ok(Vec::new()) };
    if config(place, txn).await?.denies(shown.fingerprint()) {
        return Ok(Vec::new());
    }
    let mut candidates = candidates(wanted, place, txn).await?;
    // Names are cheap to compare, signatures are not.
    candidates.retain(|one| (one.role.tokenless || !wanted.tokenless) && one.role.allows(identity));
    if candidates.is_empty() {
        return Ok(candidates);
    }
    let lists = crl::all(place, txn).await?;
    let lists: Vec<&Crl> = lists.iter().map(|list| &**list).collect();
    let now = txn.now();
    let mut matched = Vec::new();
    for candidate in candidates {
        let revocation = Revocation { lists: &lists, demanded: candidate.role.require_crl };
        let Some(bundle) = candidate.role.bundle() else { continue };
        // An attempt that is repeated runs while others wait for it.
        let verify = async { Ok(bundle.verify(shown, &revocation, now)) };
        let verified = txn.once(bundle.name_of(shown, &revocation), verify).await?;
        if let Some(verified) = verified.as_ref().as_ref().filter(|verified| now <= verified.valid_until) {
            txn.relies_until(verified.valid_until);
            matched.push(candidate);
        }
    }
    Ok(matched)
}

/// The settings of a mount.
pub(super) async fn config(place: &Place, txn: &mut Txn) -> Result<Arc<CertConfig>, Refusal> {
    let found = txn.read::<CertConfig>(&place.tenant, &CertConfig::address(place.mount.id)).await?;
    Ok(found.map_or_else(Arc::default, |found| found.value))
}

async fn candidates(wanted: Wanted<'_>, place: &Place, txn: &mut Txn) -> Result<Vec<Matched>, Refusal> {
    let names: Vec<String> = if let Some(name) = wanted.name {
        vec![name.to_owned()]
    } else {
        let names = txn.names(&place.tenant, Kind::CertRole, place.mount.id, "").await?;
        names.iter().map(|name| String::from(&**name)).collect()
    };
    let mut candidates = Vec::with_capacity(names.len());
    for name in names {
        let found = txn.read::<CertRole>(&place.tenant, &named::address::<CertRole>(place.mount.id, &name)).await?;
        candidates.extend(found.map(|found| Matched { name, role: found.value }));
    }
    Ok(candidates)
}
