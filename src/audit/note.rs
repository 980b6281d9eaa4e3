//! Checkpoints: a tree's size and root in a signed note, as C2SP's tlog-checkpoint and signed-note (v1.0.0) have them, so that
//! other tools read and verify them.
//!
//!     origin ⏎ size ⏎ base64(root) ⏎ ⏎ "— " name " " base64(key id (4) ‖ Ed25519 signature (64)) ⏎
//!
//! The name of the key is the origin. The signature is over everything before the empty line, the line's end included. A
//! public key travels as `name+id+base64(1 ‖ key)`, the id in hexadecimal: the first four bytes of
//! SHA-256(name ‖ 0x0a ‖ 1 ‖ key).

use std::fmt;

use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER};

use super::merkle::Hash;
use crate::base64;
use crate::crypto::{SigningAlgorithm, SigningError, SigningKey, VerifyingKey, sha256};
use crate::id::{DeploymentId, TenantId};

/// The longest note that is read, in bytes: with many signatures of others.
pub const NOTE_BYTES_MAX: usize = 64 << 10;
/// The operation of the first event of a log's new epoch.
pub const BEGIN_EPOCH: &str = "begin-epoch";
const ED25519: u8 = 1;

/// What a tenant's log is called in its checkpoints. `epoch` counts how often its store was put back to an older one, and that
/// was accepted.
pub fn origin(deployment: DeploymentId, tenant: TenantId, epoch: u32) -> String {
    format!("strongroom/{deployment}/{tenant}/{epoch}")
}

/// A log without its epoch, and the epoch. `None` for what `origin` does not make.
pub fn log_and_epoch(origin: &str) -> Option<(&str, u32)> {
    let (log, epoch) = origin.rsplit_once('/')?;
    let number: u32 = epoch.parse().ok()?;
    (log.starts_with("strongroom/") && number.to_string() == epoch).then_some((log, number))
}

/// The public key that a log is verified with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogKey {
    name: String,
    public: [u8; 32],
}

/// A note is not one that the key signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// It does not have the form of a signed checkpoint; the text says where.
    #[error("it is not a signed checkpoint: {0}")]
    Malformed(&'static str),
    /// It has signatures, and none by this key.
    #[error("it is signed by another key")]
    OtherKey,
    /// The key has signed it, and it is of another log.
    #[error("it is the checkpoint of another log")]
    OtherLog,
    /// Its text, or the signature itself, was changed after it was signed.
    #[error("its signature is not that of its text")]
    Signature,
}

/// What was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeHead {
    /// Which log.
    pub origin: String,
    /// How many events.
    pub size: u64,
    /// The root of their tree.
    pub root: Hash,
}

impl LogKey {
    /// The key of the log that is called `name`.
    pub fn new(name: &str, public: [u8; 32]) -> Self {
        Self { name: name.to_owned(), public }
    }

    /// The public half of `key`, for the log that is called `name`.
    pub fn of(name: &str, key: &SigningKey) -> Result<Self, SigningError> {
        Ok(Self::new(name, public_half(key)?))
    }

