//! What is done to honest copies, and what has to be found then.

use proptest::sample::Index;

use super::super::tile::{self, Tile};
use super::verify_tests::{Files, LARGE_ONE, copy, event, written};
use super::*;
use crate::crypto::SigningKey;

/// Changes the entries of one bundle, and leaves the tree as it is.
fn edit_bundle(files: &mut Files, size: usize, index: usize, edit: impl FnOnce(&mut Vec<Vec<u8>>)) {
    let tile = Tile::of(None, index as u64, size as u64).unwrap();
    let bundle = files.get_mut(&tile.path()).unwrap();
    let mut entries: Vec<Vec<u8>> = tile::entries(bundle).0.into_iter().map(<[u8]>::to_vec).collect();
    edit(&mut entries);
    bundle.clear();
    assert!(entries.iter().all(|entry| tile::append(bundle, entry)));
}

/// Takes bundles and long events from another copy, and leaves the tree as it is.
fn take_events(files: &mut Files, other: Files, size: usize) {
    let is_event = |name: &str| name.starts_with("tile/entries/") || name.starts_with(LARGE);
    files.retain(|name, _| !is_event(name));
    for (name, bytes) in other.into_iter().filter(|(name, _)| is_event(name)) {
        // Under the name that the tree asks for, so that only the content is another.
        let wanted = Tile::parse(&name).and_then(|tile| Tile::of(None, tile.index, size as u64)).map(|tile| tile.path());
        files.insert(wanted.unwrap_or(name), bytes);
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Edit {
    Flip,
    FlipEvent,
    Drop,
    DropAndClose,
    DropFile,
    Swap,
    Duplicate,
    WriteOver,
    Add,
    CutBundle,
    Truncate,
    TruncateAll,
    Rewrite,
    Fork,
    OtherKey,
    AddFile,
}

pub(super) const EDITS: [Edit; 16] = [
    Edit::Flip,
    Edit::FlipEvent,
    Edit::Drop,
    Edit::DropAndClose,
    Edit::DropFile,
    Edit::Swap,
    Edit::Duplicate,
    Edit::WriteOver,
    Edit::Add,
    Edit::CutBundle,
    Edit::Truncate,
    Edit::TruncateAll,
    Edit::Rewrite,
    Edit::Fork,
    Edit::OtherKey,
    Edit::AddFile,
];

/// What must be found: a fault, with its place if that is one.
pub(super) type Expected = (Fault, Option<String>);

/// Does one edit to an honest copy. Says what has to be found, one of these; and whether that is all.
pub(super) fn edit(
    edit: Edit,
    files: &mut Files,
    size: usize,
    key: &SigningKey,
    (a, b): (Index, Index),
) -> (Vec<Expected>, bool) {
    let (at, other) = (a.index(size), b.index(size));
    let (bundle, inside) = (at / 256, at % 256);
    let named = |fault, at: usize| vec![(fault, Some(format!("event {at}")))];
    let gone = |at: usize| named(if at + 1 == size { Fault::Truncated } else { Fault::Missing }, at);
    let all: Vec<Vec<u8>> = (0..size).map(event).collect();
    let half = size / 2;
    match edit {
        Edit::Flip => {
            let name = files.keys().nth(a.index(files.len())).unwrap().clone();
            let bytes = files.get_mut(&name).unwrap();
            let at = b.index(bytes.len());
            bytes[at] ^= 1 << (at % 8);
            if name == KEY || name.starts_with(CHECKPOINT) {
                // The name or the id of a key, flipped, is that of another.
                return (vec![(Fault::Changed, Some(name.clone())), (Fault::OtherKey, Some(name))], false);
            }
            let tile = Tile::parse(&name).is_some_and(|tile| tile.level.is_some());
            // A length that is flipped makes something else of all that follows in the bundle.
            (vec![(Fault::Changed, tile.then_some(name))], tile)
        }
        Edit::FlipEvent => {
            edit_bundle(files, size, bundle, |entries| *entries[inside].last_mut().unwrap() ^= 1);
            // Of a long event it is the hash.
            (named(Fault::Changed, at), at != LARGE_ONE)
        }
        Edit::Drop => {
            edit_bundle(files, size, bundle, |entries| drop(entries.remove(inside)));
            (gone(at), at != LARGE_ONE)
        }
        Edit::DropAndClose => {
            let rest: Vec<Vec<u8>> =
                all.iter().enumerate().filter(|(index, _)| *index != at).map(|(_, event)| event.clone()).collect();
            take_events(files, written(&rest), size);
            // The last bundle has nothing left when that was all it had.
            (gone(at), true)
        }
        Edit::DropFile => {
            let droppable: Vec<String> = files.keys().filter(|name| !name.starts_with(CHECKPOINTS)).cloned().collect();
            let name = droppable[a.index(droppable.len())].clone();
            files.remove(&name);
            let place = match Tile::parse(&name) {
                Some(Tile { level: None, index, width }) => {
                    let (first, last) = (256 * index, 256 * index + width - 1);
                    let fault = if last + 1 == size as u64 { Fault::Truncated } else { Fault::Missing };
                    return (
                        vec![(fault, Some(events(first, last)))],
                        !files.keys().any(|name| name.starts_with(LARGE)) || index > 0,
                    );
                }
                None if name.starts_with(LARGE) => format!("event {LARGE_ONE}"),
                _ => name,
            };
            (vec![(Fault::Missing, Some(place))], true)
        }
        Edit::Swap => {
            let (at, other) = if at == other { (at, (at + 1) % size) } else { (at, other) };
            let mut swapped = all.clone();
            swapped.swap(at, other);
            take_events(files, written(&swapped), size);
            // Of three in the reverse order, any two stand wrong.
            let (low, high) = (at.min(other), at.max(other));
            let wrong = if high - low == 2 { (low..=high).collect() } else { vec![low, high] };
            (wrong.into_iter().flat_map(|at| named(Fault::Reordered, at)).collect(), true)
        }
        Edit::Duplicate => {
            let mut more = all.clone();
            more.insert(other, all[at].clone());
            let mut longer = written(&more);
            // What has no room in the last bundle of the tree goes into it all the same.
            if let Some(extra) = longer
                .remove(&Tile::of(None, size as u64 / 256, size as u64 + 1).unwrap().path())
                .filter(|_| size.is_multiple_of(256))
            {
                longer.get_mut(&Tile::of(None, size as u64 / 256 - 1, size as u64).unwrap().path()).unwrap().extend(extra);
            } else {
                longer = written(&more);
            }
            take_events(files, longer, size);
            (named(Fault::Duplicated, at), true)
        }
        Edit::WriteOver => {
            let (at, other) = if at == other { (at, (at + 1) % size) } else { (at, other) };
            let mut changed = all.clone();
            changed[other] = all[at].clone();
            take_events(files, written(&changed), size);
            (named(Fault::Duplicated, at), false)
        }
        Edit::Add => {
            edit_bundle(files, size, bundle, |entries| entries.insert(inside, b"never logged".to_vec()));
            (vec![(Fault::Added, Some(format!("entry {at}")))], true)
        }
        Edit::CutBundle => {
            let tile = Tile::of(None, bundle as u64, size as u64).unwrap().path();
            let bytes = files.get_mut(&tile).unwrap();
            bytes.truncate(1 + b.index(bytes.len() - 1));
            let whole = tile::entries(bytes).1 == 0;
            let last = bundle == (size - 1) / 256;
            (
                vec![(if last { Fault::Truncated } else { Fault::Missing }, None), (Fault::Changed, Some(tile))],
                whole && bundle > 0,
            )
        }
        Edit::Truncate => {
            let last = (size - 1) / 256;
            edit_bundle(files, size, last, |entries| entries.truncate(entries.len() / 2));
            (vec![(Fault::Truncated, None)], last > 0)
        }
        Edit::TruncateAll => {
            // An older copy in every file, but for a later checkpoint.
            let newest = files[CHECKPOINT].clone();
            *files = copy(&all[..half], &[half / 2], key);
            files.insert(format!("{CHECKPOINTS}{size}"), newest);
            (vec![(Fault::Truncated, Some(events(half as u64, size as u64 - 1)))], true)
        }
        Edit::Rewrite => {
            // Events and tree fit each other, and not what was signed.
            let mut other = all.clone();
            other[at].push(b' ');
            let honest = std::mem::replace(files, written(&other));
            files.extend(honest.into_iter().filter(|(name, _)| name.starts_with(CHECKPOINT) || name == KEY));
            let range = if at < half { (0, half) } else { (half, size) };
            (vec![(Fault::Changed, Some(format!("among {}", events(range.0 as u64, range.1 as u64 - 1))))], true)
        }
        Edit::Fork => {
            // Whoever has the key signs another history, after one half of the first was signed.
            let mut other = all.clone();
            other[at % half].push(b' ');
            let signed = files[&format!("{CHECKPOINTS}{half}")].clone();
            *files = copy(&other, &[], key);
            files.insert(format!("{CHECKPOINTS}{half}"), signed);
            (vec![(Fault::Forked, Some(format!("{CHECKPOINTS}{half}")))], true)
        }
        Edit::OtherKey => {
            *files = copy(&all, &[half], &super::verify_tests::key());
            (vec![(Fault::OtherKey, Some(CHECKPOINT.to_owned())), (Fault::OtherKey, Some(KEY.to_owned()))], true)
        }
        Edit::AddFile => {
            let hash = "0".repeat(64);
            let strange =
                ["notes.txt", "tile/0/999", "tile/entries/999", &format!("large/{hash}"), "checkpointsx", "tile/0/000.p/3"];
            let name = strange[a.index(strange.len())];
            files.insert(name.to_owned(), b"?".to_vec());
            (vec![(Fault::Unexpected, Some(name.to_owned()))], true)
        }
    }
}
