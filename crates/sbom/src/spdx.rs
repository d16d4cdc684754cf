//! SPDX 2.3 documents, in JSON and in tag-value.
//!
//! One document describes one image: the image is a package that contains the others. Files are not listed. A system
//! package that owns a language package contains it.

mod tag_value;

use std::collections::{BTreeMap, BTreeSet};

use proofmark_types::{Digest, UnixTime};
use serde::Serialize;

use crate::bill::{Bill, Completeness, FileHash, Package, PackageId};
use crate::document::{DocumentInfo, TOOL, line, web_address};
use crate::licence::Licence;
use crate::party::{Party, PartyKind};

const NO_ASSERTION: &str = "NOASSERTION";
const DOCUMENT: &str = "SPDXRef-DOCUMENT";
const IMAGE: &str = "SPDXRef-Image";

/// The longest description written, in characters.
const MAX_LINE: usize = 400;

/// Writes the document in JSON; the same bytes for the same bill and information.
#[must_use]
pub fn write(bill: &Bill, info: &DocumentInfo) -> Vec<u8> {
    serde_json::to_vec(&document(bill, info)).unwrap_or_default()
}

/// Writes the document in lines of `Tag: value`; the same bytes for the same bill and information.
#[must_use]
pub fn write_tag_value(bill: &Bill, info: &DocumentInfo) -> Vec<u8> {
    tag_value::write(&document(bill, info)).into_bytes()
}

fn document(bill: &Bill, info: &DocumentInfo) -> Document {
    let mut extracted = BTreeMap::new();
    let mut packages = vec![image(bill, info)];
    packages.extend(bill.packages.iter().map(|p| package(bill, info, p, &mut extracted)));
    Document {
        spdx_version: "SPDX-2.3",
        data_license: "CC0-1.0",
        spdxid: DOCUMENT,
        name: line(&info.name, MAX_LINE),
        document_namespace: format!(
            "https://spdx.org/spdxdocs/{TOOL}-{}",
            info.identity(bill, "spdx-2.3").hex()
        ),
        creation_info: CreationInfo {
            created: info.created,
            creators: creators(info),
            comment: reachable_at(info),
        },
        comment: incomplete(bill),
        packages,
        relationships: relationships(bill),
        has_extracted_licensing_infos: extracted.into_values().collect(),
    }
}

/// SPDX 2.3, 6.8: a person, an organisation or a tool; the tool always, and whoever else is said.
fn creators(info: &DocumentInfo) -> Vec<String> {
    let tool = format!("Tool: {TOOL}-{}", info.tool_version);
    info.authors.iter().map(Party::spdx).chain([tool]).collect()
}

/// Where only an e-mail address has a place beside a creator's name, a web address is said in words.
fn reachable_at(info: &DocumentInfo) -> Option<String> {
    let told: Vec<String> = info
        .authors
        .iter()
        .filter(|author| author.mail().is_none())
        .filter_map(|author| Some(format!("{}: {}", author.name(), author.url()?)))
        .collect();
    (!told.is_empty()).then(|| told.join("; "))
}

fn image(bill: &Bill, info: &DocumentInfo) -> SpdxPackage {
    let distribution = bill.distribution.as_ref();
    SpdxPackage {
        name: line(&info.name, MAX_LINE),
        spdxid: IMAGE.to_owned(),
        version_info: info.digest.as_ref().map(ToString::to_string),
        package_file_name: None,
        supplier: info
            .supplier
            .as_ref()
            .map_or_else(|| NO_ASSERTION.to_owned(), Party::spdx),
        download_location: NO_ASSERTION,
        files_analyzed: false,
        checksums: info.digest.iter().map(Checksum::of).collect(),
        homepage: None,
        source_info: None,
        license_concluded: NO_ASSERTION,
        license_declared: NO_ASSERTION.to_owned(),
        copyright_text: NO_ASSERTION,
        description: distribution.map(|d| line(d.name.as_deref().unwrap_or(&d.id), MAX_LINE)),
        comment: None,
        external_refs: info
            .purl()
            .iter()
            .map(|purl| ExternalRef::purl(purl.to_string()))
            .collect(),
        primary_package_purpose: "CONTAINER",
    }
}

