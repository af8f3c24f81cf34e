//! Which hosts are of the local network, where a sign-in may go unencrypted: with a server that is reached over http, which takes
//! `--allow-http`. Nothing of a sign-in is sent to any other host over http.
//!
//! A host is local by its address, by a name that the public DNS does not have, or by the addresses that its name stands for.
//! Where a proxy looks names up, the name alone counts. Deliberately not here: which address may come from where
//! (`metadata`).

use std::net::{IpAddr, Ipv6Addr};

use url::{Host, Url};

use crate::http::is_loopback;

/// Endings of names that are not in the public DNS: reserved (RFC 6761, 6762, 8375), of ICANN for private use, or in common use
/// and never delegated.
const LOCAL_ENDINGS: &[&str] =
    &["lan", "local", "internal", "home.arpa", "home", "corp", "intranet", "private", "test", "invalid"];

/// What a host is, as far as it can be told without looking its name up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Locality {
    /// It is in the local network.
    Local,
    /// It is not.
    Public,
    /// Its name has to be looked up.
    Unknown,
}

/// Returns what the host of an address is.
pub(super) fn locality(url: &Url) -> Locality {
    match url.host() {
        Some(Host::Ipv4(address)) => of_address(IpAddr::V4(address)),
        Some(Host::Ipv6(address)) => of_address(IpAddr::V6(address)),
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.');
            let ends = |outcome: &&str| name.strip_suffix(outcome).is_some_and(|rest| rest.ends_with('.'));
            match !name.contains('.') || LOCAL_ENDINGS.iter().any(ends) {
                true => Locality::Local,
                false => Locality::Unknown,
            }
        }
        None => Locality::Public,
    }
}

fn of_address(address: IpAddr) -> Locality {
    if is_local(address) { Locality::Local } else { Locality::Public }
}

/// Returns whether an address is of a private network, of the link, or of this computer (RFC 1918, 3927, 4193, 4291), or one that
/// a provider or a VPN shares out inside (RFC 6598).
pub(super) fn is_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let [first, second, ..] = address.octets();
            address.is_private()
                || address.is_link_local()
                || address.is_loopback()
                || (first == 100 && (64..128).contains(&second))
        }
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(mapped) => is_local(IpAddr::V4(mapped)),
            None => {
                let [first, ..] = address.segments();
                address == Ipv6Addr::LOCALHOST || first & 0xfe00 == 0xfc00 || first & 0xffc0 == 0xfe80
            }
        },
    }
}

/// Returns whether an address of http elsewhere than on this computer may be of the sign-in at `server`: that is itself reached so,
/// and the host is not known to be public.
pub(super) fn may_be_plain(url: &Url, server: &Url) -> bool {
    is_plain(url) && is_plain(server) && locality(url) != Locality::Public
}

/// Returns whether an address is of http, and not on this computer.
pub(super) fn is_plain(url: &Url) -> bool {
    url.scheme() == "http" && !is_loopback(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_local_by_address_and_by_name() {
        use Locality::{Local, Public, Unknown};
        for (host, expected) in [
            ("10.1.2.3", Local),
            ("172.16.0.1", Local),
            ("172.32.0.1", Public),
            ("192.168.1.5", Local),
            ("169.254.7.7", Local),
            ("100.64.0.1", Local),
            ("100.128.0.1", Public),
            ("8.8.8.8", Public),
            ("3232235777", Local),
            ("[fd00::1]", Local),
            ("[fe80::1]", Local),
            ("[::ffff:192.168.1.1]", Local),
            ("[::ffff:8.8.8.8]", Public),
            ("[2001:db8::1]", Public),
            ("mcp.lan", Local),
            ("MCP.LAN.", Local),
            ("nas", Local),
            ("printer.local", Local),
            ("a.b.home.arpa", Local),
            ("arpa.example", Unknown),
            ("notlan.example", Unknown),
            ("milan", Local),
            ("x.milan", Unknown),
            ("lan.example.com", Unknown),
        ] {
            let url = Url::parse(&format!("http://{host}/mcp")).expect("a URL");
            assert_eq!(locality(&url), expected, "{host}");
        }
    }

    #[test]
    fn plain_addresses_belong_to_plain_servers_of_the_network() {
        let url = |text: &str| Url::parse(text).expect("a URL");
        for (address, server, expected) in [
            ("http://as.lan/token", "http://mcp.lan/mcp", true),
            ("http://as.example.com/token", "http://mcp.lan/mcp", true),
            ("http://8.8.8.8/token", "http://mcp.lan/mcp", false),
            ("http://as.lan/token", "https://mcp.lan/mcp", false),
            ("http://as.lan/token", "http://localhost/mcp", false),
            ("http://localhost/token", "http://mcp.lan/mcp", false),
        ] {
            assert_eq!(may_be_plain(&url(address), &url(server)), expected, "{address} {server}");
        }
    }
}
