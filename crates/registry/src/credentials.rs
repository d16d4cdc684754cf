//! Who we are to which registry: the authentication files of Docker and Podman, their credential helpers, and
//! credentials given by the caller.
//!
//! A credential is for exactly one host, or one path of repositories on it. Nothing here guesses: no wildcard, no
//! suffix, no cloud provider recognised by its name (an unanchored pattern of that kind made cluster controllers send
//! their cloud token to `evil.azurecr.io.attacker.com`, docker-credential-acr-env issue 21).
//!
//! Formats: containers-auth.json(5), Docker's `config.json`, Kubernetes' `.dockerconfigjson`; helpers speak the
//! docker-credential-helpers protocol.

mod auth_file;
mod helper;
mod login;
mod secret;

use std::fmt;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use proofmark_types::{RegistryHost, Repository};
use thiserror::Error;

use self::auth_file::AuthFile;
use self::auth_file::Lookup;
use self::helper::HelperCache;
pub use self::login::{Kept, store_login};
pub use self::secret::Secret;

/// What is presented to a registry or its token server.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Credential {
    /// A user name and a password (or an access token in its place).
    Password {
        /// The user name.
        username: String,
        /// The password.
        password: Secret,
    },
    /// A refresh token for the token server's OAuth 2 endpoint (`identitytoken` in the files).
    IdentityToken(Secret),
    /// A bearer token for the registry itself, used as it is (`registrytoken` in the files).
    RegistryToken(Secret),
}

/// Somebody who knows the credential for a registry and renews it, such as a cloud that knows who this process is.
pub trait CredentialProvider: fmt::Debug + Send + Sync {
    /// A credential that is valid now. Asked before each token, so that it keeps what it has for as long as that is valid.
    ///
    /// Errors: why there is none, without saying anything that is secret.
    fn credential(&self) -> Pin<Box<dyn Future<Output = Result<Credential, String>> + Send + '_>>;
}

/// Where credentials come from, in order; the first source that has one for a repository decides.
#[derive(Clone, Debug, Default)]
pub struct CredentialStore {
    given: Vec<(Scope, Credential)>,
    files: Vec<Arc<AuthFile>>,
    providers: Vec<(RegistryHost, Arc<dyn CredentialProvider>)>,
    helpers: Arc<HelperCache>,
}

#[derive(Clone, Debug)]
enum Scope {
    Host(RegistryHost),
    Path(Repository),
}

impl CredentialStore {
    /// No credentials at all.
    #[must_use]
    pub fn anonymous() -> Self {
        Self::default()
    }

    /// What the environment names, in the order of Podman and Docker: the content of `DOCKER_AUTH_CONFIG` (GitLab's
    /// runners and Docker 28), the files `REGISTRY_AUTH_FILE`, `$DOCKER_CONFIG/config.json`,
    /// `$XDG_RUNTIME_DIR/containers/auth.json`, `$XDG_CONFIG_HOME/containers/auth.json` (or `~/.config/…`),
    /// `~/.docker/config.json`. Files that are not there are skipped; one that cannot be read is an error, because going
    /// on anonymously would report the wrong cause later.
    pub fn from_environment() -> Result<Self, CredentialError> {
        let mut store = match std::env::var("DOCKER_AUTH_CONFIG") {
            Ok(content) if !content.is_empty() => Self::from_json("DOCKER_AUTH_CONFIG", content.as_bytes())?,
            _ => Self::default(),
        };
        for path in auth_file::places(|name| std::env::var_os(name)) {
            store.add_file(&path)?;
        }
        Ok(store)
    }

    /// One authentication file; it must exist.
    pub fn from_file(path: &Path) -> Result<Self, CredentialError> {
        let mut store = Self::default();
        if store.add_file(path)? {
            Ok(store)
        } else {
            Err(CredentialError::File {
                path: path.display().to_string(),
                reason: "no such file".to_owned(),
            })
        }
    }

    /// The content of an authentication file, such as that of a Kubernetes secret. Helpers named in it are never run:
    /// the content is somebody else's.
    pub fn from_json(name: &str, content: &[u8]) -> Result<Self, CredentialError> {
        let mut store = Self::default();
        let file = AuthFile::parse(name, content)?.without_helpers();
        store.files.push(Arc::new(file));
        Ok(store)
    }

