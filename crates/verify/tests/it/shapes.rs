//! Every shape that evidence hangs in, from the manifest to the proof; and what hangs there and is none.

use proofmark_evidence::bundle::{KeyMaterial, MEDIA_TYPE_V03};
use proofmark_evidence::layout::{DSSE_ENVELOPE, SIMPLE_SIGNING, is_evidence, is_evidence_layer};
use proofmark_evidence::legacy::{LegacyAttestation, LegacySignature, read_layer};
use proofmark_evidence::simple_signing::Payload;
use proofmark_evidence::statement::Statement;
use proofmark_evidence::{EvidenceSet, Item, Origin};
use proofmark_oci::{Descriptor, Manifest};
use proofmark_types::MediaType;
use proofmark_verify::{ProofKind, Proofs, Verifier};
use rcgen::{KeyPair, SigningKey};
use serde_json::{Value, json};

use crate::world::{self, NOW, at, new_key, public, statement, subject};

const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const OCI_EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// A manifest with these layers that hangs on the subject.
fn referrer(artifact_type: Option<&str>, config: &str, layers: &[&Descriptor]) -> Vec<u8> {
    let config = Descriptor::of(MediaType::parse(config).unwrap(), b"{}");
    let described = |layer: &Descriptor| {
        json!({
            "mediaType": layer.media_type.as_str(), "digest": layer.digest.to_string(), "size": layer.size,
            "annotations": layer.annotations,
        })
    };
    let mut manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": described(&config),
        "layers": layers.iter().map(|layer| described(layer)).collect::<Vec<Value>>(),
        "subject": {
            "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": subject().to_string(), "size": 17,
        },
    });
    if let Some(artifact_type) = artifact_type {
        manifest["artifactType"] = json!(artifact_type);
    }
    serde_json::to_vec(&manifest).unwrap()
}

/// As every reader of registries and layouts does it.
fn verify(key: &KeyPair, manifest: &[u8], blobs: &[&[u8]]) -> Proofs {
    let mut set = EvidenceSet::new(subject());
    let Ok(Manifest::Image(image)) = Manifest::parse(None, manifest) else {
        panic!("{}", String::from_utf8_lossy(manifest))
    };
    if is_evidence(&image) {
        for (layer, blob) in image.layers.iter().zip(blobs) {
            if is_evidence_layer(layer) {
                set.items.push(Item {
                    origin: Origin::Local,
                    content: read_layer(layer, blob),
                });
            }
        }
    }
    Verifier::new().with_key(public(key)).verify(&set, at(NOW))
}

#[track_caller]
fn proven(proofs: &Proofs) -> Vec<ProofKind> {
    assert!(proofs.rejections().is_empty(), "{proofs:?}");
    proofs.proofs().iter().map(|proof| proof.kind()).collect()
}

fn layer_of(media_type: &str, blob: &[u8]) -> Descriptor {
    Descriptor::of(MediaType::parse(media_type).unwrap(), blob)
}

#[test]
fn bundles_of_every_version_in_both_spellings() {
    let key = new_key();
    let (envelope, _) = world::envelope(&statement(), &key);
    let hint = KeyMaterial::PublicKeyHint(String::new());
    let bundle = world::bundle(hint, envelope, Vec::new(), Vec::new());
    let mut written: Value = serde_json::from_slice(&bundle.to_json()).unwrap();
    for inside in [
        "application/vnd.dev.sigstore.bundle+json;version=0.1",
        "application/vnd.dev.sigstore.bundle+json;version=0.2",
        "application/vnd.dev.sigstore.bundle+json;version=0.3",
        MEDIA_TYPE_V03,
    ] {
        written["mediaType"] = json!(inside);
        let blob = serde_json::to_vec(&written).unwrap();
        for outside in [inside, MEDIA_TYPE_V03] {
            let layer = layer_of(outside, &blob);
            // The types of manifest and config are those of peers that get them wrong.
            for (artifact_type, config) in [
                (Some(MEDIA_TYPE_V03), OCI_EMPTY),
                (Some(OCI_EMPTY), OCI_EMPTY),
                (None, OCI_CONFIG),
            ] {
                let proofs = verify(&key, &referrer(artifact_type, config, &[&layer]), &[&blob]);
                assert_eq!(proven(&proofs), [ProofKind::Signature], "{inside} in {outside}");
            }
        }
    }
    written["mediaType"] = json!("application/vnd.dev.sigstore.bundle.v0.4+json");
    let blob = serde_json::to_vec(&written).unwrap();
    let proofs = verify(
        &key,
        &referrer(None, OCI_EMPTY, &[&layer_of(MEDIA_TYPE_V03, &blob)]),
        &[&blob],
    );
    assert_eq!(proofs.rejections()[0].reason.code(), "bundle-media-type");
}

