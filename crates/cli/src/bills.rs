//! From an image to its bill of materials: what `sbom` and `release` share.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::{Arc, OnceLock};

use clap::ValueEnum;
use proofmark_evidence::predicate::PredicateType;
use proofmark_oci::union::Layer;
use proofmark_oci::{Descriptor, ImageConfig, MAX_CONFIG_BYTES, Manifest, Platform};
use proofmark_registry::{ImageSource, RegistryError};
use proofmark_sbom::{
    Bill, DocumentInfo, LayerRecord, Options, Package, PackageId, PackageKind, SbomError, catalog, cyclonedx, spdx,
};
use proofmark_types::{Digest, UnixTime};
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

/// What is inside one image, or all images of an index.
#[derive(Debug)]
pub(crate) struct Inside {
    pub(crate) bill: Bill,
    /// Absent for an index.
    pub(crate) platform: Option<Platform>,
    image: Descriptor,
}

impl Inside {
    /// What is inside an index: everything that is in any of its images. Whoever asks about the index, as a cluster does
    /// that resolves a tag, sees each package that might run.
    pub(crate) fn of_index(index: &Descriptor, images: &[Self]) -> Self {
        let mut bill = Bill {
            distribution: images.first().and_then(|first| first.bill.distribution.clone()),
            ..Bill::default()
        };
        let mut packages: BTreeMap<PackageId, Package> = BTreeMap::new();
        for image in images {
            if bill.distribution != image.bill.distribution {
                bill.distribution = None;
            }
            let places: Vec<usize> = image
                .bill
                .layers
                .iter()
                .map(|layer| place_of(layer, &mut bill.layers))
                .collect();
            for package in &image.bill.packages {
                let mut package = package.clone();
                for location in &mut package.locations {
                    location.layer = places.get(location.layer).copied().unwrap_or(location.layer);
                }
                match packages.get_mut(&package.id) {
                    Some(known) => known.locations.append(&mut package.locations),
                    None => {
                        packages.insert(package.id.clone(), package);
                    }
                }
            }
            bill.relationships.extend(image.bill.relationships.iter().cloned());
            bill.notes.extend(image.bill.notes.iter().cloned());
            bill.files += image.bill.files;
        }
        bill.packages = packages.into_values().collect();
        for package in &mut bill.packages {
            package.locations.sort();
            package.locations.dedup();
        }
        bill.packages
            .sort_by(|a, b| (a.kind, &a.name, &a.version, &a.id).cmp(&(b.kind, &b.name, &b.version, &b.id)));
        bill.relationships.sort();
        bill.relationships.dedup();
        bill.notes.sort();
        bill.notes.dedup();
        Self {
            bill,
            platform: None,
            image: index.clone(),
        }
    }

    /// The manifest that it is about.
    pub(crate) fn digest(&self) -> &Digest {
        &self.image.digest
    }

    /// What a document about it says beside the bill.
    pub(crate) fn info(&self, source: &ImageSource, name: &str, created: UnixTime) -> DocumentInfo {
        DocumentInfo {
            created,
            name: name.to_owned(),
            digest: Some(self.image.digest.clone()),
            repository: source.repository().cloned(),
            platform: self.platform.clone(),
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            details: BTreeMap::new(),
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

/// Where a layer is in the list; images of an index share some.
fn place_of(layer: &LayerRecord, layers: &mut Vec<LayerRecord>) -> usize {
    layers.iter().position(|known| known == layer).unwrap_or_else(|| {
        layers.push(layer.clone());
        layers.len() - 1
    })
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
    let bill = list_packages(source.clone(), manifest.layers, diff_ids).await?;
    Ok(Inside {
        bill,
        platform: Some(platform),
        image: image.clone(),
    })
}

/// The walk itself, on a thread that may block. Where the source failed, and not what it gave, its error is the answer:
/// a timeout is no malformed layer.
async fn list_packages(
    source: ImageSource,
    descriptors: Vec<Descriptor>,
    diff_ids: Vec<Digest>,
) -> Result<Bill, Failure> {
    let handle = Handle::current();
    let failed = Arc::new(OnceLock::new());
    let failure = Arc::clone(&failed);
    let walk = move || {
        let openers: Vec<_> = descriptors
            .iter()
            .map(|layer| {
                || -> io::Result<Box<dyn Read + Send + '_>> {
                    let opened = handle.block_on(source.open_blob(layer));
                    let reader = opened.map_err(|error| noted(&failed, io::Error::other(error)))?;
                    Ok(Box::new(Watched {
                        reader,
                        failed: Arc::clone(&failed),
                    }))
                }
            })
            .collect();
        let layers: Vec<Layer<'_>> = descriptors
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
    let walked = tokio::task::spawn_blocking(walk).await.map_err(anyhow::Error::from)?;
    walked.map_err(|error: SbomError| match failure.get() {
        Some(cause) => registry_failure(RegistryError::clone(cause)),
        None => Failure::new(Exit::Undecided, error.code(), chain(&error)),
    })
}

/// A layer's reader that keeps what its source failed with.
struct Watched<R> {
    reader: R,
    failed: Arc<OnceLock<RegistryError>>,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buffer).map_err(|error| noted(&self.failed, error))
    }
}

/// The error as it is, the registry's in it noted; the first one counts.
fn noted(failed: &OnceLock<RegistryError>, error: io::Error) -> io::Error {
    if let Some(cause) = error.get_ref().and_then(|inner| inner.downcast_ref::<RegistryError>()) {
        let _ = failed.set(cause.clone());
    }
    error
}
