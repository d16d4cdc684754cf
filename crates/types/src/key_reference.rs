//! Where a key lives, as people write it in `--key`, in policies and in configuration: one parser for all of them.
//!
//! | text | key |
//! |---|---|
//! | `cosign.key`, `/path/cosign.pub` | a file |
//! | `https://host/cosign.pub` | a public key to be fetched |
//! | `env://NAME` | an environment variable that holds the key |
//! | `k8s://namespace/name` | a Kubernetes secret with `cosign.key`, `cosign.pub` and `cosign.password` |
//! | `pkcs11:token=..;object=..` | a token (RFC 7512) |
//! | `awskms://[ENDPOINT]/KEY` | AWS KMS; the key is an id, an ARN or `alias/NAME` |
//! | `gcpkms://projects/../cryptoKeys/K[/versions/V]` | Google Cloud KMS |
//! | `azurekms://VAULT.vault.azure.net/KEY[/VERSION]` | Azure Key Vault |
//! | `hashivault://KEY`, `openbao://KEY` | the transit engine of HashiCorp Vault or OpenBao |
//!
//! Parsing opens nothing. No value of this type shows a secret: a PIN in a PKCS #11 URI is kept, and masked when shown.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

mod pkcs11;

pub use pkcs11::{Pkcs11Error, Pkcs11Uri};

/// The longest reference taken, in bytes: an ARN or a Google resource name with every part at its limit has under 512,
/// a PKCS #11 URI with a percent-encoded id and two paths under 4096.
const MAX_LENGTH: usize = 4096;

/// Where a key lives. Made by parsing; [`fmt::Display`] writes what parses to the same value, except for a PIN.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum KeyReference {
    /// A file, by its path.
    File(String),
    /// An `https` address of a public key.
    Url(String),
    /// An environment variable that holds the key, by its name.
    Environment(String),
    /// A secret of a Kubernetes cluster.
    Kubernetes {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// A key in a PKCS #11 token.
    Pkcs11(Pkcs11Uri),
    /// A key in AWS KMS.
    Aws {
        /// Host (and port) of another endpoint than the region's own.
        endpoint: Option<String>,
        /// An id, an ARN or `alias/NAME`.
        key: String,
    },
    /// A key in Google Cloud KMS.
    Google {
        /// `projects/P/locations/L/keyRings/R/cryptoKeys/K`, perhaps with `/cryptoKeyVersions/V`.
        resource: String,
    },
    /// A key in Azure Key Vault.
    Azure {
        /// The vault's host.
        vault: String,
        /// The key's name.
        name: String,
        /// One version of it; the newest otherwise.
        version: Option<String>,
    },
    /// A key in the transit engine of HashiCorp Vault or OpenBao.
    Vault {
        /// The key's name.
        key: String,
    },
}

impl KeyReference {
    /// Reads a reference.
    pub fn parse(text: &str) -> Result<Self, KeyReferenceError> {
        if text.is_empty() {
            return Err(KeyReferenceError::Empty);
        }
        if text.len() > MAX_LENGTH {
            return Err(KeyReferenceError::TooLong { seen: text.len() });
        }
        // Never quoted in the error: it may be a private key.
        if text.trim_start().starts_with("-----BEGIN") {
            return Err(KeyReferenceError::KeyItself);
        }
        if text.chars().any(char::is_control) {
            return Err(KeyReferenceError::ControlCharacter);
        }
        if text.starts_with("pkcs11:") {
            return Ok(Self::Pkcs11(Pkcs11Uri::parse(text)?));
        }
        match text.split_once("://") {
            Some((scheme, rest)) if is_scheme(scheme) => Self::of_scheme(scheme, rest),
            _ => Ok(Self::File(text.to_owned())),
        }
    }

