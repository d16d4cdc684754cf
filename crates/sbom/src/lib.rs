//! What is inside an image: its packages, read from its files, and the documents that list them.
//!
//! [`catalog`] reads an image's layers once and returns a [`Bill`]; [`Listing`] is what one layer holds, which can be kept; [`Format::write`] turns a bill into a document, and
//! [`read`] a document of anyone into a bill. [`elements`] says what a document lacks, [`difference`] what two differ in. A kind of package is one file in `cataloger/`, listed in `cataloger.rs`'s registry: it says which
//! files it wants and turns the bytes of one file into facts; `assemble` puts the facts together.
//!
//! Deliberately not done: nothing is looked up on a network or run; packages are not matched against advisories; no
//! CPE is guessed unless asked for ([`cpe`]). What could not be read is listed in the bill, never passed over.
//!
//! Specifications: SPDX 2.2 to 3.0.1, CycloneDX 1.2 to 1.7, Syft's JSON schema, purl-spec; deb-control(5), DEP 5,
//! apk-tools' installed database, PEP 376 and 566, npm's package.json, cargo-auditable's format, Go's `debug/buildinfo`;
//! rpm's header format, SQLite's file format, libdb's `db_page.h`; APPNOTE.TXT, the JAR file specification, Maven's POM;
//! systemd's package metadata for executables.

#![warn(clippy::as_conversions, clippy::indexing_slicing)]

mod assemble;
mod bill;
mod catalog;
mod cataloger;
pub mod cpe;
pub mod cyclonedx;
pub mod difference;
mod document;
pub mod elements;
mod format;
mod licence;
pub mod listing;
mod party;
mod reader;
pub mod reading;
pub mod spdx;
pub mod spdx3;
pub mod syft;

pub use bill::{
    Bill, Completeness, Distribution, FileHash, FileHashAlgorithm, LayerRecord, Location, Note, Package, PackageFile,
    PackageId, PackageKind, Relationship, Source, Uncertainty,
};
pub use catalog::{Options, SbomError, Squash, catalog};
pub use document::{Details, DocumentInfo};
pub use format::{CyclonedxVersion, Format, UnknownFormat};
pub use licence::Licence;
pub use listing::{Listing, ListingError};
pub use party::{Party, PartyKind};
pub use reading::{Document, ReadError, ReadOptions, read, read_with};
