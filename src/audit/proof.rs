//! Proofs that an auditor checks without the log: an event is in the tree, and a later tree extends an earlier one.
//!
//! Made as RFC 6962 sections 2.1.1 and 2.1.2 say, checked with the algorithms of RFC 9162 sections 2.1.3.2 and 2.1.4.2.

use super::merkle::{Hash, empty_root, node_hash, root, split};

/// The path from leaf `index` to the root of `leaves`, lowest first. `None` when there is no such leaf.
pub fn inclusion(index: usize, leaves: &[Hash]) -> Option<Vec<Hash>> {
    if index >= leaves.len() {
        return None;
    }
    let mut path = Vec::new();
    collect_inclusion(index, leaves, &mut path);
    Some(path)
}

fn collect_inclusion(index: usize, leaves: &[Hash], path: &mut Vec<Hash>) {
    if leaves.len() < 2 {
        return;
    }
    let (left, right) = split(leaves);
    match index.checked_sub(left.len()) {
        None => {
            collect_inclusion(index, left, path);
            path.push(root(right));
        }
        Some(index) => {
            collect_inclusion(index, right, path);
            path.push(root(left));
        }
    }
}

/// The proof that the tree of `leaves` extends the tree of its first `old_size` leaves. Empty when `old_size` is zero
/// or all of them; `None` when it is more.
pub fn consistency(old_size: usize, leaves: &[Hash]) -> Option<Vec<Hash>> {
    if old_size > leaves.len() {
        return None;
    }
    let mut path = Vec::new();
    if old_size > 0 {
        collect_consistency(old_size, leaves, true, &mut path);
    }
    Some(path)
}

/// `SUBPROOF` of RFC 6962 section 2.1.2; `whole` while `leaves` starts with the old tree as a complete one, whose root
/// the verifier has.
fn collect_consistency(old_size: usize, leaves: &[Hash], whole: bool, path: &mut Vec<Hash>) {
    if old_size == leaves.len() {
        if !whole {
            path.push(root(leaves));
        }
        return;
    }
    let (left, right) = split(leaves);
    match old_size.checked_sub(left.len()) {
        None | Some(0) => {
            collect_consistency(old_size, left, whole, path);
            path.push(root(right));
        }
        Some(old_size) => {
            collect_consistency(old_size, right, false, path);
            path.push(root(left));
        }
    }
}

/// Whether `leaf` is leaf `index` of the tree with `size` leaves and root `expected`.
pub fn verify_inclusion(leaf: Hash, index: u64, size: u64, path: &[Hash], expected: &Hash) -> bool {
    if index >= size {
        return false;
    }
    let mut walk = Walk { node: index, last: size - 1 };
    let mut hash = leaf;
    for sibling in path {
        match walk.up() {
            Some(Side::Left) => hash = node_hash(sibling, &hash),
            Some(Side::Right) => hash = node_hash(&hash, sibling),
            None => return false,
        }
    }
    walk.last == 0 && hash == *expected
}

/// The stretches of leaves (from, up to before) whose roots are the path from leaf `index` to the root of `size` leaves,
/// lowest first: `inclusion` for a tree that is not in memory. `None` when there is no such leaf.
pub fn inclusion_stretches(index: u64, size: u64) -> Option<Vec<(u64, u64)>> {
    if index >= size {
        return None;
    }
    let (mut low, mut high) = (0, size);
    let mut path = Vec::new();
    while high - low > 1 {
        let middle = low + half(high - low);
        if index < middle {
            path.push((middle, high));
            high = middle;
        } else {
            path.push((low, middle));
            low = middle;
        }
    }
    path.reverse();
    Some(path)
}

/// The same for `consistency` between the trees of `old_size` and `size` leaves.
pub fn consistency_stretches(old_size: u64, size: u64) -> Option<Vec<(u64, u64)>> {
    if old_size > size {
        return None;
    }
    let (mut low, mut high, mut whole) = (0, size, true);
    let mut path = Vec::new();
    while old_size > 0 && old_size < high {
        let middle = low + half(high - low);
        if old_size <= middle {
            path.push((middle, high));
            high = middle;
        } else {
            path.push((low, middle));
            (low, whole) = (middle, false);
        }
    }
    if old_size > 0 && !whole {
        path.push((low, high));
    }
    path.reverse();
    Some(path)
}

/// The largest power of two below a number of leaves, of which there are at least two.
fn half(leaves: u64) -> u64 {
    1 << (leaves - 1).ilog2()
}

/// Whether the tree of `new_size` leaves and root `new_root` extends the tree of `old_size` leaves and root `old_root`.
pub fn verify_consistency(old_size: u64, old_root: &Hash, new_size: u64, new_root: &Hash, path: &[Hash]) -> bool {
    if old_size > new_size {
        return false;
    }
    if old_size == new_size {
        return path.is_empty() && old_root == new_root;
    }
    if old_size == 0 {
        return path.is_empty() && *old_root == empty_root();
    }
    // The old tree is perfect: its root is a node of the new one, and so not repeated in the proof.
    let (first, rest) = match (old_size.is_power_of_two(), path.split_first()) {
        (_, None) => return false,
        (true, Some(_)) => (old_root, path),
        (false, Some((first, rest))) => (first, rest),
    };
    let shift = (old_size - 1).trailing_ones();
    let mut walk =
        Walk { node: (old_size - 1).checked_shr(shift).unwrap_or(0), last: (new_size - 1).checked_shr(shift).unwrap_or(0) };
    let (mut old, mut new) = (*first, *first);
    for sibling in rest {
        match walk.up() {
            Some(Side::Left) => {
                old = node_hash(sibling, &old);
                new = node_hash(sibling, &new);
            }
            Some(Side::Right) => new = node_hash(&new, sibling),
            None => return false,
        }
    }
    walk.last == 0 && old == *old_root && new == *new_root
}

