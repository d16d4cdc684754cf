//! `admission`: the Kubernetes webhook, and the objects that register it.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use proofmark_admission::{
    BasisError, Config, Installation, KeptTrust, Server, StartError, Target, TlsConfig, TrustSource,
    webhook_configuration, webhook_configuration_yaml,
};
use proofmark_policy::NoMatch;
use serde_json::json;

use crate::args::RegistryArgs;
use crate::context::{Context, read_text};
use crate::failure::{Exit, Failure, chain};
use crate::keys;
use crate::trusting;
use crate::verb::initialize::repository;
use crate::verb::policy::policy_files;
use crate::verb::up::until_stopped;

/// The Kubernetes admission webhook
#[derive(Subcommand, Debug)]
pub(crate) enum Admission {
    /// Answer AdmissionReviews over HTTPS
    Serve(Box<Serve>),
    /// Print the webhook configurations that make a cluster ask
    Install(Install),
}

/// Answer AdmissionReviews over HTTPS
#[derive(Args, Debug)]
pub(crate) struct Serve {
    /// Folder of policies (.yaml, .yml, .json); looked at again when it changes
    #[arg(long, value_name = "FOLDER")]
    policies: PathBuf,

    /// Folder for the certificates that it makes and renews itself
    #[arg(long, default_value = "proofmark-tls", value_name = "FOLDER")]
    tls_dir: PathBuf,

    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:8443", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,

    /// Name or address that the API server reaches it by; goes into the certificate (may be repeated)
    #[arg(long = "tls-name", default_value = "localhost", value_name = "NAME")]
    tls_names: Vec<String>,

    /// Trusted root (trusted_root.json) for keyless signatures (default: what `initialize` chose, or the public instance's, refreshed in the background)
    #[arg(long, env = "SIGSTORE_ROOT_FILE", value_name = "FILE")]
    trusted_root: Option<PathBuf>,

    /// Let images run that no policy is about, as Kyverno does (they are denied otherwise, as in policy-controller)
    #[arg(long)]
    allow_unmatched: bool,

    #[command(flatten)]
    registry: RegistryArgs,
}

/// Print the webhook configurations
#[derive(Args, Debug)]
pub(crate) struct Install {
    /// The certificate authority of the webhook: ca.crt in its --tls-dir
    #[arg(long, value_name = "FILE")]
    ca: PathBuf,

    /// Namespace of the webhook's Service
    #[arg(long, default_value = "proofmark", value_name = "NAMESPACE", conflicts_with = "url")]
    namespace: String,

    /// Name of the webhook's Service
    #[arg(
        long,
        default_value = "proofmark-admission",
        value_name = "NAME",
        conflicts_with = "url"
    )]
    service: String,

    /// Address of the webhook, where it does not run in the cluster: https://host:port
    #[arg(long, value_name = "URL")]
    url: Option<String>,

    /// Namespace that is not asked about, beside the system's (may be repeated)
    #[arg(long, value_name = "NAMESPACE")]
    exclude_namespace: Vec<String>,
}

impl Admission {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Serve(args) => args.run(context).await,
            Self::Install(args) => args.run(context),
        }
    }
}

impl Serve {
    async fn run(self, context: &Context) -> Result<(), Failure> {
        let client = Context::client(&self.registry)?;
        let tls = TlsConfig::new(self.tls_dir.clone(), self.tls_names);
        let mut config = Config::new(self.listen, tls, self.policies.clone(), client);
        config.trust_root = trust_source(context, self.trusted_root)?;
        config.open_keys = Some(keys::open_keys());
        if self.allow_unmatched {
            config.no_match = NoMatch::Allow;
        }
        let server = Server::start(config).await.map_err(|error| {
            // An address that is taken is no mistake in what was written, nor a key that cannot be reached.
            let exit = match error {
                StartError::Listen { .. } | StartError::Basis(BasisError::Keys { .. }) => Exit::Undecided,
                _ => Exit::Usage,
            };
            Failure::new(exit, error.code(), chain(&error))
        })?;
        if !self.allow_unmatched && policy_files(&self.policies).is_ok_and(|files| files.is_empty()) {
            context.output.warn(&format!(
                "no policy is in {} yet: every image is denied",
                self.policies.display()
            ));
        }
        context.output.result(
            &format!(
                "admission webhook at https://{} with the policies in {}; stop it with Ctrl-C\n  register it: proofmark admission install --ca {}",
                server.address(),
                self.policies.display(),
                self.tls_dir.join("ca.crt").display(),
            ),
            &json!({ "address": server.address(), "policies": self.policies, "ca": self.tls_dir.join("ca.crt") }),
        );
        until_stopped().await;
        server.stop().await;
        Ok(())
    }
}

/// The file that is named, or what this machine has chosen, refreshed while the server runs unless it is offline.
fn trust_source(context: &Context, file: Option<PathBuf>) -> Result<Option<TrustSource>, Failure> {
    if let Some(path) = file {
        return Ok(Some(TrustSource::File(path)));
    }
    if let Some(name) = trusting::replacing_variable() {
        let message = format!("{name} replaces a part of the default trust root for one command, and not for a server");
        return Err(Failure::usage("flag-not-supported", message)
            .with_hint("`proofmark trusted-root create` puts a file together for --trusted-root"));
    }
    let place = match trusting::place() {
        Ok(place) => place,
        // Policies by key need none, and those by identity are not satisfied without one.
        Err(failure) if failure.code == "trust-choice-unknown" => {
            context.output.warn(&format!(
                "{}: keyless signatures are not believed; give --trusted-root FILE, or set TUF_ROOT",
                failure.message
            ));
            return Ok(None);
        }
        Err(failure) => return Err(failure),
    };
    let repository = if trusting::is_offline() {
        None
    } else {
        Some(repository(place.mirror())?)
    };
    Ok(Some(TrustSource::Kept(Box::new(KeptTrust { place, repository }))))
}

impl Install {
    fn run(self, context: &Context) -> Result<(), Failure> {
        let target = match self.url {
            Some(url) => Target::Url(url),
            None => Target::Service {
                namespace: self.namespace,
                name: self.service,
                port: 443,
            },
        };
        let authorities = read_text(&self.ca)?;
        if authorities.contains("PRIVATE KEY-----") {
            // authority.pem lies beside ca.crt; what is printed here everyone in the cluster can read.
            return Err(Failure::usage(
                "installation-unusable",
                format!(
                    "{} holds a private key, which is not for the cluster",
                    self.ca.display()
                ),
            )
            .with_hint("give ca.crt of the webhook's --tls-dir"));
        }
        let mut installation = Installation::new(target, authorities);
        installation.excluded_namespaces = self.exclude_namespace;
        let unusable = |error| Failure::usage("installation-unusable", chain(&error));
        if context.output.is_json() {
            let items = webhook_configuration(&installation).map_err(unusable)?;
            context
                .output
                .result("", &json!({ "apiVersion": "v1", "kind": "List", "items": items }));
        } else {
            let yaml = webhook_configuration_yaml(&installation).map_err(unusable)?;
            context.output.document(yaml.trim_end().as_bytes());
        }
        Ok(())
    }
}
