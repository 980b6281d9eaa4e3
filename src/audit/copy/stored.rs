//! The files of a copy as they are found: what each one is for, and what no one is for.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::super::event::Event;
use super::super::merkle::{Hash, leaf_hash, root};
use super::super::note::BEGIN_EPOCH;
use super::super::tile::{self, ENTRY_BYTES_MAX, Tile, WIDTH};
use super::write::large;
use super::{
    CHECKPOINT, CHECKPOINTS, EXTENDS, Fault, Finding, Folder, KEY, LARGE, UNFINISHED, UNFINISHED_PART, WITNESSED, events,
};

/// Files without a place that are remembered.
const STRANGE_MAX: usize = 1_000;

/// A copy's folder, with a list of what is out of place there.
pub(super) struct Stored<'a> {
    folder: &'a dyn Folder,
    /// Notes of other sizes.
    pub(super) checkpoints: Vec<String>,
    /// What witnesses have seen.
    pub(super) witnessed: Vec<String>,
    /// That they saw one history; what is left of it is for nothing.
    pub(super) extends: BTreeSet<String>,
    /// Whether an export was cut off.
    pub(super) unfinished: bool,
    /// Events beside bundles, and whether one refers to them.
    large: BTreeMap<String, bool>,
    /// Tiles that the tree that was signed does not have; by the one that stands in their place, if one was looked for.
    strays: BTreeMap<(Option<u8>, u64), (String, Option<String>)>,
    unexpected: BTreeSet<String>,
    /// First events of epochs, and what they say.
    pub(super) epochs: BTreeMap<u64, String>,
}

/// What a bundle holds.
pub(super) struct Bundle {
    /// Leaf hashes of its entries.
    pub(super) leaves: Vec<Hash>,
    /// What is wrong with its form.
    pub(super) findings: Vec<Finding>,
}

/// A tile, as it is found.
#[derive(Default)]
pub(super) struct Found {
    /// Whether there is a file.
    pub(super) is_there: bool,
    /// What it holds, if that is as many hashes as there should be.
    pub(super) hashes: Option<Vec<Hash>>,
}

impl<'a> Stored<'a> {
    pub(super) fn new(folder: &'a dyn Folder) -> Self {
        let (large, strays, unexpected) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        let (epochs, extends) = (BTreeMap::new(), BTreeSet::new());
        let (checkpoints, witnessed) = (Vec::new(), Vec::new());
        Self { folder, checkpoints, witnessed, extends, unfinished: false, large, strays, unexpected, epochs }
    }

    /// Looks at the names of all files; the tree that was signed has `size` events.
    pub(super) fn list(&mut self, size: u64) -> io::Result<()> {
        let folder = self.folder;
        folder.walk(&mut |name| self.place(name, size))
    }

    fn place(&mut self, name: &str, size: u64) {
        let tile = Tile::parse(name);
        let digits = |rest: &str| rest.parse::<u64>().is_ok_and(|number| number.to_string() == rest);
        let hash = |rest: &str| rest.len() == 64 && data_encoding::HEXLOWER.decode(rest.as_bytes()).is_ok();
        match tile {
            _ if name == KEY || name == CHECKPOINT => {}
            _ if name == UNFINISHED || name == UNFINISHED_PART => self.unfinished = true,
            _ if name.strip_prefix(CHECKPOINTS).is_some_and(digits) => self.checkpoints.push(name.to_owned()),
            _ if name.strip_prefix(WITNESSED).is_some_and(digits) => self.witnessed.push(name.to_owned()),
            _ if name.strip_prefix(WITNESSED).and_then(|rest| rest.strip_suffix(EXTENDS)).is_some_and(digits) => {
                self.extends.insert(name.to_owned());
            }
            _ if name.strip_prefix(LARGE).is_some_and(hash) => drop(self.large.insert(name.to_owned(), false)),
            Some(tile) if Tile::of(tile.level, tile.index, size) == Some(tile) => {}
            Some(tile) if !self.strays.contains_key(&(tile.level, tile.index)) && self.strays.len() < STRANGE_MAX => {
                self.strays.insert((tile.level, tile.index), (name.to_owned(), None));
            }
            _ if self.unexpected.len() < STRANGE_MAX => drop(self.unexpected.insert(name.to_owned())),
            _ => {}
        }
    }

