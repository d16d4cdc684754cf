//! Images as registries and layouts hold them: manifests, indexes, configs, and the files that their layers add up to.
//!
//! Everything here is foreign input. Parsers take bytes that the caller has bounded and hashed already, refuse what two
//! readers could understand differently (CVE-2021-41190), and bound every list. Nothing here fetches, opens a file or
//! reads a clock. Specifications: OCI image-spec 1.1, Docker image manifest version 2 schema 2, POSIX pax.

#![warn(clippy::as_conversions, clippy::indexing_slicing)]

mod config;
mod descriptor;
pub mod docker_archive;
mod json;
pub mod layout;
mod manifest;
pub mod media_types;
pub mod union;

pub use config::{ConfigError, History, ImageConfig, MAX_CONFIG_BYTES, RuntimeConfig};
pub use descriptor::{Descriptor, Platform, PlatformError};
pub use json::JsonError;
pub use manifest::{
    ImageManifest, Index, MAX_ANNOTATIONS, MAX_LAYERS, MAX_MANIFEST_BYTES, MAX_MANIFESTS, Manifest, ManifestError,
};
