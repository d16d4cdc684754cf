//! Predicate types: their URIs, cosign's short names, and families of versions.

use std::fmt;

use thiserror::Error;

pub mod slsa;

/// The payload type of in-toto statements in an envelope.
pub const IN_TOTO_PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// What `cosign sign` (v3) states.
pub const COSIGN_SIGN: &str = "https://sigstore.dev/cosign/sign/v1";
/// cosign's `custom`.
pub const COSIGN_CUSTOM: &str = "https://cosign.sigstore.dev/attestation/v1";
/// cosign's `vuln`.
pub const COSIGN_VULN: &str = "https://cosign.sigstore.dev/attestation/vuln/v1";
/// SLSA provenance v0.2.
pub const SLSA_PROVENANCE_V02: &str = "https://slsa.dev/provenance/v0.2";
/// SLSA provenance v1.
pub const SLSA_PROVENANCE_V1: &str = "https://slsa.dev/provenance/v1";
/// SPDX documents, any version.
pub const SPDX: &str = "https://spdx.dev/Document";
/// CycloneDX documents, any version.
pub const CYCLONEDX: &str = "https://cyclonedx.org/bom";
/// in-toto links.
pub const LINK: &str = "https://in-toto.io/Link/v1";
/// OpenVEX documents.
pub const OPENVEX: &str = "https://openvex.dev/ns";

/// cosign's short names (`cosign attest --type`), and `sign` for its signatures.
const SHORT_NAMES: [(&str, &str); 12] = [
    ("custom", COSIGN_CUSTOM),
    ("slsaprovenance", SLSA_PROVENANCE_V02),
    ("slsaprovenance02", SLSA_PROVENANCE_V02),
    ("slsaprovenance1", SLSA_PROVENANCE_V1),
    ("spdx", SPDX),
    ("spdxjson", SPDX),
    ("cyclonedx", CYCLONEDX),
    ("link", LINK),
    ("vuln", COSIGN_VULN),
    ("openvex", OPENVEX),
    ("sign", COSIGN_SIGN),
    ("provenance", SLSA_PROVENANCE_V1),
];

/// The longest predicate type taken, in bytes: URIs in use are under 100, RFC 9110 §4.1 asks for 8000 to be supported
/// in general, and this one is put in annotations and messages.
const MAX_LENGTH: usize = 2048;

/// The URI that says what kind of claim a statement makes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PredicateType(String);

impl PredicateType {
    /// Takes a URI as it stands in a statement. `None` if it is empty, too long or has control characters or spaces.
    #[must_use]
    pub fn new(uri: &str) -> Option<Self> {
        let plain = |c: char| !c.is_control() && !c.is_whitespace();
        (!uri.is_empty() && uri.len() <= MAX_LENGTH && uri.chars().all(plain)).then(|| Self(uri.to_owned()))
    }

    /// What a person writes after `--type`: one of cosign's short names, or a URI.
    pub fn resolve(name: &str) -> Result<Self, PredicateTypeError> {
        let unknown = || PredicateTypeError::Unknown {
            name: name.chars().take(80).collect(),
        };
        if let Some((_, uri)) = SHORT_NAMES.iter().find(|(short, _)| *short == name) {
            return Ok(Self((*uri).to_owned()));
        }
        if !name.contains(':') {
            return Err(unknown());
        }
        Self::new(name).ok_or_else(unknown)
    }

    /// The type of a signature, [`COSIGN_SIGN`].
    #[must_use]
    pub fn signature() -> Self {
        Self(COSIGN_SIGN.to_owned())
    }

    /// The URI.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is a signature and not an attestation.
    #[must_use]
    pub fn is_signature(&self) -> bool {
        self.0 == COSIGN_SIGN
    }

    /// Whether this is `wanted`, or a version of it: `https://spdx.dev/Document/v2.3`, which actions/attest-sbom
    /// writes, is of the family `https://spdx.dev/Document`. Never the other way round, and a version never stands
    /// for another.
    #[must_use]
    pub fn matches_family(&self, wanted: &Self) -> bool {
        match self.0.strip_prefix(wanted.0.as_str()) {
            Some("") => true,
            Some(rest) => !is_versioned(&wanted.0) && rest.strip_prefix("/v").is_some_and(is_version),
            None => false,
        }
    }

    /// cosign's short name, if it has one.
    #[must_use]
    pub fn short_name(&self) -> Option<&'static str> {
        let preferred = match self.0.as_str() {
            SPDX => Some("spdxjson"),
            _ => None,
        };
        preferred.or_else(|| {
            SHORT_NAMES
                .iter()
                .find(|(_, uri)| *uri == self.0)
                .map(|(short, _)| *short)
        })
    }
}

impl fmt::Display for PredicateType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a URI ends in a version of its own, such as `…/v1`.
fn is_versioned(uri: &str) -> bool {
    uri.rsplit_once("/v").is_some_and(|(_, version)| is_version(version))
}

/// Digits, and dots between digits.
fn is_version(text: &str) -> bool {
    text.split('.')
        .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
}

/// Why a name is no predicate type.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PredicateTypeError {
    /// Neither a short name nor a URI.
    #[error(
        "unknown attestation type \"{name}\", expected custom, slsaprovenance, slsaprovenance02, slsaprovenance1, spdx, spdxjson, cyclonedx, link, vuln, openvex or a URI"
    )]
    Unknown {
        /// What was given, shortened.
        name: String,
    },
}

impl PredicateTypeError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unknown { .. } => "predicate-type-unknown",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(name: &str) -> PredicateType {
        PredicateType::resolve(name).unwrap()
    }

    #[test]
    fn short_names_are_cosigns() {
        assert_eq!(resolve("spdxjson").as_str(), "https://spdx.dev/Document");
        assert_eq!(resolve("slsaprovenance").as_str(), SLSA_PROVENANCE_V02);
        assert_eq!(resolve("https://example.com/x").as_str(), "https://example.com/x");
        assert_eq!(resolve("spdx").short_name(), Some("spdxjson"));
        assert!(resolve("sign").is_signature() && !resolve("custom").is_signature());
        for bad in ["", "sbom", "SPDX", "https://a b", "https://a\n"] {
            assert_eq!(
                PredicateType::resolve(bad).unwrap_err().code(),
                "predicate-type-unknown"
            );
        }
    }

    #[test]
    fn a_family_is_a_prefix_and_a_version() {
        let spdx = resolve("spdxjson");
        assert!(resolve("https://spdx.dev/Document/v2.3").matches_family(&spdx));
        assert!(spdx.matches_family(&spdx));
        for other in [
            "https://spdx.dev/Document/",
            "https://spdx.dev/Document/v",
            "https://spdx.dev/Document/v2.",
            "https://spdx.dev/Document/v2/x",
            "https://spdx.dev/Documents",
            "https://spdx.dev/Document/other",
        ] {
            assert!(!resolve(other).matches_family(&spdx), "{other}");
        }
        assert!(!spdx.matches_family(&resolve("https://spdx.dev/Document/v2.3")));
        assert!(!resolve("slsaprovenance").matches_family(&resolve("slsaprovenance1")));
        assert!(!resolve("https://slsa.dev/provenance/v1/v2").matches_family(&resolve("slsaprovenance1")));
        assert!(!resolve("vuln").matches_family(&resolve("custom")));
    }
}