/// cosign's experimental OCI 1.1 signatures: the config has the type, the manifest only since the middle of 2026.
#[test]
fn signatures_as_cosigns_first_referrers() {
    const KIND: &str = "application/vnd.dev.cosign.artifact.sig.v1+json";
    let key = new_key();
    let payload = Payload::new("registry.alpha.test/app", &subject(), [].into()).to_json();
    let signature = LegacySignature {
        signature: key.sign(&payload).unwrap(),
        payload: payload.clone(),
        certificate: None,
        chain: Vec::new(),
        log_bundle: None,
        timestamp: None,
    };
    let layer = signature.layer();
    assert_eq!(layer.media_type.as_str(), SIMPLE_SIGNING);
    for artifact_type in [None, Some(KIND)] {
        let proofs = verify(&key, &referrer(artifact_type, KIND, &[&layer]), &[&payload]);
        assert_eq!(proven(&proofs), [ProofKind::Signature]);
        let proofs = verify(&new_key(), &referrer(artifact_type, KIND, &[&layer]), &[&payload]);
        assert_eq!(proofs.rejections()[0].reason.code(), "signature-not-by-given-key");
    }
    // Its bill has the same shape and is signed by nobody.
    let bill = layer_of("application/vnd.cyclonedx+json", b"{}");
    let kind = "application/vnd.dev.cosign.artifact.sbom.v1+json";
    for artifact_type in [None, Some(kind)] {
        let proofs = verify(&key, &referrer(artifact_type, kind, &[&bill]), &[b"{}"]);
        assert!(proven(&proofs).is_empty());
    }
}

/// cosign's library writes all attestations of an image into one manifest, each with what vouches for it beside it.
#[test]
fn attestations_as_layers_of_one_referrer() {
    let (key, other) = (new_key(), new_key());
    let attest = |key: &KeyPair, kind: &str| {
        let kind = proofmark_evidence::predicate::PredicateType::resolve(kind).unwrap();
        let statement = Statement::attestation("app", &subject(), kind.clone(), json!({}));
        LegacyAttestation::new(world::envelope(&statement, key).0, &kind)
    };
    let good = [attest(&key, "vuln"), attest(&key, "cyclonedx")];
    let foreign = attest(&other, "vuln");
    let layers: Vec<Descriptor> = good.iter().chain([&foreign]).map(LegacyAttestation::layer).collect();
    assert_eq!(layers[0].media_type.as_str(), DSSE_ENVELOPE);
    let manifest = referrer(
        Some("application/vnd.in-toto+json"),
        OCI_EMPTY,
        &layers.iter().collect::<Vec<_>>(),
    );
    let proofs = verify(&key, &manifest, &[&good[0].raw, &good[1].raw, &foreign.raw]);
    let kinds: Vec<ProofKind> = proofs.proofs().iter().map(|proof| proof.kind()).collect();
    assert_eq!(kinds, [ProofKind::Attestation; 2]);
    assert_eq!(proofs.rejections()[0].reason.code(), "signature-not-by-given-key");
}

/// BuildKit's attestation manifests hold statements that nobody signed: neither signatures nor attestations.
#[test]
fn attestation_manifests_of_buildkit_are_no_evidence() {
    let key = new_key();
    let blob = statement().to_json();
    let mut layer = layer_of("application/vnd.in-toto+json", &blob);
    layer.annotations.insert(
        "in-toto.io/predicate-type".to_owned(),
        "https://slsa.dev/provenance/v1".to_owned(),
    );
    for artifact_type in [
        None,
        Some("application/vnd.docker.attestation.manifest.v1+json"),
        Some("application/vnd.in-toto+json"),
    ] {
        let proofs = verify(&key, &referrer(artifact_type, OCI_CONFIG, &[&layer]), &[&blob]);
        assert!(proven(&proofs).is_empty());
    }
}
