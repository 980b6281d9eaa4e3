//! From a row of the log to its events.

use super::sift::Content;
use crate::answer::Refusal;
use crate::audit::merkle::leaf_hash;
use crate::audit::{batch, event::Event};
use crate::commit::{Segments, Tenant, Tenants, missing};
use crate::storage::{Glance, LogRow};

/// The canonical bytes of a row's events, in the order of the log. What was exchanged or damaged is refused, and told in
/// the server's log.
pub(super) async fn events(
    tenants: &Tenants,
    tenant: &Tenant,
    row: &Glance,
    segments: &mut Segments,
) -> Result<Vec<Vec<u8>>, Refusal> {
    let sealed = match content(tenants, tenant, &mut row.clone(), segments).await? {
        Content::None => return Ok(Vec::new()),
        Content::Open(events) => return Ok(events),
        Content::Sealed(sealed) => sealed,
    };
    let opened = tenant.keyring().open_batch(&sealed).map_err(|error| damaged(tenant, row, &error))?;
    let events = batch::decode(opened.expose()).map_err(|error| damaged(tenant, row, &error))?;
    proven(tenant, row, events.iter().map(Vec::as_slice))?;
    Ok(events)
}

/// The events of a row as the database has them, taken out of it if they are there, or from the archive.
pub(super) async fn content(
    tenants: &Tenants,
    tenant: &Tenant,
    row: &mut Glance,
    segments: &mut Segments,
) -> Result<Content, Refusal> {
    if !row.pruned && row.summary.is_empty() {
        return Ok(Content::Sealed(std::mem::take(&mut row.batch)));
    }
    let found = whole(tenants, tenant, row).await?;
    if row.pruned {
        return tenants.row_events(tenant, &found, segments).await.map(Content::Open);
    }
    Ok(Content::Sealed(found.batch))
}

async fn whole(tenants: &Tenants, tenant: &Tenant, row: &Glance) -> Result<LogRow, Refusal> {
    let found = tenants.log_rows(tenant.id(), row.seq, 1).await?;
    found.into_iter().find(|found| found.tail.seq == row.seq).ok_or_else(|| missing(tenant.id(), row.seq))
}

/// Holds events against what the row says of them.
pub(super) fn proven<'e>(
    tenant: &Tenant,
    row: &Glance,
    mut events: impl ExactSizeIterator<Item = &'e [u8]>,
) -> Result<(), Refusal> {
    let count = events.len();
    if events.next().map(leaf_hash) != Some(row.first_leaf) || count != usize::try_from(row.count).unwrap_or(0) {
        return Err(damaged(tenant, row, &"its events are those of another row"));
    }
    Ok(())
}

/// Reads the canonical bytes of one event.
pub(super) fn parse(tenant: &Tenant, row: &Glance, bytes: &[u8]) -> Result<Event, Refusal> {
    Event::parse(bytes).map(|(_, event)| event).map_err(|error| damaged(tenant, row, &error))
}

pub(super) fn damaged(tenant: &Tenant, row: &Glance, error: &dyn std::fmt::Display) -> Refusal {
    tracing::error!(%error, tenant = %tenant.id(), seq = row.seq, "a row of the audit log does not open: it was changed outside this server");
    Refusal::Internal(format!("row {} of the audit log does not open", row.seq))
}
