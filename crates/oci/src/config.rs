//! Image configs (image-spec, config.md): what an image was built as, and which layers it is made of.

use std::collections::BTreeMap;

use proofmark_types::{Digest, DigestError, TimeError, UnixTime};
use serde::Serialize;
use serde_json::Value;
use thiserror::Error;

use crate::descriptor::Platform;
use crate::json::{self, JsonError, Object};
use crate::manifest::{MAX_LAYERS, written};

/// The largest config read, in bytes: containerd reads configs of at most 8 MiB as well.
pub const MAX_CONFIG_BYTES: u64 = 8 * 1024 * 1024;

/// The most entries of a list or map in a config; the largest seen have some hundred history steps and labels.
const MAX_ENTRIES: usize = 16_384;

/// An image's config.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageConfig {
    /// The processor, a `GOARCH` value.
    pub architecture: String,
    /// The operating system, a `GOOS` value.
    pub os: String,
    /// The variant of the processor, such as `v8`.
    pub variant: Option<String>,
    /// When it was built, as the builder says.
    pub created: Option<UnixTime>,
    /// Who built it, as the builder says.
    pub author: Option<String>,
    /// The digests of the uncompressed layers, lowest first.
    pub diff_ids: Vec<Digest>,
    /// What is run, and how.
    pub config: RuntimeConfig,
    /// The steps of the build, oldest first.
    pub history: Vec<History>,
}

/// How a container of the image is started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct RuntimeConfig {
    /// The user, by name or number, and the group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The environment, `NAME=value`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// The program and its first arguments.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub entrypoint: Vec<String>,
    /// More arguments, or the program if there is no entry point.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cmd: Vec<String>,
    /// The folder it starts in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<String>,
    /// Free key and value pairs.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// One step of the build.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct History {
    /// When, as the builder says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<UnixTime>,
    /// The command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// A remark.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Whether the step made no layer.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub empty_layer: bool,
}

impl ImageConfig {
    /// Reads a config, whose bytes have been hashed already.
    pub fn parse(bytes: &[u8]) -> Result<Self, ConfigError> {
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if size > MAX_CONFIG_BYTES {
            return Err(ConfigError::TooLarge {
                limit: MAX_CONFIG_BYTES,
                seen: size,
            });
        }
        let known = [
            "created",
            "author",
            "architecture",
            "os",
            "variant",
            "config",
            "rootfs",
            "history",
        ];
        let mut object = Object::new(json::parse(bytes)?, "config", &known)?;
        let rootfs = object.take("rootfs").ok_or(JsonError::Missing { field: "rootfs" })?;
        let mut rootfs = Object::new(rootfs, "rootfs", &["type", "diff_ids"])?;
        let diff_ids = rootfs
            .texts("diff_ids", MAX_LAYERS)?
            .iter()
            .map(|text| Digest::parse(text))
            .collect::<Result<_, _>>()?;
        let history = object
            .list("history", MAX_ENTRIES)?
            .into_iter()
            .map(History::from_value)
            .collect::<Result<_, _>>()?;
        Ok(Self {
            architecture: object.text("architecture")?.unwrap_or_default(),
            os: object.text("os")?.unwrap_or_default(),
            variant: object.text("variant")?,
            created: time(&mut object)?,
            author: object.text("author")?,
            diff_ids,
            config: object
                .take("config")
                .map(RuntimeConfig::from_value)
                .transpose()?
                .unwrap_or_default(),
            history,
        })
    }

    /// Writes it as JSON, the fields in the order in which Go's tools write them.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct Wire<'c> {
            #[serde(skip_serializing_if = "Option::is_none")]
            created: Option<UnixTime>,
            #[serde(skip_serializing_if = "Option::is_none")]
            author: Option<&'c String>,
            architecture: &'c str,
            os: &'c str,
            #[serde(skip_serializing_if = "Option::is_none")]
            variant: Option<&'c String>,
            config: &'c RuntimeConfig,
            rootfs: RootFs<'c>,
            #[serde(skip_serializing_if = "<[_]>::is_empty")]
            history: &'c [History],
        }
        #[derive(Serialize)]
        struct RootFs<'c> {
            r#type: &'static str,
            diff_ids: &'c [Digest],
        }
        written(&Wire {
            created: self.created,
            author: self.author.as_ref(),
            architecture: &self.architecture,
            os: &self.os,
            variant: self.variant.as_ref(),
            config: &self.config,
            rootfs: RootFs {
                r#type: "layers",
                diff_ids: &self.diff_ids,
            },
            history: &self.history,
        })
    }

    /// What the image runs on.
    #[must_use]
    pub fn platform(&self) -> Platform {
        Platform {
            os: self.os.clone(),
            architecture: self.architecture.clone(),
            variant: self.variant.clone(),
            os_version: None,
        }
    }
}

