//! Base64 (RFC 4648 section 4) in the one form that bytes have. The decoder that does the work would take several padded texts, one after
//! the other, for one.

use data_encoding::BASE64;

/// The bytes that a text stands for.
///
/// # Errors
/// The position of the first byte that does not belong there.
pub(crate) fn decode(text: &str) -> Result<Vec<u8>, usize> {
    let end = text.find('=').map_or(text.len(), |at| at.next_multiple_of(4));
    if text.len() > end {
        return Err(end);
    }
    BASE64.decode(text.as_bytes()).map_err(|error| error.position)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_one_text() {
        for (text, bytes) in [("", &b""[..]), ("YQ==", b"a"), ("YWI=", b"ab"), ("YWJj", b"abc")] {
            assert_eq!(decode(text).as_deref(), Ok(bytes), "{text}");
        }
        for text in ["YQ==YWI=", "YQ==YQ==", "YR==", "YQ", "YQ=", "YQ==\n", "Y-==", "====", "="] {
            assert!(decode(text).is_err(), "{text}");
        }
    }
}
