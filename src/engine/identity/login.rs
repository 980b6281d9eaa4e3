//! The door for auth methods: from what a mount calls somebody to an entity.

use std::sync::Arc;

use super::name::checked_alias;
use super::record::{Entity, EntityAlias, Group, GroupAlias, GroupKind, Identified, Names, join, leave};
use super::standing::resolve;
use crate::answer::Refusal;
use crate::commit::{Tenant, Txn};

/// Somebody who came in.
pub struct Entrant {
    /// Whom the token is to stand for.
    pub entity_id: String,
    /// What the mount calls it.
    pub alias_id: String,
    /// Ids of the groups that the entity is in itself, as they are after this login.
    pub groups: Vec<String>,
}

/// Finds the entity that the mount with `accessor` calls `name`, or makes it, with its alias: one per mount and name,
/// however many come in at the same moment. `claimed` are the names of the groups that the method says it is in: the
/// external groups with such an alias get it as a member, others with an alias of that mount lose it; `None` leaves all
/// as it is. `Forbidden` when the entity is disabled.
pub async fn login(
    txn: &mut Txn,
    tenant: &Arc<Tenant>,
    (accessor, name): (&str, &str),
    claimed: Option<&[String]>,
) -> Result<Entrant, Refusal> {
    let (mut entity, alias_id) = match Names::Aliases(accessor).id(name, txn, tenant).await? {
        Some(id) => (known(&id, txn, tenant).await?, id),
        None => newcomer(accessor, name, txn, tenant).await?,
    };
    if entity.disabled {
        return Err(Refusal::Forbidden("entity from given entity alias is disabled".to_owned()));
    }
    if let Some(claimed) = claimed {
        follow_claims(&mut entity, accessor, claimed, txn, tenant).await?;
    }
    Ok(Entrant { entity_id: entity.id, alias_id, groups: entity.groups })
}

/// The entity that the mount with `accessor` calls `name`, if it has called it that before.
pub async fn known_as(txn: &mut Txn, tenant: &Arc<Tenant>, (accessor, name): (&str, &str)) -> Result<Option<String>, Refusal> {
    match Names::Aliases(accessor).id(name, txn, tenant).await? {
        Some(id) => Ok(Some(known(&id, txn, tenant).await?.id)),
        None => Ok(None),
    }
}

async fn known(alias: &str, txn: &mut Txn, tenant: &Arc<Tenant>) -> Result<Entity, Refusal> {
    let found = match EntityAlias::find(txn, tenant, alias).await? {
        Some(alias) => resolve(&alias.entity, txn, tenant).await?,
        None => None,
    };
    found.map(|entity| Entity::clone(&entity)).ok_or_else(|| Refusal::Internal("an alias leads to nobody".to_owned()))
}

async fn newcomer(accessor: &str, name: &str, txn: &mut Txn, tenant: &Arc<Tenant>) -> Result<(Entity, String), Refusal> {
    let name = checked_alias(name.to_owned())?;
    let mut entity = Entity::unnamed(txn, tenant).await?;
    let alias = EntityAlias::new(name, accessor.to_owned(), &mut entity, txn.now());
    Names::Aliases(accessor).take(&alias.name, &alias.id, txn, tenant).await?;
    alias.store(txn, tenant).await?;
    entity.store(txn, tenant).await?;
    Ok((entity, alias.id))
}

async fn follow_claims(
    entity: &mut Entity,
    accessor: &str,
    claimed: &[String],
    txn: &mut Txn,
    tenant: &Arc<Tenant>,
) -> Result<(), Refusal> {
    let mut wanted = Vec::new();
    for name in claimed {
        let Some(id) = Names::GroupAliases(accessor).id(name, txn, tenant).await? else { continue };
        wanted.extend(GroupAlias::find(txn, tenant, &id).await?.map(|alias| alias.group));
    }
    let before = entity.groups.clone();
    for id in &before {
        let over = match Group::find(txn, tenant, id).await? {
            Some(group) => !wanted.contains(id) && is_of(&group, accessor, txn, tenant).await?,
            None => true,
        };
        if over {
            leave(txn, tenant, entity, id).await?;
        }
    }
    for id in &wanted {
        join(txn, tenant, entity, id).await?;
    }
    if entity.groups != before {
        entity.store(txn, tenant).await?;
    }
    Ok(())
}

/// Whether the members of a group are this mount's business.
async fn is_of(group: &Group, accessor: &str, txn: &mut Txn, tenant: &Arc<Tenant>) -> Result<bool, Refusal> {
    let (GroupKind::External, Some(alias)) = (group.kind, &group.alias) else { return Ok(false) };
    Ok(GroupAlias::find(txn, tenant, alias).await?.is_some_and(|alias| alias.accessor == accessor))
}
