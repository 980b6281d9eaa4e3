//! What can be asked of `sys/namespaces`.

use std::collections::BTreeMap;

use crate::answer::Refusal;
use crate::crypto;
use crate::engine::table::{Call, Field, Need, Row, Verb};
use crate::namespace::OwnSeal;
use crate::path::Path;
use crate::secret::SecretText;

/// Names that mean something else in a path or in the namespace header.
const RESERVED: [&str; 6] = ["root", "sys", "audit", "auth", "cubbyhole", "identity"];

/// The longest name, in bytes.
const NAME_BYTES_MAX: usize = 128;

/// How long the destruction of a key can be taken back at its guardian, in days.
const DESTROY_DAYS_MIN: u32 = 7;
const DESTROY_DAYS_MAX: u32 = 30;

/// The longest reason of a legal hold, in bytes.
const REASON_BYTES_MAX: usize = 1024;

/// One operation. Names have no slash.
#[derive(Debug, PartialEq, Eq)]
pub enum Operation {
    /// The children.
    List,
    /// The children and all below them.
    Scan,
    /// One child.
    Read(String),
    /// Makes a child, or writes its metadata anew.
    Set(String, BTreeMap<String, String>, Choice),
    /// Changes a child's metadata; `None` removes.
    Patch(String, BTreeMap<String, Option<String>>, Choice),
    /// Deletes a child and destroys its keys; with a number, its own key at its guardian as well, after so many days.
    Delete(String, Option<u32>),
    /// Locks a namespace below, or the request's own when the path is empty.
    Lock(Path),
    /// Unlocks one, with its key or by right.
    Unlock(Path, Option<KeyHash>),
    /// Has every server drop the keys of a child.
    Seal(String),
    /// Lets servers open them again.
    Unseal(String),
    /// Whether a child is sealed.
    SealStatus(String),
    /// Has a child not erased until the hold is lifted; why.
    Hold(String, String),
    /// Shows a child's hold.
    ShowHold(String),
    /// Lifts it.
    Lift(String),
    /// Goes on with a child whose store was put back to an older one.
    AcceptRollback(String),
}

/// Which key wraps a namespace's own; none: as it is. `Some(None)`: the deployment's seals.
pub(super) type Choice = Option<Option<OwnSeal>>;

/// SHA-256 of an unlock key, in hexadecimal: enough to check one.
#[derive(Debug, PartialEq, Eq)]
pub struct KeyHash(pub(super) String);

impl KeyHash {
    pub(super) fn of(key: &SecretText) -> Self {
        Self(data_encoding::HEXLOWER.encode(&crypto::sha256(&[b"strongroom namespace unlock key", key.expose().as_bytes()])))
    }
}

/// The pattern of unlocking the request's own namespace: the one thing that is answered in a locked one.
pub const UNLOCK_OWN: &str = "namespaces/api-lock/unlock";

const HELD: &str = "namespaces/:name/legal-hold";

const FIELDS: &[Field] = &[
    Field { name: "custom_metadata", kind: "object", help: "What its owner says about it: strings by name." },
    Field { name: "seal", kind: "string", help: "A seal of the server's configuration; empty for the deployment's." },
    Field {
        name: "key_id",
        kind: "string",
        help: "A key that the seal's configuration allows; it alone wraps the namespace's key.",
    },
    Field { name: "seals", kind: "array", help: "Refused: a namespace has no key shares of its own." },
    Field { name: "pgp_keys", kind: "array", help: "Ignored: there are no key shares to encrypt." },
];

const UNLOCK: &[Field] =
    &[Field { name: "unlock_key", kind: "string", help: "What locking answered; not needed with sudo above the namespace." }];

const UNSEAL: &[Field] = &[
    Field { name: "key", kind: "string", help: "Refused: a namespace has no key shares of its own." },
    Field { name: "reset", kind: "boolean", help: "Shows the state and changes nothing." },
];

const DELETE: &[Field] = &[
    Field {
        name: "destroy_key",
        kind: "boolean",
        help: "Have the namespace's own key destroyed by the system that guards it, with sudo: also as a query parameter.",
    },
    Field {
        name: "destroy_after_days",
        kind: "integer",
        help: "How long that can be taken back there: 7 to 30 days, 30 if it is not said.",
    },
];

const HOLD: &[Field] = &[Field { name: "reason", kind: "string", help: "Why it must not be deleted: a case, an order." }];

