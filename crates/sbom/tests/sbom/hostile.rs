//! Images made to stop, flood or mislead whoever looks inside: bounded time and memory, a note that names the file, and
//! the rest of the bill intact.

use std::io::{self, Read, Write as _};

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder};
use proofmark_oci::union::{Layer, Limits};
use proofmark_oci::{Descriptor, media_types};
use proofmark_sbom::{Bill, Note, Options, catalog};
use proofmark_types::{Digest, Hasher, MediaType};

use crate::image::{Files, Image, OS_RELEASE, status};

/// The rest, which must stay whatever else there is.
fn rest() -> Files {
    Files::new()
        .file("usr/lib/os-release", OS_RELEASE)
        .file("var/lib/dpkg/status", status(&["libc6 2.36-9"]))
        .file("node_modules/good/package.json", r#"{"name":"good","version":"1.0.0"}"#)
}

fn is_rest_intact(bill: &Bill) -> bool {
    ["libc6", "good"]
        .iter()
        .all(|name| bill.packages.iter().any(|package| package.name == *name))
}

fn notes(bill: &Bill) -> Vec<(&str, &str)> {
    bill.notes.iter().map(|note| (note.path.as_str(), note.code)).collect()
}

/// The bill of an image with these files on top of the rest.
fn with_rest(files: Files) -> Bill {
    let bill = Image::of([rest(), files]).bill();
    assert!(is_rest_intact(&bill), "{:?}", bill.packages);
    bill
}

/// A zip archive of one file.
fn zip(name: &str, content: &[u8]) -> Vec<u8> {
    let mut deflate = DeflateEncoder::new(Vec::new(), Compression::fast());
    deflate.write_all(content).expect("memory takes all");
    zip_of(name, &deflate.finish().expect("memory takes all"), content.len())
}

fn zip_of(name: &str, data: &[u8], length: usize) -> Vec<u8> {
    let word = |value: usize| u32::try_from(value).expect("a small archive").to_le_bytes();
    let short = |value: usize| u16::try_from(value).expect("a short name").to_le_bytes();
    let sizes = [&[0; 4][..], &word(data.len()), &word(length), &short(name.len())].concat();
    let fields = [&[20, 0, 0, 0, 8, 0, 0, 0, 0, 0][..], &sizes, &[0, 0]].concat();
    let local = [b"PK\x03\x04", fields.as_slice(), name.as_bytes(), data].concat();
    let listed = [b"PK\x01\x02\x14\0", fields.as_slice(), &[0; 14], name.as_bytes()].concat();
    let end = [
        b"PK\x05\x06\0\0\0\0\x01\0\x01\0".as_slice(),
        &word(listed.len()),
        &word(local.len()),
        &[0, 0],
    ];
    [local, listed, end.concat()].concat()
}

#[test]
fn a_jar_that_inflates_without_end_is_noted() {
    // 1 GB of zeros as deflate: a block of 16 MB as often as it takes.
    let mut deflate = DeflateEncoder::new(Vec::new(), Compression::fast());
    let zeros = vec![0; 1 << 20];
    for _ in 0..1024 {
        deflate.write_all(&zeros).unwrap();
    }
    let inner = zip_of("inner.jar", &deflate.finish().unwrap(), 1 << 30);
    let bill = with_rest(Files::new().file("opt/app.jar", inner));
    assert_eq!(notes(&bill), [("opt/app.jar", "java-archive-too-large")]);
    assert!(bill.notes[0].may_hide_packages());
}

#[test]
fn a_jar_in_a_jar_a_hundred_deep_is_noted() {
    let mut jar = zip("META-INF/MANIFEST.MF", b"Implementation-Title: x\n");
    for _ in 0..100 {
        jar = zip("inner.jar", &jar);
    }
    let bill = with_rest(Files::new().file("opt/app.jar", jar));
    assert_eq!(notes(&bill), [("opt/app.jar", "java-archive-too-deep")]);
    assert!(bill.notes[0].may_hide_packages());
}

/// Zeros without end.
struct Zeros;

impl Read for Zeros {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        buffer.fill(0);
        Ok(buffer.len())
    }
}

fn header(path: &str, size: u64) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_path(path).expect("a short path");
    header.set_size(size);
    header.set_mode(0o644);
    header.set_cksum();
    header.as_bytes().to_vec()
}

