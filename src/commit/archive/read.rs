//! Reading events that left the database: from the segments of the archive, a few of which are kept for the rows that follow.

use std::sync::Arc;

use super::super::faults::store_refusal;
use super::super::tenant::Tenant;
use super::super::tenants::Tenants;
use super::segment::{log_rows, of_event};
use crate::answer::Refusal;
use crate::archive::{Archive, ArchiveError, Name};
use crate::audit::segment::{BYTES_MAX, Segment};
use crate::crypto::sha256;
use crate::id::TenantId;
use crate::storage::LogRow;

/// Segments that one reading keeps.
const KEPT: usize = 2;

/// The segments that a reading of logs has come by.
#[derive(Default)]
pub struct Segments {
    kept: Vec<(TenantId, u64, u64, Vec<LogRow>)>,
}

impl Tenants {
    /// Says where logs are archived. The first word counts.
    pub fn set_archive(&self, archive: Arc<Archive>) {
        self.archive.get_or_init(|| archive);
    }

    /// Where logs are archived, if they are.
    pub fn archive(&self) -> Option<&Arc<Archive>> {
        self.archive.get()
    }

    /// Index of the first event that is in the database.
    pub async fn first_unpruned(&self, tenant: TenantId) -> Result<u64, Refusal> {
        let first = self.glance(tenant, 1..=1, false, 1).await?.pop();
        if first.is_none_or(|row| !row.pruned) {
            return Ok(0);
        }
        let seq = self.row_after(tenant, |row| row.pruned).await?;
        Ok(self.glance(tenant, seq..=seq, false, 1).await?.pop().map_or(0, |row| row.first_index))
    }

    /// How many segments of a log are in the archive, how many bytes they have, and the index behind their last event.
    pub async fn archived(&self, tenant: TenantId) -> Result<Option<crate::storage::Archived>, Refusal> {
        let newest = self.store().archived(tenant, 0..=u64::MAX, true, 1).await.map_err(|error| store_refusal(&error))?;
        Ok(newest.into_iter().next())
    }

    /// The canonical bytes of a row's events, from the archive when they left the database.
    pub async fn row_events(&self, tenant: &Tenant, row: &LogRow, segments: &mut Segments) -> Result<Vec<Vec<u8>>, Refusal> {
        if !row.batch.is_empty() {
            return tenant.events(row);
        }
        let archived = segments.row(self, tenant, row).await?;
        if archived.leaves != row.leaves || archived.tail.mac != row.tail.mac {
            tracing::error!(tenant = %tenant.id(), seq = row.tail.seq, "the archive has another row than the log: it was changed");
            return Err(Refusal::Internal(format!("row {} of the audit log is another one in the archive", row.tail.seq)));
        }
        tenant.events(archived)
    }
}

impl Segments {
    /// The row as the archive has it.
    async fn row(&mut self, tenants: &Tenants, tenant: &Tenant, row: &LogRow) -> Result<&LogRow, Refusal> {
        let (id, index) = (tenant.id(), row.tail.first_index);
        let has = |(known, first, end, _): &(TenantId, u64, u64, Vec<LogRow>)| *known == id && (*first..*end).contains(&index);
        if !self.kept.iter().any(has) {
            let fetched = fetch(tenants, tenant, index).await?;
            if self.kept.len() == KEPT {
                self.kept.remove(0);
            }
            self.kept.push(fetched);
        }
        let found = self.kept.iter().rev().find(|kept| has(kept)).and_then(|(_, _, _, rows)| {
            rows.binary_search_by_key(&row.tail.seq, |row| row.tail.seq).ok().and_then(|at| rows.get(at))
        });
        found.ok_or_else(|| super::super::missing(id, row.tail.seq))
    }
}

async fn fetch(tenants: &Tenants, tenant: &Tenant, index: u64) -> Result<(TenantId, u64, u64, Vec<LogRow>), Refusal> {
    let id = tenant.id();
    let away = || Refusal::Unavailable("these events are in the archive, and the server has none configured".into());
    let archive = tenants.archive().ok_or_else(away)?;
    let gone = || Refusal::Internal(format!("event {index} is neither in the database nor in the archive"));
    let archived = of_event(tenants, tenant, index).await?.ok_or_else(gone)?;
    let name = Name { tenant: id, epoch: archived.epoch, first: archived.first_index, end: archived.size };
    let bytes = match archive.get_for_request(tenants.deployment(), name, BYTES_MAX).await {
        Ok(bytes) => bytes,
        Err(error @ ArchiveError::Missing(_)) => {
            tracing::error!(%error, tenant = %id, "a segment of the archive is not there: it was deleted outside this server");
            return Err(Refusal::Internal(format!("event {index} is not in the archive any more")));
        }
        Err(error) => {
            tracing::warn!(%error, tenant = %id, "a segment was not read");
            return Err(Refusal::Unavailable("the archive is not available".into()));
        }
    };
    let damaged = |what: &dyn std::fmt::Display| {
        tracing::error!(what = %what, tenant = %id, "a segment of the archive is not what was written: it was changed");
        Refusal::Internal(format!("the segment of event {index} in the archive is damaged"))
    };
    if sha256(&[&bytes]) != archived.digest {
        return Err(damaged(&"it has another hash"));
    }
    let segment = Segment::parse(&bytes).map_err(|error| damaged(&error))?;
    Ok((id, archived.first_index, archived.size, log_rows(segment)))
}
