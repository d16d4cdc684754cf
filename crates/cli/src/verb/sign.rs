//! `sign`: put a signature on an image, and with `-r` on every image of an index.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use clap::{ArgAction, Args};
use proofmark_evidence::statement::Statement;
use proofmark_registry::ImageSource;
use serde_json::json;

use crate::args::{Annotations, RegistryArgs, SigningArgs, annotation};
use crate::context::{Context, parse_images};
use crate::failure::Failure;
use crate::images::descend;
use crate::signing::Hand;

/// Sign an image
#[derive(Args, Debug)]
pub(crate) struct Sign {
    /// The images; by digest where it matters, a tag is resolved once
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,

    /// Put this under the signature
    #[arg(long = "annotations", short = 'a', value_name = "KEY=VALUE", value_parser = annotation)]
    annotations: Vec<Annotations>,

    /// Sign the images of an index too
    #[arg(short = 'r', long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false")]
    #[arg(action = ArgAction::Set, hide_default_value = true, hide_possible_values = true, value_name = "BOOL")]
    recursive: bool,

    #[command(flatten)]
    signing: SigningArgs,

    #[command(flatten)]
    registry: RegistryArgs,
}

impl Sign {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let images = parse_images(&self.images)?;
        let client = Context::client_for(&self.registry, &images.iter().collect::<Vec<_>>())?;
        let hand = Hand::from_flags(context, &self.signing).await?;
        let annotations: BTreeMap<String, String> = Annotations::flatten(&self.annotations).collect();
        let mut text = String::new();
        let mut values = Vec::new();
        for image in images {
            let tree = descend(&ImageSource::registry(&client, &image)).await?;
            let subjects = if self.recursive {
                tree.all()
            } else {
                vec![tree.root.clone()]
            };
            for subject in subjects {
                let statement = Statement::signature(&subject.digest, annotations.clone());
                let attached = hand.attach(&client, image.repository(), &subject, &statement).await?;
                let name = image.with_digest(subject.digest.clone());
                let _ = writeln!(text, "{name}: signed\n  {}", attached.place);
                values.push(json!({ "image": name, "digest": subject.digest, "written": attached.place }));
            }
        }
        context.output.result(&text, &values);
        Ok(())
    }
}
