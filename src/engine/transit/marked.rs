//! What stands in front of ciphertexts, signatures and HMACs: `vault:v1:`, with the version of the key.

/// A text and the version of the key that it was made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marked<'a> {
    /// From 1.
    pub version: u32,
    /// What follows: base64, not decoded yet.
    pub body: &'a str,
}

/// What is wrong with a mark. It is public, so that saying it helps nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MarkError {
    /// It does not begin with `vault:v`.
    #[error("no prefix")]
    NoPrefix,
    /// Nothing follows the version.
    #[error("wrong number of fields")]
    Fields,
    /// The version is not a number.
    #[error("version number could not be decoded")]
    Version,
}

const PREFIX: &str = "vault:v";

impl<'a> Marked<'a> {
    /// Takes a mark off. Version 0, as the oldest servers wrote it, is 1.
    pub fn parse(text: &'a str) -> Result<Self, MarkError> {
        let rest = text.strip_prefix(PREFIX).ok_or(MarkError::NoPrefix)?;
        let (version, body) = rest.split_once(':').ok_or(MarkError::Fields)?;
        if version.is_empty() || !version.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(MarkError::Version);
        }
        let version: u32 = version.parse().map_err(|_| MarkError::Version)?;
        Ok(Self { version: version.max(1), body })
    }
}

/// Puts a mark on.
pub fn mark(version: u32, body: &str) -> String {
    format!("{PREFIX}{version}:{body}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_taken_off_as_they_were_put_on() {
        for version in [1, 7, u32::MAX] {
            assert_eq!(Marked::parse(&mark(version, "a:b=")), Ok(Marked { version, body: "a:b=" }));
        }
        assert_eq!(Marked::parse("vault:v0:"), Ok(Marked { version: 1, body: "" }));
    }

    #[test]
    fn what_is_no_mark_is_refused_with_its_reason() {
        for (text, error) in [
            ("", MarkError::NoPrefix),
            ("Vault:v1:x", MarkError::NoPrefix),
            (" vault:v1:x", MarkError::NoPrefix),
            ("vault:v1", MarkError::Fields),
            ("vault:v", MarkError::Fields),
            ("vault:v:x", MarkError::Version),
            ("vault:v-1:x", MarkError::Version),
            ("vault:v+1:x", MarkError::Version),
            ("vault:v1 :x", MarkError::Version),
            ("vault:v4294967296:x", MarkError::Version),
            ("vault:v1.0:x", MarkError::Version),
        ] {
            assert_eq!(Marked::parse(text), Err(error), "{text}");
        }
    }
}
