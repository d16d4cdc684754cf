//! From an image to its bill of materials: what `sbom`, `scan` and `release` share.

mod walk;

use std::collections::BTreeMap;

use clap::ValueEnum;
use clap::builder::PossibleValue;
use proofmark_evidence::predicate::PredicateType;
use proofmark_oci::{Descriptor, ImageConfig, MAX_CONFIG_BYTES, Manifest, Platform};
use proofmark_registry::ImageSource;
use proofmark_sbom::{Bill, DocumentInfo, Format, LayerRecord, Package, PackageId, PackageKind};
use proofmark_types::{Digest, UnixTime};

use crate::context::registry_failure;
use crate::failure::{Exit, Failure, chain};
use crate::layers::LayerCache;
use crate::output::counted;

use walk::list_packages;

/// The document formats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct DocumentFormat(Format);

impl ValueEnum for DocumentFormat {
    fn value_variants<'a>() -> &'a [Self] {
        const ALL: [DocumentFormat; Format::ALL.len()] = {
            let mut all = [DocumentFormat(Format::SpdxJson); Format::ALL.len()];
            let mut at = 0;
            while at < all.len() {
                all[at] = DocumentFormat(Format::ALL[at]);
                at += 1;
            }
            all
        };
        &ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.0.name()).aliases(self.0.aliases()))
    }
}

impl DocumentFormat {
    pub(crate) fn write(self, bill: &Bill, info: &DocumentInfo) -> Vec<u8> {
        self.0.write(bill, info)
    }

    /// As what an attestation states it, where a type of attestation is for it: its predicate is JSON.
    pub(crate) fn predicate_type(self) -> Result<PredicateType, Failure> {
        let name = match self.0 {
            Format::SpdxJson | Format::Spdx3Json => "spdxjson",
            Format::CyclonedxJson(_) => "cyclonedx",
            other => {
                let message = format!("{other} cannot be attested: a statement holds JSON of SPDX or CycloneDX");
                return Err(Failure::usage("sbom-format", message).with_hint("name spdx-json or cyclonedx-json"));
            }
        };
        Ok(PredicateType::resolve(name).unwrap_or_else(|_| unreachable!("one of the short names")))
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

    /// Whether it is that of several images.
    pub(crate) fn is_of_index(&self) -> bool {
        self.platform.is_none()
    }

    /// What a document about it says beside the bill.
    pub(crate) fn info(&self, source: &ImageSource, name: &str, created: UnixTime) -> DocumentInfo {
        DocumentInfo {
            created,
            name: name.to_owned(),
            digest: Some(self.image.digest.clone()),
            repository: source.repository().cloned(),
            platform: self.platform.clone(),
            supplier: None,
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            details: BTreeMap::new(),
        }
    }
}

/// A bill in a line: how many packages of which kinds.
pub(crate) fn line_of(bill: &Bill) -> String {
    let mut counts: BTreeMap<PackageKind, usize> = BTreeMap::new();
    for package in &bill.packages {
        *counts.entry(package.kind).or_default() += 1;
    }
    let kinds: Vec<String> = counts.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    format!("{} ({})", counted(bill.packages.len(), "package"), kinds.join(", "))
}

/// Where a layer is in the list; images of an index share some.
fn place_of(layer: &LayerRecord, layers: &mut Vec<LayerRecord>) -> usize {
    layers.iter().position(|known| known == layer).unwrap_or_else(|| {
        layers.push(layer.clone());
        layers.len() - 1
    })
}

/// Walks the layers of one image (not of an index), each byte read once and verified on the way.
pub(crate) async fn look_inside(
    cache: &LayerCache,
    source: &ImageSource,
    image: &Descriptor,
) -> Result<Inside, Failure> {
    let (layers, diff_ids, platform) = opened(source, image).await?;
    let bill = list_packages(cache.clone(), source.clone(), layers, diff_ids).await?;
    Ok(Inside {
        bill,
        platform: Some(platform),
        image: image.clone(),
    })
}

/// What was inside an image after each of its layers: also what upper layers hide or replace. Reads the lowest layers as
/// many times as there are layers above them.
pub(crate) async fn look_inside_each_state(
    cache: &LayerCache,
    source: &ImageSource,
    image: &Descriptor,
) -> Result<Inside, Failure> {
    let (layers, diff_ids, platform) = opened(source, image).await?;
    let mut states = Vec::with_capacity(layers.len());
    for height in 1..=layers.len() {
        let bill = list_packages(
            cache.clone(),
            source.clone(),
            layers[..height].to_vec(),
            diff_ids[..height].to_vec(),
        )
        .await?;
        states.push(Inside {
            bill,
            platform: Some(platform.clone()),
            image: image.clone(),
        });
    }
    let mut inside = Inside::of_index(image, &states);
    if let Some(last) = states.pop() {
        inside.bill.distribution = last.bill.distribution;
        inside.bill.files = last.bill.files;
    }
    inside.platform = Some(platform);
    Ok(inside)
}

/// An image's layers, lowest first, and what it runs on.
async fn opened(source: &ImageSource, image: &Descriptor) -> Result<(Vec<Descriptor>, Vec<Digest>, Platform), Failure> {
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
    Ok((manifest.layers, diff_ids, platform))
}
