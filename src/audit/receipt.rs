//! What a client is told of its request's place in the log, and what proves it later without the server.
//!
//! A receipt is one line, `ORIGIN INDEX BASE64(leaf hash)`. With the path to a signed tree it becomes a file, in the form of C2SP's
//! tlog-proof with the receipt as extra data (`tlog_proof.rs`).

use std::fmt;

use data_encoding::BASE64;

use super::merkle::Hash;
use super::note::{LogKey, NoteError, TreeHead, log_and_epoch};
use super::proof::verify_inclusion;
pub use super::tlog_proof::PROOF_BYTES_MAX;
use super::tlog_proof::TlogProof;
use crate::base64;

/// Where an event stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Which log.
    pub origin: String,
    /// The event's index there.
    pub index: u64,
    /// The event's leaf hash.
    pub leaf: Hash,
}

/// A receipt that was exchanged: it shows that the event is in a tree that was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The event.
    pub receipt: Receipt,
    /// Hashes from it to the root, lowest first.
    pub path: Vec<Hash>,
    /// The signed tree.
    pub checkpoint: String,
}

/// A proof does not prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// Its checkpoint is not one that the key signed.
    #[error("its checkpoint was refused: {0}")]
    Note(#[from] NoteError),
    /// The receipt, or the checkpoint, is of another log than the key.
    #[error("it is of another log than the key")]
    OtherLog,
    /// The path does not lead from the event to the root: the event is not in that tree, or something was changed.
    #[error("its hashes do not lead from the event to the root that was signed")]
    NotThere,
}

impl Receipt {
    /// Reads `to_string`. Anything else is `None`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(' ');
        let (Some(origin), Some(index), Some(leaf), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
            return None;
        };
        let number: u64 = index.parse().ok().filter(|number: &u64| number.to_string() == index)?;
        let leaf = base64::decode(leaf).ok()?.try_into().ok()?;
        let named = !origin.is_empty() && !origin.contains(|letter: char| letter.is_whitespace() || letter.is_control());
        named.then(|| Self { origin: origin.to_owned(), index: number, leaf })
    }
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.origin, self.index, BASE64.encode(&self.leaf))
    }
}

impl Proof {
    /// Reads `to_string`. Anything else is `None`.
    pub fn parse(text: &str) -> Option<Self> {
        let TlogProof { extra, index, path, checkpoint } = TlogProof::parse(text)?;
        let receipt = Receipt::parse(&extra).filter(|receipt| receipt.index == index)?;
        Some(Self { receipt, path, checkpoint })
    }

    /// The tree that the event is in, if the key signed it.
    pub fn verify(&self, key: &LogKey) -> Result<TreeHead, ProofError> {
        // The event may be of an epoch before that of the checkpoint, which has it all the same; and the key may be named after
        // one before.
        let signed = TreeHead::unverified(self.checkpoint.as_bytes())?.origin;
        let (named, of) = (key.named(&signed), key.named(&self.receipt.origin));
        let named = if named.is_of_log(key) { named } else { key.clone() };
        let (head, _) = named.open(self.checkpoint.as_bytes())?;
        if head.origin != named.name() || !of.is_of_log(key) || epoch(&of) > epoch(&named) {
            return Err(ProofError::OtherLog);
        }
        let Receipt { index, leaf, .. } = self.receipt;
        if verify_inclusion(leaf, index, head.size, &self.path, &head.root) { Ok(head) } else { Err(ProofError::NotThere) }
    }
}

