//! The operations of `identity/`: from the call to typed fields. The table is in `rows`.

use std::collections::BTreeSet;

use super::name::{checked, checked_alias};
use super::record::{GroupKind, Metadata};
use super::{mfa, oidc};
use crate::answer::Refusal;
use crate::engine::listing::Range;
use crate::engine::table::{Call, Field};
use crate::fields::Fields;

/// The most policies of an entity or group.
pub const POLICIES_MAX: usize = 256;
/// The most pairs of notes, and how long a key and a value may be, in bytes.
pub const METADATA_PAIRS_MAX: usize = 64;
/// The longest key, in bytes.
pub const METADATA_KEY_MAX: usize = 128;
/// The longest value, in bytes.
pub const METADATA_VALUE_MAX: usize = 512;
/// The most ids in one request.
pub const IDS_MAX: usize = 10_000;
/// The most entities that one request deletes or merges.
pub const BATCH_MAX: usize = 1_000;

/// What a client asks.
pub enum Operation {
    /// Make or change an entity.
    WriteEntity(Box<EntityChange>),
    /// Show an entity.
    ReadEntity(By),
    /// Delete an entity.
    DeleteEntity(By),
    /// Delete entities.
    DeleteEntities(Vec<String>),
    /// Make one of several entities.
    Merge(Merge),
    /// Find an entity.
    LookupEntity(Lookup),
    /// Make or change the alias of an entity.
    WriteAlias(Box<AliasChange>),
    /// Show it.
    ReadAlias(String),
    /// Delete it.
    DeleteAlias(String),
    /// Make or change a group.
    WriteGroup(Box<GroupChange>),
    /// Show a group.
    ReadGroup(By),
    /// Delete a group.
    DeleteGroup(By),
    /// Find a group.
    LookupGroup(Lookup),
    /// Make or change the alias of a group.
    WriteGroupAlias(Box<AliasChange>),
    /// Show it.
    ReadGroupAlias(String),
    /// Delete it.
    DeleteGroupAlias(String),
    /// List something.
    List(Listed, Range),
    /// Identity tokens.
    Oidc(oidc::Operation),
    /// Second factors.
    Mfa(mfa::Operation),
}

/// Which entity or group is meant.
pub enum By {
    /// The one with this id.
    Id(String),
    /// The one with this name, in any case.
    Name(String),
}

/// Which entity or group is written.
pub enum Which {
    /// By id: it must be there. By name: it is made if it is not.
    Known(By),
    /// A new one without a name.
    New,
}

/// What is to be listed.
#[derive(Clone, Copy)]
pub enum Listed {
    /// `entity/id`
    EntityIds,
    /// `entity/name`
    EntityNames,
    /// `entity-alias/id`
    AliasIds,
    /// `group/id`
    GroupIds,
    /// `group/name`
    GroupNames,
    /// `group-alias/id`
    GroupAliasIds,
}

/// What a client writes about an entity. `None` leaves a value as it is.
pub struct EntityChange {
    /// Which.
    pub which: Which,
    /// A new name, of one that is known by id.
    pub name: Option<String>,
    /// Its policies.
    pub policies: Option<Vec<String>>,
    /// Its notes.
    pub metadata: Option<Metadata>,
    /// Whether its tokens are refused.
    pub disabled: Option<bool>,
}

/// What a client writes about a group.
pub struct GroupChange {
    /// Which.
    pub which: Which,
    /// A new name, of one that is known by id.
    pub name: Option<String>,
    /// Internal or external.
    pub kind: Option<GroupKind>,
    /// Its policies.
    pub policies: Option<Vec<String>>,
    /// Its notes.
    pub metadata: Option<Metadata>,
    /// Ids of the entities in it.
    pub entities: Option<Vec<String>>,
    /// Ids of the groups in it.
    pub groups: Option<Vec<String>>,
}

/// What a client writes about an alias of an entity or group.
pub struct AliasChange {
    /// Which, if it is there already.
    pub id: Option<String>,
    /// What the mount calls it.
    pub name: Option<String>,
    /// The mount.
    pub accessor: Option<String>,
    /// The entity or group.
    pub entity: Option<String>,
    /// Notes; groups have none.
    pub custom_metadata: Option<Metadata>,
}

/// Entities that are to be one.
pub struct Merge {
    /// They go.
    pub from: Vec<String>,
    /// It stays.
    pub to: String,
    /// Which aliases stay where there are two of one mount.
    pub keep: Vec<String>,
}

/// How something is looked for.
pub enum Lookup {
    /// By its own id or name.
    By(By),
    /// By the id of an alias.
    AliasId(String),
    /// By what a mount calls it.
    Alias {
        /// The name.
        name: String,
        /// The mount.
        accessor: String,
    },
}

pub(super) const fn field(name: &'static str, kind: &'static str, help: &'static str) -> Field {
    Field { name, kind, help }
}

pub(super) fn id(call: &Call<'_>) -> By {
    By::Id(call.captures.get(0).to_owned())
}

pub(super) fn name(call: &Call<'_>) -> Result<By, Refusal> {
    let name = call.captures.get(0);
    if name.is_empty() {
        return Err(Refusal::UnsupportedOperation);
    }
    checked(name.to_owned()).map(By::Name)
}

/// A text that says something.
pub(super) fn given(fields: &Fields<'_>, name: &str) -> Result<Option<String>, Refusal> {
    Ok(fields.text(name)?.filter(|text| !text.is_empty()))
}

/// Which one a body without a path means: an id comes first.
pub(super) fn body_which(call: &Call<'_>) -> Result<Which, Refusal> {
    Ok(match (given(call.fields, "id")?, given(call.fields, "name")?) {
        (Some(id), _) => Which::Known(By::Id(id)),
        (None, Some(name)) => Which::Known(By::Name(checked(name)?)),
        (None, None) => Which::New,
    })
}

