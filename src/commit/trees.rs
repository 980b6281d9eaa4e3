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
use crate::storage::{Checkpoint, KeptLeaves, LogRow};

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
        let mut edge = None;
        if last.tail.first_index > low {
            let before = rows.pop().ok_or_else(|| missing(tenant, seq.saturating_sub(1)))?;
            edge = Head::of(tenant, &before.tail).ok().map(|head| head.frontier);
        }
        joined((low, high), edge.as_ref(), last.tail.first_index, &last.leaves).ok_or_else(|| malformed(tenant, &last))
    }

    /// How many events of an erased tenant's log are left as leaf hashes; 0 for a tenant that is not erased.
    pub async fn kept_size(&self, tenant: TenantId) -> Result<u64, Refusal> {
        Ok(self.kept(tenant, u64::MAX, 1).await?.first().map_or(0, KeptLeaves::end))
    }

    /// As `subtree_root`, from the leaf hashes that were kept of an erased tenant.
    pub async fn kept_subtree_root(&self, tenant: TenantId, (low, high): (u64, u64)) -> Result<Hash, Refusal> {
        let runs = self.kept(tenant, high, 2).await?;
        let root = runs.first().and_then(|last| {
            let edge = runs.get(1).and_then(|before| Frontier::from_bytes(&before.frontier).ok());
            joined((low, high), edge.as_ref(), last.first_index, &last.leaves)
        });
        root.ok_or_else(|| {
            tracing::error!(%tenant, low, high, "leaf hashes of an erased log are not as they were kept: they were changed outside this server");
            Refusal::Internal("leaf hashes of the erased log are malformed".into())
        })
    }

    async fn kept(&self, tenant: TenantId, below: u64, limit: usize) -> Result<Vec<KeptLeaves>, Refusal> {
        self.store().kept_leaves(tenant, below, limit).await.map_err(|error| store_refusal(&error))
    }
}

/// The root of a subtree that ends in `leaves`, the first of which is leaf `first_index`; `edge` is that of the tree before them.
fn joined((low, high): (u64, u64), edge: Option<&Frontier>, first_index: u64, leaves: &[u8]) -> Option<Hash> {
    let mut tree = if first_index > low { edge?.from_leaf(low)? } else { Frontier::new() };
    let inside = |index: u64| usize::try_from(index.saturating_sub(first_index)).unwrap_or(usize::MAX);
    let (leaves, _) = leaves.as_chunks::<32>();
    leaves.get(inside(low)..inside(high))?.iter().for_each(|leaf| tree.push(*leaf));
    Some(tree.root())
}

fn malformed(tenant: TenantId, row: &LogRow) -> Refusal {
    let seq = row.tail.seq;
    tracing::error!(%tenant, seq, "a row of the audit log has another tree than its leaves: it was changed outside this server");
    Refusal::Internal(format!("row {seq} of the audit log is malformed"))
}
