//! L0 to L2 are pure: bytes, keys and time are parameters. Half of that is the lints of each crate's own `clippy.toml`,
//! the other half is what they link.

use super::Problem;
use super::files::{Texts, text};
use super::metadata::Packages;
use super::rooms::is_pure;

/// Nothing of these may be linked, however deep: async runtimes, sockets and the libraries that stand on them.
const NEVER_LINKED: [&str; 12] = [
    "async-std",
    "axum",
    "hyper",
    "hyper-util",
    "mio",
    "openssl",
    "reqwest",
    "smol",
    "socket2",
    "tokio",
    "tokio-util",
    "ureq",
];

/// These may be linked by a library for its own ends, but not used: files, randomness and global state.
const NEVER_USED: [&str; 8] = [
    "fs4",
    "getrandom",
    "rand",
    "tempfile",
    "tracing",
    "tracing-subscriber",
    "walkdir",
    "metrics",
];

/// What each pure crate's `clippy.toml` must forbid, since clippy does not merge it with the one of the repository.
const DISALLOWED: [&str; 5] = [
    "std::time::SystemTime::now",
    "std::time::Instant::now",
    "std::env::var",
    "std::fs::read",
    "std::fs::write",
];

/// What each pure crate's `lib.rs` must turn on.
const PURE_LINTS: [&str; 2] = ["clippy::as_conversions", "clippy::indexing_slicing"];

/// Pure crates that link what is not.
pub(super) fn check_dependencies(packages: &Packages) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (name, member) in packages.members.iter().filter(|(name, _)| is_pure(name)) {
        let place = format!("{}/Cargo.toml", member.folder);
        for foreign in NEVER_LINKED.iter().filter(|foreign| member.linked.contains(**foreign)) {
            let text = format!("{name} is pure and links {foreign} (see cargo tree -p {name} -e normal -i {foreign})");
            problems.push(Problem::new(&place, "pure-links-io", text));
        }
        for foreign in NEVER_USED.iter().filter(|foreign| member.direct.contains(**foreign)) {
            let text = format!("{name} is pure and depends on {foreign}");
            problems.push(Problem::new(&place, "pure-uses-io", text));
        }
    }
    problems
}

/// Pure crates without the lints that hold them pure.
pub(super) fn check_crates(packages: &Packages, texts: &Texts) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (name, member) in packages.members.iter().filter(|(name, _)| is_pure(name)) {
        let config = format!("{}/clippy.toml", member.folder);
        let forbidden = text(texts, &config);
        for method in DISALLOWED {
            if !forbidden.contains(&format!("\"{method}\"")) {
                let text = format!("{name} is pure: forbid {method} under disallowed-methods");
                problems.push(Problem::new(&config, "pure-clippy", text));
            }
        }
        let library = format!("{}/src/lib.rs", member.folder);
        let source = text(texts, &library);
        for lint in PURE_LINTS {
            if !source.contains(lint) {
                let text = format!("{name} is pure: turn on {lint} with #![warn(…)]");
                problems.push(Problem::new(&library, "pure-lints", text));
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

    fn packages(name: &str, direct: &[&str], linked: &[&str]) -> Packages {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let member = Member {
            folder: "crates/x".to_owned(),
            direct: owned(direct),
            linked: owned(linked),
        };
        Packages {
            members: BTreeMap::from([(name.to_owned(), member)]),
        }
    }

    #[test]
    fn io_is_for_the_rooms_above() {
        let rules = |name: &str, direct: &[&str], linked: &[&str]| -> Vec<&'static str> {
            let problems = check_dependencies(&packages(name, direct, linked));
            problems.iter().map(|problem| problem.rule).collect()
        };
        assert_eq!(
            rules("proofmark-policy", &["cel"], &["cel", "tokio"]),
            ["pure-links-io"]
        );
        assert_eq!(
            rules("proofmark-oci", &["rand"], &["rand", "getrandom"]),
            ["pure-uses-io"]
        );
        assert!(rules("proofmark-verify", &["aws-lc-rs"], &["aws-lc-rs", "getrandom"]).is_empty());
        assert!(rules("proofmark-registry", &["tokio"], &["tokio", "mio"]).is_empty());
    }

    #[test]
    fn the_lints_that_hold_it_must_be_on() {
        let packages = packages("proofmark-oci", &[], &[]);
        let good = BTreeMap::from([
            ("crates/x/clippy.toml".to_owned(), format!("[{DISALLOWED:?}]")),
            ("crates/x/src/lib.rs".to_owned(), PURE_LINTS.join(", ")),
        ]);
        assert_eq!(check_crates(&packages, &good), []);
        for (file, part, rule) in [
            ("crates/x/clippy.toml", DISALLOWED[2], "pure-clippy"),
            ("crates/x/src/lib.rs", PURE_LINTS[1], "pure-lints"),
        ] {
            let mut bad = good.clone();
            let text = bad.get_mut(file).unwrap();
            *text = text.replace(part, "");
            let rules: Vec<_> = check_crates(&packages, &bad)
                .iter()
                .map(|problem| problem.rule)
                .collect();
            assert_eq!(rules, [rule]);
        }
        assert_eq!(
            check_crates(&packages, &BTreeMap::new()).len(),
            DISALLOWED.len() + PURE_LINTS.len()
        );
    }
}
