//! Reading the three files: bounded, and with the file's name in every error.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use proofmark_verify::{TrustRoot, TrustRootError};
use serde::Deserialize;
use thiserror::Error;

use crate::client_trust_config::{self, ClientTrustConfig, ClientTrustConfigError};
use crate::signing_config::{SigningConfig, SigningConfigError};

/// Reads `trusted_root.json`; of a trust config, its trust root.
pub fn load_trust_root(path: &Path) -> Result<TrustRoot, LoadError> {
    let bytes = read(path)?;
    if is_client_trust_config(&bytes) {
        return client(path, &bytes).map(|config| config.trust_root);
    }
    TrustRoot::parse(&bytes).map_err(|source| LoadError::TrustRoot {
        path: path.to_owned(),
        source,
    })
}

/// Reads `signing_config.json`; of a trust config, its signing configuration.
pub fn load_signing_config(path: &Path) -> Result<SigningConfig, LoadError> {
    let bytes = read(path)?;
    if is_client_trust_config(&bytes) {
        return client(path, &bytes).map(|config| config.signing_config);
    }
    SigningConfig::parse(&bytes).map_err(|source| LoadError::SigningConfig {
        path: path.to_owned(),
        source,
    })
}

/// Reads a trust config.
pub fn load_client_trust_config(path: &Path) -> Result<ClientTrustConfig, LoadError> {
    client(path, &read(path)?)
}

fn client(path: &Path, bytes: &[u8]) -> Result<ClientTrustConfig, LoadError> {
    ClientTrustConfig::parse(bytes).map_err(|source| LoadError::ClientTrustConfig {
        path: path.to_owned(),
        source,
    })
}

fn is_client_trust_config(bytes: &[u8]) -> bool {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Kind {
        media_type: String,
    }
    serde_json::from_slice::<Kind>(bytes).is_ok_and(|kind| kind.media_type == client_trust_config::MEDIA_TYPE)
}

fn read(path: &Path) -> Result<Vec<u8>, LoadError> {
    let failed = |source| LoadError::Read {
        path: path.to_owned(),
        source,
    };
    let limit = client_trust_config::MAX_BYTES;
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    let read = file.take(limit + 1).read_to_end(&mut bytes).map_err(failed)?;
    if u64::try_from(read).unwrap_or(u64::MAX) > limit {
        return Err(LoadError::TooLarge {
            path: path.to_owned(),
            limit,
        });
    }
    Ok(bytes)
}

/// Why a file could not be loaded.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LoadError {
    /// It is not there, or may not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// More bytes than any of these files has.
    #[error("{} has more than {limit} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit.
        limit: u64,
    },
    /// It is no trust root.
    #[error("{} is not a trust root", path.display())]
    TrustRoot {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: TrustRootError,
    },
    /// It is no signing configuration.
    #[error("{} is not a signing configuration", path.display())]
    SigningConfig {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: SigningConfigError,
    },
    /// It is no trust config.
    #[error("{} is not a trust config", path.display())]
    ClientTrustConfig {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: ClientTrustConfigError,
    },
}

impl LoadError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Read { .. } => "file-unreadable",
            Self::TooLarge { .. } => "file-too-large",
            Self::TrustRoot { source, .. } => source.code(),
            Self::SigningConfig { source, .. } => source.code(),
            Self::ClientTrustConfig { source, .. } => source.code(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../fixtures/keyless")
            .join(name)
    }

    #[test]
    fn a_trust_config_serves_as_either() {
        let config = ClientTrustConfig {
            trust_root: load_trust_root(&fixture("trusted_root.json")).unwrap(),
            signing_config: load_signing_config(&fixture("signing_config.json")).unwrap(),
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trust_config.json");
        fs::write(&path, config.to_json()).unwrap();
        assert_eq!(load_signing_config(&path).unwrap(), config.signing_config);
        assert_eq!(load_trust_root(&path).unwrap().to_json(), config.trust_root.to_json());
        assert!(load_client_trust_config(&path).is_ok());
    }

    #[test]
    fn each_bad_file_has_its_reason() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.json");
        assert_eq!(load_trust_root(&path).unwrap_err().code(), "file-unreadable");
        assert_eq!(load_trust_root(folder.path()).unwrap_err().code(), "file-unreadable");
        assert_eq!(
            load_trust_root(Path::new("/dev/zero")).unwrap_err().code(),
            "file-too-large"
        );
        fs::write(&path, "{}").unwrap();
        assert_eq!(
            load_signing_config(&path).unwrap_err().code(),
            "signing-config-malformed"
        );
        let error = load_client_trust_config(&path).unwrap_err();
        assert_eq!(error.code(), "trust-config-malformed");
        assert!(error.to_string().contains("file.json"));
        assert!(load_trust_root(&fixture("signing_config.json")).is_err());
        assert!(load_signing_config(&fixture("trusted_root.json")).is_err());
    }
}
