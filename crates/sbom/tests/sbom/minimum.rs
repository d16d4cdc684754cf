//! What rules for documents ask for: who made what, what needs what, what is a file; as far as an image says it.

use proofmark_sbom::elements::{Rules, check};
use proofmark_sbom::{Bill, Completeness, DocumentInfo, Format, Party, read, spdx, spdx3};
use serde_json::{Value, json};

use crate::documents::validate;
use crate::image::{Files, Image, OS_RELEASE, info, named};

/// With a `pom.xml` that names a developer.
const JAR: &[u8] = include_bytes!("../fixtures/java/lib-1.2.jar");

const STATUS: &str = "\
Package: libc6\nVersion: 2.36-9\nArchitecture: amd64\nMaintainer: GNU Libc Maintainers <glibc@example.org>\n
Package: bash\nVersion: 5.2\nArchitecture: amd64\nDepends: libc6\nMaintainer: Matthias <m@example.org>\n
Package: half\nVersion: 1\nArchitecture: amd64\nDepends: libc6, gone\nMaintainer: Team\nHomepage: https://example.org/half\n";

fn image() -> Image {
    Image::of([Files::new()
        .file("etc/os-release", OS_RELEASE)
        .file("var/lib/dpkg/status", STATUS)
        .file("var/lib/dpkg/info/half.list", "/usr/share/java/half.jar\n/usr/share/nodejs/tiny/package.json\n")
        .file("usr/share/nodejs/tiny/package.json", r#"{"name":"tiny","version":"1.0.0"}"#)
        .file("usr/share/doc/libc6/copyright", "Format: x\n\nLicense: LGPL-2.1-or-later\n")
        .file("usr/share/doc/bash/copyright", "Format: x\n\nLicense: my own words\n")
        .file("usr/share/doc/half/copyright", "Format: x\n\nLicense: MIT\n")
        .file("app/lib-1.2.jar", JAR)
        .file(
            "app/node_modules/peered/package.json",
            r#"{"name":"peered","version":"1.0.0","license":"MIT","author":{"name":"Bob","email":"bob@example.org"},"peerDependencies":{"tiny":"1"}}"#,
        )])
}

fn authored() -> DocumentInfo {
    DocumentInfo {
        supplier: Party::parse("Example Ltd <it@example.com>"),
        authors: ["Example Ltd (https://example.com)", "Person: Ann <ann@example.com>"]
            .into_iter()
            .filter_map(Party::parse)
            .collect(),
        ..info()
    }
}

#[test]
fn what_a_package_needs_is_said_with_how_much_of_it_there_is() {
    let bill = image().bill();
    for (name, expected) in [
        ("libc6", Completeness::Complete),
        ("bash", Completeness::Complete),
        ("half", Completeness::Incomplete),
        ("tiny", Completeness::Complete),
        // What it does with a package that it may do without, it does not say.
        ("peered", Completeness::Unknown),
        // A `pom.xml` may inherit.
        ("lib", Completeness::Unknown),
    ] {
        assert_eq!(named(&bill, name).needs, expected, "{name}");
    }
}

#[test]
fn an_archive_is_a_file_with_name_and_hashes_and_a_folder_is_none() {
    let bill = image().bill();
    let lib = named(&bill, "lib");
    let file = lib.file.as_ref().unwrap();
    assert_eq!(
        (file.name.as_str(), file.executable, file.archive, file.structured),
        ("lib-1.2.jar", true, true, true)
    );
    let sha512 = proofmark_types::Digest::of(proofmark_types::DigestAlgorithm::Sha512, JAR).hex();
    assert!(lib.hashes.iter().any(|hash| hash.hex() == sha512));
    assert_eq!(lib.supplier.as_deref(), Some("Ann <ann@example.org>"));
    assert!(
        bill.packages
            .iter()
            .all(|package| package.file.is_none() || package.name == "lib")
    );
}

#[test]
fn what_says_no_author_comes_from_the_system_package_that_has_it() {
    let bill = image().bill();
    assert_eq!(named(&bill, "tiny").supplier.as_deref(), Some("Organization: Team"));
    assert_eq!(
        named(&bill, "peered").supplier.as_deref(),
        Some("Bob <bob@example.org>")
    );
    let unowned = Image::of([Files::new().file(
        "app/node_modules/tiny/package.json",
        r#"{"name":"tiny","version":"1.0.0"}"#,
    )]);
    assert_eq!(named(&unowned.bill(), "tiny").supplier, None, "nobody said it");
}

/// All of it comes back out of the documents, as far as their formats have a place for it.
#[test]
fn parties_needs_and_files_come_back() {
    let bill = image().bill();
    for format in Format::ALL {
        if format == Format::SyftJson {
            continue;
        }
        let document = read(&format.write(&bill, &authored())).unwrap();
        let supplier = document
            .subject
            .supplier
            .as_ref()
            .map(|party| (party.name(), party.mail()));
        assert_eq!(supplier, Some(("Example Ltd", Some("it@example.com"))), "{format}");
        let again = document.info(info().created, "0.1.0");
        let mut names: Vec<&str> = again.authors.iter().map(Party::name).collect();
        names.sort_unstable();
        assert_eq!(names, ["Ann", "Example Ltd"], "{format}");
        let spdx2 = matches!(format, Format::SpdxJson | Format::SpdxTagValue);
        for package in &bill.packages {
            let read = document.bill.package(&package.id).unwrap();
            let party = |text: &Option<String>| {
                Party::parse(text.as_deref()?).map(|p| (p.name().to_owned(), p.mail().map(str::to_owned)))
            };
            assert_eq!(
                party(&read.supplier),
                party(&package.supplier),
                "{format} {}",
                package.name
            );
            assert_eq!(read.hashes, package.hashes, "{format} {}", package.name);
            if spdx2 {
                // There is no word for "this is all".
                let said = package.needs == read.needs
                    || (package.needs == Completeness::Complete && read.needs == Completeness::Unknown);
                assert!(said, "{format} {}: {:?}", package.name, read.needs);
            } else {
                assert_eq!(read.needs, package.needs, "{format} {}", package.name);
                assert_eq!(read.file, package.file, "{format} {}", package.name);
            }
        }
        // And through another format.
        for to in Format::ALL {
            if to == Format::SyftJson {
                continue;
            }
            let converted = read(&to.write(&document.bill, &again)).unwrap();
            assert_eq!(
                converted.subject.supplier, document.subject.supplier,
                "{format} to {to}"
            );
        }
    }
}

#[test]
fn spdx_tells_nothing_from_not_known() {
    let bill = image().bill();
    let document: Value = serde_json::from_slice(&spdx::write(&bill, &authored())).unwrap();
    let to = |name: &str| -> Vec<String> {
        let id = format!("SPDXRef-Package-{}", named(&bill, name).id);
        let relations = document["relationships"].as_array().unwrap().iter();
        let mut to: Vec<String> = relations
            .filter(|r| r["spdxElementId"] == id.as_str() && r["relationshipType"] == "DEPENDS_ON")
            .map(|r| r["relatedSpdxElement"].as_str().unwrap().to_owned())
            .collect();
        to.sort();
        to
    };
    let libc = format!("SPDXRef-Package-{}", named(&bill, "libc6").id);
    assert_eq!(to("libc6"), ["NONE"]);
    assert_eq!(to("bash"), std::slice::from_ref(&libc));
    assert_eq!(to("half"), ["NOASSERTION".to_owned(), libc]);
    assert_eq!(to("lib"), ["NOASSERTION"]);
    assert_eq!(
        document["creationInfo"]["creators"],
        json!([
            "Organization: Example Ltd",
            "Person: Ann (ann@example.com)",
            "Tool: proofmark-0.1.0"
        ])
    );
    assert_eq!(document["creationInfo"]["comment"], "Example Ltd: https://example.com");
}

/// What is lacking, and of which packages.
fn lacking(bytes: &[u8], rules: Rules) -> Vec<(&'static str, Vec<String>)> {
    let document = read(bytes).expect("a document");
    let elements = check(&document, rules);
    let name = |id: &proofmark_sbom::PackageId| document.bill.package(id).expect("one of its packages").name.clone();
    let lacking = elements.into_iter().filter(|element| !element.is_met());
    lacking
        .map(|element| (element.code, element.packages.iter().map(name).collect()))
        .collect()
}

#[test]
fn our_documents_have_what_an_image_says_and_lack_what_nobody_said() {
    let bill = image().bill();
    let cyclonedx = Format::ALL[3];
    assert_eq!(cyclonedx.name(), "cyclonedx-json");
    for format in [cyclonedx, Format::Spdx3Json] {
        let said = format.write(&bill, &authored());
        assert_eq!(lacking(&said, Rules::Ntia), [], "{format}");
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let mut expected = vec![
            // Debian's team has neither mail nor page there, and the package has no licence.
            ("bsi-component-creator", names(&["tiny"])),
            ("bsi-licences", names(&["bash", "tiny"])),
        ];
        if format == Format::Spdx3Json {
            // There, words of its own have an identifier.
            expected[1].1 = names(&["tiny"]);
        }
        assert_eq!(lacking(&said, Rules::Bsi), expected, "{format}");
        let unsaid = format.write(&bill, &info());
        let codes = |rules| {
            lacking(&unsaid, rules)
                .into_iter()
                .map(|(code, _)| code)
                .collect::<Vec<_>>()
        };
        assert_eq!(codes(Rules::Ntia), ["ntia-subject-supplier"], "{format}");
        assert_eq!(
            codes(Rules::Bsi),
            ["bsi-sbom-creator", "bsi-component-creator", "bsi-licences"],
            "{format}"
        );
    }
    let old = spdx::write(&bill, &authored());
    assert!(lacking(&old, Rules::Bsi).iter().any(|(code, _)| *code == "bsi-format"));
}

/// SPDX's own checker finds what ours finds; beside that it wants licences concluded, and files of what is no file.
#[test]
fn spdx_own_checker_finds_the_fields_of_bsi() {
    let bill: Bill = image().bill();
    let Some(verdict) = validate("bsi", &spdx3::write(&bill, &authored())) else {
        return;
    };
    let faults = verdict.unwrap_err();
    let all = bill.packages.len() + 1;
    for expected in [
        format!("without distribution_licenses: {all}"),
        format!("without filename: {}", all - 1),
    ] {
        assert!(faults.contains(&expected), "{faults}");
    }
    for unexpected in [
        "sha512",
        "structured",
        "without name",
        "without version",
        "Creator of the SBOM",
        "Completeness",
    ] {
        assert!(!faults.contains(unexpected), "{unexpected}: {faults}");
    }
    let faults = validate("bsi", &spdx3::write(&bill, &info())).unwrap().unwrap_err();
    assert!(faults.contains("Creator of the SBOM"), "{faults}");
}

#[test]
fn the_validators_accept_what_is_said_of_parties_needs_and_files() {
    let bill = image().bill();
    for format in Format::ALL {
        match validate(format.name(), &format.write(&bill, &authored())) {
            None => return,
            Some(verdict) => verdict.unwrap_or_else(|faults| panic!("{format}: {faults}")),
        }
    }
}
