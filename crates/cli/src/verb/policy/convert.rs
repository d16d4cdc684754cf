//! `policy convert`: any policy that is read, and those of four other products, as our own `ImagePolicy`.

use std::path::PathBuf;

use clap::Args;
use proofmark_policy::{import_policies, write_yaml};
use serde_json::Value;

use super::{compile, contents, failure};
use crate::context::Context;
use crate::failure::Failure;

/// Write policies in our own format
///
/// What is written decides as what was read does. Reads what the webhook reads, and once, to move: Connaisseur's Helm
/// values, Kubewarden's verify-image-signatures, Ratify's Executor, Portieris' policies. What cannot be kept is an error.
#[derive(Args, Debug)]
pub(crate) struct Convert {
    /// Policy files, or folders of them (.yaml, .yml, .json)
    #[arg(required = true, value_name = "FILE|FOLDER")]
    paths: Vec<PathBuf>,
}

impl Convert {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let mut documents: Vec<Value> = Vec::new();
        let mut ours = Vec::new();
        for (name, bytes) in contents(&self.paths)? {
            match import_policies(&name, &bytes).map_err(failure)? {
                Some(imported) => documents.extend(imported),
                None => ours.push((name, bytes)),
            }
        }
        if !ours.is_empty() {
            let set = compile(&ours)?;
            documents.extend(set.convert().map_err(|error| Failure::usage(error.code(), error))?);
        }
        let texts: Vec<String> = documents.iter().map(write_yaml).collect();
        let text = texts.join("---\n");
        // What is written must be read: an import that says what no policy may say ends here, with the place.
        compile(&[("(converted)".to_owned(), text.clone().into_bytes())])?;
        context.output.result(&text, &documents);
        Ok(())
    }
}
