//! Rust programs that carry their dependency list: the section `.dep-v0`, zlib over JSON (cargo-auditable's format).

use std::io::Read as _;

use flate2::read::ZlibDecoder;
use serde::Deserialize;

use super::executable::Executable;
use super::{Draft, Fact, Need, Unreadable};
use crate::bill::{PackageKind, Uncertainty};

const SECTION: &str = ".dep-v0";

/// The largest list read, inflated, in bytes: the bound that auditable-info sets.
const MAX_LIST_BYTES: u64 = 8 * 1024 * 1024;

/// The most crates of a program; the largest seen have about 1,500.
const MAX_CRATES: usize = 100_000;

#[derive(Deserialize)]
struct List {
    packages: Vec<Crate>,
}

#[derive(Deserialize)]
struct Crate {
    name: String,
    version: String,
    source: String,
    #[serde(default)]
    kind: Option<String>,
    #[serde(default)]
    dependencies: Vec<usize>,
}

/// The crates that the program says it is made of.
pub(super) fn read(executable: &Executable<'_>) -> Result<Vec<Fact>, Unreadable> {
    match executable.section(SECTION) {
        Some(section) => parse(section),
        None => Ok(Vec::new()),
    }
}

/// Reads the section's bytes.
pub(super) fn parse(section: &[u8]) -> Result<Vec<Fact>, Unreadable> {
    let malformed = |reason: String| Unreadable::new("rust-dependency-list-malformed", reason);
    let mut json = Vec::new();
    ZlibDecoder::new(section)
        .take(MAX_LIST_BYTES + 1)
        .read_to_end(&mut json)
        .map_err(|error| malformed(error.to_string()))?;
    if u64::try_from(json.len()).is_ok_and(|length| length > MAX_LIST_BYTES) {
        return Err(malformed(format!("inflates to more than {MAX_LIST_BYTES} bytes")));
    }
    let list: List = serde_json::from_slice(&json).map_err(|error| malformed(error.to_string()))?;
    if list.packages.len() > MAX_CRATES {
        return Err(malformed(format!("lists {} crates", list.packages.len())));
    }
    // What only the build needed is not in the program.
    let kept: Vec<Option<usize>> = list
        .packages
        .iter()
        .scan(0, |next, package| {
            let is_kept = package.kind.as_deref() != Some("build");
            let at = *next;
            *next += usize::from(is_kept);
            Some(is_kept.then_some(at))
        })
        .collect();
    let runtime = list
        .packages
        .iter()
        .filter(|package| package.kind.as_deref() != Some("build"));
    let facts = runtime.map(|package| {
        let needs = package
            .dependencies
            .iter()
            .filter_map(|index| kept.get(*index).copied().flatten())
            .map(Need::Sibling);
        Fact::Package(Box::new(Draft {
            uncertain: (package.source != "crates.io" && package.source != "registry")
                .then_some(Uncertainty::NotFromRegistry),
            needs: needs.collect(),
            ..Draft::new(PackageKind::Cargo, &package.name, Some(&package.version))
        }))
    });
    Ok(facts.collect())
}
