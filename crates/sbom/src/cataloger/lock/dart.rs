//! Dart's `pubspec.lock`.

use super::super::outline::lines;
use super::{Draft, Unreadable, local, locked, malformed};
use crate::bill::PackageKind;

pub(super) fn read(text: &str) -> Result<Vec<Draft>, Unreadable> {
    let mut drafts = Vec::new();
    let mut in_packages = false;
    let mut seen = false;
    let mut current = Entry::default();
    for line in lines(text) {
        match (line.indent, line.key) {
            (0, key) => {
                drafts.extend(std::mem::take(&mut current).draft());
                in_packages = key == "packages";
                seen |= in_packages;
            }
            (2, key) if in_packages => {
                drafts.extend(std::mem::take(&mut current).draft());
                current.name = Some(key);
            }
            (4, "dependency") => current.dependency = line.value,
            (4, "source") => current.source = line.value,
            (4, "version") => current.version = Some(line.value),
            _ => {}
        }
    }
    drafts.extend(current.draft());
    if !seen {
        return Err(malformed("it has no packages"));
    }
    Ok(drafts)
}

#[derive(Default)]
struct Entry<'t> {
    name: Option<&'t str>,
    dependency: &'t str,
    source: &'t str,
    version: Option<&'t str>,
}

impl Entry<'_> {
    fn draft(self) -> Option<Draft> {
        let name = self.name?;
        match self.source {
            // The SDK's own packages have the version 0.0.0.
            _ if self.dependency == "direct dev" => None,
            "sdk" => None,
            "hosted" => Some(locked(PackageKind::Pub, name, self.version)),
            _ => Some(local(PackageKind::Pub, name, self.version)),
        }
    }
}
