//! Creates the node's certificates and keys, at the paths that k3s uses for them.
//!
//! As in k3s, there are three CAs (servers, clients, aggregated APIs) and one key for ServiceAccount tokens. Existing
//! files are kept, so a user can place a CA or the token key at its path before the start.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_RSA_SHA256,
};
use time::{Duration, OffsetDateTime};

use crate::paths;
use crate::settings::{Node, Settings};

/// The time for which a CA certificate is valid.
const CA_VALIDITY: Duration = Duration::days(3650);
/// The time for which a leaf certificate is valid.
const LEAF_VALIDITY: Duration = Duration::days(365);
/// The time from the start of each certificate's validity to the start of the node. It is not zero, because the clock
/// of a client on another machine may be behind the node's clock.
const CLOCK_SKEW: Duration = Duration::hours(1);

/// The reason why certificates could not be created.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PkiError {
    /// A file cannot be read or written.
    #[error("cannot {doing} {}: {source}", path.display())]
    File { doing: &'static str, path: PathBuf, source: io::Error },
    /// Only one of the two files of a certificate and its key exists, so the pair can be neither kept nor created.
    #[error("{} exists without {}; provide both or neither", existing.display(), missing.display())]
    IncompletePair { existing: PathBuf, missing: PathBuf },
    /// rcgen failed: a name is not valid in a certificate, or a CA cannot be read.
    #[error("cannot make or read the certificate {name}: {source}")]
    Certificate { name: String, source: rcgen::Error },
}

/// Creates all certificates, keys and CAs below `root` that do not exist yet. `root` is `/`, except in tests.
pub(crate) fn prepare(root: &Path, settings: &Settings, node: &Node) -> Result<(), PkiError> {
    let writer = Writer { root, now: OffsetDateTime::now_utc() };
    writer.token_key()?;
    let servers = writer.authority("server-ca", "k3s-server-ca")?;
    let clients = writer.authority("client-ca", "k3s-client-ca")?;
    let aggregated = writer.authority("request-header-ca", "k3s-request-header-ca")?;

    let apiserver = apiserver_names(settings, node);
    writer.leaf(&servers, &paths::tls("serving-kube-apiserver"), Leaf::server("kube-apiserver", apiserver))?;
    let kubelet = vec![node.name.clone(), "127.0.0.1".to_owned(), node.address.to_string()];
    writer.leaf(&servers, &paths::agent("serving-kubelet"), Leaf::server(&node.name, kubelet))?;

    let node_user = format!("system:node:{}", node.name);
    for (stem, name, group) in [
        (paths::tls("client-admin"), "system:admin", Some("system:masters")),
        (paths::tls("client-kube-apiserver"), "system:apiserver", Some("system:masters")),
        (paths::tls("client-controller"), "system:kube-controller-manager", None),
        (paths::tls("client-scheduler"), "system:kube-scheduler", None),
        (paths::agent("client-kubelet"), node_user.as_str(), Some("system:nodes")),
        (paths::agent("client-kube-proxy"), "system:kube-proxy", None),
    ] {
        writer.leaf(&clients, &stem, Leaf::client(name, group))?;
    }
    writer.leaf(&aggregated, &paths::tls("client-auth-proxy"), Leaf::client("system:auth-proxy", None))
}

/// The names and addresses in the apiserver's certificate, by which clients may reach the apiserver.
fn apiserver_names(settings: &Settings, node: &Node) -> Vec<String> {
    let mut names: Vec<String> =
        ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost", "127.0.0.1", "::1"]
            .map(str::to_owned)
            .into();
    names.push(format!("kubernetes.default.svc.{}", settings.cluster_domain));
    names.push(settings.kubernetes_service().to_string());
    names.push(node.name.clone());
    names.push(node.address.to_string());
    for name in &settings.tls_san {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}

struct Leaf {
    name: String,
    group: Option<String>,
    names: Vec<String>,
    usage: ExtendedKeyUsagePurpose,
}

impl Leaf {
    fn server(name: &str, names: Vec<String>) -> Self {
        Self { name: name.to_owned(), group: None, names, usage: ExtendedKeyUsagePurpose::ServerAuth }
    }

    fn client(name: &str, group: Option<&str>) -> Self {
        let group = group.map(str::to_owned);
        Self { name: name.to_owned(), group, names: Vec::new(), usage: ExtendedKeyUsagePurpose::ClientAuth }
    }
}

struct Writer<'a> {
    root: &'a Path,
    now: OffsetDateTime,
}

