//! `attach sbom`: an unsigned bill under cosign's `.sbom` tag, for those who still read it there.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use proofmark_evidence::layout::sbom_tag;
use proofmark_oci::{Descriptor, ImageManifest, media_types};
use proofmark_types::MediaType;

use super::{Target, read_stdin};
use crate::args::{ReferrersMode, ReferrersModeArgs, RegistryArgs};
use crate::context::{Context, read_file, registry_failure};
use crate::failure::Failure;

/// cosign's experimental referrer with an unsigned bill.
pub(crate) const BILL_ARTIFACT: &str = "application/vnd.dev.cosign.artifact.sbom.v1+json";

/// Hang a bill of materials on an image, unsigned
#[derive(Args, Debug)]
pub(crate) struct Sbom {
    /// The image
    image: String,

    /// The bill: a file, or - for standard input
    #[arg(long, value_name = "FILE|-")]
    sbom: PathBuf,

    /// What it is
    #[arg(long = "type", value_enum, default_value = "spdx")]
    kind: Kind,

    /// How it is written (default: json where the file is called so; else text for SPDX, XML for CycloneDX)
    #[arg(long, value_enum, value_name = "FORMAT")]
    input_format: Option<Format>,

    #[command(flatten)]
    mode: ReferrersModeArgs,

    #[command(flatten)]
    registry: RegistryArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    Spdx,
    Cyclonedx,
    Syft,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Json,
    Xml,
    Text,
}

impl Sbom {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let media_type = self.media_type()?;
        let bill = if self.sbom == Path::new("-") {
            read_stdin()?
        } else {
            read_file(&self.sbom)?
        };
        let target = Target::resolve(&self.image, &self.registry).await?;
        let (mut manifest, config) = one_layer(&media_type, &bill);
        context
            .output
            .warn("the bill is not signed, so nobody can tell who wrote it; `attest` signs it");
        if self.mode.registry_referrers_mode == Some(ReferrersMode::Oci11) {
            let kind = MediaType::parse(BILL_ARTIFACT).map_err(|error| Failure::usage("sbom-format", error))?;
            manifest.config.media_type = kind.clone();
            manifest.artifact_type = Some(kind);
            let mut subject = target.subject.clone();
            subject.annotations.clear();
            manifest.subject = Some(subject);
            let digest = target
                .client
                .attach(
                    target.image.repository(),
                    &target.subject,
                    &manifest,
                    &[config.into(), bill.into()],
                )
                .await
                .map_err(registry_failure)?;
            target.report(context, &[format!("referrer {digest}")]);
            return Ok(());
        }
        let home = target.client.evidence_home(target.image.repository());
        let tag = sbom_tag(&target.subject.digest);
        for blob in [config, bill] {
            target
                .client
                .push_blob(home, blob.into())
                .await
                .map_err(registry_failure)?;
        }
        let bytes = manifest.to_json();
        target
            .client
            .push_manifest(home, Some(&tag), &manifest.media_type, bytes.into())
            .await
            .map_err(registry_failure)?;
        target.report(context, &[format!("tag {tag}")]);
        Ok(())
    }

    /// As cosign chooses it.
    fn media_type(&self) -> Result<MediaType, Failure> {
        let json = self.input_format == Some(Format::Json)
            || (self.input_format.is_none() && self.sbom.extension().is_some_and(|extension| extension == "json"));
        let text = match (self.kind, self.input_format) {
            (Kind::Spdx, Some(Format::Xml)) => "text/spdx+xml",
            (Kind::Spdx, _) if json => "text/spdx+json",
            (Kind::Spdx, _) => "text/spdx",
            (Kind::Cyclonedx, _) if json => "application/vnd.cyclonedx+json",
            (Kind::Cyclonedx, None | Some(Format::Xml)) => "application/vnd.cyclonedx+xml",
            (Kind::Syft, None | Some(Format::Json)) => "application/vnd.syft+json",
            (kind, format) => {
                return Err(Failure::usage(
                    "sbom-format",
                    format!("there is no {format:?} form of {kind:?} bills").to_lowercase(),
                ));
            }
        };
        MediaType::parse(text).map_err(|error| Failure::usage("sbom-format", error))
    }
}

/// An image of one file, as cosign makes it.
pub(crate) fn one_layer(media_type: &MediaType, content: &[u8]) -> (ImageManifest, Vec<u8>) {
    let layer = Descriptor::of(media_type.clone(), content);
    let (mut manifest, config) = proofmark_evidence::legacy::image(vec![layer]);
    manifest.media_type = MediaType::of_constant(media_types::OCI_MANIFEST);
    (manifest, config)
}
