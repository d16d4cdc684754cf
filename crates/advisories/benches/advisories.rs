//! Building, opening and asking a database of made-up records, in the proportions of OSV's.
//!
//! `cargo bench -p proofmark-advisories`; `PROOFMARK_BENCH_RECORDS=600000` has as many records as all of OSV. Numbers are for
//! reading, nothing is asserted of them. The database lies in a file, of which is read what is asked for, as `scan` does it.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measuring tool"
)]

use std::fs::File;
use std::hint::black_box;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::time::{Duration, Instant};

use proofmark_advisories::matching::{Distribution, Subject, scan};
use proofmark_advisories::{Builder, Database, Storage};
use proofmark_types::{Purl, UnixTime};

const RECORDS: usize = 50_000;
const ROUNDS: u32 = 20;

struct Stored(File);

impl Storage for Stored {
    fn length(&self) -> io::Result<u64> {
        self.0.metadata().map(|metadata| metadata.len())
    }

    fn read(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.0.read_exact_at(&mut bytes, offset)?;
        Ok(bytes)
    }
}

fn main() {
    let records = std::env::var("PROOFMARK_BENCH_RECORDS").map_or(RECORDS, |text| text.parse().unwrap());
    let now = UnixTime::parse("2026-11-21T12:00:00Z").unwrap();
    let start = Instant::now();
    let mut builder = Builder::new();
    for at in 0..records {
        builder.add_osv(record(at, records).as_bytes()).unwrap();
    }
    let read = start.elapsed();
    let start = Instant::now();
    let bytes = builder.build(now).unwrap();
    println!(
        "{records} records: read in {} ms, built in {} ms",
        read.as_millis(),
        start.elapsed().as_millis()
    );
    drop(builder);
    let path = std::env::temp_dir().join(format!("proofmark-bench-{}.db", std::process::id()));
    std::fs::write(&path, &bytes).unwrap();
    println!("the database has {} KiB", bytes.len() / 1024);
    drop(bytes);
    let open = || Database::open_in(Stored(File::open(&path).unwrap())).unwrap();
    for section in &open().header().sections {
        println!(
            "  {:12} {:>8} KiB, {} packages",
            section.ecosystem,
            section.length / 1024,
            section.packages
        );
    }
    say("open", ROUNDS, || drop(black_box(open())));
    say("verify all of it", 1, || open().verify().unwrap());
    let (debian, none) = (
        subjects(&["deb/debian"], records),
        subjects(&["npm", "pypi", "golang"], records),
    );
    let mixed = subjects(&["deb/debian", "npm", "pypi"], records);
    let bookworm = Distribution {
        id: "debian",
        version: Some("12"),
    };
    for (what, purls, distribution) in [
        ("Debian packages", &debian, Some(bookworm)),
        ("packages of npm, PyPI and Go", &none, None),
        ("packages of Debian, npm and PyPI", &mixed, Some(bookworm)),
    ] {
        let subjects: Vec<Subject<'_>> = purls
            .iter()
            .map(|purl| Subject {
                purl: Some(purl),
                ..Subject::default()
            })
            .collect();
        let found = scan(&open(), &subjects, distribution, now).unwrap().findings.len();
        assert!(found > 0, "there is something to find");
        println!("{} {what}, {found} findings", subjects.len());
        say("  open and match, as a scan does", ROUNDS, || {
            black_box(scan(&open(), &subjects, distribution, now).unwrap().findings.len());
        });
        let database = open();
        scan(&database, &subjects, distribution, now).unwrap();
        say("  match again", ROUNDS, || {
            drop(black_box(scan(&database, &subjects, distribution, now).unwrap()));
        });
    }
    std::fs::remove_file(path).unwrap();
}

/// The median of some runs, and of their processor time, which other programs of the machine do not lengthen.
fn say(what: &str, rounds: u32, run: impl Fn()) {
    let mut times: Vec<(Duration, Duration)> = (0..rounds)
        .map(|_| {
            let (start, worked) = (Instant::now(), worked());
            run();
            (start.elapsed(), self::worked().saturating_sub(worked))
        })
        .collect();
    let mut median = |by: fn(&(Duration, Duration)) -> Duration| {
        times.sort_by_key(by);
        by(&times[times.len() / 2]).as_secs_f64() * 1e3
    };
    let (wall, processor) = (median(|(wall, _)| *wall), median(|(_, processor)| *processor));
    println!("{what:34} {wall:>10.3} ms, processor {processor:>10.3} ms");
}

/// How long this thread had a processor; Linux says it.
fn worked() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = text.split_whitespace().next().and_then(|number| number.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or_default())
}

/// Packages of a kind that advisories are about: a hundredth of the records, which gives each ten (npm thirty).
fn packages(records: usize) -> usize {
    (records / 100).max(10)
}

/// By the last digit of its number: npm 0 to 2, PyPI 3, Go 4, Maven 5, Debian 6, Ubuntu 7, Red Hat 8, Alpine 9.
fn record(at: usize, records: usize) -> String {
    let (package, minor) = ((at / 10) % packages(records), at % 97);
    let row = |ecosystem: &str, fixed: &str| {
        format!(
            r#"{{"package":{{"ecosystem":"{ecosystem}","name":"package-{package}"}},
            "ranges":[{{"type":"ECOSYSTEM","events":[{{"introduced":"0"}},{{"fixed":"{fixed}"}}]}}]}}"#
        )
    };
    let rows = |ecosystems: &[&str], fixed: &str| -> String {
        ecosystems
            .iter()
            .map(|name| row(name, fixed))
            .collect::<Vec<_>>()
            .join(",")
    };
    let affected = match at % 10 {
        0..=2 => rows(&["npm"], &format!("1.{minor}.0")),
        3 => rows(&["PyPI"], &format!("1.{minor}.0")),
        4 => rows(&["Go"], &format!("1.{minor}.0")),
        5 => rows(&["Maven"], &format!("1.{minor}.0")),
        6 => rows(
            &["Debian:11", "Debian:12", "Debian:13", "Debian:14"],
            &format!("1.{minor}.0-1"),
        ),
        7 => rows(
            &[
                "Ubuntu:20.04:LTS",
                "Ubuntu:22.04:LTS",
                "Ubuntu:24.04:LTS",
                "Ubuntu:25.10",
                "Ubuntu:26.04:LTS",
            ],
            &format!("1.{minor}.0-1ubuntu2"),
        ),
        8 => rows(
            &[
                "Red Hat:enterprise_linux:8::baseos",
                "Red Hat:enterprise_linux:9::baseos",
            ],
            &format!("0:1.{minor}.0-1.el9"),
        ),
        _ => rows(
            &["Alpine:v3.20", "Alpine:v3.21", "Alpine:v3.22", "Alpine:v3.23"],
            &format!("1.{minor}.0-r0"),
        ),
    };
    format!(
        r#"{{"id":"TEST-2026-{at}","modified":"2026-01-01T00:00:00Z","aliases":["CVE-2026-{:05}"],
        "summary":"Improper handling of something in package-{package}, made up as number {at}",
        "severity":[{{"type":"CVSS_V3","score":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}}],"affected":[{affected}]}}"#,
        at / 2
    )
}

/// A thousand packages of the kinds given.
fn subjects(kinds: &[&str], records: usize) -> Vec<Purl> {
    let kind = |at: usize| kinds[at % kinds.len()];
    (0..1000)
        .map(|at| format!("pkg:{}/package-{}@1.50.0", kind(at), at * 7 % packages(records)))
        .map(|text| Purl::parse(&text).unwrap())
        .collect()
}
