//! `sys/rotate/keyring` and `sys/key-status`: the wrapping keys of the request's own tenant.
//!
//! A new one wraps from the next request on. Values that are there keep their old wraps, which still open: rotation retires
//! a key, and takes nothing from whoever had it.

use crate::answer::{Answer, Refusal};
use crate::commit::{Place, Txn};
use crate::engine::table::{Call, Need, Row, Verb};
use crate::json::Json;

/// One operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Add a wrapping key.
    Rotate,
    /// Which wrapping key is in use, since when.
    Status,
}

/// The table.
pub static TABLE: &[Row<Operation>] = &[
    Row::new(Verb::Write, "rotate/keyring", Need::Sudo, &[], "Gives the namespace a new wrapping key.", rotate),
    Row::new(Verb::Write, "rotate", Need::Sudo, &[], "The older form of rotate/keyring.", rotate),
    Row::by_verb(Verb::Read, "key-status", &[], "The number of the wrapping key in use, and since when.", |_| {
        Ok(Operation::Status)
    }),
];

#[expect(clippy::unnecessary_wraps, reason = "what a row's parse gives")]
fn rotate(_: &Call<'_>) -> Result<Operation, Refusal> {
    Ok(Operation::Rotate)
}

/// Runs one operation.
pub async fn run(operation: Operation, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    let tenant = &place.tenant;
    match operation {
        Operation::Rotate => {
            txn.rotate_keyring(tenant).await?;
            Ok(Answer::Empty)
        }
        Operation::Status => {
            // The first one is as old as the tenant's log.
            let installed = match txn.key_state(tenant).await?.installed {
                Some(installed) => installed,
                None => txn.tenants().begun(tenant.id()).await?.unwrap_or_default(),
            };
            Ok(Answer::doubled(Json::object(|data| {
                data.field("term", &tenant.keyring().wrapping_key_version());
                // Uses are not counted: each value has a key of its own, and a wrapping key's nonces are random and long.
                data.field("install_time", &installed.rfc3339()).field("encryptions", &0);
            })))
        }
    }
}
