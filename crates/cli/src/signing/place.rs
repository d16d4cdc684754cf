//! Where a signature goes: hung on its subject as a bundle, as cosign's older tags, into files, or nowhere.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use proofmark_evidence::bundle::Bundle;
use proofmark_evidence::encoding::base64_encode;
use proofmark_evidence::layout::{COSIGN_SIGNATURE_ARTIFACT, att_tag, sig_tag};
use proofmark_evidence::legacy::{self, Detached, DetachedContent, LegacyAttestation, LegacySignature};
use proofmark_evidence::simple_signing::Payload;
use proofmark_evidence::statement::Statement;
use proofmark_oci::Descriptor;
use proofmark_registry::Client;
use proofmark_types::{Digest, MediaType, Repository};

use super::{Hand, attach_bundle, sign_failure};
use crate::args::ReferrersMode;
use crate::context::{registry_failure, write_file};
use crate::failure::Failure;

/// How what is signed is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keeping {
    /// Into the registry at all.
    pub(crate) upload: bool,
    /// How what is older than bundles hangs on the image.
    pub(crate) mode: ReferrersMode,
}

/// What was signed, in every form that was asked for.
#[derive(Debug, Default)]
pub(crate) struct Placed {
    /// Where it is, in words.
    pub(crate) places: Vec<String>,
    pub(crate) bundle: Option<Bundle>,
    pub(crate) signatures: Vec<LegacySignature>,
    pub(crate) attestation: Option<LegacyAttestation>,
}

impl Placed {
    /// In one line.
    pub(crate) fn line(&self) -> String {
        if self.places.is_empty() {
            return "not uploaded".to_owned();
        }
        self.places.join(", ")
    }

    /// What `--bundle` writes: the bundle, or what cosign wrote before there were any.
    pub(crate) fn bundle_json(&self) -> Vec<u8> {
        if let Some(bundle) = &self.bundle {
            return bundle.to_json();
        }
        let lines: Vec<Vec<u8>> = self
            .signatures
            .iter()
            .map(|signature| {
                Detached {
                    content: DetachedContent::Signature(signature.signature.clone()),
                    certificate: signature.certificate.clone(),
                    chain: signature.chain.clone(),
                    log_bundle: signature.log_bundle.clone(),
                    timestamp: signature.timestamp.clone(),
                }
                .to_bundle_json()
            })
            .chain(self.attestation.iter().map(|attestation| attestation.raw.clone()))
            .collect();
        lines.join(&b'\n')
    }

    /// The bare signatures in base64, one a line.
    pub(crate) fn signatures_base64(&self) -> String {
        let bare: Vec<String> = match &self.bundle {
            Some(bundle) => vec![base64_encode(bundle.content.signature())],
            None => self
                .signatures
                .iter()
                .map(|signature| base64_encode(&signature.signature))
                .collect(),
        };
        bare.join("\n")
    }

    /// The bytes that were signed, one payload a line.
    pub(crate) fn payloads(&self) -> Vec<u8> {
        match self.bundle.as_ref().and_then(Bundle::envelope) {
            Some(envelope) => envelope.payload.clone(),
            None => self
                .signatures
                .iter()
                .map(|signature| signature.payload.clone())
                .collect::<Vec<_>>()
                .join(&b'\n'),
        }
    }

    /// The certificate, DER, if there is one.
    pub(crate) fn certificate(&self) -> Option<&[u8]> {
        match &self.bundle {
            Some(bundle) => bundle.material.key.leaf(),
            None => self
                .signatures
                .first()
                .and_then(|signature| signature.certificate.as_deref()),
        }
    }
}

/// An image, and where it is.
#[derive(Clone, Copy)]
pub(crate) struct Subject<'s> {
    pub(crate) client: &'s Client,
    pub(crate) repository: &'s Repository,
    pub(crate) descriptor: &'s Descriptor,
}

