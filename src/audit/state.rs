//! Holds stored records against what the log says of them.
//!
//! The log is read up to where the records were read, then these are compared: so it does not matter what is written
//! meanwhile. Takes some 150 bytes of memory for each record that the log ever named.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::changed::{self, GONE, StateHash};
use crate::record::RecordKey;

/// What the log says of all records, up to some row.
#[derive(Default)]
pub struct Ledger {
    records: BTreeMap<RecordKey, Entry>,
}

/// The newest row that names a record.
#[derive(Clone, Copy)]
struct Entry {
    seq: u64,
    /// What the record is since then; `None` when the row, of an older server, does not say.
    state: Option<StateHash>,
}

/// A record as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its key.
    pub key: RecordKey,
    /// The row of the log that it says it was written with.
    pub seq: u64,
    /// The hash of what is stored.
    pub state: StateHash,
}

/// In what a record and the log differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// It is in a state before the one that the log tells.
    RolledBack,
    /// It says that it was written with that row, and is not what the row tells.
    Other,
    /// It is not there.
    Missing,
    /// It was removed, and is there.
    Returned,
    /// No row tells of it.
    Added,
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which record.
    pub key: RecordKey,
    /// What is wrong.
    pub difference: Difference,
    /// The newest row of the log that names it.
    pub logged: Option<u64>,
    /// The row that it says it was written with.
    pub stored: Option<u64>,
}

impl Ledger {
    /// Takes what the next row says: its number, and its column `changed`.
    pub fn take(&mut self, seq: u64, column: &[u8]) {
        if let Some(records) = changed::records(column) {
            self.records.extend(records.map(|(key, state)| (key, Entry { seq, state: Some(state) })));
        } else {
            // Directories are among them: nothing is stored at their keys, and nothing is said of them.
            let keys = changed::keys(column).iter();
            self.records.extend(keys.map(|key| (RecordKey(*key), Entry { seq, state: None })));
        }
    }

    /// How many records the log names.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether it names none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Compares the stored records with keys behind `after` and up to the last one of `page`; up to the end when it is the
    /// `last` page. `page` is sorted by key.
    pub fn compare(&self, after: Option<RecordKey>, page: &[Stored], last: bool) -> Vec<Finding> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let to = page.last().filter(|_| !last).map_or(Bound::Unbounded, |stored| Bound::Included(stored.key));
        let mut findings = Vec::new();
        let mut told = self.records.range((from, to)).peekable();
        for stored in page {
            while let Some((key, entry)) = told.next_if(|(key, _)| **key < stored.key) {
                findings.extend(entry.absent(*key));
            }
            match told.next_if(|(key, _)| **key == stored.key) {
                Some((_, entry)) => findings.extend(entry.judge(stored)),
                None => findings.push(Finding {
                    key: stored.key,
                    difference: Difference::Added,
                    logged: None,
                    stored: Some(stored.seq),
                }),
            }
        }
        findings.extend(told.filter_map(|(key, entry)| entry.absent(*key)));
        findings
    }
}

impl Entry {
    fn absent(&self, key: RecordKey) -> Option<Finding> {
        let there = self.state.is_some_and(|state| state != GONE);
        there.then_some(Finding { key, difference: Difference::Missing, logged: Some(self.seq), stored: None })
    }

    fn judge(&self, stored: &Stored) -> Option<Finding> {
        let difference = match self.state {
            Some(GONE) => Difference::Returned,
            _ if stored.seq < self.seq => Difference::RolledBack,
            _ if stored.seq > self.seq => Difference::Other,
            Some(state) if state != stored.state => Difference::Other,
            _ => return None,
        };
        Some(Finding { key: stored.key, difference, logged: Some(self.seq), stored: Some(stored.seq) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> RecordKey {
        RecordKey([byte; 32])
    }

    fn stored(byte: u8, seq: u64, state: u8) -> Stored {
        Stored { key: key(byte), seq, state: [state; 32] }
    }

    fn differences(ledger: &Ledger, after: Option<u8>, page: &[Stored], last: bool) -> Vec<(u8, Difference)> {
        let found = ledger.compare(after.map(key), page, last);
        found.into_iter().map(|finding| (finding.key.0[0], finding.difference)).collect()
    }

    /// Rows 1 to 3: records 1 to 4 are written, 2 is written again, 3 is removed.
    fn ledger() -> Ledger {
        let mut ledger = Ledger::default();
        ledger.take(1, &changed::encode(&[1, 2, 3, 4].map(|at| (key(at), [10 + at; 32])), &[]));
        ledger.take(2, &changed::encode(&[(key(2), [22; 32])], &[]));
        ledger.take(3, &changed::encode(&[(key(3), GONE)], &[]));
        ledger
    }

    #[test]
    fn what_is_stored_as_the_log_says_is_no_finding() {
        let whole = [stored(1, 1, 11), stored(2, 2, 22), stored(4, 1, 14)];
        assert_eq!(differences(&ledger(), None, &whole, true), []);
        // In pages, too.
        assert_eq!(differences(&ledger(), None, &whole[..1], false), []);
        assert_eq!(differences(&ledger(), Some(1), &whole[1..], false), []);
        assert_eq!(differences(&ledger(), Some(4), &[], true), []);
    }

    #[test]
    fn every_difference_is_found_and_only_that() {
        use Difference::{Added, Missing, Other, Returned, RolledBack};
        let [one, two, four] = [stored(1, 1, 11), stored(2, 2, 22), stored(4, 1, 14)];
        for (page, expected) in [
            (vec![one, stored(2, 1, 12), four], (2, RolledBack)),
            // With its number brought up to the log's.
            (vec![one, stored(2, 2, 12), four], (2, Other)),
            (vec![one, stored(2, 9, 22), four], (2, Other)),
            (vec![one, two], (4, Missing)),
            (vec![two, four], (1, Missing)),
            (vec![one, two, stored(3, 1, 13), four], (3, Returned)),
            (vec![one, two, four, stored(5, 3, 1)], (5, Added)),
        ] {
            assert_eq!(differences(&ledger(), None, &page, true), [expected]);
        }
        let both = [stored(1, 1, 14), two, stored(4, 1, 11)];
        assert_eq!(differences(&ledger(), None, &both, true), [(1, Other), (4, Other)]);
        assert_eq!(differences(&ledger(), None, &[], true), [(1, Missing), (2, Missing), (4, Missing)]);
        assert_eq!(differences(&ledger(), Some(2), &[], true), [(4, Missing)]);
    }

    #[test]
    fn rows_that_tell_keys_only_are_held_against_numbers_only() {
        let mut ledger = Ledger::default();
        ledger.take(1, &[[1; 32], [2; 32]].concat());
        ledger.take(2, &[1; 32]);
        assert_eq!(differences(&ledger, None, &[stored(1, 2, 0)], true), []);
        assert_eq!(differences(&ledger, None, &[stored(1, 1, 0)], true), [(1, Difference::RolledBack)]);
        assert_eq!(differences(&ledger, None, &[], true), []);
    }
}
