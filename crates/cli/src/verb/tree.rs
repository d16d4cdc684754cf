//! `tree`: what hangs on an image, without believing any of it.

use std::fmt::Write as _;

use clap::Args;
use proofmark_evidence::bundle::Content;
use proofmark_evidence::layout::PREDICATE_TYPE_ANNOTATION;
use proofmark_evidence::statement::Statement;
use proofmark_evidence::{EvidenceSet, Item, ItemContent, Origin};
use proofmark_oci::Manifest;
use proofmark_registry::{Attachment, Attachments, Place};
use proofmark_types::{Digest, ImageRef, Repository};
use serde_json::{Value, json};

use crate::args::{ReferrersModeArgs, RegistryArgs};
use crate::context::{Context, parse_image, registry_failure};
use crate::failure::Failure;
use crate::hanging::warn_of_missing;
use crate::report;

/// Show what hangs on an image
#[derive(Args, Debug)]
pub(crate) struct Tree {
    /// The image
    image: String,

    /// Evidence is found in every shape; this changes nothing
    #[arg(long)]
    experimental_oci11: bool,

    #[command(flatten)]
    mode: ReferrersModeArgs,

    #[command(flatten)]
    registry: RegistryArgs,
}

impl Tree {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let image = parse_image(&self.image)?;
        if self.mode.registry_referrers_mode.is_some() || self.experimental_oci11 {
            context.output.note(
                "--registry-referrers-mode and --experimental-oci11 change nothing here: everything is always looked for",
            );
        }
        let client = Context::client_for(&self.registry, &[&image])?;
        let resolved = client.resolve(&image).await.map_err(registry_failure)?;
        let digest = resolved.descriptor.digest;
        let repository = image.repository();
        let evidence = client.evidence(repository, &digest).await.map_err(registry_failure)?;
        let attachments = client
            .attachments(repository, &digest)
            .await
            .map_err(registry_failure)?;
        let mut text = format!("{}\n", image.with_digest(digest.clone()));
        branches(&mut text, "", &digest, &attachments, &evidence);
        let mut gaps: Vec<(String, String, &str)> = Vec::new();
        for place in evidence.incomplete.iter().chain(&attachments.incomplete) {
            let gap = (place.place.clone(), place.reason.clone(), place.code);
            if !gaps.contains(&gap) {
                let _ = writeln!(text, "├── not read: {}: {} [{}]", gap.0, gap.1, gap.2);
                gaps.push(gap);
            }
        }
        for digest in &attachments.missing {
            let _ = writeln!(text, "├── listed, and not there: {digest}");
        }
        let _ = writeln!(
            text,
            "└── {}, none of them verified (that is `proofmark verify`)",
            report::pieces(evidence.items.len())
        );
        let items: Vec<Value> = evidence
            .items
            .iter()
            .map(|item| {
                let (kind, what) = describe(item);
                json!({ "kind": kind, "what": what, "origin": item.origin.to_string() })
            })
            .collect();
        let incomplete: Vec<Value> = gaps
            .iter()
            .map(|(place, reason, code)| json!({ "place": place, "code": code, "reason": reason }))
            .collect();
        let manifests: Vec<Value> = attachments.found.iter().map(manifest_json).collect();
        if context.manner.is_cosign() {
            text = as_cosign(&image, client.evidence_home(repository), &digest, &attachments);
            warn_of_missing(context.output, &attachments.missing);
            for (place, reason, _) in &gaps {
                context.output.warn(&format!("not read: {place}: {reason}"));
            }
        }
        context.output.result(
            &text,
            &json!({
                "image": image, "digest": digest, "evidence": items, "attachments": manifests,
                "missing": attachments.missing, "incomplete": incomplete,
            }),
        );
        Ok(())
    }
}

/// cosign's tree: the layers of each manifest that hangs on the image.
fn as_cosign(image: &ImageRef, home: &Repository, digest: &Digest, attachments: &Attachments) -> String {
    let mut text = format!("📦 Supply Chain Security Related artifacts for an image: {image}\n");
    for attachment in attachments.found.iter().filter(|each| each.subject == *digest) {
        let manifest = attachment.resolved.parse().ok();
        let head = match (attachment.place, attachment.place.tag(digest)) {
            (Place::Attestations, Some(tag)) => format!("💾 Attestations for an image tag: {home}:{tag}"),
            (Place::Signatures, Some(tag)) => format!("🔐 Signatures for an image tag: {home}:{tag}"),
            (_, Some(tag)) => format!("📦 SBOMs for an image tag: {home}:{tag}"),
            (_, None) => {
                let says = manifest
                    .as_ref()
                    .and_then(|manifest| manifest.annotations().get(PREDICATE_TYPE_ANNOTATION).cloned());
                let kind = manifest
                    .as_ref()
                    .and_then(Manifest::artifact_type)
                    .map(ToString::to_string);
                let kind = says.or(kind).unwrap_or_default();
                let referrer = &attachment.resolved.descriptor.digest;
                format!("🔗 {kind} artifacts via OCI referrer: {home}@{referrer}")
            }
        };
        let _ = writeln!(text, "└── {head}");
        let layers = match manifest {
            Some(Manifest::Image(image)) => image.layers,
            _ => Vec::new(),
        };
        for (index, layer) in layers.iter().enumerate() {
            let line = if index + 1 == layers.len() {
                "└──"
            } else {
                "├──"
            };
            let _ = writeln!(text, "   {line} 🍒 {}", layer.digest);
        }
    }
    if attachments.found.is_empty() {
        let _ = write!(
            text,
            "No Supply Chain Security Related Artifacts found for image {image},\n start creating one with simply running$ cosign sign <img>\n"
        );
    }
    text
}

