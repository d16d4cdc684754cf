//! From facts, each told by one file, to packages, each told once.

mod locked;
mod supplier;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use proofmark_types::{Digest, Purl};

use crate::bill::{
    Bill, Completeness, Distribution, Location, Package, PackageId, PackageKind, Relationship, Uncertainty,
};
use crate::cataloger::{Draft, Fact, Need, RepositoryName, name_archive, package_folder, repository_name, site_folder};
use crate::licence::Licence;

/// All that the files of an image say.
#[derive(Default)]
pub(crate) struct Facts {
    /// By path, so that the order of layers and entries does not matter.
    pub(crate) found: BTreeMap<String, Found>,
    /// Documentation folders that are links to another package's, by the link's path.
    pub(crate) doc_links: BTreeMap<String, (String, String)>,
    /// Which layer brought a file, by its key.
    pub(crate) layer_of: HashMap<u64, usize>,
    /// The number of files.
    pub(crate) files: u64,
}

impl Facts {
    /// Names Java archives after the repository that the distribution keeps of them.
    pub(crate) fn name_archives(&mut self, mut names: BTreeMap<String, Vec<RepositoryName>>) {
        for (path, found) in &mut self.found {
            let mut of_path = names.remove(path).unwrap_or_default();
            of_path.extend(repository_name(path));
            if !of_path.is_empty() {
                name_archive(&mut found.facts, &of_path);
            }
        }
    }
}

/// What one file says.
pub(crate) struct Found {
    pub(crate) layer: usize,
    pub(crate) facts: Vec<Fact>,
}

/// A path in eight bytes. Two paths that fall together confuse the layer a package is attributed to, nothing else.
pub(crate) fn path_key(path: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    hasher.finish()
}

/// The most links of a documentation folder to another that are followed; Debian nests none.
const MAX_DOC_LINKS: usize = 4;

/// The most relationships of a bill: ten for each of 100,000 packages.
const MAX_RELATIONSHIPS: usize = 1_000_000;

/// Puts the facts together: system packages first, then those of languages, which system packages may own.
pub(crate) fn assemble(facts: Facts) -> Bill {
    let distribution = distribution(&facts.found);
    let context = Context::new(&facts, distribution.as_ref());
    let drafts = context.drafts(&facts);
    let left_out = context.left_out(&drafts);
    let mut packages: BTreeMap<PackageId, Package> = BTreeMap::new();
    let mut ids: Vec<Option<PackageId>> = vec![None; drafts.len()];
    let mut system: HashMap<(PackageKind, String), PackageId> = HashMap::new();
    for is_system in [true, false] {
        for ((told, id), left_out) in drafts.iter().zip(&mut ids).zip(&left_out) {
            if told.draft.kind.is_system() != is_system || *left_out {
                continue;
            }
            let owner = if is_system {
                None
            } else {
                context.owner(told.path, &system)
            };
            let mut package = context.package(told, owner);
            let owner = package.owned_by.as_ref().and_then(|owner| packages.get(owner));
            package.supplier = supplier::supplier(told.draft, owner);
            if is_system {
                let name = told.draft.name.clone();
                if let Some(architecture) = &told.draft.architecture {
                    system.insert((package.kind, format!("{name}:{architecture}")), package.id.clone());
                }
                system.insert((package.kind, name), package.id.clone());
            }
            *id = Some(package.id.clone());
            merge(&mut packages, package);
        }
    }
    let relationships = relationships(&drafts, &ids, &mut packages);
    let mut packages: Vec<Package> = packages.into_values().collect();
    packages.sort_by(|a, b| (a.kind, &a.name, &a.version, &a.id).cmp(&(b.kind, &b.name, &b.version, &b.id)));
    Bill {
        distribution,
        packages,
        relationships,
        files: facts.files,
        ..Bill::default()
    }
}

/// A package told of by a file.
struct Told<'f> {
    path: &'f str,
    layer: usize,
    draft: &'f Draft,
    /// Where the packages that the same file tells of start in the list.
    first: usize,
}

struct Context<'f> {
    distribution: Option<&'f Distribution>,
    /// Which system package has a file.
    owners: HashMap<&'f str, (PackageKind, &'f str)>,
    /// Which layer brought a system package.
    layers: HashMap<(PackageKind, &'f str), usize>,
    licences: HashMap<&'f str, &'f [String]>,
    doc_links: HashMap<&'f str, &'f str>,
}

fn distribution(found: &BTreeMap<String, Found>) -> Option<Distribution> {
    // In path order etc comes before usr, which is the order of os-release(5).
    found
        .values()
        .flat_map(|found| &found.facts)
        .find_map(|fact| match fact {
            Fact::Distribution(distribution) => Some(distribution.clone()),
            _ => None,
        })
}

