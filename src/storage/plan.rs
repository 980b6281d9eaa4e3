//! What a group writes, checked and flattened, the same for both stores.

use std::collections::{BTreeMap, HashMap};

use super::{Batch, Change, Feed, LogRow, RecordRow, StoreError, Structural};
use crate::id::TenantId;
use crate::record::RecordKey;

/// The rows of a group, each kind ordered by tenant, then key.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) puts: Vec<(TenantId, RecordRow)>,
    pub(super) removes: Vec<(TenantId, RecordKey)>,
    pub(super) logs: Vec<(TenantId, LogRow)>,
}

impl Plan {
    /// Flattens `batches`. Every tenant named must be locked, once, and every log row must follow its tail.
    pub(super) fn new(
        mut batches: Vec<Batch>,
        structural: &[Structural],
        feeds: &HashMap<TenantId, Feed>,
    ) -> Result<Self, StoreError> {
        let locked = |tenant| feeds.get(&tenant).filter(|feed| feed.locked);
        if structural.iter().any(|change| locked(change.tenant()).is_none()) {
            return Err(StoreError::Misused("a changed tenant is not locked by the group"));
        }
        batches.sort_unstable_by_key(|batch| batch.tenant);
        let mut plan = Self::default();
        for batch in batches {
            let feed = locked(batch.tenant).ok_or(StoreError::Misused("a batch's tenant is not locked by the group"))?;
            if batch.log.tail.seq != feed.seq().saturating_add(1) {
                return Err(StoreError::Misused("a log row does not follow its tail"));
            }
            if plan.logs.last().is_some_and(|(tenant, _)| *tenant == batch.tenant) {
                return Err(StoreError::Misused("a tenant has two batches in a group"));
            }
            plan.add(batch);
        }
        Ok(plan)
    }

    /// Rows of one tenant that follow nothing: a restore.
    pub(super) fn restored(tenant: TenantId, changes: Vec<Change>, log: Vec<LogRow>) -> Self {
        let mut plan = Self::default();
        plan.change(tenant, changes);
        plan.logs.extend(log.into_iter().map(|row| (tenant, row)));
        plan
    }

    fn add(&mut self, batch: Batch) {
        self.change(batch.tenant, batch.changes);
        self.logs.push((batch.tenant, batch.log));
    }

    fn change(&mut self, tenant: TenantId, changes: Vec<Change>) {
        let last: BTreeMap<RecordKey, Change> = changes.into_iter().map(|change| (change.key(), change)).collect();
        for change in last.into_values() {
            match change {
                Change::Put(row) => self.puts.push((tenant, row)),
                Change::Remove(key) => self.removes.push((tenant, key)),
            }
        }
    }
}
