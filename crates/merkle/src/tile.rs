//! C2SP tlog-tiles: where a log's tiles and entry bundles are, how wide they are, and what is in them.
//!
//! A tile has 256 hashes of one level in eight; a partial tile is the beginning of the later full one.

use thiserror::Error;

use crate::hash::{HASH_LENGTH, TreeHash};

/// The hashes of a full tile, and the entries of a full bundle.
pub const TILE_WIDTH: u64 = 256;
/// The levels of the tree between one level of tiles and the next: log2 of [`TILE_WIDTH`].
pub const TILE_HEIGHT: u32 = 8;
/// The highest tile level: a tree of 2^64 leaves has 64 levels, eight to a tile (tlog-tiles allows 0 to 63).
pub const MAX_TILE_LEVEL: u32 = 7;
/// The longest entry that a bundle can carry: its length is written in sixteen bits.
pub const MAX_ENTRY_BYTES: usize = 65_535;

/// Which tile or entry bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TilePath {
    kind: TileKind,
    index: u64,
    width: u16,
}

/// What a tile path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TileKind {
    /// Hashes; tile level 0 holds the leaves, level 1 every eighth level above, and so on.
    Hashes {
        /// The tile level.
        level: u32,
    },
    /// The entries themselves.
    Entries,
}

/// Why a path, tile or bundle is malformed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TileError {
    /// Not `tile/<level>/<index>[.p/<width>]` in the one canonical spelling.
    #[error("not the path of a tile: \"{path}\"")]
    Path {
        /// The path given, shortened.
        path: String,
    },
    /// An entry longer than its length field can say.
    #[error("an entry of {seen} bytes does not fit a bundle, which allows {MAX_ENTRY_BYTES}")]
    EntryTooLong {
        /// The length of the entry.
        seen: usize,
    },
    /// The bundle ends within an entry, or has more entries than a bundle can.
    #[error("the entry bundle is cut off or too long after {entries} entries")]
    Bundle {
        /// The whole entries before the fault.
        entries: usize,
    },
    /// The tile's length is not a whole number of hashes, or more than a full tile.
    #[error("a tile of {seen} bytes is not 1 to 256 hashes")]
    Length {
        /// The length of the tile.
        seen: usize,
    },
}

impl TilePath {
    /// Names a tile or bundle; `width` is 1 to 256, 256 being a full one.
    #[must_use]
    pub fn new(kind: TileKind, index: u64, width: u16) -> Option<Self> {
        let level_exists = match kind {
            TileKind::Hashes { level } => level <= MAX_TILE_LEVEL,
            TileKind::Entries => true,
        };
        let width_fits = (1..=TILE_WIDTH).contains(&u64::from(width));
        // Keeps the arithmetic on leaf numbers within 64 bits.
        let index_fits = index < 1 << (u64::BITS - TILE_HEIGHT);
        (level_exists && width_fits && index_fits).then_some(Self { kind, index, width })
    }

    /// Reads the path after the log's prefix, such as `tile/0/x001/234.p/5`.
    pub fn parse(path: &str) -> Result<Self, TileError> {
        Self::read(path)
            .filter(|parsed| parsed.path() == path)
            .ok_or_else(|| TileError::Path {
                path: path.chars().take(MAX_QUOTED).collect(),
            })
    }

    fn read(path: &str) -> Option<Self> {
        // The longest: `tile/63/` and 20 digits in threes with their `x` and `/`, and `.p/255`.
        if path.len() > MAX_PATH {
            return None;
        }
        let (level, index) = path.strip_prefix("tile/")?.split_once('/')?;
        let kind = match level {
            "entries" => TileKind::Entries,
            digits => TileKind::Hashes {
                level: digits.parse().ok()?,
            },
        };
        let (index, width) = match index.split_once(".p/") {
            Some((index, width)) => (index, width.parse().ok().filter(|w| u64::from(*w) < TILE_WIDTH)?),
            None => (index, u16::try_from(TILE_WIDTH).ok()?),
        };
        let mut number = 0_u64;
        for group in index.split('/') {
            let digits = group.strip_prefix('x').unwrap_or(group);
            if digits.len() != 3 || !digits.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            number = number.checked_mul(1000)?.checked_add(digits.parse().ok()?)?;
        }
        Self::new(kind, number, width)
    }

