//! `sign-blob`: sign a file.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use proofmark_evidence::bundle::{Bundle, KeyMaterial};
use proofmark_evidence::encoding::{base64_encode, pem_encode};
use proofmark_evidence::legacy::{Detached, DetachedContent, LegacyLogBundle};
use proofmark_sign::{BlobForm, Signer};
use serde_json::{Value, json};

use crate::args::SigningArgs;
use crate::blobs::{Blob, Need};
use crate::context::{Context, write_file};
use crate::failure::Failure;
use crate::signing::{Hand, sign_failure};

/// What `--signing-algorithm` may say, in cosign's words; the first is what is made without it.
const ALGORITHMS: [&str; 6] = [
    "ecdsa-sha2-256-nistp256",
    "ecdsa-sha2-384-nistp384",
    "ecdsa-sha2-512-nistp521",
    "rsa-sign-pkcs1-2048-sha256",
    "rsa-sign-pkcs1-3072-sha256",
    "rsa-sign-pkcs1-4096-sha256",
];

/// Sign a file
#[derive(Args, Debug)]
pub(crate) struct SignBlob {
    /// The files; - for standard input
    #[arg(required = true, value_name = "FILE")]
    blobs: Vec<String>,

    #[command(flatten)]
    outputs: Outputs,

    /// With =false: write signature and certificate as they are, not in base64
    #[arg(long, default_value_t = true)]
    b64: bool,

    /// Write the RFC 3161 timestamp to this file
    #[arg(long, value_name = "FILE")]
    rfc3161_timestamp: Option<PathBuf>,

    /// Which kind of key to make for keyless signing; a key that is given has its own
    #[arg(long, value_name = "ALGORITHM", value_parser = ALGORITHMS)]
    signing_algorithm: Option<String>,

    #[command(flatten)]
    signing: SigningArgs,
}

/// Where the parts of a signature go.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Outputs {
    /// Write the signature and all that vouches for it to this file: a Sigstore bundle, or with --new-bundle-format=false
    /// cosign's older one
    #[arg(long, value_name = "FILE")]
    pub(crate) bundle: Option<PathBuf>,

    /// Write the signature to this file instead of standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) output_signature: Option<PathBuf>,

    /// Write the certificate to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) output_certificate: Option<PathBuf>,
}

impl Outputs {
    /// No output is another one, or what is signed: what was written first would be lost.
    pub(crate) fn check(&self, blobs: &[&str], more: &[&Option<PathBuf>]) -> Result<(), Failure> {
        let given: Vec<&Path> = [&self.bundle, &self.output_signature, &self.output_certificate]
            .into_iter()
            .chain(more.iter().copied())
            .filter_map(|path| path.as_deref())
            .collect();
        if blobs.len() > 1 && !given.is_empty() {
            return Err(Failure::usage(
                "one-output-for-several",
                format!(
                    "{} files are signed, and each would overwrite the output of the one before",
                    blobs.len()
                ),
            )
            .with_hint("sign one file at a time, or let the signatures go to standard output"));
        }
        let same = |a: &Path, b: &Path| match (a.canonicalize(), b.canonicalize()) {
            (Ok(a), Ok(b)) => a == b,
            _ => a == b,
        };
        for (index, output) in given.iter().enumerate() {
            let twice = given.iter().skip(index + 1).any(|other| same(output, other));
            if twice || blobs.iter().any(|blob| same(output, Path::new(blob))) {
                return Err(Failure::usage(
                    "output-twice",
                    format!(
                        "{} would be overwritten by another part of the signature, or is what is signed",
                        output.display()
                    ),
                ));
            }
        }
        Ok(())
    }

    /// Whether cosign's older format is wanted, and not a Sigstore bundle.
    pub(crate) fn is_legacy(&self, signing: &SigningArgs) -> bool {
        self.bundle.is_none() || !signing.new_bundle_format
    }

    /// Whether the signature goes to standard output: as in cosign 2, unless it went elsewhere. A Sigstore bundle holds it.
    pub(crate) fn prints_signature(&self, signing: &SigningArgs) -> bool {
        self.output_signature.is_none() && self.is_legacy(signing)
    }
}

/// One file, signed.
struct Signed {
    blob: Blob,
    bundle: Bundle,
}

