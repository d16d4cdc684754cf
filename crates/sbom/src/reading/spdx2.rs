//! SPDX 2.2 and 2.3: the model that JSON and tag-value share.

use std::collections::{BTreeMap, BTreeSet};

use proofmark_types::{Digest, Purl};
use serde::Deserialize;

use super::gather::{Gathered, Raw};
use super::json::{self, List};
use super::{Document, Encoding, MAX_PACKAGES, MAX_RELATIONSHIPS, Origin, ReadError, Standard};
use crate::bill::{Completeness, FileHash, FileHashAlgorithm, Source, Uncertainty};
use crate::party::{Party, PartyKind};

/// Reads the JSON form.
pub(super) fn read(bytes: &[u8]) -> Result<Document, ReadError> {
    understand(json::parse(bytes, "SPDX")?, Encoding::Json)
}

/// What a document says.
pub(super) fn understand(document: SpdxDocument, encoding: Encoding) -> Result<Document, ReadError> {
    let version = document.spdx_version.strip_prefix("SPDX-").unwrap_or_default();
    if !matches!(version, "2.1" | "2.2" | "2.3") {
        return Err(ReadError::Version {
            standard: "SPDX",
            expected: "2.1 to 2.3",
            seen: document.spdx_version.chars().take(40).collect(),
        });
    }
    let mut gathered = Gathered::new(Origin {
        standard: Standard::Spdx,
        version: version.to_owned(),
        encoding,
    });
    gathered.created = document.creation_info.created;
    for creator in document.creation_info.creators.all("creators")? {
        match creator.strip_prefix("Tool:") {
            Some(tool) => gathered.tools.push(tool.trim().to_owned()),
            None => gathered.authors.push(creator.trim().to_owned()),
        }
    }
    let extracted: BTreeMap<String, String> = document
        .extracted
        .all("licences")?
        .into_iter()
        .filter_map(|licence| {
            let text = licence
                .name
                .filter(|name| !is_nothing(name))
                .or(licence.extracted_text)?;
            Some((licence.license_id, text))
        })
        .collect();
    let mut described: BTreeSet<String> = document
        .document_describes
        .all("described elements")?
        .into_iter()
        .collect();
    for relationship in document.relationships.all("relationships")? {
        related(relationship, &mut gathered, &mut described);
    }
    gathered.others.insert(document.spdxid.clone());
    gathered.subject.name = document.name;
    gathered.comment(document.comment.as_deref());
    for package in document.packages.all("packages")? {
        let is_described = described.contains(&package.spdxid);
        let candidate = candidate(package, &extracted)?;
        let is_subject = candidate.is_subject(is_described);
        if is_subject && is_described {
            let supplier = candidate.raw.supplier.as_deref();
            gathered.subject.supplier = supplier.and_then(|text| Party::of_line(text, candidate.supplier_kind));
        }
        let image = is_described || candidate.purpose.as_deref() == Some("CONTAINER");
        if let Some(digest) = image.then(|| subject_digest(&candidate)).flatten() {
            gathered.subject.digest = Some(digest);
            gathered.subject.name = Some(candidate.raw.name.clone());
        }
        if candidate.is_operating_system() {
            gathered.distribution = gathered.distribution.or_else(|| candidate.distribution());
            gathered.others.insert(candidate.raw.reference);
        } else if is_subject {
            gathered.others.insert(candidate.raw.reference);
        } else {
            gathered.packages.push(candidate.raw);
        }
    }
    gathered.finish()
}

fn related(relationship: SpdxRelationship, gathered: &mut Gathered, described: &mut BTreeSet<String>) {
    let (from, to) = (relationship.spdx_element_id, relationship.related_spdx_element);
    let comment = relationship.comment.unwrap_or_default();
    // Files are no packages, and most of Syft's relationships are about them.
    if to.starts_with("SPDXRef-File-") || from.starts_with("SPDXRef-File-") {
        return;
    }
    match relationship.relationship_type.as_str() {
        // SPDX 2.3, 11.1: it is known that there is nothing else, or not known whether there is.
        "DEPENDS_ON" if to == "NONE" => gathered.complete(from, Completeness::Complete),
        "DEPENDS_ON" if to == "NOASSERTION" => gathered.complete(from, Completeness::Unknown),
        "DESCRIBES" => {
            described.insert(to);
        }
        "DESCRIBED_BY" => {
            described.insert(from);
        }
        // SPDX 2.3, 11.1: nobody knows what else is in it.
        "CONTAINS" if to == "NOASSERTION" => {
            let text = format!("it does not say what else {} contains", super::gather::short(&from));
            gathered.lacks(text);
        }
        "CONTAINS" => gathered.contains.push((from, to)),
        "CONTAINED_BY" => gathered.contains.push((to, from)),
        // Syft says so of packages whose files another one has.
        "OTHER" if comment.starts_with("ownership-by-file-overlap") => gathered.contains.push((from, to)),
        "DEPENDS_ON" => gathered.needs.push((from, to)),
        "DEPENDENCY_OF"
        | "RUNTIME_DEPENDENCY_OF"
        | "OPTIONAL_DEPENDENCY_OF"
        | "PROVIDED_DEPENDENCY_OF"
        | "BUILD_DEPENDENCY_OF"
        | "DEV_DEPENDENCY_OF"
        | "TEST_DEPENDENCY_OF" => gathered.needs.push((to, from)),
        _ => {}
    }
}

