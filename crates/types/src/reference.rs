//! Image references by Docker's rules (distribution/reference, the grammar in its `reference.go`), with short names
//! expanded at once: there is one canonical form, and everything compares by it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use crate::digest::shortened;
use crate::{Digest, DigestError};

/// distribution/reference, `RepositoryNameTotalLengthMax`: host and path together, in bytes.
const MAX_NAME_LENGTH: usize = 255;

/// distribution/reference: `[\w][\w.-]{0,127}`.
const MAX_TAG_LENGTH: usize = 128;

/// The longest reference read at all: a name, a tag and a SHA-512 digest with their separators.
const MAX_REFERENCE_LENGTH: usize = MAX_NAME_LENGTH + MAX_TAG_LENGTH + 140;

/// The registry that names without a host belong to.
const DEFAULT_REGISTRY: &str = "docker.io";

/// The host under which Docker's older clients, and go-containerregistry, know [`DEFAULT_REGISTRY`].
const LEGACY_DEFAULT_REGISTRY: &str = "index.docker.io";

/// Which image: a repository, and in it a tag, a digest, both, or neither (then the tag `latest` is meant).
///
/// With both, the digest decides and the tag is only a label (distribution/reference, "canonical" references).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageRef {
    repository: Repository,
    tag: Option<Tag>,
    digest: Option<Digest>,
}

impl ImageRef {
    /// Reads a reference as Docker does: `nginx` is `docker.io/library/nginx`, `host:5000/a/b:tag@sha256:…` is whole.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        if text.is_empty() {
            return Err(ReferenceError::Empty);
        }
        if text.len() > MAX_REFERENCE_LENGTH {
            return Err(ReferenceError::TooLong { length: text.len() });
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(Digest::parse(digest).map_err(ReferenceError::Digest)?)),
            None => (text, None),
        };
        // A colon after the last slash starts a tag; one before it belongs to the host's port.
        let path_start = rest.rfind('/').map_or(0, |slash| slash + 1);
        let (name, tag) = match rest.get(path_start..).and_then(|last| last.split_once(':')) {
            Some((last, tag)) => {
                let name_length = path_start + last.len();
                (rest.get(..name_length).unwrap_or(rest), Some(Tag::parse(tag)?))
            }
            None => (rest, None),
        };
        Ok(Self {
            repository: Repository::parse(name)?,
            tag,
            digest,
        })
    }

    /// A reference by tag.
    #[must_use]
    pub fn tagged(repository: Repository, tag: Tag) -> Self {
        Self {
            repository,
            tag: Some(tag),
            digest: None,
        }
    }

    /// A reference by digest alone.
    #[must_use]
    pub fn pinned(repository: Repository, digest: Digest) -> Self {
        Self {
            repository,
            tag: None,
            digest: Some(digest),
        }
    }

    /// The same reference with `digest` in place of any that it had; the tag is kept beside it.
    #[must_use]
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self {
            repository: self.repository.clone(),
            tag: self.tag.clone(),
            digest: Some(digest),
        }
    }

    /// Where the image is.
    #[must_use]
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// The tag as written, if one was.
    #[must_use]
    pub fn tag(&self) -> Option<&Tag> {
        self.tag.as_ref()
    }

    /// The digest as written, if one was.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The tag that a registry is asked for when there is no digest: the one written, or `latest`.
    #[must_use]
    pub fn tag_or_latest(&self) -> Tag {
        self.tag.clone().unwrap_or_else(|| Tag("latest".to_owned()))
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.repository)?;
        match (&self.tag, &self.digest) {
            (Some(tag), Some(digest)) => write!(f, ":{tag}@{digest}"),
            (Some(tag), None) => write!(f, ":{tag}"),
            (None, Some(digest)) => write!(f, "@{digest}"),
            (None, None) => f.write_str(":latest"),
        }
    }
}

/// A registry's host, with its port if it has one: `docker.io`, `127.0.0.1:5000`, `[::1]:5000`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegistryHost(String);

