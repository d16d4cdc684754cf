//! Whether what a lock file names is there.

use std::collections::{BTreeMap, HashSet};

use super::Told;
use crate::bill::PackageKind;

/// For each package, whether it is named by a lock file only and is left out:
///
/// 1. all of a lock file of Node.js beside which a `node_modules` folder has packages: the folder is what was installed;
/// 2. all of one of which at least half is installed somewhere: it was followed, and what is missing was left out
///    (other platforms, development);
/// 3. else what is installed, which tells of itself.
pub(super) fn superseded(drafts: &[Told<'_>]) -> Vec<bool> {
    let mut left_out = vec![false; drafts.len()];
    let mut files: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (at, told) in drafts.iter().enumerate().filter(|(_, told)| told.draft.locked) {
        files.entry(told.path).or_default().push(at);
    }
    if files.is_empty() {
        return left_out;
    }
    let installed: HashSet<(PackageKind, String, &str)> = drafts
        .iter()
        .filter(|told| !told.draft.locked)
        .filter_map(|told| key(told))
        .collect();
    let modules = modules(drafts);
    for (path, entries) in files {
        let is_installed = |at: &usize| {
            drafts
                .get(*at)
                .and_then(key)
                .is_some_and(|key| installed.contains(&key))
        };
        let found = entries.iter().filter(|at| is_installed(at)).count();
        let followed = found * 2 >= entries.len() || modules.contains(folder(path));
        for at in entries {
            if (followed || is_installed(&at))
                && let Some(left_out) = left_out.get_mut(at)
            {
                *left_out = true;
            }
        }
    }
    left_out
}

/// The descriptions of applications: `package.json` beside a `node_modules` with packages in it, or beside a lock file.
pub(super) fn applications<'d>(drafts: &[Told<'d>]) -> HashSet<&'d str> {
    let mut folders = modules(drafts);
    let locked = drafts
        .iter()
        .filter(|told| told.draft.locked && told.draft.kind == PackageKind::Npm);
    folders.extend(locked.map(|told| folder(told.path)));
    let applications = drafts
        .iter()
        .filter(|told| told.draft.application && folders.contains(folder(told.path)));
    applications.map(|told| told.path).collect()
}

/// PyPI's names are the same with either mark between words, and in either case.
fn key<'d>(told: &Told<'d>) -> Option<(PackageKind, String, &'d str)> {
    let draft = told.draft;
    let name = match draft.kind {
        PackageKind::Pypi => draft.name.to_ascii_lowercase().replace(['_', '.'], "-"),
        PackageKind::Nuget => draft.name.to_ascii_lowercase(),
        _ => draft.name.clone(),
    };
    Some((draft.kind, name, draft.version.as_deref()?))
}

fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// The folders that have a `node_modules` with packages in it.
fn modules<'d>(drafts: &[Told<'d>]) -> HashSet<&'d str> {
    /// The deepest that packages lie in packages.
    const MAX_DEPTH: usize = 64;
    let installed = drafts
        .iter()
        .filter(|told| told.draft.kind == PackageKind::Npm && !told.draft.locked);
    installed
        .flat_map(|told| {
            let places = told.path.match_indices("node_modules/").take(MAX_DEPTH);
            places.filter_map(|(at, _)| told.path.get(..at))
        })
        .filter(|before| before.is_empty() || before.ends_with('/'))
        .map(|before| before.trim_end_matches('/'))
        .collect()
}
