//! What two bills differ in: packages and licences come, gone and changed.

use std::collections::{BTreeMap, BTreeSet};

use crate::bill::{Bill, Package, PackageKind};

/// What changed from one bill to another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Packages that only the second has.
    pub added: Vec<Entry>,
    /// Packages that only the first has.
    pub removed: Vec<Entry>,
    /// Packages that both have, with other versions.
    pub changed: Vec<Change>,
    /// Packages that both have, under other licences.
    pub relicensed: Vec<Relicensed>,
    /// Licences that only the second has.
    pub licences_added: Vec<String>,
    /// Licences that only the first has.
    pub licences_removed: Vec<String>,
}

/// A package.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Its kind.
    pub kind: PackageKind,
    /// Its name, with its group where it has one.
    pub name: String,
    /// Its versions.
    pub versions: BTreeSet<String>,
}

/// A package with other versions.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// Its kind.
    pub kind: PackageKind,
    /// Its name, with its group where it has one.
    pub name: String,
    /// The versions that only the first bill has.
    pub from: BTreeSet<String>,
    /// The versions that only the second bill has.
    pub to: BTreeSet<String>,
}

/// A package under other licences.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Relicensed {
    /// Its kind.
    pub kind: PackageKind,
    /// Its name, with its group where it has one.
    pub name: String,
    /// The licences in the first bill.
    pub from: BTreeSet<String>,
    /// The licences in the second bill.
    pub to: BTreeSet<String>,
}

impl Difference {
    /// From `first` to `second`.
    #[must_use]
    pub fn between(first: &Bill, second: &Bill) -> Self {
        let (before, after) = (by_name(first), by_name(second));
        let mut difference = Self::default();
        for (key, held) in &before {
            match after.get(key) {
                None => difference.removed.push(entry(key, held)),
                Some(now) => difference.compare(key, held, now),
            }
        }
        let new = after.iter().filter(|(key, _)| !before.contains_key(*key));
        difference.added = new.map(|(key, held)| entry(key, held)).collect();
        let all = |bill: &BTreeMap<Key, Held>| -> BTreeSet<String> {
            bill.values().flat_map(|held| held.licences.iter().cloned()).collect()
        };
        let (old, new) = (all(&before), all(&after));
        difference.licences_added = new.difference(&old).cloned().collect();
        difference.licences_removed = old.difference(&new).cloned().collect();
        difference
    }

    /// Whether nothing differs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn compare(&mut self, (kind, name): &Key, before: &Held, after: &Held) {
        if before.versions != after.versions {
            self.changed.push(Change {
                kind: *kind,
                name: name.clone(),
                from: before.versions.difference(&after.versions).cloned().collect(),
                to: after.versions.difference(&before.versions).cloned().collect(),
            });
        }
        if before.licences != after.licences {
            self.relicensed.push(Relicensed {
                kind: *kind,
                name: name.clone(),
                from: before.licences.clone(),
                to: after.licences.clone(),
            });
        }
    }
}

type Key = (PackageKind, String);

#[derive(Default)]
struct Held {
    versions: BTreeSet<String>,
    licences: BTreeSet<String>,
}

fn by_name(bill: &Bill) -> BTreeMap<Key, Held> {
    let mut all: BTreeMap<Key, Held> = BTreeMap::new();
    for package in &bill.packages {
        let held = all.entry((package.kind, full_name(package))).or_default();
        held.versions.insert(package.version.clone().unwrap_or_default());
        held.licences.extend(package.licences.iter().map(ToString::to_string));
    }
    all
}

/// Python's names are one name in every writing (PEP 503), and documents differ in it.
fn full_name(package: &Package) -> String {
    match &package.group {
        Some(group) => format!("{group}:{}", package.name),
        None if package.kind == PackageKind::Pypi => package.name.to_lowercase().replace(['_', '.'], "-"),
        None => package.name.clone(),
    }
}

fn entry((kind, name): &Key, held: &Held) -> Entry {
    Entry {
        kind: *kind,
        name: name.clone(),
        versions: held.versions.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::read;

    fn bill(components: &Value) -> Bill {
        let document = json!({ "bomFormat": "CycloneDX", "specVersion": "1.6", "components": components });
        read(document.to_string().as_bytes()).unwrap().bill
    }

    fn component(name: &str, version: &str, licence: &str) -> Value {
        json!({ "type": "library", "name": name, "version": version, "purl": format!("pkg:npm/{name}@{version}"),
                "licenses": [{ "license": { "id": licence } }] })
    }

    #[test]
    fn packages_and_licences_come_and_go() {
        let first = bill(&json!([
            component("gone", "1", "MIT"),
            component("same", "1", "MIT"),
            component("up", "1", "MIT"),
            component("two", "1", "MIT"),
            component("relicensed", "1", "MIT")
        ]));
        let second = bill(&json!([
            component("new", "2", "ISC"),
            component("same", "1", "MIT"),
            component("up", "2", "MIT"),
            component("two", "1", "MIT"),
            component("two", "2", "MIT"),
            component("relicensed", "1", "BUSL-1.1")
        ]));
        let difference = Difference::between(&first, &second);
        let names = |entries: &[Entry]| entries.iter().map(|entry| entry.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&difference.added), ["new"]);
        assert_eq!(names(&difference.removed), ["gone"]);
        let set = |versions: &[&str]| versions.iter().map(|v| (*v).to_owned()).collect::<BTreeSet<_>>();
        let changes: Vec<_> = difference
            .changed
            .iter()
            .map(|c| (c.name.as_str(), c.from.clone(), c.to.clone()))
            .collect();
        assert_eq!(
            changes,
            [("two", set(&[]), set(&["2"])), ("up", set(&["1"]), set(&["2"]))]
        );
        assert_eq!(difference.relicensed.len(), 1);
        assert_eq!(difference.licences_added, ["BUSL-1.1", "ISC"]);
        assert!(difference.licences_removed.is_empty());
        let back = Difference::between(&second, &first);
        assert_eq!(
            (names(&back.added), names(&back.removed)),
            (names(&difference.removed), names(&difference.added))
        );
        assert_eq!(back.licences_removed, ["BUSL-1.1", "ISC"]);
    }

    #[test]
    fn one_python_name_in_two_writings_is_no_difference() {
        let named = |name: &str| {
            bill(&json!([{ "type": "library", "name": name, "version": "1", "purl": "pkg:pypi/zope-event@1" }]))
        };
        let (first, second) = (named("Zope_Event"), named("zope-event"));
        assert_ne!(first.packages[0].name, second.packages[0].name);
        assert!(Difference::between(&first, &second).is_empty());
    }

    #[test]
    fn equal_bills_do_not_differ_whatever_their_order() {
        let (a, b) = (component("a", "1", "MIT"), component("b", "1", "MIT"));
        let difference = Difference::between(&bill(&json!([a, b])), &bill(&json!([b, a])));
        assert!(difference.is_empty());
    }
}
