//! `sys/remount`: a mount goes to another path of its namespace.
//!
//! What an engine keeps is bound to the mount's id and not to its path, so that moving is one record: it is done when the
//! answer comes, and references go on meaning the same secrets. It never leaves the namespace: every namespace has keys of
//! its own, and going to another one would mean to open and seal anew all that the mount holds.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::answer::{Answer, Data, Refusal};
use crate::commit::{Place, Tenant, Txn};
use crate::engine::directory;
use crate::engine::table::{Call, Field, Need, Row, Verb};
use crate::json::Json;
use crate::mount::Mount;
use crate::path::Path;
use crate::record::{Address, Kind, Listing, SYSTEM};
use crate::sys::mounts::{Class, MountPath, conflict, first_segment};

/// How long the outcome of a move can be asked for.
const STATUS_KEPT: Duration = Duration::from_hours(24);

/// One operation.
#[derive(Debug, PartialEq, Eq)]
pub enum Operation {
    /// Move the mount at the first path to the second one.
    Move(MountPath, MountPath),
    /// How a move went.
    Status(String),
}

/// That a mount was moved, by the id of the move.
#[derive(Serialize, Deserialize)]
pub struct RemountStatus {
    from: String,
    to: String,
}

crate::json_record!(RemountStatus, Kind::RemountStatus, Listing::None);

const FIELDS: &[Field] = &[
    Field { name: "from", kind: "string", help: "Where the mount is now: `secret/`, `auth/ci/`." },
    Field { name: "to", kind: "string", help: "Where it is to be, in the same namespace." },
];

/// The table.
pub static TABLE: &[Row<Operation>] = &[
    Row::new(Verb::Write, "remount", Need::Sudo, FIELDS, "Moves a mount to another path of its namespace.", remount),
    Row::by_verb(Verb::Read, "remount/status/:id", &[], "Shows how a move went.", |call| {
        Ok(Operation::Status(call.captures.get(0).to_owned()))
    }),
];

fn remount(call: &Call<'_>) -> Result<Operation, Refusal> {
    let from = mount_path("from", call)?;
    let to = mount_path("to", call)?;
    if from.is_reserved() || directory::PERMANENT.contains(&from.whole().as_str()) {
        return Err(Refusal::invalid(format!("cannot remount {:?}", from.whole())));
    }
    if from.class != to.class || to.check_new().is_err() || directory::PERMANENT.contains(&to.whole().as_str()) {
        return Err(Refusal::invalid(format!("cannot remount to destination {}", to.whole())));
    }
    Ok(Operation::Move(from, to))
}

/// A path in the body: slashes at either end are allowed.
fn mount_path(field: &str, call: &Call<'_>) -> Result<MountPath, Refusal> {
    let text = call.fields.text(field)?.unwrap_or_default();
    if text.trim() != text {
        return Err(Refusal::invalid(format!("'{field}' path cannot contain trailing whitespace")));
    }
    let path = Path::new(text.trim_matches('/')).map_err(|error| Refusal::invalid(format!("'{field}': {error}")))?;
    let (class, path) = match path.as_str().strip_prefix("auth/") {
        Some(path) => (Class::Auth, path),
        None => (Class::Secret, path.as_str()),
    };
    MountPath::new(class, path).ok_or_else(|| Refusal::invalid("both 'from' and 'to' path must be specified as a string"))
}

/// Runs one operation.
pub async fn run(operation: Operation, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    match operation {
        Operation::Move(from, to) => move_mount(&place.tenant, &from.whole(), &to.whole(), txn).await,
        Operation::Status(id) => status(&place.tenant, &id, txn).await,
    }
}

