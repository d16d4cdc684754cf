//! Python wheels that lie in an image as they were built (PEP 427): the same metadata, in a zip archive.

use super::python::distribution;
use super::zip::Archive;
use super::{Cataloger, Draft, Fact, Unreadable};
use crate::bill::Uncertainty;

/// Reads wheels.
pub(super) struct Wheel;

/// The largest wheel read; some of PyTorch's have 900 MB, most are below 50.
const MAX_WHEEL_BYTES: u64 = 128 * 1024 * 1024;

/// The largest metadata file read.
const MAX_METADATA: usize = 4 * 1024 * 1024;

impl Cataloger for Wheel {
    fn wants(&self, path: &str) -> bool {
        path.ends_with(".whl")
    }

    fn max_bytes(&self) -> u64 {
        MAX_WHEEL_BYTES
    }

    fn read(&self, _path: &str, bytes: &[u8]) -> Result<Vec<Fact>, Unreadable> {
        let malformed = |reason: String| Unreadable::new("python-wheel-malformed", reason);
        let archive = Archive::open(bytes).map_err(|error| malformed(error.to_string()))?;
        let entry = archive
            .entries()
            .filter_map(Result::ok)
            .find(|entry| entry.name.ends_with(".dist-info/METADATA") && entry.name.matches('/').count() == 1)
            .ok_or_else(|| malformed("it has no METADATA".to_owned()))?;
        let content = archive
            .content(&entry, MAX_METADATA)
            .map_err(|error| malformed(format!("{}: {error}", entry.name)))?;
        let draft = distribution(&content, true)?;
        Ok(vec![Fact::Package(Box::new(Draft {
            inside: Some(entry.name),
            uncertain: draft.uncertain.or(Some(Uncertainty::NotInstalled)),
            locked: true,
            ..draft
        }))])
    }
}
