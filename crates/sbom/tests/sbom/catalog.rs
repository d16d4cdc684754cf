//! What a bill says of an image.

use proofmark_oci::union::Limits;
use proofmark_sbom::{Bill, Options, PackageKind, Uncertainty};
use proofmark_types::{Digest, DigestAlgorithm};

use crate::image::{Files, Image, OS_RELEASE, debian, named, needs, status};

fn purls(bill: &Bill) -> Vec<String> {
    bill.packages
        .iter()
        .filter_map(|package| package.purl.as_ref())
        .map(ToString::to_string)
        .collect()
}

#[test]
fn a_debian_image_has_what_is_visible_in_it() {
    let bill = debian().bill();
    assert_eq!(bill.distribution.as_ref().unwrap().qualifier(), "debian-12");
    assert_eq!(
        purls(&bill),
        [
            "pkg:deb/debian/curl@7.88.1-10?arch=amd64&distro=debian-12",
            "pkg:deb/debian/libc6@2.36-9?arch=amd64&distro=debian-12",
            "pkg:deb/debian/node-abbrev@1.1.1-2?arch=amd64&distro=debian-12",
            "pkg:deb/debian/python3-six@1.16.0-4?arch=amd64&distro=debian-12",
            "pkg:npm/abbrev@1.0.9",
            "pkg:npm/abbrev@1.1.1",
            "pkg:npm/left@2.0.0",
            "pkg:npm/left-outer@1.0.0",
            "pkg:npm/web@1.0.0",
            "pkg:pypi/flask@2.0",
            "pkg:pypi/six@1.0",
            "pkg:pypi/six@1.16.0",
        ]
    );
    assert!(bill.notes.is_empty(), "{:?}", bill.notes);
    assert_eq!(bill.count(PackageKind::Deb), 4);
}

#[test]
fn a_package_is_of_the_layer_that_installed_it() {
    let bill = debian().bill();
    // The status file is of the second layer throughout; the lists of files are not.
    assert_eq!(named(&bill, "libc6").locations[0].layer, 0);
    assert_eq!(named(&bill, "curl").locations[0].layer, 1);
    assert_eq!(named(&bill, "web").locations[0].layer, 2);
    assert_eq!(bill.layers.len(), 3);
}

#[test]
fn language_packages_of_system_packages_say_so_and_stay() {
    let bill = debian().bill();
    let owner = |version: &str, name: &str| {
        let package = bill
            .packages
            .iter()
            .find(|p| p.name == name && p.version.as_deref() == Some(version));
        let owner = package.unwrap().owned_by.as_ref();
        owner.map(|id| bill.package(id).unwrap().name.clone())
    };
    assert_eq!(owner("1.16.0", "six").as_deref(), Some("python3-six"));
    assert_eq!(owner("1.1.1", "abbrev").as_deref(), Some("node-abbrev"));
    assert_eq!(owner("1.0", "six"), None);
    assert_eq!(owner("1.0.9", "abbrev"), None);
}

#[test]
fn needs_are_met_where_each_kind_looks() {
    let bill = debian().bill();
    assert_eq!(
        needs(&bill),
        [
            "Flask -> six",
            "curl -> libc6",
            "node-abbrev -> libc6",
            "python3-six -> libc6",
            "web -> abbrev",
            "web -> left",
        ]
    );
    let six = bill
        .relationships
        .iter()
        .find(|r| bill.package(&r.from).unwrap().name == "Flask")
        .unwrap();
    assert_eq!(
        bill.package(&six.to).unwrap().version.as_deref(),
        Some("1.0"),
        "of the same folder"
    );
}

#[test]
fn licences_follow_documentation_links() {
    let bill = debian().bill();
    for name in ["libc6", "curl"] {
        assert_eq!(
            named(&bill, name).licences[0].expression(),
            Some("LGPL-2.1-or-later"),
            "{name}"
        );
    }
    let left = named(&bill, "left");
    assert_eq!(left.licences[0].text(), "See the file");
    assert_eq!(left.licences[0].expression(), None);
}

#[test]
fn two_runs_are_equal() {
    assert_eq!(debian().bill(), debian().bill());
}

