//! `copy`: an image with all that hangs on it, from one place to another.

use std::collections::BTreeSet;

use clap::Args;
use proofmark_evidence::layout::is_evidence;
use proofmark_oci::Manifest;
use proofmark_registry::limits::MAX_EVIDENCE_TOTAL_BYTES;
use proofmark_registry::{Attachment, Brought, Client, ImageSource, Place, RegistryError};
use proofmark_types::{Digest, ImageRef, Repository, Tag};
use serde_json::{Value, json};

use crate::args::RegistryArgs;
use crate::context::{Context, parse_image, registry_failure};
use crate::failure::{Exit, Failure};
use crate::hanging::{Kind, Meter, digest_for, pieces, warn_of_missing, whole};
use crate::images::descend;
use crate::output::Output;

/// Copy an image with all that hangs on it
///
/// What hangs on the images of an index comes along, and so does evidence about evidence. What is there already is not
/// sent again: a copy that was interrupted is finished by running it again.
#[derive(Args, Debug)]
pub(crate) struct Copy {
    /// The image to copy
    source: String,

    /// Where to: a name with a tag, usually
    destination: String,

    /// Only signatures (the same as --only=sig)
    #[arg(long)]
    sig_only: bool,

    /// Only these: sig, att, sbom. The image itself comes along without a name
    #[arg(long, value_enum, value_delimiter = ',', value_name = "KIND")]
    only: Vec<Only>,

    /// Replace the image, or the bill, that has the name already
    #[arg(short, long)]
    force: bool,

    /// Only the index's image for this platform
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<String>,

    #[command(flatten)]
    registry: RegistryArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
enum Only {
    Sig,
    Att,
    Sbom,
}

impl Copy {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let (from, to) = (parse_image(&self.source)?, parse_image(&self.destination)?);
        let mut only: BTreeSet<Only> = self.only.iter().copied().collect();
        if self.sig_only {
            only.insert(Only::Sig);
        }
        let meter = Meter::new(context.output, "copying");
        let client = Context::client_for(&self.registry, &[&from, &to])?.with_progress(meter.progress("copying"));
        let named = ImageSource::registry(&client, &from);
        let tree = descend(&named).await?;
        let digest = digest_for(&tree, self.platform.as_deref())?;
        let source = ImageSource::registry(&client, &from.with_digest(digest));
        let job = Job {
            client: &client,
            home: to.repository().clone(),
            to: &to,
            only: &only,
            replace_name: self.force,
            replace_bill: self.force,
            output: context.output,
        };
        let done = job.run(&source, &meter).await?;
        drop(meter);
        done.report(context, &from, &to);
        Ok(())
    }
}

/// One image on its way into a registry.
pub(crate) struct Job<'j> {
    pub(crate) client: &'j Client,
    /// Where what hangs on it goes.
    pub(crate) home: Repository,
    pub(crate) to: &'j ImageRef,
    only: &'j BTreeSet<Only>,
    /// Whether a name that another image has is moved.
    replace_name: bool,
    /// Whether another bill under the `.sbom` tag is replaced.
    replace_bill: bool,
    output: Output,
}

/// What a job did.
pub(crate) struct Done {
    digest: Digest,
    tagged: bool,
    lines: Vec<(String, &'static str)>,
}

impl<'j> Job<'j> {
    /// Everything, whatever has the name already: `load` moves it, as cosign's does.
    pub(crate) fn everything(
        output: Output,
        client: &'j Client,
        home: Repository,
        to: &'j ImageRef,
        replace_bill: bool,
    ) -> Self {
        static ALL: BTreeSet<Only> = BTreeSet::new();
        Self {
            client,
            home,
            to,
            only: &ALL,
            replace_name: true,
            replace_bill,
            output,
        }
    }

