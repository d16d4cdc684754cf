//! Results of Trivy and Grype. The envelopes are as Trivy 0.76 wrote them and as Grype's models of 0.116 have them; the findings
//! are about real vulnerabilities.

use proofmark_advisories::Rating;
use proofmark_advisories::feeds::{EpssScores, KnownExploited};
use proofmark_advisories::gate::{Evidence, PackageFacts, Policy, Verdict};
use proofmark_advisories::results::{Results, ResultsError};
use proofmark_types::{Digest, Purl};
use serde_json::{Value, json};

use crate::world::{EPSS, KEV, now};

const MANIFEST: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const LAYER: &str = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
const OTHER: &str = "sha256:cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc";

fn trivy() -> Value {
    json!({
        "SchemaVersion": 2, "Trivy": { "Version": "0.76.0" }, "CreatedAt": "2026-11-21T18:33:09.079490711Z",
        "ArtifactName": "app:1.0", "ArtifactType": "container_image",
        "Metadata": { "OS": { "Family": "debian", "Name": "12.15" }, "DiffIDs": [LAYER], "RepoDigests": [format!("registry.test/app@{MANIFEST}")] },
        "Results": [
            { "Target": "app:1.0 (debian 12.15)", "Class": "os-pkgs", "Type": "debian" },
            { "Target": "Python", "Class": "lang-pkgs", "Type": "python-pkg", "Vulnerabilities": [{
                "VulnerabilityID": "CVE-2020-11651", "VendorIDs": ["GHSA-6vq8-rjxx-h8mh"], "PkgName": "salt",
                "PkgPath": "opt/salt-3000.1.dist-info/METADATA", "PkgIdentifier": { "PURL": "pkg:pypi/salt@3000.1", "UID": "1" },
                "InstalledVersion": "3000.1", "FixedVersion": "3000.2, 2019.2.4", "Status": "fixed", "SeveritySource": "ghsa",
                "Severity": "CRITICAL", "CVSS": { "nvd": { "V2Vector": "AV:N/AC:L/Au:N/C:P/I:P/A:P",
                    "V3Vector": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H" } },
                "Title": "salt: unauthenticated access", "PublishedDate": "2020-04-30T17:15:00Z",
            }] },
        ],
    })
}

fn grype() -> Value {
    json!({
        "matches": [{
            "vulnerability": {
                "id": "GHSA-6vq8-rjxx-h8mh", "namespace": "github:language:python", "severity": "Critical", "cvss": [],
                "description": "unauthenticated access\nmore", "risk": 94.1, "fix": { "versions": ["3000.2"], "state": "fixed" },
                "knownExploited": [{ "cve": "CVE-2020-11651", "dateAdded": "2021-11-03", "dueDate": "2022-05-03",
                    "knownRansomwareCampaignUse": "Known" }],
                "epss": [{ "cve": "CVE-2020-11651", "epss": 0.9444, "percentile": 0.99988, "date": "2026-11-20" }],
            },
            "relatedVulnerabilities": [{ "id": "CVE-2020-11651", "namespace": "nvd:cpe", "severity": "Critical",
                "cvss": [{ "version": "3.1", "vector": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H" }] }],
            "artifact": { "name": "salt", "version": "3000.1", "type": "python", "purl": "pkg:pypi/salt@3000.1",
                "locations": [{ "path": "/opt/salt-3000.1.dist-info/METADATA", "layerID": LAYER }] },
        }],
        "source": { "type": "image", "target": { "manifestDigest": MANIFEST, "repoDigests": [], "layers": [{ "digest": LAYER, "size": 1 }] } },
        "distro": { "name": "debian", "version": "12" },
        "descriptor": { "name": "grype", "version": "0.116.0", "timestamp": "2026-11-21T12:00:00Z",
            "configuration": { "only-fixed": false, "exclude": [] }, "db": { "status": { "built": "2026-11-20T08:00:00Z" } } },
    })
}

fn read(value: &Value) -> Results {
    Results::parse(value.to_string().as_bytes()).unwrap()
}

fn decide(results: &Results, packages: &[(Option<&Purl>, &str, Option<&str>)]) -> Verdict {
    let (scan, strangers) = results.scan(packages);
    let mut facts: Vec<_> = packages
        .iter()
        .map(|(purl, name, _)| PackageFacts {
            purl: *purl,
            name,
            ..PackageFacts::default()
        })
        .collect();
    facts.extend(strangers.iter().map(|of| PackageFacts {
        purl: of.purl,
        name: of.name,
        ..PackageFacts::default()
    }));
    let evidence = Evidence {
        scan: &scan,
        packages: &facts,
        standings: &[],
        has_exploited: results.has_exploited,
        has_scores: results.has_scores,
    };
    Policy::default().decide(&evidence, now()).verdict
}

#[test]
fn findings_of_both_are_judged_by_the_same_gate() {
    let salt = Purl::parse("pkg:pypi/salt@3000.1").unwrap();
    let packages = [(Some(&salt), "salt", Some("3000.1"))];
    for (value, name, fixed) in [
        (trivy(), "Trivy 0.76.0", "3000.2, 2019.2.4"),
        (grype(), "Grype 0.116.0", "3000.2"),
    ] {
        let mut results = read(&value);
        assert_eq!(results.scanner, name);
        assert!(results.doubts.is_empty(), "{:?}", results.doubts);
        // Trivy does not know what is exploited: without the catalogue that is no pass.
        if !results.has_exploited {
            assert_eq!(decide(&results, &packages), Verdict::Undecided);
            results.enrich(Some(&KnownExploited::parse(KEV).unwrap()), None);
            results.enrich(
                None,
                Some(&EpssScores::parse(std::str::from_utf8(EPSS).unwrap()).unwrap()),
            );
        }
        assert_eq!(decide(&results, &packages), Verdict::Stop, "{name}");
        assert_eq!(
            decide(&results, &[]),
            Verdict::Stop,
            "{name}: also where nobody else saw the package"
        );
        let (scan, strangers) = results.scan(&packages);
        assert!(strangers.is_empty());
        let finding = &scan.findings[0];
        assert_eq!(
            (finding.package, finding.rating, finding.score),
            (0, Rating::Critical, Some(98)),
            "{name}"
        );
        assert_eq!(
            (finding.fixed, finding.exploited, finding.exploited_detail[1]),
            (Some(fixed), true, "2021-11-03"),
            "{name}"
        );
        assert!(finding.epss.is_some(), "{name}");
        // Another version of it is another package.
        let (scan, strangers) = results.scan(&[(Some(&salt), "salt", Some("3001"))]);
        assert_eq!(
            (scan.findings[0].package, strangers[0].name, strangers[0].version),
            (1, "salt", "3000.1")
        );
    }
    assert_eq!(
        read(&grype()).database_built.unwrap().to_string(),
        "2026-11-20T08:00:00Z"
    );
}

#[test]
fn results_of_another_image_are_refused() {
    let digest = |text| Digest::parse(text).unwrap();
    let (manifest, layer, other) = (digest(MANIFEST), digest(LAYER), digest(OTHER));
    for value in [trivy(), grype()] {
        let results = read(&value);
        results.check_subject(Some(&manifest), &[]).unwrap();
        results.check_subject(Some(&other), &[&layer]).unwrap();
        results.check_subject(None, &[&layer]).unwrap();
        for (digest, layers) in [
            (Some(&other), vec![&other]),
            (Some(&other), vec![]),
            (None, vec![]),
            (Some(&other), vec![&layer, &other]),
        ] {
            let error = results.check_subject(digest, &layers).unwrap_err();
            assert_eq!(error.code(), "results-other-subject");
            assert!(matches!(error, ResultsError::OtherSubject { .. }));
        }
    }
    // One that does not say what it is about is about nothing.
    let mut nameless = trivy();
    nameless["Metadata"] = json!({ "OS": { "Family": "debian", "Name": "12" } });
    assert!(read(&nameless).check_subject(Some(&manifest), &[&layer]).is_err());
    assert!(read(&nameless).check_subject(None, &[]).is_err());
}

#[test]
fn what_makes_no_findings_mean_nothing_is_said() {
    let codes = |value: &Value| read(value).doubts.iter().map(|(code, _)| *code).collect::<Vec<_>>();
    let mut ended = trivy();
    ended["Metadata"]["OS"]["EOSL"] = json!(true);
    assert_eq!(codes(&ended), ["distribution-expired"]);
    // What `--scanners secret` writes looks like a clean image.
    let mut empty = trivy();
    empty["Results"][1]["Vulnerabilities"] = Value::Null;
    assert_eq!(codes(&empty), ["results-without-findings"]);
    let mut suppressed = trivy();
    suppressed["Results"][1]["ExperimentalModifiedFindings"] = json!([{}]);
    assert_eq!(codes(&suppressed), ["results-suppressed"]);
    let mut languages = trivy();
    languages["Results"].as_array_mut().unwrap().remove(0);
    assert!(!read(&languages).covers_system && read(&trivy()).covers_system);
    let mut filtered = grype();
    filtered["descriptor"]["configuration"]["only-fixed"] = json!(true);
    filtered["ignoredMatches"] = json!([{}]);
    assert_eq!(codes(&filtered), ["results-suppressed", "results-filtered"]);
    let mut clean = grype();
    clean["matches"] = json!([]);
    assert_eq!(codes(&clean), [""; 0]);
    assert_eq!(decide(&read(&clean), &[]), Verdict::Pass);
}

#[test]
fn what_is_no_result_is_an_error() {
    for (text, code) in [
        ("", "results-malformed"),
        ("{", "results-malformed"),
        ("[]", "results-malformed"),
        ("{}", "results-unknown-format"),
        (r#"{"SchemaVersion":1}"#, "results-unknown-format"),
        (r#"{"matches":[]}"#, "results-unknown-format"),
        (r#"{"version":"2.1.0","runs":[]}"#, "results-unknown-format"),
        (
            r#"{"SchemaVersion":2,"Results":[{"Vulnerabilities":[{"PkgName":"x"}]}]}"#,
            "results-malformed",
        ),
        (
            r#"{"matches":[{"vulnerability":{"id":"x"}}],"descriptor":{}}"#,
            "results-malformed",
        ),
    ] {
        assert_eq!(Results::parse(text.as_bytes()).unwrap_err().code(), code, "{text}");
    }
}
