//! Addresses that a public server must not send us to.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::SocketAddr;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Whether an address is of this machine, this network, or nobody's: loopback, private (RFC 1918, RFC 4193),
/// link-local with the cloud metadata service, shared (RFC 6598), unspecified, multicast, reserved.
pub(crate) fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_private_v4(address),
        IpAddr::V6(address) => {
            if let Some(mapped) = address.to_ipv4_mapped() {
                return is_private_v4(mapped);
            }
            let [first, second, third, .., high, low] = address.segments();
            // A translator takes these to an IPv4 address, which may be one of this network (RFC 6052); the prefixes
            // with a third part are for one network anyway (RFC 8215).
            if (first, second) == (0x64, 0xff9b) {
                let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
                return third != 0 || is_private_v4(Ipv4Addr::new(a, b, c, d));
            }
            address.is_loopback()
                || address.is_unspecified()
                || address.is_multicast()
                || first & 0xfe00 == 0xfc00
                || first & 0xffc0 == 0xfe80
        }
    }
}

fn is_private_v4(address: Ipv4Addr) -> bool {
    let [a, b, _, _] = address.octets();
    address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_unspecified()
        || address.is_multicast()
        || address.is_broadcast()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
}

/// Said by [`PublicOnly`]; the transport recognises it in the text of a connection error.
pub(super) const ONLY_PRIVATE: &str = "the name has only private addresses";

/// Resolves names, leaving private addresses out. For hosts that a public registry names: a check of the name alone is
/// undone by one DNS record.
#[derive(Debug)]
pub(super) struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let public: Vec<SocketAddr> = found.filter(|address| !is_private(address.ip())).collect();
            if public.is_empty() {
                return Err(ONLY_PRIVATE.into());
            }
            let addresses: Addrs = Box::new(public.into_iter());
            Ok(addresses)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_and_public_addresses() {
        for text in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.1",
            "::1",
            "::",
            "fe80::1",
            "fd12::1",
            "::ffff:10.0.0.1",
            "ff02::1",
            "64:ff9b::169.254.169.254",
            "64:ff9b:1::1.1.1.1",
        ] {
            assert!(is_private(text.parse().unwrap()), "{text}");
        }
        for text in [
            "1.1.1.1",
            "172.32.0.1",
            "100.128.0.1",
            "2606:4700::1111",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
        ] {
            assert!(!is_private(text.parse().unwrap()), "{text}");
        }
    }
}