fn epoch(key: &LogKey) -> u32 {
    log_and_epoch(key.name()).map_or(0, |(_, epoch)| epoch)
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (extra, index) = (self.receipt.to_string(), self.receipt.index);
        TlogProof { extra, index, path: self.path.clone(), checkpoint: self.checkpoint.clone() }.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::merkle::{leaf_hash, root};
    use super::super::proof::inclusion;
    use super::*;
    use crate::crypto::{SigningAlgorithm, SigningKey};

    const ORIGIN: &str = "strongroom/d/t/0";

    fn proof(index: usize, size: u32, key: &SigningKey) -> Proof {
        let leaves: Vec<Hash> = (0..size).map(|at| leaf_hash(&at.to_be_bytes())).collect();
        let head = TreeHead { origin: ORIGIN.to_owned(), size: u64::from(size), root: root(&leaves) };
        let receipt = Receipt { origin: ORIGIN.to_owned(), index: index as u64, leaf: leaves[index] };
        Proof { receipt, path: inclusion(index, &leaves).unwrap(), checkpoint: head.sign(key).unwrap() }
    }

    fn key() -> SigningKey {
        SigningKey::generate(SigningAlgorithm::EdDsa).unwrap()
    }

    #[test]
    fn a_receipt_is_proved_with_the_key_of_its_log_only() {
        let key = key();
        let public = LogKey::of(ORIGIN, &key).unwrap();
        for size in 1..20 {
            for index in 0..size {
                let proof = proof(index as usize, size, &key);
                assert_eq!(Proof::parse(&proof.to_string()), Some(proof.clone()));
                assert_eq!(proof.verify(&public).unwrap().size, u64::from(size));
            }
        }
        let honest = proof(5, 9, &key);
        let text = honest.to_string();
        assert!(text.starts_with("c2sp.org/tlog-proof@v1\nextra ") && text.contains("\nindex 5\n"), "{text}");
        assert_eq!(honest.verify(&LogKey::of(ORIGIN, &self::key()).unwrap()), Err(ProofError::Note(NoteError::OtherKey)));
        assert_eq!(honest.verify(&LogKey::of("other", &key).unwrap()), Err(ProofError::Note(NoteError::OtherKey)));
        let with = |change: fn(&mut Proof)| {
            let mut proof = honest.clone();
            change(&mut proof);
            proof.verify(&public)
        };
        assert_eq!(with(|proof| proof.receipt.origin.push('x')), Err(ProofError::OtherLog));
        assert_eq!(with(|proof| proof.receipt.index = 4), Err(ProofError::NotThere));
        assert_eq!(with(|proof| proof.receipt.leaf[0] ^= 1), Err(ProofError::NotThere));
        assert_eq!(with(|proof| proof.path[1][0] ^= 1), Err(ProofError::NotThere));
        assert_eq!(with(|proof| proof.path.truncate(2)), Err(ProofError::NotThere));
    }

    #[test]
    fn other_forms_of_receipts_are_refused() {
        let leaf = BASE64.encode(&[7; 32]);
        assert!(Receipt::parse(&format!("strongroom/d/t/0 7 {leaf}")).is_some());
        for wrong in
            ["", "a 1", &format!("a 01 {leaf}"), &format!("a +1 {leaf}"), &format!("a  1 {leaf}"), &format!("a 1 {leaf} ")]
        {
            assert_eq!(Receipt::parse(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn every_byte_of_a_proof_counts(at in any::<proptest::sample::Index>(), flip in 1..128_u8) {
            let key = key();
            let mut text = proof(3, 7, &key).to_string().into_bytes();
            let at = at.index(text.len());
            text[at] ^= flip;
            let read = String::from_utf8(text).ok().and_then(|text| Proof::parse(&text));
            prop_assert!(read.is_none_or(|proof| proof.verify(&LogKey::of(ORIGIN, &key).unwrap()).is_err()));
        }

        #[test]
        fn what_is_read_is_written_back(text in ".*", receipt in "[a-z/]{1,9} [0-9]{1,4} [A-Za-z0-9+/]{43}=") {
            prop_assert!(Proof::parse(&text).is_none());
            if let Some(read) = Receipt::parse(&receipt) {
                prop_assert_eq!(read.to_string(), receipt);
            }
        }
    }
}
