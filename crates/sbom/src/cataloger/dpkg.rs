//! Debian packages, and OpenWrt's in the same form: dpkg's and opkg's status file, its distroless form in `status.d`, the lists of files, and copyright files.

use super::text::{Paragraph, Paragraphs};
use super::{Cataloger, Draft, Fact, MAX_FACTS, Need, Unreadable};
use crate::bill::{PackageKind, Source, Uncertainty};

/// Reads dpkg's database.
pub(super) struct Dpkg;

/// dpkg's and opkg's.
const STATUS: [&str; 3] = ["var/lib/dpkg/status", "usr/lib/opkg/status", "var/lib/opkg/status"];
const STATUS_FOLDER: &str = "var/lib/dpkg/status.d/";
const INFO_FOLDERS: [&str; 3] = ["var/lib/dpkg/info/", "usr/lib/opkg/info/", "var/lib/opkg/info/"];
const DOC_FOLDER: &str = "usr/share/doc/";

impl Cataloger for Dpkg {
    fn wants(&self, path: &str) -> bool {
        STATUS.contains(&path)
            || path
                .strip_prefix(STATUS_FOLDER)
                .is_some_and(|name| !name.contains('/') && !name.ends_with(".md5sums"))
            || list_of(path).is_some()
            || copyright_of(path).is_some()
    }

    fn system_folders(&self) -> &'static [&'static str] {
        &["var/lib/dpkg/", "usr/lib/opkg/", "var/lib/opkg/"]
    }

    fn system_files(&self) -> &'static [&'static str] {
        &STATUS
    }

    fn read(&self, path: &str, bytes: &[u8]) -> Result<Vec<Fact>, Unreadable> {
        let text = String::from_utf8_lossy(bytes);
        if let Some(package) = list_of(path) {
            let files = text.lines().filter_map(|line| line.strip_prefix('/'));
            return Ok(vec![Fact::Owned {
                kind: PackageKind::Deb,
                package: package.to_owned(),
                files: files
                    .filter(|file| !file.is_empty() && *file != ".")
                    .take(MAX_FACTS)
                    .map(Box::from)
                    .collect(),
            }]);
        }
        if let Some(package) = copyright_of(path) {
            return Ok(vec![Fact::DebianLicences {
                package: package.to_owned(),
                licences: licences(&text),
            }]);
        }
        // Whoever writes it ends each line; where images have a file a package, nobody does for sure.
        status(&text, STATUS.contains(&path))
    }
}

/// The package whose documentation folder (or copyright file) is a symbolic link to another's: which, and to which.
pub(crate) fn doc_link(path: &str, target: &str) -> Option<(String, String)> {
    let rest = path.strip_prefix(DOC_FOLDER)?;
    let folder = rest.strip_suffix("/copyright").unwrap_or(rest);
    let target = target.trim_end_matches('/');
    let target = target.strip_suffix("/copyright").unwrap_or(target);
    let other = target
        .rsplit('/')
        .next()
        .filter(|name| !name.is_empty() && *name != "..")?;
    (!folder.contains('/')).then(|| (folder.to_owned(), other.to_owned()))
}

fn list_of(path: &str) -> Option<&str> {
    INFO_FOLDERS
        .iter()
        .find_map(|folder| path.strip_prefix(folder))?
        .strip_suffix(".list")
        .filter(|name| !name.contains('/'))
}

fn copyright_of(path: &str) -> Option<&str> {
    path.strip_prefix(DOC_FOLDER)?
        .strip_suffix("/copyright")
        .filter(|name| !name.contains('/'))
}

