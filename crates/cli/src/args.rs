//! The flags that verbs share. Where cosign has a flag it has the same name and meaning here; its switches take `=true`
//! and `=false` too, as people write them in scripts.

use std::path::PathBuf;

use clap::{ArgAction, Args};

/// Which registries are talked to, and how.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct RegistryArgs {
    /// Use plain HTTP for registries that are not on this machine (loopback is always allowed)
    #[arg(long, global = false)]
    pub(crate) allow_http_registry: bool,

    /// Trust the authorities in this PEM file too when talking to registries
    #[arg(long, value_name = "FILE")]
    pub(crate) registry_cacert: Option<PathBuf>,

    /// How long a registry may take to answer, and between two pieces of an answer (default: 30)
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) registry_timeout: Option<u64>,

    /// Keep and look for evidence in this repository instead of the image's own
    #[arg(long, env = "COSIGN_REPOSITORY", value_name = "REPOSITORY")]
    pub(crate) evidence_repository: Option<proofmark_types::Repository>,
}

/// What is asked of a certificate says nothing of a key: read beside one, it would be a check that is not made.
const OF_CERTIFICATES: [&str; 9] = [
    "certificate_identity",
    "certificate_identity_regexp",
    "certificate_oidc_issuer",
    "certificate_oidc_issuer_regexp",
    "certificate_github_workflow_trigger",
    "certificate_github_workflow_sha",
    "certificate_github_workflow_name",
    "certificate_github_workflow_repository",
    "certificate_github_workflow_ref",
];

/// Whose signature is acceptable. Exactly one of a key and an identity.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct SignerArgs {
    /// A public key (PEM file) whose signatures are accepted
    #[arg(long, value_name = "FILE", conflicts_with_all = OF_CERTIFICATES)]
    pub(crate) key: Option<PathBuf>,

    /// The certificate's subject, exactly: an e-mail, a workflow's URL, a service account
    #[arg(long, value_name = "IDENTITY", conflicts_with = "certificate_identity_regexp")]
    pub(crate) certificate_identity: Option<String>,

    /// The certificate's subject, as a regular expression that matches all of it
    #[arg(long, value_name = "REGEXP")]
    pub(crate) certificate_identity_regexp: Option<String>,

    /// The OIDC issuer in the certificate, exactly
    #[arg(long, value_name = "URL", conflicts_with = "certificate_oidc_issuer_regexp")]
    pub(crate) certificate_oidc_issuer: Option<String>,

    /// The OIDC issuer, as a regular expression that matches all of it
    #[arg(long, value_name = "REGEXP")]
    pub(crate) certificate_oidc_issuer_regexp: Option<String>,

    /// The event that triggered the GitHub workflow
    #[arg(long, value_name = "EVENT")]
    pub(crate) certificate_github_workflow_trigger: Option<String>,

    /// The commit that the GitHub workflow ran at
    #[arg(long, value_name = "SHA")]
    pub(crate) certificate_github_workflow_sha: Option<String>,

    /// The GitHub workflow's name
    #[arg(long, value_name = "NAME")]
    pub(crate) certificate_github_workflow_name: Option<String>,

    /// The repository of the GitHub workflow
    #[arg(long, value_name = "OWNER/NAME")]
    pub(crate) certificate_github_workflow_repository: Option<String>,

    /// The git ref that the GitHub workflow ran at
    #[arg(long, value_name = "REF")]
    pub(crate) certificate_github_workflow_ref: Option<String>,
}

/// What is trusted beside the signer, and what is waived.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct TrustArgs {
    /// Trusted root (trusted_root.json) with the authorities and logs that count
    #[arg(long, env = "SIGSTORE_ROOT_FILE", value_name = "FILE")]
    pub(crate) trusted_root: Option<PathBuf>,

    /// Accept signatures that no transparency log has an entry for
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false")]
    #[arg(action = ArgAction::Set, hide_default_value = true, hide_possible_values = true, value_name = "BOOL")]
    pub(crate) insecure_ignore_tlog: bool,

    /// Accept certificates without a signed certificate timestamp
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false")]
    #[arg(action = ArgAction::Set, hide_default_value = true, hide_possible_values = true, value_name = "BOOL")]
    pub(crate) insecure_ignore_sct: bool,

    /// Require an RFC 3161 timestamp
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false")]
    #[arg(action = ArgAction::Set, hide_default_value = true, hide_possible_values = true, value_name = "BOOL")]
    pub(crate) use_signed_timestamps: bool,
}

/// With what is signed: a key, or an identity for which a certificate is asked.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct SigningArgs {
    /// A private key (file) to sign with; its password is asked for, or taken from COSIGN_PASSWORD
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,

    /// An identity token, or a file that holds one, for keyless signing (default: the CI system's)
    #[arg(long, value_name = "TOKEN|FILE", conflicts_with = "key")]
    pub(crate) identity_token: Option<String>,

    /// The services to sign with (signing_config.json): authority, log, timestamps
    #[arg(long, value_name = "FILE")]
    pub(crate) signing_config: Option<PathBuf>,

    /// Trusted root that what was signed is verified against at once
    #[arg(long, env = "SIGSTORE_ROOT_FILE", value_name = "FILE")]
    pub(crate) trusted_root: Option<PathBuf>,

    /// Write cosign's .sig and .att tags too, for readers older than bundles
    #[arg(long)]
    pub(crate) also_legacy: bool,

    /// Do not ask anything
    #[arg(short = 'y', long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false")]
    #[arg(action = ArgAction::Set, hide_default_value = true, hide_possible_values = true, value_name = "BOOL")]
    pub(crate) yes: bool,
}

/// Reads `key=value`.
pub(crate) fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("expected key=value, got \"{text}\"")),
    }
}
