//! How long the archive keeps a tenant's events, and deleting what is older. Only events that left the database are deleted, and
//! none while the tenant is held.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::super::committer::Attempt;
use super::super::tenant::Tenant;
use super::super::txn::Txn;
use super::prune::{after, before};
use super::{Archiver, Fault, Round};
use crate::answer::{Answer, Refusal};
use crate::audit::event::{Event, Word};
use crate::id::TenantId;
use crate::json_record;
use crate::record::{Address, Kind, Listing};
use crate::storage::Archived;
use crate::time::Timestamp;

/// Segments that are deleted in one step.
const SEGMENTS: usize = 256;

/// What a tenant set for its archive.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchiveSettings {
    /// How long events are kept, in seconds.
    pub retention_seconds: u64,
}

json_record!(ArchiveSettings, Kind::ArchiveSettings, Listing::None);

/// What is no more in a tenant's archive.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct ArchiveState {
    /// Events below this one were deleted.
    expired: u64,
}

json_record!(ArchiveState, Kind::ArchiveState, Listing::None);

impl Txn {
    /// What a tenant set for its archive, if it did.
    pub async fn archive_settings(&mut self, tenant: &Arc<Tenant>) -> Result<Option<Arc<ArchiveSettings>>, Refusal> {
        Ok(self.read::<ArchiveSettings>(tenant, &settings()).await?.map(|found| found.value))
    }

    /// Sets how long a tenant's archive keeps events; what the server's configuration says, without a word.
    pub async fn set_archive_settings(&mut self, tenant: &Arc<Tenant>, value: Option<&ArchiveSettings>) -> Result<(), Refusal> {
        self.archive_settings(tenant).await?;
        match value {
            Some(value) => self.put(tenant, &settings(), value, None).await,
            None => self.remove::<ArchiveSettings>(tenant, &settings()).await,
        }
    }

    /// Below which event a tenant's archive has none any more.
    pub async fn archive_expired(&mut self, tenant: &Arc<Tenant>) -> Result<u64, Refusal> {
        Ok(self.read::<ArchiveState>(tenant, &state()).await?.map_or(0, |found| found.value.expired))
    }
}

fn settings() -> Address {
    Address::system(Kind::ArchiveSettings, "")
}

fn state() -> Address {
    Address::system(Kind::ArchiveState, "")
}

/// What one server knows of a tenant's retention.
#[derive(Clone, Copy, Default)]
pub(super) struct Expiring {
    /// Up to which row of the log it was looked at.
    seq: u64,
    /// When the next segment is due; none as long as nothing is pruned or set.
    due: Option<Timestamp>,
    /// Below which event objects may be deleted: as it was said in the log a round before, so that nobody is reading them now.
    said: u64,
    /// Below which event they were.
    cleaned: u64,
}

impl Archiver {
    /// Deletes what of a tenant's archive is past its retention. `seq` is the newest row of its log.
    pub(super) async fn expire(&mut self, (id, seq): (TenantId, u64), round: &Round<'_>) -> Result<(), Fault> {
        let tenants = Arc::clone(self.tenants());
        let known = self.expiring.get(&id).copied().unwrap_or_default();
        if known.said > known.cleaned {
            for name in round.archive.list(tenants.deployment(), id, None).await? {
                if name.end <= known.said {
                    self.under()?;
                    round.archive.delete(tenants.deployment(), name).await?;
                }
            }
            self.expiring.entry(id).or_default().cleaned = known.said;
        }
        // What is set changes with a row of the log, and nothing but time makes more of it due.
        if known.seq == seq && known.due.is_none_or(|due| due > tenants.clock().now()) {
            return Ok(());
        }
        let pruned = tenants.first_unpruned(id).await?;
        if pruned == 0 {
            self.expiring.entry(id).or_default().seq = seq;
            return Ok(());
        }
        let Some(tenant) = self.opened(id).await? else { return Ok(()) };
        let step = Arc::new(Expiry { tenant, pruned, retention: round.archive.retention, found: Mutex::default() });
        self.committer.run_under(self.held.as_ref(), Arc::clone(&step) as Arc<dyn Attempt>).await?;
        let (said, due) = *step.found.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.expiring.entry(id).or_default();
        (known.seq, known.due, known.said) = (seq, due, said);
        Ok(())
    }
}

/// Decides what is deleted, with what is set and held at this moment.
struct Expiry {
    tenant: Arc<Tenant>,
    /// The first event that is in the database.
    pruned: u64,
    retention: Option<Duration>,
    /// Below which event nothing is in the archive any more, and when there is more to do.
    found: Mutex<(u64, Option<Timestamp>)>,
}

#[async_trait]
impl Attempt for Expiry {
    async fn attempt(&self, txn: &mut Txn) -> Result<Answer, Refusal> {
        let expired = txn.archive_expired(&self.tenant).await?;
        let found = |expired, due| *self.found.lock().unwrap_or_else(PoisonError::into_inner) = (expired, due);
        found(expired, None);
        let set = txn.archive_settings(&self.tenant).await?;
        let retention = set.map(|set| Duration::from_secs(set.retention_seconds)).or(self.retention);
        let Some(retention) = retention else { return Ok(Answer::Empty) };
        let limit = before(txn.now(), retention);
        let next = expired.saturating_add(1)..=u64::MAX;
        let all = txn.tenants().store().archived(self.tenant.id(), next, false, SEGMENTS).await;
        let all = all.map_err(|error| super::super::faults::store_refusal(&error))?;
        let is_due = |archived: &Archived| archived.time < limit && archived.size <= self.pruned;
        let (due, later): (Vec<Archived>, Vec<Archived>) = all.into_iter().partition(is_due);
        let next_due = later.first().map(|archived| after(archived.time, retention));
        found(expired, next_due.or(Some(txn.now())));
        let Some(newest) = due.last() else { return Ok(Answer::Empty) };
        if txn.legal_hold(&self.tenant).await?.is_some() {
            return Ok(Answer::Empty);
        }
        txn.put(&self.tenant, &state(), &ArchiveState { expired: newest.size }, None).await?;
        let text = format!("events {expired} to {} are deleted from the archive: past their retention", newest.size - 1);
        txn.conclude(&self.tenant, &Event::of_job(txn.now(), self.tenant.id(), Word::new("archive-expire"), text), false);
        found(newest.size, next_due.or(Some(txn.now())));
        Ok(Answer::Empty)
    }
}
