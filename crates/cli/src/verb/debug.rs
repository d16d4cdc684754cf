//! `debug providers`: where a token for keyless signing would come from.

use std::path::Path;

use clap::Subcommand;
use proofmark_sign::Timing;
use proofmark_sign::token::{Sources, TokenOptions, providers};
use serde_json::{Map, Value};

use crate::context::Context;
use crate::failure::Failure;

/// Find out why something is not as expected
#[derive(Subcommand, Debug)]
pub(crate) enum Debug {
    /// Show which sources of identity tokens are here; the first of them is asked when signing
    Providers,
}

impl Debug {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let Self::Providers = self;
        let seen = providers(&Sources {
            given: None,
            options: &TokenOptions::default(),
            environment: &|name: &str| std::env::var(name).ok(),
            root: Path::new("/"),
            person: None,
            timing: Timing::default(),
            now: Context::now(),
        })
        .await;
        let text: Vec<String> = seen
            .iter()
            .map(|(provider, here)| format!("{provider}: {here}"))
            .collect();
        let values: Map<String, Value> = seen
            .iter()
            .map(|(provider, here)| (provider.to_string(), (*here).into()))
            .collect();
        context.output.result(&text.join("\n"), &values);
        Ok(())
    }
}
