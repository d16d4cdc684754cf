//! What is found for which package. Expectations are written by hand from the advisories' texts.

use proofmark_advisories::matching::{Condition, Distribution, Subject, scan};
use proofmark_advisories::{Database, Rating};
use proofmark_types::Purl;

use crate::world::{builder, database_of, found, now, scan_one, time};

#[test]
fn languages() {
    let database = builder().build(now()).unwrap();
    let none: [&str; 0] = [];
    for (purl, expected) in [
        // "before 2019.2.4 and 3000 before 3000.2".
        ("pkg:pypi/salt@2019.2.3", &["CVE-2020-11651 2019.2.4"][..]),
        ("pkg:pypi/Salt@3000.1", &["CVE-2020-11651 3000.2"]),
        ("pkg:pypi/salt@2019.2.4", &none),
        ("pkg:pypi/salt@3000.2", &none),
        ("pkg:pypi/salt@3000.2rc1", &["CVE-2020-11651 3000.2"]),
        // "versions 3.0.3 and earlier, 3.1.1 to 3.1.2, and 3.2.0 to 3.2.1".
        ("pkg:pypi/pyspark@3.1.1", &["CVE-2022-33891 3.1.3"]),
        ("pkg:pypi/pyspark@3.0.3", &["CVE-2022-33891 3.1.1"]),
        ("pkg:pypi/pyspark@3.2.1", &["CVE-2022-33891 3.2.2"]),
        ("pkg:pypi/pyspark@3.1.3", &none),
        ("pkg:pypi/pyspark@3.2.2", &none),
        ("pkg:pypi/flask@0.12.2", &["CVE-2018-1000656 0.12.3"]),
        ("pkg:pypi/flask@0.12.3", &none),
        // Go 1.20.10 and 1.21.3 mend it; release candidates of 1.21 have it.
        ("pkg:golang/stdlib@go1.20.9", &["CVE-2023-39325 1.20.10"]),
        ("pkg:golang/stdlib@1.21.2", &["CVE-2023-39325 1.21.3"]),
        ("pkg:golang/stdlib@1.21.3", &none),
        ("pkg:golang/stdlib@1.20.10", &none),
        ("pkg:golang/golang.org/x/net@v0.16.0", &["CVE-2023-39325 0.17.0"]),
        ("pkg:golang/golang.org/x/net@v0.17.0", &none),
        ("pkg:golang/google.golang.org/grpc@v1.57.0", &["GO-2023-2153 1.57.1"]),
        ("pkg:golang/google.golang.org/grpc@v1.56.3", &none),
        ("pkg:golang/google.golang.org/grpc@v1.58.3", &none),
        // Withdrawn, or of nobody.
        ("pkg:pypi/arrayfire@1.0", &none),
        ("pkg:pypi/nobodys-package@1.0", &none),
    ] {
        assert_eq!(found(&database, purl, None), expected, "{purl}");
    }
}

#[test]
fn what_the_feeds_know_is_joined() {
    let bytes = builder().build(now()).unwrap();
    let database = Database::open(&bytes).unwrap();
    let purl = Purl::parse("pkg:pypi/salt@3000.1").unwrap();
    let subject = Subject {
        purl: Some(&purl),
        ..Subject::default()
    };
    let scan = scan_one(&database, subject, None);
    let finding = &scan.findings[0];
    assert!(finding.exploited);
    assert_eq!(finding.exploited_detail[0], "CVE-2020-11651");
    assert_eq!(finding.exploited_detail[1], "2021-11-03");
    assert_eq!(finding.epss.unwrap().score().to_string(), "0.91234");
    assert_eq!(finding.rating, Rating::Unknown, "PyPA says nothing of how bad it is");
    assert_eq!(finding.advisories, ["PYSEC-2020-102"]);
    // GO-2023-2102 is related to CVE-2023-44487, which is exploited; related is not the same.
    let purl = Purl::parse("pkg:golang/stdlib@1.21.2").unwrap();
    let subject = Subject {
        purl: Some(&purl),
        ..Subject::default()
    };
    assert!(!scan_one(&database, subject, None).findings[0].exploited);
}

