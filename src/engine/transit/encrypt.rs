//! Encrypting, decrypting, and both at once: rewrapping.

use std::collections::BTreeMap;
use std::sync::Arc;

use data_encoding::BASE64;

use super::batch::{Batch, Failing, base64, context_field, secret_field, told};
use super::keys::{self, NewKey};
use super::marked::{Marked, mark};
use super::record::{self, Ring, Settings};
use super::uses::{self, Left};
use crate::answer::{Answer, Refusal};
use crate::commit::{Place, Txn};
use crate::crypto;
use crate::crypto::transit::{Derivation, Key, KeyError};
use crate::engine::table::Call;
use crate::fields::Fields;
use crate::json::Object;
use crate::secret::{SecretBytes, SecretText};

pub(super) const NOT_FOUND: &str = "encryption key not found";
pub(super) const TOO_OLD: &str = "ciphertext or signature version is disallowed by policy (too old)";

/// A text to be encrypted.
pub struct Plain {
    pub(super) text: SecretBytes,
    pub(super) context: Option<Vec<u8>>,
    pub(super) associated: Option<Vec<u8>>,
    /// 0 for the newest.
    pub(super) version: i64,
}

/// A ciphertext.
pub struct Sealed {
    text: String,
    context: Option<Vec<u8>>,
    associated: Option<Vec<u8>>,
    /// Of rewrapping: the version to encrypt with.
    version: i64,
}

/// What was encrypted, and with which version.
pub(super) struct Made {
    pub(super) ciphertext: String,
    pub(super) version: u32,
}

pub(super) fn associated(fields: &Fields<'_>) -> Result<Option<Vec<u8>>, Refusal> {
    let Some(text) = fields.text("associated_data")?.filter(|text| !text.is_empty()) else { return Ok(None) };
    base64(&text).map(Some).map_err(|error| Refusal::Invalid(format!("unable to decode associated_data as base64: {error}")))
}

pub(super) fn plain(call: &Call<'_>) -> Result<Batch<Plain>, Refusal> {
    let item = |fields: &Fields<'_>| {
        let missing = || Refusal::invalid("missing plaintext to encrypt");
        Ok(Plain {
            text: secret_field(fields, "plaintext")?.ok_or_else(missing)?,
            context: context_field(fields, "")?,
            associated: associated(fields)?,
            version: fields.integer("key_version")?.unwrap_or(0),
        })
    };
    let batch = Batch::parse(call, item, |fields| given(fields, "plaintext", "missing plaintext to encrypt"))?;
    let mut contexts = batch.items.iter().flatten().map(|item| item.context.is_some());
    let first = contexts.next();
    if contexts.any(|other| Some(other) != first) {
        return Err(Refusal::invalid("context should be set either in all the request blocks or in none"));
    }
    Ok(batch)
}

pub(super) fn sealed(call: &Call<'_>) -> Result<Batch<Sealed>, Refusal> {
    let item = |fields: &Fields<'_>| {
        let text = fields.text("ciphertext")?.filter(|text| !text.is_empty());
        Ok(Sealed {
            text: text.ok_or_else(|| Refusal::invalid("missing ciphertext to decrypt"))?,
            context: context_field(fields, "")?,
            associated: associated(fields)?,
            version: fields.integer("key_version")?.unwrap_or(0),
        })
    };
    Batch::parse(call, item, |fields| given(fields, "ciphertext", "missing ciphertext to decrypt"))
}

fn given(fields: &Fields<'_>, name: &str, missing: &str) -> Result<(), Refusal> {
    if fields.has(name) { Ok(()) } else { Err(Refusal::invalid(missing)) }
}

/// Which key of a version a context asks for.
pub(super) fn derivation<'a>(settings: &Settings, context: Option<&'a [u8]>) -> Option<Derivation<'a>> {
    settings.derived.then_some(Derivation { context, convergent: settings.convergent })
}

/// The version that encrypts or signs; `what` is `encryption` or `signing`.
pub(super) fn version_for(settings: &Settings, asked: i64, what: &str) -> Result<u32, String> {
    let version = match u32::try_from(asked) {
        Ok(0) => return Ok(settings.latest),
        Ok(version) => version,
        Err(_) if asked < 0 => return Err(format!("requested version for {what} is negative")),
        Err(_) => u32::MAX,
    };
    if version > settings.latest {
        return Err(format!("requested version for {what} is higher than the latest key version"));
    }
    if version < settings.min_encryption {
        return Err(format!("requested version for {what} is less than the minimum encryption key version"));
    }
    if version < settings.min_decryption {
        return Err("no such key version".to_owned());
    }
    Ok(version)
}