fn package(
    bill: &Bill,
    info: &DocumentInfo,
    package: &Package,
    extracted: &mut BTreeMap<String, ExtractedLicence>,
) -> SpdxPackage {
    let details = info.details.get(&package.id);
    let cpes = details
        .into_iter()
        .flat_map(|details| &details.cpes)
        .filter(|cpe| crate::cpe::is_valid(cpe));
    let purl = package.purl.iter().map(|purl| ExternalRef::purl(purl.to_string()));
    SpdxPackage {
        name: line(&package.name, MAX_LINE),
        spdxid: reference(package),
        version_info: package.version.as_ref().map(|version| line(version, MAX_LINE)),
        package_file_name: details
            .and_then(|details| details.file_name.as_ref())
            .or_else(|| Some(&package.file.as_ref()?.name))
            .map(|name| line(name, MAX_LINE)),
        supplier: party(package).map_or_else(|| NO_ASSERTION.to_owned(), |party| party.spdx()),
        download_location: NO_ASSERTION,
        files_analyzed: false,
        checksums: package.hashes.iter().map(Checksum::of_file).collect(),
        homepage: web_address(package.homepage.as_deref()).map(str::to_owned),
        source_info: source_info(bill, package),
        license_concluded: NO_ASSERTION,
        license_declared: declared(&package.licences, extracted),
        copyright_text: NO_ASSERTION,
        description: package.description.as_ref().map(|text| line(text, MAX_LINE)),
        comment: package
            .uncertain
            .map(|uncertain| format!("identity uncertain: {}", uncertain.reason())),
        external_refs: purl.chain(cpes.map(|cpe| ExternalRef::cpe(cpe))).collect(),
        primary_package_purpose: "LIBRARY",
    }
}

fn reference(package: &Package) -> String {
    format!("SPDXRef-Package-{}", package.id)
}

/// SPDX 2.3, 7.5: who supplies the package.
pub(crate) fn party(package: &Package) -> Option<Party> {
    let text = package.supplier.as_deref()?;
    // Names that are of a registry's name space: a Maven group, an npm scope, an account.
    let name = text.split(['<', '(']).next().unwrap_or_default().trim();
    let is_space = !name.contains(' ') && (name.starts_with('@') || name.contains(['.', '/']));
    let kind = match package.kind.is_system() || is_space {
        true => PartyKind::Organization,
        false => PartyKind::Person,
    };
    Party::of_line(text, kind)
}

/// Where the package was found and which layers brought it.
pub(crate) fn source_info(bill: &Bill, package: &Package) -> Option<String> {
    /// The most places named; the CycloneDX document has all.
    const MAX_PLACES: usize = 8;
    let places: Vec<String> = package
        .locations
        .iter()
        .take(MAX_PLACES)
        .map(|location| match bill.layers.get(location.layer) {
            Some(layer) => format!(
                "/{} (layer {}, diffID {})",
                line(&location.path, 4096),
                layer.digest,
                layer.diff_id
            ),
            None => format!("/{}", line(&location.path, 4096)),
        })
        .collect();
    (!places.is_empty()).then(|| format!("found in {}", places.join(", ")))
}

/// All licences hold together; those that are not SPDX's are defined in the document.
pub(crate) fn declared(licences: &[Licence], extracted: &mut BTreeMap<String, ExtractedLicence>) -> String {
    let several = licences.len() > 1;
    let terms: Vec<String> = licences
        .iter()
        .map(|licence| match licence.expression() {
            Some(expression) if several && expression.contains(' ') => format!("({expression})"),
            Some(expression) => expression.to_owned(),
            None => {
                let licence = ExtractedLicence::of(licence.text());
                let id = licence.license_id.clone();
                extracted.insert(id.clone(), licence);
                id
            }
        })
        .collect();
    if terms.is_empty() {
        NO_ASSERTION.to_owned()
    } else {
        terms.join(" AND ")
    }
}

