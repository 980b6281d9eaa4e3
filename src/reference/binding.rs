//! Under which conditions a reference resolves. Pure: no IO, no clock.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::glob;
use crate::time::Timestamp;

/// Somebody whom a reference is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Consumer {
    /// Tokens of this tenant that stand for the entity with this id.
    Entity(String),
    /// Whoever has shown the certificate with this fingerprint (64 hexadecimal digits) to a cert role of this tenant.
    Certificate(String),
    /// Whoever has shown a certificate with this URI to a cert role of this tenant.
    UriSan(String),
    /// Whoever has logged in with a signed token whose subject matches, at a JWT or OIDC mount of this tenant. `*` stands for
    /// any characters.
    Subject(String),
}

/// Type and value: what a search for a consumer goes by.
impl fmt::Display for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entity(id) => write!(f, "entity:{id}"),
            Self::Certificate(fingerprint) => write!(f, "certificate:{fingerprint}"),
            Self::UriSan(uri) => write!(f, "uri:{uri}"),
            Self::Subject(glob) => write!(f, "subject:{glob}"),
        }
    }
}

/// The conditions; none of them by default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// Whom it is for. These need no policy on the path, and nobody else gets anything; empty for whoever may read the target.
    #[serde(default)]
    pub consumers: Vec<Consumer>,
    /// What the consumer must name.
    #[serde(default)]
    pub purpose: Option<String>,
    /// From then on.
    #[serde(default)]
    pub not_before: Option<Timestamp>,
    /// Until then.
    #[serde(default)]
    pub expires: Option<Timestamp>,
    /// How often its target is given out in all; none for no bound.
    #[serde(default)]
    pub uses: Option<u64>,
    /// How often it still is.
    #[serde(default)]
    pub uses_left: Option<u64>,
}

/// What a caller has shown of itself.
#[derive(Clone, Copy)]
pub struct Presented<'a> {
    /// The entity that its token stands for, in this tenant; empty for none.
    pub entity: &'a str,
    /// The fingerprint of its certificate, which a cert role of this tenant has verified; empty for none.
    pub certificate: &'a str,
    /// The URIs in that certificate.
    pub uris: &'a [String],
    /// The subject of the token that it has logged in with at a JWT or OIDC mount of this tenant; empty for none.
    pub subject: &'a str,
    /// What it says the reference is needed for.
    pub purpose: Option<&'a str>,
}

impl Binding {
    /// Why it does not resolve for this caller at `now`, for the audit log; `None` when it does.
    pub fn refuses(&self, presented: &Presented<'_>, now: Timestamp) -> Option<&'static str> {
        if !self.consumers.is_empty() && !self.consumers.iter().any(|consumer| consumer.is(presented)) {
            return Some("the reference is bound to other consumers");
        }
        if self.purpose.is_some() && self.purpose.as_deref() != presented.purpose {
            return Some("the purpose of the reference was not named");
        }
        if self.not_before.is_some_and(|from| now < from) {
            return Some("the time of the reference has not come");
        }
        if self.expires.is_some_and(|until| until <= now) {
            return Some("the time of the reference is over");
        }
        (self.uses_left == Some(0)).then_some("the uses of the reference are spent")
    }
}

impl Consumer {
    /// Whether it goes by a certificate.
    pub fn is_certified(&self) -> bool {
        matches!(self, Self::Certificate(_) | Self::UriSan(_))
    }

    /// Whether it goes by the subject of a signed token.
    pub fn is_subject(&self) -> bool {
        matches!(self, Self::Subject(_))
    }

    /// What references that are for it are listed under. Those for patterns of subjects stand together: which of them mean a
    /// subject, only a look at each can tell.
    pub fn listed_as(&self) -> String {
        match self {
            Self::Subject(glob) if glob.contains('*') => Self::Subject("*".to_owned()).to_string(),
            _ => self.to_string(),
        }
    }