    /// Reads `to_string`. Anything else is `None`, a wrong id too.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, public) = parse_verifier(text, ED25519)?;
        Some(Self::new(name, public))
    }

    /// The same key, for the log that is called `name`.
    #[must_use]
    pub fn named(&self, name: &str) -> Self {
        Self::new(name, self.public)
    }

    /// Whether the other one is the same key, for the same log, in whichever epoch.
    pub fn is_of_log(&self, other: &Self) -> bool {
        let same = match (log_and_epoch(&self.name), log_and_epoch(&other.name)) {
            (Some((log, _)), Some((other, _))) => log == other,
            _ => self.name == other.name,
        };
        same && self.public == other.public
    }

    /// Reads a note that this key has signed of its log, in the epoch of its name or one before.
    ///
    /// # Errors
    /// As `open`, and that it is of another log.
    pub fn open_of_log(&self, note: &[u8]) -> Result<(TreeHead, usize), NoteError> {
        let named = TreeHead::unverified(note)?.origin;
        let earlier = match (log_and_epoch(&named), log_and_epoch(&self.name)) {
            (Some((log, then)), Some((own, now))) => log == own && then < now,
            _ => false,
        };
        let (head, others) = if earlier { self.named(&named).open(note)? } else { self.open(note)? };
        if earlier || head.origin == self.name { Ok((head, others)) } else { Err(NoteError::OtherLog) }
    }

    /// What the log is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// SHA-256 of the public key in hexadecimal, for people to compare.
    pub fn fingerprint(&self) -> String {
        HEXLOWER.encode(&sha256(&[&self.public]))
    }

    fn id(&self) -> [u8; 4] {
        key_id(&self.name, ED25519, &self.public)
    }

    fn verifies(&self, text: &str, signature: &[u8]) -> bool {
        verifies(&self.public, text.as_bytes(), signature)
    }

    /// Reads a note that this key has signed. Signatures of others are ignored; how many there are comes with it.
    pub fn open(&self, note: &[u8]) -> Result<(TreeHead, usize), NoteError> {
        if note.len() > NOTE_BYTES_MAX {
            return Err(NoteError::Malformed("it is too long"));
        }
        let head = TreeHead::parse(split(note)?.0)?;
        let (_, others) = self.open_text(note)?;
        Ok((head, others))
    }

    /// The text of a signed note that need not be a checkpoint. Whoever calls it limits its length.
    pub fn open_text<'n>(&self, note: &'n [u8]) -> Result<(&'n str, usize), NoteError> {
        let (text, signatures) = split(note)?;
        let (mut verified, mut others) = (false, 0);
        for line in signatures.lines() {
            let (name, bytes) = signature(line)?;
            let Some((id, signed)) = bytes.split_first_chunk::<4>() else {
                return Err(NoteError::Malformed("a signature is cut off"));
            };
            if name != self.name || *id != self.id() {
                others += 1;
            } else if verified || !self.verifies(text, signed) {
                return Err(NoteError::Signature);
            } else {
                verified = true;
            }
        }
        if verified { Ok((text, others)) } else { Err(NoteError::OtherKey) }
    }
}

impl fmt::Display for LogKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&verifier(&self.name, ED25519, &self.public))
    }
}

impl TreeHead {
    /// The text that is signed.
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, BASE64.encode(&self.root))
    }

    /// The note, signed by `key`. Whoever calls it has made sure that the tree extends all that were signed before.
    pub fn sign(&self, key: &SigningKey) -> Result<String, SigningError> {
        sign_text(&self.origin, &self.text(), key)
    }

    /// Reads a note without looking at who signed it.
    pub fn unverified(note: &[u8]) -> Result<Self, NoteError> {
        if note.len() > NOTE_BYTES_MAX {
            return Err(NoteError::Malformed("it is too long"));
        }
        Self::parse(split(note)?.0)
    }

    /// Reads the text that is signed.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let lines: Vec<&str> = text.strip_suffix('\n').unwrap_or(text).split('\n').collect();
        let [origin, size, root, extensions @ ..] = lines.as_slice() else {
            return Err(NoteError::Malformed("it has fewer than three lines"));
        };
        if !is_name(origin) || extensions.iter().any(|line| line.is_empty()) {
            return Err(NoteError::Malformed("its origin or an extension line is malformed"));
        }
        let number = size.parse::<u64>().ok().filter(|number| number.to_string() == *size);
        let hash = base64::decode(root).ok().and_then(|root| root.try_into().ok());
        Ok(Self {
            origin: (*origin).to_owned(),
            size: number.ok_or(NoteError::Malformed("its size is not a number"))?,
            root: hash.ok_or(NoteError::Malformed("its root is not a hash"))?,
        })
    }
}

