//! Every way in which a layer can be wrong has its own name.

use std::io::{self, Read};

use proofmark_types::Digest;
use proptest::prelude::*;

use super::{TarBytes, TestLayer, gzip, header, pax_body, seal, walk_with};
use crate::union::{Layer, LayerSource, Limits, UnionError, walk};

fn code_with(layer: TestLayer, limits: &Limits) -> &'static str {
    match walk_with(&[layer], limits) {
        Ok(_) => "accepted",
        Err(error) => error.code(),
    }
}

fn code(layer: TestLayer) -> &'static str {
    code_with(layer, &Limits::default())
}

fn code_of_tar(tar: Vec<u8>) -> &'static str {
    code(TestLayer::gzip(tar))
}

fn good_tar() -> Vec<u8> {
    TarBytes::new().file("a", &[b'x'; 5000]).file("b", b"2").end()
}

#[test]
fn blobs_that_are_not_what_the_manifest_says() {
    let good = TestLayer::gzip(good_tar());
    assert_eq!(code(good.clone()), "accepted");

    let mut shorter = good.clone();
    shorter.blob.truncate(good.blob.len() - 10);
    assert_eq!(code(shorter), "layer-size-mismatch");

    let mut longer = good.clone();
    longer.blob.push(0);
    assert_eq!(code(longer), "layer-size-mismatch");

    let mut other_size = good.clone();
    other_size.descriptor.size += 1;
    assert_eq!(code(other_size), "layer-size-mismatch");

    let mut other_digest = good.clone();
    other_digest.descriptor.digest = Digest::sha256_of(b"other");
    assert_eq!(code(other_digest), "layer-digest-mismatch");

    let mut other_diff_id = good.clone();
    other_diff_id.diff_id = Digest::sha256_of(b"other");
    assert_eq!(code(other_diff_id), "layer-diff-id-mismatch");

    // Damage on the way is told as what it is, wherever it first shows.
    for at in 0..good.blob.len() {
        let mut damaged = good.clone();
        damaged.blob[at] ^= 0x55;
        assert_eq!(code(damaged), "layer-digest-mismatch", "byte {at}");
    }
}

#[test]
fn compressed_data_that_is_broken_though_it_is_what_the_manifest_names() {
    let tar = good_tar();
    let whole = gzip(&tar);
    for length in 10..whole.len() {
        let cut = TestLayer::new(&tar, whole[..length].to_vec());
        assert_eq!(code(cut), "layer-truncated", "cut to {length}");
    }
    let zstd = zstd::encode_all(tar.as_slice(), 3).unwrap();
    for length in 4..zstd.len() {
        let cut = TestLayer::new(&tar, zstd[..length].to_vec());
        assert_eq!(code(cut), "layer-truncated", "cut to {length}");
    }
    for (at, name) in [
        (2, "method"),
        (3, "flags"),
        (whole.len() - 8, "CRC"),
        (whole.len() - 4, "length"),
    ] {
        let mut broken = whole.clone();
        broken[at] ^= 0x80;
        assert_eq!(code(TestLayer::new(&tar, broken)), "layer-corrupt", "{name}");
    }
    let mut broken = zstd;
    broken[5] ^= 0xff;
    assert_eq!(code(TestLayer::new(&tar, broken)), "layer-corrupt");
}

#[test]
fn bytes_after_the_end() {
    let tar = good_tar();
    let after_gzip = [gzip(&tar), b"PK\x03\x04 a second archive".to_vec()].concat();
    assert_eq!(code(TestLayer::new(&tar, after_gzip)), "layer-trailing-data");
    let zeros_after_gzip = [gzip(&tar), vec![0; 512]].concat();
    assert_eq!(code(TestLayer::new(&tar, zeros_after_gzip)), "layer-trailing-data");
    let after_zstd = [zstd::encode_all(tar.as_slice(), 1).unwrap(), b"more".to_vec()].concat();
    assert_eq!(code(TestLayer::new(&tar, after_zstd)), "layer-trailing-data");
    let after_tar = [tar, TarBytes::new().file("hidden", b"1").end()].concat();
    assert_eq!(code_of_tar(after_tar), "layer-trailing-data");
}

#[test]
fn tars_that_break_off() {
    let tar = TarBytes::new().file("a", &[b'x'; 5000]).open_end();
    for (length, name) in [
        (100, "in a header"),
        (511, "in a header"),
        (512, "before the content"),
        (5000, "in the content"),
    ] {
        assert_eq!(code_of_tar(tar[..length].to_vec()), "layer-truncated", "{name}");
    }
}

