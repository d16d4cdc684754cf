//! Java archives: what `META-INF/maven` says of them, else their manifest, else their file name.
//!
//! An archive in an archive is read where it lies, to a bounded depth. An archive that holds several packages' Maven
//! metadata (a shaded one) is all of them. A group is never made of a name: where nothing says it, the package has no
//! group and no package URL, only its SHA-1, by which Maven Central knows it.

mod identity;
mod manifest;
mod pom;

use std::collections::{BTreeMap, BTreeSet};

use proofmark_types::Digest;
use sha1::{Digest as _, Sha1};

use super::zip::{Archive, Entry};
use super::{Cataloger, Draft, Fact, Need, Unreadable};
use crate::bill::{FileHash, FileHashAlgorithm, PackageFile, PackageKind, Uncertainty};
use crate::licence::{is_licence_file, recognise};
use identity::{Coordinates, FileName};
use manifest::Manifest;
use pom::Pom;

/// Reads Java archives.
pub(super) struct Java;

/// Jars, what servlet containers, application servers, Jenkins and Karaf load, and Spring's.
const ENDS: [&str; 10] = [
    ".jar", ".war", ".ear", ".par", ".sar", ".rar", ".nar", ".hpi", ".jpi", ".kar",
];

/// The largest archive read: Spark's largest jars have 60 MB, an application with all that it needs seldom 200.
const MAX_ARCHIVE_BYTES: u64 = 256 * 1024 * 1024;

/// How deep archives lie in archives: an ear has wars, which have jars, which a few tools put into one another.
const MAX_DEPTH: usize = 8;

/// The most packages of an outermost archive; the largest distributions of application servers have 2,000.
const MAX_PACKAGES: usize = 20_000;

/// What may be read of an outermost archive and those in it, as a multiple of its length, and in all. Text inflates
/// ten times, archives hardly.
const MAX_INFLATION: usize = 20;
const FREE_BYTES: usize = 8 * 1024 * 1024;
const MAX_READ_BYTES: usize = 384 * 1024 * 1024;

/// The largest metadata file read.
const MAX_FILE_BYTES: usize = 4 * 1024 * 1024;

impl Cataloger for Java {
    fn wants(&self, path: &str) -> bool {
        is_archive(path)
    }

    fn max_bytes(&self) -> u64 {
        MAX_ARCHIVE_BYTES
    }

    fn read(&self, path: &str, bytes: &[u8]) -> Result<Vec<Fact>, Unreadable> {
        let mut reader = Reader {
            budget: bytes
                .len()
                .saturating_mul(MAX_INFLATION)
                .saturating_add(FREE_BYTES)
                .min(MAX_READ_BYTES),
            drafts: Vec::new(),
            problem: None,
        };
        reader.archive(path, None, bytes, 0);
        let mut facts: Vec<Fact> = reader
            .drafts
            .into_iter()
            .map(|draft| Fact::Package(Box::new(draft)))
            .collect();
        facts.extend(reader.problem.map(Fact::Problem));
        Ok(facts)
    }
}

/// An archive's name in Debian's Maven repository (maven-repo-helper): group, artifact, and version where it is one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RepositoryName {
    /// Names without version go last.
    pub(crate) is_unversioned: bool,
    pub(crate) group: String,
    pub(crate) artifact: String,
    pub(crate) version: Option<String>,
}

/// The name of `usr/share/maven-repo/org/example/lib/1.2/lib-1.2.jar`, which is a link to the archive or the archive. For
/// any version Debian has a folder `debian`, for a series one such as `9.x`: these are no versions.
pub(crate) fn repository_name(path: &str) -> Option<RepositoryName> {
    let (rest, file) = path.strip_prefix("usr/share/maven-repo/")?.rsplit_once('/')?;
    let (rest, version) = rest.rsplit_once('/')?;
    let (group, artifact) = rest.rsplit_once('/')?;
    let stem = file.strip_suffix(".jar")?.strip_prefix(artifact)?;
    let is_own = stem.strip_prefix('-') == Some(version);
    let version = Some(version).filter(|version| *version != "debian" && !version.ends_with(".x"));
    is_own.then(|| RepositoryName {
        is_unversioned: version.is_none(),
        group: group.replace('/', "."),
        artifact: artifact.to_owned(),
        version: version.map(str::to_owned),
    })
}

