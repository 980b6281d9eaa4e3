//! Bytes of the audit log as the store has them, opened. What is read is written back as the same bytes: an auditor hashes them.

use strongroom::audit::anchor::{Accepted, Anchored};
use strongroom::audit::batch::{self, BatchEncoder};
use strongroom::audit::cosignature::WitnessKey;
use strongroom::audit::event::Event;
use strongroom::audit::merkle::Frontier;
use strongroom::audit::note::{LogKey, NOTE_BYTES_MAX, TreeHead};
use strongroom::audit::receipt::{PROOF_BYTES_MAX, Proof, Receipt};
use strongroom::audit::segment::Segment;
use strongroom::audit::tile::{self, Tile};
use strongroom::audit::witnessed::Witnessed;
use strongroom::audit::witnessing::{PROOF_MAX, REQUEST_BYTES_MAX, Submission};
use strongroom::backup::{Entry, Frame, Frames, Order};
use strongroom::crypto::sha256;

/// One event.
pub(super) fn audit_event(data: &[u8]) {
    let Ok((nonce, event)) = Event::parse(data) else { return };
    let mut again = Vec::new();
    event.canonical(nonce, &mut again);
    assert_eq!(again, data, "an event has two forms");
}

/// A batch of events. The compressed form is not unique; the events are.
pub(super) fn audit_batch(data: &[u8]) {
    let Ok(events) = batch::decode(data) else { return };
    assert!(events.len() <= batch::EVENTS_MAX);
    assert!(events.iter().map(Vec::len).sum::<usize>() <= batch::BYTES_MAX);
    let encoded = BatchEncoder::new().and_then(|mut encoder| encoder.encode(events.iter().map(Vec::as_slice)));
    let Ok(encoded) = encoded else { panic!("a batch that was read cannot be written") };
    let Ok(again) = batch::decode(&encoded) else { panic!("a batch that was written cannot be read") };
    assert_eq!(again, events);
}

/// A tree's edge.
pub(super) fn frontier(data: &[u8]) {
    let Ok(mut frontier) = Frontier::from_bytes(data) else { return };
    assert_eq!(frontier.to_bytes(), data, "a frontier has two forms");
    let root = frontier.root();
    if frontier.size() < u64::MAX {
        let size = frontier.size();
        frontier.push([7; 32]);
        assert_eq!(frontier.size(), size + 1);
        assert_ne!(frontier.root(), root, "a longer tree has the same root");
    }
}

/// A signed checkpoint, or a public key.
pub(super) fn audit_note(data: &[u8]) {
    let key = LogKey::new("fuzz", [7; 32]);
    assert!(key.open(data).is_err(), "a note of a key that nobody has");
    if let Ok(head) = TreeHead::unverified(data) {
        assert!(data.len() <= NOTE_BYTES_MAX && !head.origin.is_empty());
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(key) = LogKey::parse(text) {
        assert_eq!(key.to_string(), text, "a public key has two forms");
    }
}

/// A segment of the archive without its sum, which whoever makes one up can make, too.
pub(super) fn audit_segment(data: &[u8]) {
    assert!(Segment::parse(data).is_err(), "a segment without its sum");
    let summed = [data, &sha256(&[data])].concat();
    let Ok(segment) = Segment::parse(&summed) else { return };
    assert_eq!(segment.encode(), summed, "a segment has two forms");
    assert!(segment.first_index() < segment.after().size());
    assert!(segment.prove(&LogKey::new("fuzz", [7; 32])).is_err(), "a segment of a key that nobody has");
}

/// A backup, whole or from its first part on, with or without what its parts begin and end with; and what is in a part.
pub(super) fn backup(data: &[u8]) {
    let magic = b"strongroom backup 1\n";
    for bytes in [data.to_vec(), [magic, data].concat()] {
        let mut frames = Frames::default();
        for piece in bytes.chunks(1 + usize::from(data.first().copied().unwrap_or(0))) {
            frames.push(piece);
            while let Ok(Some(frame)) = frames.frame() {
                if let Frame::Header(header) = frame {
                    assert!(header.verify(&frames.chain(), data, &LogKey::new("fuzz", [7; 32])).is_err());
                }
            }
        }
        let _ = frames.finish();
    }
    if let Some(entries) = Entry::parse_all(data) {
        let (mut again, mut order) = (Vec::new(), Order::default());
        for entry in &entries {
            entry.encode(&mut again);
            let _ = order.take(entry);
        }
        assert_eq!(again, data, "entries have two forms");
    }
}

/// A file of an exported log: a bundle of entries, a tile of hashes, or the path of one.
pub(super) fn audit_tile(data: &[u8]) {
    let (entries, rest) = tile::entries(data);
    let mut again = Vec::new();
    for entry in &entries {
        assert!(tile::append(&mut again, entry), "an entry that was in a bundle does not fit");
    }
    assert!(data.starts_with(&again) && data.len() == again.len() + rest, "a bundle has two forms");
    if let Some(hashes) = tile::hashes(data) {
        assert_eq!(hashes.as_flattened(), data);
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(tile) = Tile::parse(text) {
        assert_eq!(tile.path(), text, "a tile has two paths");
    }
}

/// A receipt, or the proof that it was exchanged for; what witnesses have seen has the same form.
pub(super) fn audit_receipt(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(receipt) = Receipt::parse(text) {
        assert_eq!(receipt.to_string(), text, "a receipt has two forms");
    }
    if let Some(proof) = Proof::parse(text) {
        assert!(data.len() <= PROOF_BYTES_MAX);
        assert_eq!(proof.to_string(), text, "a proof has two forms");
        assert!(proof.verify(&LogKey::new("fuzz", [7; 32])).is_err(), "a proof of a key that nobody has");
    }
    if let Some(witnessed) = Witnessed::parse(text) {
        assert_eq!(witnessed.to_string(), text, "what was witnessed has two forms");
        assert!(witnessed.verify(&LogKey::new("strongroom/d/t/0", [7; 32])).is_err());
    }
}

/// A file of anchors, or what was accepted of one.
pub(super) fn anchors(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok((anchored, mac)) = Anchored::parse(text) {
        assert_eq!(anchored.text(&mac), text, "a file of anchors has two forms");
    }
    if let Ok(accepted) = Accepted::parse(text) {
        assert_eq!(Accepted::parse(&accepted.text()), Ok(accepted), "what was accepted reads otherwise");
    }
}

/// What a witness is asked; and whatever is cosigned in a note.
pub(super) fn witnessing(data: &[u8]) {
    if let Some(asked) = Submission::parse(data) {
        assert!(data.len() <= REQUEST_BYTES_MAX && asked.proof.len() <= PROOF_MAX);
        assert_eq!(TreeHead::unverified(&asked.note), Ok(asked.head.clone()));
        // Nothing is shown to extend a tree of one leaf that nobody has.
        assert!(asked.judge((1, [7; 32])).is_err() || asked.head.root == [7; 32] || !asked.proof.is_empty());
    }
    let text = String::from_utf8_lossy(data);
    if let Some(key) = WitnessKey::parse(&text) {
        assert_eq!(key.to_string(), text, "a key has two forms");
        assert!(key.open(data).is_err());
    }
}
