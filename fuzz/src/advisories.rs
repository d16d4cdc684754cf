//! What is known of vulnerabilities: advisories, their database, the makers' statements, and the rules of a gate.

use std::cmp::Ordering;
use std::fs;
use std::sync::LazyLock;

use proofmark_advisories::feeds::{EpssScores, KnownExploited};
use proofmark_advisories::gate::{Evidence, PackageFacts, Policy};
use proofmark_advisories::matching::{Distribution, Scan, Subject, scan};
use proofmark_advisories::results::Results;
use proofmark_advisories::vex::{self, Document, hear};
use proofmark_advisories::{Added, Builder, Database, Scheme};
use proofmark_types::{Digest, Purl};
use serde_json::Value;

use crate::targets::{NOW, fixtures};

/// Packages that the fixtures' advisories are about.
static PACKAGES: LazyLock<Vec<Purl>> = LazyLock::new(|| {
    [
        "pkg:pypi/pyspark@3.1.1",
        "pkg:pypi/salt@3000.1",
        "pkg:golang/stdlib@1.20.0",
        "pkg:golang/google.golang.org/grpc@1.50.0",
        "pkg:rpm/almalinux/nghttp2@1.33.0-3.el8?arch=x86_64&distro=almalinux-8.8",
        "pkg:npm/app@1.0.0",
    ]
    .iter()
    .map(|text| Purl::parse(text).expect("a package URL"))
    .collect()
});

/// The fixtures' advisories as a database.
pub(crate) static DATABASE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut builder = Builder::new();
    let folder = fixtures().join("advisories/osv");
    for entry in fs::read_dir(folder).expect("the fixtures").flatten() {
        let record = fs::read(entry.path()).expect("a record");
        builder.add_osv(&record).expect("an advisory");
    }
    builder.build(*NOW).expect("a database")
});

/// Looks up a few packages of many ecosystems.
fn look_up<'d>(database: &'d Database<'_>) -> Option<Scan<'d>> {
    let subjects: Vec<Subject<'_>> = PACKAGES
        .iter()
        .map(|purl| Subject {
            purl: Some(purl),
            ..Subject::default()
        })
        .collect();
    let distribution = Distribution {
        id: "almalinux",
        version: Some("8.8"),
    };
    scan(database, &subjects, Some(distribution), *NOW).ok()
}

/// An OSV record: what is taken from it makes a sound database.
pub fn advisory(data: &[u8]) {
    let mut builder = Builder::new();
    if !matches!(builder.add_osv(data), Ok(Added::Taken)) {
        return;
    }
    let bytes = builder.build(*NOW).expect("a database of one record");
    let database = Database::open(&bytes).expect("what was built");
    database.verify().expect("what was built");
    look_up(&database).expect("what was built can be searched");
}

/// A database as its file is. Digests are put right, or nothing would be read behind them.
pub fn advisory_database(data: &[u8]) {
    let bytes = with_digests(data).unwrap_or_else(|| data.to_vec());
    if let Ok(database) = Database::open(&bytes) {
        let sound = database.verify().is_ok();
        let scan = look_up(&database);
        assert!(!sound || scan.is_some(), "verified, and cannot be searched");
    }
}

/// The same database with the digests that its header and its sections have.
fn with_digests(data: &[u8]) -> Option<Vec<u8>> {
    const PREFIX: usize = 48;
    let length = u32::from_le_bytes(data.get(12..16)?.try_into().ok()?);
    let (header, mut rest) = data.get(PREFIX..)?.split_at_checked(length as usize)?;
    let body = rest;
    let mut header: Value = serde_json::from_slice(header).ok()?;
    for section in header.get_mut("sections")?.as_array_mut()? {
        let length = section.get("length")?.as_u64()?;
        let (own, after) = rest.split_at_checked(usize::try_from(length).ok()?)?;
        section["digest"] = Value::String(Digest::sha256_of(own).to_string());
        rest = after;
    }
    let header = header.to_string();
    let length = u32::try_from(header.len()).ok()?.to_le_bytes();
    let digest = Digest::sha256_of(header.as_bytes());
    Some([&data[..12], &length, digest.as_bytes(), header.as_bytes(), body].concat())
}

/// CISA's catalogue and EPSS' scores.
pub fn feeds(data: &[u8]) {
    let _ = KnownExploited::parse(data);
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = EpssScores::parse(text);
    }
}

/// VEX of three formats. What was read can be written as OpenVEX, and says the same to the findings.
pub fn vex(data: &[u8]) {
    let Ok(document) = Document::parse(data, "a document") else {
        return;
    };
    let database = Database::open(&DATABASE).expect("a database");
    let scan = look_up(&database).expect("a scan");
    let purls: Vec<_> = PACKAGES.iter().map(Some).collect();
    let documents = [document];
    let _ = hear(&documents, &scan.findings, &purls, None);
    let written = vex::write(&documents[0], "somebody", *NOW);
    if let Ok(again) = Document::parse(&written, "a document") {
        assert_eq!(again.statements.len(), documents[0].statements.len());
    }
}

/// Results of Trivy and Grype.
pub fn results(data: &[u8]) {
    if let Ok(results) = Results::parse(data) {
        let packages: Vec<_> = PACKAGES
            .iter()
            .map(|purl| (Some(purl), purl.name(), purl.version()))
            .collect();
        let _ = results.scan(&packages);
    }
}

/// The rules of a gate, held against findings.
pub fn gate(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(policy) = Policy::parse(text) else { return };
    let database = Database::open(&DATABASE).expect("a database");
    let scan = look_up(&database).expect("a scan");
    let packages: Vec<_> = PACKAGES
        .iter()
        .map(|purl| PackageFacts {
            purl: Some(purl),
            name: "app",
            paths: &["usr/bin/app"],
            licences: &["MIT OR GPL-3.0-only WITH x"],
            ..PackageFacts::default()
        })
        .collect();
    let evidence = Evidence {
        scan: &scan,
        packages: &packages,
        standings: &[],
        has_exploited: false,
        has_scores: false,
    };
    let _ = policy.decide(&evidence, *NOW);
}

/// Three versions, a line each, in the order that the first byte says: an order must be one.
pub fn version(data: &[u8]) {
    let Some((which, rest)) = data.split_first() else {
        return;
    };
    let Ok(text) = std::str::from_utf8(rest) else { return };
    let scheme = Scheme::ALL[usize::from(*which) % Scheme::ALL.len()];
    let mut lines = text.splitn(3, '\n');
    let mut next = || lines.next().unwrap_or_default();
    let (a, b, c) = (next(), next(), next());
    assert_eq!(
        scheme.compare(a, b),
        scheme.compare(b, a).reverse(),
        "{scheme:?} {a} {b}"
    );
    // Maven's own order has circles (`1.x` < `1-SNAPSHOT` < `1` < `1.x`), and so has PHP's where there are words that it does
    // not know.
    if matches!(scheme, Scheme::Maven | Scheme::Packagist)
        || ![a, b, c].into_iter().all(|version| scheme.accepts(version))
    {
        return;
    }
    assert_eq!(scheme.compare(a, a), Ordering::Equal, "{scheme:?} {a}");
    let mut three = [a, b, c];
    three.sort_by(|x, y| scheme.compare(x, y));
    let [low, middle, high] = three;
    let strict = scheme.compare(low, middle).is_lt() || scheme.compare(middle, high).is_lt();
    let expected = if strict { Ordering::Less } else { Ordering::Equal };
    assert_eq!(scheme.compare(low, high), expected, "{scheme:?} {three:?}");
}
