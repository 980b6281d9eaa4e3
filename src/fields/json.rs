//! Limits on a JSON body, and its members as spans of the body.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use crate::answer::Refusal;

/// How deep objects and lists may be nested.
pub const DEPTH_MAX: usize = 64;
/// How many values a body may hold, at all depths together.
pub const NODES_MAX: usize = 100_000;

/// What RFC 8259 section 2 calls white space.
pub(super) const WHITESPACE: [char; 4] = [' ', '\t', '\n', '\r'];

/// The object that `text` is, when it is one JSON object within the limits and no object in it names a member twice.
pub(super) fn checked_object(text: &str) -> Result<&RawValue, Refusal> {
    // Skipping over a value neither recurses nor copies, so it is safe before the limits are checked, and its
    // errors are of syntax alone: they quote no content.
    let raw: &RawValue = serde_json::from_str(text).map_err(|error| undecodable(&error.to_string()))?;
    if !raw.get().starts_with('{') {
        return Err(undecodable("the body is not an object"));
    }
    check_limits(raw.get())?;
    Ok(raw)
}

/// The members of a checked object, in order. Names are decoded, values are spans.
pub(super) fn members(object: &RawValue) -> Result<Vec<(Cow<'_, str>, &RawValue)>, Refusal> {
    let Members(members) = serde_json::from_str(object.get()).map_err(|_| undecodable("the body is not an object"))?;
    Ok(members)
}

/// The items of a checked list, in order.
pub(super) fn items(list: &RawValue) -> Option<Vec<&RawValue>> {
    serde_json::from_str(list.get()).ok()
}

fn undecodable(reason: &str) -> Refusal {
    Refusal::Invalid(format!("failed to decode JSON input: {reason}"))
}

/// Walks a text that is known to be JSON, once, without recursion.
fn check_limits(text: &str) -> Result<(), Refusal> {
    let bytes = text.as_bytes();
    // One entry per open object or list; objects remember their names.
    let mut open: Vec<Option<HashSet<Cow<'_, str>>>> = Vec::new();
    let mut nodes = 0_usize;
    let mut name_expected = false;
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let start = at;
        at += 1;
        match byte {
            b'{' | b'[' => {
                open.push((*byte == b'{').then(HashSet::new));
                name_expected = *byte == b'{';
                nodes += 1;
            }
            b'}' | b']' => {
                open.pop();
                name_expected = false;
            }
            b',' => name_expected = matches!(open.last(), Some(Some(_))),
            b'"' => {
                at = string_end(bytes, at)?;
                if !std::mem::take(&mut name_expected) {
                    nodes += 1;
                } else if let Some(Some(names)) = open.last_mut() {
                    let Name(name) = serde_json::from_str(text.get(start..at).unwrap_or_default())
                        .map_err(|_| undecodable("a name is not text"))?;
                    if names.contains(&name) {
                        return Err(undecodable(&format!("the name {name:?} is given twice in one object")));
                    }
                    names.insert(name);
                }
            }
            b':' | b' ' | b'\t' | b'\n' | b'\r' => {}
            _ => {
                at += bytes.get(at..).unwrap_or_default().iter().take_while(|byte| !b",]} \t\n\r".contains(byte)).count();
                nodes += 1;
            }
        }
        if open.len() > DEPTH_MAX {
            return Err(undecodable(&format!("nested more than {DEPTH_MAX} deep")));
        }
        if nodes > NODES_MAX {
            return Err(undecodable(&format!("more than {NODES_MAX} values")));
        }
    }
    Ok(())
}

/// The index after the closing quote of the string whose content begins at `at`. Half of a surrogate pair is refused:
/// it is no text, and readers disagree about it.
fn string_end(bytes: &[u8], mut at: usize) -> Result<usize, Refusal> {
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return Ok(at + 1),
            b'\\' if bytes.get(at + 1) == Some(&b'u') => {
                at += match (unit(bytes, at), unit(bytes, at + 6)) {
                    (Some(0xD800..0xDC00), Some(0xDC00..0xE000)) => 12,
                    (Some(0xD800..0xE000), _) => return Err(undecodable("a string has half of a surrogate pair")),
                    _ => 6,
                };
            }
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    Err(undecodable("a string does not end"))
}

/// The UTF-16 unit of the `\uXXXX` at `at`.
fn unit(bytes: &[u8], at: usize) -> Option<u16> {
    let digits = bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// The text of a JSON string that was checked, quotes included, decoded into a buffer that is never moved.
pub(super) fn unquote(quoted: &str) -> Option<Zeroizing<String>> {
    let inner = quoted.strip_prefix('"')?.strip_suffix('"')?;
    let mut text = Zeroizing::new(String::with_capacity(inner.len()));
    let mut rest = inner;
    while let Some(at) = rest.find('\\') {
        let (plain, escape) = rest.split_at(at);
        text.push_str(plain);
        let bytes = escape.as_bytes();
        let (decoded, taken) = match bytes.get(1)? {
            b'u' => match (unit(bytes, 0)?, unit(bytes, 6)) {
                (high @ 0xD800..0xDC00, Some(low)) => (char::decode_utf16([high, low]).next()?.ok()?, 12),
                (one, _) => (char::from_u32(u32::from(one))?, 6),
            },
            b'b' => ('\u{8}', 2),
            b'f' => ('\u{c}', 2),
            b'n' => ('\n', 2),
            b'r' => ('\r', 2),
            b't' => ('\t', 2),
            other => (char::from(*other), 2),
        };
        text.push(decoded);
        rest = escape.get(taken..)?;
    }
    text.push_str(rest);
    Some(text)
}

#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(InOrder)
    }
}

struct InOrder;

impl<'de> Visitor<'de> for InOrder {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        let mut members = Vec::new();
        while let Some((Name(name), value)) = map.next_entry()? {
            members.push((name, value));
        }
        Ok(Members(members))
    }
}
