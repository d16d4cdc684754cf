//! OCI image layouts (image-spec, image-layout.md): the files of a folder, as text and paths; opening them is the
//! caller's.

use proofmark_types::Digest;
use thiserror::Error;

use crate::descriptor::Descriptor;
use crate::json::{self, JsonError, Object};
use crate::manifest::{Index, Manifest, ManifestError};

/// The file that marks a folder as a layout.
pub const MARKER_FILE: &str = "oci-layout";
/// The file that lists the images.
pub const INDEX_FILE: &str = "index.json";
/// The content of the marker file.
pub const MARKER: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
/// The annotation that gives an image in `index.json` its name or tag.
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The annotation by which `cosign save` says what an entry of `index.json` is.
pub const COSIGN_KIND: &str = "kind";
/// The largest marker file read, in bytes; the specified one has 30.
pub const MAX_MARKER_BYTES: u64 = 4096;

/// Checks the content of the marker file: a version 1 layout.
pub fn check_marker(bytes: &[u8]) -> Result<(), LayoutError> {
    let mut object = Object::new(json::parse(bytes)?, "oci-layout", &["imageLayoutVersion"])?;
    match object.text("imageLayoutVersion")? {
        Some(version) if version == "1" || version.starts_with("1.") => Ok(()),
        version => Err(LayoutError::Version {
            seen: version.unwrap_or_default().chars().take(20).collect(),
        }),
    }
}

/// Reads `index.json`.
pub fn parse_index(bytes: &[u8]) -> Result<Index, LayoutError> {
    match Manifest::parse(None, bytes)? {
        Manifest::Index(index) => Ok(index),
        Manifest::Image(_) => Err(LayoutError::NotAnIndex),
    }
}

/// Where the content of `digest` stands, relative to the layout's folder.
#[must_use]
pub fn blob_path(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm(), digest.hex())
}

/// Picks an image: the one named (by the annotation, whole or as its tag), or the only one there is. What `cosign save`
/// marks as an image is one, and what is listed for hanging on an image is none.
pub fn select<'i>(index: &'i Index, name: Option<&str>) -> Result<&'i Descriptor, LayoutError> {
    let Some(name) = name else {
        if let [only] = index.manifests.as_slice() {
            return Ok(only);
        }
        let marked: Vec<&Descriptor> = index.manifests.iter().filter(|entry| is_marked_image(entry)).collect();
        let images = if marked.is_empty() {
            index.manifests.iter().filter(|entry| !is_attachment(entry)).collect()
        } else {
            marked
        };
        return match images.as_slice() {
            [only] => Ok(*only),
            several => Err(LayoutError::NotOne {
                seen: several.len(),
                names: names(index),
            }),
        };
    };
    let named = |descriptor: &&Descriptor| descriptor.annotations.get(REF_NAME).is_some_and(|seen| seen == name);
    let tagged = |descriptor: &&Descriptor| {
        let seen = descriptor.annotations.get(REF_NAME);
        seen.and_then(|seen| seen.rsplit_once(':'))
            .is_some_and(|(_, tag)| tag == name)
    };
    index
        .manifests
        .iter()
        .find(named)
        .or_else(|| index.manifests.iter().find(tagged))
        .ok_or_else(|| LayoutError::NoSuchName {
            name: name.chars().take(80).collect(),
            names: names(index),
        })
}

/// Whether an entry is what `cosign save` marks as the image that the folder is about.
#[must_use]
pub fn is_marked_image(entry: &Descriptor) -> bool {
    matches!(
        entry.annotations.get(COSIGN_KIND).map(String::as_str),
        Some("dev.cosignproject.cosign/image" | "dev.cosignproject.cosign/imageIndex")
    )
}

/// Whether an entry says that it hangs on an image: an artifact, or one under a name made of a digest (`sha256-….sig`).
fn is_attachment(entry: &Descriptor) -> bool {
    let name = entry.annotations.get(REF_NAME).map_or("", String::as_str);
    let tag = name.rsplit_once(':').map_or(name, |(_, tag)| tag);
    entry.artifact_type.is_some() || entry.annotations.contains_key(COSIGN_KIND) || tag.starts_with("sha256-")
}

