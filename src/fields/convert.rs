//! From the JSON text of a field to the type that an operation wants. `None` means: not convertible.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::json;
use crate::time::parse_duration;

/// A value that is neither list, object nor `null`.
pub(super) enum Scalar<'a> {
    /// A JSON string, quotes included.
    Quoted(&'a str),
    /// A number, as it is written.
    Number(&'a str),
    /// A boolean.
    Boolean(bool),
}

impl<'a> Scalar<'a> {
    pub(super) fn of(raw: &'a RawValue) -> Option<Self> {
        let text = raw.get();
        Some(match text.as_bytes().first()? {
            b'"' => Self::Quoted(text),
            b't' => Self::Boolean(true),
            b'f' => Self::Boolean(false),
            b'-' | b'0'..=b'9' => Self::Number(text),
            _ => return None,
        })
    }

    /// Never fails for a body that was checked.
    pub(super) fn text(self) -> Option<Zeroizing<String>> {
        match self {
            Self::Quoted(quoted) => json::unquote(quoted),
            Self::Number(text) => Some(Zeroizing::new(text.to_owned())),
            Self::Boolean(value) => Some(Zeroizing::new(value.to_string())),
        }
    }

    pub(super) fn boolean(self) -> Option<bool> {
        if let Self::Boolean(value) = self {
            return Some(value);
        }
        Some(match self.text()?.as_str() {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => true,
            "" | "0" | "f" | "F" | "false" | "FALSE" | "False" => false,
            _ => return None,
        })
    }

    pub(super) fn integer(self) -> Option<i64> {
        if let Self::Boolean(_) = self {
            return None;
        }
        let text = self.text()?;
        if text.is_empty() { Some(0) } else { text.trim().parse().ok() }
    }

    pub(super) fn number(self) -> Option<f64> {
        if let Self::Boolean(_) = self {
            return None;
        }
        let text = self.text()?;
        if text.is_empty() { Some(0.0) } else { text.trim().parse().ok() }
    }

    pub(super) fn duration(self) -> Option<Duration> {
        if let Self::Boolean(_) = self {
            return None;
        }
        parse_duration(&self.text()?)
    }
}

pub(super) fn list(raw: &RawValue) -> Option<Vec<String>> {
    if !raw.get().starts_with('[') {
        let text = Scalar::of(raw)?.text()?;
        return Some(text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect());
    }
    json::items(raw)?.into_iter().map(scalar_text).collect()
}

pub(super) fn map(raw: &RawValue) -> Option<BTreeMap<String, String>> {
    if raw.get().starts_with('{') {
        let members = json::members(raw).ok()?;
        let present = members.into_iter().filter(|(_, value)| value.get() != "null");
        return present.map(|(name, value)| Some((name.into_owned(), scalar_text(value)?))).collect();
    }
    let pairs = if raw.get().starts_with('[') { list(raw)? } else { vec![scalar_text(raw)?] };
    let pairs = pairs.iter().filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()))).collect()
}

fn scalar_text(raw: &RawValue) -> Option<String> {
    Scalar::of(raw)?.text().map(|text| text.as_str().to_owned())
}
