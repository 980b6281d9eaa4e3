//! What is stored about identities.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::name::canonical;
use crate::answer::Refusal;
use crate::commit::{Tenant, Txn};
use crate::record::{Address, Kind, Listing, Past, SYSTEM};
use crate::time::Timestamp;

/// Notes: names and values.
pub(super) type Metadata = BTreeMap<String, String>;

/// Somebody.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entity {
    /// A UUID.
    pub id: String,
    /// As it was written.
    pub name: String,
    /// Names of policies, lower case, sorted, each once.
    pub policies: Vec<String>,
    /// Notes.
    pub metadata: Option<Metadata>,
    /// Its tokens are refused.
    pub disabled: bool,
    /// Ids of its aliases.
    pub aliases: Vec<String>,
    /// Ids of the groups that it is in itself. One that is not there any more means nothing.
    pub groups: Vec<String>,
    /// Ids of the entities that were merged into it.
    pub merged: Vec<String>,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
}

/// What an entity is called by one mount.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EntityAlias {
    /// A UUID.
    pub id: String,
    /// As the method wrote it.
    pub name: String,
    /// The entity's id.
    pub entity: String,
    /// Of the mount.
    pub accessor: String,
    /// What the method says about it.
    pub metadata: Option<Metadata>,
    /// What somebody wrote about it.
    pub custom_metadata: Option<Metadata>,
    /// Entities that it belonged to before they were merged.
    pub merged_from: Vec<String>,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
}

/// Who decides about the members of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupKind {
    /// Whoever writes the group.
    Internal,
    /// The method that its alias belongs to, at each login.
    External,
}

/// A group of entities and of other groups.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Group {
    /// A UUID.
    pub id: String,
    /// As it was written.
    pub name: String,
    /// Who decides about its members.
    pub kind: GroupKind,
    /// Names of policies, lower case, sorted, each once.
    pub policies: Vec<String>,
    /// Notes.
    pub metadata: Option<Metadata>,
    /// Ids of the groups in it.
    pub members: Vec<String>,
    /// Ids of the groups that it is in.
    pub parents: Vec<String>,
    /// Id of the alias of an external group.
    pub alias: Option<String>,
    /// How often it was changed.
    pub changes: u64,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
}

/// What an external group is called by one mount.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct GroupAlias {
    /// A UUID.
    pub id: String,
    /// As the method writes it.
    pub name: String,
    /// The group's id.
    pub group: String,
    /// Of the mount.
    pub accessor: String,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
}

/// Leads from a canonical name to what has it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Named {
    /// Its id.
    pub id: String,
    /// The name as it was written.
    pub name: String,
}

/// That an entity is in a group: the address says which in which.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct GroupMember {}

// What is kept of them is all but when and how often they were changed.
crate::json_record!(
    Entity,
    Kind::Entity,
    Listing::Flat,
    past = |entity| { Past::of(&Entity { updated: entity.created, ..entity.clone() }) }
);
crate::json_record!(
    EntityAlias,
    Kind::EntityAlias,
    Listing::Flat,
    past = |alias| { Past::of(&EntityAlias { updated: alias.created, ..alias.clone() }) }
);
crate::json_record!(
    Group,
    Kind::Group,
    Listing::Flat,
    past = |group| { Past::of(&Group { updated: group.created, changes: 0, ..group.clone() }) }
);
crate::json_record!(GroupAlias, Kind::GroupAlias, Listing::Flat);
crate::json_record!(Named, Kind::IdentityName, Listing::Flat);
crate::json_record!(GroupMember, Kind::GroupMember, Listing::Flat);

/// What has an id of its own.
pub(super) trait Identified: crate::record::Record + Clone {
    fn id(&self) -> &str;

    fn address(id: &str) -> Address {
        Address::system(Self::KIND, id)
    }

    async fn find(txn: &mut Txn, tenant: &Arc<Tenant>, id: &str) -> Result<Option<Self>, Refusal> {
        Ok(txn.read::<Self>(tenant, &Self::address(id)).await?.map(|found| Self::clone(&found.value)))
    }

    async fn store(&self, txn: &mut Txn, tenant: &Arc<Tenant>) -> Result<(), Refusal> {
        txn.put(tenant, &Self::address(self.id()), self, None).await
    }

    async fn drop_from(&self, txn: &mut Txn, tenant: &Arc<Tenant>) -> Result<(), Refusal> {
        txn.remove::<Self>(tenant, &Self::address(self.id())).await
    }
}

