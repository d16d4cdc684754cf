//! `attest`: state something about an image, signed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use proofmark_evidence::layout::{PREDICATE_TYPE_ANNOTATION, att_tag};
use proofmark_evidence::statement::Statement;
use proofmark_oci::{Descriptor, Manifest};
use proofmark_registry::{Attachment, Client, Place};
use proofmark_types::{Digest, Repository};
use serde_json::json;

use crate::args::{ReferrersMode, RegistryArgs, SigningArgs};
use crate::context::{Context, parse_image, read_file, registry_failure, write_file};
use crate::failure::{Exit, Failure, chain};
use crate::hanging::whole;
use crate::signing::{Hand, Keeping, Placed, Subject};
use crate::verb::verify_attestation::predicate_type;

/// State something about an image, signed
#[derive(Args, Debug)]
pub(crate) struct Attest {
    /// The image
    image: String,

    /// What is stated (JSON file, - for standard input)
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with = "statement",
        required_unless_present = "statement"
    )]
    predicate: Option<PathBuf>,

    /// A whole in-toto statement about the image (JSON file, - for standard input)
    #[arg(long, value_name = "FILE")]
    statement: Option<PathBuf>,

    /// Of which type it is: slsaprovenance1, spdxjson, cyclonedx, vuln, openvex, custom, … or a URI
    #[arg(long = "type", default_value = "custom", value_name = "TYPE")]
    kind: String,

    /// Sign, print the envelope, and keep it out of the registry
    #[arg(long)]
    no_upload: bool,

    /// Write everything that verifying takes to this file
    #[arg(long, value_name = "FILE")]
    bundle: Option<PathBuf>,

    /// Remove earlier bundles with attestations of the type, whoever signed them
    #[arg(long)]
    replace: bool,

    /// Which entry the log makes is decided by the log; this changes nothing
    #[arg(long, value_name = "TYPE")]
    rekor_entry_type: Option<String>,

    /// Bundles say when they were made; .att images never do, and this changes nothing
    #[arg(long)]
    record_creation_timestamp: bool,

    #[command(flatten)]
    signing: SigningArgs,

    #[command(flatten)]
    registry: RegistryArgs,
}

impl Attest {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        if self.rekor_entry_type.is_some() {
            context
                .output
                .note("note: --rekor-entry-type: the entry is of the type that the log's version has for envelopes");
        }
        let image = parse_image(&self.image)?;
        let client = Context::client_for(&self.registry, &[&image])?;
        let document = self.document()?;
        let resolved = client.resolve(&image).await.map_err(registry_failure)?;
        let subject = resolved.descriptor;
        let statement = self.state(&document, image.repository(), &subject)?;
        let hand = Hand::from_flags(context, &self.signing).await?;
        let earlier = if self.replace {
            replaced(&client, image.repository(), &subject, &statement).await?
        } else {
            Earlier::default()
        };
        let place = Subject {
            client: &client,
            repository: image.repository(),
            descriptor: &subject,
        };
        let keeping = Keeping {
            upload: !self.no_upload,
            mode: ReferrersMode::Legacy,
        };
        let placed = hand.attest_image(place, &statement, keeping).await?;
        if keeping.upload {
            earlier.remove(&client, image.repository(), &subject, &placed).await?;
        }
        if let Some(path) = &self.bundle {
            write_file(path, &placed.bundle_json())?;
        }
        if self.no_upload {
            context.output.document(&envelope(&placed)?);
            return Ok(());
        }
        let name = image.with_digest(subject.digest.clone());
        let text = format!("{name}: attested {}\n  {}", statement.predicate_type, placed.line());
        if context.manner.is_cosign() {
            context.output.note(&text);
        } else {
            context.output.result(
                &text,
                &json!({
                    "image": image, "digest": subject.digest, "predicateType": statement.predicate_type.as_str(),
                    "written": placed.line(), "removed": earlier.bundles.len() + earlier.layers.len(),
                }),
            );
        }
        Ok(())
    }

    fn document(&self) -> Result<Vec<u8>, Failure> {
        let path = self.predicate.as_deref().or(self.statement.as_deref());
        match path {
            Some(path) if path == Path::new("-") => read_standard_input(),
            Some(path) => read_file(path),
            None => Err(Failure::usage("command-line", "--predicate or --statement is needed")),
        }
    }

    /// The statement: the one that is given, or a new one around the predicate.
    fn state(&self, document: &[u8], repository: &Repository, subject: &Descriptor) -> Result<Statement, Failure> {
        let unusable =
            |error: proofmark_evidence::statement::StatementError| Failure::usage(error.code(), chain(&error));
        if self.statement.is_some() {
            let statement = Statement::parse(document).map_err(unusable)?;
            if !statement.subjects.iter().any(|named| named.is(&subject.digest)) {
                return Err(Failure::usage(
                    "statement-of-another-image",
                    format!("the statement names no subject with the digest {}", subject.digest),
                ));
            }
            return Ok(statement);
        }
        let predicate = serde_json::from_slice(document).map_err(|error| {
            let name = self.predicate.as_deref().unwrap_or_else(|| Path::new("-")).display();
            Failure::usage("predicate-not-json", format!("{name} is not JSON: {error}"))
        })?;
        let kind = predicate_type(&self.kind)?;
        let statement = Statement::attestation(&repository.to_string(), &subject.digest, kind, predicate);
        // What is written is parsed as a reader will: a statement that we could not read back is not signed.
        Statement::parse(&statement.to_json()).map_err(unusable)
    }
}

