//! The names of a value without what they hold.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use crate::json::{Json, Object};

/// The structure of the JSON object in `value`: objects that are not empty stay objects, everything else becomes
/// `null`, and so does what lies `depth` levels deep (0: no limit). `None` when the text is not an object.
pub(super) fn subkeys(value: &[u8], depth: u64) -> Option<Json> {
    let fields = Fields::of(value)?;
    Some(Json::object(|object| fill(object, &fields, 1, depth)))
}

fn fill(object: &mut Object<'_>, fields: &Fields<'_>, level: u64, depth: u64) {
    for (name, value) in &fields.0 {
        let below = if level == depth { None } else { Fields::within(value).filter(|below| !below.0.is_empty()) };
        match below {
            Some(below) => object.object(name, |inner| fill(inner, &below, level + 1, depth)),
            None => object.null(name),
        };
    }
}

/// The fields of an object, in the order of the text.
struct Fields<'a>(Vec<(Zeroizing<String>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Level;

        impl<'de> Visitor<'de> for Level {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
                    fields.push((Zeroizing::new(name), value));
                }
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_map(Level)
    }
}

impl<'a> Fields<'a> {
    /// The fields of the object in `text`; `None` when it is something else.
    fn of(text: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(text).ok()
    }

    /// The fields of `value`; `None` when it is not an object.
    fn within(value: &'a RawValue) -> Option<Self> {
        value.get().starts_with('{').then(|| Self::of(value.get().as_bytes())).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn structure(value: &str, depth: u64) -> Option<String> {
        subkeys(value.as_bytes(), depth).map(|json| String::from_utf8(json.expose().to_vec()).unwrap())
    }

    #[test]
    fn values_never_show() {
        let value = r#"{"foo":"abc","bar":{"baz":"def","deep":{"er":[1,{"x":2}]}},"quux":{},"n":null,"t":true}"#;
        let all = r#"{"foo":null,"bar":{"baz":null,"deep":{"er":null}},"quux":null,"n":null,"t":null}"#;
        assert_eq!(structure(value, 0).as_deref(), Some(all));
        assert_eq!(structure(value, 9).as_deref(), Some(all));
        assert_eq!(structure(value, 1).as_deref(), Some(r#"{"foo":null,"bar":null,"quux":null,"n":null,"t":null}"#));
        let two = r#"{"foo":null,"bar":{"baz":null,"deep":null},"quux":null,"n":null,"t":null}"#;
        assert_eq!(structure(value, 2).as_deref(), Some(two));
    }

    #[test]
    fn only_objects_have_subkeys() {
        assert_eq!(structure("{}", 0).as_deref(), Some("{}"));
        for text in ["", "[]", "\"a\"", "{", "null"] {
            assert_eq!(structure(text, 0), None, "{text}");
        }
    }

    #[test]
    fn names_are_escaped_again() {
        assert_eq!(structure(r#"{"a\"\u0041":1}"#, 0).as_deref(), Some(r#"{"a\"A":null}"#));
    }
}
