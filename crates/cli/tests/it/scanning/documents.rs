//! What `scan` takes beside images: documents, folders, tarballs, whole indexes; and documents that must not pass.

use std::fs;

use proofmark_testkit::command::Sandbox;
use proofmark_testkit::images::{Built, Layer};
use serde_json::{Value, json};

use super::{kev, prepared, refuses, with_salt};
use crate::documents::FORMATS;
use crate::world::{fails, fixture_path, run, write};

/// An advisory made for this test: Debian 12 mends openssl in a version that the image has not.
const OPENSSL: &str = r#"{"id":"DEBIAN-CVE-2024-1","modified":"2024-01-01T00:00:00Z","upstream":["CVE-2024-1"],
    "affected":[{"package":{"ecosystem":"Debian:12","name":"openssl"},
    "ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":"3.0.13-1~deb12u1"}]}]}]}"#;

/// Another: Debian knows of salt, and mended it long before the version that the image has. So it speaks for what is in it.
const SALT: &str = r#"{"id":"DEBIAN-CVE-2012-1","modified":"2024-01-01T00:00:00Z","upstream":["CVE-2012-1"],
    "affected":[{"package":{"ecosystem":"Debian:12","name":"salt"},
    "ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":"0.17-1"}]}]}]}"#;

/// An image with a system's packages, one of which has the files of a Python package; the same Python package once more
/// without an owner; packages without a version; and a program known by its bytes.
fn rich() -> Built {
    let status = "Package: libssl3\nStatus: install ok installed\nArchitecture: amd64\nSource: openssl\nVersion: 3.0.11-1\n\n\
                  Package: python3-salt\nStatus: install ok installed\nArchitecture: all\nSource: salt\nVersion: 3000.1-1\n\n";
    let owned = "usr/lib/python3/dist-packages/salt-3000.1.dist-info/METADATA";
    let metadata = "Metadata-Version: 2.1\nName: salt\nVersion: 3000.1\nLicense: Apache-2.0\n";
    let layers = [
        Layer::gzip()
            .file("etc/os-release", "ID=debian\nVERSION_ID=\"12\"\n")
            .file("var/lib/dpkg/status", status)
            .file("var/lib/dpkg/info/python3-salt.list", format!("/.\n/{owned}\n"))
            .file(owned, metadata),
        Layer::gzip()
            .file("opt/app/site-packages/salt-3000.1.dist-info/METADATA", metadata)
            .file(
                "opt/app/site-packages/pyspark.egg-info/PKG-INFO",
                "Metadata-Version: 2.1\nName: pyspark\n",
            )
            .file("opt/app/site-packages/broken.dist-info/METADATA", "Name\n"),
    ];
    Built::image("linux/amd64", &layers, |_| ())
}

/// What must not depend on whether the image or a document about it is scanned.
fn told(value: &Value) -> Value {
    let each = |list: &str, fields: &[&str]| {
        let pick = |entry: &Value| fields.iter().map(|field| entry[*field].clone()).collect::<Vec<_>>();
        let mut told: Vec<_> = value[list].as_array().unwrap().iter().map(pick).collect();
        told.sort_by_key(|told| format!("{told:?}"));
        told
    };
    let finding = [
        "id",
        "advisories",
        "severity",
        "package",
        "version",
        "purl",
        "paths",
        "viaSource",
        "fixedIn",
        "uncertain",
        "decision",
    ];
    json!({
        "digest": value["digest"], "packages": value["packages"], "lookedUp": value["lookedUp"],
        "findings": each("findings", &finding),
        "notLookedUp": each("notLookedUp", &["package", "purl", "code"]),
        "unread": each("unread", &["path"]),
        "undecided": value["gate"]["undecided"].as_array().unwrap().iter().map(|of| of[0].clone()).collect::<Vec<_>>(),
        "verdict": value["gate"]["verdict"],
    })
}

fn scanned(home: &Sandbox, what: &str) -> Value {
    let outcome = run(home, ["-o", "json", "scan", what]);
    serde_json::from_str(&outcome.stdout).unwrap_or_else(|error| panic!("{what}: {error}: {}", outcome.stderr))
}

