//! What can go wrong between us and a registry, told apart so that a caller can act: nothing there, no right to it,
//! try later, could not reach it, or it lied.

use std::time::Duration;

use proofmark_types::{Digest, ReferenceError};
use thiserror::Error;

use crate::credentials::CredentialError;

/// Why an operation on a registry or a local image source failed.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// The registry answered that there is no such repository, tag, manifest or blob.
    #[error("{what} was not found")]
    NotFound {
        /// What was asked for, with its place.
        what: String,
    },
    /// The registry wants credentials, or did not accept those it was given.
    #[error("{registry} refused the credentials for {what}: {reason}")]
    Unauthorized {
        /// The registry's host.
        registry: String,
        /// What was asked for.
        what: String,
        /// What was sent, and what the registry said.
        reason: String,
    },
    /// The credentials are good but do not permit this.
    #[error("{registry} denied {what}: {reason}")]
    Denied {
        /// The registry's host.
        registry: String,
        /// What was asked for.
        what: String,
        /// What the registry said.
        reason: String,
    },
    /// The registry asked us to slow down, for longer than the budget allows.
    #[error("{registry} is limiting requests (status {status}) after {attempts} attempts")]
    Throttled {
        /// The registry's host.
        registry: String,
        /// 429 or 503.
        status: u16,
        /// How often it was asked.
        attempts: u32,
        /// How long it wants to be left alone, if it said so.
        retry_after: Option<Duration>,
    },
    /// No connection, or one that broke: name resolution, refused, reset, TLS.
    #[error("cannot reach {registry}: {reason}")]
    Unreachable {
        /// The host that was tried.
        registry: String,
        /// What the network said, causes included.
        reason: String,
    },
    /// The other side is there but does not answer in time.
    #[error("{registry} did not {stage} within {after:?}")]
    Timeout {
        /// The host that was tried.
        registry: String,
        /// What it should have done: `accept the connection`, `answer`, `send more data`.
        stage: &'static str,
        /// How long we waited.
        after: Duration,
    },
    /// A body, list or number larger than its named limit.
    #[error("{what} is larger than the limit of {limit} {unit}")]
    TooLarge {
        /// What it is.
        what: String,
        /// The limit.
        limit: u64,
        /// What is counted: `bytes`, `entries`, `pages`.
        unit: &'static str,
    },
    /// The bytes received are not those that were asked for: the registry, or something before it, changed them.
    #[error("{what} hashes to {seen}, expected {expected}")]
    DigestMismatch {
        /// What it is.
        what: String,
        /// The digest asked for.
        expected: Digest,
        /// The digest of what came.
        seen: Digest,
    },
    /// Fewer or more bytes than the descriptor says.
    #[error("{what} has {seen} bytes, its descriptor says {expected}")]
    SizeMismatch {
        /// What it is.
        what: String,
        /// The number in the descriptor.
        expected: u64,
        /// The number received, or announced; when the body was cut off at the limit, one more than expected.
        seen: u64,
    },
    /// An answer that breaks the specification so that nothing can be made of it.
    #[error("{what} is malformed: {reason}")]
    Malformed {
        /// What it is.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A redirect, or an upload location, that we do not follow.
    #[error("refused to follow {from} to {to}: {reason}")]
    RedirectRefused {
        /// The URL that answered, without its query.
        from: String,
        /// Where it points, without its query (a signed URL is a secret).
        to: String,
        /// Which rule it breaks.
        reason: &'static str,
    },
    /// The registry names a token server that our credentials are not for.
    #[error("{registry} names the token server {realm}: {reason}")]
    RealmRefused {
        /// The registry's host.
        registry: String,
        /// The token server named.
        realm: String,
        /// Which rule it breaks.
        reason: &'static str,
    },
    /// A status that the specification does not give for this request.
    #[error("{registry} answered {status} to {what}: {reason}")]
    UnexpectedStatus {
        /// The registry's host.
        registry: String,
        /// What was asked for.
        what: String,
        /// The HTTP status.
        status: u16,
        /// What the registry said, shortened.
        reason: String,
    },
    /// The manifest was stored, but the list of referrers does not have it: other writers kept removing it from the
    /// fallback tag, or the registry does not bring its list up to date.
    #[error("{manifest} is stored but not listed by {place} after {attempts} attempts")]
    NotListed {
        /// The manifest that was to be listed.
        manifest: Digest,
        /// The list: the referrers API, or a fallback tag.
        place: String,
        /// How often the list was written or read.
        attempts: u32,
    },
    /// An authentication file or helper could not be read.
    #[error(transparent)]
    Credentials(#[from] CredentialError),
    /// A name that is no reference, for instance a digest too long for a tag.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// A layout or archive holds several images and none was named.
    #[error("{place}: {reason}")]
    NameNeeded {
        /// The folder or file.
        place: String,
        /// How many there are, and their names where they are known.
        reason: String,
    },
    /// A file of a local image could not be read.
    #[error("cannot read {path}: {reason}")]
    Local {
        /// The file or folder.
        path: String,
        /// What the system said.
        reason: String,
    },
    /// A folder is about another image, and would be about neither if this one were put into it.
    #[error("{folder} holds another image, {by}; nothing was written")]
    FolderTaken {
        /// The folder.
        folder: String,
        /// The name of the image there, or its digest.
        by: String,
    },
    /// A request could not be made at all, for instance because a certificate given to the builder is no certificate.
    #[error("cannot set up the connection: {reason}")]
    Setup {
        /// What is wrong.
        reason: String,
    },
}

impl RegistryError {
    /// The stable name of this kind of error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "not-found",
            Self::Unauthorized { .. } => "unauthorized",
            Self::Denied { .. } => "denied",
            Self::Throttled { .. } => "throttled",
            Self::Unreachable { .. } => "unreachable",
            Self::Timeout { .. } => "timeout",
            Self::TooLarge { .. } => "too-large",
            Self::DigestMismatch { .. } => "digest-mismatch",
            Self::SizeMismatch { .. } => "size-mismatch",
            Self::Malformed { .. } => "malformed",
            Self::RedirectRefused { .. } => "redirect-refused",
            Self::RealmRefused { .. } => "realm-refused",
            Self::UnexpectedStatus { .. } => "unexpected-status",
            Self::NotListed { .. } => "referrer-not-listed",
            Self::Credentials(_) => "credentials",
            Self::Reference(_) => "invalid-reference",
            Self::NameNeeded { .. } => "image-name-needed",
            Self::Local { .. } => "local-image-unreadable",
            Self::FolderTaken { .. } => "folder-taken",
            Self::Setup { .. } => "setup",
        }
    }

    /// What a person can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::NotFound { .. } => {
                "check the name and tag; some registries also say this when the credentials do not permit reading"
            }
            Self::Unauthorized { reason, .. } if reason.starts_with("TLS does not work there") => {
                "name the host with --plain-http-registry HOST if it has no TLS and the network between is trusted"
            }
            Self::Unauthorized { .. } => {
                "log in with `proofmark login`, `docker login` or `podman login` for exactly this host, or name the file with DOCKER_CONFIG or REGISTRY_AUTH_FILE"
            }
            Self::Denied { .. } => "the account is known but has no permission for this repository; ask its owner",
            Self::Throttled { .. } => "wait and try again; signing in usually raises the limit",
            Self::Unreachable { reason, .. }
                if reason.contains("TLS")
                    || reason.contains("certificate")
                    || reason.contains("InvalidContentType") =>
            {
                "if the registry speaks plain HTTP allow it explicitly; if its certificate is your own, name the authority's file"
            }
            Self::Unreachable { .. } => "check the host name, the port and the network",
            Self::Timeout { .. } => "the registry is overloaded or a firewall drops the connection; try again",
            Self::TooLarge { .. } => "no genuine content of this kind is that large; the limit protects this process",
            Self::DigestMismatch { .. } | Self::SizeMismatch { .. } => {
                "the registry or a proxy before it returned other content than was asked for; do not trust it"
            }
            Self::Malformed { .. } => "is there a web page or a proxy in place of the registry?",
            Self::RedirectRefused { .. } => "the registry sends us to a place that it must not; see the rule named",
            Self::RealmRefused { .. } => "if this token server is right, name it as trusted for this registry",
            Self::UnexpectedStatus { .. } => "see the registry's log",
            Self::NotListed { .. } => {
                "many processes attach to this image at once, or the registry is behind with its list; run the command again"
            }
            Self::Credentials(_) => "fix or remove the entry",
            Self::NameNeeded { .. } => "name the image by its tag, its full name or its digest",
            Self::Local { .. } => "check the path and its permissions",
            Self::FolderTaken { .. } => "save each image in a folder of its own",
            Self::Reference(_) | Self::Setup { .. } => return None,
        })
    }

    /// Whether the registry said for certain that the thing does not exist.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// Whether nothing is known because the registry could not be asked: a verdict stays undecided.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Timeout { .. } | Self::Throttled { .. } => true,
            Self::UnexpectedStatus { status, .. } => *status >= 500,
            _ => false,
        }
    }

    /// Whether credentials are missing, wrong or insufficient.
    #[must_use]
    pub fn is_unauthorized(&self) -> bool {
        matches!(
            self,
            Self::Unauthorized { .. } | Self::Denied { .. } | Self::Credentials(_) | Self::RealmRefused { .. }
        )
    }
}
