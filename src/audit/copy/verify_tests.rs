//! Random edits of honest copies: each is found, with its name, and honest ones are left alone.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::super::event::{Event, Word};
use super::super::merkle::{Frontier, leaf_hash};
use super::super::note::{LogKey, TreeHead};
use super::edits::{EDITS, edit};
use super::*;
use crate::crypto::{SigningAlgorithm, SigningKey};
use crate::id::TenantId;
use crate::time::Timestamp;

const ORIGIN: &str = "strongroom/d/t/0";

pub(super) type Files = BTreeMap<String, Vec<u8>>;

pub(super) fn key() -> SigningKey {
    SigningKey::generate(SigningAlgorithm::EdDsa).unwrap()
}

/// One that no bundle holds, among many short ones.
pub(super) const LARGE_ONE: usize = 13;

pub(super) fn event(at: usize) -> Vec<u8> {
    if at == LARGE_ONE { vec![b'x'; 70_000] } else { format!("{{\"nonce\":\"{at:032x}\",\"event\":{at}}}").into_bytes() }
}

pub(super) fn written(events: &[Vec<u8>]) -> Files {
    let mut files = Files::new();
    let mut put = |name: &str, bytes: &[u8]| -> Result<(), ()> {
        files.insert(name.to_owned(), bytes.to_vec());
        Ok(())
    };
    let mut writer = Writer::default();
    for event in events {
        writer.push(event, &mut put).unwrap();
    }
    writer.finish(&mut put).unwrap();
    files
}

/// A copy of these events, signed at `sizes` besides.
pub(super) fn copy(events: &[Vec<u8>], sizes: &[usize], key: &SigningKey) -> Files {
    let mut files = written(events);
    for size in sizes {
        files.insert(format!("{CHECKPOINTS}{size}"), note(&events[..*size], key));
    }
    files.insert(CHECKPOINT.to_owned(), note(events, key));
    files.insert(KEY.to_owned(), format!("{}\n", LogKey::of(ORIGIN, key).unwrap()).into_bytes());
    files
}

pub(super) fn note(events: &[Vec<u8>], key: &SigningKey) -> Vec<u8> {
    let mut frontier = Frontier::new();
    for event in events {
        frontier.push(leaf_hash(event));
    }
    let head = TreeHead { origin: ORIGIN.to_owned(), size: frontier.size(), root: frontier.root() };
    head.sign(key).unwrap().into_bytes()
}

fn checked(files: &Files, key: Option<LogKey>, kept: Option<&[u8]>) -> Report {
    verify(files, Trust { key, kept, ..Trust::default() }, &mut |_| {}).unwrap()
}

fn findings(files: &Files, key: &SigningKey) -> Vec<Finding> {
    checked(files, Some(LogKey::of(ORIGIN, key).unwrap()), None).findings
}

fn cases() -> u32 {
    if std::env::var_os("STRONGROOM_TEST_FULL").is_some_and(|full| full == "1") { 1_000 } else { 200 }
}

/// Runs cases from a seed that is printed with a failure.
fn run<S: Strategy>(strategy: &S, test: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let seed: [u8; 32] = crate::random::bytes();
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let mut runner = TestRunner::new_with_rng(Config { cases: cases(), failure_persistence: None, ..Config::default() }, rng);
    if let Err(error) = runner.run(strategy, test) {
        panic!("seed {}: {error}", data_encoding::HEXLOWER.encode(&seed));
    }
}

/// Around the sizes at which bundles and tiles become full.
fn size() -> impl Strategy<Value = usize> {
    prop_oneof![20..300_usize, 250..262_usize, 500..800_usize]
}

#[test]
fn every_edit_is_found_with_its_name_and_place() {
    let key = key();
    run(&(size(), any::<Index>(), any::<(Index, Index)>()), |(size, which, places)| {
        let chosen = EDITS[which.index(EDITS.len())];
        let all: Vec<Vec<u8>> = (0..size).map(event).collect();
        let honest = copy(&all, &[size / 2], &key);
        let mut files = honest.clone();
        let (expected, only) = edit(chosen, &mut files, size, &key, places);
        prop_assert!(files != honest, "{:?} did nothing", chosen);
        let found = findings(&files, &key);
        let named = |finding: &Finding| {
            expected
                .iter()
                .any(|(fault, place)| *fault == finding.fault && place.as_ref().is_none_or(|place| *place == finding.place))
        };
        prop_assert!(found.iter().any(named), "{:?} of {}: {:?}, found {:?}", chosen, size, expected, found);
        prop_assert!(!only || found.iter().all(named), "{:?} of {}: only {:?}, found {:?}", chosen, size, expected, found);
        Ok(())
    });
}

/// Servers that end in the middle, sign again, and have clocks that go back: the log is what it is, and nothing is said of it.
#[test]
fn honest_copies_have_no_findings() {
    let key = key();
    let times = proptest::collection::vec(any::<i32>(), 1..700);
    run(&(times, any::<[Index; 4]>()), |(times, signed)| {
        let of = |(at, time): (usize, &i32)| {
            let time = Timestamp(i64::from(*time) * 1_000_000_000);
            let event = Event::of_job(time, TenantId([7; 16]), Word::new("expire"), format!("{at} tokens"));
            let mut bytes = Vec::new();
            event.canonical(crate::random::bytes(), &mut bytes);
            bytes
        };
        let all: Vec<Vec<u8>> = times.iter().enumerate().map(of).collect();
        let sizes: Vec<usize> = signed.iter().map(|index| index.index(all.len() + 1)).collect();
        let files = copy(&all, &sizes, &key);
        prop_assert_eq!(findings(&files, &key), []);
        let own = checked(&files, None, Some(&note(&all[..sizes[0]], &key)));
        prop_assert!(own.own_key && own.findings.is_empty() && own.head.unwrap().size == all.len() as u64);
        Ok(())
    });
}