/// Gives an archive that does not say its coordinates those that the repository has for it.
pub(crate) fn name_archive(facts: &mut [Fact], names: &[RepositoryName]) {
    let mut own = facts.iter_mut().filter_map(|fact| match fact {
        Fact::Package(draft) if draft.kind == PackageKind::Maven && draft.inside.is_none() => Some(draft),
        _ => None,
    });
    let (Some(draft), Some(first)) = (own.next(), names.iter().min()) else {
        return;
    };
    let is_named = |name: &&RepositoryName| draft.group.as_ref() == Some(&name.group) && draft.name == name.artifact;
    // Those with a version first; in whichever order they were found.
    let known = names.iter().filter(is_named).min();
    let says_itself = draft.group.is_some() && draft.uncertain.is_none();
    if known.is_none() && says_itself {
        return;
    }
    let name = known.unwrap_or(first);
    let own = draft.version.take();
    // A version that the archive says goes before the repository's, one of its file's name does not.
    draft.version = match says_itself {
        true => own.or_else(|| name.version.clone()),
        false => name.version.clone().or(own),
    };
    draft.group = Some(name.group.clone());
    draft.name.clone_from(&name.artifact);
    draft.uncertain = draft.version.is_none().then_some(Uncertainty::NoVersion);
    draft.provides.push(format!("{}:{}", name.group, name.artifact));
}

fn is_archive(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    // A name of nothing but the end is none.
    let ends = |end: &str| {
        let start = name.len().checked_sub(end.len()).filter(|start| *start > 0);
        start
            .and_then(|start| name.get(start..))
            .is_some_and(|last| last.eq_ignore_ascii_case(end))
    };
    ENDS.iter().any(|end| ends(end))
}

/// Reads an outermost archive with all in it.
struct Reader {
    /// How many bytes may still be read.
    budget: usize,
    drafts: Vec<Draft>,
    /// The first thing that could not be read; one is enough to know that the archive is not whole.
    problem: Option<Unreadable>,
}

/// The metadata in an archive.
#[derive(Default)]
struct Metadata {
    manifest: Manifest,
    /// Each with the folder in which it lies.
    properties: Vec<(String, Coordinates)>,
    poms: BTreeMap<String, Pom>,
    /// By the texts of licences that lie beside the manifest or at the root.
    licences: BTreeSet<&'static str>,
}

impl Reader {
    fn archive(&mut self, path: &str, inside: Option<&str>, bytes: &[u8], depth: usize) {
        let shown = inside.unwrap_or(path).to_owned();
        let archive = match Archive::open(bytes) {
            Ok(archive) => archive,
            Err(reason) => return self.problem("java-archive-malformed", &shown, reason),
        };
        let mut metadata = Metadata::default();
        let mut nested = Vec::new();
        for entry in archive.entries() {
            let Ok(entry) = entry else {
                self.problem("java-archive-malformed", &shown, "its list of files breaks off");
                break;
            };
            if is_archive(&entry.name) {
                nested.push(entry);
            } else if Metadata::wants(&entry.name)
                && let Some(content) = self.content(&archive, &entry, MAX_FILE_BYTES, &shown)
            {
                metadata.add(&entry.name, &content);
            }
        }
        self.packages(path, inside, bytes, &metadata);
        for entry in nested {
            let inner = place(inside, &entry.name);
            if depth + 1 >= MAX_DEPTH {
                self.problem("java-archive-too-deep", &inner, "it lies too deep in others");
                return;
            }
            if self.drafts.len() >= MAX_PACKAGES {
                self.problem(
                    "java-archive-too-many",
                    &inner,
                    "more packages than are listed lie before it",
                );
                return;
            }
            if let Some(content) = self.content(&archive, &entry, MAX_READ_BYTES, &inner) {
                self.archive(path, Some(&inner), &content, depth + 1);
            }
        }
    }

    fn problem(&mut self, code: &'static str, name: &str, reason: impl std::fmt::Display) {
        self.problem
            .get_or_insert_with(|| Unreadable::new(code, format!("{name}: {reason}")));
    }

