//! `verify`: is there an acceptable signature on the image?

use clap::Args;
use proofmark_policy::Wanted;

use crate::args::{Annotations, RegistryArgs, SignerArgs, TrustArgs, annotation};
use crate::checking::{Wish, check_images};
use crate::context::{Context, parse_images};
use crate::failure::Failure;
use crate::report;

/// Check an image's signatures
#[derive(Args, Debug)]
pub(crate) struct Verify {
    /// The images
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,

    /// An annotation that must be under the signature
    #[arg(long = "annotations", short = 'a', value_name = "KEY=VALUE", value_parser = annotation)]
    annotations: Vec<Annotations>,

    /// Take any signed bundle for a signature, attestations too, as cosign 3.1 does
    #[arg(long)]
    accept_any_bundle: bool,

    #[command(flatten)]
    signer: SignerArgs,

    #[command(flatten)]
    trust: TrustArgs,

    #[command(flatten)]
    registry: RegistryArgs,
}

impl Verify {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let wanted = Wanted::Signature {
            accept_any_bundle: self.accept_any_bundle,
        };
        let mut wish = Wish::from_flags(context, wanted, &self.signer, &self.trust).await?;
        wish.requirement
            .annotations
            .extend(Annotations::flatten(&self.annotations));
        let images = parse_images(&self.images)?;
        let client = Context::client_for(&self.registry, &images.iter().collect::<Vec<_>>())?;
        let (text, values) = check_images(&client, &images, &wish, "signatures", report::proof_json).await?;
        context.output.result(&text, &values);
        Ok(())
    }
}
