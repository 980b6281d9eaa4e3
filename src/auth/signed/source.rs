//! Where the keys of an issuer are, and how somebody says so.

use serde::{Deserialize, Serialize};

use crate::answer::Refusal;
use crate::crypto::VerifyingKey;
use crate::fields::Fields;
use crate::outbound::has_authorities;

/// The longest text of a setting, in bytes.
pub(in crate::auth) const TEXT_BYTES_MAX: usize = 64 << 10;
/// The most keys that are configured for one mount.
const KEYS_CONFIGURED_MAX: usize = 100;

/// The most sets of keys of one mount: a token whose key none has may have each of them fetched.
const PAIRS_MAX: usize = 10;

/// Where keys are.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Here.
    Keys {
        /// As they were written.
        pem: Vec<String>,
        /// The same.
        keys: Vec<VerifyingKey>,
    },
    /// At a URL.
    Jwks(Url),
    /// At several: a token may be of whom any of them is.
    JwksPairs(Vec<Url>),
    /// Where the discovery document of an issuer says.
    Discovery(Url),
}

/// A URL, and the authorities that its server's certificate may be of, in PEM form; empty for those of the system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Url {
    /// The URL.
    pub url: String,
    /// PEM.
    pub authorities: String,
}

impl Source {
    /// The one that was named; `None` when there is none, or more than one.
    pub fn one_of<const N: usize>(named: [Option<Self>; N]) -> Option<Self> {
        let mut named = named.into_iter().flatten();
        named.next().filter(|_| named.next().is_none())
    }

    /// PEM keys, the URL of a set, and the URL of an issuer: at most one of them is not empty.
    pub fn parts(&self) -> (&[String], Url, Url) {
        let none = || Url { url: String::new(), authorities: String::new() };
        match self {
            Self::Keys { pem, .. } => (pem.as_slice(), none(), none()),
            Self::Jwks(url) => (&[], url.clone(), none()),
            Self::Discovery(url) => (&[], none(), url.clone()),
            Self::JwksPairs(_) => (&[], none(), none()),
        }
    }

    /// The URLs of sets, where there are several.
    pub fn pairs(&self) -> &[Url] {
        if let Self::JwksPairs(urls) = self { urls } else { &[] }
    }
}

impl Url {
    /// The authorities, if they are not those of the system.
    pub fn authorities(&self) -> Option<&str> {
        Some(self.authorities.as_str()).filter(|pem| !pem.is_empty())
    }

    /// Reads two fields: a URL, `None` when it is empty, and its authorities.
    pub fn read(fields: &Fields<'_>, url: &str, authorities: &str) -> Result<Option<Self>, Refusal> {
        let found = Self { url: text_of(fields, url)?, authorities: text_of(fields, authorities)? };
        if !found.authorities.is_empty() && !has_authorities(&found.authorities) {
            return Err(Refusal::Invalid(format!("error checking {authorities}")));
        }
        Ok(Some(found).filter(|found| !found.url.is_empty()))
    }
}

/// A pair, as clients write it.
#[derive(Deserialize)]
struct Pair {
    jwks_url: String,
    #[serde(default)]
    jwks_ca_pem: String,
}

/// Reads a field of pairs of a URL and its authorities; `None` when there are none.
pub(in crate::auth) fn pairs_in(fields: &Fields<'_>, name: &str) -> Result<Option<Source>, Refusal> {
    let Some(raw) = fields.raw(name) else { return Ok(None) };
    let wrong = || Refusal::Invalid(format!("{name}: a list of objects with jwks_url and jwks_ca_pem"));
    let pairs: Option<Vec<Pair>> = serde_json::from_str(raw.get()).map_err(|_| wrong())?;
    let pairs = pairs.unwrap_or_default();
    if pairs.len() > PAIRS_MAX {
        return Err(Refusal::Invalid(format!("{name}: at most {PAIRS_MAX}")));
    }
    let url = |Pair { jwks_url: url, jwks_ca_pem: authorities }: Pair| {
        if url.is_empty() || url.len() > TEXT_BYTES_MAX || authorities.len() > TEXT_BYTES_MAX {
            return Err(wrong());
        }
        if !authorities.is_empty() && !has_authorities(&authorities) {
            return Err(Refusal::invalid("error checking jwks_ca_pem"));
        }
        Ok(Url { url, authorities })
    };
    let urls = pairs.into_iter().map(url).collect::<Result<Vec<_>, _>>()?;
    Ok(Some(urls).filter(|urls| !urls.is_empty()).map(Source::JwksPairs))
}

/// Reads a field of keys or certificates in PEM form; `None` when there are none.
pub(in crate::auth) fn keys_in(fields: &Fields<'_>, name: &str) -> Result<Option<Source>, Refusal> {
    let pem = fields.list(name)?.unwrap_or_default();
    if pem.is_empty() {
        return Ok(None);
    }
    if pem.len() > KEYS_CONFIGURED_MAX || pem.iter().any(|pem| pem.len() > TEXT_BYTES_MAX) {
        return Err(too_long(name));
    }
    let keys = pem.iter().map(|pem| VerifyingKey::from_pem(pem)).collect::<Result<_, _>>();
    let keys = keys.map_err(|error| Refusal::Invalid(format!("error parsing public key: {error}")))?;
    Ok(Some(Source::Keys { pem, keys }))
}

/// Reads a setting that is text; empty when it is not there.
pub(in crate::auth) fn text_of(fields: &Fields<'_>, name: &str) -> Result<String, Refusal> {
    let text = fields.text(name)?.unwrap_or_default();
    if text.len() > TEXT_BYTES_MAX { Err(too_long(name)) } else { Ok(text) }
}

/// The refusal of a setting.
pub(in crate::auth) fn too_long(name: &str) -> Refusal {
    Refusal::Invalid(format!("{name}: at most {TEXT_BYTES_MAX} bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_sets_of_keys_and_no_more() {
        for (count, taken) in [(PAIRS_MAX, true), (PAIRS_MAX + 1, false)] {
            let pairs = vec![r#"{"jwks_url":"https://a.example/keys"}"#; count].join(",");
            let body = format!("{{\"jwks_pairs\":[{pairs}]}}");
            let fields = Fields::parse(body.as_bytes(), None).unwrap();
            assert_eq!(pairs_in(&fields, "jwks_pairs").is_ok(), taken, "{count}");
        }
    }
}