    /// A file's bytes, paid for.
    fn content<'b>(
        &mut self,
        archive: &Archive<'b>,
        entry: &Entry,
        limit: usize,
        shown: &str,
    ) -> Option<std::borrow::Cow<'b, [u8]>> {
        let limit = limit.min(self.budget);
        match archive.content(entry, limit) {
            Ok(content) => {
                self.budget -= content.len().min(self.budget);
                Some(content)
            }
            Err(reason) => {
                // What was inflated in vain counts too.
                if reason.is_too_large() {
                    self.budget -= limit;
                }
                let code = if reason.is_too_large() {
                    "java-archive-too-large"
                } else {
                    "java-archive-malformed"
                };
                self.problem(code, shown, reason);
                None
            }
        }
    }

    fn packages(&mut self, path: &str, inside: Option<&str>, bytes: &[u8], metadata: &Metadata) {
        let name = FileName::of(inside.unwrap_or(path));
        let own = metadata.own(&name);
        let first = self.drafts.len();
        let mut contained = Vec::new();
        for (folder, coordinates) in &metadata.properties {
            if self.drafts.len() + contained.len() >= MAX_PACKAGES {
                break;
            }
            if own.as_ref().is_some_and(|own| own.coordinates == *coordinates) {
                continue;
            }
            let inner = format!("{folder}pom.properties");
            let mut draft = draft(coordinates, metadata.poms.get(folder));
            draft.inside = Some(place(inside, &inner));
            contained.push(draft);
        }
        if let Some(own) = own {
            let mut draft = draft(&own.coordinates, metadata.pom_of(&own.coordinates));
            draft.uncertain = draft.uncertain.or(own.uncertain);
            if let (None, Some(version)) = (&draft.version, name.version()) {
                draft.version = Some(version.to_owned());
                draft.uncertain = Some(Uncertainty::FromFileName);
            }
            draft.inside = inside.map(str::to_owned);
            draft.hashes = hashes(bytes);
            draft.file = Some(PackageFile::bytecode(inside.unwrap_or(path)));
            metadata.manifest.complete(&mut draft);
            if draft.licences.is_empty() {
                draft.licences = metadata.licences.iter().map(|&id| id.to_owned()).collect();
            }
            // What is shaded in is part of what shades it.
            draft
                .needs
                .extend((0..contained.len()).map(|at| Need::Sibling(first + 1 + at)));
            self.drafts.push(draft);
        }
        self.drafts.extend(contained);
    }
}

/// A place in an archive that may itself be in one. Names may have 64 KB each, and one archive's stands in those of all
/// in it.
fn place(inside: Option<&str>, name: &str) -> String {
    /// The most characters shown.
    const MAX_PLACE: usize = 1024;
    match inside {
        Some(inside) => inside
            .chars()
            .chain("!/".chars())
            .chain(name.chars())
            .take(MAX_PLACE)
            .collect(),
        None => name.chars().take(MAX_PLACE).collect(),
    }
}

fn draft(coordinates: &Coordinates, pom: Option<&Pom>) -> Draft {
    let mut draft = Draft::new(
        PackageKind::Maven,
        &coordinates.artifact,
        coordinates.version.as_deref(),
    );
    draft.group.clone_from(&coordinates.group);
    if let Some(group) = &coordinates.group {
        draft.provides.push(format!("{group}:{}", coordinates.artifact));
    }
    if let Some(pom) = pom {
        pom.complete(&mut draft);
    }
    draft
}

fn hashes(bytes: &[u8]) -> Vec<FileHash> {
    let sha1: String = Sha1::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let sha256 = Digest::sha256_of(bytes).hex();
    [
        FileHash::parse(FileHashAlgorithm::Sha1, &sha1),
        FileHash::parse(FileHashAlgorithm::Sha256, &sha256),
        Some(FileHash::sha512_of(bytes)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

impl Metadata {
    fn wants(name: &str) -> bool {
        name.eq_ignore_ascii_case("META-INF/MANIFEST.MF")
            || (name.starts_with("META-INF/maven/")
                && (name.ends_with("/pom.properties") || name.ends_with("/pom.xml")))
            || is_licence_file(name.strip_prefix("META-INF/").unwrap_or(name))
    }

    fn add(&mut self, name: &str, content: &[u8]) {
        let (folder, file) = name.rsplit_once('/').unwrap_or(("", name));
        let folder = format!("{folder}/");
        match file {
            "pom.properties" => {
                if let Some(coordinates) = pom::properties(&folder, content) {
                    self.properties.push((folder, coordinates));
                }
            }
            "pom.xml" => {
                self.poms.insert(folder, Pom::read(&String::from_utf8_lossy(content)));
            }
            _ if name.eq_ignore_ascii_case("META-INF/MANIFEST.MF") => self.manifest = Manifest::read(content),
            _ => self.licences.extend(recognise(content)),
        }
    }

    /// The `pom.xml` beside the properties of these coordinates, or the one that says them itself.
    fn pom_of(&self, coordinates: &Coordinates) -> Option<&Pom> {
        let told = self.properties.iter().find(|(_, told)| told == coordinates);
        match told {
            Some((folder, _)) => self.poms.get(folder),
            None => self.poms.values().find(|pom| pom.is_of(coordinates)),
        }
    }

    /// What the archive itself is.
    fn own(&self, name: &FileName) -> Option<identity::Own> {
        let properties = self.properties.iter().map(|(_, coordinates)| coordinates);
        // A pom.xml without properties beside it says the same, if it says it without variables.
        let folders: BTreeSet<&str> = self.properties.iter().map(|(folder, _)| folder.as_str()).collect();
        let poms = self
            .poms
            .iter()
            .filter(|(folder, _)| !folders.contains(folder.as_str()))
            .filter_map(|(_, pom)| pom.coordinates());
        let told: Vec<Coordinates> = properties.cloned().chain(poms).collect();
        identity::own(name, &told, &self.manifest)
    }
}
