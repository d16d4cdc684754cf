//! The database of every package manager, cut off and written over at places drawn by a seed: whatever comes of it is
//! facts or a problem by name, and of the forms with lengths in them no package goes without a word.

use std::io::Read as _;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::ZlibEncoder;

use super::executables::elf;
use super::rpm::ndb_of_fixture;
use super::*;

/// How often each file is damaged, each way.
const TIMES: u64 = 40;

/// What one damaged file may take: a thousand times what the whole one does.
const PATIENCE: Duration = Duration::from_secs(20);

fn fixture(gzip: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    GzDecoder::new(gzip).read_to_end(&mut bytes).unwrap();
    bytes
}

fn zlib(text: &str) -> Vec<u8> {
    let mut bytes = ZlibEncoder::new(Vec::new(), Compression::fast());
    std::io::Write::write_all(&mut bytes, text.as_bytes()).unwrap();
    bytes.finish().unwrap()
}

/// Databases of whole distributions, and how many packages each names.
fn systems() -> Vec<(&'static str, Vec<u8>, usize)> {
    vec![
        (
            "var/lib/dpkg/status",
            STATUS.into(),
            packages(read("var/lib/dpkg/status", STATUS).unwrap()).len(),
        ),
        (
            "usr/lib/opkg/status",
            "Package: a\nVersion: 1\nStatus: install user installed\n\n".into(),
            1,
        ),
        ("var/lib/dpkg/status.d/a", "Package: a\nVersion: 1\n".into(), 1),
        (
            "lib/apk/db/installed",
            "C:Q1\nP:a\nV:1\nF:usr\nR:x\n\nP:b\nV:2\n\n".into(),
            2,
        ),
        (
            "var/lib/pacman/local/a-1-1/desc",
            "%NAME%\na\n\n%VERSION%\n1-1\n\n".into(),
            1,
        ),
        (
            "var/lib/rpmmanifest/container-manifest-2",
            "a\t1-1\t1\t1\tv\t(none)\t1\tx86_64\t0\ta-1-1.src.rpm\n".into(),
            1,
        ),
        (
            "var/lib/rpm/rpmdb.sqlite",
            fixture(include_bytes!("../../../tests/fixtures/rpm/rpmdb.sqlite.gz")),
            3,
        ),
        (
            "var/lib/rpm/Packages",
            fixture(include_bytes!("../../../tests/fixtures/rpm/Packages.gz")),
            3,
        ),
        ("var/lib/rpm/Packages.db", ndb_of_fixture(), 3),
    ]
}

