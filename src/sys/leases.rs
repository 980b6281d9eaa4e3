//! `sys/leases`: what was given out for a time, by lease id. Tokens have leases; they are renewed through `auth/token`
//! only, and ended by the end of their lease with everything below them.
//!
//! No lease is irrevocable here: ending one needs nothing but this server.

use crate::answer::{Answer, Refusal};
use crate::auth::Caller;
use crate::auth::token::{Known, lease, revoke};
use crate::commit::{Place, Txn};
use crate::engine::table::{Call, Field, Need, Row, Verb};
use crate::json::Json;
use crate::time::Timestamp;

/// The longest lease id, in bytes.
const ID_BYTES_MAX: usize = 1_024;
/// The most names that one answer lists.
const NAMES_MAX: usize = 100_000;

/// One operation.
#[derive(Debug, PartialEq, Eq)]
pub enum Operation {
    /// Show a lease.
    Lookup(String),
    /// List a directory of lease ids: empty, or ending in a slash.
    List(String),
    /// Renew a lease.
    Renew(String),
    /// End a lease; whether the client wants to wait until all is done.
    Revoke(String, bool),
    /// End all leases under a prefix; likewise.
    RevokePrefix(String, bool),
    /// Look for what has expired.
    Tidy,
    /// Count the irrevocable leases.
    Count,
    /// List the irrevocable leases.
    Irrevocable,
}

const fn field(name: &'static str, kind: &'static str, help: &'static str) -> Field {
    Field { name, kind, help }
}

const ID: Field = field("lease_id", "string", "Id of the lease.");
const INCREMENT: Field = field("increment", "duration", "TTL to grant.");
const SYNC: Field = field("sync", "boolean", "Whether to answer when all is done (204), or at once (202); true by default.");

/// The table.
pub static TABLE: &[Row<Operation>] = &[
    Row::by_verb(Verb::Write, "leases/lookup", &[ID], "Show a lease.", |call| Ok(Operation::Lookup(id(call)?))),
    Row::new(Verb::List, "leases/lookup/:prefix*", Need::Sudo, &[], "List lease ids under a prefix. Needs sudo.", |call| {
        Ok(Operation::List(directory(call.captures.get(0))))
    }),
    Row::by_verb(Verb::Write, "leases/renew/:id*", &[ID, INCREMENT], "Renew a lease.", |call| Ok(Operation::Renew(id(call)?))),
    Row::by_verb(Verb::Write, "leases/revoke/:id*", &[ID, SYNC], "End a lease.", |call| {
        Ok(Operation::Revoke(id(call)?, sync(call)?))
    }),
    Row::new(
        Verb::Write,
        "leases/revoke-prefix/:prefix*",
        Need::Sudo,
        &[SYNC],
        "End all leases under a prefix. Needs sudo.",
        prefix,
    ),
    Row::new(
        Verb::Write,
        "leases/revoke-force/:prefix*",
        Need::Sudo,
        &[],
        "The same; there is nothing here whose failure would have to be ignored. Needs sudo.",
        prefix,
    ),
    Row::by_verb(Verb::Write, "leases/tidy", &[], "Look for what has expired now; this also happens by itself.", |_| {
        Ok(Operation::Tidy)
    }),
    Row::by_verb(Verb::Read, "leases/count", &[], "Count the irrevocable leases (type=irrevocable).", |call| {
        irrevocable(call).map(|()| Operation::Count)
    }),
    Row::by_verb(Verb::Read, "leases", &[], "List the irrevocable leases (type=irrevocable).", |call| {
        irrevocable(call).map(|()| Operation::Irrevocable)
    }),
];

/// The lease id in the path, or else in the body.
fn id(call: &Call<'_>) -> Result<String, Refusal> {
    let captured = call.captures.get(0);
    let id = if captured.is_empty() { call.fields.text("lease_id")?.unwrap_or_default() } else { captured.to_owned() };
    if id.is_empty() {
        return Err(Refusal::invalid("lease_id must be specified"));
    }
    if id.len() > ID_BYTES_MAX {
        return Err(Refusal::invalid(format!("lease_id: at most {ID_BYTES_MAX} bytes")));
    }
    Ok(id)
}

