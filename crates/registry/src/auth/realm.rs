//! Which token servers may see which credentials.
//!
//! The token server's address comes from the registry's answer, so whoever can write that answer chooses who receives
//! the password. Docker's client sends it to any `https` address named. We send it only where the registry's owner
//! plausibly also owns the token server:
//!
//! 1. the same host name (`ghcr.io` names `ghcr.io`), whatever the port;
//! 2. a host under, or equal to, the registry's parent domain (`registry-1.docker.io` names `auth.docker.io`,
//!    `registry.gitlab.com` names `gitlab.com`), unless strangers can get names under that parent (`github.io`, `co.uk`);
//! 3. one that the caller has named for this registry.
//!
//! Everybody else is asked without credentials, or, if there are some, not at all: the error says so, because a pull that
//! silently went on anonymously would fail later for a reason that is not the cause.

use std::net::IpAddr;

use proofmark_types::{RegistryHost, is_loopback};
use url::{Host, Url};

use crate::transport::address::is_private;

/// Domains with more than one label under which different people have names. The public suffix list has about 10,000;
/// these are the shapes that matter for registries. A two-label parent that ends in a country code and starts with one
/// of [`SECOND_LEVEL`] is refused too.
const SHARED_PARENTS: [&str; 26] = [
    "azurecr.io",
    "azurewebsites.net",
    "cloudapp.azure.com",
    "amazonaws.com",
    "cloudfront.net",
    "github.io",
    "gitlab.io",
    "pages.dev",
    "workers.dev",
    "run.app",
    "web.app",
    "appspot.com",
    "herokuapp.com",
    "jfrog.io",
    "ngrok.io",
    "nip.io",
    "sslip.io",
    "ngrok.app",
    "ngrok-free.app",
    "trycloudflare.com",
    "duckdns.org",
    "fly.dev",
    "vercel.app",
    "netlify.app",
    "onrender.com",
    "azurefd.net",
];

/// Second levels under country codes that are not names of anybody (`co.uk`, `com.au`).
const SECOND_LEVEL: [&str; 9] = ["co", "com", "org", "net", "gov", "edu", "ac", "or", "ne"];

/// Checks the address itself, before anything is sent there.
pub(super) fn check_address(registry: &RegistryHost, plain_http: bool, realm: &Url) -> Result<(), &'static str> {
    match realm.scheme() {
        "https" => {}
        // The registry itself is spoken to without TLS; its token server may be so too, where it is the same machine
        // or equally local.
        "http" if plain_http && (same_host(registry, realm) || is_loopback(realm)) => {}
        _ => return Err("a token server must be reached over https"),
    }
    if !realm.username().is_empty() || realm.password().is_some() {
        return Err("its address carries a user name");
    }
    let local = match realm.host() {
        Some(Host::Ipv4(address)) => is_private(IpAddr::V4(address)),
        Some(Host::Ipv6(address)) => is_private(IpAddr::V6(address)),
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        None => return Err("its address has no host"),
    };
    if local && !names_private(registry) && !same_host(registry, realm) {
        return Err("a registry elsewhere must not send us to a local address");
    }
    Ok(())
}

/// Whether credentials for `registry` may be shown to `realm`; the address has been checked.
pub(super) fn may_see_credentials(registry: &RegistryHost, realm: &Url, trusted: &[(RegistryHost, String)]) -> bool {
    let Some(realm_host) = realm.host_str().map(str::to_ascii_lowercase) else {
        return false;
    };
    if same_host(registry, realm) {
        return true;
    }
    if registry.is_loopback() && is_loopback(realm) {
        return true;
    }
    if trusted
        .iter()
        .any(|(for_registry, host)| for_registry == registry && *host == realm_host)
    {
        return true;
    }
    let host = host_name(registry.endpoint());
    parent_of(host).is_some_and(|parent| {
        realm_host == parent
            || realm_host
                .strip_suffix(parent)
                .is_some_and(|before| before.ends_with('.'))
    })
}

/// The domain above a host, where one owner has all of it.
fn parent_of(host: &str) -> Option<&str> {
    if host.parse::<IpAddr>().is_ok() {
        return None;
    }
    let (_, parent) = host.split_once('.')?;
    let (second, top) = parent.split_once('.')?;
    let country_code = top.len() == 2 && !top.contains('.') && SECOND_LEVEL.contains(&second);
    (!country_code
        && !SHARED_PARENTS
            .iter()
            .any(|shared| parent == *shared || parent.ends_with(&format!(".{shared}"))))
    .then_some(parent)
}

