//! Aliases of external groups: what a method calls a group. An external group has at most one.

use std::sync::Arc;

use super::operation::AliasChange;
use super::record::{Group, GroupAlias, GroupKind, Identified, Names};
use super::show;
use crate::answer::{Answer, Refusal};
use crate::commit::{Place, Tenant, Txn};
use crate::engine::directory;
use crate::json::Json;
use crate::random;

pub(super) async fn write(change: AliasChange, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    let tenant = &place.tenant;
    let before = match &change.id {
        Some(id) => {
            let found = GroupAlias::find(txn, tenant, id).await?;
            Some(found.ok_or_else(|| Refusal::invalid("invalid group alias ID"))?)
        }
        None => None,
    };
    let name = change.name.or_else(|| before.as_ref().map(|alias| alias.name.clone()));
    let name = name.ok_or_else(|| Refusal::invalid("missing alias name"))?;
    let accessor = change.accessor.or_else(|| before.as_ref().map(|alias| alias.accessor.clone()));
    let accessor = accessor.ok_or_else(|| Refusal::invalid("missing mount_accessor"))?;
    if directory::by_accessor(tenant, &accessor, txn).await?.is_none() {
        return Err(Refusal::invalid(format!("invalid mount accessor {accessor:?}")));
    }
    let holder = Names::GroupAliases(&accessor).id(&name, txn, tenant).await?;
    if holder.is_some() && holder.as_ref() != before.as_ref().map(|alias| &alias.id) {
        return Err(Refusal::invalid("combination of mount and group alias name is already in use"));
    }
    let mut group = match change.entity.as_ref().or(before.as_ref().map(|alias| &alias.group)) {
        Some(id) => {
            let found = Group::find(txn, tenant, id).await?;
            found.ok_or_else(|| Refusal::invalid("invalid group ID given in 'canonical_id'"))?
        }
        None => Group::unnamed(GroupKind::External, txn, tenant).await?,
    };
    if group.kind == GroupKind::Internal {
        return Err(Refusal::invalid("alias can't be set on an internal group"));
    }
    if let Some(before) = &before {
        detach(before, &group, txn, tenant).await?;
    }
    // What the group was called until now is over.
    if let Some(old) = group.alias.take().filter(|old| before.as_ref().is_none_or(|before| before.id != *old)) {
        forget(&old, txn, tenant).await?;
    }
    let now = txn.now();
    let (id, created) = before.map_or_else(|| (random::uuid(), now), |alias| (alias.id, alias.created));
    let alias = GroupAlias { id, name, group: group.id.clone(), accessor, created, updated: now };
    Names::GroupAliases(&alias.accessor).take(&alias.name, &alias.id, txn, tenant).await?;
    alias.store(txn, tenant).await?;
    group.alias = Some(alias.id.clone());
    group.changed(txn, tenant).await?;
    Ok(Answer::data(Json::object(|data| {
        data.field("canonical_id", &alias.group).field("id", &alias.id);
    })))
}

/// Takes the alias away from its name, and from its group if that is not `new`.
async fn detach(alias: &GroupAlias, new: &Group, txn: &mut Txn, tenant: &Arc<Tenant>) -> Result<(), Refusal> {
    Names::GroupAliases(&alias.accessor).free(&alias.name, txn, tenant).await?;
    if alias.group != new.id
        && let Some(mut old) = Group::find(txn, tenant, &alias.group).await?
    {
        old.alias = None;
        old.changed(txn, tenant).await?;
    }
    Ok(())
}

/// Removes the rows of an alias; its group is the caller's business.
pub(super) async fn forget(id: &str, txn: &mut Txn, tenant: &Arc<Tenant>) -> Result<(), Refusal> {
    let Some(alias) = GroupAlias::find(txn, tenant, id).await? else { return Ok(()) };
    Names::GroupAliases(&alias.accessor).free(&alias.name, txn, tenant).await?;
    alias.drop_from(txn, tenant).await
}

pub(super) async fn read(id: &str, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    let Some(alias) = GroupAlias::find(txn, &place.tenant, id).await? else { return Err(Refusal::NotFound) };
    let mounts = directory::all(&place.tenant, txn).await?;
    Ok(Answer::data(show::group_alias(&alias, &mounts)))
}

pub(super) async fn delete(id: &str, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    let tenant = &place.tenant;
    let Some(alias) = GroupAlias::find(txn, tenant, id).await? else { return Ok(Answer::Empty) };
    if let Some(mut group) = Group::find(txn, tenant, &alias.group).await? {
        group.alias = None;
        group.changed(txn, tenant).await?;
    }
    forget(id, txn, tenant).await?;
    Ok(Answer::Empty)
}
