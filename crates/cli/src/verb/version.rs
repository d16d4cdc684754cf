//! `version`: which program this is. cosign has it as a verb.

use clap::Args;
use serde_json::json;

use crate::context::Context;

/// Print the version
#[derive(Args, Debug)]
pub(crate) struct Version {
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl Version {
    pub(crate) fn run(&self, context: &Context) {
        let output = if self.json {
            context.output.as_json()
        } else {
            context.output
        };
        let version = env!("CARGO_PKG_VERSION");
        let text = format!("proofmark {version}");
        // The name of cosign's field, for scripts that read it; the version is ours.
        output.result(
            &text,
            &json!({ "program": "proofmark", "gitVersion": format!("v{version}") }),
        );
    }
}
