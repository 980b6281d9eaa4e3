//! The conditions of a new reference, as requests state them. Pure and total.

use std::time::Duration;

use crate::answer::Refusal;
use crate::fields::{Field, Fields};
use crate::reference::{Binding, Consumer};
use crate::time::Timestamp;

/// The most consumers of one reference.
pub const CONSUMERS_MAX: usize = 64;
/// The longest purpose, name of a field, and etag, in bytes.
pub const TEXT_BYTES_MAX: usize = 256;
/// The longest URI of a consumer.
const URI_BYTES_MAX: usize = 2_048;
/// The longest subject of a consumer.
const SUBJECT_BYTES_MAX: usize = 512;

const fn field(name: &'static str, kind: &'static str, help: &'static str) -> Field {
    Field { name, kind, help }
}

/// What it is for.
pub const PURPOSE: Field = field("purpose", "string", "What it is for: whoever resolves it must say the same.");
/// Its first moment.
pub const NOT_BEFORE: Field = field("not_before", "string", "Resolves from this time on (RFC 3339).");
/// Its end.
pub const EXPIRES: Field = field("expires", "string", "Resolves until this time (RFC 3339).");
/// The same, counted from now.
pub const TTL: Field = field("ttl", "duration", "The same as a time from now.");
/// How often.
pub const USES: Field = field("uses", "integer", "Resolves so many times.");
/// Consumers by entity.
pub const ENTITIES: Field = field("entities", "array", "Ids of entities that it is for.");
/// Consumers by certificate.
pub const CERTIFICATES: Field = field("certificates", "array", "Fingerprints (SHA-256) of client certificates that it is for.");
/// Consumers by a URI in a certificate.
pub const URI_SANS: Field = field("uri_sans", "array", "URIs of client certificates that it is for.");

/// Consumers by the subject of a signed token.
pub const SUBJECTS: Field =
    field("subjects", "array", "Subjects of tokens that were shown to a JWT or OIDC mount; `*` stands for any characters.");

/// Under which conditions a reference is to resolve.
#[derive(Debug, PartialEq, Eq)]
pub struct Conditions {
    binding: Binding,
    /// How many seconds it is good for, where that is not said by `expires`.
    ttl_seconds: Option<u64>,
}

impl Conditions {
    /// Reads all but the consumers.
    pub fn parse(fields: &Fields<'_>, consumers: Vec<Consumer>) -> Result<Self, Refusal> {
        let uses = match fields.integer("uses")? {
            None | Some(0) => None,
            Some(uses) => Some(u64::try_from(uses).map_err(|_| Refusal::invalid("uses must not be negative"))?),
        };
        let (expires, ttl) = (time(fields, "expires")?, fields.duration("ttl")?.filter(|ttl| !ttl.is_zero()));
        if expires.is_some() && ttl.is_some() {
            return Err(Refusal::invalid("either expires or ttl"));
        }
        let binding = Binding {
            consumers,
            purpose: bounded(fields, "purpose")?.filter(|purpose| !purpose.is_empty()),
            not_before: time(fields, "not_before")?,
            expires,
            uses,
            uses_left: uses,
        };
        if binding.expires.is_some_and(|until| binding.not_before.is_some_and(|from| until <= from)) {
            return Err(Refusal::invalid("expires must be after not_before"));
        }
        Ok(Self { binding, ttl_seconds: ttl.map(|ttl| ttl.as_secs()) })
    }

    /// Whether it is to be for certain consumers.
    pub fn is_bound(&self) -> bool {
        !self.binding.consumers.is_empty()
    }

    /// The conditions of a reference that is made at `now`. `Invalid` when it would have expired already.
    pub fn at(&self, now: Timestamp) -> Result<Binding, Refusal> {
        let ttl = self.ttl_seconds.map(|seconds| now.plus(Duration::from_secs(seconds)));
        let expires = self.binding.expires.or(ttl);
        if expires.is_some_and(|until| until <= now) {
            return Err(Refusal::invalid("the reference would have expired already"));
        }
        Ok(Binding { expires, ..self.binding.clone() })
    }
}

/// From one consumer's text.
pub type Parse = fn(&str) -> Result<Consumer, Refusal>;

/// Every type of consumer: the field that lists some, the field that one is searched by, and how the text is read.
pub const CONSUMERS: [(&str, &str, Parse); 4] = [
    ("entities", "entity", entity),
    ("certificates", "certificate", certificate),
    ("uri_sans", "uri_san", uri_san),
    ("subjects", "subject", subject),
];

/// The consumers that a request names.
pub fn consumers(fields: &Fields<'_>) -> Result<Vec<Consumer>, Refusal> {
    let mut consumers = Vec::new();
    for (name, _, parse) in CONSUMERS {
        for text in fields.list(name)?.unwrap_or_default() {
            consumers.push(parse(&text)?);
        }
    }
    consumers.sort_unstable();
    consumers.dedup();
    if consumers.len() > CONSUMERS_MAX {
        return Err(Refusal::Invalid(format!("at most {CONSUMERS_MAX} consumers of one reference")));
    }
    Ok(consumers)
}

/// Colons between the bytes and upper case are as other programs show it.
fn certificate(fingerprint: &str) -> Result<Consumer, Refusal> {
    let plain = fingerprint.replace(':', "").to_ascii_lowercase();
    let hexadecimal = plain.len() == 64 && plain.bytes().all(|byte| byte.is_ascii_hexdigit());
    if hexadecimal { Ok(Consumer::Certificate(plain)) } else { Err(Refusal::invalid("not the SHA-256 of a certificate")) }
}

fn uri_san(uri: &str) -> Result<Consumer, Refusal> {
    let plain = uri.contains(':') && uri.len() <= URI_BYTES_MAX && uri.bytes().all(|byte| byte.is_ascii_graphic());
    if plain {
        Ok(Consumer::UriSan(uri.to_owned()))
    } else {
        Err(Refusal::Invalid(format!("not a URI of up to {URI_BYTES_MAX} bytes")))
    }
}

fn entity(id: &str) -> Result<Consumer, Refusal> {
    let plain = !id.is_empty() && id.len() <= 64 && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if plain { Ok(Consumer::Entity(id.to_owned())) } else { Err(Refusal::invalid("not the id of an entity")) }
}

/// Stars alone would be whoever logs in.
fn subject(glob: &str) -> Result<Consumer, Refusal> {
    let plain = glob.len() <= SUBJECT_BYTES_MAX && !glob.chars().any(char::is_control);
    if plain && glob.chars().any(|c| c != '*' && !c.is_whitespace()) {
        Ok(Consumer::Subject(glob.to_owned()))
    } else {
        Err(Refusal::Invalid(format!("not the subject of a token, or a pattern for some, of up to {SUBJECT_BYTES_MAX} bytes")))
    }
}

fn time(fields: &Fields<'_>, name: &str) -> Result<Option<Timestamp>, Refusal> {
    let Some(text) = fields.text(name)?.filter(|text| !text.is_empty()) else { return Ok(None) };
    let time = Timestamp::parse_rfc3339(&text);
    time.map(Some).ok_or_else(|| Refusal::Invalid(format!("{name}: expected a time such as 2030-01-31T12:00:00Z")))
}

/// A text of bounded length.
pub fn bounded(fields: &Fields<'_>, name: &str) -> Result<Option<String>, Refusal> {
    let text = fields.text(name)?;
    if text.as_ref().is_some_and(|text| text.len() > TEXT_BYTES_MAX) {
        return Err(Refusal::Invalid(format!("{name}: at most {TEXT_BYTES_MAX} bytes")));
    }
    Ok(text)
}
