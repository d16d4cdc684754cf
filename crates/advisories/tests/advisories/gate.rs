//! What the gate decides, and what VEX documents change.

use proofmark_advisories::Database;
use proofmark_advisories::gate::{Evidence, Gate, PackageFacts, Policy, Verdict};
use proofmark_advisories::matching::{Scan, Subject, scan};
use proofmark_advisories::vex::{self, Document, Status};
use proofmark_types::{Digest, Purl};

use crate::world::{builder, database_of, now, scan_one};

/// A record of PyPI's package `a`, exploited or not by the name of its CVE.
fn record(cve: &str, severity: &str, fixed: Option<&str>) -> String {
    let fixed = fixed.map_or(String::new(), |fixed| format!(r#",{{"fixed":"{fixed}"}}"#));
    format!(
        r#"{{"id":"T-{cve}","modified":"2024-01-01T00:00:00Z","published":"2024-01-01T00:00:00Z","aliases":["{cve}"],
        "database_specific":{{"severity":"{severity}"}},"affected":[{{"package":{{"ecosystem":"PyPI","name":"a"}},
        "ranges":[{{"type":"ECOSYSTEM","events":[{{"introduced":"0"}}{fixed}]}}]}}]}}"#
    )
}

/// In the fixtures' catalogue, and not in it.
const EXPLOITED: &str = "CVE-2022-33891";
const QUIET: &str = "CVE-2018-1000656";

fn database(records: &[String]) -> Vec<u8> {
    let mut builder = builder();
    for record in records {
        builder.add_osv(record.as_bytes()).unwrap();
    }
    builder.build(now()).unwrap()
}

fn package() -> Purl {
    Purl::parse("pkg:pypi/a@1.0").unwrap()
}

fn look<'d>(database: &'d Database<'_>, purl: &Purl, uncertain: Option<&str>) -> Scan<'d> {
    let subject = Subject {
        purl: Some(purl),
        uncertain,
        ..Subject::default()
    };
    scan_one(database, subject, None)
}

fn decide(policy: &Policy, scan: &Scan<'_>, purl: &Purl) -> Gate {
    let facts = [PackageFacts {
        purl: Some(purl),
        name: "a",
        paths: &["usr/lib/a"],
        licences: &["GPL-3.0-only"],
        ..PackageFacts::default()
    }];
    let evidence = Evidence {
        scan,
        packages: &facts,
        standings: &[],
        has_exploited: true,
        has_scores: true,
    };
    policy.decide(&evidence, now())
}

#[test]
fn the_default_stops_what_is_critical_exploited_and_fixable() {
    for (cve, severity, fixed, verdict, stopped, review) in [
        (
            EXPLOITED,
            "CRITICAL",
            Some("2"),
            Verdict::Stop,
            Some("critical-exploited-fixable"),
            None,
        ),
        (
            EXPLOITED,
            "CRITICAL",
            None,
            Verdict::Pass,
            None,
            Some("critical-without-fix"),
        ),
        (EXPLOITED, "HIGH", Some("2"), Verdict::Pass, None, None),
        (
            EXPLOITED,
            "HIGH",
            None,
            Verdict::Pass,
            None,
            Some("exploited-without-fix"),
        ),
        (
            EXPLOITED,
            "",
            Some("2"),
            Verdict::Stop,
            Some("unrated-exploited-fixable"),
            None,
        ),
        (QUIET, "CRITICAL", Some("2"), Verdict::Pass, None, None),
        (
            QUIET,
            "CRITICAL",
            None,
            Verdict::Pass,
            None,
            Some("critical-without-fix"),
        ),
        (QUIET, "", Some("2"), Verdict::Pass, None, None),
    ] {
        let bytes = database(&[record(cve, severity, fixed)]);
        let database = Database::open(&bytes).unwrap();
        let purl = package();
        let gate = decide(&Policy::default(), &look(&database, &purl, None), &purl);
        let first = |list: &[proofmark_advisories::gate::Ruling]| list.first().map(|ruling| ruling.rule.clone());
        let case = format!("{cve} {severity} {fixed:?}");
        assert_eq!(gate.verdict, verdict, "{case}");
        assert_eq!(first(&gate.stopped).as_deref(), stopped, "{case}");
        assert_eq!(first(&gate.review).as_deref(), review, "{case}");
        // An identity that may be wrong is for a person to look at.
        let doubtful = decide(
            &Policy::default(),
            &look(&database, &purl, Some("no coordinates")),
            &purl,
        );
        assert_eq!(doubtful.verdict, Verdict::Pass, "{case}");
        assert_eq!(first(&doubtful.review).as_deref(), stopped.or(review), "{case}");
    }
}

