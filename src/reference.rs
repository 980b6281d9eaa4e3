//! Opaque references: what other systems store in place of a secret.
//!
//! `sref_` and 32 characters of lower-case base32: 128 random bits and a 32-bit checksum. A reference carries no
//! tenant, path, engine or size, and it is not a credential: whoever holds it still needs the right to resolve it.
//! Scanners for leaked secrets find candidates with [`PATTERN`]; the checksum tells which of them are references.

use std::fmt;

mod binding;
mod record;

use serde::{Deserialize, Serialize};

use crate::crypto;

pub use binding::{Binding, Consumer, Presented};
pub use record::{ReferenceId, ReferenceListing, ReferenceRecord};

const PREFIX: &str = "sref_";

/// Matches every reference (POSIX extended, RE2, PCRE). What matches and has a wrong checksum is none.
pub const PATTERN: &str = "sref_[a-z2-7]{32}";

/// A well-formed reference.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Reference(String);

impl Reference {
    /// A fresh reference.
    pub fn random() -> Self {
        Self::from_random(crate::random::bytes())
    }

    fn from_random(random: [u8; 16]) -> Self {
        let mut raw = [0; 20];
        raw[..16].copy_from_slice(&random);
        raw[16..].copy_from_slice(&checksum(&random));
        Self(format!("{PREFIX}{}", data_encoding::BASE32_NOPAD.encode(&raw).to_ascii_lowercase()))
    }

    /// Reads a reference; `None` when the form or the checksum is wrong (a typing error, a cut copy).
    pub fn parse(text: &str) -> Option<Self> {
        let body = text.strip_prefix(PREFIX)?;
        if body.len() != 32 || body.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return None;
        }
        let raw: [u8; 20] = data_encoding::BASE32_NOPAD.decode(body.to_ascii_uppercase().as_bytes()).ok()?.try_into().ok()?;
        let (random, check) = raw.split_at(16);
        (check == checksum(random)).then(|| Self(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Finds typing errors only; it keeps nobody from making up a well-formed reference.
fn checksum(random: &[u8]) -> [u8; 4] {
    let [a, b, c, d, ..] = crypto::sha256(&[b"strongroom reference checksum", random]);
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_recognised_and_typing_errors_found() {
        let reference = Reference::random();
        assert_eq!(reference.as_str().len(), 37);
        assert_eq!(Reference::parse(reference.as_str()), Some(reference.clone()));
        for at in PREFIX.len()..37 {
            let mut text = reference.as_str().to_owned().into_bytes();
            text[at] = if text[at] == b'a' { b'b' } else { b'a' };
            assert_eq!(Reference::parse(std::str::from_utf8(&text).unwrap()), None, "position {at}");
        }
        assert_eq!(Reference::parse(&reference.as_str().to_uppercase()), None);
        assert_eq!(Reference::parse("sref_short"), None);
        assert_eq!(Reference::parse(""), None);
    }

    /// How often each of the 32 symbols stands at each place, against even odds (chi-square, 31 degrees of freedom), and
    /// that no text comes twice. A million texts with `STRONGROOM_TEST_FULL=1`.
    #[test]
    fn references_show_no_structure() {
        let many: u32 = if std::env::var_os("STRONGROOM_TEST_FULL").is_some() { 1_000_000 } else { 50_000 };
        let mut counts = [[0_u32; 32]; 32];
        let mut following = [[0_u32; 32]; 32];
        let mut seen = std::collections::HashSet::new();
        for _ in 0..many {
            let reference = Reference::random();
            let symbols: Vec<usize> = reference.as_str().bytes().skip(PREFIX.len()).map(symbol).collect();
            for (place, symbol) in symbols.iter().enumerate() {
                counts[place][*symbol] += 1;
            }
            // Neighbours, across the whole text.
            for pair in symbols.windows(2) {
                following[pair[0]][pair[1]] += 1;
            }
            assert!(seen.insert(reference), "the same reference twice");
        }
        let chi_square = |counts: &[u32; 32], expected: f64| -> f64 {
            counts.iter().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum()
        };
        // 31 degrees of freedom: above 90 with a chance below one in ten million for each of the 64 rows.
        let even = f64::from(many) / 32.0;
        for (place, counts) in counts.iter().enumerate() {
            assert!(chi_square(counts, even) < 90.0, "place {place}: {}", chi_square(counts, even));
        }
        for (symbol, counts) in following.iter().enumerate() {
            let even = f64::from(counts.iter().sum::<u32>()) / 32.0;
            assert!(chi_square(counts, even) < 90.0, "after symbol {symbol}: {}", chi_square(counts, even));
        }
    }

    fn symbol(byte: u8) -> usize {
        usize::from(if byte.is_ascii_digit() { byte - b'2' + 26 } else { byte - b'a' })
    }

    #[test]
    fn the_format_is_fixed() {
        // What is stored in other systems' databases must be recognised for ever.
        assert!(Reference::parse("sref_uidbu3qjmlu2tuttz4rq25fkukex6vr5").is_some());
        assert_eq!(PATTERN, "sref_[a-z2-7]{32}");
        assert_eq!(Reference::from_random([0; 16]).as_str().len(), 37);
        assert!(Reference::from_random([0; 16]).as_str().starts_with("sref_aaaaaaaaaaaaaaaaaaaaaaaaa"));
    }
}
