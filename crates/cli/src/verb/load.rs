//! `load`: an image with all that hangs on it, from a folder into a registry.

use std::path::PathBuf;

use clap::Args;
use proofmark_registry::{ImageSource, LayoutImage};

use crate::args::RegistryArgs;
use crate::context::{Context, parse_image};
use crate::failure::Failure;
use crate::hanging::Meter;
use crate::verb::copy::{Job, at};

/// Load a saved image, with all that hangs on it, into a registry
#[derive(Args, Debug)]
pub(crate) struct Load {
    /// The name it gets
    image: String,

    /// The folder that `save` wrote, ours or cosign's
    #[arg(long, value_name = "FOLDER")]
    dir: PathBuf,

    /// Replace the bill that the image has under its .sbom tag already
    #[arg(short, long)]
    force: bool,

    #[command(flatten)]
    registry: RegistryArgs,
}

impl Load {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let to = parse_image(&self.image)?;
        let source = ImageSource::Layout(LayoutImage::open(&self.dir, None).map_err(at(&self.dir))?);
        let meter = Meter::new(context.output, "loading");
        let client = Context::client_for(&self.registry, &[&to])?.with_progress(meter.progress("loading"));
        let home = client.evidence_home(to.repository()).clone();
        let done = Job::everything(context.output, &client, home, &to, self.force)
            .run(&source, &meter)
            .await?;
        drop(meter);
        done.report(context, &self.dir.display(), &to);
        Ok(())
    }
}