/// The table. `:path*` takes several segments only to refuse them with a text.
pub static TABLE: &[Row<Operation>] = &[
    Row::by_verb(Verb::List, "namespaces", &[], "Lists the child namespaces.", |_| Ok(Operation::List)),
    Row::by_verb(Verb::Scan, "namespaces", &[], "Lists all namespaces below.", |_| Ok(Operation::Scan)),
    Row::by_verb(Verb::Write, "namespaces/api-lock/lock", &[], "Locks the namespace that the request is made in.", |_| {
        Ok(Operation::Lock(Path::default()))
    }),
    Row::by_verb(Verb::Write, UNLOCK_OWN, UNLOCK, "Unlocks the namespace that the request is made in.", |call| {
        Ok(Operation::Unlock(Path::default(), unlock_key(call)?))
    }),
    Row::by_verb(Verb::Write, "namespaces/api-lock/lock/:path*", &[], "Locks a namespace below.", |call| {
        Ok(Operation::Lock(below(call)?))
    }),
    Row::by_verb(Verb::Write, "namespaces/api-lock/unlock/:path*", UNLOCK, "Unlocks a namespace below.", |call| {
        Ok(Operation::Unlock(below(call)?, unlock_key(call)?))
    }),
    Row::by_verb(Verb::Write, "namespaces/:name/seal", &[], "Has every server drop the keys of a child namespace.", |call| {
        Ok(Operation::Seal(name(call)?))
    }),
    Row::by_verb(Verb::Write, "namespaces/:name/unseal", UNSEAL, "Lets servers open the keys of a child namespace.", unseal),
    Row::by_verb(Verb::Read, "namespaces/:name/seal-status", &[], "Shows whether a child namespace is sealed.", |call| {
        Ok(Operation::SealStatus(name(call)?))
    }),
    // Who may make and delete namespaces may not therefore lift what keeps them.
    Row::new(
        Verb::Write,
        HELD,
        Need::Sudo,
        HOLD,
        "Has a child namespace, and all below it, not deleted until it is lifted.",
        hold,
    ),
    Row::by_verb(Verb::Read, HELD, &[], "Shows the legal hold on a child namespace.", |call| {
        Ok(Operation::ShowHold(name(call)?))
    }),
    Row::new(Verb::Delete, HELD, Need::Sudo, &[], "Lifts the legal hold on a child namespace.", |call| {
        Ok(Operation::Lift(name(call)?))
    }),
    Row::new(
        Verb::Write,
        "namespaces/:name/accept-rollback",
        Need::Sudo,
        &[],
        "Goes on with a child namespace whose store has lost signed history, in a new epoch of its log. Needs sudo.",
        |call| Ok(Operation::AcceptRollback(name(call)?)),
    ),
    Row::by_verb(Verb::Read, "namespaces/:path*", &[], "Shows a child namespace.", |call| Ok(Operation::Read(name(call)?))),
    Row::by_verb(Verb::Write, "namespaces/:path*", FIELDS, "Makes a child namespace, or writes its metadata.", set),
    Row::by_verb(Verb::Patch, "namespaces/:path*", FIELDS, "Changes the metadata of a child namespace.", patch),
    Row::by_verb(Verb::Delete, "namespaces/:path*", DELETE, "Deletes a child namespace and destroys its keys.", |call| {
        Ok(Operation::Delete(name(call)?, destroy_key(call)?))
    }),
];

fn name(call: &Call<'_>) -> Result<String, Refusal> {
    let captured = call.captures.get(0);
    match captured.strip_suffix('/').unwrap_or(captured) {
        "" => Err(Refusal::UnsupportedOperation),
        name if name.contains('/') => Err(Refusal::invalid("name must not contain /")),
        name => Ok(name.to_owned()),
    }
}

fn set(call: &Call<'_>) -> Result<Operation, Refusal> {
    let name = name(call)?;
    check_new(&name)?;
    Ok(Operation::Set(name, call.fields.map("custom_metadata")?.unwrap_or_default(), choice(call)?))
}

fn patch(call: &Call<'_>) -> Result<Operation, Refusal> {
    let name = name(call)?;
    let changes = call.fields.object("custom_metadata")?.map(|raw| serde_json::from_str(raw.get())).transpose();
    let changes = changes.map_err(|_| Refusal::invalid("custom_metadata values must be strings"))?;
    Ok(Operation::Patch(name, changes.unwrap_or_default(), choice(call)?))
}

