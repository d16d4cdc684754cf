//! From what documents say of packages, in whichever words, to a [`Bill`].

use std::collections::{BTreeMap, BTreeSet, HashMap};

use proofmark_types::{Digest, Purl};

use super::{Document, MAX_RELATIONSHIPS, Origin, ReadError, Subject, Warning};
use crate::bill::{
    Bill, Completeness, Distribution, FileHash, LayerRecord, Location, Note, Package, PackageFile, PackageId,
    PackageKind, Relationship, Source, Uncertainty,
};
use crate::document::Details;
use crate::licence::Licence;

/// A package in a document's words.
#[derive(Debug, Default)]
pub(super) struct Raw {
    /// How the document's other parts refer to it.
    pub(super) reference: String,
    /// What its name counts within, where the document says it apart.
    pub(super) group: Option<String>,
    pub(super) name: String,
    pub(super) version: Option<String>,
    pub(super) modularity: Option<String>,
    pub(super) hashes: Vec<FileHash>,
    /// All package URLs that it says.
    pub(super) purls: Vec<String>,
    /// The kind that it says beside the URL.
    pub(super) kind: Option<PackageKind>,
    /// Licences, each an expression or a name.
    pub(super) licences: Vec<String>,
    pub(super) supplier: Option<String>,
    pub(super) homepage: Option<String>,
    pub(super) description: Option<String>,
    pub(super) source: Option<Source>,
    /// Where it was found: the path, and the diffID or digest of its layer.
    pub(super) places: Vec<(String, Option<String>)>,
    /// The reference of the system package that has its files.
    pub(super) owner: Option<String>,
    pub(super) uncertain: Option<Uncertainty>,
    pub(super) file: Option<PackageFile>,
    pub(super) details: Details,
}

