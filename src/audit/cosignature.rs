//! Cosignatures of witnesses, as C2SP's tlog-cosignature (v1.0.0) has them, by Ed25519: a witness has seen that a tree extends all
//! that it saw of the log before.
//!
//!     "— " name " " base64(key id (4) ‖ seconds since 1970 (8) ‖ signature (64)) ⏎
//!
//! The signature is over `cosignature/v1 ⏎ time SECONDS ⏎` and the text of the checkpoint. A public key travels as
//! `name+id+base64(4 ‖ key)`.

use std::fmt;

use data_encoding::BASE64;

use super::note::{NoteError, TreeHead, is_name, key_id, parse_verifier, public_half, signature, split, verifier, verifies};
use crate::crypto::{SigningError, SigningKey};

const COSIGNATURE: u8 = 4;

/// The public key of a witness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessKey {
    name: String,
    public: [u8; 32],
}

impl WitnessKey {
    /// The public half of `key`, of the witness that is called `name`. `None` when that is no name.
    ///
    /// # Errors
    /// It is not an Ed25519 key.
    pub fn of(name: &str, key: &SigningKey) -> Result<Option<Self>, SigningError> {
        let public = public_half(key)?;
        Ok(is_name(name).then(|| Self { name: name.to_owned(), public }))
    }

    /// Reads `to_string`. Anything else is `None`, a wrong id too.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, public) = parse_verifier(text, COSIGNATURE)?;
        Some(Self { name: name.to_owned(), public })
    }

    /// What the witness is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The signature line for a note, made at `seconds` since 1970 with the private half. Whoever calls it has made sure that the
    /// tree extends all that were cosigned before.
    ///
    /// # Errors
    /// The note has not the form of one.
    pub fn cosign(&self, note: &[u8], key: &SigningKey, seconds: u64) -> Result<String, NoteError> {
        let signed = key.sign(message(split(note)?.0, seconds).as_bytes()).map_err(|_| NoteError::Signature)?;
        let bytes = [&key_id(&self.name, COSIGNATURE, &self.public)[..], &seconds.to_be_bytes(), &signed].concat();
        Ok(format!("\u{2014} {} {}\n", self.name, BASE64.encode(&bytes)))
    }

    /// Of the lines that a witness answered, the one that cosigns this note with this key. None when there is none, or something else
    /// than signatures.
    pub fn cosignature_in(&self, note: &str, lines: &str) -> Option<String> {
        let own = key_id(&self.name, COSIGNATURE, &self.public);
        let mut found = None;
        for line in lines.strip_suffix('\n')?.split('\n') {
            let (name, bytes) = signature(line).ok()?;
            if name == self.name && bytes.starts_with(&own) && found.replace(format!("{line}\n")).is_some() {
                return None;
            }
        }
        found.filter(|line| self.open(format!("{note}{line}").as_bytes()).is_ok())
    }

    /// Reads a note that this witness has cosigned: its tree, and when that was. Signatures of others are ignored.
    ///
    /// # Errors
    /// It has not.
    pub fn open(&self, note: &[u8]) -> Result<(TreeHead, u64), NoteError> {
        let (text, signatures) = split(note)?;
        let head = TreeHead::unverified(note)?;
        let own = key_id(&self.name, COSIGNATURE, &self.public);
        let mut seen = None;
        for line in signatures.lines() {
            let (name, bytes) = signature(line)?;
            let Some(rest) = bytes.strip_prefix(&own).filter(|_| name == self.name) else { continue };
            let (time, signed) = rest.split_first_chunk().ok_or(NoteError::Malformed("a signature is cut off"))?;
            let seconds = u64::from_be_bytes(*time);
            if seen.is_some() || !verifies(&self.public, message(text, seconds).as_bytes(), signed) {
                return Err(NoteError::Signature);
            }
            seen = Some(seconds);
        }
        seen.map(|seconds| (head, seconds)).ok_or(NoteError::OtherKey)
    }
}

impl fmt::Display for WitnessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&verifier(&self.name, COSIGNATURE, &self.public))
    }
}

fn message(text: &str, seconds: u64) -> String {
    format!("cosignature/v1\ntime {seconds}\n{text}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::note::LogKey;
    use crate::crypto::SigningAlgorithm;

    fn key() -> SigningKey {
        SigningKey::generate(SigningAlgorithm::EdDsa).unwrap()
    }

    #[test]
    fn a_cosignature_is_of_one_text_time_and_witness() {
        let (log, own) = (key(), key());
        let head = TreeHead { origin: "log.example/a".to_owned(), size: 7, root: [3; 32] };
        let note = head.sign(&log).unwrap();
        let witness = WitnessKey::of("witness.example/w1", &own).unwrap().unwrap();
        assert_eq!(WitnessKey::parse(&witness.to_string()), Some(witness.clone()));
        assert!(LogKey::parse(&witness.to_string()).is_none(), "a witness is no log");
        let line = witness.cosign(note.as_bytes(), &own, 1_679_315_147).unwrap();
        let cosigned = format!("{note}{line}");
        assert_eq!(witness.open(cosigned.as_bytes()), Ok((head.clone(), 1_679_315_147)));
        assert_eq!(LogKey::of(&head.origin, &log).unwrap().open(cosigned.as_bytes()), Ok((head, 1)));
        assert_eq!(witness.open(note.as_bytes()), Err(NoteError::OtherKey));
        assert_eq!(witness.open(cosigned.replace("\n7\n", "\n8\n").as_bytes()), Err(NoteError::Signature));
        assert_eq!(witness.open(format!("{cosigned}{line}").as_bytes()), Err(NoteError::Signature));
        let other = WitnessKey::of("witness.example/w1", &key()).unwrap().unwrap();
        assert_eq!(other.open(cosigned.as_bytes()), Err(NoteError::OtherKey));
        assert_eq!(WitnessKey::of("a b", &own).unwrap(), None);
    }

    /// The id of the key of the example in tlog-cosignature depends on the type 4; that of a log's key on the type 1.
    #[test]
    fn every_byte_of_a_cosignature_counts() {
        let own = key();
        let note = TreeHead { origin: "o".to_owned(), size: 1, root: [3; 32] }.sign(&key()).unwrap();
        let witness = WitnessKey::of("w", &own).unwrap().unwrap();
        let line = witness.cosign(note.as_bytes(), &own, 5).unwrap();
        for at in 0..line.len() - 1 {
            let mut bytes = format!("{note}{line}").into_bytes();
            bytes[note.len() + at] ^= 1;
            assert!(witness.open(&bytes).is_err(), "{at}");
        }
    }
}
