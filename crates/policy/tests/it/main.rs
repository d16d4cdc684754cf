//! The policy room against what real programs wrote: the 215 cases of the fixtures, demands held against proofs field by
//! field, and the three policy formats deciding over them.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test reads its fixtures from files, and a fixture that cannot be read is a failure"
)]

// The one reader of fixture layouts; it is no part of any library.
#[path = "../../../verify/tests/it/layout.rs"]
mod layout;

mod advisories;
mod cases;
mod cluster_image_policy;
mod convert;
mod documentation;
mod exceptions;
mod image_validating;
mod image_validating_fields;
mod image_validating_matching;
mod kyverno;
mod kyverno_fields;
mod native;
mod requirement;
mod thresholds;
mod world;