/// Ignoring what is not understood would make a namespace whose owner relies on a seal that does not guard it.
fn choice(call: &Call<'_>) -> Result<Choice, Refusal> {
    if call.fields.has("seals") {
        let text = "a namespace has no key shares of its own: name a seal of the server and one of its keys in seal and key_id";
        return Err(Refusal::invalid(format!("unsupported: seals; {text}")));
    }
    let key_id = call.fields.text("key_id")?.filter(|key_id| !key_id.is_empty());
    match (call.fields.text("seal")?, key_id) {
        (None, None) => Ok(None),
        (Some(seal), None) if seal.is_empty() => Ok(Some(None)),
        (Some(seal), Some(key_id)) if !seal.is_empty() => Ok(Some(Some(OwnSeal { seal, key_id }))),
        _ => Err(Refusal::invalid("seal and key_id belong together: a seal of the server, and a key that it allows")),
    }
}

fn below(call: &Call<'_>) -> Result<Path, Refusal> {
    let captured = call.captures.get(0);
    Path::new(captured.strip_suffix('/').unwrap_or(captured)).map_err(|error| Refusal::invalid(error.to_string()))
}

fn unlock_key(call: &Call<'_>) -> Result<Option<KeyHash>, Refusal> {
    let key = call.fields.secret("unlock_key")?.filter(|key| !key.expose().is_empty());
    Ok(key.as_ref().map(KeyHash::of))
}

/// Taking a share that nobody checks would let its holder believe that it guards something.
fn unseal(call: &Call<'_>) -> Result<Operation, Refusal> {
    let name = name(call)?;
    if call.fields.boolean("reset")?.unwrap_or(false) {
        return Ok(Operation::SealStatus(name));
    }
    if call.fields.secret("key")?.is_some_and(|key| !key.expose().is_empty()) {
        return Err(Refusal::invalid(
            "unsupported: a namespace has no key shares of its own, its key is under the server's seal; unseal it without a key",
        ));
    }
    Ok(Operation::Unseal(name))
}

/// Clients send what belongs to a deletion in the query string, or in a body.
fn destroy_key(call: &Call<'_>) -> Result<Option<u32>, Refusal> {
    let asked = call.fields.boolean("destroy_key")?.unwrap_or(false) || call.query.flag("destroy_key");
    let days = match call.fields.integer("destroy_after_days")? {
        Some(days) => Some(u64::try_from(days).unwrap_or(0)),
        None => call.query.number("destroy_after_days")?,
    };
    if !asked && days.is_some() {
        return Err(Refusal::invalid("destroy_after_days is of no use without destroy_key"));
    }
    let days = u32::try_from(days.unwrap_or(DESTROY_DAYS_MAX.into())).unwrap_or(u32::MAX);
    if !(DESTROY_DAYS_MIN..=DESTROY_DAYS_MAX).contains(&days) {
        return Err(Refusal::invalid(format!("destroy_after_days must be from {DESTROY_DAYS_MIN} to {DESTROY_DAYS_MAX}")));
    }
    Ok(asked.then_some(days))
}

fn hold(call: &Call<'_>) -> Result<Operation, Refusal> {
    let reason = call.fields.text("reason")?.map(|reason| reason.trim().to_owned()).filter(|reason| !reason.is_empty());
    let reason = reason.ok_or_else(|| Refusal::invalid("missing reason: say why the namespace must not be deleted"))?;
    if reason.len() > REASON_BYTES_MAX {
        return Err(Refusal::invalid(format!("a reason has at most {REASON_BYTES_MAX} bytes")));
    }
    Ok(Operation::Hold(name(call)?, reason))
}

/// Whether a new namespace may have this name. Those that are only refused here can still be read and deleted.
fn check_new(name: &str) -> Result<(), Refusal> {
    if RESERVED.contains(&name) {
        return Err(Refusal::invalid(format!("{name:?} is a reserved path and cannot be used as a namespace name")));
    }
    if name.contains(char::is_whitespace) {
        return Err(Refusal::invalid(format!("{name:?} contains space characters and cannot be used as a namespace name")));
    }
    // In policies, `+` stands for any segment, and `*` for any rest.
    if name.contains(['*', '+']) {
        return Err(Refusal::invalid(format!(
            "{name:?} cannot be used as a namespace name: \"*\" and \"+\" have a meaning in policies"
        )));
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(Refusal::invalid(format!("a namespace name has at most {NAME_BYTES_MAX} bytes")));
    }
    Ok(())
}
