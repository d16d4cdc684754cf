//! The database: one file, made from many records, opened over bytes without reading them through.
//!
//! # Format, version 1
//! All numbers are little-endian.
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `PMADVDB` and a line feed |
//! | 4 | format version |
//! | 4 | length of the header |
//! | 32 | SHA-256 of the header |
//! | … | header: JSON, see [`Header`] |
//! | … | sections, one after the other, one per ecosystem |
//!
//! A section stands for itself: packages sorted by name, rows (which advisory affects which release of the package),
//! intervals of versions, advisories, texts. Its SHA-256 is in the header, so the header's own digest speaks for
//! the whole file: it is the database's [digest](Database::digest).
//!
//! # What is checked when
//! Opening reads and checks the header, and that the sections fill the file exactly, which takes microseconds. A section is
//! read and hashed when it is first used, once; an ecosystem that no package of an image is of is never read. [`Database::verify`] hashes all:
//! that is done when a file is imported or fetched. Beyond the hashes every number read is held against the bounds
//! that it points into, so a file made by somebody else is an error at worst: never a panic, and never "nothing found".

mod build;
mod format;
mod open;
mod read;

pub use build::{Added, BuildError, Builder};
pub use format::{ExploitedFeed, Header, LackingFeed, LeftOut, ScoresFeed, SectionHeader, SourceFile, SourceRecords};
pub use open::{Database, DatabaseError, Storage};
pub use read::{Advisory, Affects, Entry, Section};
