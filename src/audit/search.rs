//! Which events an auditor asks for. Every condition must hold; an empty filter takes every event.

use super::event::Event;
use super::summary::{self, Aspect, Term};

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Status below 400.
    Done,
    /// Status from 400 to 499.
    Refused,
    /// Status from 500 on.
    Failed,
    /// This very status.
    Status(u16),
}

impl Outcome {
    /// Reads `done`, `refused`, `failed`, or a status.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "done" => Self::Done,
            "refused" => Self::Refused,
            "failed" => Self::Failed,
            _ => Self::Status(text.parse().ok().filter(|status| (100..600).contains(status))?),
        })
    }

    fn is_of(self, status: u16) -> bool {
        match self {
            Self::Done => status < 400,
            Self::Refused => (400..500).contains(&status),
            Self::Failed => status >= 500,
            Self::Status(wanted) => status == wanted,
        }
    }
}

/// Conditions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// The whole path, from the root namespace on.
    pub path: Option<String>,
    /// What the path begins with, from the root namespace on.
    pub prefix: Option<String>,
    /// The accessor, display name, certificate (SHA-256 in lower-case hexadecimal) or address of whoever asked.
    pub caller: Option<String>,
    /// Id of the entity that the caller's token stands for.
    pub entity: Option<String>,
    /// The operation.
    pub operation: Option<String>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// The word of a refusal.
    pub error: Option<String>,
    /// The hash of the reference that was used.
    pub reference: Option<[u8; 32]>,
    /// The request id.
    pub request: Option<String>,
    /// A text anywhere in the event but in its nonce; ASCII letters match in either case.
    pub text: Option<String>,
}

impl Filter {
    /// Terms that every matching event has.
    pub fn terms(&self) -> Vec<Term> {
        let of = |aspect, value: &Option<String>| value.as_ref().map(|value| summary::term(aspect, value.as_bytes()));
        let folder = self.prefix.as_ref().and_then(|prefix| Some(prefix.rsplit_once('/')?.0));
        let status = match self.outcome {
            Some(Outcome::Status(status)) => Some(status.to_string()),
            _ => None,
        };
        let terms = [
            of(Aspect::Path, &self.path),
            folder.map(|folder| summary::term(Aspect::Folder, format!("{folder}/").as_bytes())),
            of(Aspect::Caller, &self.caller),
            of(Aspect::Entity, &self.entity),
            of(Aspect::Operation, &self.operation),
            of(Aspect::Status, &status),
            of(Aspect::Error, &self.error),
            self.reference.map(|hash| summary::term(Aspect::Reference, &hash)),
            of(Aspect::Request, &self.request),
        ];
        terms.into_iter().flatten().collect()
    }

    /// What to sort events out with that cannot match, before they are read.
    pub fn sieve(&self) -> Sieve {
        // What needs an escape in JSON stands there in another form.
        let plain = |value: &&String| value.bytes().all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\');
        let fields = [
            ("path", &self.path),
            ("entity", &self.entity),
            ("operation", &self.operation),
            ("error", &self.error),
            ("request", &self.request),
        ];
        let whole = |(name, value): (&str, &Option<String>)| Some(format!("\"{name}\":\"{}\"", value.as_ref().filter(plain)?));
        let mut texts: Vec<String> = fields.into_iter().filter_map(whole).collect();
        texts.extend(self.prefix.as_ref().filter(plain).map(|prefix| format!("\"path\":\"{prefix}")));
        texts.extend(self.caller.as_ref().filter(plain).cloned());
        texts.extend(match self.outcome {
            Some(Outcome::Failed) => Some("\"status\":5".to_owned()),
            Some(Outcome::Refused) => Some("\"status\":4".to_owned()),
            Some(Outcome::Status(status)) => Some(format!("\"status\":{status}")),
            // Nearly all are.
            Some(Outcome::Done) | None => None,
        });
        texts.extend(self.reference.map(|hash| format!("\"reference\":\"{}\"", data_encoding::HEXLOWER.encode(&hash))));
        Sieve { texts, in_any_case: self.text.as_ref().map(|text| text.to_ascii_lowercase()) }
    }

    /// Whether the event, whose canonical bytes are also given, matches.
    pub fn matches(&self, event: &Event, canonical: &[u8]) -> bool {
        let is = |wanted: &Option<String>, value: &str| wanted.as_ref().is_none_or(|wanted| wanted == value);
        is(&self.path, &event.path)
            && self.prefix.as_ref().is_none_or(|prefix| event.path.starts_with(prefix.as_str()))
            && self.caller.as_ref().is_none_or(|caller| is_caller(event, caller))
            && self
                .entity
                .as_ref()
                .is_none_or(|entity| event.caller.as_ref().is_some_and(|caller| caller.entity.as_ref() == Some(entity)))
            && is(&self.operation, event.operation.as_str())
            && self.outcome.is_none_or(|outcome| outcome.is_of(event.status))
            && self.error.as_ref().is_none_or(|word| event.error.as_ref().is_some_and(|error| error.as_str() == word))
            && self.reference.is_none_or(|hash| event.reference == Some(hash))
            && is(&self.request, &event.request)
            && self.text.as_ref().is_none_or(|text| holds(canonical, text))
    }
}

/// Texts that the canonical bytes of every matching event have. Reading an event takes many times as long as looking for them.
pub struct Sieve {
    texts: Vec<String>,
    in_any_case: Option<String>,
}

impl Sieve {
    /// Whether an event whose canonical bytes are these may match. Quick, and never wrong when it says no. `scratch` is memory to
    /// work in, of one event after the other.
    pub fn may_match(&self, canonical: &[u8], scratch: &mut String) -> bool {
        let Ok(text) = std::str::from_utf8(canonical) else { return true };
        if !self.texts.iter().all(|wanted| text.contains(wanted.as_str())) {
            return false;
        }
        let Some(wanted) = &self.in_any_case else { return true };
        scratch.clear();
        scratch.push_str(text);
        scratch.make_ascii_lowercase();
        scratch.contains(wanted.as_str())
    }
}

fn is_caller(event: &Event, wanted: &str) -> bool {
    event.caller.as_ref().is_some_and(|caller| caller.accessor == wanted || caller.display_name == wanted)
        || event.certificate.is_some_and(|hash| data_encoding::HEXLOWER.encode(&hash) == wanted)
        || event.remote.is_some_and(|remote| remote.ip().to_string() == wanted)
}

/// `{"nonce":"` and 32 digits: random, and so nothing to look for.
const NONCE_BYTES: usize = 42;

fn holds(canonical: &[u8], text: &str) -> bool {
    let said = canonical.get(NONCE_BYTES..).unwrap_or_default().to_ascii_lowercase();
    String::from_utf8_lossy(&said).contains(&text.to_ascii_lowercase())
}

#[cfg(test)]
#[path = "search_tests.rs"]
mod tests;
