//! `sys/config/auditing/archive`: how long the archive keeps a namespace's audit log. Where it is, and what leaves the database, is
//! the server's configuration.

use std::time::Duration;

use crate::answer::{Answer, Refusal};
use crate::commit::{ArchiveSettings, Place, Txn};
use crate::engine::table::{Call, Field, Need, Row, Verb};
use crate::json::Json;

/// One operation.
#[derive(Debug, PartialEq, Eq)]
pub enum Operation {
    /// What is set.
    Read,
    /// Another retention.
    Write(Duration),
    /// That of the server's configuration.
    Delete,
}

const FIELDS: &[Field] =
    &[Field { name: "retention", kind: "duration", help: "How long events are kept before they are deleted." }];

const PATH: &str = "config/auditing/archive";

/// The table.
pub static TABLE: &[Row<Operation>] = &[
    Row::new(Verb::Read, PATH, Need::Sudo, &[], "Shows how long the archive keeps the audit log.", |_| Ok(Operation::Read)),
    Row::new(Verb::Write, PATH, Need::Sudo, FIELDS, "Sets how long the archive keeps the audit log.", write),
    Row::new(Verb::Delete, PATH, Need::Sudo, &[], "Has the archive keep the audit log as long as others.", |_| {
        Ok(Operation::Delete)
    }),
];

fn write(call: &Call<'_>) -> Result<Operation, Refusal> {
    let retention = call.fields.duration("retention")?.filter(|retention| !retention.is_zero());
    retention.map(Operation::Write).ok_or_else(|| Refusal::invalid("retention is a duration, like 8760h"))
}

/// Runs one operation.
pub async fn run(operation: &Operation, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    let tenant = &place.tenant;
    let archive = txn.tenants().archive().cloned();
    let archive = archive.ok_or_else(|| Refusal::invalid("the server has no archive: its configuration declares one"))?;
    match operation {
        Operation::Read => {
            let set = txn.archive_settings(tenant).await?.map(|set| set.retention_seconds);
            let seconds = |duration: Duration| duration.as_secs();
            Ok(Answer::data(Json::object(|data| {
                data.field("retention", &set.or(archive.retention.map(seconds)));
                data.field("retention_min", &seconds(archive.retention_min));
                data.field("default", &set.is_none());
            })))
        }
        // Whoever wants to hide something must not be able to have it deleted early.
        Operation::Write(retention) if *retention < archive.retention_min => {
            let least = archive.retention_min.as_secs();
            Err(Refusal::Invalid(format!("retention must not be shorter than {least}s, as the server's configuration says")))
        }
        Operation::Write(retention) => {
            let settings = ArchiveSettings { retention_seconds: retention.as_secs().max(1) };
            txn.set_archive_settings(tenant, Some(&settings)).await?;
            Ok(Answer::Empty)
        }
        Operation::Delete => {
            txn.set_archive_settings(tenant, None).await?;
            Ok(Answer::Empty)
        }
    }
}