    /// 1. The name is free, or may be taken.
    /// 2. The image, by digest.
    /// 3. What hangs on it, on its indexes and on its images.
    /// 4. If all of that could be read, the name: whoever sees it sees everything.
    pub(crate) async fn run(&self, source: &ImageSource, meter: &Meter) -> Result<Done, Failure> {
        // 1.
        let tree = descend(source).await?;
        let digest = tree.root.digest.clone();
        let named = self.only.is_empty();
        if let Some(wanted) = self.to.digest().filter(|wanted| **wanted != digest) {
            return Err(Failure::usage(
                "other-digest",
                format!("the destination is to be {wanted}, and the image is {digest}"),
            ));
        }
        let tag = (named && self.to.digest().is_none()).then(|| self.to.tag_or_latest());
        if let Some(tag) = tag.as_ref().filter(|_| !self.replace_name) {
            self.is_free(tag, &digest).await?;
        }
        // 2.
        let repository = self.to.repository();
        self.client
            .copy_image(source, repository, None)
            .await
            .map_err(registry_failure)?;
        // 3.
        let contents = source.evidence_source();
        let (mut lines, mut incomplete) = (Vec::new(), Vec::new());
        for image in tree.all() {
            let attachments = source.attachments(&image.digest).await.map_err(registry_failure)?;
            warn_of_missing(self.output, &attachments.missing);
            incomplete.extend(attachments.incomplete);
            for attachment in &attachments.found {
                if !self.wants(&contents, attachment).await? {
                    continue;
                }
                let shown = shown(attachment);
                meter.say(&format!("copying {shown}"));
                let brought = self
                    .client
                    .bring(&contents, attachment, &self.home, self.replace_bill)
                    .await
                    .map_err(registry_failure)?;
                if matches!(brought, Brought::Kept { .. }) {
                    self.output.warn(&format!(
                        "{shown} is another one there, and was left as it is; -f replaces it"
                    ));
                }
                lines.push((shown, word(&brought)));
            }
        }
        whole(&incomplete)?;
        // 4.
        if let Some(tag) = &tag {
            let resolved = source.resolve().await.map_err(registry_failure)?;
            let media_type = &resolved.descriptor.media_type;
            self.client
                .push_manifest(repository, Some(tag), media_type, resolved.bytes)
                .await
                .map_err(registry_failure)?;
        }
        Ok(Done {
            digest,
            tagged: tag.is_some(),
            lines,
        })
    }

    /// The name is not another image's.
    async fn is_free(&self, tag: &Tag, digest: &Digest) -> Result<(), Failure> {
        let name = ImageRef::tagged(self.to.repository().clone(), tag.clone());
        match self.client.head(&name).await {
            Ok(head) if head.digest != *digest => Err(Failure::new(
                Exit::Refused,
                "image-exists",
                format!("{name} is already there, and is {}", head.digest),
            )
            .with_hint("give -f to make the name point to the image that is copied")),
            Err(error) if !error.is_not_found() => Err(registry_failure(error)),
            _ => Ok(()),
        }
    }

    /// What `--only` names, tags and bundles alike.
    async fn wants(&self, contents: &ImageSource, attachment: &Attachment) -> Result<bool, Failure> {
        if self.only.is_empty() {
            return Ok(true);
        }
        Ok(match attachment.place {
            Place::Signatures => self.only.contains(&Only::Sig),
            Place::Attestations => self.only.contains(&Only::Att),
            Place::Bill => self.only.contains(&Only::Sbom),
            _ => {
                let evidence = matches!(attachment.resolved.parse(), Ok(Manifest::Image(image)) if is_evidence(&image));
                let mut left = MAX_EVIDENCE_TOTAL_BYTES;
                evidence
                    && pieces(contents, attachment, &mut left)
                        .await?
                        .iter()
                        .any(|piece| match &piece.kind {
                            Some(Kind::Signature) => self.only.contains(&Only::Sig),
                            Some(Kind::Attestation(_)) => self.only.contains(&Only::Att),
                            None => false,
                        })
            }
        })
    }
}

impl Done {
    pub(crate) fn report(&self, context: &Context, from: &impl std::fmt::Display, to: &ImageRef) {
        let mut text = format!("{}\n  from {from}\n", to.with_digest(self.digest.clone()));
        for (what, became) in &self.lines {
            text.push_str(&format!("  {became:<7} {what}\n"));
        }
        if !self.tagged {
            text.push_str("  the image is there by its digest, and has no new name\n");
        }
        let attachments: Vec<Value> = self
            .lines
            .iter()
            .map(|(what, became)| json!({ "what": what, "became": became }))
            .collect();
        context.done(
            &text,
            &json!({
                "from": from.to_string(), "to": to, "digest": self.digest, "named": self.tagged,
                "attachments": attachments,
            }),
        );
    }
}

fn shown(attachment: &Attachment) -> String {
    match attachment.place.tag(&attachment.subject) {
        Some(tag) => format!("tag {tag}"),
        None => format!(
            "referrer {} of {}",
            attachment.resolved.descriptor.digest, attachment.subject
        ),
    }
}

fn word(brought: &Brought) -> &'static str {
    match brought {
        Brought::Present => "there",
        Brought::Merged { .. } => "merged",
        Brought::Kept { .. } => "kept",
        _ => "copied",
    }
}

/// For reading a folder: the same failure, with the place.
pub(crate) fn at(folder: &std::path::Path) -> impl Fn(RegistryError) -> Failure + '_ {
    move |error| {
        let failure = registry_failure(error);
        Failure {
            message: format!("{}: {}", folder.display(), failure.message),
            ..failure
        }
    }
}