fn status(text: &str, lines_end: bool) -> Result<Vec<Fact>, Unreadable> {
    let mut facts = Vec::new();
    let mut broken = 0;
    for paragraph in Paragraphs::new(text).take(MAX_FACTS) {
        if !is_installed(&paragraph) {
            continue;
        }
        let draft = package(&paragraph);
        // dpkg writes a version for whatever is installed, and each package in a paragraph of its own.
        let whole =
            draft.as_ref().is_some_and(|draft| draft.version.is_some()) && paragraph.all("Package").count() == 1;
        broken += usize::from(!whole);
        facts.extend(draft.map(|draft| Fact::Package(Box::new(draft))));
    }
    let is_cut = lines_end && !text.is_empty() && !text.ends_with('\n');
    if broken > 0 || is_cut {
        let reason = match broken {
            0 => "it ends in the middle of a line".to_owned(),
            broken => format!("{broken} of its paragraphs do not name one package and its version"),
        };
        return Unreadable::new("dpkg-status-malformed", reason).beside(facts);
    }
    Ok(facts)
}

/// deb-control(5): the third word of the status; distroless images have no status at all.
fn is_installed(paragraph: &Paragraph<'_>) -> bool {
    match paragraph
        .get("Status")
        .and_then(|status| status.split_whitespace().nth(2))
    {
        Some(state) => !matches!(state, "not-installed" | "config-files"),
        None => true,
    }
}

fn package(paragraph: &Paragraph<'_>) -> Option<Draft> {
    let name = paragraph.get("Package")?;
    let version = paragraph.get("Version");
    let needs = ["Pre-Depends", "Depends"]
        .iter()
        .filter_map(|field| paragraph.get(field))
        .flat_map(|value| value.split(','))
        .map(|group| Need::AnyOf(group.split('|').map(bare_name).collect()))
        .collect();
    let provides = paragraph.get("Provides").into_iter().flat_map(|value| value.split(','));
    Some(Draft {
        architecture: paragraph.get("Architecture").map(str::to_owned),
        source: paragraph.get("Source").map(source),
        supplier: paragraph.first_line("Maintainer").map(str::to_owned),
        homepage: paragraph.first_line("Homepage").map(str::to_owned),
        description: paragraph.first_line("Description").map(str::to_owned),
        uncertain: version.is_none().then_some(Uncertainty::NoVersion),
        provides: provides.map(bare_name).collect(),
        needs,
        says_needs: true,
        ..Draft::new(PackageKind::Deb, name, version)
    })
}

/// `glibc (2.36-9+deb12u4)` or `glibc`.
fn source(value: &str) -> Source {
    match value.split_once('(') {
        Some((name, version)) => Source {
            name: name.trim().to_owned(),
            version: Some(version.trim_end().trim_end_matches(')').trim().to_owned()),
        },
        None => Source {
            name: value.to_owned(),
            version: None,
        },
    }
}

/// `libc6:any (>= 2.34)` without qualifier and version.
fn bare_name(dependency: &str) -> String {
    let name = dependency
        .trim()
        .split([' ', '(', '[', '\n'])
        .next()
        .unwrap_or_default();
    name.split(':').next().unwrap_or_default().to_owned()
}

/// DEP 5 names a licence in each `License` field; other files point to the texts that Debian has in one place.
fn licences(text: &str) -> Vec<String> {
    let machine_readable = text
        .lines()
        .find(|line| !line.trim().is_empty())
        .is_some_and(|line| line.starts_with("Format:") || line.starts_with("Format-Specification:"));
    let mut found: Vec<String> = if machine_readable {
        Paragraphs::new(text)
            .take(MAX_FACTS)
            .flat_map(|paragraph| paragraph.all("License").map(str::to_owned).collect::<Vec<_>>())
            .filter_map(|value| value.lines().next().map(|line| line.trim().to_owned()))
            .filter(|line| !line.is_empty())
            .collect()
    } else {
        common_licences(text)
    };
    found.sort_unstable();
    found.dedup();
    found
}

fn common_licences(text: &str) -> Vec<String> {
    text.split("/usr/share/common-licenses/")
        .skip(1)
        .take(MAX_FACTS)
        .filter_map(|rest| {
            let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "+.-".contains(c)));
            let name = rest.get(..end.unwrap_or(rest.len()))?.trim_end_matches(['.', '-']);
            (!name.is_empty()).then(|| name.to_owned())
        })
        .collect()
}