impl Writer<'_> {
    fn path(&self, stem: &str, suffix: &str) -> PathBuf {
        self.root.join(format!("{}.{suffix}", stem.trim_start_matches('/')))
    }

    /// Creates the key for ServiceAccount tokens. It is an RSA key, as in k3s: tokens are then signed with RS256, which
    /// every OpenID client must support.
    fn token_key(&self) -> Result<(), PkiError> {
        let path = self.path(&paths::tls("service"), "key");
        if path.exists() {
            return Ok(());
        }
        let key = KeyPair::generate_for(&PKCS_RSA_SHA256).map_err(failed("service.key"))?;
        write(&path, &key.serialize_pem())
    }

    fn authority(&self, file: &str, name: &str) -> Result<Issuer<'static, KeyPair>, PkiError> {
        let stem = paths::tls(file);
        let (certificate, key) = (self.path(&stem, "crt"), self.path(&stem, "key"));
        if present(&certificate, &key)? {
            let pair = KeyPair::from_pem(&read(&key)?).map_err(failed(file))?;
            return Issuer::from_ca_cert_pem(&read(&certificate)?, pair).map_err(failed(file));
        }
        // The start time in the CA's name distinguishes the CAs of two clusters, as in k3s.
        let mut params = self.params(&format!("{name}@{}", self.now.unix_timestamp()), None, CA_VALIDITY);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages =
            vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let pair = KeyPair::generate().map_err(failed(file))?;
        let made = params.self_signed(&pair).map_err(failed(file))?;
        write(&key, &pair.serialize_pem())?;
        write(&certificate, &made.pem())?;
        Ok(Issuer::new(params, pair))
    }

    fn leaf(&self, issuer: &Issuer<'_, KeyPair>, stem: &str, leaf: Leaf) -> Result<(), PkiError> {
        let (certificate, key) = (self.path(stem, "crt"), self.path(stem, "key"));
        if present(&certificate, &key)? {
            return Ok(());
        }
        let mut params = self.params(&leaf.name, leaf.group.as_deref(), LEAF_VALIDITY);
        params.subject_alt_names = CertificateParams::new(leaf.names).map_err(failed(stem))?.subject_alt_names;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![leaf.usage];
        let pair = KeyPair::generate().map_err(failed(stem))?;
        let made = params.signed_by(&pair, issuer).map_err(failed(stem))?;
        write(&key, &pair.serialize_pem())?;
        write(&certificate, &made.pem())
    }

    /// The parameters of a certificate. rcgen's defaults give all certificates the same name and practically no expiry.
    /// Therefore the name, validity and key ids are set here.
    fn params(&self, name: &str, group: Option<&str>, validity: Duration) -> CertificateParams {
        let mut subject = DistinguishedName::new();
        if let Some(group) = group {
            subject.push(DnType::OrganizationName, group);
        }
        subject.push(DnType::CommonName, name);
        let mut params = CertificateParams::default();
        params.distinguished_name = subject;
        params.not_before = self.now - CLOCK_SKEW;
        params.not_after = self.now + validity;
        params.use_authority_key_identifier_extension = true;
        params
    }
}

/// Converts an error of rcgen into a [`PkiError`]. `name` is the name of the certificate.
pub(crate) fn failed(name: &str) -> impl FnOnce(rcgen::Error) -> PkiError {
    let name = name.to_owned();
    move |source| PkiError::Certificate { name, source }
}