    /// The path after the log's prefix.
    #[must_use]
    pub fn path(&self) -> String {
        let level = match self.kind {
            TileKind::Hashes { level } => level.to_string(),
            TileKind::Entries => "entries".to_owned(),
        };
        let mut groups = vec![format!("{:03}", self.index % 1000)];
        let mut rest = self.index / 1000;
        while rest > 0 {
            groups.push(format!("x{:03}", rest % 1000));
            rest /= 1000;
        }
        groups.reverse();
        let partial = if self.is_full() {
            String::new()
        } else {
            format!(".p/{}", self.width)
        };
        format!("tile/{level}/{}{partial}", groups.join("/"))
    }

    /// What it names.
    #[must_use]
    pub fn kind(&self) -> TileKind {
        self.kind
    }

    /// The number of the tile in its level.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.index
    }

    /// How many hashes or entries, 1 to 256.
    #[must_use]
    pub fn width(&self) -> u16 {
        self.width
    }

    /// Whether it is a full tile.
    #[must_use]
    pub fn is_full(&self) -> bool {
        u64::from(self.width) == TILE_WIDTH
    }

    /// The level in the tree of the hashes: 0 for leaves and entries.
    #[must_use]
    pub fn tree_level(&self) -> u32 {
        match self.kind {
            TileKind::Hashes { level } => level * TILE_HEIGHT,
            TileKind::Entries => 0,
        }
    }

    /// The first node or entry in it.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.index << TILE_HEIGHT
    }

    /// Whether a tree of `size` leaves has all of it.
    #[must_use]
    pub fn exists_in(&self, size: u64) -> bool {
        let nodes = size.checked_shr(self.tree_level()).unwrap_or(0);
        self.first() + u64::from(self.width) <= nodes
    }
}

/// The hashes in a tile.
pub fn parse_hashes(tile: &[u8]) -> Result<Vec<TreeHash>, TileError> {
    let count = tile.len() / HASH_LENGTH;
    let whole = tile.len().is_multiple_of(HASH_LENGTH);
    if !whole || count == 0 || u64::try_from(count).is_ok_and(|n| n > TILE_WIDTH) {
        return Err(TileError::Length { seen: tile.len() });
    }
    Ok(tile
        .chunks_exact(HASH_LENGTH)
        .filter_map(TreeHash::from_slice)
        .collect())
}

/// Adds an entry to a bundle: two bytes of length, big-endian, and the entry.
pub fn append_entry(bundle: &mut Vec<u8>, entry: &[u8]) -> Result<(), TileError> {
    let length = u16::try_from(entry.len()).map_err(|_| TileError::EntryTooLong { seen: entry.len() })?;
    bundle.extend_from_slice(&length.to_be_bytes());
    bundle.extend_from_slice(entry);
    Ok(())
}

/// The entries in a bundle.
pub fn parse_entries(bundle: &[u8]) -> Result<Vec<&[u8]>, TileError> {
    let mut entries = Vec::new();
    let mut rest = bundle;
    while !rest.is_empty() {
        let fault = TileError::Bundle { entries: entries.len() };
        if u64::try_from(entries.len()).is_ok_and(|n| n >= TILE_WIDTH) {
            return Err(fault);
        }
        let (length, after) = rest.split_first_chunk::<2>().ok_or_else(|| fault.clone())?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (entry, after) = after.split_at_checked(length).ok_or(fault)?;
        entries.push(entry);
        rest = after;
    }
    Ok(entries)
}