    pub(super) fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        self.folder.read(name)
    }

    /// The file that a tree has there, or one of another width in its place.
    fn alike(&mut self, wanted: Tile) -> io::Result<Option<(String, Vec<u8>)>> {
        let name = wanted.path();
        if let Some(bytes) = self.folder.read(&name)? {
            return Ok(Some((name, bytes)));
        }
        let Some((stray, place)) = self.strays.get_mut(&(wanted.level, wanted.index)) else { return Ok(None) };
        *place = Some(name);
        Ok(self.folder.read(stray)?.map(|bytes| (stray.clone(), bytes)))
    }

    /// The entries of a bundle, as leaf hashes.
    pub(super) fn bundle(&mut self, wanted: Tile) -> io::Result<Option<Bundle>> {
        let Some((name, bytes)) = self.alike(wanted)? else { return Ok(None) };
        let (entries, rest) = tile::entries(&bytes);
        let mut bundle = Bundle { leaves: Vec::with_capacity(entries.len()), findings: Vec::new() };
        if rest > 0 {
            bundle.findings.push(Finding::new(Fault::Changed, &name, format!("its last {rest} bytes are no entry")));
        }
        for (at, entry) in (wanted.index * WIDTH..).zip(entries) {
            let leaf = if let Ok(leaf) = entry.try_into() {
                self.beside(at, leaf, &mut bundle.findings)?
            } else {
                self.epochs.extend(epoch_begun(entry).map(|detail| (at, detail)));
                leaf_hash(entry)
            };
            bundle.leaves.push(leaf);
        }
        Ok(Some(bundle))
    }

    /// The leaf hash of an event that stands beside its bundle.
    fn beside(&mut self, at: u64, leaf: Hash, findings: &mut Vec<Finding>) -> io::Result<Hash> {
        let name = large(&leaf);
        let Some(bytes) = self.folder.read(&name)? else {
            findings.push(Finding::new(Fault::Missing, events(at, at), format!("its file {name} is not there")));
            return Ok(leaf);
        };
        self.large.insert(name.clone(), true);
        if leaf_hash(&bytes) != leaf {
            findings.push(Finding::new(Fault::Changed, events(at, at), format!("{name} is not what was logged")));
        } else if bytes.len() <= ENTRY_BYTES_MAX {
            findings.push(Finding::new(Fault::Changed, name, "it is not too long for a bundle"));
        }
        Ok(leaf)
    }

    /// The hashes of a tile.
    pub(super) fn tile(&mut self, wanted: Tile) -> io::Result<Found> {
        let Some((_, bytes)) = self.alike(wanted)? else { return Ok(Found::default()) };
        let hashes = tile::hashes(&bytes).filter(|hashes| hashes.len() as u64 == wanted.width);
        Ok(Found { is_there: true, hashes })
    }

    /// The hashes that a tile should have, from those below: of tiles, or of entries.
    pub(super) fn below(&mut self, wanted: Tile) -> io::Result<Option<Vec<Hash>>> {
        let Some(level) = wanted.level.and_then(|level| level.checked_sub(1)) else {
            let bundle = self.bundle(Tile { level: None, ..wanted })?;
            return Ok(bundle.map(|bundle| bundle.leaves).filter(|leaves| leaves.len() as u64 == wanted.width));
        };
        let mut hashes = Vec::new();
        for at in 0..wanted.width {
            let child = Tile { level: Some(level), index: wanted.index * WIDTH + at, width: WIDTH };
            let found = match self.tile(child)?.hashes {
                None if level == 0 => self.below(child)?,
                found => found,
            };
            let Some(found) = found else { return Ok(None) };
            hashes.push(root(&found));
        }
        Ok(Some(hashes))
    }

    /// Files that are no part of a copy, or in the place of one.
    pub(super) fn out_of_place(self) -> Vec<Finding> {
        let unfinished = self.unfinished;
        let unexpected = |name: String| Finding::new(Fault::Unexpected, name, "no part of a copy");
        let strays = self.strays.into_values().filter_map(|(name, place)| match place {
            Some(place) => Some(Finding::new(Fault::Changed, name, format!("the tree that was signed has {place} in its place"))),
            // What an export that was cut off has written already.
            None if unfinished => None,
            None => Some(unexpected(name)),
        });
        let unused = |(name, used): (String, bool)| (!used && !unfinished).then_some(name);
        let extends = self.extends.into_iter().filter(|_| !unfinished);
        let unexpected = self.large.into_iter().filter_map(unused).chain(extends).chain(self.unexpected).map(unexpected);
        strays.chain(unexpected).collect()
    }
}

/// What an event says, if it is the first of an epoch.
fn epoch_begun(entry: &[u8]) -> Option<String> {
    let word = BEGIN_EPOCH.as_bytes();
    if !entry.windows(word.len()).any(|part| part == word) {
        return None;
    }
    let (_, event) = Event::parse(entry).ok()?;
    event.detail.filter(|_| event.operation.as_str() == BEGIN_EPOCH && event.caller.is_none())
}
