//! The formats that documents are written in, by the names that Syft's `-o` has for them.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::bill::Bill;
use crate::document::DocumentInfo;
use crate::{cyclonedx, spdx, spdx3, syft};

/// What a document is written as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Format {
    /// SPDX 2.3 in JSON.
    #[default]
    SpdxJson,
    /// SPDX 2.3 in lines of `Tag: value`.
    SpdxTagValue,
    /// SPDX 3.0.1 in JSON-LD.
    Spdx3Json,
    /// CycloneDX in JSON.
    CyclonedxJson(CyclonedxVersion),
    /// CycloneDX in XML.
    CyclonedxXml(CyclonedxVersion),
    /// Syft's own JSON, as Syft 1.18 writes it and Grype reads it.
    SyftJson,
}

/// A version of CycloneDX.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CyclonedxVersion {
    /// 1.4.
    V1_4,
    /// 1.5.
    V1_5,
    /// 1.6.
    #[default]
    V1_6,
}

impl CyclonedxVersion {
    /// `1.6`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::V1_4 => "1.4",
            Self::V1_5 => "1.5",
            Self::V1_6 => "1.6",
        }
    }
}

impl Format {
    /// All formats.
    pub const ALL: [Self; 10] = [
        Self::SpdxJson,
        Self::SpdxTagValue,
        Self::Spdx3Json,
        Self::CyclonedxJson(CyclonedxVersion::V1_6),
        Self::CyclonedxJson(CyclonedxVersion::V1_5),
        Self::CyclonedxJson(CyclonedxVersion::V1_4),
        Self::CyclonedxXml(CyclonedxVersion::V1_6),
        Self::CyclonedxXml(CyclonedxVersion::V1_5),
        Self::CyclonedxXml(CyclonedxVersion::V1_4),
        Self::SyftJson,
    ];

    /// Its name; CycloneDX without version is 1.6.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SpdxJson => "spdx-json",
            Self::SpdxTagValue => "spdx-tag-value",
            Self::Spdx3Json => "spdx3-json",
            Self::CyclonedxJson(CyclonedxVersion::V1_6) => "cyclonedx-json",
            Self::CyclonedxJson(CyclonedxVersion::V1_5) => "cyclonedx-json@1.5",
            Self::CyclonedxJson(CyclonedxVersion::V1_4) => "cyclonedx-json@1.4",
            Self::CyclonedxXml(CyclonedxVersion::V1_6) => "cyclonedx-xml",
            Self::CyclonedxXml(CyclonedxVersion::V1_5) => "cyclonedx-xml@1.5",
            Self::CyclonedxXml(CyclonedxVersion::V1_4) => "cyclonedx-xml@1.4",
            Self::SyftJson => "syft-json",
        }
    }

    /// Other names of the same: with the version that is the default.
    #[must_use]
    pub fn aliases(self) -> &'static [&'static str] {
        match self {
            Self::SpdxJson => &["spdx-json@2.3"],
            Self::SpdxTagValue => &["spdx-tag-value@2.3", "spdx"],
            Self::Spdx3Json => &["spdx-json@3.0"],
            Self::CyclonedxJson(CyclonedxVersion::V1_6) => &["cyclonedx-json@1.6", "cyclonedx"],
            Self::CyclonedxXml(CyclonedxVersion::V1_6) => &["cyclonedx-xml@1.6"],
            Self::SyftJson => &["json"],
            Self::CyclonedxJson(_) | Self::CyclonedxXml(_) => &[],
        }
    }

    /// Writes the document; the same bytes for the same bill and information.
    #[must_use]
    pub fn write(self, bill: &Bill, info: &DocumentInfo) -> Vec<u8> {
        match self {
            Self::SpdxJson => spdx::write(bill, info),
            Self::SpdxTagValue => spdx::write_tag_value(bill, info),
            Self::Spdx3Json => spdx3::write(bill, info),
            Self::CyclonedxJson(version) => cyclonedx::write_json(bill, info, version),
            Self::CyclonedxXml(version) => cyclonedx::write_xml(bill, info, version),
            Self::SyftJson => syft::write(bill, info),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        Self::ALL
            .into_iter()
            .find(|format| format.name() == text || format.aliases().contains(&text))
            .ok_or_else(|| UnknownFormat {
                seen: text.chars().take(80).collect(),
            })
    }
}

/// No format has this name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("expected a format such as spdx-json or cyclonedx-json@1.5, found \"{seen}\"")]
pub struct UnknownFormat {
    /// The name given.
    pub seen: String,
}
