//! Which identifiers mean the same vulnerability: `aliases` both ways and transitively, `upstream` one way and transitively.

use std::collections::{BTreeMap, BTreeSet};

/// A record that names more aliases than this is an advisory about several vulnerabilities: OSV's own computation of
/// aliases draws the line there too.
const MAX_ALIASES: usize = 5;
/// A larger group is a mistake somewhere in it, and would make one vulnerability of many. OSV's own bound.
const MAX_GROUP: usize = 32;
/// A chain of `upstream` is three long at most in OSV's data; cycles end in any case.
const MAX_UPSTREAM: usize = 1_000;

/// The relations of all records, by numbers that stand for identifiers.
#[derive(Debug, Default)]
pub(crate) struct Relations {
    parents: BTreeMap<u32, u32>,
    upstream: BTreeMap<u32, Vec<u32>>,
}

impl Relations {
    /// Takes what a record says of itself.
    pub(crate) fn add(&mut self, id: u32, aliases: &[u32], upstream: &[u32]) {
        if aliases.len() <= MAX_ALIASES {
            for alias in aliases {
                self.join(id, *alias);
            }
        }
        if !upstream.is_empty() {
            self.upstream.entry(id).or_default().extend_from_slice(upstream);
        }
    }

    /// The groups of more than one, by each of their members.
    pub(crate) fn groups(&mut self) -> BTreeMap<u32, Vec<u32>> {
        let members: Vec<u32> = self.parents.keys().copied().collect();
        let mut by_root: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for member in members {
            let root = self.root(member);
            by_root.entry(root).or_default().push(member);
        }
        let sensible = by_root.into_values().filter(|group| group.len() <= MAX_GROUP);
        sensible
            .flat_map(|group| group.clone().into_iter().map(move |member| (member, group.clone())))
            .collect()
    }

    /// What `id` is about, near and far, without itself.
    pub(crate) fn upstream_of(&self, id: u32) -> BTreeSet<u32> {
        let mut found = BTreeSet::new();
        let mut open = vec![id];
        while let Some(next) = open.pop() {
            for above in self.upstream.get(&next).into_iter().flatten() {
                if *above != id && found.len() < MAX_UPSTREAM && found.insert(*above) {
                    open.push(*above);
                }
            }
        }
        found
    }

    fn join(&mut self, a: u32, b: u32) {
        let (a, b) = (self.root(a), self.root(b));
        // The smaller number stays root, so that the order of joining does not matter.
        self.parents.insert(a.max(b), a.min(b));
        self.parents.insert(a.min(b), a.min(b));
    }

    fn root(&mut self, of: u32) -> u32 {
        let mut at = of;
        while let Some(parent) = self.parents.get(&at).copied() {
            if parent == at {
                break;
            }
            // Halving the path keeps later walks short.
            let grandparent = self.parents.get(&parent).copied().unwrap_or(parent);
            self.parents.insert(at, grandparent);
            at = grandparent;
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_go_both_ways_and_on() {
        let mut relations = Relations::default();
        relations.add(1, &[2], &[]);
        relations.add(3, &[2], &[]);
        relations.add(4, &[5], &[]);
        let groups = relations.groups();
        for member in [1, 2, 3] {
            assert_eq!(groups[&member], [1, 2, 3]);
        }
        assert_eq!(groups[&5], [4, 5]);
        assert!(!groups.contains_key(&6));
    }

    #[test]
    fn upstream_goes_one_way() {
        let mut relations = Relations::default();
        relations.add(1, &[], &[2]);
        relations.add(2, &[], &[3, 1]);
        relations.add(4, &[], &[2]);
        assert_eq!(relations.upstream_of(1), BTreeSet::from([2, 3]));
        assert_eq!(relations.upstream_of(3), BTreeSet::new());
        assert!(relations.groups().is_empty(), "upstream makes no alias");
    }

    #[test]
    fn an_advisory_about_many_makes_them_no_one() {
        let mut relations = Relations::default();
        relations.add(1, &[2, 3, 4, 5, 6, 7], &[]);
        assert!(relations.groups().is_empty());
        for next in 10..60 {
            relations.add(next, &[next + 1], &[]);
        }
        assert!(relations.groups().is_empty(), "51 names of one vulnerability");
    }
}
