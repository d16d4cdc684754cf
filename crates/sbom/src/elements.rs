//! Whether a document has what rules for documents ask for, field by field.
//!
//! [`Rules::Ntia`] are the minimum elements of the U.S. Department of Commerce (The Minimum Elements For a Software Bill
//! of Materials, July 2021, section IV). [`Rules::Bsi`] are the required fields of Germany's BSI TR-03183-2, version 2.1.0
//! (sections 5.2.1 and 5.2.2), of a format that it allows (section 4). What is judged is what the document says, not
//! whether it is true.

use crate::bill::{FileHashAlgorithm, Location, Package, PackageId, PackageKind};
use crate::document::Details;
use crate::licence::Licence;
use crate::party::{mail_in, url_in};
use crate::reading::{Document, Standard};

/// Whose rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Rules {
    /// NTIA's minimum elements.
    Ntia,
    /// BSI TR-03183-2.
    Bsi,
}

/// What a document has of one element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    /// A stable name: `ntia-supplier`.
    pub code: &'static str,
    /// What it is, in words.
    pub title: &'static str,
    /// Of how many it is asked: the number of packages, or one of the document itself.
    pub asked: usize,
    /// How many of them lack it.
    pub lacking: usize,
    /// Which packages lack it.
    pub packages: Vec<PackageId>,
}

impl Element {
    /// Whether none lacks it.
    #[must_use]
    pub fn is_met(&self) -> bool {
        self.lacking == 0
    }
}

/// Each element that the rules ask for, in their order. A document without packages lacks them all: of nothing, nothing is
/// said.
#[must_use]
pub fn check(document: &Document, rules: Rules) -> Vec<Element> {
    let checks: &[(&'static str, &'static str, Check)] = match rules {
        Rules::Ntia => &NTIA,
        Rules::Bsi => &BSI,
    };
    let none = Details::default();
    checks
        .iter()
        .map(|(code, title, check)| {
            let (asked, packages) = match check {
                Check::Document(has) => {
                    let lacking = usize::from(!has(document));
                    return element(code, title, 1, lacking, Vec::new());
                }
                Check::Package(has) => lacking(document, &none, |_| true, *has),
                Check::File(has) => lacking(document, &none, |of| of.is_file(), *has),
            };
            if document.bill.packages.is_empty() {
                return element(code, title, 1, 1, packages);
            }
            element(code, title, asked, packages.len(), packages)
        })
        .collect()
}

