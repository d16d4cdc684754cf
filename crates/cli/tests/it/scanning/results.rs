//! Other scanners' results, judged by our gate.

use proofmark_testkit::command::Sandbox;
use serde_json::{Value, json};

use super::{kev, prepared, refuses};
use crate::world::{fails, run, write};

/// As Trivy 0.76 writes them of an OCI layout, which has no repository: the layers say which image it is.
fn trivy(layers: &Value, version: &str) -> String {
    json!({
        "SchemaVersion": 2, "Trivy": { "Version": "0.76.0" }, "CreatedAt": "2026-11-21T18:33:09Z", "ArtifactName": "app",
        "ArtifactType": "container_image", "Metadata": { "DiffIDs": layers },
        "Results": [{ "Target": "Python", "Class": "lang-pkgs", "Type": "python-pkg", "Vulnerabilities": [{
            "VulnerabilityID": "CVE-2020-11651", "PkgName": "salt", "PkgIdentifier": { "PURL": format!("pkg:pypi/salt@{version}") },
            "InstalledVersion": version, "FixedVersion": "3000.2", "Severity": "CRITICAL", "SeveritySource": "nvd",
        }] }],
    })
    .to_string()
}

/// The uncompressed digests of an image's layers.
fn layers(home: &Sandbox, image: &str) -> Value {
    let bill = run(home, ["sbom", "-f", "syft-json", image]);
    let bill: Value = serde_json::from_str(&bill.expect_success().stdout).unwrap();
    let layers = bill["source"]["metadata"]["layers"].as_array().unwrap();
    Value::Array(layers.iter().map(|layer| layer["digest"].clone()).collect())
}

#[test]
fn results_are_judged_for_the_image_that_they_are_of() {
    let home = prepared();
    // No database of ours is asked.
    std::fs::remove_file(home.path().join("advisories.db")).unwrap();
    let layers = layers(&home, "3000.1");
    write(home.path(), "trivy.json", trivy(&layers, "3000.1"));
    let kev = kev();
    let scan = |image: &str, more: &[&str]| {
        let arguments = ["scan", "--results", "trivy.json", image];
        run(&home, arguments.into_iter().chain(more.iter().copied()))
    };
    let stopped = scan("3000.1", &["--kev", &kev]);
    refuses(&stopped, 3, "gate-refused");
    assert!(
        stopped.stdout.contains("CVE-2020-11651") && stopped.stdout.contains("by Trivy 0.76.0"),
        "{}",
        stopped.stdout
    );
    assert!(stopped.stderr.contains("[results-age-unknown]"), "{}", stopped.stderr);
    // Trivy does not know what is exploited.
    assert!(
        refuses(&scan("3000.1", &[]), 1, "scan-undecided")
            .stderr
            .contains("[no-exploited-catalogue]")
    );
    assert!(
        refuses(
            &scan("3000.1", &["--kev", &kev, "--max-db-age", "7"]),
            3,
            "gate-refused"
        )
        .stderr
        .contains("gate stops")
    );
    // Exceptions hold for them too.
    let exception = "exceptions: [{id: CVE-2020-11651, package: salt, reason: no master runs, expires: 9999-12-31}]\n";
    write(home.path(), "gate.yaml", exception);
    scan("3000.1", &["--kev", &kev, "--gate", "gate.yaml"]).expect_success();
    assert!(
        refuses(
            &scan("3000.1", &["--kev", &kev, "--gate", "gate.yaml", "--max-db-age", "7"]),
            1,
            "scan-undecided"
        )
        .stderr
        .contains("[database-old]")
    );
}

#[test]
fn results_of_something_else_are_refused() {
    let home = prepared();
    let layers = layers(&home, "3000.1");
    let kev = kev();
    let scan = |image: &str, more: &[&str]| {
        let arguments = ["scan", "--results", "trivy.json", "--kev", &kev, image];
        run(&home, arguments.into_iter().chain(more.iter().copied()))
    };
    write(home.path(), "trivy.json", trivy(&layers, "3000.1"));
    // Of another image they say nothing.
    fails(&scan("3000.2", &[]), 2, "results-other-subject");
    write(
        home.path(),
        "bom.json",
        json!({ "bomFormat": "CycloneDX", "specVersion": "1.5", "components": [] }).to_string(),
    );
    fails(&scan("bom.json", &[]), 2, "command-line");
    fails(&scan("3000.1", &["--platform", "all"]), 2, "command-line");
    fails(&scan("3000.1", &["--scope", "all-layers"]), 2, "command-line");
    // What they are about and we did not see is judged nevertheless.
    write(home.path(), "trivy.json", trivy(&layers, "2999"));
    let stranger = scan("3000.1", &[]);
    assert!(
        refuses(&stranger, 3, "gate-refused")
            .stderr
            .contains("[results-other-packages]"),
        "{}",
        stranger.stderr
    );
    write(home.path(), "trivy.json", "{}");
    fails(&scan("3000.1", &[]), 2, "results-unknown-format");
}
