//! From calls to typed operations. Pure and total.

use serde_json::value::RawValue;

use super::operation::{Named, Operation, Query, Sought, Wanted, Wish};
use crate::answer::Refusal;
use crate::engine::references::conditions::{CONSUMERS, Conditions, bounded, consumers};
use crate::engine::table::Call;
use crate::fields::Fields;
use crate::path::Path;
use crate::reference::{Consumer, Reference, ReferenceId};

/// The most references that one request resolves.
pub const BATCH_MAX: usize = 1_000;

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
        return Err(Refusal::invalid("missing consumers: entities, certificates, uri_sans or subjects"));
    }
    Ok(Operation::Bind(wish(path, consumers, call.fields)?))
}

fn wish(path: Path, consumers: Vec<Consumer>, fields: &Fields<'_>) -> Result<Wish, Refusal> {
    let pinned = match fields.integer("version")? {
        None | Some(0) => None,
        Some(version) => Some(u64::try_from(version).map_err(|_| Refusal::invalid("version must not be negative"))?),
    };
    let field = bounded(fields, "field")?.filter(|field| !field.is_empty());
    Ok(Wish { path, pinned, field, conditions: Conditions::parse(fields, consumers)? })
}

pub(super) fn search(call: &Call<'_>) -> Result<Operation, Refusal> {
    let mut queries: Vec<Query> = path(call.fields)?.map(Query::Path).into_iter().collect();
    for (_, name, parse) in CONSUMERS {
        queries.extend(call.fields.text(name)?.as_deref().map(parse).transpose()?.map(Query::Consumer));
    }
    match <[Query; 1]>::try_from(queries) {
        Ok([query]) => Ok(Operation::Search(query)),
        Err(_) => Err(Refusal::invalid("one of path, entity, certificate, uri_san and subject must be given")),
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
