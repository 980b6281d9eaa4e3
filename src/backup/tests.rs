use proptest::prelude::*;

use super::*;
use crate::audit::changed;
use crate::audit::merkle::{Frontier, leaf_hash};
use crate::id::TenantId;
use crate::record::{DirKey, RecordKey};
use crate::storage::{Archived, Checkpoint, LogRow, RecordRow, Tail, TenantKeys, TenantState, Wrap};
use crate::time::Timestamp;

fn keys(generation: u32) -> TenantKeys {
    let wrap = |seal: &str| Wrap { seal: seal.to_owned(), wrap: vec![7; 40] };
    TenantKeys { generation, wraps: vec![wrap("eu"), wrap("us")], keyring: vec![8; 90] }
}

/// Rows of a log whose events are these, a row for each number.
fn log(counts: &[u32]) -> Vec<LogRow> {
    let (mut tree, mut rows) = (Frontier::new(), Vec::new());
    for (at, count) in counts.iter().enumerate() {
        let (prev_root, first_index) = (tree.root(), tree.size());
        let leaves: Vec<[u8; 32]> =
            (0..*count).map(|event| leaf_hash(&[u8::try_from(at).unwrap(), event.to_be_bytes()[3]])).collect();
        for leaf in &leaves {
            tree.push(*leaf);
        }
        let tail = Tail {
            seq: at as u64 + 1,
            first_index,
            count: *count,
            time: Timestamp(5),
            prev_root,
            root: tree.root(),
            frontier: tree.to_bytes(),
            changed: changed::encode(&[(RecordKey([1; 32]), [2; 32])], &[]),
            group: [3; 16],
            mac: [4; 32],
        };
        rows.push(LogRow { tail, batch: vec![1], leaves: leaves.concat(), summary: Vec::new() });
    }
    rows
}

fn entries() -> Vec<Entry> {
    let record = |expires_at, name: &[u8]| {
        let (key, directory) = (RecordKey([5; 32]), DirKey([6; 32]));
        Entry::Record(RecordRow { key, directory, seq: 3, expires_at, name: name.to_vec(), sealed: vec![9; 300] })
    };
    let mut all = vec![
        Entry::Tenant { id: TenantId([2; 16]), parent: None, keys: keys(1) },
        record(None, b""),
        record(Some(Timestamp(-1)), b"name"),
        Entry::Removed(RecordKey([5; 32])),
    ];
    all.extend(log(&[2, 1, 5]).into_iter().map(Entry::Log));
    all.extend([
        Entry::Checkpoint(Checkpoint { size: 3, root: [1; 32], note: b"note".to_vec() }),
        Entry::Archived(Archived {
            epoch: 1,
            first_index: 0,
            size: 3,
            first_seq: 1,
            last_seq: 2,
            time: Timestamp(4),
            bytes: 5,
            digest: [6; 32],
        }),
        Entry::TenantEnd { state: TenantState::Sealed, keys: keys(2), seq: 3 },
        Entry::Tenant { id: TenantId([3; 16]), parent: Some(TenantId([2; 16])), keys: keys(1) },
        Entry::Gone,
        Entry::End { tenants: 2 },
    ]);
    all
}

fn encoded(entries: &[Entry]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in entries {
        entry.encode(&mut bytes);
    }
    bytes
}

fn ordered(entries: &[Entry]) -> Result<(), String> {
    let mut order = Order::default();
    entries.iter().try_for_each(|entry| order.take(entry)).and_then(|()| order.finish()).map_err(|error| error.to_string())
}

#[test]
fn entries_are_read_back_and_nothing_else_is() {
    let bytes = encoded(&entries());
    assert_eq!(Entry::parse_all(&bytes), Some(entries()));
    for end in 0..bytes.len() {
        assert!(Entry::parse_all(&bytes[..end]).is_none_or(|some| some.len() < entries().len()), "{end}");
    }
    assert_eq!(Entry::parse_all(&[0, 0, 0, 0, 0]), None);
    assert_eq!(Entry::parse_all(&[8, 0, 0, 0, 1, 0]), None, "too long for its kind");
}

/// Archives that are kept for years must be read then.
#[test]
fn the_form_is_fixed() {
    let digest = data_encoding::HEXLOWER.encode(&crate::crypto::sha256(&[&encoded(&entries())]));
    assert_eq!(digest, "309eb463999441aeebb4888bf2040adeb6123802b604d18c45a7b7c06459540e");
}

#[test]
fn only_whole_tenants_are_taken() {
    assert_eq!(ordered(&entries()), Ok(()));
    let without = |at: usize| {
        let mut some = entries();
        some.remove(at);
        ordered(&some).unwrap_err()
    };
    assert_eq!(without(0), "a row belongs to no tenant");
    assert!(without(4).contains("row 2 of the log of tenant"), "{}", without(4));
    assert!(without(6).contains("has 2 rows of 3"), "{}", without(6));
    assert!(without(9).contains("has no end"), "{}", without(9));
    assert_eq!(without(12), "the last entry is missing");
    let mut twice = entries();
    twice.insert(10, Entry::Tenant { id: TenantId([2; 16]), parent: None, keys: keys(1) });
    assert!(ordered(&twice).unwrap_err().contains("is there twice"));
    let mut other = entries();
    if let Some(Entry::Log(row)) = other.get_mut(5) {
        row.leaves[0] ^= 1;
    }
    assert!(ordered(&other).unwrap_err().contains("other events than its root says"));
}

proptest! {
    #[test]
    fn whatever_is_in_a_chunk_is_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Some(entries) = Entry::parse_all(&bytes) {
            // One form only.
            prop_assert_eq!(encoded(&entries), bytes);
        }
    }
}

#[test]
fn a_mark_is_no_seal_configuration() {
    let marker = Marker { restoring: crate::id::BackupId([1; 16]), phase: Phase::Rows, epoch: 7, at: Timestamp(8) };
    assert_eq!(Marker::parse(&marker.bytes()), Some(marker));
    assert!(marker.bytes().starts_with(KEEPS_OUT));
    assert_eq!(Marker::parse(br#"{"type":"static"}"#), None);
}