/// The most names that an error lists.
const MAX_NAMES: usize = 10;

fn names(index: &Index) -> Vec<String> {
    let named = index.manifests.iter().filter_map(|d| d.annotations.get(REF_NAME));
    named.take(MAX_NAMES).cloned().collect()
}

/// Why a folder is not a layout, or not one that has the image asked for.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LayoutError {
    /// The marker file is not JSON.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// `index.json` is malformed.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// Another version than 1.
    #[error("expected image layout version 1, got \"{seen}\"")]
    Version {
        /// The version seen.
        seen: String,
    },
    /// `index.json` is an image manifest.
    #[error("index.json is an image manifest, expected an index")]
    NotAnIndex,
    /// No name was given and there is not exactly one image.
    #[error("the layout holds {seen} images, say which by name: {names:?}")]
    NotOne {
        /// How many there are.
        seen: usize,
        /// Some of their names.
        names: Vec<String>,
    },
    /// No image has the name given.
    #[error("the layout holds no image named \"{name}\", only {names:?}")]
    NoSuchName {
        /// The name given.
        name: String,
        /// Some of the names there are.
        names: Vec<String>,
    },
}

impl LayoutError {
    /// A stable name for messages and documentation.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Json(_) => "layout-malformed",
            Self::Manifest(error) => error.code(),
            Self::Version { .. } => "layout-version",
            Self::NotAnIndex => "layout-not-an-index",
            Self::NotOne { .. } => "layout-name-needed",
            Self::NoSuchName { .. } => "layout-no-such-image",
        }
    }
}

#[cfg(test)]
mod tests {
    use proofmark_types::MediaType;

    use super::*;
    use crate::media_types;

    fn named(name: &str, content: &[u8]) -> Descriptor {
        let mut descriptor = Descriptor::of(MediaType::parse(media_types::OCI_MANIFEST).unwrap(), content);
        descriptor.annotations.insert(REF_NAME.to_owned(), name.to_owned());
        descriptor
    }

    #[test]
    fn the_marker_is_of_version_1() {
        check_marker(MARKER).unwrap();
        for bad in [
            &br#"{"imageLayoutVersion":"2.0.0"}"#[..],
            b"{}",
            br#"{"imageLayoutVersion":1}"#,
            b"",
        ] {
            assert!(check_marker(bad).is_err());
        }
    }

    #[test]
    fn images_are_selected_by_name_or_tag_or_because_there_is_one() {
        let one = Index::of(vec![named("1.0", b"a")]);
        assert_eq!(select(&one, None).unwrap(), &one.manifests[0]);
        let two = Index::of(vec![named("1.0", b"a"), named("registry.example.com/app:2.0", b"b")]);
        assert_eq!(select(&two, None).unwrap_err().code(), "layout-name-needed");
        assert_eq!(select(&two, Some("1.0")).unwrap(), &two.manifests[0]);
        assert_eq!(select(&two, Some("2.0")).unwrap(), &two.manifests[1]);
        assert_eq!(
            select(&two, Some("registry.example.com/app:2.0")).unwrap(),
            &two.manifests[1]
        );
        assert_eq!(select(&two, Some("3.0")).unwrap_err().code(), "layout-no-such-image");
        assert_eq!(select(&Index::empty(), None).unwrap_err().code(), "layout-name-needed");
    }

    #[test]
    fn blobs_stand_under_their_digest() {
        let digest = Digest::sha256_of(b"{}");
        assert_eq!(
            blob_path(&digest),
            "blobs/sha256/44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
        );
    }

    #[test]
    fn an_image_manifest_is_no_index() {
        let manifest = br#"{"schemaVersion":2,"config":{"mediaType":"a/b","size":2,"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"},"layers":[]}"#;
        assert_eq!(parse_index(manifest).unwrap_err().code(), "layout-not-an-index");
        assert_eq!(parse_index(b"{}").unwrap_err().code(), "manifest-schema-version");
    }
}
