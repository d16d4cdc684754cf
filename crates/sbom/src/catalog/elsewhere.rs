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

/// The most names walked over for all links of a repository: a name takes at most a path's length of time, a link of Debian's
/// has some twenty.
const MAX_STEPS: usize = 200_000;

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

    /// The names that Debian's Maven repository has for archives, by where they are. Where following all of its links
    /// would take too long, that is noted, and the archives of the rest go by their own names.
    pub(super) fn archive_names(&self, gathered: &mut Gathered) -> BTreeMap<String, Vec<RepositoryName>> {
        let mut links: Vec<(&String, RepositoryName)> = self
            .targets
            .keys()
            .filter_map(|path| Some((path, repository_name(path)?)))
            .collect();
        // So that which of them are followed does not depend on the order of a table.
        links.sort_unstable();
        let mut names: BTreeMap<String, Vec<RepositoryName>> = BTreeMap::new();
        let mut steps = MAX_STEPS;
        for (path, name) in links {
            let real = self.resolve_within(path, &mut steps);
            if steps == 0 {
                let reason = format!("following its links takes more than {MAX_STEPS} steps");
                gathered.note("usr/share/maven-repo", "symlinks-too-many", reason);
                break;
            }
            if let Some(real) = real {
                names.entry(real).or_default().push(name);
            }
        }
        names
    }

    /// Where a path leads, inside the image: `..` stops at the root. None in a loop.
    fn resolve(&self, path: &str) -> Option<String> {
        let mut steps = usize::MAX;
        self.resolve_within(path, &mut steps)
    }

    /// The same, each name on the way being one of so many steps; none where there are no more.
    fn resolve_within(&self, path: &str, steps: &mut usize) -> Option<String> {
        let mut rest: Vec<&str> = components(path).rev().collect();
        let mut real: Vec<&str> = Vec::new();
        let mut hops = 0;
        while let Some(name) = rest.pop() {
            *steps = steps.checked_sub(1)?;
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

    /// Many steps are soon made by links that are long; what was followed till then counts.
    #[test]
    fn a_repository_of_long_ways_is_not_followed_for_ever() {
        let mut symlinks = Symlinks::default();
        let way = "d/".repeat(200);
        for n in 0..2_000 {
            let path = format!("usr/share/maven-repo/org/x/a{n:04}/1/a{n:04}-1.jar");
            symlinks.add(&path, &format!("/{way}a{n}.jar"));
        }
        let mut gathered = Gathered::default();
        let names = symlinks.archive_names(&mut gathered);
        assert!((100..1_999).contains(&names.len()), "{}", names.len());
        let (_, notes) = gathered.into_parts();
        assert_eq!(notes[0].code, "symlinks-too-many");
        let mut few = Symlinks::default();
        few.add("usr/share/maven-repo/org/x/a/1/a-1.jar", "/usr/share/java/a.jar");
        let mut gathered = Gathered::default();
        assert!(few.archive_names(&mut gathered).contains_key("usr/share/java/a.jar"));
        assert!(gathered.into_parts().1.is_empty());
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
