//! All certificates of one environment.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use time::OffsetDateTime;

use super::{CertError, Issuer, Leaf};
use parallax_language::fixture::Contributions;

/// The authorities and leaves of one environment.
#[derive(Debug, Default)]
pub struct Bundle {
    /// The certificate authorities, by fixture id.
    pub issuers: BTreeMap<String, Issuer>,
    /// The server certificates, by the id of the fixture and the name of the certificate in the fixture.
    pub leaves: BTreeMap<(String, String), Leaf>,
    /// The certificates of authorities that the harness has not created, as PEM, by fixture id. They come from a file
    /// or from this machine. The harness does not have the keys of these authorities, so it issues nothing with them.
    pub trusted: BTreeMap<String, String>,
}

impl Bundle {
    /// The certificates, as PEM, that a client trusts if it trusts the authority of this fixture. `None` if the fixture
    /// is no authority.
    pub fn root_pem(&self, id: &str) -> Option<&str> {
        let issued = self.issuers.get(id).map(Issuer::root_pem);
        issued.or_else(|| self.trusted.get(id).map(String::as_str))
    }
}

/// Creates every authority, and then every leaf that the fixtures declare.
pub fn issue(fixtures: &BTreeMap<String, Contributions>, start: OffsetDateTime) -> Result<Bundle, CertError> {
    let mut bundle = Bundle::default();
    for (id, contributions) in fixtures {
        for authority in &contributions.authorities {
            bundle.issuers.insert(id.clone(), Issuer::create(id, authority, start)?);
        }
    }
    for (id, contributions) in fixtures {
        for wanted in &contributions.certificates {
            let issuer = bundle.issuers.get(&wanted.issuer).ok_or_else(|| CertError::NoIssuer {
                certificate: format!("{id}.{}", wanted.name),
                issuer: wanted.issuer.clone(),
            })?;
            let leaf = Leaf::issue(wanted, issuer, start)?;
            bundle.leaves.insert((id.clone(), wanted.name.clone()), leaf);
        }
    }
    Ok(bundle)
}

/// Writes a new file that only its owner can read. Fails if the file already exists, because another user could have
/// created and opened an existing file.
pub fn write_private(path: &Path, content: &[u8]) -> Result<(), CertError> {
    let write = || -> std::io::Result<()> {
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(content)
    };
    write().map_err(|source| CertError::Write { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use x509_parser::prelude::*;

    use super::*;
    use parallax_language::fixture::{Authority, Certificate, KeyType};

    fn fixtures(intermediate: bool, key: KeyType) -> BTreeMap<String, Contributions> {
        let authority = Authority { common_name: "Test CA".to_owned(), intermediate, self_signed: false, key };
        let certificate = Certificate {
            name: "serving".to_owned(),
            issuer: "ca".to_owned(),
            names: vec!["minio.example.com".to_owned(), "10.0.0.1".to_owned()],
            not_before: "-2h".parse().expect("span"),
            not_after: "-1h".parse().expect("span"),
            secret: "s".to_owned(),
            reversed: false,
        };
        BTreeMap::from([
            ("ca".to_owned(), Contributions { authorities: vec![authority], ..Contributions::default() }),
            ("store".to_owned(), Contributions { certificates: vec![certificate], ..Contributions::default() }),
        ])
    }

    #[test]
    fn a_chain_is_whole_named_and_dated_relative_to_the_start() {
        let start = OffsetDateTime::from_unix_timestamp(1_800_000_000).expect("instant");
        for (intermediate, key, length) in
            [(true, KeyType::EcdsaP256, 2), (false, KeyType::EcdsaP384, 1), (true, KeyType::Rsa2048, 2)]
        {
            let bundle = issue(&fixtures(intermediate, key), start).expect("issues");
            let leaf = &bundle.leaves[&("store".to_owned(), "serving".to_owned())];
            let chain: Vec<_> = Pem::iter_from_buffer(leaf.chain_pem.as_bytes()).map(|pem| pem.expect("PEM")).collect();
            assert_eq!(chain.len(), length);
            let first = chain[0].parse_x509().expect("X.509");
            assert_eq!(chain[0].contents, leaf.der);
            assert_eq!(first.validity().not_before.timestamp(), start.unix_timestamp() - 7200);
            assert_eq!(first.validity().not_after.timestamp(), start.unix_timestamp() - 3600);
            let names = first.subject_alternative_name().expect("readable").expect("there");
            assert_eq!(names.value.general_names.len(), 2);
            let last = chain.last().expect("not empty").parse_x509().expect("X.509");
            assert!(last.issuer().to_string().contains("CN=Test CA"), "{}", last.issuer());
            assert!(!first.issuer().to_string().contains("rcgen"));
        }
    }

    #[test]
    fn what_issues_is_the_lowest_certificate_and_its_key() {
        for (intermediate, length) in [(true, 2), (false, 1)] {
            let bundle =
                issue(&fixtures(intermediate, KeyType::EcdsaP256), OffsetDateTime::UNIX_EPOCH).expect("issues");
            let (issuer, leaf) = (&bundle.issuers["ca"], &bundle.leaves[&("store".to_owned(), "serving".to_owned())]);
            let pem = issuer.issuing_pem();
            let chain: Vec<_> = Pem::iter_from_buffer(pem.as_bytes()).map(|pem| pem.expect("PEM")).collect();
            assert_eq!(chain.len(), length);
            assert!(pem.ends_with(issuer.root_pem()));
            let first = chain[0].parse_x509().expect("X.509");
            let (_, leaf) = X509Certificate::from_der(&leaf.der).expect("X.509");
            assert_eq!(first.subject(), leaf.issuer());
            let key = rcgen::KeyPair::from_pem(issuer.key_pem().expose()).expect("a key");
            assert_eq!(first.public_key().subject_public_key.data.as_ref(), key.public_key_raw());
        }
    }

    #[test]
    fn a_self_signed_certificate_is_its_own_root() {
        let mut fixtures = fixtures(true, KeyType::EcdsaP256);
        fixtures.get_mut("ca").expect("there").authorities[0].self_signed = true;
        let bundle = issue(&fixtures, OffsetDateTime::UNIX_EPOCH).expect("issues");
        let leaf = &bundle.leaves[&("store".to_owned(), "serving".to_owned())];
        assert_eq!(leaf.chain_pem, leaf.root_pem);
        let (_, first) = X509Certificate::from_der(&leaf.der).expect("X.509");
        assert_eq!(first.issuer(), first.subject());
    }

    #[test]
    fn an_issuer_that_is_not_there_is_named() {
        let mut fixtures = fixtures(true, KeyType::EcdsaP256);
        fixtures.remove("ca");
        let error = issue(&fixtures, OffsetDateTime::UNIX_EPOCH).expect_err("no issuer");
        assert_eq!(
            error.to_string(),
            "certificate `store.serving` is to be issued by `ca`, which is not a certificate authority here"
        );
    }

    #[test]
    fn private_files_are_private_and_never_overwritten() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().expect("temporary folder");
        let path = dir.path().join("key.pem");
        write_private(&path, b"x").expect("writes");
        assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        assert!(write_private(&path, b"y").is_err());
    }
}