#[test]
fn what_could_not_be_looked_at_is_no_pass() {
    let bytes = builder().build(now()).unwrap();
    let database = Database::open(&bytes).unwrap();
    for (purl, code) in [
        ("pkg:npm/lodash@1.0.0", "ecosystem-not-in-database"),
        ("pkg:deb/debian/bash@5.2", "distribution-unknown"),
    ] {
        let purl = Purl::parse(purl).unwrap();
        let gate = decide(&Policy::default(), &look(&database, &purl, None), &purl);
        assert_eq!(gate.verdict, Verdict::Undecided, "{purl}");
        assert_eq!(gate.undecided[0].0, code);
    }
    // The default asks what is exploited: a database that cannot tell decides nothing.
    let bytes = database_of(&[&record(EXPLOITED, "CRITICAL", Some("2"))]);
    let database = Database::open(&bytes).unwrap();
    let purl = package();
    let scan = look(&database, &purl, None);
    let evidence = Evidence {
        scan: &scan,
        packages: &[],
        standings: &[],
        has_exploited: database.header().exploited.is_some(),
        has_scores: database.header().scores.is_some(),
    };
    let gate = Policy::default().decide(&evidence, now());
    assert_eq!(gate.verdict, Verdict::Undecided);
    assert_eq!(gate.undecided[0].0, "no-exploited-catalogue");
}

#[test]
fn each_condition_holds_or_does_not() {
    let bytes = database(&[record(EXPLOITED, "HIGH", Some("2"))]);
    let database = Database::open(&bytes).unwrap();
    let purl = package();
    let scan = look(&database, &purl, None);
    for (holds, fails) in [
        ("severity: high", "severity: critical"),
        ("severity: low", "unrated: true"),
        ("exploited: true", "exploited: false"),
        ("ransomware: false", "ransomware: true"),
        ("fix: available", "fix: none"),
        ("age-days: 365", "age-days: 36500"),
        ("package: [\"b\", \"a*\"]", "package: [\"b*\"]"),
        ("kind: [pypi]", "kind: [npm]"),
        ("path: [\"usr/*\"]", "path: [\"opt/*\"]"),
        ("licence: [\"GPL-*\"]", "licence: [MIT]"),
        ("uncertain: false", "uncertain: true"),
        ("unrated: false", "cvss: 1.0"),
        ("unrated: false", "epss: 0.01"),
    ] {
        for (condition, verdict) in [(holds, Verdict::Stop), (fails, Verdict::Pass)] {
            let text =
                format!("rules:\n  - id: r\n    reason: a test\n    action: stop\n    when:\n      {condition}\n");
            let gate = decide(&Policy::parse(&text).unwrap(), &scan, &purl);
            assert_eq!(gate.verdict, verdict, "{condition}");
        }
    }
}

#[test]
fn scores_count_where_there_are_some() {
    let bytes = builder().build(now()).unwrap();
    let database = Database::open(&bytes).unwrap();
    let purl = Purl::parse("pkg:pypi/salt@3000.1").unwrap();
    let scan = look(&database, &purl, None);
    for (epss, verdict) in [("0.9", Verdict::Stop), ("0.92", Verdict::Pass)] {
        let text = format!("rules: [{{id: r, reason: a test, action: stop, when: {{epss: {epss}}}}}]");
        assert_eq!(
            decide(&Policy::parse(&text).unwrap(), &scan, &purl).verdict,
            verdict,
            "{epss}"
        );
    }
}