    /// Whether everybody who is `other` is this one, too.
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Subject(glob), Self::Subject(subject)) => glob == subject || glob::matches(glob, subject),
            _ => self == other,
        }
    }

    fn is(&self, presented: &Presented<'_>) -> bool {
        match self {
            Self::Entity(id) => !presented.entity.is_empty() && presented.entity == id,
            Self::Certificate(fingerprint) => !presented.certificate.is_empty() && presented.certificate == fingerprint,
            Self::UriSan(uri) => !presented.certificate.is_empty() && presented.uris.contains(uri),
            Self::Subject(glob) => !presented.subject.is_empty() && glob::matches(glob, presented.subject),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOBODY: Presented<'_> = Presented { entity: "", certificate: "", uris: &[], subject: "", purpose: None };

    #[test]
    fn what_is_not_bound_resolves() {
        assert_eq!(Binding::default().refuses(&NOBODY, Timestamp(5)), None);
        let named = Presented { entity: "e", purpose: Some("sync"), ..NOBODY };
        assert_eq!(Binding::default().refuses(&named, Timestamp(5)), None);
    }

    #[test]
    fn every_condition_must_hold() {
        let binding = Binding {
            consumers: vec![Consumer::Entity("e".to_owned())],
            purpose: Some("sync".to_owned()),
            not_before: Some(Timestamp(10)),
            expires: Some(Timestamp(20)),
            uses: Some(2),
            uses_left: Some(1),
        };
        let good = Presented { entity: "e", purpose: Some("sync"), ..NOBODY };
        assert_eq!(binding.refuses(&good, Timestamp(10)), None);
        assert_eq!(binding.refuses(&good, Timestamp(19)), None);
        for (presented, now, left) in [
            (Presented { entity: "f", ..good }, 10, 1),
            (Presented { entity: "", ..good }, 10, 1),
            (Presented { purpose: None, ..good }, 10, 1),
            (Presented { purpose: Some("Sync"), ..good }, 10, 1),
            (good, 9, 1),
            (good, 20, 1),
            (good, 10, 0),
        ] {
            let binding = Binding { uses_left: Some(left), ..binding.clone() };
            assert!(binding.refuses(&presented, Timestamp(now)).is_some(), "{} {now} {left}", presented.entity);
        }
    }

    #[test]
    fn who_shows_nothing_is_no_consumer() {
        let consumers =
            [Consumer::Entity, Consumer::Certificate, Consumer::UriSan, Consumer::Subject].map(|of| of(String::new()));
        let binding = Binding { consumers: consumers.into(), ..Binding::default() };
        assert!(binding.refuses(&NOBODY, Timestamp(0)).is_some());
    }

    #[test]
    fn any_of_the_consumers_will_do() {
        let consumers = vec![Consumer::Certificate("c".to_owned()), Consumer::UriSan("spiffe://acme/web".to_owned())];
        let binding = Binding { consumers, ..Binding::default() };
        let uris = ["spiffe://acme/web".to_owned()];
        let refused = |presented: Presented<'_>| binding.refuses(&presented, Timestamp(0)).is_some();
        assert!(!refused(Presented { certificate: "c", ..NOBODY }));
        assert!(!refused(Presented { certificate: "d", uris: &uris, ..NOBODY }));
        assert!(refused(Presented { certificate: "d", ..NOBODY }));
        assert!(refused(Presented { entity: "c", uris: &uris, ..NOBODY }), "a URI counts with a certificate only");
    }

    #[test]
    fn a_subject_is_one_that_a_pattern_matches() {
        let bound = |globs: &[&str]| Binding {
            consumers: globs.iter().map(|glob| Consumer::Subject((*glob).to_owned())).collect(),
            ..Binding::default()
        };
        for (globs, subject, resolves) in [
            (&["repo:acme/*"][..], "repo:acme/app", true),
            (&["repo:acme/*"], "repo:acme", false),
            (&["repo:acme/*"], "Repo:acme/app", false),
            (&["repo:*:main", "job:7"], "repo:app:main", true),
            (&["repo:*:main", "job:7"], "job:7", true),
            (&["repo:*:main", "job:7"], "job:77", false),
            (&["*a"], "", false),
        ] {
            let presented = Presented { subject, ..NOBODY };
            assert_eq!(bound(globs).refuses(&presented, Timestamp(0)).is_none(), resolves, "{globs:?} {subject}");
        }
        // What other things are called is no subject.
        let other = Presented { entity: "job:7", certificate: "job:7", ..NOBODY };
        assert!(bound(&["job:7"]).refuses(&other, Timestamp(0)).is_some());
    }
}
