//! CycloneDX documents, versions 1.4 to 1.6, in JSON and XML.
//!
//! What the format has no field for (the layer, the owning system package, an uncertain identity) is a property under
//! `proofmark:`.

mod xml;

use std::collections::{BTreeMap, BTreeSet};

use proofmark_types::{Digest, UnixTime};
use serde::Serialize;

use crate::bill::{Bill, Completeness, FileHash, Note, Package, PackageKind};
use crate::document::{DocumentInfo, TOOL, line, web_address};
use crate::format::CyclonedxVersion;
use crate::licence::Licence;
use crate::party::{Party, PartyKind};
use crate::spdx;

const IMAGE: &str = "image";

/// The longest description written, in characters.
const MAX_LINE: usize = 400;

/// Writes the document as version 1.6 in JSON; the same bytes for the same bill and information.
#[must_use]
pub fn write(bill: &Bill, info: &DocumentInfo) -> Vec<u8> {
    write_json(bill, info, CyclonedxVersion::V1_6)
}

/// Writes the document in JSON; the same bytes for the same bill and information.
#[must_use]
pub fn write_json(bill: &Bill, info: &DocumentInfo, version: CyclonedxVersion) -> Vec<u8> {
    serde_json::to_vec(&document(bill, info, version)).unwrap_or_default()
}

/// Writes the document in XML; the same bytes for the same bill and information.
#[must_use]
pub fn write_xml(bill: &Bill, info: &DocumentInfo, version: CyclonedxVersion) -> Vec<u8> {
    xml::write(&document(bill, info, version), version).into_bytes()
}

