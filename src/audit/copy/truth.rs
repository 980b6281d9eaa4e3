//! What was signed, where the events that are there are something else: tiles lead from the signed root down to each event.

use std::collections::{HashMap, HashSet};
use std::io;

use super::super::merkle::{Hash, root};
use super::super::note::TreeHead;
use super::super::tile::{Edge, LEVELS, Tile, WIDTH};
use super::compare::{Stretch, compare, strangers};
use super::signed::Roots;
use super::stored::Stored;
use super::{Fault, Finding, events};

/// Events that are compared one by one.
const COMPARED_MAX: usize = 1 << 20;

/// The right edge of the tree that was signed, from tiles or from what is below them; with what is wrong with the tiles. `None`
/// when nothing that is there leads to the signed root.
pub(super) fn edge(stored: &mut Stored<'_>, head: &TreeHead) -> io::Result<Option<(Edge, Vec<Finding>)>> {
    // For each level what its tile may hold, and what is to be said if that is so.
    let mut choices: Vec<Vec<(Vec<Hash>, Option<Finding>)>> = Vec::new();
    for level in (0..LEVELS).map(Some) {
        let Some(tile) = Tile::of(level, Tile::count(level, head.size) / WIDTH, head.size) else {
            choices.push(vec![(Vec::new(), None)]);
            continue;
        };
        let file = stored.tile(tile)?;
        let finding = said_of(tile, file.is_there);
        let below = stored.below(tile)?.map(|hashes| (hashes, Some(finding)));
        choices.push(file.hashes.map(|hashes| (hashes, None)).into_iter().chain(below).collect());
    }
    let combinations: usize = choices.iter().map(Vec::len).product();
    for mut number in 0..combinations {
        let (mut levels, mut findings) = (Vec::new(), Vec::new());
        for level in &choices {
            let (hashes, finding) = level.get(number % level.len()).cloned().unwrap_or_default();
            number /= level.len();
            levels.push(hashes);
            findings.extend(finding);
        }
        if let Some(edge) = Edge::new(head.size, levels).filter(|edge| edge.root() == head.root) {
            return Ok(Some((edge, findings)));
        }
    }
    Ok(None)
}

pub(super) fn said_of(tile: Tile, there: bool) -> Finding {
    if there {
        Finding::new(Fault::Changed, tile.path(), "its hashes are not those of the tree that was signed")
    } else {
        Finding::new(Fault::Missing, tile.path(), "a tile of the tree is not there")
    }
}

/// Goes through all events that were signed, in order, and compares those that are there.
pub(super) struct Descent<'c, 'f> {
    stored: &'c mut Stored<'f>,
    size: u64,
    /// Roots of what was signed.
    pub(super) roots: Roots,
    findings: Vec<Finding>,
    stretches: Vec<Stretch>,
    compared: usize,
    /// Some events that were signed are not known, so that roots behind them are not either.
    blind: bool,
    progress: &'c mut dyn FnMut(u64),
}

impl<'c, 'f> Descent<'c, 'f> {
    pub(super) fn new(stored: &'c mut Stored<'f>, size: u64, roots: Roots, progress: &'c mut dyn FnMut(u64)) -> Self {
        let (findings, stretches) = (Vec::new(), Vec::new());
        Self { stored, size, roots, findings, stretches, compared: 0, blind: false, progress }
    }

    /// Everything that is wrong below the edge.
    pub(super) fn run(&mut self, edge: &Edge) -> io::Result<Vec<Finding>> {
        let tiles: Vec<(Tile, &[Hash])> = edge.tiles().collect();
        for (tile, hashes) in tiles.into_iter().rev() {
            self.children(tile, hashes)?;
        }
        if self.compared >= COMPARED_MAX {
            let last = self.stretches.last().map_or(0, |stretch| stretch.first);
            let detail = format!("so many events differ that those from {last} on were not compared one by one");
            self.findings.push(Finding::new(Fault::Changed, events(last, self.size.saturating_sub(1)), detail));
        }
        let elsewhere = self.elsewhere()?;
        self.findings.extend(compare(&self.stretches, &elsewhere, self.size));
        Ok(std::mem::take(&mut self.findings))
    }

    /// What the hashes of a tile stand for, which are known to be right.
    fn children(&mut self, tile: Tile, hashes: &[Hash]) -> io::Result<()> {
        match tile.level.and_then(|level| level.checked_sub(1)) {
            None => self.stretch(tile, hashes),
            Some(level) => (tile.index * WIDTH..)
                .zip(hashes)
                .try_for_each(|(index, hash)| self.full(Tile { level: Some(level), index, width: WIDTH }, hash)),
        }
    }

    /// A full tile whose root is known.
    fn full(&mut self, tile: Tile, expected: &Hash) -> io::Result<()> {
        let file = self.stored.tile(tile)?;
        let right = |hashes: &Vec<Hash>| root(hashes) == *expected;
        if let Some(hashes) = file.hashes.filter(right) {
            return self.children(tile, &hashes);
        }
        self.findings.push(said_of(tile, file.is_there));
        if let Some(hashes) = self.stored.below(tile)?.filter(right) {
            return self.children(tile, &hashes);
        }
        let width = 1_u64 << (8 * (u32::from(tile.level.unwrap_or(0)) + 1));
        let (first, last) = (tile.index * width, tile.index * width + width - 1);
        let detail = "neither these events nor the tiles over them lead to what was signed";
        self.findings.push(Finding::new(Fault::Changed, format!("among {}", events(first, last)), detail));
        self.blind = true;
        Ok(())
    }

    /// The leaves of one bundle.
    fn stretch(&mut self, tile: Tile, truth: &[Hash]) -> io::Result<()> {
        if !self.blind {
            self.roots.follow(truth);
        }
        let first = tile.index * WIDTH;
        (self.progress)(first);
        if self.compared >= COMPARED_MAX {
            return Ok(());
        }
        let bundle = self.stored.bundle(Tile { level: None, ..tile })?;
        let there = bundle.map_or_else(Vec::new, |bundle| {
            self.findings.extend(bundle.findings);
            bundle.leaves
        });
        if there != truth {
            self.compared += there.len().max(truth.len());
            self.stretches.push(Stretch { first, there, truth: truth.to_vec() });
        }
        Ok(())
    }

    /// Events that stand in the wrong stretch, and also where they belong.
    fn elsewhere(&mut self) -> io::Result<HashMap<Hash, u64>> {
        let (strangers, mut found) = (strangers(&self.stretches), HashMap::new());
        if strangers.is_empty() {
            return Ok(found);
        }
        let differing: HashSet<u64> = self.stretches.iter().map(|stretch| stretch.first).collect();
        for tile in Tile::all(Some(0), self.size).filter(|tile| !differing.contains(&(tile.index * WIDTH))) {
            let hashes = self.stored.tile(tile)?.hashes.unwrap_or_default();
            let known = (tile.index * WIDTH..).zip(hashes).filter(|(_, hash)| strangers.contains(hash));
            found.extend(known.map(|(index, hash)| (hash, index)));
        }
        Ok(found)
    }
}
