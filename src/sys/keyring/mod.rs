//! `sys/rotate/keyring`, `sys/rotate/status` and `sys/key-status`: the wrapping keys of the request's own tenant.
//!
//! A new one wraps from the next request on. A job wraps the values that are there anew, and then destroys the older keys. This
//! retires keys; whoever already held the data key of a value still has it, until the value is written again.

use crate::answer::{Answer, Refusal};
use crate::commit::{Place, Rewrap, Txn};
use crate::crypto::Keyring;
use crate::engine::table::{Call, Need, Row, Verb};
use crate::json::{Json, Object};

/// One operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Add a wrapping key.
    Rotate,
    /// How far values are wrapped by the newest one.
    Progress,
    /// Which wrapping key is in use, since when.
    Status,
}

/// The table.
pub static TABLE: &[Row<Operation>] = &[
    Row::new(Verb::Write, "rotate/keyring", Need::Sudo, &[], "Gives the namespace a new wrapping key.", rotate),
    Row::new(Verb::Write, "rotate", Need::Sudo, &[], "The older form of rotate/keyring.", rotate),
    Row::by_verb(
        Verb::Read,
        "rotate/status",
        &[],
        "How far the namespace's values are wrapped by its newest wrapping key.",
        |_| Ok(Operation::Progress),
    ),
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
        Operation::Progress => {
            let state = txn.rewrap_state(tenant).await?;
            Ok(Answer::data(Json::object(|data| progress(data, tenant.keyring(), state.as_deref()))))
        }
        Operation::Status => {
            // The first one is as old as the tenant's log.
            let installed = match txn.key_state(tenant).await?.installed {
                Some(installed) => installed,
                None => txn.tenants().begun(tenant.id()).await?.unwrap_or_default(),
            };
            let state = txn.rewrap_state(tenant).await?;
            Ok(Answer::doubled(Json::object(|data| {
                data.field("term", &term(tenant.keyring(), state.as_deref()));
                // Uses are not counted: each value has a key of its own, and a wrapping key's nonces are random and long.
                data.field("install_time", &installed.rfc3339()).field("encryptions", &0);
            })))
        }
    }
}

/// A tenant whose wrapping key was never changed has nothing left to wrap. Otherwise all of it is from the record: what is
/// loaded of the keys may be older than that.
fn progress(data: &mut Object<'_>, keyring: &Keyring, state: Option<&Rewrap>) {
    data.field("term", &term(keyring, state));
    data.field("wrapping_keys", &state.map_or_else(|| keyring.wrapping_keys(), |state| state.wrapping_keys));
    data.field("complete", &state.is_none_or(|state| state.finished.is_some()));
    data.field("progress_percent", &state.map_or(100.0, |state| (state.progress() * 1000.0).floor() / 10.0));
    let Some(state) = state else { return };
    data.field("started", &state.started.rfc3339());
    if let Some(finished) = state.finished {
        data.field("finished", &finished.rfc3339());
    }
    data.field("records", &state.looked_at).field("rewrapped", &state.rewrapped).field("damaged", &state.damaged);
}

/// The version of the wrapping key that wraps.
fn term(keyring: &Keyring, state: Option<&Rewrap>) -> u32 {
    state.map_or_else(|| keyring.wrapping_key_version(), |state| state.version)
}
