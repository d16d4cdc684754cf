//! Where evidence hangs in a registry: cosign's tags, the referrers fallback tag, the manifest of a bundle referrer.

use std::collections::BTreeMap;

use proofmark_oci::{Descriptor, ImageManifest, media_types};
use proofmark_types::{Digest, MediaType, Tag, UnixTime};

use crate::bundle::{self, Bundle, Content};
use crate::predicate::PredicateType;
use crate::statement::Statement;

/// The media type of a layer that holds a simple-signing payload.
pub const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// The media type of a layer that holds an envelope.
pub const DSSE_ENVELOPE: &str = "application/vnd.dsse.envelope.v1+json";
/// The config media type of cosign's experimental OCI 1.1 signatures.
pub const COSIGN_SIGNATURE_ARTIFACT: &str = "application/vnd.dev.cosign.artifact.sig.v1+json";
/// The artifact type of referrers that hold bare envelopes (cosign's `WriteAttestationsReferrer`).
pub const IN_TOTO_ARTIFACT: &str = "application/vnd.in-toto+json";

/// The annotation that says what a bundle holds.
pub const CONTENT_ANNOTATION: &str = "dev.sigstore.bundle.content";
/// The annotation with a bundle's predicate type; unauthenticated.
pub const PREDICATE_TYPE_ANNOTATION: &str = "dev.sigstore.bundle.predicateType";
/// The annotation with a manifest's time (OCI image-spec, annotations.md).
pub const CREATED_ANNOTATION: &str = "org.opencontainers.image.created";

/// The blob of an empty config (OCI image-spec 1.1, "Guidance for an Empty Descriptor").
pub const EMPTY_CONFIG: &[u8] = b"{}";

/// The tag of cosign's signatures: `sha256-<hex>.sig`.
#[must_use]
pub fn sig_tag(digest: &Digest) -> Tag {
    tag(digest, ".sig")
}

/// The tag of cosign's attestations: `sha256-<hex>.att`.
#[must_use]
pub fn att_tag(digest: &Digest) -> Tag {
    tag(digest, ".att")
}

/// The tag of cosign's attached bills, unsigned and deprecated: `sha256-<hex>.sbom`.
#[must_use]
pub fn sbom_tag(digest: &Digest) -> Tag {
    tag(digest, ".sbom")
}

/// The tag of the index of referrers where the registry has no referrers API: `sha256-<hex>`.
#[must_use]
pub fn fallback_tag(digest: &Digest) -> Tag {
    tag(digest, "")
}

/// distribution-spec 1.1, "Referrers Tag Schema": algorithm and at most 64 characters of the hex.
fn tag(digest: &Digest, suffix: &str) -> Tag {
    let hex: String = digest.hex().chars().take(64).collect();
    let text = format!("{}-{hex}{suffix}", digest.algorithm().name());
    Tag::parse(&text).unwrap_or_else(|_| unreachable!("a name, a dash and 64 hex digits are a tag"))
}

/// Whether a layer or artifact type says that it is a bundle, of whatever version: peers look at the prefix alone.
#[must_use]
pub fn is_bundle_media_type(media_type: &MediaType) -> bool {
    media_type.as_str().starts_with("application/vnd.dev.sigstore.bundle")
}

/// What a list of referrers lets one expect of one of them. Good for the order of reading and for nothing else: registries
/// and cosign's own fallback index get types wrong, and anyone who may push can lie in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Promise {
    /// It is listed as a signature, an attestation or a bundle.
    Evidence,
    /// The list does not say, or says something that every artifact may be listed as.
    Unknown,
    /// It is listed as something else.
    SomethingElse,
}

impl Promise {
    /// Reads the type and the annotations.
    #[must_use]
    pub fn of(listed: &Descriptor) -> Self {
        let annotated = listed.annotations.contains_key(CONTENT_ANNOTATION)
            || listed.annotations.contains_key(PREDICATE_TYPE_ANNOTATION);
        match &listed.artifact_type {
            _ if annotated => Self::Evidence,
            None => Self::Unknown,
            Some(artifact_type) if is_evidence_type(artifact_type) => Self::Evidence,
            // What go-containerregistry and cosign put there: the type of the config (sigstore/cosign 4641).
            Some(artifact_type) if ANY_ARTIFACT.contains(&artifact_type.as_str()) => Self::Unknown,
            Some(_) => Self::SomethingElse,
        }
    }
}