fn sync(call: &Call<'_>) -> Result<bool, Refusal> {
    Ok(call.fields.boolean("sync")?.unwrap_or(true))
}

fn prefix(call: &Call<'_>) -> Result<Operation, Refusal> {
    match directory(call.captures.get(0)) {
        // All leases of a tenant at once are nobody's prefix.
        prefix if prefix.is_empty() => Err(Refusal::UnsupportedPath),
        prefix => Ok(Operation::RevokePrefix(prefix, sync(call)?)),
    }
}

fn directory(captured: &str) -> String {
    let body = captured.strip_suffix('/').unwrap_or(captured);
    if body.is_empty() { String::new() } else { format!("{body}/") }
}

fn irrevocable(call: &Call<'_>) -> Result<(), Refusal> {
    if call.query.value("type") == Some("irrevocable") { Ok(()) } else { Err(Refusal::NotFound) }
}

/// Runs one operation on the leases of the tenant of `place`.
pub async fn run(operation: Operation, place: &Place, caller: Option<&Caller>, txn: &mut Txn) -> Result<Answer, Refusal> {
    let caller = caller.ok_or(Refusal::NoToken)?;
    match operation {
        Operation::Lookup(id) => lookup(&id, place, caller, txn).await,
        Operation::List(directory) => list(&directory, place, txn).await,
        Operation::Renew(id) => match lease::find(txn, &caller.chain, &place.tenant, &id).await? {
            None => Err(Refusal::invalid("lease not found")),
            Some(known) if !known.entry.renewable => Err(Refusal::invalid("lease is not renewable")),
            Some(_) => Err(Refusal::invalid("tokens cannot be renewed through this endpoint")),
        },
        Operation::Revoke(id, sync) => {
            if let Some(known) = lease::find(txn, &caller.chain, &place.tenant, &id).await? {
                revoke::revoke(txn, &known).await?;
            }
            Ok(done(sync))
        }
        Operation::RevokePrefix(prefix, sync) => {
            let exactly = prefix.strip_suffix('/').unwrap_or(&prefix);
            match lease::find(txn, &caller.chain, &place.tenant, exactly).await? {
                Some(known) => revoke::revoke(txn, &known).await?,
                None => revoke::revoke_path(txn, &place.tenant, prefix).await?,
            }
            Ok(done(sync))
        }
        Operation::Tidy => {
            txn.wake_jobs(true);
            let warning =
                "Tidy operation successfully started. Any information from the operation will be printed to the server's logs.";
            Ok(Answer::Accepted { warnings: vec![warning.to_owned()] })
        }
        Operation::Count => Ok(Answer::data(Json::object(|data| {
            data.field("lease_count", &0).object("counts", |_| {});
        }))),
        Operation::Irrevocable => Ok(Answer::data(Json::object(|data| {
            data.field("lease_count", &0).strings("leases", &[] as &[&str]);
        }))),
    }
}

/// The leases are dead in either case; who does not wait is told that rows go later.
fn done(sync: bool) -> Answer {
    if sync { Answer::Empty } else { Answer::Accepted { warnings: Vec::new() } }
}

async fn lookup(id: &str, place: &Place, caller: &Caller, txn: &mut Txn) -> Result<Answer, Refusal> {
    let found = lease::find(txn, &caller.chain, &place.tenant, id).await?;
    let known = found.ok_or_else(|| Refusal::invalid("invalid lease"))?;
    let namespace = format!("{}{}", caller.namespace, caller.prefix);
    Ok(Answer::data(shown(&known, &namespace, txn.now())))
}

fn shown(known: &Known, namespace: &str, now: Timestamp) -> Json {
    let entry = &*known.entry;
    Json::object(|data| {
        data.field("expire_time", &entry.expires.map(Timestamp::rfc3339))
            .field("id", &lease::id(&known.tenant, &entry.path, &known.hash))
            .field("issue_time", &entry.created.rfc3339())
            .field("last_renewal", &entry.renewed.map(Timestamp::rfc3339));
        if !namespace.is_empty() {
            data.field("namespace_path", namespace);
        }
        data.field("path", &entry.path).field("renewable", &entry.renewable).field("ttl", &entry.seconds_left(now));
    })
}

