//! Merging entities: what was several becomes one. Aliases and memberships go over, policies and notes do not.
//! Tokens of the merged ones stand for the one that is left.

use std::sync::Arc;

use super::alias::refuse_one_more;
use super::entity::forget;
use super::last_login::LastLogin;
use super::operation::Merge;
use super::record::{Entity, EntityAlias, Identified, Names, join, leave};
use crate::answer::{Answer, Refusal};
use crate::commit::{Place, Tenant, Txn};

pub(super) async fn merge(merge: &Merge, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    let tenant = &place.tenant;
    if merge.from.contains(&merge.to) {
        return Err(Refusal::invalid("to_entity_id should not be present in from_entity_ids"));
    }
    let to = Entity::find(txn, tenant, &merge.to).await?;
    let mut to = to.ok_or_else(|| Refusal::invalid("entity id to merge to is invalid"))?;
    for id in &merge.from {
        let from = Entity::find(txn, tenant, id).await?;
        let from = from.ok_or_else(|| Refusal::invalid("entity id to merge from is invalid"))?;
        take_over(&mut to, from, merge, txn, tenant).await?;
    }
    to.updated = txn.now();
    to.store(txn, tenant).await?;
    Ok(Answer::Empty)
}

async fn take_over(to: &mut Entity, mut from: Entity, merge: &Merge, txn: &mut Txn, tenant: &Arc<Tenant>) -> Result<(), Refusal> {
    for mut alias in from.aliases(txn, tenant).await? {
        let own = to.aliases(txn, tenant).await?;
        if let Some(clash) = own.into_iter().find(|own| own.accessor == alias.accessor) {
            let kept = keep_one(to, &alias, &clash, merge)?;
            let gone = if kept == alias.id { &clash } else { &alias };
            Names::Aliases(&gone.accessor).free(&gone.name, txn, tenant).await?;
            LastLogin::forget(&gone.id, txn, tenant);
            gone.drop_from(txn, tenant).await?;
            to.aliases.retain(|id| *id != gone.id);
            if kept != alias.id {
                continue;
            }
        }
        refuse_one_more(to)?;
        to.aliases.push(alias.id.clone());
        alias.merged_from.push(from.id.clone());
        alias.entity.clone_from(&to.id);
        alias.store(txn, tenant).await?;
    }
    for group in from.groups.clone() {
        leave(txn, tenant, &mut from, &group).await?;
        join(txn, tenant, to, &group).await?;
    }
    // What was merged before now leads here at once: nobody follows a chain.
    for id in std::mem::take(&mut from.merged).into_iter().chain([from.id.clone()]) {
        Names::Merged.id(&id, txn, tenant).await?;
        Names::Merged.take(&id, &to.id, txn, tenant).await?;
        to.merged.push(id);
    }
    forget(&from, txn, tenant).await
}

/// Which of two aliases at one mount stays: the one that the request names.
fn keep_one(to: &Entity, from: &EntityAlias, own: &EntityAlias, merge: &Merge) -> Result<String, Refusal> {
    if merge.from.len() == 1
        && let Some(kept) = merge.keep.iter().find(|id| **id == from.id || **id == own.id)
    {
        return Ok(kept.clone());
    }
    Err(Refusal::invalid(format!(
        "toEntity and at least one fromEntity have aliases with the same mount accessor, repeat the merge request \
         specifying exactly one fromEntity, clashes: mountAccessor: {}, toEntity ID: {}, fromEntity ID: {}, \
         conflicting toEntity alias ID: {}, conflicting fromEntity alias ID: {}",
        own.accessor, to.id, from.entity, own.id, from.id
    )))
}
