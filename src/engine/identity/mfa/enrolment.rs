//! Giving entities their secrets, and taking them away. Whoever holds a token of an entity that has a factor already changes
//! nothing about its factors without showing another one: a stolen token must not become a factor.

use std::sync::Arc;
use std::time::Duration;

use super::super::record::{Entity, Identified};
use super::super::run::Asker;
use super::super::standing::resolve;
use super::factors::{self, EntityFactors, Secret};
use super::method::{Method, methods, needed};
use super::operation::Enrol;
use super::proof::attempt;
use super::{FRESH_SECONDS, recovery};
use crate::answer::{Answer, Refusal};
use crate::commit::{Place, Tenant, Txn};
use crate::json::Json;

/// Failures in a row until an entity has to wait, where no method says how many.
const ATTEMPTS: u64 = 5;

const ANOTHER: &str =
    "a second factor is changed only by who has just shown another one (sys/mfa/step-up), or with a recovery_code";

/// The entity that the caller's token stands for.
pub(super) async fn caller(asker: &Asker<'_>, txn: &mut Txn, tenant: &Arc<Tenant>) -> Result<Arc<Entity>, Refusal> {
    let missing = || Refusal::invalid("missing entityID");
    if asker.entity_id.is_empty() {
        return Err(missing());
    }
    resolve(asker.entity_id, txn, tenant).await?.ok_or_else(missing)
}

/// Refuses a token that has not just shown a factor of its entity, other than `except`.
pub(super) fn refuse_unless_fresh(
    own: &EntityFactors,
    asker: &Asker<'_>,
    except: Option<&str>,
    txn: &mut Txn,
) -> Result<(), Refusal> {
    let counts = asker.shown.iter().filter(|shown| Some(shown.method.as_str()) != except && own.had(&shown.method, shown.time));
    let until = counts.map(|shown| shown.time.plus(Duration::from_secs(FRESH_SECONDS))).max();
    match until.filter(|until| *until > txn.now()) {
        Some(until) => {
            txn.relies_until(until);
            Ok(())
        }
        None => Err(Refusal::Forbidden(ANOTHER.to_owned())),
    }
}

/// Whether the caller may change its own entity's factor of a method.
async fn refuse_change(
    own: &mut EntityFactors,
    entity_id: &str,
    ask: &Enrol,
    asker: &Asker<'_>,
    txn: &mut Txn,
    tenant: &Arc<Tenant>,
) -> Result<(), Refusal> {
    if own.is_empty() {
        return Ok(());
    }
    let Some(code) = &ask.recovery_code else { return refuse_unless_fresh(own, asker, Some(&ask.method), txn) };
    let hash = recovery::hash(entity_id, code, tenant).unwrap_or_default();
    if attempt(txn, tenant, entity_id, (own, ATTEMPTS), |own| own.spend(&hash)).await? {
        return Ok(());
    }
    Err(Refusal::Forbidden(ANOTHER.to_owned()))
}

pub(super) async fn generate(ask: &Enrol, place: &Place, asker: &Asker<'_>, txn: &mut Txn) -> Result<Answer, Refusal> {
    let entity = caller(asker, txn, &place.tenant).await?;
    let method = needed(&ask.method, txn, &place.tenant).await?;
    enrol(&method, &entity.id, ask, Some(asker), place, txn).await
}

pub(super) async fn admin_generate(ask: &Enrol, place: &Place, asker: &Asker<'_>, txn: &mut Txn) -> Result<Answer, Refusal> {
    let entity = named(ask, txn, &place.tenant).await?;
    let method = needed(&ask.method, txn, &place.tenant).await?;
    let own = is_own(&entity, asker, txn, &place.tenant).await?;
    enrol(&method, &entity.id, ask, own.then_some(asker), place, txn).await
}

pub(super) async fn admin_destroy(ask: &Enrol, place: &Place, asker: &Asker<'_>, txn: &mut Txn) -> Result<Answer, Refusal> {
    let tenant = &place.tenant;
    let entity = named(ask, txn, tenant).await?;
    let method = needed(&ask.method, txn, tenant).await?;
    let mut own = factors::of(&entity.id, txn, tenant).await?;
    if is_own(&entity, asker, txn, tenant).await? && own.has(&method.id) {
        refuse_change(&mut own, &entity.id, ask, asker, txn, tenant).await?;
    }
    own.drop(&method.id);
    own.tidy(&methods(txn, tenant).await?);
    own.store(&entity.id, txn, tenant).await?;
    txn.note_detail(format!("took the factor of method {} from entity {}", method.id, entity.id));
    Ok(Answer::Empty)
}

/// `asker` is there when it is about its own entity.
async fn enrol(
    method: &Method,
    entity_id: &str,
    ask: &Enrol,
    asker: Option<&Asker<'_>>,
    place: &Place,
    txn: &mut Txn,
) -> Result<Answer, Refusal> {
    let tenant = &place.tenant;
    let mut own = factors::of(entity_id, txn, tenant).await?;
    if own.has(&method.id) && !ask.force {
        let called = if method.name.is_empty() { &method.id } else { &method.name };
        let warnings = vec![format!("Entity already has a secret for MFA method {called:?}")];
        return Ok(Answer::done(warnings));
    }
    own.tidy(&methods(txn, tenant).await?);
    if let Some(asker) = asker {
        refuse_change(&mut own, entity_id, ask, asker, txn, tenant).await?;
    }
    let secret = Secret::new(method, txn.now());
    let url = secret.url(&method.settings.issuer, entity_id);
    own.set(secret);
    own.store(entity_id, txn, tenant).await?;
    txn.note_detail(format!("a factor of method {} for entity {entity_id}", method.id));
    Ok(Answer::data(Json::object(|data| {
        data.field("barcode", "").field("url", url.expose());
    })))
}

async fn named(ask: &Enrol, txn: &mut Txn, tenant: &Arc<Tenant>) -> Result<Entity, Refusal> {
    let id = ask.entity.as_deref().unwrap_or_default();
    Entity::find(txn, tenant, id).await?.ok_or_else(|| Refusal::invalid("invalid entity ID"))
}

async fn is_own(entity: &Entity, asker: &Asker<'_>, txn: &mut Txn, tenant: &Arc<Tenant>) -> Result<bool, Refusal> {
    if asker.entity_id.is_empty() {
        return Ok(false);
    }
    Ok(resolve(asker.entity_id, txn, tenant).await?.is_some_and(|own| own.id == entity.id))
}
