//! Request bodies and query strings, weakly typed as Vault's clients write them.
//!
//! `Fields` borrows the body and converts a field only when asked for it: nothing is turned into a tree of values, so a
//! secret is copied once, into a type that wipes itself. Limits (`DEPTH_MAX`, `NODES_MAX`, duplicate names) are checked
//! on the whole body before any field can be read. Error texts name the field and what is expected, never a value.
//! This module must not know any operation. Durations are `std::time::Duration`; on the wire they are seconds.

mod convert;
mod form;
mod json;
mod merge;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::value::RawValue;
use zeroize::Zeroizing;

pub use form::{PARAMETERS_MAX, QUERY_BYTES_MAX, Query};
pub use json::{DEPTH_MAX, NODES_MAX};
pub use merge::merge_patch;

use crate::answer::Refusal;
use crate::json::Json;
use crate::secret::{SecretBytes, SecretText};
use convert::Scalar;

/// One field of a request body.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its name in the body; `*` stands for any.
    pub name: &'static str,
    /// What it holds: string, boolean, integer, array, object, duration (text such as `5m`, or seconds), any.
    pub kind: &'static str,
    /// One sentence.
    pub help: &'static str,
}

/// The fields of a request body. A field that is `null` counts as absent everywhere, except for `names` and `raw`.
pub struct Fields<'a> {
    entries: Vec<(Cow<'a, str>, Text<'a>)>,
}

/// The JSON text of one field.
enum Text<'a> {
    /// A part of the body.
    Body(&'a RawValue),
    /// A form value, written as a JSON string.
    Form(Zeroizing<String>),
}

impl<'a> Fields<'a> {
    /// No fields: a request without a body.
    pub fn empty() -> Self {
        Self { entries: Vec::new() }
    }

    /// Reads a body. The content type is not trusted: what begins with `{` is JSON, whatever the header says.
    /// A body that is empty, blank, or `null`, as `bao write -f` sends it, has no fields. `Invalid` when it is neither JSON object nor form, or past a limit.
    pub fn parse(body: &'a [u8], content_type: Option<&str>) -> Result<Self, Refusal> {
        let Ok(text) = std::str::from_utf8(body) else {
            return Err(Refusal::invalid("failed to decode JSON input: the body is not UTF-8"));
        };
        let text = text.trim_matches(json::WHITESPACE);
        if matches!(text, "" | "null") {
            return Ok(Self::empty());
        }
        if form::is_form(text, content_type) {
            let entries = form::decode(text)?;
            return Ok(Self { entries: entries.into_iter().map(|(name, json)| (Cow::Owned(name), Text::Form(json))).collect() });
        }
        Self::of_object(json::checked_object(text)?)
    }

    /// The fields of an object inside a body that was checked.
    fn of_object(object: &'a RawValue) -> Result<Self, Refusal> {
        let entries = json::members(object)?;
        Ok(Self { entries: entries.into_iter().map(|(name, value)| (name, Text::Body(value))).collect() })
    }

    /// True when the field is there and not `null`.
    pub fn has(&self, name: &str) -> bool {
        self.present(name).is_some()
    }

