//! From events, in their order, to the files of a copy.

use std::io;

use super::super::merkle::{Hash, leaf_hash};
use super::super::note::TreeHead;
use super::super::tile::{self, Edge, LEVELS, Tile, WIDTH};
use super::{Folder, LARGE};

/// Writes entries and tiles. Keeps no more than one tile of each level, and one bundle.
#[derive(Default)]
pub struct Writer {
    edge: Edge,
    /// The bundle that is not full.
    bundle: Vec<u8>,
}

impl Writer {
    /// Goes on behind a copy of this tree; `None` when the tiles at its end are not those of the tree.
    pub fn resume(folder: &dyn Folder, head: &TreeHead) -> io::Result<Option<Self>> {
        let mut levels = Vec::new();
        for level in (0..LEVELS).map(Some) {
            let last = Tile::of(level, Tile::count(level, head.size) / WIDTH, head.size);
            let file = last.map(|tile| folder.read(&tile.path())).transpose()?.flatten();
            levels.push(file.and_then(|bytes| tile::hashes(&bytes)).unwrap_or_default());
        }
        let Some(edge) = Edge::new(head.size, levels).filter(|edge| edge.root() == head.root) else { return Ok(None) };
        let last = Tile::of(None, head.size / WIDTH, head.size);
        let bundle = last.map(|tile| folder.read(&tile.path())).transpose()?.flatten().unwrap_or_default();
        Ok(Some(Self { edge, bundle }))
    }

    /// Takes the events of full bundles that an export which was cut off has written, as far as there are any and not beyond
    /// `size` events. What they are is not checked here: the root shows it.
    pub fn take_over(
        &mut self,
        folder: &dyn Folder,
        size: u64,
        put: &mut impl FnMut(&str, &[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        loop {
            let next = self.size();
            let tile = Tile { level: None, index: next / WIDTH, width: WIDTH };
            let file = if tile.index * WIDTH + WIDTH <= size { folder.read(&tile.path())? } else { None };
            let Some(bytes) = file else { return Ok(()) };
            let (entries, _) = tile::entries(&bytes);
            if entries.len() as u64 != WIDTH {
                return Ok(());
            }
            for entry in entries.into_iter().skip(usize::try_from(next % WIDTH).unwrap_or(0)) {
                let beside = entry.try_into().ok().map(|leaf| folder.read(&large(leaf))).transpose()?.flatten();
                self.push(beside.as_deref().unwrap_or(entry), put)?;
            }
        }
    }

    /// Number of events so far.
    pub fn size(&self) -> u64 {
        self.edge.size()
    }

    /// Root of their tree.
    pub fn root(&self) -> Hash {
        self.edge.root()
    }

    /// Adds the next event. Files that are full are handed to `put`, as path and content.
    pub fn push<E>(&mut self, entry: &[u8], put: &mut impl FnMut(&str, &[u8]) -> Result<(), E>) -> Result<(), E> {
        let leaf = leaf_hash(entry);
        if !tile::append(&mut self.bundle, entry) {
            put(&large(&leaf), entry)?;
        }
        if (self.edge.size() + 1).is_multiple_of(WIDTH) {
            let index = self.edge.size() / WIDTH;
            put(&Tile { level: None, index, width: WIDTH }.path(), &self.bundle)?;
            self.bundle.clear();
        }
        self.edge.push(leaf, &mut |tile, hashes| put(&tile.path(), hashes.as_flattened()))
    }

    /// Writes what is not full.
    pub fn finish<E>(&self, put: &mut impl FnMut(&str, &[u8]) -> Result<(), E>) -> Result<(), E> {
        let size = self.edge.size();
        if let Some(last) = Tile::of(None, size / WIDTH, size) {
            put(&last.path(), &self.bundle)?;
        }
        self.edge.tiles().try_for_each(|(tile, hashes)| put(&tile.path(), hashes.as_flattened()))
    }
}

/// Where an event is that no bundle holds.
pub(super) fn large(leaf: &Hash) -> String {
    format!("{LARGE}{}", data_encoding::HEXLOWER.encode(leaf))
}
