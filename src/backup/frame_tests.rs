use proptest::prelude::*;

use super::*;
use crate::audit::note::sign_text;
use crate::crypto::{SigningAlgorithm, SigningKey};

const DEPLOYMENT: DeploymentId = DeploymentId([1; 16]);

fn header(backup: u8) -> Header {
    Header {
        backup: BackupId([backup; 16]),
        deployment: DEPLOYMENT,
        root: TenantId([2; 16]),
        edge: TenantId([3; 16]),
        format: 1,
        seal: "e30=".to_owned(),
        made: Timestamp(1_795_251_600_000_000_000),
        wraps: vec![KeyWrap { seal: "eu".to_owned(), wrap: "AAAA".to_owned() }],
    }
}

/// A backup with three chunks, part by part, and the key that signed it.
fn backup(id: u8) -> (Vec<Vec<u8>>, LogKey) {
    let header = header(id);
    let mut chain = Chain::default();
    let mut parts = vec![MAGIC.to_vec(), chain.header(&header).0];
    parts.extend([b"one".as_slice(), b"two", b"three"].map(|sealed| chain.chunk(header.backup, sealed)));
    let key = SigningKey::generate(SigningAlgorithm::EdDsa).unwrap();
    let note = sign_text(&name(DEPLOYMENT), &chain.text(&header), &key).unwrap();
    parts.push(chain.end(header.backup, &note));
    let public = LogKey::of(&format!("strongroom/{DEPLOYMENT}/{}/0", TenantId([2; 16])), &key).unwrap();
    (parts, public)
}

/// Reads all of it, in pieces of so many bytes.
fn read(bytes: &[u8], piece: usize, key: &LogKey) -> Result<Vec<Vec<u8>>, Broken> {
    let (mut frames, mut chunks, mut first) = (Frames::default(), Vec::new(), None);
    for piece in bytes.chunks(piece) {
        frames.push(piece);
        while let Some(frame) = frames.frame()? {
            match frame {
                Frame::Header(header) => first = Some(header),
                Frame::Chunk { sealed, .. } => chunks.push(sealed),
                Frame::End { note } => first.as_ref().unwrap().verify(&frames.chain(), &note, key)?,
            }
        }
    }
    frames.finish()?;
    Ok(chunks)
}

#[test]
fn a_backup_is_read_as_it_was_written_however_it_comes() {
    let (parts, key) = backup(9);
    for piece in [1, 7, 100, 10_000] {
        assert_eq!(read(&parts.concat(), piece, &key).unwrap(), [b"one".to_vec(), b"two".to_vec(), b"three".to_vec()]);
    }
    assert_eq!(name(DEPLOYMENT), format!("strongroom/{}/backup", "01".repeat(16)));
    assert_eq!(parts[2].len(), HEAD + 3 + HASH);
    assert_eq!(&parts[2][..OPENING], [&[2][..], &[9; 16], &1_u64.to_be_bytes(), &3_u32.to_be_bytes()].concat());
}

#[test]
fn what_was_done_to_it_is_told_by_name() {
    let (parts, key) = backup(9);
    let (others, other_key) = backup(8);
    let told = |parts: Vec<Vec<u8>>, key: &LogKey| read(&parts.concat(), 50, key).unwrap_err();
    let with = |change: &dyn Fn(&mut Vec<Vec<u8>>)| {
        let mut changed = parts.clone();
        change(&mut changed);
        told(changed, &key)
    };
    assert_eq!(with(&|parts| parts.swap(2, 3)), Broken::Reordered { expected: 1, found: 2 });
    assert_eq!(with(&|parts| drop(parts.remove(3))), Broken::Reordered { expected: 2, found: 3 });
    assert_eq!(with(&|parts| parts[3] = others[3].clone()), Broken::Spliced { part: 2, of: BackupId([8; 16]) });
    assert_eq!(with(&|parts| parts[3][HEAD] ^= 1), Broken::Changed(2));
    assert_eq!(with(&|parts| parts[3][OPENING - 2] ^= 1), Broken::Changed(2));
    assert_eq!(with(&|parts| drop(parts.pop())), Broken::CutOff(4));
    assert_eq!(with(&|parts| parts.push(vec![0])), Broken::Longer);
    assert_eq!(told(parts.clone(), &other_key), Broken::Signature(NoteError::OtherKey));
    let elsewhere = LogKey::new("strongroom/00/11/0", [1; 32]);
    assert_eq!(told(parts.clone(), &elsewhere), Broken::OtherDeployment(DEPLOYMENT));
    // A chunk that was written with care, by somebody who cannot sign.
    let mut chain = Chain::default();
    let forged = vec![
        MAGIC.to_vec(),
        chain.header(&header(9)).0,
        chain.chunk(BackupId([9; 16]), b"one"),
        chain.chunk(BackupId([9; 16]), b"two"),
        chain.chunk(BackupId([9; 16]), b"else"),
        parts[5].clone(),
    ];
    assert_eq!(told(forged, &key), Broken::OtherParts);
    assert_eq!(told(vec![b"strongroom backup 2\n".to_vec()], &key), Broken::Foreign);
    assert_eq!(told(vec![b"strong".to_vec()], &key), Broken::Foreign);
}

proptest! {
    /// No byte can be another one.
    #[test]
    fn every_byte_counts(at in any::<proptest::sample::Index>(), flip in 1..=255_u8) {
        let (parts, key) = backup(9);
        let mut bytes = parts.concat();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        prop_assert!(read(&bytes, 100, &key).is_err());
    }

    #[test]
    fn whatever_comes_is_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..300), begun in any::<bool>()) {
        let bytes = if begun { [&MAGIC[..], &bytes].concat() } else { bytes };
        let mut frames = Frames::default();
        frames.push(&bytes);
        let _ = frames.frame();
        prop_assert!(frames.finish().is_err());
    }
}