impl SignBlob {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let names: Vec<&str> = self.blobs.iter().map(String::as_str).collect();
        self.outputs.check(&names, &[&self.rfc3161_timestamp])?;
        check_algorithm(context, self.signing_algorithm.as_deref(), &self.signing)?;
        let hand = Hand::from_flags(context, &self.signing).await?;
        let form = if self.outputs.is_legacy(&self.signing) {
            BlobForm::Legacy
        } else {
            BlobForm::Bundle
        };
        if form == BlobForm::Legacy {
            say_what_is_lost(context, hand.signer(), self.rfc3161_timestamp.is_some());
        }
        let mut text = Vec::new();
        let mut values = Vec::new();
        for name in &self.blobs {
            let signed = sign(&hand, name, form).await?;
            let written = self.write(context, &signed)?;
            let signature = signed.bundle.content.signature();
            if self.outputs.prints_signature(&self.signing) {
                if self.b64 {
                    text.extend_from_slice(base64_encode(signature).as_bytes());
                    text.push(b'\n');
                } else {
                    text.extend_from_slice(signature);
                }
            }
            values.push(json!({
                "file": signed.blob.name, "digest": signed.blob.digest(),
                "signature": base64_encode(signature), "written": written,
            }));
        }
        if context.output.is_json() {
            context.output.result("", &values);
        } else {
            context.output.bytes(&text);
        }
        Ok(())
    }

    /// Writes the files that are asked for; returns their names.
    fn write(&self, context: &Context, signed: &Signed) -> Result<Value, Failure> {
        let bundle = &signed.bundle;
        let mut written = serde_json::Map::new();
        let mut put = |what: &str, path: &Path, bytes: &[u8]| {
            write_file(path, bytes)?;
            context.output.note(&format!("wrote the {what} to {}", path.display()));
            written.insert(what.to_owned(), json!(path));
            Ok::<(), Failure>(())
        };
        if let Some(path) = &self.outputs.bundle {
            let bytes = if self.outputs.is_legacy(&self.signing) {
                detached(bundle).to_bundle_json()
            } else {
                bundle.to_json()
            };
            put("bundle", path, &bytes)?;
        }
        if let Some(path) = &self.outputs.output_signature {
            put("signature", path, &text_or_raw(self.b64, bundle.content.signature()))?;
        }
        if let Some(path) = &self.outputs.output_certificate {
            match bundle.material.key.leaf() {
                Some(der) => {
                    let pem = pem_encode("CERTIFICATE", der);
                    put("certificate", path, &text_or_raw(self.b64, pem.as_bytes()))?;
                }
                None => context
                    .output
                    .warn("--output-certificate: a signature by a key has no certificate, and none is written"),
            }
        }
        if let Some(path) = &self.rfc3161_timestamp {
            match bundle.material.timestamps.first() {
                Some(der) => put("timestamp", path, &timestamp_json(der))?,
                None => context
                    .output
                    .warn("--rfc3161-timestamp: no timestamp authority was asked, and nothing is written"),
            }
        }
        Ok(Value::Object(written))
    }
}

async fn sign(hand: &Hand, name: &str, form: BlobForm) -> Result<Signed, Failure> {
    let signer = hand.signer();
    let need = Need {
        hashes: vec![signer.blob_hash()],
        bytes: !signer.signs_digests(),
    };
    let blob = Blob::read(name, need)?;
    let bundle = signer
        .sign_artifact(&blob.artifact(), form)
        .await
        .map_err(sign_failure)?;
    Ok(Signed { blob, bundle })
}

/// A bundle with a message signature, taken apart into what readers older than bundles read.
pub(crate) fn detached(bundle: &Bundle) -> Detached {
    let (certificate, chain) = match &bundle.material.key {
        KeyMaterial::Certificate(der) => (Some(der.clone()), Vec::new()),
        KeyMaterial::Chain(all) => (all.first().cloned(), all.get(1..).unwrap_or_default().to_vec()),
        KeyMaterial::PublicKeyHint(_) => (None, Vec::new()),
    };
    let promised = bundle.material.tlog_entries.iter().find_map(|entry| {
        Some(LegacyLogBundle {
            set: entry.inclusion_promise.clone()?,
            body: entry.canonicalized_body.clone(),
            integrated_time: entry.integrated_time?,
            log_index: entry.log_index,
            log_id: entry.log_id.clone(),
        })
    });
    Detached {
        content: DetachedContent::Signature(bundle.content.signature().to_vec()),
        certificate,
        chain,
        log_bundle: promised,
        timestamp: bundle.material.timestamps.first().cloned(),
    }
}

/// cosign's `{"SignedRFC3161Timestamp": "<base64>"}`.
pub(crate) fn timestamp_json(der: &[u8]) -> Vec<u8> {
    json!({ "SignedRFC3161Timestamp": base64_encode(der) })
        .to_string()
        .into_bytes()
}

fn text_or_raw(b64: bool, bytes: &[u8]) -> Vec<u8> {
    if b64 {
        base64_encode(bytes).into_bytes()
    } else {
        bytes.to_vec()
    }
}

/// The older format has less room than a bundle; what does not go into it is said.
pub(crate) fn say_what_is_lost(context: &Context, signer: &Signer, timestamp_is_kept: bool) {
    let mut lost = String::new();
    if signer.outgrows_legacy() {
        lost.push_str("the log is a Rekor v2, whose entries have no place beside a bare signature: it is not logged. ");
    }
    if matches!(signer, Signer::Keyless(_)) && signer.outgrows_legacy() && !timestamp_is_kept {
        let _ = write!(
            lost,
            "Without its timestamp it cannot be verified once the certificate has ended, in ten minutes. "
        );
    }
    if !lost.is_empty() {
        context
            .output
            .warn(&format!("{lost}--bundle FILE keeps everything, as a Sigstore bundle"));
    }
}

fn check_algorithm(context: &Context, asked: Option<&str>, signing: &SigningArgs) -> Result<(), Failure> {
    match asked {
        Some(name) if signing.key.is_some() => {
            context.output.note(&format!(
                "note: --signing-algorithm {name}: the key that is given has its own"
            ));
            Ok(())
        }
        Some(name) if name != ALGORITHMS[0] => Err(Failure::usage(
            "flag-not-supported",
            format!(
                "--signing-algorithm {name} is not supported for keyless signing yet, {} is",
                ALGORITHMS[0]
            ),
        )),
        _ => Ok(()),
    }
}
