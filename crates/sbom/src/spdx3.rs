//! SPDX 3.0.1 documents in JSON-LD: profiles core, software and simple licensing.
//!
//! What is said is what [`crate::spdx`] says in version 2.3: the image contains the packages, packages depend on packages
//! and declare licences; a system package contains the language packages whose files it has.

use std::collections::{BTreeMap, BTreeSet};

use proofmark_types::Digest;
use serde_json::{Map, Value, json};

use crate::bill::{Bill, Completeness, Note, Package, PackageFile, PackageId};
use crate::document::{DocumentInfo, TOOL, line, web_address};
use crate::party::{Party, PartyKind};
use crate::spdx::{self, ExtractedLicence};

const CONTEXT: &str = "https://spdx.org/rdf/3.0.1/spdx-context.jsonld";
const CREATION: &str = "_:creationInfo";

/// Core, the individuals that stand for nothing and for what nobody says.
const NONE: &str = "https://spdx.org/rdf/3.0.1/terms/Core/NoneElement";
const NO_ASSERTION: &str = "https://spdx.org/rdf/3.0.1/terms/Core/NoAssertionElement";

/// The longest description written, in characters.
const MAX_LINE: usize = 400;

/// Writes the document; the same bytes for the same bill and information.
#[must_use]
pub fn write(bill: &Bill, info: &DocumentInfo) -> Vec<u8> {
    let base = format!(
        "https://spdx.org/spdxdocs/{TOOL}-{}",
        info.identity(bill, "spdx-3.0.1").hex()
    );
    let mut graph = Graph {
        base,
        elements: Vec::new(),
        agents: BTreeMap::new(),
        licences: BTreeMap::new(),
        texts: BTreeMap::new(),
        relations: 0,
    };
    graph.frame(bill, info);
    let image = graph.image(bill, info);
    for package in &bill.packages {
        graph.package(bill, info, package);
    }
    graph.relations(bill, &image);
    serde_json::to_vec(&json!({ "@context": CONTEXT, "@graph": graph.elements })).unwrap_or_default()
}

struct Graph {
    base: String,
    elements: Vec<Value>,
    agents: BTreeMap<Party, String>,
    /// By expression.
    licences: BTreeMap<String, String>,
    /// By `LicenseRef-…`.
    texts: BTreeMap<String, String>,
    relations: usize,
}

impl Graph {
    fn iri(&self, part: &str) -> String {
        format!("{}#{part}", self.base)
    }

    fn add(&mut self, kind: &str, id: &str, fields: Value) {
        let mut element = Map::new();
        element.insert("type".to_owned(), json!(kind));
        element.insert("spdxId".to_owned(), json!(id));
        element.insert("creationInfo".to_owned(), json!(CREATION));
        if let Value::Object(fields) = fields {
            element.extend(fields.into_iter().filter(|(_, value)| match value {
                Value::Null => false,
                Value::Array(list) => !list.is_empty(),
                _ => true,
            }));
        }
        self.elements.push(Value::Object(element));
    }

    /// Who made the document, with what, and of what it is.
    fn frame(&mut self, bill: &Bill, info: &DocumentInfo) {
        let authors: Vec<String> = info.authors.iter().map(|author| self.agent(author)).collect();
        let creators = match authors.as_slice() {
            [] => vec![self.iri("Agent")],
            authors => authors.to_vec(),
        };
        let (tool, document, sbom, image) = (
            self.iri("Tool"),
            self.iri("Document"),
            self.iri("Sbom"),
            self.iri("Image"),
        );
        self.elements.push(json!({
            "type": "CreationInfo", "@id": CREATION, "specVersion": "3.0.1", "created": info.created,
            "createdBy": creators, "createdUsing": [tool],
        }));
        if authors.is_empty() {
            let agent = self.iri("Agent");
            self.add("SoftwareAgent", &agent, json!({ "name": TOOL }));
        }
        self.add(
            "Tool",
            &tool,
            json!({ "name": format!("{TOOL}-{}", info.tool_version) }),
        );
        self.add(
            "SpdxDocument",
            &document,
            json!({
                "name": line(&info.name, MAX_LINE), "rootElement": [sbom], "comment": spdx::incomplete(bill),
                "profileConformance": ["core", "software", "simpleLicensing"],
            }),
        );
        self.add(
            "software_Sbom",
            &sbom,
            json!({ "rootElement": [image], "software_sbomType": ["analyzed"] }),
        );
    }

