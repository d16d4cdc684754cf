//! With what is signed, and through which services: the flags of every verb that signs.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use proofmark_types::KeyReference;

use super::values::key_reference;

/// With what is signed: a key, or an identity for which a certificate is asked.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Signing")]
pub(crate) struct SigningArgs {
    /// A private key: file, env://NAME, k8s://NAMESPACE/NAME, pkcs11:…, awskms://…, gcpkms://…, azurekms://…, hashivault://…; the password of a file is asked for, or taken from COSIGN_PASSWORD
    #[arg(long, value_name = "KEY", value_parser = key_reference)]
    pub(crate) key: Option<KeyReference>,

    /// A security key (PIV); not supported: use pkcs11: with the token's module
    #[arg(long)]
    pub(crate) sk: bool,

    /// Slot of the security key
    #[arg(long, value_name = "SLOT")]
    pub(crate) slot: Option<String>,

    /// A certificate of the key that goes with the signature (PEM or DER file)
    #[arg(long, alias = "cert", value_name = "FILE", requires = "key")]
    pub(crate) certificate: Option<PathBuf>,

    /// The authorities of that certificate: intermediates first, its root last (PEM file)
    #[arg(long, alias = "cert-chain", value_name = "FILE", requires = "certificate")]
    pub(crate) certificate_chain: Option<PathBuf>,

    /// Have the certificate authority certify the key for an identity, in place of one made for this signature
    #[arg(long)]
    pub(crate) issue_certificate: bool,

    /// Trusted root that what was signed is verified against at once (or SIGSTORE_ROOT_FILE)
    #[arg(long, value_name = "FILE")]
    pub(crate) trusted_root: Option<PathBuf>,

    /// Write cosign's .sig and .att tags too, for readers older than bundles
    #[arg(long)]
    pub(crate) also_legacy: bool,

    /// With =false: write cosign's .sig and .att tags, for readers older than bundles, and no bundle
    #[arg(long, default_value_t = true)]
    pub(crate) new_bundle_format: bool,

    /// Do not ask anything
    #[arg(short = 'y', long)]
    pub(crate) yes: bool,

    #[command(flatten)]
    pub(crate) services: ServiceArgs,

    #[command(flatten)]
    pub(crate) oidc: OidcArgs,

    #[command(flatten)]
    pub(crate) timestamp_client: TimestampClientArgs,
}

/// Which authority, log and timestamp authority are asked.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Services")]
pub(crate) struct ServiceArgs {
    /// The services to sign with (signing_config.json): authority, log, timestamps
    #[arg(long, value_name = "FILE", conflicts_with = "use_signing_config")]
    pub(crate) signing_config: Option<PathBuf>,

    /// Sign with the services of the instance that is trusted (for an identity: unless others are named; for a key: only if said)
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) use_signing_config: Option<bool>,

    /// The certificate authority, where no signing configuration names it
    #[arg(long, value_name = "URL")]
    pub(crate) fulcio_url: Option<String>,

    /// The transparency log (Rekor v1), where no signing configuration names it
    #[arg(long, value_name = "URL")]
    pub(crate) rekor_url: Option<String>,

    /// The timestamp authority, where no signing configuration names it: its full URL
    #[arg(long, value_name = "URL")]
    pub(crate) timestamp_server_url: Option<String>,

    /// With =false: no log, whatever the services are
    #[arg(long, default_value_t = true)]
    pub(crate) tlog_upload: bool,

    /// A certificate's log timestamp is verified after signing; this changes nothing
    #[arg(long)]
    pub(crate) insecure_skip_verify: bool,
}

/// How a person without a token says who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum AuthFlow {
    /// With a browser on this machine.
    Normal,
    /// With a code, on any machine.
    Device,
    /// With the token given.
    Token,
    /// With the client's own secret.
    #[value(name = "client_credentials")]
    ClientCredentials,
}

/// How one's identity is proven for keyless signing.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Identity")]
pub(crate) struct OidcArgs {
    /// An identity token, or a file that holds one (default: the CI system's)
    #[arg(long, value_name = "TOKEN|FILE")]
    pub(crate) identity_token: Option<String>,

    /// Where the identity token comes from: spiffe, google, github-actions, filesystem, buildkite-agent, …
    #[arg(long, value_name = "NAME")]
    pub(crate) oidc_provider: Option<String>,

    /// Do not look for a token of the CI system or the machine
    #[arg(long)]
    pub(crate) oidc_disable_ambient_providers: bool,

    /// The OIDC issuer to log in at, where no signing configuration names it
    #[arg(long, value_name = "URL")]
    pub(crate) oidc_issuer: Option<String>,

    /// This program's client id at the issuer
    #[arg(long, value_name = "ID", default_value = "sigstore")]
    pub(crate) oidc_client_id: Option<String>,

    /// File with this program's client secret
    #[arg(long, value_name = "FILE")]
    pub(crate) oidc_client_secret_file: Option<PathBuf>,

    /// Where the issuer sends the browser back to
    #[arg(long, value_name = "URL")]
    pub(crate) oidc_redirect_url: Option<String>,

    /// How to log in where there is no token
    #[arg(long, value_name = "FLOW", value_enum)]
    pub(crate) fulcio_auth_flow: Option<AuthFlow>,
}

/// TLS towards the timestamp authority.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Timestamp authority")]
pub(crate) struct TimestampClientArgs {
    /// Trust the authorities in this PEM file for the timestamp server
    #[arg(long, value_name = "FILE")]
    pub(crate) timestamp_client_cacert: Option<PathBuf>,

    /// Certificate that the timestamp server knows this client by (PEM file)
    #[arg(long, value_name = "FILE", requires = "timestamp_client_key")]
    pub(crate) timestamp_client_cert: Option<PathBuf>,

    /// Private key of that certificate (PEM file)
    #[arg(long, value_name = "FILE", requires = "timestamp_client_cert")]
    pub(crate) timestamp_client_key: Option<PathBuf>,

    /// Name that the timestamp server's certificate is to have, where it is not the host's
    #[arg(long, value_name = "NAME")]
    pub(crate) timestamp_server_name: Option<String>,
}
