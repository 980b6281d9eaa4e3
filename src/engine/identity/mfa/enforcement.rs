//! Enforcements: which logins need a second factor, and which.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::group::ancestry;
use super::super::record::{Entity, Group, Identified};
use super::super::run::Asker;
use super::super::show::namespace_id;
use super::super::standing::resolve;
use super::method::{self, Method};
use super::operation::Scope;
use crate::answer::{Answer, Refusal};
use crate::commit::{Place, Tenant, Txn};
use crate::engine::directory;
use crate::engine::listing::Range;
use crate::json::{Json, Object};
use crate::mount::Engine;
use crate::random;
use crate::record::{Address, Kind, Listing, SYSTEM};

/// The most enforcements of a tenant: each login looks at all of them.
pub const ENFORCEMENTS_MAX: usize = 100;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Enforcement {
    /// A UUID.
    id: String,
    scope: Scope,
}

crate::json_record!(Enforcement, Kind::LoginEnforcement, Listing::Flat);

/// What a login has to show.
pub struct Demand {
    /// The name of the enforcement.
    pub name: String,
    /// Any of them.
    pub methods: Vec<Arc<Method>>,
}

/// What logins of an entity (by id) at a mount (accessor and type) have to show; nothing when the list is empty. A demand whose
/// methods are all gone is met by nothing.
pub async fn demands(
    txn: &mut Txn,
    tenant: &Arc<Tenant>,
    (accessor, mount_type): (&str, &str),
    entity_id: &str,
) -> Result<Vec<Demand>, Refusal> {
    let all = all(txn, tenant).await?;
    if all.is_empty() {
        return Ok(Vec::new());
    }
    let entity = resolve(entity_id, txn, tenant).await?;
    let entity_id = entity.as_ref().map_or(entity_id, |entity| &entity.id);
    // What is said about an entity holds for the one that it was merged into.
    let merged = entity.as_ref().map_or(&[][..], |entity| &entity.merged);
    let groups = match &entity {
        // In too many groups to tell: as if in all of them.
        Some(entity) => ancestry(&entity.groups, txn, tenant).await?,
        None => Some(Vec::new()),
    };
    let mut demands = Vec::new();
    for (name, enforcement) in all {
        let scope = &enforcement.scope;
        let of_group = match &groups {
            Some(groups) => groups.iter().any(|group| scope.groups.contains(&group.id)),
            None => !scope.groups.is_empty(),
        };
        let named = |list: &[String], text: &str| list.iter().any(|one| one == text);
        let of_mount = named(&scope.accessors, accessor) || named(&scope.types, mount_type);
        let of_entity = named(&scope.entities, entity_id) || merged.iter().any(|id| named(&scope.entities, id));
        if of_mount || of_group || of_entity {
            let mut methods = Vec::new();
            for id in &scope.methods {
                methods.extend(method::find(id, txn, tenant).await?);
            }
            demands.push(Demand { name, methods });
        }
    }
    Ok(demands)
}

/// The id of an enforcement that names a method.
pub(super) async fn using(method: &str, txn: &mut Txn, tenant: &Arc<Tenant>) -> Result<Option<String>, Refusal> {
    let all = all(txn, tenant).await?;
    let user = all.into_iter().find(|(_, enforcement)| enforcement.scope.methods.iter().any(|id| id == method));
    Ok(user.map(|(_, enforcement)| enforcement.id.clone()))
}

async fn all(txn: &mut Txn, tenant: &Arc<Tenant>) -> Result<Vec<(String, Arc<Enforcement>)>, Refusal> {
    let mut all = Vec::new();
    for name in txn.names(tenant, Kind::LoginEnforcement, SYSTEM, "").await?.iter() {
        all.extend(find(name, txn, tenant).await?.map(|enforcement| (name.to_string(), enforcement)));
    }
    Ok(all)
}

fn address(name: &str) -> Address {
    Address::system(Kind::LoginEnforcement, name)
}

async fn find(name: &str, txn: &mut Txn, tenant: &Arc<Tenant>) -> Result<Option<Arc<Enforcement>>, Refusal> {
    Ok(txn.read::<Enforcement>(tenant, &address(name)).await?.map(|found| found.value))
}

