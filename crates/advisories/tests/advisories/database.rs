//! Building, opening, and what must not be believed.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use proofmark_advisories::osv::Record;
use proofmark_advisories::{Added, Builder, Database, Ecosystem, Storage};
use proptest::prelude::*;

use crate::world::{RECORDS, builder, database_of, found, now};

#[test]
fn what_is_in_it_is_said() {
    let bytes = builder().build(now()).unwrap();
    let database = Database::open(&bytes).unwrap();
    database.verify().unwrap();
    let header = database.header();
    let sections: Vec<&str> = header.sections.iter().map(|s| s.ecosystem.as_str()).collect();
    assert_eq!(sections, ["AlmaLinux", "Go", "PyPI"]);
    let alma = &header.sections[0];
    assert_eq!(alma.releases.keys().collect::<Vec<_>>(), ["8", "9"]);
    assert_eq!(alma.advisories, 2, "the bug fix without a vulnerability is none");
    assert_eq!(header.left_out.not_security, 1);
    assert_eq!(header.left_out.withdrawn, 1, "PYSEC-2019-144");
    let sources: Vec<(&str, &str, u64)> = header
        .sources
        .iter()
        .map(|source| (source.name.as_str(), source.licence.as_str(), source.records))
        .collect();
    assert_eq!(
        sources,
        [
            ("AlmaLinux OSV database", "MIT", 2),
            ("Go vulnerability database", "CC-BY-4.0", 3),
            ("PyPA advisory database", "CC-BY-4.0", 3),
        ]
    );
    assert_eq!(header.exploited.as_ref().unwrap().entries, 4);
    assert_eq!(header.scores.as_ref().unwrap().entries, 3);
    assert_eq!(header.files[0].fresh_at().unwrap().to_string(), "2025-08-25T17:04:19Z");
}

#[test]
fn the_order_of_reading_changes_nothing() {
    let mut other = Builder::new();
    for record in RECORDS.iter().rev() {
        other.add_osv(record).unwrap();
    }
    let mut one = Builder::new();
    for record in RECORDS {
        one.add_osv(record).unwrap();
    }
    assert_eq!(one.build(now()).unwrap(), other.build(now()).unwrap());
}

