//! A layer of ten gigabytes of zeros in ten megabytes must be refused, early and in bounded memory. Alone in its own
//! process, because it measures the process.

#![expect(
    clippy::disallowed_methods,
    reason = "a test of memory asks the system how much was used"
)]

use std::io::{self, Read, Write as _};

use flate2::Compression;
use flate2::write::GzEncoder;
use proofmark_oci::union::{Content, Entry, Layer, LayerSource, Limits, Visitor, Wants, walk};
use proofmark_oci::{Descriptor, media_types};
use proofmark_types::{Digest, MediaType};

/// The most memory the test may use at its peak: the blob itself, a few chunks, and the test program.
const MAX_MEMORY_KIB: u64 = 64 * 1024;

struct Blob(Vec<u8>);

impl LayerSource for Blob {
    fn open(&self) -> io::Result<Box<dyn Read + Send + '_>> {
        Ok(Box::new(self.0.as_slice()))
    }
}

/// Asks for everything, and reads it in small pieces.
struct Reader(u64);

impl Visitor for Reader {
    fn entry(&mut self, _: &Entry<'_>) -> Wants {
        Wants {
            content: true,
            digest: true,
        }
    }

    fn content(&mut self, _: &Entry<'_>, content: &mut Content<'_>) {
        self.0 += io::copy(content, &mut io::sink()).unwrap_or_default();
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).expect("memory takes all bytes");
    encoder.finish().expect("memory takes all bytes")
}

/// A tar header for a file of 10 GB, which pax and GNU tar write in base 256.
fn header() -> [u8; 512] {
    let mut block = [0; 512];
    block[..5].copy_from_slice(b"zeros");
    block[100..107].copy_from_slice(b"0000644");
    block[124..136].copy_from_slice(&(10u128 << 30).to_be_bytes()[4..]);
    block[124] = 0x80;
    block[156] = b'0';
    block[257..265].copy_from_slice(b"ustar\x0000");
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|b| u32::from(*b)).sum();
    block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    block
}

#[test]
fn ten_gigabytes_of_zeros_are_refused_in_bounded_memory() {
    let member = gzip(&vec![0; 16 << 20]);
    let blob = Blob([gzip(&header()), member.repeat(640)].concat());
    let descriptor = Descriptor::of(MediaType::parse(media_types::OCI_LAYER_GZIP).unwrap(), &blob.0);
    let layers = [Layer {
        descriptor: &descriptor,
        diff_id: &Digest::sha256_of(b"never reached"),
        source: &blob,
    }];
    let mut reader = Reader(0);
    let error = walk(&layers, &Limits::default(), &mut reader).unwrap_err();
    assert_eq!(error.code(), "layer-bomb");
    assert!(reader.0 < 300 << 20, "read {} bytes before it was refused", reader.0);

    let Ok(status) = std::fs::read_to_string("/proc/self/status") else {
        return;
    };
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < MAX_MEMORY_KIB, "used {peak} KiB");
}
