//! Syft's own JSON, schema versions 10 to 17 (`syft -o syft-json`).
//!
//! Of files, of which Syft's document says the most and a bill nothing, only those are kept that it could not read.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proofmark_oci::{ImageConfig, Manifest, Platform};
use proofmark_types::Digest;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::gather::{Gathered, Raw};
use super::json::{self, List, Loose};
use super::{Document, Encoding, MAX_PACKAGES, MAX_RELATIONSHIPS, Origin, ReadError, Standard};
use crate::bill::{Distribution, FileHash, FileHashAlgorithm, LayerRecord, PackageKind, Source};

/// The oldest and newest major versions of the schema whose fields are known here.
const MAJORS: std::ops::RangeInclusive<u32> = 10..=17;

/// Reads the document.
pub(super) fn read(bytes: &[u8]) -> Result<Document, ReadError> {
    let document: SyftDocument = json::parse(bytes, "Syft")?;
    let version = document.schema.version;
    let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    if !major.is_some_and(|major| MAJORS.contains(&major)) {
        return Err(ReadError::Version {
            standard: "Syft schema",
            expected: "10 to 17",
            seen: version.chars().take(40).collect(),
        });
    }
    let mut gathered = Gathered::new(Origin {
        standard: Standard::Syft,
        version,
        encoding: Encoding::Json,
    });
    if let Some(name) = document.descriptor.name.filter(|name| !name.is_empty()) {
        gathered.tools.push(match document.descriptor.version {
            Some(version) => format!("{name}-{version}"),
            None => name,
        });
    }
    gathered.created = document.descriptor.timestamp;
    image(document.source, &mut gathered);
    gathered.distribution = document.distro.id.filter(|id| !id.is_empty()).map(|id| Distribution {
        id,
        version_id: document.distro.version_id.filter(|text| !text.is_empty()),
        name: document.distro.pretty_name.filter(|text| !text.is_empty()),
        codename: document.distro.version_codename.filter(|text| !text.is_empty()),
    });
    for artifact in document.artifacts.all("artifacts")? {
        let raw = raw(artifact)?;
        gathered.packages.push(raw);
    }
    for relationship in document.relationships.all("relationships")? {
        match relationship.r#type.as_str() {
            "dependency-of" => gathered.needs.push((relationship.child, relationship.parent)),
            "ownership-by-file-overlap" => gathered.contains.push((relationship.parent, relationship.child)),
            _ => {}
        }
    }
    for file in document.files.all("files")? {
        for reason in file.unknowns.all("unknowns")? {
            gathered.not_read_for(&file.location.path, &reason);
        }
    }
    gathered.finish()
}

fn image(source: SyftSource, gathered: &mut Gathered) {
    let metadata = source.metadata.unwrap_or_default();
    let version = source.version.as_deref().and_then(|text| Digest::parse(text).ok());
    let of_image = source.r#type.as_deref() == Some("image");
    gathered.subject.name = source.name.or(metadata.user_input);
    gathered.subject.digest = metadata
        .manifest_digest
        .and_then(|text| Digest::parse(&text).ok())
        .or(version)
        .filter(|_| of_image);
    let decoded = |text: Option<String>| STANDARD.decode(text?).ok();
    let config = decoded(metadata.config).and_then(|bytes| ImageConfig::parse(&bytes).ok());
    if let Some(config) = &config {
        gathered.subject.platform = Some(config.platform());
    } else if let (Some(os), Some(architecture)) = (metadata.os, metadata.architecture) {
        gathered.subject.platform = Platform::parse(&format!("{os}/{architecture}")).ok();
    }
    let manifest = decoded(metadata.manifest).and_then(|bytes| Manifest::parse(None, &bytes).ok());
    let Some(Manifest::Image(manifest)) = manifest else {
        return;
    };
    // Syft names layers by their diffIDs; the digests are in the manifest.
    let diff_ids: Vec<Digest> = metadata
        .layers
        .items
        .iter()
        .filter_map(|layer| Digest::parse(&layer.digest).ok())
        .collect();
    if diff_ids.len() == manifest.layers.len() {
        let pairs = manifest.layers.iter().zip(diff_ids);
        gathered.layers = pairs
            .map(|(layer, diff_id)| LayerRecord {
                digest: layer.digest.clone(),
                diff_id,
                size: layer.size,
            })
            .collect();
    }
}