    fn image(&mut self, bill: &Bill, info: &DocumentInfo) -> String {
        let image = self.iri("Image");
        let supplier = info.supplier.as_ref().map(|supplier| self.agent(supplier));
        let distribution = bill.distribution.as_ref();
        self.add(
            "software_Package",
            &image,
            json!({
                "name": line(&info.name, MAX_LINE),
                "software_packageVersion": info.digest.as_ref().map(ToString::to_string),
                "software_packageUrl": info.purl().map(|purl| purl.to_string()),
                "software_primaryPurpose": "container",
                "suppliedBy": supplier,
                "description": distribution.map(|d| line(d.name.as_deref().unwrap_or(&d.id), MAX_LINE)),
                "verifiedUsing": info.digest.iter().map(digest).collect::<Vec<_>>(),
            }),
        );
        image
    }

    fn package(&mut self, bill: &Bill, info: &DocumentInfo, package: &Package) {
        let id = self.iri(&reference(package));
        let details = info.details.get(&package.id);
        let cpes = details
            .into_iter()
            .flat_map(|details| &details.cpes)
            .filter(|cpe| crate::cpe::is_valid(cpe));
        let cpes: Vec<Value> = cpes
            .map(|cpe| json!({ "type": "ExternalIdentifier", "externalIdentifierType": "cpe23", "identifier": cpe }))
            .collect();
        let supplier = spdx::party(package).map(|supplier| self.agent(&supplier));
        self.add(
            "software_Package",
            &id,
            json!({
                "name": line(&package.name, MAX_LINE),
                "software_packageVersion": package.version.as_ref().map(|version| line(version, MAX_LINE)),
                "software_packageUrl": package.purl.as_ref().map(ToString::to_string),
                "software_homePage": web_address(package.homepage.as_deref()),
                "software_primaryPurpose": "library",
                "software_sourceInfo": spdx::source_info(bill, package),
                "suppliedBy": supplier,
                "description": package.description.as_ref().map(|text| line(text, MAX_LINE)),
                "comment": package.uncertain.map(|uncertain| format!("identity uncertain: {}", uncertain.reason())),
                "externalIdentifier": cpes,
                "verifiedUsing": hashes(package),
            }),
        );
        if let Some(licence) = self.licence(package) {
            self.relation(&id, "hasDeclaredLicense", vec![licence], None);
        }
        if let Some(file) = &package.file {
            let file = self.file(&id, package, file);
            self.relation(&id, "hasDistributionArtifact", vec![file], Some(Completeness::Complete));
        }
    }

    /// The file that a package is, as BSI TR-03183-2, 8.2, wants it: what is omitted is not so.
    fn file(&mut self, package_id: &str, package: &Package, file: &PackageFile) -> String {
        let id = format!("{package_id}-File");
        let purposes = [
            (file.executable, "executable"),
            (file.archive, "archive"),
            (file.structured, "container"),
            (!file.structured, "firmware"),
        ];
        let purposes: Vec<&str> = purposes
            .into_iter()
            .filter_map(|(is, word)| is.then_some(word))
            .collect();
        self.add(
            "software_File",
            &id,
            json!({
                "name": line(&file.name, MAX_LINE),
                "software_additionalPurpose": purposes,
                "comment": "software_additionalPurpose field is used to indicate the properties of BSI TR-03183-2",
                "verifiedUsing": hashes(package),
            }),
        );
        id
    }

    /// The element of whoever supplies or makes something.
    fn agent(&mut self, party: &Party) -> String {
        if let Some(known) = self.agents.get(party) {
            return known.clone();
        }
        let id = self.iri(&format!("Supplier-{}", short_hash(&party.text())));
        let kind = match party.kind() {
            PartyKind::Person => "Person",
            PartyKind::Organization => "Organization",
        };
        let mail = party.mail().map(|mail| ("email", mail));
        let url = party.url().map(|url| ("urlScheme", url));
        let reached = mail.into_iter().chain(url).map(|(kind, identifier)| {
            json!({ "type": "ExternalIdentifier", "externalIdentifierType": kind, "identifier": identifier })
        });
        let reached: Vec<Value> = reached.collect();
        self.add(
            kind,
            &id,
            json!({ "name": party.name(), "externalIdentifier": reached }),
        );
        self.agents.insert(party.clone(), id.clone());
        id
    }

