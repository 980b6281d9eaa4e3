//! Roles: what an identity token tells, for whom, how long, and which key signs it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::key;
use crate::answer::{Answer, Refusal};
use crate::commit::{Tenant, Txn};
use crate::engine::listing::Range;
use crate::json::Json;
use crate::random;
use crate::record::{Address, Kind, Listing, SYSTEM};

/// The most roles of a tenant.
pub const ROLES_MAX: usize = 1_000;

const DAY: u64 = 24 * 3600;

/// A role.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct OidcRole {
    pub(super) key: String,
    /// As it was written; empty for none.
    pub(super) template: String,
    pub(super) client_id: String,
    pub(super) ttl_seconds: u64,
}

crate::json_record!(OidcRole, Kind::OidcRole, Listing::Flat);

/// What a client writes about a role. `None` leaves a value as it is.
pub struct Change {
    pub(super) key: Option<String>,
    pub(super) template: Option<String>,
    pub(super) client_id: Option<String>,
    pub(super) ttl_seconds: Option<u64>,
}

pub(super) fn address(name: &str) -> Address {
    Address::system(Kind::OidcRole, name)
}

pub(super) async fn find(name: &str, tenant: &Arc<Tenant>, txn: &mut Txn) -> Result<Option<Arc<OidcRole>>, Refusal> {
    Ok(txn.read::<OidcRole>(tenant, &address(name)).await?.map(|found| found.value))
}

/// All roles with their names.
pub(super) async fn all(tenant: &Arc<Tenant>, txn: &mut Txn) -> Result<Vec<(String, Arc<OidcRole>)>, Refusal> {
    let mut roles = Vec::new();
    for name in txn.names(tenant, Kind::OidcRole, SYSTEM, "").await?.iter() {
        roles.extend(find(name, tenant, txn).await?.map(|role| (name.to_string(), role)));
    }
    Ok(roles)
}

/// The roles that use a key.
pub(super) async fn of_key(key: &str, tenant: &Arc<Tenant>, txn: &mut Txn) -> Result<Vec<(String, Arc<OidcRole>)>, Refusal> {
    Ok(all(tenant, txn).await?.into_iter().filter(|(_, role)| role.key == key).collect())
}

pub(super) async fn list(range: &Range, tenant: &Arc<Tenant>, txn: &mut Txn) -> Result<Answer, Refusal> {
    Answer::keys(range.of(&txn.names(tenant, Kind::OidcRole, SYSTEM, "").await?, ROLES_MAX)?)
}

pub(super) async fn read(name: &str, tenant: &Arc<Tenant>, txn: &mut Txn) -> Result<Answer, Refusal> {
    let role = find(name, tenant, txn).await?.ok_or(Refusal::NotFound)?;
    Ok(Answer::data(Json::object(|data| {
        data.field("client_id", &role.client_id)
            .field("key", &role.key)
            .field("template", &role.template)
            .field("ttl", &role.ttl_seconds);
    })))
}

pub(super) async fn write(name: &str, change: Change, tenant: &Arc<Tenant>, txn: &mut Txn) -> Result<Answer, Refusal> {
    let old = find(name, tenant, txn).await?;
    if old.is_none() && txn.names(tenant, Kind::OidcRole, SYSTEM, "").await?.len() >= ROLES_MAX {
        return Err(Refusal::invalid(format!("there are at most {ROLES_MAX} roles")));
    }
    let role = OidcRole {
        key: change
            .key
            .or_else(|| old.as_ref().map(|role| role.key.clone()))
            .ok_or_else(|| Refusal::invalid("the key parameter is required"))?,
        template: change.template.or_else(|| old.as_ref().map(|role| role.template.clone())).unwrap_or_default(),
        client_id: change
            .client_id
            .or_else(|| old.as_ref().map(|role| role.client_id.clone()))
            .unwrap_or_else(|| random::base62(26)),
        ttl_seconds: change.ttl_seconds.or(old.as_ref().map(|role| role.ttl_seconds)).unwrap_or(DAY),
    };
    let key = key::find_or_make(&role.key, tenant, txn).await?;
    let key = key.ok_or_else(|| Refusal::invalid(format!("cannot find key {:?}", role.key)))?;
    if role.ttl_seconds > key.settings.verification_seconds {
        return Err(Refusal::invalid("a role's token ttl cannot be longer than the verification_ttl of the key it references"));
    }
    txn.put(tenant, &address(name), &role, None).await?;
    Ok(Answer::Empty)
}

pub(super) async fn delete(name: &str, tenant: &Arc<Tenant>, txn: &mut Txn) -> Result<Answer, Refusal> {
    txn.remove::<OidcRole>(tenant, &address(name)).await?;
    Ok(Answer::Empty)
}