impl<'f> Context<'f> {
    fn new(facts: &'f Facts, distribution: Option<&'f Distribution>) -> Self {
        let mut context = Self {
            distribution,
            owners: HashMap::new(),
            layers: HashMap::new(),
            licences: HashMap::new(),
            doc_links: facts
                .doc_links
                .values()
                .map(|(package, other)| (package.as_str(), other.as_str()))
                .collect(),
        };
        for found in facts.found.values() {
            for fact in &found.facts {
                match fact {
                    Fact::Owned { kind, package, files } => context.owned(facts, found.layer, *kind, package, files),
                    Fact::DebianLicences { package, licences } => {
                        context.licences.insert(package, licences);
                    }
                    Fact::Package(_) | Fact::Distribution(_) | Fact::Problem(_) => {}
                }
            }
        }
        context
    }

    /// dpkg rewrites a package's list when it installs it, so the list's layer is the package's. apk and rpm have one
    /// file for all: there it is the lowest layer that has a file of the package, because they write all of them anew.
    fn owned(&mut self, facts: &Facts, layer: usize, kind: PackageKind, package: &'f str, files: &'f [Box<str>]) {
        let layer = match kind {
            PackageKind::Apk | PackageKind::Rpm => files
                .iter()
                .filter_map(|file| facts.layer_of.get(&path_key(file)).copied())
                .min()
                .unwrap_or(layer),
            _ => layer,
        };
        self.layers.insert((kind, package), layer);
        for file in files {
            self.owners.insert(merged_usr(file), (kind, package));
        }
    }

