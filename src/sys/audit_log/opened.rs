//! From a row of the log to its events.

use crate::answer::Refusal;
use crate::audit::merkle::leaf_hash;
use crate::audit::summary::{self, Term};
use crate::audit::{batch, event::Event};
use crate::commit::{Segments, Tenant, Tenants, missing};
use crate::storage::Glance;

/// The canonical bytes of a row's events, in the order of the log. What was exchanged or damaged is refused, and told in
/// the server's log.
pub(super) async fn events(
    tenants: &Tenants,
    tenant: &Tenant,
    row: &Glance,
    segments: &mut Segments,
) -> Result<Vec<Vec<u8>>, Refusal> {
    let found;
    if row.pruned {
        found = tenants.log_rows(tenant.id(), row.seq, 1).await?.into_iter().find(|found| found.tail.seq == row.seq);
        let found = found.as_ref().ok_or_else(|| missing(tenant.id(), row.seq))?;
        return tenants.row_events(tenant, found, segments).await;
    }
    let sealed = if row.summary.is_empty() {
        &row.batch
    } else {
        found = tenants.log_rows(tenant.id(), row.seq, 1).await?.into_iter().find(|found| found.tail.seq == row.seq);
        &found.as_ref().ok_or_else(|| missing(tenant.id(), row.seq))?.batch
    };
    let opened = tenant.keyring().open_batch(sealed).map_err(|error| damaged(tenant, row, &error))?;
    let events = batch::decode(opened.expose()).map_err(|error| damaged(tenant, row, &error))?;
    let first = events.first().map(|event| leaf_hash(event));
    if first != Some(row.first_leaf) || events.len() != usize::try_from(row.count).unwrap_or(0) {
        return Err(damaged(tenant, row, &"its events are those of another row"));
    }
    Ok(events)
}

/// Whether an event of the row may have all terms of any of these lists.
pub(super) fn may_have(tenant: &Tenant, row: &Glance, lists: &[Vec<Term>]) -> bool {
    if row.summary.is_empty() || lists.iter().any(Vec::is_empty) {
        return true;
    }
    match tenant.keyring().open_summary(&row.summary, &row.first_leaf) {
        Ok(summary) => lists.iter().any(|terms| terms.iter().all(|term| summary::may_have(&summary, *term))),
        Err(error) => {
            tracing::error!(%error, tenant = %tenant.id(), seq = row.seq, "the summary of a log row does not open: it was changed");
            true
        }
    }
}

/// Reads the canonical bytes of one event.
pub(super) fn parse(tenant: &Tenant, row: &Glance, bytes: &[u8]) -> Result<Event, Refusal> {
    Event::parse(bytes).map(|(_, event)| event).map_err(|error| damaged(tenant, row, &error))
}

fn damaged(tenant: &Tenant, row: &Glance, error: &dyn std::fmt::Display) -> Refusal {
    tracing::error!(%error, tenant = %tenant.id(), seq = row.seq, "a row of the audit log does not open: it was changed outside this server");
    Refusal::Internal(format!("row {} of the audit log does not open", row.seq))
}