#[test]
fn an_image_and_its_documents_have_the_same_findings() {
    let home = Sandbox::new().with("PROOFMARK_DB", "advisories.db");
    write(home.path(), "openssl.json", OPENSSL);
    write(home.path(), "salt.json", SALT);
    let osv = fixture_path("advisories/osv");
    run(&home, ["db", "import", &osv, "openssl.json", "salt.json", &kev()]).expect_success();
    rich().write_layout(&home.path().join("image"), "1.0");
    let of_image = told(&scanned(&home, "image"));
    let ids: Vec<_> = of_image["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| (f[0].clone(), f[3].clone()))
        .collect();
    let expected = [("CVE-2020-11651", "salt"), ("CVE-2024-1", "libssl3")];
    assert_eq!(ids.len(), 2, "the owned salt is judged through its owner: {ids:?}");
    for (id, package) in expected {
        assert!(ids.contains(&(json!(id), json!(package))), "{ids:?}");
    }
    assert_eq!(of_image["verdict"], json!("stop"));
    for format in FORMATS {
        run(&home, ["sbom", "-f", format, "--output-file", "document", "image"]).expect_success();
        let of_document = told(&scanned(&home, "document"));
        assert_eq!(of_document, of_image, "{format}");
        // Converted into the format that says the least of all, it says the same.
        run(
            &home,
            [
                "sbom",
                "convert",
                "-f",
                "spdx-json",
                "--output-file",
                "converted",
                "document",
            ],
        )
        .expect_success();
        assert_eq!(
            told(&scanned(&home, "converted"))["findings"],
            of_image["findings"],
            "{format}"
        );
    }
}

/// A CycloneDX document of these components, and what else is in it.
fn cyclonedx(components: &Value, more: &Value) -> String {
    let mut document = json!({ "bomFormat": "CycloneDX", "specVersion": "1.5", "components": components });
    document
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    document.to_string()
}

fn component(purl: &str) -> Value {
    let version = purl.split('@').nth(1).and_then(|rest| rest.split('?').next());
    json!({ "type": "library", "bom-ref": purl, "name": "x", "version": version, "purl": purl })
}

#[test]
fn a_weak_document_is_no_silent_pass() {
    let home = prepared();
    let fine = component("pkg:pypi/salt@3000.2");
    let with = |other: Value| json!([fine, other]);
    let nothing = json!({});
    let not_read = json!({ "metadata": { "component": { "type": "container", "name": "x", "properties": [
        { "name": "proofmark:notRead", "value": "/var/lib/dpkg/status: cut off (dpkg-malformed)" },
    ] } } });
    for (name, text, code) in [
        (
            "no distribution",
            cyclonedx(&with(component("pkg:deb/debian/bash@5.2")), &nothing),
            "distribution-unknown",
        ),
        (
            "no distribution",
            cyclonedx(&with(component("pkg:rpm/redhat/bash@5.2-1")), &nothing),
            "distribution-unknown",
        ),
        (
            "no distribution",
            cyclonedx(&with(component("pkg:apk/alpine/bash@5.2-r1")), &nothing),
            "distribution-unknown",
        ),
        (
            "no package URL",
            cyclonedx(
                &with(
                    json!({ "type": "library", "name": "bash", "version": "5.2", "properties": [
                    { "name": "syft:package:type", "value": "deb" },
                ] }),
                ),
                &nothing,
            ),
            "distribution-unknown",
        ),
        (
            "incomplete",
            cyclonedx(
                &json!([fine]),
                &json!({ "compositions": [{ "aggregate": "incomplete" }] }),
            ),
            "document-incomplete",
        ),
        ("not read", cyclonedx(&json!([fine]), &not_read), "not-read"),
        ("empty", cyclonedx(&json!([]), &nothing), "document-empty"),
        (
            "version",
            cyclonedx(
                &json!([{ "type": "library", "name": "salt", "purl": "pkg:pypi/salt" }]),
                &nothing,
            ),
            "version-unknown",
        ),
    ] {
        write(home.path(), "weak.json", text);
        let outcome = run(&home, ["scan", "weak.json"]);
        assert!(
            refuses(&outcome, 1, "scan-undecided")
                .stderr
                .contains(&format!("[{code}]")),
            "{name}: {}",
            outcome.stderr
        );
    }
}

#[test]
fn what_a_document_leaves_open_is_said() {
    let home = prepared();
    let fine = component("pkg:pypi/salt@3000.2");
    let nothing = json!({});
    // Two versions of one package: whichever is looked up, the other may be the one that is there.
    let two = json!([{ "type": "library", "name": "salt", "version": "3000.2", "purl": "pkg:pypi/salt@3000.1" }]);
    write(home.path(), "two.json", cyclonedx(&two, &nothing));
    let outcome = run(&home, ["scan", "two.json"]);
    assert!(
        refuses(&outcome, 1, "scan-undecided")
            .stderr
            .contains("[version-differs]"),
        "{}",
        outcome.stderr
    );
    // What nobody could look up is kept, counted and said.
    let unknown = json!([fine, component("pkg:swid/acme/thing@1"), { "type": "library", "name": "words", "version": "1" },
        { "type": "library", "name": "bad", "version": "1", "purl": "pkg:%%" }]);
    write(home.path(), "unknown.json", cyclonedx(&unknown, &nothing));
    let outcome = run(&home, ["-o", "json", "scan", "unknown.json"]);
    outcome.expect_success();
    for code in [
        "purl-type-unknown",
        "purl-missing",
        "purl-malformed",
        "no-package-url",
        "kind-unknown",
    ] {
        assert!(
            outcome.stderr.contains(&format!("[{code}]")),
            "{code}: {}",
            outcome.stderr
        );
    }
    let said: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!((&said["packages"], &said["lookedUp"]), (&json!(4), &json!(1)));
    write(home.path(), "strict.yaml", "not-looked-up: {no-package-url: stop}\n");
    refuses(
        &run(&home, ["scan", "--gate", "strict.yaml", "unknown.json"]),
        3,
        "gate-refused",
    );
}

#[test]
fn documents_come_from_anywhere_and_attestations_are_not_opened_unasked() {
    let home = prepared();
    let text = cyclonedx(&json!([component("pkg:pypi/salt@3000.1")]), &json!({}));
    write(home.path(), "bom.json", &text);
    refuses(&run(&home, ["scan", "bom.json"]), 3, "gate-refused");
    refuses(&run(&home, ["scan", "sbom:bom.json"]), 3, "gate-refused");
    let statement = json!({ "_type": "https://in-toto.io/Statement/v1", "predicateType": "https://cyclonedx.org/bom",
        "subject": [], "predicate": serde_json::from_str::<Value>(&text).unwrap() });
    write(home.path(), "statement.json", statement.to_string());
    fails(&run(&home, ["scan", "statement.json"]), 2, "document-in-attestation");
    refuses(&run(&home, ["scan", "--unwrap", "statement.json"]), 3, "gate-refused");
    fails(
        &run(&home, ["scan", "--platform", "linux/amd64", "bom.json"]),
        2,
        "command-line",
    );
    write(home.path(), "cut.json", &text[..40]);
    fails(&run(&home, ["scan", "cut.json"]), 2, "document-malformed");
    fails(&run(&home, ["scan", "sbom:absent.json"]), 2, "file-unreadable");
    // Trivy's Alpine packages say their release in a way of its own.
    let alpine = cyclonedx(
        &json!([component("pkg:apk/alpine/bash@5.2-r1?distro=3.18.4")]),
        &json!({}),
    );
    write(home.path(), "alpine.json", alpine);
    let outcome = run(&home, ["scan", "alpine.json"]);
    assert!(
        refuses(&outcome, 1, "scan-undecided").stderr.contains("Alpine v3.18"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn folders_and_tarballs_are_scanned() {
    let home = prepared();
    let metadata = |version: &str| format!("Metadata-Version: 2.1\nName: salt\nVersion: {version}\n");
    for (version, exit) in [("3000.1", 3), ("3000.2", 0)] {
        let path = format!("root-{version}/lib/python3/site-packages/salt-{version}.dist-info");
        fs::create_dir_all(home.path().join(&path)).unwrap();
        fs::write(home.path().join(path).join("METADATA"), metadata(version)).unwrap();
        run(&home, ["scan", &format!("dir:root-{version}")]).expect_code(exit);
        let tar = Layer::uncompressed()
            .file(
                &format!("lib/site-packages/salt-{version}.dist-info/METADATA"),
                metadata(version),
            )
            .tar();
        fs::write(home.path().join("root.tar"), tar).unwrap();
        run(&home, ["scan", "tar:root.tar"]).expect_code(exit);
    }
    fails(&run(&home, ["scan", "dir:absent"]), 2, "file-unreadable");
}

#[test]
fn every_platform_and_every_layer_where_they_are_asked_for() {
    let home = prepared();
    let metadata = |version: &str| format!("Metadata-Version: 2.1\nName: salt\nVersion: {version}\n");
    let salt = |version: &str| {
        let path = format!("site-packages/salt-{version}.dist-info/METADATA");
        Layer::gzip().file(&path, metadata(version))
    };
    let image = |platform: &str, version: &str| Built::image(platform, &[salt(version)], |_| ());
    Built::index(vec![image("linux/amd64", "3000.2"), image("linux/s390x", "3000.1")])
        .write_layout(&home.path().join("index"), "1.0");
    let verdict = |platform: &str| run(&home, ["scan", "--platform", platform, "index"]);
    verdict("linux/amd64").expect_success();
    refuses(&verdict("linux/s390x"), 3, "gate-refused");
    refuses(&verdict("all"), 3, "gate-refused");
    let hidden = [
        salt("3000.1"),
        Layer::gzip().file("site-packages/.wh.salt-3000.1.dist-info", ""),
    ];
    Built::image("linux/amd64", &hidden, |_| ()).write_layout(&home.path().join("hidden"), "1.0");
    let squashed = run(&home, ["scan", "hidden"]);
    assert!(
        squashed.expect_success().stderr.contains("[nothing-listed]"),
        "{}",
        squashed.stderr
    );
    refuses(
        &run(&home, ["scan", "--scope", "all-layers", "hidden"]),
        3,
        "gate-refused",
    );
    with_salt(&home, "3001");
    run(&home, ["scan", "--scope", "all-layers", "3001"]).expect_success();
}

/// What came and went between two images, and a gate on what came.
#[test]
fn findings_come_and_go_between_two_images() {
    let home = prepared();
    let known = |first: &str, second: &str, more: &[&str]| {
        let arguments = ["-o", "json", "sbom", "diff", "--findings", first, second].into_iter();
        let outcome = run(&home, arguments.chain(more.iter().copied()));
        let said: Value = serde_json::from_str(&outcome.stdout).unwrap_or_else(|_| panic!("{}", outcome.stderr));
        (outcome.code, said)
    };
    let ids = |list: &Value| {
        list.as_array()
            .unwrap()
            .iter()
            .map(|of| of["id"].clone())
            .collect::<Vec<_>>()
    };
    let (code, mended) = known("3000.1", "3000.2", &[]);
    assert_eq!((code, ids(&mended["findingsAdded"])), (Some(0), vec![]));
    assert!(
        ids(&mended["findingsRemoved"]).contains(&json!("CVE-2020-11651")),
        "{mended}"
    );
    assert_eq!(mended["changed"][0]["to"], json!(["3000.2"]));
    let (code, worse) = known("3000.2", "3000.1", &[]);
    assert_eq!(code, Some(0), "without a gate it only tells");
    assert!(ids(&worse["findingsAdded"]).contains(&json!("CVE-2020-11651")));
    write(home.path(), "gate.yaml", "licences: []\n");
    let gate = ["--gate", "gate.yaml"];
    let (code, stopped) = known("3000.2", "3000.1", &gate);
    assert_eq!((code, &stopped["error"]["code"]), (Some(3), &json!("gate-refused")));
    assert_eq!(known("3000.1", "3000.2", &gate).0, Some(0));
    assert_eq!(
        known("3000.1", "3000.1", &gate).0,
        Some(0),
        "it is stopped in both, and nothing of it is new"
    );
    assert_eq!(known("3000.1", "3000.2", &["--exit-code"]).0, Some(3));
    // A side that could not be looked up has no fewer findings for that.
    proofmark_testkit::images::debian_like().write_layout(&home.path().join("debian"), "1.0");
    let (code, unseen) = known("3000.1", "debian", &[]);
    assert_eq!((code, &unseen["undecided"][0]["of"]), (Some(1), &json!("second")));
    let plain = run(&home, ["sbom", "diff", "3000.1", "3000.2"]);
    assert!(!plain.expect_success().stdout.contains("CVE-"), "{}", plain.stdout);
}

/// A name that is mistyped must not be looked for on Docker Hub.
#[test]
fn a_document_that_is_not_there_is_no_image() {
    let home = prepared();
    for name in ["bom.json", "out/bom.cdx.xml", "./bom.spdx", "/no/bom.spdx.json"] {
        let outcome = run(&home, ["scan", name]);
        fails(&outcome, 2, "file-unreadable");
        assert!(
            outcome.stderr.contains(&format!("cannot read {name}: ")),
            "{}",
            outcome.stderr
        );
    }
    // With a registry it is an image, whatever its name.
    fails(&run(&home, ["scan", "127.0.0.1:1/bom.json"]), 1, "unreachable");
}
