//! The documents that `scan` writes for other programs, held against what those programs' makers say they are.

use std::process::Command;

use proofmark_testkit::command::Sandbox;
use proofmark_testkit::peers;
use serde_json::{Value, json};

use super::{prepared, refuses};
use crate::world::{Registry, fixture_path, home as keys, run, write};

fn document(home: &Sandbox, format: &str, image: &str) -> Value {
    let outcome = run(home, ["scan", "-f", format, image]);
    serde_json::from_str(&outcome.stdout).unwrap_or_else(|error| panic!("{format}: {error}: {}", outcome.stderr))
}

/// What an official validator says; nothing without one.
fn validate(home: &Sandbox, form: &str, value: &Value) -> Option<Result<(), String>> {
    let python = peers::VALIDATORS_PYTHON.or_skip()?;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../interop/sbom-validators/validate.py");
    let path = write(home.path(), "report.json", value.to_string());
    let output = Command::new(python).args([script, form, &path]).output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    match output.status.code() {
        Some(0) => Some(Ok(())),
        Some(1) => Some(Err(said)),
        _ => panic!("{form}: {said}"),
    }
}

#[test]
fn a_refused_scan_is_one_document() {
    let home = prepared();
    for (image, code) in [("3000.1", "gate-refused"), ("3000.2", "")] {
        for arguments in [
            vec!["-o", "json", "scan", image],
            vec!["-o", "json", "scan", "-f", "json", image],
        ] {
            let outcome = run(&home, arguments);
            let said: Value = serde_json::from_str(&outcome.stdout).expect("one document");
            match code {
                "" => assert_eq!((said.get("ok"), said.get("error")), (None, None)),
                code => {
                    assert_eq!((&said["ok"], &said["error"]["code"]), (&json!(false), &json!(code)));
                    assert_eq!(said["error"]["exit"], json!(3));
                    assert_eq!(said["findings"][0]["id"], json!("CVE-2020-11651"));
                    assert!(outcome.stderr.contains("[gate-refused]"), "{}", outcome.stderr);
                }
            }
        }
    }
    // What fails before there is a result is the failure alone.
    let outcome = run(&home, ["-o", "json", "scan", "dir:absent"]);
    let said: Value = serde_json::from_str(&outcome.stdout).expect("one document");
    assert_eq!(said["error"]["code"], json!("file-unreadable"));
    // Another format is itself alone.
    let sarif = run(&home, ["-o", "json", "scan", "-f", "sarif", "3000.1"]);
    assert_eq!(
        serde_json::from_str::<Value>(&sarif.stdout).unwrap()["version"],
        json!("2.1.0")
    );
    assert_eq!(sarif.code, Some(3));
}

#[test]
fn sarif_is_what_its_schema_says() {
    let home = prepared();
    for image in ["3000.1", "3000.2"] {
        let sarif = document(&home, "sarif", image);
        let Some(valid) = validate(&home, "sarif", &sarif) else {
            return;
        };
        valid.unwrap();
        // The validator is no rubber stamp.
        let mut broken = sarif;
        broken["runs"][0]["tool"]["driver"]["name"] = json!(1);
        assert!(validate(&home, "sarif", &broken).unwrap().is_err());
    }
}