#[test]
fn headers_that_do_not_parse() {
    let mut sum = header(b'0', "a", "", 0);
    sum[0] = b'b';
    assert_eq!(code_of_tar(TarBytes::new().raw(&sum, b"").end()), "layer-tar-malformed");

    for (field, text) in [(124, b"0000000009\0"), (124, b"-000000001\0"), (100, b"rwxr-xr-x-\0")] {
        let mut block = header(b'0', "a", "", 0);
        block[field..field + 11].copy_from_slice(text);
        let tar = TarBytes::new().raw(&seal(block), b"").end();
        assert_eq!(
            code_of_tar(tar),
            "layer-tar-malformed",
            "{}",
            String::from_utf8_lossy(text)
        );
    }
    let mut negative = header(b'0', "a", "", 0);
    negative[124..136].fill(0xff);
    assert_eq!(
        code_of_tar(TarBytes::new().raw(&seal(negative), b"").end()),
        "layer-tar-malformed"
    );

    let one_zero_block = [vec![0; 512], TarBytes::new().file("a", b"1").end()].concat();
    assert_eq!(code_of_tar(one_zero_block), "layer-tar-malformed");

    for body in [
        &b"12 path=a\n"[..],
        b"path=a\n",
        b"9999999999999999999 a=b\n",
        b"6 abc\n",
        b"5 =a\n",
        b"8 path=a",
    ] {
        let tar = TarBytes::new().entry(b'x', "x", "", body).file("a", b"").end();
        assert_eq!(
            code_of_tar(tar),
            "layer-tar-malformed",
            "{}",
            String::from_utf8_lossy(body)
        );
    }
    for size in ["-1", "1e3", "9223372036854775808"] {
        let tar = TarBytes::new().pax(&[("size", size)]).file("a", b"").end();
        assert_eq!(code_of_tar(tar), "layer-tar-malformed", "{size}");
    }
    let large = vec![b'a'; 1024 * 1024 + 1];
    assert_eq!(
        code_of_tar(TarBytes::new().entry(b'L', "l", "", &large).end()),
        "layer-tar-malformed"
    );
}

#[test]
fn headers_that_two_readers_understand_differently() {
    for key in ["path", "linkpath", "size"] {
        let body = pax_body(&[(key, "1")]);
        let tar = TarBytes::new().entry(b'g', "g", "", &body).file("a", b"").end();
        assert_eq!(code_of_tar(tar), "layer-tar-ambiguous", "{key}");
    }
    let tar = TarBytes::new()
        .pax(&[("path", "one")])
        .entry(b'L', "l", "", b"two\0")
        .file("a", b"");
    assert_eq!(code_of_tar(tar.end()), "layer-tar-ambiguous");
    let tar = TarBytes::new()
        .pax(&[("path", "one")])
        .entry(b'L', "l", "", b"one\0")
        .file("a", b"");
    assert_eq!(code_of_tar(tar.end()), "accepted");
}

#[test]
fn entries_that_layers_have_no_use_for() {
    for flag in [b'S', b'V', b'M', b'D', b'A', 0x7f] {
        let tar = TarBytes::new().entry(flag, "a", "", b"").end();
        assert_eq!(code_of_tar(tar), "layer-entry-unsupported", "{flag}");
    }
    let sparse = TarBytes::new().pax(&[("GNU.sparse.major", "1")]).file("a", b"").end();
    assert_eq!(code_of_tar(sparse), "layer-entry-unsupported");
}

#[test]
fn paths_that_leave_the_root() {
    for path in ["../a", "a/../../b", "a/..", "..", "/../a", "a/../b"] {
        assert_eq!(
            code_of_tar(TarBytes::new().file(path, b"").end()),
            "layer-path-escape",
            "{path}"
        );
        assert_eq!(
            code_of_tar(TarBytes::new().folder(path).end()),
            "layer-path-escape",
            "{path}"
        );
        let link = TarBytes::new().file("x", b"").link("b", path).end();
        assert_eq!(code_of_tar(link), "layer-path-escape", "link to {path}");
    }
    // A symbolic link is only text here.
    assert_eq!(
        code_of_tar(TarBytes::new().symlink("a", "../../etc/passwd").end()),
        "accepted"
    );
    assert_eq!(
        code_of_tar(TarBytes::new().file("...", b"").file("a..", b"").end()),
        "accepted"
    );
}

#[test]
fn paths_that_no_kernel_takes() {
    let long = TarBytes::new().pax(&[("path", &"a".repeat(4097))]).file("x", b"").end();
    assert_eq!(code_of_tar(long), "layer-path-too-long");
    let deep = TarBytes::new().pax(&[("path", &"a/".repeat(257))]).file("x", b"").end();
    assert_eq!(code_of_tar(deep), "layer-path-too-long");
    let nul = TarBytes::new().pax(&[("path", "a\0b")]).file("x", b"").end();
    assert_eq!(code_of_tar(nul), "layer-path-malformed");
    for path in ["", "/", "./."] {
        assert_eq!(
            code_of_tar(TarBytes::new().file(path, b"").end()),
            "layer-path-malformed",
            "{path}"
        );
    }
}

