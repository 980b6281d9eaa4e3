//! Proving: whether what somebody sends is a second factor of an entity.

use std::sync::Arc;

use super::super::standing::resolve;
use super::factors::{self, EntityFactors};
use super::method::{Method, methods};
use super::recovery;
use crate::answer::Refusal;
use crate::commit::{Tenant, Txn};
use crate::policy::ShownFactor;
use crate::secret::SecretText;
use crate::time::Timestamp;

/// Whether `passcode` is right for a method, of the entity with this id: its code of about now, which is taken once, or a
/// recovery code. A failure is counted in a way that stays when the request is refused. Wrong, used, not enrolled and too many
/// failures are one answer.
pub async fn prove(
    txn: &mut Txn,
    tenant: &Arc<Tenant>,
    entity_id: &str,
    (method, passcode): (&Method, &SecretText),
) -> Result<bool, Refusal> {
    let Some(entity) = resolve(entity_id, txn, tenant).await? else { return Ok(false) };
    let mut own = factors::of(&entity.id, txn, tenant).await?;
    if !own.has(&method.id) {
        txn.note_detail(format!("entity {} has no factor of method {}", entity.id, method.id));
        return Ok(false);
    }
    let now = txn.now();
    attempt(txn, tenant, &entity.id, (&mut own, method.settings.attempts), |own| {
        match recovery::hash(&entity.id, passcode, tenant) {
            Some(hash) => own.spend(&hash),
            None => own.accept(method, passcode, now),
        }
    })
    .await
}

/// Tries something, unless too much has failed, and counts what came out.
pub(super) async fn attempt(
    txn: &mut Txn,
    tenant: &Arc<Tenant>,
    entity_id: &str,
    (own, attempts): (&mut EntityFactors, u64),
    is_right: impl FnOnce(&mut EntityFactors) -> bool,
) -> Result<bool, Refusal> {
    let now = txn.now();
    if own.waits(attempts, now) {
        txn.note_detail(format!("entity {entity_id} has failed too often with second factors"));
        return Ok(false);
    }
    let right = is_right(own);
    own.count(right, now);
    own.store(entity_id, txn, tenant).await?;
    if !right {
        txn.note_detail(format!("a second factor of entity {entity_id} is wrong or used"));
        txn.keep_guards();
    }
    Ok(right)
}

/// What a token has shown and its entity still has, since before it was shown: with the methods as they are now.
pub async fn has(
    txn: &mut Txn,
    tenant: &Arc<Tenant>,
    entity_id: &str,
    shown: &[ShownFactor],
) -> Result<Vec<(Arc<Method>, Timestamp)>, Refusal> {
    if shown.is_empty() {
        return Ok(Vec::new());
    }
    let own = factors::of(entity_id, txn, tenant).await?;
    let all = methods(txn, tenant).await?;
    let still = shown.iter().filter(|factor| own.had(&factor.method, factor.time));
    let known = |factor: &ShownFactor| {
        let method = all.iter().find(|method| method.id == factor.method)?;
        Some((Arc::clone(method), factor.time))
    };
    Ok(still.filter_map(known).collect())
}