impl RegistryHost {
    /// Reads a host; `index.docker.io` becomes `docker.io`.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        let malformed = || ReferenceError::Host { text: shortened(text) };
        let (host, port) = match text.strip_prefix('[') {
            Some(inner) => {
                let (address, rest) = inner.split_once(']').ok_or_else(malformed)?;
                address.parse::<std::net::Ipv6Addr>().map_err(|_| malformed())?;
                match rest.strip_prefix(':') {
                    Some(port) => (None, Some(port)),
                    None if rest.is_empty() => (None, None),
                    None => return Err(malformed()),
                }
            }
            None => match text.split_once(':') {
                Some((host, port)) => (Some(host), Some(port)),
                None => (Some(text), None),
            },
        };
        if let Some(host) = host {
            let valid_label = |label: &str| {
                !label.is_empty()
                    && !label.starts_with('-')
                    && !label.ends_with('-')
                    && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            };
            if !host.split('.').all(valid_label) {
                return Err(malformed());
            }
        }
        if let Some(port) = port {
            let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
            if !digits || port.parse::<u16>().is_err() {
                return Err(malformed());
            }
        }
        let canonical = text.to_ascii_lowercase();
        // Docker takes `A/b` for a path on the host `A`, by its upper case. In canonical form that would be `a/b`, a path on
        // Docker Hub and another image: such a host cannot be named.
        if !is_host(&canonical) {
            return Err(malformed());
        }
        if canonical == LEGACY_DEFAULT_REGISTRY {
            return Ok(Self(DEFAULT_REGISTRY.to_owned()));
        }
        Ok(Self(canonical))
    }

    /// The canonical text, `host` or `host:port`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The host and port that requests go to: Docker Hub answers elsewhere than its name says.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        if self.0 == DEFAULT_REGISTRY {
            "registry-1.docker.io"
        } else {
            &self.0
        }
    }

    /// Whether it names this machine's loopback interface: the only hosts that plain HTTP is used for unasked.
    ///
    /// By name or literal address only; nothing is resolved, so a DNS answer cannot make a foreign host loopback.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let host = match self.0.strip_prefix('[') {
            Some(inner) => inner.split(']').next().unwrap_or(inner),
            None => self.0.split(':').next().unwrap_or(&self.0),
        };
        host == "localhost"
            || host
                .parse::<std::net::IpAddr>()
                .is_ok_and(|address| address.is_loopback())
    }
}

impl fmt::Display for RegistryHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A registry and a path in it: `docker.io/library/nginx`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Repository {
    registry: RegistryHost,
    path: String,
}

impl Repository {
    /// Reads a name without tag or digest, short names expanded.
    pub fn parse(name: &str) -> Result<Self, ReferenceError> {
        if name.len() == 64 && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(ReferenceError::BareHex);
        }
        let (registry, path) = match name.split_once('/') {
            Some((first, rest)) if is_host(first) => (RegistryHost::parse(first)?, rest.to_owned()),
            _ => (RegistryHost(DEFAULT_REGISTRY.to_owned()), name.to_owned()),
        };
        let path = if registry.0 == DEFAULT_REGISTRY && !path.contains('/') {
            format!("library/{path}")
        } else {
            path
        };
        Self::new(registry, &path)
    }

    /// A repository of `registry`, its path taken as it is: nothing is expanded.
    pub fn new(registry: RegistryHost, path: &str) -> Result<Self, ReferenceError> {
        for component in path.split('/') {
            if !is_path_component(component) {
                return Err(ReferenceError::Path { text: shortened(path) });
            }
        }
        let length = registry.0.len() + 1 + path.len();
        if length > MAX_NAME_LENGTH {
            return Err(ReferenceError::TooLong { length });
        }
        Ok(Self {
            registry,
            path: path.to_owned(),
        })
    }

    /// The registry's host.
    #[must_use]
    pub fn registry(&self) -> &RegistryHost {
        &self.registry
    }

    /// The path within the registry, without leading slash.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.path)
    }
}

/// distribution/reference, `splitDockerDomain`: what makes the first component a host and not a path.
fn is_host(first: &str) -> bool {
    first == "localhost" || first.contains(['.', ':']) || first.bytes().any(|b| b.is_ascii_uppercase())
}

/// distribution/reference: `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`.
fn is_path_component(component: &str) -> bool {
    let mut separator = String::new();
    let mut seen_any = false;
    for character in component.chars() {
        match character {
            'a'..='z' | '0'..='9' => {
                let valid = match separator.as_str() {
                    "" => true,
                    _ if !seen_any => false,
                    "." | "_" | "__" => true,
                    dashes => dashes.bytes().all(|b| b == b'-'),
                };
                if !valid {
                    return false;
                }
                separator.clear();
                seen_any = true;
            }
            '.' | '_' | '-' => separator.push(character),
            _ => return false,
        }
    }
    seen_any && separator.is_empty()
}

/// A tag: `[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(String);

