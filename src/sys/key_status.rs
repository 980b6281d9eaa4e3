//! `sys/key-status` and `sys/version-history`: which key seals new values of a namespace, and which version runs.

use crate::answer::{Answer, Refusal};
use crate::commit::{Place, Txn};
use crate::engine::table::{Row, Verb};
use crate::json::Json;
use crate::sys::barrier::API_VERSION;
use crate::time::Timestamp;

/// One operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// The newest wrapping key of the request's namespace.
    KeyStatus,
    /// The version that runs.
    VersionHistory,
}

/// The table.
pub static TABLE: &[Row<Operation>] = &[
    Row::by_verb(Verb::Read, "key-status", &[], "Shows the key that seals new values of the namespace.", |_| {
        Ok(Operation::KeyStatus)
    }),
    Row::by_verb(Verb::List, "version-history", &[], "Shows the version that runs; no history is kept.", |_| {
        Ok(Operation::VersionHistory)
    }),
];

/// Runs one operation.
pub async fn run(operation: Operation, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    match operation {
        Operation::KeyStatus => {
            let tenant = &place.tenant;
            let begun = txn.tenants().begun(tenant.id()).await?;
            Ok(Answer::doubled(Json::object(|data| {
                data.field("term", &tenant.keyring().wrapping_key_version());
                data.field("install_time", &text(begun)).field("encryptions", &tenant.position());
            })))
        }
        Operation::VersionHistory if place.tenant.parent().is_some() => {
            Err(Refusal::invalid("operation only available in root namespace"))
        }
        Operation::VersionHistory => {
            let begun = txn.tenants().begun(place.tenant.id()).await?;
            Ok(Answer::data(Json::object(|data| {
                data.strings("keys", &[API_VERSION]).object("key_info", |info| {
                    info.object(API_VERSION, |version| {
                        version.field("build_date", "").null("previous_version");
                        version.field("timestamp_installed", &text(begun));
                    });
                });
            })))
        }
    }
}

fn text(time: Option<Timestamp>) -> String {
    time.unwrap_or(Timestamp(0)).rfc3339()
}