/// The longest path read: see [`TilePath::parse`].
const MAX_PATH: usize = 64;
/// How much of a foreign path an error repeats.
const MAX_QUOTED: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    fn path(kind: TileKind, index: u64, width: u16) -> String {
        TilePath::new(kind, index, width).unwrap().path()
    }

    #[test]
    fn paths_are_those_of_the_specification() {
        let hashes = TileKind::Hashes { level: 0 };
        assert_eq!(path(hashes, 0, 256), "tile/0/000");
        // The example of C2SP tlog-tiles: 1234067 is x001/x234/067.
        assert_eq!(path(hashes, 1_234_067, 256), "tile/0/x001/x234/067");
        assert_eq!(path(TileKind::Hashes { level: 2 }, 273, 112), "tile/2/273.p/112");
        assert_eq!(path(TileKind::Entries, 273, 112), "tile/entries/273.p/112");
        for text in ["tile/0/x001/x234/067", "tile/entries/000.p/1", "tile/7/x999/999.p/255"] {
            assert_eq!(TilePath::parse(text).unwrap().path(), text);
        }
    }

    #[test]
    fn other_spellings_are_refused() {
        let long = format!("tile/0/{}000", "x999/".repeat(40));
        for text in [
            "",
            "tile",
            "tile/0",
            "tile/0/",
            "tile/0/0",
            "tile/00/000",
            "tile/+1/000",
            "tile/0/x000/001",
            "tile/0/001/001",
            "tile/0/x001",
            "tile/0/x001/x001",
            "tile/0/000.p/0",
            "tile/0/000.p/256",
            "tile/0/000.p/01",
            "tile/8/000",
            "tile/64/000",
            "tile/0/000/",
            "/tile/0/000",
            "tile/0/../000",
            "tile/data/000",
            "tile/0/x999/x999/x999/x999/x999/x999/999",
            long.as_str(),
        ] {
            assert!(matches!(TilePath::parse(text), Err(TileError::Path { .. })), "{text}");
        }
    }

    #[test]
    fn a_tile_exists_when_the_tree_is_large_enough() {
        let at = |text: &str, size| TilePath::parse(text).unwrap().exists_in(size);
        assert!(at("tile/0/000.p/5", 5) && !at("tile/0/000.p/6", 5));
        assert!(at("tile/0/000", 256) && !at("tile/0/000", 255));
        assert!(at("tile/1/000.p/1", 256) && !at("tile/1/000.p/1", 255));
        assert!(at("tile/2/000.p/1", 65_536) && !at("tile/2/000.p/1", 65_535));
        assert!(!at("tile/7/000.p/1", 1 << 40));
    }

    #[test]
    fn bundles_read_back_and_damage_is_named() {
        let mut bundle = Vec::new();
        append_entry(&mut bundle, b"one").unwrap();
        append_entry(&mut bundle, b"").unwrap();
        append_entry(&mut bundle, &[7; MAX_ENTRY_BYTES]).unwrap();
        let entries = parse_entries(&bundle).unwrap();
        assert_eq!(entries.len(), 3);
        assert_eq!(entries[0], b"one");
        assert_eq!(entries[2].len(), MAX_ENTRY_BYTES);
        assert_eq!(
            parse_entries(&bundle[..bundle.len() - 1]),
            Err(TileError::Bundle { entries: 2 })
        );
        assert_eq!(parse_entries(&bundle[..1]), Err(TileError::Bundle { entries: 0 }));
        assert_eq!(parse_entries(&[0; 2 * 257]), Err(TileError::Bundle { entries: 256 }));
        let long = vec![0; MAX_ENTRY_BYTES + 1];
        assert_eq!(
            append_entry(&mut bundle, &long),
            Err(TileError::EntryTooLong {
                seen: MAX_ENTRY_BYTES + 1
            })
        );
    }

    #[test]
    fn tiles_have_whole_hashes() {
        assert_eq!(parse_hashes(&[1; 64]).unwrap().len(), 2);
        for length in [0, 31, 33, 257 * 32] {
            assert_eq!(parse_hashes(&vec![0; length]), Err(TileError::Length { seen: length }));
        }
    }
}
