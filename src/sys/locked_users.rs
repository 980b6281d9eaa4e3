//! `sys/locked-users`: the names whose logins have failed too often, of one namespace.

use crate::answer::{Answer, Refusal};
use crate::auth::{Caller, userpass};
use crate::commit::{Place, Txn};
use crate::engine::directory;
use crate::engine::table::{Call, Field, Row, Verb};
use crate::json::Json;
use crate::mount::Engine;

/// One operation.
#[derive(Debug, PartialEq, Eq)]
pub enum Operation {
    /// Lists those of all mounts, or of the one with this accessor.
    List(Option<String>),
    /// Lets a name try again at the mount with an accessor.
    Unlock(String, String),
}

const ACCESSOR: &[Field] =
    &[Field { name: "mount_accessor", kind: "string", help: "Only names of the mount with this accessor; in the query." }];

/// The table.
pub static TABLE: &[Row<Operation>] = &[
    Row::by_verb(Verb::Read, "locked-users", ACCESSOR, "Lists the names whose logins have failed too often.", |call| {
        Ok(Operation::List(call.query.value("mount_accessor").filter(|text| !text.is_empty()).map(str::to_owned)))
    }),
    Row::by_verb(Verb::Write, "locked-users/:mount_accessor/unlock/:alias_identifier", &[], "Lets a name try again.", |call| {
        Ok(unlock(call))
    }),
];

fn unlock(call: &Call<'_>) -> Operation {
    let (accessor, name) = (call.captures.get(0), call.captures.get(1));
    Operation::Unlock(accessor.to_owned(), name.to_ascii_lowercase())
}

/// Runs one operation.
pub async fn run(operation: Operation, place: &Place, caller: Option<&Caller>, txn: &mut Txn) -> Result<Answer, Refusal> {
    match operation {
        Operation::List(accessor) => list(accessor, place, caller.ok_or(Refusal::NoToken)?, txn).await,
        Operation::Unlock(accessor, name) => {
            if let Some(mounted) = directory::by_accessor(&place.tenant, &accessor, txn).await? {
                userpass::unlock(&name, mounted.mount.id, &place.tenant, txn);
            }
            Ok(Answer::Empty)
        }
    }
}

async fn list(accessor: Option<String>, place: &Place, caller: &Caller, txn: &mut Txn) -> Result<Answer, Refusal> {
    let mut mounts = Vec::new();
    for mounted in directory::all(&place.tenant, txn).await? {
        let asked = accessor.as_ref().is_none_or(|accessor| *accessor == mounted.mount.accessor);
        if mounted.mount.engine != Engine::Userpass || !asked {
            continue;
        }
        let accessor = mounted.mount.accessor.clone();
        let at = Place { tenant: place.tenant.clone(), mount: mounted.mount, path: mounted.path };
        let names = userpass::locked(&at, txn).await?;
        if !names.is_empty() {
            mounts.push((accessor, names));
        }
    }
    let total: usize = mounts.iter().map(|(_, names)| names.len()).sum();
    let mounts = mounts.iter().map(
        |(accessor, names)| serde_json::json!({"alias_identifiers": names, "counts": names.len(), "mount_accessor": accessor}),
    );
    let label = place.tenant.label();
    let namespace = serde_json::json!([{
        "counts": total,
        "mount_accessors": mounts.collect::<Vec<_>>(),
        "namespace_id": if label.is_empty() { "root" } else { &label },
        "namespace_path": format!("{}{}", caller.namespace, caller.prefix),
    }]);
    Ok(Answer::data(Json::object(|data| {
        data.field("by_namespace", &namespace).field("total", &total);
    })))
}
