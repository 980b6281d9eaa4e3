//! `sys/rotate/keyring`, `sys/rotate/root`, `sys/rotate/config`, `sys/rotate/status` and `sys/key-status`: the keys of the request's own
//! tenant.
//!
//! A new one wraps from the next request on. A job wraps the values that are there anew, and then destroys the older keys. This
//! retires keys; whoever already held the data key of a value still has it, until the value is written again: so the job can seal
//! every value again, too. `sys/rotate/root` is about the key above: the tenant's own, which seals its wrapping keys and is done with at
//! once, as no value is under it.

mod schedule;

use std::sync::Arc;

use crate::answer::{Answer, Refusal};
use crate::auth::Caller;
use crate::commit::{Place, Rewrap, Tenant, Txn};
use crate::crypto::Keyring;
use crate::engine::table::{Call, Field, Need, Row, Verb};
use crate::json::{Json, Object};
use crate::time::Timestamp;

pub use schedule::Change;
pub(super) use schedule::rotate_due;

/// One operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Add a wrapping key; true to have every value encrypted anew.
    Rotate(bool),
    /// Give the tenant a new key of its own.
    Renew,
    /// Show when it is rotated by itself.
    Schedule,
    /// Change that.
    Reschedule(Change),
    /// How far values are wrapped by the newest one.
    Progress,
    /// Which wrapping key is in use, since when.
    Status,
}

const SHOW: &str = "Shows when the namespace's wrapping key is rotated by itself.";
const SET: &str = "Says when the namespace's wrapping key is rotated by itself.";

const ROTATE: &[Field] = &[Field {
    name: "reencrypt",
    kind: "boolean",
    help: "Have every value encrypted anew under a fresh data key, not only data keys wrapped anew.",
}];

/// The table.
pub static TABLE: &[Row<Operation>] = &[
    Row::new(Verb::Write, "rotate/keyring", Need::Sudo, ROTATE, "Gives the namespace a new wrapping key.", rotate),
    Row::new(Verb::Write, "rotate", Need::Sudo, ROTATE, "The older form of rotate/keyring.", rotate),
    Row::new(
        Verb::Write,
        "rotate/root",
        Need::Sudo,
        &[],
        "Gives the namespace a new key, which its wrapping keys are sealed by.",
        |_| Ok(Operation::Renew),
    ),
    Row::by_verb(Verb::Read, "rotate/keyring/config", &[], SHOW, |_| Ok(Operation::Schedule)),
    Row::by_verb(Verb::Read, "rotate/config", &[], SHOW, |_| Ok(Operation::Schedule)),
    Row::by_verb(Verb::Write, "rotate/keyring/config", schedule::FIELDS, SET, schedule::parse),
    Row::by_verb(Verb::Write, "rotate/config", schedule::FIELDS, SET, schedule::parse),
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

fn rotate(call: &Call<'_>) -> Result<Operation, Refusal> {
    Ok(Operation::Rotate(call.fields.boolean("reencrypt")?.unwrap_or(false)))
}

/// Runs one operation.
pub async fn run(operation: Operation, place: &Place, caller: Option<&Caller>, txn: &mut Txn) -> Result<Answer, Refusal> {
    let tenant = &place.tenant;
    match operation {
        Operation::Rotate(reencrypt) => {
            txn.rotate_keyring(tenant, reencrypt).await?;
            Ok(Answer::Empty)
        }
        Operation::Renew => renew(tenant, caller, txn).await,
        Operation::Schedule => schedule::show(tenant, txn).await,
        Operation::Reschedule(change) => schedule::change(tenant, change, txn).await,
        Operation::Progress => {
            let (state, (generation, renewed)) = (txn.rewrap_state(tenant).await?, txn.key_generation(tenant).await?);
            Ok(Answer::data(Json::object(|data| {
                progress(data, tenant.keyring(), state.as_deref());
                data.field("tenant_key", &generation);
                if let Some(renewed) = renewed {
                    data.field("tenant_key_renewed", &renewed.rfc3339());
                }
            })))
        }
        Operation::Status => {
            let installed = installed(tenant, txn).await?;
            let state = txn.rewrap_state(tenant).await?;
            Ok(Answer::doubled(Json::object(|data| {
                data.field("term", &term(tenant.keyring(), state.as_deref()));
                // Uses are not counted: each value has a key of its own, and a wrapping key's nonces are random and long.
                data.field("install_time", &installed.rfc3339()).field("encryptions", &0);
            })))
        }
    }
}

/// A new key of the tenant. The edge is nobody's namespace: its key is renewed with that of the root.
async fn renew(tenant: &Arc<Tenant>, caller: Option<&Caller>, txn: &mut Txn) -> Result<Answer, Refusal> {
    let generation = if let Some(parent) = tenant.parent() {
        let caller = caller.ok_or(Refusal::NoToken)?;
        let path = format!("{}{}", caller.namespace, caller.prefix);
        let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        let above = caller.chain.iter().find(|above| above.id() == parent).map(|above| (above, name));
        txn.renew_tenant_key(tenant, above).await?
    } else {
        let edge = txn.tenants().edge();
        txn.renew_tenant_key(&edge, None).await?;
        txn.renew_tenant_key(tenant, None).await?
    };
    txn.note_detail(format!("the namespace has key {generation} now"));
    Ok(Answer::Empty)
}

/// Since when the wrapping key is in use.
async fn installed(tenant: &Arc<Tenant>, txn: &mut Txn) -> Result<Timestamp, Refusal> {
    // The first one is as old as the tenant's log.
    Ok(match txn.key_state(tenant).await?.installed {
        Some(installed) => installed,
        None => txn.tenants().begun(tenant.id()).await?.unwrap_or_default(),
    })
}

/// A tenant whose wrapping key was never changed has nothing left to wrap. Otherwise all of it is from the record: what is
/// loaded of the keys may be older than that.
fn progress(data: &mut Object<'_>, keyring: &Keyring, state: Option<&Rewrap>) {
    data.field("term", &term(keyring, state));
    data.field("wrapping_keys", &state.map_or_else(|| keyring.wrapping_keys(), |state| state.wrapping_keys));
    data.field("complete", &state.is_none_or(|state| state.finished.is_some()));
    data.field("progress_percent", &state.map_or(100.0, |state| (state.progress() * 1000.0).floor() / 10.0));
    data.field("reencrypt", &state.is_some_and(|state| state.reencrypt));
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
