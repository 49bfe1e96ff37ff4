//! The settings of a container that decide how its programs resolve names, and which certificates they trust. The agent
//! reads them from the container's files and environment.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::question::OwnResolver;

/// The files in which operating systems store their trusted certificates: Debian, Red Hat, SUSE, Alpine, macOS.
pub const BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
];
/// The folders whose files Go trusts, in addition to one of the [`BUNDLES`] (`crypto/x509/root_linux.go`). The variable
/// `SSL_CERT_DIR` replaces these folders.
pub const FOLDERS: [&str; 2] = ["/etc/ssl/certs", "/etc/pki/tls/certs"];

/// The largest size of a file of settings, or of all certificates of a folder together, in bytes. The certificates of a
/// Linux distribution have a size of about a quarter of a megabyte. The limit exists because a question with the
/// certificates of one trust store must fit into a frame ([`crate::wire::FRAME_LIMIT_BYTES`]).
pub const LIMIT_BYTES: u64 = 700 * 1024;
/// The reason that an answer gives for a trust store that is larger than [`LIMIT_BYTES`] and was not read.
pub const TOO_LARGE: &str = "larger than 700 KiB, so it was not read";

/// The settings of one container: for name resolution, and its trusted certificates.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The length of the agent's program file, in bytes. The harness compares this length with the number of bytes that
    /// it sent.
    pub program_bytes: u64,
    /// The text of `/etc/resolv.conf`. `None` if the file cannot be read.
    pub resolv_conf: Option<String>,
    /// The text of `/etc/hosts`. `None` if the file cannot be read.
    pub hosts: Option<String>,
    /// The text of `/etc/nsswitch.conf`. `None` if the file cannot be read; many images have none.
    pub nsswitch: Option<String>,
    /// The trust stores of the container, in the order of precedence for a client that uses an AWS SDK. The client uses
    /// the first trust store, and the ones that add certificates to the first ([`Self::used_stores`]).
    pub stores: Vec<TrustStore>,
}

impl Settings {
    /// Maps each name in `/etc/hosts` (in lower case) to its addresses, in the order of the file.
    pub fn hosts(&self) -> BTreeMap<String, Vec<IpAddr>> {
        let mut all: BTreeMap<String, Vec<IpAddr>> = BTreeMap::new();
        for line in self.hosts.as_deref().unwrap_or_default().lines() {
            let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
            let Some(address) = words.next().and_then(|it| it.parse().ok()) else { continue };
            for name in words {
                let of_name = all.entry(name.trim_end_matches('.').to_ascii_lowercase()).or_default();
                if !of_name.contains(&address) {
                    of_name.push(address);
                }
            }
        }
        all
    }

    /// The sources of host names that `/etc/nsswitch.conf` lists, such as `files` and `dns`, in their order. The list
    /// is empty if the file has no line `hosts:`. Programs then read `/etc/hosts` first and ask DNS afterwards.
    pub fn sources(&self) -> Vec<String> {
        let text = self.nsswitch.as_deref().unwrap_or_default();
        let mut lines = text.lines().filter_map(|it| it.split('#').next()?.trim().strip_prefix("hosts:"));
        let words = lines.next_back().unwrap_or_default().split_whitespace();
        words.filter(|it| !it.starts_with('[')).map(str::to_owned).collect()
    }

    /// Whether the container's programs ask DNS for names that `/etc/hosts` does not have.
    pub fn asks_dns(&self) -> bool {
        let sources = self.sources();
        sources.is_empty() || sources.iter().any(|it| is_dns(it))
    }

    /// How the container's programs find the address of a name. The entries of `/etc/hosts` are included only if the
    /// programs read this file before they ask DNS.
    pub fn resolver(&self) -> OwnResolver {
        let sources = self.sources();
        let at = |is_meant: &dyn Fn(&str) -> bool| sources.iter().position(|it| is_meant(it));
        let files_first = match (at(&|it| it == "files"), at(&is_dns)) {
            (Some(files), Some(dns)) => files < dns,
            (Some(_), None) => true,
            (None, _) => sources.is_empty(),
        };
        let hosts = if files_first { self.hosts() } else { BTreeMap::new() };
        OwnResolver { hosts, asks_dns: self.asks_dns() }
    }

