//! What proofs of logs are made from besides their rows: signed trees, cosignatures, kept hashes, runs in the archive.

use crate::time::Timestamp;

/// A tree of a tenant's log that was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Number of events.
    pub size: u64,
    /// Root of the tree.
    pub root: [u8; 32],
    /// The signed note, a text.
    pub note: Vec<u8>,
}

/// A tree of the deployment's log that was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeploymentTree {
    /// Number of heads.
    pub size: u64,
    /// The right edge of the tree.
    pub frontier: Vec<u8>,
    /// The signed note, a text.
    pub note: Vec<u8>,
}

/// What a witness has cosigned of the deployment's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cosignature {
    /// Size of the tree.
    pub size: u64,
    /// The witness's public key.
    pub witness: String,
    /// The signature, a line of a note.
    pub line: String,
}

/// Leaf hashes that were kept of an erased tenant's log: some of its rows, one behind the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptLeaves {
    /// Index of the first.
    pub first_index: u64,
    /// 32 bytes each.
    pub leaves: Vec<u8>,
    /// The right edge of the Merkle tree behind the last.
    pub frontier: Vec<u8>,
}

impl KeptLeaves {
    /// Events up to the last of them.
    pub fn end(&self) -> u64 {
        self.first_index.saturating_add(self.leaves.as_chunks::<32>().0.len() as u64)
    }
}

/// A run of rows of a log that is in the archive, and was verified there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Archived {
    /// Which epoch of the log it is of.
    pub epoch: u32,
    /// Index of its first event.
    pub first_index: u64,
    /// One more than that of its last.
    pub size: u64,
    /// Its rows.
    pub first_seq: u64,
    /// As above.
    pub last_seq: u64,
    /// When its last row was logged.
    pub time: Timestamp,
    /// Its length.
    pub bytes: u64,
    /// The SHA-256 of the object.
    pub digest: [u8; 32],
}
