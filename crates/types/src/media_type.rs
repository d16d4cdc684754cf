//! Media types of registry content (RFC 6838 names with RFC 9110 parameters).
//!
//! Compared as text after lower-casing type and subtype: content in registries is dispatched on exact strings.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use crate::digest::shortened;

/// The longest media type accepted, in bytes: RFC 6838 §4.2 allows 127 for each half; parameters double that.
const MAX_LENGTH: usize = 512;

/// A media type such as `application/vnd.oci.image.manifest.v1+json`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MediaType(String);

impl MediaType {
    /// Reads `type/subtype`, with parameters if any.
    pub fn parse(text: &str) -> Result<Self, MediaTypeError> {
        let malformed = || MediaTypeError::Malformed { text: shortened(text) };
        if text.len() > MAX_LENGTH {
            return Err(malformed());
        }
        let (essence, parameters) = match text.split_once(';') {
            Some((essence, rest)) => (essence.trim(), Some(rest.trim())),
            None => (text.trim(), None),
        };
        let (kind, subtype) = essence.split_once('/').ok_or_else(malformed)?;
        if !is_token(kind) || !is_token(subtype) {
            return Err(malformed());
        }
        let mut canonical = essence.to_ascii_lowercase();
        if let Some(parameters) = parameters {
            if parameters.bytes().any(|b| b.is_ascii_control()) {
                return Err(malformed());
            }
            canonical.push(';');
            canonical.push_str(parameters);
        }
        Ok(Self(canonical))
    }

    /// The media type that a constant names.
    ///
    /// # Panics
    ///
    /// Where the constant is none: for constants of the program, never for what was read.
    #[must_use]
    pub fn of_constant(text: &'static str) -> Self {
        Self::parse(text).unwrap_or_else(|_| unreachable!("a constant media type"))
    }

    /// The canonical text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The type without parameters, `type/subtype`.
    #[must_use]
    pub fn essence(&self) -> &str {
        self.0.split(';').next().unwrap_or(&self.0)
    }
}

/// RFC 9110 §5.6.2: the characters of a token.
fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl PartialEq<str> for MediaType {
    fn eq(&self, other: &str) -> bool {
        self.0 == other
    }
}

impl PartialEq<&str> for MediaType {
    fn eq(&self, other: &&str) -> bool {
        self.0 == *other
    }
}

impl Serialize for MediaType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for MediaType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// Why a text is not a media type.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MediaTypeError {
    /// Not of the form `type/subtype`, or longer than 512 bytes.
    #[error("expected a media type such as application/json, got \"{text}\"")]
    Malformed {
        /// What was given, shortened.
        text: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_parameters_and_folds_case() {
        let bundle = MediaType::parse("application/vnd.dev.sigstore.bundle+json;version=0.3").unwrap();
        assert_eq!(bundle.as_str(), "application/vnd.dev.sigstore.bundle+json;version=0.3");
        assert_eq!(bundle.essence(), "application/vnd.dev.sigstore.bundle+json");
        assert_eq!(
            MediaType::parse("Application/JSON; charset=utf-8").unwrap(),
            "application/json;charset=utf-8"
        );
    }

    #[test]
    fn refuses_what_is_no_media_type() {
        for text in ["", "json", "a/", "/b", "a b/c", "a/b/c", "a/b\n", &"a/b".repeat(300)] {
            let result = MediaType::parse(text);
            if text == "a/b\n" {
                assert_eq!(result.unwrap(), "a/b");
            } else {
                assert!(result.is_err(), "{text}");
            }
        }
    }
}
