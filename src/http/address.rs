//! Whose request it is: the peer's address, or what a trusted proxy says.

use std::net::{IpAddr, SocketAddr};

use axum::http::HeaderMap;
use ipnet::IpNet;

/// The address of the client that sent a request, which came from `peer`.
///
/// `X-Forwarded-For` is a list to which each proxy adds, at the right, the address that
/// its request came from; the left part is whatever the client wrote. So it is read from
/// the right, for as long as the one who wrote an entry is trusted.
pub(super) fn client(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|net| net.contains(address));
    let mut client = peer.to_canonical();
    // Several lines are one list, in their order (RFC 9110, section 5.3).
    let lines = headers.get_all("x-forwarded-for").iter().rev();
    for hop in lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b',')) {
        if !is_trusted(&client) {
            break;
        }
        match parse(hop) {
            Some(address) => client = address,
            None => break,
        }
    }
    client
}

/// Parses an address as proxies write it: some add the port.
fn parse(hop: &[u8]) -> Option<IpAddr> {
    let hop = std::str::from_utf8(hop).ok()?.trim();
    let bracketed = hop.strip_prefix('[').and_then(|hop| hop.strip_suffix(']'));
    let address: Option<IpAddr> = bracketed.unwrap_or(hop).parse().ok();
    let address = address.or_else(|| Some(hop.parse::<SocketAddr>().ok()?.ip()));
    address.map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn client_of(peer: &str, lines: &[&str], trusted: &[&str]) -> IpAddr {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("x-forwarded-for", line.parse().expect("a header's value"));
        }
        let trusted: Vec<_> = trusted.iter().map(|net| net.parse().expect("a CIDR")).collect();
        client(ip(peer), &headers, &trusted)
    }

    #[test]
    fn without_trust_the_peer_is_the_client_whatever_it_says() {
        assert_eq!(client_of("192.0.2.1", &["198.51.100.7"], &[]), ip("192.0.2.1"));
        assert_eq!(client_of("192.0.2.1", &["198.51.100.7"], &["10.0.0.0/8"]), ip("192.0.2.1"));
    }

    #[test]
    fn the_rightmost_untrusted_address_is_the_client() {
        let trusted = &["10.0.0.0/8", "2001:db8::/32"];
        for (lines, expected) in [
            (&["198.51.100.7"][..], "198.51.100.7"),
            (&["203.0.113.9, 198.51.100.7"], "198.51.100.7"),
            (&["203.0.113.9, 198.51.100.7,10.0.0.2"], "198.51.100.7"),
            (&["203.0.113.9", "198.51.100.7, 10.0.0.2"], "198.51.100.7"),
            (&["198.51.100.7, 2001:db8::5"], "198.51.100.7"),
            (&["198.51.100.7:4711"], "198.51.100.7"),
            (&["[2001:db9::1]:4711"], "2001:db9::1"),
            (&["[2001:db9::1]"], "2001:db9::1"),
            (&["::ffff:198.51.100.7"], "198.51.100.7"),
            // Nothing beyond an unreadable entry can be trusted.
            (&["198.51.100.7, unknown, 10.0.0.2"], "10.0.0.2"),
            (&["198.51.100.7, "], "10.0.0.1"),
            (&["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            (&[], "10.0.0.1"),
        ] {
            assert_eq!(client_of("10.0.0.1", lines, trusted), ip(expected), "{lines:?}");
        }
    }

    #[test]
    fn an_ipv4_peer_of_a_dual_stack_socket_is_known_by_its_ipv4_address() {
        assert_eq!(client_of("::ffff:10.0.0.1", &["192.0.2.1"], &["10.0.0.1/32"]), ip("192.0.2.1"));
    }

    proptest! {
        #[test]
        fn whatever_a_client_writes_before_the_trusted_hop_changes_nothing(
            forged in "[ -~]{0,60}",
            client: std::net::Ipv4Addr,
        ) {
            let trusted = ["10.0.0.1/32"];
            let line = format!("{forged},{client}");
            let found = client_of("10.0.0.1", &[&line], &trusted);
            if client != std::net::Ipv4Addr::new(10, 0, 0, 1) {
                prop_assert_eq!(found, IpAddr::V4(client));
            }
        }

        #[test]
        fn an_untrusted_peer_is_the_client_whatever_it_writes(forged in "[ -~]{0,60}") {
            prop_assert_eq!(client_of("192.0.2.1", &[&forged], &["10.0.0.0/8"]), ip("192.0.2.1"));
        }
    }
}
