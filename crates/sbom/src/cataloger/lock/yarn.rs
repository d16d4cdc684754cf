//! `yarn.lock`, of yarn 1 and of those since yarn 2. Neither says what only development needs.

use super::super::outline::{lines, unquoted};
use super::{Draft, Unreadable, local, locked, malformed};
use crate::bill::PackageKind;

pub(super) fn read(text: &str) -> Result<Vec<Draft>, Unreadable> {
    let mut drafts = Vec::new();
    let mut name = None;
    let mut version = None;
    let mut resolution = None;
    let mut finish = |name: Option<&str>, version: Option<&str>, resolution: Option<&str>| {
        let (Some(name), Some(version)) = (name, version) else {
            return;
        };
        drafts.extend(package(name, version, resolution));
    };
    for line in lines(text) {
        match (line.indent, line.key) {
            (0, key) => {
                finish(name.take(), version.take(), resolution.take());
                name = (key != "__metadata").then_some(key);
            }
            (2, "version") => version = Some(line.value),
            (2, "resolution" | "resolved") => resolution = Some(line.value),
            _ => {}
        }
    }
    finish(name, version, resolution);
    if drafts.is_empty()
        && text
            .lines()
            .any(|line| !line.trim().is_empty() && !line.starts_with('#'))
    {
        return Err(malformed("no entry of it has a name and a version"));
    }
    Ok(drafts)
}

/// An entry's key is what was asked for, several times `"name@range"`; since yarn 2 its resolution is what was found.
fn package(key: &str, version: &str, resolution: Option<&str>) -> Option<Draft> {
    let first = unquoted(key.split(", ").next()?.trim());
    let (asked, range) = name_and_range(first)?;
    // yarn 1 writes an alias as `"is-odd@npm:is-even@1.0.0"`.
    let alias = range
        .strip_prefix("npm:")
        .and_then(name_and_range)
        .map(|(name, _)| name);
    let Some((name, found)) = resolution
        .and_then(name_and_range)
        .filter(|(_, found)| found.contains(':'))
    else {
        return Some(yarn_1(alias.unwrap_or(asked), range, version));
    };
    if found.starts_with("npm:") {
        Some(locked(PackageKind::Npm, name, Some(version)))
    } else if found.starts_with("workspace:") || found.starts_with("patch:") {
        // The application itself; a patch's original has an entry of its own.
        None
    } else if name.contains("://") {
        Some(yarn_1(alias.unwrap_or(asked), range, version))
    } else {
        Some(local(PackageKind::Npm, name, Some(version)))
    }
}

fn yarn_1(name: &str, range: &str, version: &str) -> Draft {
    let elsewhere = ["git", "file:", "link:", "http"]
        .iter()
        .any(|start| range.starts_with(start));
    if elsewhere {
        local(PackageKind::Npm, name, Some(version))
    } else {
        locked(PackageKind::Npm, name, Some(version))
    }
}

/// `@a/b@^1.0` at the second `@`.
fn name_and_range(text: &str) -> Option<(&str, &str)> {
    let at = text.get(1..)?.find('@')? + 1;
    Some((text.get(..at)?, text.get(at + 1..)?))
}