async fn move_mount(tenant: &Arc<Tenant>, from: &str, to: &str, txn: &mut Txn) -> Result<Answer, Refusal> {
    let namespaces = txn.names(tenant, Kind::Namespace, SYSTEM, "").await?;
    if [from, to].iter().any(|path| namespaces.iter().any(|name| **name == *first_segment(path))) {
        return Err(Refusal::invalid(
            "unsupported: a mount cannot be moved to or from a child namespace, which has keys of its own; to move it within \
             that namespace, ask there",
        ));
    }
    let address = Address::system(Kind::Mount, from);
    let Some(mount) = txn.read::<Mount>(tenant, &address).await? else {
        return Err(Refusal::invalid(format!("no matching mount at {from:?}")));
    };
    let mounts = directory::paths(tenant, txn).await?;
    if let Some(taken) = conflict(to, &mounts, &[]) {
        return Err(Refusal::invalid(format!("path already in use at {taken:?}")));
    }
    txn.remove::<Mount>(tenant, &address).await?;
    txn.put(tenant, &Address::system(Kind::Mount, to), &*mount.value, None).await?;
    let id = crate::random::uuid();
    let moved = RemountStatus { from: from.to_owned(), to: to.to_owned() };
    txn.put(tenant, &status_address(&id), &moved, Some(txn.now().plus(STATUS_KEPT))).await?;
    let data = Json::object(|data| {
        data.field("migration_id", &id);
    });
    Ok(Answer::Data(Data { doubled: true, ..Data::new(Some(data)) }))
}

fn status_address(id: &str) -> Address {
    Address::system(Kind::RemountStatus, id)
}

/// A move that is on record has succeeded: one that was refused left none.
async fn status(tenant: &Arc<Tenant>, id: &str, txn: &mut Txn) -> Result<Answer, Refusal> {
    let found = txn.read::<RemountStatus>(tenant, &status_address(id)).await?.ok_or(Refusal::NotFound)?;
    Ok(Answer::data(Json::object(|data| {
        data.field("migration_id", id).object("migration_info", |info| {
            info.field("source_mount", &found.value.from);
            info.field("status", "success");
            info.field("target_mount", &found.value.to);
        });
    })))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::table::Captures;
    use crate::fields::{Fields, Query};

    fn parse(from: &str, to: &str) -> Result<(String, String), String> {
        let body = serde_json::json!({"from": from, "to": to}).to_string();
        let (path, query) = (Path::new("remount").unwrap(), Query::parse("").unwrap());
        let fields = Fields::parse(body.as_bytes(), None).ok().unwrap();
        let call = Call { verb: Verb::Write, path: &path, captures: Captures::default(), query: &query, fields: &fields };
        match remount(&call) {
            Ok(Operation::Move(from, to)) => Ok((from.whole(), to.whole())),
            Ok(Operation::Status(_)) => Err("a status".to_owned()),
            Err(Refusal::Invalid(text)) => Err(text),
            Err(other) => Err(format!("{other:?}")),
        }
    }

    #[test]
    fn paths_take_slashes_at_their_ends() {
        for (from, to) in [("a", "b"), ("a/", "b/"), ("/a/", "/b")] {
            assert_eq!(parse(from, to).unwrap(), ("a/".to_owned(), "b/".to_owned()));
        }
        assert_eq!(parse("auth/up2/", "auth/up3").unwrap(), ("auth/up2/".to_owned(), "auth/up3/".to_owned()));
    }

    #[test]
    fn what_is_the_servers_own_stays_and_nothing_takes_its_place() {
        for (from, to, text) in [
            ("", "b", "both 'from' and 'to' path must be specified as a string"),
            ("a", "", "both 'from' and 'to' path must be specified as a string"),
            ("a", "/", "both 'from' and 'to' path must be specified as a string"),
            (" a", "b", "'from' path cannot contain trailing whitespace"),
            ("sys", "b", "cannot remount \"sys/\""),
            ("auth/token", "auth/b", "cannot remount \"auth/token/\""),
            ("cubbyhole", "b", "cannot remount \"cubbyhole/\""),
            ("a", "sys/b", "cannot remount to destination sys/b/"),
            ("a", "auth/b", "cannot remount to destination auth/b/"),
            ("auth/a", "b", "cannot remount to destination b/"),
            ("auth/a", "auth/token", "cannot remount to destination auth/token/"),
            ("a", "b*", "cannot remount to destination b*/"),
        ] {
            assert_eq!(parse(from, to).unwrap_err(), text, "{from} {to}");
        }
        assert!(parse("a", "b/../c").unwrap_err().starts_with("'to': path is not canonical"));
        assert!(parse("a//b", "c").unwrap_err().starts_with("'from': path is not canonical"));
    }
}
