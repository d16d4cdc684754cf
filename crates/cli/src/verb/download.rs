//! `download`: what hangs on an image, as it lies there, one JSON document a line. Nothing is verified.

use clap::{Args, Subcommand};
use proofmark_evidence::encoding::{base64_encode, pem_decode_all};
use proofmark_evidence::layout::{DSSE_ENVELOPE, is_bundle_media_type};
use proofmark_evidence::predicate::PredicateType;
use proofmark_oci::{Descriptor, Manifest};
use proofmark_registry::limits::MAX_EVIDENCE_TOTAL_BYTES;
use proofmark_registry::{Attachments, ImageSource, Place};
use proofmark_types::Digest;
use serde_json::{Map, Value, json};

use crate::args::RegistryArgs;
use crate::context::{Context, parse_image, registry_failure};
use crate::failure::{Exit, Failure, chain};
use crate::hanging::{Kind, Piece, digest_for, pieces, warn_of_missing, whole};
use crate::images::descend;
use crate::verb::attach::BILL_ARTIFACT;
use crate::verb::verify_attestation::predicate_type;

/// The largest attached bill that is read, in bytes: cosign's own limit for attachments.
const MAX_BILL_BYTES: u64 = 128 * 1024 * 1024;

/// Fetch what hangs on an image, unverified
#[derive(Subcommand, Debug)]
pub(crate) enum Download {
    /// The signatures, one JSON document a line: bundles as they are, older ones as cosign prints them
    Signature(Signature),
    /// The attestations, one JSON document a line: bundles as they are, older ones as envelopes
    Attestation(Attestation),
    /// The bill of materials under the .sbom tag, as it is. It is not signed: an attestation is better
    Sbom(Sbom),
}

/// Fetch the signatures of an image
#[derive(Args, Debug)]
pub(crate) struct Signature {
    /// The image
    image: String,

    #[command(flatten)]
    registry: RegistryArgs,
}

/// Fetch the attestations of an image
#[derive(Args, Debug)]
pub(crate) struct Attestation {
    /// The image
    image: String,

    /// Only those of this type: slsaprovenance1, spdxjson, cyclonedx, vuln, openvex, custom, … or a URI
    #[arg(long, value_name = "TYPE")]
    predicate_type: Option<String>,

    /// Those of the index's image for this platform
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<String>,

    #[command(flatten)]
    registry: RegistryArgs,
}

/// Fetch the attached bill of an image
#[derive(Args, Debug)]
pub(crate) struct Sbom {
    /// The image
    image: String,

    /// That of the index's image for this platform
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<String>,

    #[command(flatten)]
    registry: RegistryArgs,
}

impl Download {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Signature(verb) => verb.run(context).await,
            Self::Attestation(verb) => verb.run(context).await,
            Self::Sbom(verb) => verb.run(context).await,
        }
    }
}

impl Signature {
    async fn run(self, context: &Context) -> Result<(), Failure> {
        let hanging = Hanging::find(context, &self.image, None, &self.registry).await?;
        let found = hanging
            .print(context, |piece| matches!(piece.kind, Some(Kind::Signature)))
            .await?;
        whole(&hanging.attachments.incomplete)?;
        if found == 0 {
            return Err(hanging.nothing(Exit::NoSignature, "no-signature", "no signature"));
        }
        Ok(())
    }
}

impl Attestation {
    async fn run(self, context: &Context) -> Result<(), Failure> {
        let wanted = self.predicate_type.as_deref().map(predicate_type).transpose()?;
        let fits = |kind: &PredicateType| wanted.as_ref().is_none_or(|wanted| kind.matches_family(wanted));
        let hanging = Hanging::find(context, &self.image, self.platform.as_deref(), &self.registry).await?;
        let found = hanging
            .print(
                context,
                |piece| matches!(&piece.kind, Some(Kind::Attestation(kind)) if fits(kind)),
            )
            .await?;
        whole(&hanging.attachments.incomplete)?;
        if found == 0 {
            let what = match &wanted {
                Some(wanted) => format!("no attestation of type {wanted}"),
                None => "no attestation".to_owned(),
            };
            return Err(hanging.nothing(Exit::NoAttestation, "no-attestation", &what));
        }
        Ok(())
    }
}

impl Sbom {
    async fn run(self, context: &Context) -> Result<(), Failure> {
        let hanging = Hanging::find(context, &self.image, self.platform.as_deref(), &self.registry).await?;
        let Some(layer) = hanging.bill()? else {
            whole(&hanging.attachments.incomplete)?;
            let failure = hanging.nothing(Exit::NoAttestation, "no-sbom", "no bill under the .sbom tag");
            return Err(failure.with_hint(
                "bills are attestations now: `proofmark download attestation --predicate-type spdxjson`, or cyclonedx",
            ));
        };
        let bill = hanging
            .source
            .blob(&layer, MAX_BILL_BYTES)
            .await
            .map_err(registry_failure)?;
        context
            .output
            .note(&format!("Found SBOM of media type: {}", layer.media_type));
        context.output.bytes(&bill);
        Ok(())
    }
}

/// What hangs on one image, and where its content is.
struct Hanging {
    digest: Digest,
    source: ImageSource,
    attachments: Attachments,
}

