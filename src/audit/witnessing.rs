//! What a witness is asked, and what it answers, by C2SP's tlog-witness: pure, from the bytes of `add-checkpoint` and what was
//! cosigned before.

use data_encoding::BASE64;

use super::merkle::{Hash, empty_root};
use super::note::{NOTE_BYTES_MAX, TreeHead};
use super::proof::verify_consistency;
use crate::base64;

/// Most hashes of a proof.
pub const PROOF_MAX: usize = 63;
/// The longest request, in bytes: a whole proof, and a checkpoint.
pub const REQUEST_BYTES_MAX: usize = NOTE_BYTES_MAX + 4096;

/// A checkpoint that is to be cosigned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submission {
    /// What the log believes was cosigned last.
    pub old_size: u64,
    /// A consistency proof from there.
    pub proof: Vec<Hash>,
    /// The note.
    pub note: Vec<u8>,
    /// Its tree. Nobody has looked yet at who signed it.
    pub head: TreeHead,
}

/// Why a checkpoint is not cosigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// 400: the old size is more than the checkpoint's.
    Backwards,
    /// 409: this size was cosigned last.
    Stale(u64),
    /// 409: another tree of this size was cosigned.
    Forked(u64),
    /// 422: the proof does not show that the tree extends what was cosigned.
    Unproven,
}

impl Submission {
    /// The body of a request: `proof` leads from the tree of `old_size` to that of `note`.
    pub fn body(old_size: u64, proof: &[Hash], note: &str) -> String {
        let lines: String = proof.iter().map(|hash| BASE64.encode(hash) + "\n").collect();
        format!("old {old_size}\n{lines}\n{note}")
    }

    /// Reads the body of a request. `None` for anything else.
    pub fn parse(body: &[u8]) -> Option<Self> {
        if body.len() > REQUEST_BYTES_MAX {
            return None;
        }
        let text = std::str::from_utf8(body).ok()?;
        let (above, note) = text.split_once("\n\n")?;
        let mut lines = above.split('\n');
        let digits = lines.next()?.strip_prefix("old ")?;
        let old_size: u64 = digits.parse().ok().filter(|size: &u64| size.to_string() == digits)?;
        let hash = |line: &str| base64::decode(line).ok()?.try_into().ok();
        let proof: Vec<Hash> = lines.map(hash).collect::<Option<_>>()?;
        let head = TreeHead::unverified(note.as_bytes()).ok()?;
        (proof.len() <= PROOF_MAX).then(|| Self { old_size, proof, note: note.as_bytes().to_vec(), head })
    }

    /// Whether the checkpoint, which its log has signed, extends what was cosigned last: (0, root of nothing) if nothing was.
    ///
    /// # Errors
    /// It does not, or is not shown to.
    pub fn judge(&self, (size, root): (u64, Hash)) -> Result<(), Rejection> {
        if self.old_size > self.head.size {
            Err(Rejection::Backwards)
        } else if self.old_size != size {
            Err(Rejection::Stale(size))
        } else if size == self.head.size && size > 0 && root != self.head.root {
            Err(Rejection::Forked(size))
        } else if verify_consistency(size, &root, self.head.size, &self.head.root, &self.proof) {
            Ok(())
        } else {
            Err(Rejection::Unproven)
        }
    }
}

/// What was cosigned of a log that nothing was cosigned of.
pub fn nothing() -> (u64, Hash) {
    (0, empty_root())
}

#[cfg(test)]
mod tests {
    use super::super::merkle::{leaf_hash, root};
    use super::super::proof::consistency;
    use super::*;
    use crate::crypto::{SigningAlgorithm, SigningKey};

    fn leaves(size: u8) -> Vec<Hash> {
        (0..size).map(|at| leaf_hash(&[at])).collect()
    }

    fn submission(old_size: u8, size: u8) -> Submission {
        let head = TreeHead { origin: "o".to_owned(), size: size.into(), root: root(&leaves(size)) };
        let note = head.sign(&SigningKey::generate(SigningAlgorithm::EdDsa).unwrap()).unwrap();
        let proof = consistency(old_size.into(), &leaves(size)).unwrap_or_default();
        Submission::parse(Submission::body(old_size.into(), &proof, &note).as_bytes()).unwrap()
    }

    #[test]
    fn only_what_extends_is_cosigned() {
        let at = |size: u8| (u64::from(size), root(&leaves(size)));
        for (old, size) in [(0, 1), (0, 20), (1, 20), (7, 20), (19, 20), (20, 20)] {
            assert_eq!(submission(old, size).judge(at(old)), Ok(()), "{old} to {size}");
        }
        assert_eq!(submission(0, 0).judge(nothing()), Ok(()));
        assert_eq!(submission(9, 8).judge(at(9)), Err(Rejection::Backwards));
        assert_eq!(submission(7, 20).judge(at(8)), Err(Rejection::Stale(8)));
        assert_eq!(submission(0, 20).judge(at(8)), Err(Rejection::Stale(8)));
        assert_eq!(submission(20, 20).judge((20, [1; 32])), Err(Rejection::Forked(20)));
        assert_eq!(submission(7, 20).judge((7, [1; 32])), Err(Rejection::Unproven));
        let mut longer = submission(7, 20);
        longer.proof.push([0; 32]);
        assert_eq!(longer.judge(at(7)), Err(Rejection::Unproven));
        let mut proved = submission(0, 20);
        proved.proof.push([0; 32]);
        assert_eq!(proved.judge(nothing()), Err(Rejection::Unproven), "from nothing on there is nothing to prove");
        let empty = Submission { head: TreeHead { root: [1; 32], ..submission(0, 0).head }, ..submission(0, 0) };
        assert_eq!(empty.judge(nothing()), Err(Rejection::Unproven));
    }

    #[test]
    fn other_forms_are_refused() {
        let note = TreeHead { origin: "o".to_owned(), size: 1, root: [0; 32] };
        let note = note.sign(&SigningKey::generate(SigningAlgorithm::EdDsa).unwrap()).unwrap();
        let hash = BASE64.encode(&[1; 32]);
        assert!(Submission::parse(format!("old 0\n\n{note}").as_bytes()).is_some());
        for above in [
            "old 00\n",
            "old -1\n",
            "old\n",
            "new 0\n",
            "old 0 \n",
            "old 0\r\n",
            "old 18446744073709551616\n",
            "",
            "old 0\nabcd\n",
        ] {
            assert!(Submission::parse(format!("{above}\n{note}").as_bytes()).is_none(), "{above:?}");
        }
        let proof = |count: usize| format!("old 0\n{}\n{note}", format!("{hash}\n").repeat(count));
        assert!(Submission::parse(proof(PROOF_MAX).as_bytes()).is_some());
        assert!(Submission::parse(proof(PROOF_MAX + 1).as_bytes()).is_none());
        assert!(Submission::parse(format!("old 0\n\n{}", note.trim_end()).as_bytes()).is_none());
    }
}
