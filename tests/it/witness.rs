//! `strongroom witness`, as logs of others use it: the statuses of C2SP's tlog-witness, proofs of another implementation, and a
//! cosignature that a program checks which is not ours.

use std::fs;

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use data_encoding::BASE64;
use sha2::Sha256;
use strongroom::audit::note::{LogKey, TreeHead};
use strongroom::crypto::{SigningAlgorithm, SigningKey};
use strongroom::time::{Clock as _, SystemClock};

use crate::support::client::Reply;
use crate::support::process::run;
use crate::support::tools;
use crate::support::witness::Witness;

const ORIGIN: &str = "log.example.com/a";
const NAME: &str = "witness.example.com/w1";

/// A log of others.
struct Log {
    key: SigningKey,
    tree: MemoryBackedTree<Sha256, Vec<u8>>,
    /// Makes another history.
    salt: u8,
}

impl Log {
    fn new(salt: u8) -> Self {
        let key = SigningKey::generate(SigningAlgorithm::EdDsa).unwrap();
        Self { key, tree: MemoryBackedTree::new(), salt }
    }

    fn grow(&mut self, size: usize) {
        for at in self.tree.len()..size as u64 {
            self.tree.push([&at.to_be_bytes()[..], &[self.salt]].concat());
        }
    }

    fn verifier(&self) -> String {
        LogKey::of(ORIGIN, &self.key).unwrap().to_string()
    }

    /// The newest checkpoint.
    fn note(&self) -> String {
        let root = self.tree.root().as_bytes().as_slice().try_into().unwrap();
        TreeHead { origin: ORIGIN.to_owned(), size: self.tree.len(), root }.sign(&self.key).unwrap()
    }

    /// The body of `add-checkpoint`, with a proof from a tree of `old` leaves.
    fn body(&self, old: usize) -> String {
        let size = usize::try_from(self.tree.len()).unwrap();
        let proof =
            if old == 0 || old >= size { Vec::new() } else { self.tree.prove_consistency(size - old).as_bytes().to_vec() };
        let lines: String = proof.chunks(32).map(|hash| BASE64.encode(hash) + "\n").collect();
        format!("old {old}\n{lines}\n{}", self.note())
    }
}

#[track_caller]
fn conflict(reply: Reply, size: u64) {
    assert_eq!(reply.header("content-type"), Some("text/x.tlog.size"));
    assert_eq!(String::from_utf8(reply.expect(409).body).unwrap(), format!("{size}\n"));
}

#[test]
fn a_witness_cosigns_what_extends_all_before_it_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut log = Log::new(0);
    log.grow(5);
    let declared = log.verifier();
    assert!(Witness::refuses(folder, NAME, &declared, &[]).contains("key file"));
    let mut witness = Witness::start(folder, NAME, &declared, &["--init"]);

    // The first, then one that extends it, checked by a program that is not ours.
    for (old, size) in [(0, 5), (5, 5), (5, 23), (23, 64)] {
        log.grow(size);
        let reply = witness.add(&log.body(old)).expect(200);
        let cosigned = folder.join("cosigned");
        fs::write(&cosigned, format!("{}{}", log.note(), String::from_utf8(reply.body).unwrap())).unwrap();
        let arguments = ["tests/it/python/cosignature.py", cosigned.to_str().unwrap(), &witness.key];
        let checked = run(&tools::python(), &arguments, &[], None);
        let words: Vec<&str> = checked.stdout.split_whitespace().collect();
        assert_eq!((checked.code, &words[..2]), (0, &[ORIGIN, &size.to_string()][..]), "{}", checked.stderr);
        let now = u64::try_from(SystemClock.now().0 / 1_000_000_000).unwrap();
        assert!(words[2].parse::<u64>().unwrap().abs_diff(now) < 600);
    }

    // 409: with the size that was cosigned last.
    log.grow(70);
    for old in [0, 5, 63, 65] {
        conflict(witness.add(&log.body(old)), 64);
    }
    // A history that does not extend it, of the right key.
    let mut fork = Log::new(1);
    fork.key = SigningKey::from_document(SigningAlgorithm::EdDsa, log.key.document().duplicate());
    fork.grow(64);
    conflict(witness.add(&fork.body(64)), 64);
    fork.grow(80);
    witness.add(&fork.body(64)).expect(422);
    let changed = log.body(64).replacen("old 64\n", &format!("old 64\n{}\n", BASE64.encode(&[7; 32])), 1);
    witness.add(&changed).expect(422);
    // Smaller than what it is said to extend.
    let mut early = Log::new(0);
    early.key = SigningKey::from_document(SigningAlgorithm::EdDsa, log.key.document().duplicate());
    early.grow(10);
    witness.add(&early.body(64)).expect(400);
    // Another key; another log.
    let mut stranger = Log::new(0);
    stranger.grow(70);
    witness.add(&stranger.body(64)).expect(403);
    witness.add(&log.body(64).replace(ORIGIN, "log.example.com/b")).expect(404);
    // Nothing of these forms.
    for body in ["", "old 64\n", "old 064\n\n", "hello"] {
        witness.add(body).expect(400);
    }
    witness.add(&log.body(64).replacen("old 64\n", "old 064\n", 1)).expect(400);
    let hash = BASE64.encode(&[7; 32]) + "\n";
    witness.add(&log.body(64).replacen("old 64\n", &format!("old 64\n{}", hash.repeat(64)), 1)).expect(400);
    witness.send("GET", "/add-checkpoint").expect(405);
    witness.send("POST", "/other").expect(404);
    witness.add(&"x".repeat(80 << 10)).expect(413);

    // What it cosigned outlives it, however it ends; what it has lost it does not make up for.
    assert!(Witness::refuses(folder, NAME, &declared, &[]).contains("another witness uses it"));
    witness.kill();
    let named = format!("{declared}={ORIGIN}");
    let mut witness = Witness::start(folder, NAME, &named, &[]);
    conflict(witness.add(&log.body(0)), 64);
    witness.add(&log.body(64)).expect(200);
    witness.kill();
    assert!(Witness::refuses(folder, NAME, &declared, &["--init"]).contains("leave out --init"));
    assert!(Witness::refuses(folder, NAME, "hunter2", &[]).contains("--log is not the public key of a log"));
    fs::remove_file(folder.join("state")).unwrap();
    assert!(Witness::refuses(folder, NAME, &declared, &[]).contains("has lost it"));
}

#[test]
fn of_checkpoints_at_once_none_takes_another_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = Log::new(0);
    let witness = Witness::start(folder.path(), NAME, &log.verifier(), &["--init"]);
    log.grow(4);
    witness.add(&log.body(0)).expect(200);
    for round in 1..4_usize {
        let old = usize::try_from(log.tree.len()).unwrap();
        // All from one size to another one each: one of them is first, and the rest are told what it was.
        let bodies: Vec<String> = (1..=6)
            .map(|more| {
                log.grow(old + more);
                log.body(old)
            })
            .collect();
        let replies: Vec<Reply> = std::thread::scope(|scope| {
            let threads: Vec<_> = bodies.iter().map(|body| scope.spawn(|| witness.add(body))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let (cosigned, told): (Vec<_>, Vec<_>) = replies.iter().partition(|reply| reply.status == 200);
        assert_eq!((cosigned.len(), told.len()), (1, 5), "round {round}");
        let at = replies.iter().position(|reply| reply.status == 200).unwrap();
        assert!(told.iter().all(|reply| reply.body == format!("{}\n", old + at + 1).into_bytes()));
        witness.add(&log.body(old + at + 1)).expect(200);
    }
}
