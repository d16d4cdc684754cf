//! Rules over single files: how sources open, how long they are, and what no file may say.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::Problem;
use super::metadata::Packages;

/// Texts by their path relative to the repository.
pub(super) type Texts = BTreeMap<String, String>;

/// The text of a file, empty if there is no such file.
pub(super) fn text<'a>(texts: &'a Texts, path: &str) -> &'a str {
    texts.get(path).map(String::as_str).unwrap_or_default()
}

/// A `lib.rs` is a table of contents.
const MAX_LIBRARY_LINES: usize = 100;

/// At this length a source file is split by concept.
const MAX_SOURCE_LINES: usize = 800;

/// What no tracked file may say: hosts of package registries, since the repository builds from whichever mirror a
/// machine has, and paths of somebody's machine. Written in two halves, so that this file does not say it either.
const FORBIDDEN: [(&str, &str); 7] = [
    ("deb.", "debian.org"),
    ("pypi", ".org"),
    ("registry.", "npmjs"),
    ("index.", "crates"),
    ("static.", "crates"),
    ("proxy.", "golang"),
    ("/wo", "rk/"),
];

/// Written by cargo, which puts there what it wants.
const UNCHECKED: [&str; 1] = ["Cargo.lock"];

/// Data of other people's programs, which is kept byte for byte. Machine paths in it would be theirs.
const FOREIGN: &str = "fixtures/";

/// Reads those of the tracked files that are text.
pub(super) fn read(root: &Path, tracked: &[PathBuf]) -> anyhow::Result<Texts> {
    let mut texts = Texts::new();
    for path in tracked {
        let bytes = fs::read(root.join(path)).with_context(|| format!("reading {}", path.display()))?;
        if let Ok(text) = String::from_utf8(bytes) {
            texts.insert(path.to_string_lossy().replace('\\', "/"), text);
        }
    }
    Ok(texts)
}

/// All rules over single files.
pub(super) fn check(texts: &Texts) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (path, text) in texts {
        if path.ends_with(".rs") {
            problems.extend(check_source(path, text));
        }
        if !UNCHECKED.contains(&path.as_str()) && !path.starts_with(FOREIGN) {
            problems.extend(check_words(path, text));
        }
    }
    problems
}

fn check_source(path: &str, text: &str) -> Vec<Problem> {
    let mut problems = Vec::new();
    let lines = text.lines().count();
    if path.ends_with("src/lib.rs") && lines >= MAX_LIBRARY_LINES {
        let text = format!("{lines} lines; lib.rs is a table of contents of fewer than {MAX_LIBRARY_LINES}");
        problems.push(Problem::new(path, "library-long", text));
    }
    if lines > MAX_SOURCE_LINES {
        let text = format!("{lines} lines; split it by concept at {MAX_SOURCE_LINES}");
        problems.push(Problem::new(path, "source-long", text));
    }
    if !text.starts_with("//!") && !is_test_module(path) {
        problems.push(Problem::new(
            path,
            "module-doc",
            "opens without //! to say what it is for",
        ));
    }
    problems
}

/// Tests beside the module that they test say what they are for by their place and names.
fn is_test_module(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}

fn check_words(path: &str, text: &str) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for (first, second) in FORBIDDEN {
            let word = format!("{first}{second}");
            if line.contains(&word) {
                let text = format!("says \"{word}\", a registry's host or a path of one machine");
                problems.push(Problem::new(format!("{path}:{}", number + 1), "word-forbidden", text));
            }
        }
    }
    problems
}

/// Each package takes the lints of the workspace.
pub(super) fn check_manifests(packages: &Packages, texts: &Texts) -> Vec<Problem> {
    let mut problems = Vec::new();
    for member in packages.members.values() {
        let path = format!("{}/Cargo.toml", member.folder);
        let mut lines = text(texts, &path).lines().map(str::trim);
        let inherited = lines.any(|line| line == "[lints]") && lines.next() == Some("workspace = true");
        if !inherited {
            problems.push(Problem::new(
                path,
                "lints-inherited",
                "expected [lints] with workspace = true",
            ));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::metadata::Member;

    fn rules(path: &str, text: &str) -> Vec<&'static str> {
        let texts = Texts::from([(path.to_owned(), text.to_owned())]);
        check(&texts).iter().map(|problem| problem.rule).collect()
    }

    #[test]
    fn sources_open_with_what_they_are_for_and_stay_short() {
        let lines = |count: usize| format!("//! X.\n{}", "\n".repeat(count - 1));
        assert!(rules("crates/x/src/lib.rs", &lines(99)).is_empty());
        assert_eq!(rules("crates/x/src/lib.rs", &lines(100)), ["library-long"]);
        assert!(rules("crates/x/src/a.rs", &lines(800)).is_empty());
        assert_eq!(rules("crates/x/src/a.rs", &lines(801)), ["source-long"]);
        assert_eq!(rules("crates/x/src/a.rs", "use std::io;\n"), ["module-doc"]);
        assert!(rules("crates/x/src/a/tests.rs", "use super::*;\n").is_empty());
        assert!(rules("docs/a.md", "text").is_empty());
    }

    #[test]
    fn words_of_one_machine_are_found_where_they_stand() {
        for (first, second) in FORBIDDEN {
            let text = format!("fine\nhttps://x{first}{second}/y\n");
            assert_eq!(rules("docs/a.md", &text), ["word-forbidden"], "{first}{second}");
            assert!(rules("Cargo.lock", &text).is_empty());
            assert!(rules("fixtures/a.json", &text).is_empty());
        }
        let texts = Texts::from([("a".to_owned(), format!("\n\npypi{}", ".org"))]);
        assert_eq!(check(&texts)[0].place, "a:3");
    }

    #[test]
    fn lints_come_from_the_workspace() {
        let member = Member {
            folder: "crates/x".to_owned(),
            ..Member::default()
        };
        let packages = Packages {
            members: BTreeMap::from([("x".to_owned(), member)]),
        };
        let found = |manifest: &str| {
            let texts = Texts::from([("crates/x/Cargo.toml".to_owned(), manifest.to_owned())]);
            check_manifests(&packages, &texts).len()
        };
        assert_eq!(found("[package]\n\n[lints]\nworkspace = true\n"), 0);
        assert_eq!(found("[package]\n"), 1);
        assert_eq!(found("[lints]\n[dependencies]\nworkspace = true\n"), 1);
    }
}
