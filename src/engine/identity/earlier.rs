//! What entities and groups were at an earlier time, for whoever reviews access.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::group::ANCESTORS_MAX;
use super::record::{Entity, EntityAlias, Group, Identified, Names};
use super::standing::Standing;
use crate::answer::Refusal;
use crate::commit::past::Known;
use crate::commit::{Tenant, Txn};
use crate::record::{Kind, SYSTEM};
use crate::time::Timestamp;

/// What an entity was.
pub enum Stood {
    /// This, and whether it is known since when.
    As(Standing, bool),
    /// It was not there, or disabled, or in too many groups to tell what it may do: its tokens were refused.
    Out,
    /// That is not kept any more.
    Forgotten,
}

/// Groups at some time.
#[derive(Default)]
pub struct EarlierGroups {
    /// Those that are known, and whether it is known since when they were so.
    pub groups: Vec<(Group, bool)>,
    /// Ids of those of which it is not known what they were.
    pub forgotten: Vec<String>,
}

/// Ids of the entities that are there; with a time, also of those that were there once.
pub async fn ids_as_of(txn: &mut Txn, tenant: &Arc<Tenant>, at: Option<Timestamp>) -> Result<Vec<Box<str>>, Refusal> {
    txn.names_of(tenant, Kind::Entity, SYSTEM, at.is_some()).await
}

/// What the entity with this id was at a time, or is now, with all that belonged to it.
pub async fn standing_as_of(txn: &mut Txn, tenant: &Arc<Tenant>, id: &str, at: Option<Timestamp>) -> Result<Stood, Refusal> {
    let (entity, mut sure) = match entity(id, txn, tenant, at).await? {
        Known::Was(entity) => (entity, true),
        // It tells itself when it was made.
        Known::First(entity) if at.is_some_and(|at| entity.created > at) => return Ok(Stood::Out),
        Known::First(entity) => (entity, false),
        Known::Absent => return Ok(Stood::Out),
        Known::Forgotten => return Ok(Stood::Forgotten),
    };
    if entity.disabled {
        return Ok(Stood::Out);
    }
    let mut aliases = Vec::with_capacity(entity.aliases.len());
    for id in &entity.aliases {
        let alias = txn.as_of::<EntityAlias, EntityAlias>(tenant, &EntityAlias::address(id), "", at).await?;
        sure &= !matches!(alias, Known::First(_) | Known::Forgotten);
        aliases.extend(alias.into_value().map(|(alias, _)| alias));
    }
    let mut seen: BTreeSet<String> = entity.groups.iter().cloned().collect();
    let mut ahead = entity.groups.clone();
    let mut groups: Vec<Arc<Group>> = Vec::new();
    while let Some(id) = ahead.pop() {
        let group = txn.as_of::<Group, Group>(tenant, &Group::address(&id), "", at).await?;
        sure &= !matches!(group, Known::First(_) | Known::Forgotten);
        let Some((group, _)) = group.into_value() else { continue };
        if groups.len() >= ANCESTORS_MAX {
            return Ok(Stood::Out);
        }
        ahead.extend(group.parents.iter().filter(|parent| seen.insert((*parent).clone())).cloned());
        groups.push(Arc::new(group));
    }
    Ok(Stood::As(Standing { entity: Arc::new(entity), groups, aliases }, sure))
}

/// The entity with this id, or the one that it had been merged into.
async fn entity(id: &str, txn: &mut Txn, tenant: &Arc<Tenant>, at: Option<Timestamp>) -> Result<Known<Entity>, Refusal> {
    let found = txn.as_of::<Entity, Entity>(tenant, &Entity::address(id), "", at).await?;
    if !matches!(found, Known::Absent) {
        return Ok(found);
    }
    match Names::Merged.id(id, txn, tenant).await? {
        Some(id) => txn.as_of::<Entity, Entity>(tenant, &Entity::address(&id), "", at).await,
        None => Ok(Known::Absent),
    }
}

/// The groups that a tenant had at a time, or has now, at most `limit`.
pub async fn groups_as_of(
    txn: &mut Txn,
    tenant: &Arc<Tenant>,
    at: Option<Timestamp>,
    limit: usize,
) -> Result<EarlierGroups, Refusal> {
    let mut earlier = EarlierGroups::default();
    for id in txn.names_of(tenant, Kind::Group, SYSTEM, at.is_some()).await?.iter().take(limit) {
        match txn.as_of::<Group, Group>(tenant, &Group::address(id), "", at).await? {
            Known::Was(group) => earlier.groups.push((group, true)),
            Known::First(group) if at.is_none_or(|at| group.created <= at) => earlier.groups.push((group, false)),
            Known::First(_) | Known::Absent => {}
            Known::Forgotten => earlier.forgotten.push(id.to_string()),
        }
    }
    Ok(earlier)
}
