//! A small writer of deterministic JSON: one form for every value, no white space, fields in the order of the calls.
//!
//! Strings are escaped as RFC 8259 section 7 demands and no further, with the short forms where there are some:
//! the same bytes as `serde_json` writes, which a test compares.

use std::io::Write as _;

use data_encoding::HEXLOWER;

/// An object that is being written.
pub(super) struct Writer<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
}

impl<'a> Writer<'a> {
    /// Opens an object at the end of `out`.
    pub(super) fn open(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, first: true }
    }

    /// Goes on in an object that has a field already.
    pub(super) fn go_on(out: &'a mut Vec<u8>) -> Self {
        Self { out, first: false }
    }

    /// Appends fields that a writer which went on has written.
    pub(super) fn fields(&mut self, written: &[u8]) -> &mut Self {
        self.out.extend_from_slice(written);
        self
    }

    /// Closes it.
    pub(super) fn close(self) {
        self.out.push(b'}');
    }

    /// Starts a field. Names are words of this program: they need no escaping.
    fn name(&mut self, name: &'static str) -> &mut Vec<u8> {
        self.out.extend_from_slice(if std::mem::take(&mut self.first) { b"\"" } else { b",\"" });
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }

    /// Starts a field of any name.
    fn any_name(&mut self, name: &str) -> &mut Vec<u8> {
        if !std::mem::take(&mut self.first) {
            self.out.push(b',');
        }
        push_text(self.out, name);
        self.out.push(b':');
        self.out
    }

    /// A string.
    pub(super) fn text(&mut self, name: &'static str, value: &str) -> &mut Self {
        push_text(self.name(name), value);
        self
    }

    /// A whole number.
    pub(super) fn number(&mut self, name: &'static str, value: u64) -> &mut Self {
        push_display(self.name(name), value);
        self
    }

    /// Bytes as a string of lower-case hexadecimal digits.
    pub(super) fn hex(&mut self, name: &'static str, value: &[u8]) -> &mut Self {
        let out = self.name(name);
        out.push(b'"');
        let at = out.len();
        out.resize(at + value.len() * 2, 0);
        HEXLOWER.encode_mut(value, out.get_mut(at..).unwrap_or_default());
        out.push(b'"');
        self
    }

    /// A string that a type's `Display` writes, without anything to escape.
    pub(super) fn plain(&mut self, name: &'static str, value: impl std::fmt::Display) -> &mut Self {
        let out = self.name(name);
        out.push(b'"');
        push_display(out, value);
        out.push(b'"');
        self
    }

    /// A list of strings, by any name.
    pub(super) fn texts(&mut self, name: &str, values: &[String]) -> &mut Self {
        let out = self.any_name(name);
        out.push(b'[');
        for (at, value) in values.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            push_text(out, value);
        }
        out.push(b']');
        self
    }

    /// An object.
    pub(super) fn object(&mut self, name: &'static str, fill: impl FnOnce(&mut Writer<'_>)) -> &mut Self {
        let mut inner = Writer::open(self.name(name));
        fill(&mut inner);
        inner.close();
        self
    }
}

fn push_display(out: &mut Vec<u8>, value: impl std::fmt::Display) {
    // Writing to a `Vec` does not fail.
    let _ = write!(out, "{value}");
}

fn push_text(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|byte| needs_escape(*byte)) {
        let (plain, tail) = rest.split_at(at);
        out.extend_from_slice(plain);
        if let Some((byte, tail)) = tail.split_first() {
            push_escaped(out, *byte);
            rest = tail;
        }
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

fn push_escaped(out: &mut Vec<u8>, byte: u8) {
    let short = match byte {
        b'"' | b'\\' => byte,
        0x08 => b'b',
        b'\t' => b't',
        b'\n' => b'n',
        0x0c => b'f',
        b'\r' => b'r',
        _ => return out.extend_from_slice(&[b'\\', b'u', b'0', b'0', hex_digit(byte >> 4), hex_digit(byte & 15)]),
    };
    out.extend_from_slice(&[b'\\', short]);
}

fn hex_digit(nibble: u8) -> u8 {
    if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(text: &str) -> String {
        let mut out = Vec::new();
        push_text(&mut out, text);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_ascii_character_is_escaped_as_serde_does() {
        for byte in 0..=0x7f_u8 {
            let text = format!("a{}b", char::from(byte));
            assert_eq!(written(&text), serde_json::to_string(&text).unwrap(), "byte {byte:#x}");
        }
        assert_eq!(written("\u{1b}[31m\r\n"), r#""\u001b[31m\r\n""#);
    }

    proptest! {
        #[test]
        fn any_text_is_written_as_serde_does(text in any::<String>()) {
            prop_assert_eq!(written(&text), serde_json::to_string(&text).unwrap());
        }
    }
}
