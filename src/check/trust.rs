//! The certificates that this machine trusts.

use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// The files in which systems store their trusted certificates: Debian, Red Hat, SUSE, Alpine, macOS.
const BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
];

/// Returns the usable certificates that this machine trusts, as PEM in one text. `None` if the file cannot be read.
/// `named` is the file that `SSL_CERT_FILE` names. This file replaces the machine's own file, as in OpenSSL and Go.
pub fn system(named: Option<&Path>) -> Option<String> {
    let mut candidates = BUNDLES.iter().map(Path::new);
    let text = match named {
        Some(path) => std::fs::read_to_string(path).ok()?,
        None => candidates.find_map(|path| std::fs::read_to_string(path).ok())?,
    };
    usable(&text)
}

/// Removes certificates that cannot be trust anchors. Otherwise one unusable certificate in the machine's file would
/// make each question fail.
fn usable(text: &str) -> Option<String> {
    const END: &str = "-----END CERTIFICATE-----";
    let mut all = String::new();
    for block in text.split_inclusive(END) {
        let Some(start) = block.find("-----BEGIN CERTIFICATE-----") else { continue };
        let Ok(certificate) = CertificateDer::from_pem_slice(&block.as_bytes()[start..]) else { continue };
        if RootCertStore::empty().add(certificate).is_ok() {
            all.push_str(&block[start..]);
            all.push('\n');
        }
    }
    (!all.is_empty()).then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_usable_certificates_are_trusted() {
        let key = rcgen::KeyPair::generate().expect("a key");
        let good = rcgen::CertificateParams::new(vec!["a".to_owned()]).expect("parameters").self_signed(&key);
        let good = good.expect("a certificate").pem();
        let broken = "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n";
        let text = usable(&format!("# a comment\n{good}{broken}\n{good}")).expect("certificates");
        assert_eq!(text.matches("BEGIN CERTIFICATE").count(), 2, "{text}");
        assert!(!text.contains("aGVsbG8="), "{text}");
        assert_eq!((usable(broken), usable(""), usable("-----END CERTIFICATE-----")), (None, None, None));
        assert_eq!(system(Some(Path::new("no-such-file"))), None);
    }
}
