//! SPDX 3.0 in JSON-LD, as its own serialization has it: one graph, whose elements name each other by IRI. No context is
//! fetched or interpreted: the keys are those of SPDX's own context.

use std::collections::{BTreeMap, BTreeSet};

use proofmark_types::{Digest, Purl};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::gather::{Gathered, Raw};
use super::json::{self, List};
use super::{Document, Encoding, MAX_RELATIONSHIPS, Origin, ReadError, Standard, spdx2};
use crate::bill::{Completeness, FileHash, FileHashAlgorithm, PackageFile, PackageKind, Uncertainty};
use crate::party::Party;

/// Reads the document.
pub(super) fn read(bytes: &[u8]) -> Result<Document, ReadError> {
    let document: Graph = json::parse(bytes, "SPDX")?;
    let elements = document.graph.all("elements")?;
    let creation = elements.iter().find(|element| element.r#type == "CreationInfo");
    let version = creation
        .and_then(|creation| creation.spec_version.clone())
        .unwrap_or_default();
    if !version.starts_with("3.0") {
        return Err(ReadError::Version {
            standard: "SPDX",
            expected: "3.0",
            seen: version.chars().take(40).collect(),
        });
    }
    let mut gathered = Gathered::new(Origin {
        standard: Standard::Spdx,
        version,
        encoding: Encoding::Json,
    });
    gathered.created = creation.and_then(|creation| creation.created.clone());
    let known = Known::new(&elements, &mut gathered);
    let mut licences: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut concluded: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    for element in &elements {
        let Some(kind) = &element.relationship_type else {
            continue;
        };
        let from = element.from.as_ref().map(Reference::id).unwrap_or_default();
        // SPDX 3.0, RelationshipCompleteness.
        if kind == "contains" && element.completeness.as_deref() == Some("incomplete") {
            gathered.lacks(format!(
                "it does not list all that {} contains",
                super::gather::short(from)
            ));
        }
        if let Some(said) = element.completeness().filter(|_| kind == "dependsOn") {
            gathered.complete(from.to_owned(), said);
        }
        for to in element.to.items.iter().map(Reference::id) {
            // The individuals for nothing and for what nobody says.
            if matches!(last_part(to), "NoneElement" | "NoAssertionElement") {
                gathered.settled.push(from.to_owned());
                continue;
            }
            let pair = (from.to_owned(), to.to_owned());
            match kind.as_str() {
                "contains" => gathered.contains.push(pair),
                "dependsOn" => gathered.needs.push(pair),
                "hasDistributionArtifact" => drop(files.insert(pair.0, pair.1)),
                "hasDeclaredLicense" => licences.entry(pair.0).or_default().push(pair.1),
                "hasConcludedLicense" => concluded.entry(pair.0).or_default().push(pair.1),
                _ => {}
            }
        }
    }
    for element in elements {
        let id = element.id().to_owned();
        if element.r#type != "software_Package" {
            gathered.others.insert(id);
            continue;
        }
        let declared = licences
            .remove(&id)
            .or_else(|| concluded.remove(&id))
            .unwrap_or_default();
        let file = files.remove(&id).and_then(|file| known.files.get(&file));
        package(element, &known, &declared, file, &mut gathered)?;
    }
    gathered.finish()
}

/// The name in an IRI, or the bare name that a context makes of it.
fn last_part(text: &str) -> &str {
    text.rsplit(['/', ':']).next().unwrap_or(text)
}

/// What packages refer to.
struct Known {
    /// The names of agents.
    names: BTreeMap<String, String>,
    /// The licences that an expression's element says.
    licences: BTreeMap<String, Vec<String>>,
    /// What the document is about.
    roots: BTreeSet<String>,
    /// Files, with their SHA-512 if one is said.
    files: BTreeMap<String, (PackageFile, Option<FileHash>)>,
}