/// A package and what decides whether it is one.
struct Candidate {
    raw: Raw,
    purpose: Option<String>,
    checksum: Option<String>,
    supplier_kind: PartyKind,
}

impl Candidate {
    /// Whether it has the package URL of something that a registry of packages has: then it is a package, whatever else
    /// it is said to be.
    fn is_of_registry(&self) -> bool {
        let kind = |text: &String| Purl::parse(text).map(|purl| purl.kind().to_owned());
        let mut kinds = self.raw.purls.iter().filter_map(|text| kind(text).ok());
        kinds.any(|kind| !matches!(kind.as_str(), "oci" | "docker" | "generic" | "github"))
    }

    fn is_operating_system(&self) -> bool {
        self.purpose.as_deref() == Some("OPERATING-SYSTEM") && !self.is_of_registry()
    }

    /// What a document describes is no package in it.
    fn is_subject(&self, is_described: bool) -> bool {
        let container = self.purpose.as_deref() == Some("CONTAINER");
        // Trivy groups the packages of a lock file under one that has nothing but a name.
        let grouping =
            self.purpose.as_deref() == Some("APPLICATION") && self.raw.purls.is_empty() && self.raw.version.is_none();
        !self.is_of_registry() && (is_described || container || grouping)
    }

    fn distribution(&self) -> Option<crate::bill::Distribution> {
        (!self.raw.name.is_empty()).then(|| crate::bill::Distribution {
            id: self.raw.name.clone(),
            version_id: self.raw.version.clone(),
            name: None,
            codename: None,
        })
    }
}

/// An image's digest: in its package URL, in its version as we and Syft write it, or as its checksum.
fn subject_digest(candidate: &Candidate) -> Option<Digest> {
    let of_purl = candidate.raw.purls.iter().filter_map(|text| Purl::parse(text).ok());
    let mut of_purl = of_purl
        .filter(|purl| purl.kind() == "oci")
        .filter_map(|purl| purl.version().map(str::to_owned));
    let texts = of_purl.next().into_iter().chain(candidate.raw.version.clone());
    texts
        .chain(candidate.checksum.clone())
        .find_map(|text| Digest::parse(&text).ok())
}

fn candidate(package: SpdxPackage, extracted: &BTreeMap<String, String>) -> Result<Candidate, ReadError> {
    let supplier_kind = match &package.supplier {
        Some(text) if text.starts_with("Person:") => PartyKind::Person,
        _ => PartyKind::Organization,
    };
    let mut raw = Raw {
        reference: package.spdxid,
        name: package.name,
        version: said(package.version_info),
        supplier: supplier(package.supplier).or_else(|| supplier(package.originator)),
        homepage: said(package.homepage),
        description: said(package.description),
        ..Raw::default()
    };
    for reference in package.external_refs.all("references")? {
        match reference.reference_type.rsplit('/').next().unwrap_or_default() {
            "purl" => raw.purls.push(reference.reference_locator),
            "cpe23Type" => raw.details.cpes.push(reference.reference_locator),
            _ => {}
        }
    }
    let mut checksum = None;
    for sum in package.checksums.all("checksums")? {
        if sum.algorithm == "SHA256" {
            checksum = Some(format!("sha256:{}", sum.checksum_value));
        }
        let algorithm = FileHashAlgorithm::of_name(&sum.algorithm);
        raw.hashes
            .extend(algorithm.and_then(|algorithm| FileHash::parse(algorithm, &sum.checksum_value)));
    }
    raw.details.file_name = said(package.package_file_name);
    let declared = said(package.license_declared).or_else(|| said(package.license_concluded));
    raw.details.licences_are_expression = declared.is_some();
    raw.licences = declared.map_or_else(Vec::new, |text| terms(&text, extracted));
    raw.places = package.source_info.as_deref().map(places).unwrap_or_default();
    raw.source = package.source_info.as_deref().and_then(built_from);
    raw.uncertain = package
        .comment
        .as_deref()
        .and_then(|comment| comment.strip_prefix("identity uncertain: "))
        .and_then(Uncertainty::of_reason);
    Ok(Candidate {
        raw,
        purpose: package.primary_package_purpose,
        checksum,
        supplier_kind,
    })
}

fn is_nothing(text: &str) -> bool {
    matches!(text.trim(), "" | "NOASSERTION" | "NONE")
}

fn said(text: Option<String>) -> Option<String> {
    text.filter(|text| !is_nothing(text))
}

/// `Person: name (mail)`: the name and the address in brackets are both kept.
fn supplier(text: Option<String>) -> Option<String> {
    let text = said(text)?;
    let name = ["Organization:", "Person:"]
        .iter()
        .find_map(|kind| text.strip_prefix(kind))
        .unwrap_or(&text);
    Some(name.trim().to_owned())
}

