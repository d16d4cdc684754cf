//! Doors to parsers that have no public name, for fuzzing alone.

use http::header::WWW_AUTHENTICATE;
use http::{HeaderMap, HeaderValue};
use url::Url;

/// Whether a `WWW-Authenticate` value holds a challenge.
#[must_use]
pub fn challenge(value: &[u8]) -> bool {
    let mut headers = HeaderMap::new();
    let Ok(value) = HeaderValue::from_bytes(value) else {
        return false;
    };
    headers.insert(WWW_AUTHENTICATE, value);
    crate::auth::read_challenge(&headers)
}

/// Where a `Link` value of `https://registry.test/v2/app/tags/list` leads to.
#[must_use]
pub fn link(value: &str) -> Option<String> {
    let base = Url::parse("https://registry.test/v2/app/tags/list?n=2").ok()?;
    crate::client::paging::read_link(&base, value)
}
