//! One text or a batch of them: what is asked for each, what came of it, and the answer. An item that fails does not keep the
//! others from being done.

use crate::answer::{Answer, Data, Refusal};
use crate::base64;
use crate::crypto::transit::KeyError;
use crate::engine::table::Call;
use crate::fields::Fields;
use crate::json::{Json, Object};
use crate::secret::SecretBytes;

use super::{BATCH_MAX, ITEM_BYTES_MAX};

/// What ends a line.
const LINE_FEEDS: [u8; 2] = *b"\r\n";

/// Items, in the order of the request.
pub struct Batch<T> {
    /// What is asked, or what is wrong with it.
    pub(super) items: Vec<Result<T, String>>,
    references: Vec<String>,
    many: bool,
    partial_status: Option<i64>,
}

/// The status of a batch in which items failed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Failing {
    /// 400, or what the request asks for if others were done.
    IsInvalid,
    /// 200: the items say it.
    IsTold,
}

impl<T> Batch<T> {
    /// Reads `batch_input`, or the one item that the body is itself. What `item` refuses is told for the item.
    pub(super) fn parse(
        call: &Call<'_>,
        item: impl Fn(&Fields<'_>) -> Result<T, Refusal>,
        missing: impl Fn(&Fields<'_>) -> Result<(), Refusal>,
    ) -> Result<Self, Refusal> {
        let partial_status = call.fields.integer("partial_failure_response_code")?;
        let told = |fields: &Fields<'_>| match item(fields) {
            Err(Refusal::Invalid(text)) => Ok(Err(text)),
            other => other.map(Ok),
        };
        let Some(rows) = call.fields.rows("batch_input")? else {
            missing(call.fields)?;
            return Ok(Self { items: vec![told(call.fields)?], references: Vec::new(), many: false, partial_status });
        };
        if rows.is_empty() {
            return Err(Refusal::invalid("missing batch input to process"));
        }
        if rows.len() > BATCH_MAX {
            return Err(Refusal::invalid(format!("batch_input: at most {BATCH_MAX} items")));
        }
        let (mut items, mut references) = (Vec::with_capacity(rows.len()), Vec::with_capacity(rows.len()));
        for row in &rows {
            items.push(told(row)?);
            references.push(row.text("reference")?.unwrap_or_default());
        }
        Ok(Self { items, references, many: true, partial_status })
    }

    /// Takes the items out; the rest makes the answer of what comes of them.
    pub(super) fn split(self) -> (Vec<Result<T, String>>, Batch<()>) {
        let Self { items, references, many, partial_status } = self;
        (items, Batch { items: Vec::new(), references, many, partial_status })
    }
}

impl Batch<()> {
    /// The answer: `done` writes an item that was done, `failed` what stands in one that was not besides its error.
    pub(super) fn answer<O>(
        &self,
        results: &[Result<O, String>],
        failing: Failing,
        done: impl Fn(&O, &mut Object<'_>),
        failed: impl Fn(&mut Object<'_>),
    ) -> Result<Answer, Refusal> {
        if !self.many {
            return match results.first() {
                Some(Ok(result)) => Ok(Answer::data(Json::object(|out| done(result, out)))),
                Some(Err(text)) => Err(Refusal::Invalid(text.clone())),
                None => Err(Refusal::invalid("missing batch input to process")),
            };
        }
        let mut list = Json::list_in("batch_results", results.len() * 128);
        for (at, result) in results.iter().enumerate() {
            list.object(|out| {
                match result {
                    Ok(result) => done(result, out),
                    Err(text) => {
                        failed(out);
                        out.field("error", text);
                    }
                }
                out.field("reference", self.references.get(at).map_or("", String::as_str));
            });
        }
        let mut answer = Data::new(Some(list.close()));
        if failing == Failing::IsInvalid && results.iter().any(Result::is_err) {
            answer.status = 400;
            match self.partial_status.filter(|_| results.iter().any(Result::is_ok)) {
                Some(status) if (200..=599).contains(&status) => answer.status = u16::try_from(status).unwrap_or(400),
                Some(_) => answer
                    .warnings
                    .push("invalid HTTP response code override from partial_failure_response_code, reverting to 400".to_owned()),
                None => {}
            }
        }
        Ok(Answer::Data(answer))
    }
}

/// What base64 of one item stands for. The error's text is that of clients' other servers.
pub(super) fn base64(text: &str) -> Result<Vec<u8>, String> {
    let length = text.bytes().filter(|byte| !LINE_FEEDS.contains(byte)).count();
    if length / 4 * 3 > ITEM_BYTES_MAX + 2 {
        return Err(format!("an item holds at most {ITEM_BYTES_MAX} bytes"));
    }
    base64_of_any_length(text).map_err(|at| format!("illegal base64 data at input byte {at}"))
}

/// The same, of what no item bounds; the error is the position. As others do, line feeds are passed over.
pub(super) fn base64_of_any_length(text: &str) -> Result<Vec<u8>, usize> {
    if !text.bytes().any(|byte| LINE_FEEDS.contains(&byte)) {
        return base64::decode(text);
    }
    // Long enough from the start: a text that grew would leave copies behind.
    let mut joined = zeroize::Zeroizing::new(String::with_capacity(text.len()));
    joined.extend(text.split(['\r', '\n']));
    base64::decode(&joined)
}

/// A secret field that holds base64; `None` when it is not there.
pub(super) fn secret_field(fields: &Fields<'_>, name: &str) -> Result<Option<SecretBytes>, Refusal> {
    let Some(text) = fields.secret(name)? else { return Ok(None) };
    base64(text.expose()).map(|bytes| Some(SecretBytes::new(bytes))).map_err(Refusal::Invalid)
}

/// The context of a derived key; empty counts as absent.
pub(super) fn context_field(fields: &Fields<'_>, failed: &str) -> Result<Option<Vec<u8>>, Refusal> {
    let Some(text) = fields.text("context")?.filter(|text| !text.is_empty()) else { return Ok(None) };
    let decoded = base64(&text).map_err(|error| if failed.is_empty() { error } else { failed.to_owned() });
    decoded.map(Some).map_err(Refusal::Invalid)
}

/// What a client is told of a key that was not used. Nothing that opens or not says more than that.
pub(super) fn told(error: KeyError) -> String {
    match error {
        KeyError::Open => "cipher: message authentication failed".to_owned(),
        KeyError::NoContext => "missing 'context' for key derivation; the key was created using a derived key, which means \
                                additional, per-request information must be included in order to perform operations with the key"
            .to_owned(),
        KeyError::NoPrivateKey => {
            "requested version does not contain a private part: only its public key was imported".to_owned()
        }
        KeyError::TooLong => "the plaintext is too long for the RSA key: encrypt a data key, and the text with that".to_owned(),
        KeyError::HashLength => "input must be hashed message: it has not the length of the hash".to_owned(),
        KeyError::Unsupported | KeyError::Import(_) | KeyError::Unusable => error.to_string(),
    }
}
