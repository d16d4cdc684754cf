//! `config.json` and `auth.json`: where they are, what they say, which entry is for a repository.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::io::Read;
use std::path::Path;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proofmark_types::{RegistryHost, Repository};
use serde::Deserialize;

use super::{Credential, CredentialError, Secret};
use crate::limits::MAX_AUTH_FILE_BYTES;

/// The key that Docker's files and helpers have for Docker Hub.
const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";

/// A read authentication file.
#[derive(Debug)]
pub(super) struct AuthFile {
    /// Normalised key (`host`, `host:port`, `host/path`) to credential.
    auths: BTreeMap<String, Credential>,
    /// Normalised key to helper name.
    helpers: BTreeMap<String, String>,
    /// The helper for everything else.
    store: Option<String>,
    /// Keys of `auths` that had no value: Docker writes them to say that the store has it.
    in_store: Vec<String>,
}

/// What a file says about a repository.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Lookup {
    Credential(Credential),
    Helper { helper: String, server: String },
}

impl AuthFile {
    /// Reads a file; `None` when it does not exist.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, CredentialError> {
        let shown = path.display().to_string();
        let failed = |error: std::io::Error| CredentialError::File {
            path: shown.clone(),
            reason: error.to_string(),
        };
        let file = match std::fs::File::open(path) {
            Ok(file) => file,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let mut content = Vec::new();
        file.take(MAX_AUTH_FILE_BYTES + 1)
            .read_to_end(&mut content)
            .map_err(failed)?;
        Self::parse(&shown, &content).map(Some)
    }

    /// Parses the content of a file called `name`.
    pub(super) fn parse(name: &str, content: &[u8]) -> Result<Self, CredentialError> {
        let malformed = |reason: &str| CredentialError::Malformed {
            path: name.to_owned(),
            reason: reason.to_owned(),
        };
        if content.len() as u64 > MAX_AUTH_FILE_BYTES {
            return Err(malformed("larger than 1 MiB"));
        }
        // Podman leaves an empty file after the last logout.
        if content.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self::empty());
        }
        // A list would pass for an object with its fields in order.
        if content.trim_ascii_start().first() != Some(&b'{') {
            return Err(malformed("not a JSON object"));
        }
        // The parser's own message may quote the content; only the place is passed on.
        let raw: RawFile = serde_json::from_slice(content).map_err(|error| {
            malformed(&format!(
                "not the JSON expected, at line {} column {}",
                error.line(),
                error.column()
            ))
        })?;
        let mut file = Self::empty();
        for (key, entry) in raw.auths {
            let key = normalised(&key);
            match entry.credential() {
                Ok(Some(credential)) => {
                    file.auths.insert(key, credential);
                }
                Ok(None) => file.in_store.push(key),
                Err(reason) => return Err(malformed(&format!("entry \"{key}\": {reason}"))),
            }
        }
        for (key, helper) in raw.cred_helpers {
            file.helpers.insert(normalised(&key), helper);
        }
        file.store = raw.creds_store.filter(|name| !name.is_empty());
        Ok(file)
    }

    /// The same file, its helpers forgotten.
    pub(super) fn without_helpers(mut self) -> Self {
        self.helpers.clear();
        self.store = None;
        self
    }

    /// The most specific entry for a repository (containers-auth.json(5): `host/ns/repo`, then `host/ns`, then
    /// `host`); at each step a helper named for the key goes before a stored value, as in Docker.
    pub(super) fn lookup(&self, repository: &Repository) -> Option<Lookup> {
        let keys = keys_of(repository);
        for key in &keys {
            if let Some(helper) = self.helpers.get(key) {
                return Some(Lookup::Helper {
                    helper: helper.clone(),
                    server: server_for(key),
                });
            }
            if let Some(credential) = self.auths.get(key) {
                return Some(Lookup::Credential(credential.clone()));
            }
        }
        let helper = self.store.as_ref()?;
        let key = keys.iter().find(|key| self.in_store.contains(key));
        let host = keys.last()?;
        Some(Lookup::Helper {
            helper: helper.clone(),
            server: server_for(key.unwrap_or(host)),
        })
    }

    /// The key under which Docker keeps what is for all of a registry.
    pub(super) fn key_of(registry: &RegistryHost) -> String {
        server_for(registry.as_str())
    }

    /// Whether a key of a file names all of a registry, however it is written.
    pub(super) fn is_for(key: &str, registry: &RegistryHost) -> bool {
        normalised(key) == registry.as_str()
    }

    /// The helper that keeps what is for all of a registry, if the file names one.
    pub(super) fn helper_for(&self, registry: &RegistryHost) -> Option<String> {
        self.helpers.get(registry.as_str()).or(self.store.as_ref()).cloned()
    }

    fn empty() -> Self {
        Self {
            auths: BTreeMap::new(),
            helpers: BTreeMap::new(),
            store: None,
            in_store: Vec::new(),
        }
    }
}

