//! What the words of a command line mean to be looked at: an image, a folder, a tarball, or a document that someone made;
//! and what is inside. Shared by `sbom`, its verbs, and `scan`.

pub(crate) mod place;
mod rootfs;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use proofmark_sbom::{Bill, Document, DocumentInfo, Note, ReadError, ReadOptions, read_with, reading};
use proofmark_types::Digest;

use crate::args::RegistryArgs;
use crate::bills::{Inside, line_of, look_inside, look_inside_each_state};
use crate::context::{Context, unreadable};
use crate::failure::Failure;
use crate::images::descend;
use crate::layers::LayerCache;

pub(crate) use self::place::{image_source, open_local, pick};

/// How something is looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look<'a> {
    pub(crate) platform: Option<&'a str>,
    pub(crate) all_layers: bool,
    /// Whether documents may be taken out of attestations, whose signatures nobody verifies.
    pub(crate) unwrap: bool,
    pub(crate) registry: &'a RegistryArgs,
}

/// What was found, and what a document about it says beside.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) bill: Bill,
    pub(crate) info: DocumentInfo,
    /// Only of documents: why what they list may not be all, by stable names and in words.
    pub(crate) lacking: Vec<(&'static str, String)>,
}

impl Seen {
    /// The bill in a line.
    pub(crate) fn line(&self) -> String {
        line_of(&self.bill)
    }

    pub(crate) fn digest(&self) -> Option<&Digest> {
        self.info.digest.as_ref()
    }

    fn of_document(document: Document) -> Self {
        let mut lacking: Vec<_> = document
            .incomplete
            .iter()
            .map(|text| {
                (
                    "document-incomplete",
                    format!("the document says itself that it lacks parts: {text}"),
                )
            })
            .collect();
        // Which of two versions is there, nobody knows.
        let differs = document
            .warnings
            .iter()
            .filter(|warning| warning.code == "version-differs");
        lacking.extend(differs.map(|warning| (warning.code, warning.message.clone())));
        if document.more_warnings > 0 {
            let text = format!("{} warnings about the document were not kept", document.more_warnings);
            lacking.push(("document-incomplete", text));
        }
        if document.bill.packages.is_empty() {
            lacking.push(("document-empty", "the document lists no package".to_owned()));
        }
        let info = document.info(Context::now(), env!("CARGO_PKG_VERSION"));
        Self {
            bill: document.bill,
            info,
            lacking,
        }
    }
}

/// Takes a document for what it says, and looks inside everything else.
pub(crate) async fn examine(context: &Context, text: &str, how: &Look<'_>) -> Result<Seen, Failure> {
    let path = text.strip_prefix("sbom:").unwrap_or(text);
    if path == text && !is_document(text) {
        return look(context, text, how).await;
    }
    if how.platform.is_some() || how.all_layers {
        let message = "a document is of the platform and the layers that it was made of";
        return Err(Failure::usage("command-line", message).with_hint("leave --platform and --scope away"));
    }
    let seen = Seen::of_document(document(context, path, how.unwrap)?);
    say_notes(context, &seen.bill.notes);
    Ok(seen)
}

/// Looks inside what the words of the command line name.
pub(crate) async fn look(context: &Context, text: &str, how: &Look<'_>) -> Result<Seen, Failure> {
    let spinner = context.output.spinner("reading layers");
    let created = Context::document_time()?;
    let (bill, info) = match rootfs::named(text) {
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
                supplier: None,
                authors: Vec::new(),
                tool_version: env!("CARGO_PKG_VERSION").to_owned(),
                details: BTreeMap::new(),
            };
            (bill, info)
        }
        None => {
            let source = image_source(text, how.registry)?;
            let tree = descend(&source).await?;
            let images = match how.platform {
                Some("all") => tree.images.clone(),
                platform => vec![pick(&tree, platform)?],
            };
            let cache = LayerCache::of(context);
            let mut insides = Vec::with_capacity(images.len());
            for image in &images {
                insides.push(if how.all_layers {
                    look_inside_each_state(&cache, &source, image).await?
                } else {
                    look_inside(&cache, &source, image).await?
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
            (inside.bill, info)
        }
    };
    drop(spinner);
    say_notes(context, &bill.notes);
    let lacking = Vec::new();
    Ok(Seen { bill, info, lacking })
}

/// Says which files could not be read.
pub(crate) fn say_notes(context: &Context, notes: &[Note]) {
    /// The most of them that a person reads; `-o json` and documents have all.
    const MAX_SAID: usize = 50;
    for note in notes.iter().take(MAX_SAID) {
        let text = format!("{}: {} [{}]", note.path, note.reason, note.code);
        context.output.warn(&text);
    }
    if notes.len() > MAX_SAID {
        let text = format!("and {} more files that could not be read", notes.len() - MAX_SAID);
        context.output.warn(&text);
    }
}

/// Reads a document from a file or, of `-`, from standard input, and says what could not be taken as it stands.
pub(crate) fn document(context: &Context, path: &str, unwrap: bool) -> Result<Document, Failure> {
    let bytes = if path == "-" {
        bounded(std::io::stdin().lock(), path)?
    } else {
        bounded(
            std::fs::File::open(path).map_err(|error| unreadable(Path::new(path), &error))?,
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
    read.map_err(|error| unreadable(Path::new(path), &error))?;
    Ok(bytes)
}

/// Whether a name that is no file is that of a document nevertheless: an image of Docker Hub could be called `bom.json`, and
/// nobody who writes that means one.
fn is_named_as_document(text: &str) -> bool {
    let is_path = text.starts_with(['.', '/']);
    let of_a_registry = !is_path && text.split_once('/').is_some_and(|(host, _)| host.contains(['.', ':']));
    let ends = [".json", ".xml", ".spdx"].iter().any(|end| text.ends_with(end));
    ends && !of_a_registry
}

/// Whether the words name a document rather than an image: standard input, or a file that starts as documents do.
pub(crate) fn is_document(text: &str) -> bool {
    if text == "-" {
        return true;
    }
    let mut start = [0_u8; 64];
    let path = Path::new(text);
    let read = path
        .is_file()
        .then(|| std::fs::File::open(path).and_then(|mut file| file.read(&mut start)));
    let Some(Ok(length)) = read else {
        return !path.exists() && is_named_as_document(text);
    };
    let start = start[..length].trim_ascii_start();
    let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start).trim_ascii_start();
    start.starts_with(b"{") || start.starts_with(b"<") || start.starts_with(b"#") || start.starts_with(b"SPDXVersion:")
}