    /// The element of the expression that a package declares, if it declares one.
    fn licence(&mut self, package: &Package) -> Option<String> {
        if package.licences.is_empty() {
            return None;
        }
        let mut extracted = BTreeMap::new();
        let expression = spdx::declared(&package.licences, &mut extracted);
        if let Some(known) = self.licences.get(&expression) {
            return Some(known.clone());
        }
        let custom: Vec<Value> = extracted
            .values()
            .map(|licence| {
                let text = self.text(licence);
                json!({ "type": "DictionaryEntry", "key": licence.license_id, "value": text })
            })
            .collect();
        let id = self.iri(&format!("Licence-{}", short_hash(&expression)));
        self.add(
            "simplelicensing_LicenseExpression",
            &id,
            json!({ "simplelicensing_licenseExpression": expression, "simplelicensing_customIdToUri": custom }),
        );
        self.licences.insert(expression, id.clone());
        Some(id)
    }

    fn text(&mut self, licence: &ExtractedLicence) -> String {
        if let Some(known) = self.texts.get(&licence.license_id) {
            return known.clone();
        }
        let id = self.iri(&licence.license_id);
        let fields = json!({ "name": licence.name, "simplelicensing_licenseText": licence.extracted_text });
        self.add("simplelicensing_SimpleLicensingText", &id, fields);
        self.texts.insert(licence.license_id.clone(), id.clone());
        id
    }

    fn relations(&mut self, bill: &Bill, image: &str) {
        let references: BTreeMap<_, _> = bill
            .packages
            .iter()
            .map(|package| (&package.id, self.iri(&reference(package))))
            .collect();
        let all: Vec<String> = bill
            .packages
            .iter()
            .map(|package| self.iri(&reference(package)))
            .collect();
        if !all.is_empty() {
            let completeness = match bill.notes.iter().any(Note::may_hide_packages) {
                true => Completeness::Incomplete,
                false => Completeness::Unknown,
            };
            self.relation(image, "contains", all, Some(completeness));
        }
        let mut owned: BTreeMap<&String, Vec<String>> = BTreeMap::new();
        for package in &bill.packages {
            let owner = package.owned_by.as_ref().and_then(|owner| references.get(owner));
            if let (Some(owner), Some(own)) = (owner, references.get(&package.id)) {
                owned.entry(owner).or_default().push(own.clone());
            }
        }
        for (owner, packages) in owned {
            self.relation(owner, "contains", packages, Some(Completeness::Unknown));
        }
        let mut needs: BTreeMap<&PackageId, BTreeSet<String>> = BTreeMap::new();
        for relationship in &bill.relationships {
            if let Some(to) = references.get(&relationship.to) {
                needs.entry(&relationship.from).or_default().insert(to.clone());
            }
        }
        for package in &bill.packages {
            let to = needs.remove(&package.id).unwrap_or_default();
            // Core, Relationship: that there is nothing, or that nobody knows, is said by elements of their own.
            let to = match (to.is_empty(), package.needs) {
                (false, _) => to.into_iter().collect(),
                (true, Completeness::Complete) => vec![NONE.to_owned()],
                (true, _) => vec![NO_ASSERTION.to_owned()],
            };
            let from = self.iri(&reference(package));
            self.relation(&from, "dependsOn", to, Some(package.needs));
        }
    }

    fn relation(&mut self, from: &str, kind: &str, to: Vec<String>, completeness: Option<Completeness>) {
        self.relations += 1;
        let id = self.iri(&format!("Relationship-{}", self.relations));
        let completeness = completeness.map(|completeness| match completeness {
            Completeness::Complete => "complete",
            Completeness::Incomplete => "incomplete",
            Completeness::Unknown => "noAssertion",
        });
        self.add(
            "Relationship",
            &id,
            json!({ "from": from, "relationshipType": kind, "to": to, "completeness": completeness }),
        );
    }
}

fn hashes(package: &Package) -> Vec<Value> {
    let hashes = package.hashes.iter().map(|hash| {
        let algorithm = hash.algorithm().spdx_name().to_ascii_lowercase();
        json!({ "type": "Hash", "algorithm": algorithm, "hashValue": hash.hex() })
    });
    hashes.collect()
}

fn reference(package: &Package) -> String {
    format!("Package-{}", package.id)
}

fn digest(digest: &Digest) -> Value {
    json!({ "type": "Hash", "algorithm": digest.algorithm().name(), "hashValue": digest.hex() })
}

fn short_hash(text: &str) -> String {
    let hash = Digest::sha256_of(text.as_bytes()).hex();
    hash.get(..16).unwrap_or(&hash).to_owned()
}
