//! Addresses of this machine.

use url::{Host, Url};

/// Whether an address is on this machine, by its name or literal address alone: nothing is resolved, so a DNS answer cannot
/// make a foreign host loopback.
#[must_use]
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is() {
        for (text, expected) in [
            ("http://localhost:8080/x", true),
            ("http://127.0.0.1", true),
            ("http://127.9.9.9", true),
            ("http://[::1]:1/", true),
            ("https://LOCALHOST", true),
            ("http://localhost.example.com", false),
            ("http://127.0.0.1.example.com", false),
            ("http://10.0.0.1", false),
            ("http://0.0.0.0", false),
            ("http://[::]", false),
            ("http://localhost@example.com", false),
            ("unix:/run/socket", false),
        ] {
            assert_eq!(is_loopback(&Url::parse(text).unwrap()), expected, "{text}");
        }
    }
}
