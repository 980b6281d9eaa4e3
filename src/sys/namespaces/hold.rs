//! Legal holds: a namespace that must not be erased, nor any above or below it, until who laid the hold lifts it.

use std::sync::Arc;

use super::run::read;
use crate::answer::{Answer, Refusal};
use crate::commit::{Tenant, Txn};
use crate::id::TenantId;
use crate::json::{Json, Object};
use crate::namespace::LegalHold;
use crate::record::{Kind, SYSTEM};

/// The tenant of a child that is there. It need not open: a key that is out of reach is no reason not to hold.
async fn child(parent: &Arc<Tenant>, name: &str, txn: &mut Txn) -> Result<TenantId, Refusal> {
    Ok(read(parent, name, txn).await?.ok_or(Refusal::NotFound)?.tenant)
}

/// Lays a hold, or gives the one that is there another reason.
pub(super) async fn lay(parent: &Arc<Tenant>, name: &str, reason: String, txn: &mut Txn) -> Result<Answer, Refusal> {
    let address = LegalHold::address(child(parent, name, txn).await?);
    let since = txn.read::<LegalHold>(parent, &address).await?.map_or_else(|| txn.now(), |hold| hold.value.since);
    txn.put(parent, &address, &LegalHold { reason, since }, None).await?;
    Ok(Answer::Empty)
}

pub(super) async fn lift(parent: &Arc<Tenant>, name: &str, txn: &mut Txn) -> Result<Answer, Refusal> {
    let tenant = child(parent, name, txn).await?;
    txn.remove::<LegalHold>(parent, &LegalHold::address(tenant)).await?;
    Ok(Answer::Empty)
}

pub(super) async fn show(parent: &Arc<Tenant>, name: &str, txn: &mut Txn) -> Result<Answer, Refusal> {
    let tenant = child(parent, name, txn).await?;
    let hold = of(parent, tenant, txn).await?.ok_or(Refusal::NotFound)?;
    Ok(Answer::data(Json::object(|data| fields(data, &hold))))
}

/// The hold on a child itself. Most parents have none at all, and the listing of them is kept in memory.
pub(super) async fn of(parent: &Arc<Tenant>, tenant: TenantId, txn: &mut Txn) -> Result<Option<Arc<LegalHold>>, Refusal> {
    if txn.names(parent, Kind::LegalHold, SYSTEM, "").await?.is_empty() {
        return Ok(None);
    }
    Ok(txn.read::<LegalHold>(parent, &LegalHold::address(tenant)).await?.map(|hold| hold.value))
}

/// Refuses to erase a child that a hold concerns: its own, or one on a namespace above, whose data it is part of. `prefix` is
/// the path of the parent.
pub(super) async fn refuse_erasure(
    parent: &Arc<Tenant>,
    prefix: &str,
    (name, tenant): (&str, TenantId),
    txn: &mut Txn,
) -> Result<(), Refusal> {
    if txn.read::<LegalHold>(parent, &LegalHold::address(tenant)).await?.is_some() {
        return Err(Refusal::invalid(format!(
            "namespace {:?} is under a legal hold: nothing of it is deleted until the hold is lifted, with DELETE \
             sys/namespaces/{name}/legal-hold",
            format!("{prefix}{name}/")
        )));
    }
    let Some((held, _)) = txn.legal_hold(parent).await? else { return Ok(()) };
    // The chain begins with the root, which has no segment.
    let depth = txn.tenants().chain(parent).and_then(|chain| chain.iter().position(|tenant| tenant.id() == held));
    let above: Vec<&str> = prefix.split('/').take(depth.unwrap_or_default()).collect();
    Err(Refusal::invalid(format!(
        "namespace {:?} is under a legal hold, and {name:?} is part of it: nothing below is deleted until that hold is lifted, with \
         DELETE sys/namespaces/{}/legal-hold in the namespace above it",
        format!("{}/", above.join("/")),
        above.last().unwrap_or(&"")
    )))
}

pub(super) fn fields(data: &mut Object<'_>, hold: &LegalHold) {
    data.field("reason", &hold.reason).field("since", &hold.since.rfc3339());
}
