//! Ruby gems: the specification that RubyGems writes for each installed one, and `Gemfile.lock`.
//!
//! A specification is a Ruby program; only the assignments of plain texts that RubyGems itself writes are read.

use super::lock::{is_foreign, locked};
use super::text::named;
use super::{Cataloger, Draft, Fact, MAX_FACTS, Need, Unreadable};
use crate::bill::{PackageKind, Uncertainty};

/// Reads specifications and lock files.
pub(super) struct Gem;

impl Cataloger for Gem {
    fn wants(&self, path: &str) -> bool {
        specification(path).is_some() || is_lock_file(path)
    }

    fn read(&self, path: &str, bytes: &[u8]) -> Result<Vec<Fact>, Unreadable> {
        let text = String::from_utf8_lossy(bytes);
        let drafts = match specification(path) {
            Some(file) => vec![installed(file, &text)?],
            None => lock_file(&text),
        };
        Ok(drafts.into_iter().map(|draft| Fact::Package(Box::new(draft))).collect())
    }
}

fn is_lock_file(path: &str) -> bool {
    path.strip_suffix("Gemfile.lock")
        .is_some_and(|folder| (folder.is_empty() || folder.ends_with('/')) && !is_foreign(folder))
}

/// The file's name without end, if it is a specification: `specifications/rake-13.0.6`, or in `default` below.
fn specification(path: &str) -> Option<&str> {
    let (folder, file) = path.strip_suffix(".gemspec")?.rsplit_once('/')?;
    let folder = folder.strip_suffix("/default").unwrap_or(folder);
    (folder == "specifications" || folder.ends_with("/specifications")).then_some(file)
}

fn installed(file: &str, text: &str) -> Result<Draft, Unreadable> {
    let one = |field| values(text, field).into_iter().next();
    let name = one("name").ok_or_else(|| Unreadable::new("gem-specification-malformed", "it names no gem"))?;
    let rest = file.strip_prefix(&name).and_then(|rest| rest.strip_prefix('-'));
    // A version that Ruby would have to work out stands in the file's name as well, before the platform.
    let (version, uncertain) = match one("version") {
        Some(version) => (Some(version), None),
        None => (
            rest.and_then(|rest| rest.split('-').next()).map(str::to_owned),
            Some(Uncertainty::FromFileName),
        ),
    };
    let mut licences = values(text, "licenses");
    licences.extend(one("license"));
    let mut draft = Draft {
        licences,
        supplier: named(one("authors").or_else(|| one("author")), one("email")),
        homepage: one("homepage"),
        description: one("summary"),
        needs: needs(text),
        says_needs: true,
        ..Draft::new(PackageKind::Gem, &name, version.as_deref())
    };
    draft.uncertain = draft.uncertain.or(uncertain);
    Ok(draft)
}

/// The texts assigned to a field: `s.licenses = ["MIT".freeze, "Ruby".freeze]`.
fn values(text: &str, field: &str) -> Vec<String> {
    let assigned = text.lines().find_map(|line| {
        let (object, rest) = line.trim_start().split_once('.')?;
        let value = rest.strip_prefix(field)?.trim_start().strip_prefix('=')?;
        (object.len() <= 16 && object.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')).then_some(value)
    });
    texts(assigned.unwrap_or_default())
}

/// The quoted texts of a line: `"a \"b\"".freeze`, `'a'`, `%q<a>`.
fn texts(line: &str) -> Vec<String> {
    /// The most texts of a line.
    const MAX_TEXTS: usize = 256;
    let mut found = Vec::new();
    let mut rest = line;
    while found.len() < MAX_TEXTS {
        let Some(start) = rest.find(['"', '\'', '%']) else {
            break;
        };
        let quoted = rest.get(start..).unwrap_or_default();
        let (close, skip) = match quoted.as_bytes() {
            [b'%', b'q', b'<', ..] => ('>', 3),
            [b'%', ..] => {
                rest = quoted.get(1..).unwrap_or_default();
                continue;
            }
            [b'"', ..] => ('"', 1),
            _ => ('\'', 1),
        };
        let mut text = String::new();
        let mut characters = quoted.get(skip..).unwrap_or_default().chars();
        loop {
            match characters.next() {
                Some('\\') => text.extend(characters.next()),
                Some(c) if c == close => break,
                Some(c) => text.push(c),
                // A text without end is none.
                None => return found,
            }
        }
        found.push(text);
        rest = characters.as_str();
    }
    found
}

fn needs(text: &str) -> Vec<Need> {
    /// The most dependencies of a gem.
    const MAX_NEEDS: usize = 1_000;
    let mut names: Vec<String> = text
        .lines()
        .map(str::trim_start)
        .filter(|line| line.contains(".add_runtime_dependency(") || line.contains(".add_dependency("))
        .take(MAX_NEEDS)
        .filter_map(|line| texts(line).into_iter().next())
        .collect();
    names.sort_unstable();
    names.dedup();
    // For programs that know no development dependencies, older RubyGems wrote all again.
    let development: Vec<String> = text
        .lines()
        .filter(|line| line.contains(".add_development_dependency("))
        .take(MAX_NEEDS)
        .filter_map(|line| texts(line).into_iter().next())
        .collect();
    names.retain(|name| !development.contains(name));
    names.into_iter().map(|name| Need::AnyOf(vec![name])).collect()
}

/// Bundler's lock file: under `GEM`, gems from a registry at four blanks; under `GIT` and `PATH` others.
fn lock_file(text: &str) -> Vec<Draft> {
    let mut section = "";
    let mut drafts = Vec::new();
    for line in text.lines().take(MAX_FACTS) {
        if !line.starts_with(' ') {
            section = line.trim_end();
            continue;
        }
        let Some(entry) = line.strip_prefix("    ").filter(|rest| !rest.starts_with(' ')) else {
            continue;
        };
        let Some((name, version)) = entry.strip_suffix(')').and_then(|entry| entry.split_once(" (")) else {
            continue;
        };
        // `1.15.4-x86_64-linux`.
        let version = version.split('-').next();
        match section {
            "GEM" => drafts.push(locked(PackageKind::Gem, name, version)),
            "GIT" | "PATH" => drafts.push(Draft {
                uncertain: Some(Uncertainty::NotFromRegistry),
                ..locked(PackageKind::Gem, name, version)
            }),
            _ => {}
        }
    }
    drafts
}
