//! `verify-attestation`: is there an acceptable attestation of this type on the image, and what does it say?

use std::path::PathBuf;

use clap::Args;
use proofmark_evidence::predicate::PredicateType;
use proofmark_policy::{StatementPolicies, Wanted};

use crate::args::{RegistryArgs, SignerArgs, TrustArgs};
use crate::checking::{Target, Wish, check_all};
use crate::context::{Context, read_text};
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

    /// What the statement must satisfy: an expression in CEL (.cel), or Rego (.rego: package signature, allow)
    #[arg(long, value_name = "FILE", value_delimiter = ',')]
    policy: Vec<PathBuf>,

    /// The claims of an attestation are always checked; =false is refused
    #[arg(long, default_value_t = true)]
    check_claims: bool,

    /// The images are folders on this machine, as `save` writes them
    #[arg(long)]
    local_image: bool,

    #[command(flatten)]
    signer: SignerArgs,

    #[command(flatten)]
    trust: TrustArgs,

    #[command(flatten)]
    registry: RegistryArgs,
}

impl VerifyAttestation {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        if !self.check_claims {
            return Err(Failure::usage(
                "claims-always-checked",
                "--check-claims=false would accept an attestation about any other image",
            ));
        }
        let wanted = Wanted::Attestation {
            types: vec![predicate_type(&self.kind)?],
        };
        let policies = read_policies(&self.policy)?;
        let mut wish = Wish::from_flags(context, wanted, &self.signer, &self.trust).await?;
        wish.policies = policies;
        let targets = Target::from_flags(&self.images, self.local_image, &self.registry)?;
        let checked = check_all(&targets, &wish).await?;
        report::publish(context, &wish, &targets.iter().zip(&checked).collect::<Vec<_>>());
        Ok(())
    }
}

fn read_policies(paths: &[PathBuf]) -> Result<StatementPolicies, Failure> {
    let files = paths
        .iter()
        .map(|path| Ok((path.display().to_string(), read_text(path)?)))
        .collect::<Result<Vec<_>, Failure>>()?;
    let files = files.iter().map(|(name, source)| (name.as_str(), source.as_str()));
    StatementPolicies::read(files).map_err(|error| Failure::usage(error.code(), chain(&error)))
}

/// The type that `--type` names.
pub(crate) fn predicate_type(name: &str) -> Result<PredicateType, Failure> {
    PredicateType::resolve(name).map_err(|error| Failure::usage(error.code(), chain(&error)))
}