fn document(bill: &Bill, info: &DocumentInfo, version: CyclonedxVersion) -> Document {
    let tool = [Tool {
        r#type: "application",
        name: TOOL,
        version: info.tool_version.clone(),
    }];
    let mut components: Vec<Component> = bill.packages.iter().map(|p| component(bill, info, p)).collect();
    if version == CyclonedxVersion::V1_4 {
        components.iter_mut().for_each(without_occurrences);
    }
    Document {
        schema: match version {
            CyclonedxVersion::V1_4 => "http://cyclonedx.org/schema/bom-1.4.schema.json",
            CyclonedxVersion::V1_5 => "http://cyclonedx.org/schema/bom-1.5.schema.json",
            CyclonedxVersion::V1_6 => "http://cyclonedx.org/schema/bom-1.6.schema.json",
        },
        bom_format: "CycloneDX",
        spec_version: version.name(),
        serial_number: serial_number(&info.identity(bill, &format!("cyclonedx-{}", version.name()))),
        version: 1,
        metadata: Metadata {
            timestamp: info.created,
            // What is in an image is known once it is built.
            lifecycles: match version {
                CyclonedxVersion::V1_4 => Vec::new(),
                CyclonedxVersion::V1_5 | CyclonedxVersion::V1_6 => vec![Lifecycle { phase: "post-build" }],
            },
            tools: match version {
                CyclonedxVersion::V1_4 => Tools::Listed(tool.map(|tool| Tool { r#type: "", ..tool })),
                CyclonedxVersion::V1_5 | CyclonedxVersion::V1_6 => Tools::Components { components: tool },
            },
            authors: authors(info, version),
            component: image(bill, info),
            manufacturer: manufacturer(info, version).map(Entity::of),
        },
        components,
        dependencies: dependencies(bill),
        compositions: compositions(bill),
    }
}

/// The organisation that made the document has a field of its own since 1.6; before, what is called so is about the image.
fn manufacturer(info: &DocumentInfo, version: CyclonedxVersion) -> Option<&Party> {
    let mut organisations = info
        .authors
        .iter()
        .filter(|author| author.kind() == PartyKind::Organization);
    organisations.next().filter(|_| version == CyclonedxVersion::V1_6)
}

/// The others who made it. There is no field for a web address, which is kept in the name.
fn authors(info: &DocumentInfo, version: CyclonedxVersion) -> Vec<Contact> {
    let manufacturer = manufacturer(info, version);
    let others = info.authors.iter().filter(|author| Some(*author) != manufacturer);
    others
        .map(|author| Contact {
            name: Some(match (author.url(), author.mail()) {
                (Some(url), None) => format!("{} ({url})", author.name()),
                _ => author.name().to_owned(),
            }),
            email: author.mail().map(str::to_owned),
        })
        .collect()
}

/// How complete the lists are: of what is in the image, and of what each package needs.
fn compositions(bill: &Bill) -> Vec<Composition> {
    let parts = match bill.notes.iter().any(Note::may_hide_packages) {
        true => Completeness::Incomplete,
        // Nothing proves that there is no program that nothing tells of.
        false => Completeness::Unknown,
    };
    let of_image = Composition {
        aggregate: parts.name(),
        assemblies: vec![IMAGE.to_owned()],
        dependencies: Vec::new(),
    };
    let all = [Completeness::Complete, Completeness::Incomplete, Completeness::Unknown];
    let of_needs = all.into_iter().map(|completeness| Composition {
        aggregate: completeness.name(),
        assemblies: Vec::new(),
        dependencies: bill
            .packages
            .iter()
            .filter(|package| package.needs == completeness)
            .map(|package| package.id.to_string())
            .collect(),
    });
    let of_needs = of_needs.filter(|composition| !composition.dependencies.is_empty());
    std::iter::once(of_image).chain(of_needs).collect()
}

/// Places have a field of their own since 1.5.
fn without_occurrences(component: &mut Component) {
    let places = component
        .evidence
        .take()
        .map(|evidence| evidence.occurrences)
        .unwrap_or_default();
    let places = places
        .into_iter()
        .map(|place| Property::new(format!("{TOOL}:location"), place.location));
    component.properties.extend(places);
}

/// A UUID of version 8 (RFC 9562, 5.8) from the document's content.
fn serial_number(identity: &Digest) -> String {
    let hex = identity.hex();
    let part = |range| hex.get(range).unwrap_or_default();
    format!(
        "urn:uuid:{}-{}-8{}-8{}-{}",
        part(0..8),
        part(8..12),
        part(12..15),
        part(15..18),
        part(18..30)
    )
}

fn image(bill: &Bill, info: &DocumentInfo) -> Component {
    let mut properties = Vec::new();
    for (index, layer) in bill.layers.iter().enumerate() {
        properties.push(Property::new(
            format!("{TOOL}:layer:{index}:digest"),
            layer.digest.to_string(),
        ));
        properties.push(Property::new(
            format!("{TOOL}:layer:{index}:diffID"),
            layer.diff_id.to_string(),
        ));
    }
    if let Some(distribution) = &bill.distribution {
        properties.push(Property::new(format!("{TOOL}:distribution"), distribution.qualifier()));
    }
    if let Some(platform) = &info.platform {
        properties.push(Property::new(format!("{TOOL}:platform"), platform.to_string()));
    }
    for note in &bill.notes {
        let text = format!("/{}: {} ({})", note.path, note.reason, note.code);
        properties.push(Property::new(format!("{TOOL}:notRead"), line(&text, MAX_LINE)));
    }
    Component {
        r#type: "container",
        bom_ref: IMAGE.to_owned(),
        supplier: info.supplier.as_ref().map(Entity::of),
        group: None,
        name: line(&info.name, MAX_LINE),
        version: info.digest.as_ref().map(ToString::to_string),
        description: None,
        hashes: info.digest.iter().map(Hash::of).collect(),
        licenses: Vec::new(),
        cpe: None,
        purl: info.purl().map(|purl| purl.to_string()),
        external_references: Vec::new(),
        properties,
        evidence: None,
    }
}

fn component(bill: &Bill, info: &DocumentInfo, package: &Package) -> Component {
    let details = info.details.get(&package.id);
    let cpes = details.into_iter().flat_map(|details| &details.cpes);
    let mut cpes = cpes.filter(|cpe| crate::cpe::is_valid(cpe)).cloned();
    let cpe = cpes.next();
    let said = details.into_iter().flat_map(|details| &details.properties);
    let said: Vec<Property> = said
        .map(|(name, value)| Property::new(name.clone(), line(value, MAX_LINE)))
        .collect();
    let mut properties = properties(bill, package);
    properties.extend(said);
    properties.extend(cpes.map(|cpe| Property::new(format!("{TOOL}:cpe23"), cpe)));
    let (group, name) = match (package.kind, package.name.rsplit_once('/')) {
        (PackageKind::Npm, Some((scope, name))) if scope.starts_with('@') => (Some(scope), name),
        _ => (package.group.as_deref(), package.name.as_str()),
    };
    if let Some(file) = &package.file {
        properties.push(Property::new(
            "bsi:component:filename".to_owned(),
            line(&file.name, MAX_LINE),
        ));
        let of_file = file.properties().into_iter();
        properties.extend(of_file.map(|(name, value)| Property::new(name.to_owned(), value.to_owned())));
    }
    let website = web_address(package.homepage.as_deref());
    Component {
        r#type: "library",
        bom_ref: package.id.to_string(),
        supplier: spdx::party(package).as_ref().map(Entity::of),
        group: group.map(str::to_owned),
        name: line(name, MAX_LINE),
        version: package.version.as_ref().map(|version| line(version, MAX_LINE)),
        description: package.description.as_ref().map(|text| line(text, MAX_LINE)),
        hashes: package.hashes.iter().map(Hash::of_file).collect(),
        licenses: licences(&package.licences),
        cpe,
        purl: package.purl.as_ref().map(ToString::to_string),
        external_references: website
            .map(|url| ExternalReference {
                r#type: "website",
                url: url.to_owned(),
            })
            .into_iter()
            .collect(),
        properties,
        evidence: Some(Evidence {
            occurrences: package
                .locations
                .iter()
                .map(|location| Occurrence {
                    location: format!("/{}", line(&location.path, 4096)),
                })
                .collect(),
        }),
    }
}

fn properties(bill: &Bill, package: &Package) -> Vec<Property> {
    let mut properties = vec![Property::new(format!("{TOOL}:kind"), package.kind.to_string())];
    let layers: BTreeSet<usize> = package.locations.iter().map(|location| location.layer).collect();
    for layer in layers.into_iter().filter_map(|layer| bill.layers.get(layer)) {
        properties.push(Property::new(format!("{TOOL}:layer:digest"), layer.digest.to_string()));
        properties.push(Property::new(format!("{TOOL}:layer:diffID"), layer.diff_id.to_string()));
    }
    if let Some(source) = &package.source {
        properties.push(Property::new(
            format!("{TOOL}:source:name"),
            line(&source.name, MAX_LINE),
        ));
        if let Some(version) = &source.version {
            properties.push(Property::new(format!("{TOOL}:source:version"), line(version, MAX_LINE)));
        }
    }
    if let Some(module) = &package.modularity {
        properties.push(Property::new(format!("{TOOL}:modularity"), line(module, MAX_LINE)));
    }
    if let Some(owner) = &package.owned_by {
        properties.push(Property::new(format!("{TOOL}:ownedBy"), owner.to_string()));
    }
    if let Some(uncertain) = package.uncertain {
        properties.push(Property::new(
            format!("{TOOL}:uncertain"),
            uncertain.reason().to_owned(),
        ));
    }
    properties
}

/// One expression if all licences have one; names otherwise, because the format does not mix the two.
fn licences(licences: &[Licence]) -> Vec<LicenceChoice> {
    let expressions: Option<Vec<&str>> = licences.iter().map(Licence::expression).collect();
    match expressions.as_deref() {
        Some([]) => Vec::new(),
        Some([one]) => vec![LicenceChoice::Expression {
            expression: (*one).to_owned(),
        }],
        Some(several) => {
            let bracketed = several.iter().map(|term| {
                if term.contains(' ') {
                    format!("({term})")
                } else {
                    (*term).to_owned()
                }
            });
            vec![LicenceChoice::Expression {
                expression: bracketed.collect::<Vec<_>>().join(" AND "),
            }]
        }
        None => licences
            .iter()
            .map(|licence| LicenceChoice::Named {
                license: NamedLicence {
                    name: licence.to_string(),
                },
            })
            .collect(),
    }
}

/// The image needs the packages that no other package needs, and one of each circle, so that every package is reached
/// from the image.
fn dependencies(bill: &Bill) -> Vec<Dependency> {
    let mut needs: BTreeMap<&str, Vec<&str>> = bill.packages.iter().map(|p| (p.id.as_str(), Vec::new())).collect();
    let mut needed = BTreeSet::new();
    for relationship in &bill.relationships {
        if let Some(list) = needs.get_mut(relationship.from.as_str()) {
            list.push(relationship.to.as_str());
            needed.insert(relationship.to.as_str());
        }
    }
    let (in_circles, free): (Vec<&str>, Vec<&str>) = needs.keys().partition(|id| needed.contains(*id));
    let mut reached = BTreeSet::new();
    let mut roots = Vec::new();
    for candidate in free.into_iter().chain(in_circles) {
        if reached.contains(candidate) {
            continue;
        }
        roots.push(candidate.to_owned());
        let mut next = vec![candidate];
        while let Some(id) = next.pop() {
            if reached.insert(id) {
                next.extend(needs.get(id).into_iter().flatten());
            }
        }
    }
    let image = Dependency {
        r#ref: IMAGE.to_owned(),
        depends_on: roots,
    };
    let packages = needs.into_iter().map(|(id, depends_on)| Dependency {
        r#ref: id.to_owned(),
        depends_on: depends_on.into_iter().map(str::to_owned).collect(),
    });
    std::iter::once(image).chain(packages).collect()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    #[serde(rename = "$schema")]
    schema: &'static str,
    bom_format: &'static str,
    spec_version: &'static str,
    serial_number: String,
    version: u32,
    metadata: Metadata,
    components: Vec<Component>,
    dependencies: Vec<Dependency>,
    compositions: Vec<Composition>,
}

#[derive(Serialize)]
struct Composition {
    aggregate: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    assemblies: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    dependencies: Vec<String>,
}

#[derive(Serialize)]
struct Lifecycle {
    phase: &'static str,
}

#[derive(Serialize)]
struct Metadata {
    timestamp: UnixTime,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    lifecycles: Vec<Lifecycle>,
    tools: Tools,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    authors: Vec<Contact>,
    component: Component,
    #[serde(skip_serializing_if = "Option::is_none")]
    manufacturer: Option<Entity>,
}

/// A list until 1.4, components since.
#[derive(Serialize)]
#[serde(untagged)]
enum Tools {
    Listed([Tool; 1]),
    Components { components: [Tool; 1] },
}

#[derive(Serialize)]
struct Tool {
    #[serde(skip_serializing_if = "str::is_empty")]
    r#type: &'static str,
    name: &'static str,
    version: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Component {
    r#type: &'static str,
    #[serde(rename = "bom-ref")]
    bom_ref: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    supplier: Option<Entity>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<String>,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hashes: Vec<Hash>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    licenses: Vec<LicenceChoice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpe: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    purl: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    external_references: Vec<ExternalReference>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    properties: Vec<Property>,
    #[serde(skip_serializing_if = "Option::is_none")]
    evidence: Option<Evidence>,
}

/// An organisation, or who stands in its place.
#[derive(Serialize)]
struct Entity {
    name: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    url: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    contact: Vec<Contact>,
}

#[derive(Serialize)]
struct Contact {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
}

impl Entity {
    fn of(party: &Party) -> Self {
        let contact = party.mail().map(|mail| Contact {
            name: None,
            email: Some(mail.to_owned()),
        });
        Self {
            name: party.name().to_owned(),
            url: party.url().into_iter().map(str::to_owned).collect(),
            contact: contact.into_iter().collect(),
        }
    }
}

#[derive(Serialize)]
struct Hash {
    alg: &'static str,
    content: String,
}

impl Hash {
    fn of_file(hash: &FileHash) -> Self {
        Self {
            alg: hash.algorithm().cyclonedx_name(),
            content: hash.hex().to_owned(),
        }
    }

    fn of(digest: &Digest) -> Self {
        Self {
            alg: match digest.algorithm() {
                proofmark_types::DigestAlgorithm::Sha256 => "SHA-256",
                proofmark_types::DigestAlgorithm::Sha384 => "SHA-384",
                proofmark_types::DigestAlgorithm::Sha512 => "SHA-512",
            },
            content: digest.hex(),
        }
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum LicenceChoice {
    Expression { expression: String },
    Named { license: NamedLicence },
}

#[derive(Serialize)]
struct NamedLicence {
    name: String,
}

#[derive(Serialize)]
struct ExternalReference {
    r#type: &'static str,
    url: String,
}

#[derive(Serialize)]
struct Property {
    name: String,
    value: String,
}

impl Property {
    fn new(name: String, value: String) -> Self {
        Self { name, value }
    }
}

#[derive(Serialize)]
struct Evidence {
    occurrences: Vec<Occurrence>,
}

#[derive(Serialize)]
struct Occurrence {
    location: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Dependency {
    r#ref: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    depends_on: Vec<String>,
}
