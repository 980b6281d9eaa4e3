//! What can be asked of `sys/namespaces`.

use std::collections::BTreeMap;

use crate::answer::Refusal;
use crate::engine::table::{Call, Field, Row, Verb};

/// Names that mean something else in a path or in the namespace header.
const RESERVED: [&str; 6] = ["root", "sys", "audit", "auth", "cubbyhole", "identity"];

/// The longest name, in bytes.
const NAME_BYTES_MAX: usize = 128;

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
    Set(String, BTreeMap<String, String>),
    /// Changes a child's metadata; `None` removes.
    Patch(String, BTreeMap<String, Option<String>>),
    /// Deletes a child and destroys its keys.
    Delete(String),
}

const FIELDS: &[Field] = &[
    Field { name: "custom_metadata", kind: "object", help: "What its owner says about it: strings by name." },
    Field { name: "seals", kind: "array", help: "Refused: a namespace cannot name seals of its own yet." },
];

/// The table. `:path*` takes several segments only to refuse them with a text.
pub static TABLE: &[Row<Operation>] = &[
    Row::by_verb(Verb::List, "namespaces", &[], "Lists the child namespaces.", |_| Ok(Operation::List)),
    Row::by_verb(Verb::Scan, "namespaces", &[], "Lists all namespaces below.", |_| Ok(Operation::Scan)),
    Row::by_verb(Verb::Read, "namespaces/:path*", &[], "Shows a child namespace.", |call| Ok(Operation::Read(name(call)?))),
    Row::by_verb(Verb::Write, "namespaces/:path*", FIELDS, "Makes a child namespace, or writes its metadata.", set),
    Row::by_verb(Verb::Patch, "namespaces/:path*", FIELDS, "Changes the metadata of a child namespace.", patch),
    Row::by_verb(Verb::Delete, "namespaces/:path*", &[], "Deletes a child namespace and destroys its keys.", |call| {
        Ok(Operation::Delete(name(call)?))
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
    refuse_seals(call)?;
    Ok(Operation::Set(name, call.fields.map("custom_metadata")?.unwrap_or_default()))
}

fn patch(call: &Call<'_>) -> Result<Operation, Refusal> {
    let name = name(call)?;
    refuse_seals(call)?;
    let changes = call.fields.object("custom_metadata")?.map(|raw| serde_json::from_str(raw.get())).transpose();
    let changes = changes.map_err(|_| Refusal::invalid("custom_metadata values must be strings"))?;
    Ok(Operation::Patch(name, changes.unwrap_or_default()))
}

/// Ignoring them would make a namespace whose owner relies on a seal that does not guard it.
fn refuse_seals(call: &Call<'_>) -> Result<(), Refusal> {
    if call.fields.has("seals") {
        return Err(Refusal::invalid("unsupported: a namespace cannot name seals of its own yet"));
    }
    Ok(())
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
