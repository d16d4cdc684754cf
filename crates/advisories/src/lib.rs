//! What is known to be wrong with a package: advisories, their database, and version order per ecosystem.
//!
//! [`osv`] reads advisories and [`feeds`] what is known of exploits; a [`Builder`] makes one file of them, which a
//! [`Database`] answers from where it lies. [`Scheme`] says which of two versions is newer, by the rules of the ecosystem
//! that they are of. [`matching::scan`] looks up packages, [`vex`] hears what the makers say, [`results`] reads what other scanners
//! found, and [`gate`] decides.
//!
//! Deliberately not done: nothing is fetched, no file is read, no clock asked.
//!
//! Specifications: the OSV schema, CVSS 2.0 to 4.0 (by the `cvss` crate), CISA's catalogue of known exploited
//! vulnerabilities, EPSS; deb-version(7), apk-package(5), rpm-version(7), Semantic Versioning 2.0, PEP 440, Maven's
//! `ComparableVersion`, RubyGems' `Gem::Version`, PHP's `version_compare`, NuGet's versioning.

#![warn(clippy::as_conversions, clippy::indexing_slicing)]

mod aliases;
mod database;
mod ecosystem;
pub mod feeds;
pub mod gate;
mod glob;
mod licence;
pub mod matching;
mod order;
pub mod osv;
pub mod results;
mod severity;
pub mod vex;

pub use database::{
    Added, Advisory, Affects, BuildError, Builder, Database, DatabaseError, Entry, ExploitedFeed, Header, LackingFeed,
    LeftOut, ScoresFeed, Section, SectionHeader, SourceFile, SourceRecords, Storage,
};
pub use ecosystem::Ecosystem;
pub use licence::Origin;
pub use order::Scheme;
pub use severity::{Rating, Severity};
