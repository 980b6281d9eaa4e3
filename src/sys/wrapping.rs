//! `sys/wrapping`: putting an answer away, and getting it back with the token that was given out for it.
//!
//! The token is looked for in the request's namespace and those above. One that is unknown, spent, expired or of another
//! kind is answered with one text, so nothing is learnt from it.

use std::sync::Arc;

use crate::answer::{Answer, Data, Refusal};
use crate::auth::Caller;
use crate::auth::token::{Known, wrapping};
use crate::commit::{Place, Txn};
use crate::engine::object::ANY;
use crate::engine::table::{Call, Field, Need, Row, Verb};
use crate::json::Json;
use crate::secret::{SecretBytes, SecretText};

/// One operation. A token that the body does not name is the caller's own.
pub enum Operation {
    /// Answers with what it was sent, to be wrapped.
    Wrap(SecretBytes),
    /// When and for what a wrapping token was made.
    Lookup(Option<SecretText>),
    /// The answer that was put away.
    Unwrap(Option<SecretText>),
    /// Another token for it.
    Rewrap(Option<SecretText>),
}

const TOKEN: &[Field] =
    &[Field { name: "token", kind: "string", help: "The wrapping token; it may be the client token instead." }];

/// The table.
pub static TABLE: &[Row<Operation>] = &[
    Row::by_verb(Verb::Write, "wrapping/wrap", ANY, "Puts an object away. Needs X-Vault-Wrap-TTL.", |call| {
        Ok(Operation::Wrap(call.fields.whole().unwrap_or_else(|| SecretBytes::new(b"{}".to_vec()))))
    }),
    Row::new(Verb::Write, "wrapping/lookup", Need::Nobody, TOKEN, "When and for what a wrapping token was made.", lookup),
    Row::new(Verb::Read, "wrapping/lookup", Need::Nobody, TOKEN, "When and for what a wrapping token was made.", lookup),
    Row::new(Verb::Write, "wrapping/unwrap", Need::WrappingToken, TOKEN, "Takes the answer out, once.", |call| {
        Ok(Operation::Unwrap(token(call)?))
    }),
    Row::new(Verb::Write, "wrapping/rewrap", Need::WrappingToken, TOKEN, "Gives another token for the answer.", |call| {
        Ok(Operation::Rewrap(token(call)?))
    }),
];

fn lookup(call: &Call<'_>) -> Result<Operation, Refusal> {
    Ok(Operation::Lookup(token(call)?))
}

fn token(call: &Call<'_>) -> Result<Option<SecretText>, Refusal> {
    Ok(call.fields.secret("token")?.filter(|token| !token.expose().is_empty()))
}

impl Operation {
    /// Whether it makes no sense without `X-Vault-Wrap-TTL`.
    pub fn only_wrapped(&self) -> bool {
        matches!(self, Self::Wrap(_))
    }
}

/// Runs one operation.
pub async fn run(operation: Operation, place: &Place, caller: Option<&Caller>, txn: &mut Txn) -> Result<Answer, Refusal> {
    match operation {
        Operation::Wrap(object) => Ok(Answer::data(Json::from_text(object.expose().to_vec()))),
        Operation::Lookup(token) => Ok(show(&find(token.as_ref(), place, caller, txn).await?)),
        Operation::Unwrap(token) => {
            let known = find(token.as_ref(), place, caller, txn).await?;
            caller.ok_or(Refusal::NoToken)?;
            wrapping::open(txn, &known).await?.ok_or_else(not_valid)
        }
        Operation::Rewrap(token) => {
            let known = find(token.as_ref(), place, caller, txn).await?;
            caller.ok_or(Refusal::NoToken)?;
            wrapping::rewrap(txn, &known).await?.ok_or_else(not_valid)
        }
    }
}

/// `cubbyhole/response`, the old way to take an answer out: with the wrapping token as the client token.
pub async fn response(place: &Place, caller: &Caller, txn: &mut Txn) -> Result<Answer, Refusal> {
    let known = find(None, place, Some(caller), txn).await?;
    let body = wrapping::open(txn, &known).await?.ok_or_else(not_valid)?.into_body("");
    let text = body.as_ref().and_then(|body| std::str::from_utf8(body.expose()).ok()).unwrap_or_default();
    let data = Json::object(|data| {
        data.field("response", text);
    });
    let deprecated = "Reading from 'cubbyhole/response' is deprecated. Please use sys/wrapping/unwrap to unwrap responses, as it \
                      provides additional security checks and other benefits.";
    Ok(Answer::Data(Data { warnings: vec![deprecated.to_owned()], ..Data::new(Some(data)) }))
}

async fn find(named: Option<&SecretText>, place: &Place, caller: Option<&Caller>, txn: &mut Txn) -> Result<Known, Refusal> {
    let text = named.or(caller.map(|caller| &caller.token)).ok_or_else(not_valid)?;
    // Without the ancestors loaded there is no request either.
    let chain = txn.tenants().chain(&place.tenant).unwrap_or_else(|| vec![Arc::clone(&place.tenant)]);
    wrapping::find(txn, &chain, text).await?.ok_or_else(not_valid)
}

fn show(known: &Known) -> Answer {
    let entry = &known.entry;
    Answer::data(Json::object(|data| {
        data.field("creation_path", &entry.path)
            .field("creation_time", &entry.created.rfc3339())
            .field("creation_ttl", &entry.creation_ttl_seconds);
    }))
}

fn not_valid() -> Refusal {
    Refusal::invalid("wrapping token is not valid or does not exist")
}
