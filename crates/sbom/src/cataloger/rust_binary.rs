//! Rust programs that carry their dependency list: the section `.dep-v0`, zlib over JSON (cargo-auditable's format).

use std::io::Read as _;

use flate2::read::ZlibDecoder;
use serde::Deserialize;

use super::executable::Executable;
use super::{Draft, Fact, Need, Unreadable};
use crate::bill::{PackageFile, PackageKind, Uncertainty};

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
    /// Whether it is the program itself.
    #[serde(default)]
    root: bool,
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
            says_needs: true,
            file: package.root.then(PackageFile::program),
            ..Draft::new(PackageKind::Cargo, &package.name, Some(&package.version))
        }))
    });
    Ok(facts.collect())
}

/// Looks for the list in a program that is too large to be held, piece by piece: by what it starts with, since the table
/// of sections stands at the end of a file.
#[derive(Default)]
pub(crate) struct Scanner {
    /// The end of what has been seen, or all from a list's start on.
    kept: Vec<u8>,
    found: bool,
    /// How many places have been tried.
    tried: usize,
}

/// The most places tried: of any bytes one in 16,000 looks like the start of zlib data, so that a gigabyte has 65,000.
const MAX_TRIED: usize = 100_000;

/// What the inflated list starts with (cargo-auditable's format).
const START: &[u8] = b"{\"packages\":[{\"name\":";

/// How many bytes of a list tell whether it is one: more than those of the start inflate from.
const ENOUGH: usize = 64;

/// The most compressed bytes of a list.
const MAX_SECTION: usize = 4 * 1024 * 1024;

impl Scanner {
    /// Takes the next piece of the file.
    pub(crate) fn feed(&mut self, piece: &[u8]) {
        let room = match self.found {
            true => MAX_SECTION.saturating_sub(self.kept.len()),
            false => usize::MAX,
        };
        if self.tried >= MAX_TRIED {
            return;
        }
        self.kept.extend_from_slice(piece.get(..room).unwrap_or(piece));
        if self.found {
            return;
        }
        let starts = memchr::memchr_iter(b'x', &self.kept).filter(|at| self.kept.len() - at >= ENOUGH);
        let room = MAX_TRIED - self.tried;
        let mut tried = 0;
        let start = starts
            .filter(|at| is_zlib(self.kept.get(*at..)))
            .take(room)
            .inspect(|_| tried += 1)
            .find(|at| is_list(self.kept.get(*at..).unwrap_or_default()));
        self.tried += tried;
        self.found = start.is_some();
        let dropped = start.unwrap_or_else(|| self.kept.len().saturating_sub(ENOUGH - 1));
        self.kept.drain(..dropped);
    }

    /// What the program says, if it has a list. It was known by its content alone.
    pub(crate) fn finish(&self) -> Result<Vec<Fact>, Unreadable> {
        if self.tried >= MAX_TRIED {
            let reason = format!("more than {MAX_TRIED} places in it look like a Rust dependency list");
            return Err(Unreadable::new("executable-too-large", reason));
        }
        if !self.found {
            return Ok(Vec::new());
        }
        let mut facts = parse(&self.kept)?;
        for fact in &mut facts {
            if let Fact::Package(draft) = fact {
                draft.uncertain = draft.uncertain.or(Some(Uncertainty::FromContent));
            }
        }
        Ok(facts)
    }
}

/// Whether bytes start as zlib data do: a window of 32 KiB, and a check over both bytes (RFC 1950, 2.2).
fn is_zlib(bytes: Option<&[u8]>) -> bool {
    matches!(bytes, Some([0x78, 0x01 | 0x5e | 0x9c | 0xda, ..]))
}

/// Whether they inflate to what a list starts with.
fn is_list(bytes: &[u8]) -> bool {
    let mut start = [0; START.len()];
    let mut decoder = ZlibDecoder::new(bytes.get(..4096).unwrap_or(bytes));
    decoder.read_exact(&mut start).is_ok() && start == START
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What looks like a list everywhere is tried for a while, and that is said.
    #[test]
    fn a_file_of_nothing_but_starts_is_given_up() {
        let mut scanner = Scanner::default();
        for _ in 0..40 {
            scanner.feed(&[0x78, 0x9c].repeat(8192));
        }
        assert_eq!(scanner.tried, MAX_TRIED);
        assert_eq!(scanner.finish().unwrap_err().code, "executable-too-large");
        assert_eq!(Scanner::default().finish(), Ok(Vec::new()));
    }
}
