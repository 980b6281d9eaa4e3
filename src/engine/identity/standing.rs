//! What an entity is for whoever holds a token that stands for it.

use std::sync::Arc;

use super::group::ancestry;
use super::record::{Entity, EntityAlias, Group, Identified, Metadata, Names};
use crate::answer::Refusal;
use crate::commit::{Tenant, Txn};
use crate::policy::Identity;

/// An entity as it counts for a request.
pub struct Standing {
    /// The entity.
    pub entity: Arc<Entity>,
    /// Its groups and all above them.
    pub groups: Vec<Arc<Group>>,
    /// Its aliases.
    pub aliases: Vec<EntityAlias>,
}

/// The entity with this id, or the one that it was merged into, with all that belongs to it. `None` when it is not there,
/// is disabled, or is in too many groups to tell what it may do: its tokens are refused then. Everything that was read is
/// in the read-set.
pub async fn standing(txn: &mut Txn, tenant: &Arc<Tenant>, entity_id: &str) -> Result<Option<Standing>, Refusal> {
    let Some(entity) = resolve(entity_id, txn, tenant).await?.filter(|entity| !entity.disabled) else { return Ok(None) };
    let Some(groups) = ancestry(&entity.groups, txn, tenant).await? else { return Ok(None) };
    let aliases = entity.aliases(txn, tenant).await?;
    Ok(Some(Standing { entity, groups, aliases }))
}

/// The policies that an entity gives to its tokens, sorted, each once, also while it is disabled; none when it is not there.
pub async fn policies(txn: &mut Txn, tenant: &Arc<Tenant>, entity_id: &str) -> Result<Vec<String>, Refusal> {
    if entity_id.is_empty() {
        return Ok(Vec::new());
    }
    let Some(entity) = resolve(entity_id, txn, tenant).await? else { return Ok(Vec::new()) };
    let groups = ancestry(&entity.groups, txn, tenant).await?.unwrap_or_default();
    Ok(united(&entity, &groups))
}

/// The entity with this id, or the one that it was merged into.
pub(super) async fn resolve(id: &str, txn: &mut Txn, tenant: &Arc<Tenant>) -> Result<Option<Arc<Entity>>, Refusal> {
    if let Some(found) = txn.read::<Entity>(tenant, &Entity::address(id)).await? {
        return Ok(Some(found.value));
    }
    let Some(id) = Names::Merged.id(id, txn, tenant).await? else { return Ok(None) };
    Ok(txn.read::<Entity>(tenant, &Entity::address(&id)).await?.map(|found| found.value))
}

fn united(entity: &Entity, groups: &[Arc<Group>]) -> Vec<String> {
    let mut names = entity.policies.clone();
    names.extend(groups.iter().flat_map(|group| group.policies.iter().cloned()));
    names.sort_unstable();
    names.dedup();
    names
}

impl Standing {
    /// The policies of the entity and of its groups, sorted, each once.
    pub fn policies(&self) -> Vec<String> {
        united(&self.entity, &self.groups)
    }

    /// The values of templates in policies.
    pub fn identity(&self) -> Identity {
        let mut identity = Identity::default();
        identity.set("identity.entity.id", &self.entity.id);
        identity.set("identity.entity.name", &self.entity.name);
        set_all(&mut identity, "identity.entity.metadata", self.entity.metadata.as_ref());
        for alias in &self.aliases {
            let prefix = format!("identity.entity.aliases.{}", alias.accessor);
            identity.set(format!("{prefix}.id"), &alias.id);
            identity.set(format!("{prefix}.name"), &alias.name);
            set_all(&mut identity, &format!("{prefix}.metadata"), alias.metadata.as_ref());
            set_all(&mut identity, &format!("{prefix}.custom_metadata"), alias.custom_metadata.as_ref());
        }
        for group in &self.groups {
            identity.set(format!("identity.groups.ids.{}.name", group.id), &group.name);
            identity.set(format!("identity.groups.names.{}.id", group.name), &group.id);
        }
        identity
    }
}

fn set_all(identity: &mut Identity, prefix: &str, metadata: Option<&Metadata>) {
    for (name, value) in metadata.into_iter().flatten() {
        identity.set(format!("{prefix}.{name}"), value);
    }
}
