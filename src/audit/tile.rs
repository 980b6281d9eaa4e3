//! The files of a log, as C2SP's tlog-tiles names and fills them: tiles of up to 256 hashes at every eighth level of the
//! tree, and bundles of the entries themselves.
//!
//! A bundle has two bytes for the length of an entry. One that is longer has its leaf hash there instead, 32 bytes, which no
//! event is as short as; the event itself stands elsewhere.

use super::merkle::{Hash, empty_root, leaf_hash, node_hash, root};

/// Hashes in a full tile, entries in a full bundle.
pub const WIDTH: u64 = 256;
/// The longest entry that a bundle holds, in bytes.
pub const ENTRY_BYTES_MAX: usize = u16::MAX as usize;
/// Levels that a tree of 2^64 leaves has.
pub const LEVELS: u8 = 8;

/// One file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tile {
    /// Which hashes: 0 for leaves, each further level for roots of 256 of those below; `None` for entries.
    pub level: Option<u8>,
    /// Which 256 of them.
    pub index: u64,
    /// How many there are; 256 in a full one.
    pub width: u64,
}

impl Tile {
    /// The file that holds the hashes (or entries) from `256 * index` on in a tree of `size` leaves; `None` when there are none.
    pub fn of(level: Option<u8>, index: u64, size: u64) -> Option<Self> {
        let before = index.checked_mul(WIDTH)?;
        let width = Self::count(level, size).checked_sub(before).filter(|width| *width > 0)?;
        Some(Self { level, index, width: width.min(WIDTH) })
    }

    /// The file's path: `tile/0/x001/x234/067.p/8`.
    pub fn path(&self) -> String {
        let level = self.level.map_or_else(|| "entries".to_owned(), |level| level.to_string());
        let mut name = format!("{:03}", self.index % 1000);
        let mut rest = self.index / 1000;
        while rest > 0 {
            name = format!("x{:03}/{name}", rest % 1000);
            rest /= 1000;
        }
        let partial = if self.width == WIDTH { String::new() } else { format!(".p/{}", self.width) };
        format!("tile/{level}/{name}{partial}")
    }

    /// Reads `path`. Other ways of writing the same are `None`.
    pub fn parse(path: &str) -> Option<Self> {
        let (level, name) = path.strip_prefix("tile/")?.split_once('/')?;
        let level = if level == "entries" { None } else { Some(level.parse().ok().filter(|level| *level < LEVELS)?) };
        let (name, width) = match name.split_once(".p/") {
            Some((name, width)) => (name, width.parse().ok().filter(|width| (1..WIDTH).contains(width))?),
            None => (name, WIDTH),
        };
        let mut index: u64 = 0;
        for part in name.split('/') {
            let digits = part.strip_prefix('x').unwrap_or(part);
            let number: u64 = digits.parse().ok().filter(|_| digits.len() == 3)?;
            index = index.checked_mul(1000)?.checked_add(number)?;
        }
        let tile = Self { level, index, width };
        (tile.path() == path).then_some(tile)
    }

    /// How many hashes (or entries) a tree of `size` leaves has at a level.
    pub fn count(level: Option<u8>, size: u64) -> u64 {
        size.checked_shr(8 * u32::from(level.unwrap_or(0))).unwrap_or(0)
    }

    /// All files of one level of a tree of `size` leaves.
    pub fn all(level: Option<u8>, size: u64) -> impl Iterator<Item = Self> {
        (0..).map_while(move |index| Self::of(level, index, size))
    }
}

/// Appends an entry to a bundle: its length and itself. Returns whether it fits; if not, its leaf hash is there instead.
pub fn append(bundle: &mut Vec<u8>, entry: &[u8]) -> bool {
    let mut push = |length: u16, bytes: &[u8]| {
        bundle.extend_from_slice(&length.to_be_bytes());
        bundle.extend_from_slice(bytes);
    };
    match u16::try_from(entry.len()) {
        Ok(length) => push(length, entry),
        Err(_) => push(32, &leaf_hash(entry)),
    }
    entry.len() <= ENTRY_BYTES_MAX
}

/// The entries of a bundle, and how many bytes at its end are none.
pub fn entries(bundle: &[u8]) -> (Vec<&[u8]>, usize) {
    let (mut entries, mut rest) = (Vec::new(), bundle);
    while let Some((length, tail)) = rest.split_first_chunk() {
        let Some((entry, tail)) = tail.split_at_checked(usize::from(u16::from_be_bytes(*length))) else { break };
        entries.push(entry);
        rest = tail;
    }
    (entries, rest.len())
}

/// The hashes of a tile; `None` when its length is not that of some.
pub fn hashes(tile: &[u8]) -> Option<Vec<Hash>> {
    let (hashes, rest) = tile.as_chunks::<32>();
    rest.is_empty().then(|| hashes.to_vec())
}

/// The tiles on the right edge of a tree, those that are not full: all that is needed to append to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    size: u64,
    /// One for each level, lowest first.
    levels: Vec<Vec<Hash>>,
}

impl Default for Edge {
    fn default() -> Self {
        Self { size: 0, levels: vec![Vec::new(); usize::from(LEVELS)] }
    }
}