#[test]
fn a_distribution_is_looked_up_in_its_own_release() {
    let database = builder().build(now()).unwrap();
    let none: [&str; 0] = [];
    for (purl, release, expected) in [
        (
            "pkg:rpm/almalinux/libnghttp2@1.43.0-5.el9",
            "9.2",
            &["CVE-2023-44487 1.43.0-5.el9_2.1"][..],
        ),
        ("pkg:rpm/almalinux/libnghttp2@1.43.0-5.el9_2.1", "9.2", &none),
        // The advisory of 9 says nothing of 8.
        ("pkg:rpm/almalinux/libnghttp2@1.33.0-3.el8", "8.8", &none),
        // A module's fix, for a module's package; the epoch is in the package URL.
        (
            "pkg:rpm/almalinux/nginx@1.20.1-1.module_el8.6.0%2B2751%2B1?epoch=1",
            "8.8",
            &["CVE-2023-44487 1:1.20.1-1.module_el8.8.0+3624+abf02be4.1.alma.1"],
        ),
        (
            "pkg:rpm/almalinux/nginx@1.20.1-1.module_el8.8.0%2B3624%2Babf02be4.1.alma.1?epoch=1",
            "8.8",
            &none,
        ),
        // Not built as a module: another stream.
        ("pkg:rpm/almalinux/nginx@1.14.1-9.el8?epoch=1", "8.8", &none),
    ] {
        assert_eq!(found(&database, purl, Some(("almalinux", release))), expected, "{purl}");
    }
}

#[test]
fn almalinux_says_how_bad_in_its_summary() {
    let bytes = builder().build(now()).unwrap();
    let database = Database::open(&bytes).unwrap();
    let purl = Purl::parse("pkg:rpm/almalinux/libnghttp2@1.43.0-5.el9").unwrap();
    let subject = Subject {
        purl: Some(&purl),
        ..Subject::default()
    };
    let scan = scan_one(&database, subject, Some(("almalinux", "9.2")));
    let finding = &scan.findings[0];
    assert_eq!(finding.rating, Rating::High, "Important: nghttp2 security update");
    assert_eq!(finding.advisories, ["ALSA-2023:5838"]);
    assert!(finding.exploited, "the advisory mends CVE-2023-44487");
}

/// A Debian-like record, as OSV converts them: source packages.
const DEBIAN: &str = r#"{"id":"DEBIAN-CVE-2024-1","modified":"2024-01-01T00:00:00Z","upstream":["CVE-2024-1"],
    "affected":[{"package":{"ecosystem":"Debian:12","name":"openssl"},"ecosystem_specific":{"urgency":"unimportant"},
    "ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":"3.0.13-1~deb12u1"}]}]}]}"#;

#[test]
fn debian_is_matched_through_the_source_package() {
    let bytes = database_of(&[DEBIAN]);
    let database = Database::open(&bytes).unwrap();
    let look = |name: &str, version: &str, source: Option<&str>, source_version: Option<&str>| {
        let purl = Purl::parse(&format!("pkg:deb/debian/{name}@{version}")).unwrap();
        let subject = Subject {
            purl: Some(&purl),
            source,
            source_version,
            ..Subject::default()
        };
        let scan = scan_one(&database, subject, Some(("debian", "12")));
        assert_eq!(scan.looked_up, 1);
        scan.findings
            .first()
            .map(|finding| (finding.id.to_owned(), finding.via_source.clone()))
    };
    let via = Some(("CVE-2024-1".to_owned(), Some("openssl".to_owned())));
    assert_eq!(look("libssl3", "3.0.11-1~deb12u2", Some("openssl"), None), via);
    assert_eq!(look("libssl3", "3.0.13-1~deb12u1", Some("openssl"), None), None);
    // A rebuild has a version of its own; the source's decides.
    assert_eq!(
        look("libssl3", "9.9-1%2Bb1", Some("openssl"), Some("3.0.11-1~deb12u2")),
        via
    );
    // A binary package that happens to have a source package's name is not it.
    assert_eq!(look("openssl", "1.0", Some("other"), None), None);
    assert_eq!(
        look("openssl", "3.0.11-1~deb12u2", None, None),
        Some(("CVE-2024-1".to_owned(), None))
    );
}

