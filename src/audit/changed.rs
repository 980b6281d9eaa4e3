//! What a log row says its group changed: the form of its column `changed`, which the row's MAC covers.
//!
//! Form: entries of 32 bytes. Keys of records, in their order; keys of directories; then, if the group changed any record, a
//! mark, and behind it one entry for each of those records: the hash of what is stored of it afterwards, or zeros when it is
//! removed. Rows of older servers end before the mark. To a server that does not know of the mark, it and what follows are
//! keys that nobody has.
//!
//! The hash is SHA-256 of the row as it is stored, sealed: whoever can read the database can compute it, and it tells nothing
//! else. So the log says of each record in which state it is, and not only when it was last changed.

use crate::crypto::sha256;
use crate::record::{DirKey, RecordKey};
use crate::time::Timestamp;

/// SHA-256 of `strongroom changed records v1`, so that it is no key of anything.
fn mark() -> [u8; 32] {
    sha256(&[b"strongroom changed records v1"])
}

/// What is stored of a record, as a hash.
pub type StateHash = [u8; 32];

/// A removed record's.
pub const GONE: StateHash = [0; 32];

/// The hash of a record as it is stored: label ‖ key ‖ directory ‖ expiry (1 and nanoseconds, or 0) ‖ sealed payload. Its name
/// is left out: it is sealed once, for this key, and stays when the record is written again.
pub fn state_hash(key: &RecordKey, directory: &DirKey, expires_at: Option<Timestamp>, sealed: &[u8]) -> StateHash {
    let nanoseconds = expires_at.map(|at| at.0.to_be_bytes());
    let expiry: (&[u8], &[u8]) = nanoseconds.as_ref().map_or((&[0], &[]), |bytes| (&[1], bytes));
    sha256(&[b"strongroom record state v1", &key.0, &directory.0, expiry.0, expiry.1, sealed])
}

/// The column. `records` and `directories` are sorted.
pub fn encode(records: &[(RecordKey, StateHash)], directories: &[DirKey]) -> Vec<u8> {
    let keys = records.iter().map(|(key, _)| key.0).chain(directories.iter().map(|key| key.0));
    let states = records.iter().map(|(_, state)| *state);
    let mut column = Vec::with_capacity((2 * records.len() + directories.len() + 1) * 32);
    keys.for_each(|key| column.extend_from_slice(&key));
    if !records.is_empty() {
        column.extend_from_slice(&mark());
        states.for_each(|state| column.extend_from_slice(&state));
    }
    column
}

/// The keys of records and directories, without what is said of the records' states.
pub fn keys(column: &[u8]) -> &[[u8; 32]] {
    let (keys, _) = split(column);
    keys
}

/// The records that were changed, with their states. `None` for a row that tells keys only, records and directories alike.
pub fn records(column: &[u8]) -> Option<impl Iterator<Item = (RecordKey, StateHash)>> {
    let (keys, states) = split(column);
    let states = states.filter(|states| states.len() <= keys.len());
    // A row without any change of a record has nothing to tell of states.
    let states = if keys.is_empty() { Some(&[][..]) } else { states };
    states.map(|states| keys.iter().zip(states).map(|(key, state)| (RecordKey(*key), *state)))
}

fn split(column: &[u8]) -> (&[[u8; 32]], Option<&[[u8; 32]]>) {
    let (entries, _) = column.as_chunks::<32>();
    let mark = mark();
    match entries.iter().position(|entry| *entry == mark).and_then(|at| entries.split_at_checked(at)) {
        Some((keys, [_mark, states @ ..])) => (keys, Some(states)),
        _ => (entries, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORDS: [(RecordKey, StateHash); 2] = [(RecordKey([1; 32]), [9; 32]), (RecordKey([2; 32]), GONE)];

    #[test]
    fn records_and_their_states_are_read_back_and_directories_are_no_records() {
        let column = encode(&RECORDS, &[DirKey([3; 32])]);
        assert_eq!(keys(&column), [[1; 32], [2; 32], [3; 32]]);
        assert_eq!(records(&column).unwrap().collect::<Vec<_>>(), RECORDS);
        assert!(keys(&encode(&[], &[])).is_empty() && records(&[]).unwrap().next().is_none());
    }

    #[test]
    fn rows_of_older_servers_tell_keys_only() {
        let column = [[1; 32], [3; 32]].concat();
        assert_eq!(keys(&column), [[1; 32], [3; 32]]);
        assert!(records(&column).is_none());
        // More states than keys: nothing that a server writes.
        assert!(records(&[[1; 32], mark(), [0; 32], [0; 32]].concat()).is_none());
    }

    #[test]
    fn every_column_counts() {
        let hash = |key, directory, expiry: Option<i64>, sealed: &[u8]| {
            state_hash(&RecordKey([key; 32]), &DirKey([directory; 32]), expiry.map(Timestamp), sealed)
        };
        let one = hash(1, 2, Some(3), b"sealed");
        assert_eq!(one, hash(1, 2, Some(3), b"sealed"));
        for other in [
            hash(2, 2, Some(3), b"sealed"),
            hash(1, 3, Some(3), b"sealed"),
            hash(1, 2, Some(4), b"sealed"),
            hash(1, 2, None, b"sealed"),
            hash(1, 2, None, &[&3_i64.to_be_bytes()[..], b"sealed"].concat()),
            hash(1, 2, Some(3), b"sealee"),
        ] {
            assert_ne!(one, other);
        }
    }
}
