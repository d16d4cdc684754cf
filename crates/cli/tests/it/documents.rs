//! `sbom`'s formats, its other sources, and its verbs `convert`, `check` and `diff`.

use std::fs;
use std::io::Write as _;

use proofmark_testkit::command::Sandbox;
use proofmark_testkit::images::{Built, Layer, debian_like};
use serde_json::{Value, json};

use crate::world::{Registry, fails, home, json, run, write};

/// Every format that `sbom` writes.
pub(crate) const FORMATS: [&str; 10] = [
    "spdx-json",
    "spdx-tag-value",
    "spdx3-json",
    "cyclonedx-json",
    "cyclonedx-json@1.5",
    "cyclonedx-json@1.4",
    "cyclonedx-xml",
    "cyclonedx-xml@1.5",
    "cyclonedx-xml@1.4",
    "syft-json",
];

const STATUS: &str = "Package: bash\nStatus: install ok installed\nArchitecture: amd64\nVersion: 5.2\nMaintainer: Ann <ann@example.org>\n\n";

#[test]
fn every_format_is_written_and_converted_into_every_other_family() {
    let home = Sandbox::new().with("SOURCE_DATE_EPOCH", "1700000000");
    debian_like().write_layout(&home.path().join("layout"), "1.0");
    for format in FORMATS {
        run(&home, ["sbom", "-f", format, "--output-file", "document", "layout"]).expect_success();
        for other in ["spdx-json", "cyclonedx-xml", "syft-json"] {
            let converted = run(
                &home,
                ["sbom", "convert", "document", "-f", other, "--output-file", "other"],
            );
            assert!(
                converted.expect_success().stderr.contains("2 packages (2 deb)"),
                "{format} to {other}"
            );
            let same = run(&home, ["sbom", "diff", "document", "other"]);
            assert_eq!(same.expect_success().stdout, "no difference\n", "{format} to {other}");
        }
        let same = run(&home, ["sbom", "diff", "--exit-code", "layout", "document"]);
        assert_eq!(same.expect_success().stdout, "no difference\n", "{format}");
    }
    let aliased = |format| {
        run(&home, ["sbom", "-f", format, "layout"])
            .expect_success()
            .stdout
            .clone()
    };
    assert_eq!(aliased("cyclonedx-json@1.6"), aliased("cyclonedx-json"));
    assert_eq!(aliased("spdx-json@2.3"), aliased("spdx-json"));
    let unknown = run(&home, ["sbom", "-f", "cyclonedx-json@0.9", "layout"]);
    assert!(
        unknown.expect_code(2).stderr.contains("spdx-tag-value"),
        "{}",
        unknown.stderr
    );
    assert!(!aliased("spdx-json").contains("cpe:2.3:"));
    let with = run(&home, ["sbom", "--cpes", "-f", "spdx-json", "layout"]);
    assert!(with.expect_success().stdout.contains("cpe:2.3:a:bash:bash:"));
    for (format, said) in [
        ("spdx-json", "\"Organization: Example Ltd\""),
        ("spdx-tag-value", "PackageSupplier: Organization: Example Ltd\n"),
        ("spdx3-json", "\"name\":\"Example Ltd\""),
        ("cyclonedx-json", "{\"name\":\"Example Ltd\"}"),
        ("cyclonedx-xml", "<name>Example Ltd</name>"),
    ] {
        assert!(!aliased(format).contains("Example Ltd"));
        let with = run(&home, ["sbom", "--supplier", "Example Ltd", "-f", format, "layout"]);
        assert!(with.expect_success().stdout.contains(said), "{format}: {}", with.stdout);
    }
}

