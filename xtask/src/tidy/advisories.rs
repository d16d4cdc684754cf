//! `docs/advisories.md` names a test for each advisory: every test that it names is there.

use super::Problem;
use super::files::{Texts, text};

const PAGE: &str = "docs/advisories.md";

/// Named tests that no file has.
pub(super) fn check(texts: &Texts) -> Vec<Problem> {
    let page = text(texts, PAGE);
    let rows = page.lines().filter(|line| line.starts_with("| ") && line.contains('`'));
    rows.flat_map(|row| missing(row, texts)).collect()
}

/// The last cell of a row names a crate and its tests, in turn.
fn missing(row: &str, texts: &Texts) -> Vec<Problem> {
    let cell = row
        .trim_end_matches(['|', ' '])
        .rsplit(" | ")
        .next()
        .unwrap_or_default();
    let words = cell.split('`').skip(1).step_by(2);
    let mut room = "";
    let mut tests = 0;
    let mut problems = Vec::new();
    for word in words {
        if word.len() < 14 || word.ends_with('/') {
            room = word;
            continue;
        }
        tests += 1;
        let folder = if room == "xtask" {
            "xtask/".to_owned()
        } else {
            format!("crates/{room}/")
        };
        let wanted = format!("fn {word}(");
        let is_there = texts
            .iter()
            .any(|(path, content)| path.starts_with(&folder) && content.contains(&wanted));
        if !is_there {
            problems.push(Problem::new(
                PAGE,
                "advisory-test",
                format!("{folder} has no test {word}"),
            ));
        }
    }
    if tests == 0 {
        problems.push(Problem::new(
            PAGE,
            "advisory-test",
            format!("a row names no test: {row}"),
        ));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(row: &str, code: &str) -> usize {
        let page = (PAGE.to_owned(), format!("| a | b | c |\n|---|---|---|\n{row}\n"));
        let code = ("crates/verify/tests/it/x.rs".to_owned(), code.to_owned());
        check(&Texts::from([page, code])).len()
    }

    #[test]
    fn a_named_test_is_wanted() {
        let row = "| CVE-1 | `wrong` | `verify` `cve_2022_23649_promise`, `cve_2022_23650_promise` *(fixtures)* |";
        let both = "fn cve_2022_23649_promise() {}\nfn cve_2022_23650_promise() {}";
        assert_eq!(found(row, both), 0);
        assert_eq!(found(row, "fn cve_2022_23649_promise() {}"), 1);
        assert_eq!(found(&row.replace("`verify`", "`policy`"), both), 2);
        assert_eq!(found("| CVE-1 | `wrong` | none |", both), 1);
    }

    /// gitsign (CVE-2026-44309, CVE-2026-44310): it panicked and ended with success. A panic here ends with 101, unless
    /// it is caught; it is caught around evaluators of conditions and expressions alone, where it is an error of them.
    #[test]
    fn cve_2026_44309_and_cve_2026_44310_a_panic_is_no_success() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut folders = vec![root.join("crates")];
        let mut caught = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|kind| kind == "rs")
                    && std::fs::read_to_string(&path).unwrap().contains("catch_unwind")
                {
                    caught.push(path.strip_prefix(root).unwrap().to_owned());
                }
            }
        }
        let evaluators = [
            "crates/policy/src/condition.rs",
            "crates/policy/src/statement_policy/rego.rs",
            "crates/policy/src/validating/evaluate.rs",
        ];
        caught.retain(|path| !evaluators.iter().any(|known| path == std::path::Path::new(known)));
        assert!(caught.is_empty(), "{caught:?}");
    }
}
