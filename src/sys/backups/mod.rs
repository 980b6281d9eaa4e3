//! `sys/backups`: backups of the whole deployment, made by a job (`job`) on one server at a time. `sys/restore`: what a namespace that
//! came out of a backup waits for (`restore` tells it so, before any server opens).
//!
//! Must not know what is in a backup, or how it is written: that is `backup/`.

mod job;
mod record;
pub mod restore;

pub(super) use job::BackupJob;
pub use job::Making;
pub(in crate::sys) use record::{Backup, all};

use crate::answer::{Answer, Refusal};
use crate::commit::{AfterRestore, Place, Txn};
use crate::engine::table::{Call, Need, Row, Verb};
use crate::id::BackupId;
use crate::json::Json;

/// Backups that wait, or are being made: one more is refused.
const WAITING_MAX: usize = 4;

/// One operation.
#[derive(Debug, PartialEq, Eq)]
pub enum Operation {
    /// All backups that are known.
    List,
    /// One.
    Read(BackupId),
    /// Asks for one.
    Make,
    /// Whether the namespace came out of a backup.
    Restored,
    /// Lets in again who may log in, and references resolve.
    Confirm,
}

/// The table.
pub static TABLE: &[Row<Operation>] = &[
    Row::by_verb(Verb::List, "backups", &[], "Lists backups.", |_| Ok(Operation::List)),
    Row::by_verb(Verb::Read, "backups/:id", &[], "Shows how far a backup is, or where.", |call: &Call<'_>| {
        BackupId::parse(call.captures.get(0)).map(Operation::Read).ok_or(Refusal::NotFound)
    }),
    Row::new(Verb::Write, "backups", Need::Sudo, &[], "Has a backup of the deployment made.", |_| Ok(Operation::Make)),
    Row::by_verb(Verb::Read, "restore", &[], "Shows whether the namespace was restored from a backup.", |_| {
        Ok(Operation::Restored)
    }),
    Row::new(
        Verb::Write,
        "restore/confirm",
        Need::Sudo,
        &[],
        "Has logins and references work again after a restore from a backup.",
        |_| Ok(Operation::Confirm),
    ),
];

/// Runs one operation. Backups are the deployment's; a restore is told of each namespace.
pub async fn run(operation: Operation, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    let of_deployment = matches!(operation, Operation::List | Operation::Read(_) | Operation::Make);
    if of_deployment {
        super::in_root(place)?;
    }
    match operation {
        Operation::List => list(txn).await,
        Operation::Read(id) => {
            let found = txn.read::<Backup>(&place.tenant, &Backup::address(id)).await?.ok_or(Refusal::NotFound)?;
            let retention = txn.tenants().backup_retention();
            Ok(Answer::data(Json::object(|data| found.value.show(data.field("id", &id.to_string()), retention))))
        }
        Operation::Make => make(place, txn).await,
        Operation::Restored => {
            let restored = txn.after_restore(&place.tenant).await?;
            Ok(Answer::data(Json::object(|data| {
                data.field("restored", &restored.is_some());
                if let Some(AfterRestore { backup, at, confirmed }) = restored {
                    data.field("backup", &backup.to_string()).field("at", &at.rfc3339()).field("confirmed", &confirmed);
                }
            })))
        }
        Operation::Confirm => {
            if txn.confirm_restore(&place.tenant).await? {
                txn.note_detail("what was granted before the restore is confirmed".to_owned());
                Ok(Answer::Empty)
            } else {
                Err(Refusal::invalid("nothing waits for a confirmation in this namespace"))
            }
        }
    }
}

async fn list(txn: &mut Txn) -> Result<Answer, Refusal> {
    let mut found = all(txn).await?;
    if found.is_empty() {
        return Err(Refusal::NotFound);
    }
    found.sort_by_key(|backup| backup.wanted);
    let retention = txn.tenants().backup_retention();
    Ok(Answer::data(Json::object(|data| {
        data.object("key_info", |data| {
            for backup in &found {
                data.object(&backup.id.to_string(), |data| backup.show(data, retention));
            }
        });
        let keys: Vec<String> = found.iter().map(|backup| backup.id.to_string()).collect();
        data.strings("keys", &keys.iter().map(String::as_str).collect::<Vec<_>>());
    })))
}

async fn make(place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    if !txn.tenants().makes_backups() {
        return Err(Refusal::invalid(
            "the server has no place for backups: its configuration declares one (backup \"file\" { .. })",
        ));
    }
    if all(txn).await?.iter().filter(|backup| matches!(backup.state(), "waiting" | "running")).count() >= WAITING_MAX {
        return Err(Refusal::TooMany("enough backups are waiting to be made".into()));
    }
    let backup = Backup::new(txn.now(), false);
    txn.put(&place.tenant, &Backup::address(backup.id), &backup, None).await?;
    txn.note_detail(format!("backup {}", backup.id));
    Ok(Answer::data(Json::object(|data| {
        data.field("id", &backup.id.to_string());
    })))
}
