//! Templates of identity tokens: JSON in which `{{identity.entity.name}}` and its like stand for JSON values of the
//! entity. A value that the entity has not is an empty string, object or list. A text becomes a JSON string, quotes
//! included, so that no value can break out of its place.

use serde::Serialize;

use super::super::standing::Standing;
use crate::answer::Refusal;
use crate::fields::Fields;
use crate::time::{Timestamp, parse_duration};

/// The longest template, in bytes.
pub(super) const TEMPLATE_BYTES_MAX: usize = 64 << 10;

/// What a token always tells, and what other parts of `OpenID` Connect use.
const RESERVED: [&str; 10] = ["iat", "aud", "exp", "iss", "sub", "namespace", "nonce", "auth_time", "at_hash", "c_hash"];

/// Whether tokens can be made with this template, whatever their entity has.
pub(super) fn check(template: &str) -> Result<(), Refusal> {
    if template.len() > TEMPLATE_BYTES_MAX {
        return Err(Refusal::invalid(format!("template: at most {TEMPLATE_BYTES_MAX} bytes")));
    }
    let filled =
        fill(template, None, Timestamp(0)).map_err(|reason| Refusal::invalid(format!("error parsing template: {reason}")))?;
    let wrong = |reason: String| Refusal::invalid(format!("error parsing template JSON: {reason}"));
    if !filled.trim_start().starts_with('{') {
        return Err(wrong("expected an object".to_owned()));
    }
    let fields = Fields::parse(filled.as_bytes(), None).map_err(|refusal| match refusal {
        Refusal::Invalid(text) => wrong(text),
        other => other,
    })?;
    match fields.names().find(|name| RESERVED.contains(name)) {
        Some(name) => {
            Err(Refusal::invalid(format!("top level key {name:?} not allowed. Restricted keys: {}", RESERVED.join(", "))))
        }
        None => Ok(()),
    }
}

/// The JSON text for an entity; without one every value is empty. The error is what is wrong with the template.
pub(super) fn fill(template: &str, standing: Option<&Standing>, now: Timestamp) -> Result<String, &'static str> {
    let decoded = data_encoding::BASE64.decode(template.as_bytes()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let mut rest = decoded.as_deref().unwrap_or(template);
    let mut filled = String::with_capacity(rest.len());
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, tail) = after.split_once("}}").ok_or("missing closing braces")?;
        filled.push_str(before);
        filled.push_str(&value(name.trim(), standing, now).ok_or("no value could be found for one of the template directives")?);
        rest = tail;
    }
    filled.push_str(rest);
    Ok(filled)
}

/// A JSON text; `None` when there is no such directive.
fn value(name: &str, standing: Option<&Standing>, now: Timestamp) -> Option<String> {
    let entity = standing.map(|standing| &*standing.entity);
    let groups = || standing.map(|standing| standing.groups.as_slice()).unwrap_or_default();
    if let Some(rest) = name.strip_prefix("identity.entity.aliases.") {
        let (accessor, part) = rest.split_once('.')?;
        let alias = standing.and_then(|standing| standing.aliases.iter().find(|alias| alias.accessor == accessor));
        return match part {
            "id" => json(alias.map_or("", |alias| &alias.id)),
            "name" => json(alias.map_or("", |alias| &alias.name)),
            _ => match part.strip_prefix("custom_metadata") {
                Some(part) => noted(part, alias.and_then(|alias| alias.custom_metadata.as_ref())),
                None => noted(part.strip_prefix("metadata")?, alias.and_then(|alias| alias.metadata.as_ref())),
            },
        };
    }
    match name {
        "identity.entity.id" => json(entity.map_or("", |entity| &entity.id)),
        "identity.entity.name" => json(entity.map_or("", |entity| &entity.name)),
        "identity.entity.groups.ids" => json(&groups().iter().map(|group| group.id.as_str()).collect::<Vec<_>>()),
        "identity.entity.groups.names" => json(&groups().iter().map(|group| group.name.as_str()).collect::<Vec<_>>()),
        "time.now" => json(&now.unix_seconds()),
        _ => match name.strip_prefix("identity.entity.metadata") {
            Some(part) => noted(part, entity.and_then(|entity| entity.metadata.as_ref())),
            None => time(name.strip_prefix("time.now.")?, now),
        },
    }
}

/// All notes, or one of them: `part` is empty, or a dot and a key.
fn noted(part: &str, notes: Option<&super::super::record::Metadata>) -> Option<String> {
    if part.is_empty() {
        return json(notes.unwrap_or(&super::super::record::Metadata::new()));
    }
    let key = part.strip_prefix('.').filter(|key| !key.is_empty())?;
    json(notes.and_then(|notes| notes.get(key)).map_or("", String::as_str))
}

/// `plus.1h`, `minus.30m`
fn time(part: &str, now: Timestamp) -> Option<String> {
    let (direction, duration) = part.split_once('.')?;
    let seconds = i64::try_from(parse_duration(duration)?.as_secs()).ok()?;
    match direction {
        "plus" => json(&now.unix_seconds().saturating_add(seconds)),
        "minus" => json(&now.unix_seconds().saturating_sub(seconds)),
        _ => None,
    }
}

fn json(value: &(impl Serialize + ?Sized)) -> Option<String> {
    serde_json::to_string(value).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::super::super::record::Entity;
    use super::*;

    #[test]
    fn values_are_json_and_stay_in_their_place() {
        let mut entity = Entity::new("a\",\"sub\":\"b".to_owned(), Timestamp(0));
        entity.metadata = Some(BTreeMap::from([("k.k".to_owned(), "v".to_owned())]));
        let standing = Standing { entity: Arc::new(entity), groups: Vec::new(), aliases: Vec::new() };
        let text = r#"{"n": {{ identity.entity.name }}, "g": {{identity.entity.groups.names}}, "m": {{identity.entity.metadata}},
            "k": {{identity.entity.metadata.k.k}}, "none": {{identity.entity.metadata.x}},
            "al": {{identity.entity.aliases.acc.metadata}}, "p": {{time.now.plus.1m}}}"#;
        check(text).unwrap();
        let filled = fill(text, Some(&standing), Timestamp(1_000_000_000)).unwrap();
        let read: serde_json::Value = serde_json::from_str(&filled).unwrap();
        let expected =
            serde_json::json!({"n": "a\",\"sub\":\"b", "g": [], "m": {"k.k": "v"}, "k": "v", "none": "", "al": {}, "p": 61});
        assert_eq!(read, expected);
        check(&data_encoding::BASE64.encode(text.as_bytes())).unwrap();
    }

    #[test]
    fn what_could_not_be_a_token_is_refused() {
        for (template, text) in [
            ("{\"sub\": \"x\"}", "top level key \"sub\" not allowed"),
            ("{bad", "error parsing template JSON"),
            ("[1]", "error parsing template JSON"),
            ("{\"a\": 1, \"a\": 2}", "error parsing template JSON"),
            ("{\"a\": \"{{identity.entity.name}}\"}", "error parsing template JSON"),
            ("{\"a\": {{identity.nope}}}", "error parsing template: no value"),
            ("{\"a\": {{time.now.plus.soon}}}", "error parsing template: no value"),
            ("{\"a\": {{identity.entity.name", "error parsing template: missing closing"),
        ] {
            match check(template) {
                Err(Refusal::Invalid(reason)) => assert!(reason.starts_with(text), "{template}: {reason}"),
                _ => panic!("accepted: {template}"),
            }
        }
    }
}
