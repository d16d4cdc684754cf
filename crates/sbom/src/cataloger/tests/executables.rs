//! Rust and Go programs, made of little more than what the catalogers look at.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use object::write::{Object, StandardSegment};
use object::{Architecture, BinaryFormat, Endianness, SectionKind};
use proptest::prelude::*;

use super::super::{go_binary, rust_binary};
use super::*;

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(super) fn with_section(format: BinaryFormat, name: &str, data: &[u8]) -> Vec<u8> {
    let mut object = Object::new(format, Architecture::X86_64, Endianness::Little);
    let segment = object.segment_name(StandardSegment::Data).to_vec();
    let section = object.add_section(segment, name.as_bytes().to_vec(), SectionKind::Data);
    object.append_section_data(section, data, 16);
    object.write().unwrap()
}

pub(super) fn elf(name: &str, data: &[u8]) -> Vec<u8> {
    with_section(BinaryFormat::Elf, name, data)
}

const CRATES: &str = r#"{"packages":[
    {"name":"app","version":"0.1.0","source":"local","dependencies":[1,2],"root":true},
    {"name":"cc","version":"1.0.0","source":"crates.io","kind":"build"},
    {"name":"serde","version":"1.0.200","source":"crates.io","dependencies":[3]},
    {"name":"forked","version":"2.0.0","source":"git"}]}"#;

#[test]
fn rust_programs_list_their_crates() {
    for format in [BinaryFormat::Elf, BinaryFormat::MachO, BinaryFormat::Coff] {
        let program = with_section(format, ".dep-v0", &zlib(CRATES.as_bytes()));
        // A COFF object is no program; its section is read as that of one would be.
        let facts = match format {
            BinaryFormat::Coff => rust_binary::parse(&zlib(CRATES.as_bytes())).unwrap(),
            _ => read_executable("app", &program).unwrap(),
        };
        let drafts = packages(facts);
        let names: Vec<_> = drafts.iter().map(|draft| draft.name.as_str()).collect();
        assert_eq!(names, ["app", "serde", "forked"], "{format:?}");
        assert_eq!(drafts[0].needs, [Need::Sibling(1)]);
        assert_eq!(drafts[1].needs, [Need::Sibling(2)]);
        assert_eq!(drafts[0].uncertain, Some(Uncertainty::NotFromRegistry));
        assert_eq!(drafts[1].uncertain, None);
        assert_eq!(drafts[2].uncertain, Some(Uncertainty::NotFromRegistry));
    }
}

