//! New references to secrets that are there.

use super::operation::Wish;
use super::target::Target;
use crate::answer::{Answer, Refusal};
use crate::auth::Caller;
use crate::commit::{Place, Txn};
use crate::engine::references::{self, REFERENCES_MAX};
use crate::json::Json;
use crate::policy::{Ask, Capability};
use crate::reference::{Reference, ReferenceId, ReferenceRecord};

/// For whoever may read the secret: so may the caller.
pub(super) async fn mint(wish: Wish, place: &Place, caller: &Caller, txn: &mut Txn) -> Result<Answer, Refusal> {
    let path = caller.policy_path(wish.path.as_str());
    if !caller.acl.decide(&Ask::new(&path, Capability::Read)) {
        return Err(Refusal::Denied);
    }
    make(wish, place, txn).await
}

/// For consumers without a policy on the secret. Policy has granted the path of `bind` itself; that takes the place of
/// reading the secret, but for an explicit deny.
pub(super) async fn bind(wish: Wish, place: &Place, caller: &Caller, txn: &mut Txn) -> Result<Answer, Refusal> {
    if caller.acl.denies(&caller.policy_path(wish.path.as_str())) {
        return Err(Refusal::Denied);
    }
    make(wish, place, txn).await
}

/// Whether a caller may make references for certain consumers to what is read at `path`, by another operation than `bind`.
pub fn may_bind(caller: &Caller, path: &str) -> bool {
    let bind = caller.policy_path(format!("sys/references/bind/{path}"));
    caller.acl.decide(&Ask::new(&bind, Capability::Update)) && !caller.acl.denies(&caller.policy_path(path))
}

async fn make(wish: Wish, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    let tenant = &place.tenant;
    let target = Target::at(tenant, &wish.path, txn).await?.ok_or_else(no_secret)?;
    if wish.pinned.is_some() && !target.has_versions() {
        return Err(Refusal::invalid("a secret of KV version 1 has no versions"));
    }
    if !target.takes_references() {
        return Err(Refusal::invalid("a data key gets its reference when it is made"));
    }
    let standing = target.standing(wish.pinned, txn).await?.ok_or_else(no_secret)?;
    if wish.pinned.is_some() && standing.readable.is_none() {
        return Err(Refusal::invalid("the secret has no such version"));
    }
    if references::of_object(tenant, standing.object, txn).await?.len() >= REFERENCES_MAX {
        return Err(Refusal::Invalid(format!("the secret has {REFERENCES_MAX} references already: revoke some")));
    }
    let record = ReferenceRecord {
        target_mount: target.place.mount.id,
        target_path: target.path,
        target_object: standing.object,
        pinned: wish.pinned,
        field: wish.field,
        created: txn.now(),
        standing: false,
        binding: wish.conditions.at(txn.now())?,
    };
    let reference = Reference::random();
    references::put(tenant, &reference, &record, txn).await?;
    txn.note_reference(tenant.keyring().reference_hash(reference.as_str()));
    Ok(made(&reference, &ReferenceId::of(tenant.keyring(), &reference)))
}

/// The only answer besides that of a write that has a reference's text in it.
pub(super) fn made(reference: &Reference, id: &ReferenceId) -> Answer {
    Answer::data(Json::object(|data| {
        data.field("id", id.as_str()).field("reference", reference);
    }))
}

pub(super) fn no_secret() -> Refusal {
    Refusal::invalid("no secret is read at this path")
}
