//! From calls to typed operations. Pure and total.

use serde_json::value::RawValue;

use super::mint::CONSUMERS_MAX;
use super::operation::{Named, Operation, Query, Sought, Wanted, Wish};
use crate::answer::Refusal;
use crate::engine::table::Call;
use crate::fields::Fields;
use crate::path::Path;
use crate::reference::{Binding, Consumer, Reference, ReferenceId};
use crate::time::Timestamp;

/// The most references that one request resolves.
pub const BATCH_MAX: usize = 1_000;
/// The longest purpose, name of a field, and etag, in bytes.
const TEXT_BYTES_MAX: usize = 256;
/// The longest URI of a consumer.
const URI_BYTES_MAX: usize = 2_048;

pub(super) fn resolve(call: &Call<'_>) -> Result<Operation, Refusal> {
    if !call.fields.has("references") {
        let text = call.fields.text("reference")?.ok_or_else(|| Refusal::invalid("missing field: reference"))?;
        return Ok(Operation::Resolve(wanted(reference(&text)?, call.fields)?));
    }
    if call.fields.has("reference") {
        return Err(Refusal::invalid("either reference or references"));
    }
    let items = call.fields.items("references")?.unwrap_or_default();
    if items.is_empty() || items.len() > BATCH_MAX {
        return Err(Refusal::Invalid(format!("references: from 1 to {BATCH_MAX} at once")));
    }
    items.into_iter().map(item).collect::<Result<_, _>>().map(Operation::ResolveAll)
}

/// A reference alone, or an object of fields. Another shape refuses the whole batch; a wrong reference its own item.
fn item(raw: &RawValue) -> Result<(String, Option<Wanted>), Refusal> {
    let shape = || Refusal::invalid("references: a list of references, or of objects with the field reference");
    if raw.get().starts_with('"') {
        let text: String = serde_json::from_str(raw.get()).map_err(|_| shape())?;
        let wanted = Reference::parse(&text).map(|reference| Wanted { reference, purpose: None, etags: Vec::new() });
        return Ok((shown(text), wanted));
    }
    let fields = Fields::within(raw).ok_or_else(shape)?;
    let text = fields.text("reference")?.ok_or_else(shape)?;
    let wanted = Reference::parse(&text).map(|reference| wanted(reference, &fields)).transpose()?;
    Ok((shown(text), wanted))
}

/// What an item is answered with as its reference: what was sent, cut to a length that no reference has.
fn shown(text: String) -> String {
    if text.chars().count() > 64 { text.chars().take(64).collect() } else { text }
}

fn wanted(reference: Reference, fields: &Fields<'_>) -> Result<Wanted, Refusal> {
    let etags = bounded(fields, "etag")?.map(|etag| etags(&etag)).unwrap_or_default();
    Ok(Wanted { reference, purpose: bounded(fields, "purpose")?, etags })
}

/// The entity tags of a text in the form of `If-None-Match` (RFC 9110 section 13.1.2), quotes being optional.
pub(super) fn etags(text: &str) -> Vec<String> {
    let bare = |tag: &str| tag.trim().trim_start_matches("W/").trim_matches('"').to_owned();
    text.split(',').map(bare).filter(|tag| !tag.is_empty()).collect()
}

pub(super) fn mint(call: &Call<'_>) -> Result<Operation, Refusal> {
    let path = path(call.fields)?.ok_or_else(|| Refusal::invalid("missing field: path"))?;
    Ok(Operation::Mint(wish(path, Vec::new(), call.fields)?))
}

pub(super) fn bind(call: &Call<'_>) -> Result<Operation, Refusal> {
    let path = canonical(call.captures.get(0))?;
    let consumers = consumers(call.fields)?;
    if consumers.is_empty() {
        return Err(Refusal::invalid("missing consumers: entities, certificates or uri_sans"));
    }
    Ok(Operation::Bind(wish(path, consumers, call.fields)?))
}

fn consumers(fields: &Fields<'_>) -> Result<Vec<Consumer>, Refusal> {
    let kinds: [(&str, Parse); 3] = [("entities", entity), ("certificates", certificate), ("uri_sans", uri_san)];
    let mut consumers = Vec::new();
    for (name, parse) in kinds {
        for text in fields.list(name)?.unwrap_or_default() {
            consumers.push(parse(&text)?);
        }
    }
    consumers.sort_unstable();
    consumers.dedup();
    if consumers.len() > CONSUMERS_MAX {
        return Err(Refusal::Invalid(format!("at most {CONSUMERS_MAX} consumers of one reference")));
    }
    Ok(consumers)
}

/// From one consumer's text.
type Parse = fn(&str) -> Result<Consumer, Refusal>;

/// Colons between the bytes and upper case are as other programs show it.
fn certificate(fingerprint: &str) -> Result<Consumer, Refusal> {
    let plain = fingerprint.replace(':', "").to_ascii_lowercase();
    let hexadecimal = plain.len() == 64 && plain.bytes().all(|byte| byte.is_ascii_hexdigit());
    if hexadecimal { Ok(Consumer::Certificate(plain)) } else { Err(Refusal::invalid("not the SHA-256 of a certificate")) }
}

fn uri_san(uri: &str) -> Result<Consumer, Refusal> {
    let plain = uri.contains(':') && uri.len() <= URI_BYTES_MAX && uri.bytes().all(|byte| byte.is_ascii_graphic());
    if plain {
        Ok(Consumer::UriSan(uri.to_owned()))
    } else {
        Err(Refusal::Invalid(format!("not a URI of up to {URI_BYTES_MAX} bytes")))
    }
}

