//! What was signed of a log, and the roots that its events have where something was.

use std::collections::BTreeMap;
use std::convert::Infallible;

use super::super::merkle::Hash;
use super::super::note::TreeHead;
use super::super::tile::{Edge, Tile};
use super::{CHECKPOINT, Fault, Finding, events};

/// Checkpoints that the key has signed, by size; where each was found.
pub(super) struct Signed(Vec<(String, TreeHead)>);

impl Signed {
    /// Of the copy's own, and others.
    pub(super) fn new(mut all: Vec<(String, TreeHead)>) -> Self {
        all.sort_by_key(|(_, head)| head.size);
        Self(all)
    }

    /// The roots of the log's events are to be worked out where these were signed.
    pub(super) fn roots(&self) -> Roots {
        let mut roots =
            Roots { edge: Edge::default(), wanted: self.0.iter().map(|(_, head)| head.size).collect(), found: BTreeMap::new() };
        roots.note();
        roots
    }

    /// Events that were signed later than the copy's own checkpoint, which has `size`.
    pub(super) fn longer(&self, size: u64) -> impl Iterator<Item = Finding> {
        self.0.iter().filter(move |(_, head)| head.size > size).map(move |(name, head)| {
            let detail = format!("{name} is of {} events, {CHECKPOINT} of {size}", head.size);
            Finding::new(Fault::Truncated, events(size, head.size - 1), detail)
        })
    }

    /// What was signed of another history than that with these roots.
    pub(super) fn forks(&self, roots: &Roots) -> impl Iterator<Item = Finding> {
        self.0.iter().filter(|(_, head)| roots.at(head.size).is_some_and(|root| root != head.root)).map(|(name, head)| {
            let given_up = self.0.last().is_some_and(|(_, last)| last.origin != head.origin);
            let why = if given_up { ", which was given up since: the store was put back to an older state" } else { "" };
            let detail = format!("the key has signed another history of the first {} events{why}", head.size);
            Finding::new(Fault::Forked, name, detail)
        })
    }

    /// Up to which size the events are those that were signed, and the smallest at which they are not.
    pub(super) fn good_and_bad(&self, roots: &Roots) -> (u64, Option<u64>) {
        let agree = |head: &TreeHead| roots.at(head.size) == Some(head.root);
        let good = self.0.iter().take_while(|(_, head)| agree(head)).map(|(_, head)| head.size).last();
        let bad = self.0.iter().find(|(_, head)| roots.at(head.size).is_some() && !agree(head)).map(|(_, head)| head.size);
        (good.unwrap_or(0), bad)
    }
}

/// Roots of the first events of a log.
pub(super) struct Roots {
    pub(super) edge: Edge,
    /// Sizes, smallest first.
    wanted: std::collections::VecDeque<u64>,
    found: BTreeMap<u64, Hash>,
}

impl Roots {
    /// The next event. Tiles that are full now are handed to `full`.
    pub(super) fn push<E>(&mut self, leaf: Hash, full: &mut impl FnMut(Tile, &[Hash]) -> Result<(), E>) -> Result<(), E> {
        self.edge.push(leaf, full)?;
        self.note();
        Ok(())
    }

    /// The same without a look at tiles.
    pub(super) fn follow(&mut self, leaves: &[Hash]) {
        for leaf in leaves {
            let Ok(()) = self.push(*leaf, &mut |_, _| Ok::<(), Infallible>(()));
        }
    }

    fn note(&mut self) {
        let size = self.edge.size();
        if self.wanted.front() == Some(&size) {
            self.found.insert(size, self.edge.root());
            self.wanted.retain(|wanted| *wanted > size);
        }
    }

    fn at(&self, size: u64) -> Option<Hash> {
        self.found.get(&size).copied()
    }
}
