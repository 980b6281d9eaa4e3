//! What witnesses cosigned, as exports leave it: honest files have no finding, and each edit has the right one.

use proptest::prelude::*;
use proptest::sample::Index;

use super::super::cosignature::WitnessKey;
use super::super::head::{TenantHead, deployment_origin};
use super::super::merkle::{Frontier, Hash, leaf_hash, root};
use super::super::note::{LogKey, NoteError, TreeHead, origin};
use super::super::proof::{consistency, inclusion};
use super::super::witnessed::Witnessed;
use super::super::witnessing::Submission;
use super::verify_tests::{Files, event, key, written};
use super::*;
use crate::crypto::SigningKey;
use crate::id::{DeploymentId, TenantId};

const DEPLOYMENT: DeploymentId = DeploymentId([9; 16]);
const TENANT: TenantId = TenantId([1; 16]);

/// A deployment with its keys, and two witnesses.
struct Stage {
    key: SigningKey,
    cosigners: Vec<(WitnessKey, SigningKey)>,
    /// The deployment's log.
    heads: Vec<TenantHead>,
}

impl Stage {
    fn new() -> Self {
        let cosigner = |name: &str| {
            let own = key();
            (WitnessKey::of(name, &own).unwrap().unwrap(), own)
        };
        Self { key: key(), cosigners: vec![cosigner("w1"), cosigner("w2")], heads: Vec::new() }
    }

    fn public(&self) -> LogKey {
        LogKey::of(&origin(DEPLOYMENT, TENANT, 0), &self.key).unwrap()
    }

    fn leaves(&self) -> Vec<Hash> {
        self.heads.iter().map(|head| head.leaf(DEPLOYMENT)).collect()
    }

    /// The head of the first `size` events, behind some of another log.
    fn head(&mut self, size: usize, tree: Hash) {
        for other in 2..5 {
            self.heads.push(TenantHead { tenant: TenantId([other; 16]), epoch: 0, size: 1 + size as u64, root: [other; 32] });
        }
        self.heads.push(TenantHead { tenant: TENANT, epoch: 0, size: size as u64, root: tree });
    }

    /// The file of the newest head, cosigned by the first `cosigners`.
    fn witnessed(&self, cosigners: usize) -> Witnessed {
        let leaves = self.leaves();
        let at = self.heads.iter().rposition(|head| head.tenant == TENANT).unwrap();
        let tree = TreeHead { origin: deployment_origin(DEPLOYMENT, 0), size: leaves.len() as u64, root: root(&leaves) };
        let note = tree.sign(&self.key).unwrap();
        let mut checkpoint = note.clone();
        for (name, own) in &self.cosigners[..cosigners] {
            checkpoint += &name.cosign(note.as_bytes(), own, 1_800_000_000).unwrap();
        }
        Witnessed { entry: self.heads[at].entry(DEPLOYMENT), index: at as u64, path: inclusion(at, &leaves).unwrap(), checkpoint }
    }

    fn quorum(&self, required: usize) -> Quorum {
        Quorum { witnesses: self.cosigners.iter().map(|(name, _)| name.clone()).collect(), required }
    }

    fn checked(&self, files: &Files, quorum: Quorum) -> Report {
        verify(files, Trust { key: Some(self.public()), quorum, ..Trust::default() }, &mut |_| {}).unwrap()
    }

    fn findings(&self, files: &Files, required: usize) -> Vec<(Fault, String)> {
        let found = self.checked(files, self.quorum(required)).findings;
        found.into_iter().map(|finding| (finding.fault, finding.place)).collect()
    }
}

fn tree_of(events: &[Vec<u8>]) -> Hash {
    let mut frontier = Frontier::new();
    for event in events {
        frontier.push(leaf_hash(event));
    }
    frontier.root()
}

