//! `bundle upgrade`: a bundle of an older version as v0.3.

use std::path::PathBuf;

use clap::Args;
use proofmark_evidence::bundle::Bundle;
use proofmark_evidence::legacy::Detached;
use serde_json::{Value, json};

use super::{as_v03, of_detached};
use crate::blobs::{Evidence, unreadable};
use crate::context::{Context, read_file, write_file};
use crate::failure::Failure;

/// Write a bundle of an older version as v0.3
#[derive(Args, Debug)]
pub(crate) struct Upgrade {
    /// The bundle: Sigstore's v0.1 to v0.3, or cosign's older one
    #[arg(value_name = "BUNDLE")]
    bundle: PathBuf,

    /// Write the bundle to this file instead of standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// Leave entries out that the log promised and did not prove
    #[arg(long)]
    ignore_tlog: bool,

    /// The transparency log; none is asked, this changes nothing
    #[arg(long, value_name = "URL")]
    rekor_url: Option<String>,
}

impl Upgrade {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let name = self.bundle.display().to_string();
        let bytes = read_file(&self.bundle)?;
        if self.rekor_url.is_some() {
            context
                .output
                .note("note: --rekor-url: no log is asked; an entry without its proof is not completed");
        }
        let mut bundle = if Detached::is_bundle(&bytes) {
            let attestation = Detached::attestation_bundle(&bytes);
            let read = attestation.or_else(|_| Detached::signature_bundle(&bytes));
            of_detached(
                read.map_err(|error| unreadable(&name, error.code(), &error, false))?,
                None,
                None,
            )
        } else {
            match Evidence::of_bundle(&name, &bytes, false)? {
                Evidence::Bundle(bundle) => *bundle,
                Evidence::Detached(detached) => of_detached(*detached, None, None),
            }
        };
        if self.ignore_tlog {
            bundle
                .material
                .tlog_entries
                .retain(|entry| entry.inclusion_proof.is_some());
        }
        let written = if is_v03(&bytes) {
            context
                .output
                .note("note: it is a bundle v0.3 already, and is written as it is");
            bytes
        } else {
            as_v03(context, bundle)?.to_json()
        };
        put(context, self.out.as_deref(), &written)
    }
}

fn is_v03(bytes: &[u8]) -> bool {
    let value: Value = serde_json::from_slice(bytes).unwrap_or_default();
    let media_type = value.get("mediaType").and_then(Value::as_str).unwrap_or_default();
    media_type.ends_with("v0.3+json") || media_type.ends_with("version=0.3")
}

/// Hands a bundle out, once it is certain that it reads as one.
pub(super) fn put(context: &Context, out: Option<&std::path::Path>, bytes: &[u8]) -> Result<(), Failure> {
    Bundle::parse(bytes).map_err(|error| unreadable("the bundle that was made", error.code(), &error, false))?;
    match out {
        Some(path) => {
            write_file(path, bytes)?;
            context.output.note(&format!("wrote the bundle to {}", path.display()));
            if context.output.is_json() {
                context.output.result("", &json!({ "bundle": path }));
            }
        }
        None => context.output.document(bytes),
    }
    Ok(())
}
