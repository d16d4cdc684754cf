//! `env`: the environment variables that are read, and what they are set to.

use clap::Args;
use serde_json::{Map, json};

use crate::context::Context;
use crate::failure::Failure;

/// Print the environment variables that are read, and what they are set to
#[derive(Args, Debug)]
pub(crate) struct Env {
    /// Say what each is for
    #[arg(long, default_value_t = true)]
    show_descriptions: bool,

    /// Show the values of secrets too
    #[arg(long)]
    show_sensitive_values: bool,
}

/// A variable: its name, what it is for, what it expects, whether it is a secret.
type Variable = (&'static str, &'static str, &'static str, bool);

const VARIABLES: &[Variable] = &[
    (
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
        "is what GitHub's identity provider wants to see",
        "a bearer token",
        true,
    ),
    (
        "ACTIONS_ID_TOKEN_REQUEST_URL",
        "is GitHub's identity provider",
        "a URL",
        false,
    ),
    (
        "AWS_ACCESS_KEY_ID",
        "is an account of AWS KMS",
        "an access key id",
        false,
    ),
    ("AWS_SECRET_ACCESS_KEY", "is its secret", "a secret access key", true),
    ("AWS_SESSION_TOKEN", "is a session of it", "a session token", true),
    (
        "BUILDKITE_AGENT_ACCESS_TOKEN",
        "is the Buildkite agent's",
        "an access token",
        true,
    ),
    (
        "BUILDKITE_AGENT_ENDPOINT",
        "is the Buildkite agent's API",
        "a URL",
        false,
    ),
    (
        "BUILDKITE_AGENT_LOG_LEVEL",
        "is the Buildkite agent's",
        "debug, notice, info, error, warn or fatal",
        false,
    ),
    (
        "BUILDKITE_JOB_ID",
        "is the job that an identity token is asked for",
        "an id",
        false,
    ),
    (
        "COSIGN_DOCKER_MEDIA_TYPES",
        "is for registries that do not know OCI media types; not needed here",
        "1",
        false,
    ),
    ("COSIGN_EXPERIMENTAL", "changes nothing here", "1", false),
    (
        "COSIGN_MAX_ATTACHMENT_SIZE",
        "is the largest attachment that is read",
        "a size, e.g. 45MiB",
        false,
    ),
    ("COSIGN_PASSWORD", "is the password of key files", "a password", true),
    (
        "COSIGN_PKCS11_IGNORE_CERTIFICATE",
        "leaves certificates of tokens alone",
        "1",
        false,
    ),
    (
        "COSIGN_PKCS11_MODULE_PATH",
        "is the library of a PKCS #11 token",
        "a path",
        false,
    ),
    ("COSIGN_PKCS11_PIN", "is the PIN of a PKCS #11 token", "a PIN", true),
    (
        "COSIGN_REPOSITORY",
        "is where evidence is kept instead of the image's own repository",
        "a repository",
        false,
    ),
    ("GITHUB_HOST", "is a GitHub Enterprise server", "a URL", false),
    (
        "GITHUB_TOKEN",
        "is for GitHub's secrets; not read here",
        "a token",
        true,
    ),
    ("GITLAB_HOST", "is a GitLab server", "a URL", false),
    (
        "GITLAB_TOKEN",
        "is for GitLab's variables; not read here",
        "a token",
        true,
    ),
    (
        "GOOGLE_SERVICE_ACCOUNT_NAME",
        "is whom to sign as on Google Cloud",
        "a service account",
        false,
    ),
    ("PROOFMARK_DB", "is the advisory database", "a path", false),
    (
        "PROOFMARK_LOG",
        "is what is logged on standard error",
        "a filter, e.g. debug",
        false,
    ),
    (
        "PROOFMARK_OFFLINE",
        "keeps the trust root from being refreshed in the background",
        "1",
        false,
    ),
    (
        "SIGSTORE_CT_LOG_PUBLIC_KEY_FILE",
        "replaces the certificate logs of the default trust root",
        "a PEM file",
        false,
    ),
    ("SIGSTORE_ID_TOKEN", "is an identity to sign with", "a token", true),
    (
        "SIGSTORE_REKOR_PUBLIC_KEY",
        "replaces the transparency logs of the default trust root",
        "a PEM file",
        false,
    ),
    (
        "SIGSTORE_ROOT_FILE",
        "is the trust root, or replaces its certificate authorities",
        "a trusted_root.json, or a PEM file",
        false,
    ),
    (
        "SIGSTORE_TSA_CERTIFICATE_FILE",
        "replaces the timestamp authorities of the default trust root",
        "a PEM file",
        false,
    ),
    (
        "SOURCE_DATE_EPOCH",
        "is the time that documents are dated with",
        "seconds since 1970",
        false,
    ),
    (
        "SPIFFE_ENDPOINT_SOCKET",
        "is the SPIFFE workload API",
        "a socket's path",
        false,
    ),
    (
        "TUF_MIRROR",
        "is the TUF repository that the default trust root is taken from",
        "a URL",
        false,
    ),
    (
        "TUF_ROOT",
        "is where copies of TUF repositories are kept, in its folder proofmark",
        "a path",
        false,
    ),
    (
        "TUF_ROOT_JSON",
        "is the root that `initialize` begins with",
        "a path",
        false,
    ),
    ("VAULT_ADDR", "is a HashiCorp Vault or OpenBao server", "a URL", false),
    ("VAULT_TOKEN", "is a token for it", "a token", true),
];

impl Env {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let (mut text, mut values) = (String::new(), Map::new());
        for (name, what, expects, secret) in VARIABLES {
            let value = std::env::var(name).unwrap_or_default();
            let shown = if *secret && !self.show_sensitive_values && !value.is_empty() {
                "******".to_owned()
            } else {
                value
            };
            if self.show_descriptions {
                text.push_str(&format!("# {name} {what}\n# Expects: {expects}\n"));
            }
            text.push_str(&format!("{name}={shown}\n"));
            values.insert((*name).to_owned(), json!(shown));
        }
        context.output.result(&text, &values);
        Ok(())
    }
}