#[test]
fn a_text_of_two_gigabytes_called_package_json_is_noted() {
    let size = 2u64 << 30;
    // Uncompressed: a layer that compresses so well is refused as a bomb, as another test has it.
    let open = move || -> io::Result<Box<dyn Read + Send>> {
        let head = io::Cursor::new(header("node_modules/huge/package.json", size));
        Ok(Box::new(head.chain(Zeros.take(size + 1024))))
    };
    let (mut hasher, mut buffer) = (Hasher::sha256(), vec![0; 1 << 20]);
    let mut tar = open().unwrap();
    while let length @ 1.. = tar.read(&mut buffer).unwrap() {
        hasher.update(&buffer[..length]);
    }
    let digest = hasher.finish();
    let mut descriptor = Descriptor::of(MediaType::parse(media_types::OCI_LAYER).unwrap(), b"");
    descriptor.digest = digest.clone();
    descriptor.size = 512 + size + 1024;
    let huge = Layer {
        descriptor: &descriptor,
        diff_id: &digest,
        source: &open,
    };
    let image = Image::of([rest()]);
    let bill = catalog(&[image.layers()[0], huge], &Options::default()).unwrap();
    assert!(is_rest_intact(&bill));
    assert_eq!(notes(&bill), [("node_modules/huge/package.json", "metadata-too-large")]);
    assert!(bill.notes[0].may_hide_packages());
}

/// Many entries and names cost memory, so there is a bound: past it, what tells of packages is still listed, wherever in
/// the layers it stands, and a note says that something may be missing.
#[test]
fn beside_too_many_files_the_packages_are_still_listed() {
    let crowd = |count: usize| (0..count).fold(Files::new(), |files, n| files.file(&format!("d/{n}"), ""));
    let limited = |entries, names| Options {
        limits: Limits {
            entries,
            names,
            ..Limits::default()
        },
        ..Options::default()
    };
    let last = r#"{"name":"last","version":"1.0.0"}"#;
    let after = |files: Files| files.file("node_modules/last/package.json", last);
    let mut gone = crowd(1000).file("node_modules/.wh.hidden", "");
    gone = after(gone);
    let below = rest().file("node_modules/hidden/package.json", last);
    for image in [
        Image::of([below, gone]),
        Image::of([rest(), after(crowd(1000))]),
        Image::of([after(crowd(1000)), rest()]),
        Image::of([crowd(500), rest(), after(crowd(1500))]),
    ] {
        let whole = image.catalog(&limited(4000, 4000)).unwrap();
        assert_eq!(whole.notes, []);
        for options in [limited(300, 4000), limited(4000, 300), limited(300, 300)] {
            let bill = image.catalog(&options).unwrap();
            assert_eq!(bill.packages, whole.packages, "{options:?}");
            assert!(!bill.notes.is_empty());
            for note in &bill.notes {
                assert_eq!(note.code, "layer-too-many-entries");
                assert!(
                    note.path.starts_with("layer ") && note.reason.contains("sha256:"),
                    "{note:?}"
                );
                assert!(note.may_hide_packages(), "a gate is left undecided");
            }
        }
    }
}

