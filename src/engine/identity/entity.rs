//! Entities: making, changing, finding and deleting them.

use std::sync::Arc;

use super::last_login::LastLogin;
use super::operation::{By, EntityChange, Lookup, Which};
use super::record::{Entity, EntityAlias, Identified, Names, leave};
use super::{mfa, show};
use crate::answer::{Answer, Refusal};
use crate::commit::{Place, Tenant, Txn};
use crate::json::Json;
use crate::random;
use crate::time::Timestamp;

impl Entity {
    /// One that nothing is known about but its name.
    pub(super) fn new(name: String, now: Timestamp) -> Self {
        Self {
            id: random::uuid(),
            name,
            policies: Vec::new(),
            metadata: None,
            disabled: false,
            aliases: Vec::new(),
            groups: Vec::new(),
            merged: Vec::new(),
            created: now,
            updated: now,
        }
    }

    /// Makes one that nobody has named, in this transaction. The caller stores it.
    pub(super) async fn unnamed(txn: &mut Txn, tenant: &Arc<Tenant>) -> Result<Self, Refusal> {
        let entity = Self::new(made_up("entity"), txn.now());
        Names::Entities.id(&entity.name, txn, tenant).await?;
        Names::Entities.take(&entity.name, &entity.id, txn, tenant).await?;
        Ok(entity)
    }

    /// Its aliases.
    pub(super) async fn aliases(&self, txn: &mut Txn, tenant: &Arc<Tenant>) -> Result<Vec<EntityAlias>, Refusal> {
        let mut aliases = Vec::with_capacity(self.aliases.len());
        for id in &self.aliases {
            aliases.extend(EntityAlias::find(txn, tenant, id).await?);
        }
        Ok(aliases)
    }
}

/// A name for what was made without one: 64 random bits, so it is free.
pub(super) fn made_up(what: &str) -> String {
    format!("{what}_{}", data_encoding::HEXLOWER.encode(&random::bytes::<8>()))
}

/// The entity that is meant, as it can be changed.
pub(super) async fn find(by: &By, txn: &mut Txn, tenant: &Arc<Tenant>) -> Result<Option<Entity>, Refusal> {
    match by {
        By::Id(id) => Entity::find(txn, tenant, id).await,
        By::Name(name) => match Names::Entities.id(name, txn, tenant).await? {
            Some(id) => Entity::find(txn, tenant, &id).await,
            None => Ok(None),
        },
    }
}

pub(super) async fn write(change: EntityChange, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    let tenant = &place.tenant;
    let (found, name) = match change.which {
        Which::Known(By::Id(id)) => {
            let found = Entity::find(txn, tenant, &id).await?;
            (Some(found.ok_or_else(|| Refusal::invalid("entity not found from id"))?), change.name)
        }
        Which::Known(by @ By::Name(_)) => {
            let found = find(&by, txn, tenant).await?;
            let By::Name(name) = by else { return Err(Refusal::NotFound) };
            (found, Some(name))
        }
        Which::New => (None, None),
    };
    let is_new = found.is_none();
    let mut entity = match (found, name) {
        (Some(mut entity), Some(name)) => {
            if entity.name != name {
                if !Names::Entities.rename((&entity.name, &name), &entity.id, txn, tenant).await? {
                    return Err(Refusal::invalid("entity name is already in use"));
                }
                entity.name = name;
            }
            entity
        }
        (Some(entity), None) => entity,
        (None, Some(name)) => {
            let entity = Entity::new(name, txn.now());
            Names::Entities.take(&entity.name, &entity.id, txn, tenant).await?;
            entity
        }
        (None, None) => Entity::unnamed(txn, tenant).await?,
    };
    if let Some(policies) = change.policies {
        entity.policies = policies;
    }
    if change.metadata.is_some() {
        entity.metadata = change.metadata;
    }
    if let Some(disabled) = change.disabled {
        entity.disabled = disabled;
    }
    entity.updated = txn.now();
    entity.store(txn, tenant).await?;
    if !is_new {
        return Ok(Answer::Empty);
    }
    Ok(Answer::data(Json::object(|data| {
        data.null("aliases").field("id", &entity.id).field("name", &entity.name);
    })))
}

pub(super) async fn read(by: &By, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    match find(by, txn, &place.tenant).await? {
        Some(entity) => show::entity(&entity, txn, &place.tenant).await.map(Answer::data),
        None => Err(Refusal::NotFound),
    }
}

pub(super) async fn delete(by: &By, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    if let Some(entity) = find(by, txn, &place.tenant).await? {
        remove(entity, txn, &place.tenant).await?;
    }
    Ok(Answer::Empty)
}

pub(super) async fn delete_many(ids: &[String], place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    for id in ids {
        if let Some(entity) = Entity::find(txn, &place.tenant, id).await? {
            remove(entity, txn, &place.tenant).await?;
        }
    }
    Ok(Answer::Empty)
}

/// Its aliases and memberships go with it, and the ids of what was merged into it mean nobody any more.
async fn remove(mut entity: Entity, txn: &mut Txn, tenant: &Arc<Tenant>) -> Result<(), Refusal> {
    for alias in entity.aliases(txn, tenant).await? {
        Names::Aliases(&alias.accessor).free(&alias.name, txn, tenant).await?;
        LastLogin::forget(&alias.id, txn, tenant);
        alias.drop_from(txn, tenant).await?;
    }
    for group in entity.groups.clone() {
        leave(txn, tenant, &mut entity, &group).await?;
    }
    for merged in &entity.merged {
        Names::Merged.free(merged, txn, tenant).await?;
    }
    forget(&entity, txn, tenant).await
}

/// Removes the rows that are the entity's alone.
pub(super) async fn forget(entity: &Entity, txn: &mut Txn, tenant: &Arc<Tenant>) -> Result<(), Refusal> {
    Names::Entities.free(&entity.name, txn, tenant).await?;
    mfa::forget(&entity.id, txn, tenant);
    entity.drop_from(txn, tenant).await
}

pub(super) async fn lookup(lookup: &Lookup, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    let tenant = &place.tenant;
    let found = match lookup {
        Lookup::By(by) => find(by, txn, tenant).await?,
        Lookup::AliasId(id) => match EntityAlias::find(txn, tenant, id).await? {
            Some(alias) => Entity::find(txn, tenant, &alias.entity).await?,
            None => None,
        },
        Lookup::Alias { name, accessor } => match Names::Aliases(accessor).id(name, txn, tenant).await? {
            Some(id) => match EntityAlias::find(txn, tenant, &id).await? {
                Some(alias) => Entity::find(txn, tenant, &alias.entity).await?,
                None => None,
            },
            None => None,
        },
    };
    match found {
        Some(entity) => show::entity(&entity, txn, tenant).await.map(Answer::data),
        None => Ok(Answer::Empty),
    }
}
