//! Descriptors: what a manifest says of the content that it points to (image-spec, descriptor.md).

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use proofmark_types::{Digest, MediaType};
use serde::de::Error as _;
use serde::ser::SerializeStruct as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use thiserror::Error;

use crate::json::{JsonError, Object};
use crate::manifest::{MAX_ANNOTATIONS, ManifestError};

/// Points to content by digest and size, and says what it is.
///
/// The fields `urls` and `data` of the specification are not kept: content is fetched by digest from the repository
/// and nowhere else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// What the content is.
    pub media_type: MediaType,
    /// The content's digest.
    pub digest: Digest,
    /// The content's length in bytes.
    pub size: u64,
    /// What kind of artifact a manifest is, where a descriptor in a referrers list repeats it.
    pub artifact_type: Option<MediaType>,
    /// What a manifest in an index runs on.
    pub platform: Option<Platform>,
    /// Free key and value pairs.
    pub annotations: BTreeMap<String, String>,
}

/// The members of a descriptor that have a meaning.
const KNOWN: [&str; 8] = [
    "mediaType",
    "digest",
    "size",
    "urls",
    "annotations",
    "data",
    "platform",
    "artifactType",
];

impl Descriptor {
    /// Describes `bytes`, hashed with SHA-256.
    #[must_use]
    pub fn of(media_type: MediaType, bytes: &[u8]) -> Self {
        Self {
            media_type,
            digest: Digest::sha256_of(bytes),
            size: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            artifact_type: None,
            platform: None,
            annotations: BTreeMap::new(),
        }
    }

    /// Whether `bytes` are the content described: their length first, then their digest.
    #[must_use]
    pub fn matches(&self, bytes: &[u8]) -> bool {
        u64::try_from(bytes.len()).is_ok_and(|length| length == self.size) && self.digest.matches(bytes)
    }

    pub(crate) fn from_value(value: Value, field: &'static str) -> Result<Self, ManifestError> {
        let mut object = Object::new(value, field, &KNOWN)?;
        let media_type = object
            .text("mediaType")?
            .ok_or(JsonError::Missing { field: "mediaType" })?;
        let digest = object.text("digest")?.ok_or(JsonError::Missing { field: "digest" })?;
        let size = object
            .take("size")
            .ok_or(JsonError::Missing { field: "size" })?
            .as_u64()
            .filter(|size| i64::try_from(*size).is_ok())
            .ok_or(JsonError::Type {
                field: "size",
                expected: "a number of bytes",
            })?;
        Ok(Self {
            media_type: MediaType::parse(&media_type)?,
            digest: Digest::parse(&digest)?,
            size,
            artifact_type: object.text("artifactType")?.map(|t| MediaType::parse(&t)).transpose()?,
            platform: object.take("platform").map(Platform::from_value).transpose()?,
            annotations: object.text_map("annotations", MAX_ANNOTATIONS)?,
        })
    }
}

impl Serialize for Descriptor {
    /// Field order as go-containerregistry writes it, so that a person can compare the two.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut members = serializer.serialize_struct("Descriptor", 6)?;
        members.serialize_field("mediaType", &self.media_type)?;
        members.serialize_field("size", &self.size)?;
        members.serialize_field("digest", &self.digest)?;
        if !self.annotations.is_empty() {
            members.serialize_field("annotations", &self.annotations)?;
        }
        if let Some(platform) = &self.platform {
            members.serialize_field("platform", platform)?;
        }
        if let Some(artifact_type) = &self.artifact_type {
            members.serialize_field("artifactType", artifact_type)?;
        }
        members.end()
    }
}

impl<'de> Deserialize<'de> for Descriptor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Self::from_value(value, "descriptor").map_err(D::Error::custom)
    }
}

/// What an image runs on: `linux/amd64`, `linux/arm64/v8` (image-spec, image-index.md, "platform").
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Platform {
    /// The operating system, a `GOOS` value.
    pub os: String,
    /// The processor, a `GOARCH` value.
    pub architecture: String,
    /// The variant of the processor, such as `v8`.
    pub variant: Option<String>,
    /// The version of the operating system; of use for Windows only.
    pub os_version: Option<String>,
}

