//! `sys/mfa`: ending a login that waits for a second factor, and showing one to a token.

use crate::answer::{Answer, Refusal};
use crate::auth::Caller;
use crate::auth::login::LoginCall;
use crate::auth::second_factor::{self, Passcodes};
use crate::commit::{Place, Txn};
use crate::engine::table::{Call, Field, Need, Row, Verb};
use crate::fields::{Fields, scalar_text};
use crate::secret::SecretText;

/// One operation.
pub enum Operation {
    /// Ends the login with this id.
    Validate(String, Passcodes),
    /// Shows a factor of a method, by id or name, to the caller's token.
    StepUp(String, SecretText),
}

const VALIDATE: &[Field] = &[
    Field { name: "mfa_request_id", kind: "string", help: "The login, as it was answered." },
    Field { name: "mfa_payload", kind: "object", help: "By the id or name of a method, a list with one passcode." },
];
const STEP_UP: &[Field] = &[
    Field { name: "method_id", kind: "string", help: "The method, by id or name." },
    Field { name: "passcode", kind: "string", help: "The code of the moment, or a recovery code." },
];

/// The table.
pub static TABLE: &[Row<Operation>] = &[
    Row::new(Verb::Write, "mfa/validate", Need::Login, VALIDATE, "Ends a login that needs a second factor.", validate),
    Row::new(Verb::Write, "mfa/step-up", Need::Token, STEP_UP, "Shows a second factor to the caller's own token.", step_up),
];

fn validate(call: &Call<'_>) -> Result<Operation, Refusal> {
    let id = call.fields.text("mfa_request_id")?.filter(|id| !id.is_empty());
    let id = id.ok_or_else(|| Refusal::invalid("missing request ID"))?;
    let mut passcodes = Passcodes::default();
    let nothing = Fields::empty();
    let payload = call.fields.nested("mfa_payload")?;
    let payload = payload.as_ref().unwrap_or(&nothing);
    for name in payload.names() {
        passcodes.add(name, passcode(payload, name)?)?;
    }
    Ok(Operation::Validate(id, passcodes))
}

/// A list with one text, or an empty one; or the text itself.
fn passcode(payload: &Fields<'_>, name: &str) -> Result<Option<SecretText>, Refusal> {
    if !payload.raw(name).is_some_and(|raw| raw.get().starts_with('[')) {
        return payload.secret(name);
    }
    let items = payload.items(name)?.unwrap_or_default();
    let multiple = "failed to parse MFA factor, found multiple passcodes for the same MFA method";
    match items.as_slice() {
        [] => Ok(None),
        [one] => {
            let text = scalar_text(one).ok_or_else(|| Refusal::invalid("mfa_payload: a passcode is a text"))?;
            Ok(Some(SecretText::new(text.as_str().to_owned())))
        }
        _ => Err(Refusal::invalid(multiple)),
    }
}

fn step_up(call: &Call<'_>) -> Result<Operation, Refusal> {
    let method = call.fields.text("method_id")?.filter(|id| !id.is_empty());
    let method = method.ok_or_else(|| Refusal::invalid("missing method ID"))?;
    let passcode = call.fields.secret("passcode")?.ok_or_else(|| Refusal::invalid("missing passcode"))?;
    Ok(Operation::StepUp(method, passcode))
}

/// Runs one operation.
pub async fn run(
    operation: Operation,
    place: &Place,
    (caller, login): (Option<&Caller>, LoginCall<'_>),
    txn: &mut Txn,
) -> Result<Answer, Refusal> {
    match operation {
        Operation::Validate(id, passcodes) => second_factor::validate(&id, &passcodes, &place.tenant, login, txn).await,
        Operation::StepUp(method, passcode) => {
            second_factor::step_up((&method, &passcode), place, caller.ok_or(Refusal::NoToken)?, txn).await
        }
    }
}
