//! Two lists of events: those that are there, and those that were signed. What is wrong is named event by event.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::super::merkle::Hash;
use super::{Fault, Finding, events};

/// A stretch of events in which the two differ.
pub(super) struct Stretch {
    /// Index of its first event.
    pub(super) first: u64,
    /// Leaf hashes of what is there.
    pub(super) there: Vec<Hash>,
    /// Leaf hashes that were signed.
    pub(super) truth: Vec<Hash>,
}

/// What stands in the stretches and belongs to none of them.
pub(super) fn strangers(stretches: &[Stretch]) -> HashSet<Hash> {
    let known: HashSet<&Hash> = stretches.iter().flat_map(|stretch| &stretch.truth).collect();
    stretches.iter().flat_map(|stretch| &stretch.there).filter(|hash| !known.contains(hash)).copied().collect()
}

/// Names the differences. No event was signed twice: each has a nonce of its own. `elsewhere` are events outside of the stretches
/// (stranger's hash to index); `size` is the number of all events.
pub(super) fn compare(stretches: &[Stretch], elsewhere: &HashMap<Hash, u64>, size: u64) -> Vec<Finding> {
    let truth = || stretches.iter().flat_map(|stretch| (stretch.first..).zip(&stretch.truth));
    let places: HashMap<&Hash, u64> = truth().map(|(index, hash)| (hash, index)).collect();
    let there: HashSet<&Hash> = stretches.iter().flat_map(|stretch| &stretch.there).collect();
    let mut lost: BTreeSet<u64> = truth().filter(|(_, hash)| !there.contains(hash)).map(|(index, _)| index).collect();
    let mut findings = Vec::new();
    let mut standing: Vec<(u64, u64)> = Vec::new();
    let mut seen: HashSet<u64> = HashSet::new();
    // The event that should stand here, as far as can be told from those before.
    let mut expected = 0;
    let mut end = None;
    for stretch in stretches {
        if end != Some(stretch.first) {
            expected = stretch.first;
        }
        end = Some(stretch.first + stretch.truth.len() as u64);
        for (entry, hash) in (stretch.first..).zip(&stretch.there) {
            match (places.get(hash), elsewhere.get(hash)) {
                (Some(place), _) => {
                    standing.push((*place, entry));
                    if seen.insert(*place) {
                        expected = place + 1;
                    } else {
                        // Written over another one, which is then missing.
                        expected += u64::from(lost.contains(&expected));
                    }
                }
                (None, Some(place)) => {
                    findings.push(duplicated(*place, entry));
                    expected += u64::from(lost.contains(&expected));
                }
                (None, None) if lost.remove(&expected) => {
                    findings.push(Finding::new(Fault::Changed, event(expected), "its bytes are not those that were logged"));
                    expected += 1;
                }
                (None, None) => {
                    findings.push(Finding::new(Fault::Added, format!("entry {entry}"), "no such event was logged"));
                }
            }
        }
    }
    findings.extend(displaced(&standing));
    findings.extend(gone(&lost, size));
    findings
}

fn duplicated(place: u64, entry: u64) -> Finding {
    Finding::new(Fault::Duplicated, event(place), format!("it stands again as entry {entry}"))
}

/// Names the fewest that have to be taken out for the rest to stand in order: all but a longest increasing subsequence. Of an event
/// that stands there more than once, it keeps one that is in its place, if there is one.
fn displaced(standing: &[(u64, u64)]) -> Vec<Finding> {
    // For each length, where the subsequence of that length ends whose last place is the smallest.
    let mut ends: Vec<(u64, usize)> = Vec::new();
    let mut before: Vec<Option<usize>> = Vec::with_capacity(standing.len());
    for (at, (place, _)) in standing.iter().enumerate() {
        let length = ends.partition_point(|(last, _)| last < place);
        before.push(length.checked_sub(1).and_then(|shorter| ends.get(shorter)).map(|(_, at)| *at));
        match ends.get_mut(length) {
            Some(end) => *end = (*place, at),
            None => ends.push((*place, at)),
        }
    }
    let mut kept = HashSet::new();
    let mut next = ends.last().map(|(_, at)| *at);
    while let Some(at) = next {
        kept.insert(at);
        next = before.get(at).copied().flatten();
    }
    let mut named: HashSet<u64> = kept.iter().filter_map(|at| standing.get(*at)).map(|(place, _)| *place).collect();
    let out = standing.iter().enumerate().filter(|(at, _)| !kept.contains(at));
    let finding = |(_, (place, entry)): (usize, &(u64, u64))| {
        if named.insert(*place) {
            Finding::new(Fault::Reordered, event(*place), format!("it stands as entry {entry}"))
        } else {
            duplicated(*place, *entry)
        }
    };
    out.map(finding).collect()
}

/// What is left of `lost`, as stretches; one at the end is a truncation.
fn gone(lost: &BTreeSet<u64>, size: u64) -> Vec<Finding> {
    let mut stretches: Vec<(u64, u64)> = Vec::new();
    for at in lost {
        match stretches.last_mut() {
            Some((_, end)) if *end + 1 == *at => *end = *at,
            _ => stretches.push((*at, *at)),
        }
    }
    let finding = |(first, last): (u64, u64)| {
        if last + 1 == size {
            Finding::new(Fault::Truncated, events(first, last), format!("{size} events were signed; the end is not there"))
        } else {
            Finding::new(Fault::Missing, events(first, last), "logged, and not there")
        }
    };
    stretches.into_iter().map(finding).collect()
}

fn event(index: u64) -> String {
    events(index, index)
}
