//! Tells the requests of a group where their events stand, as far as they asked for it.

use std::collections::HashMap;

use super::group::Item;
use crate::audit::note::origin;
use crate::audit::receipt::Receipt;
use crate::id::{DeploymentId, TenantId};
use crate::storage::Batch;

/// Receipts for the items of a group, by their place in it; to be given once the group is durable.
pub(super) struct Receipts(Vec<(usize, Receipt)>);

impl Receipts {
    /// Costs nothing but a look at each item when none asks.
    pub(super) fn of(items: &[Item], batches: &[Batch], deployment: DeploymentId) -> Self {
        if items.iter().all(|item| item.attempt.receipt().is_none()) {
            return Self(Vec::new());
        }
        let logs: HashMap<TenantId, &Batch> = batches.iter().map(|batch| (batch.tenant, batch)).collect();
        let mut counts: HashMap<TenantId, usize> = HashMap::new();
        let mut receipts = Vec::new();
        for (place, item) in items.iter().enumerate() {
            if let (Some(_), Some((tenant, event))) = (item.attempt.receipt(), item.commit.events.first()) {
                let (epoch, tenant) = (tenant.epoch(), tenant.id());
                let at = counts.get(&tenant).copied().unwrap_or(0);
                let log = logs.get(&tenant).map(|batch| &batch.log);
                // The row's own leaf: what is said here must be what is stored.
                let stored = log.filter(|log| log.leaves.as_chunks::<32>().0.get(at) == Some(&event.leaf));
                receipts.extend(stored.map(|log| {
                    let index = log.tail.first_index + at as u64;
                    (place, Receipt { origin: origin(deployment, tenant, epoch), index, leaf: event.leaf })
                }));
            }
            for (tenant, _) in &item.commit.events {
                *counts.entry(tenant.id()).or_default() += 1;
            }
        }
        Self(receipts)
    }

    /// The group is durable.
    pub(super) fn give(self, items: &[Item]) {
        for (place, receipt) in self.0 {
            if let Some(wanted) = items.get(place).and_then(|item| item.attempt.receipt()) {
                // A group is durable once.
                let _ = wanted.set(receipt);
            }
        }
    }
}
