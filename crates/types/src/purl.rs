//! Package URLs (purl-spec, ECMA-427): the one name of a package that SBOMs, advisories and VEX documents share.
//!
//! Values are built from parts or parsed; either way they are normalised and written in canonical form. Type-specific
//! rules are applied where the types definition has them and an image can hold such a package (deb, apk, rpm, pypi,
//! npm, golang, cargo, oci); other types are kept as given.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use crate::digest::shortened;

/// The longest package URL accepted, in bytes; the longest seen in Syft and Trivy output are under 1 KiB.
const MAX_LENGTH: usize = 4096;

/// A package URL: `pkg:type/namespace/name@version?qualifiers#subpath`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Purl {
    kind: String,
    namespace: Option<String>,
    name: String,
    version: Option<String>,
    qualifiers: BTreeMap<String, String>,
    subpath: Option<String>,
}

impl Purl {
    /// Starts a package URL from its type and name, unencoded.
    pub fn new(kind: &str, name: &str) -> Result<Self, PurlError> {
        let kind = kind.to_ascii_lowercase();
        let valid_kind = kind.starts_with(|c: char| c.is_ascii_lowercase())
            && kind.bytes().all(|b| b.is_ascii_alphanumeric() || b".-".contains(&b));
        if !valid_kind {
            return Err(PurlError::Type { kind: shortened(&kind) });
        }
        if name.is_empty() {
            return Err(PurlError::NoName);
        }
        let name = normalised_name(&kind, name);
        Ok(Self {
            kind,
            namespace: None,
            name,
            version: None,
            qualifiers: BTreeMap::new(),
            subpath: None,
        })
    }

    /// With a namespace (vendor, group, scope), unencoded, its segments separated by `/`.
    #[must_use]
    pub fn with_namespace(mut self, namespace: &str) -> Self {
        let segments: Vec<&str> = namespace.split('/').filter(|s| !s.is_empty()).collect();
        let joined = segments.join("/");
        let joined = match self.kind.as_str() {
            "deb" | "apk" | "rpm" | "golang" | "oci" | "github" => joined.to_lowercase(),
            _ => joined,
        };
        self.namespace = (!joined.is_empty()).then_some(joined);
        self
    }

    /// With a version, unencoded; an empty one is none.
    #[must_use]
    pub fn with_version(mut self, version: &str) -> Self {
        self.version = (!version.is_empty()).then(|| version.to_owned());
        self
    }

    /// With a qualifier, unencoded; an empty value is none (purl-spec, "A key without a value is discarded").
    #[must_use]
    pub fn with_qualifier(mut self, key: &str, value: &str) -> Self {
        if value.is_empty() {
            self.qualifiers.remove(&key.to_ascii_lowercase());
        } else {
            self.qualifiers.insert(key.to_ascii_lowercase(), value.to_owned());
        }
        self
    }

