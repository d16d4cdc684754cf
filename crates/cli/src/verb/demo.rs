//! `demo`: the whole chain on this machine in a minute, nothing else installed. Real keys, certificates, log and TLS, in a
//! temporary folder on free loopback ports.

mod cases;
mod cluster;
mod image;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context as _;
use clap::Args;
use proofmark_registry::ImageSource;
use proofmark_types::Repository;
use serde::Serialize;
use serde_json::json;
use tempfile::TempDir;

use self::cases::{Decision, Stage};
use self::image::Base;
use crate::args::RegistryArgs;
use crate::context::{Context, parse_image};
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::seen::open_local;
use crate::verb::up::until_stopped;
use crate::world::{Ports, World};

/// The whole chain on this machine in a minute, nothing else installed
#[derive(Args, Debug)]
pub(crate) struct Demo {
    /// Release this image of a registry instead of one made of this program
    #[arg(long, value_name = "REF", conflicts_with = "layout")]
    image: Option<String>,

    /// Release the image of this OCI layout folder instead
    #[arg(long, value_name = "DIR")]
    layout: Option<PathBuf>,

    /// Leave everything running at the end, until Ctrl-C, and keep the folder
    #[arg(long)]
    keep: bool,

    /// Results as one JSON document (the same as -o json)
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    registry: RegistryArgs,
}

impl Demo {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let output = if self.json {
            context.output.as_json()
        } else {
            context.output
        };
        // A mistake on the command line is said before anything is started.
        let source = self.source()?;
        let folder = tempfile::Builder::new()
            .prefix("proofmark-demo-")
            .tempdir()
            .context("cannot make a temporary folder")?;
        let mut log = Log::new(output);
        let ports = Ports {
            registry: 0,
            trust: 0,
            admission: 0,
        };
        let mut world = World::start(folder.path(), ports).await?;
        let host = world.registry_host()?;
        log.step(&format!("registry on {host}"));
        log.step(&format!(
            "certificate authority, transparency log and timestamps on {} (a development issuer vouches for anyone: this demo only)",
            world.trust_address()
        ));
        let client = Context::client(&RegistryArgs::default())?;
        let repository = Repository::new(host, "demo/app").map_err(anyhow::Error::from)?;
        let base = base(source, &client, &repository, &mut log).await?;
        let mut stage = Stage {
            output,
            client: client.clone(),
            repository,
            base,
        };
        let cases = stage.prepare(&world, &mut log).await?;
        world.start_admission(ports.admission, client).await?;
        let (webhook, authority) = world.admission()?;
        log.step(&format!(
            "admission webhook on https://{webhook}, policy of {} in force",
            world.policies().display()
        ));
        let decisions = cases::review(&webhook, &authority, cases, &mut log).await?;
        let good = decisions.iter().all(|decision| decision.as_expected);
        log.finish(&world, &stage, &decisions, good, self.keep);
        if self.keep {
            keep(output, folder, world).await;
        } else {
            world.stop().await;
        }
        if good {
            return Ok(());
        }
        Err(Failure::new(
            Exit::Refused,
            "demo-unexpected",
            "a decision was not the expected one; see the table",
        ))
    }

    /// What the flags name; none is this program.
    fn source(&self) -> Result<Option<ImageSource>, Failure> {
        match (&self.image, &self.layout) {
            (Some(image), _) => {
                let client = Context::client(&self.registry)?;
                Ok(Some(ImageSource::registry(&client, &parse_image(image)?)))
            }
            (None, Some(layout)) => open_local(layout, None).map(Some),
            (None, None) => Ok(None),
        }
    }
}

async fn base(
    source: Option<ImageSource>,
    client: &proofmark_registry::Client,
    repository: &Repository,
    log: &mut Log,
) -> Result<Base, Failure> {
    let Some(source) = source else {
        let base = Base::of_this_program(client, repository).await?;
        log.step("an image made of this very program, pushed");
        return Ok(base);
    };
    let base = Base::copied(client, &source, repository).await?;
    log.step("the image, copied into the registry");
    Ok(base)
}

async fn keep(output: Output, folder: TempDir, world: World) {
    let path = folder.keep();
    output.note(&format!(
        "everything is running; stop it with Ctrl-C. The folder stays: {}",
        path.display()
    ));
    until_stopped().await;
    world.stop().await;
}

/// The steps, each with the time since the start.
pub(super) struct Log {
    output: Output,
    started: Instant,
    steps: Vec<Step>,
}

#[derive(Serialize)]
struct Step {
    seconds: f64,
    what: String,
}

impl Log {
    fn new(output: Output) -> Self {
        Self {
            output,
            started: Instant::now(),
            steps: Vec::new(),
        }
    }

    pub(super) fn step(&mut self, what: &str) {
        let seconds = self.started.elapsed().as_secs_f64();
        if !self.output.is_json() {
            self.output.document(format!("{seconds:6.2} s  {what}").as_bytes());
        }
        self.steps.push(Step {
            seconds,
            what: what.to_owned(),
        });
    }

    fn finish(&self, world: &World, stage: &Stage, decisions: &[Decision], good: bool, keep: bool) {
        let seconds = self.started.elapsed().as_secs_f64();
        let commands = stage.cosign_commands(world);
        let mut text = cases::table(decisions);
        let verdict = if good {
            "every decision is the expected one"
        } else {
            "A DECISION IS NOT THE EXPECTED ONE"
        };
        text.push_str(&format!("\n{verdict} ({seconds:.1} s)\n"));
        text.push_str(if keep {
            "\nCheck the same image with stock cosign:\n"
        } else {
            "\nTo check the same image with stock cosign, run this again with --keep; it then prints the commands with what stays:\n"
        });
        text.push_str(&commands.join("\n"));
        self.output.result(
            &text,
            &json!({
                "ok": good, "seconds": seconds, "steps": self.steps, "decisions": decisions,
                "cosign": commands, "folder": keep.then(|| world.folder()),
            }),
        );
    }
}
