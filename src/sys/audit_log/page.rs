//! Events as clients see them.

use super::opened;
use super::sources::Source;
use crate::answer::{Answer, Refusal};
use crate::audit::cursor::Position;
use crate::audit::merkle::leaf_hash;
use crate::commit::{Segments, Tenants};
use crate::json::{Json, Object};

/// An event that was found.
pub(super) struct Hit {
    pub(super) position: Position,
    /// Which of the sources it is from.
    pub(super) source: usize,
    pub(super) bytes: Vec<u8>,
}

/// Writes one event: where it stands, and its canonical bytes as they are.
pub(super) fn show(object: &mut Object<'_>, source: &Source, position: &Position, bytes: &[u8]) {
    object.field("index", &position.index).field("leaf", &data_encoding::HEXLOWER.encode(&leaf_hash(bytes)));
    object.field("logged", &position.time.rfc3339()).field("namespace", &source.namespace);
    object.raw("event", bytes);
}

/// `sys/audit-log/event/:index`.
pub(super) async fn one_event(tenants: &Tenants, source: &Source, index: u64, archive: bool) -> Result<Answer, Refusal> {
    let id = source.tenant.id();
    let seq = tenants.row_after(id, |row| row.end() <= index).await?;
    let Some(row) = tenants.glance(id, seq..=seq, false, 1).await?.pop() else { return Err(Refusal::NotFound) };
    if index < source.expired && row.pruned {
        return Err(Refusal::NotFound);
    }
    if row.pruned && !archive {
        return Err(Refusal::Invalid(format!("event {index} is in the archive: ask for it with archive=true")));
    }
    let events = opened::events(tenants, &source.tenant, &row, &mut Segments::default()).await?;
    let at = usize::try_from(index.saturating_sub(row.first_index)).unwrap_or(usize::MAX);
    let bytes = events.get(at).ok_or(Refusal::NotFound)?;
    let position = Position { time: row.time, tenant: id, index };
    Ok(Answer::data(Json::object(|data| show(data, source, &position, bytes))))
}
