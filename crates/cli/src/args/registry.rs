//! Which registries are talked to, and how.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use proofmark_sign::CloudRegistryName;

/// Which registries are talked to, and how.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Registry")]
pub(crate) struct RegistryArgs {
    /// Use plain HTTP, without credentials, where TLS fails (on loopback it is always used)
    #[arg(long)]
    pub(crate) allow_http_registry: bool,

    /// This host has no TLS: speak plain HTTP to it at once, credentials included (may be repeated)
    #[arg(long, value_name = "HOST")]
    pub(crate) plain_http_registry: Vec<proofmark_types::RegistryHost>,

    /// Accept any TLS certificate of a registry, and plain HTTP; for tests
    #[arg(long)]
    pub(crate) allow_insecure_registry: bool,

    /// Credentials are those of Docker's configuration and its helpers; this changes nothing
    #[arg(long)]
    pub(crate) k8s_keychain: bool,

    /// A registry to which this process is known by its identity in the cloud: a host of Amazon ECR, Google Artifact Registry
    /// or Azure Container Registry; for another name say whose it is, as in aws=HOST, google=HOST, azure=HOST (may be repeated)
    #[arg(long, value_name = "HOST", value_parser = cloud_registry)]
    pub(crate) cloud_registry: Vec<CloudRegistryName>,

    /// User name for the registry of the image
    #[arg(long, value_name = "NAME", requires = "registry_password")]
    pub(crate) registry_username: Option<String>,

    /// Password for the registry of the image; others can see it in the list of processes
    #[arg(
        long,
        value_name = "PASSWORD",
        requires = "registry_username",
        conflicts_with = "registry_token"
    )]
    pub(crate) registry_password: Option<String>,

    /// Bearer token for the registry of the image
    #[arg(long, value_name = "TOKEN")]
    pub(crate) registry_token: Option<String>,

    /// Trust the authorities in this PEM file too when talking to registries
    #[arg(long, value_name = "FILE")]
    pub(crate) registry_cacert: Option<PathBuf>,

    /// Certificate that registries know this client by (PEM file)
    #[arg(long, value_name = "FILE", requires = "registry_client_key")]
    pub(crate) registry_client_cert: Option<PathBuf>,

    /// Private key of that certificate (PEM file)
    #[arg(long, value_name = "FILE", requires = "registry_client_cert")]
    pub(crate) registry_client_key: Option<PathBuf>,

    /// Name that the registry's TLS certificate is to have, where it is not the host's
    #[arg(long, value_name = "NAME")]
    pub(crate) registry_server_name: Option<String>,

    /// How long a registry may take to answer, and between two pieces of an answer (default: 30)
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) registry_timeout: Option<u64>,

    /// Keep and look for evidence in this repository instead of the image's own (or COSIGN_REPOSITORY)
    #[arg(long, value_name = "REPOSITORY")]
    pub(crate) evidence_repository: Option<proofmark_types::Repository>,

    /// Prefix of the .sig, .att and .sbom tags
    #[arg(long, value_name = "PREFIX")]
    pub(crate) attachment_tag_prefix: Option<String>,
}

fn cloud_registry(text: &str) -> Result<CloudRegistryName, String> {
    CloudRegistryName::parse(text).map_err(|error| error.to_string())
}

/// How cosign's `.sig` manifests hang on the image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReferrersMode {
    /// By tag.
    #[default]
    Legacy,
    /// As a referrer (experimental: COSIGN_EXPERIMENTAL=1).
    #[value(name = "oci-1-1")]
    Oci11,
}

/// `--registry-referrers-mode`, of the verbs that write what is older than bundles.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct ReferrersModeArgs {
    /// How what is older than bundles hangs on the image
    #[arg(long, value_name = "MODE", value_enum)]
    pub(crate) registry_referrers_mode: Option<ReferrersMode>,
}
