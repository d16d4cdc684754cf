//! `sign`: put a signature on an image, and with `-r` on every image of an index.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use proofmark_evidence::encoding::base64_encode;
use proofmark_evidence::simple_signing::Payload;
use proofmark_registry::{Client, ImageSource};
use proofmark_types::{Digest, ImageRef};
use serde_json::{Value, json};

use crate::args::{Annotations, ReferrersMode, ReferrersModeArgs, RegistryArgs, SigningArgs, annotation};
use crate::context::{Context, parse_images, read_file, variable};
use crate::failure::{Failure, chain};
use crate::images::descend;
use crate::signing::{Hand, Keeping, Placed, Subject, write_output};

/// Sign an image
#[derive(Args, Debug)]
pub(crate) struct Sign {
    /// The images; by digest where it matters, a tag is resolved once
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,

    /// Put this under the signature
    #[arg(long = "annotations", short = 'a', value_name = "KEY=VALUE", value_parser = annotation)]
    annotations: Vec<Annotations>,

    /// Sign the images of an index too
    #[arg(short = 'r', long)]
    recursive: bool,

    /// With =false: sign, and keep the signature out of the registry
    #[arg(long, default_value_t = true)]
    upload: bool,

    /// Write everything that verifying takes to this file
    #[arg(long, value_name = "FILE")]
    bundle: Option<PathBuf>,

    /// Write the bare signature, in base64, to this file
    #[arg(long, value_name = "FILE")]
    output_signature: Option<PathBuf>,

    /// Write the certificate, or the public key of a key, to this file
    #[arg(long, alias = "output-cert", value_name = "FILE")]
    output_certificate: Option<PathBuf>,

    /// Write what was signed to this file
    #[arg(long, value_name = "FILE")]
    output_payload: Option<PathBuf>,

    /// Sign this payload, which cosign wrote, in place of a new one (with --new-bundle-format=false)
    #[arg(long, value_name = "FILE")]
    payload: Option<PathBuf>,

    /// Sign under these names, for readers behind a mirror (with --new-bundle-format=false or --also-legacy)
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    sign_container_identity: Vec<String>,

    /// Bundles say when they were made; .sig images never do, and this changes nothing
    #[arg(long)]
    record_creation_timestamp: bool,

    /// Another artifact of the image instead of the image; not supported: name its digest
    #[arg(long, value_name = "KIND")]
    attachment: Option<String>,

    #[command(flatten)]
    mode: ReferrersModeArgs,

    #[command(flatten)]
    signing: SigningArgs,

    #[command(flatten)]
    registry: RegistryArgs,
}

