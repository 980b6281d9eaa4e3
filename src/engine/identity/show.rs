//! How entities, groups and aliases are shown.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::group::ancestry;
use super::last_login::LastLogin;
use super::record::{Entity, EntityAlias, Group, GroupAlias, GroupKind, Identified, members};
use crate::answer::Refusal;
use crate::commit::{Tenant, Txn};
use crate::engine::directory::{self, Mounted};
use crate::json::{Json, Object};

/// What the API calls the tenant of an identity: the label, or `root`.
pub(super) fn namespace_id(tenant: &Tenant) -> String {
    Some(tenant.label()).filter(|label| !label.is_empty()).unwrap_or_else(|| "root".to_owned())
}

/// An entity with its aliases and groups.
pub(super) async fn entity(entity: &Entity, txn: &mut Txn, tenant: &Arc<Tenant>) -> Result<Json, Refusal> {
    let aliases = entity.aliases(txn, tenant).await?;
    let mounts = if aliases.is_empty() { Vec::new() } else { directory::all(tenant, txn).await? };
    let groups = ancestry(&entity.groups, txn, tenant).await?.unwrap_or_default();
    let all: Vec<&str> = groups.iter().map(|group| group.id.as_str()).collect();
    let own: BTreeSet<&str> = entity.groups.iter().map(String::as_str).collect();
    let (direct, inherited): (Vec<&str>, Vec<&str>) = all.iter().partition(|id| own.contains(**id));
    let aliases: Vec<Json> = aliases.iter().map(|own| alias(own, None, &mounts)).collect();
    Ok(Json::object(|data| {
        data.raw("aliases", list(&aliases).expose())
            .field("creation_time", &entity.created.rfc3339())
            .strings("direct_group_ids", &direct)
            .field("disabled", &entity.disabled)
            .strings("group_ids", &all)
            .field("id", &entity.id)
            .strings("inherited_group_ids", &inherited)
            .field("last_update_time", &entity.updated.rfc3339());
        some_or_null(data, "merged_entity_ids", &entity.merged);
        data.field("metadata", &entity.metadata)
            .field("name", &entity.name)
            .field("namespace_id", &namespace_id(tenant))
            .strings("policies", &entity.policies);
    }))
}

/// A list of JSON texts.
fn list(items: &[Json]) -> Json {
    let mut list = Json::list();
    for item in items {
        list.item(item);
    }
    list.close()
}

/// An empty list is `null`, as `OpenBao` has it here.
fn some_or_null(data: &mut Object<'_>, name: &str, values: &[impl AsRef<str>]) {
    if values.is_empty() {
        data.null(name);
    } else {
        data.strings(name, values);
    }
}

/// Path and type of a mount; empty for one that is not there any more.
pub(super) fn mount(data: &mut Object<'_>, accessor: &str, mounts: &[Mounted]) {
    let found = mounts.iter().find(|mounted| mounted.mount.accessor == accessor);
    data.field("mount_accessor", accessor)
        .field("mount_path", found.map_or("", |mounted| mounted.path.as_str()))
        .field("mount_type", found.map_or("", |mounted| mounted.mount.engine.type_name()));
}

/// An alias of an entity.
pub(super) fn alias(alias: &EntityAlias, last: Option<&LastLogin>, mounts: &[Mounted]) -> Json {
    Json::object(|data| {
        data.field("canonical_id", &alias.entity)
            .field("creation_time", &alias.created.rfc3339())
            .field("custom_metadata", &alias.custom_metadata)
            .field("id", &alias.id);
        if let Some(last) = last {
            last.show(data);
        }
        data.field("last_update_time", &alias.updated.rfc3339()).field("local", &false);
        some_or_null(data, "merged_from_canonical_ids", &alias.merged_from);
        data.field("metadata", &alias.metadata);
        mount(data, &alias.accessor, mounts);
        data.field("name", &alias.name);
    })
}

/// What a list tells about an alias of an entity.
pub(super) fn alias_info(alias: &EntityAlias, mounts: &[Mounted]) -> Json {
    Json::object(|data| {
        data.field("canonical_id", &alias.entity)
            .field("custom_metadata", &alias.custom_metadata)
            .field("local", &false)
            .field("metadata", &alias.metadata);
        mount(data, &alias.accessor, mounts);
        data.field("name", &alias.name);
    })
}

/// A group with its members.
pub(super) async fn group(group: &Group, txn: &mut Txn, tenant: &Arc<Tenant>) -> Result<Json, Refusal> {
    let entities = members(txn, tenant, &group.id).await?;
    let alias = match &group.alias {
        Some(id) => GroupAlias::find(txn, tenant, id).await?,
        None => None,
    };
    let mounts = if alias.is_some() { directory::all(tenant, txn).await? } else { Vec::new() };
    let alias = alias.map_or_else(|| Json::object(|_| {}), |alias| group_alias(&alias, &mounts));
    Ok(Json::object(|data| {
        data.raw("alias", alias.expose())
            .field("creation_time", &group.created.rfc3339())
            .field("id", &group.id)
            .field("last_update_time", &group.updated.rfc3339());
        some_or_null(data, "member_entity_ids", &entities);
        some_or_null(data, "member_group_ids", &group.members);
        data.field("metadata", &group.metadata)
            .field("modify_index", &group.changes)
            .field("name", &group.name)
            .field("namespace_id", &namespace_id(tenant));
        some_or_null(data, "parent_group_ids", &group.parents);
        some_or_null(data, "policies", &group.policies);
        data.field("type", if group.kind == GroupKind::External { "external" } else { "internal" });
    }))
}

/// An alias of a group.
pub(super) fn group_alias(alias: &GroupAlias, mounts: &[Mounted]) -> Json {
    Json::object(|data| {
        data.field("canonical_id", &alias.group)
            .field("creation_time", &alias.created.rfc3339())
            .field("id", &alias.id)
            .field("last_update_time", &alias.updated.rfc3339())
            .null("merged_from_canonical_ids")
            .null("metadata");
        mount(data, &alias.accessor, mounts);
        data.field("name", &alias.name);
    })
}

/// What a list tells about an alias of a group.
pub(super) fn group_alias_info(alias: &GroupAlias, mounts: &[Mounted]) -> Json {
    Json::object(|data| {
        data.field("canonical_id", &alias.group).null("custom_metadata").field("local", &false).null("metadata");
        mount(data, &alias.accessor, mounts);
        data.field("name", &alias.name);
    })
}
