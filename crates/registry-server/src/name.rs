//! The names that come in with a request, parsed: the only values from which paths on disk are made.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::rand;
use proofmark_types::{Digest, RegistryHost, Repository, Tag};

use crate::error::{ApiError, Code};

/// A repository's path within this registry, such as `team/app`.
///
/// By the specification's grammar each component starts with a letter or digit, so a component can be neither `..`
/// nor one of the store's own folders, which start with `_`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RepositoryName(String);

impl RepositoryName {
    pub(crate) fn parse(text: &str) -> Result<Self, ApiError> {
        // The grammar and its length limit live in `types`; the host there does not matter here, so it is a short one.
        RegistryHost::parse("r.r")
            .and_then(|host| Repository::new(host, text))
            .map(|repository| Self(repository.path().to_owned()))
            .map_err(|error| ApiError::new(Code::NameInvalid, error.to_string()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What stands after `/manifests/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reference {
    Tag(Tag),
    Digest(Digest),
}

impl Reference {
    /// A colon cannot be in a tag, so it tells the two apart.
    pub(crate) fn parse(text: &str) -> Result<Self, ApiError> {
        if text.contains(':') {
            return parse_digest(text).map(Self::Digest);
        }
        Tag::parse(text)
            .map(Self::Tag)
            .map_err(|error| ApiError::new(Code::TagInvalid, error.to_string()))
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => write!(f, "{tag}"),
            Self::Digest(digest) => write!(f, "{digest}"),
        }
    }
}

pub(crate) fn parse_digest(text: &str) -> Result<Digest, ApiError> {
    Digest::parse(text).map_err(|error| ApiError::new(Code::DigestInvalid, error.to_string()))
}

/// The session of an upload: 128 random bits, so that nobody finds another's by guessing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct UploadId(String);

const UPLOAD_ID_BYTES: usize = 16;

impl UploadId {
    pub(crate) fn random() -> Result<Self, ApiError> {
        let mut bytes = [0; UPLOAD_ID_BYTES];
        rand::fill(&mut bytes).map_err(|error| ApiError::internal("drawing an upload id", &error))?;
        Ok(Self(bytes.iter().map(|byte| format!("{byte:02x}")).collect()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for UploadId {
    type Err = ApiError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let valid = text.len() == UPLOAD_ID_BYTES * 2 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if valid {
            Ok(Self(text.to_owned()))
        } else {
            Err(ApiError::new(Code::BlobUploadUnknown, "no such upload"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leads_out_of_its_folder() {
        for text in [
            "..", "a/../b", "/a", "a//b", "a/", "_tags", "a/_tags", ".a", "A", "a\\b", "a\0b", "",
        ] {
            assert!(RepositoryName::parse(text).is_err(), "{text}");
        }
        assert_eq!(
            RepositoryName::parse("team/app-1.x")
                .map(|n| n.to_string())
                .ok()
                .as_deref(),
            Some("team/app-1.x")
        );
    }

    #[test]
    fn references_are_tags_or_whole_digests() {
        assert!(matches!(Reference::parse("v1.0"), Ok(Reference::Tag(_))));
        assert!(Reference::parse("sha256:12").is_err());
        assert!(Reference::parse("..").is_err());
        assert!(Reference::parse("-a").is_err());
    }

    #[test]
    fn upload_ids_are_hex_of_one_length() {
        let id = UploadId::random().unwrap();
        assert_eq!(id.as_str().parse::<UploadId>().unwrap(), id);
        for text in ["", "..", "0", &"g".repeat(32), &"A".repeat(32)] {
            assert!(text.parse::<UploadId>().is_err(), "{text}");
        }
    }
}
