//! DSSE, in-toto, predicates, Sigstore bundles and cosign's legacy layouts: parse and build, bounded.
//!
//! Everything here is *untrusted*: reading a bundle says what it claims, not that the claim is true. Whether it is true is
//! decided by the verify room, and only there. No I/O, no clock, no cryptography except hashing.
//!
//! | module | format |
//! |---|---|
//! | [`dsse`] | Dead Simple Signing Envelope 1.0 |
//! | [`statement`] | in-toto Statement v0.1 and v1 |
//! | [`predicate`] | predicate types, their short names and families; SLSA provenance v1 |
//! | [`bundle`] | Sigstore bundle v0.1 to v0.3 read, v0.3 written |
//! | [`simple_signing`] | the payload of cosign's container signatures |
//! | [`legacy`] | cosign's `.sig` and `.att` images |
//! | [`layout`] | where evidence hangs in a registry: tags, referrers, media types |

#![warn(clippy::as_conversions, clippy::indexing_slicing)]

pub mod bundle;
pub mod dsse;
pub mod encoding;
mod evidence_set;
mod fields;
pub mod json;
pub mod layout;
pub mod legacy;
pub mod predicate;
pub mod simple_signing;
pub mod statement;

pub use evidence_set::{EvidenceSet, Incomplete, Item, ItemContent, Origin};
pub use fields::FieldError;

/// The largest bundle, envelope or legacy payload read, in bytes. cosign reads attachments of up to 128 MiB; the bill of
/// a 1.8 GB image is about 6 MB, so a quarter of that is ample and bounds what a registry can make us hold.
pub const MAX_EVIDENCE_BYTES: u64 = 32 * 1024 * 1024;