#[test]
fn an_owned_package_is_judged_through_its_owner() {
    let python = r#"{"id":"PYSEC-2024-1","modified":"2024-01-01T00:00:00Z","affected":[{"package":{"ecosystem":"PyPI","name":"requests"},
        "ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":"2.31.0"}]}]}]}"#;
    // Another vulnerability of it, mended by Debian: it watches over the package.
    let mended = r#"{"id":"DEBIAN-CVE-2018-18074","modified":"2024-01-01T00:00:00Z","upstream":["CVE-2018-18074"],
        "affected":[{"package":{"ecosystem":"Debian:12","name":"requests"},
        "ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":"2.20.0-1"}]}]}]}"#;
    let bytes = database_of(&[DEBIAN, python, mended]);
    let database = Database::open(&bytes).unwrap();
    let (deb, wheel) = (
        Purl::parse("pkg:deb/debian/python3-requests@2.28.1%2Bdfsg-1").unwrap(),
        Purl::parse("pkg:pypi/requests@2.28.1").unwrap(),
    );
    let subjects = |owned_by| {
        [
            Subject {
                purl: Some(&deb),
                source: Some("requests"),
                ..Subject::default()
            },
            Subject {
                purl: Some(&wheel),
                owned_by,
                ..Subject::default()
            },
        ]
    };
    let debian = Some(Distribution {
        id: "debian",
        version: Some("12"),
    });
    let owned = scan(&database, &subjects(Some(0)), debian, now()).unwrap();
    assert!(owned.findings.is_empty(), "Debian mends without a new upstream version");
    assert_eq!(owned.looked_up, 2);
    let free = scan(&database, &subjects(None), debian, now()).unwrap();
    assert_eq!(free.findings[0].advisories, ["PYSEC-2024-1"]);
    // An owner that could not be looked up speaks for nobody.
    for (owner, distribution) in [(Some(0), None), (Some(7), debian), (Some(1), debian)] {
        let scan = scan(&database, &subjects(owner), distribution, now()).unwrap();
        assert_eq!(scan.not_looked_up[&1].code(), "owner-not-looked-up", "{owner:?}");
    }
    // Debian has no advisory of a vendor's own package: nobody else speaks for what is in it.
    let bytes = database_of(&[DEBIAN, python]);
    let database = Database::open(&bytes).unwrap();
    let foreign = scan(&database, &subjects(Some(0)), debian, now()).unwrap();
    assert_eq!(foreign.findings[0].advisories, ["PYSEC-2024-1"]);
    assert_eq!((foreign.findings[0].package, foreign.looked_up), (1, 2));
    // Where the language is not in the database either, the owner's word stands.
    let bytes = database_of(&[DEBIAN]);
    let database = Database::open(&bytes).unwrap();
    let alone = scan(&database, &subjects(Some(0)), debian, now()).unwrap();
    assert!(alone.findings.is_empty() && alone.conditions.is_empty(), "{alone:?}");
    assert_eq!(alone.looked_up, 2);
}

#[test]
fn what_is_not_looked_up_is_counted_with_its_reason() {
    let bytes = builder().build(now()).unwrap();
    let database = Database::open(&bytes).unwrap();
    let alma = Some(("almalinux", "9.2"));
    for (purl, distribution, code, condition) in [
        ("pkg:golang/example.com/app@%28devel%29", None, "no-version", None),
        ("pkg:golang/example.com/app", None, "no-version", None),
        ("pkg:golang/example.com/app@latest", None, "version-malformed", None),
        ("pkg:generic/thing@1.0", None, "kind-unknown", None),
        (
            "pkg:npm/lodash@1.0.0",
            None,
            "ecosystem-not-in-database",
            Some("ecosystem-not-in-database"),
        ),
        (
            "pkg:rpm/fedora/bash@5.2-1",
            Some(("fedora", "40")),
            "distribution-unknown",
            Some("distribution-unknown"),
        ),
        (
            "pkg:deb/debian/bash@5.2-1",
            None,
            "distribution-unknown",
            Some("distribution-unknown"),
        ),
        (
            "pkg:deb/debian/bash@5.2-1",
            alma,
            "distribution-unknown",
            Some("distribution-unknown"),
        ),
        (
            "pkg:rpm/almalinux/bash@5.2-1",
            Some(("almalinux", "10.0")),
            "distribution-not-in-database",
            Some("distribution-not-in-database"),
        ),
        (
            "pkg:deb/debian/bash@5.2-1",
            Some(("debian", "12")),
            "distribution-not-in-database",
            Some("distribution-not-in-database"),
        ),
        (
            "pkg:apk/wolfi/bash@5.2-r1",
            Some(("wolfi", "20230201")),
            "distribution-licence",
            Some("distribution-licence"),
        ),
        (
            "pkg:apk/alpine/bash@5.2-r1",
            Some(("alpine", "3.21_alpha20240807")),
            "distribution-unknown",
            Some("distribution-unknown"),
        ),
    ] {
        let purl = Purl::parse(purl).unwrap();
        let subject = Subject {
            purl: Some(&purl),
            ..Subject::default()
        };
        let scan = scan_one(&database, subject, distribution);
        assert_eq!((scan.looked_up, scan.findings.len()), (0, 0), "{purl}");
        assert_eq!(scan.not_looked_up[&0].code(), code, "{purl}");
        assert_eq!(scan.conditions.first().map(Condition::code), condition, "{purl}");
    }
    let scan = scan_one(&database, Subject::default(), None);
    assert_eq!(scan.not_looked_up[&0].code(), "no-package-url");
}