impl Hand {
    /// Signs an image: `annotations` under the signature, as a bundle or as cosign's `.sig`, as this hand keeps things.
    /// `identities` are the names that the image is signed under where that is written (`.sig` only).
    pub(crate) async fn sign_image(
        &self,
        subject: Subject<'_>,
        annotations: BTreeMap<String, String>,
        payloads: &[Payload],
        keeping: Keeping,
    ) -> Result<Placed, Failure> {
        let mut placed = Placed::default();
        if self.bundles {
            let statement = Statement::signature(&subject.descriptor.digest, annotations);
            let bundle = self.signer.sign_statement(&statement).await.map_err(sign_failure)?;
            self.keep_bundle(subject, bundle, keeping, &mut placed).await?;
        }
        if self.also_legacy || !self.bundles {
            for payload in payloads {
                let signed = self.signer.sign_payload(payload).await.map_err(sign_failure)?;
                if keeping.upload {
                    placed
                        .places
                        .push(keep_signature(subject, &signed, keeping.mode).await?);
                }
                placed.signatures.push(signed);
            }
        }
        Ok(placed)
    }

    /// States something about an image, as a bundle or as cosign's `.att`.
    pub(crate) async fn attest_image(
        &self,
        subject: Subject<'_>,
        statement: &Statement,
        keeping: Keeping,
    ) -> Result<Placed, Failure> {
        let mut placed = Placed::default();
        if self.bundles {
            let bundle = self.signer.sign_statement(statement).await.map_err(sign_failure)?;
            self.keep_bundle(subject, bundle, keeping, &mut placed).await?;
        }
        if self.also_legacy || !self.bundles {
            let signed = self
                .signer
                .sign_legacy_attestation(statement)
                .await
                .map_err(sign_failure)?;
            if keeping.upload {
                let tag = att_tag(&subject.descriptor.digest);
                subject
                    .client
                    .append_legacy(
                        subject.repository,
                        &tag,
                        &[(signed.layer(), Bytes::from(signed.raw.clone()))],
                    )
                    .await
                    .map_err(registry_failure)?;
                placed.places.push(format!("tag {tag}"));
            }
            placed.attestation = Some(signed);
        }
        Ok(placed)
    }

    async fn keep_bundle(
        &self,
        subject: Subject<'_>,
        bundle: Bundle,
        keeping: Keeping,
        placed: &mut Placed,
    ) -> Result<(), Failure> {
        if keeping.upload {
            let digest = attach_bundle(subject.client, subject.repository, subject.descriptor, &bundle).await?;
            placed.places.push(format!("referrer {digest}"));
        }
        placed.bundle = Some(bundle);
        Ok(())
    }
}

async fn keep_signature(
    subject: Subject<'_>,
    signed: &LegacySignature,
    mode: ReferrersMode,
) -> Result<String, Failure> {
    let layer = (signed.layer(), Bytes::from(signed.payload.clone()));
    if mode == ReferrersMode::Oci11 {
        return keep_as_referrer(subject, layer).await;
    }
    let tag = sig_tag(&subject.descriptor.digest);
    subject
        .client
        .append_legacy(subject.repository, &tag, &[layer])
        .await
        .map_err(registry_failure)?;
    Ok(format!("tag {tag}"))
}

/// cosign's experiment with OCI 1.1: the image of a `.sig` tag, hung on its subject. Its artifact type is written too,
/// which cosign does since July 2026 and without which other clients do not find it.
async fn keep_as_referrer(subject: Subject<'_>, layer: (Descriptor, Bytes)) -> Result<String, Failure> {
    let (mut manifest, config) = legacy::image(vec![layer.0]);
    let kind = MediaType::parse(COSIGN_SIGNATURE_ARTIFACT).map_err(anyhow::Error::from)?;
    manifest.config.media_type = kind.clone();
    manifest.artifact_type = Some(kind);
    manifest.subject = Some(Descriptor {
        annotations: BTreeMap::new(),
        platform: None,
        ..subject.descriptor.clone()
    });
    let digest: Digest = subject
        .client
        .attach(
            subject.repository,
            subject.descriptor,
            &manifest,
            &[Bytes::from(config), layer.1],
        )
        .await
        .map_err(registry_failure)?;
    Ok(format!("referrer {digest}"))
}

/// Writes one of the files that flags name; with several images the digest is in its name, as in cosign.
pub(crate) fn write_output(path: Option<&Path>, several: bool, digest: &Digest, bytes: &[u8]) -> Result<(), Failure> {
    let Some(path) = path else { return Ok(()) };
    if !several {
        return write_file(path, bytes);
    }
    let name = format!("{}-{}", path.display(), digest.to_string().replace(':', "-"));
    write_file(Path::new(&name), bytes)
}