    /// Reads the text form.
    pub fn parse(text: &str) -> Result<Self, PurlError> {
        if text.len() > MAX_LENGTH {
            return Err(PurlError::TooLong { length: text.len() });
        }
        let malformed = || PurlError::Malformed { text: shortened(text) };
        let rest = text.strip_prefix("pkg:").ok_or_else(malformed)?.trim_start_matches('/');
        let (rest, subpath) = match rest.split_once('#') {
            Some((rest, subpath)) => (rest, Some(subpath)),
            None => (rest, None),
        };
        let (rest, qualifiers) = match rest.split_once('?') {
            Some((rest, qualifiers)) => (rest, Some(qualifiers)),
            None => (rest, None),
        };
        let (kind, rest) = rest.split_once('/').ok_or_else(malformed)?;
        let rest = rest.trim_matches('/');
        // The version starts at the last `@` after the last `/`: a scope such as `@babel` may stand unencoded.
        let name_start = rest.rfind('/').map_or(0, |slash| slash + 1);
        let (namespace, last) = rest.split_at(name_start);
        let (name, version) = match last.rsplit_once('@') {
            Some((name, version)) if !name.is_empty() => (name, Some(version)),
            _ => (last, None),
        };
        let decode = |part: &str| percent_decoded(part).ok_or_else(malformed);
        let mut purl = Self::new(kind, &decode(name)?)?;
        let mut segments = Vec::new();
        for segment in namespace.split('/').filter(|s| !s.is_empty()) {
            segments.push(decode(segment)?);
        }
        purl = purl.with_namespace(&segments.join("/"));
        if let Some(version) = version {
            purl = purl.with_version(&decode(version)?);
        }
        for pair in qualifiers
            .into_iter()
            .flat_map(|q| q.split('&'))
            .filter(|p| !p.is_empty())
        {
            let (key, value) = pair.split_once('=').ok_or_else(malformed)?;
            // Keys are never encoded: whatever else were in one would be written as it is.
            if !is_key(key) {
                return Err(malformed());
            }
            purl = purl.with_qualifier(key, &decode(value)?);
        }
        if let Some(subpath) = subpath {
            // Decoded first: `%2e%2e` is as good as `..`.
            let subpath = decode(subpath)?;
            let kept = subpath.split('/').filter(|s| !matches!(*s, "" | "." | ".."));
            let kept: Vec<&str> = kept.collect();
            purl.subpath = (!kept.is_empty()).then(|| kept.join("/"));
        }
        // What is written is what is bounded, or others could not read it back: an encoded byte takes three.
        if text.len() > MAX_LENGTH / 3 {
            let length = purl.to_string().len();
            if length > MAX_LENGTH {
                return Err(PurlError::TooLong { length });
            }
        }
        Ok(purl)
    }

    /// The type: `deb`, `npm`, …
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The namespace, unencoded.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// The name, unencoded.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The version, unencoded.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// The qualifiers, by key, unencoded.
    pub fn qualifiers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.qualifiers
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// A qualifier's value, unencoded.
    #[must_use]
    pub fn qualifier(&self, key: &str) -> Option<&str> {
        self.qualifiers.get(key).map(String::as_str)
    }
}

/// purl-spec, types: pypi folds case and underscores, some others fold case.
fn normalised_name(kind: &str, name: &str) -> String {
    match kind {
        "pypi" => name.to_lowercase().replace('_', "-"),
        "deb" | "apk" | "rpm" | "golang" | "oci" | "github" => {
            if kind == "rpm" {
                name.to_owned()
            } else {
                name.to_lowercase()
            }
        }
        _ => name.to_owned(),
    }
}

impl fmt::Display for Purl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pkg:{}/", self.kind)?;
        if let Some(namespace) = &self.namespace {
            for segment in namespace.split('/') {
                encode(f, segment, b"")?;
                f.write_char('/')?;
            }
        }
        encode(f, &self.name, b"")?;
        if let Some(version) = &self.version {
            f.write_char('@')?;
            encode(f, version, b"")?;
        }
        let mut separator = '?';
        for (key, value) in &self.qualifiers {
            write!(f, "{separator}{key}=")?;
            encode(f, value, b"/")?;
            separator = '&';
        }
        if let Some(subpath) = &self.subpath {
            f.write_char('#')?;
            encode(f, subpath, b"/")?;
        }
        Ok(())
    }
}

/// Percent-encodes all but the unreserved characters, the colon (purl-spec, "Character encoding") and `also`.
fn encode(f: &mut fmt::Formatter<'_>, text: &str, also: &[u8]) -> fmt::Result {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b".-_~:".contains(&byte) || also.contains(&byte) {
            f.write_char(char::from(byte))?;
        } else {
            write!(f, "%{byte:02X}")?;
        }
    }
    Ok(())
}

