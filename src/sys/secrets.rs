//! `sys/secrets/move`: a secret goes to another path of its tenant, with its versions, metadata and references.

use crate::answer::{Answer, Refusal};
use crate::auth::Caller;
use crate::commit::{Place, Txn};
use crate::engine::kv::v2;
use crate::engine::table::{Call, Field, Row, Verb};
use crate::mount::Engine;
use crate::path::Path;
use crate::policy::{Ask, Capability};
use crate::sys::references::{self, Target};

/// One operation.
#[derive(Debug, PartialEq, Eq)]
pub enum Operation {
    /// Move the secret that is read at the first path to the second one.
    Move(Path, Path),
}

const FIELDS: &[Field] = &[
    Field { name: "from", kind: "string", help: "Where the secret is read now: secret/data/old." },
    Field { name: "to", kind: "string", help: "Where it is to be read, in the same namespace; nothing may be there." },
];

/// The table.
pub static TABLE: &[Row<Operation>] = &[Row::by_verb(
    Verb::Write,
    "secrets/move",
    FIELDS,
    "Moves a secret of KV version 2, with all that belongs to it. Needs read and delete there, and create where it goes.",
    parse,
)];

fn parse(call: &Call<'_>) -> Result<Operation, Refusal> {
    let path = |name: &str| {
        let text = call.fields.text(name)?.ok_or_else(|| Refusal::Invalid(format!("missing field: {name}")))?;
        references::canonical(&text)
    };
    Ok(Operation::Move(path("from")?, path("to")?))
}

/// Runs one operation.
pub async fn run(operation: Operation, place: &Place, caller: Option<&Caller>, txn: &mut Txn) -> Result<Answer, Refusal> {
    let Operation::Move(from, to) = operation;
    let caller = caller.ok_or(Refusal::NoToken)?;
    let may = |path: &str, capability| caller.acl.decide(&Ask::new(&caller.policy_path(path), capability));
    // Whoever may read at the destination gets to read it: so the mover must be one who may.
    if !may(from.as_str(), Capability::Read) || !may(to.as_str(), Capability::Create) {
        return Err(Refusal::Denied);
    }
    let not_there = || Refusal::invalid("no secret of KV version 2 is read at this path");
    let versioned = |target: &Target| target.place.mount.engine == Engine::Kv2;
    let from = Target::at(&place.tenant, &from, txn).await?.filter(versioned).ok_or_else(not_there)?;
    let to = Target::at(&place.tenant, &to, txn).await?.filter(versioned).ok_or_else(not_there)?;
    let metadata = format!("{}metadata/{}", from.place.path, from.path);
    if !may(&metadata, Capability::Delete) {
        return Err(Refusal::Denied);
    }
    v2::relocate((&from.place, &from.path), (&to.place, &to.path), txn).await?;
    Ok(Answer::Empty)
}
