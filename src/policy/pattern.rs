//! The patterns that rules are written for: exact (`a/b`), prefix (`a/b*`), or with wildcard segments (`a/+/b`, `a/+/b*`).
//!
//! `+` stands for one whole segment, also for the empty one after a slash at the end. `*` counts at the end only.
//! Priority among the patterns that match a path, best first: exact; the first wildcard or glob further right; no glob;
//! fewer wildcards; longer; later in byte order.

use std::cmp::Reverse;

/// A compiled pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Pattern {
    /// The path itself.
    Exact(String),
    /// Every path that begins with this.
    Prefix(String),
    /// With wildcard segments.
    Wildcard(Wildcard),
}

/// A pattern with at least one segment `+`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wildcard {
    /// The text without the glob.
    text: String,
    /// Ends in `*`.
    glob: bool,
    first: usize,
    wildcards: usize,
}

/// How strong a pattern is; greater wins. Different patterns never have the same rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank<'a> {
    first: usize,
    whole: bool,
    wildcards: Reverse<usize>,
    length: usize,
    text: &'a str,
}

impl Pattern {
    /// Compiles a text; the error says what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let text = text.strip_prefix('/').unwrap_or(text);
        if text.contains("+*") {
            return Err("invalid use of wildcards ('+*' is forbidden)");
        }
        let (body, glob) = text.strip_suffix('*').map_or((text, false), |body| (body, true));
        let mut at = 0;
        let (mut first, mut wildcards) = (None, 0);
        for segment in body.split('/') {
            if segment == "+" {
                first = first.or(Some(at));
                wildcards += 1;
            }
            at += segment.len() + 1;
        }
        Ok(match (first, glob) {
            (Some(first), _) => Self::Wildcard(Wildcard { text: body.to_owned(), glob, first, wildcards }),
            (None, true) => Self::Prefix(body.to_owned()),
            (None, false) => Self::Exact(body.to_owned()),
        })
    }
}

impl Wildcard {
    /// The text without the glob, and whether there is one.
    pub(super) fn text(&self) -> (&str, bool) {
        (&self.text, self.glob)
    }

    pub(super) fn matches(&self, path: &str) -> bool {
        let mut wanted = self.text.split('/').peekable();
        let mut given = path.split('/');
        while let Some(want) = wanted.next() {
            let Some(have) = given.next() else { return false };
            let last = wanted.peek().is_none();
            if want == "+" {
                continue;
            }
            if last && self.glob {
                return have.starts_with(want);
            }
            if want != have {
                return false;
            }
        }
        given.next().is_none()
    }

    /// Whether it may match something that begins with `directory`, which ends in a slash.
    pub(super) fn reaches_below(&self, directory: &str) -> bool {
        let mut wanted = self.text.split('/').peekable();
        for have in directory.strip_suffix('/').unwrap_or(directory).split('/') {
            let Some(want) = wanted.next() else { return false };
            if self.glob && wanted.peek().is_none() {
                return have.starts_with(want);
            }
            if want != "+" && want != have {
                return false;
            }
        }
        wanted.peek().is_some()
    }

    pub(super) fn rank(&self) -> Rank<'_> {
        Rank {
            first: self.first,
            whole: !self.glob,
            wildcards: Reverse(self.wildcards),
            length: self.text.len(),
            text: &self.text,
        }
    }
}

impl<'a> Rank<'a> {
    /// Of the prefix pattern `prefix*`.
    pub(super) fn of_prefix(prefix: &'a str) -> Self {
        Self { first: prefix.len(), whole: false, wildcards: Reverse(0), length: prefix.len(), text: prefix }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wildcard(text: &str) -> Wildcard {
        match Pattern::parse(text) {
            Ok(Pattern::Wildcard(wildcard)) => wildcard,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn kinds() {
        assert_eq!(Pattern::parse("/a/b"), Ok(Pattern::Exact("a/b".into())));
        assert_eq!(Pattern::parse("a/b*"), Ok(Pattern::Prefix("a/b".into())));
        assert_eq!(Pattern::parse("*"), Ok(Pattern::Prefix(String::new())));
        assert_eq!(Pattern::parse("a/b+/c"), Ok(Pattern::Exact("a/b+/c".into())));
        assert_eq!(Pattern::parse("a/*/c"), Ok(Pattern::Exact("a/*/c".into())));
        for refused in ["+*", "a/+*", "a+*"] {
            assert!(Pattern::parse(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn wildcards_match_whole_segments() {
        for (pattern, path, expected) in [
            ("+", "a", true),
            ("+", "a/b", false),
            ("a/+/c", "a/b/c", true),
            ("a/+/c", "a/c", false),
            ("a/+/c", "a/b/b/c", false),
            ("a/+", "a/", true),
            ("a/+", "a", false),
            ("a/+/", "a/b/", true),
            ("a/+/c*", "a/b/cd/e", true),
            ("a/+/c*", "a/b/d", false),
            ("a/+/*", "a/b/", true),
            ("a/+/*", "a/b", false),
            ("+/+/*", "a/b/c/d", true),
        ] {
            assert_eq!(wildcard(pattern).matches(path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn wildcards_reach_below_directories() {
        for (pattern, directory, expected) in [
            ("+/data/x", "a/", true),
            ("+/data/x", "a/b/", false),
            ("+", "a/", false),
            ("a/+", "a/", true),
            ("a/+", "b/", false),
            ("+/d*", "a/data/", true),
            ("+/d*", "a/meta/", false),
            ("+/data/*", "a/", true),
        ] {
            assert_eq!(wildcard(pattern).reaches_below(directory), expected, "{pattern} {directory}");
        }
    }
}
