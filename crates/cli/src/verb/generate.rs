//! `generate`: print what cosign's `.sig` image has under its signature, to be signed by another program.

use clap::Args;
use proofmark_evidence::simple_signing::Payload;

use crate::args::{Annotations, RegistryArgs, annotation};
use crate::context::{Context, parse_image};
use crate::failure::Failure;
use crate::images::digest_of;

/// Print the payload of a signature, unsigned
#[derive(Args, Debug)]
pub(crate) struct Generate {
    /// The image; by digest where it matters, a tag is resolved once
    image: String,

    /// Put this under the signature
    #[arg(long = "annotations", short = 'a', value_name = "KEY=VALUE", value_parser = annotation)]
    annotations: Vec<Annotations>,

    #[command(flatten)]
    registry: RegistryArgs,
}

impl Generate {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let image = parse_image(&self.image)?;
        let digest = match image.digest() {
            // No registry is needed, nor credentials that can be read.
            Some(digest) => digest.clone(),
            None => digest_of(&Context::client_for(&self.registry, &[&image])?, &image).await?,
        };
        let annotations = Annotations::flatten(&self.annotations).collect();
        let payload = Payload::new(&image.repository().to_string(), &digest, annotations);
        // What is signed are these bytes: no newline follows them.
        context.output.bytes(&payload.to_json());
        Ok(())
    }
}
