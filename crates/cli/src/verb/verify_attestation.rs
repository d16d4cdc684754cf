//! `verify-attestation`: is there an acceptable attestation of this type on the image, and what does it say?

use clap::Args;
use proofmark_evidence::predicate::PredicateType;
use proofmark_policy::Wanted;
use proofmark_verify::Proof;

use crate::args::{RegistryArgs, SignerArgs, TrustArgs};
use crate::checking::{Wish, check_images};
use crate::context::{Context, parse_images};
use crate::failure::{Failure, chain};
use crate::report;

/// Check an image's attestations of one type
#[derive(Args, Debug)]
pub(crate) struct VerifyAttestation {
    /// The images
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,

    /// Which attestation: slsaprovenance1, spdxjson, cyclonedx, vuln, openvex, custom, … or a URI
    #[arg(long = "type", default_value = "custom", value_name = "TYPE")]
    kind: String,

    #[command(flatten)]
    signer: SignerArgs,

    #[command(flatten)]
    trust: TrustArgs,

    #[command(flatten)]
    registry: RegistryArgs,
}

impl VerifyAttestation {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let predicate_type = predicate_type(&self.kind)?;
        let wanted = Wanted::Attestation {
            types: vec![predicate_type],
        };
        let wish = Wish::from_flags(context, wanted, &self.signer, &self.trust).await?;
        let images = parse_images(&self.images)?;
        let client = Context::client_for(&self.registry, &images.iter().collect::<Vec<_>>())?;
        let with_predicate = |proof: &Proof| {
            let mut value = report::proof_json(proof);
            value["predicate"] = proof.predicate().clone();
            value
        };
        let (text, values) = check_images(&client, &images, &wish, "attestations", with_predicate).await?;
        context.output.result(&text, &values);
        if !context.output.is_json() {
            context.output.note("what it says is printed with -o json");
        }
        Ok(())
    }
}

/// The type that `--type` names.
pub(crate) fn predicate_type(name: &str) -> Result<PredicateType, Failure> {
    PredicateType::resolve(name).map_err(|error| Failure::usage(error.code(), chain(&error)))
}
