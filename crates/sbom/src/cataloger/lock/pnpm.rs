//! `pnpm-lock.yaml`, versions 5 to 9. Those before 9 say what only development needs.

use super::super::outline::lines;
use super::{Draft, Unreadable, local, locked, malformed};
use crate::bill::PackageKind;

pub(super) fn read(text: &str) -> Result<Vec<Draft>, Unreadable> {
    let mut drafts: Vec<Draft> = Vec::new();
    let mut version = None;
    let mut in_packages = false;
    let mut current = None;
    for line in lines(text) {
        match (line.indent, line.key) {
            (0, "lockfileVersion") => version = line.value.split('.').next().and_then(|v| v.parse::<u32>().ok()),
            (0, key) => {
                drafts.extend(current.take());
                in_packages = key == "packages";
            }
            (2, key) if in_packages => {
                drafts.extend(current.take());
                current = package(key, version.unwrap_or_default());
            }
            (4, "dev") if line.value == "true" => current = None,
            _ => {}
        }
    }
    drafts.extend(current);
    if version.is_none() {
        return Err(malformed("it names no version of the format"));
    }
    Ok(drafts)
}

/// `/debug/4.3.4_peers` up to version 5, `/debug@4.3.4(peers)` in 6, `debug@4.3.4` in 9.
fn package(key: &str, version: u32) -> Option<Draft> {
    let plain = key.split('(').next()?;
    let plain = plain.strip_prefix('/').unwrap_or(plain);
    let (name, found) = if version <= 5 {
        let (name, found) = plain.rsplit_once('/')?;
        (name, found.split('_').next()?)
    } else {
        let at = plain.get(1..)?.find('@')? + 1;
        (plain.get(..at)?, plain.get(at + 1..)?)
    };
    Some(if found.starts_with(|c: char| c.is_ascii_digit()) {
        locked(PackageKind::Npm, name, Some(found))
    } else {
        local(PackageKind::Npm, name, None)
    })
}