/// Files that pretend to matter have a bound as well.
#[test]
fn too_many_files_that_matter_are_left_out_and_said() {
    let package = |n: usize| format!("app/p{n}/node_modules/p{n}/package.json");
    let text = |n: usize| format!(r#"{{"name":"p{n}","version":"1.0.0"}}"#);
    let files = (0..1000).fold(Files::new(), |files, n| files.file(&package(n), text(n)));
    let image = Image::of([files]);
    let options = Options {
        limits: Limits {
            entries: 400,
            ..Limits::default()
        },
        ..Options::default()
    };
    let bill = image.catalog(&options).unwrap();
    assert_eq!(bill.packages.len(), 500, "the bound and a quarter of it");
    assert_eq!(notes(&bill), [("layer 0", "layer-too-many-entries")]);
    assert!(bill.notes[0].may_hide_packages());
    assert!(
        bill.notes[0].reason.starts_with("500 of its entries are left out"),
        "{}",
        bill.notes[0].reason
    );
}

#[test]
fn links_in_circles_end() {
    let bill = with_rest(
        Files::new()
            .symlink("a", "b")
            .symlink("b", "a")
            .symlink("self", "self")
            .symlink("usr/share/doc/libc6", "libc6")
            .symlink("usr/share/doc/one", "two")
            .symlink("usr/share/doc/two", "one")
            .link("node_modules/x/package.json", "node_modules/y/package.json")
            .link("node_modules/y/package.json", "node_modules/x/package.json"),
    );
    assert_eq!(
        notes(&bill),
        [
            ("node_modules/x/package.json", "hard-link-dangling"),
            ("node_modules/y/package.json", "hard-link-dangling"),
        ]
    );
}

/// The distribution's own tools follow links to their database, so an image can put it where we do not look.
#[test]
fn a_database_that_links_lead_elsewhere_is_noted() {
    let installed = status(&["hidden 1"]);
    let elsewhere = |files: Files| {
        let bill = Image::of([files.file("node_modules/good/package.json", r#"{"name":"good","version":"1"}"#)]).bill();
        assert!(bill.notes.iter().all(Note::may_hide_packages));
        bill.notes
            .into_iter()
            .map(|note| (note.path, note.code))
            .collect::<Vec<_>>()
    };
    let noted = [("var/lib/dpkg/status".to_owned(), "package-database-elsewhere")];
    let file = Files::new()
        .symlink("var/lib/dpkg/status", "../../../opt/x")
        .file("opt/x", &installed);
    assert_eq!(elsewhere(file), noted);
    let folder = Files::new()
        .symlink("var/lib/dpkg", "/opt/dpkg")
        .file("opt/dpkg/status", &installed);
    assert_eq!(elsewhere(folder), noted);
    let chain = Files::new()
        .symlink("var", "one")
        .symlink("one", "./two")
        .file("two/lib/dpkg/status", &installed);
    assert_eq!(elsewhere(chain), noted);
    // Nothing there, a circle, and the places that distributions have links between.
    for files in [
        Files::new().symlink("var", "tmp"),
        Files::new().symlink("var/lib/dpkg", "dpkg"),
        Files::new()
            .symlink("lib", "usr/lib")
            .file("usr/lib/apk/db/installed", "P:x\nV:1\n"),
        Files::new()
            .symlink("var/lib/rpm", "../../usr/lib/sysimage/rpm")
            .file("usr/lib/sysimage/rpm/Packages", ""),
    ] {
        assert_eq!(elsewhere(files), []);
    }
}

/// What a tar says of its names is not for its readers to decide: any name that leaves the root refuses the layer.
#[test]
fn names_that_leave_the_root_refuse_the_image() {
    let with_name = |name: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.set_size(0);
        header.set_mode(0o644);
        header.set_cksum();
        let image = Image::of([rest(), Files::raw(&[header.as_bytes().as_slice(), &[0; 1024]].concat())]);
        image.catalog(&Options::default())
    };
    for name in ["../etc/passwd", "a/../../b", "a/..", "/../x"] {
        assert_eq!(
            with_name(name.as_bytes()).unwrap_err().code(),
            "layer-path-escape",
            "{name}"
        );
    }
    // Absolute names are names from the root; a backslash is a letter like any other; a name ends at a NUL.
    for name in ["/node_modules/x/package.json", "..\\..\\x", "a\0/../../b"] {
        assert!(is_rest_intact(&with_name(name.as_bytes()).unwrap()), "{name}");
    }
}

#[test]
fn a_layer_that_is_a_bomb_is_refused_by_name() {
    let gzip = |bytes: &[u8]| {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        gzip.write_all(bytes).unwrap();
        gzip.finish().unwrap()
    };
    let head = gzip(&header("node_modules/x/package.json", 640 << 20));
    let blob = [head, gzip(&vec![0; 8 << 20]).repeat(80)].concat();
    let descriptor = Descriptor::of(MediaType::parse(media_types::OCI_LAYER_GZIP).unwrap(), &blob);
    let source = move || -> io::Result<Box<dyn Read + Send>> { Ok(Box::new(io::Cursor::new(blob.clone()))) };
    let layer = Layer {
        descriptor: &descriptor,
        diff_id: &Digest::sha256_of(b"never reached"),
        source: &source,
    };
    let error = catalog(&[layer], &Options::default()).unwrap_err();
    assert_eq!(error.code(), "layer-bomb");
    assert!(error.to_string().contains(&descriptor.digest.to_string()), "{error}");
}

#[test]
fn more_notes_than_are_kept_are_counted() {
    let files = (0..10_003).fold(Files::new(), |files, n| {
        files.file(&format!("node_modules/bad{n}/package.json"), "{")
    });
    let bill = with_rest(files);
    assert_eq!(bill.notes.len(), 10_001);
    let last = bill.notes.iter().find(|note| note.code == "notes-too-many").unwrap();
    assert_eq!(last.reason, "3 more notes are left out");
    assert!(last.may_hide_packages());
}
