//! What was written is read back, and says the same.

use std::collections::BTreeSet;

use proofmark_sbom::{Bill, Document, Licence, Package, cyclonedx, read, spdx};

use crate::documents::nasty;
use crate::image::{debian, info};

/// What every format must carry.
fn facts(bill: &Bill) -> BTreeSet<String> {
    bill.packages.iter().map(|package| facts_of(bill, package)).collect()
}

fn facts_of(bill: &Bill, package: &Package) -> String {
    let line = |text: &str| text.replace(|c: char| c.is_control(), " ").trim().to_owned();
    let owner = package.owned_by.as_ref().and_then(|owner| bill.package(owner));
    let source = package
        .source
        .as_ref()
        .filter(|s| s.name != package.name || s.version.is_some());
    let version = package.version.as_deref().map(line);
    let mut licences: Vec<String> = package.licences.iter().map(terms).collect();
    licences.sort();
    let purl = package.purl.as_ref().map(ToString::to_string).unwrap_or_default();
    format!(
        "{} {} {version:?} {purl} from {source:?} owned by {:?} under {} doubted {:?}",
        package.kind,
        line(&package.name),
        owner.map(|owner| &owner.name),
        licences.join(" AND "),
        package.uncertain,
    )
}

/// A conjunction in one licence and in several are the same.
fn terms(licence: &Licence) -> String {
    licence
        .to_string()
        .trim_start_matches('(')
        .trim_end_matches(')')
        .to_owned()
}

fn needs(bill: &Bill) -> BTreeSet<(String, String)> {
    let name = |id| bill.package(id).map(|p| p.name.clone()).unwrap_or_default();
    bill.relationships
        .iter()
        .map(|r| (name(&r.from), name(&r.to)))
        .collect()
}

fn check(name: &str, bill: &Bill, document: &Document) {
    assert_eq!(facts(bill), facts(&document.bill), "{name}");
    assert_eq!(needs(bill), needs(&document.bill), "{name}");
    let distribution = |bill: &Bill| bill.distribution.as_ref().map(|d| d.qualifier());
    assert_eq!(distribution(bill), distribution(&document.bill), "{name}");
    assert_eq!(document.subject.digest, info().digest, "{name}");
    assert_eq!(document.subject.name.as_deref(), Some(info().name.as_str()), "{name}");
    assert_eq!(document.created, Some(info().created), "{name}");
    assert_eq!(document.tools, ["proofmark-0.1.0"], "{name}");
}

#[test]
fn our_documents_come_back_with_the_same_facts() {
    let bill = debian().bill();
    assert!(bill.packages.iter().any(|p| p.owned_by.is_some()), "the image has one");
    check("spdx", &bill, &read(&spdx::write(&bill, &info())).unwrap());
    check("cyclonedx", &bill, &read(&cyclonedx::write(&bill, &info())).unwrap());
}

#[test]
fn odd_packages_come_back() {
    let bill = nasty().bill();
    for (format, bytes) in [
        ("spdx", spdx::write(&bill, &info())),
        ("cyclonedx", cyclonedx::write(&bill, &info())),
    ] {
        let document = read(&bytes).unwrap();
        assert_eq!(document.bill.packages.len(), bill.packages.len(), "{format}");
        let purls = |bill: &Bill| {
            bill.packages
                .iter()
                .filter_map(|p| p.purl.clone())
                .collect::<BTreeSet<_>>()
        };
        assert_eq!(purls(&bill), purls(&document.bill), "{format}");
    }
}

#[test]
fn layers_and_places_come_back() {
    let bill = debian().bill();
    let document = read(&cyclonedx::write(&bill, &info())).unwrap();
    let digests = |bill: &Bill| {
        bill.layers
            .iter()
            .map(|l| (l.digest.clone(), l.diff_id.clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(digests(&bill), digests(&document.bill));
    for package in &bill.packages {
        let same = document.bill.package(&package.id).unwrap();
        assert_eq!(package.locations, same.locations, "{}", package.name);
    }
    let document = read(&spdx::write(&bill, &info())).unwrap();
    for package in &bill.packages {
        let paths = |p: &Package| p.locations.iter().map(|l| l.path.clone()).collect::<Vec<_>>();
        assert_eq!(paths(package), paths(document.bill.package(&package.id).unwrap()));
    }
}