impl Known {
    fn new(elements: &[Element], gathered: &mut Gathered) -> Self {
        let mut known = Self {
            names: BTreeMap::new(),
            licences: BTreeMap::new(),
            roots: BTreeSet::new(),
            files: BTreeMap::new(),
        };
        let mut texts = BTreeMap::new();
        for element in elements {
            let id = element.id().to_owned();
            if let Some(text) = &element.license_text {
                texts.insert(id.clone(), element.name.clone().unwrap_or_else(|| text.clone()));
            }
            match element.r#type.as_str() {
                "SpdxDocument" => {
                    gathered.subject.name = element.name.clone();
                    gathered.comment(element.comment.as_deref());
                }
                "software_Sbom" => known
                    .roots
                    .extend(element.root_element.items.iter().map(|root| root.id().to_owned())),
                "Tool" => gathered.tools.extend(element.name.clone()),
                "software_File" => drop(known.files.insert(id.clone(), element.file())),
                _ => {}
            }
            if let Some(name) = element.party() {
                known.names.insert(id, name);
            }
        }
        let programs: BTreeSet<&str> = elements
            .iter()
            .filter(|element| element.r#type == "SoftwareAgent")
            .map(Element::id)
            .collect();
        let makers = elements.iter().flat_map(|element| &element.created_by.items);
        // A program is among the tools.
        gathered.authors = makers
            .filter(|maker| !programs.contains(maker.id()))
            .filter_map(|maker| known.names.get(maker.id()).cloned())
            .collect();
        for element in elements {
            if let Some(expression) = &element.license_expression {
                let named = element.custom_ids.items.iter();
                let extracted: BTreeMap<String, String> = named
                    .filter_map(|entry| Some((entry.key.clone(), texts.get(entry.value.as_deref()?)?.clone())))
                    .collect();
                known
                    .licences
                    .insert(element.id().to_owned(), spdx2::terms(expression, &extracted));
            } else if let Some(text) = texts.get(element.id()) {
                known.licences.insert(element.id().to_owned(), vec![text.clone()]);
            }
        }
        known
    }
}

fn package(
    element: Element,
    known: &Known,
    declared: &[String],
    file: Option<&(PackageFile, Option<FileHash>)>,
    gathered: &mut Gathered,
) -> Result<(), ReadError> {
    let id = element.id().to_owned();
    // Ours end in what they are; of others, the whole is hashed.
    let mut raw = Raw {
        reference: id.clone(),
        name: element.name.unwrap_or_default(),
        version: element.package_version.filter(|version| !version.is_empty()),
        purls: element.package_url.into_iter().collect(),
        homepage: element.home_page,
        description: element.description,
        supplier: element
            .supplied_by
            .and_then(|agent| known.names.get(agent.id()).cloned()),
        licences: declared
            .iter()
            .filter_map(|id| known.licences.get(id))
            .flatten()
            .cloned()
            .collect(),
        places: element.source_info.as_deref().map(spdx2::places).unwrap_or_default(),
        uncertain: element
            .comment
            .as_deref()
            .and_then(|comment| comment.strip_prefix("identity uncertain: "))
            .and_then(Uncertainty::of_reason),
        ..Raw::default()
    };
    raw.details.licences_are_expression = !declared.is_empty();
    if let Some((file, hash)) = file {
        raw.file = Some(file.clone());
        raw.hashes.extend(hash.clone());
    }
    for identifier in element.external_identifier.all("identifiers")? {
        match identifier.kind.as_str() {
            "cpe23" => raw.details.cpes.push(identifier.identifier),
            "packageUrl" => raw.purls.push(identifier.identifier),
            _ => {}
        }
    }
    let mut sha256 = None;
    for hash in element.verified_using.all("hashes")? {
        let (Some(algorithm), Some(value)) = (hash.algorithm, hash.hash_value) else {
            continue;
        };
        if algorithm == "sha256" {
            sha256 = Digest::parse(&format!("sha256:{value}")).ok();
        }
        let algorithm = FileHashAlgorithm::of_name(&algorithm);
        raw.hashes
            .extend(algorithm.and_then(|algorithm| FileHash::parse(algorithm, &value)));
    }
    raw.hashes.sort();
    raw.hashes.dedup();
    let is_root = known.roots.contains(&id);
    place(
        raw,
        element.primary_purpose.unwrap_or_default(),
        is_root,
        sha256,
        gathered,
    );
    Ok(())
}

/// Takes it for what the document is about, for the operating system, or for a package.
fn place(raw: Raw, purpose: String, is_root: bool, sha256: Option<Digest>, gathered: &mut Gathered) {
    let id = raw.reference.clone();
    let purls = || raw.purls.iter().filter_map(|text| Purl::parse(text).ok());
    let of_registry = purls().any(|purl| {
        !matches!(
            PackageKind::of_purl_type(purl.kind()),
            PackageKind::Unknown | PackageKind::Generic
        )
    });
    let is_image = purpose == "container" || is_root;
    if is_image && !of_registry {
        let of_purl = purls().find_map(|purl| Digest::parse(purl.version()?).ok());
        gathered.subject.digest = of_purl.or(sha256);
        gathered.subject.supplier = raw.supplier.as_deref().and_then(Party::parse);
        gathered.subject.name = Some(raw.name);
        gathered.others.insert(id);
    } else if purpose == "operatingSystem" && !of_registry {
        gathered.distribution = Some(crate::bill::Distribution {
            id: raw.name,
            version_id: raw.version,
            name: raw.description,
            codename: None,
        });
        gathered.others.insert(id);
    } else {
        gathered.packages.push(raw);
    }
}