/// Types of configs that say nothing of the artifact.
const ANY_ARTIFACT: [&str; 4] = [
    media_types::OCI_EMPTY,
    media_types::OCI_CONFIG,
    media_types::DOCKER_CONFIG,
    "application/vnd.unknown.config.v1+json",
];

/// Whether a type says that something is evidence.
fn is_evidence_type(media_type: &MediaType) -> bool {
    is_bundle_media_type(media_type)
        || matches!(
            media_type.as_str(),
            SIMPLE_SIGNING | DSSE_ENVELOPE | COSIGN_SIGNATURE_ARTIFACT | IN_TOTO_ARTIFACT
        )
}

/// Whether a manifest found as a referrer holds evidence. The server's artifact types are not believed (registries and
/// cosign's own fallback index get them wrong): the manifest itself and its layers decide.
#[must_use]
pub fn is_evidence(manifest: &ImageManifest) -> bool {
    manifest.artifact_type.as_ref().is_some_and(is_evidence_type)
        || is_evidence_type(&manifest.config.media_type)
        || manifest.layers.iter().any(|layer| is_evidence_type(&layer.media_type))
}

/// Whether a layer of such a manifest is itself a piece of evidence.
#[must_use]
pub fn is_evidence_layer(layer: &Descriptor) -> bool {
    is_bundle_media_type(&layer.media_type) || matches!(layer.media_type.as_str(), SIMPLE_SIGNING | DSSE_ENVELOPE)
}

/// The manifest that hangs a bundle on `subject`, byte for byte as cosign 3.1 writes it. Its blobs are
/// [`EMPTY_CONFIG`] and `bundle_json`.
#[must_use]
pub fn bundle_referrer(
    subject: &Descriptor,
    bundle_json: &[u8],
    predicate_type: Option<&PredicateType>,
    created: UnixTime,
) -> ImageManifest {
    let bundle_type = MediaType::of_constant(bundle::MEDIA_TYPE_V03);
    let mut config = Descriptor::of(MediaType::of_constant(media_types::OCI_EMPTY), EMPTY_CONFIG);
    config.artifact_type = Some(bundle_type.clone());
    let mut annotations = BTreeMap::from([(CREATED_ANNOTATION.to_owned(), created.to_string())]);
    let content = match predicate_type {
        Some(predicate_type) => {
            annotations.insert(PREDICATE_TYPE_ANNOTATION.to_owned(), predicate_type.to_string());
            "dsse-envelope"
        }
        None => "message-signature",
    };
    annotations.insert(CONTENT_ANNOTATION.to_owned(), content.to_owned());
    ImageManifest {
        media_type: MediaType::of_constant(media_types::OCI_MANIFEST),
        artifact_type: Some(bundle_type.clone()),
        config,
        layers: vec![Descriptor::of(bundle_type, bundle_json)],
        subject: Some(bare(subject)),
        annotations,
    }
}

/// [`bundle_referrer`] with the predicate type read from the bundle. Also returns the bundle's bytes.
#[must_use]
pub fn referrer_of(subject: &Descriptor, bundle: &Bundle, created: UnixTime) -> (ImageManifest, Vec<u8>) {
    let predicate_type = match &bundle.content {
        Content::Dsse(envelope) => Statement::parse(&envelope.payload)
            .ok()
            .map(|statement| statement.predicate_type),
        Content::MessageSignature { .. } => None,
    };
    let bundle_json = bundle.to_json();
    let manifest = bundle_referrer(subject, &bundle_json, predicate_type.as_ref(), created);
    (manifest, bundle_json)
}

/// A subject is media type, digest and size; annotations of where it was listed do not belong to it.
fn bare(descriptor: &Descriptor) -> Descriptor {
    Descriptor {
        media_type: descriptor.media_type.clone(),
        digest: descriptor.digest.clone(),
        size: descriptor.size,
        artifact_type: None,
        platform: None,
        annotations: BTreeMap::new(),
    }
}

#[cfg(test)]
mod tests;
