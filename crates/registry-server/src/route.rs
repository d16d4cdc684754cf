//! From a request's path to an endpoint of the distribution specification ("Endpoints").
//!
//! A repository name may have any number of components, also `blobs` or `tags`; which endpoint is meant is decided by
//! the *last* components alone, so every path has one reading.

use axum::http::StatusCode;
use proofmark_types::Digest;

use crate::error::{ApiError, Code};
use crate::name::{Reference, RepositoryName, UploadId, parse_digest};

/// What a path names; the method decides what is done with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    Base,
    Catalog,
    Tags(RepositoryName),
    Manifest(RepositoryName, Reference),
    Blob(RepositoryName, Digest),
    Uploads(RepositoryName),
    Upload(RepositoryName, UploadId),
    Referrers(RepositoryName, Digest),
}

impl Route {
    /// Reads a path as it came on the wire, percent-encoded.
    pub(crate) fn parse(path: &str) -> Result<Self, ApiError> {
        let path = decode(path)?;
        let rest = match path.strip_prefix("/v2") {
            Some("" | "/") => return Ok(Self::Base),
            Some("/_catalog") => return Ok(Self::Catalog),
            Some(rest) if rest.starts_with('/') => rest.trim_start_matches('/'),
            _ => return Err(unknown_path()),
        };
        let parts: Vec<&str> = rest.split('/').collect();
        let name = |components: &[&str]| RepositoryName::parse(&components.join("/"));
        match parts.as_slice() {
            [repository @ .., "tags", "list"] => Ok(Self::Tags(name(repository)?)),
            [repository @ .., "blobs", "uploads", ""] | [repository @ .., "blobs", "uploads"] => {
                Ok(Self::Uploads(name(repository)?))
            }
            [repository @ .., "blobs", "uploads", id] => Ok(Self::Upload(name(repository)?, id.parse()?)),
            [repository @ .., "blobs", digest] => Ok(Self::Blob(name(repository)?, parse_digest(digest)?)),
            [repository @ .., "manifests", reference] => {
                Ok(Self::Manifest(name(repository)?, Reference::parse(reference)?))
            }
            [repository @ .., "referrers", digest] => Ok(Self::Referrers(name(repository)?, parse_digest(digest)?)),
            _ => Err(unknown_path()),
        }
    }
}

fn unknown_path() -> ApiError {
    ApiError::new(Code::Unsupported, "no such endpoint").with_status(StatusCode::NOT_FOUND)
}

/// The longest path read, in bytes: a name of 255, a tag or digest, the fixed parts, everything percent-encoded.
const MAX_PATH: usize = 2048;

/// Undoes percent-encoding; clients differ in whether they encode the colon of a digest.
pub(crate) fn decode(text: &str) -> Result<String, ApiError> {
    let malformed = || ApiError::new(Code::NameInvalid, "the path or query is not percent-encoded UTF-8");
    if text.len() > MAX_PATH {
        return Err(malformed());
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut digit = || bytes.next().and_then(|b| char::from(b).to_digit(16));
        let value = digit()
            .zip(digit())
            .map(|(high, low)| high * 16 + low)
            .ok_or_else(malformed)?;
        decoded.push(u8::try_from(value).map_err(|_| malformed())?);
    }
    String::from_utf8(decoded).map_err(|_| malformed())
}

/// The first value of `key` in a query string, decoded.
pub(crate) fn query_value(query: Option<&str>, key: &str) -> Result<Option<String>, ApiError> {
    for pair in query.unwrap_or_default().split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if decode(name)? == key {
            return decode(value).map(Some);
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn repository(text: &str) -> RepositoryName {
        RepositoryName::parse(text).unwrap()
    }

    #[test]
    fn the_last_components_decide() {
        let digest = Digest::parse(DIGEST).unwrap();
        let encoded = DIGEST.replace(':', "%3a");
        for (path, route) in [
            ("/v2", Route::Base),
            ("/v2/", Route::Base),
            ("/v2/_catalog", Route::Catalog),
            ("/v2/a/tags/list", Route::Tags(repository("a"))),
            (
                "/v2/a/blobs/uploads/tags/list",
                Route::Tags(repository("a/blobs/uploads")),
            ),
            ("/v2/a/b/blobs/uploads/", Route::Uploads(repository("a/b"))),
            ("/v2/a/b/blobs/uploads", Route::Uploads(repository("a/b"))),
            (
                "/v2/a/manifests/blobs/uploads/",
                Route::Uploads(repository("a/manifests")),
            ),
            (
                &format!("/v2/a/blobs/{DIGEST}"),
                Route::Blob(repository("a"), digest.clone()),
            ),
            (
                &format!("/v2/a/blobs/{encoded}"),
                Route::Blob(repository("a"), digest.clone()),
            ),
            (
                &format!("/v2/a/blobs/blobs/{DIGEST}"),
                Route::Blob(repository("a/blobs"), digest.clone()),
            ),
            (
                &format!("/v2/a/referrers/{DIGEST}"),
                Route::Referrers(repository("a"), digest.clone()),
            ),
            (
                &format!("/v2/a/tags/manifests/{DIGEST}"),
                Route::Manifest(repository("a/tags"), Reference::Digest(digest)),
            ),
            (
                "/v2/a/manifests/list",
                Route::Manifest(repository("a"), Reference::parse("list").unwrap()),
            ),
        ] {
            assert_eq!(Route::parse(path).unwrap(), route, "{path}");
        }
    }

    #[test]
    fn what_is_no_endpoint_is_refused() {
        for path in [
            "/",
            "/v1/",
            "/v2x/a/tags/list",
            "/v2/tags/list",
            "/v2/a",
            "/v2/../tags/list",
            "/v2/a/%2e%2e/tags/list",
            "/v2/a%00/tags/list",
            "/v2/a/%zz/tags/list",
            "/v2/a/blobs/uploads/../../x",
            "/v2/a/manifests/..",
            "/v2/a/manifests/x/",
            "/v2/A/tags/list",
            "/v2/a/blobs/sha256:00",
            &format!("/v2/{}/tags/list", "a".repeat(3000)),
        ] {
            assert!(Route::parse(path).is_err(), "{path}");
        }
    }

    #[test]
    fn queries_are_decoded() {
        let query = Some("n=3&last=a%2Bb&flag");
        assert_eq!(query_value(query, "last").unwrap().as_deref(), Some("a+b"));
        assert_eq!(query_value(query, "flag").unwrap().as_deref(), Some(""));
        assert_eq!(query_value(query, "none").unwrap(), None);
        assert_eq!(query_value(None, "n").unwrap(), None);
    }
}
