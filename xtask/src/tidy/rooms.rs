//! The dependency rule (ARCHITECTURE.md, "Rooms"): arrows point down the levels, never sideways among the services of
//! L4, and nothing that ships depends on the test kit. Dev-dependencies are exempt: tests may look up.

use super::Problem;
use super::metadata::Packages;

/// The level of each room. A crate that is not here has no room yet: add it to ARCHITECTURE.md first.
const LEVELS: [(&str, u8); 18] = [
    ("proofmark-types", 0),
    ("proofmark-oci", 1),
    ("proofmark-evidence", 1),
    ("proofmark-merkle", 1),
    ("proofmark-sbom", 1),
    ("proofmark-advisories", 1),
    ("proofmark-verify", 2),
    ("proofmark-policy", 2),
    ("proofmark-registry", 3),
    ("proofmark-sign", 3),
    ("proofmark-trust-root", 3),
    ("proofmark-registry-server", SERVICES),
    ("proofmark-trust-server", SERVICES),
    ("proofmark-admission", SERVICES),
    ("proofmark", 5),
    (TESTKIT, 5),
    ("xtask", TOOLS),
    ("proofmark-fuzz", TOOLS),
];

const SERVICES: u8 = 4;
const TOOLS: u8 = 6;
const TESTKIT: &str = "proofmark-testkit";

/// The L0 to L2 crates: no async, network, file system, environment, clock or randomness.
pub(super) fn is_pure(package: &str) -> bool {
    level(package).is_some_and(|level| level <= 2)
}

fn level(package: &str) -> Option<u8> {
    LEVELS
        .iter()
        .find(|(name, _)| *name == package)
        .map(|(_, level)| *level)
}

/// The arrows that point the wrong way.
pub(super) fn check(packages: &Packages) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (name, member) in &packages.members {
        let place = format!("{}/Cargo.toml", member.folder);
        let Some(from) = level(name) else {
            let text = format!("{name} has no level; add it to ARCHITECTURE.md and to xtask/src/tidy/rooms.rs");
            problems.push(Problem::new(place, "room-unknown", text));
            continue;
        };
        for dependency in &member.direct {
            let Some(to) = level(dependency) else { continue };
            if dependency == TESTKIT {
                let text = format!("{TESTKIT} is for tests: move it to [dev-dependencies]");
                problems.push(Problem::new(&place, "dependency-on-testkit", text));
            } else if to > from {
                let text = format!("{name} (L{from}) depends on {dependency} (L{to}), which is above it");
                problems.push(Problem::new(&place, "dependency-up", text));
            } else if from == SERVICES && to == SERVICES {
                let text = format!("{name} depends on {dependency}: services of L{SERVICES} do not know each other");
                problems.push(Problem::new(&place, "dependency-sideways", text));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::tidy::metadata::Member;

    fn rules(name: &str, dependencies: &[&str]) -> Vec<&'static str> {
        let member = Member {
            folder: "crates/x".to_owned(),
            direct: dependencies.iter().map(|name| (*name).to_owned()).collect(),
            linked: Default::default(),
        };
        let members = BTreeMap::from([(name.to_owned(), member)]);
        check(&Packages { members })
            .iter()
            .map(|problem| problem.rule)
            .collect()
    }

    #[test]
    fn arrows_down_and_among_libraries_are_fine() {
        for (name, dependencies) in [
            ("proofmark", &["proofmark-admission", "proofmark-types"][..]),
            ("proofmark-admission", &["proofmark-registry", "proofmark-policy"]),
            ("proofmark-policy", &["proofmark-verify", "serde"]),
            ("proofmark-evidence", &["proofmark-oci"]),
            ("proofmark-types", &["serde", "time"]),
            (TESTKIT, &["proofmark-oci"]),
        ] {
            assert!(rules(name, dependencies).is_empty(), "{name}");
        }
    }

    #[test]
    fn each_wrong_arrow_has_its_rule() {
        for (name, dependency, rule) in [
            ("proofmark-types", "proofmark-oci", "dependency-up"),
            ("proofmark-verify", "proofmark-registry", "dependency-up"),
            ("proofmark-registry", "proofmark-registry-server", "dependency-up"),
            ("proofmark-admission", "proofmark", "dependency-up"),
            (
                "proofmark-admission",
                "proofmark-registry-server",
                "dependency-sideways",
            ),
            ("proofmark", TESTKIT, "dependency-on-testkit"),
            ("proofmark-new", "serde", "room-unknown"),
        ] {
            assert_eq!(rules(name, &[dependency]), [rule], "{name} {dependency}");
        }
    }
}