/// Takes the mark off, and finds the version, if it may still be used; `what` is `ciphertext`, `signature` or `HMAC`.
pub(super) fn open_mark<'a, 'k>(text: &'a str, ring: &'k Ring, what: &str) -> Result<(&'a str, &'k Key), String> {
    let marked = Marked::parse(text).map_err(|error| format!("invalid {what}: {error}"))?;
    let settings = &ring.key.settings;
    if marked.version > settings.latest {
        return Err(format!("invalid {what}: version is too new"));
    }
    if marked.version < settings.min_decryption {
        return Err(TOO_OLD.to_owned());
    }
    let key = ring.key.keys.get(&marked.version).ok_or("no such key version")?;
    Ok((marked.body, key))
}

/// Does something for each item, once in a request. Private operations of RSA take milliseconds each: they are done where
/// nobody waits.
pub(super) async fn each<I: Send + 'static, O: Send + Sync + 'static>(
    label: &str,
    ring: &Arc<Ring>,
    items: Vec<Result<I, String>>,
    txn: &Txn,
    work: impl Fn(&Ring, usize, I) -> Result<O, String> + Send + 'static,
) -> Result<Arc<Vec<Result<O, String>>>, Refusal> {
    let name = crypto::sha256(&[b"strongroom transit work", label.as_bytes(), &ring.object.0, &ring.written.to_be_bytes()]);
    let slow = ring.key.settings.kind.is_rsa();
    let ring = Arc::clone(ring);
    txn.once(name, async move {
        let work = move || {
            let items = items.into_iter().enumerate();
            items.map(|(at, item)| item.and_then(|item| work(&ring, at, item))).collect::<Vec<_>>()
        };
        if !slow {
            return Ok(work());
        }
        tokio::task::spawn_blocking(work).await.map_err(|_| Refusal::Internal("a key could not be used".to_owned()))
    })
    .await
}

fn check_aead(settings: &Settings, at: usize, associated: Option<&Vec<u8>>) -> Result<(), String> {
    if associated.is_some() && !settings.kind.is_symmetric() {
        return Err(format!("'[{at}].associated_data' provided for non-AEAD cipher suite {}", settings.kind.name()));
    }
    Ok(())
}

pub(super) fn seal(ring: &Ring, at: usize, plain: &Plain) -> Result<Made, String> {
    let settings = &ring.key.settings;
    check_aead(settings, at, plain.associated.as_ref())?;
    let version = version_for(settings, plain.version, "encryption")?;
    let key = ring.key.keys.get(&version).ok_or("no such key version")?;
    let derivation = derivation(settings, plain.context.as_deref());
    let sealed = key.encrypt(derivation, plain.associated.as_deref().unwrap_or_default(), &plain.text).map_err(told)?;
    Ok(Made { ciphertext: mark(version, &BASE64.encode(&sealed)), version })
}

fn open(ring: &Ring, at: usize, sealed: &Sealed) -> Result<SecretBytes, String> {
    let settings = &ring.key.settings;
    check_aead(settings, at, sealed.associated.as_ref())?;
    let (body, key) = open_mark(&sealed.text, ring, "ciphertext")?;
    let body = base64(body).map_err(|_| "invalid ciphertext: could not decode base64")?;
    let derivation = derivation(settings, sealed.context.as_deref());
    key.decrypt(derivation, sealed.associated.as_deref().unwrap_or_default(), &body).map_err(told)
}

/// Counts what is about to be encrypted, and rotates a key that is worn. Items whose version has no use left are refused.
pub(super) async fn reserve(
    name: &str,
    ring: Arc<Ring>,
    items: &mut [Result<Plain, String>],
    place: &Place,
    txn: &mut Txn,
) -> Result<Arc<Ring>, Refusal> {
    let mut wanted: BTreeMap<u32, u64> = BTreeMap::new();
    for item in items.iter().flatten() {
        if let Ok(version) = version_for(&ring.key.settings, item.version, "encryption") {
            *wanted.entry(version).or_default() += 1;
        }
    }
    let mut ring = ring;
    for (version, texts) in wanted {
        let left = uses::count(&ring, version, texts, place, txn).await?;
        let newest = version == ring.key.settings.latest;
        if left != Left::Enough && newest && keys::may_rotate(&ring.key) {
            ring = keys::rotate_worn(name, place, txn).await?;
            uses::count(&ring, ring.key.settings.latest, texts, place, txn).await?;
        } else if left == Left::Nothing {
            for item in items.iter_mut() {
                let asked = item.as_ref().ok().and_then(|item| version_for(&ring.key.settings, item.version, "encryption").ok());
                if asked == Some(version) {
                    *item = Err(format!(
                        "version {version} of the key has encrypted as many texts as its nonces allow ({}): rotate the key",
                        uses::STOP_AT
                    ));
                }
            }
        }
    }
    Ok(ring)
}

