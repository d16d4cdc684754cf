//! Snapshot files (`.snap`, written by insta) that no test reads any more: they look like a promise and hold nothing.

use super::Problem;
use super::files::{Texts, text};

/// Snapshots whose test is gone.
pub(super) fn check(texts: &Texts) -> Vec<Problem> {
    let snapshots = texts.iter().filter(|(path, _)| path.ends_with(".snap"));
    snapshots
        .filter_map(|(path, content)| {
            let text = orphaned(path, content, texts)?;
            Some(Problem::new(path, "snapshot-orphaned", text))
        })
        .collect()
}

fn orphaned(path: &str, content: &str, texts: &Texts) -> Option<String> {
    let Some(source) = content.lines().find_map(|line| line.strip_prefix("source: ")) else {
        return Some("names no source".to_owned());
    };
    let source = source.trim().trim_matches('"');
    let code = text(texts, source);
    if !code.contains("snapshot!") {
        return Some(format!("its source {source} takes no snapshots"));
    }
    // `module__name.snap`, or `module__name-2.snap` for the second of a test; the name is a test's or given in it.
    let file = path.rsplit('/').next().unwrap_or(path).trim_end_matches(".snap");
    let name = file.rsplit("__").next().unwrap_or(file);
    let base = name
        .rsplit_once('-')
        .filter(|(_, number)| number.bytes().all(|b| b.is_ascii_digit()));
    let name = base.map_or(name, |(base, _)| base);
    (!code.contains(name)).then(|| format!("{source} has no test or snapshot named {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_wants_its_test() {
        let source = "crates/x/src/a.rs";
        let snapshot = |name: &str, source: &str| {
            let content = format!("---\nsource: {source}\nexpression: x\n---\ntext\n");
            (format!("crates/x/src/snapshots/x__a__tests__{name}.snap"), content)
        };
        let code = (source.to_owned(), "fn prints() { assert_snapshot!(x) }".to_owned());
        let found = |snapshot: (String, String)| check(&Texts::from([code.clone(), snapshot])).len();
        assert_eq!(found(snapshot("prints", source)), 0);
        assert_eq!(found(snapshot("prints-2", source)), 0);
        assert_eq!(found(snapshot("renamed", source)), 1);
        assert_eq!(found(snapshot("prints", "crates/x/src/gone.rs")), 1);
        assert_eq!(found(("x.snap".to_owned(), "text".to_owned())), 1);
    }
}