impl Platform {
    /// Reads `os/architecture` or `os/architecture/variant`.
    pub fn parse(text: &str) -> Result<Self, PlatformError> {
        let malformed = || PlatformError {
            text: text.chars().take(80).collect(),
        };
        let mut parts = text.split('/');
        let (os, architecture, variant) = (parts.next(), parts.next(), parts.next());
        let word = |part: &str| {
            !part.is_empty()
                && part.len() <= 32
                && part
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b))
        };
        match (os, architecture, parts.next()) {
            (Some(os), Some(architecture), None) if word(os) && word(architecture) && variant.is_none_or(word) => {
                Ok(Self {
                    os: os.to_owned(),
                    architecture: architecture.to_owned(),
                    variant: variant.map(str::to_owned),
                    os_version: None,
                })
            }
            _ => Err(malformed()),
        }
    }

    /// Whether an image for `self` is what someone who asked for `wanted` gets: the same system and processor, and the
    /// same variant where one was asked for (`v8` and none are the same for arm64).
    #[must_use]
    pub fn satisfies(&self, wanted: &Self) -> bool {
        self.os == wanted.os
            && self.architecture == wanted.architecture
            && (wanted.variant.is_none() || self.canonical_variant() == wanted.canonical_variant())
    }

    fn canonical_variant(&self) -> Option<&str> {
        match (self.architecture.as_str(), self.variant.as_deref()) {
            ("arm64", Some("v8")) => None,
            ("arm", None) => Some("v7"),
            (_, variant) => variant,
        }
    }

    fn from_value(value: Value) -> Result<Self, JsonError> {
        let known = ["architecture", "os", "os.version", "os.features", "variant", "features"];
        let mut object = Object::new(value, "platform", &known)?;
        Ok(Self {
            os: object.text("os")?.unwrap_or_default(),
            architecture: object.text("architecture")?.unwrap_or_default(),
            variant: object.text("variant")?,
            os_version: object.text("os.version")?,
        })
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl Serialize for Platform {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut members = serializer.serialize_struct("Platform", 4)?;
        members.serialize_field("architecture", &self.architecture)?;
        members.serialize_field("os", &self.os)?;
        if let Some(os_version) = &self.os_version {
            members.serialize_field("os.version", os_version)?;
        }
        if let Some(variant) = &self.variant {
            members.serialize_field("variant", variant)?;
        }
        members.end()
    }
}

/// A text that names no platform.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("expected a platform such as linux/arm64/v8, got \"{text}\"")]
pub struct PlatformError {
    /// What was given, shortened.
    pub text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_are_read_and_shown() {
        for text in ["linux/amd64", "linux/arm64/v8", "windows/amd64"] {
            assert_eq!(Platform::parse(text).unwrap().to_string(), text);
        }
        for text in [
            "",
            "linux",
            "linux/",
            "/amd64",
            "linux/arm/v7/x",
            "Linux/amd64",
            "linux/a b",
        ] {
            assert!(Platform::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn platforms_satisfy_what_was_asked_for() {
        let platform = |text| Platform::parse(text).unwrap();
        for (has, wanted, satisfies) in [
            ("linux/arm64/v8", "linux/arm64", true),
            ("linux/arm64", "linux/arm64/v8", true),
            ("linux/arm/v7", "linux/arm/v7", true),
            ("linux/arm/v6", "linux/arm/v7", false),
            ("linux/amd64", "linux/arm64", false),
            ("windows/amd64", "linux/amd64", false),
        ] {
            assert_eq!(
                platform(has).satisfies(&platform(wanted)),
                satisfies,
                "{has} for {wanted}"
            );
        }
    }

    #[test]
    fn content_matches_by_length_and_digest() {
        let descriptor = Descriptor::of(MediaType::parse("application/json").unwrap(), b"{}");
        assert!(descriptor.matches(b"{}"));
        assert!(!descriptor.matches(b"[]"));
        assert!(!descriptor.matches(b"{} "));
        let other_size = Descriptor { size: 3, ..descriptor };
        assert!(!other_size.matches(b"{}"));
    }
}
