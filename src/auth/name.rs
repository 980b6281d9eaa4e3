//! Names of roles and users, as they stand in paths: one form, whatever case they are written in.

use crate::answer::Refusal;

/// The longest name, in bytes.
pub const NAME_BYTES_MAX: usize = 256;

/// The canonical form of a name: ASCII letters in lower case, digits and `_`, in between also `-` and `.`. What is no such
/// name has no path.
pub fn canonical(segment: &str) -> Result<String, Refusal> {
    let word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let bytes = segment.as_bytes();
    let ends = bytes.first().is_some_and(word) && bytes.last().is_some_and(word);
    if !ends || bytes.len() > NAME_BYTES_MAX || !bytes.iter().all(|byte| word(byte) || b"-.".contains(byte)) {
        return Err(Refusal::UnsupportedPath);
    }
    Ok(segment.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_makes_no_other_name_and_other_scripts_make_none() {
        for (written, name) in [("Bob", Some("bob")), ("a.b-c_1", Some("a.b-c_1")), ("x", Some("x"))] {
            assert_eq!(canonical(written).ok().as_deref(), name, "{written}");
        }
        // The Kelvin sign and the dotless i become ASCII letters in some mappings.
        for written in ["", "a b", "a@b", "-a", "a-", ".", "\u{212a}", "b\u{f6}b", "\u{131}", "a\u{301}"] {
            assert!(matches!(canonical(written), Err(Refusal::UnsupportedPath)), "{written}");
        }
        assert!(canonical(&"a".repeat(NAME_BYTES_MAX + 1)).is_err());
    }
}