#[test]
fn the_same_package_in_two_places_is_one_with_two_locations() {
    let json = r#"{"name":"x","version":"1.0.0"}"#;
    let image = Image::of([
        Files::new().file("a/node_modules/x/package.json", json),
        Files::new().file("b/node_modules/x/package.json", json),
    ]);
    let bill = image.bill();
    let x = named(&bill, "x");
    let places: Vec<_> = x.locations.iter().map(|l| format!("{}@{}", l.path, l.layer)).collect();
    assert_eq!(
        places,
        ["a/node_modules/x/package.json@0", "b/node_modules/x/package.json@1"]
    );
}

#[test]
fn an_alpine_package_is_of_the_lowest_layer_with_a_file_of_it() {
    let installed = |extra: &str| format!("P:musl\nV:1.2\nA:x86_64\nL:MIT\no:musl\nF:lib\nR:ld.so\n\n{extra}");
    let more = "P:zlib-dev\nV:1.3\nA:x86_64\no:zlib\nD:musl\nF:usr/include\nR:zlib.h\n\n";
    let image = Image::of([
        Files::new()
            .file("etc/os-release", "ID=alpine\nVERSION_ID=3.20.1\n")
            .file("lib/apk/db/installed", installed(""))
            .file("lib/ld.so", "x"),
        Files::new()
            .file("lib/apk/db/installed", installed(more))
            .file("usr/include/zlib.h", "x"),
    ]);
    let bill = image.bill();
    assert_eq!(named(&bill, "musl").locations[0].layer, 0);
    assert_eq!(named(&bill, "zlib-dev").locations[0].layer, 1);
    assert_eq!(
        purls(&bill),
        [
            "pkg:apk/alpine/musl@1.2?arch=x86_64&distro=alpine-3.20.1",
            "pkg:apk/alpine/zlib-dev@1.3?arch=x86_64&distro=alpine-3.20.1&upstream=zlib",
        ]
    );
    assert_eq!(needs(&bill), ["zlib-dev -> musl"]);
}

#[test]
fn distroless_packages_are_found() {
    let image = Image::of([Files::new()
        .file("etc/os-release", OS_RELEASE)
        .file(
            "var/lib/dpkg/status.d/tzdata",
            "Package: tzdata\nVersion: 2024a\nArchitecture: all\n",
        )
        .file("var/lib/dpkg/status.d/tzdata.md5sums", "00 usr/share/zoneinfo/UTC\n")]);
    assert_eq!(
        purls(&image.bill()),
        ["pkg:deb/debian/tzdata@2024a?arch=all&distro=debian-12"]
    );
}

