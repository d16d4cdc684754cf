//! `docker save` archives: `manifest.json` as text (Docker image-spec 1.2, "Combined Image JSON + Filesystem Changeset
//! Format"); reading the tar around it is the caller's.

use serde_json::Value;
use thiserror::Error;

use crate::json::{self, JsonError, Object};
use crate::manifest::{MAX_LAYERS, MAX_MANIFEST_BYTES};

/// The file that lists the images.
pub const MANIFEST_FILE: &str = "manifest.json";

/// The most images of one archive, and names of one image; far over what one would save together.
const MAX_IMAGES: usize = 1_000;

/// One image of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchivedImage {
    /// The path of the config in the archive.
    pub config: String,
    /// The names it was saved under.
    pub repo_tags: Vec<String>,
    /// The paths of the layers in the archive, lowest first. Layers are hard or symbolic links in some archives.
    pub layers: Vec<String>,
}

/// Reads `manifest.json`.
pub fn parse(bytes: &[u8]) -> Result<Vec<ArchivedImage>, DockerArchiveError> {
    let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    if size > MAX_MANIFEST_BYTES {
        return Err(DockerArchiveError::TooLarge {
            limit: MAX_MANIFEST_BYTES,
            seen: size,
        });
    }
    match json::parse(bytes)? {
        Value::Array(images) if images.len() <= MAX_IMAGES => {
            images.into_iter().map(ArchivedImage::from_value).collect()
        }
        Value::Array(images) => Err(JsonError::TooMany {
            field: MANIFEST_FILE,
            limit: MAX_IMAGES,
            seen: images.len(),
        }
        .into()),
        _ => Err(JsonError::Type {
            field: MANIFEST_FILE,
            expected: "a list",
        }
        .into()),
    }
}

/// Picks an image: the one named, or the only one there is.
pub fn select<'a>(images: &'a [ArchivedImage], name: Option<&str>) -> Result<&'a ArchivedImage, DockerArchiveError> {
    match (name, images) {
        (None, [only]) => Ok(only),
        (None, several) => Err(DockerArchiveError::NotOne { seen: several.len() }),
        (Some(name), images) => images
            .iter()
            .find(|image| image.repo_tags.iter().any(|tag| tag == name))
            .ok_or_else(|| DockerArchiveError::NoSuchName {
                name: name.chars().take(80).collect(),
            }),
    }
}

impl ArchivedImage {
    fn from_value(value: Value) -> Result<Self, DockerArchiveError> {
        let mut object = Object::new(value, MANIFEST_FILE, &["Config", "RepoTags", "Layers"])?;
        let config = object.text("Config")?.ok_or(JsonError::Missing { field: "Config" })?;
        let layers = object.texts("Layers", MAX_LAYERS)?;
        for path in layers.iter().chain([&config]) {
            if path.starts_with('/') || path.split('/').any(|part| part == "..") {
                return Err(DockerArchiveError::Path {
                    path: path.chars().take(80).collect(),
                });
            }
        }
        Ok(Self {
            config,
            repo_tags: object.texts("RepoTags", MAX_IMAGES)?,
            layers,
        })
    }
}

/// Why a `manifest.json` cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DockerArchiveError {
    /// Larger than any that `docker save` writes; not parsed at all.
    #[error("a manifest.json of {seen} bytes is larger than the {limit} accepted")]
    TooLarge {
        /// The bound.
        limit: u64,
        /// Its size.
        seen: u64,
    },
    /// Not the JSON that it is.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// A path that leaves the archive.
    #[error("the path \"{path}\" leaves the archive")]
    Path {
        /// The path.
        path: String,
    },
    /// No name was given and there is not exactly one image.
    #[error("the archive holds {seen} images, say which by name")]
    NotOne {
        /// How many there are.
        seen: usize,
    },
    /// No image has the name given.
    #[error("the archive holds no image named \"{name}\"")]
    NoSuchName {
        /// The name given.
        name: String,
    },
}

impl DockerArchiveError {
    /// A stable name for messages and documentation.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } | Self::Json(_) => "docker-archive-malformed",
            Self::Path { .. } => "docker-archive-path-escape",
            Self::NotOne { .. } => "docker-archive-name-needed",
            Self::NoSuchName { .. } => "docker-archive-no-such-image",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str =
        r#"[{"Config":"abc.json","RepoTags":["app:1.0"],"Layers":["l1/layer.tar","l2/layer.tar"],"LayerSources":{}}]"#;

    #[test]
    fn an_archive_lists_its_images() {
        let images = parse(GOOD.as_bytes()).unwrap();
        assert_eq!(images[0].config, "abc.json");
        assert_eq!(images[0].layers.len(), 2);
        assert_eq!(select(&images, None).unwrap(), &images[0]);
        assert_eq!(select(&images, Some("app:1.0")).unwrap(), &images[0]);
        assert_eq!(
            select(&images, Some("app:2.0")).unwrap_err().code(),
            "docker-archive-no-such-image"
        );
        assert_eq!(select(&[], None).unwrap_err().code(), "docker-archive-name-needed");
        let untagged = GOOD.replace(r#"["app:1.0"]"#, "null");
        assert!(parse(untagged.as_bytes()).unwrap()[0].repo_tags.is_empty());
    }

    #[test]
    fn malformed_archives_are_refused() {
        for (bad, code) in [
            (GOOD.replace("abc.json", "../abc.json"), "docker-archive-path-escape"),
            (GOOD.replace("l1/", "/etc/"), "docker-archive-path-escape"),
            (GOOD.replace("l1/", "a/../../"), "docker-archive-path-escape"),
            ("{}".to_owned(), "docker-archive-malformed"),
            ("[{}]".to_owned(), "docker-archive-malformed"),
            (GOOD.replace("RepoTags", "layers"), "docker-archive-malformed"),
        ] {
            assert_eq!(parse(bad.as_bytes()).unwrap_err().code(), code, "{bad}");
        }
    }
}
