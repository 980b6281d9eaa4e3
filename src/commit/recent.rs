//! What changed in a tenant lately: enough to tell whether a read is still current.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

/// How many changes are remembered. A read that is older than all of them counts as stale.
const CHANGES_MAX: usize = 16_384;

/// A hash table keyed by keyed hashes: they are uniform and unpredictable already, so they are their own hash.
pub(super) type ByHash<K, V> = HashMap<K, V, BuildHasherDefault<FirstBytes>>;

/// Takes the first eight bytes of a keyed hash as the hash.
#[derive(Default)]
pub(super) struct FirstBytes(u64);

impl Hasher for FirstBytes {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 = u64::from_ne_bytes(*first);
        }
    }

    fn write_usize(&mut self, _length: usize) {}
}

/// Which keys and directories changed at which position, newest last.
pub(super) struct Recent {
    /// Every change after this position is known.
    floor: u64,
    /// The newest position at which anything changed.
    newest: u64,
    latest: ByHash<[u8; 32], u64>,
    order: VecDeque<(u64, [u8; 32])>,
}

impl Recent {
    /// Nothing is known of what happened up to `position`.
    pub(super) fn from(position: u64) -> Self {
        Self { floor: position, newest: position, latest: ByHash::default(), order: VecDeque::new() }
    }

    /// Notes that `key` (a record's or a directory's) changed at `position`.
    pub(super) fn note(&mut self, position: u64, key: [u8; 32]) {
        self.newest = self.newest.max(position);
        self.latest.insert(key, position);
        self.order.push_back((position, key));
        while self.order.len() > CHANGES_MAX {
            let Some((old, key)) = self.order.pop_front() else { break };
            self.floor = self.floor.max(old);
            if self.latest.get(&key) == Some(&old) {
                self.latest.remove(&key);
            }
        }
    }

    /// The newest position at which anything changed.
    pub(super) fn newest(&self) -> u64 {
        self.newest
    }

    /// Whether `key` may have changed after `position`.
    pub(super) fn changed_after(&self, key: &[u8; 32], position: u64) -> bool {
        if position >= self.newest {
            return false;
        }
        position < self.floor || self.latest.get(key).is_some_and(|latest| *latest > position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u32) -> [u8; 32] {
        let mut key = [7; 32];
        key[..4].copy_from_slice(&n.to_be_bytes());
        key
    }

    #[test]
    fn a_read_is_stale_after_a_change_of_its_key_only() {
        let mut recent = Recent::from(10);
        recent.note(12, key(1));
        assert!(recent.changed_after(&key(1), 11));
        assert!(!recent.changed_after(&key(1), 12));
        assert!(!recent.changed_after(&key(2), 11));
    }

    #[test]
    fn what_is_older_than_memory_counts_as_stale() {
        let mut recent = Recent::from(10);
        recent.note(11, key(1));
        assert!(recent.changed_after(&key(2), 9));
        for n in 0..=u32::try_from(CHANGES_MAX).unwrap() {
            recent.note(12 + u64::from(n), key(100 + n));
        }
        assert!(recent.changed_after(&key(2), 10));
        assert!(!recent.changed_after(&key(2), 1_000_000));
    }
}