pub(super) fn write_entity(call: &Call<'_>, which: Which) -> Result<Operation, Refusal> {
    let fields = call.fields;
    Ok(Operation::WriteEntity(Box::new(EntityChange {
        which,
        name: given(fields, "name")?.map(checked).transpose()?,
        policies: policies(fields)?,
        metadata: metadata(fields, "metadata")?,
        disabled: fields.boolean("disabled")?,
    })))
}

pub(super) fn write_group(call: &Call<'_>, which: Which) -> Result<Operation, Refusal> {
    let fields = call.fields;
    let kind = match given(fields, "type")?.as_deref() {
        None => None,
        Some("internal") => Some(GroupKind::Internal),
        Some("external") => Some(GroupKind::External),
        Some(other) => return Err(Refusal::invalid(format!("invalid group type {other:?}"))),
    };
    Ok(Operation::WriteGroup(Box::new(GroupChange {
        which,
        name: given(fields, "name")?.map(checked).transpose()?,
        kind,
        policies: policies(fields)?,
        metadata: metadata(fields, "metadata")?,
        entities: some_ids(fields, "member_entity_ids", IDS_MAX)?,
        groups: some_ids(fields, "member_group_ids", super::group::MEMBER_GROUPS_MAX)?,
    })))
}

/// Trimmed, lower case, sorted, each once; never `root`.
fn policies(fields: &Fields<'_>) -> Result<Option<Vec<String>>, Refusal> {
    let Some(given) = fields.list("policies")? else { return Ok(None) };
    let names: BTreeSet<String> = given.iter().map(|name| name.trim().to_lowercase()).filter(|name| !name.is_empty()).collect();
    if names.contains("root") {
        return Err(Refusal::invalid("policies cannot contain root"));
    }
    if names.len() > POLICIES_MAX {
        return Err(Refusal::invalid(format!("policies: at most {POLICIES_MAX}")));
    }
    Ok(Some(names.into_iter().collect()))
}

fn metadata(fields: &Fields<'_>, name: &str) -> Result<Option<Metadata>, Refusal> {
    let Some(metadata) = fields.map(name)? else { return Ok(None) };
    let fits = |(key, value): (&String, &String)| key.len() <= METADATA_KEY_MAX && value.len() <= METADATA_VALUE_MAX;
    if metadata.len() > METADATA_PAIRS_MAX || !metadata.iter().all(fits) {
        return Err(Refusal::invalid(format!(
            "{name}: at most {METADATA_PAIRS_MAX} keys of {METADATA_KEY_MAX} bytes with values of {METADATA_VALUE_MAX} bytes"
        )));
    }
    Ok(Some(metadata))
}

fn some_ids(fields: &Fields<'_>, name: &str, most: usize) -> Result<Option<Vec<String>>, Refusal> {
    let ids = fields.list(name)?;
    if ids.as_ref().is_some_and(|ids| ids.len() > most) {
        return Err(Refusal::invalid(format!("{name}: at most {most}")));
    }
    Ok(ids)
}

pub(super) fn ids(call: &Call<'_>, name: &str, missing: &str) -> Result<Vec<String>, Refusal> {
    let mut ids = some_ids(call.fields, name, BATCH_MAX)?.unwrap_or_default();
    if ids.is_empty() {
        return Err(Refusal::invalid(missing));
    }
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}

pub(super) fn merge(call: &Call<'_>) -> Result<Operation, Refusal> {
    let from = ids(call, "from_entity_ids", "missing entity ids to merge from")?;
    let to = given(call.fields, "to_entity_id")?.ok_or_else(|| Refusal::invalid("missing entity id to merge to"))?;
    let keep = some_ids(call.fields, "conflicting_alias_ids_to_keep", BATCH_MAX)?.unwrap_or_default();
    Ok(Operation::Merge(Merge { from, to, keep }))
}

pub(super) fn alias(call: &Call<'_>, id: Option<&str>) -> Result<AliasChange, Refusal> {
    let fields = call.fields;
    let entity = match given(fields, "canonical_id")? {
        Some(id) => Some(id),
        None => given(fields, "entity_id")?,
    };
    Ok(AliasChange {
        id: match id {
            Some(id) => Some(id.to_owned()),
            None => given(fields, "id")?,
        },
        name: given(fields, "name")?.map(checked_alias).transpose()?,
        accessor: given(fields, "mount_accessor")?,
        entity,
        custom_metadata: metadata(fields, "custom_metadata")?,
    })
}

/// Exactly one way to look.
pub(super) fn lookup(fields: &Fields<'_>) -> Result<Lookup, Refusal> {
    let [id, name, alias_id, alias_name, accessor] =
        ["id", "name", "alias_id", "alias_name", "alias_mount_accessor"].map(|name| given(fields, name));
    let alias = match (alias_name?, accessor?) {
        (Some(name), Some(accessor)) => Some(Lookup::Alias { name, accessor }),
        (None, None) => None,
        _ => return Err(Refusal::invalid("both 'alias_name' and 'alias_mount_accessor' needs to be set")),
    };
    let ways = [
        id?.map(|id| Lookup::By(By::Id(id))),
        name?.map(|name| Lookup::By(By::Name(name))),
        alias_id?.map(Lookup::AliasId),
        alias,
    ];
    let mut ways = ways.into_iter().flatten();
    match (ways.next(), ways.next()) {
        (Some(way), None) => Ok(way),
        (None, _) => Err(Refusal::invalid("query parameter not supplied")),
        (Some(_), Some(_)) => Err(Refusal::invalid("query parameter conflict; please supply distinct set of query parameters")),
    }
}
