//! The facts of the files that are visible, in bounded memory: where there is more than fits, what takes most goes first,
//! and a note says so.

use std::collections::{BTreeMap, BTreeSet};

use proofmark_types::Digest;

use crate::assemble::{Facts, Found, path_key};
use crate::bill::Note;
use crate::cataloger::{Fact, Unreadable, is_system_database};

/// The most memory that facts may take, in bytes as they are counted: some 20 times what a full desktop has.
const MAX_FACT_BYTES: usize = 256 * 1024 * 1024;

/// The most notes kept; a bill with as many is not worth much anyway.
const MAX_NOTES: usize = 10_000;

/// What visible files say.
#[derive(Default)]
pub(super) struct Gathered {
    facts: Facts,
    /// What each file's facts take: languages' before systems', then by size. The last goes first.
    costs: BTreeSet<(bool, usize, String)>,
    cost: usize,
    notes: BTreeMap<String, Note>,
    /// How many notes there was no room for.
    unsaid: usize,
    /// How much less than usual fits.
    #[cfg(test)]
    less: usize,
}

impl Gathered {
    /// A file, or another name of one, is visible.
    pub(super) fn file(&mut self, path: &str, layer: usize) {
        self.facts.files += 1;
        self.facts.layer_of.insert(path_key(path), layer);
    }

    pub(super) fn is_file(&self, path: &str) -> bool {
        self.facts.layer_of.contains_key(&path_key(path))
    }

    pub(super) fn doc_link(&mut self, path: &str, package: String, other: String) {
        self.facts.doc_links.insert(path.to_owned(), (package, other));
    }

    /// Keeps what a file says.
    pub(super) fn keep(&mut self, path: &str, layer: usize, facts: Vec<Fact>) {
        let (facts, problems): (Vec<_>, Vec<_>) = facts.into_iter().partition(|fact| !matches!(fact, Fact::Problem(_)));
        for problem in problems {
            if let Fact::Problem(Unreadable { code, reason }) = problem {
                self.note(path, code, reason);
            }
        }
        if facts.is_empty() {
            return;
        }
        let mut known = self.forget(path).map_or_else(Vec::new, |found| found.facts);
        known.extend(facts);
        let cost = known.iter().map(cost).sum::<usize>();
        self.cost += cost;
        self.costs.insert((!is_system_database(path), cost, path.to_owned()));
        self.facts.found.insert(path.to_owned(), Found { layer, facts: known });
        while self.cost > self.limit() {
            let Some((_, cost, path)) = self.costs.last().cloned() else {
                break;
            };
            self.forget(&path);
            let reason =
                format!("what it says takes {cost} bytes, more than any other file, and all would be too much");
            self.note(&path, "facts-too-many", reason);
        }
    }

    /// The path is not there after all.
    pub(super) fn retract(&mut self, path: &str) {
        // A symbolic link was no file.
        if self.facts.layer_of.remove(&path_key(path)).is_some() {
            self.facts.files = self.facts.files.saturating_sub(1);
        }
        self.facts.doc_links.remove(path);
        self.forget(path);
        self.notes.remove(path);
    }

    pub(super) fn note(&mut self, path: &str, code: &'static str, reason: String) {
        if self.notes.len() >= MAX_NOTES && !self.notes.contains_key(path) {
            self.unsaid += 1;
            return;
        }
        let note = Note {
            path: path.to_owned(),
            code,
            reason,
        };
        self.notes.insert(path.to_owned(), note);
    }

    /// A layer's listing had no room for the facts of so many files.
    pub(super) fn dropped(&mut self, layer: usize, files: u64) {
        if files > 0 {
            let reason = format!("what {files} of its files say is left out: others of it say too much");
            self.note(&format!("layer {layer}"), "facts-too-many", reason);
        }
    }

    /// A layer has more entries than are looked at.
    pub(super) fn left_out(&mut self, layer: usize, digest: &Digest, entries: u64) {
        if entries > 0 {
            let reason = format!(
                "{entries} of its entries are left out: beside so many, only what tells of packages is looked at, \
                 and no more of that than there is room for ({digest})"
            );
            self.note(&format!("layer {layer}"), "layer-too-many-entries", reason);
        }
    }

