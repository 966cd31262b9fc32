//! Host and port, out of `:authority` or of a socket address as the proxy writes it.

/// Splits `host:port`, `[v6]:port`, `host` or a bare IPv6 address. The brackets are not part of the host.
/// A port that is not a number from 1 to 65535 is none. A pipe's path (`/run/x.sock`) is a host.
pub fn split(authority: &str) -> (&str, Option<u16>) {
    if let Some(rest) = authority.strip_prefix('[') {
        return match rest.split_once(']') {
            Some((host, port)) => (host, port.strip_prefix(':').and_then(parse_port)),
            None => (authority, None),
        };
    }
    match authority.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') => (host, parse_port(port)),
        _ => (authority, None),
    }
}

/// The authority without `user:password@`.
pub fn without_user(authority: &str) -> &str {
    authority.rsplit_once('@').map_or(authority, |(_, host)| host)
}

fn parse_port(text: &str) -> Option<u16> {
    text.parse().ok().filter(|port| *port != 0)
}

/// The port that a scheme stands for.
pub fn default_port(scheme: &[u8]) -> Option<u16> {
    match scheme {
        b"http" => Some(80),
        b"https" => Some(443),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::test;

    #[test]
    fn a_user_is_no_part_of_the_host() {
        assert_eq!(without_user("me:p@ss@shop.example:80"), "shop.example:80");
        assert_eq!(without_user("shop.example"), "shop.example");
    }

    #[test]
    fn hosts_and_ports_are_told_apart() {
        for (text, host, port) in [
            ("shop.example:8080", "shop.example", Some(8080)),
            ("shop.example", "shop.example", None),
            ("10.0.0.1:443", "10.0.0.1", Some(443)),
            ("[2001:db8::1]:80", "2001:db8::1", Some(80)),
            ("[::1]", "::1", None),
            ("2001:db8::1", "2001:db8::1", None),
            ("host:", "host", None),
            ("host:99999", "host", None),
            ("host:0", "host", None),
            ("[broken", "[broken", None),
            ("/run/envoy.sock", "/run/envoy.sock", None),
            ("", "", None),
        ] {
            assert_eq!(split(text), (host, port), "{text}");
        }
    }
}