#[test]
fn a_tree_of_three_levels_is_whole() {
    let key = key();
    let all: Vec<Vec<u8>> = (0..66_000).map(|at: usize| at.to_be_bytes().to_vec()).collect();
    let mut files = copy(&all, &[], &key);
    assert!(files.contains_key("tile/2/000.p/1") && files.contains_key("tile/1/001.p/1"));
    assert_eq!(findings(&files, &key), []);
    let flip = |files: &mut Files, name: &str, at: usize| files.get_mut(name).unwrap()[at] ^= 1;
    let found = |files: &Files| -> Vec<(Fault, String)> {
        findings(files, &key).into_iter().map(|finding| (finding.fault, finding.place)).collect()
    };
    let changed = |place: &str| (Fault::Changed, place.to_owned());
    flip(&mut files, "tile/2/000.p/1", 0);
    assert_eq!(found(&files), [changed("tile/2/000.p/1")]);
    // A tile of each level and an event elsewhere: each is told by what is above and below.
    for name in ["tile/0/003", "tile/1/000"] {
        flip(&mut files, name, 0);
    }
    assert_eq!(found(&files), [changed("tile/0/003"), changed("tile/1/000"), changed("tile/2/000.p/1")]);
    for name in ["tile/1/000", "tile/2/000.p/1"] {
        flip(&mut files, name, 0);
    }
    flip(&mut files, "tile/entries/007", 5);
    assert_eq!(found(&files), [changed("tile/0/003"), changed("event 1792")]);
    // Events and the lowest tile over them, but nothing above.
    flip(&mut files, "tile/0/007", 9);
    assert_eq!(found(&files), [changed("tile/0/003"), changed("tile/0/007"), changed("among events 1792 to 2047")]);
    for at in 0..200 {
        files.remove(&format!("tile/entries/{at:03}"));
    }
    let lost = findings(&files, &key);
    assert!(lost.iter().any(|finding| finding.fault == Fault::Missing && finding.place == "events 2048 to 51199"), "{lost:?}");
}

#[test]
fn a_checkpoint_that_was_kept_shows_what_the_copy_alone_does_not() {
    let key = key();
    let all: Vec<Vec<u8>> = (0..40).map(event).collect();
    let public = LogKey::of(ORIGIN, &key).unwrap();
    let seen = |files: &Files, kept: &[u8]| -> Vec<Fault> {
        checked(files, Some(public.clone()), Some(kept)).findings.into_iter().map(|finding| finding.fault).collect()
    };
    let kept = note(&all[..30], &key);
    assert_eq!(seen(&copy(&all, &[], &key), &kept), []);
    assert_eq!(seen(&copy(&all[..20], &[], &key), &kept), [Fault::Truncated]);
    let mut other = all.clone();
    other[3].push(b' ');
    assert_eq!(seen(&copy(&other, &[], &key), &kept), [Fault::Forked]);
    assert_eq!(seen(&copy(&all, &[], &key), b"no note"), [Fault::Changed]);
    assert_eq!(seen(&copy(&all, &[], &key), &note(&all[..30], &self::key())), [Fault::OtherKey]);
}

#[test]
fn folders_that_are_no_copies_are_told() {
    let faults =
        |files: &Files| -> Vec<Fault> { checked(files, None, None).findings.into_iter().map(|finding| finding.fault).collect() };
    assert_eq!(faults(&Files::new()), [Fault::Missing]);
    let mut files = copy(&[event(0)], &[], &key());
    files.remove(CHECKPOINT);
    assert_eq!(faults(&files), [Fault::Missing]);
    // Trees that are said to be larger than any folder.
    let key = key();
    files.insert(KEY.to_owned(), format!("{}\n", LogKey::of(ORIGIN, &key).unwrap()).into_bytes());
    for size in [3_000, 1 << 40, u64::MAX] {
        let head = TreeHead { origin: ORIGIN.to_owned(), size, root: [0; 32] };
        files.insert(CHECKPOINT.to_owned(), head.sign(&key).unwrap().into_bytes());
        let found = findings(&files, &key);
        assert!(found.iter().any(|finding| finding.fault == Fault::Truncated), "{found:?}");
    }
    // The log of somebody else, signed with the same key.
    let head = TreeHead { origin: "strongroom/d/other/0".to_owned(), size: 1, root: leaf_hash(&event(0)) };
    files.insert(CHECKPOINT.to_owned(), head.sign(&key).unwrap().into_bytes());
    assert_eq!(faults(&files), [Fault::OtherKey]);
}

#[test]
fn an_export_that_was_cut_off_is_said_to_be_unfinished_and_nothing_else() {
    let key = key();
    let all: Vec<Vec<u8>> = (0..700).map(event).collect();
    let mut files = copy(&all[..300], &[300], &key);
    files.extend(written(&all[..600]).into_iter().filter(|(name, _)| !name.contains(".p/")));
    files.insert(UNFINISHED.to_owned(), Vec::new());
    let found: Vec<Fault> = findings(&files, &key).into_iter().map(|finding| finding.fault).collect();
    assert_eq!(found, [Fault::Unfinished]);
}
