//! Measures the catalogers: makes the SBOM of an image in an OCI layout folder, without registry and program around it.
//!
//! `cargo run --release -p proofmark-sbom --example sbom_layout -- FOLDER [spdx|cyclonedx] [--file-digests] [--kept] > bom.json`
//!
//! With `--kept` the bill is made a second time, from what was kept of the layers, and the time of that is told.
//!
//! The document goes to standard output, counts to standard error. `/usr/bin/time -v` around the built example gives
//! time and memory; the time in the document is fixed, so that two runs can be compared to the byte.

#![expect(clippy::disallowed_methods, reason = "an example reads files; the library does not")]

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};
use std::time::Instant;

use proofmark_oci::union::{Layer, LayerSource};
use proofmark_oci::{Descriptor, ImageConfig, Manifest, layout};
use proofmark_sbom::{Bill, DocumentInfo, Listing, Options, PackageKind, Squash, catalog, cyclonedx, spdx};
use proofmark_types::UnixTime;

struct Blob(PathBuf);

impl LayerSource for Blob {
    fn open(&self) -> io::Result<Box<dyn Read + Send + '_>> {
        Ok(Box::new(File::open(&self.0)?))
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let folder = Path::new(arguments.first().ok_or("expected a layout folder")?);
    let read = |descriptor: &Descriptor| fs::read(folder.join(layout::blob_path(&descriptor.digest)));
    let index = layout::parse_index(&fs::read(folder.join(layout::INDEX_FILE))?)?;
    let mut descriptor = layout::select(&index, None)?.clone();
    let manifest = loop {
        match Manifest::parse(Some(&descriptor.media_type), &read(&descriptor)?)? {
            Manifest::Image(manifest) => break manifest,
            Manifest::Index(index) => descriptor = index.manifests.first().ok_or("an empty index")?.clone(),
        }
    };
    let config = ImageConfig::parse(&read(&manifest.config)?)?;
    let path = |layer: &Descriptor| Blob(folder.join(layout::blob_path(&layer.digest)));
    let sources: Vec<Blob> = manifest.layers.iter().map(path).collect();
    let layers: Vec<Layer<'_>> = manifest
        .layers
        .iter()
        .zip(&config.diff_ids)
        .zip(&sources)
        .map(|((descriptor, diff_id), source)| Layer {
            descriptor,
            diff_id,
            source,
        })
        .collect();
    let options = Options {
        file_digests: arguments.iter().any(|argument| argument == "--file-digests"),
        ..Options::default()
    };
    let bill = catalog(&layers, &options)?;
    if arguments.iter().any(|argument| argument == "--kept") {
        again(&layers, &options, &bill)?;
    }
    let info = DocumentInfo {
        created: UnixTime::EPOCH,
        name: folder
            .file_name()
            .map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
        digest: Some(descriptor.digest),
        repository: None,
        platform: Some(config.platform()),
        supplier: None,
        authors: Vec::new(),
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        details: std::collections::BTreeMap::new(),
    };
    tell(&bill)?;
    let document = match arguments.get(1).map(String::as_str) {
        Some("cyclonedx") => cyclonedx::write(&bill, &info),
        _ => spdx::write(&bill, &info),
    };
    io::stdout().write_all(&document)?;
    Ok(())
}

/// From listings as bytes to the same bill.
fn again(layers: &[Layer<'_>], options: &Options, bill: &Bill) -> Result<(), Box<dyn Error>> {
    let read = |(index, layer)| Listing::read(layer, index, options).map(|listing| listing.encode());
    let kept: Vec<Vec<u8>> = layers.iter().enumerate().map(read).collect::<Result<_, _>>()?;
    let started = Instant::now();
    let mut squash = Squash::new(layers.len(), options)?;
    for (index, (layer, bytes)) in layers.iter().zip(&kept).enumerate().rev() {
        squash.add(index, layer, &Listing::decode(bytes)?)?;
    }
    let same = squash.finish(layers)? == *bill;
    let (bytes, taken) = (kept.iter().map(Vec::len).sum::<usize>(), started.elapsed());
    writeln!(
        io::stderr(),
        "from {bytes} bytes of listings in {taken:?}, the same: {same}"
    )?;
    Ok(())
}

fn tell(bill: &Bill) -> io::Result<()> {
    let kinds = [
        PackageKind::Apk,
        PackageKind::Cargo,
        PackageKind::Deb,
        PackageKind::Golang,
        PackageKind::Npm,
        PackageKind::Pypi,
    ];
    for kind in kinds {
        writeln!(io::stderr(), "{kind}: {}", bill.count(kind))?;
    }
    writeln!(
        io::stderr(),
        "{} files, {} relationships, {} notes, {} owned by the system",
        bill.files,
        bill.relationships.len(),
        bill.notes.len(),
        bill.packages
            .iter()
            .filter(|package| package.owned_by.is_some())
            .count()
    )?;
    for note in &bill.notes {
        writeln!(io::stderr(), "note: {}: {}", note.path, note.reason)?;
    }
    Ok(())
}
