//! The form of C2SP's tlog-proof: that an entry is in a tree that was signed.
//!
//!     c2sp.org/tlog-proof@v1 ⏎ extra base64(EXTRA) ⏎ index INDEX ⏎ base64(hash) ⏎ .. ⏎ ⏎ checkpoint

use std::fmt;

use data_encoding::BASE64;

use super::merkle::Hash;
use super::note::NOTE_BYTES_MAX;
use crate::base64;

const FORM: &str = "c2sp.org/tlog-proof@v1";
/// Most hashes between a leaf and the root.
const PATH_MAX: usize = 63;
/// Longest file that is read: a checkpoint, a path, and what else it says.
pub const PROOF_BYTES_MAX: usize = NOTE_BYTES_MAX + 8_192;

/// What a file has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TlogProof {
    /// What else it says.
    pub(super) extra: String,
    /// The entry's place.
    pub(super) index: u64,
    /// Hashes from it to the root, lowest first.
    pub(super) path: Vec<Hash>,
    /// The signed tree.
    pub(super) checkpoint: String,
}

impl TlogProof {
    /// Reads `to_string`. Anything else is `None`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.len() > PROOF_BYTES_MAX {
            return None;
        }
        let (head, checkpoint) = text.split_once("\n\n")?;
        let mut lines = head.split('\n');
        if lines.next() != Some(FORM) {
            return None;
        }
        let extra = base64::decode(lines.next()?.strip_prefix("extra ")?).ok()?;
        let digits = lines.next()?.strip_prefix("index ")?;
        let index = digits.parse().ok().filter(|index: &u64| index.to_string() == digits)?;
        let hash = |line: &str| base64::decode(line).ok()?.try_into().ok();
        let path: Vec<Hash> = lines.map(hash).collect::<Option<_>>()?;
        let extra = String::from_utf8(extra).ok()?;
        (path.len() <= PATH_MAX).then(|| Self { extra, index, path, checkpoint: checkpoint.to_owned() })
    }
}

impl fmt::Display for TlogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{FORM}\nextra {}\nindex {}\n", BASE64.encode(self.extra.as_bytes()), self.index)?;
        self.path.iter().try_for_each(|hash| writeln!(f, "{}", BASE64.encode(hash)))?;
        write!(f, "\n{}", self.checkpoint)
    }
}