pub(super) async fn write(name: String, scope: Scope, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    let tenant = &place.tenant;
    check(&scope, txn, tenant).await?;
    let id = if let Some(before) = find(&name, txn, tenant).await? {
        before.id.clone()
    } else {
        if txn.names(tenant, Kind::LoginEnforcement, SYSTEM, "").await?.len() >= ENFORCEMENTS_MAX {
            return Err(Refusal::Invalid(format!("at most {ENFORCEMENTS_MAX} login enforcements")));
        }
        random::uuid()
    };
    txn.put(tenant, &address(&name), &Enforcement { id, scope }, None).await?;
    Ok(Answer::Empty)
}

/// Everything that it names is there: one that names nothing would hold for nobody.
async fn check(scope: &Scope, txn: &mut Txn, tenant: &Arc<Tenant>) -> Result<(), Refusal> {
    for id in &scope.methods {
        if method::find(id, txn, tenant).await?.is_none() {
            return Err(Refusal::invalid("one of the provided method ids doesn't exist"));
        }
    }
    let Scope { accessors, types, groups, entities, .. } = scope;
    if [accessors, types, groups, entities].into_iter().all(Vec::is_empty) {
        return Err(Refusal::invalid(
            "One of auth_method_accessors, auth_method_types, identity_group_ids, identity_entity_ids must be specified",
        ));
    }
    let mounts = if accessors.is_empty() { Vec::new() } else { directory::all(tenant, txn).await? };
    let known = |accessor: &String| mounts.iter().any(|at| at.mount.accessor == *accessor && at.mount.engine.is_auth_method());
    if !accessors.iter().all(known) {
        return Err(Refusal::invalid("one of the auth method accessors provided is invalid"));
    }
    if !types.iter().all(|name| Engine::LOGINS.iter().any(|engine| engine.type_name() == name)) {
        return Err(Refusal::invalid("one of the auth method types provided is invalid"));
    }
    for id in groups {
        if Group::find(txn, tenant, id).await?.is_none() {
            return Err(Refusal::invalid("one of the provided group ids doesn't exist"));
        }
    }
    for id in entities {
        if Entity::find(txn, tenant, id).await?.is_none() {
            return Err(Refusal::invalid("one of the provided entity ids doesn't exist"));
        }
    }
    Ok(())
}

impl Enforcement {
    fn show(&self, name: &str, data: &mut Object<'_>, tenant: &Tenant, namespace: &str) {
        data.strings("auth_method_accessors", &self.scope.accessors)
            .strings("auth_method_types", &self.scope.types)
            .field("id", &self.id)
            .strings("identity_entity_ids", &self.scope.entities)
            .strings("identity_group_ids", &self.scope.groups)
            .strings("mfa_method_ids", &self.scope.methods)
            .field("name", name)
            .field("namespace_id", &namespace_id(tenant))
            .field("namespace_path", namespace);
    }
}

pub(super) async fn read(name: &str, place: &Place, asker: &Asker<'_>, txn: &mut Txn) -> Result<Answer, Refusal> {
    let enforcement = find(name, txn, &place.tenant).await?.ok_or(Refusal::NotFound)?;
    Ok(Answer::data(Json::object(|data| enforcement.show(name, data, &place.tenant, asker.namespace))))
}

pub(super) async fn delete(name: &str, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    txn.remove::<Enforcement>(&place.tenant, &address(name)).await?;
    Ok(Answer::Empty)
}

pub(super) async fn list(range: &Range, place: &Place, asker: &Asker<'_>, txn: &mut Txn) -> Result<Answer, Refusal> {
    let tenant = &place.tenant;
    let names = txn.names(tenant, Kind::LoginEnforcement, SYSTEM, "").await?;
    let shown = range.of(&names, ENFORCEMENTS_MAX)?;
    let mut found = Vec::with_capacity(shown.len());
    for name in shown {
        found.extend(find(name, txn, tenant).await?.map(|enforcement| (name, enforcement)));
    }
    if found.is_empty() {
        return Err(Refusal::NotFound);
    }
    Ok(Answer::data(Json::object(|data| {
        data.object("key_info", |out| {
            for (name, enforcement) in &found {
                out.object(name, |data| enforcement.show(name, data, tenant, asker.namespace));
            }
        })
        .strings("keys", shown);
    })))
}
