//! Whose logs a request reads.

use std::sync::Arc;

use crate::answer::Refusal;
use crate::auth::Caller;
use crate::commit::{Place, Tenant, Txn};
use crate::engine::{directory, identity};
use crate::policy::{Ask, Capability};
use crate::record::{Kind, SYSTEM};

/// Most namespaces whose logs one search reads.
pub(super) const SOURCES_MAX: usize = 100;

/// One log.
pub(super) struct Source {
    pub(super) tenant: Arc<Tenant>,
    /// Its namespace, from the root on: empty or ending in a slash.
    pub(super) namespace: String,
    /// Below which event the archive has none any more; 0 when nobody asks for it.
    pub(super) expired: u64,
}

impl Source {
    /// The log of the request's namespace, or that of callers without a valid token.
    pub(super) fn of(place: &Place, caller: &Caller, edge: bool, txn: &Txn) -> Result<Self, Refusal> {
        let namespace = format!("{}{}", caller.namespace, caller.prefix);
        if !edge {
            return Ok(Self { tenant: Arc::clone(&place.tenant), namespace, expired: 0 });
        }
        if place.tenant.parent().is_some() {
            return Err(Refusal::invalid("edge is only available in the root namespace"));
        }
        Ok(Self { tenant: txn.tenants().edge(), namespace, expired: 0 })
    }

    /// What was deleted of its archive, if that is `asked` for.
    pub(super) async fn look_at_archive(&mut self, asked: bool, txn: &mut Txn) -> Result<(), Refusal> {
        if asked {
            self.expired = txn.archive_expired(&self.tenant).await?;
        }
        Ok(())
    }
}

/// Ids of the entities that auth mounts call so: by the subject of a JWT, the SPIFFE id of a certificate, the name of a user.
pub(super) async fn called(name: &str, tenant: &Arc<Tenant>, txn: &mut Txn) -> Result<Vec<String>, Refusal> {
    let mut ids = Vec::new();
    for mounted in directory::all(tenant, txn).await?.iter().filter(|mounted| mounted.mount.engine.is_auth_method()) {
        ids.extend(identity::known_as(txn, tenant, (&mounted.mount.accessor, name)).await?);
    }
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}

/// Adds the logs of all namespaces below, as far as the caller may read them. Those that are locked or sealed are left out.
pub(super) async fn add_children(
    sources: &mut Vec<Source>,
    place: &Place,
    caller: &Caller,
    txn: &mut Txn,
) -> Result<(), Refusal> {
    let mut waiting = vec![(Arc::clone(&place.tenant), String::new())];
    while let Some((parent, below)) = waiting.pop() {
        for name in txn.names(&parent, Kind::Namespace, SYSTEM, "").await?.iter() {
            let Some((tenant, namespace)) = opened(&parent, name, txn).await? else { continue };
            if namespace.lock.is_some() {
                continue;
            }
            let below = format!("{below}{name}/");
            let path = caller.policy_path(format!("{below}sys/audit-log"));
            if caller.acl.decide(&Ask::new(&path, Capability::Read)) {
                let namespace = format!("{}{}{below}", caller.namespace, caller.prefix);
                sources.push(Source { tenant: Arc::clone(&tenant), namespace, expired: 0 });
            }
            waiting.push((tenant, below));
            if sources.len() + waiting.len() > SOURCES_MAX {
                return Err(Refusal::Invalid(format!(
                    "there are more than {SOURCES_MAX} namespaces below: search fewer at a time"
                )));
            }
        }
    }
    Ok(())
}

async fn opened(
    parent: &Arc<Tenant>,
    name: &str,
    txn: &mut Txn,
) -> Result<Option<(Arc<Tenant>, Arc<crate::namespace::Namespace>)>, Refusal> {
    match txn.child(parent, name).await {
        Err(Refusal::NamespaceSealed | Refusal::RolledBack) => Ok(None),
        found => found,
    }
}