/// Draws what hangs on `subject`, and what hangs on that. [`Attachments`] is bounded, and lists nothing twice.
fn branches(text: &mut String, indent: &str, subject: &Digest, attachments: &Attachments, evidence: &EvidenceSet) {
    for attachment in attachments.found.iter().filter(|each| each.subject == *subject) {
        let digest = &attachment.resolved.descriptor.digest;
        let items: Vec<&Item> = evidence.items.iter().filter(|item| is_in(item, attachment)).collect();
        for item in &items {
            let (kind, what) = describe(item);
            let _ = writeln!(text, "{indent}├── {kind}: {what}\n{indent}│     {}", item.origin);
        }
        if items.is_empty() {
            let place = match attachment.place.tag(subject) {
                Some(tag) => format!("tag {tag}"),
                None => format!("referrer {digest}"),
            };
            let _ = writeln!(text, "{indent}├── {}\n{indent}│     {place}", kind_of(attachment));
        }
        branches(text, &format!("{indent}│   "), digest, attachments, evidence);
    }
    // Evidence whose manifest could not be had.
    if indent.is_empty() {
        let found = |item: &&Item| attachments.found.iter().any(|attachment| is_in(item, attachment));
        for item in evidence.items.iter().filter(|item| !found(item)) {
            let (kind, what) = describe(item);
            let _ = writeln!(text, "├── {kind}: {what}\n│     {}", item.origin);
        }
    }
}

fn is_in(item: &Item, attachment: &Attachment) -> bool {
    match &item.origin {
        Origin::Referrer { manifest } => *manifest == attachment.resolved.descriptor.digest,
        Origin::SignatureTag { tag, .. } | Origin::AttestationTag { tag, .. } => {
            attachment.place.tag(&attachment.subject).as_ref() == Some(tag)
        }
        _ => false,
    }
}

/// What an attachment that is no evidence of the image says that it is.
fn kind_of(attachment: &Attachment) -> String {
    let kind = match attachment.resolved.parse() {
        Ok(Manifest::Image(image)) => match (image.artifact_type, image.layers.first()) {
            (Some(artifact_type), _) => artifact_type.to_string(),
            (None, Some(layer)) => layer.media_type.to_string(),
            (None, None) => image.config.media_type.to_string(),
        },
        Ok(Manifest::Index(index)) => index.artifact_type.unwrap_or(index.media_type).to_string(),
        Err(error) => format!("unreadable: {error}"),
    };
    let says = attachment.resolved.parse().ok();
    let says = says
        .as_ref()
        .and_then(|manifest| manifest.annotations().get(PREDICATE_TYPE_ANNOTATION));
    match (attachment.place, says) {
        (Place::Bill, _) => format!("bill, unsigned: {kind}"),
        (_, Some(predicate_type)) => format!("bundle, by its annotation: {predicate_type}"),
        _ => format!("other: {kind}"),
    }
}

fn manifest_json(attachment: &Attachment) -> Value {
    let descriptor = &attachment.resolved.descriptor;
    let manifest = attachment.resolved.parse().ok();
    let layers: Vec<Value> = match &manifest {
        Some(Manifest::Image(image)) => image
            .layers
            .iter()
            .map(|layer| json!({ "mediaType": layer.media_type, "digest": layer.digest, "size": layer.size }))
            .collect(),
        _ => Vec::new(),
    };
    json!({
        "subject": attachment.subject,
        "tag": attachment.place.tag(&attachment.subject),
        "mediaType": descriptor.media_type,
        "digest": descriptor.digest,
        "artifactType": manifest.as_ref().and_then(Manifest::artifact_type),
        "annotations": manifest.as_ref().map(Manifest::annotations),
        "layers": layers,
    })
}

/// What a piece of evidence claims to be.
fn describe(item: &Item) -> (&'static str, String) {
    let statement = |payload: &[u8]| {
        Statement::parse(payload).map_or_else(
            |error| ("unreadable", error.to_string()),
            |statement| {
                let kind = if statement.predicate_type.is_signature() {
                    "signature"
                } else {
                    "attestation"
                };
                (kind, statement.predicate_type.to_string())
            },
        )
    };
    match &item.content {
        ItemContent::Bundle(bundle) => match &bundle.content {
            Content::Dsse(envelope) => statement(&envelope.payload),
            Content::MessageSignature { .. } => ("signature", "message signature".to_owned()),
        },
        ItemContent::LegacySignature(_) => ("signature", "simple signing".to_owned()),
        ItemContent::LegacyAttestation(attestation) => statement(&attestation.envelope.payload),
        ItemContent::Unreadable { code, reason } => ("unreadable", format!("{reason} [{code}]")),
        _ => ("unknown", String::new()),
    }
}