    /// Which kind of place it is, for messages.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Url(_) => "URL",
            Self::Environment(_) => "environment variable",
            Self::Kubernetes { .. } => "Kubernetes secret",
            Self::Pkcs11(_) => "PKCS #11 token",
            Self::Aws { .. } => "AWS KMS key",
            Self::Google { .. } => "Google Cloud KMS key",
            Self::Azure { .. } => "Azure Key Vault key",
            Self::Vault { .. } => "Vault transit key",
        }
    }

    fn of_scheme(scheme: &str, rest: &str) -> Result<Self, KeyReferenceError> {
        let malformed = |expected: &'static str| KeyReferenceError::Malformed {
            scheme: scheme.to_owned(),
            expected,
        };
        match scheme {
            "file" => match rest {
                "" => Err(malformed("file://PATH")),
                path => Ok(Self::File(path.to_owned())),
            },
            "https" => url(rest).ok_or_else(|| malformed("https://HOST/PATH without user information")),
            "http" => Err(KeyReferenceError::Unencrypted),
            "env" => match is_variable(rest) {
                true => Ok(Self::Environment(rest.to_owned())),
                false => Err(malformed("env://NAME")),
            },
            "k8s" => kubernetes(rest).ok_or_else(|| malformed("k8s://NAMESPACE/NAME")),
            "awskms" => aws(rest).ok_or_else(|| malformed("awskms://[ENDPOINT]/[ID|ARN|alias/NAME]")),
            "gcpkms" => google(rest).ok_or_else(|| {
                malformed("gcpkms://projects/P/locations/L/keyRings/R/cryptoKeys/K[/cryptoKeyVersions/V]")
            }),
            "azurekms" => azure(rest).ok_or_else(|| malformed("azurekms://VAULT.vault.azure.net/KEY[/VERSION]")),
            "hashivault" | "openbao" => match is_vault_name(rest) {
                true => Ok(Self::Vault { key: rest.to_owned() }),
                false => Err(malformed("hashivault://KEY or openbao://KEY")),
            },
            "gitlab" => Err(KeyReferenceError::CiVariables { service: "GitLab" }),
            "github" => Err(KeyReferenceError::CiVariables { service: "GitHub" }),
            _ => Err(KeyReferenceError::UnknownScheme {
                scheme: scheme.to_owned(),
            }),
        }
    }
}

impl FromStr for KeyReference {
    type Err = KeyReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Display for KeyReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // A path that reads as another kind of reference is written with its scheme.
            Self::File(path) if !matches!(Self::parse(path), Ok(Self::File(same)) if same == *path) => {
                write!(f, "file://{path}")
            }
            Self::File(path) => f.write_str(path),
            Self::Url(url) => f.write_str(url),
            Self::Environment(name) => write!(f, "env://{name}"),
            Self::Kubernetes { namespace, name } => write!(f, "k8s://{namespace}/{name}"),
            Self::Pkcs11(uri) => uri.fmt(f),
            Self::Aws { endpoint, key } => write!(f, "awskms://{}/{key}", endpoint.as_deref().unwrap_or_default()),
            Self::Google { resource } => write!(f, "gcpkms://{resource}"),
            Self::Azure { vault, name, version } => {
                write!(f, "azurekms://{vault}/{name}")?;
                version.iter().try_for_each(|version| write!(f, "/{version}"))
            }
            Self::Vault { key } => write!(f, "hashivault://{key}"),
        }
    }
}

impl Serialize for KeyReference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KeyReference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// RFC 3986 section 3.1, lower case: what stands before `://` in a reference, and not in a path such as `./a://b`.
fn is_scheme(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'+' | b'-' | b'.'))
        && !text.starts_with('.')
}

/// What shells and CI systems can set.
fn is_variable(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn url(rest: &str) -> Option<KeyReference> {
    let (authority, path) = rest.split_once('/')?;
    // Credentials in an address end up in logs.
    let plain = |text: &str| text.bytes().all(|b| b.is_ascii_graphic());
    (is_authority(authority) && plain(path)).then(|| KeyReference::Url(format!("https://{rest}")))
}

/// A host name or address, perhaps with a port.
fn is_authority(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'[' | b']'))
}

fn kubernetes(rest: &str) -> Option<KeyReference> {
    let (namespace, name) = rest.split_once('/')?;
    // Kubernetes: a namespace is an RFC 1123 label, a secret's name an RFC 1123 subdomain.
    let good = is_dns(namespace, 63) && !namespace.contains('.') && is_dns(name, 253);
    good.then(|| KeyReference::Kubernetes {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    })
}

fn is_dns(text: &str, limit: usize) -> bool {
    text.len() <= limit
        && text.split('.').all(|label| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        })
}

fn aws(rest: &str) -> Option<KeyReference> {
    let (endpoint, key) = rest.split_once('/')?;
    if !endpoint.is_empty() && !is_authority(endpoint) {
        return None;
    }
    let plain = |text: &str, more: &[u8]| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || more.contains(&b))
    };
    let good = match (key.strip_prefix("alias/"), key.strip_prefix("arn:")) {
        (Some(alias), _) => plain(alias, b"/_-:"),
        (None, Some(arn)) => is_arn(arn) && plain(arn, b":/_-"),
        // A key's id is a UUID, or `mrk-` and 32 digits.
        (None, None) => plain(key, b"-"),
    };
    good.then(|| KeyReference::Aws {
        endpoint: (!endpoint.is_empty()).then(|| endpoint.to_owned()),
        key: key.to_owned(),
    })
}

/// `PARTITION:kms:REGION:ACCOUNT:key/ID` or `..:alias/NAME`.
fn is_arn(rest: &str) -> bool {
    let mut parts = rest.splitn(5, ':');
    let partition = parts.next().is_some_and(|partition| partition.starts_with("aws"));
    let service = parts.next() == Some("kms");
    let region = parts.next().is_some_and(|region| !region.is_empty());
    let account = parts
        .next()
        .is_some_and(|account| account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit()));
    let resource = parts.next().is_some_and(|resource| {
        ["key/", "alias/"]
            .iter()
            .any(|kind| resource.strip_prefix(kind).is_some_and(|name| !name.is_empty()))
    });
    partition && service && region && account && resource
}

