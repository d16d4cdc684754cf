//! Image manifests and indexes, of OCI and of Docker's schema 2, read strictly.

use std::collections::BTreeMap;

use proofmark_types::{DigestError, MediaType, MediaTypeError};
use serde::Serialize;
use serde_json::Value;
use thiserror::Error;

use crate::descriptor::Descriptor;
use crate::json::{self, JsonError, Object};
use crate::media_types;

/// The largest manifest read, in bytes: distribution-spec 1.1, "Pushing Manifests", where registries should cap at 4 MiB.
pub const MAX_MANIFEST_BYTES: u64 = 4 * 1024 * 1024;

/// The most layers of a manifest: what cosign reads of a `.sig` manifest; images stay under overlayfs's 500.
pub const MAX_LAYERS: usize = 1_000;

/// The most entries of an index: as many of the smallest useful size (256 bytes) as fit 4 MiB.
pub const MAX_MANIFESTS: usize = 16_384;

/// The most annotations of one object: an order of magnitude over the largest seen (BuildKit, about 30).
pub const MAX_ANNOTATIONS: usize = 512;

/// The only version there is (image-spec, manifest.md, `schemaVersion`).
const SCHEMA_VERSION: u64 = 2;

/// A manifest of either kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Manifest {
    /// One image or artifact: a config and layers.
    Image(ImageManifest),
    /// A list of manifests, one a platform.
    Index(Index),
}

/// Points to the config and the layers of one image or artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageManifest {
    /// OCI's or Docker's manifest type.
    pub media_type: MediaType,
    /// What kind of artifact it is, if it is not an image.
    pub artifact_type: Option<MediaType>,
    /// The config's descriptor.
    pub config: Descriptor,
    /// The layers, lowest first.
    pub layers: Vec<Descriptor>,
    /// The manifest that this one says something about (referrers).
    pub subject: Option<Descriptor>,
    /// Free key and value pairs.
    pub annotations: BTreeMap<String, String>,
}

/// Points to manifests, one a platform, or to the referrers of a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// OCI's index or Docker's list type.
    pub media_type: MediaType,
    /// What kind of artifact it is, if it is not an image.
    pub artifact_type: Option<MediaType>,
    /// The manifests listed.
    pub manifests: Vec<Descriptor>,
    /// The manifest that this one says something about (referrers).
    pub subject: Option<Descriptor>,
    /// Free key and value pairs.
    pub annotations: BTreeMap<String, String>,
}

/// The members of a manifest or index that have a meaning.
const KNOWN: [&str; 9] = [
    "schemaVersion",
    "mediaType",
    "artifactType",
    "config",
    "layers",
    "manifests",
    "subject",
    "annotations",
    "blobs",
];

impl Manifest {
    /// Reads a manifest, whose bytes have been hashed already, in these steps:
    ///
    /// 1. the size is bounded before anything is parsed;
    /// 2. the JSON is read with no key twice, nor any that differs from a known one in case only;
    /// 3. `schemaVersion` is 2;
    /// 4. the media type declared outside (header or descriptor) and the one embedded agree (CVE-2021-41190);
    /// 5. without either, the content decides, and content that is both kinds at once is refused in every case;
    /// 6. every list is bounded.
    pub fn parse(media_type: Option<&MediaType>, bytes: &[u8]) -> Result<Self, ManifestError> {
        // 1.
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if size > MAX_MANIFEST_BYTES {
            return Err(ManifestError::TooLarge {
                limit: MAX_MANIFEST_BYTES,
                seen: size,
            });
        }
        // 2.
        let mut object = Object::new(json::parse(bytes)?, "manifest", &KNOWN)?;
        // 3.
        match object.take("schemaVersion") {
            Some(Value::Number(version)) if version.as_u64() == Some(SCHEMA_VERSION) => {}
            seen => {
                return Err(ManifestError::SchemaVersion {
                    seen: seen.map_or_else(
                        || "none".to_owned(),
                        |value| value.to_string().chars().take(20).collect(),
                    ),
                });
            }
        }
        // 4.
        let embedded = object.text("mediaType")?.map(|t| MediaType::parse(&t)).transpose()?;
        let media_type = match (media_type, embedded) {
            (Some(declared), Some(embedded)) if declared.essence() != embedded.essence() => {
                return Err(ManifestError::MediaTypeMismatch {
                    declared: declared.clone(),
                    embedded,
                });
            }
            (_, Some(embedded)) => Some(embedded),
            (Some(declared), None) => Some(MediaType::parse(declared.essence())?),
            (None, None) => None,
        };
        // 5.
        let as_image = object.has("layers") || object.has("config");
        let as_index = object.has("manifests");
        match (media_type, as_image, as_index) {
            (_, true, true) => Err(ManifestError::Ambiguous),
            (Some(kind), _, false) if media_types::is_image_manifest(kind.as_str()) => {
                ImageManifest::from_object(kind, object).map(Self::Image)
            }
            (Some(kind), false, _) if media_types::is_index(kind.as_str()) => {
                Index::from_object(kind, object).map(Self::Index)
            }
            (Some(kind), _, _)
                if media_types::is_image_manifest(kind.as_str()) || media_types::is_index(kind.as_str()) =>
            {
                Err(ManifestError::ContentMismatch { media_type: kind })
            }
            (Some(kind), _, _) => Err(ManifestError::UnknownMediaType { seen: kind }),
            (None, true, false) => {
                ImageManifest::from_object(MediaType::parse(media_types::OCI_MANIFEST)?, object).map(Self::Image)
            }
            (None, false, true) => {
                Index::from_object(MediaType::parse(media_types::OCI_INDEX)?, object).map(Self::Index)
            }
            (None, false, false) => Err(ManifestError::Empty),
        }
    }