fn present(certificate: &Path, key: &Path) -> Result<bool, PkiError> {
    match (certificate.exists(), key.exists()) {
        (true, true) => Ok(true),
        (false, false) => Ok(false),
        (true, false) => Err(PkiError::IncompletePair { existing: certificate.to_owned(), missing: key.to_owned() }),
        (false, true) => Err(PkiError::IncompletePair { existing: key.to_owned(), missing: certificate.to_owned() }),
    }
}

fn read(path: &Path) -> Result<String, PkiError> {
    fs::read_to_string(path).map_err(|source| PkiError::File { doing: "read", path: path.to_owned(), source })
}

fn write(path: &Path, text: &str) -> Result<(), PkiError> {
    let folder = path.parent().map_or(Ok(()), fs::create_dir_all);
    let written = folder.and_then(|()| {
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(text.as_bytes())
    });
    written.map_err(|source| PkiError::File { doing: "write", path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::flags::tests::settings;

    fn node() -> Node {
        Node { name: "node0".to_owned(), address: "172.17.0.2".parse().expect("address") }
    }

    fn all(root: &Path) -> BTreeMap<PathBuf, String> {
        let mut found = BTreeMap::new();
        let mut folders = vec![root.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).expect("folder") {
                let path = entry.expect("entry").path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let text = fs::read_to_string(&path).expect("text");
                    found.insert(path, text);
                }
            }
        }
        found
    }

    #[test]
    fn a_second_start_keeps_every_file() {
        let root = tempfile::tempdir().expect("folder");
        prepare(root.path(), &settings(&[]), &node()).expect("first");
        let first = all(root.path());
        assert!(first.contains_key(&root.path().join("var/lib/rancher/k3s/server/tls/server-ca.crt")));
        prepare(root.path(), &settings(&[]), &node()).expect("second");
        assert_eq!(first, all(root.path()));
    }

    #[test]
    fn an_existing_ca_signs_missing_certificates() {
        let root = tempfile::tempdir().expect("folder");
        prepare(root.path(), &settings(&[]), &node()).expect("first");
        let tls = root.path().join("var/lib/rancher/k3s/server/tls");
        let before = all(root.path());
        for name in ["serving-kube-apiserver.crt", "serving-kube-apiserver.key"] {
            fs::remove_file(tls.join(name)).expect("removed");
        }
        prepare(root.path(), &settings(&["--tls-san=a.example"]), &node()).expect("second");
        let after = all(root.path());
        assert_eq!(before.len(), after.len());
        assert_eq!(before[&tls.join("server-ca.crt")], after[&tls.join("server-ca.crt")]);
        assert_ne!(before[&tls.join("serving-kube-apiserver.crt")], after[&tls.join("serving-kube-apiserver.crt")]);
    }

    #[test]
    fn an_incomplete_pair_is_an_error_that_names_the_missing_file() {
        let root = tempfile::tempdir().expect("folder");
        prepare(root.path(), &settings(&[]), &node()).expect("first");
        fs::remove_file(root.path().join("var/lib/rancher/k3s/server/tls/server-ca.key")).expect("removed");
        let error = prepare(root.path(), &settings(&[]), &node()).expect_err("half").to_string();
        assert!(error.contains("server-ca.key"), "{error}");
    }

    #[test]
    fn the_apiservers_certificate_has_every_name_by_which_it_is_reached() {
        let names =
            apiserver_names(&settings(&["--tls-san=a.example,localhost", "--service-cidr=10.96.0.0/16"]), &node());
        for name in ["kubernetes.default.svc.cluster.local", "10.96.0.1", "172.17.0.2", "127.0.0.1", "a.example"] {
            assert!(names.iter().any(|known| known == name), "{name}");
        }
        assert_eq!(names.iter().filter(|name| *name == "localhost").count(), 1);
    }
}
