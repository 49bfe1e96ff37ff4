//! The settings of `parallax check`.

use std::net::SocketAddr;

use parallax_vocab::Secret;
use parallax_vocab::question::{S3Access, View};

use super::application::Application;

/// The settings of one run of `parallax check`.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The URL of the endpoint: `https://host[:port]`, without a path.
    pub endpoint: String,
    /// The host of the endpoint: a name or an IP address.
    pub host: String,
    /// The port of the endpoint.
    pub port: u16,
    /// The region for which requests are signed.
    pub region: String,
    /// The endpoint together with the user's keys for the store. `None` if the user gave no keys; then the questions
    /// that need these keys are not asked.
    pub access: Option<S3Access>,
    /// The bucket to check. `None` if the user gave no bucket; then no question about a bucket is asked.
    pub bucket: Option<String>,
    /// The certificates to trust, in PEM format.
    pub trust: Vec<String>,
    /// Whether the user gave the certificates in `trust`. Otherwise, they are those that this machine trusts.
    pub given_trust: bool,
    /// The name servers to ask from outside. If the list is empty, this machine's name servers are used.
    pub name_servers: Vec<SocketAddr>,
    /// The web identity to check. `None` if the user named no ServiceAccount.
    pub identity: Option<Identity>,
    /// The length of the large body that is sent, in MiB. No large body is sent if it is 0.
    pub large_mib: u64,
    /// The time for which links are to be valid, in seconds. `None` if the user gave no time.
    pub links_for_s: Option<u64>,
    /// The settings of the application that uses the store. `None` if the user named no application.
    pub application: Option<Application>,
    /// A random text that makes the names of this check's pod and objects unique.
    pub id: String,
}

/// The web identity to check: a ServiceAccount whose token the store may exchange for credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The name of the `ServiceAccount` to check.
    pub account: String,
    /// The audience of the ServiceAccount's token.
    pub audience: String,
    /// The ARN of the role to assume. `None` if the token is not to be exchanged. The ARN is empty for a store that
    /// derives the rights from claims of the token.
    pub role: Option<String>,
    /// The certificate of the apiserver's authority, as PEM. In most clusters, this authority also signs the
    /// certificate of the token issuer.
    pub authority: Option<String>,
    /// The token of the ServiceAccount, if the check got it from the apiserver (`--attach`). `None` if the pod has the
    /// token in a file.
    pub token: Option<Secret>,
}

impl Wanted {
    /// Whether the endpoint uses TLS.
    pub fn tls(&self) -> bool {
        self.endpoint.starts_with("https://")
    }

    /// Returns the prefix of the keys of all objects that this check writes.
    pub fn prefix(&self) -> String {
        format!("parallax-check/{}/", self.id)
    }

    /// Returns the trusted certificates and the name servers for questions inside or outside the cluster. A pod uses
    /// its own name servers.
    pub(super) fn view(&self, inside: bool) -> View {
        let name_servers = if inside { Vec::new() } else { self.name_servers.clone() };
        View { trust: self.trust.clone(), name_servers, ..View::default() }
    }

    /// Returns the secret texts that the output must not contain.
    pub(super) fn secrets(&self) -> Vec<Secret> {
        let access = self.access.iter();
        let of_access = access.flat_map(|it| [Some(it.secret_key.clone()), it.session_token.clone()]).flatten();
        of_access.chain(self.identity.iter().filter_map(|it| it.token.clone())).collect()
    }
}

/// Parses the endpoint that the user gave: a URL, or a host with or without a port. A text without a scheme means
/// `https`. Returns the URL, the host and the port.
pub fn endpoint(given: &str) -> Result<(String, String, u16), String> {
    let text = if given.contains("://") { given.to_owned() } else { format!("https://{given}") };
    let uri: http::Uri = text.parse().map_err(|error| format!("`{given}` is not an endpoint: {error}"))?;
    let scheme = uri.scheme_str().unwrap_or_default();
    let default = match scheme {
        "https" => 443,
        "http" => 80,
        other => return Err(format!("`{given}` is not an endpoint: the scheme is `{other}`, and not https or http")),
    };
    let host = uri.host().filter(|it| !it.is_empty()).ok_or_else(|| format!("`{given}` has no host"))?;
    if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
        return Err(format!(
            "`{given}` has a path: an S3 store cannot live under one, because the path is signed (docs/troubleshooting.md#a-path-prefix)"
        ));
    }
    let port = uri.port_u16().unwrap_or(default);
    let shown = uri.port_u16().map(|port| format!(":{port}")).unwrap_or_default();
    Ok((format!("{scheme}://{host}{shown}"), host.trim_matches(['[', ']']).to_owned(), port))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The settings of a check of an endpoint, without keys and without a web identity.
    pub(in crate::check) fn wanted(given: &str) -> Wanted {
        let (endpoint, host, port) = endpoint(given).expect("an endpoint");
        Wanted {
            endpoint,
            host,
            port,
            region: "us-east-1".to_owned(),
            access: None,
            bucket: Some("photos".to_owned()),
            trust: Vec::new(),
            given_trust: false,
            name_servers: Vec::new(),
            identity: None,
            large_mib: 2,
            links_for_s: None,
            application: None,
            id: "r1".to_owned(),
        }
    }

    #[test]
    fn an_endpoint_is_a_host_with_a_scheme() {
        for (given, expected) in [
            ("minio.example.com", ("https://minio.example.com", "minio.example.com", 443)),
            ("https://minio.example.com/", ("https://minio.example.com", "minio.example.com", 443)),
            ("http://10.0.0.7:9000", ("http://10.0.0.7:9000", "10.0.0.7", 9000)),
            ("https://[fd00::1]:9000", ("https://[fd00::1]:9000", "fd00::1", 9000)),
        ] {
            let (endpoint, host, port) = endpoint(given).expect(given);
            assert_eq!((endpoint.as_str(), host.as_str(), port), expected, "{given}");
        }
        for (given, says) in [
            ("https://example.com/s3", "path"),
            ("ftp://example.com", "`ftp`"),
            ("https://", "endpoint"),
            ("", "endpoint"),
            ("a b", "endpoint"),
        ] {
            let error = endpoint(given).expect_err(given);
            assert!(error.contains(says), "{given}: {error}");
        }
    }
}
