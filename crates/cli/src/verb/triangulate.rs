//! `triangulate`: under which name cosign keeps what hangs on an image.

use clap::{Args, ValueEnum};
use proofmark_evidence::layout::{att_tag, sbom_tag, sig_tag};
use serde_json::json;

use crate::args::RegistryArgs;
use crate::context::{Context, parse_image, registry_failure};
use crate::failure::Failure;

/// Print under which name cosign keeps signatures, attestations or a bill
///
/// Whether anything is there is not looked at, and bundles have no name: `tree` shows what there is.
#[derive(Args, Debug)]
pub(crate) struct Triangulate {
    /// The image
    image: String,

    /// Of what
    #[arg(long = "type", value_enum, default_value = "signature")]
    kind: What,

    #[command(flatten)]
    registry: RegistryArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    Signature,
    Attestation,
    Sbom,
    /// The image itself, by its digest
    Digest,
}

impl Triangulate {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let image = parse_image(&self.image)?;
        let client = Context::client_for(&self.registry, &[&image])?;
        let digest = match image.digest() {
            Some(digest) => digest.clone(),
            None => client.head(&image).await.map_err(registry_failure)?.digest,
        };
        let home = client.evidence_home(image.repository());
        let name = match self.kind {
            What::Signature => format!("{home}:{}", sig_tag(&digest)),
            What::Attestation => format!("{home}:{}", att_tag(&digest)),
            What::Sbom => format!("{home}:{}", sbom_tag(&digest)),
            What::Digest => format!("{}@{digest}", image.repository()),
        };
        context.output.result(&name, &json!({ "image": image, "name": name }));
        Ok(())
    }
}