fn raw(artifact: Artifact) -> Result<Raw, ReadError> {
    let metadata = artifact.metadata.unwrap_or_default();
    let mut raw = Raw {
        reference: artifact.id,
        name: artifact.name,
        version: artifact
            .version
            .filter(|version| !matches!(version.as_str(), "" | "UNKNOWN")),
        purls: artifact.purl.into_iter().filter(|purl| !purl.is_empty()).collect(),
        kind: artifact.r#type.as_deref().map(super::kind_of_word),
        modularity: metadata.modularity_label.0.filter(|label| !label.is_empty()),
        ..Raw::default()
    };
    let said = |text: Option<String>| text.filter(|text| !text.is_empty());
    raw.supplier = said(metadata.maintainer.0).or_else(|| said(metadata.vendor.0));
    raw.homepage = said(metadata.homepage.0);
    raw.description = said(metadata.description.0);
    // `source` of a Rust crate is its registry.
    let source = match raw.kind {
        Some(PackageKind::Deb) => said(metadata.source.0),
        Some(PackageKind::Apk) => said(metadata.origin_package.0),
        _ => None,
    };
    raw.source = source.map(|name| Source {
        name,
        version: said(metadata.source_version.0),
    });
    for licence in artifact.licenses.all("licences")? {
        raw.licences.extend(match licence {
            SyftLicence::Name(name) => Some(name),
            SyftLicence::Object { value, spdx_expression } => spdx_expression.filter(|text| !text.is_empty()).or(value),
        });
    }
    for place in artifact.locations.all("locations")? {
        raw.places.push((place.path, place.layer_id));
    }
    for cpe in artifact.cpes.all("CPE names")? {
        raw.details.cpes.push(match cpe {
            SyftCpe::Name(name) => name,
            SyftCpe::Object { cpe } => cpe,
        });
    }
    let digests = match metadata.digest {
        Some(SyftDigests::List(digests)) => digests.all("digests")?,
        _ => Vec::new(),
    };
    for digest in digests {
        let algorithm = FileHashAlgorithm::of_name(&digest.algorithm);
        raw.hashes
            .extend(algorithm.and_then(|algorithm| FileHash::parse(algorithm, &digest.value)));
    }
    Ok(raw)
}

/// A document.
#[derive(Debug, Deserialize)]
struct SyftDocument {
    #[serde(default)]
    artifacts: List<Artifact, MAX_PACKAGES>,
    #[serde(rename = "artifactRelationships", default)]
    relationships: List<SyftRelationship, MAX_RELATIONSHIPS>,
    #[serde(default)]
    files: List<SyftFile, MAX_RELATIONSHIPS>,
    #[serde(default)]
    source: SyftSource,
    #[serde(default)]
    distro: Distro,
    #[serde(default)]
    descriptor: Descriptor,
    schema: Schema,
}

#[derive(Debug, Deserialize)]
struct Artifact {
    id: String,
    name: String,
    #[serde(default)]
    version: Option<String>,
    #[serde(default)]
    r#type: Option<String>,
    #[serde(default)]
    locations: List<SyftLocation>,
    #[serde(default)]
    licenses: List<SyftLicence>,
    #[serde(default)]
    cpes: List<SyftCpe>,
    #[serde(default)]
    purl: Option<String>,
    #[serde(default)]
    metadata: Option<ArtifactMetadata>,
}

/// What the package managers of several kinds say, in one: the fields that a bill has. Another kind may have another type
/// of value under the same key, which is then not this field.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ArtifactMetadata {
    maintainer: Loose,
    vendor: Loose,
    homepage: Loose,
    description: Loose,
    source: Loose,
    origin_package: Loose,
    source_version: Loose,
    modularity_label: Loose,
    digest: Option<SyftDigests>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum SyftDigests {
    List(List<SyftDigest>),
    Other(IgnoredAny),
}

#[derive(Debug, Deserialize)]
struct SyftDigest {
    algorithm: String,
    value: String,
}

#[derive(Debug, Deserialize)]
struct SyftLocation {
    path: String,
    #[serde(rename = "layerID", default)]
    layer_id: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum SyftLicence {
    Name(String),
    Object {
        #[serde(default)]
        value: Option<String>,
        #[serde(rename = "spdxExpression", default)]
        spdx_expression: Option<String>,
    },
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum SyftCpe {
    Name(String),
    Object { cpe: String },
}

#[derive(Debug, Deserialize)]
struct SyftRelationship {
    parent: String,
    child: String,
    r#type: String,
}

/// Of a file only what could not be found out is of interest.
#[derive(Debug, Deserialize)]
struct SyftFile {
    location: SyftLocation,
    #[serde(default)]
    unknowns: List<String, 100>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SyftSource {
    name: Option<String>,
    version: Option<String>,
    r#type: Option<String>,
    metadata: Option<SourceMetadata>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SourceMetadata {
    user_input: Option<String>,
    manifest_digest: Option<String>,
    layers: List<SyftLayer>,
    manifest: Option<String>,
    config: Option<String>,
    architecture: Option<String>,
    os: Option<String>,
}

#[derive(Debug, Deserialize)]
struct SyftLayer {
    digest: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Distro {
    id: Option<String>,
    #[serde(rename = "versionID")]
    version_id: Option<String>,
    pretty_name: Option<String>,
    version_codename: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Descriptor {
    name: Option<String>,
    version: Option<String>,
    timestamp: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Schema {
    version: String,
}