/// A copy of `size` events that was exported at 5, too, and both times cosigned.
fn exported(stage: &mut Stage, size: usize) -> Files {
    let events: Vec<Vec<u8>> = (0..size).map(event).collect();
    let mut files = written(&events);
    let mut old = 0;
    for part in [5, size] {
        stage.head(part, tree_of(&events[..part]));
        let head = TreeHead { origin: origin(DEPLOYMENT, TENANT, 0), size: part as u64, root: tree_of(&events[..part]) };
        let note = head.sign(&stage.key).unwrap().into_bytes();
        files.insert(format!("{CHECKPOINTS}{part}"), note.clone());
        files.insert(CHECKPOINT.to_owned(), note);
        let witnessed = stage.witnessed(2);
        files.insert(format!("{WITNESSED}{part}"), witnessed.to_string().into_bytes());
        if old > 0 {
            let proof = consistency(old, &stage.leaves()).unwrap();
            let body = Submission::body(old as u64, &proof, &witnessed.checkpoint);
            files.insert(format!("{WITNESSED}{part}{EXTENDS}"), body.into_bytes());
        }
        old = stage.heads.len();
    }
    files.insert(KEY.to_owned(), format!("{}\n", stage.public()).into_bytes());
    files
}

#[test]
fn an_honest_export_is_witnessed_and_says_by_whom() {
    let mut stage = Stage::new();
    let files = exported(&mut stage, 9);
    for required in [1, 2] {
        let report = stage.checked(&files, stage.quorum(required));
        assert_eq!(report.findings, []);
        let by = ["w1", "w2"].map(|name| (name.to_owned(), 1_800_000_000)).to_vec();
        assert_eq!(report.seen, Some(Seen { events: 9, by }));
    }
    // Nobody asks for witnesses.
    let report = stage.checked(&files, Quorum::default());
    assert_eq!((report.findings, report.seen), (Vec::new(), None));
}

#[test]
fn what_is_not_cosigned_is_named() {
    let mut stage = Stage::new();
    let honest = exported(&mut stage, 9);
    let newest = format!("{WITNESSED}9");
    let with = |name: &str, text: String| {
        let mut files = honest.clone();
        files.insert(name.to_owned(), text.into_bytes());
        files
    };
    let unwitnessed = |place: &str| vec![(Fault::Unwitnessed, place.to_owned())];
    // Cosigned by one of two; by none.
    let extends = format!("{newest}{EXTENDS}");
    let by = |count: usize| {
        let witnessed = stage.witnessed(count);
        let mut files = with(&newest, witnessed.to_string());
        let proof = consistency(4, &stage.leaves()).unwrap();
        files.insert(extends.clone(), Submission::body(4, &proof, &witnessed.checkpoint).into_bytes());
        files
    };
    assert_eq!(stage.findings(&by(1), 2), unwitnessed(&newest));
    assert_eq!(stage.findings(&by(1), 1), []);
    assert_eq!(stage.findings(&by(0), 1), unwitnessed(&newest));
    // A witness of the same name, and none at all.
    let other = Stage::new();
    let report = stage.checked(&honest, other.quorum(1));
    assert_eq!((report.findings[0].fault, report.findings[0].place.as_str()), (Fault::Unwitnessed, newest.as_str()));
    assert!(report.findings[0].detail.contains("0 of the 1 witnesses"), "{}", report.findings[0]);
    let mut bare = honest.clone();
    bare.retain(|name, _| !name.starts_with(WITNESSED));
    assert_eq!(stage.findings(&bare, 1), unwitnessed("events 0 to 8"));
    // Not yet all of it.
    let mut late = honest.clone();
    late.remove(&newest);
    late.remove(&extends);
    assert_eq!(stage.findings(&late, 2), unwitnessed("events 5 to 8"));
    // Another log's cosignature, under the note of this one.
    let foreign = TreeHead { origin: "log.example/a".to_owned(), size: 8, root: [1; 32] }.sign(&stage.key).unwrap();
    let (name, own) = &stage.cosigners[0];
    let mut borrowed = stage.witnessed(0);
    borrowed.checkpoint += &name.cosign(foreign.as_bytes(), own, 1_800_000_000).unwrap();
    let found = stage.findings(&with(&newest, borrowed.to_string()), 1);
    assert!(
        found.contains(&(Fault::Changed, newest.clone())) && found.contains(&(Fault::Unwitnessed, newest.clone())),
        "{found:?}"
    );
}

