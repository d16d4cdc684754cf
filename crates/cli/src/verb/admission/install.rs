//! `admission install` and `uninstall`: the objects of the webhook, printed, applied, removed.

use std::path::PathBuf;

use clap::Args;
use proofmark_admission::{
    Cluster, Installation, Target, Workload, made_by_the_webhook, object_path, objects, objects_yaml,
    webhook_configuration,
};
use serde_json::{Value, json};

use super::{cluster, unreachable};
use crate::context::{Context, read_text};
use crate::failure::{Failure, chain};

/// How often an object is tried whose kind or namespace was made a moment before.
const ATTEMPTS: usize = 20;

/// The pause between them.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(500);

/// Print or apply what makes a cluster ask
#[derive(Args, Debug)]
pub(crate) struct Install {
    /// Image of this program: prints everything that runs the webhook in the cluster
    #[arg(long, value_name = "IMAGE", required_unless_present = "ca", conflicts_with_all = ["ca", "url"])]
    image: Option<String>,

    /// The certificate authority of a webhook that runs already (ca.crt in its --tls-dir): prints the webhook configurations
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,

    #[command(flatten)]
    place: PlaceArgs,

    /// Address of the webhook, where it does not run in the cluster: https://host:port
    #[arg(long, value_name = "URL", conflicts_with_all = ["namespace", "service"])]
    url: Option<String>,

    /// Namespace that is not asked about, beside the system's (may be repeated)
    #[arg(long, value_name = "NAMESPACE")]
    exclude_namespace: Vec<String>,

    /// How many replicas
    #[arg(long, default_value_t = 3, value_name = "NUMBER", value_parser = clap::value_parser!(u8).range(1..))]
    replicas: u8,

    /// Let images run that no policy is about
    #[arg(long)]
    allow_unmatched: bool,

    /// Fetch evidence with the pull secrets of Pods: the webhook may then read every secret of the cluster
    #[arg(long)]
    pull_secrets: bool,

    /// Apply the objects instead of printing them
    #[arg(long)]
    apply: bool,

    /// The cluster to apply them to (default: KUBECONFIG, ~/.kube/config)
    #[arg(long, value_name = "FILE", requires = "apply")]
    kubeconfig: Option<PathBuf>,
}

/// Where the webhook is
#[derive(Args, Debug)]
struct PlaceArgs {
    /// Namespace of the webhook's Service
    #[arg(long, default_value = "proofmark", value_name = "NAMESPACE")]
    namespace: String,

    /// Name of the webhook's Service
    #[arg(long, default_value = "proofmark-admission", value_name = "NAME")]
    service: String,
}

impl PlaceArgs {
    fn target(self) -> Target {
        Target::Service {
            namespace: self.namespace,
            name: self.service,
            port: 443,
        }
    }
}

impl Install {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let objects = self.objects()?;
        if self.apply {
            let cluster = cluster(self.kubeconfig.as_deref()).await?;
            for object in &objects {
                apply(&cluster, object).await?;
            }
            let names: Vec<String> = objects.iter().map(called).collect();
            context
                .output
                .result(&format!("applied {}", names.join(", ")), &json!({ "applied": names }));
        } else if context.output.is_json() {
            context
                .output
                .result("", &json!({ "apiVersion": "v1", "kind": "List", "items": objects }));
        } else {
            context.output.document(objects_yaml(&objects).trim_end().as_bytes());
        }
        Ok(())
    }

    fn objects(&self) -> Result<Vec<Value>, Failure> {
        let unusable = |error| Failure::usage("installation-unusable", chain(&error));
        let place = PlaceArgs {
            namespace: self.place.namespace.clone(),
            service: self.place.service.clone(),
        };
        let target = self.url.clone().map_or_else(|| place.target(), Target::Url);
        if let Some(image) = &self.image {
            let mut installation = Installation::self_registering(target);
            installation.excluded_namespaces = self.exclude_namespace.clone();
            let mut workload = Workload::new(image.clone());
            workload.replicas = self.replicas;
            workload.allow_unmatched = self.allow_unmatched;
            workload.pull_secrets = self.pull_secrets;
            return objects(&installation, &workload).map_err(unusable);
        }
        let Some(ca) = &self.ca else {
            // The command line asks for one of them.
            return Err(Failure::usage("flag-missing", "give --image IMAGE or --ca FILE"));
        };
        let authorities = read_text(ca)?;
        if authorities.contains("PRIVATE KEY-----") {
            // authority.pem lies beside ca.crt; what is printed here everyone in the cluster can read.
            return Err(Failure::usage(
                "installation-unusable",
                format!("{} holds a private key, which is not for the cluster", ca.display()),
            )
            .with_hint("give ca.crt of the webhook's --tls-dir"));
        }
        let mut installation = Installation::new(target, authorities);
        installation.excluded_namespaces = self.exclude_namespace.clone();
        let objects = webhook_configuration(&installation).map_err(unusable)?;
        Ok(objects.to_vec())
    }
}

/// A namespace and a kind of object are usable a moment after they were made.
async fn apply(cluster: &Cluster, object: &Value) -> Result<(), Failure> {
    let path = object_path(object).unwrap_or_default();
    let mut attempt = 0;
    loop {
        attempt += 1;
        match cluster.apply(&path, object).await {
            Ok(_) => return Ok(()),
            Err(error) if error.is_absent() && attempt < ATTEMPTS => tokio::time::sleep(PAUSE).await,
            Err(error) => return Err(unreachable(&error)),
        }
    }
}

fn called(object: &Value) -> String {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    format!("{} {}", text("/kind"), text("/metadata/name"))
}

/// Remove what `install --image` has applied
#[derive(Args, Debug)]
pub(crate) struct Uninstall {
    #[command(flatten)]
    place: PlaceArgs,

    /// Leave the kind ImagePolicy and all policies of it
    #[arg(long)]
    keep_policies: bool,

    /// The cluster (default: KUBECONFIG, ~/.kube/config)
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
}

impl Uninstall {
    /// The webhook configurations go first: from then on nobody is asked, and what is left to do cannot block a cluster.
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let installation = Installation::self_registering(self.place.target());
        let unusable = |error| Failure::usage("installation-unusable", chain(&error));
        let mut objects = objects(&installation, &Workload::new(String::new())).map_err(unusable)?;
        if self.keep_policies {
            objects.retain(|object| object["kind"] != "CustomResourceDefinition");
        }
        let mut paths: Vec<String> = objects.iter().filter_map(object_path).collect();
        // Behind the namespace, so that it goes before.
        paths.splice(1..1, made_by_the_webhook(&installation));
        let cluster = cluster(self.kubeconfig.as_deref()).await?;
        let mut removed = Vec::new();
        for path in paths.iter().rev() {
            if cluster.delete(path).await.map_err(|error| unreachable(&error))? {
                removed.push(path.as_str());
            }
        }
        let text = match removed.len() {
            0 => "nothing was installed".to_owned(),
            number => format!("removed {number} objects"),
        };
        context.output.result(&text, &json!({ "removed": removed }));
        Ok(())
    }
}
