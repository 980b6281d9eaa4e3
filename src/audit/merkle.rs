//! The tree of a tenant's log: RFC 6962 section 2.1, with SHA-256.
//!
//! A leaf is `SHA-256(0x00 ‖ entry)`, a node `SHA-256(0x01 ‖ left ‖ right)`, the empty tree `SHA-256("")`. The first
//! byte keeps a leaf from being passed off as a node.

use crate::crypto::sha256;

/// A leaf, a node or a root.
pub type Hash = [u8; 32];

/// Hash of one entry.
pub fn leaf_hash(entry: &[u8]) -> Hash {
    sha256(&[&[0], entry])
}

/// Hash of two subtrees, the left of which is perfect.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    sha256(&[&[1], left, right])
}

/// Root of the tree without leaves.
pub fn empty_root() -> Hash {
    sha256(&[])
}

/// Root of a whole tree, from its leaf hashes.
pub fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => empty_root(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = split(leaves);
            node_hash(&root(left), &root(right))
        }
    }
}

/// Splits at the largest power of two below the number of leaves, of which there are at least two.
pub(super) fn split(leaves: &[Hash]) -> (&[Hash], &[Hash]) {
    let half = leaves.len().next_power_of_two() / 2;
    leaves.split_at_checked(half).unwrap_or((leaves, &[]))
}

/// What is needed to append to a tree: its size and the roots of the perfect subtrees on its right edge, at most 64.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Frontier {
    size: u64,
    /// One for each bit that is set in `size`, the largest subtree first.
    edge: Vec<Hash>,
}

/// The bytes are not those of a frontier.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a stored tree frontier of {0} bytes does not have the form of one")]
pub struct FrontierError(usize);

impl Frontier {
    /// Of the tree without leaves.
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf, in amortised constant time. A tree that holds 2^64 - 1 leaves takes no more.
    pub fn push(&mut self, leaf: Hash) {
        let Some(size) = self.size.checked_add(1) else {
            debug_assert!(false, "a tree of 2^64 - 1 leaves");
            return;
        };
        let mut hash = leaf;
        // Each bit that is carried on counting up is a pair of subtrees that became one.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.edge.pop() {
                hash = node_hash(&left, &hash);
            }
        }
        self.edge.push(hash);
        self.size = size;
    }

    /// Root of the tree.
    pub fn root(&self) -> Hash {
        let joined = self.edge.iter().rev().copied().reduce(|right, left| node_hash(&left, &right));
        joined.unwrap_or_else(empty_root)
    }

    /// The edge of the subtree that begins at leaf `start`, if some subtree of this edge does.
    pub fn from_leaf(&self, start: u64) -> Option<Self> {
        let (mut at, mut skipped) = (0, 0);
        // Subtrees of the edge stand from left to right, one for each bit, the highest first.
        for bit in (0..64).rev().filter(|bit| self.size & (1 << bit) != 0) {
            if at >= start {
                break;
            }
            at += 1 << bit;
            skipped += 1;
        }
        let edge = self.edge.get(skipped..)?.to_vec();
        (at == start).then(|| Self { size: self.size - start, edge })
    }

    /// Size (8 bytes, big-endian), then the subtree roots, the largest first (32 bytes each).
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(8 + 32 * self.edge.len());
        bytes.extend_from_slice(&self.size.to_be_bytes());
        bytes.extend(self.edge.iter().flatten());
        bytes
    }

    /// Reads `to_bytes`. Anything longer or shorter than the size asks for is refused.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FrontierError> {
        let wrong = FrontierError(bytes.len());
        let Some((size, rest)) = bytes.split_first_chunk() else { return Err(wrong) };
        let size = u64::from_be_bytes(*size);
        let (edge, rest) = rest.as_chunks::<32>();
        if !rest.is_empty() || edge.len() as u64 != u64::from(size.count_ones()) {
            return Err(wrong);
        }
        Ok(Self { size, edge: edge.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;
    use proptest::prelude::*;

    use super::*;

    /// The eight entries and roots that Certificate Transparency's own tests use.
    const ENTRIES: [&str; 8] =
        ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
    const ROOTS: [&str; 9] = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    #[test]
    fn roots_are_those_of_certificate_transparency() {
        let mut frontier = Frontier::new();
        assert_eq!(HEXLOWER.encode(&frontier.root()), ROOTS[0]);
        for (entry, expected) in ENTRIES.iter().zip(&ROOTS[1..]) {
            frontier.push(leaf_hash(&HEXLOWER.decode(entry.as_bytes()).unwrap()));
            assert_eq!(HEXLOWER.encode(&frontier.root()), *expected, "size {}", frontier.size());
        }
    }

    #[test]
    fn a_frontier_has_the_root_of_the_whole_tree_at_every_size() {
        let leaves: Vec<Hash> = (0..200_u32).map(|at| leaf_hash(&at.to_be_bytes())).collect();
        let mut frontier = Frontier::new();
        for (size, leaf) in leaves.iter().enumerate() {
            assert_eq!(frontier.root(), root(&leaves[..size]), "size {size}");
            frontier.push(*leaf);
            let stored = Frontier::from_bytes(&frontier.to_bytes()).unwrap();
            assert_eq!(stored, frontier);
        }
        assert_eq!(frontier.root(), root(&leaves));
    }

    #[test]
    fn malformed_frontiers_are_refused() {
        let bytes = |size: u64, hashes: usize, extra: usize| [&size.to_be_bytes()[..], &vec![9; hashes * 32 + extra]].concat();
        for (what, bad) in [
            ("nothing", Vec::new()),
            ("half a size", vec![0; 7]),
            ("a hash too few", bytes(3, 1, 0)),
            ("a hash too many", bytes(3, 3, 0)),
            ("a hash of an empty tree", bytes(0, 1, 0)),
            ("half a hash", bytes(3, 1, 16)),
            ("a byte too many", bytes(3, 2, 1)),
            ("no hash at all", bytes(u64::MAX, 0, 0)),
        ] {
            assert_eq!(Frontier::from_bytes(&bad), Err(FrontierError(bad.len())), "{what}");
        }
        assert_eq!(Frontier::from_bytes(&bytes(3, 2, 0)).unwrap().size(), 3);
        assert_eq!(Frontier::from_bytes(&bytes(u64::MAX, 64, 0)).unwrap().size(), u64::MAX);
    }

    proptest! {
        #[test]
        fn reading_never_panics_and_keeps_every_byte(bytes in proptest::collection::vec(any::<u8>(), 0..120), small in 0..4_u64) {
            for bytes in [bytes.clone(), [&small.to_be_bytes()[..], &bytes].concat()] {
                if let Ok(frontier) = Frontier::from_bytes(&bytes) {
                    prop_assert_eq!(frontier.to_bytes(), bytes);
                }
            }
        }
    }
}
