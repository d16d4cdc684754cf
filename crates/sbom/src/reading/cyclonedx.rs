//! CycloneDX 1.2 to 1.7: the model that JSON and XML share.

use proofmark_types::{Digest, Purl};
use serde::Deserialize;

use super::gather::{Gathered, Raw};
use super::json::{self, List};
use super::{Document, Encoding, MAX_PACKAGES, MAX_RELATIONSHIPS, Origin, ReadError, Standard};
use crate::bill::{Completeness, Distribution, FileHash, FileHashAlgorithm, PackageKind, Source, Uncertainty};
use crate::party::Party;

/// The most components inside one another.
const MAX_DEPTH: usize = 32;

/// Reads the JSON form.
pub(super) fn read(bytes: &[u8]) -> Result<Document, ReadError> {
    understand(json::parse(bytes, "CycloneDX")?, Encoding::Json)
}

/// What a document says.
pub(super) fn understand(bom: Bom, encoding: Encoding) -> Result<Document, ReadError> {
    if bom.bom_format.as_deref().is_some_and(|format| format != "CycloneDX") {
        return Err(ReadError::Unknown {
            seen: format!(
                "bomFormat \"{}\"",
                bom.bom_format.unwrap_or_default().chars().take(40).collect::<String>()
            ),
        });
    }
    if !matches!(bom.spec_version.as_str(), "1.2" | "1.3" | "1.4" | "1.5" | "1.6" | "1.7") {
        return Err(ReadError::Version {
            standard: "CycloneDX",
            expected: "1.2 to 1.7",
            seen: bom.spec_version.chars().take(40).collect(),
        });
    }
    let mut gathered = Gathered::new(Origin {
        standard: Standard::Cyclonedx,
        version: bom.spec_version,
        encoding,
    });
    let metadata = bom.metadata.unwrap_or_default();
    gathered.created = metadata.timestamp;
    made_by(metadata.tools, metadata.authors, &mut gathered)?;
    if let Some(entity) = metadata.manufacturer.or(metadata.manufacture) {
        gathered
            .authors
            .extend(entity.party().map(|party| format!("Organization: {party}")));
    }
    if let Some(component) = metadata.component {
        subject(component, &mut gathered)?;
    }
    for component in bom.components.all("components")? {
        walk(component, None, 0, &mut gathered)?;
    }
    for dependency in bom.dependencies.all("dependencies")? {
        gathered.settled.push(dependency.r#ref.clone());
        for needed in dependency.depends_on.all("dependencies of one")? {
            gathered.needs.push((dependency.r#ref.clone(), needed));
        }
    }
    for composition in bom.compositions.all("compositions")? {
        composition.heard(&mut gathered)?;
    }
    gathered.finish()
}

fn made_by(tools: Option<Tools>, authors: List<Contact>, gathered: &mut Gathered) -> Result<(), ReadError> {
    let tools = match tools {
        None => Vec::new(),
        Some(Tools::Listed(tools)) => tools.all("tools")?,
        Some(Tools::Components { components }) => components.all("tools")?,
    };
    for tool in tools {
        let version = tool.version.filter(|version| !version.is_empty());
        gathered.tools.push(match version {
            Some(version) => format!("{}-{version}", tool.name),
            None => tool.name,
        });
    }
    for author in authors.all("authors")? {
        let party = reachable(author.name, author.email);
        gathered.authors.extend(party.map(|party| format!("Person: {party}")));
    }
    Ok(())
}

/// What the document describes; where that has the package URL of a package, it is one as well.
fn subject(component: Component, gathered: &mut Gathered) -> Result<(), ReadError> {
    let name = match &component.group {
        Some(group) if !group.is_empty() => format!("{group}/{}", component.name),
        _ => component.name.clone(),
    };
    gathered.subject.name = Some(name);
    let supplier = component.supplier.as_ref().and_then(Entity::party);
    gathered.subject.supplier = supplier.and_then(|text| Party::parse(&text));
    let purl = component.purl.as_ref().and_then(|text| Purl::parse(text).ok());
    let of_purl = purl
        .as_ref()
        .filter(|purl| purl.kind() == "oci")
        .and_then(Purl::version);
    let mut texts = of_purl.into_iter().chain(component.version.as_deref());
    gathered.subject.digest = texts.find_map(|text| Digest::parse(text).ok());
    let property = |name: &str| {
        let found = component
            .properties
            .items
            .iter()
            .find(|property| property.name == name)?;
        found.value.clone()
    };
    gathered.subject.platform =
        property("proofmark:platform").and_then(|text| proofmark_oci::Platform::parse(&text).ok());
    let not_read = component.properties.items.iter();
    for property in not_read.filter(|property| property.name == "proofmark:notRead") {
        gathered.not_read(property.value.as_deref().unwrap_or_default());
    }
    gathered.layers = layers(&component);
    gathered.distribution = property("proofmark:distribution").map(|text| match text.rsplit_once('-') {
        Some((id, version)) => Distribution {
            id: id.to_owned(),
            version_id: Some(version.to_owned()),
            name: None,
            codename: None,
        },
        None => Distribution {
            id: text,
            version_id: None,
            name: None,
            codename: None,
        },
    });
    let of_registry = |kind| !matches!(kind, PackageKind::Unknown | PackageKind::Generic);
    let is_package = purl.is_some_and(|purl| of_registry(PackageKind::of_purl_type(purl.kind())));
    if is_package {
        walk(component, None, 0, gathered)
    } else {
        gathered.others.extend(component.bom_ref);
        for inner in component.components.all("components")? {
            walk(inner, None, 1, gathered)?;
        }
        Ok(())
    }
}

/// Our list of the image's layers.
fn layers(image: &Component) -> Vec<crate::bill::LayerRecord> {
    let property = |name: String| {
        let found = image.properties.items.iter().find(|property| property.name == name)?;
        Digest::parse(found.value.as_deref()?).ok()
    };
    (0..image.properties.items.len())
        .map_while(|at| {
            Some(crate::bill::LayerRecord {
                digest: property(format!("proofmark:layer:{at}:digest"))?,
                diff_id: property(format!("proofmark:layer:{at}:diffID"))?,
                // The document does not say.
                size: 0,
            })
        })
        .collect()
}

/// A component and those inside it.
fn walk(component: Component, parent: Option<&str>, depth: usize, gathered: &mut Gathered) -> Result<(), ReadError> {
    if depth > MAX_DEPTH {
        return Err(ReadError::TooMany {
            what: "components inside one another",
            limit: MAX_DEPTH,
        });
    }
    if gathered.packages.len() >= MAX_PACKAGES {
        return Err(ReadError::TooMany {
            what: "components",
            limit: MAX_PACKAGES,
        });
    }
    let mut component = component;
    let inner = std::mem::take(&mut component.components).all("components")?;
    let reference = component.bom_ref.clone();
    if let (Some(parent), Some(own)) = (parent, &reference) {
        gathered.contains.push((parent.to_owned(), own.clone()));
    }
    if component.r#type.as_deref() == Some("operating-system") && !component.has_known_purl() {
        gathered.others.extend(component.bom_ref.clone());
        gathered.distribution = gathered
            .distribution
            .take()
            .or_else(|| Some(operating_system(component)));
    } else if component.is_no_package() {
        gathered.others.extend(component.bom_ref);
    } else {
        let raw = raw(component)?;
        gathered.packages.push(raw);
    }
    for inner in inner {
        walk(inner, reference.as_deref(), depth + 1, gathered)?;
    }
    Ok(())
}

fn operating_system(component: Component) -> Distribution {
    let properties = component.properties.items;
    let property = |name: &str| {
        let found = properties.iter().find(|property| property.name == name)?;
        found.value.clone().filter(|value| !value.is_empty())
    };
    Distribution {
        version_id: component.version.filter(|version| !version.is_empty()),
        name: component.description.or_else(|| property("syft:distro:prettyName")),
        codename: property("syft:distro:versionCodename"),
        id: component.name,
    }
}

fn raw(component: Component) -> Result<Raw, ReadError> {
    let mut raw = Raw {
        group: component.group.filter(|group| !group.is_empty()),
        name: component.name,
        reference: component.bom_ref.unwrap_or_default(),
        version: component.version.filter(|version| !version.is_empty()),
        description: component.description.filter(|text| !text.is_empty()),
        purls: component.purl.into_iter().filter(|purl| !purl.is_empty()).collect(),
        ..Raw::default()
    };
    let named = |entity: Option<Entity>| entity.and_then(|entity| entity.party());
    let answering = component.supplier.as_ref().or(component.manufacturer.as_ref());
    raw.details.contact = answering.and_then(Entity::contact);
    raw.supplier = named(component.supplier)
        .or_else(|| named(component.manufacturer))
        .or_else(|| component.publisher.filter(|name| !name.is_empty()))
        .or_else(|| component.author.filter(|name| !name.is_empty()));
    raw.details.cpes.extend(component.cpe.filter(|cpe| !cpe.is_empty()));
    let choices = component.licenses.all("licences")?;
    // `LicenseRef-…` stands in expressions only.
    raw.details.licences_are_expression =
        !choices.is_empty() && choices.iter().all(|choice| choice.expression.is_some());
    for choice in choices {
        let named = choice.license.and_then(|licence| licence.id.or(licence.name));
        match choice.expression {
            Some(expression) => raw
                .licences
                .extend(super::spdx2::terms(&expression, &std::collections::BTreeMap::new())),
            None => raw.licences.extend(named),
        }
    }
    for hash in component.hashes.all("hashes")? {
        raw.hashes.extend(file_hash(&hash));
    }
    for reference in component.external_references.all("references")? {
        match reference.r#type.as_deref() {
            Some("website") if raw.homepage.is_none() => raw.homepage = reference.url,
            // BSI TR-03183-2, 8.2: where the hash of the deployable component stands.
            Some("distribution") => {
                for hash in reference.hashes.all("hashes")? {
                    raw.hashes.extend(file_hash(&hash));
                }
            }
            _ => {}
        }
    }
    for occurrence in component.evidence.unwrap_or_default().occurrences.all("occurrences")? {
        raw.places.extend(occurrence.location.map(|location| (location, None)));
    }
    properties(component.properties.all("properties")?, &mut raw);
    Ok(raw)
}

fn file_hash(hash: &Hash) -> Option<FileHash> {
    FileHash::parse(FileHashAlgorithm::of_name(&hash.alg)?, &hash.content)
}

/// What the programs that make documents say in properties of their own.
fn properties(properties: Vec<Property>, raw: &mut Raw) {
    let (mut paths, mut layers) = (Vec::new(), Vec::new());
    let (mut source, mut release, mut epoch) = (
        Source {
            name: String::new(),
            version: None,
        },
        None,
        None,
    );
    let mut own_layers = Vec::new();
    for property in properties {
        let value = property.value.unwrap_or_default();
        if value.is_empty() {
            continue;
        }
        match property.name.as_str() {
            "proofmark:kind" | "syft:package:type" | "aquasecurity:trivy:PkgType" => {
                raw.kind = Some(super::kind_of_word(&value));
            }
            "proofmark:source:name" | "aquasecurity:trivy:SrcName" => source.name = value,
            "proofmark:source:version" | "aquasecurity:trivy:SrcVersion" => source.version = Some(value),
            "aquasecurity:trivy:SrcRelease" => release = Some(value),
            "aquasecurity:trivy:SrcEpoch" => epoch = Some(value),
            "proofmark:modularity" | "aquasecurity:trivy:Modularitylabel" => raw.modularity = Some(value),
            "proofmark:ownedBy" => raw.owner = Some(value),
            "proofmark:uncertain" => raw.uncertain = Uncertainty::of_reason(&value),
            "proofmark:layer:diffID" => own_layers.push(value),
            "aquasecurity:trivy:FilePath" | "proofmark:location" => raw.places.push((value, None)),
            "syft:cpe23" | "proofmark:cpe23" => raw.details.cpes.push(value),
            name if name.starts_with("bsi:component:") => {
                raw.details.properties.insert(name.to_owned(), value);
            }
            name => {
                let place = name
                    .strip_prefix("syft:location:")
                    .and_then(|rest| rest.split_once(':'));
                match place {
                    Some((at, "path")) => paths.push((at.to_owned(), value)),
                    Some((at, "layerID")) => layers.push((at.to_owned(), value)),
                    _ => {}
                }
            }
        }
    }
    for (at, path) in paths {
        let layer = layers.iter().find(|(of, _)| *of == at).map(|(_, layer)| layer.clone());
        raw.places.push((path, layer));
    }
    // Ours says the layers beside the places; one layer is that of all of them.
    if let [layer] = own_layers.as_slice() {
        for (_, of) in &mut raw.places {
            *of = Some(layer.clone());
        }
    }
    if !source.name.is_empty() {
        source.version = source.version.map(|version| {
            let epoch = epoch
                .filter(|epoch| epoch != "0")
                .map(|epoch| format!("{epoch}:"))
                .unwrap_or_default();
            let release = release.map(|release| format!("-{release}")).unwrap_or_default();
            format!("{epoch}{version}{release}")
        });
        raw.source = Some(source);
    }
}

/// A document.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Bom {
    #[serde(default)]
    pub(super) bom_format: Option<String>,
    pub(super) spec_version: String,
    #[serde(default)]
    pub(super) metadata: Option<Metadata>,
    #[serde(default)]
    pub(super) components: List<Component, MAX_PACKAGES>,
    #[serde(default)]
    pub(super) dependencies: List<Dependency, MAX_PACKAGES>,
    #[serde(default)]
    pub(super) compositions: List<Composition>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Metadata {
    pub(super) timestamp: Option<String>,
    pub(super) tools: Option<Tools>,
    pub(super) authors: List<Contact>,
    pub(super) manufacture: Option<Entity>,
    pub(super) manufacturer: Option<Entity>,
    pub(super) component: Option<Component>,
}

/// A list until 1.4, an object of components since 1.5.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Tools {
    Listed(List<Tool>),
    Components {
        #[serde(default)]
        components: List<Tool>,
    },
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Tool {
    pub(super) name: String,
    pub(super) version: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Contact {
    pub(super) name: Option<String>,
    pub(super) email: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Entity {
    pub(super) name: Option<String>,
    pub(super) url: List<String>,
    pub(super) contact: List<Contact>,
}

/// A name and how to reach it as one line.
fn reachable(name: Option<String>, contact: Option<String>) -> Option<String> {
    let said = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
    match (said(name), said(contact)) {
        (Some(name), Some(contact)) => Some(format!("{name} ({contact})")),
        (name, contact) => name.or(contact),
    }
}

impl Entity {
    /// As one line.
    fn party(&self) -> Option<String> {
        reachable(self.name.clone(), self.contact())
    }

    /// An e-mail address, or a URL.
    fn contact(&self) -> Option<String> {
        let mail = self.contact.items.iter().find_map(|contact| contact.email.clone());
        mail.or_else(|| self.url.items.first().cloned())
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Component {
    #[serde(default)]
    pub(super) r#type: Option<String>,
    #[serde(rename = "bom-ref", default)]
    pub(super) bom_ref: Option<String>,
    #[serde(default)]
    pub(super) group: Option<String>,
    pub(super) name: String,
    #[serde(default)]
    pub(super) version: Option<String>,
    #[serde(default)]
    pub(super) description: Option<String>,
    #[serde(default)]
    pub(super) publisher: Option<String>,
    #[serde(default)]
    pub(super) author: Option<String>,
    #[serde(default)]
    pub(super) supplier: Option<Entity>,
    #[serde(default)]
    pub(super) manufacturer: Option<Entity>,
    #[serde(default)]
    pub(super) hashes: List<Hash>,
    #[serde(default)]
    pub(super) licenses: List<LicenceChoice>,
    #[serde(default)]
    pub(super) cpe: Option<String>,
    #[serde(default)]
    pub(super) purl: Option<String>,
    #[serde(default)]
    pub(super) properties: List<Property>,
    #[serde(default)]
    pub(super) external_references: List<ExternalReference>,
    #[serde(default)]
    pub(super) evidence: Option<Evidence>,
    #[serde(default)]
    pub(super) components: List<Self, MAX_PACKAGES>,
}

impl Component {
    fn has_known_purl(&self) -> bool {
        let purl = self.purl.as_ref().and_then(|text| Purl::parse(text).ok());
        purl.is_some_and(|purl| PackageKind::of_purl_type(purl.kind()) != PackageKind::Unknown)
    }

    /// Files, devices and the like; and what Trivy groups packages under, which has a name and nothing else.
    fn is_no_package(&self) -> bool {
        if self.purl.as_ref().is_some_and(|purl| !purl.is_empty()) {
            return false;
        }
        let class = self
            .properties
            .items
            .iter()
            .any(|property| property.name == "aquasecurity:trivy:Class");
        match self.r#type.as_deref().unwrap_or_default() {
            "file" | "device" | "data" | "machine-learning-model" | "cryptographic-asset" | "container" => true,
            "application" => class && self.version.is_none(),
            _ => false,
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Hash {
    pub(super) alg: String,
    pub(super) content: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct LicenceChoice {
    pub(super) license: Option<NamedLicence>,
    pub(super) expression: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct NamedLicence {
    pub(super) id: Option<String>,
    pub(super) name: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Property {
    pub(super) name: String,
    pub(super) value: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ExternalReference {
    pub(super) r#type: Option<String>,
    pub(super) url: Option<String>,
    pub(super) hashes: List<Hash>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Evidence {
    pub(super) occurrences: List<Occurrence>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Occurrence {
    pub(super) location: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Dependency {
    pub(super) r#ref: String,
    #[serde(default)]
    pub(super) depends_on: List<String, MAX_RELATIONSHIPS>,
}

/// How complete a part of the document is.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Composition {
    pub(super) aggregate: String,
    pub(super) assemblies: List<String, MAX_PACKAGES>,
    pub(super) dependencies: List<String, MAX_PACKAGES>,
}

impl Composition {
    /// Parts that may be missing are packages; of relationships that may be missing, nothing is looked up.
    fn heard(self, gathered: &mut Gathered) -> Result<(), ReadError> {
        let dependencies = self.dependencies.all("dependencies")?;
        let of_parts = !self.assemblies.all("assemblies")?.is_empty() || dependencies.is_empty();
        let said = match self.aggregate.as_str() {
            "complete" => Some(Completeness::Complete),
            "unknown" => Some(Completeness::Unknown),
            incomplete if incomplete.starts_with("incomplete") => Some(Completeness::Incomplete),
            _ => None,
        };
        if let Some(said) = said {
            for reference in dependencies {
                gathered.complete(reference, said);
            }
        }
        if of_parts && self.aggregate.starts_with("incomplete") {
            gathered.lacks(format!(
                "its composition is \"{}\"",
                super::gather::short(&self.aggregate)
            ));
        }
        Ok(())
    }
}
