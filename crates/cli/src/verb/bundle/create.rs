//! `bundle create`: a Sigstore bundle of a signature and what came beside it.

use std::path::PathBuf;

use clap::Args;
use proofmark_evidence::legacy::Detached;
use proofmark_types::KeyReference;
use proofmark_verify::{CertificateClaims, KeyAlgorithm, PublicKey, Verifier};

use super::{as_v03, hint, of_detached};
use crate::blobs::{Blob, Evidence, Need, unreadable};
use crate::checking::security_key;
use crate::context::{Context, read_file};
use crate::failure::{Exit, Failure};
use crate::keys::public_key;
use crate::verb::verify_blob::Given;

/// Make a Sigstore bundle of a signature and what came beside it
#[derive(Args, Debug)]
pub(crate) struct Create {
    /// The file that is signed; - for standard input
    #[arg(long, value_name = "FILE")]
    artifact: String,

    /// cosign's older bundle
    #[arg(long, value_name = "FILE")]
    bundle: Option<PathBuf>,

    /// The signature (file, in base64 or not)
    #[arg(long, value_name = "FILE", conflicts_with = "attestation")]
    signature: Option<String>,

    /// The attestation (file with the envelope)
    #[arg(long, value_name = "FILE")]
    attestation: Option<String>,

    /// The certificate of the signature (PEM, base64 of PEM, or DER file)
    #[arg(long, alias = "cert", value_name = "FILE", conflicts_with = "key")]
    certificate: Option<PathBuf>,

    /// The public key of the signature: file, https URL, env://NAME, k8s://NAMESPACE/NAME, pkcs11:…, awskms://…, …
    #[arg(long, value_name = "KEY")]
    key: Option<KeyReference>,

    /// A security key (PIV); not supported: use pkcs11: with the token's module
    #[arg(long)]
    sk: bool,

    /// Slot of the security key
    #[arg(long, value_name = "SLOT")]
    slot: Option<String>,

    /// The RFC 3161 timestamp (file)
    #[arg(long, value_name = "FILE")]
    rfc3161_timestamp: Option<PathBuf>,

    /// Make a bundle without log entries
    #[arg(long)]
    ignore_tlog: bool,

    /// The transparency log; none is asked, this changes nothing
    #[arg(long, value_name = "URL")]
    rekor_url: Option<String>,

    /// Write the bundle to this file instead of standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Create {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        if self.sk || self.slot.is_some() {
            return Err(security_key());
        }
        let mut detached = self.evidence()?;
        if self.ignore_tlog {
            detached.log_bundle = None;
        } else if detached.log_bundle.is_none() {
            return Err(Failure::usage(
                "log-entry-missing",
                "there is no log entry among what is given, and no log is asked for one",
            )
            .with_hint("--ignore-tlog makes a bundle without one"));
        }
        let key = match (&self.key, &detached.certificate) {
            (Some(reference), None) => public_key(context, reference).await?,
            (None, Some(der)) => CertificateClaims::read(der)
                .ok()
                .and_then(|claims| claims.key)
                .ok_or_else(|| Failure::usage("certificate-malformed", "the certificate is not usable"))?,
            (Some(_), Some(_)) => {
                return Err(Failure::usage(
                    "two-signers",
                    "a key and a certificate are both given, and one signature has one signer",
                ));
            }
            (None, None) => {
                return Err(Failure::usage("no-signer", "nothing says who signed")
                    .with_hint("give --key KEY or --certificate FILE"));
            }
        };
        let need = Need {
            hashes: Vec::new(),
            bytes: key.algorithm() == KeyAlgorithm::Ed25519,
        };
        let blob = Blob::read(&self.artifact, need)?;
        let bundle = of_detached(detached, Some(blob.digest()), Some(hint(&key)));
        check(&blob, &Evidence::Bundle(Box::new(bundle.clone())), key)?;
        let bundle = as_v03(context, bundle)?;
        super::upgrade::put(context, self.out.as_deref(), &bundle.to_json())
    }

    fn evidence(&self) -> Result<Detached, Failure> {
        let attestation = match (&self.bundle, &self.attestation) {
            (_, Some(_)) => true,
            (Some(path), None) => Detached::attestation_bundle(&read_file(path)?).is_ok(),
            (None, None) => false,
        };
        let given = Given {
            bundle: self.bundle.as_deref(),
            signature: self.signature.as_deref().or(self.attestation.as_deref()),
            timestamp: self.rfc3161_timestamp.as_deref(),
            certificate: self.certificate.as_deref(),
            attestation,
        };
        match given.read()? {
            Evidence::Detached(detached) => Ok(*detached),
            Evidence::Bundle(_) => Err(Failure::usage("bundle-already", "it is a Sigstore bundle already")
                .with_hint("`bundle upgrade` writes one of an older version as v0.3")),
        }
    }
}

/// Parts that do not belong together make no bundle. Whether the signer is to be believed is for those who verify.
fn check(blob: &Blob, evidence: &Evidence, key: PublicKey) -> Result<(), Failure> {
    let proofs = evidence.verify(&Verifier::new().with_key(key), &blob.artifact(), Context::now());
    match proofs.rejections().first() {
        None => Ok(()),
        Some(rejection) => Err(unreadable(
            "what is given",
            rejection.reason.code(),
            &rejection.reason,
            false,
        )),
    }
    .and_then(|()| {
        if proofs.proofs().is_empty() {
            Err(Failure::new(
                Exit::NoneAcceptable,
                "no-signature",
                "what is given holds no signature",
            ))
        } else {
            Ok(())
        }
    })
}
