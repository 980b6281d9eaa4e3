//! The little of DER (X.690) and PEM (RFC 7468) that keys are exchanged in. Buffers may hold private keys: all wipe themselves.

use data_encoding::BASE64;
use zeroize::Zeroizing;

use crate::secret::{SecretBytes, SecretText};

pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OBJECT: u8 = 0x06;
pub(super) const SEQUENCE: u8 = 0x30;

/// A DER text that is being read. Lengths are taken in their shortest form only.
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(der: &'a [u8]) -> Self {
        Self(der)
    }

    /// The content of the next value, which must have this tag.
    pub(super) fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        let ([found, first], rest) = self.0.split_first_chunk::<2>()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(*first), rest),
            0x81 => rest.split_first().map(|(byte, rest)| (usize::from(*byte), rest)).filter(|(length, _)| *length >= 0x80)?,
            0x82 => rest
                .split_first_chunk::<2>()
                .map(|(bytes, rest)| (usize::from(u16::from_be_bytes(*bytes)), rest))
                .filter(|(length, _)| *length >= 0x100)?,
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        (*found == tag).then_some(content)
    }

    /// A number that is not negative, without leading zeros.
    pub(super) fn number(&mut self) -> Option<&'a [u8]> {
        match self.take(INTEGER)? {
            [0] => Some(&[]),
            [0, rest @ ..] if rest.first().is_some_and(|byte| byte & 0x80 != 0) => Some(rest),
            number @ [first, ..] if first & 0x80 == 0 && *first != 0 => Some(number),
            _ => None,
        }
    }

    /// Nothing may be left.
    pub(super) fn end(self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

/// One value: its content in parts.
pub(super) fn value(tag: u8, parts: &[&[u8]]) -> SecretBytes {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = Zeroizing::new(Vec::with_capacity(length + 5));
    out.push(tag);
    let [.., c, b, a] = length.to_be_bytes();
    match (c, b) {
        (0, 0) if a < 0x80 => out.push(a),
        (0, 0) => out.extend([0x81, a]),
        (0, _) => out.extend([0x82, b, a]),
        _ => out.extend([0x83, c, b, a]),
    }
    for part in parts {
        out.extend_from_slice(part);
    }
    SecretBytes::from_wiping(out)
}

/// A number that is not negative, from big-endian bytes.
pub(super) fn number(bytes: &[u8]) -> SecretBytes {
    let significant = bytes.iter().position(|byte| *byte != 0).and_then(|at| bytes.get(at..)).unwrap_or_default();
    let padded = significant.first().is_none_or(|first| first & 0x80 != 0);
    value(INTEGER, &[if padded { &[0] } else { &[] }, significant])
}

/// A PEM text: lines of 64 characters, a line feed after each but the last.
pub(super) fn pem(label: &str, der: &[u8]) -> SecretText {
    let mut text = String::with_capacity(der.len() * 3 / 2 + 2 * label.len() + 64);
    text.extend(["-----BEGIN ", label, "-----\n"]);
    for line in der.chunks(48) {
        BASE64.encode_append(line, &mut text);
        text.push('\n');
    }
    text.extend(["-----END ", label, "-----"]);
    SecretText::new(text)
}

/// What is in the first block of a PEM text that has this label.
pub(super) fn from_pem(label: &str, text: &str) -> Option<Vec<u8>> {
    let (_, rest) = text.split_once(&format!("-----BEGIN {label}-----"))?;
    let (body, _) = rest.split_once(&format!("-----END {label}-----"))?;
    let plain: String = body.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    BASE64.decode(plain.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for length in [0, 1, 127, 128, 255, 256, 65_535] {
            let written = value(OCTET_STRING, &[&vec![7; length]]);
            let mut reader = Reader::new(written.expose());
            assert_eq!(reader.take(OCTET_STRING).map(<[u8]>::len), Some(length));
            assert_eq!(reader.end(), Some(()));
            assert_eq!(Reader::new(written.expose().get(..written.len() - 1).unwrap()).take(OCTET_STRING), None, "{length}");
        }
        for (bytes, expected) in [(&[][..], &[][..]), (&[0, 0, 5], &[5]), (&[0x80], &[0x80]), (&[1, 0], &[1, 0])] {
            assert_eq!(Reader::new(number(bytes).expose()).number(), Some(expected));
        }
        for refused in [&[2, 1, 0x80][..], &[2, 2, 0, 1], &[2, 0], &[2, 0x81, 1, 1], &[2, 0x80], &[2], &[]] {
            assert_eq!(Reader::new(refused).number(), None, "{refused:?}");
        }
    }

    #[test]
    fn pem_has_lines_of_64() {
        let text = pem("PUBLIC KEY", &[0; 49]);
        let lines: Vec<usize> = text.expose().lines().map(str::len).collect();
        assert_eq!(lines, [26, 64, 4, 24]);
        assert_eq!(from_pem("PUBLIC KEY", text.expose()), Some(vec![0; 49]));
        assert_eq!(from_pem("PRIVATE KEY", text.expose()), None);
        assert_eq!(from_pem("PUBLIC KEY", "-----BEGIN PUBLIC KEY-----\n*\n-----END PUBLIC KEY-----"), None);
    }
}