impl Hanging {
    async fn find(
        context: &Context,
        image: &str,
        platform: Option<&str>,
        registry: &RegistryArgs,
    ) -> Result<Self, Failure> {
        let image = parse_image(image)?;
        let client = Context::client_for(registry, &[&image])?;
        let source = ImageSource::registry(&client, &image);
        let digest = match (image.digest(), platform) {
            // What hangs on a digest can be had without the image.
            (Some(digest), None) => digest.clone(),
            _ => digest_for(&descend(&source).await?, platform)?,
        };
        let attachments = source.attachments(&digest).await.map_err(registry_failure)?;
        warn_of_missing(context.output, &attachments.missing);
        Ok(Self {
            source: source.evidence_source(),
            digest,
            attachments,
        })
    }

    /// Prints what is wanted and says how much that was.
    async fn print(&self, context: &Context, wanted: impl Fn(&Piece) -> bool) -> Result<usize, Failure> {
        let mut left = MAX_EVIDENCE_TOTAL_BYTES;
        let mut found = 0;
        let direct = self.attachments.found.iter().filter(|each| each.subject == self.digest);
        for attachment in direct {
            // One piece that cannot be had, or is not what it says, hides no other.
            let read = match pieces(&self.source, attachment, &mut left).await {
                Ok(read) => read,
                Err(failure) if failure.code == "too-large" => return Err(failure),
                Err(failure) => {
                    context.output.warn(&failure.message);
                    continue;
                }
            };
            for piece in read {
                if piece.kind.is_none() {
                    let digest = &piece.layer.digest;
                    context
                        .output
                        .warn(&format!("{digest} says that it is evidence and cannot be read"));
                }
                if wanted(&piece) {
                    context.output.document(&line(&piece)?);
                    found += 1;
                }
            }
        }
        Ok(found)
    }

    /// The layer of the `.sbom` tag, or of its experimental form as a referrer.
    fn bill(&self) -> Result<Option<Descriptor>, Failure> {
        for attachment in &self.attachments.found {
            if attachment.subject != self.digest {
                continue;
            }
            let Manifest::Image(image) = attachment.resolved.parse().map_err(registry_failure)? else {
                continue;
            };
            let experimental = image.config.media_type.as_str() == BILL_ARTIFACT
                || image
                    .artifact_type
                    .as_ref()
                    .is_some_and(|kind| kind.as_str() == BILL_ARTIFACT);
            if attachment.place != Place::Bill && !experimental {
                continue;
            }
            let mut layers = image.layers.into_iter();
            return match (layers.next(), layers.next()) {
                (Some(layer), None) => Ok(Some(layer)),
                _ => Err(Failure::new(
                    Exit::Undecided,
                    "malformed",
                    format!(
                        "the bill {} is to have one layer",
                        attachment.resolved.descriptor.digest
                    ),
                )),
            };
        }
        Ok(None)
    }

    fn nothing(&self, exit: Exit, code: &str, what: &str) -> Failure {
        Failure::new(exit, code, format!("{what} hangs on {}", self.digest))
            .with_hint("`proofmark tree IMAGE` shows all that hangs there")
    }
}

/// A piece on one line: a bundle or envelope as it is but for line breaks, the rest as cosign prints it.
fn line(piece: &Piece) -> Result<Vec<u8>, Failure> {
    let malformed = |error: serde_json::Error| {
        Failure::new(Exit::Undecided, "malformed", format!("{}: {error}", piece.layer.digest))
    };
    if is_bundle_media_type(&piece.layer.media_type) || piece.layer.media_type.as_str() == DSSE_ENVELOPE {
        let _: serde::de::IgnoredAny = serde_json::from_slice(&piece.blob).map_err(malformed)?;
        // A line break is white space wherever it stands in JSON.
        let blob = piece.blob.iter();
        return Ok(blob
            .map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte })
            .collect());
    }
    serde_json::to_vec(&signed_payload(&piece.layer, &piece.blob)?).map_err(malformed)
}

/// cosign's `SignedPayload`. Its certificates are Go's parsed form with dozens of fields; here they are `Raw`, from which
/// all others follow.
fn signed_payload(layer: &Descriptor, payload: &[u8]) -> Result<Value, Failure> {
    let annotation = |name: &str| {
        layer
            .annotations
            .get(name)
            .map(|value| value.trim())
            .filter(|value| !value.is_empty())
    };
    let embedded = |name: &str| match annotation(name) {
        None => Ok(Value::Null),
        Some(text) => serde_json::from_str(text).map_err(|error| {
            Failure::new(
                Exit::Undecided,
                "malformed",
                format!("the annotation {name} of {}: {}", layer.digest, chain(&error)),
            )
        }),
    };
    let certificates = |name: &str| {
        let ders = annotation(name).and_then(|pem| pem_decode_all("CERTIFICATE", pem));
        let values = ders.unwrap_or_default().into_iter();
        values
            .map(|der| json!({ "Raw": base64_encode(&der) }))
            .collect::<Vec<_>>()
    };
    let chain = certificates("dev.sigstore.cosign/chain");
    let mut fields = Map::new();
    let signature = annotation("dev.cosignproject.cosign/signature").unwrap_or_default();
    fields.insert("Base64Signature".to_owned(), signature.into());
    fields.insert("Payload".to_owned(), base64_encode(payload).into());
    let certificate = certificates("dev.sigstore.cosign/certificate").into_iter().next();
    fields.insert("Cert".to_owned(), certificate.unwrap_or_default());
    fields.insert(
        "Chain".to_owned(),
        if chain.is_empty() { Value::Null } else { chain.into() },
    );
    fields.insert("Bundle".to_owned(), embedded("dev.sigstore.cosign/bundle")?);
    fields.insert(
        "RFC3161Timestamp".to_owned(),
        embedded("dev.sigstore.cosign/rfc3161timestamp")?,
    );
    Ok(fields.into())
}