/// Of how many packages it is asked, and which of them lack it.
fn lacking(
    document: &Document,
    none: &Details,
    is_asked: fn(&Of<'_>) -> bool,
    has: fn(&Of<'_>) -> bool,
) -> (usize, Vec<PackageId>) {
    let all = document.bill.packages.iter().map(|package| Of {
        document,
        package,
        details: document.details.get(&package.id).unwrap_or(none),
    });
    let asked: Vec<Of<'_>> = all.filter(is_asked).collect();
    let lacking = asked.iter().filter(|of| !has(of));
    let lacking = lacking.map(|of| of.package.id.clone()).collect();
    (asked.len(), lacking)
}

fn element(code: &'static str, title: &'static str, asked: usize, lacking: usize, packages: Vec<PackageId>) -> Element {
    Element {
        code,
        title,
        asked,
        lacking,
        packages,
    }
}

/// A package and what is said of it.
struct Of<'d> {
    document: &'d Document,
    package: &'d Package,
    details: &'d Details,
}

enum Check {
    Document(fn(&Document) -> bool),
    Package(fn(&Of<'_>) -> bool),
    /// Asked of packages that are files only.
    File(fn(&Of<'_>) -> bool),
}

const NTIA: [(&str, &str, Check); 8] = [
    (
        "ntia-supplier",
        "supplier name",
        Check::Package(|of| is_said(of.package.supplier.as_deref())),
    ),
    (
        "ntia-subject-supplier",
        "supplier name of what the document is about",
        Check::Document(|document| document.subject.name.is_none() || document.subject.supplier.is_some()),
    ),
    (
        "ntia-name",
        "component name",
        Check::Package(|of| !of.package.name.trim().is_empty()),
    ),
    (
        "ntia-version",
        "version of the component",
        Check::Package(|of| is_said(of.package.version.as_deref())),
    ),
    (
        "ntia-identifier",
        "other unique identifiers",
        // "... or serve as a look-up key for relevant databases", as a file's hash does.
        Check::Package(|of| {
            let has_cpe = of.details.cpes.iter().any(|cpe| crate::cpe::is_valid(cpe));
            of.package.purl.is_some() || has_cpe || !of.package.hashes.is_empty()
        }),
    ),
    (
        "ntia-relationship",
        "dependency relationship",
        Check::Package(|of| of.document.related.contains(&of.package.id)),
    ),
    (
        "ntia-author",
        "author of SBOM data",
        Check::Document(|document| !document.authors.is_empty() || !document.tools.is_empty()),
    ),
    (
        "ntia-timestamp",
        "timestamp",
        Check::Document(|document| document.created.is_some()),
    ),
];

const BSI: [(&str, &str, Check); 14] = [
    (
        "bsi-format",
        "CycloneDX 1.6 or later, or SPDX 3.0.1 or later",
        Check::Document(is_current),
    ),
    (
        "bsi-sbom-creator",
        "creator of the SBOM, with e-mail address or URL",
        Check::Document(|document| document.authors.iter().any(|author| is_contact(author))),
    ),
    (
        "bsi-timestamp",
        "timestamp",
        Check::Document(|document| document.created.is_some()),
    ),
    (
        "bsi-component-creator",
        "component creator, with e-mail address or URL",
        Check::Package(|of| {
            // "... e.g. the creator's home page or the project's web page".
            let said = of.package.supplier.iter().chain(&of.details.contact);
            said.chain(&of.package.homepage).any(|text| is_contact(text))
        }),
    ),
    (
        "bsi-component-name",
        "component name",
        Check::Package(|of| !of.package.name.trim().is_empty()),
    ),
    (
        "bsi-component-version",
        "component version",
        Check::Package(|of| is_said(of.package.version.as_deref())),
    ),
    (
        "bsi-filename",
        "filename of the component",
        Check::File(|of| {
            let name = of.package.file.as_ref().map(|file| file.name.as_str());
            is_said(name.or(of.details.file_name.as_deref())) || of.has_property("bsi:component:filename")
        }),
    ),
    (
        "bsi-dependencies",
        "dependencies on other components",
        Check::Package(|of| of.document.related.contains(&of.package.id)),
    ),
    (
        "bsi-completeness",
        "how complete the dependencies are",
        Check::Package(|of| of.details.completeness_is_said),
    ),
    (
        "bsi-licences",
        "distribution licences, as SPDX identifiers",
        Check::Package(|of| {
            let licences = &of.package.licences;
            let known = |licence: &Licence| licence.expression().is_some();
            // 6.1: what SPDX does not know, under an identifier made up for it.
            !licences.is_empty() && (of.details.licences_are_expression || licences.iter().all(known))
        }),
    ),
    (
        "bsi-hash",
        "SHA-512 of the deployable component",
        Check::File(|of| {
            of.package
                .hashes
                .iter()
                .any(|hash| hash.algorithm() == FileHashAlgorithm::Sha512)
        }),
    ),
    (
        "bsi-executable",
        "executable property",
        Check::File(|of| of.package.file.is_some() || of.has_property("bsi:component:executable")),
    ),
    (
        "bsi-archive",
        "archive property",
        Check::File(|of| of.package.file.is_some() || of.has_property("bsi:component:archive")),
    ),
    (
        "bsi-structured",
        "structured property",
        Check::File(|of| of.package.file.is_some() || of.has_property("bsi:component:structured")),
    ),
];

impl Of<'_> {
    /// Whether it is a file, so that it has what files have. What a package manager has spread over many is a logical
    /// component (3.2.2), and what has been merged into another can no longer be told apart (note to 5.2.2): of both
    /// nothing of the kind is asked, unless the document says some of it.
    fn is_file(&self) -> bool {
        let package = self.package;
        let says_some = package.file.is_some()
            || self.details.file_name.is_some()
            || self
                .details
                .properties
                .keys()
                .any(|name| name.starts_with("bsi:component:"));
        let is_merged = |place: &Location| place.path.contains("!/") && place.path.ends_with("/pom.properties");
        says_some
            || match package.kind {
                PackageKind::Maven => package.locations.is_empty() || !package.locations.iter().all(is_merged),
                PackageKind::Generic | PackageKind::Nuget | PackageKind::Unknown => true,
                _ => false,
            }
    }

    fn has_property(&self, name: &str) -> bool {
        is_said(self.details.properties.get(name).map(String::as_str))
    }
}

fn is_said(text: Option<&str>) -> bool {
    text.is_some_and(|text| !text.trim().is_empty())
}

/// An e-mail address or a URL somewhere in the text.
fn is_contact(text: &str) -> bool {
    mail_in(text).is_some() || url_in(text).is_some()
}

/// BSI TR-03183-2, 4.
fn is_current(document: &Document) -> bool {
    let numbers = document
        .origin
        .version
        .split('.')
        .map(|number| number.parse::<u32>().ok());
    let version: Vec<u32> = numbers.map_while(|number| number).collect();
    match document.origin.standard {
        Standard::Cyclonedx => version.as_slice() >= [1, 6].as_slice(),
        Standard::Spdx => version.as_slice() >= [3, 0, 1].as_slice(),
        Standard::Syft => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::read;

    fn document() -> serde_json::Value {
        json!({
            "bomFormat": "CycloneDX", "specVersion": "1.6",
            "metadata": { "timestamp": "2026-11-21T07:13:00Z", "authors": [{ "name": "Ann", "email": "ann@example.org" }] },
            "components": [{
                "type": "library", "bom-ref": "a", "name": "a", "version": "1", "purl": "pkg:npm/a@1",
                "supplier": { "name": "A", "url": ["https://example.org"] },
                "licenses": [{ "license": { "id": "MIT" } }],
                "hashes": [{ "alg": "SHA-512", "content": "a".repeat(128) }],
                "properties": [
                    { "name": "bsi:component:filename", "value": "a.tgz" },
                    { "name": "bsi:component:executable", "value": "non-executable" },
                    { "name": "bsi:component:archive", "value": "archive" },
                    { "name": "bsi:component:structured", "value": "structured" },
                ],
            }],
            "dependencies": [{ "ref": "a" }],
            "compositions": [{ "aggregate": "unknown", "dependencies": ["a"] }],
        })
    }

    fn lacking(document: &serde_json::Value, rules: Rules) -> Vec<&'static str> {
        let document = read(document.to_string().as_bytes()).unwrap();
        check(&document, rules)
            .iter()
            .filter(|element| !element.is_met())
            .map(|element| element.code)
            .collect()
    }

    #[test]
    fn a_whole_document_lacks_nothing() {
        assert_eq!(lacking(&document(), Rules::Ntia), [""; 0]);
        assert_eq!(lacking(&document(), Rules::Bsi), [""; 0]);
    }

    fn take(pointer: &str, key: &str) -> serde_json::Value {
        let mut document = document();
        let object = document.pointer_mut(pointer).unwrap().as_object_mut().unwrap();
        object.remove(key);
        document
    }

    fn property_taken(at: usize) -> serde_json::Value {
        let mut document = document();
        document["components"][0]["properties"]
            .as_array_mut()
            .unwrap()
            .remove(at);
        document
    }

    /// Of what is no file nothing is asked that files have; of what says some of it, the rest; of an archive, all.
    #[test]
    fn files_are_asked_for_what_files_have() {
        let files = [
            "bsi-filename",
            "bsi-hash",
            "bsi-executable",
            "bsi-archive",
            "bsi-structured",
        ];
        let mut bare = document();
        let component = bare["components"][0].as_object_mut().unwrap();
        component.remove("properties");
        component.remove("hashes");
        assert_eq!(lacking(&bare, Rules::Bsi), [""; 0], "an npm package is a folder");
        for purl in ["pkg:maven/a/a@1", "pkg:generic/a@1", "pkg:swid/a@1"] {
            bare["components"][0]["purl"] = json!(purl);
            assert_eq!(lacking(&bare, Rules::Bsi), files, "{purl}");
        }
        bare["components"][0]["purl"] = json!("pkg:maven/a/a@1");
        let place = |location| json!({ "occurrences": [{ "location": location }] });
        bare["components"][0]["evidence"] = place("/b.jar!/META-INF/maven/a/a/pom.properties");
        assert_eq!(lacking(&bare, Rules::Bsi), [""; 0], "merged into another archive");
        bare["components"][0]["evidence"] = place("/a.jar");
        assert_eq!(lacking(&bare, Rules::Bsi), files);
        let mut elsewhere = document();
        let hashes = elsewhere["components"][0].as_object_mut().unwrap().remove("hashes");
        assert_eq!(lacking(&elsewhere, Rules::Bsi), ["bsi-hash"]);
        elsewhere["components"][0]["externalReferences"] =
            json!([{ "type": "distribution", "url": "https://example.org/a.tgz", "hashes": hashes }]);
        assert_eq!(lacking(&elsewhere, Rules::Bsi), [""; 0]);
    }

    /// A reference to a text in the document is an identifier, a bare name is none.
    #[test]
    fn licences_of_ones_own_have_identifiers() {
        let mut document = document();
        document["components"][0]["licenses"] = json!([{ "expression": "LicenseRef-example-own" }]);
        assert_eq!(lacking(&document, Rules::Bsi), [""; 0]);
        document["components"][0]["licenses"] = json!([{ "license": { "name": "LicenseRef-example-own" } }]);
        assert_eq!(lacking(&document, Rules::Bsi), ["bsi-licences"]);
    }

    /// Each element taken away is the one that lacks.
    #[test]
    fn what_is_taken_away_lacks() {
        for (document, ntia, bsi) in [
            (
                take("/components/0", "supplier"),
                vec!["ntia-supplier"],
                vec!["bsi-component-creator"],
            ),
            (
                take("/components/0/supplier", "url"),
                vec![],
                vec!["bsi-component-creator"],
            ),
            (take("/components/0", "purl"), vec![], vec![]),
            (take("/components/0", "licenses"), vec![], vec!["bsi-licences"]),
            (take("/components/0", "hashes"), vec![], vec!["bsi-hash"]),
            (take("", "compositions"), vec![], vec!["bsi-completeness"]),
            (
                take("/metadata", "timestamp"),
                vec!["ntia-timestamp"],
                vec!["bsi-timestamp"],
            ),
            (
                take("/metadata", "authors"),
                vec!["ntia-author"],
                vec!["bsi-sbom-creator"],
            ),
            (take("/metadata/authors/0", "email"), vec![], vec!["bsi-sbom-creator"]),
            (property_taken(0), vec![], vec!["bsi-filename"]),
            (property_taken(1), vec![], vec!["bsi-executable"]),
            (property_taken(2), vec![], vec!["bsi-archive"]),
            (property_taken(3), vec![], vec!["bsi-structured"]),
        ] {
            assert_eq!(lacking(&document, Rules::Ntia), ntia, "{document}");
            assert_eq!(lacking(&document, Rules::Bsi), bsi, "{document}");
        }
    }

    #[test]
    fn what_says_nothing_lacks() {
        let mut unrelated = take("", "dependencies");
        unrelated["compositions"] = json!([]);
        assert_eq!(lacking(&unrelated, Rules::Ntia), ["ntia-relationship"]);
        assert_eq!(
            lacking(&unrelated, Rules::Bsi),
            ["bsi-dependencies", "bsi-completeness"]
        );
        let mut old = document();
        old["specVersion"] = json!("1.5");
        assert_eq!(lacking(&old, Rules::Bsi), ["bsi-format"]);
        let mut nameless = take("/components/0", "hashes");
        nameless["components"][0]["name"] = json!(" ");
        nameless["components"][0]["purl"] = json!("");
        assert_eq!(lacking(&nameless, Rules::Ntia), ["ntia-name", "ntia-identifier"]);
        let mut versionless = document();
        versionless["components"][0]["version"] = json!("");
        versionless["components"][0]["purl"] = json!("pkg:npm/a");
        assert_eq!(lacking(&versionless, Rules::Ntia), ["ntia-version"]);
        assert_eq!(lacking(&versionless, Rules::Bsi), ["bsi-component-version"]);
        let mut subject = document();
        subject["metadata"]["component"] = json!({ "type": "container", "name": "app", "supplier": { "name": "A" } });
        assert_eq!(lacking(&subject, Rules::Ntia), [""; 0]);
        subject["metadata"]["component"] = json!({ "type": "container", "name": "app" });
        assert_eq!(lacking(&subject, Rules::Ntia), ["ntia-subject-supplier"]);
        let mut odd = document();
        odd["components"][0]["licenses"] = json!([{ "license": { "name": "Ann's own" } }]);
        assert_eq!(lacking(&odd, Rules::Bsi), ["bsi-licences"]);
    }

    #[test]
    fn a_document_of_nothing_has_no_element_of_a_package() {
        let mut document = document();
        document["components"] = json!([]);
        assert_eq!(lacking(&document, Rules::Ntia).len(), 5);
        assert_eq!(lacking(&document, Rules::Bsi).len(), 11);
    }
}
