//! Layers made by hand, byte by byte, and what must be seen of them.

mod bad;
mod forms;
mod links;
mod rules;

use std::collections::BTreeMap;
use std::io::{self, Read, Write as _};

use flate2::Compression;
use flate2::write::GzEncoder;
use proofmark_types::{Digest, MediaType};

use super::*;

/// A tar under construction.
#[derive(Clone, Default)]
pub(super) struct TarBytes(Vec<u8>);

impl TarBytes {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn file(self, path: &str, content: &[u8]) -> Self {
        self.entry(b'0', path, "", content)
    }

    pub(super) fn folder(self, path: &str) -> Self {
        self.entry(b'5', path, "", b"")
    }

    pub(super) fn link(self, path: &str, target: &str) -> Self {
        self.entry(b'1', path, target, b"")
    }

    pub(super) fn symlink(self, path: &str, target: &str) -> Self {
        self.entry(b'2', path, target, b"")
    }

    pub(super) fn entry(self, flag: u8, path: &str, target: &str, content: &[u8]) -> Self {
        self.raw(&header(flag, path, target, content.len()), content)
    }

    pub(super) fn raw(mut self, header: &[u8; 512], content: &[u8]) -> Self {
        self.0.extend_from_slice(header);
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub(super) fn pax(self, records: &[(&str, &str)]) -> Self {
        let body = pax_body(records);
        self.entry(b'x', "PaxHeaders/x", "", &body)
    }

    /// The bytes without the two blocks at the end.
    pub(super) fn open_end(self) -> Vec<u8> {
        self.0
    }

    pub(super) fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}

pub(super) fn pax_body(records: &[(&str, &str)]) -> Vec<u8> {
    let mut body = Vec::new();
    for (key, value) in records {
        let rest = key.len() + value.len() + 3;
        let mut length = rest + 1;
        while rest + length.to_string().len() != length {
            length = rest + length.to_string().len();
        }
        writeln!(body, "{length} {key}={value}").unwrap();
    }
    body
}

pub(super) fn header(flag: u8, path: &str, target: &str, size: usize) -> [u8; 512] {
    let mut block = [0; 512];
    block[..path.len()].copy_from_slice(path.as_bytes());
    block[100..107].copy_from_slice(b"0000755");
    block[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
    block[156] = flag;
    block[157..157 + target.len()].copy_from_slice(target.as_bytes());
    block[257..265].copy_from_slice(b"ustar\x0000");
    seal(block)
}

/// Puts the checksum in.
pub(super) fn seal(mut block: [u8; 512]) -> [u8; 512] {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|b| u32::from(*b)).sum();
    block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    block
}

/// A layer and what is said of it.
#[derive(Clone)]
pub(super) struct TestLayer {
    pub(super) descriptor: Descriptor,
    pub(super) diff_id: Digest,
    pub(super) blob: Vec<u8>,
}

impl TestLayer {
    pub(super) fn new(tar: &[u8], blob: Vec<u8>) -> Self {
        let media_type = MediaType::parse(crate::media_types::OCI_LAYER_GZIP).unwrap();
        Self {
            descriptor: Descriptor::of(media_type, &blob),
            diff_id: Digest::sha256_of(tar),
            blob,
        }
    }

    pub(super) fn plain(tar: Vec<u8>) -> Self {
        Self::new(&tar.clone(), tar)
    }

    pub(super) fn gzip(tar: Vec<u8>) -> Self {
        Self::new(&tar, gzip(&tar))
    }
}

impl LayerSource for TestLayer {
    fn open(&self) -> io::Result<Box<dyn Read + Send + '_>> {
        Ok(Box::new(self.blob.as_slice()))
    }
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Asks for everything and keeps it.
#[derive(Default)]
pub(super) struct Recorder {
    /// Path to content, layer and mode.
    pub(super) files: BTreeMap<String, (Vec<u8>, usize)>,
    pub(super) digests: BTreeMap<String, Digest>,
    pub(super) symlinks: BTreeMap<String, String>,
    pub(super) links: BTreeMap<String, (String, bool)>,
    pub(super) retracted: Vec<String>,
}

impl Visitor for Recorder {
    fn entry(&mut self, entry: &Entry<'_>) -> Wants {
        let known = self.files.insert(entry.path.to_owned(), (Vec::new(), entry.layer));
        assert!(known.is_none(), "{} was told twice", entry.path);
        Wants {
            content: true,
            digest: true,
        }
    }

    fn hard_link(&mut self, entry: &Entry<'_>, target: &str, target_shown: bool) -> Wants {
        self.links
            .insert(entry.path.to_owned(), (target.to_owned(), target_shown));
        Wants::CONTENT
    }

    fn symlink(&mut self, entry: &Entry<'_>, target: &str) {
        self.symlinks.insert(entry.path.to_owned(), target.to_owned());
    }

    fn content(&mut self, entry: &Entry<'_>, content: &mut Content<'_>) {
        let mut bytes = Vec::new();
        // A failure here is the walk's result, too.
        let _ = content.read_to_end(&mut bytes);
        for path in std::iter::once(entry.path).chain(entry.also.iter().map(String::as_str)) {
            self.files.insert(path.to_owned(), (bytes.clone(), entry.layer));
        }
    }

    fn digest(&mut self, entry: &Entry<'_>, digest: &Digest) {
        self.digests.insert(entry.path.to_owned(), digest.clone());
    }

    fn retract(&mut self, path: &str) {
        self.files.remove(path);
        self.symlinks.remove(path);
        self.links.remove(path);
        self.retracted.push(path.to_owned());
    }
}

impl Recorder {
    /// `path=content@layer`, in order of path.
    pub(super) fn told(&self) -> Vec<String> {
        self.files
            .iter()
            .map(|(path, (content, layer))| format!("{path}={}@{layer}", String::from_utf8_lossy(content)))
            .collect()
    }
}

pub(super) fn walk_with(layers: &[TestLayer], limits: &Limits) -> Result<(Recorder, Summary), UnionError> {
    let layers: Vec<Layer<'_>> = layers
        .iter()
        .map(|layer| Layer {
            descriptor: &layer.descriptor,
            diff_id: &layer.diff_id,
            source: layer,
        })
        .collect();
    let mut recorder = Recorder::default();
    let summary = walk(&layers, limits, &mut recorder)?;
    Ok((recorder, summary))
}

/// The files that an image of these tars shows, each tar a layer, lowest first.
pub(super) fn union_of(tars: &[Vec<u8>]) -> Recorder {
    let layers: Vec<TestLayer> = tars.iter().cloned().map(TestLayer::gzip).collect();
    walk_with(&layers, &Limits::default()).unwrap().0
}
