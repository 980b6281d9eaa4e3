//! Replays the committed seeds of every fuzz target, and some mutations of each, on a stable toolchain.
//!
//! Mutations follow from the seed's bytes and a number, so a failure names all that is needed to see it again.
//! `scripts/test --full` tries fifty times as many.

#[path = "../../fuzz/targets/mod.rs"]
mod targets;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use crate::support;

/// Mutations of each seed.
const MUTATIONS: u64 = 200;
/// Longest input; a mutation that grows past it is cut.
const INPUT_BYTES_MAX: usize = 64 << 10;

/// Pseudo-random numbers (xorshift64*, Vigna 2016): the same for the same start.
struct Numbers(u64);

impl Numbers {
    fn new(start: u64) -> Self {
        Self(start.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next()).unwrap_or(0) % bound.max(1)
    }
}

/// Bytes that parsers treat in a way of their own.
const TOKENS: [&[u8]; 24] = [
    b"/",
    b"//",
    b"..",
    b"%2f",
    b"%00",
    b"%",
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b"\\",
    b"\\ud800",
    b",",
    b":",
    b"null",
    b"-1",
    b"0",
    b"1e999",
    b"18446744073709551616",
    b"\n",
    b"\0",
    b"\xff",
    b"=",
];

/// One to four changes of `seed`; `other` is another seed of the same target.
fn mutated(seed: &[u8], other: &[u8], number: u64) -> Vec<u8> {
    let mut numbers = Numbers::new(number + 1);
    let mut data = seed.to_vec();
    for _ in 0..=numbers.below(4) {
        let at = numbers.below(data.len() + 1);
        let end = (at + 1 + numbers.below(16)).min(data.len());
        match numbers.below(7) {
            0 => {
                if let Some(byte) = data.get_mut(at) {
                    *byte ^= 1 << numbers.below(8);
                }
            }
            1 => drop(data.drain(at.min(end)..end)),
            2 => data.truncate(at),
            3 => {
                let token = TOKENS.get(numbers.below(TOKENS.len())).copied().unwrap_or_default();
                data.splice(at..at, token.iter().copied());
            }
            4 => {
                let copy = data.get(at.min(end)..end).unwrap_or_default().to_vec();
                data.splice(at..at, copy);
            }
            5 => {
                let from = numbers.below(other.len() + 1);
                data.splice(at.., other.get(from..).unwrap_or_default().iter().copied());
            }
            _ => {
                let byte = u8::try_from(numbers.below(256)).unwrap_or(0);
                data.insert(at, byte);
            }
        }
    }
    data.truncate(INPUT_BYTES_MAX);
    data
}

/// The seeds of a target, by file name.
fn seeds(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files.into_iter().map(|file| (file.clone(), fs::read(file).unwrap())).collect()
}

fn check(target: &str, data: &[u8], what: &str) {
    let outcome = catch_unwind(AssertUnwindSafe(|| targets::run(target, data)));
    assert!(outcome.is_ok(), "fuzz target {target} failed on {what}: {}", data.escape_ascii());
}

fn mutations() -> u64 {
    if support::full() { 50 * MUTATIONS } else { MUTATIONS }
}

#[test]
fn every_target_holds_on_its_seeds_and_their_mutations() {
    for (target, _) in targets::TARGETS {
        let seeds = seeds(target);
        assert!(seeds.len() >= 3, "{target}: at least three seeds, some malformed");
        for (at, (file, seed)) in seeds.iter().enumerate() {
            let file = file.file_name().unwrap_or_default().display();
            check(target, seed, &format!("seed {file}"));
            let other = seeds.get((at + 1) % seeds.len()).map_or(&seed[..], |(_, other)| other);
            for number in 0..mutations() {
                check(target, &mutated(seed, other, number), &format!("mutation {number} of seed {file}"));
            }
        }
    }
}

/// `scripts/fuzz` goes by the folders.
#[test]
fn every_folder_of_seeds_is_of_a_target() {
    let folders = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds")).unwrap();
    let mut folders: Vec<String> = folders.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    folders.sort();
    assert!(folders.iter().eq(targets::TARGETS.iter().map(|(name, _)| name)), "{folders:?}");
}