/// The files to look at, first ones first; `variable` reads the environment.
pub(super) fn places(variable: impl Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = set("HOME");
    let mut places = Vec::new();
    places.extend(set("REGISTRY_AUTH_FILE"));
    places.extend(set("DOCKER_CONFIG").map(|folder| folder.join("config.json")));
    places.extend(set("XDG_RUNTIME_DIR").map(|folder| folder.join("containers/auth.json")));
    let config = set("XDG_CONFIG_HOME").or_else(|| home.as_ref().map(|home| home.join(".config")));
    places.extend(config.map(|folder| folder.join("containers/auth.json")));
    places.extend(home.map(|home| home.join(".docker/config.json")));
    places
}

/// From the most specific key to the host alone. Docker Hub's host is `docker.io` in all of them.
fn keys_of(repository: &Repository) -> Vec<String> {
    let host = repository.registry().as_str();
    let mut keys = Vec::new();
    let mut path = repository.path();
    loop {
        keys.push(format!("{host}/{path}"));
        match path.rsplit_once('/') {
            Some((parent, _)) => path = parent,
            None => break,
        }
    }
    keys.push(host.to_owned());
    keys
}

/// Docker's files have keys with a scheme and a version path (`https://host/v1/`); those name the host.
fn normalised(key: &str) -> String {
    let had_scheme = key.starts_with("https://") || key.starts_with("http://");
    let rest = key
        .strip_prefix("https://")
        .or_else(|| key.strip_prefix("http://"))
        .unwrap_or(key)
        .trim_end_matches('/');
    let (host, path) = match rest.split_once('/') {
        Some((host, path)) => (host, path),
        None => (rest, ""),
    };
    let host = host.to_ascii_lowercase();
    let host = match host.as_str() {
        "index.docker.io" | "registry-1.docker.io" => "docker.io",
        other => other,
    };
    // Docker ignores the path of a URL; Podman's keys with a path have no scheme.
    if path.is_empty() || had_scheme || matches!(path, "v1" | "v2") {
        host.to_owned()
    } else {
        format!("{host}/{path}")
    }
}

/// What a helper is asked for: Docker Hub by its URL, everything else by its key.
fn server_for(key: &str) -> String {
    if key == "docker.io" {
        DOCKER_HUB_KEY.to_owned()
    } else {
        key.to_owned()
    }
}

#[derive(Deserialize)]
struct RawFile {
    #[serde(default)]
    auths: BTreeMap<String, RawEntry>,
    #[serde(default, rename = "credHelpers")]
    cred_helpers: BTreeMap<String, String>,
    #[serde(default, rename = "credsStore")]
    creds_store: Option<String>,
}

#[derive(Deserialize)]
struct RawEntry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
    registrytoken: Option<String>,
}

impl RawEntry {
    /// `None` for an empty entry.
    fn credential(self) -> Result<Option<Credential>, &'static str> {
        let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
        if let Some(token) = filled(self.registrytoken) {
            return Ok(Some(Credential::RegistryToken(Secret::new(token))));
        }
        if let Some(token) = filled(self.identitytoken) {
            return Ok(Some(Credential::IdentityToken(Secret::new(token))));
        }
        if let Some(auth) = filled(self.auth) {
            let decoded = STANDARD.decode(auth.trim()).map_err(|_| "auth is not base64")?;
            let text = String::from_utf8(decoded).map_err(|_| "auth is not text")?;
            let (username, password) = text.split_once(':').ok_or("auth has no colon")?;
            return Ok(Some(Credential::Password {
                username: username.to_owned(),
                // Docker pads with zero bytes in old files.
                password: Secret::new(password.trim_end_matches('\0').to_owned()),
            }));
        }
        match (filled(self.username), self.password) {
            (Some(username), Some(password)) => Ok(Some(Credential::Password {
                username,
                password: Secret::new(password),
            })),
            _ => Ok(None),
        }
    }
}