fn entity(id: &str) -> Result<Consumer, Refusal> {
    let plain = !id.is_empty() && id.len() <= 64 && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if plain { Ok(Consumer::Entity(id.to_owned())) } else { Err(Refusal::invalid("not the id of an entity")) }
}

fn wish(path: Path, consumers: Vec<Consumer>, fields: &Fields<'_>) -> Result<Wish, Refusal> {
    let pinned = match fields.integer("version")? {
        None | Some(0) => None,
        Some(version) => Some(u64::try_from(version).map_err(|_| Refusal::invalid("version must not be negative"))?),
    };
    let uses = match fields.integer("uses")? {
        None | Some(0) => None,
        Some(uses) => Some(u64::try_from(uses).map_err(|_| Refusal::invalid("uses must not be negative"))?),
    };
    let (expires, ttl) = (time(fields, "expires")?, fields.duration("ttl")?.filter(|ttl| !ttl.is_zero()));
    if expires.is_some() && ttl.is_some() {
        return Err(Refusal::invalid("either expires or ttl"));
    }
    let binding = Binding {
        consumers,
        purpose: bounded(fields, "purpose")?.filter(|purpose| !purpose.is_empty()),
        not_before: time(fields, "not_before")?,
        expires,
        uses,
        uses_left: uses,
    };
    if binding.expires.is_some_and(|until| binding.not_before.is_some_and(|from| until <= from)) {
        return Err(Refusal::invalid("expires must be after not_before"));
    }
    let field = bounded(fields, "field")?.filter(|field| !field.is_empty());
    Ok(Wish { path, pinned, field, binding, ttl_seconds: ttl.map(|ttl| ttl.as_secs()) })
}

pub(super) fn search(call: &Call<'_>) -> Result<Operation, Refusal> {
    let kinds: [(&str, Parse); 3] = [("entity", entity), ("certificate", certificate), ("uri_san", uri_san)];
    let mut queries: Vec<Query> = path(call.fields)?.map(Query::Path).into_iter().collect();
    for (name, parse) in kinds {
        queries.extend(call.fields.text(name)?.as_deref().map(parse).transpose()?.map(Query::Consumer));
    }
    match <[Query; 1]>::try_from(queries) {
        Ok([query]) => Ok(Operation::Search(query)),
        Err(_) => Err(Refusal::invalid("one of path, entity, certificate and uri_san must be given")),
    }
}

pub(super) fn describe(call: &Call<'_>) -> Result<Operation, Refusal> {
    Ok(Operation::Describe(named(call.fields)?))
}

pub(super) fn rotate(call: &Call<'_>) -> Result<Operation, Refusal> {
    Ok(Operation::Rotate(named(call.fields)?))
}

pub(super) fn revoke(call: &Call<'_>) -> Result<Operation, Refusal> {
    match path(call.fields)? {
        None => Ok(Operation::Revoke(Sought::Named(named(call.fields)?))),
        Some(_) if call.fields.has("reference") || call.fields.has("id") => {
            Err(Refusal::invalid("one of reference, id and path must be given"))
        }
        Some(path) => Ok(Operation::Revoke(Sought::Path(path))),
    }
}

fn named(fields: &Fields<'_>) -> Result<Named, Refusal> {
    match (fields.text("reference")?, fields.text("id")?) {
        (Some(text), None) => reference(&text).map(Named::Reference),
        (None, Some(id)) => {
            ReferenceId::parse(&id).map(Named::Id).ok_or_else(|| Refusal::invalid("malformed id: 64 hexadecimal digits"))
        }
        _ => Err(Refusal::invalid("one of reference and id must be given")),
    }
}

fn reference(text: &str) -> Result<Reference, Refusal> {
    Reference::parse(text).ok_or_else(|| Refusal::invalid("malformed reference: mistyped, or not complete"))
}

fn path(fields: &Fields<'_>) -> Result<Option<Path>, Refusal> {
    fields.text("path")?.map(|text| canonical(&text)).transpose()
}

/// A path of a secret: canonical, without a slash at the end.
pub(in crate::sys) fn canonical(text: &str) -> Result<Path, Refusal> {
    let path = Path::new(text).map_err(|error| Refusal::invalid(error.to_string()))?;
    if path.is_empty() || path.as_str().ends_with('/') {
        return Err(Refusal::invalid("not the path of a secret"));
    }
    Ok(path)
}

fn time(fields: &Fields<'_>, name: &str) -> Result<Option<Timestamp>, Refusal> {
    let Some(text) = fields.text(name)?.filter(|text| !text.is_empty()) else { return Ok(None) };
    let time = Timestamp::parse_rfc3339(&text);
    time.map(Some).ok_or_else(|| Refusal::Invalid(format!("{name}: expected a time such as 2030-01-31T12:00:00Z")))
}

fn bounded(fields: &Fields<'_>, name: &str) -> Result<Option<String>, Refusal> {
    let text = fields.text(name)?;
    if text.as_ref().is_some_and(|text| text.len() > TEXT_BYTES_MAX) {
        return Err(Refusal::Invalid(format!("{name}: at most {TEXT_BYTES_MAX} bytes")));
    }
    Ok(text)
}
