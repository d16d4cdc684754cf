//! What `sbom` and its verbs look at: an image, a folder, a tarball, or a document that someone made.

use std::io::Read;
use std::path::Path;

use proofmark_sbom::{Bill, Document, DocumentInfo, ReadError, ReadOptions, read_with, reading};
use proofmark_types::Digest;

use super::rootfs;
use crate::args::RegistryArgs;
use crate::bills::{Inside, line_of, look_inside, look_inside_each_state};
use crate::context::Context;
use crate::failure::Failure;
use crate::images::descend;

/// How an image is looked at.
#[derive(Debug)]
pub(super) struct Look<'a> {
    pub(super) platform: Option<&'a str>,
    pub(super) all_layers: bool,
    pub(super) registry: &'a RegistryArgs,
}

/// What was found, and what a document about it says beside.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) bill: Bill,
    pub(super) info: DocumentInfo,
}

impl Seen {
    /// The bill in a line.
    pub(super) fn line(&self) -> String {
        line_of(&self.bill)
    }

    pub(super) fn digest(&self) -> Option<&Digest> {
        self.info.digest.as_ref()
    }
}

/// Looks inside what the words of the command line name.
pub(super) async fn look(context: &Context, text: &str, how: &Look<'_>) -> Result<Seen, Failure> {
    let spinner = context.output.spinner("reading layers");
    let created = Context::document_time()?;
    let seen = match rootfs::named(text) {
        Some(place) => {
            if how.platform.is_some() || how.all_layers {
                let message = "a folder and a tarball have one platform and one layer";
                return Err(Failure::usage("command-line", message));
            }
            let bill = rootfs::bill(place).await?;
            let info = DocumentInfo {
                created,
                name: text.to_owned(),
                digest: None,
                repository: None,
                platform: None,
                tool_version: env!("CARGO_PKG_VERSION").to_owned(),
                details: std::collections::BTreeMap::new(),
            };
            Seen { bill, info }
        }
        None => {
            let source = super::image_source(text, how.registry)?;
            let tree = descend(&source).await?;
            let images = match how.platform {
                Some("all") => tree.images.clone(),
                platform => vec![super::pick(&tree, platform)?],
            };
            let mut insides = Vec::with_capacity(images.len());
            for image in &images {
                insides.push(if how.all_layers {
                    look_inside_each_state(&source, image).await?
                } else {
                    look_inside(&source, image).await?
                });
            }
            let inside = match insides.pop() {
                Some(only) if insides.is_empty() => only,
                last => {
                    insides.extend(last);
                    Inside::of_index(&tree.root, &insides)
                }
            };
            let info = inside.info(&source, text, created);
            Seen {
                bill: inside.bill,
                info,
            }
        }
    };
    drop(spinner);
    for note in &seen.bill.notes {
        let text = format!("{}: {} [{}]", note.path, note.reason, note.code);
        context.output.warn(&text);
    }
    Ok(seen)
}

/// Reads a document from a file or, of `-`, from standard input, and says what could not be taken as it stands.
pub(super) fn document(context: &Context, path: &str, unwrap: bool) -> Result<Document, Failure> {
    let bytes = if path == "-" {
        bounded(std::io::stdin().lock(), path)?
    } else {
        bounded(
            std::fs::File::open(path).map_err(|error| unreadable(path, &error))?,
            path,
        )?
    };
    let document = read_with(&bytes, ReadOptions { unwrap }).map_err(|error| {
        let failure = Failure::usage(error.code(), format!("{path}: {error}"));
        match error {
            ReadError::Attestation { .. } => failure
                .with_hint("verify it with `verify-attestation`; with --unwrap the document is taken out unverified"),
            _ => failure,
        }
    })?;
    for warning in &document.warnings {
        context.output.warn(&warning.to_string());
    }
    if document.more_warnings > 0 {
        context.output.warn(&format!("and {} more", document.more_warnings));
    }
    Ok(document)
}

fn bounded(reader: impl Read, path: &str) -> Result<Vec<u8>, Failure> {
    let limit = u64::try_from(reading::MAX_DOCUMENT_BYTES).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    let read = reader.take(limit + 1).read_to_end(&mut bytes);
    read.map_err(|error| unreadable(path, &error))?;
    Ok(bytes)
}

fn unreadable(path: &str, error: &std::io::Error) -> Failure {
    Failure::usage("file-unreadable", format!("cannot read {path}: {error}"))
}

/// Whether the words name a document rather than an image: standard input, or a file that starts as documents do.
pub(super) fn is_document(text: &str) -> bool {
    if text == "-" {
        return true;
    }
    let mut start = [0_u8; 64];
    let path = Path::new(text);
    let read = path
        .is_file()
        .then(|| std::fs::File::open(path).and_then(|mut file| file.read(&mut start)));
    let Some(Ok(length)) = read else { return false };
    let start = start[..length].trim_ascii_start();
    let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start).trim_ascii_start();
    start.starts_with(b"{") || start.starts_with(b"<") || start.starts_with(b"#") || start.starts_with(b"SPDXVersion:")
}
