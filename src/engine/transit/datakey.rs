//! Data keys: random bytes, encrypted, for a client to encrypt with; the client keeps the ciphertext and forgets the key.

use data_encoding::BASE64;

use super::batch::context_field;
use super::encrypt::{self, Plain, associated};
use super::record;
use crate::answer::{Answer, Refusal};
use crate::commit::{Place, Txn};
use crate::engine::table::Call;
use crate::json::{Json, Object};
use crate::random;
use crate::secret::{SecretBytes, SecretText};

/// The most data keys of one request.
pub const COUNT_MAX: i64 = 100;

/// What is asked for.
pub struct Wanted {
    /// The key itself is answered, too.
    plaintext: bool,
    bytes: usize,
    context: Option<Vec<u8>>,
    associated: Option<Vec<u8>>,
    version: i64,
    /// One, answered as it is; or so many, in a list.
    count: Option<usize>,
}

impl Wanted {
    pub(super) fn parse(call: &Call<'_>) -> Result<Self, Refusal> {
        let plaintext = match call.captures.get(0) {
            "plaintext" => true,
            "wrapped" => false,
            _ => return Err(Refusal::invalid("Invalid path, must be 'plaintext' or 'wrapped'")),
        };
        let bytes = match call.fields.integer("bits")?.unwrap_or(256) {
            128 => 16,
            256 => 32,
            512 => 64,
            _ => return Err(Refusal::invalid("invalid bit length")),
        };
        let count = match call.fields.integer("count")? {
            None => None,
            Some(count @ 1..=COUNT_MAX) => usize::try_from(count).ok(),
            Some(_) => return Err(Refusal::Invalid(format!("count: from 1 to {COUNT_MAX}"))),
        };
        Ok(Self {
            plaintext,
            bytes,
            context: context_field(call.fields, "failed to base64-decode context")?,
            associated: associated(call.fields)?,
            version: call.fields.integer("key_version")?.unwrap_or(0),
            count,
        })
    }
}

pub(super) async fn make(name: &str, wanted: &Wanted, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    let ring = record::find(name, place, txn).await?.ok_or_else(|| Refusal::invalid(encrypt::NOT_FOUND))?;
    let kind = ring.key.settings.kind;
    if !kind.encrypts() {
        return Err(Refusal::Invalid(format!("message encryption not supported for key type {}", kind.name())));
    }
    let fresh = |_| {
        Ok(Plain {
            text: random::secret(wanted.bytes),
            context: wanted.context.clone(),
            associated: wanted.associated.clone(),
            version: wanted.version,
        })
    };
    let mut items: Vec<Result<Plain, String>> = (0..wanted.count.unwrap_or(1)).map(fresh).collect();
    let ring = encrypt::reserve(name, ring, &mut items, place, txn).await?;
    let made =
        encrypt::each("data key", &ring, items, txn, |ring, at, item: Plain| Ok((encrypt::seal(ring, at, &item)?, item.text)));
    let made = made.await?;
    let show = |(made, text): &(encrypt::Made, SecretBytes), out: &mut Object<'_>| {
        out.field("ciphertext", &made.ciphertext).field("key_version", &made.version);
        if wanted.plaintext {
            out.field("plaintext", SecretText::new(BASE64.encode(text.expose())).expose());
        }
    };
    let mut list = zeroize::Zeroizing::new(Vec::with_capacity(256 * made.len()));
    for (at, item) in made.iter().enumerate() {
        let item = item.as_ref().map_err(|text| Refusal::Invalid(text.clone()))?;
        if wanted.count.is_none() {
            return Ok(Answer::data(Json::object(|out| show(item, out))));
        }
        crate::secret::append(&mut list, if at == 0 { b"[" } else { b"," });
        crate::secret::append(&mut list, Json::object(|out| show(item, out)).expose());
    }
    crate::secret::append(&mut list, b"]");
    Ok(Answer::data(Json::object(|out| {
        out.raw("data_keys", &list);
    })))
}