    fn drafts(&self, facts: &'f Facts) -> Vec<Told<'f>> {
        let mut drafts: Vec<Told<'f>> = Vec::new();
        for (path, found) in &facts.found {
            let first = drafts.len();
            for fact in &found.facts {
                let Fact::Package(draft) = fact else { continue };
                let qualified = draft.architecture.as_ref().map(|a| format!("{}:{a}", draft.name));
                let layer = qualified
                    .as_deref()
                    .and_then(|name| self.layers.get(&(draft.kind, name)))
                    .or_else(|| self.layers.get(&(draft.kind, draft.name.as_str())))
                    .copied()
                    .unwrap_or(found.layer);
                drafts.push(Told {
                    path,
                    layer,
                    draft,
                    first,
                });
            }
        }
        drafts
    }

    /// Which packages are not told of: what stands in the bytes of a file of a system package is that package's, and
    /// what was to be installed is left out where what was installed is seen ([`locked`]).
    fn left_out(&self, drafts: &[Told<'_>]) -> Vec<bool> {
        let mut left_out = locked::superseded(drafts);
        let applications = locked::applications(drafts);
        for (told, left_out) in drafts.iter().zip(&mut left_out) {
            let kind = told.draft.kind;
            let from_content = told.draft.uncertain == Some(Uncertainty::FromContent);
            // A Go program of which nothing is known but the path that its package was built under.
            let is_bare_program = kind == PackageKind::Golang
                && told.draft.file.is_some()
                && told.draft.uncertain == Some(Uncertainty::NoVersion);
            let is_of_file = kind == PackageKind::Generic || is_bare_program || (kind.is_system() && from_content);
            *left_out |= told.draft.application && !applications.contains(told.path);
            *left_out |= is_of_file && self.owners.contains_key(merged_usr(told.path));
        }
        left_out
    }

    fn owner(&self, path: &str, system: &HashMap<(PackageKind, String), PackageId>) -> Option<PackageId> {
        let (kind, name) = self.owners.get(merged_usr(path))?;
        system.get(&(*kind, (*name).to_owned())).cloned()
    }

    fn package(&self, told: &Told<'_>, owner: Option<PackageId>) -> Package {
        let draft = told.draft;
        let purl = self.purl(draft);
        Package {
            id: identity(draft, purl.as_ref(), owner.as_ref()),
            kind: draft.kind,
            group: draft.group.clone(),
            name: draft.name.clone(),
            version: draft.version.clone(),
            modularity: draft.modularity.clone(),
            hashes: draft.hashes.clone(),
            purl,
            source: draft.source.clone(),
            licences: self.licences(draft),
            supplier: None,
            homepage: supplier::homepage(draft),
            description: draft.description.clone(),
            locations: vec![Location {
                path: match &draft.inside {
                    Some(inside) => format!("{}!/{inside}", told.path),
                    None => told.path.to_owned(),
                },
                layer: told.layer,
            }],
            owned_by: owner,
            uncertain: draft.uncertain,
            needs: Completeness::Unknown,
            file: draft.file.clone(),
        }
    }

    fn licences(&self, draft: &Draft) -> Vec<Licence> {
        let mut declared: BTreeSet<Licence> = draft.licences.iter().filter_map(|l| Licence::declared(l)).collect();
        if draft.kind == PackageKind::Deb {
            let mut folder = draft.name.as_str();
            for _ in 0..MAX_DOC_LINKS {
                if let Some(licences) = self.licences.get(folder) {
                    declared.extend(licences.iter().filter_map(|l| Licence::declared(l)));
                    break;
                }
                match self.doc_links.get(folder) {
                    Some(other) => folder = other,
                    None => break,
                }
            }
        }
        declared.into_iter().collect()
    }

    /// Qualifiers as Syft writes them, so that tools that read its output understand ours.
    fn purl(&self, draft: &Draft) -> Option<Purl> {
        let mut version = draft.version.as_deref();
        let mut epoch = None;
        let (namespace, name) = match draft.kind {
            kind if kind.is_system() => (
                self.distribution.map(|d| purl_namespace(kind, &d.id)),
                draft.name.as_str(),
            ),
            PackageKind::Npm if draft.name.starts_with('@') => split_at_last_slash(&draft.name),
            PackageKind::Composer => split_at_last_slash(&draft.name),
            // A replacement by a local folder has no name that others could know.
            PackageKind::Golang if draft.name.starts_with(['.', '/']) => return None,
            PackageKind::Golang => split_at_last_slash(&draft.name),
            // Its name alone is no name in a Maven repository.
            PackageKind::Maven if draft.group.is_none() => return None,
            _ => (draft.group.as_deref(), draft.name.as_str()),
        };
        if draft.kind == PackageKind::Rpm
            && let Some((before, rest)) = version.and_then(|version| version.split_once(':'))
        {
            (epoch, version) = (Some(before), Some(rest));
        }
        let mut purl = Purl::new(draft.kind.purl_type(), name).ok()?;
        if let Some(namespace) = namespace {
            purl = purl.with_namespace(namespace);
        }
        if let Some(version) = version {
            purl = purl.with_version(version);
        }
        if draft.kind.is_system() {
            let distribution = self.distribution.map(Distribution::qualifier).unwrap_or_default();
            purl = purl
                .with_qualifier("arch", draft.architecture.as_deref().unwrap_or_default())
                .with_qualifier("distro", &distribution)
                .with_qualifier("epoch", epoch.unwrap_or_default())
                .with_qualifier("rpmmod", draft.modularity.as_deref().unwrap_or_default());
        }
        match &draft.source {
            Some(source) if source.name != draft.name || source.version.is_some() => {
                let upstream = match &source.version {
                    Some(version) if draft.kind == PackageKind::Rpm => format!("{}-{version}.src.rpm", source.name),
                    Some(version) => format!("{}@{version}", source.name),
                    None => source.name.clone(),
                };
                Some(purl.with_qualifier("upstream", &upstream))
            }
            _ => Some(purl),
        }
    }
}

/// purl-spec names the vendors of two families of distributions, not the distributions.
fn purl_namespace(kind: PackageKind, distribution: &str) -> &str {
    match distribution {
        "rhel" if kind == PackageKind::Rpm => "redhat",
        suse if kind == PackageKind::Rpm && suse.starts_with("opensuse") => "opensuse",
        other => other,
    }
}

fn split_at_last_slash(name: &str) -> (Option<&str>, &str) {
    match name.rsplit_once('/') {
        Some((namespace, name)) if !name.is_empty() => (Some(namespace), name),
        _ => (None, name),
    }
}

/// Debian's lists name files as they were before `/bin` and `/lib` became links into `/usr`.
fn merged_usr(path: &str) -> &str {
    let inner = path.strip_prefix("usr/").unwrap_or(path);
    let moved = ["bin/", "sbin/", "lib/", "lib32/", "lib64/", "libx32/"];
    if moved.iter().any(|folder| inner.starts_with(folder)) {
        inner
    } else {
        path
    }
}

/// The bytes of the hash that an identity shows: 64 bits tell a million packages apart.
const IDENTITY_HEX: usize = 16;

/// The longest piece of a name that an identity shows, for people.
const IDENTITY_NAME: usize = 48;

fn identity(draft: &Draft, purl: Option<&Purl>, owner: Option<&PackageId>) -> PackageId {
    let purl = purl.map(ToString::to_string).unwrap_or_default();
    let facts = [
        draft.kind.purl_type(),
        draft.group.as_deref().unwrap_or_default(),
        &draft.name,
        draft.version.as_deref().unwrap_or_default(),
        &purl,
        owner.map_or("", PackageId::as_str),
    ];
    let hash = Digest::sha256_of(facts.join("\0").as_bytes()).hex();
    let name: String = draft
        .name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' })
        .take(IDENTITY_NAME)
        .collect();
    let name = name.trim_matches(['-', '.']);
    PackageId::new(format!(
        "{}-{name}-{}",
        draft.kind,
        hash.get(..IDENTITY_HEX).unwrap_or(&hash)
    ))
}

/// The same package in several places is one package with several locations.
fn merge(packages: &mut BTreeMap<PackageId, Package>, package: Package) {
    match packages.get_mut(&package.id) {
        None => {
            packages.insert(package.id.clone(), package);
        }
        Some(known) => {
            known.locations.extend(package.locations);
            known.locations.sort_unstable();
            known.locations.dedup();
            known.licences.extend(package.licences);
            known.licences.sort_unstable();
            known.licences.dedup();
            known.hashes.extend(package.hashes);
            known.hashes.sort_unstable();
            known.hashes.dedup();
            // One file that is sure of it is enough.
            known.uncertain = known.uncertain.min(package.uncertain);
            // Copies under other names have one as well: it is that of the first place.
            known.file = known.file.take().or(package.file);
        }
    }
}

/// Resolves what packages need to packages that are there, and says of each whether that is all; what is not there is not
/// an error of the image.
fn relationships(
    drafts: &[Told<'_>],
    ids: &[Option<PackageId>],
    packages: &mut BTreeMap<PackageId, Package>,
) -> Vec<Relationship> {
    let resolver = Resolver::new(drafts);
    let mut pairs = BTreeSet::new();
    let mut stated: BTreeMap<&PackageId, Completeness> = BTreeMap::new();
    let id = |at: usize| ids.get(at).and_then(Option::as_ref);
    for (at, told) in drafts.iter().enumerate() {
        let Some(from) = id(at) else { continue };
        let mut missing = 0_usize;
        for need in &told.draft.needs {
            match resolver.resolve(told, need).and_then(id) {
                Some(to) if to == from => {}
                Some(to) if pairs.len() < MAX_RELATIONSHIPS => {
                    pairs.insert(Relationship {
                        from: from.clone(),
                        to: to.clone(),
                    });
                }
                Some(_) | None => missing += 1,
            }
        }
        let completeness = match (told.draft.says_needs, missing) {
            (true, 0) => Completeness::Complete,
            (false, _) if told.draft.needs.is_empty() => Completeness::Unknown,
            _ => Completeness::Incomplete,
        };
        // Of copies, the one of which the least is known.
        let known = stated.entry(from).or_insert(completeness);
        *known = completeness.max(*known);
    }
    for (id, completeness) in stated {
        if let Some(package) = packages.get_mut(id) {
            package.needs = completeness;
        }
    }
    pairs.into_iter().collect()
}

/// Finds packages by the name under which others need them, in the scope in which the name counts.
struct Resolver<'d> {
    by_name: HashMap<(PackageKind, &'d str, &'d str), usize>,
    by_path: HashMap<&'d str, usize>,
}

impl<'d> Resolver<'d> {
    fn new(drafts: &'d [Told<'d>]) -> Self {
        let mut resolver = Self {
            by_name: HashMap::new(),
            by_path: HashMap::new(),
        };
        for (at, told) in drafts.iter().enumerate() {
            let scope = scope(told);
            resolver.by_name.insert((told.draft.kind, scope, &told.draft.name), at);
            resolver.by_path.insert(told.path, at);
        }
        // A name of one's own goes before what others provide.
        for (at, told) in drafts.iter().enumerate() {
            for name in &told.draft.provides {
                let key = (told.draft.kind, scope(told), name.as_str());
                resolver.by_name.entry(key).or_insert(at);
            }
        }
        resolver
    }

    fn resolve(&self, told: &Told<'_>, need: &Need) -> Option<usize> {
        match need {
            Need::Sibling(index) => Some(told.first + index),
            Need::AnyOf(names) if told.draft.kind == PackageKind::Npm => {
                names.iter().find_map(|name| self.node_module(told.path, name))
            }
            Need::AnyOf(names) => names.iter().find_map(|name| {
                self.by_name
                    .get(&(told.draft.kind, scope(told), name.as_str()))
                    .copied()
            }),
        }
    }

    /// Node's own search: the `node_modules` of the folder and of each above, then Debian's folder.
    fn node_module(&self, path: &str, name: &str) -> Option<usize> {
        let modules = package_folder(path).map(|(modules, _)| modules);
        let mut folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        loop {
            let separator = if folder.is_empty() { "" } else { "/" };
            let candidate = format!("{folder}{separator}node_modules/{name}/package.json");
            if let Some(at) = self.by_path.get(candidate.as_str()) {
                return Some(*at);
            }
            if folder.is_empty() {
                break;
            }
            folder = folder.rsplit_once('/').map_or("", |(parent, _)| parent);
        }
        self.by_path
            .get(format!("{}{name}/package.json", modules?).as_str())
            .copied()
    }
}

/// System packages count everywhere, Python distributions for their own folder.
fn scope<'p>(told: &Told<'p>) -> &'p str {
    match told.draft.kind {
        PackageKind::Pypi => site_folder(told.path),
        _ => "",
    }
}
