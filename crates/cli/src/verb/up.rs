//! `up`: registry, trust services and admission on loopback, data kept in a folder.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::args::RegistryArgs;
use crate::context::Context;
use crate::failure::Failure;
use crate::world::{Ports, World};

/// Registry, trust services and admission on loopback, data kept in a folder
#[derive(Args, Debug)]
pub(crate) struct Up {
    /// The folder; made if it is not there
    #[arg(long, default_value = "proofmark-data", value_name = "FOLDER")]
    dir: PathBuf,

    /// Port of the registry
    #[arg(long, default_value_t = 5000, value_name = "PORT")]
    registry_port: u16,

    /// Port of the trust services. Signatures name it: keep it for the life of the folder
    #[arg(long, default_value_t = 5555, value_name = "PORT")]
    trust_port: u16,

    /// Port of the admission webhook
    #[arg(long, default_value_t = 8443, value_name = "PORT")]
    admission_port: u16,
}

impl Up {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let ports = Ports {
            registry: self.registry_port,
            trust: self.trust_port,
            admission: self.admission_port,
        };
        let mut world = World::start(&self.dir, ports).await?;
        let client = Context::client(&RegistryArgs::default())?;
        world.start_admission(ports.admission, client).await?;
        let (admission, _) = world.admission()?;
        let registry = world.registry_host()?;
        context.output.warn(
            "the trust domain here believes an INSECURE development issuer; nothing that it signed is to be trusted elsewhere",
        );
        context.output.result(
            &format!(
                "registry   {registry}\ntrust      http://{}\nadmission  https://{admission}\npolicies   {} (none yet: every image is denied)\nrelease something:\n  proofmark key generate\n  proofmark release --key cosign.key --signing-config {} --trusted-root {} {registry}/app:1.0\nstop with Ctrl-C; everything is kept in {}",
                world.trust_address(),
                world.policies().display(),
                world.signing_config_file().display(),
                world.trusted_root_file().display(),
                world.folder().display(),
            ),
            &json!({
                "registry": registry, "trust": format!("http://{}", world.trust_address()),
                "admission": format!("https://{admission}"), "policies": world.policies(),
                "trustedRoot": world.trusted_root_file(), "signingConfig": world.signing_config_file(),
            }),
        );
        until_stopped().await;
        world.stop().await;
        Ok(())
    }
}

/// Waits for Ctrl-C, or for a supervisor's SIGTERM.
pub(crate) async fn until_stopped() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}
