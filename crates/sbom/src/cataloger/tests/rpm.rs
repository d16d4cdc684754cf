//! RPM databases: the SQLite one was written by rpm 4.18, the Berkeley DB one by libdb 5.3 from the same headers, both
//! of packages built for these tests; ndb, which Debian's rpm cannot write, is put together here around the headers.

use std::io::Read as _;

use flate2::read::GzDecoder;

use super::*;

const SQLITE: &[u8] = include_bytes!("../../../tests/fixtures/rpm/rpmdb.sqlite.gz");
const BERKELEY: &[u8] = include_bytes!("../../../tests/fixtures/rpm/Packages.gz");

fn inflated(bytes: &[u8]) -> Vec<u8> {
    let mut inflated = Vec::new();
    GzDecoder::new(bytes).read_to_end(&mut inflated).unwrap();
    inflated
}

fn facts_of(path: &str, bytes: &[u8]) -> Vec<Fact> {
    read_bytes(path, bytes).unwrap()
}

fn problems(facts: &[Fact]) -> Vec<&Unreadable> {
    facts
        .iter()
        .filter_map(|fact| match fact {
            Fact::Problem(problem) => Some(problem),
            _ => None,
        })
        .collect()
}

/// The fixture's packages as a package database of SUSE.
pub(super) fn ndb_of_fixture() -> Vec<u8> {
    let mut headers: Vec<Vec<u8>> = Vec::new();
    super::super::rpm::berkeley_headers(&inflated(BERKELEY), &mut |header| headers.push(header.to_vec()));
    ndb(&headers.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

/// The headers in the Berkeley DB's overflow pages, as a package database of SUSE would hold them.
fn ndb(headers: &[&[u8]]) -> Vec<u8> {
    let mut slots = vec![0; 4096];
    slots[..4].copy_from_slice(b"RpmP");
    slots[12..16].copy_from_slice(&1u32.to_le_bytes());
    for slot in slots.chunks_exact_mut(16).skip(2) {
        slot[..4].copy_from_slice(b"Slot");
    }
    let mut blobs = Vec::new();
    for (at, header) in headers.iter().enumerate() {
        let number = u32::try_from(at + 1).unwrap();
        let block = u32::try_from((4096 + blobs.len()) / 16).unwrap();
        let slot = &mut slots[32 + 16 * at..][..16];
        slot[4..8].copy_from_slice(&number.to_le_bytes());
        slot[8..12].copy_from_slice(&block.to_le_bytes());
        blobs.extend_from_slice(b"BlbS");
        blobs.extend_from_slice(&number.to_le_bytes());
        blobs.extend_from_slice(&[0; 4]);
        blobs.extend_from_slice(&u32::try_from(header.len()).unwrap().to_le_bytes());
        blobs.extend_from_slice(header);
        blobs.resize(blobs.len().next_multiple_of(16), 0);
    }
    slots.extend_from_slice(&blobs);
    slots
}

/// A header of texts only, in rpm's form.
fn header(texts: &[(u32, &str)]) -> Vec<u8> {
    let mut index = Vec::new();
    let mut values = Vec::new();
    for (tag, text) in texts {
        for number in [*tag, 6, u32::try_from(values.len()).unwrap(), 1] {
            index.extend_from_slice(&number.to_be_bytes());
        }
        values.extend_from_slice(text.as_bytes());
        values.push(0);
    }
    let mut header = Vec::new();
    header.extend_from_slice(&u32::try_from(texts.len()).unwrap().to_be_bytes());
    header.extend_from_slice(&u32::try_from(values.len()).unwrap().to_be_bytes());
    header.extend(index);
    header.extend(values);
    header
}

fn check(facts: Vec<Fact>) {
    assert_eq!(problems(&facts), Vec::<&Unreadable>::new());
    let mut owned: Vec<(String, Vec<Box<str>>)> = Vec::new();
    for fact in &facts {
        if let Fact::Owned { kind, package, files } = fact {
            assert_eq!(*kind, PackageKind::Rpm);
            owned.push((package.clone(), files.clone()));
        }
    }
    owned.sort();
    assert_eq!(owned[0].0, "app-libs:x86_64");
    assert_eq!(owned[0].1, [Box::from("usr/lib64/libapp.so.1")]);
    let app = &owned[1].1;
    assert!(
        app.contains(&Box::from("usr/bin/app")) && app.contains(&Box::from("usr/lib/node_modules/inner/package.json"))
    );
    assert_eq!(app.len(), 155, "folders and 150 files");
    let mut drafts = packages(facts);
    drafts.sort_by(|a, b| a.name.cmp(&b.name));
    let told: Vec<_> = drafts.iter().map(|d| (d.name.as_str(), d.version.as_deref())).collect();
    // What `rpm -qa --qf '%{epoch}:%{name}-%{version}-%{release}'` of the same database printed.
    assert_eq!(
        told,
        [
            ("app", Some("2:1.4.0-3")),
            ("app-libs", Some("2:1.4.0-3")),
            ("tool", Some("0:1.0~rc1-3"))
        ]
    );
    let app = &drafts[0];
    assert_eq!(app.architecture.as_deref(), Some("x86_64"));
    assert_eq!(app.modularity.as_deref(), Some("app:stable:8020020240101:abcdef12"));
    assert_eq!(app.licences, ["MIT AND Apache-2.0"]);
    assert_eq!(app.supplier.as_deref(), Some("Example Vendor"));
    assert_eq!(app.homepage.as_deref(), Some("https://example.org/app"));
    assert_eq!(app.description.as_deref(), Some("An application for tests"));
    assert_eq!(drafts[1].licences, ["LGPL-2.1-or-later"]);
    let source = Source {
        name: "app".to_owned(),
        version: Some("1.4.0-3".to_owned()),
    };
    assert_eq!(app.source, Some(source));
    assert!(app.needs.contains(&Need::AnyOf(vec!["tool".to_owned()])));
    assert!(drafts[2].provides.contains(&"tool".to_owned()));
}

#[test]
fn sqlite_says_what_rpm_says() {
    check(facts_of("var/lib/rpm/rpmdb.sqlite", &inflated(SQLITE)));
    check(facts_of("usr/lib/sysimage/rpm/rpmdb.sqlite", &inflated(SQLITE)));
}

#[test]
fn berkeley_db_says_what_rpm_says() {
    check(facts_of("var/lib/rpm/Packages", &inflated(BERKELEY)));
}

#[test]
fn ndb_is_read_slot_by_slot() {
    let zlib = header(&[
        (1000, "zlib"),
        (1001, "1.2.11"),
        (1002, "150000.3.1"),
        (1044, "zlib-1.2.11-150000.3.1.src.rpm"),
    ]);
    let key = header(&[(1000, "gpg-pubkey"), (1001, "1"), (1002, "2")]);
    let facts = facts_of("usr/lib/sysimage/rpm/Packages.db", &ndb(&[&zlib, &key]));
    assert!(problems(&facts).is_empty());
    let drafts = packages(facts);
    assert_eq!(drafts.len(), 1, "a key is no package");
    assert_eq!(drafts[0].version.as_deref(), Some("1.2.11-150000.3.1"));
    assert_eq!(
        drafts[0].source.as_ref().map(|source| source.name.as_str()),
        Some("zlib")
    );
}

#[test]
fn a_damaged_header_costs_itself_only() {
    let good = header(&[(1000, "good"), (1001, "1"), (1002, "2")]);
    let nameless = header(&[(1001, "1"), (1002, "2")]);
    let facts = facts_of("var/lib/rpm/Packages.db", &ndb(&[&nameless, &good, &[0xff; 40]]));
    assert_eq!(problems(&facts)[0].reason, "2 of its headers are not a package's");
    assert_eq!(packages(facts)[0].name, "good");
}

#[test]
fn a_damaged_database_is_noted() {
    let mut cut = inflated(SQLITE);
    cut.truncate(8192);
    let facts = facts_of("var/lib/rpm/rpmdb.sqlite", &cut);
    assert!(problems(&facts)[0].reason.starts_with("it has no page"), "{facts:?}");
    let mut circle = inflated(SQLITE);
    // The root of Packages (page 2) becomes an interior page whose children are itself.
    circle[4096..4096 + 12].copy_from_slice(&[5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
    let facts = facts_of("var/lib/rpm/rpmdb.sqlite", &circle);
    assert_eq!(problems(&facts)[0].reason, "its pages lead in a circle");
    for (path, expected) in [
        ("var/lib/rpm/rpmdb.sqlite", "it does not start as an SQLite database"),
        (
            "var/lib/rpm/Packages.db",
            "it does not start as an ndb database of version 0",
        ),
        ("var/lib/rpm/Packages", "it does not start as a Berkeley DB hash table"),
    ] {
        let facts = facts_of(path, &[b'x'; 9000]);
        assert_eq!(
            (problems(&facts)[0].code, problems(&facts)[0].reason.as_str()),
            ("rpm-database-malformed", expected)
        );
        assert!(facts_of(path, b"").is_empty());
    }
    let mut berkeley = inflated(BERKELEY);
    // The first page of a chain comes to lead to itself.
    let overflow = (1..)
        .find(|page| berkeley[page * 4096 + 25] == 7 && berkeley[page * 4096 + 16] != 0)
        .unwrap();
    let next = u32::try_from(overflow).unwrap().to_le_bytes();
    berkeley[overflow * 4096 + 16..][..4].copy_from_slice(&next);
    let facts = facts_of("var/lib/rpm/Packages", &berkeley);
    assert!(problems(&facts)[0].reason.starts_with("a value has "), "{facts:?}");
}

#[test]
fn a_write_ahead_log_is_noted_unless_empty() {
    assert!(facts_of("var/lib/rpm/rpmdb.sqlite-wal", b"").is_empty());
    let error = read_bytes("var/lib/rpm/rpmdb.sqlite-wal", b"7\x7f\x06\x82").unwrap_err();
    assert_eq!(error.code, "rpm-write-ahead-log");
}

#[test]
fn mariner_lists_packages_in_columns() {
    let line = "zlib\t1.2.12-2.cm2\t1\t2\tMicrosoft Corporation\t(none)\t3\tx86_64\t0\tzlib-1.2.12-2.cm2.src.rpm\n";
    let facts = facts_of(
        "var/lib/rpmmanifest/container-manifest-2",
        format!("{line}broken\n").as_bytes(),
    );
    assert_eq!(problems(&facts)[0].code, "rpm-manifest-malformed");
    let drafts = packages(facts);
    assert_eq!(drafts[0].version.as_deref(), Some("1.2.12-2.cm2"));
    assert_eq!(drafts[0].supplier.as_deref(), Some("Microsoft Corporation"));
}

proptest! {
    #[test]
    fn changed_databases_do_no_harm(at in 0usize..60_000, value: u8, which in 0usize..2) {
        let (path, bytes) = [("var/lib/rpm/rpmdb.sqlite", SQLITE), ("var/lib/rpm/Packages", BERKELEY)][which];
        let mut bytes = inflated(bytes);
        let at = at % bytes.len();
        bytes[at] = value;
        let _ = read_bytes(path, &bytes);
    }
}
