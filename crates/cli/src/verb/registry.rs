//! `registry serve`: an OCI registry in a folder.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use proofmark_registry_server::{Config, Htpasswd, OpenError, Server, StartError};
use serde_json::json;

use crate::context::{Context, read_text};
use crate::failure::{Exit, Failure, chain};
use crate::verb::up::until_stopped;

/// An OCI registry
#[derive(Subcommand, Debug)]
pub(crate) enum Registry {
    /// Serve a folder as a registry (distribution specification 1.1, referrers API)
    Serve(Serve),
}

/// Serve a folder as a registry
#[derive(Args, Debug)]
pub(crate) struct Serve {
    /// The folder; made if it is not there
    #[arg(long, default_value = "proofmark-registry", value_name = "FOLDER")]
    dir: PathBuf,

    /// Where to listen. There is no TLS: leave it on loopback or behind a proxy
    #[arg(long, default_value = "127.0.0.1:5000", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,

    /// Tags that match keep their first digest (regular expression over the whole tag; may be repeated)
    #[arg(long, value_name = "REGEXP")]
    immutable_tags: Vec<String>,

    /// Users and bcrypt hashes, as `htpasswd -B` writes them; without it everyone may do everything
    #[arg(long, value_name = "FILE")]
    htpasswd: Option<PathBuf>,

    /// Answer 404 to the referrers API, as older registries do
    #[arg(long)]
    no_referrers_api: bool,
}

impl Registry {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let Self::Serve(serve) = self;
        let mut config = Config::new(serve.dir.clone(), serve.listen);
        config.immutable_tags = serve.immutable_tags;
        config.referrers_api = !serve.no_referrers_api;
        if let Some(path) = &serve.htpasswd {
            let users = Htpasswd::parse(&read_text(path)?).map_err(|error| {
                Failure::usage("htpasswd-unusable", format!("{}: {}", path.display(), chain(&error)))
            })?;
            config.htpasswd = Some(users);
        }
        let open = config.htpasswd.is_none();
        let server = Server::start(config).await.map_err(|error| {
            let exit = match error {
                StartError::Store(OpenError::Pattern { .. }) => Exit::Usage,
                _ => Exit::Undecided,
            };
            Failure::new(exit, "registry-not-started", chain(&error))
        })?;
        if open && !server.address().ip().is_loopback() {
            context
                .output
                .warn("everyone who reaches this address may push and delete; --htpasswd FILE names users");
        }
        context.output.result(
            &format!(
                "registry at {} serves {}; stop it with Ctrl-C",
                server.address(),
                serve.dir.display()
            ),
            &json!({ "address": server.address(), "folder": serve.dir }),
        );
        until_stopped().await;
        server.stop().await;
        Ok(())
    }
}