impl Sign {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let keeping = self.keeping(context)?;
        let images = parse_images(&self.images)?;
        let client = Context::client_for(&self.registry, &images.iter().collect::<Vec<_>>())?;
        let hand = Hand::from_flags(context, &self.signing).await?;
        let mut text = String::new();
        let mut values = Vec::new();
        for image in &images {
            let tree = descend(&ImageSource::registry(&client, image)).await?;
            let subjects = if self.recursive {
                tree.all()
            } else {
                vec![tree.root.clone()]
            };
            for descriptor in subjects {
                let (line, value) = self.sign(&hand, &client, image, &descriptor, keeping).await?;
                let _ = writeln!(text, "{line}");
                values.push(value);
            }
        }
        // cosign says what it does on standard error, and nothing on standard output.
        if context.manner.is_cosign() {
            context.output.note(text.trim_end());
        } else {
            context.output.result(&text, &values);
        }
        Ok(())
    }

    /// What can be asked together, and what cannot.
    fn keeping(&self, context: &Context) -> Result<Keeping, Failure> {
        if self.attachment.is_some() {
            return Err(Failure::usage(
                "flag-not-supported",
                "--attachment: what hangs on an image has a digest of its own",
            )
            .with_hint("`tree` shows it; sign it by that digest"));
        }
        let legacy = !self.signing.new_bundle_format || self.signing.also_legacy;
        let of_legacy = [
            ("--payload", self.payload.is_some()),
            ("--sign-container-identity", !self.sign_container_identity.is_empty()),
        ];
        if let Some((flag, _)) = of_legacy.iter().find(|(_, given)| *given && !legacy) {
            return Err(Failure::usage(
                "flag-needs-legacy",
                format!("{flag} is about cosign's .sig images, and none is written"),
            )
            .with_hint("--new-bundle-format=false or --also-legacy writes one"));
        }
        if self.record_creation_timestamp && legacy {
            context
                .output
                .note("note: --record-creation-timestamp: .sig images are written without a time");
        }
        let mode = self.mode.registry_referrers_mode.unwrap_or_default();
        if mode == ReferrersMode::Oci11 && variable("COSIGN_EXPERIMENTAL").as_deref() != Some("1") {
            return Err(Failure::usage(
                "experimental",
                "--registry-referrers-mode=oci-1-1 is an experiment of cosign's that few clients read",
            )
            .with_hint("set COSIGN_EXPERIMENTAL=1 to write it all the same; bundles are referrers without it"));
        }
        Ok(Keeping {
            upload: self.upload,
            mode,
        })
    }

    async fn sign(
        &self,
        hand: &Hand,
        client: &Client,
        image: &ImageRef,
        descriptor: &proofmark_oci::Descriptor,
        keeping: Keeping,
    ) -> Result<(String, Value), Failure> {
        let annotations: BTreeMap<String, String> = Annotations::flatten(&self.annotations).collect();
        let payloads = self.payloads(image, &descriptor.digest, &annotations)?;
        let subject = Subject {
            client,
            repository: image.repository(),
            descriptor,
        };
        let placed = hand.sign_image(subject, annotations, &payloads, keeping).await?;
        self.write_files(hand, &placed, &descriptor.digest)?;
        let name = image.with_digest(descriptor.digest.clone());
        Ok((
            format!("{name}: signed\n  {}", placed.line()),
            json!({ "image": name, "digest": descriptor.digest, "written": placed.line() }),
        ))
    }

    /// The payloads of the `.sig` image: one for each name.
    fn payloads(
        &self,
        image: &ImageRef,
        digest: &Digest,
        annotations: &BTreeMap<String, String>,
    ) -> Result<Vec<Payload>, Failure> {
        if let Some(path) = &self.payload {
            let bytes = read_file(path)?;
            let payload = Payload::parse(&bytes)
                .map_err(|error| Failure::usage(error.code(), format!("{}: {}", path.display(), chain(&error))))?;
            if payload.to_json() != bytes {
                return Err(Failure::usage(
                    "payload-not-cosigns",
                    format!("{} is not written as cosign writes it, byte by byte", path.display()),
                ));
            }
            if payload.digest != *digest {
                return Err(Failure::usage(
                    "payload-of-another-image",
                    format!(
                        "{} is about {}, and {digest} is to be signed",
                        path.display(),
                        payload.digest
                    ),
                ));
            }
            return Ok(vec![payload]);
        }
        let own = [image.repository().to_string()];
        let names = match self.sign_container_identity.as_slice() {
            [] => own.as_slice(),
            given => given,
        };
        Ok(names
            .iter()
            .map(|name| Payload::new(name, digest, annotations.clone()))
            .collect())
    }

    fn write_files(&self, hand: &Hand, placed: &Placed, digest: &Digest) -> Result<(), Failure> {
        let several = self.recursive || self.images.len() > 1;
        let write = |path: &Option<PathBuf>, bytes: &[u8]| write_output(path.as_deref(), several, digest, bytes);
        write(&self.bundle, &placed.bundle_json())?;
        write(&self.output_signature, placed.signatures_base64().as_bytes())?;
        write(&self.output_payload, &placed.payloads())?;
        let certificate = match placed.certificate() {
            Some(der) => pem(der),
            None => hand.public_key().to_pem(),
        };
        write(&self.output_certificate, certificate.as_bytes())
    }
}

fn pem(der: &[u8]) -> String {
    let mut text = "-----BEGIN CERTIFICATE-----\n".to_owned();
    let body = base64_encode(der);
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str("-----END CERTIFICATE-----\n");
    text
}