    /// The facts, and the notes by path.
    pub(super) fn into_parts(self) -> (Facts, Vec<Note>) {
        let mut notes: Vec<Note> = self.notes.into_values().collect();
        if self.unsaid > 0 {
            notes.push(Note {
                path: String::new(),
                code: "notes-too-many",
                reason: format!("{} more notes are left out", self.unsaid),
            });
            notes.sort();
        }
        (self.facts, notes)
    }

    fn forget(&mut self, path: &str) -> Option<Found> {
        let found = self.facts.found.remove(path)?;
        let cost = found.facts.iter().map(cost).sum::<usize>();
        self.cost = self.cost.saturating_sub(cost);
        self.costs.remove(&(!is_system_database(path), cost, path.to_owned()));
        Some(found)
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "tests have less room")]
    fn limit(&self) -> usize {
        MAX_FACT_BYTES
    }

    #[cfg(test)]
    fn limit(&self) -> usize {
        MAX_FACT_BYTES - self.less
    }
}

/// Roughly the memory that a fact takes.
fn cost(fact: &Fact) -> usize {
    /// A draft without its texts, or a small fact.
    const PACKAGE: usize = 1024;
    /// What a path costs beside its bytes.
    const PATH: usize = 48;
    match fact {
        Fact::Owned { files, .. } => PATH + files.iter().map(|file| file.len() + PATH).sum::<usize>(),
        Fact::Package(draft) => PACKAGE + (draft.needs.len() + draft.provides.len()) * PATH + draft.text_bytes(),
        Fact::Distribution(_) | Fact::Problem(_) => PACKAGE,
        Fact::DebianLicences { licences, .. } => {
            PATH + licences.iter().map(|licence| licence.len() + PATH).sum::<usize>()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bill::PackageKind;
    use crate::cataloger::Draft;

    fn facts(needs: usize) -> Vec<Fact> {
        let mut draft = Draft::new(PackageKind::Npm, "x", Some("1"));
        draft.needs = vec![crate::cataloger::Need::Sibling(0); needs];
        vec![Fact::Package(Box::new(draft))]
    }

    /// The largest give way, systems' databases last, and each is named.
    #[test]
    fn what_says_too_much_gives_way_and_is_named() {
        let room = 10_000;
        let mut gathered = Gathered {
            less: MAX_FACT_BYTES - room,
            ..Gathered::default()
        };
        let system = "var/lib/dpkg/status";
        gathered.keep(system, 0, facts(100));
        for (path, needs) in [("a", 1), ("b", 40), ("c", 30), ("d", 60)] {
            gathered.file(path, 0);
            gathered.keep(path, 0, facts(needs));
        }
        let (kept, notes) = gathered.into_parts();
        assert_eq!(kept.found.keys().collect::<Vec<_>>(), ["a", "c", system]);
        let named: Vec<_> = notes.iter().map(|note| (note.path.as_str(), note.code)).collect();
        assert_eq!(named, [("b", "facts-too-many"), ("d", "facts-too-many")]);
        assert!(notes.iter().all(Note::may_hide_packages));
        assert_eq!(kept.files, 4);
    }

    #[test]
    fn what_is_taken_back_makes_room_again() {
        let mut gathered = Gathered {
            less: MAX_FACT_BYTES - 10_000,
            ..Gathered::default()
        };
        for _ in 0..10 {
            gathered.file("a", 0);
            gathered.keep("a", 0, facts(100));
            gathered.keep("a", 0, facts(10));
            gathered.retract("a");
        }
        gathered.file("b", 0);
        gathered.keep("b", 0, facts(150));
        let (kept, notes) = gathered.into_parts();
        assert_eq!((kept.found.len(), kept.files, notes.len()), (1, 1, 0));
    }

    /// As long as there is something else, the database of the distribution stays; what is larger than all goes itself.
    #[test]
    fn a_database_alone_may_be_too_much() {
        let mut gathered = Gathered {
            less: MAX_FACT_BYTES - 10_000,
            ..Gathered::default()
        };
        gathered.keep("a", 0, facts(10));
        gathered.keep("var/lib/dpkg/status", 0, facts(300));
        let (kept, notes) = gathered.into_parts();
        assert!(kept.found.is_empty());
        assert_eq!(notes.len(), 2);
    }
}