impl RuntimeConfig {
    fn from_value(value: Value) -> Result<Self, JsonError> {
        let known = ["User", "Env", "Entrypoint", "Cmd", "WorkingDir", "Labels"];
        let mut object = Object::new(value, "config", &known)?;
        Ok(Self {
            user: object.text("User")?,
            env: object.texts("Env", MAX_ENTRIES)?,
            entrypoint: object.texts("Entrypoint", MAX_ENTRIES)?,
            cmd: object.texts("Cmd", MAX_ENTRIES)?,
            working_dir: object.text("WorkingDir")?,
            labels: object.text_map("Labels", MAX_ENTRIES)?,
        })
    }
}

impl History {
    fn from_value(value: Value) -> Result<Self, ConfigError> {
        let known = ["created", "created_by", "author", "comment", "empty_layer"];
        let mut object = Object::new(value, "history", &known)?;
        Ok(Self {
            created: time(&mut object)?,
            created_by: object.text("created_by")?,
            comment: object.text("comment")?,
            empty_layer: object
                .take("empty_layer")
                .is_some_and(|value| value == Value::Bool(true)),
        })
    }
}

fn time(object: &mut Object) -> Result<Option<UnixTime>, ConfigError> {
    Ok(object.text("created")?.map(|text| UnixTime::parse(&text)).transpose()?)
}

/// Why bytes are not an image config.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Larger than any builder writes; not parsed at all.
    #[error("a config of {seen} bytes is larger than the {limit} accepted")]
    TooLarge {
        /// The bound.
        limit: u64,
        /// Its size.
        seen: u64,
    },
    /// Not the JSON that a config is.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// A diffID in it is malformed.
    #[error(transparent)]
    Digest(#[from] DigestError),
    /// A time in it is malformed.
    #[error(transparent)]
    Time(#[from] TimeError),
}

impl ConfigError {
    /// A stable name for messages and documentation.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "config-too-large",
            Self::Json(_) | Self::Digest(_) | Self::Time(_) => "config-malformed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = concat!(
        r#"{"created":"2026-11-21T07:23:00Z","architecture":"amd64","os":"linux","#,
        r#""config":{"User":"65532","Env":["PATH=/bin"],"Cmd":["/bin/sh"],"WorkingDir":"/app","Labels":{"a":"b"}},"#,
        r#""rootfs":{"type":"layers","diff_ids":["#,
        r#""sha256:479e2e69e46d77beb28c89214a611d516c5a5be6b5aa89c4936207c430c03dee"]},"#,
        r#""history":[{"created":"2026-11-21T07:23:01Z","created_by":"COPY / /"},{"created_by":"CMD","empty_layer":true}]}"#
    );

    #[test]
    fn a_config_is_read_and_written() {
        let config = ImageConfig::parse(GOOD.as_bytes()).unwrap();
        assert_eq!(config.platform().to_string(), "linux/amd64");
        assert_eq!(config.diff_ids.len(), 1);
        assert_eq!(config.config.cmd, ["/bin/sh"]);
        assert_eq!(config.config.labels["a"], "b");
        assert!(config.history[1].empty_layer);
        assert_eq!(String::from_utf8(config.to_json()).unwrap(), GOOD);
    }

    #[test]
    fn docker_writes_nulls_and_fractions() {
        let text = r#"{"created":"2026-11-21T07:23:00.527460113Z","config":{"Env":null,"Labels":null},"rootfs":{"diff_ids":null}}"#;
        let config = ImageConfig::parse(text.as_bytes()).unwrap();
        assert_eq!(config.created.unwrap().to_string(), "2026-11-21T07:23:00Z");
        assert!(config.diff_ids.is_empty());
    }

    #[test]
    fn malformed_configs_are_refused() {
        for bad in [
            "{}".to_owned(),
            GOOD.replace("diff_ids", "diff_Ids"),
            GOOD.replace("sha256:479", "sha256:4"),
            GOOD.replace("2026-11-21T07:23:00Z", "yesterday"),
            GOOD.replace(r#"["PATH=/bin"]"#, r#""PATH=/bin""#),
            GOOD.replace(r#""os":"linux""#, r#""os":"linux","os":"windows""#),
        ] {
            assert_eq!(
                ImageConfig::parse(bad.as_bytes()).unwrap_err().code(),
                "config-malformed",
                "{bad}"
            );
        }
        let large = vec![b' '; usize::try_from(MAX_CONFIG_BYTES).unwrap() + 1];
        assert_eq!(ImageConfig::parse(&large).unwrap_err().code(), "config-too-large");
    }
}
