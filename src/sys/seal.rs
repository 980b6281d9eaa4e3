//! `sys/seal`, `sys/step-down` and `sys/seals`: asked for through the pipeline like everything else, so that policy guards them and
//! the log holds them. The pipeline seals the server, and tells of its seals, once the request is durable.

use crate::answer::{Answer, Refusal};
use crate::commit::Place;
use crate::engine::table::{Call, Need, Row, Verb};

/// One operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Drop all keys and serve nothing until the server is unsealed.
    Seal,
    /// Give up leadership. Every server is active, so there is nothing to give up.
    StepDown,
    /// Which seals wrap, and how far a change of them is.
    Seals,
}

/// The table.
pub static TABLE: &[Row<Operation>] = &[
    Row {
        verb: Verb::Write,
        pattern: "seal",
        need: Need::Sudo,
        fields: &[],
        help: "Seals the server: all keys are dropped, and nothing is served until it is unsealed.",
        parse: |_: &Call<'_>| Ok(Operation::Seal),
    },
    Row {
        verb: Verb::Write,
        pattern: "step-down",
        need: Need::Sudo,
        fields: &[],
        help: "Accepted for compatibility: every server is active, and none leads.",
        parse: |_: &Call<'_>| Ok(Operation::StepDown),
    },
    Row::by_verb(
        Verb::Read,
        "seals",
        &[],
        "Shows which seals wrap keys, how far a change of them is, and which may be dropped.",
        |_| Ok(Operation::Seals),
    ),
];

/// Runs one operation. Sealing itself is done by the pipeline, after the commit. A tenant's rights, sudo on all of its
/// paths included, do not reach the server that it shares with others.
pub fn run(operation: Operation, place: &Place) -> Result<Answer, Refusal> {
    if place.tenant.parent().is_some() {
        // OpenBao has another text for these than for what else is of the root namespace.
        return Err(Refusal::invalid("operation unavailable in namespaces"));
    }
    match operation {
        Operation::Seal | Operation::StepDown | Operation::Seals => Ok(Answer::Empty),
    }
}