#[test]
fn an_exception_has_an_end() {
    let bytes = database(&[record(EXPLOITED, "CRITICAL", Some("2"))]);
    let database = Database::open(&bytes).unwrap();
    let purl = package();
    let scan = look(&database, &purl, None);
    let policy = |exception: &str| {
        let text = format!(
            "rules: [{{id: r, reason: a test, action: stop, when: {{severity: critical}}}}]\nexceptions: [{{{exception}}}]"
        );
        Policy::parse(&text).unwrap()
    };
    let today = policy("id: CVE-2022-33891, reason: not reachable, expires: 2026-11-21");
    let gate = decide(&today, &scan, &purl);
    assert_eq!(
        (gate.verdict, gate.held_back[0].reason.as_str()),
        (Verdict::Pass, "not reachable")
    );
    for exception in [
        "id: CVE-2022-33891, reason: not reachable, expires: 2026-11-20",
        "id: CVE-2022-33892, reason: another, expires: 2027-01-01",
        "id: CVE-2022-33891, package: b, reason: another package, expires: 2027-01-01",
    ] {
        let gate = decide(&policy(exception), &scan, &purl);
        assert_eq!(gate.verdict, Verdict::Stop, "{exception}");
        assert_eq!(gate.stale.len(), 1, "{exception}");
    }
}

