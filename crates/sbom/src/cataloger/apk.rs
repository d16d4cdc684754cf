//! Alpine packages: apk-tools' installed database, one letter a field.

use super::{Cataloger, Draft, Fact, MAX_FACTS, Need, PathBudget, Unreadable};
use crate::bill::{PackageKind, Source};

/// Reads apk's database.
pub(super) struct Apk;

const INSTALLED: [&str; 2] = ["lib/apk/db/installed", "usr/lib/apk/db/installed"];

impl Cataloger for Apk {
    fn wants(&self, path: &str) -> bool {
        INSTALLED.contains(&path)
    }

    fn system_folders(&self) -> &'static [&'static str] {
        &["lib/apk/", "usr/lib/apk/"]
    }

    fn system_files(&self) -> &'static [&'static str] {
        &INSTALLED
    }

    fn read(&self, _path: &str, bytes: &[u8]) -> Result<Vec<Fact>, Unreadable> {
        let text = String::from_utf8_lossy(bytes);
        let mut facts = Vec::new();
        let mut budget = PathBudget::new();
        let mut broken = 0;
        for block in text
            .split("\n\n")
            .filter(|block| !block.trim().is_empty())
            .take(MAX_FACTS)
        {
            let draft = package(block);
            // apk-tools writes a version for each, and each package as a block of its own.
            let names = block.lines().filter(|line| line.starts_with("P:")).count();
            let whole = draft.as_ref().is_some_and(|draft| draft.version.is_some()) && names == 1;
            broken += usize::from(!whole);
            let Some(draft) = draft else { continue };
            facts.push(Fact::Owned {
                kind: PackageKind::Apk,
                package: draft.name.clone(),
                files: files(block, &mut budget),
            });
            facts.push(Fact::Package(Box::new(draft)));
        }
        // apk-tools ends each line.
        let is_cut = !text.is_empty() && !text.ends_with('\n');
        if broken > 0 || is_cut {
            let reason = match broken {
                0 => "it ends in the middle of a line".to_owned(),
                broken => format!("{broken} of its blocks do not name one package and its version"),
            };
            return Unreadable::new("apk-installed-malformed", reason).beside(facts);
        }
        Ok(facts)
    }
}

fn package(block: &str) -> Option<Draft> {
    let field = |letter: char| {
        block
            .lines()
            .filter_map(|line| line.strip_prefix(letter)?.strip_prefix(':'))
            .find(|value| !value.is_empty())
    };
    let words = |letter| field(letter).unwrap_or_default().split_whitespace();
    let name = field('P')?;
    Some(Draft {
        architecture: field('A').map(str::to_owned),
        source: field('o').map(|origin| Source {
            name: origin.to_owned(),
            version: None,
        }),
        licences: field('L').map(str::to_owned).into_iter().collect(),
        supplier: field('m').map(str::to_owned),
        homepage: field('U').map(str::to_owned),
        description: field('T').map(str::to_owned),
        provides: words('p').map(bare_name).collect(),
        // A leading ! is a conflict.
        needs: words('D')
            .filter(|word| !word.starts_with('!'))
            .map(|word| Need::AnyOf(vec![bare_name(word)]))
            .collect(),
        says_needs: true,
        ..Draft::new(PackageKind::Apk, name, field('V'))
    })
}

/// `so:libc.musl-x86_64.so.1=1` without its version.
fn bare_name(word: &str) -> String {
    word.split(['=', '<', '>', '~']).next().unwrap_or_default().to_owned()
}

/// `F:` opens a folder, `R:` names a file in it.
fn files(block: &str, budget: &mut PathBudget) -> Vec<Box<str>> {
    let mut folder = String::new();
    let mut files = Vec::new();
    for line in block.lines().take(MAX_FACTS) {
        if let Some(name) = line.strip_prefix("F:") {
            folder = if name.is_empty() {
                String::new()
            } else {
                format!("{name}/")
            };
        } else if let Some(name) = line.strip_prefix("R:") {
            files.extend(budget.path(&folder, name));
        }
    }
    files
}
