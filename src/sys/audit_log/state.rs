//! What the log says of records, and the records as they are stored: what `audit verify --state` compares. Keys are keyed
//! hashes, which tell nothing; what a record is, is told of single ones.

use std::time::Duration;

use super::named;
use super::opened;
use super::sources::Source;
use crate::answer::{Answer, Refusal};
use crate::commit::{Place, Segments, Tenants, Txn};
use crate::engine::directory::{self, Mounted};
use crate::json::{Json, Object};
use crate::record::{DirKey, RecordKey};
use crate::storage::RecordRow;

/// Bytes of what rows say in one page.
const BYTES_MAX: usize = 2 << 20;
/// Records in one page.
const RECORDS: usize = 2_000;
/// How long a page may take. It then ends with what it has.
const TIME_MAX: Duration = Duration::from_secs(2);
/// Events of a row that are shown beside a record.
const EVENTS_SHOWN: usize = 20;

/// What rows from `from` on say: those that changed records, and those that are not sound.
pub(super) async fn changes(tenants: &Tenants, source: &Source, from: u64) -> Result<Answer, Refusal> {
    let start = tenants.clock().now();
    let newest = tenants.newest_row(source.tenant.id()).await?.map_or(0, |row| row.seq);
    let (mut rows, mut bytes, mut next) = (Json::list(), 0, from.max(1));
    loop {
        let told = tenants.told(&source.tenant, next).await?;
        if told.is_empty() {
            break;
        }
        for row in &told {
            next = row.seq + 1;
            if row.changed.is_empty() && row.fault.is_none() {
                continue;
            }
            bytes += row.changed.len() + 64;
            rows.object(|object| {
                object.field("seq", &row.seq).field("time", &row.time.rfc3339());
                object.field("changed", &data_encoding::BASE64.encode(&row.changed));
                object.field("fault", &row.fault.map(crate::commit::Fault::word));
            });
        }
        if bytes >= BYTES_MAX || tenants.clock().now().since(start) >= TIME_MAX {
            break;
        }
    }
    let rows = rows.close();
    Ok(Answer::data(Json::object_of(rows.expose().len() + 128, |data| {
        data.raw("rows", rows.expose()).field("next", &next).field("newest", &newest);
    })))
}

/// Stored records behind `after`, in the order of their keys: number and hash of each, and whether its name opens.
pub(super) async fn records(tenants: &Tenants, source: &Source, after: Option<RecordKey>) -> Result<Answer, Refusal> {
    let page = tenants.stored(&source.tenant, after, RECORDS).await?;
    let mut records = Json::list();
    for row in &page.value {
        records.object(|object| {
            object.field("key", &hex(&row.key.0)).field("seq", &row.seq).field("state", &hex(&row.state_hash()));
            object.field("named", &(row.directory == DirKey::NONE || name(source, row).is_some()));
        });
    }
    let records = records.close();
    Ok(Answer::data(Json::object_of(records.expose().len() + 128, |data| {
        data.raw("records", records.expose()).field("position", &page.seq).field("more", &(page.value.len() == RECORDS));
    })))
}

/// What is known of one record: by what is stored, and by the row of the log that wrote it.
pub(super) async fn record(
    tenants: &Tenants,
    source: &Source,
    mounts: &[Mounted],
    (key, seq): (RecordKey, Option<u64>),
) -> Result<Answer, Refusal> {
    let row = tenants.stored_at(&source.tenant, key).await?;
    let keyring = source.tenant.keyring();
    let opened = row.as_ref().and_then(|row| keyring.record_kind(&row.key, &row.directory, row.expires_at, &row.sealed).ok());
    let told = match seq {
        Some(seq) => tenants.glance(source.tenant.id(), seq..=seq, false, 1).await?.pop(),
        None => None,
    };
    let mut events = Vec::new();
    if let Some(row) = &told {
        for bytes in opened::events(tenants, &source.tenant, row, &mut Segments::default()).await? {
            events.push(opened::parse(&source.tenant, row, &bytes)?);
        }
    }
    let found = named::find(tenants, source, mounts, key, &events).await?;
    let shown =
        |event: &&crate::audit::event::Event| event.status < 400 && !matches!(event.operation.as_str(), "read" | "list" | "scan");
    Ok(Answer::data(Json::object(|data| {
        data.field("key", &hex(&key.0)).field("stored", &row.is_some()).field("opens", &opened.is_some());
        let kind = opened.map(named::kind).or_else(|| found.as_ref().map(|found| named::kind(found.kind as u8)));
        data.field("kind", &kind);
        data.field("name", &row.as_ref().and_then(|row| name(source, row)));
        data.field("path", &found.map(|found| found.path));
        let Some(row) = &told else { return };
        data.object("logged", |logged| {
            logged.field("seq", &row.seq).field("time", &row.time.rfc3339());
            let mut list = Json::list();
            events.iter().filter(shown).take(EVENTS_SHOWN).for_each(|event| list.object(|object| write(object, event)));
            logged.raw("events", list.close().expose());
        });
    })))
}

fn write(object: &mut Object<'_>, event: &crate::audit::event::Event) {
    object.field("operation", &event.operation.as_str()).field("path", &*event.path).field("status", &event.status);
    object.field("caller", &event.caller.as_ref().map(|caller| &caller.display_name));
}

/// The mounts of the namespace, for the names of records.
pub(super) async fn mounts(place: &Place, txn: &mut Txn) -> Result<Vec<Mounted>, Refusal> {
    directory::all(&place.tenant, txn).await
}

/// The name that a directory lists it by, if there is one and it opens.
fn name(source: &Source, row: &RecordRow) -> Option<String> {
    if row.directory == DirKey::NONE {
        return None;
    }
    source.tenant.keyring().open_name(&row.key, &row.directory, &row.name).ok()
}

/// A key as it is shown.
pub(super) fn parse_key(text: &str) -> Result<RecordKey, Refusal> {
    let key = data_encoding::HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok().and_then(|key| key.try_into().ok());
    key.map(RecordKey).ok_or_else(|| Refusal::invalid("a record is named by its key, 64 hexadecimal digits"))
}

fn hex(bytes: &[u8; 32]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}