    /// Adds a credential for all repositories of one host; it goes before those of files.
    #[must_use]
    pub fn with_host(mut self, registry: RegistryHost, credential: Credential) -> Self {
        self.given.push((Scope::Host(registry), credential));
        self
    }

    /// Adds a credential for one repository and those below it.
    #[must_use]
    pub fn with_repository(mut self, repository: Repository, credential: Credential) -> Self {
        self.given.push((Scope::Path(repository), credential));
        self
    }

    /// Adds somebody to ask for all repositories of one host, after the files.
    #[must_use]
    pub fn with_provider(mut self, registry: RegistryHost, provider: Arc<dyn CredentialProvider>) -> Self {
        self.providers.push((registry, provider));
        self
    }

    /// Appends another store: its sources are asked after those of this one.
    #[must_use]
    pub fn then(mut self, other: Self) -> Self {
        self.given.extend(other.given);
        self.files.extend(other.files);
        self.providers.extend(other.providers);
        self
    }

    /// The credential for a repository, if any source has one. May run a credential helper.
    pub async fn lookup(&self, repository: &Repository) -> Result<Option<Credential>, CredentialError> {
        if let Some(credential) = self.lookup_given(repository) {
            return Ok(Some(credential));
        }
        for file in &self.files {
            match file.lookup(repository) {
                Some(Lookup::Credential(credential)) => return Ok(Some(credential)),
                Some(Lookup::Helper { helper, server }) => {
                    if let Some(credential) = self.helpers.get(&helper, &server).await? {
                        return Ok(Some(credential));
                    }
                }
                None => {}
            }
        }
        let provider = self.providers.iter().find(|(host, _)| host == repository.registry());
        match provider {
            Some((registry, provider)) => match provider.credential().await {
                Ok(credential) => Ok(Some(credential)),
                // To go on anonymously would report another cause.
                Err(reason) => Err(CredentialError::Provider {
                    registry: registry.to_string(),
                    reason,
                }),
            },
            None => Ok(None),
        }
    }

    fn lookup_given(&self, repository: &Repository) -> Option<Credential> {
        let path = |scope: &Repository| {
            scope.registry() == repository.registry()
                && (scope.path() == repository.path()
                    || repository
                        .path()
                        .strip_prefix(scope.path())
                        .is_some_and(|rest| rest.starts_with('/')))
        };
        let by_path = self
            .given
            .iter()
            .filter_map(|(scope, credential)| match scope {
                Scope::Path(scope) if path(scope) => Some((scope.path().len(), credential)),
                _ => None,
            })
            .max_by_key(|(length, _)| *length);
        if let Some((_, credential)) = by_path {
            return Some(credential.clone());
        }
        self.given
            .iter()
            .find(|(scope, _)| matches!(scope, Scope::Host(host) if host == repository.registry()))
            .map(|(_, credential)| credential.clone())
    }

    /// Whether the file was there.
    fn add_file(&mut self, path: &Path) -> Result<bool, CredentialError> {
        match AuthFile::read(path)? {
            Some(file) => {
                self.files.push(Arc::new(file));
                Ok(true)
            }
            None => Ok(false),
        }
    }
}

/// Why credentials could not be had. Never says what they are.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CredentialError {
    /// The file is there but cannot be read.
    #[error("cannot read the authentication file {path}: {reason}")]
    File {
        /// Its path.
        path: String,
        /// What the system said.
        reason: String,
    },
    /// The file is not what Docker or Podman write.
    #[error("the authentication file {path} is malformed: {reason}")]
    Malformed {
        /// Its path or name.
        path: String,
        /// What is wrong, without any value of it.
        reason: String,
    },
    /// A file names a helper that is no plain program name.
    #[error("\"{helper}\" is not a credential helper's name")]
    HelperName {
        /// The name given.
        helper: String,
    },
    /// The cloud, or whoever is asked for a registry, gave no credential.
    #[error("no credential for {registry}: {reason}")]
    Provider {
        /// The registry.
        registry: String,
        /// What went wrong.
        reason: String,
    },
    /// The helper did not start, failed, or answered something else than a credential.
    #[error("docker-credential-{helper} for {server}: {reason}")]
    Helper {
        /// The helper's name.
        helper: String,
        /// The server asked for.
        server: String,
        /// What went wrong.
        reason: String,
    },
}

#[cfg(test)]
mod tests;
