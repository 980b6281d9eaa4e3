//! The public keys of an issuer of tokens, as it publishes them (RFC 7517 section 5) or as somebody configured them.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::jws::object;
use crate::crypto::{VerifyingAlgorithm, VerifyingKey};

/// The most keys of a set that are looked at.
pub const KEYS_MAX: usize = 100;

/// The keys of an issuer.
pub struct KeySet(Vec<Key>);

/// One of them.
pub struct Key {
    id: Option<String>,
    /// What it is for alone, if it says so.
    algorithm: Option<VerifyingAlgorithm>,
    public: VerifyingKey,
    /// It has no id and needs none.
    configured: bool,
}

/// What a key says of itself, besides its numbers.
#[derive(Deserialize)]
struct About {
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
}

impl KeySet {
    /// Keys that somebody configured.
    pub fn of(keys: &[VerifyingKey]) -> Self {
        let key = |key: &VerifyingKey| Key { id: None, algorithm: None, public: key.clone(), configured: true };
        Self(keys.iter().map(key).collect())
    }

    /// Reads a published set. Keys of an unknown kind, symmetric ones and those for encryption are left out. `None` when it is no
    /// set.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let fields = object(bytes)?;
        let keys: Vec<&RawValue> = serde_json::from_str(fields.raw("keys")?.get()).ok()?;
        Some(Self(keys.into_iter().filter_map(published).take(KEYS_MAX).collect()))
    }

    /// The keys that a token with this key id may be signed with; all of them when it names none.
    pub fn candidates<'a>(&'a self, id: Option<&'a str>) -> impl Iterator<Item = &'a Key> {
        self.0.iter().filter(move |key| key.configured || id.is_none() || key.id.as_deref() == id)
    }

    /// Whether there may be a key of that id.
    pub fn knows(&self, id: Option<&str>) -> bool {
        self.candidates(id).next().is_some()
    }
}

impl Key {
    /// Whether it has signed a text. The key decides how: an algorithm of another family, or another one than it is for,
    /// never verifies.
    pub fn verifies(&self, algorithm: VerifyingAlgorithm, text: &[u8], signed: &[u8]) -> bool {
        self.algorithm.is_none_or(|own| own == algorithm) && self.public.verifies(algorithm, text, signed)
    }
}

fn published(raw: &RawValue) -> Option<Key> {
    let about: About = serde_json::from_str(raw.get()).ok()?;
    let algorithm = match about.alg {
        None => None,
        Some(name) => Some(VerifyingAlgorithm::parse(&name)?),
    };
    let signs = about.purpose.is_none_or(|purpose| purpose == "sig");
    let verifies = about.key_ops.is_none_or(|uses| uses.iter().any(|what| what == "verify"));
    let public = serde_json::from_str(raw.get()).ok().filter(|_| signs && verifies)?;
    Some(Key { id: about.kid, algorithm, public, configured: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_keys_that_verify_signatures_are_taken_from_a_set() {
        let set = |keys: &str| KeySet::parse(format!("{{\"keys\":[{keys}]}}").as_bytes());
        let ed = r#""kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo""#;
        for taken in ["", r#","use":"sig""#, r#","alg":"EdDSA""#, r#","key_ops":["verify"]"#, r#","x5u":"https://evil.org/""#] {
            assert_eq!(set(&format!("{{{ed},\"kid\":\"a\"{taken}}}")).unwrap().candidates(Some("a")).count(), 1, "{taken}");
        }
        for left in [r#","use":"enc""#, r#","alg":"HS256""#, r#","alg":"none""#, r#","key_ops":["sign"]"#, r#","key_ops":[]"#] {
            assert_eq!(set(&format!("{{{ed},\"kid\":\"a\"{left}}}")).unwrap().candidates(None).count(), 0, "{left}");
        }
        assert_eq!(set(r#"{"kty":"oct","k":"AAAA","kid":"a"},{"kty":"new"},1,null"#).unwrap().candidates(None).count(), 0);
        let many = vec![format!("{{{ed}}}"); KEYS_MAX + 1].join(",");
        assert_eq!(set(&many).unwrap().candidates(None).count(), KEYS_MAX);
        assert!(!set(&format!("{{{ed}}}")).unwrap().knows(Some("a")), "a key without an id has not that id");
        for text in ["", "[]", "{}", r#"{"keys":1}"#, r#"{"keys":[],"keys":[]}"#] {
            assert!(KeySet::parse(text.as_bytes()).is_none(), "{text}");
        }
    }
}
