//! What was written is read back, and says the same.

use std::collections::BTreeSet;

use proofmark_sbom::{Bill, Format, Licence, Package, cyclonedx, read, spdx};

use crate::documents::nasty;
use crate::image::{Files, Image, debian, info};

/// What every format must carry.
fn facts(bill: &Bill, doubts: bool) -> BTreeSet<String> {
    bill.packages
        .iter()
        .map(|package| facts_of(bill, package, doubts))
        .collect()
}

fn facts_of(bill: &Bill, package: &Package, doubts: bool) -> String {
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
        package.uncertain.filter(|_| doubts),
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

#[test]
fn our_documents_come_back_with_the_same_facts() {
    let bill = debian().bill();
    assert!(bill.packages.iter().any(|p| p.owned_by.is_some()), "the image has one");
    for format in Format::ALL {
        let document = read(&format.write(&bill, &info())).unwrap_or_else(|error| panic!("{format}: {error}"));
        // Syft's form has no place for the time or for a doubt.
        let full = format != Format::SyftJson;
        assert_eq!(facts(&bill, full), facts(&document.bill, full), "{format}");
        assert_eq!(needs(&bill), needs(&document.bill), "{format}");
        let distribution = |bill: &Bill| bill.distribution.as_ref().map(|d| d.qualifier());
        assert_eq!(distribution(&bill), distribution(&document.bill), "{format}");
        assert_eq!(document.subject.digest, info().digest, "{format}");
        assert_eq!(document.subject.name.as_deref(), Some(info().name.as_str()), "{format}");
        assert_eq!(document.created, Some(info().created).filter(|_| full), "{format}");
        assert_eq!(document.tools, ["proofmark-0.1.0"], "{format}");
    }
}

#[test]
fn converted_documents_say_the_same() {
    let bill = debian().bill();
    for from in Format::ALL {
        let document = read(&from.write(&bill, &info())).unwrap();
        for to in Format::ALL {
            let again = read(&to.write(&document.bill, &document.info(info().created, "0.1.0"))).unwrap();
            assert_eq!(
                facts(&document.bill, false),
                facts(&again.bill, false),
                "{from} to {to}"
            );
            assert_eq!(needs(&document.bill), needs(&again.bill), "{from} to {to}");
            assert_eq!(document.subject.digest, again.subject.digest, "{from} to {to}");
        }
    }
}

#[test]
fn odd_packages_come_back() {
    let bill = nasty().bill();
    for format in Format::ALL {
        let document = read(&format.write(&bill, &info())).unwrap_or_else(|error| panic!("{format}: {error}"));
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
fn marks_of_the_formats_inside_values_are_no_marks() {
    let name = "a</name><b>&\"'<text>]]></text>";
    let manifest =
        serde_json::json!({ "name": "evil", "version": "1.0.0", "description": name, "license": name }).to_string();
    let bill = Image::of([Files::new().file("node_modules/evil/package.json", manifest)]).bill();
    let mut info = info();
    info.name = name.to_owned();
    for format in Format::ALL {
        let document = read(&format.write(&bill, &info)).unwrap_or_else(|error| panic!("{format}: {error}"));
        assert_eq!(document.bill.packages.len(), 1, "{format}");
        let described = document.bill.packages[0].description.clone();
        match format {
            Format::SpdxTagValue => assert_eq!(described.as_deref(), Some("a</name><b>&\"'(text)]]>(/text)")),
            Format::SyftJson => {}
            _ => assert_eq!(described.as_deref(), Some(name), "{format}"),
        }
    }
}

#[test]
fn cpe_names_come_back_where_asked_for() {
    let bill = debian().bill();
    let mut info = info();
    proofmark_sbom::cpe::add(&bill, &mut info);
    assert!(!info.details.is_empty());
    for format in Format::ALL {
        let document = read(&format.write(&bill, &info)).unwrap();
        let cpes = |details: &std::collections::BTreeMap<_, proofmark_sbom::Details>| {
            details.values().flat_map(|d| d.cpes.clone()).collect::<BTreeSet<_>>()
        };
        assert_eq!(cpes(&info.details), cpes(&document.details), "{format}");
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

/// What is read of a document with a few bytes changed can be written in every format, and is read again.
#[test]
fn damaged_documents_are_refused_or_whole() {
    let bill = debian().bill();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % u64::try_from(below).unwrap()).unwrap()
    };
    let (mut read_ok, mut refused) = (0, 0);
    for format in Format::ALL {
        let whole = format.write(&bill, &info());
        for _ in 0..150 {
            let mut bytes = whole.clone();
            for _ in 0..=next(3) {
                let at = next(bytes.len());
                match next(4) {
                    0 => bytes[at] = b"\"<>{}[],:&\\ \n-"[next(14)],
                    1 => drop(bytes.drain(at..(at + next(40)).min(whole.len() / 2).max(at))),
                    2 => bytes[at] = u8::try_from(next(256)).unwrap(),
                    _ => {
                        let piece = bytes[at..(at + 20).min(bytes.len())].to_vec();
                        let to = next(bytes.len());
                        bytes.splice(to..to, piece);
                    }
                }
            }
            let Ok(document) = read(&bytes) else {
                refused += 1;
                continue;
            };
            read_ok += 1;
            let to = Format::ALL[next(Format::ALL.len())];
            let again = read(&to.write(&document.bill, &document.info(info().created, "0.1.0")));
            let again = again.unwrap_or_else(|error| panic!("{format} to {to}: {error}"));
            assert_eq!(
                again.bill.packages.len(),
                document.bill.packages.len(),
                "{format} to {to}"
            );
        }
    }
    assert!(read_ok > 300 && refused > 300, "{read_ok} read, {refused} refused");
}
