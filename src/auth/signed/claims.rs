//! What a verified token says.
//!
//! A path is the name of a claim, or a JSON pointer (RFC 6901) when it begins with a slash.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::jws::object;
use crate::json::Json;
use crate::secret::{SecretBytes, SecretText};

/// Claims: a JSON object within the limits of a request's body.
pub struct Claims {
    text: SecretText,
}

/// A single value of JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Scalar {
    /// Text.
    Text(String),
    /// True or false.
    Flag(bool),
    /// A number.
    Number(serde_json::Number),
}

impl PartialEq for Scalar {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Text(a), Self::Text(b)) => a == b,
            (Self::Flag(a), Self::Flag(b)) => a == b,
            // 1 and 1.0 are the same number.
            (Self::Number(a), Self::Number(b)) => a == b || (a.is_f64() != b.is_f64() && a.as_f64() == b.as_f64()),
            _ => false,
        }
    }
}

impl Eq for Scalar {}

/// A claim is there, and of another type than it has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a claim has another type")]
pub struct OtherType;

type Members<'a> = BTreeMap<Cow<'a, str>, &'a RawValue>;

#[derive(Deserialize)]
struct Object<'a>(#[serde(borrow)] Members<'a>);

impl Claims {
    /// Reads the payload of a token.
    pub fn parse(payload: &SecretBytes) -> Option<Self> {
        object(payload.expose())?;
        let text = std::str::from_utf8(payload.expose()).ok()?;
        Some(Self { text: SecretText::new(text.to_owned()) })
    }

    /// The JSON text of a claim.
    pub fn find(&self, path: &str) -> Option<&RawValue> {
        let Some(pointer) = path.strip_prefix('/') else { return self.claim(path) };
        let mut parts = pointer.split('/').map(|part| part.replace("~1", "/").replace("~0", "~"));
        let mut found = self.claim(&parts.next()?)?;
        for part in parts {
            found = match found.get().as_bytes().first()? {
                b'{' => serde_json::from_str::<Object<'_>>(found.get()).ok()?.0.get(part.as_str()).copied()?,
                b'[' => *serde_json::from_str::<Vec<&RawValue>>(found.get()).ok()?.get(part.parse::<usize>().ok()?)?,
                _ => return None,
            };
        }
        Some(found).filter(|found| found.get() != "null")
    }

    /// The claim of that very name, whatever is in the name.
    fn claim(&self, name: &str) -> Option<&RawValue> {
        self.members().get(name).copied().filter(|found| found.get() != "null")
    }

    fn members(&self) -> Members<'_> {
        // It was parsed before.
        serde_json::from_str(self.text.expose()).map(|Object(members)| members).unwrap_or_default()
    }

    /// A claim that is text.
    pub fn text(&self, path: &str) -> Option<String> {
        serde_json::from_str(self.find(path)?.get()).ok()
    }

    /// The same of the claim of that very name, also where it begins with a slash.
    pub fn literal_text(&self, name: &str) -> Option<String> {
        serde_json::from_str(self.claim(name)?.get()).ok()
    }

    /// These claims, and those of `more` that are not among them.
    #[must_use]
    pub fn and(&self, more: &Self) -> Self {
        let (own, others) = (self.members(), more.members());
        let json = Json::object(|out| {
            let absent = others.iter().filter(|(name, _)| !own.contains_key(*name));
            for (name, value) in own.iter().chain(absent) {
                out.raw(name, value.get().as_bytes());
            }
        });
        // Both were text.
        Self { text: SecretText::new(String::from_utf8_lossy(json.expose()).into_owned()) }
    }

    /// A time in seconds since 1970. `Err` when there is something else.
    pub fn seconds(&self, name: &str) -> Result<Option<f64>, OtherType> {
        let Some(raw) = self.find(name) else { return Ok(None) };
        let seconds: f64 = serde_json::from_str(raw.get()).map_err(|_| OtherType)?;
        if seconds.is_finite() { Ok(Some(seconds)) } else { Err(OtherType) }
    }

    /// A claim that is a text or a list of texts. `Err` when it is something else.
    pub fn texts(&self, path: &str) -> Result<Option<Vec<String>>, OtherType> {
        let Some(raw) = self.find(path) else { return Ok(None) };
        if let Ok(text) = serde_json::from_str(raw.get()) {
            return Ok(Some(vec![text]));
        }
        serde_json::from_str(raw.get()).map(Some).map_err(|_| OtherType)
    }

    /// The value of a claim, or those in its list; what is neither is left out.
    pub fn values(&self, path: &str) -> Option<Vec<Scalar>> {
        let raw = self.find(path)?;
        if let Ok(one) = serde_json::from_str::<Scalar>(raw.get()) {
            return Some(vec![one]);
        }
        let items: Vec<&RawValue> = serde_json::from_str(raw.get()).ok()?;
        Some(items.into_iter().filter_map(|item| serde_json::from_str(item.get()).ok()).collect())
    }

    /// A claim as a note: a text as it is, everything else as JSON.
    pub fn note(&self, path: &str) -> Option<String> {
        self.text(path).or_else(|| Some(self.find(path)?.get().to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(text: &str) -> Claims {
        Claims::parse(&SecretBytes::new(text.as_bytes().to_vec())).unwrap()
    }

    #[test]
    fn claims_are_found_by_name_and_by_pointer() {
        let claims = claims(r#"{"a":{"b/c":["x",{"~":"y"}]},"d":null,"e/f":1,"g":["x",2,true,null,{}]}"#);
        assert_eq!(claims.text("/a/b~1c/0").as_deref(), Some("x"));
        assert_eq!(claims.text("/a/b~1c/1/~0").as_deref(), Some("y"));
        assert_eq!(claims.note("e/f").as_deref(), Some("1"));
        for absent in ["d", "/d", "/a/b", "/a/b~1c/2", "/a/b~1c/-1", "/a/b~1c/x", "/e/f", "/", "", "b"] {
            assert!(claims.find(absent).is_none(), "{absent}");
        }
        let values = claims.values("g").unwrap();
        assert!(values == [Scalar::Text("x".into()), Scalar::Number(2.into()), Scalar::Flag(true)]);
        assert_eq!(claims.texts("g"), Err(OtherType));
        assert_eq!(claims.texts("nothing"), Ok(None));
        assert_eq!(claims.seconds("a"), Err(OtherType));
    }

    #[test]
    fn claims_are_added_and_never_replaced() {
        let both = claims(r#"{"a":1,"b":null}"#).and(&claims(r#"{"a":2,"b":3,"c":{"d":"e"}}"#));
        assert_eq!((both.note("a").as_deref(), both.note("b"), both.text("/c/d").as_deref()), (Some("1"), None, Some("e")));
    }

    #[test]
    fn what_is_no_object_or_names_something_twice_has_no_claims() {
        for text in ["", "[]", "1", "null", "a=b", r#"{"a":1,"a":2}"#, r#"{"a":{"b":1,"b":1}}"#, "{", &"[".repeat(100)] {
            assert!(Claims::parse(&SecretBytes::new(text.as_bytes().to_vec())).is_none(), "{text}");
        }
    }
}
