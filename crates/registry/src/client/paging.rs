//! The `Link` header of listings (RFC 8288; distribution-spec, "Listing Tags" and "Listing Referrers").

use http::header::LINK;
use url::Url;

use crate::RegistryError;
use crate::transport::Response;

/// Bytes of a `Link` value that are looked at: a path and a cursor.
const MAX_LINK_BYTES: usize = 8192;

/// The path and query of the next page, if there is one. It must be on the same host, or it is refused: the next
/// request carries credentials.
pub(super) fn next_page(response: &Response) -> Result<Option<String>, RegistryError> {
    for value in response.headers().get_all(LINK) {
        let Ok(text) = value.to_str() else { continue };
        if text.len() > MAX_LINK_BYTES {
            return Err(RegistryError::TooLarge {
                what: format!("the Link header of {}", response.host()),
                limit: MAX_LINK_BYTES as u64,
                unit: "bytes",
            });
        }
        if let Some(target) = next_target(text) {
            return same_host(response.url(), target).map(Some);
        }
    }
    Ok(None)
}

/// The target of the first link whose relation is `next`.
fn next_target(text: &str) -> Option<&str> {
    let mut rest = text;
    while let Some(start) = rest.find('<') {
        let after = rest.get(start + 1..)?;
        let (target, parameters) = after.split_once('>')?;
        let end = parameters
            .find(",<")
            .or_else(|| parameters.find(", <"))
            .unwrap_or(parameters.len());
        let (own, following) = parameters.split_at(end);
        let is_next = own.split(';').any(|parameter| {
            parameter.trim().split_once('=').is_some_and(|(name, value)| {
                let value = value.trim().trim_matches('"');
                name.trim().eq_ignore_ascii_case("rel") && value.split(' ').any(|rel| rel.eq_ignore_ascii_case("next"))
            })
        });
        if is_next {
            return Some(target);
        }
        rest = following;
    }
    None
}

fn same_host(base: &Url, target: &str) -> Result<String, RegistryError> {
    let refused = |to: String, reason| RegistryError::RedirectRefused {
        from: base.path().to_owned(),
        to,
        reason,
    };
    let next = base.join(target).map_err(|_| {
        refused(
            target.chars().take(100).collect(),
            "the next page's address is malformed",
        )
    })?;
    // The scheme is not compared: a registry behind a TLS proxy often says `http`. The host is, and ours is used.
    let same_port = next.port() == base.port() || next.port_or_known_default() == base.port_or_known_default();
    if next.host() != base.host() || !same_port {
        let host = next.host_str().unwrap_or("?").to_owned();
        return Err(refused(host, "the next page is on another host"));
    }
    Ok(match next.query() {
        Some(query) => format!("{}?{query}", next.path()),
        None => next.path().to_owned(),
    })
}

/// Reads a `Link` value from an answer of `base`, for fuzzing.
#[cfg(feature = "fuzzing")]
pub(crate) fn read_link(base: &Url, text: &str) -> Option<String> {
    same_host(base, next_target(text)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_next_link() {
        assert_eq!(
            next_target("</v2/a/tags/list?last=x&n=2>; rel=\"next\""),
            Some("/v2/a/tags/list?last=x&n=2")
        );
        assert_eq!(next_target("</p>; rel=\"prev\", </n>; rel=next"), Some("/n"));
        assert_eq!(next_target("</n>;REL=\"last next\""), Some("/n"));
        for text in ["", "</p>; rel=prev", "</n>", "<unclosed", "rel=next"] {
            assert_eq!(next_target(text), None, "{text}");
        }
    }

    #[test]
    fn pages_stay_on_their_host() {
        let base = Url::parse("https://r.example.com/v2/a/tags/list").unwrap();
        assert_eq!(
            same_host(&base, "/v2/a/tags/list?last=b").unwrap(),
            "/v2/a/tags/list?last=b"
        );
        assert_eq!(
            same_host(&base, "http://r.example.com/v2/a/tags/list?n=1").unwrap(),
            "/v2/a/tags/list?n=1"
        );
        for other in [
            "https://evil.example.com/",
            "//evil.com/x",
            "https://r.example.com:8443/",
        ] {
            assert_eq!(
                same_host(&base, other).unwrap_err().code(),
                "redirect-refused",
                "{other}"
            );
        }
    }
}
