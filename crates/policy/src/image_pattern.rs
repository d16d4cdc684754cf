//! Patterns over images, matched on the parsed reference: host, path, tag and digest each on its own.
//!
//! Formats differ in what `*` is, and peers match the whole reference as one text, so that `*.trusted.com/org/*` matches
//! `attacker.com/x.trusted.com/org/evil` (Portieris before 0.14.2, Kyverno). Here a host pattern sees the host only.
//!
//! A pattern is asked in two ways, each erring to its safe side where the reference does not say enough:
//! [`ImagePattern::selects`] (which images must be checked: better one too many) and [`ImagePattern::allows`] (which
//! images are let through: better one too few).

use std::fmt;

use proofmark_types::{ImageRef, Repository};
use serde_json::{Value, json};
use thiserror::Error;

use crate::text::{wildcard, wildcard_within};

/// distribution/reference has names of at most 255 bytes; a pattern may add a tag, a digest and some wildcards.
const MAX_PATTERN_BYTES: usize = 512;

/// Docker Hub, and its name in go-containerregistry (policy-controller matches on that one).
const HUB: [&str; 2] = ["docker.io", "index.docker.io"];

/// Hosts that serve the same repositories: what is said of Docker Hub concerns them too, what is allowed does not.
const HUB_SERVERS: [&str; 2] = ["registry-1.docker.io", "registry.hub.docker.com"];

/// Which images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImagePattern {
    source: String,
    host: Host,
    path: String,
    tag: Option<String>,
    digest: Option<String>,
    /// Whether `*` in the path stands for slashes too.
    crosses: bool,
    /// Whether the path ends in a wildcard that in the peer's reading swallows the tag as well.
    open_end: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    /// Every registry, and every leading part of the path.
    Any,
    /// The host, port included; `*` is any run of characters of it.
    Pattern(String),
}

impl ImagePattern {
    /// Reads a pattern of our own policies: `registry.example.com/team/**`, `ghcr.io/org/app:v*`, `**`. In the host and
    /// the path `*` stays within one component, `**` is any number of components. The host must be written.
    pub fn native(text: &str) -> Result<Self, PatternError> {
        let parts = split(text)?;
        if parts.host.is_none() && text != "**" {
            return Err(PatternError::NoHost { text: text.to_owned() });
        }
        Ok(Self::from_parts(text, &parts, false))
    }

    /// Reads a glob of a ClusterImagePolicy: as our own, and `*` and `*/*` alone are images of Docker Hub.
    pub fn cluster_image_policy(text: &str) -> Result<Self, PatternError> {
        let expanded = match text {
            "*" => "index.docker.io/library/*",
            "*/*" => "index.docker.io/*/*",
            other => other,
        };
        let parts = split(expanded)?;
        if text.starts_with("**") && !text.contains('/') && !text.trim_start_matches('*').is_empty() {
            return Self::anywhere(text);
        }
        if parts.host.is_none() && text != "**" {
            // policy-controller falls back to the text as the user wrote it, with short names: expand them once instead.
            let expanded = if expanded.contains('/') {
                format!("docker.io/{expanded}")
            } else {
                format!("docker.io/library/{expanded}")
            };
            return Ok(Self::from_parts(text, &split(&expanded)?, false));
        }
        Ok(Self::from_parts(text, &parts, false))
    }

    /// `**demo**`: a name that may begin in the host and end in the path. Other wildcards beside it would have to stay within
    /// a component that nobody can tell.
    fn anywhere(text: &str) -> Result<Self, PatternError> {
        let single = text.replace("**", "").contains(['*', '?']);
        let parts = split(text)?;
        if single || parts.tag.is_some() || parts.digest.is_some() {
            return Err(PatternError::Malformed { text: text.to_owned() });
        }
        let whole = Parts {
            host: None,
            path: text,
            tag: None,
            digest: None,
        };
        Ok(Self::from_parts(text, &whole, true))
    }

    /// Reads a wildcard of Kyverno, which there runs over the whole normalised reference: `*` crosses slashes, but here
    /// not from the host into the path, unless the host is `*` alone.
    ///
    /// Without a slash, `registry.example.com*` is read as `registry.example.com/*`, `nginx*` as an image of Docker Hub,
    /// and `*:latest` as every repository.
    pub fn kyverno(text: &str) -> Result<Self, PatternError> {
        let parts = split(text)?;
        if parts.host.is_some() || parts.path.starts_with(['*', '?']) {
            return Ok(Self::from_parts(text, &parts, true));
        }
        let expanded = if parts.path.contains('/') {
            format!("docker.io/{text}")
        } else if parts.path.contains('.') {
            match text.strip_suffix('*') {
                Some(host) => format!("{host}/*"),
                None => return Err(PatternError::HostOnly { text: text.to_owned() }),
            }
        } else {
            format!("docker.io/library/{text}")
        };
        Ok(Self::from_parts(text, &split(&expanded)?, true))
    }

