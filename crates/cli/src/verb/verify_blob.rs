//! `verify-blob`: is there an acceptable signature on the file?

use std::path::{Path, PathBuf};

use clap::Args;
use proofmark_evidence::legacy::{Detached, LegacyError};
use proofmark_policy::Wanted;
use proofmark_types::Digest;
use proofmark_verify::Proof;
use serde_json::{Value, json};

use crate::args::{SignerArgs, TrustArgs};
use crate::blobs::{Blob, Evidence, Need, accepted, unreadable};
use crate::checking::Wish;
use crate::context::{Context, read_file};
use crate::failure::Failure;
use crate::report;
use crate::trusting;

/// Check the signature on a file
#[derive(Args, Debug)]
pub(crate) struct VerifyBlob {
    /// The file; - for standard input, or its digest as sha256:HEX
    #[arg(value_name = "FILE")]
    blob: String,

    /// The bundle with the signature and all that vouches for it: Sigstore's, of any version, or cosign's older one
    #[arg(long, value_name = "FILE")]
    bundle: Option<PathBuf>,

    /// The signature alone: a file with it, in base64 or not, or the base64 itself
    #[arg(long, value_name = "FILE|BASE64")]
    signature: Option<String>,

    /// An RFC 3161 timestamp over that signature (file)
    #[arg(long, value_name = "FILE")]
    rfc3161_timestamp: Option<PathBuf>,

    /// Take an attestation about the file for a signature on it, as cosign 3.1 does
    #[arg(long)]
    accept_any_bundle: bool,

    #[command(flatten)]
    signer: SignerArgs,

    #[command(flatten)]
    trust: TrustArgs,
}

impl VerifyBlob {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let given = Given {
            bundle: self.bundle.as_deref(),
            signature: self.signature.as_deref(),
            timestamp: self.rfc3161_timestamp.as_deref(),
            certificate: self.signer.certificate.as_deref(),
            attestation: false,
        };
        let evidence = given.read()?;
        let what = Wanted::Signature {
            accept_any_bundle: self.accept_any_bundle,
        };
        let wish = wish(context, what, &self.signer, &self.trust).await?;
        let blob = Blob::read_or_digest(&self.blob, Need::to_verify(&wish.verifier, &evidence))?;
        check(context, &blob, &evidence, &wish, "signatures", report::proof_json)
    }
}

/// Reads the flags; the certificate among them belongs to the signature.
pub(crate) async fn wish(
    context: &Context,
    what: Wanted,
    signer: &SignerArgs,
    trust: &TrustArgs,
) -> Result<Wish, Failure> {
    let signer = SignerArgs {
        certificate: None,
        ..signer.clone()
    };
    Wish::from_flags(context, what, &signer, trust).await
}

/// Verifies what comes with `blob`, holds it against the wish, and says what was checked.
pub(crate) fn check(
    context: &Context,
    blob: &Blob,
    evidence: &Evidence,
    wish: &Wish,
    called: &str,
    proof_json: impl Fn(&Proof) -> Value,
) -> Result<(), Failure> {
    let proofs = evidence.verify(&wish.verifier, &blob.artifact(), Context::now());
    let trusted = accepted(&blob.name, &wish.requirement, &proofs)?;
    let digest = blob.digest();
    let mut text = head(&blob.name, &digest);
    for proof in &trusted {
        text.push_str(&report::proof_text(proof));
    }
    let (trust_line, trust_root) = trusting::used();
    text.push_str(&trust_line);
    // cosign's word, where cosign says it.
    context.output.note("Verified OK");
    context.done(
        &text,
        &json!({
            "file": blob.name, "digest": digest, "verdict": "pass", "trustRoot": trust_root,
            called: trusted.iter().map(|proof| proof_json(proof)).collect::<Vec<_>>(),
        }),
    );
    Ok(())
}

