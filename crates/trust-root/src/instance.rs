//! The instances that this program knows without being told: their addresses, and the data it was built with
//! (`embedded/README.md` says where that comes from).

use std::fmt;

use proofmark_types::UnixTime;

/// An instance of the services that is known by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Instance {
    /// The public good instance, `sigstore.dev`.
    Public,
    /// Its staging copy, `sigstage.dev`; nothing that it vouches for is worth believing.
    Staging,
    /// GitHub's, for artifact attestations of private repositories.
    GitHub,
}

/// When the embedded copies were taken from their repositories: 2026-10-23, in seconds.
const TAKEN: i64 = 1_792_713_600;

impl Instance {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Public, Self::Staging, Self::GitHub];

    /// A word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Staging => "staging",
            Self::GitHub => "github",
        }
    }

    /// Where its TUF repository is.
    #[must_use]
    pub fn mirror(self) -> &'static str {
        match self {
            Self::Public => "https://tuf-repo-cdn.sigstore.dev",
            Self::Staging => "https://tuf-repo-cdn.sigstage.dev",
            Self::GitHub => "https://tuf-repo.github.com",
        }
    }

    /// The TUF root that a refresh starts from.
    #[must_use]
    pub fn tuf_root(self) -> &'static [u8] {
        match self {
            Self::Public => include_bytes!("../embedded/public/root.json"),
            Self::Staging => include_bytes!("../embedded/staging/root.json"),
            Self::GitHub => include_bytes!("../embedded/github/root.json"),
        }
    }

    /// Its `trusted_root.json` when this program was built.
    #[must_use]
    pub fn trusted_root(self) -> &'static [u8] {
        match self {
            Self::Public => include_bytes!("../embedded/public/trusted_root.json"),
            Self::Staging => include_bytes!("../embedded/staging/trusted_root.json"),
            Self::GitHub => include_bytes!("../embedded/github/trusted_root.json"),
        }
    }

    /// Its `signing_config.v0.2.json` when this program was built; GitHub's is for nobody but GitHub.
    #[must_use]
    pub fn signing_config(self) -> Option<&'static [u8]> {
        match self {
            Self::Public => Some(include_bytes!("../embedded/public/signing_config.v0.2.json")),
            Self::Staging => Some(include_bytes!("../embedded/staging/signing_config.v0.2.json")),
            Self::GitHub => None,
        }
    }

    /// When these copies were taken from the repository.
    #[must_use]
    pub fn taken(self) -> UnixTime {
        UnixTime::from_seconds(TAKEN).unwrap_or_else(|error| unreachable!("a time of this century: {error}"))
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use proofmark_verify::TrustRoot;

    use super::*;
    use crate::SigningConfig;

    #[test]
    fn what_is_embedded_can_be_used() {
        for instance in Instance::ALL {
            let root = TrustRoot::parse(instance.trusted_root()).unwrap();
            // Staging's first certificate log had a key in PKCS#1, which no client reads any more.
            let unread = usize::from(instance == Instance::Staging);
            assert_eq!(root.unsupported().len(), unread, "{instance}: {:?}", root.unsupported());
            assert!(!root.certificate_authorities().is_empty(), "{instance}");
            if let Some(config) = instance.signing_config() {
                let config = SigningConfig::parse(config).unwrap();
                assert!(config.certificate_authority(instance.taken()).is_ok(), "{instance}");
                assert!(
                    !config.logs(&[1, 2], instance.taken()).unwrap().is_empty(),
                    "{instance}"
                );
            }
        }
        assert_eq!(Instance::Public.taken().to_string(), "2026-10-23T00:00:00Z");
    }
}
