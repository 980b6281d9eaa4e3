//! Names of entities, groups and aliases: how they are compared.
//!
//! Two names are one when they differ in case only: each character is mapped to upper and then to lower case, as Unicode
//! maps it without regard to a language (so `ß`, `ẞ` and `ss` are one, and both forms of the lower sigma). Text is not
//! normalised. What normalisation would join, a letter with a combining mark and the same letter composed, is kept apart
//! at the door: a name of an entity or group may not have marks of the blocks that such letters are composed from.
//!
//! Names of entities and groups are values of templates in policies, where they stand for a part of one segment: they have
//! none of the characters that mean something there.

use crate::answer::Refusal;

/// The longest name, in bytes.
pub(super) const NAME_BYTES_MAX: usize = 512;

/// The form that names are compared in.
pub(super) fn canonical(name: &str) -> String {
    name.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

/// A name that may be given to an entity or group.
pub(super) fn checked(name: String) -> Result<String, Refusal> {
    if name.chars().any(is_combining) {
        return Err(Refusal::invalid("name: write letters with marks as one character each (Unicode form NFC)"));
    }
    if name.contains(['/', '*', '+']) {
        return Err(Refusal::invalid("name: without \"/\", \"*\" and \"+\", which have a meaning in policies"));
    }
    checked_alias(name)
}

/// A name that may be given to an alias: whatever a method calls somebody, without control characters.
pub(super) fn checked_alias(name: String) -> Result<String, Refusal> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
        return Err(Refusal::invalid(format!("name: 1 to {NAME_BYTES_MAX} bytes, without control characters")));
    }
    Ok(name)
}

/// The blocks of marks that Unicode composes with letters.
fn is_combining(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}' | '\u{fe20}'..='\u{fe2f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_differ_in_case_only_are_one() {
        for (a, b) in
            [("Bob", "bOB"), ("ÄRGER", "ärger"), ("Straße", "STRASSE"), ("ΟΔΟΣ", "οδος"), ("οδοσ", "οδος"), ("\u{212a}", "k")]
        {
            assert_eq!(canonical(a), canonical(b), "{a} {b}");
        }
        for (a, b) in [("bob", "bob "), ("a", "ä"), ("o", "0"), ("а", "a")] {
            assert_ne!(canonical(a), canonical(b), "{a} {b}");
        }
    }

    #[test]
    fn a_name_has_one_composition() {
        assert!(checked("é".to_owned()).is_ok());
        assert!(checked("e\u{301}".to_owned()).is_err());
        assert!(checked_alias("e\u{301}".to_owned()).is_ok(), "an alias is what a method says");
        for bad in ["a/b", "a*", "a+b"] {
            assert!(checked(bad.to_owned()).is_err() && checked_alias(bad.to_owned()).is_ok(), "{bad}");
        }
        for bad in [String::new(), "a\nb".to_owned(), "x".repeat(NAME_BYTES_MAX + 1)] {
            assert!(checked(bad.clone()).is_err() && checked_alias(bad).is_err());
        }
    }
}
