//! Python's: `poetry.lock`, `uv.lock` and `pdm.lock` (one form of TOML), `Pipfile.lock`, and the pins of a
//! `requirements.txt`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::cargo::blocks;
use super::{Draft, Unreadable, local, locked, malformed};
use crate::bill::PackageKind;

pub(super) fn poetry(text: &str) -> Result<Vec<Draft>, Unreadable> {
    let drafts = blocks(text).filter_map(|block| {
        let name = block.get("name")?;
        let development = block.get("category") == Some("dev") || block.get("groups") == Some("[\"dev\"]");
        // uv lists the application itself, with where it is.
        let source = block.get("source").unwrap_or_default();
        if development || source.contains("virtual") || source.contains("editable") {
            return None;
        }
        Some(locked(PackageKind::Pypi, name, block.get("version")))
    });
    Ok(drafts.collect())
}

#[derive(Deserialize)]
struct Pipfile {
    default: BTreeMap<String, Pinned>,
}

#[derive(Deserialize)]
struct Pinned {
    version: Option<String>,
}

pub(super) fn pipfile(text: &str) -> Result<Vec<Draft>, Unreadable> {
    let file: Pipfile = serde_json::from_str(text).map_err(malformed)?;
    let drafts = file.default.iter().map(|(name, pinned)| {
        match pinned.version.as_deref().and_then(|version| version.strip_prefix("==")) {
            Some(version) => locked(PackageKind::Pypi, name, Some(version)),
            None => local(PackageKind::Pypi, name, None),
        }
    });
    Ok(drafts.collect())
}

/// Only `name==version`: what is not pinned says nothing of what is there.
pub(super) fn requirements(text: &str) -> Result<Vec<Draft>, Unreadable> {
    let drafts = text.lines().filter_map(|line| {
        let requirement = line.split(['#', ';']).next()?;
        let requirement = requirement.split(" --hash").next()?.trim_end_matches('\\').trim();
        let (name, version) = requirement.split_once("==")?;
        let name = name.split('[').next()?.trim();
        let version = version.trim_start_matches('=').trim();
        let is_name = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        let is_version = |b: u8| b.is_ascii_alphanumeric() || b"._-+!".contains(&b);
        let valid =
            !name.is_empty() && name.bytes().all(is_name) && !version.is_empty() && version.bytes().all(is_version);
        valid.then(|| locked(PackageKind::Pypi, name, Some(version)))
    });
    Ok(drafts.collect())
}
