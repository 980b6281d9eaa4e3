use proptest::prelude::*;

use super::*;
use crate::audit::merkle::{leaf_hash, root};
use crate::audit::proof::consistency;
use crate::crypto::{SigningAlgorithm, SigningKey};

const DEPLOYMENT: DeploymentId = DeploymentId([1; 16]);
const TENANT: TenantId = TenantId([2; 16]);

fn leaves(count: u32) -> Vec<Hash> {
    (0..count).map(|at| leaf_hash(&at.to_be_bytes())).collect()
}

/// The events `from` up to before `to` of a log of `signed` events, in rows of `each`.
fn segment(key: &SigningKey, (from, to, signed): (usize, usize, usize), each: usize) -> Segment {
    let all = leaves(u32::try_from(signed).unwrap());
    let mut before = Frontier::new();
    all[..from].iter().for_each(|leaf| before.push(*leaf));
    let row = |(at, leaves): (usize, &[Hash])| SegmentRow {
        seq: at as u64 + 1,
        time: Timestamp(i64::try_from(at).unwrap()),
        group: [3; 16],
        mac: [4; 32],
        changed: vec![5; 32],
        leaves: leaves.concat(),
        batch: vec![6; 100],
        summary: Vec::new(),
    };
    let head = TreeHead { origin: origin(DEPLOYMENT, TENANT, 1), size: signed as u64, root: root(&all) };
    let note = head.sign(key).unwrap().into_bytes();
    let rows = all[from..to].chunks(each).enumerate().map(row).collect();
    Segment { deployment: DEPLOYMENT, tenant: TENANT, before, rows, proof: consistency(to, &all).unwrap(), note }
}

fn keys() -> (SigningKey, LogKey) {
    let key = SigningKey::generate(SigningAlgorithm::EdDsa).unwrap();
    let public = LogKey::of(&origin(DEPLOYMENT, TENANT, 1), &key).unwrap();
    (key, public)
}

#[test]
fn a_segment_proves_itself_wherever_it_stands_in_the_signed_tree() {
    let (key, public) = keys();
    for signed in 1..=20 {
        for from in 0..signed {
            for to in from + 1..=signed {
                let made = segment(&key, (from, to, signed), 3);
                let read = Segment::parse(&made.encode()).unwrap();
                assert_eq!(read, made);
                assert_eq!((read.first_index(), read.after().size()), (from as u64, to as u64));
                assert_eq!(read.prove(&public).unwrap().size, signed as u64);
            }
        }
    }
}

#[test]
fn what_was_not_signed_is_not_proven() {
    let (key, public) = keys();
    let made = segment(&key, (3, 9, 14), 2);
    let fails = |change: &dyn Fn(&mut Segment), expected: SegmentError| {
        let mut changed = made.clone();
        change(&mut changed);
        assert_eq!(changed.prove(&public), Err(expected));
    };
    fails(&|segment| segment.rows[1].leaves[0] ^= 1, SegmentError::Unproven);
    fails(&|segment| segment.rows.swap(0, 1), SegmentError::Unproven);
    fails(&|segment| drop(segment.rows.pop()), SegmentError::Unproven);
    fails(&|segment| segment.rows.push(segment.rows[0].clone()), SegmentError::Unproven);
    fails(&|segment| segment.before.push([9; 32]), SegmentError::Unproven);
    fails(&|segment| segment.before = Frontier::new(), SegmentError::Unproven);
    fails(&|segment| segment.proof.truncate(segment.proof.len() - 1), SegmentError::Unproven);
    fails(&|segment| segment.tenant = TenantId([9; 16]), SegmentError::OtherLog);
    fails(&|segment| segment.deployment = DeploymentId([9; 16]), SegmentError::OtherLog);
    fails(&|segment| segment.note = segment.note[1..].to_vec(), SegmentError::OtherLog);
    // Another size than was signed.
    let resized = String::from_utf8(made.note.clone()).unwrap().replace("\n14\n", "\n15\n").into_bytes();
    fails(&|segment| segment.note.clone_from(&resized), SegmentError::Note(NoteError::Signature));
    let (_, other) = keys();
    assert_eq!(made.prove(&other), Err(SegmentError::Note(NoteError::OtherKey)));
}

/// What was archived once is read for ever.
#[test]
fn the_form_is_fixed() {
    let key = SigningKey::generate(SigningAlgorithm::EdDsa).unwrap();
    let mut made = segment(&key, (1, 3, 4), 1);
    made.note = b"note".to_vec();
    let digest = data_encoding::HEXLOWER.encode(&sha256(&[&made.encode()]));
    assert_eq!(digest, "5ffb6bb09d41b9a7812f119aa3dd2e9ae9c038870ce7d6b13d3aca81cfb00bf4");
}

proptest! {
    #[test]
    fn damage_is_found(at in any::<proptest::sample::Index>(), flip in 1..=255_u8, cut: u8) {
        let (key, _) = keys();
        let bytes = segment(&key, (2, 5, 7), 2).encode();
        let mut damaged = bytes.clone();
        damaged[at.index(bytes.len())] ^= flip;
        prop_assert!(Segment::parse(&damaged).is_err());
        let cut = bytes.len() - 1 - usize::from(cut).min(bytes.len() - 1);
        prop_assert!(Segment::parse(&bytes[..cut]).is_err());
    }

    /// Whoever damages a segment can make its sum, too.
    #[test]
    fn any_bytes_can_be_read(noise in proptest::collection::vec(any::<u8>(), 0..300), at in any::<proptest::sample::Index>(), flip: u8) {
        let summed = |content: &[u8]| [content, &sha256(&[content])].concat();
        let _ = Segment::parse(&noise);
        let _ = Segment::parse(&summed(&[FORMAT, &noise].concat()));
        let (key, public) = keys();
        let bytes = segment(&key, (2, 5, 7), 2).encode();
        let mut content = bytes[..bytes.len() - 32].to_vec();
        let at = at.index(content.len());
        content[at] ^= flip;
        if let Ok(read) = Segment::parse(&summed(&content)) {
            prop_assert_eq!(read.encode(), summed(&content));
            let _ = read.prove(&public);
        }
    }
}
