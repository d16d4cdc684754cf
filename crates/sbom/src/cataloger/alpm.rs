//! Arch Linux packages: pacman's local database, a folder for each package with `desc` and `files`.

use super::{Cataloger, Draft, Fact, MAX_FACTS, Need, Unreadable};
use crate::bill::{PackageKind, Source};

/// Reads pacman's local database.
pub(super) struct Alpm;

const FOLDER: &str = "var/lib/pacman/local/";

impl Cataloger for Alpm {
    fn wants(&self, path: &str) -> bool {
        entry(path).is_some()
    }

    fn system_folders(&self) -> &'static [&'static str] {
        &["var/lib/pacman/"]
    }

    fn system_files(&self) -> &'static [&'static str] {
        &["var/lib/pacman/local/ALPM_DB_VERSION"]
    }

    fn read(&self, path: &str, bytes: &[u8]) -> Result<Vec<Fact>, Unreadable> {
        let text = String::from_utf8_lossy(bytes);
        let Some((package, file)) = entry(path) else {
            return Ok(Vec::new());
        };
        if file == "files" {
            // Folders end with a slash.
            let files = values(&text, "FILES").filter(|file| !file.ends_with('/'));
            return Ok(vec![Fact::Owned {
                kind: PackageKind::Alpm,
                package: package.to_owned(),
                files: files.take(MAX_FACTS).map(Box::from).collect(),
            }]);
        }
        let one = |field| values(&text, field).next();
        let name = one("NAME").ok_or_else(|| Unreadable::new("alpm-desc-malformed", "it names no package"))?;
        let bare = |word: &str| word.split(['=', '<', '>', ':']).next().unwrap_or_default().to_owned();
        let version = one("VERSION");
        let facts = vec![Fact::Package(Box::new(Draft {
            architecture: one("ARCH").map(str::to_owned),
            source: one("BASE").map(|base| Source {
                name: base.to_owned(),
                version: None,
            }),
            licences: values(&text, "LICENSE").map(str::to_owned).collect(),
            supplier: one("PACKAGER").map(str::to_owned),
            homepage: one("URL").map(str::to_owned),
            description: one("DESC").map(str::to_owned),
            provides: values(&text, "PROVIDES").map(bare).collect(),
            needs: values(&text, "DEPENDS")
                .map(|need| Need::AnyOf(vec![bare(need)]))
                .collect(),
            says_needs: true,
            ..Draft::new(PackageKind::Alpm, name, version)
        }))];
        if version.is_none() {
            return Unreadable::new("alpm-desc-malformed", "it gives no version").beside(facts);
        }
        Ok(facts)
    }
}

/// The package's name and the file, of `name-version-release/desc`.
fn entry(path: &str) -> Option<(&str, &str)> {
    let (folder, file) = path.strip_prefix(FOLDER)?.split_once('/')?;
    let (rest, _) = folder.rsplit_once('-')?;
    let (name, _) = rest.rsplit_once('-')?;
    matches!(file, "desc" | "files").then_some((name, file))
}

/// The lines between `%FIELD%` and the next empty one.
fn values<'t>(text: &'t str, field: &'t str) -> impl Iterator<Item = &'t str> {
    let mut lines = text.lines();
    let found = lines.any(|line| {
        let name = line.trim().strip_prefix('%').and_then(|line| line.strip_suffix('%'));
        name == Some(field)
    });
    let lines = if found { lines } else { "".lines() };
    lines.map(str::trim).take_while(|line| !line.is_empty()).take(MAX_FACTS)
}
