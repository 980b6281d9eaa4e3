//! Between rows of the log and segments of the archive; and what is checked before a segment counts.

use std::sync::Arc;

use super::super::log::Head;
use super::super::signer::follow;
use super::super::tenant::Tenant;
use super::super::tenants::Tenants;
use super::Fault;
use crate::answer::Refusal;
use crate::audit::merkle::Frontier;
use crate::audit::note::LogKey;
use crate::audit::segment::{Segment, SegmentRow, epoch};
use crate::storage::{Archived, LogRow, Tail};

/// As it is written into a segment.
pub(super) fn archived_row(row: LogRow) -> SegmentRow {
    let Tail { seq, time, group, mac, changed, .. } = row.tail;
    SegmentRow { seq, time, group, mac, changed, leaves: row.leaves, batch: row.batch, summary: row.summary }
}

/// The rows of a segment as they were in the database. What is not in a segment follows from its leaves.
pub(super) fn log_rows(segment: Segment) -> Vec<LogRow> {
    let mut tree = segment.before;
    let row = |row: SegmentRow| {
        let (first_index, prev_root) = (tree.size(), tree.root());
        row.leaves.as_chunks::<32>().0.iter().for_each(|leaf| tree.push(*leaf));
        let SegmentRow { seq, time, group, mac, changed, leaves, batch, summary } = row;
        let count = u32::try_from(leaves.len() / 32).unwrap_or(u32::MAX);
        let (root, frontier) = (tree.root(), tree.to_bytes());
        let tail = Tail { seq, first_index, count, time, prev_root, root, frontier, changed, group, mac };
        LogRow { tail, batch, leaves, summary }
    };
    segment.rows.into_iter().map(row).collect()
}

/// Where a log stands behind one of its rows, as the database says; `seq` 0 for the beginning.
pub(super) async fn head_at(tenants: &Tenants, tenant: &Tenant, seq: u64) -> Result<Head, Fault> {
    if seq == 0 {
        return Ok(Head::genesis());
    }
    let row = tenants.log_rows(tenant.id(), seq, 1).await?.pop().filter(|row| row.tail.seq == seq);
    let head = row.and_then(|row| Head::of(tenant.id(), &row.tail).ok());
    head.ok_or_else(|| Fault::Refused(super::super::missing(tenant.id(), seq)))
}

/// Whether what the archive gave is a segment that a checkpoint of this log proves, that begins behind `head`, whose rows verify
/// under the tenant's keys, whose events open and are those of the leaves, and that ends as the database says. What of it the
/// store is to remember.
pub(super) async fn verified(
    tenants: &Tenants,
    tenant: &Arc<Tenant>,
    key: &LogKey,
    head: &Head,
    bytes: &[u8],
) -> Result<(Archived, Head), Fault> {
    let begin = head.frontier.size();
    let unproven = |end: u64, what: &dyn std::fmt::Display| Fault::Unproven(begin, end, what.to_string());
    let segment = Segment::parse(bytes).map_err(|error| unproven(begin, &error))?;
    let after: Frontier = segment.after();
    let end = after.size();
    let signed = segment.prove(key).map_err(|error| unproven(end, &error))?;
    let epoch = epoch(&signed.origin, tenants.deployment(), tenant.id());
    let epoch = epoch.ok_or_else(|| unproven(end, &"it is of another log"))?;
    if segment.before != head.frontier {
        return Err(unproven(end, &"it begins elsewhere"));
    }
    let rows = log_rows(segment);
    let mut at = head.clone();
    for row in &rows {
        at = follow(tenants, tenant, &at, row)?;
        tenant.events(row)?;
    }
    let there = head_at(tenants, tenant, at.seq).await?;
    if there.root != at.root || at.root != after.root() {
        return Err(unproven(end, &"it ends otherwise than the log"));
    }
    let found = Archived {
        epoch,
        first_index: begin,
        size: end,
        first_seq: head.seq + 1,
        last_seq: at.seq,
        time: at.time,
        bytes: bytes.len() as u64,
        digest: crate::crypto::sha256(&[bytes]),
    };
    Ok((found, at))
}

/// The segment that has an event, if one was archived.
pub(super) async fn of_event(tenants: &Tenants, tenant: &Tenant, index: u64) -> Result<Option<Archived>, Refusal> {
    let found = tenants.store().archived(tenant.id(), index.saturating_add(1)..=u64::MAX, false, 1).await;
    Ok(found.map_err(|error| super::super::faults::store_refusal(&error))?.pop().filter(|found| found.first_index <= index))
}
