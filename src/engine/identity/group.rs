//! Groups: making, changing, finding and deleting them. Groups may be in groups, never in themselves.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::entity::made_up;
use super::operation::{By, GroupChange, Lookup, Which};
use super::record::{Entity, Group, GroupAlias, GroupKind, Identified, Names, join, leave, members};
use super::show;
use crate::answer::{Answer, Refusal};
use crate::commit::{Place, Tenant, Txn};
use crate::json::Json;
use crate::random;
use crate::time::Timestamp;

/// The most groups in a group, and the most that a group is in.
pub(super) const MEMBER_GROUPS_MAX: usize = 256;

/// The most groups that are above one another or beside each other on the way up from one entity or group.
pub(super) const ANCESTORS_MAX: usize = 1_024;

impl Group {
    pub(super) fn new(name: String, kind: GroupKind, now: Timestamp) -> Self {
        Self {
            id: random::uuid(),
            name,
            kind,
            policies: Vec::new(),
            metadata: None,
            members: Vec::new(),
            parents: Vec::new(),
            alias: None,
            changes: 0,
            created: now,
            updated: now,
        }
    }

    /// Makes an external one that nobody has named, in this transaction. The caller stores it.
    pub(super) async fn unnamed(kind: GroupKind, txn: &mut Txn, tenant: &Arc<Tenant>) -> Result<Self, Refusal> {
        let group = Self::new(made_up("group"), kind, txn.now());
        Names::Groups.id(&group.name, txn, tenant).await?;
        Names::Groups.take(&group.name, &group.id, txn, tenant).await?;
        Ok(group)
    }

    /// Stores it as changed now.
    pub(super) async fn changed(&mut self, txn: &mut Txn, tenant: &Arc<Tenant>) -> Result<(), Refusal> {
        self.changes += 1;
        self.updated = txn.now();
        self.store(txn, tenant).await
    }
}

/// The groups `first` that are there, and all above them, each once, in the order in which they are met. `None` when
/// there are too many.
pub(super) async fn ancestry(first: &[String], txn: &mut Txn, tenant: &Arc<Tenant>) -> Result<Option<Vec<Arc<Group>>>, Refusal> {
    let mut seen: BTreeSet<String> = first.iter().cloned().collect();
    let mut ahead: Vec<String> = first.to_vec();
    let mut groups: Vec<Arc<Group>> = Vec::new();
    let mut at = 0;
    while let Some(id) = ahead.get(at).cloned() {
        at += 1;
        let Some(found) = txn.read::<Group>(tenant, &Group::address(&id)).await? else { continue };
        if groups.len() >= ANCESTORS_MAX {
            return Ok(None);
        }
        ahead.extend(found.value.parents.iter().filter(|parent| seen.insert((*parent).clone())).cloned());
        groups.push(found.value);
    }
    Ok(Some(groups))
}

async fn find(by: &By, txn: &mut Txn, tenant: &Arc<Tenant>) -> Result<Option<Group>, Refusal> {
    match by {
        By::Id(id) => Group::find(txn, tenant, id).await,
        By::Name(name) => match Names::Groups.id(name, txn, tenant).await? {
            Some(id) => Group::find(txn, tenant, &id).await,
            None => Ok(None),
        },
    }
}

pub(super) async fn write(change: GroupChange, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    let tenant = &place.tenant;
    let (found, name) = match &change.which {
        Which::Known(by @ By::Id(_)) => {
            let found = find(by, txn, tenant).await?;
            (Some(found.ok_or_else(|| Refusal::invalid("invalid group ID"))?), change.name.clone())
        }
        Which::Known(by @ By::Name(name)) => (find(by, txn, tenant).await?, Some(name.clone())),
        Which::New => (None, None),
    };
    let is_new = found.is_none();
    let kind = change.kind.unwrap_or(found.as_ref().map_or(GroupKind::Internal, |group| group.kind));
    if found.as_ref().is_some_and(|group| group.kind != kind) {
        return Err(Refusal::invalid("group type cannot be changed"));
    }
    if kind == GroupKind::External {
        if change.entities.is_some() {
            return Err(Refusal::invalid("member entities can't be set manually for external groups"));
        }
        if change.groups.is_some() {
            return Err(Refusal::invalid("member groups can't be set for external groups"));
        }
    }
    let mut group = named(found, name, kind, txn, tenant).await?;
    if let Some(policies) = change.policies {
        group.policies = policies;
    }
    if change.metadata.is_some() {
        group.metadata = change.metadata;
    }
    if let Some(entities) = change.entities {
        set_entities(&group, &entities, txn, tenant).await?;
    }
    if let Some(groups) = change.groups {
        set_groups(&mut group, &groups, txn, tenant).await?;
    }
    group.changed(txn, tenant).await?;
    if !is_new {
        return Ok(Answer::Empty);
    }
    Ok(Answer::data(Json::object(|data| {
        data.field("id", &group.id).field("name", &group.name);
    })))
}

/// The group under the name that it is to have.
async fn named(
    found: Option<Group>,
    name: Option<String>,
    kind: GroupKind,
    txn: &mut Txn,
    tenant: &Arc<Tenant>,
) -> Result<Group, Refusal> {
    match (found, name) {
        (Some(mut group), Some(name)) => {
            if group.name != name {
                if !Names::Groups.rename((&group.name, &name), &group.id, txn, tenant).await? {
                    return Err(Refusal::invalid("group name is already in use"));
                }
                group.name = name;
            }
            Ok(group)
        }
        (Some(group), None) => Ok(group),
        (None, Some(name)) => {
            let group = Group::new(name, kind, txn.now());
            Names::Groups.take(&group.name, &group.id, txn, tenant).await?;
            Ok(group)
        }
        (None, None) => Group::unnamed(kind, txn, tenant).await,
    }
}

