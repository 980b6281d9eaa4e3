//! Looking for texts in what was written: in the clear, and in the forms that programs give bytes.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use data_encoding::{BASE64, BASE64URL, HEXLOWER, HEXUPPER};

/// Every `file: text` of the texts in a file or in the files of a folder, in any form.
pub(crate) fn found(place: &Path, texts: &[String]) -> Vec<String> {
    let wanted = Wanted::new(texts);
    let mut found = Vec::new();
    let mut places = vec![place.to_owned()];
    while let Some(place) = places.pop() {
        if place.is_dir() {
            places.extend(fs::read_dir(place).unwrap().map(|entry| entry.unwrap().path()));
        } else if place.is_file() {
            found.extend(wanted.within(&fs::read(&place).unwrap()).iter().map(|text| format!("{}: {text}", place.display())));
        }
    }
    found
}

/// Bytes that a form is looked up by.
const BEGIN: usize = 4;

/// Texts to look for, by how their forms begin: files are large, and searched once for all texts.
pub(crate) struct Wanted<'a> {
    /// By the first two bytes.
    begins: Vec<bool>,
    forms: HashMap<[u8; BEGIN], Vec<(&'a str, Vec<u8>)>>,
}

impl<'a> Wanted<'a> {
    /// The texts, each of four bytes at least.
    pub(crate) fn new(texts: &'a [String]) -> Self {
        let mut wanted = Self { begins: vec![false; 1 << 16], forms: HashMap::new() };
        for text in texts {
            for form in forms(text.as_bytes()) {
                let begin = *form.first_chunk::<BEGIN>().unwrap_or_else(|| panic!("too short to be looked for: {text}"));
                wanted.begins[usize::from(u16::from_be_bytes([begin[0], begin[1]]))] = true;
                wanted.forms.entry(begin).or_default().push((text, form));
            }
        }
        wanted
    }

    /// Those that are in `bytes`.
    pub(crate) fn within(&self, bytes: &[u8]) -> BTreeSet<&'a str> {
        let mut found = BTreeSet::new();
        let mut last = 0;
        for (at, byte) in bytes.iter().enumerate() {
            last = (last << 8 | usize::from(*byte)) & 0xffff;
            if self.begins[last] && at > 0 {
                let rest = &bytes[at - 1..];
                let forms = rest.first_chunk::<BEGIN>().and_then(|begin| self.forms.get(begin));
                found.extend(forms.into_iter().flatten().filter(|(_, form)| rest.starts_with(form)).map(|(text, _)| *text));
            }
        }
        found
    }
}

/// In the clear; hexadecimal; base64 of both alphabets, wherever in other bytes it begins; percent-encoded; and as Rust shows a list of bytes.
fn forms(text: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = vec![text.to_vec(), HEXLOWER.encode(text).into_bytes(), HEXUPPER.encode(text).into_bytes()];
    for offset in 0..3 {
        let shifted = [&b"\0\0"[..offset], text].concat();
        for encoded in [BASE64.encode(&shifted), BASE64URL.encode(&shifted)] {
            // The characters at both ends depend on the neighbours, too.
            forms.push(encoded.as_bytes()[4..encoded.len() - 4].to_vec());
        }
    }
    let joined = |shown: fn(&mut String, u8)| {
        text.iter().fold(String::new(), |mut all, byte| {
            shown(&mut all, *byte);
            all
        })
    };
    forms.push(joined(|all, byte| write!(all, "%{byte:02X}").unwrap()).into_bytes());
    forms.push(joined(|all, byte| write!(all, "%{byte:02x}").unwrap()).into_bytes());
    forms.push(joined(|all, byte| write!(all, "{byte}, ").unwrap()).trim_end_matches(", ").as_bytes().to_vec());
    forms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_found_in_every_form_and_another_one_is_not() {
        let text = "canary-in>?a-form";
        let bytes = text.as_bytes();
        let texts = [text.to_owned()];
        let wanted = Wanted::new(&texts);
        let percent = |digits: &str| {
            let pairs: Vec<&str> = digits.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap()).collect();
            format!("%{}", pairs.join("%"))
        };
        for (form, written) in [
            ("clear", format!("x{text}y")),
            ("hexadecimal", format!("0{}f", HEXLOWER.encode(bytes))),
            ("HEXADECIMAL", HEXUPPER.encode(bytes)),
            ("base64", BASE64.encode(bytes)),
            ("base64, further on", BASE64.encode(format!("a{text}").as_bytes())),
            ("base64, further on still", BASE64.encode(format!("ab{text}cde").as_bytes())),
            ("base64url", BASE64URL.encode(format!("abc{text}").as_bytes())),
            ("percent", percent(&HEXUPPER.encode(bytes))),
            ("percent, lower case", percent(&HEXLOWER.encode(bytes))),
            ("list of bytes", format!("Bytes({bytes:?})")),
        ] {
            assert_eq!(wanted.within(written.as_bytes()).len(), 1, "{form}: {written}");
            let other = written.replace("canary", "lizard").to_lowercase();
            assert!(form != "clear" || wanted.within(other.as_bytes()).is_empty());
        }
        assert!(wanted.within(format!("{:?}", "another-text".as_bytes()).as_bytes()).is_empty());
    }
}