#[test]
fn an_expired_distribution_is_said() {
    let old = DEBIAN.replace("Debian:12", "Debian:10");
    let bytes = database_of(&[&old]);
    let database = Database::open(&bytes).unwrap();
    let purl = Purl::parse("pkg:deb/debian/openssl@3.0.13-1?distro=debian-10").unwrap();
    let subject = Subject {
        purl: Some(&purl),
        ..Subject::default()
    };
    let at = |now: &str| scan(&database, &[subject], None, time(now)).unwrap().conditions;
    assert_eq!(at("2024-06-30T12:00:00Z"), []);
    let expired = at("2026-11-21T12:00:00Z");
    assert_eq!(expired[0].code(), "distribution-expired");
    assert!(expired[0].to_string().contains("2024-06-30"), "{}", expired[0]);
}

/// One PyPI record: its id, more fields, and what is affected of package `a`.
fn record(id: &str, fields: &str, affected: &str) -> String {
    format!(
        r#"{{"id":"{id}","modified":"2024-01-01T00:00:00Z",{fields}"affected":[{{"package":{{"ecosystem":"PyPI","name":"a"}},{affected}}}]}}"#
    )
}

fn range(events: &str) -> String {
    format!(r#""ranges":[{{"type":"ECOSYSTEM","events":[{events}]}}]"#)
}

#[test]
fn events_are_evaluated_as_the_schema_says() {
    for (events, affected, not) in [
        (r#"{"introduced":"0"}"#, &["0.1", "99"][..], &[][..]),
        (
            r#"{"introduced":"1.0"},{"fixed":"1.5"}"#,
            &["1.0", "1.4"],
            &["0.9", "1.5", "2"],
        ),
        (
            r#"{"introduced":"1.0"},{"last_affected":"1.5"}"#,
            &["1.0", "1.5", "1.5.0"],
            &["0.9", "1.5.1"],
        ),
        (r#"{"fixed":"1.5"},{"introduced":"1.0"}"#, &["1.4"], &["1.5"]),
        (
            r#"{"introduced":"0"},{"fixed":"1.0"},{"introduced":"1.0"},{"fixed":"2.0"}"#,
            &["0.5", "1.0", "1.5"],
            &["2.0"],
        ),
        (r#"{"introduced":"1.0"},{"fixed":"1.0"}"#, &[], &["0.9", "1.0", "2.0"]),
        (r#"{"introduced":"0"},{"limit":"2.0"}"#, &["1.9"], &["2.0", "3.0"]),
        (
            r#"{"introduced":"0"},{"limit":"2.0"},{"limit":"3.0"}"#,
            &["2.9"],
            &["3.0"],
        ),
        (r#"{"introduced":"0"},{"limit":"*"}"#, &["99"], &[]),
        (
            r#"{"introduced":"0"},{"fixed":"5.0"},{"limit":"2.0"}"#,
            &["1.9"],
            &["2.0", "4.0"],
        ),
    ] {
        let database = database_of(&[&record("T-1", "", &range(events))]);
        for (versions, count) in [(affected, 1), (not, 0)] {
            for version in versions {
                let found = found(&database, &format!("pkg:pypi/a@{version}"), None);
                assert_eq!(found.len(), count, "{version} in {events}");
            }
        }
    }
}

#[test]
fn listed_versions_hold_beside_ranges_and_commits() {
    let listed = r#""versions":["1.0","2.0rc1"],"ranges":[{"type":"GIT","events":[{"introduced":"0"},{"fixed":"abc"}]},
        {"type":"ECOSYSTEM","events":[{"introduced":"3.0"},{"fixed":"3.1"}]}]"#;
    let database = database_of(&[&record("T-1", "", listed)]);
    for (version, expected) in [
        ("1.0", &["T-1 3.1"][..]),
        ("1.0.0", &["T-1 3.1"]),
        ("2.0-rc.1", &["T-1 3.1"]),
        ("3.0.5", &["T-1 3.1"]),
        ("1.1", &[]),
        ("2.0", &[]),
    ] {
        assert_eq!(
            found(&database, &format!("pkg:pypi/a@{version}"), None),
            expected,
            "{version}"
        );
    }
    assert_eq!(Database::open(&database).unwrap().header().left_out.git_ranges, 1);
}

#[test]
fn bounds_that_are_no_versions_decide_nothing() {
    let go = r#"{"id":"T-1","modified":"2024-01-01T00:00:00Z","affected":[{"package":{"ecosystem":"Go","name":"example.com/a"},
        "ranges":[{"type":"SEMVER","events":[{"introduced":"0"},{"fixed":"master"}]}]}]}"#;
    let bytes = database_of(&[go]);
    let database = Database::open(&bytes).unwrap();
    let purl = Purl::parse("pkg:golang/example.com/a@v1.0.0").unwrap();
    let subject = Subject {
        purl: Some(&purl),
        ..Subject::default()
    };
    let scan = scan_one(&database, subject, None);
    assert_eq!(scan.not_looked_up[&0].code(), "advisory-undecidable");
    assert_eq!(scan.conditions[0].code(), "advisory-undecidable");
    assert_eq!(database.header().left_out.unplaced_ranges, 1);
}

#[test]
fn one_vulnerability_under_many_names_is_one_finding() {
    let bytes = database_of(&[
        &record(
            "GHSA-1",
            r#""aliases":["CVE-2024-1"],"database_specific":{"severity":"HIGH"},"#,
            &range(r#"{"introduced":"0"},{"fixed":"1.5"}"#),
        ),
        &record(
            "PYSEC-1",
            r#""aliases":["GHSA-1"],"#,
            &range(r#"{"introduced":"0"},{"fixed":"1.6"}"#),
        ),
        &record(
            "PYSEC-2",
            r#""related":["CVE-2024-1"],"#,
            &range(r#"{"introduced":"0"},{"fixed":"1.7"}"#),
        ),
    ]);
    let database = Database::open(&bytes).unwrap();
    let purl = Purl::parse("pkg:pypi/a@1.0").unwrap();
    let subject = Subject {
        purl: Some(&purl),
        ..Subject::default()
    };
    let scan = scan_one(&database, subject, None);
    assert_eq!(scan.findings.len(), 2, "related is not the same");
    let folded = &scan.findings[0];
    assert_eq!(folded.id, "CVE-2024-1");
    assert_eq!(folded.advisories, ["GHSA-1", "PYSEC-1"]);
    assert_eq!(folded.fixed, Some("1.6"), "the fix that mends both");
    assert_eq!((folded.rating, folded.told_by), (Rating::High, "GHSA-1"));
    assert_eq!(scan.findings[1].id, "PYSEC-2");
    assert_eq!(scan.findings[1].rating, Rating::Unknown);
}

#[test]
fn a_collective_advisory_adds_nothing_to_its_parts() {
    let fix = range(r#"{"introduced":"0"},{"fixed":"2"}"#);
    let parts = [
        record("DEBIAN-CVE-2024-1", r#""upstream":["CVE-2024-1"],"#, &fix),
        record("DEBIAN-CVE-2024-2", r#""upstream":["CVE-2024-2"],"#, &fix),
    ];
    let whole = record("DSA-1-1", r#""upstream":["CVE-2024-1","CVE-2024-2"],"#, &fix);
    let ids = |records: &[&str]| found(&database_of(records), "pkg:pypi/a@1", None);
    assert_eq!(ids(&[&parts[0], &parts[1], &whole]), ["CVE-2024-1 2", "CVE-2024-2 2"]);
    assert_eq!(
        ids(&[&parts[0], &whole]),
        ["CVE-2024-1 2", "DSA-1-1 2"],
        "the second is only in the whole"
    );
}

#[test]
fn a_thousand_packages_are_looked_up() {
    let bytes = builder().build(now()).unwrap();
    let database = Database::open(&bytes).unwrap();
    let purls: Vec<Purl> = (0..1000)
        .map(|i| {
            Purl::parse(&format!(
                "pkg:pypi/{}@3000.1",
                if i % 10 == 0 { "salt" } else { "other" }
            ))
            .unwrap()
        })
        .collect();
    let subjects: Vec<Subject<'_>> = purls
        .iter()
        .map(|purl| Subject {
            purl: Some(purl),
            ..Subject::default()
        })
        .collect();
    let scan = scan(&database, &subjects, None, now()).unwrap();
    assert_eq!((scan.looked_up, scan.findings.len()), (1000, 100));
}

#[test]
fn an_undecidable_advisory_hides_no_other() {
    let affected = |events: &str| {
        format!(
            r#""affected":[{{"package":{{"ecosystem":"Go","name":"example.com/a"}},"ranges":[{{"type":"SEMVER","events":[{events}]}}]}}]"#
        )
    };
    let of = |id: &str, events: &str| {
        format!(
            r#"{{"id":"{id}","modified":"2024-01-01T00:00:00Z",{}}}"#,
            affected(events)
        )
    };
    let bytes = database_of(&[
        &of("T-1", r#"{"introduced":"0"},{"fixed":"master"}"#),
        &of("T-2", r#"{"introduced":"0"},{"fixed":"1.2.0"}"#),
    ]);
    let database = Database::open(&bytes).unwrap();
    let purl = Purl::parse("pkg:golang/example.com/a@v1.0.0").unwrap();
    let subject = Subject {
        purl: Some(&purl),
        ..Subject::default()
    };
    let scan = scan_one(&database, subject, None);
    assert_eq!(scan.findings[0].id, "T-2");
    assert_eq!(scan.conditions[0].code(), "advisory-undecidable");
}

#[test]
fn an_advisory_about_a_whole_distribution_is_about_each_release() {
    let whole = DEBIAN.replace("Debian:12", "Debian");
    let other = DEBIAN.replace("DEBIAN-CVE-2024-1", "T-1").replace("openssl", "other");
    let database = database_of(&[&whole, &other]);
    let found = found(&database, "pkg:deb/debian/openssl@3.0.0-1", Some(("debian", "12")));
    assert_eq!(found, ["CVE-2024-1 3.0.13-1~deb12u1"]);
}

const AFFECTED: &str = "pkg:deb/debian/openssl@3.0.11-1";

#[test]
fn a_package_says_itself_of_which_release_it_is() {
    let bytes = database_of(&[DEBIAN]);
    let database = Database::open(&bytes).unwrap();
    let affected = |purl: &str, distribution| {
        let purl = Purl::parse(purl).unwrap();
        let subject = Subject {
            purl: Some(&purl),
            ..Subject::default()
        };
        let scan = scan_one(&database, subject, distribution);
        let reason = scan
            .not_looked_up
            .get(&0)
            .map(proofmark_advisories::matching::Reason::code);
        (scan.findings.len(), reason)
    };
    let own = affected(AFFECTED, Some(("debian", "12")));
    assert_eq!((own.0 > 0, own.1), (true, None));
    let with = |qualifier: &str| format!("{AFFECTED}?distro={qualifier}");
    // Also where the image is said to be of another release, or of none.
    assert_eq!(affected(&with("debian-12"), Some(("debian", "11"))), own);
    assert_eq!(affected(&with("debian-12"), None), own);
    assert_eq!(affected(&with("12.5"), None), own, "as Trivy has it of Alpine");
    let other = (0, Some("distribution-not-in-database"));
    assert_eq!(affected(&with("debian-11"), Some(("debian", "12"))), other);
    // A name in the place of a version says nothing.
    assert_eq!(affected(&with("debian-bookworm"), Some(("debian", "12"))), own);
    assert_eq!(
        affected(&with("debian-bookworm"), None),
        (0, Some("distribution-unknown"))
    );
}