macro_rules! identified {
    ($($type:ty),*) => {
        $(impl Identified for $type {
            fn id(&self) -> &str {
                &self.id
            }
        })*
    };
}

identified!(Entity, EntityAlias, Group, GroupAlias);

/// One of the lists in which a name stands for one thing.
#[derive(Clone, Copy)]
pub(super) enum Names<'a> {
    Entities,
    Groups,
    /// By mount accessor.
    Aliases(&'a str),
    /// By mount accessor.
    GroupAliases(&'a str),
    /// Ids of entities that were merged away; the name is such an id.
    Merged,
}

impl Names<'_> {
    /// The directory that lists them.
    pub(super) fn directory(self) -> String {
        match self {
            Self::Entities => "entity/".to_owned(),
            Self::Groups => "group/".to_owned(),
            Self::Aliases(accessor) => format!("entity-alias/{accessor}/"),
            Self::GroupAliases(accessor) => format!("group-alias/{accessor}/"),
            Self::Merged => "merged/".to_owned(),
        }
    }

    fn address(self, name: &str) -> Address {
        Address { kind: Kind::IdentityName, mount: SYSTEM, directory: self.directory(), name: canonical(name) }
    }

    /// The id of what has this name.
    pub(super) async fn id(self, name: &str, txn: &mut Txn, tenant: &Arc<Tenant>) -> Result<Option<String>, Refusal> {
        Ok(txn.read::<Named>(tenant, &self.address(name)).await?.map(|found| found.value.id.clone()))
    }

    /// Gives the name to `id`. Whoever does has asked before whether it is free.
    pub(super) async fn take(self, name: &str, id: &str, txn: &mut Txn, tenant: &Arc<Tenant>) -> Result<(), Refusal> {
        txn.put(tenant, &self.address(name), &Named { id: id.to_owned(), name: name.to_owned() }, None).await
    }

    pub(super) async fn free(self, name: &str, txn: &mut Txn, tenant: &Arc<Tenant>) -> Result<(), Refusal> {
        txn.remove::<Named>(tenant, &self.address(name)).await
    }

    /// Gives the name `new` to what had `old`. False, and nothing happens, when something else has it.
    pub(super) async fn rename(
        self,
        (old, new): (&str, &str),
        id: &str,
        txn: &mut Txn,
        tenant: &Arc<Tenant>,
    ) -> Result<bool, Refusal> {
        if self.id(new, txn, tenant).await?.is_some_and(|holder| holder != id) {
            return Ok(false);
        }
        if canonical(old) != canonical(new) {
            self.free(old, txn, tenant).await?;
        }
        self.take(new, id, txn, tenant).await?;
        Ok(true)
    }
}

/// Where it stands that an entity is in a group.
fn member_address(group: &str, entity: &str) -> Address {
    Address { kind: Kind::GroupMember, mount: SYSTEM, directory: format!("{group}/"), name: entity.to_owned() }
}

/// Ids of the entities in a group.
pub(super) async fn members(txn: &mut Txn, tenant: &Arc<Tenant>, group: &str) -> Result<Arc<[Box<str>]>, Refusal> {
    txn.names(tenant, Kind::GroupMember, SYSTEM, &format!("{group}/")).await
}

/// The most groups that an entity is in itself.
pub(super) const ENTITY_GROUPS_MAX: usize = 256;

/// Puts an entity into a group. The caller stores the entity.
pub(super) async fn join(txn: &mut Txn, tenant: &Arc<Tenant>, entity: &mut Entity, group: &str) -> Result<(), Refusal> {
    if entity.groups.iter().any(|known| known == group) {
        return Ok(());
    }
    if entity.groups.len() >= ENTITY_GROUPS_MAX {
        return Err(Refusal::invalid(format!("an entity is in at most {ENTITY_GROUPS_MAX} groups")));
    }
    let address = member_address(group, &entity.id);
    if !txn.exists(tenant, &address).await? {
        txn.put(tenant, &address, &GroupMember {}, None).await?;
    }
    entity.groups.push(group.to_owned());
    Ok(())
}

/// Takes an entity out of a group. The caller stores the entity.
pub(super) async fn leave(txn: &mut Txn, tenant: &Arc<Tenant>, entity: &mut Entity, group: &str) -> Result<(), Refusal> {
    entity.groups.retain(|known| known != group);
    txn.remove::<GroupMember>(tenant, &member_address(group, &entity.id)).await
}