fn same_host(registry: &RegistryHost, realm: &Url) -> bool {
    realm
        .host_str()
        .is_some_and(|host| host.eq_ignore_ascii_case(host_name(registry.endpoint())))
}

/// Whether the registry is itself named by a local address.
fn names_private(registry: &RegistryHost) -> bool {
    let host = host_name(registry.endpoint())
        .trim_start_matches('[')
        .trim_end_matches(']');
    registry.is_loopback() || host.parse::<IpAddr>().is_ok_and(is_private)
}

/// `host` of `host:port`, the brackets of an IPv6 address kept, as in a URL's host.
fn host_name(endpoint: &str) -> &str {
    if let Some(end) = endpoint.find(']') {
        return endpoint.get(..=end).unwrap_or(endpoint);
    }
    endpoint.split(':').next().unwrap_or(endpoint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> RegistryHost {
        RegistryHost::parse(text).unwrap()
    }

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn the_token_servers_of_real_registries_are_trusted() {
        for (registry, realm) in [
            ("docker.io", "https://auth.docker.io/token"),
            ("ghcr.io", "https://ghcr.io/token"),
            ("quay.io", "https://quay.io/v2/auth"),
            ("registry.gitlab.com", "https://gitlab.com/jwt/auth"),
            ("gcr.io", "https://gcr.io/v2/token"),
            ("europe-docker.pkg.dev", "https://europe-docker.pkg.dev/v2/token"),
            ("acme.azurecr.io", "https://acme.azurecr.io/oauth2/token"),
            ("public.ecr.aws", "https://public.ecr.aws/token/"),
            (
                "registry.digitalocean.com",
                "https://api.digitalocean.com/v2/registry/auth",
            ),
            ("registry.example.com:5000", "https://registry.example.com:5001/auth"),
            ("127.0.0.1:5000", "http://127.0.0.1:5001/auth"),
            ("[::1]:5000", "http://[::1]:5001/auth"),
        ] {
            let (registry, realm) = (host(registry), url(realm));
            check_address(&registry, registry.is_loopback(), &realm).unwrap();
            assert!(may_see_credentials(&registry, &realm, &[]), "{registry} {realm}");
        }
    }

    #[test]
    fn strangers_never_see_credentials() {
        for (registry, realm) in [
            ("docker.io", "https://auth.docker.io.attacker.com/token"),
            ("docker.io", "https://notdocker.io/token"),
            ("ghcr.io", "https://example.com/token"),
            ("quay.io", "https://evil.io/token"),
            ("acme.azurecr.io", "https://evil.azurecr.io/oauth2/token"),
            (
                "1234.dkr.ecr.eu-west-1.amazonaws.com",
                "https://evil.eu-west-1.amazonaws.com/",
            ),
            ("registry.co.uk", "https://evil.co.uk/token"),
            ("acme.github.io", "https://evil.github.io/token"),
            ("example.com", "https://other.com/token"),
            ("10.0.0.1:5000", "https://10.0.0.2/token"),
            ("127.0.0.1:5000", "https://example.com/token"),
        ] {
            assert!(
                !may_see_credentials(&host(registry), &url(realm), &[]),
                "{registry} {realm}"
            );
        }
        let trusted = [(host("ghcr.io"), "sso.example.com".to_owned())];
        assert!(may_see_credentials(
            &host("ghcr.io"),
            &url("https://sso.example.com/t"),
            &trusted
        ));
        assert!(!may_see_credentials(
            &host("quay.io"),
            &url("https://sso.example.com/t"),
            &trusted
        ));
    }

    #[test]
    fn addresses_that_are_not_asked_at_all() {
        for (registry, plain, realm) in [
            ("ghcr.io", false, "http://ghcr.io/token"),
            ("ghcr.io", false, "https://127.0.0.1/token"),
            ("ghcr.io", false, "https://169.254.169.254/latest/meta-data"),
            ("ghcr.io", false, "https://[fd00::1]/token"),
            ("ghcr.io", false, "https://localhost/token"),
            ("ghcr.io", false, "https://user:pw@ghcr.io/token"),
            ("ghcr.io", false, "file:///etc/passwd"),
            ("127.0.0.1:5000", true, "http://example.com/token"),
        ] {
            assert!(
                check_address(&host(registry), plain, &url(realm)).is_err(),
                "{registry} {realm}"
            );
        }
        check_address(&host("10.0.0.1"), false, &url("https://10.0.0.2/token")).unwrap();
    }
}