/// Files of languages.
fn languages() -> Vec<(&'static str, Vec<u8>)> {
    macro_rules! file {
        ($name:literal) => {
            include_bytes!(concat!("../../../tests/fixtures/", $name)).to_vec()
        };
    }
    let text = |text: &str| text.as_bytes().to_vec();
    vec![
        (
            "a/x-1.0.dist-info/METADATA",
            text("Name: x\nVersion: 1.0\nRequires-Dist: y\n"),
        ),
        ("a/x-1.0.egg-info/PKG-INFO", text("Name: x\nVersion: 1.0\n")),
        (
            "a/node_modules/x/package.json",
            text(r#"{"name":"x","version":"1.0.0","dependencies":{"y":"1"}}"#),
        ),
        (
            "a/specifications/hello-gem-1.2.3.gemspec",
            file!("ruby/hello-gem-1.2.3.gemspec"),
        ),
        ("vendor/composer/installed.json", file!("php/installed.json")),
        (
            "app/x.deps.json",
            text(r#"{"libraries":{"A/1.0.0":{"type":"package","serviceable":true,"sha512":""}}}"#),
        ),
        (
            "opt/conda-meta/x.json",
            text(r#"{"name":"x","version":"1","build":"0","depends":["y"]}"#),
        ),
        ("a/package-lock.json", file!("javascript/package-lock-v2.json")),
        ("a/pnpm-lock.yaml", file!("javascript/pnpm-v9.yaml")),
        ("a/yarn.lock", file!("javascript/yarn-berry.lock")),
        ("b/yarn.lock", file!("javascript/yarn-v1.lock")),
        ("a/composer.lock", file!("php/composer.lock")),
        (
            "a/Cargo.lock",
            text("version = 3\n[[package]]\nname = \"x\"\nversion = \"1.0.0\"\n"),
        ),
        (
            "a/Gemfile.lock",
            text("GEM\n  remote: https://rubygems.org/\n  specs:\n    x (1.0)\n"),
        ),
        ("a/poetry.lock", text("[[package]]\nname = \"x\"\nversion = \"1.0\"\n")),
        (
            "a/packages.lock.json",
            text(r#"{"version":1,"dependencies":{"net8.0":{"A":{"type":"Direct","resolved":"1.0.0"}}}}"#),
        ),
        (
            "a/Package.resolved",
            text(
                r#"{"version":2,"pins":[{"identity":"x","kind":"remoteSourceControl","location":"https://h/o/x.git","state":{"version":"1.0.0"}}]}"#,
            ),
        ),
        (
            "a/pubspec.lock",
            text("packages:\n  x:\n    source: hosted\n    version: \"1.0.0\"\n"),
        ),
        (
            "a/conan.lock",
            text(r#"{"version":"0.5","requires":["zlib/1.2.11#abc%1.0"]}"#),
        ),
        ("a/all.ear", file!("java/all.ear")),
        ("a/shaded.jar", file!("java/example-lib-1.2.0-shaded.jar")),
    ]
}

/// Programs that carry lists.
fn programs() -> Vec<Vec<u8>> {
    let crates = r#"{"packages":[{"name":"app","version":"0.1.0","source":"local","root":true}]}"#;
    let modules = [&[0x30; 16], "path\tx\nmod\tx\tv1.0.0\n".as_bytes(), &[0xf9; 16]].concat();
    let mut go = b"\xff Go buildinf:\x08\x02".to_vec();
    go.resize(32, 0);
    for text in [b"go1.22.1".as_slice(), &modules] {
        go.push(u8::try_from(text.len()).unwrap());
        go.extend_from_slice(text);
    }
    let json = r#"{"type":"deb","name":"x","version":"1"}"#;
    let note = [
        &[4, 0, 0, 0, u8::try_from(json.len() + 1).unwrap(), 0, 0, 0][..],
        &0xcafe_1a7e_u32.to_le_bytes(),
        b"FDO\0",
        json.as_bytes(),
        &[0; 5],
    ]
    .concat();
    vec![
        elf(".dep-v0", &zlib(crates)),
        elf(".go.buildinfo", &go),
        elf(".note.package", &note),
    ]
}

/// Numbers that look drawn (xorshift64*), the same each time.
struct Drawn(u64);

impl Drawn {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let drawn = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16;
        usize::try_from(drawn % u64::try_from(bound).unwrap()).unwrap()
    }
}

fn cut(bytes: &[u8], drawn: &mut Drawn) -> Vec<u8> {
    bytes[..drawn.below(bytes.len())].to_vec()
}

fn written_over(bytes: &[u8], drawn: &mut Drawn) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=drawn.below(8) {
        let at = drawn.below(bytes.len());
        bytes[at] ^= 1 << drawn.below(8);
    }
    bytes
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test of how long something takes asks the clock"
)]
fn timed<T>(what: &str, read: impl FnOnce() -> T) -> T {
    let started = Instant::now();
    let outcome = read();
    assert!(started.elapsed() < PATIENCE, "{what} took {:?}", started.elapsed());
    outcome
}

/// How many packages, and whether anything is said to be wrong.
fn outcome(read: Result<Vec<Fact>, Unreadable>) -> (usize, bool) {
    let Ok(facts) = read else { return (0, true) };
    let is_noted = facts.iter().any(|fact| matches!(fact, Fact::Problem(_)));
    (packages(facts).len(), is_noted)
}

#[test]
fn a_distributions_database_that_is_cut_off_says_so() {
    let mut drawn = Drawn(1);
    for (path, whole, count) in systems() {
        assert_eq!(outcome(read_bytes(path, &whole)), (count, false), "{path}");
        for _ in 0..TIMES {
            let part = cut(&whole, &mut drawn);
            let (seen, is_noted) = timed(path, || outcome(read_bytes(path, &part)));
            // A text that ends with a line may be whole, as far as anybody can tell, and so is nothing at all.
            let is_whole = part.is_empty() || part.ends_with(b"\n");
            let said = format!("{path} cut off after {} of {} bytes", part.len(), whole.len());
            assert!(
                seen == count || is_noted || is_whole,
                "{said}: {seen} packages and no note"
            );
        }
    }
}

#[test]
fn databases_that_are_written_over_end() {
    let mut drawn = Drawn(2);
    for (path, whole, _) in systems() {
        for _ in 0..TIMES {
            let damaged = written_over(&whole, &mut drawn);
            let _ = timed(path, || read_bytes(path, &damaged));
        }
    }
}

#[test]
fn damaged_files_of_languages_end() {
    let mut drawn = Drawn(3);
    for (path, whole) in languages() {
        let (count, is_noted) = outcome(read_bytes(path, &whole));
        assert!(count > 0 && !is_noted, "{path} is to be whole");
        for _ in 0..TIMES {
            for damaged in [cut(&whole, &mut drawn), written_over(&whole, &mut drawn)] {
                let _ = timed(path, || read_bytes(path, &damaged));
            }
        }
    }
}

#[test]
fn damaged_programs_end() {
    let mut drawn = Drawn(4);
    for whole in programs() {
        let (count, is_noted) = outcome(read_executable("usr/bin/x", &whole));
        assert!(count > 0 && !is_noted);
        for _ in 0..TIMES {
            for damaged in [cut(&whole, &mut drawn), written_over(&whole, &mut drawn)] {
                let _ = timed("a program", || read_executable("usr/bin/x", &damaged));
            }
        }
    }
}
