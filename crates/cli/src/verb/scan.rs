//! `scan`: what is known to be wrong with what is inside an image, and whether it may pass.

use clap::{Args, ValueEnum};
use serde_json::Value;

use crate::args::RegistryArgs;
use crate::context::Context;
use crate::failure::Failure;
use crate::scanning::{Findings, JudgeArgs, Judged, ResultsArgs, report};
use crate::seen::{Look, examine, is_document};
use crate::verb::sbom::Scope;

/// Known vulnerabilities of what is inside an image, and whether it may pass
#[derive(Args, Debug)]
pub(crate) struct ScanVerb {
    /// What `sbom` can look at: an image in a registry, oci:FOLDER or oci:FOLDER:TAG, docker-archive:FILE, dir:FOLDER, tar:FILE; or an SBOM document (SPDX, CycloneDX, Syft's), also on standard input (-)
    image: String,

    /// The document to write; without it a table is printed, or JSON with -o json
    #[arg(long, short = 'f', value_enum)]
    format: Option<ReportFormat>,

    #[command(flatten)]
    judge: JudgeArgs,

    #[command(flatten)]
    results: ResultsArgs,

    /// Which image of an index, e.g. linux/arm64 (default: this machine's); all is every one
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<String>,

    /// Which of the image's states to scan
    #[arg(long, value_enum, default_value_t)]
    scope: Scope,

    /// Take a document out of an attestation, whose signature is not verified
    #[arg(long)]
    unwrap: bool,

    #[command(flatten)]
    registry: RegistryArgs,
}

/// The formats of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// The same as -o json
    Json,
    /// SARIF 2.1.0, for code hosts
    Sarif,
    /// CycloneDX 1.6 with its vulnerabilities, and what is to be made of them
    CyclonedxVdr,
    /// GitLab's container scanning report
    Gitlab,
    /// The predicate of cosign's vulnerability attestations
    CosignVuln,
}

impl ScanVerb {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        // 1. What decides: read before anything is fetched.
        let judge = self.results.judge(&self.judge)?;
        let is_of_image = !is_document(&self.image) && !self.image.starts_with("sbom:");
        let whole = self.platform.as_deref() == Some("all") || self.scope == Scope::AllLayers;
        if self.results.is_given() && (!is_of_image || whole) {
            let message =
                "--results are about what one image shows, not about a document, several platforms or hidden layers";
            return Err(Failure::usage("command-line", message));
        }
        // 2. What is inside.
        let how = Look {
            platform: self.platform.as_deref(),
            all_layers: self.scope == Scope::AllLayers,
            unwrap: self.unwrap,
            registry: &self.registry,
        };
        let seen = examine(context, &self.image, &how).await?;
        // 3. What is known of it, and whether it may pass.
        let judged = Judged {
            name: &self.image,
            digest: seen.digest(),
            bill: &seen.bill,
            lacking: &seen.lacking,
        };
        let findings = judge.judge(judged)?;
        findings.warn(context.output);
        self.show(context, &findings, &seen.info)
    }

    /// Writes the report; one document, which says itself whether it is a pass.
    fn show(
        &self,
        context: &Context,
        findings: &Findings<'_>,
        info: &proofmark_sbom::DocumentInfo,
    ) -> Result<(), Failure> {
        let outcome = findings.outcome();
        let with_outcome = || {
            let mut value = report::json(findings);
            if let (Err(failure), Value::Object(fields)) = (&outcome, &mut value) {
                fields.insert("ok".to_owned(), Value::Bool(false));
                fields.insert("error".to_owned(), serde_json::to_value(failure).unwrap_or_default());
            }
            value
        };
        let document = |value: &Value| context.output.document(value.to_string().as_bytes());
        match self.format {
            None => context.output.result(&report::text(findings), &with_outcome()),
            Some(ReportFormat::Json) => document(&with_outcome()),
            Some(ReportFormat::Sarif) => document(&report::sarif(findings)),
            Some(ReportFormat::CyclonedxVdr) => document(&report::vdr(findings, info)?),
            Some(ReportFormat::Gitlab) => document(&report::gitlab(findings)),
            Some(ReportFormat::CosignVuln) => document(&report::cosign_vuln(findings)),
        }
        outcome.map_err(|failure| Failure { told: true, ..failure })
    }
}
