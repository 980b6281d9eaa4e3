//! Reading logs back. Rows are numbered without gaps and their times never go back, so a place is found by halving.

use std::ops::RangeInclusive;

use super::faults::store_refusal;
use super::tenants::Tenants;
use crate::answer::Refusal;
use crate::id::TenantId;
use crate::storage::{Glance, LogRow};

impl Tenants {
    /// As `Store::glance`.
    pub async fn glance(
        &self,
        tenant: TenantId,
        seqs: RangeInclusive<u64>,
        newest_first: bool,
        limit: usize,
    ) -> Result<Vec<Glance>, Refusal> {
        self.store().glance(tenant, seqs, newest_first, limit, false).await.map_err(|error| store_refusal(&error))
    }

    /// The same of rows that are opened anyway: with their batches, without summaries.
    pub async fn glance_opening(
        &self,
        tenant: TenantId,
        seqs: RangeInclusive<u64>,
        newest_first: bool,
        limit: usize,
    ) -> Result<Vec<Glance>, Refusal> {
        self.store().glance(tenant, seqs, newest_first, limit, true).await.map_err(|error| store_refusal(&error))
    }

    /// As `Store::log`.
    pub async fn log_rows(&self, tenant: TenantId, from_seq: u64, limit: usize) -> Result<Vec<LogRow>, Refusal> {
        self.store().log(tenant, from_seq, limit).await.map_err(|error| store_refusal(&error))
    }

    /// The newest row of a tenant's log.
    pub async fn newest_row(&self, tenant: TenantId) -> Result<Option<Glance>, Refusal> {
        Ok(self.glance(tenant, 1..=u64::MAX, true, 1).await?.pop())
    }

    /// The number of the first row that `before` is false of, given that it is true of all rows up to some point and of none
    /// behind it; one past the newest row when it is true of all.
    pub async fn row_after(&self, tenant: TenantId, before: impl Fn(&Glance) -> bool) -> Result<u64, Refusal> {
        let Some(newest) = self.newest_row(tenant).await? else { return Ok(1) };
        let (mut low, mut high) = (1, newest.seq + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            let row = self.glance(tenant, middle..=middle, false, 1).await?.pop().ok_or_else(|| missing(tenant, middle))?;
            if before(&row) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }
}

/// The rows of a log are numbered without gaps: one that is not there was taken out.
pub fn missing(tenant: TenantId, seq: u64) -> Refusal {
    tracing::error!(%tenant, seq, "a row of the audit log is not there: it was removed outside this server");
    Refusal::Internal(format!("row {seq} of the audit log is not there"))
}
