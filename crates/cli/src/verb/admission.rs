//! `admission`: the Kubernetes webhook, and the objects that register it.

mod holding;
mod queue;
mod warm;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use install::{Install, Uninstall};
use proofmark_admission::{
    BasisError, Cluster, ClusterError, Config, KeptTrust, Server, Sharing, StartError, TlsConfig, TrustSource,
};
use proofmark_policy::NoMatch;
use serde_json::json;

use crate::args::RegistryArgs;
use crate::context::{Context, read_file};
use crate::failure::{Exit, Failure, chain};
use crate::keys;
use crate::trusting;
use crate::verb::initialize::repository;
use crate::verb::policy::policy_files;
use crate::verb::up::until_stopped;

mod install;

/// The Kubernetes admission webhook
#[derive(Subcommand, Debug)]
pub(crate) enum Admission {
    /// Answer AdmissionReviews over HTTPS
    Serve(Box<Serve>),
    /// Print or apply what runs the webhook in a cluster, or only what makes a cluster ask one that runs elsewhere
    Install(Box<Install>),
    /// Remove what `install` has applied
    Uninstall(Uninstall),
    /// Have a webhook look images up before they are to run
    Warm(warm::Warm),
    /// List denied images that wait for approval
    Queue(queue::Queue),
    /// Approve a denied image for a time
    Approve(queue::Approve),
    /// List the exceptions of a folder
    Exceptions(queue::ListExceptions),
}

/// Answer AdmissionReviews over HTTPS
#[derive(Args, Debug)]
pub(crate) struct Serve {
    /// Folder of policies (.yaml, .yml, .json); looked at again when it changes
    #[arg(long, value_name = "FOLDER", required_unless_present = "from_cluster")]
    policies: Option<PathBuf>,

    /// Follow the policies that are objects of the cluster: ImagePolicy, ClusterPolicy, ImageValidatingPolicy, ClusterImagePolicy
    #[arg(long)]
    from_cluster: bool,

    /// Fetch evidence with the pull secrets of Pods and of their service accounts, before our own credentials
    #[arg(long)]
    pull_secrets: bool,

    /// Secret that the replicas share their certificate authority in
    #[arg(long, value_name = "NAMESPACE/NAME")]
    tls_secret: Option<String>,

    /// Webhook configurations that are given the authority's certificate, now and when it is renewed
    #[arg(long, value_name = "NAME")]
    register: Option<String>,

    /// The cluster (default: KUBECONFIG, ~/.kube/config, or the one that this runs in)
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,

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

    /// Answer OPA Gatekeeper's external data on /gatekeeper, to clients with a certificate of this authority (PEM file)
    #[arg(long, value_name = "FILE")]
    gatekeeper_ca: Option<PathBuf>,

    #[command(flatten)]
    holding: holding::Holding,

    #[command(flatten)]
    registry: RegistryArgs,
}

impl Admission {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Serve(args) => args.run(context).await,
            Self::Install(args) => args.run(context).await,
            Self::Uninstall(args) => args.run(context).await,
            Self::Warm(args) => args.run(context).await,
            Self::Queue(args) => args.run(context),
            Self::Approve(args) => args.run(context),
            Self::Exceptions(args) => args.run(context),
        }
    }
}

impl Serve {
    /// Where it listens, with which policies.
    fn say(&self, context: &Context, address: SocketAddr) {
        let none_yet = |folder: &PathBuf| policy_files(folder).is_ok_and(|files| files.is_empty());
        if let Some(folder) = self
            .policies
            .as_ref()
            .filter(|_| !self.allow_unmatched && !self.from_cluster)
            && none_yet(folder)
        {
            context.output.warn(&format!(
                "no policy is in {} yet: every image is denied",
                folder.display()
            ));
        }
        let from = match (&self.policies, self.from_cluster) {
            (Some(folder), false) => folder.display().to_string(),
            (Some(folder), true) => format!("{} and of the cluster", folder.display()),
            (None, _) => "the cluster".to_owned(),
        };
        context.output.result(
            &format!(
                "admission webhook at https://{address} with the policies in {from}; stop it with Ctrl-C\n  register it: proofmark admission install --ca {}",
                self.tls_dir.join("ca.crt").display(),
            ),
            &json!({
                "address": address, "policies": self.policies, "fromCluster": self.from_cluster,
                "ca": self.tls_dir.join("ca.crt"),
            }),
        );
    }

    /// The cluster, if anything is wanted of one.
    async fn cluster(&self) -> Result<Option<Cluster>, Failure> {
        let wanted = self.from_cluster || self.pull_secrets || self.tls_secret.is_some() || self.register.is_some();
        if !wanted {
            return Ok(None);
        }
        cluster(self.kubeconfig.as_deref()).await.map(Some)
    }

    async fn run(self, context: &Context) -> Result<(), Failure> {
        let client = Context::client(&self.registry)?;
        let tls = TlsConfig::new(self.tls_dir.clone(), self.tls_names.clone());
        let secret = self.tls_secret.as_deref().map(namespace_and_name).transpose()?;
        let cluster = self.cluster().await?;
        let mut config = match (&self.policies, &cluster) {
            (Some(folder), _) => Config::new(self.listen, tls, folder.clone(), client),
            (None, Some(cluster)) => Config::of_cluster(self.listen, tls, cluster.clone(), client),
            // The command line asks for one of them.
            (None, None) => {
                return Err(Failure::usage(
                    "flag-missing",
                    "give --policies FOLDER or --from-cluster",
                ));
            }
        };
        config.policies_of = cluster.clone().filter(|_| self.from_cluster);
        config.events = cluster.clone().filter(|_| self.from_cluster);
        config.pull_secrets = cluster.clone().filter(|_| self.pull_secrets);
        config.sharing = cluster
            .filter(|_| self.tls_secret.is_some() || self.register.is_some())
            .map(|cluster| Sharing {
                cluster,
                secret,
                configurations: self.register.clone(),
            });
        config.trust_root = trust_source(context, self.trusted_root.clone())?;
        config.open_keys = Some(keys::open_keys());
        self.holding.clone().apply(&mut config, &self.tls_dir);
        config.gatekeeper = self.gatekeeper_ca.as_deref().map(read_file).transpose()?;
        if self.allow_unmatched {
            config.no_match = NoMatch::Allow;
        }
        let server = Server::start(config).await.map_err(|error| {
            // An address that is taken is no mistake in what was written, nor a key or a cluster that cannot be reached.
            let exit = match error {
                StartError::Listen { .. } | StartError::Share(_) | StartError::Basis(BasisError::Keys { .. }) => {
                    Exit::Undecided
                }
                _ => Exit::Usage,
            };
            Failure::new(exit, error.code(), chain(&error))
        })?;
        self.say(context, server.address());
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

/// The cluster that is named, or the one that kubectl would use.
async fn cluster(kubeconfig: Option<&Path>) -> Result<Cluster, Failure> {
    Cluster::connect(kubeconfig).await.map_err(|error| unreachable(&error))
}

fn unreachable(error: &ClusterError) -> Failure {
    let exit = match error {
        ClusterError::Settings { .. } => Exit::Usage,
        _ => Exit::Undecided,
    };
    Failure::new(exit, error.code(), chain(error))
}

fn namespace_and_name(text: &str) -> Result<(String, String), Failure> {
    match text.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
            Ok((namespace.to_owned(), name.to_owned()))
        }
        _ => Err(Failure::usage(
            "tls-secret-malformed",
            format!("expected --tls-secret NAMESPACE/NAME, got \"{text}\""),
        )),
    }
}
