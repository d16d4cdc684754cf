//! NuGet's `packages.lock.json`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Draft, Unreadable, locked, malformed};
use crate::bill::PackageKind;

#[derive(Deserialize)]
struct LockFile {
    /// By target framework, then by name.
    dependencies: BTreeMap<String, BTreeMap<String, Locked>>,
}

#[derive(Deserialize)]
struct Locked {
    r#type: String,
    resolved: Option<String>,
}

pub(super) fn read(text: &str) -> Result<Vec<Draft>, Unreadable> {
    let file: LockFile = serde_json::from_str(text).map_err(malformed)?;
    let packages = file.dependencies.values().flatten();
    // A project is the application's own.
    let drafts = packages.filter(|(_, package)| package.r#type != "Project");
    Ok(drafts
        .map(|(name, package)| locked(PackageKind::Nuget, name, package.resolved.as_deref()))
        .collect())
}