#[test]
fn the_later_of_two_records_holds() {
    let record = |modified: &str, fixed: &str| {
        format!(
            r#"{{"id":"T-1","modified":"{modified}","affected":[{{"package":{{"ecosystem":"PyPI","name":"a"}},"ranges":[{{"type":"ECOSYSTEM","events":[{{"introduced":"0"}},{{"fixed":"{fixed}"}}]}}]}}]}}"#
        )
    };
    let (old, new) = (
        record("2024-01-01T00:00:00Z", "1.0"),
        record("2025-01-01T00:00:00Z", "2.0"),
    );
    for records in [[&*old, &*new], [&*new, &*old]] {
        assert_eq!(found(&database_of(&records), "pkg:pypi/a@1.5", None), ["T-1 2.0"]);
    }
    // One that was withdrawn later is gone, and does not bring the earlier back.
    let withdrawn = new.replace(r#""affected""#, r#""withdrawn":"2025-01-01T00:00:00Z","affected""#);
    let mut builder = Builder::new();
    builder.add_osv(old.as_bytes()).unwrap();
    assert_eq!(builder.add_osv(withdrawn.as_bytes()).unwrap(), Added::Withdrawn);
    assert_eq!(builder.add_osv(old.as_bytes()).unwrap(), Added::Superseded);
    assert_eq!(builder.build(now()).unwrap_err().code(), "no-advisories");
}

#[test]
fn licences_that_forbid_are_kept_out() {
    let record = |id: &str, ecosystem: &str| {
        format!(
            r#"{{"id":"{id}","modified":"2024-01-01T00:00:00Z","affected":[{{"package":{{"ecosystem":"{ecosystem}","name":"a"}},"versions":["1"]}}]}}"#
        )
    };
    let mut builder = Builder::new();
    for (id, ecosystem) in [
        ("CGA-2222-3333-4444", "Chainguard"),
        ("GHSA-2222-3333-4444", "Wolfi"),
        ("SFTY-20240101-1", "PyPI"),
        ("PVE-2021-1", "PyPI"),
    ] {
        let added = builder.add_osv(record(id, ecosystem).as_bytes()).unwrap();
        assert!(matches!(added, Added::Refused { .. }), "{id}: {added:?}");
    }
    assert_eq!(
        builder.add_osv(record("PYSEC-1", "PyPI").as_bytes()).unwrap(),
        Added::Taken
    );
    let bytes = builder.build(now()).unwrap();
    let database = Database::open(&bytes).unwrap();
    assert_eq!(database.header().left_out.refused.values().sum::<u64>(), 4);
    assert_eq!(database.header().sections.len(), 1);
}

#[test]
fn records_that_are_none_have_their_reason() {
    for (text, code) in [
        ("[]", "advisory-not-osv"),
        (r#"{"modified":"2024-01-01T00:00:00Z"}"#, "advisory-not-osv"),
        (r#"{"id":"","modified":"x"}"#, "advisory-without-id"),
        (r#"{"id":"a b","modified":"x"}"#, "advisory-without-id"),
    ] {
        assert_eq!(Record::parse(text.as_bytes()).unwrap_err().code(), code, "{text}");
    }
    let names = vec!["\"x\""; 10_001].join(",");
    let long = format!(r#"{{"id":"a","modified":"x","aliases":[{names}]}}"#);
    assert_eq!(Record::parse(long.as_bytes()).unwrap_err().code(), "advisory-too-long");
}

#[test]
fn damage_is_an_error_and_never_nothing_found() {
    let good = builder().build(now()).unwrap();
    for (cut, code) in [
        (0, "database-not-one"),
        (7, "database-not-one"),
        (20, "database-length"),
    ] {
        assert_eq!(Database::open(&good[..cut]).unwrap_err().code(), code);
    }
    assert_eq!(
        Database::open(&good[..good.len() - 1]).unwrap_err().code(),
        "database-length"
    );
    assert_eq!(
        Database::open(&[&good[..], b"x"].concat()).unwrap_err().code(),
        "database-length"
    );
    let mut later = good.clone();
    later[8] = 2;
    assert_eq!(Database::open(&later).unwrap_err().code(), "database-format");
    // Every byte of the file is under a digest: none can change unseen.
    for at in (8..good.len()).step_by(37).chain(16..60) {
        let mut bad = good.clone();
        bad[at] ^= 1;
        let error = Database::open(&bad).and_then(|database| database.verify());
        assert!(error.is_err(), "byte {at}");
    }
}

/// A file on a disk, which counts what is read of it and may end early.
struct Disk {
    bytes: Vec<u8>,
    length: u64,
    read: Arc<AtomicUsize>,
}

impl Storage for Disk {
    fn length(&self) -> io::Result<u64> {
        Ok(self.length)
    }

    fn read(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let start = usize::try_from(offset).unwrap();
        let found = self.bytes.get(start..start + length);
        let found = found.ok_or(io::ErrorKind::UnexpectedEof)?;
        self.read.fetch_add(length, Ordering::Relaxed);
        Ok(found.to_vec())
    }
}

#[test]
fn a_stored_database_is_read_where_it_is_asked() {
    let good = builder().build(now()).unwrap();
    let read = Arc::new(AtomicUsize::new(0));
    let disk = |bytes: &[u8]| Disk {
        length: good.len().try_into().unwrap(),
        bytes: bytes.to_vec(),
        read: Arc::clone(&read),
    };
    let database = Database::open_in(disk(&good)).unwrap();
    assert_eq!(database.digest(), Database::open(&good).unwrap().digest());
    let go = database
        .header()
        .sections
        .iter()
        .find(|section| section.ecosystem == "Go");
    let (opened, go) = (
        read.load(Ordering::Relaxed),
        usize::try_from(go.unwrap().length).unwrap(),
    );
    let total: u64 = database.header().sections.iter().map(|section| section.length).sum();
    assert_eq!(
        opened,
        good.len() - usize::try_from(total).unwrap(),
        "opening reads the header alone"
    );
    for _ in 0..2 {
        assert!(database.section("Go").unwrap().is_some());
        assert_eq!(read.load(Ordering::Relaxed), opened + go, "a section once");
    }
    database.verify().unwrap();
    // What is changed or gone after it was opened is an error, each time it is asked.
    let mut changed = good.clone();
    *changed.last_mut().unwrap() ^= 1;
    let last = database.header().sections.last().unwrap().ecosystem.clone();
    for (bytes, code) in [
        (&changed[..], "database-damaged"),
        (&good[..good.len() - 1], "database-unreadable"),
    ] {
        let database = Database::open_in(disk(bytes)).unwrap();
        for _ in 0..2 {
            assert_eq!(database.section(&last).unwrap_err().code(), code);
        }
        assert_eq!(database.verify().unwrap_err().code(), code);
    }
}

#[test]
fn of_a_bulk_file_its_own_ecosystem_is_taken() {
    let record = |id: &str, ecosystems: &[&str]| {
        let affected: Vec<String> = ecosystems
            .iter()
            .map(|name| format!(r#"{{"package":{{"ecosystem":"{name}","name":"a"}},"versions":["1"]}}"#))
            .collect();
        let affected = affected.join(",");
        format!(r#"{{"id":"{id}","modified":"2024-01-01T00:00:00Z","affected":[{affected}]}}"#)
    };
    let sections = |builder: &Builder| -> Vec<String> {
        let bytes = builder.build(now()).unwrap();
        let database = Database::open(&bytes).unwrap();
        database
            .header()
            .sections
            .iter()
            .map(|section| section.ecosystem.clone())
            .collect()
    };
    let npm = [
        record("G-1", &["npm"]),
        record("G-2", &["npm", "PyPI"]),
        record("G-3", &["npm"]),
    ];
    let add = |builder: &mut Builder, records: &[String]| {
        builder.begin_bulk();
        for record in records {
            builder.add_osv(record.as_bytes()).unwrap();
        }
        builder.end_bulk();
    };
    // One advisory of PyPI's came along: a section of it would say of all else there that nothing is known.
    let mut builder = Builder::new();
    add(&mut builder, &npm);
    assert_eq!(sections(&builder), ["npm"]);
    let bytes = builder.build(now()).unwrap();
    let database = Database::open(&bytes).unwrap();
    assert_eq!(database.header().left_out.elsewhere.get("PyPI"), Some(&1));
    // With PyPI's own file it is there, though the record was read before.
    add(
        &mut builder,
        &[record("G-2", &["npm", "PyPI"]), record("P-1", &["PyPI"])],
    );
    assert_eq!(sections(&builder), ["PyPI", "npm"]);
    // A file in which every record was read before still is its ecosystem's.
    let mut builder = Builder::new();
    add(&mut builder, &npm);
    add(&mut builder, &[record("G-2", &["npm", "PyPI"])]);
    assert_eq!(sections(&builder), ["PyPI", "npm"]);
    // A collection of everything, and a record that was chosen by itself.
    let mut builder = Builder::new();
    add(&mut builder, &[record("G-1", &["npm"]), record("P-1", &["PyPI"])]);
    assert_eq!(sections(&builder), ["PyPI", "npm"]);
    let mut builder = Builder::new();
    builder.add_osv(npm[1].as_bytes()).unwrap();
    assert_eq!(sections(&builder), ["PyPI", "npm"]);
    // Who knows what the files are says so.
    builder.take_only(Ecosystem::named("npm"));
    assert_eq!(sections(&builder), ["npm"]);
    builder.take_only(Ecosystem::named("Go"));
    assert_eq!(builder.build(now()).unwrap_err().code(), "no-advisories");
}

/// A file whose digests are right and whose tables are not: written by an enemy, who can compute digests too.
fn with_section_byte(good: &[u8], at: usize, value: u8) -> Vec<u8> {
    let header_length = usize::try_from(u32::from_le_bytes(good[12..16].try_into().unwrap())).unwrap();
    let start = 48 + header_length;
    let mut body = good[start..].to_vec();
    let place = at % body.len();
    body[place] = value;
    let mut header: serde_json::Value = serde_json::from_slice(&good[48..start]).unwrap();
    let mut offset = 0;
    for section in header["sections"].as_array_mut().unwrap() {
        let length = usize::try_from(section["length"].as_u64().unwrap()).unwrap();
        let digest = proofmark_types::Digest::sha256_of(&body[offset..offset + length]);
        section["digest"] = serde_json::json!(digest);
        offset += length;
    }
    let header = serde_json::to_vec(&header).unwrap();
    let mut file = good[..12].to_vec();
    file.extend(u32::try_from(header.len()).unwrap().to_le_bytes());
    file.extend(proofmark_types::Digest::sha256_of(&header).as_bytes());
    file.extend(header);
    file.extend(body);
    file
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn foreign_tables_are_read_without_panic(at in any::<usize>(), value in any::<u8>()) {
        let good = builder().build(now()).unwrap();
        let bad = with_section_byte(&good, at, value);
        let database = Database::open(&bad).unwrap();
        // What was verified can be searched.
        let sound = database.verify().is_ok();
        for section in ["Go", "PyPI", "AlmaLinux"] {
            if let Ok(Some(section)) = database.section(section) {
                for name in ["salt", "nginx", "stdlib", "flask", "pyspark"] {
                    let entries = section.entries(name, "");
                    prop_assert!(!sound || entries.is_ok());
                    for entry in entries.into_iter().flatten() {
                        let both = entry.affects("1.0").is_ok() && entry.advisory().is_ok();
                        prop_assert!(!sound || both);
                    }
                }
            }
        }
    }

    #[test]
    fn any_bytes_are_opened_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Database::open(&bytes).is_err());
        let _ = Record::parse(&bytes);
    }
}