async fn list(directory: &str, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    let names = lease::list(txn, &place.tenant, directory).await?;
    if names.len() > NAMES_MAX {
        return Err(Refusal::invalid(format!("more than {NAMES_MAX} leases under {directory:?}: list a longer prefix")));
    }
    Answer::keys(&names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::table::{Match, find};
    use crate::fields::{Fields, Query};
    use crate::path::Path;

    fn parse(verb: Verb, path: &str, query: &str, body: &str) -> Result<Operation, Refusal> {
        let (path, query) = (Path::new(path).unwrap(), Query::parse(query).unwrap());
        let fields = Fields::parse(body.as_bytes(), None)?;
        match find(TABLE, verb, &path) {
            Match::Row(row, captures) => (row.parse)(&Call { verb, path: &path, captures, query: &query, fields: &fields }),
            Match::WrongVerb => Err(Refusal::UnsupportedOperation),
            Match::Nothing => Err(Refusal::UnsupportedPath),
        }
    }

    #[test]
    fn ids_stand_in_the_path_or_in_the_body() {
        let id = "auth/token/create/h12".to_owned();
        let body = r#"{"lease_id":"auth/token/create/h12"}"#;
        assert_eq!(parse(Verb::Write, "leases/lookup", "", body).unwrap(), Operation::Lookup(id.clone()));
        assert_eq!(parse(Verb::Write, "leases/renew", "", body).unwrap(), Operation::Renew(id.clone()));
        assert_eq!(parse(Verb::Write, &format!("leases/renew/{id}"), "", "").unwrap(), Operation::Renew(id.clone()));
        let revoke = |path: &str, body: &str| parse(Verb::Write, path, "", body).unwrap();
        assert_eq!(revoke("leases/revoke", body), Operation::Revoke(id.clone(), true));
        assert_eq!(revoke(&format!("leases/revoke/{id}"), r#"{"sync":"false"}"#), Operation::Revoke(id.clone(), false));
        for path in ["leases/lookup", "leases/renew", "leases/revoke"] {
            for body in ["", r#"{"lease_id":""}"#, r#"{"lease_id":null}"#] {
                let refused = parse(Verb::Write, path, "", body);
                assert!(matches!(refused, Err(Refusal::Invalid(text)) if text == "lease_id must be specified"), "{path} {body}");
            }
        }
        let long = format!(r#"{{"lease_id":"{}"}}"#, "x".repeat(ID_BYTES_MAX + 1));
        assert!(parse(Verb::Write, "leases/revoke", "", &long).is_err());
    }

    #[test]
    fn prefixes_are_directories_and_never_empty() {
        let prefix = |path: &str| parse(Verb::Write, path, "", "");
        for path in ["leases/revoke-prefix/auth/token", "leases/revoke-force/auth/token/"] {
            assert_eq!(prefix(path).unwrap(), Operation::RevokePrefix("auth/token/".to_owned(), true));
        }
        assert!(matches!(prefix("leases/revoke-prefix"), Err(Refusal::UnsupportedPath)));
        assert_eq!(parse(Verb::List, "leases/lookup", "", "").unwrap(), Operation::List(String::new()));
        assert_eq!(parse(Verb::List, "leases/lookup/auth", "", "").unwrap(), Operation::List("auth/".to_owned()));
    }

    #[test]
    fn only_the_irrevocable_are_counted() {
        assert_eq!(parse(Verb::Read, "leases/count", "type=irrevocable", "").unwrap(), Operation::Count);
        assert_eq!(parse(Verb::Read, "leases", "type=irrevocable", "").unwrap(), Operation::Irrevocable);
        for (path, query) in [("leases/count", ""), ("leases", "type=x")] {
            assert!(matches!(parse(Verb::Read, path, query, ""), Err(Refusal::NotFound)));
        }
        for path in ["renew", "revoke", "revoke-prefix/x", "revoke-force/x"] {
            assert!(matches!(parse(Verb::Write, path, "", "{}"), Err(Refusal::UnsupportedPath)), "{path} is no more");
        }
    }
}
