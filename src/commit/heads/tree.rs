//! Hashes of the tree of the deployment's log: the edges that were kept, and the heads between them. So a proof reads a few rows.

use super::super::faults::store_refusal;
use super::super::tenants::Tenants;
use super::HEADS_MAX;
use crate::answer::Refusal;
use crate::audit::head::TenantHead;
use crate::audit::merkle::{Frontier, Hash};
use crate::id::TenantId;
use crate::storage::DeploymentTree;

impl Tenants {
    /// The newest signed tree of the deployment's log, of those with at most `size` heads.
    pub async fn deployment_tree(&self, size: u64) -> Result<Option<DeploymentTree>, Refusal> {
        let found = self.store().deployment_trees(self.root().id(), 0..=size, 1).await;
        Ok(found.map_err(|error| store_refusal(&error))?.pop())
    }

    /// As `Store::heads`.
    pub async fn heads(&self, from: u64, limit: usize) -> Result<Vec<TenantHead>, Refusal> {
        self.store().heads(self.root().id(), from, limit).await.map_err(|error| store_refusal(&error))
    }

    /// As `Store::head_of`.
    pub async fn head_of(&self, tenant: TenantId, before: u64, size: u64) -> Result<Option<(u64, TenantHead)>, Refusal> {
        self.store().head_of(self.root().id(), tenant, before, size).await.map_err(|error| store_refusal(&error))
    }

    /// The hashes that a proof in the deployment's log is made of.
    pub async fn heads_path(&self, stretches: Vec<(u64, u64)>) -> Result<Vec<Hash>, Refusal> {
        let mut path = Vec::with_capacity(stretches.len());
        for stretch in stretches {
            path.push(self.heads_root(stretch).await?);
        }
        Ok(path)
    }

    /// The root of the subtree of the heads from `low` up to before `high`, which stands in the tree of some size.
    async fn heads_root(&self, (low, high): (u64, u64)) -> Result<Hash, Refusal> {
        let malformed = || Refusal::Internal("the log of the deployment is malformed".into());
        // One whose edge has not joined the subtree with what is before it yet.
        let before = self.deployment_tree(high.saturating_sub(1)).await?.filter(|tree| tree.size > low);
        let mut tree = match before {
            None => Frontier::new(),
            Some(before) => {
                let edge = Frontier::from_bytes(&before.frontier).ok();
                edge.and_then(|edge| edge.from_leaf(low)).ok_or_else(malformed)?
            }
        };
        while low + tree.size() < high {
            let wanted = usize::try_from(high - low - tree.size()).unwrap_or(HEADS_MAX).min(HEADS_MAX);
            let heads = self.heads(low + tree.size(), wanted).await?;
            if heads.is_empty() {
                return Err(malformed());
            }
            for head in heads {
                tree.push(head.leaf(self.deployment()));
            }
        }
        Ok(tree.root())
    }
}