    /// The trust stores that an S3 client uses: the first one, and each one that adds certificates to the first. The
    /// system's file adds to the certificates of `NODE_EXTRA_CA_CERTS`. If the system's file is the first one, the
    /// folders add to this file, as in programs written in Go.
    pub fn used_stores(&self) -> impl Iterator<Item = &TrustStore> {
        let first = self.stores.first().map(|it| it.named_by);
        self.stores
            .iter()
            .enumerate()
            .filter(move |(at, it)| match (first, it.named_by) {
                (Some(NamedBy::NodeExtraCaCerts), NamedBy::System) | (Some(NamedBy::System), NamedBy::Folder) => true,
                _ => *at == 0,
            })
            .map(|(_, it)| it)
    }
}

fn is_dns(source: &str) -> bool {
    // `resolve` is the resolver of systemd, which asks DNS.
    source == "dns" || source == "resolve"
}

/// Certificates that programs in a container trust, from one file or from several folders.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustStore {
    /// The variable or the default that makes programs use this trust store.
    pub named_by: NamedBy,
    /// The path of the trust store's file, or the paths of its folders with `:` between them. If the container has none
    /// of the [`BUNDLES`], the text `the system's file` takes the place of a path.
    pub path: String,
    /// The certificates of the trust store, in PEM format. The error is the reason why the certificates are missing,
    /// for example that the file cannot be read. The error [`TOO_LARGE`] means only that the agent did not read the
    /// file; a program may read and trust it.
    pub certificates: Result<String, String>,
}

/// The variable or the default that makes programs use a trust store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NamedBy {
    /// The variable `AWS_CA_BUNDLE`. The AWS SDKs for Python and Go and the AWS CLI read it.
    AwsCaBundle,
    /// The variable `REQUESTS_CA_BUNDLE`. Python's library `requests` and the AWS SDK for Python read it.
    RequestsCaBundle,
    /// The variable `SSL_CERT_FILE`. OpenSSL and Go read it. Its file replaces the system's file.
    SslCertFile,
    /// The variable `NODE_EXTRA_CA_CERTS`. Node.js trusts the certificates of this file in addition to its built-in
    /// ones.
    NodeExtraCaCerts,
    /// The system's file, which is one of the [`BUNDLES`]. No variable contains its path.
    System,
    /// The certificates in the [`FOLDERS`], or in the folders that the variable `SSL_CERT_DIR` lists. Certificates that
    /// the system's file also contains are left out.
    Folder,
}

impl NamedBy {
    /// The variables that contain the path of a file of certificates, in the order of precedence for S3 clients.
    pub const VARIABLES: [Self; 4] =
        [Self::AwsCaBundle, Self::RequestsCaBundle, Self::SslCertFile, Self::NodeExtraCaCerts];

    /// The variable that contains the path of the trust store's file. `None` if there is no such variable.
    pub fn variable(self) -> Option<&'static str> {
        match self {
            Self::AwsCaBundle => Some("AWS_CA_BUNDLE"),
            Self::RequestsCaBundle => Some("REQUESTS_CA_BUNDLE"),
            Self::SslCertFile => Some("SSL_CERT_FILE"),
            Self::NodeExtraCaCerts => Some("NODE_EXTRA_CA_CERTS"),
            Self::System | Self::Folder => None,
        }
    }
}

/// Returns each certificate of a text in PEM format, from its `BEGIN` line to its `END` line. Everything between the
/// certificates is left out, even a private key.
pub fn certificates(text: &str) -> impl Iterator<Item = &str> {
    const END: &str = "-----END CERTIFICATE-----";
    text.split_inclusive(END).filter(|it| it.ends_with(END)).filter_map(|block| {
        let start = block.rfind("-----BEGIN CERTIFICATE-----")?;
        Some(&block[start..])
    })
}

