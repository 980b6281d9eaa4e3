//! Taking events out of the database that are in the archive: what is older than the configuration keeps, segment by segment, each
//! read from the archive and verified once more before.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::super::committer::Attempt;
use super::super::tenant::Tenant;
use super::super::txn::Txn;
use super::segment::{head_at, verified};
use super::{Archiver, Fault, Round};
use crate::answer::{Answer, Refusal};
use crate::archive::Name;
use crate::audit::event::{Event, Word};
use crate::audit::segment::BYTES_MAX;
use crate::id::TenantId;
use crate::metrics;
use crate::storage::Archived;
use crate::time::Timestamp;

/// Rows that are pruned in one step.
const CHUNK: u64 = 256;
/// Segments of a log that are pruned in one round.
const SEGMENTS: usize = 64;

/// So long before `now`.
pub(super) fn before(now: Timestamp, ago: Duration) -> Timestamp {
    Timestamp(now.0.saturating_sub(i64::try_from(ago.as_nanos()).unwrap_or(i64::MAX)))
}

/// So long behind `time`.
pub(super) fn after(time: Timestamp, later: Duration) -> Timestamp {
    Timestamp(time.0.saturating_add(i64::try_from(later.as_nanos()).unwrap_or(i64::MAX)))
}

impl Archiver {
    /// Prunes what of a log is due.
    pub(super) async fn prune(&mut self, id: TenantId, round: &Round<'_>) -> Result<(), Fault> {
        let Some(keep) = round.archive.keep_in_database else { return Ok(()) };
        let tenants = Arc::clone(self.tenants());
        let limit = before(tenants.clock().now(), keep);
        let signed = tenants.checkpoints(id, 0..=u64::MAX, true, 1).await?.pop().map_or(0, |signed| signed.size);
        let first = tenants.first_unpruned(id).await?;
        let due = |archived: &Archived| archived.time < limit && archived.size < signed;
        let found = tenants.store().archived(id, first.saturating_add(1)..=u64::MAX, false, SEGMENTS).await?;
        let due: Vec<Archived> = found.into_iter().take_while(due).collect();
        let (Some(oldest), Some(newest)) = (due.first(), due.last()) else { return Ok(()) };
        let Some(tenant) = self.opened(id).await? else { return Ok(()) };
        for archived in &due {
            let head = head_at(&tenants, &tenant, archived.first_seq.saturating_sub(1)).await?;
            let name = Name { tenant: id, epoch: archived.epoch, first: archived.first_index, end: archived.size };
            let bytes = round.archive.get(tenants.deployment(), name, BYTES_MAX).await?;
            let (there, _) = verified(&tenants, &tenant, &round.key, &head, &bytes).await?;
            if there != *archived {
                return Err(Fault::Unproven(archived.first_index, archived.size, "it is not what was archived".into()));
            }
        }
        let text = format!("events {} to {} are in the archive only from now on", oldest.first_index, newest.size - 1);
        self.committer
            .run_under(self.held.as_ref(), Arc::new(Told { tenant, operation: Word::new("archive-prune"), text }))
            .await?;
        for archived in &due {
            let mut seq = archived.first_seq;
            while seq <= archived.last_seq {
                let last = archived.last_seq.min(seq + CHUNK - 1);
                tenants.store().prune(id, seq..=last, limit, self.under()?).await?;
                seq = last + 1;
            }
            metrics::events_pruned(archived.size - archived.first_index);
        }
        Ok(())
    }
}

/// An event of the job, before it does what cannot be undone.
struct Told {
    tenant: Arc<Tenant>,
    operation: Word,
    text: String,
}

#[async_trait]
impl Attempt for Told {
    async fn attempt(&self, txn: &mut Txn) -> Result<Answer, Refusal> {
        let event = Event::of_job(txn.now(), self.tenant.id(), self.operation.clone(), self.text.clone());
        txn.conclude(&self.tenant, &event, false);
        Ok(Answer::Empty)
    }
}