/// All that a document says.
#[derive(Debug)]
pub(super) struct Gathered {
    pub(super) origin: Origin,
    pub(super) subject: Subject,
    pub(super) created: Option<String>,
    pub(super) tools: Vec<String>,
    pub(super) authors: Vec<String>,
    pub(super) distribution: Option<Distribution>,
    pub(super) layers: Vec<LayerRecord>,
    pub(super) packages: Vec<Raw>,
    /// By reference: the first needs the second.
    pub(super) needs: Vec<(String, String)>,
    /// By reference: the first contains the second.
    pub(super) contains: Vec<(String, String)>,
    /// By reference: these are said to need nothing but what is said.
    pub(super) settled: Vec<String>,
    /// By reference: how complete the list of what it needs is; of several words the least counts.
    pub(super) completeness: HashMap<String, Completeness>,
    /// What is no package and may be referred to.
    pub(super) others: BTreeSet<String>,
    /// Files that it says could not be read.
    pub(super) notes: Vec<Note>,
    /// What it says that it does not list.
    pub(super) incomplete: Vec<String>,
    pub(super) warnings: Vec<(&'static str, String)>,
}

impl Gathered {
    pub(super) fn new(origin: Origin) -> Self {
        Self {
            origin,
            subject: Subject::default(),
            created: None,
            tools: Vec::new(),
            authors: Vec::new(),
            distribution: None,
            layers: Vec::new(),
            packages: Vec::new(),
            needs: Vec::new(),
            contains: Vec::new(),
            settled: Vec::new(),
            completeness: HashMap::new(),
            others: BTreeSet::new(),
            notes: Vec::new(),
            incomplete: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Takes a word on how complete the list of what a package needs is.
    pub(super) fn complete(&mut self, reference: String, said: Completeness) {
        let known = self.completeness.entry(reference).or_insert(said);
        *known = said.max(*known);
    }

    /// Puts it together.
    pub(super) fn finish(mut self) -> Result<Document, ReadError> {
        self.notes.sort();
        self.notes.dedup();
        let relationships = self.needs.len().saturating_add(self.contains.len());
        if relationships > MAX_RELATIONSHIPS {
            return Err(ReadError::TooMany {
                what: "relationships",
                limit: MAX_RELATIONSHIPS,
            });
        }
        let created = self
            .created
            .as_deref()
            .and_then(|t| proofmark_types::UnixTime::parse(t).ok());
        let mut document = Document {
            origin: self.origin,
            subject: self.subject,
            created,
            tools: self.tools,
            authors: self.authors,
            bill: Bill {
                layers: self.layers,
                notes: self.notes,
                ..Bill::default()
            },
            details: BTreeMap::new(),
            related: BTreeSet::new(),
            incomplete: self.incomplete,
            warnings: Vec::new(),
            more_warnings: 0,
        };
        for (code, message) in self.warnings {
            warn(&mut document, code, None, message);
        }
        if let (Some(text), None) = (&self.created, created) {
            let message = format!("the time of its making, \"{}\", is no RFC 3339 time", short(text));
            warn(&mut document, "time-malformed", None, message);
        }
        let ids = Ids::new(&mut document, &self.packages);
        let owners: Vec<Option<String>> = self.packages.iter().map(|raw| raw.owner.clone()).collect();
        for (raw, id) in self.packages.into_iter().zip(&ids.each) {
            let package = package(&mut document, raw, id);
            document.bill.packages.push(package);
        }
        let own = ids
            .each
            .iter()
            .zip(owners)
            .filter_map(|(id, owner)| Some((owner?, id.clone())));
        let own: Vec<(String, PackageId)> = own.collect();
        ids.relate(&mut document, &self.needs, &self.contains, &own, &self.others);
        let pairs = self.needs.iter().chain(&self.contains);
        let named = pairs.flat_map(|(from, to)| [from, to]).chain(&self.settled);
        document.related = named.filter_map(|reference| ids.of(reference).cloned()).collect();
        ids.complete(&mut document, &self.completeness);
        document.bill.distribution = self.distribution;
        distribution(&mut document);
        document
            .bill
            .packages
            .sort_by(|a, b| (a.kind, &a.name, &a.version, &a.id).cmp(&(b.kind, &b.name, &b.version, &b.id)));
        Ok(document)
    }
}

/// Which identity a reference means.
struct Ids {
    /// In the packages' order.
    each: Vec<PackageId>,
    /// A reference that several packages have means none of them.
    by_reference: HashMap<String, Option<PackageId>>,
}

/// The longest identity made of a reference as it stands.
const MAX_IDENTITY: usize = 128;

impl Ids {
    fn new(document: &mut Document, packages: &[Raw]) -> Self {
        let mut ids = Self {
            each: Vec::with_capacity(packages.len()),
            by_reference: HashMap::with_capacity(packages.len()),
        };
        let mut taken = BTreeSet::new();
        for (at, raw) in packages.iter().enumerate() {
            let mut id = identity(&raw.reference, &raw.name);
            if !taken.insert(id.clone()) {
                id = PackageId::new(format!("{id}-{at}"));
                taken.insert(id.clone());
            }
            if !raw.reference.is_empty() {
                let known = ids.by_reference.get_mut(&raw.reference);
                if let Some(known) = known {
                    *known = None;
                    let message = format!("several packages have the reference \"{}\"", short(&raw.reference));
                    warn(document, "reference-duplicate", Some(&id), message);
                } else {
                    ids.by_reference.insert(raw.reference.clone(), Some(id.clone()));
                }
            }
            ids.each.push(id);
        }
        ids
    }

    fn of(&self, reference: &str) -> Option<&PackageId> {
        self.by_reference.get(reference)?.as_ref()
    }

    /// What is said of how complete the needs of packages are.
    fn complete(&self, document: &mut Document, said: &HashMap<String, Completeness>) {
        let said: HashMap<&PackageId, Completeness> = said
            .iter()
            .filter_map(|(reference, said)| Some((self.of(reference)?, *said)))
            .collect();
        let needing: BTreeSet<&PackageId> = document.bill.relationships.iter().map(|needed| &needed.from).collect();
        for package in &mut document.bill.packages {
            if let Some(said) = said.get(&package.id) {
                // SPDX 2.3 has one word for what else there may be and what there is at all.
                package.needs = match said {
                    Completeness::Unknown if needing.contains(&package.id) => Completeness::Incomplete,
                    said => *said,
                };
                document.related.insert(package.id.clone());
                let details = document.details.entry(package.id.clone()).or_default();
                details.completeness_is_said = true;
            }
        }
    }

    fn relate(
        &self,
        document: &mut Document,
        needs: &[(String, String)],
        contains: &[(String, String)],
        own: &[(String, PackageId)],
        others: &BTreeSet<String>,
    ) {
        let mut pairs = BTreeSet::new();
        let mut unknown = BTreeSet::new();
        for (from, to) in needs {
            if let (Some(from), Some(to)) = (self.of(from), self.of(to)) {
                if from != to {
                    pairs.insert(Relationship {
                        from: from.clone(),
                        to: to.clone(),
                    });
                }
                continue;
            }
            for reference in [from, to] {
                if !self.by_reference.contains_key(reference) && !others.contains(reference) {
                    unknown.insert(reference.as_str());
                }
            }
        }
        document.bill.relationships = pairs.into_iter().collect();
        if let Some(first) = unknown.first() {
            let message = format!(
                "dependencies name {} parts that are not in the document, such as \"{}\"",
                unknown.len(),
                short(first)
            );
            warn(document, "reference-unknown", None, message);
        }
        let kinds: HashMap<&PackageId, PackageKind> = document.bill.packages.iter().map(|p| (&p.id, p.kind)).collect();
        let mut owners: HashMap<PackageId, PackageId> = HashMap::new();
        let contained = contains
            .iter()
            .filter_map(|(owner, owned)| Some((owner, self.of(owned)?)));
        for (owner, owned) in contained.chain(own.iter().map(|(owner, owned)| (owner, owned))) {
            let Some(owner) = self.of(owner) else { continue };
            let is_system = |id: &PackageId| kinds.get(id).is_some_and(|kind| kind.is_system());
            if is_system(owner) && !is_system(owned) {
                owners.insert(owned.clone(), owner.clone());
            }
        }
        for package in &mut document.bill.packages {
            package.owned_by = owners.remove(&package.id);
        }
    }
}

/// Ours come back as they were written; of others, what an identity may hold is kept and the rest told by a hash.
fn identity(reference: &str, name: &str) -> PackageId {
    let own = match reference.split_once("#Package-") {
        // SPDX 3, where the document's own IRI stands before.
        Some((document, own)) if document.starts_with("https://spdx.org/spdxdocs/proofmark-") => own,
        _ => reference.strip_prefix("SPDXRef-Package-").unwrap_or(reference),
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
    if !own.is_empty() && own.len() <= MAX_IDENTITY && own.chars().all(plain) {
        return PackageId::new(own.to_owned());
    }
    let hash = Digest::sha256_of(reference.as_bytes()).hex();
    let name: String = name.chars().map(|c| if plain(c) { c } else { '-' }).take(48).collect();
    PackageId::new(format!(
        "{}-{}",
        name.trim_matches(['-', '.']),
        hash.get(..16).unwrap_or(&hash)
    ))
}

fn package(document: &mut Document, mut raw: Raw, id: &PackageId) -> Package {
    let mut details = std::mem::take(&mut raw.details);
    let purl = chosen(document, &raw.purls, id, &mut details, &raw.name);
    let kind = match &purl {
        Some(purl) => PackageKind::of_purl_type(purl.kind()),
        None => raw.kind.unwrap_or(PackageKind::Unknown),
    };
    if let (Some(purl), PackageKind::Unknown) = (&purl, kind) {
        let message = format!(
            "{}: packages of type \"{}\" are not known here",
            short(&raw.name),
            purl.kind()
        );
        warn(document, "purl-type-unknown", Some(id), message);
    }
    let (group, name) = match &purl {
        Some(purl) => name(&raw, purl, kind),
        None => unlocated_name(&raw, kind),
    };
    let version = version(
        document,
        &raw.name,
        raw.version.take().filter(|v| !v.is_empty()),
        purl.as_ref(),
        id,
    );
    let uncertain = raw
        .uncertain
        .or_else(|| version.is_none().then_some(Uncertainty::NoVersion));
    let source = raw
        .source
        .or_else(|| purl.as_ref().and_then(|purl| upstream(purl, kind)));
    let file = raw.file.take().or_else(|| file(&mut details));
    if details != Details::default() {
        document.details.insert(id.clone(), details);
    }
    let locations = locations(&document.bill.layers, &raw.places);
    let mut licences: Vec<Licence> = raw.licences.iter().filter_map(|text| Licence::declared(text)).collect();
    licences.sort();
    licences.dedup();
    let modularity = raw
        .modularity
        .or_else(|| Some(purl.as_ref()?.qualifier("rpmmod")?.to_owned()));
    Package {
        id: id.clone(),
        kind,
        group,
        name,
        version,
        modularity,
        hashes: raw.hashes,
        purl,
        source,
        licences,
        supplier: raw.supplier,
        homepage: raw.homepage,
        description: raw.description,
        locations,
        owned_by: None,
        uncertain,
        needs: Completeness::Unknown,
        file,
    }
}

/// What BSI's properties say, if they say all in words that are known; then nothing of it is left in the details.
fn file(details: &mut Details) -> Option<PackageFile> {
    let property = |name: &str| details.properties.get(name).map(String::as_str);
    let either = |name: &str, yes: &str, no: &str| match property(name)? {
        word if word == yes => Some(true),
        word if word == no => Some(false),
        _ => None,
    };
    let file = PackageFile {
        name: property("bsi:component:filename")
            .or(details.file_name.as_deref())?
            .to_owned(),
        executable: either("bsi:component:executable", "executable", "non-executable")?,
        archive: either("bsi:component:archive", "archive", "no archive")?,
        structured: either("bsi:component:structured", "structured", "unstructured")?,
    };
    if details.file_name.as_ref().is_some_and(|name| *name != file.name) {
        return None;
    }
    details.properties.remove("bsi:component:filename");
    for (name, _) in file.properties() {
        details.properties.remove(name);
    }
    details.file_name = None;
    Some(file)
}

/// Where it was found, in the layers that the document lists.
fn locations(layers: &[LayerRecord], places: &[(String, Option<String>)]) -> Vec<Location> {
    let layer = |text: &str| {
        layers
            .iter()
            .position(|layer| layer.diff_id.to_string() == text || layer.digest.to_string() == text)
    };
    let mut locations: Vec<Location> = places
        .iter()
        .map(|(path, of)| Location {
            path: path.trim_start_matches('/').to_owned(),
            layer: of.as_deref().and_then(layer).unwrap_or(Location::UNKNOWN_LAYER),
        })
        .collect();
    locations.sort();
    locations.dedup();
    locations
}

/// Of several package URLs, the first whose type is known here; those that are none are kept as text.
fn chosen(
    document: &mut Document,
    texts: &[String],
    id: &PackageId,
    details: &mut Details,
    name: &str,
) -> Option<Purl> {
    let mut found: Option<Purl> = None;
    for text in texts {
        match Purl::parse(text) {
            Ok(purl) => {
                let known = |purl: &Purl| PackageKind::of_purl_type(purl.kind()) != PackageKind::Unknown;
                if found.as_ref().is_none_or(|found| !known(found) && known(&purl)) {
                    found = Some(purl);
                }
            }
            Err(error) => {
                details.identifiers.push(text.clone());
                warn(
                    document,
                    "purl-malformed",
                    Some(id),
                    format!("{}: {error}", short(name)),
                );
            }
        }
    }
    if texts.is_empty() {
        let message = format!("{} has no package URL", short(name));
        warn(document, "purl-missing", Some(id), message);
    }
    found
}

/// A package's group and name as its ecosystem writes them: the document's where only the writing differs, since package
/// URLs fold case, otherwise the package URL's, since documents split names in different places.
fn name(raw: &Raw, purl: &Purl, kind: PackageKind) -> (Option<String>, String) {
    let (group, full) = match purl.namespace() {
        // The vendor of a distribution's packages is no part of their names.
        Some(_) if kind.is_system() => (None, purl.name().to_owned()),
        Some(namespace) if is_grouped(kind) => (Some(namespace.to_owned()), purl.name().to_owned()),
        Some(namespace) => (None, format!("{namespace}/{}", purl.name())),
        None => (None, purl.name().to_owned()),
    };
    let folded = |text: &str| text.to_lowercase().replace('_', "-");
    let (_, said) = unlocated_name(raw, kind);
    if folded(&said) == folded(&full) {
        (group, said)
    } else {
        (group, full)
    }
}

/// Whether packages of a kind have names that count only within a group.
fn is_grouped(kind: PackageKind) -> bool {
    matches!(
        kind,
        PackageKind::Maven | PackageKind::Swift | PackageKind::Generic | PackageKind::Unknown
    )
}

/// The group and name that the document says.
fn unlocated_name(raw: &Raw, kind: PackageKind) -> (Option<String>, String) {
    match &raw.group {
        Some(group) if is_grouped(kind) => (Some(group.clone()), raw.name.clone()),
        Some(group) => (None, format!("{group}/{}", raw.name)),
        None => (None, raw.name.clone()),
    }
}

/// The version that the document says; what the package URL says where it says none, or leaves the epoch away.
fn version(
    document: &mut Document,
    name: &str,
    said: Option<String>,
    purl: Option<&Purl>,
    id: &PackageId,
) -> Option<String> {
    let of_purl = purl.and_then(|purl| {
        let version = purl.version()?;
        // rpm, and Trivy also for deb, have the epoch beside the version.
        Some(match purl.qualifier("epoch") {
            Some(epoch) if epoch != "0" && !version.starts_with(&format!("{epoch}:")) => format!("{epoch}:{version}"),
            _ => version.to_owned(),
        })
    });
    let (Some(said), Some(of_purl)) = (said.clone(), of_purl.clone()) else {
        return said.or(of_purl);
    };
    let without_epoch = |text: &str| match text.split_once(':') {
        Some((epoch, rest)) if !epoch.is_empty() && epoch.bytes().all(|b| b.is_ascii_digit()) => rest.to_owned(),
        _ => text.to_owned(),
    };
    if said == of_purl {
        return Some(said);
    }
    if without_epoch(&said) == without_epoch(&of_purl) {
        return Some(if said.contains(':') { said } else { of_purl });
    }
    let folded = |text: &str| text.trim_start_matches('v').to_lowercase();
    if folded(&said) != folded(&of_purl) {
        let message = format!(
            "{}: its version is \"{}\", and \"{}\" in its package URL",
            short(name),
            short(&said),
            short(&of_purl)
        );
        warn(document, "version-differs", Some(id), message);
    }
    Some(said)
}

/// The source package in the qualifier that Syft and we write: `name`, `name@version`, or a source RPM's file name.
pub(super) fn upstream(purl: &Purl, kind: PackageKind) -> Option<Source> {
    let text = purl.qualifier("upstream").filter(|_| kind.is_system())?;
    let split = match text.strip_suffix(".src.rpm") {
        // name-version-release, of which only the name may have dashes.
        Some(rpm) => {
            let release = rpm.rfind('-')?;
            let version = rpm.get(..release)?.rfind('-')?;
            Some((rpm.get(..version)?, rpm.get(version + 1..)?))
        }
        None => text.split_once('@'),
    };
    let (name, version) = match split {
        Some((name, version)) => (name, Some(version.to_owned()).filter(|v| !v.is_empty())),
        None => (text, None),
    };
    (!name.is_empty()).then(|| Source {
        name: name.to_owned(),
        version,
    })
}

/// Where the document does not say of which distribution the image is, its packages' URLs may, if they agree.
fn distribution(document: &mut Document) {
    let packages = document.bill.packages.iter().filter(|package| package.kind.is_system());
    let said: BTreeSet<String> = packages
        .filter_map(|package| package.purl.as_ref()?.qualifier("distro").map(str::to_owned))
        .collect();
    let of = |text: &str| {
        let (id, version) = match text.rsplit_once('-') {
            Some((id, version)) if version.starts_with(|c: char| c.is_ascii_digit()) => (id, Some(version.to_owned())),
            _ => (text, None),
        };
        Distribution {
            id: id.to_owned(),
            version_id: version,
            name: None,
            codename: None,
        }
    };
    match (&document.bill.distribution, said.len(), said.first()) {
        (None, 1, Some(text)) => document.bill.distribution = Some(of(text)),
        (None, 2.., _) => {
            let said: Vec<&str> = said.iter().take(4).map(String::as_str).collect();
            let message = format!("its packages are of several distributions: {}", said.join(", "));
            warn(document, "distribution-unclear", None, message);
        }
        _ => {}
    }
}

fn warn(document: &mut Document, code: &'static str, package: Option<&PackageId>, message: String) {
    document.warn(Warning {
        code,
        package: package.cloned(),
        message,
    });
}

/// Foreign text for a message.
pub(super) fn short(text: &str) -> String {
    crate::document::line(text, 120)
}