#[test]
fn whiteouts_of_nothing() {
    for path in [".wh.", "a/.wh.", ".wh..", ".wh..."] {
        let seen = code_of_tar(TarBytes::new().file(path, b"").end());
        assert_eq!(seen, "layer-whiteout-malformed", "{path}");
    }
}

#[test]
fn more_than_the_limits() {
    let many = || {
        TestLayer::gzip(
            (0..20)
                .fold(TarBytes::new(), |tar, i| tar.file(&format!("f{i}"), b"1"))
                .end(),
        )
    };
    let small = Limits {
        entries: 19,
        ..Limits::default()
    };
    assert_eq!(code_with(many(), &small), "layer-too-many-entries");
    let few_names = Limits {
        names: 19,
        ..Limits::default()
    };
    assert_eq!(code_with(many(), &few_names), "layer-too-many-names");
    // The limit stands for memory: long names count as several, and the targets of hard links are held too.
    let long = |length: usize| TestLayer::gzip(TarBytes::new().file(&"n".repeat(length), b"1").end());
    assert_eq!(code_with(long(90), &few_names), "accepted");
    let five = Limits {
        names: 5,
        ..Limits::default()
    };
    let deep = |target: &str| {
        let links = (0..4).fold(TarBytes::new(), |tar, i| tar.link(&format!("l{i}"), target));
        TestLayer::gzip(links.end())
    };
    assert_eq!(code_with(deep("t"), &five), "accepted");
    assert_eq!(code_with(deep(&"t/".repeat(49)), &five), "accepted");
    assert_eq!(code_with(deep(&"t".repeat(99)), &five), "layer-too-many-names");
    let few_bytes = Limits {
        inflated_bytes: 10_000,
        ..Limits::default()
    };
    assert_eq!(code_with(many(), &few_bytes), "layers-inflate-too-large");
    let small_blobs = Limits {
        layer_bytes: 10,
        ..Limits::default()
    };
    assert_eq!(code_with(many(), &small_blobs), "layer-too-large");
    let tight = Limits {
        inflation: 10,
        inflated_free_bytes: 1000,
        ..Limits::default()
    };
    assert_eq!(code_with(many(), &tight), "layer-bomb");
}

#[test]
fn the_limit_on_inflated_bytes_counts_all_layers() {
    let layer = TestLayer::gzip(good_tar());
    let length = u64::try_from(good_tar().len()).unwrap();
    let limits = Limits {
        inflated_bytes: 2 * length - 1,
        ..Limits::default()
    };
    assert!(walk_with(std::slice::from_ref(&layer), &limits).is_ok());
    let error = walk_with(&[layer.clone(), layer], &limits).map(|_| ()).unwrap_err();
    assert_eq!(error.code(), "layers-inflate-too-large");
}

#[test]
fn more_layers_than_a_kernel_stacks() {
    let layers = vec![TestLayer::gzip(TarBytes::new().end()); 501];
    let error = walk_with(&layers, &Limits::default()).map(|_| ()).unwrap_err();
    assert_eq!(error.code(), "too-many-layers");
}

/// Fails after some bytes.
struct Broken(TestLayer, usize);

impl LayerSource for Broken {
    fn open(&self) -> io::Result<Box<dyn Read + Send + '_>> {
        struct Fails;
        impl Read for Fails {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::ErrorKind::ConnectionReset.into())
            }
        }
        Ok(Box::new(self.0.blob[..self.1].chain(Fails)))
    }
}

#[test]
fn bytes_that_cannot_be_had_are_not_a_fault_of_the_image() {
    let layer = TestLayer::gzip(good_tar());
    for length in [0, 5, 40, layer.blob.len()] {
        let broken = Broken(layer.clone(), length);
        let layers = [Layer {
            descriptor: &broken.0.descriptor,
            diff_id: &broken.0.diff_id,
            source: &broken,
        }];
        let error = walk(&layers, &Limits::default(), &mut super::Recorder::default()).unwrap_err();
        assert_eq!(error.code(), "layer-unreadable");
        assert!(error.is_unreachable());
    }
    let lying = UnionError::TooManyLayers { limit: 1, seen: 2 };
    assert!(!lying.is_unreachable());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// No bytes make the reader panic or hang.
    #[test]
    fn any_bytes_are_read_or_refused(blob in proptest::collection::vec(any::<u8>(), 0..3000)) {
        let _ = code(TestLayer::plain(blob));
    }

    #[test]
    fn a_damaged_tar_is_read_or_refused(at in 0usize..3000, byte in any::<u8>()) {
        let mut tar = TarBytes::new().pax(&[("path", "p")]).file("a", b"1").link("b", "a").file(".wh.c", b"").end();
        if let Some(place) = tar.get_mut(at) {
            *place = byte;
        }
        let _ = code(TestLayer::plain(tar));
    }
}
