//! From an image to its bill of materials: what `sbom`, `scan` and `release` share.

mod walk;

use std::collections::BTreeMap;

use clap::ValueEnum;
use clap::builder::PossibleValue;
use proofmark_evidence::predicate::PredicateType;
use proofmark_oci::{Descriptor, ImageConfig, MAX_CONFIG_BYTES, Manifest, Platform};
use proofmark_registry::ImageSource;
use proofmark_sbom::{Bill, DocumentInfo, Format, LayerRecord, Package, PackageId, PackageKind, Party};
use proofmark_types::{Digest, UnixTime};

use crate::context::registry_failure;
use crate::failure::{Exit, Failure, chain};
use crate::layers::LayerCache;
use crate::output::counted;

use walk::{States, list_packages};

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
    /// Who supplies it, as its label says.
    vendor: Option<Party>,
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
                    Some(known) => {
                        known.locations.append(&mut package.locations);
                        // Of several copies, the one of which the least is known.
                        known.needs = known.needs.max(package.needs);
                        known.file = known.file.take().or(package.file);
                    }
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
            vendor: images
                .first()
                .and_then(|first| first.vendor.clone())
                .filter(|vendor| images.iter().all(|image| image.vendor.as_ref() == Some(vendor))),
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
            supplier: self.vendor.clone(),
            authors: Vec::new(),
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
    let opened = opened(source, image).await?;
    let (layers, diff_ids) = (opened.layers, opened.diff_ids);
    let bills = list_packages(cache.clone(), source.clone(), layers, diff_ids, States::Last).await?;
    let bill = bills.into_iter().next_back();
    let bill = bill.unwrap_or_else(|| unreachable!("one for each state"));
    Ok(Inside {
        bill,
        platform: Some(opened.platform),
        image: image.clone(),
        vendor: opened.vendor,
    })
}

/// What was inside an image after each of its layers: also what upper layers hide or replace.
pub(crate) async fn look_inside_each_state(
    cache: &LayerCache,
    source: &ImageSource,
    image: &Descriptor,
) -> Result<Inside, Failure> {
    let opened = opened(source, image).await?;
    let (layers, diff_ids) = (opened.layers, opened.diff_ids);
    let bills = list_packages(cache.clone(), source.clone(), layers, diff_ids, States::Each).await?;
    let of_state = |bill| Inside {
        bill,
        platform: Some(opened.platform.clone()),
        image: image.clone(),
        vendor: opened.vendor.clone(),
    };
    let mut states: Vec<Inside> = bills.into_iter().map(of_state).collect();
    let mut inside = Inside::of_index(image, &states);
    if let Some(last) = states.pop() {
        inside.bill.distribution = last.bill.distribution;
        inside.bill.files = last.bill.files;
    }
    inside.platform = Some(opened.platform);
    Ok(inside)
}

/// The label that names who distributes an image (image-spec, annotations.md).
const VENDOR: &str = "org.opencontainers.image.vendor";

/// What manifest and config say of an image.
struct Opened {
    /// The lowest first.
    layers: Vec<Descriptor>,
    diff_ids: Vec<Digest>,
    /// What it runs on.
    platform: Platform,
    vendor: Option<Party>,
}

/// An image's layers, and what else is said of it.
async fn opened(source: &ImageSource, image: &Descriptor) -> Result<Opened, Failure> {
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
    let labelled = config.config.labels.get(VENDOR);
    let vendor = labelled.and_then(|vendor| Party::parse(vendor));
    let platform = Platform {
        os: config.os,
        architecture: config.architecture,
        variant: config.variant,
        os_version: None,
    };
    Ok(Opened {
        layers: manifest.layers,
        diff_ids,
        platform,
        vendor,
    })
}
