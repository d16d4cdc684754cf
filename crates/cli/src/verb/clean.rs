//! `clean`: remove what hangs on an image.

use std::collections::BTreeSet;

use clap::{Args, ValueEnum};
use proofmark_evidence::layout::is_evidence;
use proofmark_oci::Manifest;
use proofmark_registry::{Attachment, ImageSource, Place};
use serde_json::json;

use crate::args::RegistryArgs;
use crate::context::{Context, parse_image, registry_failure};
use crate::failure::{Exit, Failure};
use crate::hanging::whole;
use crate::images::digest_of;
use crate::output;

/// Remove what hangs on an image: signatures, attestations, bills
#[derive(Args, Debug)]
pub(crate) struct Clean {
    /// The image
    image: String,

    /// What is removed
    #[arg(long = "type", value_enum, default_value = "all")]
    kind: What,

    /// Do not ask
    #[arg(short, long)]
    force: bool,

    #[command(flatten)]
    registry: RegistryArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    /// The .sig tag
    Signature,
    /// The .att tag
    Attestation,
    /// Bundles, and other evidence whose subject is the image
    Referrer,
    /// The .sbom tag
    Sbom,
    /// All of these
    All,
}

impl What {
    fn covers(self, attachment: &Attachment) -> bool {
        match attachment.place {
            Place::Signatures => matches!(self, Self::Signature | Self::All),
            Place::Attestations => matches!(self, Self::Attestation | Self::All),
            Place::Bill => matches!(self, Self::Sbom | Self::All),
            // A chart or a bill that somebody attached bare is not ours to remove.
            _ => {
                matches!(self, Self::Referrer | Self::All)
                    && matches!(attachment.resolved.parse(), Ok(Manifest::Image(image)) if is_evidence(&image))
            }
        }
    }

    fn said(self) -> &'static str {
        match self {
            Self::Signature => "the .sig signatures",
            Self::Attestation => "the .att attestations",
            Self::Referrer => "all bundles and other signed referrers",
            Self::Sbom => "the attached bill",
            Self::All => "all signatures, attestations and bills",
        }
    }
}

impl Clean {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let image = parse_image(&self.image)?;
        // cosign asks before it looks at anything.
        let asked_first = context.manner.is_cosign() && !self.force;
        if asked_first {
            confirm(context, &format!("this removes {} from {image}", self.kind.said()))?;
        }
        let client = Context::client_for(&self.registry, &[&image])?;
        let source = ImageSource::registry(&client, &image);
        let digest = digest_of(&client, &image).await?;
        let attachments = source.attachments(&digest).await.map_err(registry_failure)?;
        let chosen = chosen(&attachments.found, |attachment| {
            attachment.subject == digest && self.kind.covers(attachment)
        });
        let name = image.with_digest(digest.clone());
        let left = attachments.found.len() - chosen.len();
        if !chosen.is_empty() && !self.force && !asked_first {
            confirm(
                context,
                &format!("this removes {} ({}) from {name}", self.kind.said(), chosen.len()),
            )?;
        }
        let home = client.evidence_home(image.repository());
        let mut removed = Vec::new();
        for attachment in chosen.iter().rev() {
            let shown = shown(attachment);
            if client.remove(home, attachment).await.map_err(|error| {
                let removed: Vec<String> = removed.iter().map(|each| format!("removed {each}")).collect();
                registry_failure(error)
                    .with_details(removed)
                    .with_hint("many registries let nobody delete, or only administrators")
            })? {
                removed.push(shown);
            }
        }
        let mut text = format!("{name}\n");
        for each in &removed {
            text.push_str(&format!("  removed {each}\n"));
        }
        text.push_str(&match removed.len() {
            0 => "  nothing to remove\n".to_owned(),
            _ => String::new(),
        });
        if left > 0 {
            text.push_str(&format!("  left alone: {left} (`proofmark tree` shows them)\n"));
        }
        context.done(
            &text,
            &json!({ "image": image, "digest": digest, "removed": removed, "leftAlone": left }),
        );
        whole(&attachments.incomplete)
    }
}

/// Those wanted, and what hangs on referrers among them: it would be about nothing. What hangs on the image of a tag
/// stays: another tag may name that image, as that of the same bill of two images does.
fn chosen(found: &[Attachment], wanted: impl Fn(&Attachment) -> bool) -> Vec<&Attachment> {
    let mut gone = BTreeSet::new();
    let mut chosen = Vec::new();
    for attachment in found {
        if wanted(attachment) || gone.contains(&attachment.subject) {
            if attachment.place == Place::Referrer {
                gone.insert(attachment.resolved.descriptor.digest.clone());
            }
            chosen.push(attachment);
        }
    }
    chosen
}

fn shown(attachment: &Attachment) -> String {
    match attachment.place.tag(&attachment.subject) {
        Some(tag) => format!("tag {tag}"),
        None => format!("referrer {}", attachment.resolved.descriptor.digest),
    }
}

fn confirm(context: &Context, what: &str) -> Result<(), Failure> {
    match output::confirm(&format!("warning: {what}. Go on? [y/N] "), context.manner.is_cosign()) {
        Some(true) => Ok(()),
        Some(false) => Err(Failure::new(Exit::Refused, "not-confirmed", "nothing was removed")),
        None => Err(Failure::usage(
            "confirmation-missing",
            format!("{what}, and there is no terminal to ask on"),
        )
        .with_hint("give -f to remove without asking")),
    }
}
