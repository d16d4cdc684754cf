//! Whether a document has what rules for documents ask for, field by field.
//!
//! [`Rules::Ntia`] are the minimum elements of the U.S. Department of Commerce (The Minimum Elements For a Software Bill
//! of Materials, July 2021, section IV). [`Rules::Bsi`] are the required fields of Germany's BSI TR-03183-2, version 2.0
//! (sections 5.2.1 and 5.2.2). What is judged is what the document says, not whether it is true.

use crate::bill::{FileHashAlgorithm, Package, PackageId};
use crate::document::Details;
use crate::reading::Document;

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
                Check::Package(has) => {
                    let packages = &document.bill.packages;
                    let lacks = |package: &&Package| {
                        let details = document.details.get(&package.id).unwrap_or(&none);
                        !has(&Of {
                            document,
                            package,
                            details,
                        })
                    };
                    let lacking: Vec<PackageId> = packages.iter().filter(lacks).map(|p| p.id.clone()).collect();
                    (packages.len(), lacking)
                }
            };
            let lacking = if asked == 0 { 1 } else { packages.len() };
            element(code, title, asked.max(1), lacking, packages)
        })
        .collect()
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
}

const NTIA: [(&str, &str, Check); 7] = [
    (
        "ntia-supplier",
        "supplier name",
        Check::Package(|of| is_said(of.package.supplier.as_deref())),
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
        Check::Package(|of| of.package.purl.is_some() || of.details.cpes.iter().any(|cpe| crate::cpe::is_valid(cpe))),
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

const BSI: [(&str, &str, Check); 12] = [
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
            let said = of.package.supplier.iter().chain(&of.details.contact);
            said.into_iter().any(|text| is_contact(text))
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
        Check::Package(|of| is_said(of.details.file_name.as_deref()) || of.has_property("bsi:component:filename")),
    ),
    (
        "bsi-dependencies",
        "dependencies on other components",
        Check::Package(|of| of.document.related.contains(&of.package.id)),
    ),
    (
        "bsi-licences",
        "associated licences, as SPDX identifiers",
        Check::Package(|of| {
            let licences = &of.package.licences;
            !licences.is_empty() && licences.iter().all(|licence| licence.expression().is_some())
        }),
    ),
    (
        "bsi-hash",
        "SHA-512 of the deployable component",
        Check::Package(|of| {
            of.package
                .hashes
                .iter()
                .any(|hash| hash.algorithm() == FileHashAlgorithm::Sha512)
        }),
    ),
    (
        "bsi-executable",
        "executable property",
        Check::Package(|of| of.has_property("bsi:component:executable")),
    ),
    (
        "bsi-archive",
        "archive property",
        Check::Package(|of| of.has_property("bsi:component:archive")),
    ),
    (
        "bsi-structured",
        "structured property",
        Check::Package(|of| of.has_property("bsi:component:structured")),
    ),
];

impl Of<'_> {
    fn has_property(&self, name: &str) -> bool {
        is_said(self.details.properties.get(name).map(String::as_str))
    }
}

fn is_said(text: Option<&str>) -> bool {
    text.is_some_and(|text| !text.trim().is_empty())
}

/// An e-mail address or a URL somewhere in the text.
fn is_contact(text: &str) -> bool {
    let mail = |word: &str| {
        let word = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        word.split_once('@')
            .is_some_and(|(user, host)| !user.is_empty() && host.contains('.'))
    };
    text.contains("https://") || text.contains("http://") || text.split_whitespace().any(mail)
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

    /// Each element taken away is the one that lacks.
    #[test]
    fn what_is_taken_away_lacks() {
        let take = |pointer: &str, key: &str| {
            let mut document = document();
            document
                .pointer_mut(pointer)
                .unwrap()
                .as_object_mut()
                .unwrap()
                .remove(key);
            document
        };
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
            (take("/components/0", "purl"), vec!["ntia-identifier"], vec![]),
            (take("/components/0", "licenses"), vec![], vec!["bsi-licences"]),
            (take("/components/0", "hashes"), vec![], vec!["bsi-hash"]),
            (
                take("", "dependencies"),
                vec!["ntia-relationship"],
                vec!["bsi-dependencies"],
            ),
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
            (
                take("/components/0", "properties"),
                vec![],
                vec!["bsi-filename", "bsi-executable", "bsi-archive", "bsi-structured"],
            ),
        ] {
            assert_eq!(lacking(&document, Rules::Ntia), ntia, "{document}");
            assert_eq!(lacking(&document, Rules::Bsi), bsi, "{document}");
        }
        let mut nameless = document();
        nameless["components"][0]["name"] = json!(" ");
        nameless["components"][0]["purl"] = json!("");
        assert_eq!(lacking(&nameless, Rules::Ntia), ["ntia-name", "ntia-identifier"]);
        let mut versionless = document();
        versionless["components"][0]["version"] = json!("");
        versionless["components"][0]["purl"] = json!("pkg:npm/a");
        assert_eq!(lacking(&versionless, Rules::Ntia), ["ntia-version"]);
        assert_eq!(lacking(&versionless, Rules::Bsi), ["bsi-component-version"]);
        let mut odd = document();
        odd["components"][0]["licenses"] = json!([{ "license": { "name": "Ann's own" } }]);
        assert_eq!(lacking(&odd, Rules::Bsi), ["bsi-licences"]);
    }

    #[test]
    fn a_document_of_nothing_has_no_element_of_a_package() {
        let mut document = document();
        document["components"] = json!([]);
        assert_eq!(lacking(&document, Rules::Ntia).len(), 5);
        assert_eq!(lacking(&document, Rules::Bsi).len(), 10);
    }
}