/// A signed note of `text`, which ends with a line end; `name` is what the key is called in it.
pub fn sign_text(name: &str, text: &str, key: &SigningKey) -> Result<String, SigningError> {
    let signed = key.sign(text.as_bytes())?;
    let id = LogKey::of(name, key)?.id();
    Ok(format!("{text}\n\u{2014} {name} {}\n", BASE64.encode(&[&id[..], &signed].concat())))
}

/// The public half of an Ed25519 key.
pub(super) fn public_half(key: &SigningKey) -> Result<[u8; 32], SigningError> {
    let VerifyingKey::Okp { x, .. } = key.verifying_key()? else { return Err(SigningError) };
    BASE64URL_NOPAD.decode(x.as_bytes()).ok().and_then(|public| public.try_into().ok()).ok_or(SigningError)
}

pub(super) fn verifies(public: &[u8; 32], text: &[u8], signature: &[u8]) -> bool {
    let key = VerifyingKey::Okp { crv: "Ed25519".to_owned(), x: BASE64URL_NOPAD.encode(public) };
    key.verify(SigningAlgorithm::EdDsa, text, signature)
}

/// What tells keys of one name apart. `kind` is the type of signature.
pub(super) fn key_id(name: &str, kind: u8, public: &[u8; 32]) -> [u8; 4] {
    let [a, b, c, d, ..] = sha256(&[name.as_bytes(), b"\n", &[kind], public]);
    [a, b, c, d]
}

/// A key as a line of text.
pub(super) fn verifier(name: &str, kind: u8, public: &[u8; 32]) -> String {
    format!("{name}+{}+{}", HEXLOWER.encode(&key_id(name, kind, public)), BASE64.encode(&[&[kind][..], public].concat()))
}

/// Reads `verifier`. Anything else is `None`, a wrong id too.
pub(super) fn parse_verifier(text: &str, kind: u8) -> Option<(&str, [u8; 32])> {
    let (name, rest) = text.split_once('+')?;
    let (_, key) = rest.split_once('+')?;
    let bytes = base64::decode(key).ok()?;
    let public: [u8; 32] = bytes.strip_prefix(&[kind])?.try_into().ok()?;
    (is_name(name) && verifier(name, kind, &public) == text).then_some((name, public))
}

/// Name and bytes of a signature line.
pub(super) fn signature(line: &str) -> Result<(&str, Vec<u8>), NoteError> {
    let parts = line.strip_prefix("\u{2014} ").and_then(|rest| rest.split_once(' '));
    let (name, bytes) = parts.filter(|(name, _)| is_name(name)).ok_or(NoteError::Malformed("a signature line is malformed"))?;
    let bytes = base64::decode(bytes).map_err(|_| NoteError::Malformed("a signature is not base64"))?;
    Ok((name, bytes))
}

/// The signed text with its line end, and the lines of signatures.
pub(super) fn split(note: &[u8]) -> Result<(&str, &str), NoteError> {
    if note.len() > NOTE_BYTES_MAX {
        return Err(NoteError::Malformed("it is too long"));
    }
    let note = std::str::from_utf8(note).map_err(|_| NoteError::Malformed("it is not UTF-8"))?;
    if note.chars().any(|letter| letter.is_control() && letter != '\n') {
        return Err(NoteError::Malformed("it has control characters"));
    }
    let at = note.rfind("\n\n").ok_or(NoteError::Malformed("it has no signature"))?;
    let (text, rest) = note.split_at(at + 1);
    let signatures = rest.strip_prefix('\n').filter(|lines| lines.ends_with('\n'));
    Ok((text, signatures.ok_or(NoteError::Malformed("its end is cut off"))?))
}

pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|letter: char| letter.is_whitespace() || letter == '+')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key() -> SigningKey {
        SigningKey::generate(SigningAlgorithm::EdDsa).unwrap()
    }

    fn head() -> TreeHead {
        TreeHead { origin: origin(DeploymentId([1; 16]), TenantId([2; 16]), 0), size: 20_852_163, root: [7; 32] }
    }

    /// The example of tlog-checkpoint has this form: origin, size, root, signature.
    #[test]
    fn a_note_has_the_published_form_and_verifies_with_its_key_only() {
        let (key, head) = (key(), head());
        let note = head.sign(&key).unwrap();
        let lines: Vec<&str> = note.split('\n').collect();
        assert_eq!(lines[..4], [head.origin.as_str(), "20852163", &BASE64.encode(&[7; 32]), ""]);
        assert!(lines[4].starts_with(&format!("\u{2014} {} ", head.origin)) && lines[5..] == [""]);
        let public = LogKey::of(&head.origin, &key).unwrap();
        assert_eq!(public.open(note.as_bytes()), Ok((head.clone(), 0)));
        assert_eq!(LogKey::parse(&public.to_string()), Some(public.clone()));
        let other = LogKey::of(&head.origin, &self::key()).unwrap();
        assert_eq!(other.open(note.as_bytes()), Err(NoteError::OtherKey));
        assert_eq!(LogKey::of("other", &key).unwrap().open(note.as_bytes()), Err(NoteError::OtherKey));
        let cosigned = format!("{note}\u{2014} witness.example/w {}\n", BASE64.encode(&[9; 76]));
        assert_eq!(public.open(cosigned.as_bytes()), Ok((head.clone(), 1)));
        // Signed, and then another text put above the signature.
        let moved = note.replace("20852163", "20852164");
        assert_eq!(public.open(moved.as_bytes()), Err(NoteError::Signature));
    }

    #[test]
    fn notes_of_earlier_epochs_are_of_the_same_log() {
        let key = key();
        let note = |epoch| {
            let head = TreeHead { origin: origin(DeploymentId([1; 16]), TenantId([2; 16]), epoch), ..head() };
            (LogKey::of(&head.origin, &key).unwrap(), head.sign(&key).unwrap(), head)
        };
        let ((first, old, head), (second, new, _)) = (note(0), note(1));
        assert_eq!(second.open_of_log(old.as_bytes()), Ok((head, 0)));
        assert_eq!(first.open_of_log(new.as_bytes()), Err(NoteError::OtherKey), "of a later epoch");
        assert!(second.open(old.as_bytes()).is_err() && first.is_of_log(&second) && first != second);
        let other = TreeHead { origin: "strongroom/x/y/0".to_owned(), ..self::head() };
        assert!(second.open_of_log(other.sign(&key).unwrap().as_bytes()).is_err());
        assert!(!first.is_of_log(&LogKey::of("strongroom/x/y/0", &key).unwrap()));
        assert!(!first.is_of_log(&LogKey::of(first.name(), &self::key()).unwrap()));
        assert_eq!([log_and_epoch("strongroom/d/t/007"), log_and_epoch("a/b/0"), log_and_epoch("x")], [None; 3]);
    }

    /// The vkey of the Go checksum database, and its id, as published.
    #[test]
    fn the_id_of_a_key_is_that_of_other_tools() {
        let text = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8";
        assert_eq!(LogKey::parse(text).unwrap().to_string(), text);
        assert_eq!(LogKey::parse(&text.replace("033de0ae", "033de0af")), None);
    }

    proptest! {
        #[test]
        fn every_byte_of_a_note_counts(at in any::<proptest::sample::Index>(), flip in 1..=255_u8) {
            let key = key();
            let mut note = head().sign(&key).unwrap().into_bytes();
            let at = at.index(note.len());
            note[at] ^= flip;
            prop_assert!(LogKey::of(&head().origin, &key).unwrap().open(&note).is_err());
        }

        #[test]
        fn other_texts_are_refused(text in ".*", lines in "([a-z0-9=]{0,5}\n){0,6}") {
            let key = LogKey::new("x", [1; 32]);
            prop_assert!(key.open(text.as_bytes()).is_err() && key.open(lines.as_bytes()).is_err());
            prop_assert!(LogKey::parse(&text).is_none());
        }
    }
}