/// Makes exactly these entities its members.
async fn set_entities(group: &Group, wanted: &[String], txn: &mut Txn, tenant: &Arc<Tenant>) -> Result<(), Refusal> {
    let wanted: BTreeSet<&str> = wanted.iter().map(String::as_str).collect();
    let before = members(txn, tenant, &group.id).await?;
    for id in before.iter().filter(|id| !wanted.contains(&***id)) {
        if let Some(mut entity) = Entity::find(txn, tenant, id).await? {
            leave(txn, tenant, &mut entity, &group.id).await?;
            entity.store(txn, tenant).await?;
        }
    }
    for id in wanted.into_iter().filter(|id| !before.iter().any(|known| **known == **id)) {
        let found = Entity::find(txn, tenant, id).await?;
        let mut entity = found.ok_or_else(|| Refusal::invalid(format!("invalid entity ID {id:?}")))?;
        join(txn, tenant, &mut entity, &group.id).await?;
        entity.store(txn, tenant).await?;
    }
    Ok(())
}

/// Makes exactly these groups its members.
async fn set_groups(group: &mut Group, wanted: &[String], txn: &mut Txn, tenant: &Arc<Tenant>) -> Result<(), Refusal> {
    let wanted: BTreeSet<&str> = wanted.iter().map(String::as_str).collect();
    if wanted.contains(group.id.as_str()) {
        return Err(Refusal::invalid(format!("member group ID {:?} is same as the ID of the group", group.id)));
    }
    let too_many = || Refusal::invalid(format!("a group has at most {MEMBER_GROUPS_MAX} groups in it and above it"));
    let above = ancestry(&group.parents, txn, tenant).await?.ok_or_else(too_many)?;
    for id in group.members.iter().filter(|id| !wanted.contains(id.as_str())) {
        if let Some(mut member) = Group::find(txn, tenant, id).await? {
            member.parents.retain(|parent| *parent != group.id);
            member.changed(txn, tenant).await?;
        }
    }
    for id in wanted.iter().filter(|id| !group.members.iter().any(|known| known == **id)) {
        if above.iter().any(|ancestor| ancestor.id == **id) {
            return Err(Refusal::invalid(format!("cyclic relationship detected for member group ID {id:?}")));
        }
        let found = Group::find(txn, tenant, id).await?;
        let mut member = found.ok_or_else(|| Refusal::invalid(format!("invalid member group ID {id:?}")))?;
        if member.parents.len() >= MEMBER_GROUPS_MAX {
            return Err(too_many());
        }
        member.parents.push(group.id.clone());
        member.changed(txn, tenant).await?;
    }
    group.members = wanted.into_iter().map(str::to_owned).collect();
    Ok(())
}

pub(super) async fn read(by: &By, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    match find(by, txn, &place.tenant).await? {
        Some(group) => show::group(&group, txn, &place.tenant).await.map(Answer::data),
        None => Err(Refusal::NotFound),
    }
}

pub(super) async fn delete(by: &By, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    let tenant = &place.tenant;
    let Some(group) = find(by, txn, tenant).await? else { return Ok(Answer::Empty) };
    for id in members(txn, tenant, &group.id).await?.iter() {
        if let Some(mut entity) = Entity::find(txn, tenant, id).await? {
            leave(txn, tenant, &mut entity, &group.id).await?;
            entity.store(txn, tenant).await?;
        }
    }
    for id in &group.members {
        if let Some(mut member) = Group::find(txn, tenant, id).await? {
            member.parents.retain(|parent| *parent != group.id);
            member.changed(txn, tenant).await?;
        }
    }
    for id in &group.parents {
        if let Some(mut parent) = Group::find(txn, tenant, id).await? {
            parent.members.retain(|member| *member != group.id);
            parent.changed(txn, tenant).await?;
        }
    }
    if let Some(alias) = &group.alias {
        super::group_alias::forget(alias, txn, tenant).await?;
    }
    Names::Groups.free(&group.name, txn, tenant).await?;
    group.drop_from(txn, tenant).await?;
    Ok(Answer::Empty)
}

pub(super) async fn lookup(lookup: &Lookup, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    let tenant = &place.tenant;
    let alias = match lookup {
        Lookup::By(by) => {
            return match find(by, txn, tenant).await? {
                Some(group) => show::group(&group, txn, tenant).await.map(Answer::data),
                None => Ok(Answer::Empty),
            };
        }
        Lookup::AliasId(id) => Some(id.clone()),
        Lookup::Alias { name, accessor } => Names::GroupAliases(accessor).id(name, txn, tenant).await?,
    };
    let Some(alias) = alias else { return Ok(Answer::Empty) };
    let Some(alias) = GroupAlias::find(txn, tenant, &alias).await? else { return Ok(Answer::Empty) };
    match Group::find(txn, tenant, &alias.group).await? {
        Some(group) => show::group(&group, txn, tenant).await.map(Answer::data),
        None => Ok(Answer::Empty),
    }
}
