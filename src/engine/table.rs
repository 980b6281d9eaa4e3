//! The table that each engine declares itself with: one row per operation. Routing, `?help`, OpenAPI and the
//! authorisation tests read the same rows, so they cannot differ.

use crate::answer::Refusal;
use crate::fields::{Fields, Query};

pub use crate::fields::Field;
use crate::path::Path;

/// What a client asks to be done to a path. PUT and POST are both `Write`; `GET ?list=true` is `List`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verb {
    /// GET
    Read,
    /// LIST, or GET with `list=true`
    List,
    /// SCAN, or GET with `scan=true`
    Scan,
    /// PUT and POST
    Write,
    /// PATCH
    Patch,
    /// DELETE
    Delete,
}

/// Which capability a policy must grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// The one that belongs to the verb: read, list, scan, update, patch, delete.
    Verb,
    /// Create where nothing is there yet, else update. The engine's `exists` tells which.
    CreateOrUpdate,
    /// The one of the verb, and `sudo` besides.
    Sudo,
    /// The one of the verb, of whoever has a valid token. Who has none goes on, to hear what is wrong with the wrapping
    /// token that was sent.
    WrappingToken,
    /// None: any valid token may.
    Token,
    /// None: what is sent proves who somebody is. A token is neither needed nor asked for.
    Login,
    /// None at all: also without a token.
    Nobody,
}

/// One operation.
pub struct Row<O: 'static> {
    /// The verb.
    pub verb: Verb,
    /// Segments; `:name` takes one, `:name*` takes the rest, which may be empty only where `parse` says so.
    pub pattern: &'static str,
    /// What a policy must grant.
    pub need: Need,
    /// The body's fields; what is not named here is ignored, with a warning where the answer has a body.
    pub fields: &'static [Field],
    /// One sentence.
    pub help: &'static str,
    /// From the call to typed fields. Pure and total; its errors reach only those whom policy lets in.
    pub parse: fn(&Call<'_>) -> Result<O, Refusal>,
}

impl<O> Row<O> {
    /// A row that asks policy for `need`.
    pub const fn new(
        verb: Verb,
        pattern: &'static str,
        need: Need,
        fields: &'static [Field],
        help: &'static str,
        parse: fn(&Call<'_>) -> Result<O, Refusal>,
    ) -> Self {
        Self { verb, pattern, need, fields, help, parse }
    }

    /// A row that asks policy for the capability of its verb.
    pub const fn by_verb(
        verb: Verb,
        pattern: &'static str,
        fields: &'static [Field],
        help: &'static str,
        parse: fn(&Call<'_>) -> Result<O, Refusal>,
    ) -> Self {
        Self::new(verb, pattern, Need::Verb, fields, help, parse)
    }
}

/// What a row says, without its parse.
#[derive(Clone, Copy)]
pub struct Facts {
    /// As in `Row`.
    pub verb: Verb,
    /// As in `Row`.
    pub pattern: &'static str,
    /// As in `Row`.
    pub need: Need,
    /// As in `Row`.
    pub fields: &'static [Field],
    /// As in `Row`.
    pub help: &'static str,
}

impl<O> From<&Row<O>> for Facts {
    fn from(row: &Row<O>) -> Self {
        let Row { verb, pattern, need, fields, help, .. } = *row;
        Self { verb, pattern, need, fields, help }
    }
}

/// A call that a row was found for.
pub struct Call<'a> {
    /// The verb.
    pub verb: Verb,
    /// The path below the mount.
    pub path: &'a Path,
    /// What `:name` and `:name*` took, in order.
    pub captures: Captures<'a>,
    /// The query string.
    pub query: &'a Query,
    /// The body's fields (empty when there was no body).
    pub fields: &'a Fields<'a>,
}

/// The captured parts of a path, in the order of the pattern.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Captures<'a>([&'a str; 3]);

impl<'a> Captures<'a> {
    /// The `at`-th captured part; empty when the pattern has fewer.
    pub fn get(&self, at: usize) -> &'a str {
        self.0.get(at).copied().unwrap_or("")
    }
}

/// What a table has for a path.
pub enum Match<'t, 'a, O: 'static> {
    /// This row.
    Row(&'t Row<O>, Captures<'a>),
    /// The path, but not with this verb.
    WrongVerb,
    /// Not the path.
    Nothing,
}

/// Finds the row for `verb` and `path`, first match in table order.
pub fn find<'t, 'a, O>(table: &'t [Row<O>], verb: Verb, path: &'a Path) -> Match<'t, 'a, O> {
    let mut known = false;
    for row in table {
        if let Some(captures) = capture(row.pattern, path.as_str()) {
            if row.verb == verb {
                return Match::Row(row, captures);
            }
            known = true;
        }
    }
    if known { Match::WrongVerb } else { Match::Nothing }
}

/// Matches one pattern. A slash at the end of the path is ignored, except inside what `:name*` takes.
pub fn capture<'a>(pattern: &str, path: &'a str) -> Option<Captures<'a>> {
    let mut captures = Captures::default();
    let mut taken = 0;
    let mut rest = path;
    for wanted in pattern.split('/') {
        if let Some(name) = wanted.strip_prefix(':') {
            let slot = captures.0.get_mut(taken)?;
            taken += 1;
            if name.ends_with('*') {
                *slot = rest;
                return Some(captures);
            }
            let (segment, tail) = rest.split_once('/').unwrap_or((rest, ""));
            if segment.is_empty() {
                return None;
            }
            *slot = segment;
            rest = tail;
        } else {
            let (segment, tail) = rest.split_once('/').unwrap_or((rest, ""));
            if segment != wanted {
                return None;
            }
            rest = tail;
        }
    }
    rest.is_empty().then_some(captures)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_capture_segments_and_rests() {
        let parts = |pattern, path| capture(pattern, path).map(|c| (c.get(0), c.get(1)));
        assert_eq!(parts("data/:path*", "data/a/b"), Some(("a/b", "")));
        assert_eq!(parts("data/:path*", "data/a/"), Some(("a/", "")));
        assert_eq!(parts("data/:path*", "data"), Some(("", "")));
        assert_eq!(parts("data/:path*", "database"), None);
        assert_eq!(parts("mounts/:path*", "mounts/a/tune"), Some(("a/tune", "")));
        assert_eq!(parts("roles/:name", "roles/x"), Some(("x", "")));
        assert_eq!(parts("roles/:name", "roles/x/y"), None);
        assert_eq!(parts("roles/:name", "roles/"), None);
        assert_eq!(parts("config", "config/"), Some(("", "")));
        assert_eq!(parts("a/:x/b/:y*", "a/1/b/2/3"), Some(("1", "2/3")));
    }
}
