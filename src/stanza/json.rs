//! JSON text as entries: the form that Vault's users know, an object whose keys are the stanzas.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserializer as _;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::place::{FileError, Place};
use super::{Entry, Value};
use crate::secret::SecretText;

/// Deeper nesting is refused; the deepest stanza needs five.
const DEPTH_MAX: usize = 16;

/// Reads a JSON object. Duplicate keys stay duplicate entries, for the reader of the stanza to judge.
pub(super) fn entries(file: &Arc<PathBuf>, text: &str) -> Result<Vec<Entry>, FileError> {
    Reader { file, text }.object(text.trim(), DEPTH_MAX)
}

struct Reader<'a> {
    file: &'a Arc<PathBuf>,
    text: &'a str,
}

impl<'a> Reader<'a> {
    /// `part` is a slice of the text, so its address tells the line.
    fn place(&self, part: &str) -> Place {
        let offset = part.as_ptr().addr().saturating_sub(self.text.as_ptr().addr());
        let before = self.text.get(..offset).unwrap_or_default();
        Place { file: Arc::clone(self.file), line: before.matches('\n').count() + 1 }
    }

    fn broken(&self, part: &str, error: &serde_json::Error) -> FileError {
        let mut place = self.place(part);
        place.line += error.line().saturating_sub(1);
        // serde_json quotes values in errors of type, not in errors of syntax.
        let problem = if error.is_data() { "must be an object in braces".to_owned() } else { format!("not JSON: {error}") };
        FileError::Syntax { place, problem }
    }

    fn object(&self, part: &'a str, depth: usize) -> Result<Vec<Entry>, FileError> {
        let mut json = serde_json::Deserializer::from_str(part);
        let pairs = json.deserialize_map(Pairs).and_then(|pairs| json.end().map(|()| pairs));
        let pairs = pairs.map_err(|error| self.broken(part, &error))?;
        let entry = |(key, raw): (String, &'a RawValue)| {
            let (place, value) = (self.place(raw.get()), self.value(raw.get(), depth)?);
            Ok(Entry { key, labels: Vec::new(), place, value })
        };
        pairs.into_iter().map(entry).collect()
    }

    fn value(&self, part: &'a str, depth: usize) -> Result<Value, FileError> {
        let Some(depth) = depth.checked_sub(1) else {
            return Err(FileError::Syntax { place: self.place(part), problem: "is nested too deeply".to_owned() });
        };
        let failed = |error: serde_json::Error| self.broken(part, &error);
        match part.as_bytes().first() {
            Some(b'{') => self.object(part, depth).map(Value::Block),
            Some(b'[') => {
                let items: Vec<&RawValue> = serde_json::Deserializer::from_str(part).deserialize_seq(Items).map_err(failed)?;
                items.into_iter().map(|item| self.value(item.get(), depth)).collect::<Result<_, _>>().map(Value::List)
            }
            Some(b'"') => serde_json::from_str(part).map(|text| Value::Text(SecretText::new(text))).map_err(failed),
            Some(b't' | b'f') => serde_json::from_str(part).map(Value::Boolean).map_err(failed),
            Some(b'n') => Err(FileError::Syntax { place: self.place(part), problem: "null is not a value".to_owned() }),
            _ => Ok(Value::Number(part.to_owned())),
        }
    }
}

struct Pairs;

impl<'de> Visitor<'de> for Pairs {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(pairs)
    }
}

struct Items;

impl<'de> Visitor<'de> for Items {
    type Value = Vec<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(items)
    }
}