#[test]
fn a_deployment_that_forked_is_named() {
    // Two histories of the deployment's log, and of the tenant's.
    let mut stage = Stage::new();
    let honest = exported(&mut stage, 9);
    let newest = format!("{WITNESSED}9");
    let mut rewritten = Stage {
        key: SigningKey::from_document(crate::crypto::SigningAlgorithm::EdDsa, stage.key.document().duplicate()),
        ..Stage::new()
    };
    rewritten.head(4, [4; 32]);
    rewritten.head(9, [7; 32]);
    rewritten.head(3, [3; 32]);
    rewritten.head(9, tree_of(&(0..9).map(event).collect::<Vec<_>>()));
    let mut files = honest.clone();
    let forked = rewritten.witnessed(0);
    let proof = consistency(4, &rewritten.leaves()).unwrap();
    files.insert(format!("{newest}{EXTENDS}"), Submission::body(4, &proof, &forked.checkpoint).into_bytes());
    files.insert(newest.clone(), forked.to_string().into_bytes());
    assert_eq!(stage.checked(&files, Quorum::default()).findings.len(), 1);
    assert_eq!(stage.findings(&files, 2), [(Fault::Changed, format!("{newest}{EXTENDS}")), (Fault::Unwitnessed, newest.clone())]);
    // A head in the deployment's log that is not the copy's: one of two histories that were signed.
    let mut files = honest.clone();
    stage.head(9, [7; 32]);
    let other = stage.witnessed(2);
    let proof = consistency(4, &stage.leaves()).unwrap();
    files.insert(format!("{newest}{EXTENDS}"), Submission::body(4, &proof, &other.checkpoint).into_bytes());
    files.insert(newest.clone(), other.to_string().into_bytes());
    assert_eq!(stage.findings(&files, 2), [(Fault::Forked, newest.clone())]);
    // Files for nothing, and one that is not there.
    let mut files = honest;
    files.insert(format!("{WITNESSED}5{EXTENDS}"), b"x".to_vec());
    files.insert(format!("{WITNESSED}x"), b"x".to_vec());
    files.remove(&format!("{newest}{EXTENDS}"));
    let mut found = stage.findings(&files, 2);
    found.sort();
    let names = [format!("{newest}{EXTENDS}"), format!("{WITNESSED}5{EXTENDS}"), format!("{WITNESSED}x")];
    let [missing, five, strange] = names;
    assert_eq!(found, [(Fault::Missing, missing), (Fault::Unexpected, five), (Fault::Unexpected, strange)]);
}

proptest! {
    /// Every byte of what witnesses cosigned is covered, for who has their keys; only of an older head may a cosignature
    /// become one of somebody else, because the newest head is the one that needs them.
    #[test]
    fn every_byte_of_it_counts(file in any::<Index>(), at in any::<Index>(), flip in 1..=255_u8) {
        let mut stage = Stage::new();
        let mut files = exported(&mut stage, 9);
        let names: Vec<String> = files.keys().filter(|name| name.starts_with(WITNESSED)).cloned().collect();
        let name = &names[file.index(names.len())];
        let bytes = files.get_mut(name).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        let damaged = std::str::from_utf8(bytes).ok().and_then(Witnessed::parse);
        let quorum = stage.quorum(2);
        let of_others = damaged.is_some_and(|damaged| {
            damaged.not_cosigned(&quorum.witnesses).iter().any(|(_, error)| *error == NoteError::OtherKey)
        });
        let excused = of_others && *name == format!("{WITNESSED}5");
        prop_assert!(excused || !stage.findings(&files, 2).is_empty());
    }
}