#[test]
fn cyclonedx_says_what_is_known_and_what_the_makers_say() {
    let home = prepared();
    let vex = json!({
        "@context": "https://openvex.dev/ns/v0.2.0", "@id": "v", "author": "us", "timestamp": "2026-01-01T00:00:00Z",
        "version": 1, "statements": [{
            "vulnerability": { "name": "CVE-2020-11651" }, "products": [{ "@id": "pkg:pypi/salt@3000.1" }],
            "status": "not_affected", "justification": "vulnerable_code_not_in_execute_path",
        }],
    });
    write(home.path(), "vex.json", vex.to_string());
    let plain = document(&home, "cyclonedx-vdr", "3000.1");
    let with: Value = serde_json::from_str(
        &run(&home, ["scan", "-f", "cyclonedx-vdr", "--vex", "vex.json", "3000.1"])
            .expect_success()
            .stdout,
    )
    .unwrap();
    let of = |document: &Value| {
        let list = document["vulnerabilities"].as_array().unwrap().clone();
        list.into_iter().find(|entry| entry["id"] == "CVE-2020-11651").unwrap()
    };
    assert_eq!(of(&plain)["analysis"], Value::Null);
    assert_eq!(of(&with)["analysis"]["state"], json!("not_affected"));
    assert_eq!(of(&with)["analysis"]["justification"], json!("code_not_reachable"));
    let reference = &of(&plain)["affects"][0]["ref"];
    let components = plain["components"].as_array().unwrap();
    assert!(
        components.iter().any(|component| component["bom-ref"] == *reference),
        "it affects a component that is there"
    );
    let gate = json!({ "name": "proofmark:gate", "value": "stop" });
    assert!(plain["properties"].as_array().unwrap().contains(&gate));
    // What is said there can be heard: the document is a VEX document too.
    write(home.path(), "vdr.json", with.to_string());
    run(&home, ["scan", "--vex", "vdr.json", "3000.1"]).expect_success();
    write(home.path(), "plain.json", plain.to_string());
    refuses(
        &run(&home, ["scan", "--vex", "plain.json", "3000.1"]),
        3,
        "gate-refused",
    );
    for document in [plain, with, document(&home, "cyclonedx-vdr", "3000.2")] {
        let Some(valid) = validate(&home, "cyclonedx-json", &document) else {
            return;
        };
        valid.unwrap();
        let mut broken = document;
        broken["vulnerabilities"] = json!([{ "ratings": [{ "severity": "bad" }] }]);
        assert!(validate(&home, "cyclonedx-json", &broken).unwrap().is_err());
    }
}

/// What version 15.0.4 of GitLab's schema demands of a container scanning report, by hand: no registry of packages has it.
fn is_gitlab(report: &Value) -> Result<(), String> {
    let text = |value: &Value, path: &str, most: usize| match value.pointer(path).and_then(Value::as_str) {
        Some(text) if !text.is_empty() && text.chars().count() <= most => Ok(()),
        other => Err(format!("{path}: {other:?}")),
    };
    let one_of = |value: &Value, path: &str, words: &[&str]| match value.pointer(path).and_then(Value::as_str) {
        Some(word) if words.contains(&word) => Ok(()),
        other => Err(format!("{path}: {other:?}")),
    };
    let time = |value: &Value, path: &str| {
        let text = value.pointer(path).and_then(Value::as_str).unwrap_or_default();
        let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        (shape == "0000-00-00T00:00:00")
            .then_some(())
            .ok_or_else(|| format!("{path}: {text}"))
    };
    one_of(report, "/version", &["15.0.4"])?;
    one_of(report, "/scan/type", &["container_scanning"])?;
    one_of(report, "/scan/status", &["success", "failure"])?;
    time(report, "/scan/start_time")?;
    time(report, "/scan/end_time")?;
    for program in ["analyzer", "scanner"] {
        for field in ["id", "name", "version", "vendor/name"] {
            text(report, &format!("/scan/{program}/{field}"), 1000)?;
        }
    }
    for message in report["scan"]["messages"].as_array().ok_or("messages")? {
        one_of(message, "/level", &["info", "warn", "fatal"])?;
        text(message, "/value", 100_000)?;
    }
    for entry in report["vulnerabilities"].as_array().ok_or("vulnerabilities")? {
        text(entry, "/id", 36)?;
        text(entry, "/name", 255)?;
        text(entry, "/description", 1_048_576)?;
        one_of(
            entry,
            "/severity",
            &["Info", "Unknown", "Low", "Medium", "High", "Critical"],
        )?;
        if entry.get("solution").is_some() {
            text(entry, "/solution", 7_000)?;
        }
        text(entry, "/location/dependency/package/name", 1000)?;
        text(entry, "/location/dependency/version", 1000)?;
        text(entry, "/location/operating_system", 1000)?;
        text(entry, "/location/image", 1000)?;
        let identifiers = entry["identifiers"]
            .as_array()
            .filter(|list| !list.is_empty())
            .ok_or("identifiers")?;
        for identifier in identifiers {
            for field in ["/type", "/name", "/value"] {
                text(identifier, field, 1000)?;
            }
        }
        for link in entry["links"].as_array().ok_or("links")?.iter().chain(identifiers) {
            let url = link["url"].as_str().unwrap_or_default();
            url.starts_with("https://")
                .then_some(())
                .ok_or_else(|| format!("url {url}"))?;
        }
    }
    Ok(())
}

