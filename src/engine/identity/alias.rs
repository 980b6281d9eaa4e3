//! Aliases of entities: one name at one mount, and at most one alias of an entity at each mount.

use super::entity;
use super::last_login::LastLogin;
use super::operation::{AliasChange, By};
use super::record::{Entity, EntityAlias, Identified, Metadata, Names};
use super::show;
use crate::answer::{Answer, Refusal};
use crate::commit::{Place, Txn};
use crate::engine::directory;
use crate::json::Json;
use crate::random;
use crate::time::Timestamp;

/// The most aliases of one entity.
const ALIASES_MAX: usize = 256;

const TAKEN: &str = "Alias already exists for requested entity and mount accessor";

impl EntityAlias {
    pub(super) fn new(name: String, accessor: String, entity: &mut Entity, now: Timestamp) -> Self {
        let alias = Self {
            id: random::uuid(),
            name,
            entity: entity.id.clone(),
            accessor,
            metadata: None,
            custom_metadata: None,
            merged_from: Vec::new(),
            created: now,
            updated: now,
        };
        entity.aliases.push(alias.id.clone());
        alias
    }
}

pub(super) async fn write(change: AliasChange, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    let tenant = &place.tenant;
    let found = match (&change.id, &change.name, &change.accessor) {
        (Some(id), ..) => {
            let found = EntityAlias::find(txn, tenant, id).await?;
            Some(found.ok_or_else(|| Refusal::invalid("invalid alias ID provided"))?)
        }
        (None, Some(name), Some(accessor)) => match Names::Aliases(accessor).id(name, txn, tenant).await? {
            Some(id) => EntityAlias::find(txn, tenant, &id).await?,
            None => None,
        },
        _ => return Err(Refusal::invalid("'id' or 'mount_accessor' and 'name' must be provided")),
    };
    if let Some(accessor) = &change.accessor
        && directory::by_accessor(tenant, accessor, txn).await?.is_none()
    {
        return Err(Refusal::invalid(format!("invalid mount accessor {accessor:?}")));
    }
    match found {
        Some(alias) => update(alias, change, place, txn).await,
        None => create(change, place, txn).await,
    }
}

async fn create(change: AliasChange, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    let tenant = &place.tenant;
    let AliasChange { name: Some(name), accessor: Some(accessor), .. } = change else {
        return Err(Refusal::invalid("'id' or 'mount_accessor' and 'name' must be provided"));
    };
    let mut owner = match &change.entity {
        Some(id) => owner(id, &accessor, None, place, txn).await?,
        None => Entity::unnamed(txn, tenant).await?,
    };
    let mut alias = EntityAlias::new(name, accessor, &mut owner, txn.now());
    alias.custom_metadata = change.custom_metadata;
    Names::Aliases(&alias.accessor).take(&alias.name, &alias.id, txn, tenant).await?;
    alias.store(txn, tenant).await?;
    owner.store(txn, tenant).await?;
    Ok(shown(&alias))
}

/// The entity, if it may have one more alias at this mount; `own` is the alias that it may have there already.
async fn owner(id: &str, accessor: &str, own: Option<&str>, place: &Place, txn: &mut Txn) -> Result<Entity, Refusal> {
    let found = entity::find(&By::Id(id.to_owned()), txn, &place.tenant).await?;
    let entity = found.ok_or_else(|| Refusal::invalid("invalid canonical ID"))?;
    let others = entity.aliases(txn, &place.tenant).await?;
    if others.iter().any(|alias| alias.accessor == accessor && Some(alias.id.as_str()) != own) {
        return Err(Refusal::invalid(TAKEN));
    }
    if !others.iter().any(|alias| Some(alias.id.as_str()) == own) {
        refuse_one_more(&entity)?;
    }
    Ok(entity)
}

/// Refuses an entity that has as many aliases as one can have.
pub(super) fn refuse_one_more(entity: &Entity) -> Result<(), Refusal> {
    if entity.aliases.len() >= ALIASES_MAX {
        return Err(Refusal::invalid(format!("an entity has at most {ALIASES_MAX} aliases")));
    }
    Ok(())
}

async fn update(mut alias: EntityAlias, change: AliasChange, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    let tenant = &place.tenant;
    let name = change.name.unwrap_or_else(|| alias.name.clone());
    let accessor = change.accessor.unwrap_or_else(|| alias.accessor.clone());
    let entity = change.entity.unwrap_or_else(|| alias.entity.clone());
    let custom = change.custom_metadata.or_else(|| alias.custom_metadata.clone());
    let same = name == alias.name && accessor == alias.accessor && entity == alias.entity;
    if same && empty_or(custom.as_ref()) == empty_or(alias.custom_metadata.as_ref()) {
        return Ok(Answer::Empty);
    }
    let mut new_owner = owner(&entity, &accessor, Some(&alias.id), place, txn).await?;
    let holder = Names::Aliases(&accessor).id(&name, txn, tenant).await?;
    if holder.is_some_and(|holder| holder != alias.id) {
        return Err(Refusal::invalid("alias with combination of mount accessor and name already exists"));
    }
    Names::Aliases(&alias.accessor).free(&alias.name, txn, tenant).await?;
    Names::Aliases(&accessor).take(&name, &alias.id, txn, tenant).await?;
    if entity != alias.entity {
        if let Some(mut old) = Entity::find(txn, tenant, &alias.entity).await? {
            old.aliases.retain(|id| *id != alias.id);
            old.store(txn, tenant).await?;
        }
        new_owner.aliases.push(alias.id.clone());
        new_owner.store(txn, tenant).await?;
    }
    alias = EntityAlias { name, accessor, entity, custom_metadata: custom, updated: txn.now(), ..alias };
    alias.store(txn, tenant).await?;
    Ok(shown(&alias))
}

fn empty_or(metadata: Option<&Metadata>) -> Option<&Metadata> {
    metadata.filter(|metadata| !metadata.is_empty())
}

fn shown(alias: &EntityAlias) -> Answer {
    Answer::data(Json::object(|data| {
        data.field("canonical_id", &alias.entity).field("id", &alias.id);
    }))
}

pub(super) async fn read(id: &str, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    let Some(alias) = EntityAlias::find(txn, &place.tenant, id).await? else { return Err(Refusal::NotFound) };
    let mounts = directory::all(&place.tenant, txn).await?;
    let last = LastLogin::of(id, txn, &place.tenant).await?;
    Ok(Answer::data(show::alias(&alias, last.as_deref(), &mounts)))
}

pub(super) async fn delete(id: &str, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    let tenant = &place.tenant;
    let Some(alias) = EntityAlias::find(txn, tenant, id).await? else { return Ok(Answer::Empty) };
    if let Some(mut owner) = Entity::find(txn, tenant, &alias.entity).await? {
        owner.aliases.retain(|known| *known != alias.id);
        owner.store(txn, tenant).await?;
    }
    Names::Aliases(&alias.accessor).free(&alias.name, txn, tenant).await?;
    LastLogin::forget(&alias.id, txn, tenant);
    alias.drop_from(txn, tenant).await?;
    Ok(Answer::Empty)
}
