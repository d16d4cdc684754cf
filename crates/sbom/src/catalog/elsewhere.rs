//! Databases of distributions that are reached through symbolic links. Catalogers know them by their paths, so one that a
//! link has led elsewhere is found by the distribution's own tools and not by us: that must be said.

use std::collections::{BTreeMap, HashMap};

use super::gathered::Gathered;
use crate::cataloger::{RepositoryName, repository_name, system_files};

/// The most bytes of links remembered; images in use have some 2 MB.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// What a link takes beside its texts.
const LINK: usize = 64;

/// The most links on the way to a file (Linux, `MAXSYMLINKS`): more are a loop.
const MAX_HOPS: usize = 40;

/// The visible symbolic links.
#[derive(Default)]
pub(super) struct Symlinks {
    targets: HashMap<String, String>,
    bytes: usize,
    left_out: bool,
}

impl Symlinks {
    pub(super) fn add(&mut self, path: &str, target: &str) {
        let bytes = path.len() + target.len() + LINK;
        if self.bytes + bytes > MAX_BYTES {
            self.left_out = true;
            return;
        }
        self.bytes += bytes;
        self.targets.insert(path.to_owned(), target.to_owned());
    }

    pub(super) fn remove(&mut self, path: &str) {
        if let Some(target) = self.targets.remove(path) {
            self.bytes -= path.len() + target.len() + LINK;
        }
    }

    /// Notes databases that are there under another path than their own.
    pub(super) fn note_databases(&self, gathered: &mut Gathered) {
        if self.left_out {
            let reason = format!("they take more than the {MAX_BYTES} bytes remembered");
            gathered.note("symbolic links", "symlinks-too-many", reason);
        }
        for path in system_files() {
            let Some(real) = self.resolve(path) else { continue };
            if real != *path && gathered.is_file(&real) && !system_files().any(|known| *known == real) {
                let reason = format!("links lead it to {real}, which is not read");
                gathered.note(path, "package-database-elsewhere", reason);
            }
        }
    }

    /// The names that Debian's Maven repository has for archives, by where they are.
    pub(super) fn archive_names(&self) -> BTreeMap<String, Vec<RepositoryName>> {
        let mut names: BTreeMap<String, Vec<RepositoryName>> = BTreeMap::new();
        for path in self.targets.keys() {
            if let (Some(name), Some(real)) = (repository_name(path), self.resolve(path)) {
                names.entry(real).or_default().push(name);
            }
        }
        names
    }

    /// Where a path leads, inside the image: `..` stops at the root. None in a loop.
    fn resolve(&self, path: &str) -> Option<String> {
        let mut rest: Vec<&str> = components(path).rev().collect();
        let mut real: Vec<&str> = Vec::new();
        let mut hops = 0;
        while let Some(name) = rest.pop() {
            if name == ".." {
                real.pop();
                continue;
            }
            real.push(name);
            if let Some(target) = self.targets.get(&real.join("/")) {
                hops += 1;
                if hops > MAX_HOPS {
                    return None;
                }
                real.pop();
                if target.starts_with('/') {
                    real.clear();
                }
                rest.extend(components(target).rev());
            }
        }
        Some(real.join("/"))
    }
}

fn components(path: &str) -> impl DoubleEndedIterator<Item = &str> {
    path.split('/').filter(|name| !name.is_empty() && *name != ".")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(links: &[(&str, &str)], path: &str) -> Option<String> {
        let mut symlinks = Symlinks::default();
        for (path, target) in links {
            symlinks.add(path, target);
        }
        symlinks.resolve(path)
    }

    #[test]
    fn links_lead_where_the_kernel_would_go() {
        let leads = |links: &[(&str, &str)], path| resolve(links, path).unwrap();
        assert_eq!(leads(&[], "a/b"), "a/b");
        assert_eq!(leads(&[("a", "x")], "a/b"), "x/b");
        assert_eq!(leads(&[("a/b", "../c")], "a/b/d"), "c/d");
        assert_eq!(leads(&[("a/b", "/c")], "a/b/d"), "c/d");
        assert_eq!(leads(&[("a", "../../x")], "a/b"), "x/b");
        assert_eq!(leads(&[("a", "b"), ("b", "./c/"), ("c", "/d")], "a/e"), "d/e");
    }

    #[test]
    fn loops_lead_nowhere() {
        assert_eq!(resolve(&[("a", "b"), ("b", "a")], "a/x"), None);
        assert_eq!(resolve(&[("a", "a")], "a"), None);
        assert_eq!(resolve(&[("a", "a/a")], "a"), None);
        let chain: Vec<(String, String)> = (0..41).map(|n| (format!("l{n}"), format!("l{}", n + 1))).collect();
        let chain: Vec<(&str, &str)> = chain.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        assert_eq!(resolve(&chain, "l0"), None);
        assert_eq!(resolve(&chain, "l1").as_deref(), Some("l41"));
    }
}