    /// True when there is no field at all.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The names, in the order of the body, `null` ones included.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|(name, _)| name.as_ref())
    }

    /// The names that are not in `known`, sorted, for the warning about unrecognized parameters.
    pub fn unknown(&self, known: &[Field]) -> Vec<String> {
        let unknown = self.names().filter(|name| known.iter().all(|field| field.name != "*" && field.name != *name));
        let mut unknown: Vec<String> = unknown.map(str::to_owned).collect();
        unknown.sort_unstable();
        unknown
    }

    /// The JSON text of a field, also of a `null` one. A form value is a JSON string.
    pub fn raw(&self, name: &str) -> Option<&RawValue> {
        self.entries.iter().find(|(known, _)| known == name).and_then(|(_, text)| text.raw())
    }

    /// All fields as one JSON object, `null` ones included; `None` when there is no field.
    pub fn whole(&self) -> Option<SecretBytes> {
        if self.is_empty() {
            return None;
        }
        let json = Json::object(|object| {
            for (name, raw) in self.iter() {
                object.raw(name, raw.get().as_bytes());
            }
        });
        Some(json.into_secret())
    }

    /// All fields with their JSON text, in the order of the body.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &RawValue)> {
        self.entries.iter().filter_map(|(name, text)| Some((name.as_ref(), text.raw()?)))
    }

    /// Text; a number or boolean is taken as it is written.
    pub fn text(&self, name: &str) -> Result<Option<String>, Refusal> {
        self.scalar(name, "a string", |scalar| scalar.text().map(|text| text.as_str().to_owned()))
    }

    /// The same as `text`, into a type that wipes itself; no other copy is made.
    pub fn secret(&self, name: &str) -> Result<Option<SecretText>, Refusal> {
        self.scalar(name, "a string", |scalar| scalar.text().map(|mut text| SecretText::new(std::mem::take(&mut *text))))
    }

    /// A boolean, or text or number that Go's `strconv.ParseBool` takes. Empty text is false.
    pub fn boolean(&self, name: &str) -> Result<Option<bool>, Refusal> {
        self.scalar(name, "a boolean", Scalar::boolean)
    }

    /// A whole number, as number or decimal text. Empty text is 0.
    pub fn integer(&self, name: &str) -> Result<Option<i64>, Refusal> {
        self.scalar(name, "a whole number", Scalar::integer)
    }

    /// A number, or text that is one. Empty text is 0.
    pub fn number(&self, name: &str) -> Result<Option<f64>, Refusal> {
        self.scalar(name, "a number", Scalar::number)
    }

    /// Seconds as number or text, or Go's form (`1h30m`). Empty text is zero; negative is refused.
    pub fn duration(&self, name: &str) -> Result<Option<Duration>, Refusal> {
        self.scalar(name, "a duration: seconds, or text such as \"1h30m\", and not negative", Scalar::duration)
    }

    /// A JSON list of strings, numbers or booleans; or text with commas, where blanks around an item and empty items are
    /// dropped; or one number.
    pub fn list(&self, name: &str) -> Result<Option<Vec<String>>, Refusal> {
        self.convert(name, "a list of strings, or a string with commas", convert::list)
    }

    /// A list as `list` reads it, of whole numbers that are not negative.
    pub fn integers(&self, name: &str) -> Result<Option<Vec<u64>>, Refusal> {
        self.convert(name, "a list of whole numbers", |raw| {
            convert::list(raw)?.iter().map(|item| item.trim().parse().ok()).collect()
        })
    }

    /// An object whose values are strings, numbers or booleans (`null` ones are left out); or `key=value`, or a list of
    /// those, as `bao write x meta=key=value` sends it.
    pub fn map(&self, name: &str) -> Result<Option<BTreeMap<String, String>>, Refusal> {
        self.convert(name, "an object of strings, or \"key=value\"", convert::map)
    }

    /// The JSON text of an object.
    pub fn object(&self, name: &str) -> Result<Option<&RawValue>, Refusal> {
        self.convert(name, "an object", |raw| raw.get().starts_with('{').then_some(raw))
    }

    /// The fields of an object inside the body.
    pub fn nested(&self, name: &str) -> Result<Option<Fields<'_>>, Refusal> {
        self.object(name)?.map(Fields::of_object).transpose()
    }

    /// A list of objects.
    pub fn rows(&self, name: &str) -> Result<Option<Vec<Fields<'_>>>, Refusal> {
        let Some(list) = self.present(name) else { return Ok(None) };
        let wrong = || Refusal::Invalid(format!("error converting input for field {name:?}: expected a list of objects"));
        let items = Some(list).filter(|list| list.get().starts_with('[')).and_then(json::items).ok_or_else(wrong)?;
        let row = |item: &'_ RawValue| item.get().starts_with('{');
        if !items.iter().all(|item| row(item)) {
            return Err(wrong());
        }
        items.into_iter().map(Fields::of_object).collect::<Result<_, _>>().map(Some)
    }

    /// The JSON texts of a list's items, whatever they are.
    pub fn items(&self, name: &str) -> Result<Option<Vec<&RawValue>>, Refusal> {
        self.convert(name, "a list", json::items)
    }

    /// The fields of an object that is an item of such a list; `None` when it is something else.
    pub fn within(item: &'a RawValue) -> Option<Self> {
        item.get().starts_with('{').then(|| Self::of_object(item).ok()).flatten()
    }

    fn present(&self, name: &str) -> Option<&RawValue> {
        self.raw(name).filter(|raw| raw.get() != "null")
    }

    fn convert<'s, T>(
        &'s self,
        name: &str,
        expected: &str,
        convert: impl FnOnce(&'s RawValue) -> Option<T>,
    ) -> Result<Option<T>, Refusal> {
        let Some(raw) = self.present(name) else { return Ok(None) };
        match convert(raw) {
            Some(value) => Ok(Some(value)),
            None => Err(Refusal::Invalid(format!("error converting input for field {name:?}: expected {expected}"))),
        }
    }

    fn scalar<'s, T>(
        &'s self,
        name: &str,
        expected: &str,
        convert: impl FnOnce(Scalar<'s>) -> Option<T>,
    ) -> Result<Option<T>, Refusal> {
        self.convert(name, expected, |raw| convert(Scalar::of(raw)?))
    }
}

/// The text of a string, number or boolean of a checked body; `None` for anything else.
pub(crate) fn scalar_text(raw: &RawValue) -> Option<Zeroizing<String>> {
    Scalar::of(raw)?.text()
}

impl Text<'_> {
    fn raw(&self) -> Option<&RawValue> {
        match self {
            Self::Body(raw) => Some(raw),
            // Written by `form::decode`, so it parses.
            Self::Form(json) => serde_json::from_str(json).ok(),
        }
    }
}

#[cfg(test)]
mod tests;
