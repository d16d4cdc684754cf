//! RPM packages: rpm's database in its three forms (SQLite, ndb, Berkeley DB), and the list that Mariner's images
//! without rpm carry.
//!
//! Each form is a way to find headers ([`header`]); what a header says is the same in all. Write-ahead logs are not
//! applied: one that is not empty is noted, because the database may then lack what was installed last.

mod berkeley;
mod header;
mod ndb;
mod sqlite;

use super::{Cataloger, Draft, Fact, MAX_FACTS, Need, PathBudget, Unreadable};
use crate::bill::{PackageKind, Source};
use header::{Header, tag};

/// Reads rpm's database.
pub(super) struct Rpm;

/// Where distributions keep the database: Red Hat's and Fedora's, SUSE's and newer Fedora's, rpm-ostree's.
const FOLDERS: [&str; 3] = ["var/lib/rpm/", "usr/lib/sysimage/rpm/", "usr/share/rpm/"];

const MANIFEST: &str = "var/lib/rpmmanifest/container-manifest-2";

/// The largest database read: a full CentOS 7 desktop's has 150 MB.
const MAX_DATABASE_BYTES: u64 = 256 * 1024 * 1024;

/// The most packages of a database; distributions have some 30,000 in all.
const MAX_PACKAGES: usize = 200_000;

impl Cataloger for Rpm {
    fn wants(&self, path: &str) -> bool {
        path == MANIFEST
            || FOLDERS
                .iter()
                .filter_map(|folder| path.strip_prefix(folder))
                .any(|name| matches!(name, "rpmdb.sqlite" | "rpmdb.sqlite-wal" | "Packages.db" | "Packages"))
    }

    fn system_folders(&self) -> &'static [&'static str] {
        &[
            "var/lib/rpm/",
            "usr/lib/sysimage/rpm/",
            "usr/share/rpm/",
            "var/lib/rpmmanifest/",
        ]
    }

    fn system_files(&self) -> &'static [&'static str] {
        &[
            MANIFEST,
            "var/lib/rpm/rpmdb.sqlite",
            "var/lib/rpm/Packages.db",
            "var/lib/rpm/Packages",
            "usr/lib/sysimage/rpm/rpmdb.sqlite",
            "usr/lib/sysimage/rpm/Packages.db",
            "usr/lib/sysimage/rpm/Packages",
        ]
    }

    fn max_bytes(&self) -> u64 {
        MAX_DATABASE_BYTES
    }

    fn read(&self, path: &str, bytes: &[u8]) -> Result<Vec<Fact>, Unreadable> {
        if path == MANIFEST {
            return manifest(&String::from_utf8_lossy(bytes));
        }
        match path.rsplit('/').next() {
            // The links of an image hide the database of the other form; one that is empty is a leftover.
            _ if bytes.is_empty() => Ok(Vec::new()),
            Some("rpmdb.sqlite-wal") => Err(Unreadable::new(
                "rpm-write-ahead-log",
                "what it adds to the database beside it is not read",
            )),
            Some("rpmdb.sqlite") => facts(|each| sqlite::packages(bytes, each)),
            Some("Packages.db") => facts(|each| ndb::packages(bytes, each)),
            _ => facts(|each| berkeley::packages(bytes, each)),
        }
    }
}

/// What a database form does with each header that it finds.
type Each<'e> = &'e mut dyn FnMut(&[u8]);

/// The headers in a Berkeley DB, for tests to put into another form.
#[cfg(test)]
pub(super) fn berkeley_headers(bytes: &[u8], each: Each<'_>) {
    assert!(berkeley::packages(bytes, each).is_ok());
}

fn malformed(reason: impl Into<String>) -> Unreadable {
    Unreadable::new("rpm-database-malformed", reason)
}