#[derive(Debug, Deserialize)]
struct Graph {
    #[serde(rename = "@graph")]
    graph: List<Element, MAX_RELATIONSHIPS>,
}

/// Any element: the fields of all the kinds that are read.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Element {
    r#type: String,
    spdx_id: Option<String>,
    #[serde(rename = "@id")]
    blank_id: Option<String>,
    name: Option<String>,
    comment: Option<String>,
    description: Option<String>,
    spec_version: Option<String>,
    created: Option<String>,
    created_by: List<Reference>,
    root_element: List<Reference>,
    #[serde(rename = "software_packageVersion")]
    package_version: Option<String>,
    #[serde(rename = "software_packageUrl")]
    package_url: Option<String>,
    #[serde(rename = "software_homePage")]
    home_page: Option<String>,
    #[serde(rename = "software_primaryPurpose")]
    primary_purpose: Option<String>,
    #[serde(rename = "software_sourceInfo")]
    source_info: Option<String>,
    #[serde(rename = "software_additionalPurpose")]
    additional_purpose: List<String>,
    supplied_by: Option<Reference>,
    external_identifier: List<Identifier>,
    verified_using: List<Hash>,
    from: Option<Reference>,
    to: List<Reference, MAX_RELATIONSHIPS>,
    relationship_type: Option<String>,
    completeness: Option<String>,
    #[serde(rename = "simplelicensing_licenseExpression")]
    license_expression: Option<String>,
    #[serde(rename = "simplelicensing_licenseText")]
    license_text: Option<String>,
    #[serde(rename = "simplelicensing_customIdToUri")]
    custom_ids: List<Entry>,
}

impl Element {
    fn id(&self) -> &str {
        self.spdx_id.as_deref().or(self.blank_id.as_deref()).unwrap_or_default()
    }

    fn completeness(&self) -> Option<Completeness> {
        match self.completeness.as_deref().map(last_part)? {
            "complete" => Some(Completeness::Complete),
            "incomplete" => Some(Completeness::Incomplete),
            "noAssertion" => Some(Completeness::Unknown),
            _ => None,
        }
    }

    /// Whoever it is, in a line, with how to reach them.
    fn party(&self) -> Option<String> {
        let name = self.name.clone()?;
        let reached = self
            .external_identifier
            .items
            .iter()
            .find(|each| matches!(each.kind.as_str(), "email" | "urlScheme" | "urlIdentifier" | "other"));
        let kind = match self.r#type.as_str() {
            kind @ ("Person" | "Organization") => format!("{kind}: "),
            _ => String::new(),
        };
        Some(match reached {
            Some(reached) => format!("{kind}{name} ({})", reached.identifier),
            None => format!("{kind}{name}"),
        })
    }

    /// A file, and its SHA-512. BSI TR-03183-2, 8.2: what is not said of it is not so.
    fn file(&self) -> (PackageFile, Option<FileHash>) {
        let is = |word: &str| self.additional_purpose.items.iter().any(|each| last_part(each) == word);
        let file = PackageFile {
            name: self.name.clone().unwrap_or_default(),
            executable: is("executable"),
            archive: is("archive"),
            structured: is("container"),
        };
        let hash = self.verified_using.items.iter().find_map(|hash| {
            let algorithm = FileHashAlgorithm::of_name(last_part(hash.algorithm.as_deref()?))?;
            FileHash::parse(algorithm, hash.hash_value.as_deref()?).filter(|_| algorithm == FileHashAlgorithm::Sha512)
        });
        (file, hash)
    }
}

/// By name, or the element itself in its place, of which the name is enough.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Reference {
    Id(String),
    Inline {
        #[serde(rename = "spdxId")]
        spdx_id: String,
    },
    Other(IgnoredAny),
}

impl Reference {
    fn id(&self) -> &str {
        match self {
            Self::Id(id) | Self::Inline { spdx_id: id } => id,
            Self::Other(_) => "",
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Identifier {
    #[serde(rename = "externalIdentifierType")]
    kind: String,
    identifier: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Hash {
    algorithm: Option<String>,
    hash_value: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Entry {
    key: String,
    value: Option<String>,
}