    /// The media type that it has or, if it says none, that its content has.
    #[must_use]
    pub fn media_type(&self) -> &MediaType {
        match self {
            Self::Image(manifest) => &manifest.media_type,
            Self::Index(index) => &index.media_type,
        }
    }

    /// The manifest that this one says something about, if it is a referrer.
    #[must_use]
    pub fn subject(&self) -> Option<&Descriptor> {
        match self {
            Self::Image(manifest) => manifest.subject.as_ref(),
            Self::Index(index) => index.subject.as_ref(),
        }
    }

    /// The annotations of the manifest itself.
    #[must_use]
    pub fn annotations(&self) -> &BTreeMap<String, String> {
        match self {
            Self::Image(manifest) => &manifest.annotations,
            Self::Index(index) => &index.annotations,
        }
    }

    /// The artifact type by which referrers are listed: the manifest's own or, without one, its config's media type
    /// (distribution-spec 1.1, "Listing Referrers").
    #[must_use]
    pub fn artifact_type(&self) -> Option<&MediaType> {
        match self {
            Self::Image(manifest) => Some(manifest.artifact_type.as_ref().unwrap_or(&manifest.config.media_type)),
            Self::Index(index) => index.artifact_type.as_ref(),
        }
    }
}

impl ImageManifest {
    /// Writes it as JSON, the fields in the order in which Go's tools write them.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        written(&Wire {
            schema_version: SCHEMA_VERSION,
            media_type: &self.media_type,
            config: Some(&self.config),
            layers: Some(&self.layers),
            manifests: None,
            annotations: &self.annotations,
            subject: self.subject.as_ref(),
            artifact_type: self.artifact_type.as_ref(),
        })
    }

    /// Whether it is an image that can be run, by the type of its config.
    #[must_use]
    pub fn is_runnable(&self) -> bool {
        media_types::is_image_config(self.config.media_type.as_str())
    }

    fn from_object(media_type: MediaType, mut object: Object) -> Result<Self, ManifestError> {
        let config = object.take("config").ok_or(JsonError::Missing { field: "config" })?;
        if !object.has("layers") {
            return Err(JsonError::Missing { field: "layers" }.into());
        }
        Ok(Self {
            media_type,
            artifact_type: object.text("artifactType")?.map(|t| MediaType::parse(&t)).transpose()?,
            config: Descriptor::from_value(config, "config")?,
            // 6.
            layers: descriptors(&mut object, "layers", MAX_LAYERS)?,
            subject: subject(&mut object)?,
            annotations: object.text_map("annotations", MAX_ANNOTATIONS)?,
        })
    }
}

impl Index {
    /// An empty OCI index.
    #[must_use]
    pub fn empty() -> Self {
        Self::of(Vec::new())
    }

    /// An OCI index of `manifests`.
    #[must_use]
    pub fn of(manifests: Vec<Descriptor>) -> Self {
        Self {
            media_type: MediaType::of_constant(media_types::OCI_INDEX),
            artifact_type: None,
            manifests,
            subject: None,
            annotations: BTreeMap::new(),
        }
    }

