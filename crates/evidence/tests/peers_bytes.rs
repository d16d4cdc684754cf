//! The bytes that cosign 2.5 and 3.1 really wrote, read and written again.

#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests read the fixtures")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use proofmark_evidence::bundle::{Bundle, KeyMaterial, MEDIA_TYPE_V03};
use proofmark_evidence::dsse::Envelope;
use proofmark_evidence::predicate::PredicateType;
use proofmark_evidence::simple_signing::Payload;
use proofmark_evidence::statement::Statement;
use proofmark_evidence::{ItemContent, layout, legacy};
use proofmark_oci::{Descriptor, ImageManifest, Manifest};
use proofmark_types::{Digest, UnixTime};
use serde_json::Value;

/// An evidence manifest of a layout, its bytes as the peer wrote them, and its layers.
struct Found {
    name: String,
    bytes: Vec<u8>,
    manifest: ImageManifest,
    layers: Vec<(Descriptor, Vec<u8>)>,
    config: Vec<u8>,
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}

fn blob(folder: &Path, digest: &Digest) -> Option<Vec<u8>> {
    fs::read(folder.join("blobs/sha256").join(digest.hex())).ok()
}

fn evidence_of(group: &str) -> Vec<Found> {
    let mut found = Vec::new();
    for entry in fs::read_dir(fixtures().join(group)).unwrap() {
        let folder = entry.unwrap().path();
        let Ok(index) = fs::read(folder.join("index.json")) else {
            continue;
        };
        let index: Value = serde_json::from_slice(&index).unwrap();
        for descriptor in index["manifests"].as_array().unwrap() {
            let digest = Digest::parse(descriptor["digest"].as_str().unwrap()).unwrap();
            let bytes = blob(&folder, &digest).unwrap();
            let Ok(Manifest::Image(manifest)) = Manifest::parse(None, &bytes) else {
                continue;
            };
            if !layout::is_evidence(&manifest) {
                continue;
            }
            let layers = manifest
                .layers
                .iter()
                .map(|layer| (layer.clone(), blob(&folder, &layer.digest).unwrap()))
                .collect();
            found.push(Found {
                name: folder.file_name().unwrap().to_string_lossy().into_owned(),
                config: blob(&folder, &manifest.config.digest).unwrap_or_default(),
                bytes,
                manifest,
                layers,
            });
        }
    }
    assert!(!found.is_empty());
    found
}

fn all() -> Vec<Found> {
    ["cosign", "keyless", "negative"]
        .into_iter()
        .flat_map(evidence_of)
        .collect()
}

#[test]
fn everything_the_peers_wrote_is_read_and_only_the_broken_is_not() {
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for found in all() {
        for (layer, bytes) in &found.layers {
            let kind = match legacy::read_layer(layer, bytes) {
                ItemContent::Bundle(bundle) => {
                    assert_eq!(Bundle::parse(&bundle.to_json()).unwrap(), bundle);
                    "bundle"
                }
                ItemContent::LegacySignature(signature) => {
                    Payload::parse(&signature.payload).unwrap();
                    "signature"
                }
                ItemContent::LegacyAttestation(_) => "attestation",
                ItemContent::Unreadable { code, .. } => {
                    let expected: &[&str] = match found.name.as_str() {
                        "bundle-malformed-empty" | "bundle-malformed-truncated" | "bundle-malformed-beside-good" => {
                            &["json-syntax"]
                        }
                        "bundle-malformed-array" => &["field-type"],
                        "bundle-malformed-both-contents" => &["bundle-several-contents"],
                        "no-inclusion-proof" => &["bundle-no-inclusion-proof"],
                        "junk-referrers-200" => &[
                            "json-syntax",
                            "field-missing",
                            "bundle-media-type",
                            "evidence-media-type",
                        ],
                        _ => &[],
                    };
                    assert!(expected.contains(&code), "{}: {code}", found.name);
                    "unreadable"
                }
                _ => unreachable!(),
            };
            *kinds.entry(kind).or_default() += 1;
        }
    }
    for kind in ["bundle", "signature", "attestation", "unreadable"] {
        assert!(kinds[kind] > 3, "{kinds:?}");
    }
}

