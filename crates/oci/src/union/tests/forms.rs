//! The forms a layer may take: compressions, and tar's ways to write long names.

use super::{TarBytes, TestLayer, gzip, header, seal, union_of, walk_with};
use crate::union::{Limits, Summary};

fn told(layer: TestLayer) -> Vec<String> {
    walk_with(&[layer], &Limits::default()).unwrap().0.told()
}

fn two_files() -> Vec<u8> {
    TarBytes::new().file("a", &[b'x'; 700]).file("b", b"2").end()
}

#[test]
fn every_compression_is_told_by_its_first_bytes() {
    let tar = two_files();
    let zstd = zstd::encode_all(tar.as_slice(), 3).unwrap();
    let expected = told(TestLayer::plain(tar.clone()));
    assert_eq!(expected.len(), 2);
    assert_eq!(told(TestLayer::gzip(tar.clone())), expected);
    assert_eq!(told(TestLayer::new(&tar, zstd)), expected);
}

#[test]
fn gzip_may_have_several_members_and_zstd_several_frames() {
    let tar = two_files();
    let pieces = || tar.chunks(100);
    let members: Vec<u8> = pieces().flat_map(gzip).collect();
    assert_eq!(told(TestLayer::new(&tar, members)).len(), 2);

    // A skippable frame before, between and after.
    let skippable = b"\x5a\x2a\x4d\x18\x03\x00\x00\x00abc";
    let frames: Vec<u8> = pieces()
        .flat_map(|piece| [zstd::encode_all(piece, 1).unwrap(), skippable.to_vec()].concat())
        .collect();
    let blob = [skippable.to_vec(), frames].concat();
    assert_eq!(told(TestLayer::new(&tar, blob)).len(), 2);
}

#[test]
fn gzip_headers_may_carry_all_their_fields() {
    let tar = two_files();
    let plain = gzip(&tar);
    let mut blob = vec![0x1f, 0x8b, 8, 0b1_1110, 0, 0, 0, 0, 0, 3];
    blob.extend_from_slice(b"\x04\x00abcd");
    blob.extend_from_slice(b"name.tar\0a comment\0");
    blob.extend_from_slice(b"\x12\x34");
    blob.extend_from_slice(&plain[10..]);
    assert_eq!(told(TestLayer::new(&tar, blob)).len(), 2);
}

#[test]
fn large_files_cross_chunks() {
    let content: Vec<u8> = (0..3_000_000u32).map(|i| u8::try_from(i % 251).unwrap()).collect();
    let tar = TarBytes::new().file("large", &content).file("small", b"after").end();
    let (seen, _) = walk_with(&[TestLayer::gzip(tar)], &Limits::default()).unwrap();
    assert_eq!(seen.files["large"].0, content);
    assert_eq!(seen.files["small"].0, b"after");
    assert_eq!(seen.digests["large"], proofmark_types::Digest::sha256_of(&content));
}

#[test]
fn no_layers_and_empty_layers_show_nothing() {
    assert_eq!(walk_with(&[], &Limits::default()).unwrap().1, Summary::default());
    assert!(told(TestLayer::gzip(TarBytes::new().end())).is_empty());
    assert!(told(TestLayer::plain(Vec::new())).is_empty());
}

#[test]
fn the_blocks_at_the_end_may_be_missing_or_more() {
    assert_eq!(
        told(TestLayer::gzip(TarBytes::new().file("a", b"1").open_end())),
        ["a=1@0"]
    );
    let mut padded = TarBytes::new().file("a", b"1").end();
    padded.resize(20 * 512, 0);
    assert_eq!(told(TestLayer::gzip(padded)), ["a=1@0"]);
}

#[test]
fn long_names_of_pax_and_gnu() {
    let long = format!("{}/file", "folder".repeat(40));
    let pax = TarBytes::new()
        .pax(&[("mtime", "1.5"), ("path", &long)])
        .file("short", b"pax");
    assert_eq!(told(TestLayer::gzip(pax.end())), [format!("{long}=pax@0")]);

    let mut name = long.clone().into_bytes();
    name.push(0);
    let gnu = TarBytes::new()
        .entry(b'L', "././@LongLink", "", &name)
        .file("short", b"gnu");
    assert_eq!(told(TestLayer::gzip(gnu.end())), [format!("{long}=gnu@0")]);

    let links = TarBytes::new()
        .pax(&[("path", &long)])
        .file("short", b"content")
        .pax(&[("linkpath", &long)])
        .link("b", "short")
        .entry(b'K', "././@LongLink", "", &name)
        .link("c", "short")
        .end();
    assert_eq!(
        told(TestLayer::gzip(links)),
        [
            "b=content@0".to_owned(),
            "c=content@0".to_owned(),
            format!("{long}=content@0")
        ]
    );
}

#[test]
fn ustar_prefixes_and_old_headers() {
    let mut with_prefix = header(b'0', "name", "", 1);
    with_prefix[345..351].copy_from_slice(b"a/long");
    // GNU's magic: what stands there is no prefix.
    let mut gnu = with_prefix;
    gnu[257..265].copy_from_slice(b"ustar  \0");
    let mut old_folder = header(0, "old/", "", 0);
    old_folder[257..265].fill(0);
    let tar = TarBytes::new()
        .raw(&seal(with_prefix), b"1")
        .raw(&seal(gnu), b"2")
        .raw(&seal(old_folder), b"")
        .entry(0, "v7", "", b"3")
        .end();
    assert_eq!(told(TestLayer::gzip(tar)), ["a/long/name=1@0", "name=2@0", "v7=3@0"]);
}

#[test]
fn sizes_of_pax_and_in_base_256() {
    let mut block = header(b'0', "base256", "", 0);
    block[124..136].fill(0);
    block[124] = 0x80;
    block[135] = 3;
    let tar = TarBytes::new()
        .raw(&seal(block), b"abc")
        // CVE-2025-62518: a reader that believes the 0 of the header would take the content for headers.
        .pax(&[("size", "1024")])
        .raw(
            &header(b'0', "pax", "", 0),
            &TarBytes::new().file("smuggled", b"").end()[..1024],
        )
        .file("after", b"1")
        .end();
    let seen = union_of(&[tar]);
    assert_eq!(seen.files["base256"].0, b"abc");
    assert_eq!(seen.files["pax"].0.len(), 1024);
    assert!(seen.files.contains_key("after"));
    assert!(!seen.files.contains_key("smuggled"));
}

#[test]
fn a_global_header_with_a_comment_is_passed_over() {
    let body = super::pax_body(&[("comment", "0123456789abcdef")]);
    let tar = TarBytes::new()
        .entry(b'g', "pax_global_header", "", &body)
        .file("a", b"1")
        .end();
    assert_eq!(told(TestLayer::gzip(tar)), ["a=1@0"]);
}

#[test]
fn folders_and_links_have_no_content_whatever_their_size_says() {
    let tar = TarBytes::new()
        .raw(&header(b'5', "folder", "", 512), b"")
        .file("a", b"1")
        .raw(&header(b'1', "b", "a", 1), b"")
        .file("c", b"2")
        .end();
    assert_eq!(told(TestLayer::gzip(tar)), ["a=1@0", "b=1@0", "c=2@0"]);
}

#[test]
fn names_that_are_not_utf_8_are_shown_with_replacements() {
    let mut block = header(b'0', "caf_", "", 1);
    block[3] = 0xe9;
    assert_eq!(
        told(TestLayer::gzip(TarBytes::new().raw(&seal(block), b"1").end())),
        ["caf\u{fffd}=1@0"]
    );
}