impl Edge {
    /// Of a tree of `size` leaves, from the hashes of each level, lowest first; `None` when there are more or fewer than it has.
    pub fn new(size: u64, levels: Vec<Vec<Hash>>) -> Option<Self> {
        let fits = |(level, hashes): (u8, &Vec<Hash>)| hashes.len() as u64 == Tile::count(Some(level), size) % WIDTH;
        let whole = levels.len() == usize::from(LEVELS) && (0..LEVELS).zip(&levels).all(fits);
        whole.then_some(Self { size, levels })
    }

    /// Number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Root of the tree.
    pub fn root(&self) -> Hash {
        let mut joined: Option<Hash> = None;
        for hashes in &self.levels {
            let mut rest = hashes.as_slice();
            // Perfect subtrees, from the right: one for each bit of their number, the lowest first.
            while !rest.is_empty() {
                let (left, right) = rest.split_at(rest.len() - (1 << rest.len().trailing_zeros()));
                let subtree = root(right);
                joined = Some(joined.map_or(subtree, |joined| node_hash(&subtree, &joined)));
                rest = left;
            }
        }
        joined.unwrap_or_else(empty_root)
    }

    /// Appends a leaf. Tiles that are full now are handed to `full`, lowest first.
    pub fn push<E>(&mut self, leaf: Hash, full: &mut impl FnMut(Tile, &[Hash]) -> Result<(), E>) -> Result<(), E> {
        self.size += 1;
        let mut hash = leaf;
        for (level, hashes) in (0..LEVELS).zip(&mut self.levels) {
            hashes.push(hash);
            if hashes.len() as u64 != WIDTH {
                break;
            }
            let index = Tile::count(Some(level), self.size) / WIDTH - 1;
            full(Tile { level: Some(level), index, width: WIDTH }, hashes)?;
            hash = root(hashes);
            hashes.clear();
        }
        Ok(())
    }

    /// The tiles that are not full, lowest first.
    pub fn tiles(&self) -> impl Iterator<Item = (Tile, &[Hash])> {
        (0..LEVELS).zip(&self.levels).filter(|(_, hashes)| !hashes.is_empty()).map(|(level, hashes)| {
            let index = Tile::count(Some(level), self.size) / WIDTH;
            (Tile { level: Some(level), index, width: hashes.len() as u64 }, hashes.as_slice())
        })
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    /// The examples of the specification.
    #[test]
    fn paths_and_counts_are_those_of_the_specification() {
        let path = |level, index, width| Tile { level, index, width }.path();
        assert_eq!(path(Some(0), 1_234_067, 256), "tile/0/x001/x234/067");
        assert_eq!(path(None, 5, 112), "tile/entries/005.p/112");
        let shape = |size: u64| -> Vec<(u64, u64)> {
            let of =
                |level| {
                    Tile::all(Some(level), size).fold((0, 0), |(full, part), tile| {
                        if tile.width == WIDTH { (full + 1, part) } else { (full, tile.width) }
                    })
                };
            (0..4).map(of).collect()
        };
        assert_eq!(shape(70_000), [(273, 112), (1, 17), (0, 1), (0, 0)]);
        assert_eq!(shape(256), [(1, 0), (0, 1), (0, 0), (0, 0)]);
        for wrong in [
            "tile/0/1",
            "tile/0/001.p/256",
            "tile/0/001.p/0",
            "tile/0/x000/001",
            "tile/8/001",
            "tile/00/001",
            "tile/0/001/002",
            "tile/a/001",
        ] {
            assert_eq!(Tile::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_edge_has_the_root_of_the_whole_tree_and_full_tiles_that_of_theirs() {
        let (mut edge, mut leaves, mut tiles) = (Edge::default(), Vec::new(), Vec::new());
        for at in 0..1_000_u32 {
            let leaf = leaf_hash(&at.to_be_bytes());
            leaves.push(leaf);
            let mut full = |tile: Tile, hashes: &[Hash]| -> Result<(), Infallible> {
                tiles.push((tile.path(), root(hashes)));
                Ok(())
            };
            let Ok(()) = edge.push(leaf, &mut full);
            assert_eq!(edge.root(), root(&leaves), "{at}");
        }
        let expected: Vec<(String, Hash)> =
            leaves.chunks_exact(256).enumerate().map(|(at, part)| (format!("tile/0/00{at}"), root(part))).collect();
        assert_eq!(tiles, expected);
        assert_eq!(Edge::default().root(), empty_root());
        let levels: Vec<Vec<Hash>> = edge.levels.clone();
        assert_eq!(Edge::new(1_000, levels.clone()), Some(edge));
        assert_eq!(Edge::new(1_001, levels.clone()), None);
        assert_eq!(Edge::new(1_000, levels[..7].to_vec()), None);
    }

    proptest! {
        #[test]
        fn paths_are_read_back(level in proptest::option::of(0..LEVELS), index: u64, width in 1..=WIDTH) {
            let tile = Tile { level, index, width };
            prop_assert_eq!(Tile::parse(&tile.path()), Some(tile));
        }

        #[test]
        fn bundles_are_read_back(all in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..70), 0..20), cut: u8) {
            let mut bytes = Vec::new();
            prop_assert!(all.iter().all(|entry| append(&mut bytes, entry)));
            let (read, rest) = entries(&bytes);
            prop_assert!(rest == 0 && read == all);
            let cut = bytes.len().saturating_sub(usize::from(cut) % 5);
            let (read, rest) = entries(&bytes[..cut]);
            prop_assert_eq!(read.iter().map(|entry| entry.len() + 2).sum::<usize>() + rest, cut);
        }
    }
}
