//! `trust token`: an identity token for trying things out. It is good at the trust domain of its folder and nowhere else,
//! and only where that is on this machine.

use std::path::PathBuf;

use clap::Args;
use proofmark_trust_server::{CiClaims, DevIssuer};
use serde_json::json;

use crate::context::Context;
use crate::failure::{Exit, Failure, chain};

/// Mint an identity token of the INSECURE development issuer, to try keyless signing on this machine
#[derive(Args, Debug)]
pub(crate) struct Token {
    /// The trust domain's folder: `trust` in the folder of `proofmark up`, or what `trust init` made
    #[arg(long, default_value = "proofmark-data/trust", value_name = "FOLDER")]
    dir: PathBuf,

    /// For this person instead of a CI job
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["repository", "workflow", "reference", "sha"])]
    email: Option<String>,

    /// For a CI job of this repository
    #[arg(long, default_value = "acme/app", value_name = "OWNER/NAME")]
    repository: String,

    /// The job's workflow
    #[arg(long, default_value = ".github/workflows/release.yml", value_name = "PATH")]
    workflow: String,

    /// The branch or tag that the job runs for
    #[arg(long = "ref", default_value = "refs/heads/main", value_name = "REF")]
    reference: String,

    /// The commit that the job runs for
    #[arg(long, default_value = "0000000000000000000000000000000000000000", value_name = "SHA")]
    sha: String,
}

impl Token {
    pub(super) fn run(&self, context: &Context) -> Result<(), Failure> {
        let issuer = DevIssuer::open(&self.dir).map_err(|error| {
            Failure::usage(
                "development-issuer-absent",
                format!("{} has no development issuer: {}", self.dir.display(), chain(&error)),
            )
            .with_hint("`proofmark up` makes one in proofmark-data/trust; --dir says where it is")
        })?;
        if !issuer.is_on_this_machine() {
            return Err(Failure::usage(
                "development-issuer-elsewhere",
                format!("the trust domain is {}, expected one on this machine", issuer.origin()),
            ));
        }
        let now = Context::now();
        let (token, name) = match &self.email {
            Some(address) => (issuer.mint_email(address, now), issuer.email_issuer()),
            None => {
                let claims = CiClaims {
                    repository: &self.repository,
                    workflow: &self.workflow,
                    reference: &self.reference,
                    sha: &self.sha,
                    run_id: 1,
                };
                (issuer.mint_ci(&claims, now), issuer.ci_issuer())
            }
        };
        let token = token.map_err(|error| Failure::new(Exit::Undecided, error.code(), chain(&error)))?;
        context
            .output
            .note("this token is good for ten minutes, and only for the services of this folder");
        context.output.result(&token, &json!({"token": token, "issuer": name}));
        Ok(())
    }
}
