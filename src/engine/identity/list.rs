//! Listing entities, groups and aliases, by id with a few facts about each, or by name.

use std::sync::Arc;

use super::operation::Listed;
use super::record::{Entity, EntityAlias, Group, GroupAlias, Identified, Named, Names, members};
use super::show;
use crate::answer::{Answer, Refusal};
use crate::commit::{Place, Tenant, Txn};
use crate::engine::directory;
use crate::engine::listing::Range;
use crate::json::{Json, Object};
use crate::record::{Address, Kind, SYSTEM};

/// The most that one answer lists: each is opened for it.
pub(super) const LISTED_MAX: usize = 10_000;

pub(super) async fn list(what: Listed, range: &Range, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    let tenant = &place.tenant;
    let (kind, directory) = match what {
        Listed::EntityIds => (Kind::Entity, String::new()),
        Listed::AliasIds => (Kind::EntityAlias, String::new()),
        Listed::GroupIds => (Kind::Group, String::new()),
        Listed::GroupAliasIds => (Kind::GroupAlias, String::new()),
        Listed::EntityNames => (Kind::IdentityName, Names::Entities.directory()),
        Listed::GroupNames => (Kind::IdentityName, Names::Groups.directory()),
    };
    let names = txn.names(tenant, kind, SYSTEM, &directory).await?;
    let shown = range.of(&names, LISTED_MAX)?;
    if kind == Kind::IdentityName {
        return by_name(shown, &directory, txn, tenant).await;
    }
    let mut info = Vec::with_capacity(shown.len());
    let mounts = match what {
        Listed::EntityIds => Vec::new(),
        _ => directory::all(tenant, txn).await?,
    };
    for id in shown {
        info.extend(match what {
            Listed::GroupIds => group_info(id, &mounts, txn, tenant).await?,
            Listed::AliasIds => EntityAlias::find(txn, tenant, id).await?.map(|alias| show::alias_info(&alias, &mounts)),
            Listed::GroupAliasIds => {
                GroupAlias::find(txn, tenant, id).await?.map(|alias| show::group_alias_info(&alias, &mounts))
            }
            _ => Entity::find(txn, tenant, id).await?.map(|entity| {
                Json::object(|data| {
                    data.field("name", &entity.name);
                })
            }),
        });
    }
    if shown.is_empty() {
        return Err(Refusal::NotFound);
    }
    Ok(Answer::data(Json::object(|data| {
        data.object("key_info", |out| fill(out, shown, &info)).strings("keys", shown);
    })))
}

fn fill(out: &mut Object<'_>, ids: &[Box<str>], info: &[Json]) {
    for (id, json) in ids.iter().zip(info) {
        out.raw(id, json.expose());
    }
}

async fn group_info(
    id: &str,
    mounts: &[directory::Mounted],
    txn: &mut Txn,
    tenant: &Arc<Tenant>,
) -> Result<Option<Json>, Refusal> {
    let Some(group) = Group::find(txn, tenant, id).await? else { return Ok(None) };
    let entities = members(txn, tenant, id).await?.len();
    let alias = match &group.alias {
        Some(id) => GroupAlias::find(txn, tenant, id).await?,
        None => None,
    };
    Ok(Some(Json::object(|data| {
        if let Some(alias) = &alias {
            data.object("alias", |out| {
                out.field("id", &alias.id);
                show::mount(out, &alias.accessor, mounts);
                out.field("name", &alias.name);
            });
        }
        data.field("name", &group.name).field("num_member_entities", &entities).field("num_parent_groups", &group.parents.len());
    })))
}

/// Names as they were written; the list has the order of their canonical forms.
async fn by_name(shown: &[Box<str>], directory: &str, txn: &mut Txn, tenant: &Arc<Tenant>) -> Result<Answer, Refusal> {
    let mut names = Vec::with_capacity(shown.len());
    for name in shown {
        let address =
            Address { kind: Kind::IdentityName, mount: SYSTEM, directory: directory.to_owned(), name: name.to_string() };
        names.extend(txn.read::<Named>(tenant, &address).await?.map(|found| found.value.name.clone()));
    }
    Answer::keys(&names)
}