/// Packages of which nothing is known, against rules about licences: what is stopped, by which rule.
fn licensed(policy: &str, packages: &[PackageFacts<'_>]) -> Gate {
    let bytes = builder().build(now()).unwrap();
    let database = Database::open(&bytes).unwrap();
    let scan = scan(&database, &[], None, now()).unwrap();
    let evidence = Evidence {
        scan: &scan,
        packages,
        standings: &[],
        has_exploited: true,
        has_scores: true,
    };
    Policy::parse(policy).unwrap().decide(&evidence, now())
}

const LICENCES: &str = "
licences:
  - {id: ours, reason: we have bought it, action: pass, when: {licence: [Commercial], package: [theirs]}}
  - {id: copyleft, reason: not in what we ship, action: stop, when: {licence: ['GPL-3.0*', 'AGPL-*'], path: ['app/*']}}
  - {id: unclear, reason: somebody must look, action: review, when: {licence-unknown: true}}
";

#[test]
fn licences_are_judged_where_nothing_is_known_to_be_wrong() {
    let facts = |name, licences, path, unknown| PackageFacts {
        name,
        licences,
        paths: path,
        licence_unknown: unknown,
        ..PackageFacts::default()
    };
    let (app, system): (&[&str], &[&str]) = (&["app/lib/x"], &["usr/lib/x"]);
    for (licences, paths, unknown, verdict, review) in [
        (&["GPL-3.0-only"] as &[&str], app, false, Verdict::Stop, 0),
        (&["GPL-3.0-only"], system, false, Verdict::Pass, 0),
        (&["MIT OR GPL-3.0-only"], app, false, Verdict::Pass, 0),
        (&["MIT", "agpl-3.0-only"], app, false, Verdict::Stop, 0),
        (&[], app, true, Verdict::Pass, 1),
        (&["something"], app, true, Verdict::Pass, 1),
    ] {
        let gate = licensed(LICENCES, &[facts("x", licences, paths, unknown)]);
        assert_eq!(
            (gate.verdict, gate.review.len()),
            (verdict, review),
            "{licences:?} {paths:?}"
        );
        if verdict == Verdict::Stop {
            let ruling = &gate.stopped[0];
            assert_eq!(
                (ruling.rule.as_str(), ruling.package, ruling.finding),
                ("copyleft", Some(0), None)
            );
        }
    }
    // An allowed licence lets nothing past that comes with another one.
    let allow = "licences:\n  - {id: fine, reason: ok, action: pass, when: {licence: [MIT]}}\n  - {id: rest, reason: not on the list, action: stop, when: {package: ['*']}}\n";
    for (licences, verdict) in [
        (&["MIT"] as &[&str], Verdict::Pass),
        (&["MIT OR GPL-3.0-only"], Verdict::Pass),
        (&["MIT AND GPL-3.0-only"], Verdict::Stop),
        (&["MIT", "GPL-3.0-only"], Verdict::Stop),
        (&[], Verdict::Stop),
    ] {
        assert_eq!(
            licensed(allow, &[facts("x", licences, app, false)]).verdict,
            verdict,
            "{licences:?}"
        );
    }
    // Somebody may live with one package, until a day.
    for (package, expires, verdict) in [
        ("x", "2027-01-01", Verdict::Pass),
        ("y", "2027-01-01", Verdict::Stop),
        ("x", "2026-11-20", Verdict::Stop),
    ] {
        let text = format!(
            "{LICENCES}exceptions: [{{id: copyleft, package: {package}, reason: asked, expires: {expires}}}]\n"
        );
        let gate = licensed(&text, &[facts("x", &["GPL-3.0-only"], app, false)]);
        assert_eq!(gate.verdict, verdict, "{package} {expires}");
        assert_eq!(gate.held_back.len(), usize::from(verdict == Verdict::Pass));
    }
}

#[test]
fn what_is_not_looked_up_is_said_or_no_pass_as_the_policy_has_it() {
    let bytes = builder().build(now()).unwrap();
    let database = Database::open(&bytes).unwrap();
    for (purl, code, usual) in [
        // Salt has advisories: some version of it is affected, and nobody knows which this is.
        ("pkg:pypi/salt", "version-unknown", Verdict::Undecided),
        ("pkg:pypi/salt@not%20a%20version", "version-unknown", Verdict::Undecided),
        ("pkg:pypi/nobody-knows", "no-version", Verdict::Pass),
        ("pkg:generic/thing@1.0", "kind-unknown", Verdict::Pass),
        ("pkg:npm/lodash", "ecosystem-not-in-database", Verdict::Undecided),
        ("pkg:alpm/arch/bash@5.2-1", "distribution-unknown", Verdict::Undecided),
    ] {
        let purl = Purl::parse(purl).unwrap();
        let scan = look(&database, &purl, None);
        let gate = decide(&Policy::default(), &scan, &purl);
        assert_eq!(gate.verdict, usual, "{purl}");
        let said = if usual == Verdict::Pass {
            &gate.warned
        } else {
            &gate.undecided
        };
        assert_eq!(
            said.iter().map(|(code, _)| code.as_str()).collect::<Vec<_>>(),
            [code],
            "{purl}"
        );
        for (level, verdict) in [
            ("warn", Verdict::Pass),
            ("undecided", Verdict::Undecided),
            ("stop", Verdict::Stop),
        ] {
            let policy = Policy::parse(&format!("not-looked-up: {{{code}: {level}}}")).unwrap();
            assert_eq!(policy.rules, Policy::default().rules);
            assert_eq!(decide(&policy, &scan, &purl).verdict, verdict, "{purl} {level}");
        }
    }
    // A system's package without a package URL is some distribution's.
    let subject = Subject {
        system: true,
        ..Subject::default()
    };
    let scan = scan_one(&database, subject, Some(("almalinux", "9.2")));
    assert_eq!(scan.not_looked_up[&0].code(), "distribution-unknown");
    assert_eq!(scan.conditions.len(), 1);
}

#[test]
fn a_policy_that_is_misread_is_an_error() {
    let rule = |when: &str| format!("rules: [{{id: r, reason: a, action: stop, when: {{{when}}}}}]");
    for (text, code) in [
        (rule(""), "gate-rule-unconditional"),
        (rule("severity: unknown"), "gate-severity-unknown"),
        (rule("severity: hihg"), "gate-malformed"),
        (rule("severty: high"), "gate-malformed"),
        (rule("cvss: 11"), "gate-out-of-range"),
        (rule("epss: 50"), "gate-out-of-range"),
        (rule("severity: high").replace("rules", "licences"), "gate-licence-rule"),
        (rule("").replace("rules", "licences"), "gate-rule-unconditional"),
        ("not-looked-up: {no-versoin: stop}".to_owned(), "gate-unknown-code"),
        ("not-looked-up: {no-version: pass}".to_owned(), "gate-malformed"),
        ("rules: []\nrules: []".to_owned(), "gate-malformed"),
        ("[]".to_owned(), "gate-malformed"),
        (
            "rules: []\nexceptions: [{id: x, reason: ' ', expires: 2027-01-01}]".to_owned(),
            "gate-exception-without-reason",
        ),
        (
            "rules: []\nexceptions: [{id: x, reason: y, expires: never}]".to_owned(),
            "gate-exception-without-end",
        ),
        (
            "rules: []\nexceptions: [{id: x, reason: y}]".to_owned(),
            "gate-malformed",
        ),
    ] {
        assert_eq!(Policy::parse(&text).unwrap_err().code(), code, "{text}");
    }
}

const DIGEST: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const OTHER: &str = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

fn openvex(statements: &str) -> String {
    format!(
        r#"{{"@context":"https://openvex.dev/ns/v0.2.0","@id":"doc","author":"us","timestamp":"2026-01-01T00:00:00Z","version":1,
        "statements":[{statements}]}}"#
    )
}