/// purl-spec, "Rules for each purl component": ASCII letters, digits, `.`, `-` and `_`, the first no digit.
fn is_key(key: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b".-_".contains(&b);
    key.bytes().all(plain) && key.bytes().next().is_some_and(|b| !b.is_ascii_digit())
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let high = char::from(rest.next()?).to_digit(16)?;
            let low = char::from(rest.next()?).to_digit(16)?;
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

impl fmt::Debug for Purl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Purl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Purl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// Why a text is not a package URL.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PurlError {
    /// No `pkg:` scheme, no name, or broken percent-encoding.
    #[error("expected a package URL such as pkg:deb/debian/curl@7.88.1-10, got \"{text}\"")]
    Malformed {
        /// What was given, shortened.
        text: String,
    },
    /// The type has characters that a type may not have.
    #[error("\"{kind}\" is not a package URL type")]
    Type {
        /// The type given.
        kind: String,
    },
    /// The name is empty.
    #[error("a package URL needs a name")]
    NoName,
    /// Longer than 4,096 bytes.
    #[error("a package URL of {length} bytes is longer than the 4096 accepted")]
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Canonical forms from the purl-spec test suite and from what Syft and Trivy write.
    #[test]
    fn canonical_forms_survive_a_round_trip() {
        for text in [
            "pkg:deb/debian/curl@7.50.3-1?arch=i386&distro=jessie",
            "pkg:deb/debian/libstdc%2B%2B6@12.2.0-14?arch=amd64",
            "pkg:npm/%40angular/animation@12.3.1",
            "pkg:golang/github.com/gorilla/context@234fd47e07d1",
            "pkg:oci/app@sha256:244fd47e?repository_url=ghcr.io/acme/app",
            "pkg:cargo/rand@0.7.2",
            "pkg:apk/alpine/musl@1.2.4-r2?arch=x86_64",
            "pkg:generic/openssl@1.1.10g?download_url=https://openssl.org/source/x.tar.gz#src/lib",
            "pkg:maven/org.apache.xmlgraphics/batik-anim@1.9.1?classifier=sources",
        ] {
            assert_eq!(Purl::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn input_is_normalised() {
        assert_eq!(
            Purl::parse("pkg:PYPI/Django_package@1.11").unwrap().to_string(),
            "pkg:pypi/django-package@1.11"
        );
        assert_eq!(
            Purl::parse("pkg:npm/@babel/core@7.0.0").unwrap().to_string(),
            "pkg:npm/%40babel/core@7.0.0"
        );
        assert_eq!(
            Purl::parse("pkg://deb/Debian/CURL?b=&arch=x").unwrap().to_string(),
            "pkg:deb/debian/curl?arch=x"
        );
        // Segments are told apart after they were decoded: what is written is read as the same.
        for (text, expected) in [
            ("pkg:a/b#x/%2fy/%2e%2e/.%2f", "pkg:a/b#x/y"),
            ("pkg:a/%2fn%2f/b", "pkg:a/n/b"),
            ("pkg:a/b#%2f", "pkg:a/b"),
        ] {
            let written = Purl::parse(text).unwrap().to_string();
            assert_eq!(written, expected);
            assert_eq!(Purl::parse(&written).unwrap().to_string(), expected);
        }
    }

    #[test]
    fn each_malformed_one_has_its_reason() {
        assert!(matches!(
            Purl::parse("deb/debian/curl"),
            Err(PurlError::Malformed { .. })
        ));
        assert!(matches!(Purl::parse("pkg:deb"), Err(PurlError::Malformed { .. })));
        assert!(matches!(Purl::parse("pkg:deb/"), Err(PurlError::NoName)));
        assert!(matches!(Purl::parse("pkg:1x/a"), Err(PurlError::Type { .. })));
        assert!(matches!(Purl::parse("pkg:deb/%zz"), Err(PurlError::Malformed { .. })));
        assert!(matches!(Purl::parse("pkg:deb/%ff"), Err(PurlError::Malformed { .. })));
        for key in ["a%26b", "a b", "1a", "", "a#"] {
            let text = format!("pkg:deb/a?{key}=x");
            assert!(matches!(Purl::parse(&text), Err(PurlError::Malformed { .. })), "{key}");
        }
        assert!(matches!(
            Purl::parse(&format!("pkg:deb/{}", "a".repeat(5000))),
            Err(PurlError::TooLong { .. })
        ));
    }
}
