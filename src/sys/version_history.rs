//! `sys/version-history`: which version runs, and since when.

use crate::answer::{Answer, Refusal};
use crate::commit::{Place, Txn};
use crate::engine::table::{Row, Verb};
use crate::json::Json;
use crate::sys::barrier::API_VERSION;
use crate::time::Timestamp;

/// The one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// The version that runs.
    List,
}

/// The table.
pub static TABLE: &[Row<Operation>] =
    &[Row::by_verb(Verb::List, "version-history", &[], "Shows the version that runs; no history is kept.", |_| {
        Ok(Operation::List)
    })];

/// Runs the one operation.
pub async fn run(operation: Operation, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    let Operation::List = operation;
    super::in_root(place)?;
    let begun = txn.tenants().begun(place.tenant.id()).await?.unwrap_or(Timestamp(0));
    Ok(Answer::data(Json::object(|data| {
        data.strings("keys", &[API_VERSION]).object("key_info", |info| {
            info.object(API_VERSION, |version| {
                version.field("build_date", "").null("previous_version");
                version.field("timestamp_installed", &begun.rfc3339());
            });
        });
    })))
}
