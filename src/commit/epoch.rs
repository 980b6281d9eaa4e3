//! Epochs of a log. A store that was put back to an older state has lost what was signed since. Once an operator has accepted
//! that, the log goes on from where the store stands, in a new epoch: its checkpoints have another name, and the first event in
//! it says which tree was lost.

use std::sync::Arc;

use async_trait::async_trait;
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use super::collected::Prepared;
use super::committer::{Attempt, Committer};
use super::tenant::Tenant;
use super::txn::Txn;
use crate::answer::{Answer, Refusal};
use crate::audit::anchor::Anchor;
use crate::audit::event::{Event, Word};
use crate::audit::note::BEGIN_EPOCH;
use crate::json_record;
use crate::namespace::Namespace;
use crate::record::{Address, Kind, Listing};

/// Which epoch of its log a tenant is in. None: the first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LogEpoch {
    /// From 1.
    pub(super) epoch: u32,
}

json_record!(LogEpoch, Kind::LogEpoch, Listing::None);

impl LogEpoch {
    /// Where it is, in each tenant.
    pub(super) fn address() -> Address {
        Address::system(Kind::LogEpoch, "epoch")
    }
}

/// A new epoch, and what was given up for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begun {
    /// Its number.
    pub epoch: u32,
    /// What was signed before, and is not in the store any more.
    pub ended: Anchor,
}

impl Txn {
    /// Accepts that a child's store was rolled back. The first event of its new epoch is logged in it, and that of the request
    /// behind it. `None` when there is no such child, or nothing to accept.
    pub async fn accept_rollback(&mut self, parent: &Arc<Tenant>, name: &str) -> Result<Option<Begun>, Refusal> {
        let Some(found) = self.read::<Namespace>(parent, &Address::system(Kind::Namespace, name)).await? else { return Ok(None) };
        if found.value.sealed {
            return Err(Refusal::NamespaceSealed);
        }
        let Some((tenant, anchor)) = self.tenants().rolled_back_child(parent.id(), &found.value).await? else { return Ok(None) };
        let (begun, event) = self.begin_epoch(&tenant, anchor).await?;
        self.collected.begun.extend(Prepared::all(std::slice::from_ref(&event)).map(|event| (Arc::clone(&tenant), event)));
        Ok(Some(begun))
    }

    /// Writes down that a new epoch begins. Everybody loads the tenant anew after that. Returns the event that must be its first.
    async fn begin_epoch(&mut self, tenant: &Arc<Tenant>, ended: Anchor) -> Result<(Begun, Event), Refusal> {
        let before = self.read::<LogEpoch>(tenant, &LogEpoch::address()).await?.map_or(0, |found| found.value.epoch);
        let full = || Refusal::Internal("the log has had every epoch there is".into());
        let epoch = before.max(ended.epoch).checked_add(1).ok_or_else(full)?;
        self.put(tenant, &LogEpoch::address(), &LogEpoch { epoch }, None).await?;
        self.drop_keys(tenant.id());
        let Anchor { epoch: last, size, root } = ended;
        let detail = format!(
            "epoch {epoch} begins: the store does not have the {size} events with root {} that were signed in epoch {last}",
            HEXLOWER.encode(&root)
        );
        let event = Event::of_job(self.now(), tenant.id(), Word::new(BEGIN_EPOCH), detail);
        Ok((Begun { epoch, ended }, event))
    }
}

/// Begins new epochs of the deployment's own logs, where their rollback was accepted. Nobody else uses the server yet.
///
/// # Errors
/// They were not written.
pub async fn begin_epochs(committer: &Committer) -> Result<(), Refusal> {
    let fixed = [committer.tenants().root(), committer.tenants().edge()];
    for tenant in fixed {
        if let Some(ended) = tenant.ended.get().copied() {
            tracing::warn!(tenant = %tenant.id(), lost = ended.size, "the rollback of a log is accepted: a new epoch begins");
            committer.run(Arc::new(Begin { tenant, ended })).await?;
        }
    }
    committer.tenants().reload_fixed().await;
    committer.tenants().anchors().forget_accepted().await;
    Ok(())
}

/// Begins a new epoch of one of the deployment's own logs.
struct Begin {
    tenant: Arc<Tenant>,
    ended: Anchor,
}

#[async_trait]
impl Attempt for Begin {
    async fn attempt(&self, txn: &mut Txn) -> Result<Answer, Refusal> {
        let (_, event) = txn.begin_epoch(&self.tenant, self.ended).await?;
        txn.conclude(&self.tenant, &event, false);
        Ok(Answer::Empty)
    }
}
