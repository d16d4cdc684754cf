//! Documents: what they say, that they do not change, and that the official validators accept them.

#![expect(
    clippy::disallowed_methods,
    reason = "the validators are a program, found through the environment and fed by files"
)]

use std::process::Command;

use proofmark_sbom::{Bill, Format, cyclonedx, spdx};
use serde_json::{Value, json};

use crate::image::{Files, Image, OS_RELEASE, debian, info};

fn spdx_of(bill: &Bill) -> Value {
    serde_json::from_slice(&spdx::write(bill, &info())).expect("JSON")
}

fn cyclonedx_of(bill: &Bill) -> Value {
    serde_json::from_slice(&cyclonedx::write(bill, &info())).expect("JSON")
}

fn with_name<'v>(values: &'v Value, name: &str) -> &'v Value {
    let values = values.as_array().expect("a list");
    values.iter().find(|value| value["name"] == name).expect("the name")
}

/// An image whose packages say all that validators have been seen to refuse.
pub(crate) fn nasty() -> Image {
    let long = "é".repeat(5000);
    Image::of([Files::new()
        .file("etc/os-release", OS_RELEASE)
        .file(
            "var/lib/dpkg/status",
            "Package: odd+name\nVersion: 1:2.0~rc1+dfsg-1\nArchitecture: amd64\nSource: odd (1:2.0)\n\
             Maintainer: Jane \"J\" Doe (the team) <a@example.org>, Other <b@example.org>\nHomepage: not a url\n\n\
             Package: second\nVersion: \u{7}bell\nMaintainer: <only@example.org>\nHomepage: http://exa mple.org/\u{e9}\n\n\
             Package: third\nMaintainer: Organization: Person: x\nHomepage: https://example.org/%zz\nDescription: a\tb\n",
        )
        .file(
            "usr/share/doc/odd+name/copyright",
            "Format: x\n\nLicense: GPL-2+ with weird exception\n\nLicense: GPL-2+ or Artistic, and BSD-3-clause\n\nLicense: Expat\n\
             \nLicense: (MIT\n\nLicense: LicenseRef-mine AND MIT\n\nLicense: weird/ärger & <b>\n",
        )
        .file(
            "node_modules/@scope/x/package.json",
            format!(r#"{{"name":"@scope/x","version":"1.0.0 beta","description":"{long}","homepage":"javascript:alert(1)","license":"BSD-3-clause-Sun"}}"#),
        )
        .file("node_modules/y/package.json", r#"{"name":"y","version":"1","license":"gpl-2.0","homepage":"https://example.org/y#readme"}"#)
        .file("node_modules/bad/package.json", "{\u{1}")
        .file(format!("node_modules/{}/package.json", "n".repeat(90)).as_str(), format!(r#"{{"name":"{}"}}"#, "n".repeat(400)))])
}

#[test]
fn spdx_says_what_the_bill_says() {
    let document = spdx_of(&debian().bill());
    assert_eq!(document["spdxVersion"], "SPDX-2.3");
    assert_eq!(document["creationInfo"]["created"], "2026-11-21T07:13:00Z");
    let curl = with_name(&document["packages"], "curl");
    assert_eq!(curl["versionInfo"], "7.88.1-10");
    assert_eq!(curl["licenseDeclared"], "LGPL-2.1-or-later");
    assert_eq!(
        curl["externalRefs"][0]["referenceLocator"],
        "pkg:deb/debian/curl@7.88.1-10?arch=amd64&distro=debian-12"
    );
    let found = curl["sourceInfo"].as_str().unwrap();
    assert!(
        found.starts_with("found in /var/lib/dpkg/status (layer sha256:"),
        "{found}"
    );
    let image = with_name(&document["packages"], "registry.example.com/team/app:1.0");
    assert_eq!(image["primaryPackagePurpose"], "CONTAINER");
    let relation = |from: &Value, kind: &str, to: &Value| {
        document["relationships"].as_array().unwrap().contains(&json!({
            "spdxElementId": from, "relationshipType": kind, "relatedSpdxElement": to
        }))
    };
    assert!(relation(&json!("SPDXRef-DOCUMENT"), "DESCRIBES", &image["SPDXID"]));
    assert!(relation(&image["SPDXID"], "CONTAINS", &curl["SPDXID"]));
    let libc = with_name(&document["packages"], "libc6");
    assert!(relation(&curl["SPDXID"], "DEPENDS_ON", &libc["SPDXID"]));
    let left = with_name(&document["packages"], "left");
    let reference = left["licenseDeclared"].as_str().unwrap();
    assert_eq!(document["hasExtractedLicensingInfos"][0]["licenseId"], reference);
    assert_eq!(
        document["hasExtractedLicensingInfos"][0]["extractedText"],
        "See the file"
    );
}

#[test]
fn cyclonedx_says_what_the_bill_says() {
    let bill = debian().bill();
    let document = cyclonedx_of(&bill);
    assert_eq!(document["specVersion"], "1.6");
    assert_eq!(document["metadata"]["timestamp"], "2026-11-21T07:13:00Z");
    let property = |component: &Value, name: &str| {
        let properties = component["properties"].as_array().unwrap();
        properties
            .iter()
            .find(|p| p["name"] == name)
            .map(|p| p["value"].clone())
    };
    let curl = with_name(&document["components"], "curl");
    assert_eq!(curl["licenses"], json!([{"expression": "LGPL-2.1-or-later"}]));
    assert_eq!(
        property(curl, "proofmark:layer:diffID").unwrap(),
        bill.layers[1].diff_id.to_string()
    );
    let owner = with_name(&document["components"], "python3-six");
    let owned = document["components"].as_array().unwrap();
    let owned = owned.iter().find(|c| c["purl"] == "pkg:pypi/six@1.16.0").unwrap();
    assert_eq!(property(owned, "proofmark:ownedBy").unwrap(), owner["bom-ref"]);
    let needs = |reference: &Value| {
        let all = document["dependencies"].as_array().unwrap();
        all.iter().find(|d| d["ref"] == *reference).unwrap()["dependsOn"].clone()
    };
    let libc = with_name(&document["components"], "libc6");
    assert_eq!(needs(&curl["bom-ref"]), json!([libc["bom-ref"]]));
    assert!(needs(&json!("image")).as_array().unwrap().contains(&curl["bom-ref"]));
}

#[test]
fn every_component_is_reached_from_the_image_though_packages_need_each_other() {
    let status = "Package: a\nVersion: 1\nDepends: b\n\nPackage: b\nVersion: 1\nDepends: a\n\nPackage: c\nVersion: 1\n";
    let bill = Image::of([Files::new().file("var/lib/dpkg/status", status)]).bill();
    let document = cyclonedx_of(&bill);
    let roots = document["dependencies"][0]["dependsOn"].as_array().unwrap();
    assert_eq!(roots.len(), 2, "c, and one of the circle");
}

#[test]
fn an_incomplete_bill_says_so_in_both() {
    let bill = nasty().bill();
    let comment = spdx_of(&bill)["comment"].as_str().unwrap().to_owned();
    assert!(comment.contains("/node_modules/bad/package.json"), "{comment}");
    let properties = cyclonedx_of(&bill)["metadata"]["component"]["properties"].clone();
    assert!(
        properties
            .as_array()
            .unwrap()
            .iter()
            .any(|p| p["name"] == "proofmark:notRead")
    );
}

#[test]
fn documents_depend_on_nothing_but_bill_and_information() {
    let write = |image: &Image| Format::ALL.map(|format| format.write(&image.bill(), &info()));
    assert_eq!(write(&debian()), write(&debian()));
    let mut other = info();
    other.name = "another".to_owned();
    let bill = debian().bill();
    let namespace = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap()["documentNamespace"].clone();
    assert_ne!(
        namespace(&spdx::write(&bill, &info())),
        namespace(&spdx::write(&bill, &other))
    );
}

#[test]
fn documents_stay_small() {
    let bill = debian().bill();
    let per_package = spdx::write(&bill, &info()).len() / bill.packages.len();
    assert!(per_package < 2_000, "{per_package} bytes a package in SPDX");
    let per_package = cyclonedx::write(&bill, &info()).len() / bill.packages.len();
    assert!(per_package < 2_000, "{per_package} bytes a package in CycloneDX");
}

/// What a validator says of a document; nothing without validators.
#[expect(
    clippy::print_stderr,
    reason = "the test harness shows it to the person who runs the tests"
)]
pub(crate) fn validate(format: &str, document: &[u8]) -> Option<Result<(), String>> {
    let Ok(python) = std::env::var("PROOFMARK_VALIDATORS_PYTHON") else {
        assert!(
            std::env::var("CI").as_deref() != Ok("true"),
            "PROOFMARK_VALIDATORS_PYTHON names no Python with what interop/sbom-validators/requirements.txt names"
        );
        eprintln!("SKIPPED: SBOM validators not found (PROOFMARK_VALIDATORS_PYTHON)");
        return None;
    };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../interop/sbom-validators/validate.py");
    let folder = tempfile::tempdir().expect("a folder");
    // spdx-tools tells its forms apart by the name.
    let end = match format.trim_start_matches("syft:").split('@').next().unwrap_or_default() {
        "spdx-tag-value" => "spdx",
        "cyclonedx-xml" => "xml",
        _ => "json",
    };
    let path = folder.path().join(format!("document.{end}"));
    std::fs::write(&path, document).expect("a file");
    let output = Command::new(python)
        .args([script, format])
        .arg(&path)
        .output()
        .expect("Python runs");
    let said = [output.stdout, output.stderr].concat();
    match output.status.code() {
        Some(0) => Some(Ok(())),
        Some(1) => Some(Err(String::from_utf8_lossy(&said).into_owned())),
        _ => panic!("{format}: {}", String::from_utf8_lossy(&said)),
    }
}

#[test]
fn the_official_validators_accept_the_documents() {
    for (name, bill) in [
        ("debian", debian().bill()),
        ("nasty", nasty().bill()),
        ("empty", Image::of([]).bill()),
    ] {
        for format in Format::ALL {
            let mut info = info();
            proofmark_sbom::cpe::add(&bill, &mut info);
            match validate(format.name(), &format.write(&bill, &info)) {
                None => return,
                Some(verdict) => verdict.unwrap_or_else(|faults| panic!("{name} as {format}: {faults}")),
            }
        }
    }
}

/// NTIA's minimum elements by SPDX's own checker: with a supplier for the image and for
/// each package the document has them; without one it is refused.
#[test]
fn the_ntia_checker_finds_the_minimum_elements() {
    let image = |author: &str| {
        Image::of([Files::new()
            .file("etc/os-release", OS_RELEASE)
            .file(
                "var/lib/dpkg/status",
                "Package: a\nVersion: 1\nMaintainer: Ann <ann@example.org>\n\nPackage: b\nVersion: 2\nMaintainer: <bob@example.org>\n",
            )
            .file(
                "node_modules/c/package.json",
                format!(r#"{{"name":"c","version":"1.0.0"{author}}}"#),
            )])
        .bill()
    };
    let judge = |author: &str, supplier: Option<&str>| {
        let info = proofmark_sbom::DocumentInfo {
            supplier: supplier.and_then(proofmark_sbom::Party::parse),
            ..info()
        };
        validate("ntia", &spdx::write(&image(author), &info))
    };
    let author = r#","repository":"example/c""#;
    let Some(verdict) = judge(author, Some("Example Ltd")) else {
        return;
    };
    verdict.unwrap();
    for (author, supplier) in [(author, None), ("", Some("Example Ltd"))] {
        let fault = judge(author, supplier).unwrap().unwrap_err();
        assert_eq!(fault.trim(), "without suppliers: 1", "{author} {supplier:?}");
    }
}

#[test]
fn syft_reads_the_documents() {
    let bill = debian().bill();
    for format in Format::ALL {
        if matches!(format, Format::Spdx3Json | Format::SyftJson) {
            continue;
        }
        let reader = format!("syft:{format}");
        match validate(&reader, &format.write(&bill, &info())) {
            None => return,
            Some(verdict) => verdict.unwrap_or_else(|faults| panic!("{format}: {faults}")),
        }
    }
}

#[test]
fn the_validators_would_refuse_a_bad_document() {
    let bill = debian().bill();
    for format in Format::ALL {
        let text = String::from_utf8(format.write(&bill, &info())).unwrap();
        let (from, to) = match format {
            Format::SpdxJson => ("\"LGPL-2.1-or-later\"", "\"NOT-A-LICENCE\""),
            Format::SpdxTagValue => (
                "PackageLicenseDeclared: LGPL-2.1-or-later",
                "PackageLicenseDeclared: NOT-A-LICENCE",
            ),
            Format::Spdx3Json => (
                "\"software_primaryPurpose\":\"library\"",
                "\"software_primaryPurpose\":\"toy\"",
            ),
            Format::CyclonedxJson(_) => ("\"type\":\"library\"", "\"type\":\"toy\""),
            Format::CyclonedxXml(_) => ("type=\"library\"", "type=\"toy\""),
            Format::SyftJson => ("\"artifacts\":[", "\"artifacts\":[7,"),
            _ => unreachable!("a new format"),
        };
        assert!(text.contains(from), "{format} has what is to be broken");
        match validate(format.name(), text.replacen(from, to, 1).as_bytes()) {
            None => return,
            Some(verdict) => assert!(verdict.is_err(), "{format}"),
        }
    }
    let lost = String::from_utf8(spdx::write(&bill, &info()))
        .unwrap()
        .replacen("\"purl\"", "\"other\"", 2);
    if let Some(verdict) = validate("spdx-json", lost.as_bytes()) {
        assert!(verdict.is_err(), "a reference of an unknown type");
    }
}
