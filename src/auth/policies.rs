//! The policies of a tenant as they stand: what somebody wrote, else what is shipped.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use crate::answer::Refusal;
use crate::auth::token::entry::{ROOT_POLICY, TokenEntry};
use crate::commit::{Tenant, Txn};
use crate::engine::identity::{self, mfa};
use crate::policy::shipped::{ALL, Shipped, WRAPPING};
use crate::policy::{Acl, Identity, Policy, PolicyRecord};
use crate::record::{Address, Kind};

/// The shipped policies, compiled once. A test of theirs compiles each.
static SHIPPED: LazyLock<BTreeMap<&str, Arc<Policy>>> = LazyLock::new(|| {
    let compiled = |shipped: &'static Shipped| Some((shipped.name, Arc::new(Policy::parse(shipped.name, shipped.text).ok()?)));
    ALL.iter().chain([&WRAPPING]).filter_map(compiled).collect()
});

/// Where the policy with this name is; `name` is in lower case.
pub fn address(name: &str) -> Address {
    Address::system(Kind::Policy, name)
}

/// The policy in force under `name`; `None` when there is none, which is remembered like any other read.
/// `root` is not a policy with rules, so it is `None` here.
pub async fn in_force(txn: &mut Txn, tenant: &Arc<Tenant>, name: &str) -> Result<Option<Arc<Policy>>, Refusal> {
    let fixed = name == WRAPPING.name;
    if !fixed && let Some(found) = txn.read::<PolicyRecord>(tenant, &address(name)).await? {
        return Ok(Some(Arc::clone(found.value.policy())));
    }
    Ok(shipped(name))
}

/// What is shipped under `name`, and in force where nobody has written another.
pub fn shipped(name: &str) -> Option<Arc<Policy>> {
    SHIPPED.get(name).map(Arc::clone)
}

/// What a token of this tenant may do: by its own policies, and by those of the entity that it stands for and of that
/// entity's groups, as they are now. `None` when the entity is disabled or not there: the token is refused then.
pub async fn of_token(txn: &mut Txn, tenant: &Arc<Tenant>, entry: &TokenEntry) -> Result<Option<Acl>, Refusal> {
    if entry.entity_id.is_empty() {
        return acl(txn, tenant, &entry.policies, &Identity::default()).await.map(Some);
    }
    let Some(standing) = identity::standing(txn, tenant, &entry.entity_id).await? else { return Ok(None) };
    let mut names = standing.policies();
    names.extend(entry.policies.iter().cloned());
    names.sort_unstable();
    names.dedup();
    let mut identity = standing.identity();
    // By the method's id and by its name: policies use either.
    for (method, time) in mfa::has(txn, tenant, &standing.entity.id, &entry.factors).await? {
        identity.has_shown(method.id.as_str(), time);
        identity.has_shown(method.name.as_str(), time);
    }
    acl(txn, tenant, &names, &identity).await.map(Some)
}

/// What the named policies of a tenant allow together to whom `identity` describes. Names without a policy allow nothing.
async fn acl(txn: &mut Txn, tenant: &Arc<Tenant>, names: &[String], identity: &Identity) -> Result<Acl, Refusal> {
    if names.iter().any(|name| name == ROOT_POLICY) {
        return Ok(Acl::root());
    }
    let mut policies = Vec::with_capacity(names.len());
    for name in names {
        policies.extend(in_force(txn, tenant, name).await?);
    }
    let acl = Acl::new(policies, identity, txn.now());
    if let Some(at) = acl.valid_until() {
        txn.relies_until(at);
    }
    if let Some(template) = acl.broken_template() {
        tracing::warn!(template, "a policy has a template without a value for its caller: nothing is granted");
    }
    Ok(acl)
}