    /// Writes it as JSON, the fields in the order in which Go's tools write them.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        written(&Wire {
            schema_version: SCHEMA_VERSION,
            media_type: &self.media_type,
            config: None,
            layers: None,
            manifests: Some(&self.manifests),
            annotations: &self.annotations,
            subject: self.subject.as_ref(),
            artifact_type: self.artifact_type.as_ref(),
        })
    }

    fn from_object(media_type: MediaType, mut object: Object) -> Result<Self, ManifestError> {
        Ok(Self {
            media_type,
            artifact_type: object.text("artifactType")?.map(|t| MediaType::parse(&t)).transpose()?,
            // 6.
            manifests: descriptors(&mut object, "manifests", MAX_MANIFESTS)?,
            subject: subject(&mut object)?,
            annotations: object.text_map("annotations", MAX_ANNOTATIONS)?,
        })
    }
}

fn descriptors(object: &mut Object, field: &'static str, limit: usize) -> Result<Vec<Descriptor>, ManifestError> {
    object
        .list(field, limit)?
        .into_iter()
        .map(|value| Descriptor::from_value(value, field))
        .collect()
}

fn subject(object: &mut Object) -> Result<Option<Descriptor>, ManifestError> {
    object
        .take("subject")
        .map(|value| Descriptor::from_value(value, "subject"))
        .transpose()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Wire<'m> {
    schema_version: u64,
    media_type: &'m MediaType,
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<&'m Descriptor>,
    #[serde(skip_serializing_if = "Option::is_none")]
    layers: Option<&'m [Descriptor]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    manifests: Option<&'m [Descriptor]>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: &'m BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'m Descriptor>,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifact_type: Option<&'m MediaType>,
}

/// Serialising maps of strings to memory cannot fail.
pub(crate) fn written(wire: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(wire).unwrap_or_default()
}

/// Why bytes are not a manifest.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// Larger than any registry should hold; not parsed at all.
    #[error("a manifest of {seen} bytes is larger than the {limit} accepted")]
    TooLarge {
        /// The bound.
        limit: u64,
        /// Its size.
        seen: u64,
    },
    /// Not the JSON that a manifest is.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// Docker's schema 1, or no manifest at all.
    #[error("expected schemaVersion 2, got {seen}")]
    SchemaVersion {
        /// What stood there.
        seen: String,
    },
    /// The registry's header or the descriptor says one type, the manifest another (CVE-2021-41190).
    #[error("declared as {declared}, but the manifest says that it is {embedded}")]
    MediaTypeMismatch {
        /// The type from outside.
        declared: MediaType,
        /// The type inside.
        embedded: MediaType,
    },
    /// It has layers and manifests: two readers would see two images (CVE-2021-41190).
    #[error("has both an image's fields (config, layers) and an index's (manifests)")]
    Ambiguous,
    /// Its type says image and its content index, or the reverse (CVE-2021-41190).
    #[error("its content is not that of its media type {media_type}")]
    ContentMismatch {
        /// The type it has.
        media_type: MediaType,
    },
    /// A type that is neither an image manifest nor an index.
    #[error("{seen} is neither an image manifest nor an index")]
    UnknownMediaType {
        /// The type it has.
        seen: MediaType,
    },
    /// It says no type and has neither layers nor manifests.
    #[error("has no media type, no layers and no manifests")]
    Empty,
    /// A digest in it is malformed.
    #[error(transparent)]
    Digest(#[from] DigestError),
    /// A media type in it is malformed.
    #[error(transparent)]
    MediaType(#[from] MediaTypeError),
}

impl ManifestError {
    /// A stable name for messages and documentation.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "manifest-too-large",
            Self::Json(JsonError::DuplicateKey { .. } | JsonError::AmbiguousKey { .. }) => "manifest-ambiguous-key",
            Self::Json(JsonError::TooMany { .. }) => "manifest-too-many",
            Self::Json(_) => "manifest-malformed",
            Self::SchemaVersion { .. } => "manifest-schema-version",
            Self::MediaTypeMismatch { .. } | Self::ContentMismatch { .. } => "manifest-media-type-mismatch",
            Self::Ambiguous => "manifest-ambiguous",
            Self::UnknownMediaType { .. } => "manifest-unknown-media-type",
            Self::Empty => "manifest-empty",
            Self::Digest(_) => "manifest-digest-malformed",
            Self::MediaType(_) => "manifest-media-type-malformed",
        }
    }
}

#[cfg(test)]
mod tests;
