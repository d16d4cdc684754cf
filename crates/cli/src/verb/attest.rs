//! `attest`: state something about an image, signed.

use std::path::PathBuf;

use clap::Args;
use proofmark_evidence::statement::Statement;
use serde_json::json;

use crate::args::{RegistryArgs, SigningArgs};
use crate::context::{Context, parse_image, read_file, registry_failure};
use crate::failure::{Failure, chain};
use crate::signing::Hand;
use crate::verb::verify_attestation::predicate_type;

/// State something about an image, signed
#[derive(Args, Debug)]
pub(crate) struct Attest {
    /// The image
    image: String,

    /// What is stated (JSON file)
    #[arg(long, value_name = "FILE")]
    predicate: PathBuf,

    /// Of which type it is: slsaprovenance1, spdxjson, cyclonedx, vuln, openvex, custom, … or a URI
    #[arg(long = "type", default_value = "custom", value_name = "TYPE")]
    kind: String,

    #[command(flatten)]
    signing: SigningArgs,

    #[command(flatten)]
    registry: RegistryArgs,
}

impl Attest {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let image = parse_image(&self.image)?;
        let predicate_type = predicate_type(&self.kind)?;
        let bytes = read_file(&self.predicate)?;
        let predicate = serde_json::from_slice(&bytes).map_err(|error| {
            Failure::usage(
                "predicate-not-json",
                format!("{} is not JSON: {error}", self.predicate.display()),
            )
        })?;
        let client = Context::client_for(&self.registry, &[&image])?;
        let resolved = client.resolve(&image).await.map_err(registry_failure)?;
        let subject = resolved.descriptor;
        let hand = Hand::from_flags(context, &self.signing).await?;
        let statement = Statement::attestation(
            &image.repository().to_string(),
            &subject.digest,
            predicate_type.clone(),
            predicate,
        );
        // What is written is parsed as a reader will: a statement that we could not read back is not signed.
        Statement::parse(&statement.to_json()).map_err(|error| Failure::usage(error.code(), chain(&error)))?;
        let attached = hand.attach(&client, image.repository(), &subject, &statement).await?;
        context.output.result(
            &format!("{}: attested {predicate_type}\n  {}", image.with_digest(subject.digest.clone()), attached.place),
            &json!({ "image": image, "digest": subject.digest, "predicateType": predicate_type.as_str(), "written": attached.place }),
        );
        Ok(())
    }
}