#[test]
fn referrer_manifests_are_cosigns_bytes() {
    let mut compared = 0;
    for found in ["cosign", "keyless"].into_iter().flat_map(evidence_of) {
        let Some(kind) = found.manifest.annotations.get(layout::PREDICATE_TYPE_ANNOTATION) else {
            continue;
        };
        let created = UnixTime::parse(&found.manifest.annotations[layout::CREATED_ANNOTATION]).unwrap();
        let (_, bundle) = &found.layers[0];
        let subject = found.manifest.subject.clone().unwrap();
        let written = layout::bundle_referrer(&subject, bundle, PredicateType::new(kind).as_ref(), created);
        assert_eq!(
            String::from_utf8(written.to_json()).unwrap(),
            String::from_utf8(found.bytes).unwrap(),
            "{}",
            found.name
        );
        compared += 1;
    }
    assert!(compared > 20);
}

#[test]
fn bundles_by_key_and_their_statements_are_cosigns_bytes() {
    let mut compared = 0;
    for found in evidence_of("cosign") {
        for (layer, bytes) in &found.layers {
            if layer.media_type.as_str() != MEDIA_TYPE_V03 {
                continue;
            }
            let bundle = Bundle::parse(bytes).unwrap();
            assert!(matches!(bundle.material.key, KeyMaterial::PublicKeyHint(_)));
            assert_eq!(bundle.to_json(), *bytes, "{}", found.name);
            let envelope = bundle.envelope().unwrap();
            let statement = Statement::parse(&envelope.payload).unwrap();
            assert_eq!(Statement::parse(&statement.to_json()).unwrap(), statement);
            if statement.predicate_type.is_signature() {
                // cosign writes an empty list of annotations; we leave it out.
                let theirs = String::from_utf8(envelope.payload.clone()).unwrap();
                let ours = String::from_utf8(statement.to_json()).unwrap();
                assert_eq!(ours, theirs.replace(r#","annotations":{}"#, ""), "{}", found.name);
            }
            compared += 1;
        }
    }
    assert!(compared > 20);
}

#[test]
fn legacy_images_are_cosigns_bytes() {
    let mut compared = 0;
    for found in ["cosign", "keyless"].into_iter().flat_map(evidence_of) {
        if found.manifest.subject.is_some() {
            continue;
        }
        let layers = found
            .layers
            .iter()
            .map(|(layer, bytes)| match legacy::read_layer(layer, bytes) {
                ItemContent::LegacySignature(signature) => signature.layer(),
                ItemContent::LegacyAttestation(attestation) => {
                    assert_eq!(attestation.envelope.to_json(), *bytes);
                    attestation.layer()
                }
                other => panic!("{other:?}"),
            })
            .collect();
        let (manifest, config) = legacy::image(layers);
        assert_eq!(config, found.config, "{}", found.name);
        assert_eq!(
            String::from_utf8(manifest.to_json()).unwrap(),
            String::from_utf8(found.bytes).unwrap(),
            "{}",
            found.name
        );
        compared += 1;
    }
    assert!(compared > 8);
}

#[test]
fn simple_signing_payloads_are_cosigns_bytes() {
    let mut compared = 0;
    for found in evidence_of("cosign") {
        for (layer, bytes) in &found.layers {
            if layer.media_type.as_str() == layout::SIMPLE_SIGNING {
                assert_eq!(Payload::parse(bytes).unwrap().to_json(), *bytes, "{}", found.name);
                compared += 1;
            }
        }
    }
    assert!(compared > 8);
}

#[test]
fn the_experimental_referrer_form_is_evidence() {
    let found = evidence_of("cosign")
        .into_iter()
        .find(|found| found.name == "v2-oci11-experimental")
        .unwrap();
    assert!(found.manifest.subject.is_some() && found.manifest.artifact_type.is_none());
    let (layer, bytes) = &found.layers[0];
    assert!(matches!(
        legacy::read_layer(layer, bytes),
        ItemContent::LegacySignature(_)
    ));
}

#[test]
fn every_truncation_of_a_real_bundle_is_refused() {
    let found = evidence_of("keyless")
        .into_iter()
        .find(|found| found.manifest.artifact_type.is_some())
        .unwrap();
    let (_, bytes) = &found.layers[0];
    for end in (0..bytes.len()).step_by(7) {
        assert!(Bundle::parse(&bytes[..end]).is_err());
        assert!(Envelope::parse(&bytes[..end]).is_err());
    }
}