/// Who supplies an image is said by its label or by whoever asks, and who makes a document by whoever asks; both are still
/// said in a document that is made of the document.
#[test]
fn who_supplies_and_who_writes_outlives_a_conversion() {
    let home = Sandbox::new();
    let layer = Layer::gzip()
        .file("etc/os-release", "ID=debian\n")
        .file("var/lib/dpkg/status", STATUS);
    let vendor = ("org.opencontainers.image.vendor", "Label Ltd <it@label.example.org>");
    Built::image("linux/amd64", &[layer], |config| {
        config.config.labels.insert(vendor.0.to_owned(), vendor.1.to_owned());
    })
    .write_layout(&home.path().join("layout"), "1.0");
    let supplier = |arguments: &[&str]| {
        let document = run(&home, arguments.iter().copied());
        let document: Value = serde_json::from_str(&document.expect_success().stdout).unwrap();
        (
            document["metadata"]["component"]["supplier"]["name"].clone(),
            document["metadata"]["manufacturer"]["name"].clone(),
        )
    };
    let cyclonedx = ["sbom", "-f", "cyclonedx-json", "layout"];
    assert_eq!(supplier(&cyclonedx), (json!("Label Ltd"), json!(null)));
    let said = ["--supplier", "Example Ltd", "--author", "Writers (https://example.com)"];
    assert_eq!(
        supplier(&[&cyclonedx[..], &said].concat()),
        (json!("Example Ltd"), json!("Writers"))
    );
    for format in ["spdx-json", "spdx-tag-value", "spdx3-json", "cyclonedx-xml"] {
        let file = format!("bom.{}", if format.ends_with("xml") { "xml" } else { "json" });
        let arguments = ["sbom", "-f", format, "--output-file", &file, "layout"];
        run(&home, [&arguments[..], &said].concat()).expect_success();
        let converted = ["sbom", "convert", &file, "-f", "cyclonedx-json"];
        assert_eq!(
            supplier(&converted),
            (json!("Example Ltd"), json!("Writers")),
            "{format}"
        );
        let again = [&converted[..], &["--supplier", "Other Ltd"]].concat();
        assert_eq!(supplier(&again), (json!("Other Ltd"), json!("Writers")), "{format}");
    }
    run(&home, ["sbom", "check", "--rules", "ntia", "layout"]).expect_success();
    let nameless = run(&home, ["sbom", "--supplier", "<>", "layout"]);
    assert!(
        nameless.stderr.contains("expected a name such as"),
        "{}",
        nameless.stderr
    );
}

#[test]
fn foreign_and_broken_documents_are_named() {
    let home = home();
    let bom = json!({ "bomFormat": "CycloneDX", "specVersion": "1.5", "components": [
        { "type": "library", "name": "thing", "version": "1", "purl": "pkg:swid/acme/thing@1" },
    ] });
    let statement = json!({ "_type": "https://in-toto.io/Statement/v1", "predicateType": "https://cyclonedx.org/bom",
        "subject": [], "predicate": bom });
    write(home.path(), "bom.json", bom.to_string());
    write(home.path(), "statement.json", statement.to_string());
    let converted = run(&home, ["sbom", "convert", "bom.json", "-f", "spdx-json"]);
    assert!(converted.expect_success().stderr.contains("purl-type-unknown"));
    assert!(converted.stdout.contains("\"thing\""), "it is kept");
    let refused = run(&home, ["sbom", "convert", "statement.json", "-f", "spdx-json"]);
    assert!(
        fails(&refused, 2, "document-in-attestation")
            .stderr
            .contains("--unwrap")
    );
    let told = run(
        &home,
        ["sbom", "convert", "--unwrap", "statement.json", "-f", "spdx-json"],
    );
    assert!(told.expect_success().stderr.contains("attestation-not-verified"));
    for (content, code) in [
        ("hello", "document-unknown"),
        (
            "{\"bomFormat\":\"CycloneDX\",\"specVersion\":\"7\"}",
            "document-version-unknown",
        ),
        ("{\"bomFormat\":", "document-malformed"),
        ("<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>", "document-malformed"),
    ] {
        write(home.path(), "broken", content);
        fails(&run(&home, ["sbom", "convert", "broken", "-f", "spdx-json"]), 2, code);
    }
    fails(
        &run(&home, ["sbom", "convert", "absent", "-f", "spdx-json"]),
        2,
        "file-unreadable",
    );
}

