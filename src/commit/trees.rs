//! Hashes of a log's tree, from what its rows keep: the right edge of the tree behind each row, and the leaves of each. So a
//! proof reads a few rows, however long the log is.

use std::ops::RangeInclusive;

use super::faults::store_refusal;
use super::history::missing;
use super::log::Head;
use super::tenants::Tenants;
use crate::answer::Refusal;
use crate::audit::merkle::{Frontier, Hash};
use crate::id::TenantId;
use crate::storage::{Checkpoint, LogRow};

impl Tenants {
    /// As `Store::checkpoints`.
    pub async fn checkpoints(
        &self,
        tenant: TenantId,
        sizes: RangeInclusive<u64>,
        largest_first: bool,
        limit: usize,
    ) -> Result<Vec<Checkpoint>, Refusal> {
        self.store().checkpoints(tenant, sizes, largest_first, limit).await.map_err(|error| store_refusal(&error))
    }

    /// The root of the subtree of the leaves from `low` up to before `high`, which stands in the tree of some size.
    pub async fn subtree_root(&self, tenant: TenantId, (low, high): (u64, u64)) -> Result<Hash, Refusal> {
        let seq = self.row_after(tenant, |row| row.end() < high).await?;
        // The row that the subtree ends in, behind the one before it, which the first has none of.
        let from = seq.saturating_sub(1).max(1);
        let mut rows = self.log_rows(tenant, from, if from < seq { 2 } else { 1 }).await?;
        let last = rows.pop().filter(|row| row.tail.seq == seq).ok_or_else(|| missing(tenant, seq))?;
        let (mut tree, mut at) = (Frontier::new(), low);
        if last.tail.first_index > low {
            let before = rows.pop().ok_or_else(|| missing(tenant, seq.saturating_sub(1)))?;
            let edge = Head::of(tenant, &before.tail).ok().and_then(|head| head.frontier.from_leaf(low));
            tree = edge.ok_or_else(|| malformed(tenant, &before))?;
            at = last.tail.first_index;
        }
        let inside = |index: u64| usize::try_from(index.saturating_sub(last.tail.first_index)).unwrap_or(usize::MAX);
        let (leaves, _) = last.leaves.as_chunks::<32>();
        for leaf in leaves.get(inside(at)..inside(high)).ok_or_else(|| malformed(tenant, &last))? {
            tree.push(*leaf);
        }
        Ok(tree.root())
    }
}

fn malformed(tenant: TenantId, row: &LogRow) -> Refusal {
    let seq = row.tail.seq;
    tracing::error!(%tenant, seq, "a row of the audit log has another tree than its leaves: it was changed outside this server");
    Refusal::Internal(format!("row {seq} of the audit log is malformed"))
}
