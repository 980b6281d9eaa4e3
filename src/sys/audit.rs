//! `sys/audit`, `sys/audit-hash`: the sinks that the server's configuration declares, and the hashes that they write. Nothing of
//! the API makes, changes or removes a sink: it would name a file or an address.

use crate::answer::{Answer, Refusal};
use crate::commit::{Place, Txn};
use crate::engine::table::{Call, Field, Need, Row, Verb};
use crate::json::Json;
use crate::secret::SecretText;

/// One operation.
pub enum Operation {
    /// Another sink, another setting of one, or one less.
    Change,
    /// What a sink writes in place of a value.
    Hash {
        /// The sink.
        sink: String,
        /// The value.
        input: SecretText,
    },
}

const NEW: &[Field] = &[
    Field { name: "type", kind: "string", help: "Refused: the server's configuration declares sinks." },
    Field { name: "description", kind: "string", help: "As above." },
    Field { name: "options", kind: "object", help: "As above." },
    Field { name: "local", kind: "boolean", help: "As above." },
];

const HASH: &[Field] = &[Field { name: "input", kind: "string", help: "The value." }];

/// The table; the list of sinks is in that of the process, which knows them.
pub static TABLE: &[Row<Operation>] = &[
    Row::new(Verb::Write, "audit/:name", Need::Sudo, NEW, "Refused: sinks are declared in the server's configuration.", |_| {
        Ok(Operation::Change)
    }),
    Row::new(Verb::Delete, "audit/:name", Need::Sudo, &[], "Refused: sinks are declared in the server's configuration.", |_| {
        Ok(Operation::Change)
    }),
    Row::by_verb(Verb::Write, "audit-hash/:name", HASH, "Shows the hash that a sink writes in place of a value.", hash),
];

fn hash(call: &Call<'_>) -> Result<Operation, Refusal> {
    let input = call.fields.secret("input")?.filter(|input| !input.expose().is_empty());
    let input = input.ok_or_else(|| Refusal::invalid("the \"input\" parameter is empty"))?;
    Ok(Operation::Hash { sink: call.captures.get(0).to_owned(), input })
}

/// Runs one operation. Hashes are under a key of the request's namespace.
pub fn run(operation: &Operation, place: &Place, txn: &Txn) -> Result<Answer, Refusal> {
    match operation {
        Operation::Change => Err(Refusal::invalid(
            "cannot enable audit device via API; use declarative, config-based audit device management instead: \
             audit \"TYPE\" \"NAME\" { options { .. } } in the server's configuration",
        )),
        Operation::Hash { sink, input } => {
            if !txn.tenants().readers().iter().any(|reader| reader.reader() == sink) {
                return Err(Refusal::Invalid(format!("unknown audit backend \"{sink}/\"")));
            }
            let hash = place.tenant.keyring().audit_hash(input.expose().as_bytes());
            Ok(Answer::doubled(Json::object(|data| {
                data.field("hash", &hash);
            })))
        }
    }
}
