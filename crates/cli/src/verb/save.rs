//! `save`: an image with all that hangs on it, in a folder.

use std::path::PathBuf;

use clap::Args;
use proofmark_registry::{ImageSource, LayoutWriter};
use serde_json::json;

use crate::args::RegistryArgs;
use crate::context::{Context, parse_image, registry_failure};
use crate::failure::Failure;
use crate::hanging::{Meter, warn_of_missing, whole};
use crate::images::descend;
use crate::report;
use crate::verb::copy::at;

/// Save an image with all that hangs on it in a folder
///
/// The folder is an OCI image layout as `cosign save` writes it, in which other programs find the evidence too. One that
/// was saved before is brought up to date, another program's keeps what it lists, and one of another image is refused.
#[derive(Args, Debug)]
pub(crate) struct Save {
    /// The image
    image: String,

    /// The folder; made if it is not there
    #[arg(long, value_name = "FOLDER")]
    dir: PathBuf,

    #[command(flatten)]
    registry: RegistryArgs,
}

impl Save {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let image = parse_image(&self.image)?;
        let meter = Meter::new(context.output, "saving");
        let client = Context::client_for(&self.registry, &[&image])?.with_progress(meter.progress("saving"));
        let named = ImageSource::registry(&client, &image);
        let tree = descend(&named).await?;
        let source = ImageSource::registry(&client, &image.with_digest(tree.root.digest.clone()));
        let mut writer = LayoutWriter::create(&self.dir).map_err(at(&self.dir))?;
        let name = image.tag().map(|_| image.to_string());
        writer.image(&source, name.as_deref()).await.map_err(registry_failure)?;
        let contents = source.evidence_source();
        let (mut count, mut incomplete) = (0, Vec::new());
        for each in tree.all() {
            let attachments = source.attachments(&each.digest).await.map_err(registry_failure)?;
            warn_of_missing(context.output, &attachments.missing);
            incomplete.extend(attachments.incomplete);
            for attachment in &attachments.found {
                writer
                    .attachment(&contents, attachment)
                    .await
                    .map_err(registry_failure)?;
                count += 1;
            }
        }
        // A folder that says it is the image, and is not all of it, would verify elsewhere as an unsigned one.
        whole(&incomplete)?;
        writer.finish().map_err(at(&self.dir))?;
        drop(meter);
        let digest = tree.root.digest;
        context.done(
            &format!(
                "{} saved in {}\n  {}",
                image.with_digest(digest.clone()),
                self.dir.display(),
                report::manifests(count)
            ),
            &json!({ "image": image, "digest": digest, "folder": self.dir, "attachments": count }),
        );
        Ok(())
    }
}
