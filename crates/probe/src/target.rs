//! Reads the target of a request from its URL: scheme, host and port. Computes the `Host` header.

use std::net::IpAddr;

use http::Uri;
use parallax_vocab::Cause;

use crate::invalid;

/// The server to connect to, as the URL names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// Whether the scheme is `https`.
    pub(crate) tls: bool,
    /// The host name or address, without brackets around an IPv6 address.
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Target {
    /// Reads the scheme, host and port of an absolute URL.
    pub(crate) fn of(uri: &Uri) -> Result<Self, Cause> {
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(invalid(format!("`{uri}` is not an absolute http or https URL"))),
        };
        let authority = uri.authority().ok_or_else(|| invalid(format!("`{uri}` has no host")))?;
        if authority.as_str().contains('@') {
            return Err(invalid("user and password in a URL are not supported; use a header"));
        }
        let host = bare(authority.host()).to_owned();
        Ok(Self { tls, host, port: authority.port_u16().unwrap_or(if tls { 443 } else { 80 }) })
    }

    /// The value of the `Host` header. It omits the scheme's default port, as clients do. A signature covers this
    /// value, so it must be exactly the one that clients send.
    pub(crate) fn host_header(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == if self.tls { 443 } else { 80 } { host } else { format!("{host}:{}", self.port) }
    }
}

/// The IP address, if `host` is an address and not a name.
pub(crate) fn literal(host: &str) -> Option<IpAddr> {
    bare(host).parse().ok()
}

fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_decides_where_and_what_host() {
        let table = [
            ("https://a.example.com/x?y=1", true, "a.example.com", 443, "a.example.com"),
            ("https://a.example.com:443/x", true, "a.example.com", 443, "a.example.com"),
            ("https://a.example.com:9000/x", true, "a.example.com", 9000, "a.example.com:9000"),
            ("http://a.example.com:443/", false, "a.example.com", 443, "a.example.com:443"),
            ("http://10.0.0.1/", false, "10.0.0.1", 80, "10.0.0.1"),
            ("http://[::1]:81/", false, "::1", 81, "[::1]:81"),
        ];
        for (url, tls, host, port, header) in table {
            let target = Target::of(&url.parse().unwrap()).unwrap();
            assert_eq!(target, Target { tls, host: host.to_owned(), port }, "{url}");
            assert_eq!(target.host_header(), header, "{url}");
        }
    }

    #[test]
    fn an_invalid_target_is_a_client_error() {
        for url in ["/x", "ftp://a/", "http://u:p@a/"] {
            let refused = Target::of(&url.parse().unwrap());
            assert!(matches!(refused, Err(Cause::Client { .. })), "{url}: {refused:?}");
        }
    }
}