impl Tag {
    /// Reads a tag.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        let valid = text.len() <= MAX_TAG_LENGTH
            && text.bytes().next().is_some_and(word)
            && text.bytes().all(|b| word(b) || b == b'.' || b == b'-');
        if valid {
            Ok(Self(text.to_owned()))
        } else {
            Err(ReferenceError::Tag { text: shortened(text) })
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Text forms alike for every type of this module: parse from it, show it, carry it in documents.
macro_rules! text_form {
    ($type:ty) => {
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $type {
            type Err = ReferenceError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::parse(text)
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

text_form!(ImageRef);
text_form!(RegistryHost);
text_form!(Repository);
text_form!(Tag);

/// Why a text is not an image reference.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ReferenceError {
    /// Nothing was given.
    #[error("expected an image reference such as registry.example.com/team/app:1.0, got nothing")]
    Empty,
    /// The name, or the whole reference, is longer than registries take.
    #[error("the reference is {length} bytes long, longer than registries accept")]
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// 64 hex digits alone are a digest that lost its `sha256:`, or an image id; Docker refuses them as a name too.
    #[error("64 hex digits alone name no repository; for a digest write NAME@sha256:<hex>")]
    BareHex,
    /// The first component looks like a host but is not one.
    #[error(
        "\"{text}\" is not a registry host; expected a name with a dot or a port, or localhost (repository paths are lower-case)"
    )]
    Host {
        /// What stood there, shortened.
        text: String,
    },
    /// The path has upper-case letters or other characters that repositories may not have.
    #[error(
        "\"{text}\" is not a repository path; expected lower-case letters, digits and single separators (. _ __ -) between slashes"
    )]
    Path {
        /// What stood there, shortened.
        text: String,
    },
    /// The part after the colon is no tag.
    #[error(
        "\"{text}\" is not a tag; expected at most 128 letters, digits, '_', '.', '-', not starting with '.' or '-'"
    )]
    Tag {
        /// What stood there, shortened.
        text: String,
    },
    /// The part after the `@` is no digest.
    #[error("the digest of the reference is malformed")]
    Digest(#[source] DigestError),
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn canonical_forms_are_dockers() {
        let pinned = format!("@sha256:{HEX}");
        for (text, canonical) in [
            ("nginx", "docker.io/library/nginx:latest".to_owned()),
            ("nginx:1.27", "docker.io/library/nginx:1.27".to_owned()),
            ("bitnami/redis", "docker.io/bitnami/redis:latest".to_owned()),
            (
                "index.docker.io/library/nginx:1",
                "docker.io/library/nginx:1".to_owned(),
            ),
            ("docker.io/nginx:1", "docker.io/library/nginx:1".to_owned()),
            ("localhost/app", "localhost/app:latest".to_owned()),
            ("localhost:5000/app:v1", "localhost:5000/app:v1".to_owned()),
            ("[::1]:5000/app:v1", "[::1]:5000/app:v1".to_owned()),
            ("Registry.Example.com/a/b", "registry.example.com/a/b:latest".to_owned()),
            ("foo.bar/a__b/c-d.e", "foo.bar/a__b/c-d.e:latest".to_owned()),
            (&format!("a/b:1.0{pinned}"), format!("docker.io/a/b:1.0{pinned}")),
            (&format!("host:5000/a{pinned}"), format!("host:5000/a{pinned}")),
        ] {
            let reference = ImageRef::parse(text).unwrap();
            assert_eq!(reference.to_string(), canonical, "{text}");
            assert_eq!(ImageRef::parse(&canonical).unwrap().to_string(), canonical);
        }
    }

    #[test]
    fn each_malformed_reference_has_its_reason() {
        let reason = |text: &str| ImageRef::parse(text).unwrap_err();
        assert_eq!(reason(""), ReferenceError::Empty);
        assert_eq!(reason(HEX), ReferenceError::BareHex);
        assert!(matches!(reason("library/UPPER"), ReferenceError::Path { .. }));
        assert!(matches!(reason("a//b"), ReferenceError::Path { .. }));
        assert!(matches!(reason("a/b-/c"), ReferenceError::Path { .. }));
        assert!(matches!(reason("a/-b"), ReferenceError::Path { .. }));
        assert!(matches!(reason("a/b___c"), ReferenceError::Path { .. }));
        assert!(matches!(reason("a/b._c"), ReferenceError::Path { .. }));
        assert!(matches!(reason("app:-1"), ReferenceError::Tag { .. }));
        assert!(matches!(reason("app:"), ReferenceError::Tag { .. }));
        assert!(matches!(reason("app@sha256:12"), ReferenceError::Digest(_)));
        assert!(matches!(reason("app@latest"), ReferenceError::Digest(_)));
        assert!(matches!(reason("host:99999/app"), ReferenceError::Host { .. }));
        assert!(matches!(reason("-host.example/app"), ReferenceError::Host { .. }));
        assert!(matches!(reason("http://host.example/app"), ReferenceError::Host { .. }));
        // A host by its case alone: folded, it would name another image.
        assert!(matches!(reason("Team/app"), ReferenceError::Host { .. }));
        assert!(matches!(
            reason(&"a/".repeat(200)),
            ReferenceError::Path { .. } | ReferenceError::TooLong { .. }
        ));
        assert!(matches!(reason(&"a".repeat(4000)), ReferenceError::TooLong { .. }));
    }

    #[test]
    fn loopback_is_decided_without_asking_anyone() {
        for (host, loopback) in [
            ("localhost:5000", true),
            ("127.0.0.1", true),
            ("127.9.9.9:80", true),
            ("[::1]:5000", true),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("10.0.0.1", false),
        ] {
            assert_eq!(RegistryHost::parse(host).unwrap().is_loopback(), loopback, "{host}");
        }
    }

    proptest! {
        #[test]
        fn any_text_parses_to_its_own_canonical_form_or_fails(text in "[a-zA-Z0-9:/@._-]{0,60}") {
            if let Ok(reference) = ImageRef::parse(&text) {
                let canonical = reference.to_string();
                prop_assert_eq!(ImageRef::parse(&canonical).unwrap().to_string(), canonical);
            }
        }
    }
}
