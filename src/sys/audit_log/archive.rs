//! `sys/audit-log/archive`: what of a log is in the archive, and for how long.

use std::time::Duration;

use super::sources::Source;
use crate::answer::{Answer, Refusal};
use crate::commit::{Tenants, Txn};
use crate::json::Json;

/// How long a log's archive keeps events.
pub(super) struct Kept {
    retention: Option<Duration>,
}

/// What is set now.
pub(super) async fn kept(source: &Source, txn: &mut Txn) -> Result<Kept, Refusal> {
    let set = txn.archive_settings(&source.tenant).await?.map(|set| Duration::from_secs(set.retention_seconds));
    let usual = txn.tenants().archive().and_then(|archive| archive.retention);
    Ok(Kept { retention: set.or(usual) })
}

/// Where the log and its archive stand.
pub(super) async fn show(tenants: &Tenants, source: &Source, kept: &Kept) -> Result<Answer, Refusal> {
    let id = source.tenant.id();
    let archived = tenants.archived(id).await?.map_or(0, |newest| newest.size);
    let events = tenants.newest_row(id).await?.map_or(0, |row| row.end());
    let in_database = tenants.first_unpruned(id).await?;
    let kind = tenants.archive().map(|archive| archive.kind());
    Ok(Answer::data(Json::object(|data| {
        data.field("type", &kind).field("events", &events).field("archived", &archived);
        data.field("in_database_from", &in_database).field("in_archive_from", &source.expired);
        data.field("retention", &kept.retention.map(|retention| retention.as_secs()));
    })))
}
