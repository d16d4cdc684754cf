//! `sbom convert`: a document of anyone in another format.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::bills::{DocumentFormat, line_of};
use crate::context::{Context, write_file};
use crate::failure::Failure;
use crate::seen;
use crate::verb::sbom::PartyArgs;

/// Write a document (SPDX, CycloneDX, Syft) in another format
#[derive(Args, Debug)]
pub(crate) struct Convert {
    /// The document; - reads standard input
    file: String,

    /// The format to write
    #[arg(long, short = 'f', value_enum)]
    format: DocumentFormat,

    /// Write it into this file instead of standard output
    #[arg(long, value_name = "FILE")]
    output_file: Option<PathBuf>,

    /// Take the document out of an in-toto statement, a DSSE envelope or a Sigstore bundle, whose signature is not verified
    #[arg(long)]
    unwrap: bool,

    /// Add CPE names by the rule in docs/sbom.md to packages without one
    #[arg(long)]
    cpes: bool,

    #[command(flatten)]
    parties: PartyArgs,
}

impl Convert {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let document = seen::document(context, &self.file, self.unwrap)?;
        let mut info = document.info(Context::document_time()?, env!("CARGO_PKG_VERSION"));
        self.parties.apply(&mut info);
        if self.cpes {
            proofmark_sbom::cpe::add(&document.bill, &mut info);
        }
        let bytes = self.format.write(&document.bill, &info);
        let Some(path) = &self.output_file else {
            context.output.document(&bytes);
            return Ok(());
        };
        write_file(path, &bytes)?;
        if context.output.is_json() {
            let written = json!({
                "from": document.origin.to_string(), "file": path, "packages": document.bill.packages.len(),
                "warnings": document.warnings.len() + document.more_warnings,
            });
            context.output.result("", &written);
        } else {
            context
                .output
                .note(&format!("{}: {}", path.display(), line_of(&document.bill)));
        }
        Ok(())
    }
}
