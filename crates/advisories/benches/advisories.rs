//! Building, opening and asking a database of made-up records, as many as two large ecosystems have.
//!
//! `cargo bench -p proofmark-advisories`; numbers are for reading, nothing is asserted of them.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measuring tool"
)]

use std::hint::black_box;
use std::time::Instant;

use proofmark_advisories::matching::{Distribution, Subject, scan};
use proofmark_advisories::{Builder, Database};
use proofmark_types::{Purl, UnixTime};

const RECORDS: usize = 50_000;
const PACKAGES: usize = 10_000;
const ROUNDS: u32 = 50;

fn main() {
    let now = UnixTime::parse("2026-11-21T12:00:00Z").unwrap();
    let records: Vec<String> = (0..RECORDS).map(record).collect();
    let start = Instant::now();
    let mut builder = Builder::new();
    for record in &records {
        builder.add_osv(record.as_bytes()).unwrap();
    }
    let bytes = builder.build(now).unwrap();
    println!(
        "build {RECORDS} records      {:>8} ms, {} KiB",
        start.elapsed().as_millis(),
        bytes.len() / 1024
    );

    let start = Instant::now();
    for _ in 0..ROUNDS {
        black_box(Database::open(black_box(&bytes)).unwrap());
    }
    println!(
        "open                     {:>8} us",
        start.elapsed().as_micros() / u128::from(ROUNDS)
    );

    let start = Instant::now();
    Database::open(&bytes).unwrap().verify().unwrap();
    println!("verify all               {:>8} ms", start.elapsed().as_millis());

    let purls: Vec<Purl> = (0..1000).map(purl).collect();
    let subjects: Vec<Subject<'_>> = purls
        .iter()
        .map(|purl| Subject {
            purl: Some(purl),
            ..Subject::default()
        })
        .collect();
    let debian = Distribution {
        id: "debian",
        version: Some("12"),
    };
    let start = Instant::now();
    let database = Database::open(&bytes).unwrap();
    let found = scan(&database, &subjects, Some(debian), now).unwrap().findings.len();
    println!(
        "open, match 1000, cold   {:>8} us, {found} findings",
        start.elapsed().as_micros()
    );
    assert!(found > 0, "there is something to find");
    let start = Instant::now();
    for _ in 0..ROUNDS {
        black_box(scan(&database, &subjects, Some(debian), now).unwrap());
    }
    println!(
        "match 1000, warm         {:>8} us",
        start.elapsed().as_micros() / u128::from(ROUNDS)
    );
}

/// Half Debian's, half PyPI's, five for each package.
fn record(at: usize) -> String {
    let (package, minor) = ((at / 2) % PACKAGES, at % 97);
    let ecosystem = if at.is_multiple_of(2) { "Debian:12" } else { "PyPI" };
    format!(
        r#"{{"id":"T-{at}","modified":"2026-01-01T00:00:00Z","aliases":["CVE-2026-{at:05}"],"summary":"made up, number {at}",
        "severity":[{{"type":"CVSS_V3","score":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}}],
        "affected":[{{"package":{{"ecosystem":"{ecosystem}","name":"package-{package}"}},
        "ranges":[{{"type":"ECOSYSTEM","events":[{{"introduced":"0"}},{{"fixed":"1.{minor}.0-1"}}]}}]}}]}}"#
    )
}

fn purl(at: usize) -> Purl {
    let kind = if at.is_multiple_of(2) { "deb/debian" } else { "pypi" };
    Purl::parse(&format!("pkg:{kind}/package-{}@1.50.0", at * 7 % PACKAGES)).unwrap()
}