/// A walk from a node to the root: `fn` and `sn` of RFC 9162.
struct Walk {
    node: u64,
    last: u64,
}

/// On which side of the walk's node its next sibling is.
enum Side {
    Left,
    Right,
}

impl Walk {
    /// One sibling up; `None` when the walk is at the root already.
    fn up(&mut self) -> Option<Side> {
        if self.last == 0 {
            return None;
        }
        let mut levels = 1;
        let side = if self.node & 1 == 1 {
            Side::Left
        } else if self.node == self.last {
            // The right edge of a tree that is not perfect: levels without a sibling are skipped.
            levels += if self.node == 0 { self.last.ilog2() } else { self.node.trailing_zeros() };
            Side::Left
        } else {
            Side::Right
        };
        self.node = self.node.checked_shr(levels).unwrap_or(0);
        self.last = self.last.checked_shr(levels).unwrap_or(0);
        Some(side)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::audit::merkle::leaf_hash;

    fn leaves(count: u32) -> Vec<Hash> {
        (0..count).map(|at| leaf_hash(&at.to_be_bytes())).collect()
    }

    #[test]
    fn every_leaf_of_every_small_tree_is_proved_and_only_in_its_place() {
        for size in 1..=33_usize {
            let leaves = leaves(33);
            let tree = &leaves[..size];
            let expected = root(tree);
            for index in 0..size {
                let path = inclusion(index, tree).unwrap();
                for (at, claimed) in (0..size as u64 + 2).zip(leaves.iter().chain([&[0; 32]])) {
                    let right = at == index as u64;
                    assert_eq!(
                        verify_inclusion(tree[index], at, size as u64, &path, &expected),
                        right,
                        "{index} at {at} of {size}"
                    );
                    assert_eq!(verify_inclusion(*claimed, index as u64, size as u64, &path, &expected), right);
                }
                assert!(!verify_inclusion(tree[index], index as u64, size as u64, &[&path[..], &[[0; 32]]].concat(), &expected));
            }
            assert_eq!(inclusion(size, tree), None);
        }
    }

    #[test]
    fn every_small_tree_extends_all_before_it() {
        let leaves = leaves(33);
        for new in 0..=33 {
            let new_root = root(&leaves[..new]);
            for old in 0..=new {
                let path = consistency(old, &leaves[..new]).unwrap();
                let old_root = root(&leaves[..old]);
                let check = |root: &Hash, path: &[Hash]| verify_consistency(old as u64, root, new as u64, &new_root, path);
                assert!(check(&old_root, &path), "{old} to {new}");
                assert!(!check(&[1; 32], &path), "another old root, {old} to {new}");
                assert!(!check(&old_root, &[&path[..], &[[0; 32]]].concat()), "a longer proof, {old} to {new}");
                if let Some((_, shorter)) = path.split_last() {
                    assert!(!check(&old_root, shorter), "a shorter proof, {old} to {new}");
                }
            }
            assert_eq!(consistency(new + 1, &leaves[..new]), None);
        }
    }

    #[test]
    fn stretches_have_the_roots_that_proofs_are_made_of() {
        let leaves = leaves(40);
        let roots = |stretches: Vec<(u64, u64)>| -> Vec<Hash> {
            stretches
                .into_iter()
                .map(|(low, high)| root(&leaves[usize::try_from(low).unwrap()..usize::try_from(high).unwrap()]))
                .collect()
        };
        for size in 0..=40 {
            for at in 0..=size {
                let (at_u, size_u) = (at as u64, size as u64);
                assert_eq!(inclusion_stretches(at_u, size_u).map(roots), inclusion(at, &leaves[..size]), "{at} in {size}");
                assert_eq!(consistency_stretches(at_u, size_u).map(roots), consistency(at, &leaves[..size]), "{at} to {size}");
            }
            assert_eq!(consistency_stretches(size as u64 + 1, size as u64), None);
        }
    }

    #[test]
    fn a_rewritten_history_has_no_proof() {
        let honest = leaves(20);
        let mut edited = honest.clone();
        edited[3] = [7; 32];
        for old in 4..20 {
            let path = consistency(old, &edited).unwrap();
            assert!(!verify_consistency(old as u64, &root(&honest[..old]), 20, &root(&edited), &path), "{old}");
        }
    }

    proptest! {
        /// A proof has a hash for each level of the tree, at most; that of consistency one more.
        #[test]
        fn proofs_are_as_short_as_trees_are_high(size in prop_oneof![1..2_000_u64, 1..=u64::MAX >> 1], at in any::<u64>()) {
            let height = usize::try_from(size.next_power_of_two().ilog2()).unwrap();
            let path = inclusion_stretches(at % size, size).unwrap();
            prop_assert!(path.len() <= height, "{} of {}: {}", at % size, size, path.len());
            let path = consistency_stretches(at % (size + 1), size).unwrap();
            prop_assert!(path.len() <= height + 1, "{} to {}: {}", at % (size + 1), size, path.len());
        }

        #[test]
        fn checking_never_panics_and_refuses_what_is_random(
            sizes in any::<(u64, u64)>(),
            small in (0..40_u64, 0..40_u64),
            path in proptest::collection::vec(any::<Hash>(), 0..70),
            hashes in any::<(Hash, Hash)>(),
        ) {
            for (a, b) in [sizes, small] {
                prop_assert!(!verify_inclusion(hashes.0, a, b, &path, &hashes.1));
                prop_assert!(!verify_consistency(a, &hashes.0, b, &hashes.1, &path));
            }
        }
    }
}