fn relationships(bill: &Bill) -> Vec<SpdxRelationship> {
    let ids: BTreeMap<_, _> = bill.packages.iter().map(|p| (&p.id, reference(p))).collect();
    let relation = |from: &str, kind, to: &str| SpdxRelationship {
        spdx_element_id: from.to_owned(),
        relationship_type: kind,
        related_spdx_element: to.to_owned(),
    };
    let mut relationships = vec![relation(DOCUMENT, "DESCRIBES", IMAGE)];
    for package in &bill.packages {
        relationships.push(relation(IMAGE, "CONTAINS", &reference(package)));
    }
    for package in &bill.packages {
        if let Some(owner) = package.owned_by.as_ref().and_then(|owner| ids.get(owner)) {
            relationships.push(relation(owner, "CONTAINS", &reference(package)));
        }
    }
    for needed in &bill.relationships {
        if let (Some(from), Some(to)) = (ids.get(&needed.from), ids.get(&needed.to)) {
            relationships.push(relation(from, "DEPENDS_ON", to));
        }
    }
    // 11.1: that there is nothing, or that it is not known whether there is (anything, or more).
    let needing: BTreeSet<&PackageId> = bill.relationships.iter().map(|needed| &needed.from).collect();
    for package in &bill.packages {
        let else_there_is = match package.needs {
            Completeness::Complete if needing.contains(&package.id) => continue,
            Completeness::Complete => "NONE",
            Completeness::Incomplete | Completeness::Unknown => NO_ASSERTION,
        };
        relationships.push(relation(&reference(package), "DEPENDS_ON", else_there_is));
    }
    relationships
}

/// A document that may be incomplete says so.
pub(crate) fn incomplete(bill: &Bill) -> Option<String> {
    /// The most notes named; a reader who looks for vulnerabilities wants to know them all.
    const MAX_NAMED: usize = 1_000;
    let named = bill.notes.iter().take(MAX_NAMED).map(|note| {
        let text = format!("/{}: {} ({})", note.path, note.reason, note.code);
        line(&text, MAX_LINE)
    });
    let named: Vec<String> = named.collect();
    (!named.is_empty()).then(|| format!("{} files could not be read: {}", bill.notes.len(), named.join("; ")))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    spdx_version: &'static str,
    data_license: &'static str,
    #[serde(rename = "SPDXID")]
    spdxid: &'static str,
    name: String,
    document_namespace: String,
    creation_info: CreationInfo,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
    packages: Vec<SpdxPackage>,
    relationships: Vec<SpdxRelationship>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    has_extracted_licensing_infos: Vec<ExtractedLicence>,
}

#[derive(Serialize)]
struct CreationInfo {
    created: UnixTime,
    creators: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SpdxPackage {
    name: String,
    #[serde(rename = "SPDXID")]
    spdxid: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    version_info: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    package_file_name: Option<String>,
    supplier: String,
    download_location: &'static str,
    files_analyzed: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    checksums: Vec<Checksum>,
    #[serde(skip_serializing_if = "Option::is_none")]
    homepage: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_info: Option<String>,
    license_concluded: &'static str,
    license_declared: String,
    copyright_text: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    external_refs: Vec<ExternalRef>,
    primary_package_purpose: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Checksum {
    algorithm: String,
    checksum_value: String,
}

impl Checksum {
    fn of_file(hash: &FileHash) -> Self {
        Self {
            algorithm: hash.algorithm().spdx_name().to_owned(),
            checksum_value: hash.hex().to_owned(),
        }
    }

    fn of(digest: &Digest) -> Self {
        Self {
            algorithm: digest.algorithm().name().to_ascii_uppercase(),
            checksum_value: digest.hex(),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ExternalRef {
    reference_category: &'static str,
    reference_type: &'static str,
    reference_locator: String,
}

impl ExternalRef {
    fn cpe(cpe: &str) -> Self {
        Self {
            reference_category: "SECURITY",
            reference_type: "cpe23Type",
            reference_locator: cpe.to_owned(),
        }
    }

    fn purl(purl: String) -> Self {
        Self {
            reference_category: "PACKAGE-MANAGER",
            reference_type: "purl",
            reference_locator: purl,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SpdxRelationship {
    spdx_element_id: String,
    relationship_type: &'static str,
    related_spdx_element: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ExtractedLicence {
    pub(crate) license_id: String,
    pub(crate) extracted_text: String,
    pub(crate) name: String,
}

impl ExtractedLicence {
    /// SPDX 2.3, 10.1: `LicenseRef-` and letters, digits, dots and dashes; the hash keeps similar names apart. Who made
    /// the name up stands before it (BSI TR-03183-2, 6.1).
    fn of(text: &str) -> Self {
        let readable: String = text
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' })
            .take(40)
            .collect();
        let hash = Digest::sha256_of(text.as_bytes()).hex();
        Self {
            license_id: format!(
                "LicenseRef-{TOOL}-{}-{}",
                readable.trim_matches('-'),
                hash.get(..8).unwrap_or(&hash)
            ),
            extracted_text: text.to_owned(),
            name: text.to_owned(),
        }
    }
}
