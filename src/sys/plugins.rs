//! `sys/plugins`: what can be mounted. Everything is built in, so that there is a catalog to read and nothing to write.

use serde_json::{Value, json};

use crate::answer::{Answer, Refusal};
use crate::engine::table::{Call, Need, Row, Verb};
use crate::json::Json;
use crate::sys::mounts::{BUILT_IN, Class, show};

/// Kinds of plugins that clients ask for.
const KINDS: [&str; 3] = ["auth", "database", "secret"];

/// One operation.
#[derive(Debug, PartialEq, Eq)]
pub enum Operation {
    /// Everything.
    All,
    /// The names of one kind.
    List(&'static str),
    /// One of a kind.
    Read(&'static str, String),
}

/// The table.
pub static TABLE: &[Row<Operation>] = &[
    Row::by_verb(Verb::Read, "plugins/catalog", &[], "Shows what is built in.", |_| Ok(Operation::All)),
    Row::by_verb(Verb::List, "plugins/catalog/:type", &[], "Lists what is built in of one kind.", |call| {
        Ok(Operation::List(kind(call)?))
    }),
    Row::by_verb(Verb::Read, "plugins/catalog/:type/:name", &[], "Shows something that is built in.", |call| {
        Ok(Operation::Read(kind(call)?, call.captures.get(1).to_owned()))
    }),
    Row::new(Verb::Write, "plugins/:path*", Need::Sudo, &[], "Refused: everything is built in.", |_| refuse()),
    Row::new(Verb::Delete, "plugins/:path*", Need::Sudo, &[], "Refused: everything is built in.", |_| refuse()),
];

fn kind(call: &Call<'_>) -> Result<&'static str, Refusal> {
    let given = call.captures.get(0);
    let known = KINDS.into_iter().find(|kind| *kind == given);
    known.ok_or_else(|| Refusal::invalid(format!("{given:?} is no kind of plugin: use auth, database or secret")))
}

fn refuse() -> Result<Operation, Refusal> {
    Err(Refusal::invalid("unsupported: all engines are built in; plugins cannot be registered, reloaded or removed"))
}

fn names(kind: &str) -> Vec<&'static str> {
    let class = |class: Class| if class == Class::Auth { "auth" } else { "secret" };
    BUILT_IN.iter().filter(|(of, _)| class(*of) == kind).map(|(_, name)| *name).collect()
}

/// Runs one operation.
pub fn run(operation: &Operation) -> Result<Answer, Refusal> {
    match operation {
        Operation::All => Ok(Answer::data(all())),
        Operation::List(kind) => Answer::keys(&names(kind)),
        Operation::Read(kind, name) if names(kind).contains(&name.as_str()) => Ok(Answer::data(Json::object(|data| {
            data.null("args").field("builtin", &true).field("command", "").field("deprecation_status", "supported");
            data.field("name", name).field("sha256", "").field("version", show::VERSION);
        }))),
        Operation::Read(..) => Err(Refusal::NotFound),
    }
}

fn all() -> Json {
    let detail = |kind: &'static str, name: &'static str| json!({"builtin": true, "deprecation_status": "supported", "name": name, "type": kind, "version": show::VERSION});
    let detailed: Vec<Value> =
        KINDS.into_iter().flat_map(|kind| names(kind).into_iter().map(move |name| detail(kind, name))).collect();
    Json::object(|data| {
        for kind in KINDS {
            data.strings(kind, &names(kind));
        }
        data.field("detailed", &detailed);
    })
}
