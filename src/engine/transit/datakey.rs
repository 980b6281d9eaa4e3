//! Data keys: random bytes, encrypted, for a client to encrypt with; the client keeps the ciphertext and forgets the key, or
//! has the key kept here and stores a reference.

use std::sync::Arc;

use data_encoding::BASE64;

use super::batch::context_field;
use super::encrypt::{self, Plain, associated};
use super::kept;
use super::record::{self, Ring};
use crate::answer::{Answer, Refusal};
use crate::commit::{Place, Txn};
use crate::engine::references::conditions::Conditions;
use crate::engine::table::Call;
use crate::fields::Fields;
use crate::json::{Json, Object};
use crate::random;
use crate::reference::ReferenceId;
use crate::secret::{SecretBytes, SecretText};

/// The most data keys of one request.
pub const COUNT_MAX: i64 = 100;

/// What is asked for.
pub struct Wanted {
    bytes: usize,
    context: Option<Vec<u8>>,
    associated: Option<Vec<u8>>,
    version: i64,
}

/// What is answered of data keys that are not kept.
pub struct Shown {
    /// The key itself is answered, too.
    plaintext: bool,
    /// One, answered as it is; or so many, in a list.
    count: Option<usize>,
}

impl Wanted {
    pub(super) fn parse(fields: &Fields<'_>) -> Result<Self, Refusal> {
        let bytes = match fields.integer("bits")?.unwrap_or(256) {
            128 => 16,
            256 => 32,
            512 => 64,
            _ => return Err(Refusal::invalid("invalid bit length")),
        };
        Ok(Self {
            bytes,
            context: context_field(fields, "failed to base64-decode context")?,
            associated: associated(fields)?,
            version: fields.integer("key_version")?.unwrap_or(0),
        })
    }
}

impl Shown {
    pub(super) fn parse(call: &Call<'_>) -> Result<Self, Refusal> {
        let plaintext = match call.captures.get(0) {
            "plaintext" => true,
            "wrapped" => false,
            _ => return Err(Refusal::invalid("Invalid path, must be 'plaintext' or 'wrapped'")),
        };
        let count = match call.fields.integer("count")? {
            None => None,
            Some(count @ 1..=COUNT_MAX) => usize::try_from(count).ok(),
            Some(_) => return Err(Refusal::Invalid(format!("count: from 1 to {COUNT_MAX}"))),
        };
        Ok(Self { plaintext, count })
    }
}

/// A data key and its ciphertext.
struct DataKey {
    sealed: encrypt::Made,
    text: SecretBytes,
}

impl DataKey {
    fn show(&self, plaintext: bool, out: &mut Object<'_>) {
        out.field("ciphertext", &self.sealed.ciphertext).field("key_version", &self.sealed.version);
        if plaintext {
            out.field("plaintext", SecretText::new(BASE64.encode(self.text.expose())).expose());
        }
    }
}

type DataKeys = Arc<Vec<Result<DataKey, String>>>;

/// Fresh data keys, and the Transit key that encrypted them.
async fn fresh(
    (name, count): (&str, usize),
    wanted: &Wanted,
    place: &Place,
    txn: &mut Txn,
) -> Result<(Arc<Ring>, DataKeys), Refusal> {
    let ring = record::find(name, place, txn).await?.ok_or_else(|| Refusal::invalid(encrypt::NOT_FOUND))?;
    let kind = ring.key.settings.kind;
    if !kind.encrypts() {
        return Err(Refusal::Invalid(format!("message encryption not supported for key type {}", kind.name())));
    }
    let plain = |_| {
        Ok(Plain {
            text: random::secret(wanted.bytes),
            context: wanted.context.clone(),
            associated: wanted.associated.clone(),
            version: wanted.version,
        })
    };
    let mut items: Vec<Result<Plain, String>> = (0..count).map(plain).collect();
    let ring = encrypt::reserve(name, ring, &mut items, place, txn).await?;
    let made = encrypt::each("data key", &ring, items, txn, |ring, at, item: Plain| {
        Ok(DataKey { sealed: encrypt::seal(ring, at, &item)?, text: item.text })
    });
    let made = made.await?;
    Ok((ring, made))
}

fn done(made: &Result<DataKey, String>) -> Result<&DataKey, Refusal> {
    made.as_ref().map_err(|text| Refusal::Invalid(text.clone()))
}

/// Makes data keys.
pub(super) async fn make(name: &str, wanted: &Wanted, shown: &Shown, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    let (_, made) = fresh((name, shown.count.unwrap_or(1)), wanted, place, txn).await?;
    let mut list = Json::list_in("data_keys", 256 * made.len());
    for item in made.iter() {
        let json = done(item).map(|item| Json::object(|out| item.show(shown.plaintext, out)))?;
        if shown.count.is_none() {
            return Ok(Answer::data(json));
        }
        list.item(&json);
    }
    Ok(Answer::data(list.close()))
}

/// Makes a data key that is kept, and a reference to it.
pub(super) async fn keep(
    name: &str,
    wanted: &Wanted,
    conditions: &Conditions,
    place: &Place,
    txn: &mut Txn,
) -> Result<Answer, Refusal> {
    let binding = conditions.at(txn.now())?;
    let (ring, made) = fresh((name, 1), wanted, place, txn).await?;
    let made = made.first().ok_or_else(|| Refusal::Internal("no data key was made".to_owned()))?;
    let json = done(made).map(|made| Json::object(|out| made.show(true, out)))?;
    let reference = kept::keep(&json, (name, &ring), binding, place, txn).await?;
    Ok(Answer::data(Json::object(|out| {
        out.splice(&json);
        out.field("id", ReferenceId::of(place.tenant.keyring(), &reference).as_str()).field("reference", &reference);
    })))
}