    fn from_parts(source: &str, parts: &Parts<'_>, crosses: bool) -> Self {
        let host = match parts.host {
            None => Host::Any,
            Some(host) if host.chars().all(|c| c == '*') => Host::Any,
            Some(host) => Host::Pattern(plain_host(&host.to_ascii_lowercase())),
        };
        // A bare `*` as host crosses into the path in Kyverno's reading, and `**` does in the others'.
        let any_depth = host == Host::Any && (crosses || parts.host.is_none_or(|host| host.len() > 1));
        let path = if any_depth && !parts.path.starts_with('*') {
            format!("**/{}", parts.path)
        } else {
            parts.path.to_owned()
        };
        Self {
            source: source.to_owned(),
            host,
            open_end: path.ends_with('*') && parts.tag.is_none() && parts.digest.is_none(),
            path,
            tag: parts.tag.map(ToOwned::to_owned),
            digest: parts.digest.map(ToOwned::to_owned),
            crosses,
        }
    }

    /// Whether the image is to be checked. A pattern that names a tag selects every reference of its repositories that has a
    /// digest, whatever tag stands beside that: the digest alone decides what runs, nobody resolves the tag, and so neither
    /// a digest nor another tag before it is a way around a policy. A reference without either means `latest`.
    #[must_use]
    pub fn selects(&self, image: &ImageRef) -> bool {
        self.selects_but_for_its_tag(image) && (image.digest().is_some() || self.tag_matches(image))
    }

    fn selects_but_for_its_tag(&self, image: &ImageRef) -> bool {
        self.matches_repository(image.repository(), Side::Select)
            && self.digest.as_ref().is_none_or(|wanted| {
                image
                    .digest()
                    .is_none_or(|digest| wildcard(wanted, &digest.to_string()))
            })
    }

    /// Whether the tag that is written matches, or `latest` where there is none.
    fn tag_matches(&self, image: &ImageRef) -> bool {
        let written = image.tag().map_or("latest", |tag| tag.as_str());
        self.tag.as_ref().is_none_or(|wanted| wildcard(wanted, written))
    }

    /// Whether the image is let through. What the pattern names must be in the reference as it is written: a tag pattern
    /// needs a tag, a digest pattern a digest, and a pattern that ends in a name without wildcard means `latest`.
    #[must_use]
    pub fn allows(&self, image: &ImageRef) -> bool {
        let tag_allowed = match (&self.tag, image.tag()) {
            (Some(wanted), Some(tag)) => wildcard(wanted, tag.as_str()),
            (Some(_), None) => false,
            (None, None) => true,
            (None, Some(tag)) => self.open_end || self.digest.is_some() || !self.crosses || tag.as_str() == "latest",
        };
        let digest_allowed = match (&self.digest, image.digest()) {
            (Some(wanted), Some(digest)) => wildcard(wanted, &digest.to_string()),
            (Some(_), None) => false,
            (None, _) => true,
        };
        self.matches_repository(image.repository(), Side::Allow) && tag_allowed && digest_allowed
    }

    /// Whether the image is left alone. As [`ImagePattern::allows`], but a tag beside a digest exempts nothing: nobody
    /// resolves it, so that whoever writes the reference could put any tag before any digest.
    #[must_use]
    pub fn exempts(&self, image: &ImageRef) -> bool {
        let one_digest = self.digest.as_ref().is_some_and(|digest| !digest.contains(['*', '?']));
        self.allows(image) && (image.digest().is_none() || !self.names_tag() || one_digest)
    }

    /// Whether the image is turned away. As [`ImagePattern::selects`], but the tag is the one that is written, and a digest
    /// without a tag is not taken for a tag that it may not have: `!*:latest` is about tags that move.
    #[must_use]
    pub fn denies(&self, image: &ImageRef) -> bool {
        let tag_unknown = image.tag().is_none() && image.digest().is_some();
        let any_tag = |wanted: &String| wanted.chars().all(|c| c == '*');
        let tag_denied = if tag_unknown {
            self.tag.as_ref().is_none_or(any_tag)
        } else {
            self.tag_matches(image)
        };
        self.selects_but_for_its_tag(image) && tag_denied
    }

