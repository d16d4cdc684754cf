//! `attach`: hang on an image what was signed elsewhere. It is read as a verifier will read it, and not verified.

mod sbom;

pub(crate) use self::sbom::{BILL_ARTIFACT, one_layer};

use std::io::Read as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use clap::{Args, Subcommand};
use proofmark_evidence::bundle::Bundle;
use proofmark_evidence::dsse::Envelope;
use proofmark_evidence::encoding::base64_encode;
use proofmark_evidence::layout::{SIMPLE_SIGNING, att_tag, sig_tag};
use proofmark_evidence::legacy::{LegacyAttestation, LegacySignature};
use proofmark_evidence::simple_signing::Payload;
use proofmark_evidence::statement::Statement;
use proofmark_oci::Descriptor;
use proofmark_registry::Client;
use proofmark_types::{ImageRef, MediaType};
use serde_json::{Value, json};

use crate::args::RegistryArgs;
use crate::context::{Context, parse_image, read_file, read_text, registry_failure};
use crate::failure::{Failure, chain};
use crate::signing::attach_bundle;

/// Hang something on an image that was made elsewhere
#[derive(Subcommand, Debug)]
pub(crate) enum Attach {
    /// A signature: a bundle, or a payload with its signature under the .sig tag
    Signature(Signature),
    /// Attestations: bundles, or envelopes under the .att tag
    Attestation(Attestation),
    /// A bill of materials under the .sbom tag. It is not signed: `attest` is better
    Sbom(sbom::Sbom),
}

/// Hang a signature on an image
#[derive(Args, Debug)]
pub(crate) struct Signature {
    /// The image
    image: String,

    /// What was signed: a simple-signing payload, or a whole bundle (default: the payload for this image)
    #[arg(long, value_name = "FILE", alias = "bundle")]
    payload: Option<PathBuf>,

    /// The signature in base64: a file, or - for standard input
    #[arg(long, value_name = "FILE|-")]
    signature: Option<PathBuf>,

    /// The certificate that signed (PEM)
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,

    /// The authorities above the certificate, the nearest first (PEM)
    #[arg(long, value_name = "FILE")]
    certificate_chain: Option<PathBuf>,

    /// The log's promise: what `sign-blob --bundle` of cosign 2 wrote, or its part "rekorBundle"
    #[arg(long, value_name = "FILE")]
    rekor_response: Option<PathBuf>,

    /// An RFC 3161 timestamp response over the signature (DER)
    #[arg(long, value_name = "FILE")]
    tsr: Option<PathBuf>,

    #[command(flatten)]
    registry: RegistryArgs,
}

/// Hang attestations on an image
#[derive(Args, Debug)]
pub(crate) struct Attestation {
    /// The image
    image: String,

    /// A bundle, an envelope, or several of them, one a line (may be repeated)
    #[arg(long, required = true, value_name = "FILE")]
    attestation: Vec<PathBuf>,

    #[command(flatten)]
    registry: RegistryArgs,
}

impl Attach {
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
        let target = Target::resolve(&self.image, &self.registry).await?;
        let given = self.payload.as_deref().map(read_file).transpose()?;
        if let Some(bundle) = given.as_deref().and_then(|bytes| Bundle::parse(bytes).ok()) {
            let place = target.bundle(&bundle).await?;
            target.report(context, &[place]);
            return Ok(());
        }
        let payload = match given {
            Some(payload) => payload,
            None => {
                let repository = target.image.repository().to_string();
                Payload::new(&repository, &target.subject.digest, Default::default()).to_json()
            }
        };
        match Payload::parse(&payload) {
            Ok(parsed) if parsed.digest != target.subject.digest => context.output.warn(&format!(
                "the payload is about {}, and the image is {}: nobody will accept it",
                parsed.digest, target.subject.digest
            )),
            Err(error) => context
                .output
                .warn(&format!("the payload is no simple-signing payload: {}", chain(&error))),
            Ok(_) => {}
        }
        let mut layer = Descriptor::of(MediaType::of_constant(SIMPLE_SIGNING), &payload);
        let mut annotate = |name: &str, value: String| layer.annotations.insert(name.to_owned(), value);
        annotate("dev.cosignproject.cosign/signature", self.signature_text()?);
        if let Some(path) = &self.certificate {
            annotate("dev.sigstore.cosign/certificate", read_text(path)?);
        }
        if let Some(path) = &self.certificate_chain {
            annotate("dev.sigstore.cosign/chain", read_text(path)?);
        }
        if let Some(path) = &self.rekor_response {
            annotate("dev.sigstore.cosign/bundle", log_bundle(path)?.to_string());
        }
        if let Some(path) = &self.tsr {
            let der = base64_encode(&read_file(path)?);
            annotate(
                "dev.sigstore.cosign/rfc3161timestamp",
                json!({ "SignedRFC3161Timestamp": der }).to_string(),
            );
        }
        let signature =
            LegacySignature::read(&layer, &payload).map_err(|error| Failure::usage(error.code(), chain(&error)))?;
        let tag = sig_tag(&target.subject.digest);
        target
            .client
            .append_legacy(target.image.repository(), &tag, &[(signature.layer(), payload.into())])
            .await
            .map_err(registry_failure)?;
        target.report(context, &[format!("tag {tag}")]);
        Ok(())
    }

    fn signature_text(&self) -> Result<String, Failure> {
        let text = match self.signature.as_deref() {
            None => {
                return Err(Failure::usage("signature-missing", "there is no signature to attach")
                    .with_hint("give --signature FILE, or a whole bundle with --payload FILE"));
            }
            Some(path) if path == Path::new("-") => String::from_utf8(read_stdin()?)
                .map_err(|_| Failure::usage("file-not-text", "the signature is to be base64"))?,
            Some(path) => read_text(path)?,
        };
        let text = text.trim().to_owned();
        if text.is_empty() {
            return Err(Failure::usage("signature-missing", "the signature is empty"));
        }
        Ok(text)
    }
}

