//! The one parser that turns the bytes of a URL path into a canonical `Path`.
//!
//! Policy, storage keys, log and cache all take this type, so that the text that was authorised is the text
//! that is looked up. What is not canonical is refused, never mended.

use std::fmt;

/// The longest path, in bytes after percent-decoding.
pub const BYTES_MAX: usize = 1024;
/// The most segments in a path.
pub const SEGMENTS_MAX: usize = 64;

/// Why a path was refused. The texts go to the client as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Two slashes in a row, or one at the start.
    #[error("path is not canonical: it has an empty segment")]
    EmptySegment,
    /// A segment `.` or `..`.
    #[error("path is not canonical: it has a segment that is \".\" or \"..\"")]
    DotSegment,
    /// `%2F` in any case.
    #[error("path is not canonical: it has an encoded slash")]
    EncodedSlash,
    /// A byte below 0x20, or 0x7F.
    #[error("path has a control character")]
    Control,
    /// `%` without two hexadecimal digits.
    #[error("path has a broken percent-encoding")]
    Encoding,
    /// Not UTF-8.
    #[error("path is not UTF-8")]
    Utf8,
    /// Longer than `BYTES_MAX`.
    #[error("path is longer than 1024 bytes")]
    TooLong,
    /// More than `SEGMENTS_MAX` segments.
    #[error("path has more than 64 segments")]
    TooDeep,
}

/// A canonical path: segments joined by single slashes, no slash at the start, and at the end at most one, which
/// means "the directory". May be empty.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Path(String);

impl Path {
    /// Parses the raw (percent-encoded) path of a URL, without the leading slash.
    pub fn from_url(raw: &str) -> Result<Self, PathError> {
        let bytes = raw.as_bytes();
        if bytes.windows(3).any(|window| window.eq_ignore_ascii_case(b"%2f")) {
            return Err(PathError::EncodedSlash);
        }
        if !raw.contains('%') {
            return Self::new(raw);
        }
        for (at, _) in raw.match_indices('%') {
            let digits = bytes.get(at + 1..at + 3).ok_or(PathError::Encoding)?;
            if !digits.iter().all(u8::is_ascii_hexdigit) {
                return Err(PathError::Encoding);
            }
        }
        let decoded = percent_encoding::percent_decode_str(raw).decode_utf8().map_err(|_| PathError::Utf8)?;
        Self::new(&decoded)
    }

    /// Checks plain text, such as a path inside a request body.
    pub fn new(text: &str) -> Result<Self, PathError> {
        if text.len() > BYTES_MAX {
            return Err(PathError::TooLong);
        }
        if text.chars().any(char::is_control) {
            return Err(PathError::Control);
        }
        let body = text.strip_suffix('/').unwrap_or(text);
        if body.is_empty() {
            return if text.is_empty() { Ok(Self::default()) } else { Err(PathError::EmptySegment) };
        }
        let mut segments = 0;
        for segment in body.split('/') {
            segments += 1;
            match segment {
                "" => return Err(PathError::EmptySegment),
                "." | ".." => return Err(PathError::DotSegment),
                _ => {}
            }
        }
        if segments > SEGMENTS_MAX {
            return Err(PathError::TooDeep);
        }
        Ok(Self(text.to_owned()))
    }

    /// The text, without a slash at the start.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True when it is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// True when it ends in a slash (or is empty): it names a directory.
    pub fn is_directory(&self) -> bool {
        self.0.is_empty() || self.0.ends_with('/')
    }

    /// The same path with exactly one slash at the end; the empty path stays empty.
    #[must_use]
    pub fn into_directory(mut self) -> Self {
        if !self.is_directory() {
            self.0.push('/');
        }
        self
    }

    /// The same path without the slash at the end.
    #[must_use]
    pub fn without_slash(mut self) -> Self {
        if self.0.ends_with('/') {
            self.0.pop();
        }
        self
    }

    /// The segments, in order; none for the empty path.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').filter(|segment| !segment.is_empty())
    }

    /// What follows `prefix`, if this path begins with those whole segments. `prefix` ends in a slash or is empty.
    pub fn strip_prefix(&self, prefix: &str) -> Option<Self> {
        debug_assert!(prefix.is_empty() || prefix.ends_with('/'), "a prefix is a directory");
        self.0.strip_prefix(prefix).map(|rest| Self(rest.to_owned()))
    }

    /// This path below `directory`, which ends in a slash or is empty.
    #[must_use]
    pub fn below(&self, directory: &str) -> Self {
        Self(format!("{directory}{}", self.0))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The directory that holds `path` (ends in a slash, or is empty) and the last part, its name in there.
/// A directory's own name ends in a slash: `a/b/` is `b/` in `a/`.
pub fn split_parent(path: &str) -> (&str, &str) {
    let body = path.strip_suffix('/').unwrap_or(path);
    match body.rfind('/') {
        Some(at) => path.split_at(at + 1),
        None => ("", path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_paths_pass_unchanged() {
        for text in ["", "a", "a/b", "a/b/", "secret/data/my app", "a/ü", "+/x", "a..b/c."] {
            assert_eq!(Path::new(text).map(|path| path.as_str().to_owned()), Ok(text.to_owned()));
        }
        assert_eq!(Path::from_url("my%20app/%C3%BC").unwrap().as_str(), "my app/ü");
    }

    #[test]
    fn what_is_not_canonical_is_refused() {
        for (raw, error) in [
            ("/", PathError::EmptySegment),
            ("/a", PathError::EmptySegment),
            ("a//b", PathError::EmptySegment),
            ("a/b//", PathError::EmptySegment),
            ("a/../b", PathError::DotSegment),
            ("./a", PathError::DotSegment),
            ("a/%2e%2e/b", PathError::DotSegment),
            ("a%2Fb", PathError::EncodedSlash),
            ("a%2fb", PathError::EncodedSlash),
            ("a%00", PathError::Control),
            ("a%0a", PathError::Control),
            ("a%", PathError::Encoding),
            ("a%zz", PathError::Encoding),
            ("a%ff", PathError::Utf8),
        ] {
            assert_eq!(Path::from_url(raw), Err(error), "{raw}");
        }
        assert_eq!(Path::new(&"a".repeat(1025)), Err(PathError::TooLong));
        assert_eq!(Path::new(&vec!["a"; 65].join("/")), Err(PathError::TooDeep));
        assert!(Path::new(&vec!["a"; 64].join("/")).is_ok());
    }

    #[test]
    fn parents_and_names() {
        assert_eq!(split_parent("a"), ("", "a"));
        assert_eq!(split_parent("a/"), ("", "a/"));
        assert_eq!(split_parent("a/b"), ("a/", "b"));
        assert_eq!(split_parent("a/b/"), ("a/", "b/"));
        assert_eq!(split_parent(""), ("", ""));
    }
}