/// The terms of a conjunction, each a licence; references to texts in the document become what they are called.
pub(super) fn terms(expression: &str, extracted: &BTreeMap<String, String>) -> Vec<String> {
    let mut terms = Vec::new();
    let (mut depth, mut start) = (0_usize, 0_usize);
    for (at, byte) in expression.bytes().enumerate() {
        match byte {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            // Not inside brackets, and not where an OR on the same level would bind less.
            b' ' if depth == 0 && expression.get(at..).is_some_and(|rest| rest.starts_with(" AND ")) => {
                terms.extend(expression.get(start..at));
                start = at + 5;
            }
            _ => {}
        }
    }
    terms.extend(expression.get(start..));
    let loose = |term: &&str| {
        let mut depth = 0_usize;
        term.split(' ').any(|word| {
            let before = depth;
            depth = (depth + word.matches('(').count()).saturating_sub(word.matches(')').count());
            before == 0 && word == "OR"
        })
    };
    if terms.len() > 1 && terms.iter().any(loose) {
        return vec![expression.to_owned()];
    }
    let named = |term: &str| {
        let term = term.trim();
        if let Some(text) = extracted.get(term) {
            return text.clone();
        }
        let inner = term.strip_prefix('(').and_then(|term| term.strip_suffix(')'));
        let whole = inner.filter(|inner| !inner.contains(['(', ')']));
        whole.unwrap_or(term).to_owned()
    };
    terms.into_iter().map(named).collect()
}

/// `found in /path (layer sha256:…, diffID sha256:…), …` is ours; `acquired package info from …: /path, /path` Syft's.
pub(super) fn places(text: &str) -> Vec<(String, Option<String>)> {
    if let Some(rest) = text.strip_prefix("found in ") {
        return rest
            .split("), ")
            .flat_map(|place| match place.split_once(" (layer ") {
                Some((path, layer)) => {
                    let layer = layer.split(',').next().unwrap_or_default().trim_end_matches(')');
                    vec![(path.to_owned(), Some(layer.to_owned()))]
                }
                None => place.split(", ").map(|path| (path.to_owned(), None)).collect(),
            })
            .collect();
    }
    if let Some((_, rest)) = text
        .strip_prefix("acquired package info from ")
        .and_then(|rest| rest.split_once(": "))
    {
        return rest.split(", ").map(|path| (path.to_owned(), None)).collect();
    }
    Vec::new()
}

/// Trivy: `built package from: NAME VERSION`.
fn built_from(text: &str) -> Option<Source> {
    let (name, version) = text.strip_prefix("built package from: ")?.trim().rsplit_once(' ')?;
    Some(Source {
        name: name.to_owned(),
        version: Some(version.to_owned()),
    })
}

/// A document; unknown keys are of no interest.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SpdxDocument {
    pub(super) spdx_version: String,
    #[serde(rename = "SPDXID", default)]
    pub(super) spdxid: String,
    #[serde(default)]
    pub(super) name: Option<String>,
    #[serde(default)]
    pub(super) comment: Option<String>,
    #[serde(default)]
    pub(super) creation_info: CreationInfo,
    #[serde(default)]
    pub(super) packages: List<SpdxPackage, MAX_PACKAGES>,
    #[serde(default)]
    pub(super) relationships: List<SpdxRelationship, MAX_RELATIONSHIPS>,
    #[serde(default)]
    pub(super) document_describes: List<String>,
    #[serde(rename = "hasExtractedLicensingInfos", default)]
    pub(super) extracted: List<ExtractedLicence>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct CreationInfo {
    pub(super) created: Option<String>,
    pub(super) creators: List<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SpdxPackage {
    pub(super) name: String,
    #[serde(rename = "SPDXID")]
    pub(super) spdxid: String,
    #[serde(default)]
    pub(super) version_info: Option<String>,
    #[serde(default)]
    pub(super) package_file_name: Option<String>,
    #[serde(default)]
    pub(super) supplier: Option<String>,
    #[serde(default)]
    pub(super) originator: Option<String>,
    #[serde(default)]
    pub(super) homepage: Option<String>,
    #[serde(default)]
    pub(super) source_info: Option<String>,
    #[serde(default)]
    pub(super) license_concluded: Option<String>,
    #[serde(default)]
    pub(super) license_declared: Option<String>,
    #[serde(default)]
    pub(super) description: Option<String>,
    #[serde(default)]
    pub(super) comment: Option<String>,
    #[serde(default)]
    pub(super) primary_package_purpose: Option<String>,
    #[serde(default)]
    pub(super) external_refs: List<ExternalRef>,
    #[serde(default)]
    pub(super) checksums: List<Checksum>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ExternalRef {
    pub(super) reference_type: String,
    pub(super) reference_locator: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Checksum {
    pub(super) algorithm: String,
    pub(super) checksum_value: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SpdxRelationship {
    pub(super) spdx_element_id: String,
    pub(super) relationship_type: String,
    pub(super) related_spdx_element: String,
    #[serde(default)]
    pub(super) comment: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ExtractedLicence {
    pub(super) license_id: String,
    #[serde(default)]
    pub(super) extracted_text: Option<String>,
    #[serde(default)]
    pub(super) name: Option<String>,
}