fn google(rest: &str) -> Option<KeyReference> {
    let parts: Vec<&str> = rest.split('/').collect();
    let name = |text: &str| {
        !text.is_empty()
            && text.len() <= 128
            && !matches!(text, "." | "..")
            // Old projects are `domain.example:project`.
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b':'))
    };
    let (key, version) = match parts.as_slice() {
        [
            "projects",
            project,
            "locations",
            location,
            "keyRings",
            ring,
            "cryptoKeys",
            key,
            version @ ..,
        ] => (
            [
                ("projects", project),
                ("locations", location),
                ("keyRings", ring),
                ("cryptoKeys", key),
            ],
            version,
        ),
        _ => return None,
    };
    if !key.iter().all(|(_, part)| name(part)) {
        return None;
    }
    let mut resource = key
        .iter()
        .map(|(kind, part)| format!("{kind}/{part}"))
        .collect::<Vec<_>>()
        .join("/");
    match version {
        [] => {}
        ["versions" | "cryptoKeyVersions", version] if version.bytes().all(|b| b.is_ascii_digit()) => {
            resource.push_str("/cryptoKeyVersions/");
            resource.push_str(Some(*version).filter(|version| !version.is_empty())?);
        }
        _ => return None,
    }
    Some(KeyReference::Google { resource })
}

fn azure(rest: &str) -> Option<KeyReference> {
    let mut parts = rest.split('/');
    let (vault, key, version) = (parts.next()?, parts.next()?, parts.next());
    let word = |text: &str| {
        !text.is_empty() && text.len() <= 127 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let good = parts.next().is_none() && is_authority(vault) && word(key) && version.is_none_or(word);
    good.then(|| KeyReference::Azure {
        vault: vault.to_owned(),
        name: key.to_owned(),
        version: version.map(ToOwned::to_owned),
    })
}

/// As sigstore's clients: letters, digits, `_`, and between them `-` and `.`.
fn is_vault_name(text: &str) -> bool {
    let outer = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.starts_with(outer) && text.ends_with(outer) && text.chars().all(|c| outer(c) || c == '-' || c == '.')
}

/// Why a text is no reference to a key. What was given is not repeated: it may hold a PIN, or be a key.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KeyReferenceError {
    /// Nothing is there: an unset variable in a script, perhaps.
    #[error("the key reference is empty")]
    Empty,
    /// Longer than any reference.
    #[error("a key reference has at most {MAX_LENGTH} bytes, this has {seen}")]
    TooLong {
        /// The length seen.
        seen: usize,
    },
    /// A key was given in place of where it is.
    #[error("expected where the key is, got a PEM block; put it into a file, or into a variable and write env://NAME")]
    KeyItself,
    /// Line ends and such.
    #[error("a key reference has no control characters")]
    ControlCharacter,
    /// A key that anyone on the way could exchange.
    #[error("a key is not fetched over http://, use https:// or a file")]
    Unencrypted,
    /// cosign writes keys into CI variables; nothing can be read back from there but through the environment.
    #[error(
        "{service} hands secrets to jobs as environment variables: write env://NAME there (env://COSIGN_PRIVATE_KEY for cosign's own), and set COSIGN_PASSWORD"
    )]
    CiVariables {
        /// Whose.
        service: &'static str,
    },
    /// The part after the scheme is not what that scheme takes.
    #[error("not a {scheme} reference, expected {expected}")]
    Malformed {
        /// The scheme.
        scheme: String,
        /// What it takes.
        expected: &'static str,
    },
    /// Not a PKCS #11 URI.
    #[error(transparent)]
    Pkcs11(#[from] Pkcs11Error),
    /// A scheme that is not known here, such as that of a KMS plug-in.
    #[error(
        "unknown kind of key \"{scheme}://\", expected a file, https, env, k8s, pkcs11, awskms, gcpkms, azurekms, hashivault or openbao"
    )]
    UnknownScheme {
        /// The scheme.
        scheme: String,
    },
}

impl KeyReferenceError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Empty | Self::TooLong { .. } | Self::ControlCharacter | Self::Malformed { .. } | Self::Pkcs11(_) => {
                "malformed-key-reference"
            }
            Self::KeyItself => "key-in-place-of-reference",
            Self::Unencrypted => "key-reference-unencrypted",
            Self::CiVariables { .. } => "key-reference-ci-variables",
            Self::UnknownScheme { .. } => "key-reference-unknown",
        }
    }
}

#[cfg(test)]
mod tests;