/// Returns the [`certificates`] of a text in PEM format, each with a line break at its end. So the results for several
/// texts can be joined. `None` if the text contains no certificate.
pub fn only_certificates(text: &str) -> Option<String> {
    let all: String = certificates(text).flat_map(|it| [it, "\n"]).collect();
    (!all.is_empty()).then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_resolve_by_the_file_only_if_the_programs_read_it_first() {
        let settings = |hosts: &str, nsswitch: Option<&str>| Settings {
            hosts: Some(hosts.to_owned()),
            nsswitch: nsswitch.map(str::to_owned),
            ..Settings::default()
        };
        let hosts = "192.0.2.1 a.example.com. B # c\n192.0.2.1 b\n192.0.2.2 b\nnonsense d\n# 192.0.2.3 e";
        let names = |it: &OwnResolver| it.hosts.keys().cloned().collect::<Vec<_>>().join(" ");
        for (nsswitch, expected, asks_dns) in [
            (None, "a.example.com b", true),
            (Some("passwd: files\n"), "a.example.com b", true),
            (Some("hosts: files dns # as usual"), "a.example.com b", true),
            (Some("hosts: dns files"), "", true),
            (Some("hosts: dns"), "", true),
            (Some("hosts: files"), "a.example.com b", false),
            (Some("hosts: files mymachines resolve [!UNAVAIL=return] myhostname"), "a.example.com b", true),
        ] {
            let resolver = settings(hosts, nsswitch).resolver();
            assert_eq!((names(&resolver).as_str(), resolver.asks_dns), (expected, asks_dns), "{nsswitch:?}");
        }
        let of_b = settings(hosts, None).hosts()["b"].clone();
        assert_eq!(of_b, ["192.0.2.1", "192.0.2.2"].map(|it| it.parse::<IpAddr>().expect("an address")));
    }

    #[test]
    fn the_first_store_counts_and_those_that_add_to_it() {
        use NamedBy::{AwsCaBundle, Folder, NodeExtraCaCerts, SslCertFile, System};
        let store = |named_by| TrustStore { named_by, path: String::new(), certificates: Ok(String::new()) };
        for (stores, expected) in [
            (&[System][..], &[System][..]),
            (&[], &[]),
            (&[System, Folder], &[System, Folder]),
            (&[SslCertFile, System, Folder], &[SslCertFile]),
            (&[AwsCaBundle, NodeExtraCaCerts, System], &[AwsCaBundle]),
            (&[NodeExtraCaCerts, System, Folder], &[NodeExtraCaCerts, System]),
        ] {
            let settings = Settings { stores: stores.iter().map(|it| store(*it)).collect(), ..Settings::default() };
            assert_eq!(settings.used_stores().map(|it| it.named_by).collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn the_largest_store_fits_into_a_frame() {
        let limit = usize::try_from(LIMIT_BYTES).expect("small");
        assert!(TOO_LARGE.contains(&format!("{} KiB", limit / 1024)));
        // JSON writes each line break as the two characters `\n`, so the frame is longer than the text.
        let line = format!("{}\n", "k".repeat(63));
        let frame = crate::wire::encode(&line.repeat(limit / line.len())).expect("it fits");
        assert!(frame.len() + 64 * 1024 < crate::wire::FRAME_LIMIT_BYTES as usize, "{}", frame.len());
    }

    #[test]
    fn only_certificates_are_taken_from_a_file() {
        let one = "-----BEGIN CERTIFICATE-----\nYQ==\n-----END CERTIFICATE-----";
        let key = "-----BEGIN PRIVATE KEY-----\nYg==\n-----END PRIVATE KEY-----";
        let text = format!("# a comment\n{one}\n{key}\n{one}\n-----BEGIN CERTIFICATE-----\ncut");
        assert_eq!(certificates(&text).collect::<Vec<_>>(), [one, one]);
        assert_eq!(certificates("").count(), 0);
        assert_eq!(certificates("-----END CERTIFICATE-----").count(), 0);
        // The first certificate has no `END` line. The complete certificate after the private key must still be found.
        let broken = format!("-----BEGIN CERTIFICATE-----\n{key}\n{one}");
        assert_eq!(certificates(&broken).collect::<Vec<_>>(), [one]);
    }

    #[test]
    fn files_of_certificates_can_be_joined_and_hold_no_key() {
        let one = "-----BEGIN CERTIFICATE-----\nYQ==\n-----END CERTIFICATE-----";
        let key = "-----BEGIN PRIVATE KEY-----\nYg==\n-----END PRIVATE KEY-----";
        let combined = only_certificates(&format!("{key}\n{one}\n{key}")).expect("a certificate");
        assert_eq!(combined, format!("{one}\n"));
        // The first file has no line break at its end. The joined text must still begin the second certificate on a new
        // line.
        let joined = [one, &combined].map(|it| only_certificates(it).expect("a certificate")).concat();
        assert_eq!(joined, format!("{one}\n{one}\n"));
        assert_eq!(only_certificates(key), None);
        assert_eq!(only_certificates(""), None);
    }
}