fn supports_encryption(ring: &Ring, what: &str) -> Result<(), String> {
    let kind = ring.key.settings.kind;
    if kind.encrypts() { Ok(()) } else { Err(format!("message {what} not supported for key type {}", kind.name())) }
}

/// Turns every item into the same refusal.
fn refuse_all<T>(items: &mut [Result<T, String>], text: &str) {
    items.iter_mut().filter(|item| item.is_ok()).for_each(|item| *item = Err(text.to_owned()));
}

fn show_made(made: &Made, out: &mut Object<'_>) {
    out.field("ciphertext", &made.ciphertext).field("key_version", &made.version);
}

/// Encrypts. A key that is not there is made, as `new` says.
pub(super) async fn encrypt(
    name: &str,
    batch: Batch<Plain>,
    new: &NewKey,
    place: &Place,
    txn: &mut Txn,
) -> Result<Answer, Refusal> {
    let ring = if let Some(ring) = record::find(name, place, txn).await? {
        ring
    } else {
        let derived = batch.items.iter().flatten().any(|item| item.context.is_some());
        keys::upsert(name, new, derived, place, txn).await?
    };
    let (mut items, rest) = batch.split();
    if let Err(text) = supports_encryption(&ring, "encryption") {
        refuse_all(&mut items, &text);
    }
    let ring = reserve(name, ring, &mut items, place, txn).await?;
    let made = each("encrypt", &ring, items, txn, |ring, at, item: Plain| seal(ring, at, &item)).await?;
    rest.answer(&made, Failing::IsInvalid, show_made, |_| {})
}

/// Decrypts.
pub(super) async fn decrypt(name: &str, batch: Batch<Sealed>, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    let ring = record::find(name, place, txn).await?.ok_or_else(|| Refusal::invalid(NOT_FOUND))?;
    let (mut items, rest) = batch.split();
    if let Err(text) = supports_encryption(&ring, "decryption") {
        refuse_all(&mut items, &text);
    }
    let opened = each("decrypt", &ring, items, txn, |ring, at, item: Sealed| open(ring, at, &item)).await?;
    let show = |text: &SecretBytes, out: &mut Object<'_>| {
        out.field("plaintext", SecretText::new(BASE64.encode(text.expose())).expose());
    };
    rest.answer(&opened, Failing::IsInvalid, show, |out| {
        out.field("plaintext", "");
    })
}

/// Decrypts, and encrypts with the newest version: nobody sees the text.
pub(super) async fn rewrap(name: &str, batch: Batch<Sealed>, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    let ring = record::find(name, place, txn).await?.ok_or_else(|| Refusal::invalid(NOT_FOUND))?;
    let (mut items, rest) = batch.split();
    if let Err(text) = supports_encryption(&ring, "decryption") {
        refuse_all(&mut items, &text);
    }
    let opened = each("rewrap", &ring, items, txn, |ring, at, item: Sealed| {
        let text = open(ring, at, &item)?;
        Ok(Plain { text, context: item.context, associated: item.associated, version: item.version })
    });
    let opened = opened.await?;
    let copy = |item: &Plain| Plain {
        text: item.text.duplicate(),
        context: item.context.clone(),
        associated: item.associated.clone(),
        version: item.version,
    };
    let mut items: Vec<Result<Plain, String>> =
        opened.iter().map(|item| item.as_ref().map(copy).map_err(String::clone)).collect();
    let ring = reserve(name, ring, &mut items, place, txn).await?;
    let made = each("wrap again", &ring, items, txn, |ring, at, item: Plain| seal(ring, at, &item)).await?;
    rest.answer(&made, Failing::IsTold, show_made, |_| {})
}

/// `KeyError` of keys that were just made, which is the server's fault.
pub(super) fn broken(error: KeyError) -> Refusal {
    Refusal::Internal(format!("a key could not be made: {error}"))
}
