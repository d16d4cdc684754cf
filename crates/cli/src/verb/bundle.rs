//! `bundle`: what is in the file that comes with a signature, and how it is made of older files.

mod create;
mod inspect;
mod upgrade;

use clap::Subcommand;
use proofmark_evidence::bundle::{Bundle, LogEntry};
use proofmark_evidence::bundle::{Content, KeyMaterial, VerificationMaterial};
use proofmark_evidence::encoding::base64_encode;
use proofmark_evidence::legacy::{Detached, DetachedContent, LegacyLogBundle};
use proofmark_types::{Digest, DigestAlgorithm};
use serde_json::Value;

use crate::context::Context;
use crate::failure::Failure;

/// What comes with a signature
#[derive(Subcommand, Debug)]
pub(crate) enum BundleVerb {
    /// Make a Sigstore bundle of a signature and what came beside it
    Create(Box<create::Create>),
    /// Show all that is in a bundle. Nothing of it is verified
    Inspect(inspect::Inspect),
    /// Write a bundle of an older version, or cosign's older format, as v0.3
    Upgrade(upgrade::Upgrade),
}

impl BundleVerb {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Create(verb) => verb.run(context).await,
            Self::Inspect(verb) => verb.run(context),
            Self::Upgrade(verb) => verb.run(context),
        }
    }
}

/// cosign's older format, as a bundle; of the log there is a promise alone, which bundles of v0.1 have.
fn of_detached(detached: Detached, digest: Option<Digest>, hint: Option<String>) -> Bundle {
    let entry = detached.log_bundle.map(entry);
    let content = match detached.content {
        DetachedContent::Signature(signature) => Content::MessageSignature {
            digest: digest.or_else(|| logged_digest(entry.as_ref()?)),
            signature,
        },
        DetachedContent::Attestation { envelope, .. } => Content::Dsse(envelope),
    };
    Bundle {
        material: VerificationMaterial {
            key: match detached.certificate {
                Some(der) => KeyMaterial::Certificate(der),
                None => KeyMaterial::PublicKeyHint(hint.unwrap_or_default()),
            },
            tlog_entries: entry.into_iter().collect(),
            timestamps: detached.timestamp.into_iter().collect(),
        },
        content,
    }
}

fn entry(promise: LegacyLogBundle) -> LogEntry {
    let body: Value = serde_json::from_slice(&promise.body).unwrap_or_default();
    let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    LogEntry {
        log_index: promise.log_index,
        log_id: promise.log_id,
        kind: text("kind"),
        kind_version: text("apiVersion"),
        integrated_time: Some(promise.integrated_time),
        inclusion_promise: Some(promise.set),
        inclusion_proof: None,
        canonicalized_body: promise.body,
    }
}

/// The digest that a `hashedrekord` names: a hint, as the bundle's own is.
fn logged_digest(entry: &LogEntry) -> Option<Digest> {
    let body: Value = serde_json::from_slice(&entry.canonicalized_body).ok()?;
    let hash = body.pointer("/spec/data/hash")?;
    let algorithm = DigestAlgorithm::parse(hash.get("algorithm")?.as_str()?).ok()?;
    Digest::from_hex(algorithm, hash.get("value")?.as_str()?).ok()
}

/// What v0.3 asks for and older versions do not: one certificate and no chain, and of each entry the proof.
fn as_v03(context: &Context, mut bundle: Bundle) -> Result<Bundle, Failure> {
    if let KeyMaterial::Chain(chain) = &bundle.material.key
        && let Some(leaf) = chain.first()
    {
        if chain.len() > 1 {
            context.output.note(&format!(
                "note: {} certificates above the signer's are left out: verifiers have them in their trusted root",
                chain.len() - 1
            ));
        }
        bundle.material.key = KeyMaterial::Certificate(leaf.clone());
    }
    let unproven = bundle.material.tlog_entries.iter().position(|entry| {
        entry
            .inclusion_proof
            .as_ref()
            .is_none_or(|proof| proof.checkpoint.is_empty())
    });
    match unproven {
        None => Ok(bundle),
        Some(index) => Err(Failure::usage(
            "bundle-no-inclusion-proof",
            format!("log entry {index} has the log's promise and no proof, and a bundle v0.3 has room for proven entries alone"),
        )
        .with_hint("what there is verifies as it is: verify-blob reads every older format; --ignore-tlog leaves the entry out")),
    }
}

/// The hint of a key that cosign writes: its fingerprint.
fn hint(key: &proofmark_verify::PublicKey) -> String {
    base64_encode(key.fingerprint().as_bytes())
}