#[test]
fn folders_and_tarballs_are_read_as_they_are() {
    let home = home();
    let root = home.path().join("root");
    let outside = home.path().join("outside/node_modules/evil");
    fs::create_dir_all(root.join("var/lib/dpkg")).unwrap();
    fs::create_dir_all(&outside).unwrap();
    fs::write(outside.join("package.json"), r#"{"name":"evil","version":"1.0.0"}"#).unwrap();
    fs::write(root.join("var/lib/dpkg/status"), STATUS).unwrap();
    std::os::unix::fs::symlink(home.path().join("outside"), root.join("app")).unwrap();
    let names = |place: &str| {
        let found = json(&home, ["sbom", place]);
        assert_eq!(found["digest"], Value::Null);
        let packages = found["packages"].as_array().unwrap().clone();
        packages
            .iter()
            .map(|package| package["name"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(names("dir:root"), ["bash"], "nothing behind a link that leads out");

    let tar = Layer::uncompressed().file("var/lib/dpkg/status", STATUS).tar();
    fs::write(home.path().join("root.tar"), &tar).unwrap();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&tar).unwrap();
    fs::write(home.path().join("root.tar.gz"), encoder.finish().unwrap()).unwrap();
    assert_eq!(names("tar:root.tar"), ["bash"]);
    assert_eq!(names("file:root.tar.gz"), ["bash"]);

    fs::write(home.path().join("root.tar.zst"), [0x28, 0xb5, 0x2f, 0xfd, 0]).unwrap();
    fs::write(home.path().join("text"), "no tar at all ".repeat(100)).unwrap();
    fs::write(home.path().join("bomb.gz"), {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        let zeros = vec![0_u8; 1 << 20];
        for _ in 0..400 {
            encoder.write_all(&zeros).unwrap();
        }
        encoder.finish().unwrap()
    })
    .unwrap();
    for (place, exit, code) in [
        ("dir:absent", 2, "file-unreadable"),
        ("tar:absent", 2, "file-unreadable"),
        ("dir:root.tar", 2, "local-image-unreadable"),
        ("tar:root.tar.zst", 2, "local-image-unreadable"),
        ("tar:bomb.gz", 1, "malformed-layer"),
    ] {
        fails(&run(&home, ["sbom", place]), exit, code);
    }
    run(&home, ["sbom", "tar:text"]).expect_code(1);
    fails(
        &run(&home, ["sbom", "--platform", "linux/amd64", "dir:root"]),
        2,
        "command-line",
    );
}

#[test]
fn all_layers_list_what_upper_ones_hide() {
    let home = Sandbox::new();
    let release = "ID=debian\nVERSION_ID=\"12\"\n";
    let two = format!("{STATUS}Package: secret\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\n\n");
    let layers = [
        Layer::gzip()
            .file("etc/os-release", release)
            .file("var/lib/dpkg/status", two),
        Layer::gzip().file("var/lib/dpkg/status", STATUS),
    ];
    Built::image("linux/amd64", &layers, |_| ()).write_layout(&home.path().join("layout"), "1.0");
    let names = |scope: &str| {
        let found = json(&home, ["sbom", "--scope", scope, "layout"]);
        let packages = found["packages"].as_array().unwrap().clone();
        packages
            .iter()
            .map(|package| package["name"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(names("squashed"), ["bash"]);
    assert_eq!(names("all-layers"), ["bash", "secret"]);
    let document = run(
        &home,
        ["sbom", "--scope", "all-layers", "-f", "cyclonedx-json", "layout"],
    );
    let document: Value = serde_json::from_str(&document.expect_success().stdout).unwrap();
    let secret = document["components"]
        .as_array()
        .unwrap()
        .iter()
        .find(|c| c["name"] == "secret")
        .unwrap();
    assert_eq!(secret["purl"], "pkg:deb/debian/secret@1?arch=amd64&distro=debian-12");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_platforms_are_one_document_about_the_index() {
    let registry = Registry::start().await;
    let home = Sandbox::new();
    let arm = Layer::gzip()
        .file("etc/os-release", "ID=debian\nVERSION_ID=\"12\"\n")
        .file("var/lib/dpkg/status", STATUS.replace("bash", "only-on-arm"));
    let index = Built::index(vec![debian_like(), Built::image("linux/arm64", &[arm], |_| ())]);
    let image = registry.push(&index, "1.0").await;
    let all = json(&home, ["sbom", "--platform", "all", &image]);
    assert_eq!(all["packages"].as_array().map(Vec::len), Some(3));
    assert_eq!(all["digest"], json!(index.digest().to_string()));
    let one = json(&home, ["sbom", "--platform", "linux/arm64", &image]);
    assert_eq!(one["packages"].as_array().map(Vec::len), Some(1));
}

#[test]
fn check_says_which_elements_are_lacking() {
    let home = Sandbox::new();
    let whole = json!({
        "bomFormat": "CycloneDX", "specVersion": "1.6",
        "metadata": { "timestamp": "2026-11-21T07:13:00Z", "authors": [{ "name": "Ann" }] },
        "components": [{ "type": "library", "bom-ref": "a", "name": "a", "version": "1", "purl": "pkg:npm/a@1", "supplier": { "name": "A" } }],
        "dependencies": [{ "ref": "a" }],
    });
    write(home.path(), "whole.json", whole.to_string());
    let met = run(&home, ["sbom", "check", "--rules", "ntia", "whole.json"]);
    assert!(met.expect_success().stdout.contains("ntia-supplier"));
    let met = json(&home, ["sbom", "check", "--rules", "ntia", "whole.json"]);
    assert_eq!(met["elements"].as_array().map(Vec::len), Some(8));
    let refused = run(&home, ["sbom", "check", "whole.json"]);
    let refused = fails(&refused, 3, "elements-lacking");
    assert!(refused.stderr.contains("bsi-completeness"), "{}", refused.stderr);
    assert!(!refused.stderr.contains("ntia-"), "{}", refused.stderr);
    let mut part = whole;
    part["components"][0].as_object_mut().unwrap().remove("supplier");
    write(home.path(), "part.json", part.to_string());
    let refused = run(&home, ["sbom", "check", "--rules", "ntia", "part.json"]);
    let said = &fails(&refused, 3, "elements-lacking").stderr;
    assert!(
        said.contains("1 of 8 elements") && said.contains("ntia-supplier: supplier name, lacking in 1 of 1 (a)"),
        "{said}"
    );

    let layer = Layer::gzip()
        .file("etc/os-release", "ID=debian\n")
        .file("var/lib/dpkg/status", STATUS);
    Built::image("linux/amd64", &[layer], |_| ()).write_layout(&home.path().join("layout"), "1.0");
    let refused = run(&home, ["sbom", "check", "--rules", "ntia", "layout"]);
    assert!(
        fails(&refused, 3, "elements-lacking")
            .stderr
            .contains("ntia-subject-supplier")
    );
    let supplied = [
        "sbom",
        "check",
        "--rules",
        "ntia",
        "--supplier",
        "Example Ltd",
        "layout",
    ];
    run(&home, supplied).expect_success();
    let refused = run(&home, ["sbom", "check", "--rules", "bsi", "layout"]);
    fails(&refused, 3, "elements-lacking");
}

#[test]
fn diff_says_what_came_and_went() {
    let home = Sandbox::new();
    let bom = |version: &str, licence: &str| {
        json!({ "bomFormat": "CycloneDX", "specVersion": "1.6", "components": [
            { "type": "library", "name": "a", "version": version, "purl": format!("pkg:npm/a@{version}"), "licenses": [{ "license": { "id": licence } }] },
        ] })
        .to_string()
    };
    write(home.path(), "one.json", bom("1", "MIT"));
    write(home.path(), "two.json", bom("2", "BUSL-1.1"));
    let said = run(&home, ["sbom", "diff", "one.json", "two.json"]);
    assert_eq!(
        said.expect_success().stdout,
        "~ npm a 1 -> 2\n~ npm a licence MIT -> BUSL-1.1\n+ licence BUSL-1.1\n- licence MIT\n"
    );
    let value = json(&home, ["sbom", "diff", "one.json", "two.json"]);
    assert_eq!(
        value["changed"],
        json!([{ "type": "npm", "name": "a", "from": ["1"], "to": ["2"] }])
    );
    let refused = run(&home, ["sbom", "diff", "--exit-code", "one.json", "two.json"]);
    assert!(fails(&refused, 3, "bills-differ").stderr.contains("~ npm a 1 -> 2"));
}
