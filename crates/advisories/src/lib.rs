//! What is known to be wrong with a package: version order per ecosystem.
//!
//! [`Scheme`] says which of two versions is newer, by the rules of the ecosystem that they are of.
//!
//! Deliberately not done: nothing is fetched, no file is read, no clock asked.
//!
//! Specifications: deb-version(7), apk-package(5), rpm-version(7), Semantic Versioning 2.0, PEP 440, Maven's
//! `ComparableVersion`, RubyGems' `Gem::Version`, PHP's `version_compare`, NuGet's versioning.

#![warn(clippy::as_conversions, clippy::indexing_slicing)]

mod order;

pub use order::Scheme;