/// Gathers what the headers say. Those found before the database breaks off are kept, beside the reason.
fn facts(read: impl FnOnce(Each<'_>) -> Result<(), Unreadable>) -> Result<Vec<Fact>, Unreadable> {
    let mut facts = Vec::new();
    let mut packages = 0;
    let mut budget = PathBudget::new();
    let mut broken = 0;
    let outcome = read(&mut |bytes| {
        if packages >= MAX_PACKAGES {
            broken += 1;
            return;
        }
        match Header::parse(bytes).and_then(|header| package(&header, &mut budget, &mut facts)) {
            Some(()) => packages += 1,
            None => broken += 1,
        }
    });
    if let Err(problem) = outcome {
        facts.push(Fact::Problem(problem));
    }
    if broken > 0 {
        facts.push(Fact::Problem(malformed(format!(
            "{broken} of its headers are not a package's"
        ))));
    }
    Ok(facts)
}

fn package(header: &Header<'_>, budget: &mut PathBudget, facts: &mut Vec<Fact>) -> Option<()> {
    let name = header.string(tag::NAME)?;
    // A key that rpm trusts, kept among the packages.
    if name == "gpg-pubkey" {
        return Some(());
    }
    let version = header.string(tag::VERSION)?;
    let release = header.string(tag::RELEASE)?;
    let epoch = header.number(tag::EPOCH).map(|epoch| format!("{epoch}:"));
    let version = format!("{}{version}-{release}", epoch.unwrap_or_default());
    let architecture = header.string(tag::ARCH).filter(|arch| arch != "(none)");
    let known = |tag| header.string(tag).filter(|text| !text.is_empty() && text != "(none)");
    let needs = header
        .strings(tag::REQUIRENAME)
        .filter(|name| !name.starts_with("rpmlib("));
    let draft = Draft {
        modularity: known(tag::MODULARITYLABEL),
        architecture: architecture.clone(),
        source: known(tag::SOURCERPM).as_deref().and_then(source),
        licences: known(tag::LICENSE).into_iter().collect(),
        supplier: known(tag::VENDOR).or_else(|| known(tag::PACKAGER)),
        homepage: known(tag::URL),
        description: known(tag::SUMMARY),
        provides: header.strings(tag::PROVIDENAME).collect(),
        needs: needs.map(|name| Need::AnyOf(vec![name])).collect(),
        says_needs: true,
        ..Draft::new(PackageKind::Rpm, &name, Some(&version))
    };
    facts.push(Fact::Owned {
        kind: PackageKind::Rpm,
        package: match architecture {
            Some(architecture) => format!("{name}:{architecture}"),
            None => name,
        },
        files: files(header, budget),
    });
    facts.push(Fact::Package(Box::new(draft)));
    Some(())
}

/// rpm keeps folders once: the file's own name, and which folder it is in.
fn files(header: &Header<'_>, budget: &mut PathBudget) -> Vec<Box<str>> {
    let folders: Vec<String> = header.strings(tag::DIRNAMES).collect();
    let names = header.strings(tag::BASENAMES);
    names
        .zip(header.numbers(tag::DIRINDEXES))
        .take(MAX_FACTS)
        .filter_map(|(name, folder)| {
            let folder = folders.get(usize::try_from(folder).ok()?)?;
            budget.path(folder.strip_prefix('/').unwrap_or(folder), &name)
        })
        .collect()
}

/// `glibc-2.34-60.el9.src.rpm`: the name may have dashes, version and release have none.
fn source(file: &str) -> Option<Source> {
    let stem = file.strip_suffix(".rpm")?.rsplit_once('.').map(|(stem, _)| stem)?;
    let (rest, release) = stem.rsplit_once('-')?;
    let (name, version) = rest.rsplit_once('-')?;
    Some(Source {
        name: name.to_owned(),
        version: Some(format!("{version}-{release}")),
    })
}

/// Ten columns between tabs, as `rpm --query --queryformat` of Mariner's image tool writes them: name,
/// version-release, install time, build time, vendor, epoch, size, architecture, epoch number, source.
fn manifest(text: &str) -> Result<Vec<Fact>, Unreadable> {
    let mut facts = Vec::new();
    let mut broken = 0;
    for line in text.lines().filter(|line| !line.trim().is_empty()).take(MAX_PACKAGES) {
        let columns: Vec<&str> = line.split('\t').collect();
        let [name, version, _, _, vendor, _, _, architecture, epoch, origin] = columns.as_slice() else {
            broken += 1;
            continue;
        };
        let version = match *epoch {
            "" | "0" | "(none)" => (*version).to_owned(),
            epoch => format!("{epoch}:{version}"),
        };
        facts.push(Fact::Package(Box::new(Draft {
            architecture: (*architecture != "(none)").then(|| (*architecture).to_owned()),
            source: source(origin),
            supplier: (*vendor != "(none)").then(|| (*vendor).to_owned()),
            ..Draft::new(PackageKind::Rpm, name, Some(&version))
        })));
    }
    if broken > 0 {
        let reason = format!("{broken} of its lines have not ten columns");
        facts.push(Fact::Problem(Unreadable::new("rpm-manifest-malformed", reason)));
    }
    Ok(facts)
}
