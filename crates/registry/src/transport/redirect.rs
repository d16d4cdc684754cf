//! Which redirects and upload locations are followed. None ever carries credentials.

use std::net::IpAddr;

use http::header::LOCATION;
use url::Host;
use url::Url;

use super::address::is_private;
use super::response::Response;
use crate::RegistryError;
use crate::limits::MAX_REDIRECTS;

/// What is known about the request that is redirected.
#[derive(Debug)]
pub(super) struct Rules {
    /// GET or HEAD.
    pub(super) read: bool,
    /// The registry may be spoken to without TLS.
    pub(super) plain_allowed: bool,
    /// The number of this redirect, from 1.
    pub(super) hops: u32,
}

/// Where a redirect leads, or why it is not followed.
pub(super) fn next(response: &Response, rules: &Rules) -> Result<Url, RegistryError> {
    let location = location(response)?;
    check(response.url(), &location, rules, response.is_public()).map_err(|reason| RegistryError::RedirectRefused {
        from: shown(response.url()),
        to: shown(&location),
        reason,
    })?;
    Ok(location)
}

fn check(from: &Url, to: &Url, rules: &Rules, from_public: bool) -> Result<(), &'static str> {
    if !rules.read {
        return Err("an upload is not sent to another place");
    }
    if rules.hops > MAX_REDIRECTS {
        return Err("more than 5 redirects");
    }
    match (from.scheme(), to.scheme()) {
        (_, "https") => {}
        ("http", "http") if rules.plain_allowed => {}
        ("https", "http") => return Err("https must not lead to http"),
        _ => return Err("the address is neither https nor permitted http"),
    }
    if !to.username().is_empty() || to.password().is_some() {
        return Err("the address carries a user name");
    }
    // By literal address here; names are resolved by a resolver that leaves private addresses out.
    if from_public && is_local(to) {
        return Err("a public registry must not send us to a local address");
    }
    // A local registry spoken to in plain HTTP may point at its own network, in plain HTTP too, and nowhere else.
    if to.scheme() == "http" && !is_local(to) && from.host_str() != to.host_str() {
        return Err("plain http to another host");
    }
    Ok(())
}

/// Where an upload goes on; see [`super::Transport::upload_location`].
pub(super) fn upload_location(opened: &Response) -> Result<Url, RegistryError> {
    let base = opened.url();
    let mut location = location(opened)?;
    let refused = |to: &Url, reason| RegistryError::RedirectRefused {
        from: shown(base),
        to: shown(to),
        reason,
    };
    if !location.username().is_empty() || location.password().is_some() {
        return Err(refused(&location, "the address carries a user name"));
    }
    if location.host() != base.host() {
        return Err(refused(&location, "an upload stays on the registry's own host"));
    }
    let same_port = location.port_or_known_default() == base.port_or_known_default();
    let misnamed_scheme = location.scheme() == "http" && base.scheme() == "https" && location.port().is_none();
    match (location.scheme() == base.scheme(), same_port, misnamed_scheme) {
        (true, true, _) => Ok(location),
        // Behind a proxy that ends TLS: the registry thinks that it is spoken to over http. We know better.
        (false, same_port, misnamed) if same_port || misnamed => {
            let port = base.port();
            let fixed = location
                .set_scheme(base.scheme())
                .and_then(|()| location.set_port(port));
            match fixed {
                Ok(()) => Ok(location),
                Err(()) => Err(refused(base, "the address cannot be corrected")),
            }
        }
        _ => Err(refused(&location, "an upload stays on the registry's own port")),
    }
}

fn location(response: &Response) -> Result<Url, RegistryError> {
    let malformed = |reason: &str| RegistryError::Malformed {
        what: format!("the answer {} of {}", response.status().as_u16(), shown(response.url())),
        reason: reason.to_owned(),
    };
    let value = response
        .headers()
        .get(LOCATION)
        .ok_or_else(|| malformed("it has no Location"))?;
    let text = value.to_str().map_err(|_| malformed("its Location is not text"))?;
    response
        .url()
        .join(text)
        .map_err(|_| malformed("its Location is not an address"))
}

fn is_local(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => is_private(IpAddr::V4(address)),
        Some(Host::Ipv6(address)) => is_private(IpAddr::V6(address)),
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        None => true,
    }
}

/// An address without query and fragment: signed URLs are secrets.
pub(super) fn shown(url: &Url) -> String {
    let mut shown = url.clone();
    shown.set_query(None);
    shown.set_fragment(None);
    let _ = shown.set_username("");
    let _ = shown.set_password(None);
    shown.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(from: &str, to: &str, plain_allowed: bool, public: bool) -> Result<(), &'static str> {
        let rules = Rules {
            read: true,
            plain_allowed,
            hops: 1,
        };
        check(&Url::parse(from).unwrap(), &Url::parse(to).unwrap(), &rules, public)
    }

    #[test]
    fn storage_redirects_are_followed() {
        verdict("https://docker.io/v2/", "https://cdn.example.net/x?sig=1", false, true).unwrap();
        verdict("https://registry.corp/v2/", "https://10.0.0.9/minio", false, false).unwrap();
        verdict("http://127.0.0.1:5000/v2/", "http://127.0.0.1:9000/x", true, false).unwrap();
        verdict("http://127.0.0.1:5000/v2/", "https://cdn.example.net/x", true, false).unwrap();
    }

    #[test]
    fn others_are_refused_with_their_rule() {
        for (from, to, plain, public, rule) in [
            (
                "https://a.io/",
                "http://b.io/",
                false,
                true,
                "https must not lead to http",
            ),
            (
                "https://a.io/",
                "http://b.io/",
                true,
                true,
                "https must not lead to http",
            ),
            (
                "https://a.io/",
                "https://127.0.0.1/",
                false,
                true,
                "a public registry must not send us to a local address",
            ),
            (
                "https://a.io/",
                "https://localhost/",
                false,
                true,
                "a public registry must not send us to a local address",
            ),
            (
                "https://a.io/",
                "https://[::1]/",
                false,
                true,
                "a public registry must not send us to a local address",
            ),
            (
                "https://a.io/",
                "https://169.254.169.254/",
                false,
                true,
                "a public registry must not send us to a local address",
            ),
            (
                "https://a.io/",
                "https://u:p@b.io/",
                false,
                true,
                "the address carries a user name",
            ),
            (
                "https://a.io/",
                "ftp://b.io/",
                false,
                true,
                "the address is neither https nor permitted http",
            ),
            (
                "http://127.0.0.1/",
                "http://example.com/",
                true,
                false,
                "plain http to another host",
            ),
        ] {
            assert_eq!(verdict(from, to, plain, public), Err(rule), "{from} {to}");
        }
    }

    #[test]
    fn uploads_and_long_chains_are_refused() {
        let rules = |read, hops| Rules {
            read,
            plain_allowed: false,
            hops,
        };
        let url = Url::parse("https://a.io/").unwrap();
        assert!(check(&url, &url, &rules(false, 1), true).is_err());
        assert_eq!(check(&url, &url, &rules(true, 6), true), Err("more than 5 redirects"));
    }
}