    /// Whether every image is meant.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.host == Host::Any && self.open_end && matches!(self.path.as_str(), "*" | "**") && {
            self.crosses || self.path == "**"
        }
    }

    /// The pattern as it was written.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The pattern as our own format writes it: a text, or which dialect it is of.
    pub(crate) fn written(&self) -> Value {
        if self.crosses && Self::kyverno(&self.source).is_ok_and(|same| same == *self) {
            return json!({ "kyverno": self.source });
        }
        match Self::native(&self.source) {
            Ok(same) if same == *self => json!(self.source),
            _ => json!({ "sigstore": self.source }),
        }
    }

    /// Whether the host ends in a wildcard behind a name (`registry.example.com*`), which matches hosts of others.
    #[must_use]
    pub fn has_open_host(&self) -> bool {
        matches!(&self.host, Host::Pattern(host) if host.ends_with('*'))
    }

    /// Whether there is a wildcard beside other text in the host.
    #[must_use]
    pub fn has_host_wildcard(&self) -> bool {
        matches!(&self.host, Host::Pattern(host) if host.contains(['*', '?']))
    }

    /// Whether the pattern is about some tags only.
    #[must_use]
    pub fn names_tag(&self) -> bool {
        self.tag.as_ref().is_some_and(|tag| tag.chars().any(|c| c != '*'))
    }

    /// Every spelling of the same repository is tried: they are one place, so that no pattern is dodged by a spelling.
    fn matches_repository(&self, repository: &Repository, side: Side) -> bool {
        let host = plain_host(repository.registry().as_str());
        let host = host.as_str();
        let path = repository.path();
        let servers: &[&str] = if side == Side::Select { &HUB_SERVERS } else { &[] };
        if HUB.contains(&host) || servers.contains(&host) {
            let short = path.strip_prefix("library/").unwrap_or(path);
            return HUB
                .iter()
                .chain(servers)
                .any(|host| self.matches(host, path, side) || self.matches(host, short, side));
        }
        self.matches(host, path, side)
    }

    fn matches(&self, host: &str, path: &str, side: Side) -> bool {
        let host_matches = match &self.host {
            Host::Any => true,
            Host::Pattern(pattern) => {
                match side {
                    Side::Select => wildcard(pattern, host),
                    // A wildcard for a name must not let another port through: `registry.*` is not `registry.x:6666`.
                    Side::Allow => wildcard_within(pattern, host, |c| c != ':') || wildcard_port(pattern, host),
                }
            }
        };
        if host_matches && path_matches(&self.path, path, self.crosses) {
            return true;
        }
        // `*example*` may mean a host; as a selection it is read over the whole name, as Kyverno does.
        side == Side::Select
            && self.crosses
            && self.host == Host::Any
            && !self.path.contains('/')
            && wildcard(&self.path, &format!("{host}/{path}"))
    }
}

/// A host as it is compared: 443 is what a host without a port means, and `:0443` is the same port.
fn plain_host(host: &str) -> String {
    match host.rsplit_once(':') {
        Some((name, port)) if !name.ends_with(':') => match port.parse::<u16>() {
            Ok(443) => name.to_owned(),
            Ok(port) => format!("{name}:{port}"),
            Err(_) => host.to_owned(),
        },
        _ => host.to_owned(),
    }
}

/// To which side a pattern errs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Select,
    Allow,
}

impl fmt::Display for ImagePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

/// A pattern with its own port, or with a wildcard for the port: `localhost:*`, `registry.example.com:5*`.
fn wildcard_port(pattern: &str, host: &str) -> bool {
    let (Some((wanted_name, wanted_port)), Some((name, port))) = (pattern.rsplit_once(':'), host.rsplit_once(':'))
    else {
        return false;
    };
    wildcard_within(wanted_name, name, |c| c != ':') && wildcard(wanted_port, port)
}

fn path_matches(pattern: &str, path: &str, crosses: bool) -> bool {
    if crosses {
        let Some(rest) = pattern.strip_prefix("**/") else {
            return wildcard(pattern, path);
        };
        // `**/x` stands for a bare `*` host: `x` at the start of the path or behind any slash.
        return wildcard(rest, path) || wildcard(&format!("*/{rest}"), path);
    }
    let wanted: Vec<&str> = pattern.split('/').collect();
    let seen: Vec<&str> = path.split('/').collect();
    components_match(&wanted, &seen)
}

