//! Epochs of a log. A store that was put back to an older state has lost what was signed since. Once an operator has accepted
//! that, the log goes on from where the store stands, in a new epoch: its checkpoints have another name, and the first event in
//! it says which tree was lost. So it is in a store that was filled from a backup; what counts as used or ended there is in
//! [`AfterRestore`].

use std::sync::Arc;

use async_trait::async_trait;
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use super::collected::Prepared;
use super::committer::{Attempt, Committer};
use super::faults::{KeyError, store_refusal};
use super::tenant::Tenant;
use super::tenants::Tenants;
use super::txn::Txn;
use crate::answer::{Answer, Refusal};
use crate::audit::anchor::Anchor;
use crate::audit::event::{Event, Word};
use crate::audit::note::BEGIN_EPOCH;
use crate::id::{BackupId, TenantId};
use crate::json_record;
use crate::namespace::Namespace;
use crate::record::{Address, Kind, Listing};
use crate::time::Timestamp;

/// Which epoch of its log a tenant is in. None: the first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LogEpoch {
    /// From 1.
    pub(super) epoch: u32,
    /// The last restore from a backup, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) restored: Option<AfterRestore>,
}

/// That a tenant's store was filled from a backup. What was revoked or used after the backup is not known there, so what was given out
/// before the restore does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AfterRestore {
    /// From which one.
    pub backup: BackupId,
    /// When: what can be used once, and was made before, is dead.
    pub at: Timestamp,
    /// Somebody has looked at what may log in and which references there are. Until then neither is any good.
    pub confirmed: bool,
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
        let found = self.read::<LogEpoch>(tenant, &LogEpoch::address()).await?;
        let (before, restored) = found.map_or((0, None), |found| (found.value.epoch, found.value.restored));
        let full = || Refusal::Internal("the log has had every epoch there is".into());
        let epoch = before.max(ended.epoch).checked_add(1).ok_or_else(full)?;
        self.put(tenant, &LogEpoch::address(), &LogEpoch { epoch, restored }, None).await?;
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

impl Txn {
    /// The last restore of a tenant from a backup.
    pub async fn after_restore(&mut self, tenant: &Arc<Tenant>) -> Result<Option<AfterRestore>, Refusal> {
        Ok(self.read::<LogEpoch>(tenant, &LogEpoch::address()).await?.and_then(|found| found.value.restored))
    }

    /// Whether what was made at `made` is of before the last restore: it may have been used or ended, and the store does not know.
    pub async fn is_of_before_restore(&mut self, tenant: &Arc<Tenant>, made: Timestamp) -> Result<bool, Refusal> {
        Ok(self.after_restore(tenant).await?.is_some_and(|restored| made <= restored.at))
    }

    /// For what was granted for longer: who logs in, or uses a reference. Refused after a restore until somebody has confirmed it.
    pub async fn refuse_unconfirmed(&mut self, tenant: &Arc<Tenant>) -> Result<(), Refusal> {
        match self.after_restore(tenant).await? {
            Some(AfterRestore { confirmed: false, .. }) => Err(Refusal::Unavailable(
                "the namespace was restored from a backup: logins and references wait for an operator to confirm it \
                 (sys/restore/confirm)"
                    .to_owned(),
            )),
            _ => Ok(()),
        }
    }

    /// Confirms what may log in, and references. False when nothing waited for that.
    pub async fn confirm_restore(&mut self, tenant: &Arc<Tenant>) -> Result<bool, Refusal> {
        let found = self.read::<LogEpoch>(tenant, &LogEpoch::address()).await?.map(|found| LogEpoch::clone(&found.value));
        let Some(LogEpoch { epoch, restored: Some(restored @ AfterRestore { confirmed: false, .. }) }) = found else {
            return Ok(false);
        };
        let restored = Some(AfterRestore { confirmed: true, ..restored });
        self.put(tenant, &LogEpoch::address(), &LogEpoch { epoch, restored }, None).await?;
        Ok(true)
    }

    /// Writes down that a tenant was restored, and begins an epoch of its log. Returns the event that must be the first of it; `None`
    /// when that was done before. `epoch` is one that no earlier life of this log can have had.
    pub async fn begin_restored(
        &mut self,
        tenant: &Arc<Tenant>,
        epoch: u32,
        (backup, at): (BackupId, Timestamp),
    ) -> Result<Option<Event>, Refusal> {
        let found = self.read::<LogEpoch>(tenant, &LogEpoch::address()).await?;
        let before = found.as_ref().map_or(0, |found| found.value.epoch);
        if found.is_some_and(|found| found.value.restored.is_some_and(|restored| (restored.backup, restored.at) == (backup, at)))
        {
            return Ok(None);
        }
        let full = || Refusal::Internal("the log has had every epoch there is".into());
        let epoch = epoch.max(before.checked_add(1).ok_or_else(full)?);
        let restored = Some(AfterRestore { backup, at, confirmed: false });
        self.put(tenant, &LogEpoch::address(), &LogEpoch { epoch, restored }, None).await?;
        self.drop_keys(tenant.id());
        let signed = self.tenants().store().checkpoints(tenant.id(), 0..=u64::MAX, true, 1).await;
        let last = signed.map_err(|error| store_refusal(&error))?.into_iter().next().map_or_else(
            || "nothing was signed of it before".to_owned(),
            |signed| {
                format!(
                    "the last checkpoint in it is of epoch {before}, {} events with root {}",
                    signed.size,
                    HEXLOWER.encode(&signed.root)
                )
            },
        );
        let detail = format!("epoch {epoch} begins: the log was restored from backup {backup}; {last}");
        Ok(Some(Event::of_job(self.now(), tenant.id(), Word::new(BEGIN_EPOCH), detail)))
    }
}

impl Tenants {
    /// A child with its keys open, whatever its parent says about opening them: for a restore, which nobody else uses.
    pub async fn open_restored(&self, parent: TenantId, namespace: &Namespace) -> Result<Arc<Tenant>, KeyError> {
        let seals = self.seals();
        let tenant = self.loader(&seals).load(namespace.tenant, Some((parent, namespace))).await?;
        self.insert(&tenant);
        Ok(tenant)
    }

    /// Loads the deployment's own tenants again, in their new epoch.
    pub async fn reload_restored(&self) {
        self.reload_fixed().await;
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
