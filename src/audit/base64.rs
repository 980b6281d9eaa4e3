//! Bytes in a line of text (RFC 4648 section 4), in the one form that they have: several padded texts one after the other, which the decoder
//! would take for one, are none.

use data_encoding::BASE64;

/// The bytes; `None` when another text stands for the same ones, or this one for none.
pub(crate) fn base64(text: &str) -> Option<Vec<u8>> {
    let bytes = BASE64.decode(text.as_bytes()).ok()?;
    (BASE64.encode(&bytes) == text).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_one_text() {
        for (text, bytes) in [("", Some(&b""[..])), ("YQ==", Some(b"a")), ("YWI=", Some(b"ab")), ("YWJj", Some(b"abc"))] {
            assert_eq!(base64(text).as_deref(), bytes, "{text}");
        }
        for text in ["YQ==YWI=", "YQ==YQ==", "YR==", "YQ", "YQ=", "YQ==\n", "Y-==", "====", "="] {
            assert_eq!(base64(text), None, "{text}");
        }
    }
}