/// An engine that requests reach and the fuzzer does not would be the one with the flaw.
#[test]
fn operations_of_every_engine_are_fuzzed() {
    let read = |file: &str| fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
    let (dispatch, fuzzed) = (read("src/request/dispatch.rs"), read("fuzz/targets/operations.rs"));
    let tables = |text: &str| -> std::collections::BTreeSet<String> {
        let names = text.split("::TABLE").map(|before| before.rsplit(['(', ' ', '&']).next().unwrap_or_default().to_owned());
        names.filter(|name| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "_:".contains(c))).collect()
    };
    let (mounted, targets) = (tables(&dispatch), tables(&fuzzed));
    assert!(mounted.len() > 8, "only {mounted:?} were found");
    let missing: Vec<_> = mounted.difference(&targets).collect();
    assert!(missing.is_empty(), "fuzz/targets/operations.rs lacks the tables {missing:?}");
}

#[test]
fn mutations_are_the_same_every_time_and_differ() {
    let seed = b"secret/data/a";
    let made = |number| mutated(seed, b"other", number);
    assert!((0..50).all(|number| made(number) == made(number)));
    let different: std::collections::BTreeSet<_> = (0..200).map(made).collect();
    assert!(different.len() > 150, "{}", different.len());
}

/// Seeds that are meant to be right are: otherwise the fuzzer would only ever see the first line of a parser.
#[test]
fn good_seeds_are_accepted() {
    use strongroom::audit::{batch, event::Event, merkle::Frontier};
    use strongroom::config::{self, Source};
    use strongroom::seal::shamir::{ShareSet, combine};
    use strongroom::secret::{SecretBytes, SecretText};

    let read = |name: &str| fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(name)).unwrap();
    let text = |name: &str| String::from_utf8(read(name)).unwrap();
    assert!(strongroom::path::Path::from_url(&text("path/encoded")).is_ok());
    assert!(strongroom::reference::Reference::parse(&text("reference/valid")).is_some());
    for name in ["policy/hcl", "policy/json", "policy/template", "policy/wrapping"] {
        let parsed = strongroom::policy::Policy::parse("seed", &text(name));
        assert!(parsed.is_ok(), "{name}: {:?}", parsed.err());
    }
    for name in ["config/sample.hcl", "config/minimal.hcl", "config/minimal.json", "config/postgresql.hcl"] {
        let parsed = config::parse(&[Source { file: PathBuf::from(name), text: SecretText::new(text(name)) }], None);
        assert!(parsed.is_ok(), "{name}: {:?}", parsed.err());
    }
    assert!(strongroom::spans::Parent::parse(&text("trace_parent/sampled")).is_some_and(|parent| parent.sampled));
    for name in ["apply/tenant.hcl", "apply/secrets.hcl", "apply/all.json"] {
        let parsed = strongroom::cli::apply::parse(&[Source { file: PathBuf::from(name), text: SecretText::new(text(name)) }]);
        assert!(parsed.is_ok(), "{name}: {:?}", parsed.err());
    }
    assert!(["audit_event/full", "audit_event/short"].iter().all(|name| Event::parse(&read(name)).is_ok()));
    assert_eq!(batch::decode(&read("audit_batch/two")).unwrap().len(), 2);
    assert_eq!(strongroom::backup::Entry::parse_all(&read("backup/entries")).unwrap().len(), 8);
    let mut frames = strongroom::backup::Frames::default();
    frames.push(&read("backup/whole"));
    assert!((0..3).all(|_| frames.frame().unwrap().is_some()) && frames.finish().is_ok());
    assert_eq!(Frontier::from_bytes(&read("frontier/seven")).unwrap().size(), 7);

    let share: serde_json::Value = serde_json::from_slice(&read("share/enough")).unwrap();
    let set: ShareSet = serde_json::from_value(share.get("set").unwrap().clone()).unwrap();
    let shares = share.get("shares").unwrap().as_array().unwrap().iter();
    let shares = shares.map(|share| data_encoding::HEXLOWER.decode(share.as_str().unwrap().as_bytes()).unwrap());
    assert!(combine(&shares.map(SecretBytes::new).collect::<Vec<_>>(), &set).is_ok());
}
