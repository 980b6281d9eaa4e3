//! Copying what is signed into segments.

use std::sync::Arc;

use super::super::log::Head;
use super::super::signer::follow;
use super::super::tenant::Tenant;
use super::super::tenants::Tenants;
use super::segment::{archived_row, head_at, verified};
use super::{Archiver, Fault, Round};
use crate::archive::Name;
use crate::audit::note::TreeHead;
use crate::audit::proof::consistency_stretches;
use crate::audit::segment::{BYTES_MAX, BYTES_WANTED, ROWS_MAX, Segment, SegmentRow, epoch};
use crate::id::TenantId;
use crate::metrics;
use crate::storage::{Archived, Checkpoint};

/// Rows that are read at once.
const ROWS: usize = 16;

impl Archiver {
    /// Archives what of a log is signed and not in the archive.
    pub(super) async fn write(&mut self, id: TenantId, round: &Round<'_>) -> Result<(), Fault> {
        let tenants = Arc::clone(self.tenants());
        let Some(signed) = tenants.checkpoints(id, 0..=u64::MAX, true, 1).await?.pop() else { return Ok(()) };
        let last = tenants.store().archived(id, 0..=u64::MAX, true, 1).await?.pop();
        if last.as_ref().is_some_and(|last| last.size >= signed.size) {
            return Ok(());
        }
        let Some(tenant) = self.opened(id).await? else { return Ok(()) };
        let origin = TreeHead::unverified(&signed.note).map(|head| head.origin).unwrap_or_default();
        let epoch = epoch(&origin, tenants.deployment(), id);
        let epoch = epoch.ok_or_else(|| Fault::Unproven(0, signed.size, "the checkpoint is of another log".into()))?;
        let writing = Writing { tenants: &tenants, tenant: &tenant, epoch, round, signed: &signed };
        let mut head = head_at(&tenants, &tenant, last.map_or(0, |last| last.last_seq)).await?;
        while head.frontier.size() < signed.size {
            self.under()?;
            let (done, next) = match writing.adopted(&head).await? {
                Some(there) => there,
                None => writing.segment(&head).await?,
            };
            // False when another server was faster, which is as good.
            if tenants.store().add_archived(id, &done, self.under()?).await? {
                metrics::segment_archived(done.bytes);
            }
            head = next;
        }
        Ok(())
    }
}

/// What segments of one log are made with.
pub(super) struct Writing<'a> {
    pub(super) tenants: &'a Tenants,
    pub(super) tenant: &'a Arc<Tenant>,
    pub(super) epoch: u32,
    pub(super) round: &'a Round<'a>,
    pub(super) signed: &'a Checkpoint,
}

impl Writing<'_> {
    fn name(&self, first: u64, end: u64) -> Name {
        Name { tenant: self.tenant.id(), epoch: self.epoch, first, end }
    }

    /// A segment that begins behind `head` and was written before: the server ended before it wrote that down. One that does not
    /// verify is written anew.
    async fn adopted(&self, head: &Head) -> Result<Option<(Archived, Head)>, Fault> {
        let (archive, deployment) = (self.round.archive, self.tenants.deployment());
        let there = archive.list(deployment, self.tenant.id(), Some((self.epoch, head.frontier.size()))).await?;
        for name in there.into_iter().rev().filter(|name| name.end <= self.signed.size) {
            let bytes = archive.get(deployment, name, BYTES_MAX).await?;
            match verified(self.tenants, self.tenant, &self.round.key, head, &bytes).await {
                Ok(found) if found.0.size == name.end => return Ok(Some(found)),
                Ok(_) => {}
                Err(fault) => {
                    tracing::warn!(%fault, tenant = %self.tenant.id(), "an object of the archive is no segment; writing it anew");
                }
            }
        }
        Ok(None)
    }

    /// The rows behind `head`: written, read back, and verified.
    pub(super) async fn segment(&self, head: &Head) -> Result<(Archived, Head), Fault> {
        let (rows, after) = self.rows(head).await?;
        let (first, end) = (head.frontier.size(), after.frontier.size());
        let stretches = consistency_stretches(end, self.signed.size).unwrap_or_default();
        let mut proof = Vec::with_capacity(stretches.len());
        for stretch in stretches {
            proof.push(self.tenants.subtree_root(self.tenant.id(), stretch).await?);
        }
        let segment = Segment {
            deployment: self.tenants.deployment(),
            tenant: self.tenant.id(),
            before: head.frontier.clone(),
            rows,
            proof,
            note: self.signed.note.clone(),
        };
        let bytes = segment.encode();
        drop(segment);
        let (archive, deployment, name) = (self.round.archive, self.tenants.deployment(), self.name(first, end));
        archive.put(deployment, name, bytes.clone()).await?;
        if archive.get(deployment, name, BYTES_MAX).await? != bytes {
            return Err(Fault::Unproven(first, end, "the archive gave back something else than it was given".into()));
        }
        verified(self.tenants, self.tenant, &self.round.key, head, &bytes).await
    }

    /// As many whole rows behind `head` as make a segment, none of which ends behind the signed tree.
    async fn rows(&self, head: &Head) -> Result<(Vec<SegmentRow>, Head), Fault> {
        let (mut rows, mut size, mut at) = (Vec::new(), 0, head.clone());
        loop {
            let read = self.tenants.log_rows(self.tenant.id(), at.seq + 1, ROWS).await?;
            let whole = read.len() == ROWS;
            for row in read {
                let fits = size < BYTES_WANTED && rows.len() < ROWS_MAX && row.tail.size() <= self.signed.size;
                if !fits {
                    return Ok((rows, at));
                }
                at = follow(self.tenants, self.tenant, &at, &row)?;
                let row = archived_row(row);
                size += row.bytes();
                rows.push(row);
            }
            if !whole {
                return Ok((rows, at));
            }
        }
    }
}