#[test]
fn a_file_that_cannot_be_read_is_noted_not_passed_over() {
    let image = Image::of([Files::new()
        .file("node_modules/bad/package.json", "{")
        .file("node_modules/good/package.json", r#"{"name":"good","version":"1"}"#)
        .link("node_modules/gone/package.json", "nowhere")]);
    let bill = image.bill();
    let codes: Vec<_> = bill.notes.iter().map(|note| (note.path.as_str(), note.code)).collect();
    assert_eq!(
        codes,
        [
            ("node_modules/bad/package.json", "npm-package-json-malformed"),
            ("node_modules/gone/package.json", "hard-link-dangling"),
        ]
    );
    assert_eq!(bill.packages.len(), 1);
}

#[test]
fn uncertain_identities_say_so() {
    let image = Image::of([Files::new().file("node_modules/x/package.json", r#"{"name":"x"}"#)]);
    let bill = image.bill();
    assert_eq!(bill.packages[0].uncertain, Some(Uncertainty::NoVersion));
    assert_eq!(purls(&bill), ["pkg:npm/x"]);
}

#[test]
fn metadata_over_the_bound_are_noted() {
    let huge = vec![b' '; 33 * 1024 * 1024];
    let image = Image::of([Files::new().file("node_modules/x/package.json", huge)]);
    assert_eq!(image.bill().notes[0].code, "metadata-too-large");
}

#[test]
fn programs_over_the_bound_are_scanned_for_what_build_tools_leave() {
    let mut program = b"\x7fELF\x02\x01\x01".to_vec();
    program.resize(49 * 1024 * 1024, 0);
    let silent = program.clone();
    // Before Go 1.18 pointers led to the texts.
    let mut old = program.clone();
    old.extend_from_slice(b"\xff Go buildinf:\x08\x00");
    old.resize(old.len().next_multiple_of(64), 0);
    let list = r#"{"packages":[{"name":"big-crate","version":"0.3.1","source":"crates.io","dependencies":[1],"root":true},{"name":"serde","version":"1.0.200","source":"crates.io"}]}"#;
    let packed = |text: &str| {
        let mut packer = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        std::io::Write::write_all(&mut packer, text.as_bytes()).unwrap();
        packer.finish().unwrap()
    };
    let mut rust = program.clone();
    rust.extend_from_slice(&packed(
        "some other text that was compressed, and is no list of anything at all, whatever it says",
    ));
    rust.extend_from_slice(&packed(list));
    rust.extend_from_slice(&[0; 5000]);
    let mut cut = program.clone();
    cut.extend_from_slice(&packed(list)[..100]);
    cut.extend_from_slice(&[0; 500]);
    let modules = [&[0; 16][..], b"mod\texample.com/big\tv1.2.3\n", &[0; 16]].concat();
    program.extend_from_slice(b"\xff Go buildinf:\x08\x02");
    program.resize(program.len().next_multiple_of(32), 0);
    program.extend_from_slice(b"\x08go1.22.1");
    program.push(u8::try_from(modules.len()).unwrap());
    program.extend_from_slice(&modules);
    let image = Image::of([Files::new()
        .program("usr/bin/big", &program)
        .program("usr/bin/cut", &cut)
        .program("usr/bin/old", &old)
        .program("usr/bin/rust", &rust)
        .program("usr/bin/silent", &silent)]);
    let bill = image.bill();
    assert_eq!(
        purls(&bill),
        [
            "pkg:cargo/big-crate@0.3.1",
            "pkg:cargo/serde@1.0.200",
            "pkg:golang/example.com/big@v1.2.3",
            "pkg:golang/stdlib@1.22.1"
        ]
    );
    let crates = &bill.packages[..2];
    assert!(
        crates
            .iter()
            .all(|each| each.uncertain == Some(Uncertainty::FromContent))
    );
    assert_eq!(crates[0].file.as_ref().map(|file| file.name.as_str()), Some("rust"));
    let sha512 = Digest::of(DigestAlgorithm::Sha512, &rust).hex();
    assert_eq!(
        crates[0].hashes.iter().map(|hash| hash.hex()).collect::<Vec<_>>(),
        [sha512]
    );
    let notes: Vec<_> = bill.notes.iter().map(|note| (note.path.as_str(), note.code)).collect();
    assert_eq!(
        notes,
        [
            ("usr/bin/cut", "rust-dependency-list-malformed"),
            ("usr/bin/old", "executable-too-large")
        ]
    );
}

#[test]
fn file_digests_are_listed_on_request() {
    let image = Image::of([Files::new().file("a", "abc").link("b", "a").file("c", "")]);
    let options = Options {
        file_digests: true,
        ..Options::default()
    };
    let bill = image.catalog(&options).unwrap();
    let abc = Digest::sha256_of(b"abc");
    assert_eq!(
        bill.file_digests,
        [
            ("a".to_owned(), abc.clone()),
            ("b".to_owned(), abc),
            ("c".to_owned(), Digest::sha256_of(b""))
        ]
    );
    assert_eq!(bill.files, 3);
    assert!(image.bill().file_digests.is_empty());
}

#[test]
fn a_bad_layer_is_an_error_with_its_own_name() {
    let mut image = debian();
    image.blob(1)[40] ^= 1;
    let error = image.catalog(&Options::default()).unwrap_err();
    assert_eq!(error.code(), "layer-digest-mismatch");
    assert!(!error.is_unreachable());
    assert!(error.to_string().starts_with("layer 1 (sha256:"), "{error}");
}

#[test]
fn the_limits_are_the_callers() {
    let options = Options {
        limits: Limits {
            entries: 3,
            ..Limits::default()
        },
        ..Options::default()
    };
    let bill = debian().catalog(&options).unwrap();
    assert!(bill.notes.iter().any(|note| note.code == "layer-too-many-entries"));
}

#[test]
fn an_image_of_nothing_has_an_empty_bill() {
    let bill = Image::of([]).bill();
    assert_eq!(bill, Bill::default());
    let bill = Image::of([Files::new().file("var/lib/dpkg/status", status(&["a 1"]))]).bill();
    assert_eq!(bill.distribution, None);
    assert_eq!(purls(&bill), ["pkg:deb/a@1?arch=amd64"]);
}