/// `*` within a component, `**` for any number of whole components, and as `*` when it is only part of one. One
/// backtracking point is enough, as in [`wildcard`].
fn components_match(wanted: &[&str], seen: &[&str]) -> bool {
    let (mut wanted_rest, mut seen_rest) = (wanted, seen);
    let mut retry: Option<(&[&str], &[&str])> = None;
    loop {
        match (wanted_rest.split_first(), seen_rest.split_first()) {
            (None, None) => return true,
            (Some((&"**", after)), _) => {
                retry = Some((after, seen_rest));
                wanted_rest = after;
                continue;
            }
            (Some((first, after)), Some((component, rest))) if wildcard(first, component) => {
                wanted_rest = after;
                seen_rest = rest;
                continue;
            }
            _ => {}
        }
        let Some((after, from)) = retry else {
            return false;
        };
        let Some((_, shorter)) = from.split_first() else {
            return false;
        };
        retry = Some((after, shorter));
        wanted_rest = after;
        seen_rest = shorter;
    }
}

struct Parts<'a> {
    host: Option<&'a str>,
    path: &'a str,
    tag: Option<&'a str>,
    digest: Option<&'a str>,
}

fn split(text: &str) -> Result<Parts<'_>, PatternError> {
    let foreign = |c: char| !(c.is_ascii_alphanumeric() || "-_./:@*?[]".contains(c));
    if text.is_empty() {
        return Err(PatternError::Empty);
    }
    if text.len() > MAX_PATTERN_BYTES {
        return Err(PatternError::TooLong { length: text.len() });
    }
    if let Some(character) = text.chars().find(|c| foreign(*c)) {
        return Err(PatternError::Character {
            text: text.to_owned(),
            character,
        });
    }
    // Brackets are of an address of IPv6; anywhere else they would be a pattern that no image matches.
    if text.contains(['[', ']']) && !(text.starts_with('[') && text.contains("]")) {
        return Err(PatternError::Malformed { text: text.to_owned() });
    }
    let (name, digest) = match text.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (text, None),
    };
    let last_slash = name.rfind('/');
    let tag_colon = name
        .rfind(':')
        .filter(|colon| last_slash.is_none_or(|slash| *colon > slash));
    let (name, tag) = match tag_colon.and_then(|colon| name.split_at_checked(colon)) {
        Some((name, tag)) => (name, Some(tag.trim_start_matches(':'))),
        None => (name, None),
    };
    let (host, path) = match name.split_once('/') {
        Some((host, path)) if is_host(host) => (Some(host), path),
        _ => (None, name),
    };
    let empty_component = path.split('/').any(str::is_empty);
    if empty_component || tag.is_some_and(str::is_empty) || digest.is_some_and(str::is_empty) {
        return Err(PatternError::Malformed { text: text.to_owned() });
    }
    Ok(Parts {
        host,
        path,
        tag,
        digest,
    })
}

/// As in references, and a first component with a wildcard may be a host.
fn is_host(first: &str) -> bool {
    first == "localhost" || first.contains(['.', ':', '*', '?'])
}

/// Why a text is not a pattern over images.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PatternError {
    /// An empty pattern; perhaps a variable was not filled in.
    #[error("the image pattern is empty")]
    Empty,
    /// Longer than any reference.
    #[error("the image pattern is {length} bytes long, at most {MAX_PATTERN_BYTES} are accepted")]
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// A character that no reference has; it may be a regular expression or a variable.
    #[error("\"{text}\" is not an image pattern: '{character}' is in no image reference; wildcards are * and ?")]
    Character {
        /// The pattern.
        text: String,
        /// The first such character.
        character: char,
    },
    /// An empty component, tag or digest.
    #[error("\"{text}\" is not an image pattern: a part of it is empty")]
    Malformed {
        /// The pattern.
        text: String,
    },
    /// A host without anything behind it matches no image.
    #[error("\"{text}\" is a host and no image; write {text}/*")]
    HostOnly {
        /// The pattern.
        text: String,
    },
    /// Our own patterns name the registry, so that nobody has to know Docker's short names to read a policy.
    #[error(
        "\"{text}\" names no registry; write docker.io/library/NAME for an image of Docker Hub, or ** for every image"
    )]
    NoHost {
        /// The pattern.
        text: String,
    },
}

#[cfg(test)]
mod tests;
