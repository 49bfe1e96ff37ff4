//! The certificates that this machine trusts.

use std::path::Path;

use parallax_vocab::settings::{BUNDLES, certificates};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// Returns the usable certificates that this machine trusts, as PEM in one text. `named` is the value of the variable
/// `SSL_CERT_FILE`. The certificates come from this file or, if the variable is not set, from the machine's own file.
/// OpenSSL and Go choose the file in the same way. `None` if the file cannot be read or has no usable certificate.
pub fn system(named: Option<&Path>) -> Option<String> {
    let mut candidates = BUNDLES.iter().map(Path::new);
    let text = match named {
        Some(path) => std::fs::read_to_string(path).ok()?,
        None => candidates.find_map(|path| std::fs::read_to_string(path).ok())?,
    };
    usable(&text)
}

/// Removes certificates that cannot be trust anchors. Otherwise one unusable certificate in the machine's file would
/// make each question fail. `None` if no certificate remains.
pub(super) fn usable(text: &str) -> Option<String> {
    let is_anchor = |text: &&str| {
        let read = CertificateDer::from_pem_slice(text.as_bytes());
        read.is_ok_and(|it| RootCertStore::empty().add(it).is_ok())
    };
    let all: String = certificates(text).filter(is_anchor).flat_map(|it| [it, "\n"]).collect();
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
