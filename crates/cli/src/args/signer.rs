//! Whose signature counts, and what else is trusted or waived: the flags of every verb that verifies.

use std::path::PathBuf;

use clap::Args;
use proofmark_types::KeyReference;

use super::values::key_reference;

/// What is asked of a certificate says nothing of a key: read beside one, it would be a check that is not made.
const OF_CERTIFICATES: [&str; 13] = [
    "certificate",
    "ca_roots",
    "ca_intermediates",
    "certificate_chain",
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
#[command(next_help_heading = "Whose signature counts")]
pub(crate) struct SignerArgs {
    /// A public key: file, https URL, env://NAME, k8s://NAMESPACE/NAME, pkcs11:…, awskms://…, gcpkms://…, azurekms://…, hashivault://…
    #[arg(long, value_name = "KEY", value_parser = key_reference, conflicts_with_all = OF_CERTIFICATES)]
    pub(crate) key: Option<KeyReference>,

    /// A security key (PIV); not supported: use pkcs11: with the token's module
    #[arg(long)]
    pub(crate) sk: bool,

    /// Slot of the security key
    #[arg(long, value_name = "SLOT")]
    pub(crate) slot: Option<String>,

    /// The certificate that must have signed, which the signature need not bring then (PEM file)
    #[arg(long, alias = "cert", value_name = "FILE")]
    pub(crate) certificate: Option<PathBuf>,

    /// The authority of the certificate: intermediates first, its root last (PEM file)
    #[arg(long, alias = "cert-chain", value_name = "FILE", conflicts_with_all = ["ca_roots", "ca_intermediates"])]
    pub(crate) certificate_chain: Option<PathBuf>,

    /// Roots of authorities whose certificates count (PEM file)
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_roots: Option<PathBuf>,

    /// Intermediates of those authorities (PEM file)
    #[arg(long, value_name = "FILE", requires = "ca_roots")]
    pub(crate) ca_intermediates: Option<PathBuf>,

    /// A signed certificate timestamp apart from the certificate; not supported
    #[arg(long, value_name = "FILE")]
    pub(crate) sct: Option<PathBuf>,

    /// The certificate's subject, exactly: an e-mail, a workflow's URL, a service account
    #[arg(
        long,
        alias = "cert-identity",
        value_name = "IDENTITY",
        conflicts_with = "certificate_identity_regexp"
    )]
    pub(crate) certificate_identity: Option<String>,

    /// The certificate's subject, as a regular expression that matches all of it
    #[arg(long, value_name = "REGEXP")]
    pub(crate) certificate_identity_regexp: Option<String>,

    /// The OIDC issuer in the certificate, exactly
    #[arg(
        long,
        alias = "cert-oidc-issuer",
        value_name = "URL",
        conflicts_with = "certificate_oidc_issuer_regexp"
    )]
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
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Trust")]
pub(crate) struct TrustArgs {
    /// Trusted root (trusted_root.json) with the authorities and logs that count (or SIGSTORE_ROOT_FILE)
    #[arg(long, value_name = "FILE")]
    pub(crate) trusted_root: Option<PathBuf>,

    /// Accept signatures that no transparency log has an entry for
    #[arg(long)]
    pub(crate) insecure_ignore_tlog: bool,

    /// The same, by the name that cosign had for it
    #[arg(long)]
    pub(crate) private_infrastructure: bool,

    /// Accept certificates without a signed certificate timestamp
    #[arg(long)]
    pub(crate) insecure_ignore_sct: bool,

    /// Require an RFC 3161 timestamp
    #[arg(long)]
    pub(crate) use_signed_timestamps: bool,

    /// Authority of the timestamps that count: its certificate, intermediates and root (PEM file)
    #[arg(long, value_name = "FILE")]
    pub(crate) timestamp_certificate_chain: Option<PathBuf>,

    /// No log is ever asked while verifying; this changes nothing
    #[arg(long)]
    pub(crate) offline: bool,

    /// Evidence is found in every shape; this changes nothing
    #[arg(long)]
    pub(crate) experimental_oci11: bool,

    /// Evidence is found in every shape; this changes nothing
    #[arg(long, default_value_t = true)]
    pub(crate) new_bundle_format: bool,

    /// Hash of a signature made by another program (sha224, sha256, sha384, sha512); found by itself here
    #[arg(long, value_name = "HASH")]
    pub(crate) signature_digest_algorithm: Option<String>,

    /// No log is ever asked while verifying; this changes nothing
    #[arg(long, value_name = "URL")]
    pub(crate) rekor_url: Option<String>,

    /// How many images are checked at once
    #[arg(long, value_name = "COUNT", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) max_workers: u16,
}

impl TrustArgs {
    /// Whether a log entry is waived, by either name of the flag.
    pub(crate) fn ignores_log(&self) -> bool {
        self.insecure_ignore_tlog || self.private_infrastructure
    }
}