impl Attestation {
    async fn run(self, context: &Context) -> Result<(), Failure> {
        let target = Target::resolve(&self.image, &self.registry).await?;
        // All are read before any is written.
        let mut documents = Vec::new();
        for path in &self.attestation {
            documents.extend(read_documents(path)?);
        }
        let mut places = Vec::new();
        for document in documents {
            places.push(match document {
                Document::Bundle(bundle) => target.bundle(&bundle).await?,
                Document::Envelope(layer, raw) => {
                    let tag = att_tag(&target.subject.digest);
                    target
                        .client
                        .append_legacy(target.image.repository(), &tag, &[(*layer, raw)])
                        .await
                        .map_err(registry_failure)?;
                    format!("tag {tag}")
                }
            });
        }
        target.report(context, &places);
        Ok(())
    }
}

/// What a file given with `--attestation` holds.
enum Document {
    Bundle(Box<Bundle>),
    Envelope(Box<Descriptor>, Bytes),
}

/// One document, or one a line (in-toto's bundle files).
fn read_documents(path: &Path) -> Result<Vec<Document>, Failure> {
    let bytes = read_file(path)?;
    if let Ok(document) = read_document(&bytes) {
        return Ok(vec![document]);
    }
    let lines = bytes.split(|byte| *byte == b'\n');
    let documents: Vec<Document> = lines
        .filter(|line| !line.iter().all(u8::is_ascii_whitespace))
        .map(read_document)
        .collect::<Result<_, _>>()
        .map_err(|reason| Failure::usage("malformed-attestation", format!("{}: {reason}", path.display())))?;
    if documents.is_empty() {
        return Err(Failure::usage(
            "malformed-attestation",
            format!("{} is empty", path.display()),
        ));
    }
    Ok(documents)
}

fn read_document(bytes: &[u8]) -> Result<Document, String> {
    if let Ok(bundle) = Bundle::parse(bytes) {
        return Ok(Document::Bundle(Box::new(bundle)));
    }
    let envelope =
        Envelope::parse(bytes).map_err(|error| format!("neither a bundle nor an envelope: {}", chain(&error)))?;
    let statement = Statement::parse(&envelope.payload).map_err(|error| chain(&error))?;
    let attestation = LegacyAttestation::new(envelope, &statement.predicate_type);
    Ok(Document::Envelope(
        Box::new(attestation.layer()),
        attestation.raw.into(),
    ))
}

/// The image that something is hung on.
struct Target {
    client: Client,
    image: ImageRef,
    subject: Descriptor,
}

impl Target {
    async fn resolve(image: &str, registry: &RegistryArgs) -> Result<Self, Failure> {
        let image = parse_image(image)?;
        let client = Context::client_for(registry, &[&image])?;
        let subject = client.resolve(&image).await.map_err(registry_failure)?.descriptor;
        Ok(Self { client, image, subject })
    }

    async fn bundle(&self, bundle: &Bundle) -> Result<String, Failure> {
        let digest = attach_bundle(&self.client, self.image.repository(), &self.subject, bundle).await?;
        Ok(format!("referrer {digest}"))
    }

    fn report(&self, context: &Context, places: &[String]) {
        let name = self.image.with_digest(self.subject.digest.clone());
        context.done(
            &format!("{name}: attached, not verified\n  {}", places.join("\n  ")),
            &json!({ "image": self.image, "digest": self.subject.digest, "written": places }),
        );
    }
}

/// The promise of a log in any of the shapes that cosign wrote it in.
fn log_bundle(path: &Path) -> Result<Value, Failure> {
    let malformed = |reason: &str| Failure::usage("malformed-rekor-response", format!("{}: {reason}", path.display()));
    let value: Value = serde_json::from_slice(&read_file(path)?).map_err(|error| malformed(&error.to_string()))?;
    if value.get("SignedEntryTimestamp").is_some() {
        return Ok(value);
    }
    for name in ["rekorBundle", "Bundle", "bundle"] {
        if let Some(inner) = value
            .get(name)
            .filter(|inner| inner.get("SignedEntryTimestamp").is_some())
        {
            return Ok(inner.clone());
        }
    }
    // Rekor's own answer: the entry under its id.
    let entry = value.as_object().and_then(|entries| entries.values().next());
    let entry = entry.filter(|entry| entry.get("body").is_some());
    let promise = entry.and_then(|entry| entry.get("verification")?.get("signedEntryTimestamp"));
    match (entry, promise) {
        (Some(entry), Some(promise)) => Ok(json!({
            "SignedEntryTimestamp": promise,
            "Payload": {
                "body": entry["body"], "integratedTime": entry["integratedTime"],
                "logIndex": entry["logIndex"], "logID": entry["logID"],
            },
        })),
        _ => Err(malformed(
            "expected a log's promise (\"SignedEntryTimestamp\" and \"Payload\", alone or as \"rekorBundle\"), or Rekor's answer",
        )),
    }
}

/// All of standard input, bounded.
fn read_stdin() -> Result<Vec<u8>, Failure> {
    const MAX_BYTES: u64 = 128 * 1024 * 1024;
    let mut bytes = Vec::new();
    std::io::stdin()
        .lock()
        .take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::usage("file-unreadable", format!("standard input: {error}")))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Failure::usage(
            "file-too-large",
            format!("standard input has more than {MAX_BYTES} bytes"),
        ));
    }
    Ok(bytes)
}
