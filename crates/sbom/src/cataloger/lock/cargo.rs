//! `Cargo.lock`, and what its form of TOML has in common with Python's: blocks that start with `[[package]]`.

use super::{Draft, Unreadable, local, locked};
use crate::bill::PackageKind;

/// Crates that were to be built; a program in the image that carries its own list says which were.
pub(super) fn read(text: &str) -> Result<Vec<Draft>, Unreadable> {
    let drafts = blocks(text).filter_map(|block| {
        let name = block.get("name")?;
        let version = block.get("version");
        Some(match block.get("source") {
            Some(source) if source.starts_with("registry+") => locked(PackageKind::Cargo, name, version),
            _ => local(PackageKind::Cargo, name, version),
        })
    });
    Ok(drafts.collect())
}

/// A block's lines of `key = value`.
pub(super) struct Block<'t>(Vec<(&'t str, &'t str)>);

impl<'t> Block<'t> {
    /// A value, without quotes.
    pub(super) fn get(&self, key: &str) -> Option<&'t str> {
        let (_, value) = self.0.iter().find(|(name, _)| *name == key)?;
        Some(super::super::outline::unquoted(value))
    }
}

/// The blocks named `[[package]]`; tables under them end them.
pub(super) fn blocks(text: &str) -> impl Iterator<Item = Block<'_>> {
    /// The most lines of a block that are kept; only a few at its start matter.
    const MAX_LINES: usize = 64;
    text.split("[[package]]").skip(1).map(|block| {
        let own = block.lines().take_while(|line| !line.starts_with('['));
        let pairs = own.filter_map(|line| line.split_once('='));
        Block(
            pairs
                .map(|(name, value)| (name.trim(), value.trim()))
                .take(MAX_LINES)
                .collect(),
        )
    })
}
