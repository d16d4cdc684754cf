//! `tree`: what hangs on an image, without believing any of it.

use std::fmt::Write as _;

use clap::Args;
use proofmark_evidence::bundle::Content;
use proofmark_evidence::statement::Statement;
use proofmark_evidence::{Item, ItemContent};
use serde_json::{Value, json};

use crate::args::RegistryArgs;
use crate::context::{Context, parse_image, registry_failure};
use crate::failure::Failure;
use crate::report;

/// Show what hangs on an image
#[derive(Args, Debug)]
pub(crate) struct Tree {
    /// The image
    image: String,

    #[command(flatten)]
    registry: RegistryArgs,
}

impl Tree {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let image = parse_image(&self.image)?;
        let client = Context::client_for(&self.registry, &[&image])?;
        let resolved = client.resolve(&image).await.map_err(registry_failure)?;
        let digest = resolved.descriptor.digest;
        let evidence = client
            .evidence(image.repository(), &digest)
            .await
            .map_err(registry_failure)?;
        let mut text = format!("{}\n", image.with_digest(digest.clone()));
        let mut values = Vec::new();
        for item in &evidence.items {
            let (kind, what) = describe(item);
            let _ = writeln!(text, "├── {kind}: {what}\n│     {}", item.origin);
            values.push(json!({ "kind": kind, "what": what, "origin": item.origin.to_string() }));
        }
        for place in &evidence.incomplete {
            let _ = writeln!(text, "├── not read: {}: {} [{}]", place.place, place.reason, place.code);
        }
        let _ = writeln!(
            text,
            "└── {}, none of them verified (that is `proofmark verify`)",
            report::pieces(evidence.items.len())
        );
        let incomplete: Vec<Value> = evidence
            .incomplete
            .iter()
            .map(|place| json!({ "place": place.place, "code": place.code, "reason": place.reason }))
            .collect();
        context.output.result(
            &text,
            &json!({ "image": image, "digest": digest, "evidence": values, "incomplete": incomplete }),
        );
        Ok(())
    }
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