fn said(products: &str, status: &str, at: &str) -> String {
    format!(
        r#"{{"vulnerability":{{"name":"T-CVE-2022-33891"}},"products":[{products}],"status":"{status}",
        "justification":"vulnerable_code_not_present","timestamp":"{at}"}}"#
    )
}

/// The standing of the one finding, and how many statements were in vain.
fn standing(documents: &[&str]) -> (Option<Status>, usize) {
    let bytes = database(&[record(EXPLOITED, "CRITICAL", Some("2"))]);
    let database = Database::open(&bytes).unwrap();
    let purl = package();
    let scan = look(&database, &purl, None);
    let documents: Vec<Document> = documents
        .iter()
        .map(|text| Document::parse(text.as_bytes(), "name").unwrap())
        .collect();
    let image = Digest::parse(DIGEST).unwrap();
    let standings = vex::hear(&documents, &scan.findings, &[Some(&purl)], Some(&image));
    (
        standings.of[0].map(|standing| standing.status),
        standings.unmatched.len(),
    )
}

#[test]
fn openvex_products_are_matched_by_digest_and_by_package() {
    let at = "2026-01-01T00:00:00Z";
    let oci = |digest: &str, more: &str| format!(r#"{{"@id":"pkg:oci/app@{digest}"{more}}}"#);
    let part = |purl: &str| format!(r#","subcomponents":[{{"@id":"{purl}"}}]"#);
    for (product, matches) in [
        (r#""pkg:pypi/a@1.0""#.to_owned(), true),
        (r#""pkg:pypi/a""#.to_owned(), true),
        (
            r#"{"@id":"x","identifiers":{"purl":"pkg:pypi/A@1.0"}}"#.to_owned(),
            true,
        ),
        (r#""pkg:pypi/a@1.1""#.to_owned(), false),
        (r#""pkg:pypi/a@1.0?arch=x""#.to_owned(), false),
        (r#""pkg:npm/a@1.0""#.to_owned(), false),
        (r#""our product""#.to_owned(), false),
        (oci(DIGEST, ""), true),
        (oci(OTHER, ""), false),
        (oci(DIGEST, &part("pkg:pypi/a")), true),
        (oci(DIGEST, &part("pkg:pypi/b")), false),
        (oci(DIGEST, &part("words")), false),
        (
            format!(r#"{{"@id":"app","hashes":{{"sha-256":"{}"}}}}"#, "a".repeat(64)),
            true,
        ),
        (
            format!(r#"{{"@id":"app","hashes":{{"sha-256":"{}"}}}}"#, "b".repeat(64)),
            false,
        ),
    ] {
        let document = openvex(&said(&product, "not_affected", at));
        let expected = if matches {
            (Some(Status::NotAffected), 0)
        } else {
            (None, 1)
        };
        assert_eq!(standing(&[&document]), expected, "{product}");
    }
}

#[test]
fn the_narrower_then_the_later_stands() {
    let package = r#""pkg:pypi/a@1.0""#;
    let image = format!(r#""pkg:oci/app@{DIGEST}""#);
    let (early, late) = ("2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z");
    let both = |one: String, two: String| standing(&[&openvex(&format!("{one},{two}"))]).0;
    let (no, yes) = ("not_affected", "affected");
    for (one, two, expected) in [
        (said(package, no, early), said(package, yes, late), Status::Affected),
        (said(package, yes, early), said(package, no, late), Status::NotAffected),
        (said(&image, yes, early), said(package, no, late), Status::Affected),
        (said(&image, no, early), said(package, yes, late), Status::NotAffected),
        // Of two that rank the same, the one that lets nothing pass.
        (said(package, no, early), said(package, yes, early), Status::Affected),
        (said(package, yes, early), said(package, no, early), Status::Affected),
    ] {
        assert_eq!(both(one, two), Some(expected));
    }
}

#[test]
fn csaf_and_cyclonedx_say_the_same() {
    let csaf = |list: &str, purl: &str| {
        format!(
            r#"{{"document":{{"csaf_version":"2.0","tracking":{{"id":"c","current_release_date":"2026-01-01T00:00:00Z"}}}},
            "product_tree":{{"branches":[{{"branches":[{{"product":{{"product_id":"P","name":"a","product_identification_helper":{{"purl":"{purl}"}}}}}}]}}]}},
            "vulnerabilities":[{{"cve":"CVE-2022-33891","product_status":{{"{list}":["P"]}},"flags":[{{"label":"component_not_present","product_ids":["P"]}}]}}]}}"#
        )
    };
    let cyclonedx = |state: &str, purl: &str| {
        format!(
            r#"{{"bomFormat":"CycloneDX","specVersion":"1.5","components":[{{"type":"library","name":"a","bom-ref":"r","purl":"{purl}"}}],
            "vulnerabilities":[{{"id":"CVE-2022-33891","analysis":{{"state":"{state}"}},"affects":[{{"ref":"r"}}]}},{{"id":"CVE-1-1"}}]}}"#
        )
    };
    let here = "pkg:pypi/a@1.0";
    for (document, expected) in [
        (csaf("known_not_affected", here), (Some(Status::NotAffected), 0)),
        (csaf("fixed", here), (Some(Status::Fixed), 0)),
        (csaf("known_affected", here), (Some(Status::Affected), 0)),
        (csaf("under_investigation", here), (Some(Status::UnderInvestigation), 0)),
        (csaf("known_not_affected", "pkg:pypi/a@2.0"), (None, 1)),
        (cyclonedx("not_affected", here), (Some(Status::NotAffected), 0)),
        (cyclonedx("false_positive", here), (Some(Status::NotAffected), 0)),
        (cyclonedx("resolved", here), (Some(Status::Fixed), 0)),
        (cyclonedx("exploitable", here), (Some(Status::Affected), 0)),
        (cyclonedx("in_triage", here), (Some(Status::UnderInvestigation), 0)),
        (cyclonedx("not_affected", "pkg:pypi/b@1.0"), (None, 1)),
    ] {
        assert_eq!(standing(&[&document]), expected, "{document}");
    }
}

#[test]
fn documents_that_say_nothing_clear_are_errors() {
    let statement = r#"{"vulnerability":"CVE-1","products":["pkg:pypi/a"],"status":"not_affected"}"#;
    for (text, code) in [
        ("{}".to_owned(), "vex-unknown-format"),
        ("x".to_owned(), "vex-unknown-format"),
        (openvex(statement), "vex-statement-malformed"),
        (
            openvex(&statement.replace("not_affected", "fine")),
            "vex-statement-malformed",
        ),
        (
            openvex(r#"{"products":["pkg:pypi/a"],"status":"fixed"}"#),
            "vex-statement-malformed",
        ),
        (
            r#"{"bomFormat":"CycloneDX","vulnerabilities":[{"id":"x","analysis":{"state":"fine"}}]}"#.to_owned(),
            "vex-statement-malformed",
        ),
        (
            r#"{"document":{"csaf_version":"2.0"},"vulnerabilities":[{}]}"#.to_owned(),
            "vex-statement-malformed",
        ),
    ] {
        assert_eq!(
            Document::parse(text.as_bytes(), "n").unwrap_err().code(),
            code,
            "{text}"
        );
    }
}

#[test]
fn what_is_written_is_read_again() {
    let product = format!(r#"{{"@id":"pkg:oci/app@{DIGEST}","subcomponents":[{{"@id":"pkg:pypi/a@1.0"}}]}}"#);
    let text = openvex(&said(&product, "not_affected", "2026-01-01T00:00:00Z"));
    let document = Document::parse(text.as_bytes(), "n").unwrap();
    let written = vex::write(&document, "us", now());
    assert_eq!(Document::parse(&written, "n").unwrap(), document);
}

#[test]
fn a_vex_statement_holds_a_finding_back() {
    let bytes = database(&[record(EXPLOITED, "CRITICAL", Some("2"))]);
    let database = Database::open(&bytes).unwrap();
    let purl = package();
    let subject = Subject {
        purl: Some(&purl),
        ..Subject::default()
    };
    let scan = scan(&database, &[subject], None, now()).unwrap();
    for (status, verdict) in [("not_affected", Verdict::Pass), ("affected", Verdict::Stop)] {
        let text = openvex(&said(r#""pkg:pypi/a@1.0""#, status, "2026-01-01T00:00:00Z"));
        let documents = [Document::parse(text.as_bytes(), "n").unwrap()];
        let standings = vex::hear(&documents, &scan.findings, &[Some(&purl)], None);
        let evidence = Evidence {
            scan: &scan,
            packages: &[],
            standings: &standings.of,
            has_exploited: true,
            has_scores: true,
        };
        let gate = Policy::default().decide(&evidence, now());
        assert_eq!(gate.verdict, verdict, "{status}");
    }
}