fn read_standard_input() -> Result<Vec<u8>, Failure> {
    use std::io::Read as _;
    /// As for files that the command line names.
    const MAX_BYTES: u64 = 32 * 1024 * 1024;
    let mut bytes = Vec::new();
    let failure = |message: String| Failure::usage("file-unreadable", message);
    std::io::stdin()
        .lock()
        .take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| failure(format!("cannot read standard input: {error}")))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Failure::usage(
            "file-too-large",
            format!("standard input has more than {MAX_BYTES} bytes"),
        ));
    }
    Ok(bytes)
}

/// The envelope alone, as cosign prints it for `--no-upload`.
fn envelope(placed: &Placed) -> Result<Vec<u8>, Failure> {
    let bundle = placed.bundle.as_ref().and_then(|bundle| bundle.envelope());
    match (bundle, &placed.attestation) {
        (Some(envelope), _) => Ok(envelope.to_json()),
        (None, Some(attestation)) => Ok(attestation.raw.clone()),
        (None, None) => Err(Failure::new(Exit::Undecided, "internal", "nothing was signed")),
    }
}

/// What the new one takes the place of.
#[derive(Default)]
struct Earlier {
    bundles: Vec<Attachment>,
    /// Layers of the `.att` image.
    layers: Vec<Digest>,
}

impl Earlier {
    /// Once the new one is there. What was signed now may be, to the byte, what was signed before; that stays.
    async fn remove(
        &self,
        client: &Client,
        repository: &Repository,
        subject: &Descriptor,
        placed: &Placed,
    ) -> Result<(), Failure> {
        for attachment in &self.bundles {
            client
                .remove(client.evidence_home(repository), attachment)
                .await
                .map_err(registry_failure)?;
        }
        let new = placed.attestation.as_ref().map(|written| written.layer().digest);
        let gone: Vec<Digest> = self
            .layers
            .iter()
            .filter(|layer| Some(*layer) != new.as_ref())
            .cloned()
            .collect();
        client
            .remove_legacy(repository, &att_tag(&subject.digest), &gone)
            .await
            .map_err(registry_failure)
    }
}

/// Finds it, by the type that annotations claim, as cosign does. A list that could not be read whole replaces nothing: what
/// it does not show would stay, and be believed to be gone.
async fn replaced(
    client: &Client,
    repository: &Repository,
    subject: &Descriptor,
    statement: &Statement,
) -> Result<Earlier, Failure> {
    let attachments = client
        .attachments(repository, &subject.digest)
        .await
        .map_err(registry_failure)?;
    whole(&attachments.incomplete)?;
    let claims = |annotations: &BTreeMap<String, String>, name: &str| {
        annotations.get(name).map(String::as_str) == Some(statement.predicate_type.as_str())
    };
    let mut earlier = Earlier::default();
    for attachment in attachments.found {
        if attachment.subject != subject.digest {
            continue;
        }
        match (attachment.place, attachment.resolved.parse()) {
            (Place::Referrer, Ok(manifest)) if claims(manifest.annotations(), PREDICATE_TYPE_ANNOTATION) => {
                earlier.bundles.push(attachment);
            }
            (Place::Attestations, Ok(Manifest::Image(image))) => {
                let same = image
                    .layers
                    .into_iter()
                    .filter(|layer| claims(&layer.annotations, "predicateType"));
                earlier.layers.extend(same.map(|layer| layer.digest));
            }
            _ => {}
        }
    }
    Ok(earlier)
}
