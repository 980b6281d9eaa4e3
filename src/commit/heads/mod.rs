//! The deployment's log: it takes the head of every tenant's log that is signed, and is signed itself. Its rows belong to the root
//! tenant. What is signed always extends what this server knew of it: every head since then is hashed again.
//!
//! Owns the appending, what proofs are made of, and that witnesses cosign. It must not hold up requests: everything happens after a
//! log was signed. Sizes and places count heads.

mod submitting;
mod tree;
mod witnesses;

use std::collections::{HashMap, HashSet};

use super::faults::store_refusal;
use super::signer::unusable;
use super::tenants::Tenants;
use crate::answer::Refusal;
use crate::audit::head::{TenantHead, deployment_origin};
use crate::audit::merkle::Frontier;
use crate::audit::note::{LogKey, TreeHead};
use crate::crypto::SigningKey;
use crate::id::TenantId;
use crate::storage::{DeploymentTree, Fence};

pub use submitting::Submitter;
pub use witnesses::{Cosigned, Witnesses, WitnessesError};

/// Most heads that are appended at once, or read.
const HEADS_MAX: usize = 1_000;
/// How often other servers may be first.
const TRIES: usize = 16;

/// Appends to the deployment's log.
#[derive(Default)]
pub(super) struct Gatherer {
    /// What this server has signed, or found signed and verified.
    known: Option<Frontier>,
    /// The newest head of each log in it.
    gathered: HashMap<TenantId, TenantHead>,
}

impl Gatherer {
    /// Appends those of `heads` that are not the newest of their logs yet. All of them were signed.
    pub(super) async fn gather(
        &mut self,
        tenants: &Tenants,
        key: &SigningKey,
        heads: &[TenantHead],
        under: Option<Fence>,
    ) -> Result<(), Refusal> {
        let logs: HashSet<TenantId> = heads.iter().map(|head| head.tenant).collect();
        self.gathered.retain(|tenant, _| logs.contains(tenant));
        let is_new = |gathered: &HashMap<_, _>, head: &TenantHead| gathered.get(&head.tenant) != Some(head);
        let mut overtaken = 0;
        while overtaken < TRIES {
            if !heads.iter().any(|head| is_new(&self.gathered, head)) {
                return Ok(());
            }
            let known = self.follow(tenants, key).await?;
            for head in heads {
                if !self.gathered.contains_key(&head.tenant)
                    && let Some((_, found)) = tenants.head_of(head.tenant, known.size(), u64::MAX).await?
                {
                    self.gathered.insert(head.tenant, found);
                }
            }
            let new: Vec<TenantHead> =
                heads.iter().filter(|head| is_new(&self.gathered, head)).copied().take(HEADS_MAX).collect();
            if new.is_empty() {
                return Ok(());
            }
            if let Some(grown) = append(tenants, key, known, &new, under).await? {
                self.known = Some(grown);
                self.gathered.extend(new.into_iter().map(|head| (head.tenant, head)));
            } else {
                overtaken += 1;
            }
        }
        Err(Refusal::Unavailable("other servers kept appending to the log of the deployment".into()))
    }

    /// Goes up to the newest tree. It must be signed, and extend what is known.
    async fn follow(&mut self, tenants: &Tenants, key: &SigningKey) -> Result<Frontier, Refusal> {
        let newest = tenants.deployment_tree(u64::MAX).await?;
        // What was signed once stays what is to be extended, whatever is found now.
        let mut known = match (&self.known, &newest) {
            (Some(known), _) => known.clone(),
            (None, None) => Frontier::new(),
            (None, Some(tree)) => edge(tree)?,
        };
        if let Some(tree) = &newest {
            while known.size() < tree.size {
                let some = tenants.heads(known.size(), HEADS_MAX).await?;
                let wanted = usize::try_from(tree.size - known.size()).unwrap_or(usize::MAX);
                if some.is_empty() {
                    return Err(forked("heads of it are missing"));
                }
                for head in some.into_iter().take(wanted) {
                    known.push(head.leaf(tenants.deployment()));
                    self.gathered.insert(head.tenant, head);
                }
            }
            signed(tenants, key, tree)?;
        }
        if newest.map_or_else(|| Frontier::new().to_bytes(), |tree| tree.frontier) != known.to_bytes() {
            return Err(forked("it is shorter than it was, or another one"));
        }
        self.known = Some(known.clone());
        Ok(known)
    }
}

/// Signs the tree with these heads behind `known`. None when another server was first.
async fn append(
    tenants: &Tenants,
    key: &SigningKey,
    mut known: Frontier,
    heads: &[TenantHead],
    under: Option<Fence>,
) -> Result<Option<Frontier>, Refusal> {
    let root = tenants.root();
    for head in heads {
        known.push(head.leaf(tenants.deployment()));
    }
    let origin = deployment_origin(tenants.deployment(), root.epoch());
    let note = TreeHead { origin, size: known.size(), root: known.root() }.sign(key).map_err(unusable)?;
    let tree = DeploymentTree { size: known.size(), frontier: known.to_bytes(), note: note.into_bytes() };
    let added = tenants.store().add_heads(root.id(), heads, &tree, under).await.map_err(|error| store_refusal(&error))?;
    Ok(added.then_some(known))
}

/// The stored tree is the one that this deployment has signed.
fn signed(tenants: &Tenants, key: &SigningKey, tree: &DeploymentTree) -> Result<(), Refusal> {
    let name = deployment_origin(tenants.deployment(), tenants.root().epoch());
    let edge = edge(tree)?;
    let opened = LogKey::of(&name, key).map_err(unusable)?.open_of_log(&tree.note);
    match opened {
        Ok((head, 0)) if (head.size, head.root) == (tree.size, edge.root()) => Ok(()),
        _ => Err(forked("its last tree was not signed with the key of this deployment")),
    }
}

fn edge(tree: &DeploymentTree) -> Result<Frontier, Refusal> {
    let edge = Frontier::from_bytes(&tree.frontier).ok().filter(|edge| edge.size() == tree.size);
    edge.ok_or_else(|| forked("the edge of its last tree is malformed"))
}

fn forked(what: &str) -> Refusal {
    tracing::error!(what, "the log of the deployment does not extend what was signed: it was changed outside this server");
    Refusal::Internal("the log of the deployment does not extend what was signed".into())
}

#[cfg(test)]
mod tests;
