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
    for (path, entries) in files {
        let is_installed = |at: &usize| {
            drafts
                .get(*at)
                .and_then(key)
                .is_some_and(|key| installed.contains(&key))
        };
        let found = entries.iter().filter(|at| is_installed(at)).count();
        let followed = found * 2 >= entries.len() || has_modules(path, drafts);
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

fn has_modules(path: &str, drafts: &[Told<'_>]) -> bool {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let modules = if folder.is_empty() {
        "node_modules/".to_owned()
    } else {
        format!("{folder}/node_modules/")
    };
    drafts
        .iter()
        .any(|told| told.draft.kind == PackageKind::Npm && !told.draft.locked && told.path.starts_with(&modules))
}