#[test]
fn broken_crate_lists_are_noted() {
    let bomb = vec![b' '; 9 * 1024 * 1024];
    for (name, section) in [
        ("not zlib", b"junk".to_vec()),
        ("cut", zlib(CRATES.as_bytes())[..30].to_vec()),
        ("not JSON", zlib(b"{")),
        ("other JSON", zlib(b"{}")),
        ("bomb", zlib(&bomb)),
        (
            "negative",
            zlib(br#"{"packages":[{"name":"a","version":"1","source":"s","dependencies":[-1]}]}"#),
        ),
    ] {
        let error = read_executable("app", &elf(".dep-v0", &section)).unwrap_err();
        assert_eq!(error.code, "rust-dependency-list-malformed", "{name}");
    }
    let out_of_range = zlib(br#"{"packages":[{"name":"a","version":"1","source":"crates.io","dependencies":[9]}]}"#);
    assert!(packages(rust_binary::parse(&out_of_range).unwrap())[0].needs.is_empty());
}

const MODULES: &str = "path\texample.com/cmd/app
mod\texample.com/app\t(devel)\t
dep\tgithub.com/Foo/bar/v2\tv2.1.0\th1:abc=
dep\texample.com/replaced\tv1.0.0
=>\texample.com/fork\tv1.0.1\th1:def=
dep\texample.com/local\tv1.0.0
=>\t./local\t
build\t-compiler=gc
";

fn framed(modules: &str) -> Vec<u8> {
    [&[0x30; 16], modules.as_bytes(), &[0xf9; 16]].concat()
}

fn varint(mut length: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while length >= 0x80 {
        bytes.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
        length >>= 7;
    }
    bytes.push(u8::try_from(length).unwrap());
    bytes
}

/// The header of Go 1.18 and later, with both texts behind it.
fn inline_info(version: &str, modules: &[u8]) -> Vec<u8> {
    let mut info = b"\xff Go buildinf:\x08\x02".to_vec();
    info.resize(32, 0);
    for text in [version.as_bytes(), modules] {
        info.extend(varint(text.len()));
        info.extend_from_slice(text);
    }
    info
}

fn assert_modules(facts: Vec<Fact>, go: &str) {
    let drafts = packages(facts);
    let told: Vec<_> = drafts
        .iter()
        .map(|draft| format!("{} {}", draft.name, draft.version.as_deref().unwrap_or("-")))
        .collect();
    assert_eq!(
        told,
        [
            "example.com/app -",
            "github.com/Foo/bar/v2 v2.1.0",
            "example.com/fork v1.0.1",
            "./local -",
            &format!("stdlib {go}")
        ]
    );
    assert_eq!(drafts[0].uncertain, Some(Uncertainty::DevelopmentVersion));
    assert_eq!(drafts[3].uncertain, Some(Uncertainty::NotFromRegistry));
    assert_eq!(drafts[0].needs.len(), 4);
}

#[test]
fn go_programs_list_their_modules() {
    let info = inline_info("go1.22.1 X:rangefunc", &framed(MODULES));
    assert_modules(read_executable("app", &elf(".go.buildinfo", &info)).unwrap(), "1.22.1");
    let macho = with_section(BinaryFormat::MachO, "__go_buildinfo", &info);
    assert_modules(read_executable("app", &macho).unwrap(), "1.22.1");
}

/// An ELF program of one segment and no section table: file offsets are addresses less the base.
fn bare_elf(content: &[u8]) -> Vec<u8> {
    const START: usize = 128;
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(16, 0);
    for half in [2u16, 62] {
        file.extend_from_slice(&half.to_le_bytes());
    }
    file.extend_from_slice(&1u32.to_le_bytes());
    for long in [BASE, 64, 0] {
        file.extend_from_slice(&long.to_le_bytes());
    }
    file.extend_from_slice(&0u32.to_le_bytes());
    for half in [64u16, 56, 1, 64, 0, 0] {
        file.extend_from_slice(&half.to_le_bytes());
    }
    let length = u64::try_from(START + content.len()).unwrap();
    for word in [1u32, 6] {
        file.extend_from_slice(&word.to_le_bytes());
    }
    for long in [0, BASE, BASE, length, length, 16] {
        file.extend_from_slice(&long.to_le_bytes());
    }
    file.resize(START, 0);
    file.extend_from_slice(content);
    file
}

const BASE: u64 = 0x40_0000;

/// The header before Go 1.18: pointers to two Go strings, which point to their bytes.
fn pointer_info(version: &str, modules: &[u8]) -> Vec<u8> {
    let start = BASE + 128;
    let number = |value: u64| value.to_le_bytes();
    let length = |bytes: &[u8]| u64::try_from(bytes.len()).unwrap();
    let mut info = b"\xff Go buildinf:\x08\x00".to_vec();
    info.extend_from_slice(&number(start + 32));
    info.extend_from_slice(&number(start + 48));
    info.extend_from_slice(&number(start + 64));
    info.extend_from_slice(&number(length(version.as_bytes())));
    info.extend_from_slice(&number(start + 64 + length(version.as_bytes())));
    info.extend_from_slice(&number(length(modules)));
    info.extend_from_slice(version.as_bytes());
    info.extend_from_slice(modules);
    info
}

#[test]
fn old_go_programs_point_to_their_modules() {
    let program = bare_elf(&pointer_info("go1.17.13", &framed(MODULES)));
    assert_modules(read_executable("app", &program).unwrap(), "1.17.13");
    // Without modules there is still the standard library.
    let program = bare_elf(&pointer_info("go1.12", b""));
    let drafts = packages(read_executable("app", &program).unwrap());
    assert_eq!(
        (drafts[0].name.as_str(), drafts[0].version.as_deref()),
        ("stdlib", Some("1.12"))
    );
}

#[test]
fn broken_go_headers_are_noted() {
    let good = inline_info("go1.22.1", &framed(MODULES));
    let mut long = good.clone();
    long[32..37].copy_from_slice(&[0xff, 0xff, 0xff, 0xff, 0x0f]);
    let mut endless = good.clone();
    endless[32..40].fill(0xff);
    for (name, info) in [
        ("cut", good[..60].to_vec()),
        ("header alone", good[..32].to_vec()),
        ("too long", long),
        ("endless length", endless),
        ("empty version", inline_info("", b"")),
    ] {
        let error = read_executable("app", &elf(".go.buildinfo", &info)).unwrap_err();
        assert_eq!(error.code, "go-build-info-malformed", "{name}");
    }
    for (at, name) in [
        (16, "the pointer"),
        (32, "the string's pointer"),
        (14, "the pointer's size"),
    ] {
        let mut info = pointer_info("go1.17", &framed(MODULES));
        info[at] = 0xee;
        info[at + 1] |= 0x10;
        let result = read_executable("app", &bare_elf(&info));
        assert!(
            result
                .as_ref()
                .is_err_and(|error| error.code == "go-build-info-malformed"),
            "{name}: {result:?}"
        );
    }
}

#[test]
fn programs_of_other_languages_say_nothing() {
    assert!(read_executable("app", &elf(".text", b"code")).unwrap().is_empty());
    assert!(read_executable("app", b"#!/bin/sh\n").unwrap().is_empty());
    assert!(read_executable("app", b"\x7fELF").unwrap().is_empty());
    // The text alone, as in a program that looks for it, is no header: it is not aligned.
    let text = [b"x".to_vec(), inline_info("go1.22.1", &framed(MODULES))].concat();
    assert!(read_executable("app", &elf(".go.buildinfo", &text)).unwrap().is_empty());
}

#[test]
fn executables_are_told_by_mode_or_name() {
    assert!(may_be_executable("usr/bin/app", 0o755, 5000));
    assert!(may_be_executable("usr/lib/libx.so.1.2", 0o644, 5000));
    assert!(may_be_executable("x/y.node", 0o644, 5000));
    assert!(!may_be_executable("usr/bin/app", 0o755, 10));
    assert!(!may_be_executable("usr/share/doc/x", 0o644, 5000));
}

#[test]
fn large_go_programs_are_scanned_as_they_pass() {
    let info = inline_info("go1.22.1", &framed(MODULES));
    let decoy = b"\xff Go buildinf: is looked for by debuggers";
    let mut file = vec![b'x'; 16 * 1000 + 5];
    file.extend_from_slice(decoy);
    file.resize(16 * 5000, b'y');
    file.extend_from_slice(&info);
    file.resize(200_000, b'z');
    for piece in [1, 7, 16, 1000, 4096, 300_000] {
        let mut scanner = GoScanner::default();
        file.chunks(piece).for_each(|piece| scanner.feed(piece));
        assert_modules(scanner.finish().unwrap(), "1.22.1");
    }
    let mut scanner = GoScanner::default();
    scanner.feed(&file[..80_000]);
    assert!(scanner.finish().unwrap().is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// A program damaged anywhere is read or refused; so are any bytes behind a program's first ones.
    #[test]
    fn damaged_programs_do_no_harm(at in 0usize..1200, byte in any::<u8>(), more in proptest::collection::vec(any::<u8>(), 0..300)) {
        let programs = [
            elf(".dep-v0", &zlib(CRATES.as_bytes())),
            elf(".go.buildinfo", &inline_info("go1.22.1", &framed(MODULES))),
            bare_elf(&pointer_info("go1.17.13", &framed(MODULES))),
        ];
        for mut program in programs {
            if let Some(place) = program.get_mut(at) {
                *place = byte;
            }
            let _ = read_executable("app", &program);
            let cut = at.min(program.len());
            let _ = read_executable("app", &[&program[..cut], &more].concat());
        }
        for magic in [&b"\x7fELF\x02\x01\x01"[..], b"\xcf\xfa\xed\xfe", b"MZ"] {
            let _ = read_executable("app", &[magic, &more].concat());
        }
        let _ = rust_binary::parse(&more);
    }

    #[test]
    fn damaged_go_information_does_no_harm(at in 0usize..400, byte in any::<u8>()) {
        let mut info = inline_info("go1.22.1", &framed(MODULES));
        if let Some(place) = info.get_mut(at) {
            *place = byte;
        }
        let mut scanner = GoScanner::default();
        scanner.feed(&info);
        let _ = scanner.finish();
        let _ = go_binary::read(&executable::Executable::parse(&elf(".go.buildinfo", &info)).unwrap());
    }
}

#[test]
fn a_release_stamps_its_version_into_a_variable() {
    for (flags, expected) in [
        (
            "-X github.com/hashicorp/consul/version.GitCommit=1.2.3 -X main.Version=1.16.1",
            Some("v1.16.1"),
        ),
        (
            "-s -w '-X=example.com/app/build.version=v2.0.0-rc.1'",
            Some("v2.0.0-rc.1"),
        ),
        ("-X 'main.version=v2.0.0-rc.1'", Some("v2.0.0-rc.1")),
        ("-X main.version=dev", None),
        ("-X main.goversion=1.20.1", None),
    ] {
        let modules = format!("path\tapp\nmod\texample.com/app\t(devel)\t\nbuild\t-ldflags=\"{flags}\"\n");
        let program = elf(".go.buildinfo", &inline_info("go1.21.0", &framed(&modules)));
        let drafts = packages(read_executable("app", &program).unwrap());
        assert_eq!(drafts[0].version.as_deref(), expected, "{flags}");
        let reason = if expected.is_some() {
            Uncertainty::FromContent
        } else {
            Uncertainty::DevelopmentVersion
        };
        assert_eq!(drafts[0].uncertain, Some(reason));
    }
}
