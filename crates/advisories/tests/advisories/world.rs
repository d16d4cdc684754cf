//! Databases and packages for the tests.

use proofmark_advisories::feeds::{EpssScores, KnownExploited};
use proofmark_advisories::matching::{Distribution, Scan, Subject, scan};
use proofmark_advisories::{Builder, Database, SourceFile};
use proofmark_types::{Digest, Purl, UnixTime};

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!("../../../../fixtures/advisories/", $name))
    };
}

/// Real records, see the fixtures' README.
pub(crate) const RECORDS: [&[u8]; 10] = [
    fixture!("osv/GO-2022-0535.json"),
    fixture!("osv/GO-2023-2102.json"),
    fixture!("osv/GO-2023-2153.json"),
    fixture!("osv/PYSEC-2018-66.json"),
    fixture!("osv/PYSEC-2019-144.json"),
    fixture!("osv/PYSEC-2020-102.json"),
    fixture!("osv/PYSEC-2022-236.json"),
    fixture!("osv/ALSA-2023_5712.json"),
    fixture!("osv/ALSA-2023_5838.json"),
    fixture!("osv/ALBA-2019_0973.json"),
];
pub(crate) const KEV: &[u8] = fixture!("known_exploited_vulnerabilities.json");
pub(crate) const EPSS: &[u8] = fixture!("epss.csv");

pub(crate) fn time(text: &str) -> UnixTime {
    UnixTime::parse(text).unwrap()
}

pub(crate) fn now() -> UnixTime {
    time("2026-11-21T12:00:00Z")
}

/// A builder with the real records and feeds.
pub(crate) fn builder() -> Builder {
    let mut builder = Builder::new();
    for record in RECORDS {
        builder.add_osv(record).unwrap();
    }
    builder.add_exploited(KnownExploited::parse(KEV).unwrap());
    builder.add_scores(EpssScores::parse(std::str::from_utf8(EPSS).unwrap()).unwrap());
    builder.add_file(SourceFile {
        name: "known_exploited_vulnerabilities.json".to_owned(),
        digest: Digest::sha256_of(KEV),
        bytes: KEV.len().try_into().unwrap(),
        fetched: None,
        as_of: Some(time("2025-08-25T17:04:19Z")),
    });
    builder
}

/// A database of records that are written in the test.
pub(crate) fn database_of(records: &[&str]) -> Vec<u8> {
    let mut builder = Builder::new();
    for record in records {
        builder.add_osv(record.as_bytes()).unwrap();
    }
    builder.build(now()).unwrap()
}

/// Names of what is found for one package: `id fixed`.
pub(crate) fn found(database: &[u8], purl: &str, distribution: Option<(&str, &str)>) -> Vec<String> {
    let database = Database::open(database).unwrap();
    let purl = Purl::parse(purl).unwrap();
    let subject = Subject {
        purl: Some(&purl),
        ..Subject::default()
    };
    let scan = scan_one(&database, subject, distribution);
    assert!(scan.not_looked_up.is_empty(), "{purl}: {:?}", scan.not_looked_up);
    scan.findings
        .iter()
        .map(|finding| format!("{} {}", finding.id, finding.fixed.unwrap_or("-")))
        .collect()
}

pub(crate) fn scan_one<'d>(
    database: &'d Database<'_>,
    subject: Subject<'_>,
    distribution: Option<(&str, &str)>,
) -> Scan<'d> {
    let distribution = distribution.map(|(id, version)| Distribution {
        id,
        version: Some(version),
    });
    scan(database, &[subject], distribution, now()).unwrap()
}
