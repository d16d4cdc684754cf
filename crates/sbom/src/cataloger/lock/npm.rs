//! npm's `package-lock.json` and `npm-shrinkwrap.json`, versions 1 to 3.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::{Draft, Unreadable, local, locked, malformed};
use crate::bill::PackageKind;

#[derive(Deserialize)]
struct LockFile {
    /// Since version 2: by the folder that each is installed in.
    packages: Option<BTreeMap<String, Installed>>,
    /// Version 1, and for older programs in version 2: by name, one in another.
    dependencies: Option<BTreeMap<String, Locked>>,
}

#[derive(Deserialize)]
struct Installed {
    name: Option<String>,
    version: Option<String>,
    resolved: Option<Value>,
    license: Option<Value>,
    #[serde(default)]
    dev: bool,
    #[serde(default)]
    link: bool,
}

#[derive(Deserialize)]
struct Locked {
    version: Option<String>,
    #[serde(default)]
    dev: bool,
    dependencies: Option<BTreeMap<String, Self>>,
}

pub(super) fn read(text: &str) -> Result<Vec<Draft>, Unreadable> {
    let file: LockFile = serde_json::from_str(text).map_err(malformed)?;
    if let Some(packages) = file.packages {
        return Ok(packages
            .iter()
            .filter_map(|(path, package)| installed(path, package))
            .collect());
    }
    let mut drafts = Vec::new();
    nested(&file.dependencies.unwrap_or_default(), &mut drafts);
    Ok(drafts)
}

fn installed(path: &str, package: &Installed) -> Option<Draft> {
    // What is not in a modules folder is the application itself, or a part of it.
    let (_, folder) = path.rsplit_once("node_modules/")?;
    if package.dev || package.link {
        return None;
    }
    let name = package.name.as_deref().unwrap_or(folder);
    let version = package.version.as_deref();
    let resolved = package.resolved.as_ref().and_then(Value::as_str).unwrap_or_default();
    let mut draft = if resolved.starts_with("git") || resolved.starts_with("file:") {
        local(PackageKind::Npm, name, version)
    } else {
        locked(PackageKind::Npm, name, version)
    };
    draft
        .licences
        .extend(package.license.as_ref().and_then(Value::as_str).map(str::to_owned));
    Some(draft)
}

/// JSON's reader ends at 128 levels.
fn nested(dependencies: &BTreeMap<String, Locked>, drafts: &mut Vec<Draft>) {
    for (name, package) in dependencies.iter().filter(|(_, package)| !package.dev) {
        let version = package.version.as_deref().unwrap_or_default();
        let draft = if let Some((alias, version)) = version.strip_prefix("npm:").and_then(|v| v.rsplit_once('@')) {
            locked(PackageKind::Npm, alias, Some(version))
        } else if version.starts_with(|c: char| c.is_ascii_digit()) {
            locked(PackageKind::Npm, name, Some(version))
        } else {
            // An address or a folder.
            local(PackageKind::Npm, name, None)
        };
        drafts.push(draft);
        if let Some(inner) = &package.dependencies {
            nested(inner, drafts);
        }
    }
}
