//! From an image to its bill of materials: what `sbom` and `release` share.

use std::collections::BTreeMap;
use std::io::{self, Read};

use clap::ValueEnum;
use proofmark_evidence::predicate::PredicateType;
use proofmark_oci::union::Layer;
use proofmark_oci::{Descriptor, ImageConfig, MAX_CONFIG_BYTES, Manifest, Platform};
use proofmark_registry::ImageSource;
use proofmark_sbom::{Bill, DocumentInfo, Options, PackageKind, catalog, cyclonedx, spdx};
use proofmark_types::UnixTime;
use tokio::runtime::Handle;

use crate::context::registry_failure;
use crate::failure::{Exit, Failure, chain};

/// The document formats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum DocumentFormat {
    /// SPDX 2.3
    #[default]
    SpdxJson,
    /// CycloneDX 1.6
    CyclonedxJson,
}

impl DocumentFormat {
    pub(crate) fn write(self, bill: &Bill, info: &DocumentInfo) -> Vec<u8> {
        match self {
            Self::SpdxJson => spdx::write(bill, info),
            Self::CyclonedxJson => cyclonedx::write(bill, info),
        }
    }

    /// As what an attestation states it.
    pub(crate) fn predicate_type(self) -> PredicateType {
        let name = match self {
            Self::SpdxJson => "spdxjson",
            Self::CyclonedxJson => "cyclonedx",
        };
        PredicateType::resolve(name).unwrap_or_else(|_| unreachable!("one of the short names"))
    }
}

/// What is inside one image.
#[derive(Debug)]
pub(crate) struct Inside {
    pub(crate) bill: Bill,
    pub(crate) platform: Platform,
    image: Descriptor,
}

impl Inside {
    /// What a document about it says beside the bill.
    pub(crate) fn info(&self, source: &ImageSource, name: &str, created: UnixTime) -> DocumentInfo {
        DocumentInfo {
            created,
            name: name.to_owned(),
            digest: Some(self.image.digest.clone()),
            repository: source.repository().cloned(),
            platform: Some(self.platform.clone()),
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    /// The bill in a line: how many packages of which kinds.
    pub(crate) fn line(&self) -> String {
        let mut counts: BTreeMap<PackageKind, usize> = BTreeMap::new();
        for package in &self.bill.packages {
            *counts.entry(package.kind).or_default() += 1;
        }
        let kinds: Vec<String> = counts.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        format!("{} packages ({})", self.bill.packages.len(), kinds.join(", "))
    }
}

/// Walks the layers of one image (not of an index), each byte read once and verified on the way.
pub(crate) async fn look_inside(source: &ImageSource, image: &Descriptor) -> Result<Inside, Failure> {
    let malformed = |error: &dyn std::error::Error| Failure::new(Exit::Undecided, "malformed-image", chain(error));
    let fetched = source.manifest(&image.digest).await.map_err(registry_failure)?;
    let manifest = match Manifest::parse(Some(&fetched.descriptor.media_type), &fetched.bytes) {
        Ok(Manifest::Image(manifest)) => manifest,
        Ok(Manifest::Index(_)) => {
            return Err(Failure::new(
                Exit::Undecided,
                "malformed-image",
                "expected an image manifest, found an index",
            ));
        }
        Err(error) => return Err(malformed(&error)),
    };
    let config = source
        .blob(&manifest.config, MAX_CONFIG_BYTES)
        .await
        .map_err(registry_failure)?;
    let config = ImageConfig::parse(&config).map_err(|error| malformed(&error))?;
    let diff_ids = config.diff_ids.clone();
    if diff_ids.len() != manifest.layers.len() {
        return Err(Failure::new(
            Exit::Undecided,
            "malformed-image",
            format!(
                "the manifest has {} layers and the config {}",
                manifest.layers.len(),
                diff_ids.len()
            ),
        ));
    }
    let platform = Platform {
        os: config.os,
        architecture: config.architecture,
        variant: config.variant,
        os_version: None,
    };
    let source = source.clone();
    let handle = Handle::current();
    let walk = move || {
        let openers: Vec<_> = manifest
            .layers
            .iter()
            .map(|layer| {
                || -> io::Result<Box<dyn Read + Send + '_>> {
                    let opened = handle.block_on(source.open_blob(layer));
                    opened
                        .map_err(io::Error::other)
                        .map(|reader| reader as Box<dyn Read + Send>)
                }
            })
            .collect();
        let layers: Vec<Layer<'_>> = manifest
            .layers
            .iter()
            .zip(&diff_ids)
            .zip(&openers)
            .map(|((descriptor, diff_id), opener)| Layer {
                descriptor,
                diff_id,
                source: opener,
            })
            .collect();
        catalog(&layers, &Options::default())
    };
    let bill = tokio::task::spawn_blocking(walk)
        .await
        .map_err(anyhow::Error::from)?
        .map_err(|error| Failure::new(Exit::Undecided, error.code(), chain(&error)))?;
    Ok(Inside {
        bill,
        platform,
        image: image.clone(),
    })
}