fn head(name: &str, digest: &Digest) -> String {
    if name == digest.to_string() {
        format!("{name}: verified\n")
    } else {
        format!("{name}: verified, {digest}\n")
    }
}

/// Where the flags say that the signature is.
pub(crate) struct Given<'g> {
    pub(crate) bundle: Option<&'g Path>,
    pub(crate) signature: Option<&'g str>,
    pub(crate) timestamp: Option<&'g Path>,
    pub(crate) certificate: Option<&'g Path>,
    pub(crate) attestation: bool,
}

impl Given<'_> {
    pub(crate) fn read(&self) -> Result<Evidence, Failure> {
        let evidence = match (self.bundle, self.signature) {
            (Some(path), signature) => {
                let bundle = Evidence::of_bundle(&path.display().to_string(), &read_file(path)?, self.attestation)?;
                match (bundle, signature) {
                    (bundle, None) => bundle,
                    (Evidence::Detached(bundle), Some(text)) => {
                        // The signature of the flag, with what the bundle says of it: the verifier finds out whether
                        // they belong together.
                        let content = self.signature(text)?.content;
                        Evidence::Detached(Box::new(Detached { content, ..*bundle }))
                    }
                    (Evidence::Bundle(_), Some(_)) => return Err(of_bundle("--signature")),
                }
            }
            (None, Some(text)) => Evidence::Detached(Box::new(self.signature(text)?)),
            (None, None) => {
                return Err(
                    Failure::usage("no-signature-given", "nothing says where the signature is")
                        .with_hint("give --bundle FILE, or --signature FILE"),
                );
            }
        };
        match evidence {
            Evidence::Bundle(_) if self.timestamp.is_some() => Err(of_bundle("--rfc3161-timestamp")),
            Evidence::Bundle(_) if self.certificate.is_some() => Err(of_bundle("--certificate")),
            Evidence::Bundle(bundle) => Ok(Evidence::Bundle(bundle)),
            Evidence::Detached(detached) => self.complete(*detached).map(|all| Evidence::Detached(Box::new(all))),
        }
    }

    fn signature(&self, text: &str) -> Result<Detached, Failure> {
        let path = Path::new(text);
        let bytes = if path.exists() || self.attestation {
            read_file(path)?
        } else {
            text.as_bytes().to_vec()
        };
        let read = if self.attestation {
            Detached::attestation(&bytes)
        } else if !path.exists() && proofmark_evidence::encoding::base64_decode(text.trim()).is_none() {
            // Not a file, and not base64: a name that is wrong, more likely than a raw signature on a command line.
            return Err(Failure::usage(
                "file-unreadable",
                format!("cannot read {text}: no such file, and it is not base64 either"),
            ));
        } else {
            Detached::signature(&bytes)
        };
        read.map_err(|error| unreadable("--signature", error.code(), &error, self.attestation))
    }

    /// Adds the files that come beside the signature.
    fn complete(&self, mut detached: Detached) -> Result<Detached, Failure> {
        let failed = |what: &str, error: LegacyError| unreadable(what, error.code(), &error, self.attestation);
        if let Some(path) = self.certificate {
            let name = path.display().to_string();
            let own = detached.certificate.take();
            detached = detached
                .with_certificate(&read_file(path)?)
                .map_err(|error| failed(&name, error))?;
            if own.is_some() && own != detached.certificate {
                return Err(Failure::usage(
                    "two-certificates",
                    format!("the certificate in {name} is not the one in the bundle"),
                ));
            }
        }
        if let Some(path) = self.timestamp {
            let name = path.display().to_string();
            detached = detached
                .with_timestamp(&read_file(path)?)
                .map_err(|error| failed(&name, error))?;
        }
        Ok(detached)
    }
}

fn of_bundle(flag: &str) -> Failure {
    Failure::usage(
        "bundle-has-it",
        format!("{flag} is given, and the bundle has its own, which is the one that counts"),
    )
    .with_hint(format!("leave {flag} out"))
}