#[test]
fn gitlab_reads_a_container_scanning_report() {
    let home = prepared();
    let report = document(&home, "gitlab", "3000.1");
    is_gitlab(&report).unwrap();
    let entry = &report["vulnerabilities"][0];
    assert_eq!(
        entry["identifiers"][0],
        json!({
            "type": "cve", "name": "CVE-2020-11651", "value": "CVE-2020-11651", "url": "https://osv.dev/vulnerability/CVE-2020-11651",
        })
    );
    assert_eq!(entry["solution"], json!("Upgrade salt from 3000.1 to 3000.2"));
    assert_eq!(
        document(&home, "gitlab", "3000.1")["vulnerabilities"],
        report["vulnerabilities"],
        "the same identities each time"
    );
    let quiet = document(&home, "gitlab", "3000.2");
    is_gitlab(&quiet).unwrap();
    assert_eq!(
        (&quiet["scan"]["status"], &quiet["vulnerabilities"]),
        (&json!("success"), &json!([]))
    );
    // No success where something could not be looked at.
    let undecided = run(&home, ["scan", "-f", "gitlab", "--max-db-age", "1", "3000.2"]);
    let undecided: Value = serde_json::from_str(&undecided.stdout).unwrap();
    is_gitlab(&undecided).unwrap();
    assert_eq!(undecided["scan"]["status"], json!("failure"));
    assert_eq!(undecided["scan"]["messages"][0]["level"], json!("fatal"));
    for path in ["/scan/status", "/vulnerabilities", "/scan/analyzer/vendor"] {
        let mut broken = report.clone();
        *broken.pointer_mut(path).unwrap() = Value::Null;
        assert!(is_gitlab(&broken).is_err(), "{path}");
    }
}

/// cosign reads the predicate into its own types and puts it under a signature; what both of us then read back is the same.
#[tokio::test(flavor = "multi_thread")]
async fn cosign_attests_the_predicate_and_verifies_it() {
    let Some(cosign) = peers::COSIGN3.or_skip() else { return };
    let registry = Registry::start().await;
    let image = registry.push(&proofmark_testkit::images::debian_like(), "1.0").await;
    let home = keys();
    run(
        &home,
        [
            "db",
            "import",
            "--db",
            "advisories.db",
            &fixture_path("advisories/osv"),
            &super::kev(),
        ],
    )
    .expect_success();
    let scan = run(&home, ["scan", "--db", "advisories.db", "-f", "cosign-vuln", &image]);
    assert_eq!(scan.code, Some(1), "the database has no Debian: {}", scan.stderr);
    write(home.path(), "vuln.json", &scan.stdout);
    let cosign = cosign.display().to_string();
    let attest = |predicate: &str| {
        let arguments = [
            "attest",
            "--yes",
            "--key",
            "cosign.key",
            "--type",
            "vuln",
            "--predicate",
            predicate,
            "--use-signing-config=false",
            "--tlog-upload=false",
            "--allow-insecure-registry",
            &image,
        ];
        home.run(&cosign, arguments)
    };
    attest("vuln.json").expect_success();
    let verify = [
        "verify-attestation",
        "--key",
        "cosign.pub",
        "--type",
        "vuln",
        "--insecure-ignore-tlog",
        "--allow-insecure-registry",
        &image,
    ];
    home.run(&cosign, verify).expect_success();
    let ours = run(
        &home,
        [
            "verify-attestation",
            "--key",
            "cosign.pub",
            "--type",
            "vuln",
            "--insecure-ignore-tlog",
            &image,
        ],
    );
    ours.expect_success();
    // A predicate whose fields are not cosign's is refused there.
    write(
        home.path(),
        "bad.json",
        r#"{"invocation":[],"scanner":{"result":"text"}}"#,
    );
    assert_ne!(attest("bad.json").code, Some(0));
}
