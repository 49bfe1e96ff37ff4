//! A certificate authority: a root, and optionally an intermediate that issues the leaves.

use parallax_vocab::Secret;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256};
use time::{Duration, OffsetDateTime};

use super::CertError;
use parallax_language::fixture::{Authority, KeyType};

/// How long before the start of the run a CA becomes valid. It is a year, because scenarios use leaves that expired
/// in the past, for example a month ago. The CA must already have been valid when such a leaf was valid.
const BEFORE: Duration = Duration::days(365);
/// How long after the start of the run a CA stays valid.
const AFTER: Duration = Duration::days(3650);

/// An authority that can issue certificates.
#[derive(Debug)]
pub struct Issuer {
    root_pem: String,
    intermediate_pem: Option<String>,
    self_signed: bool,
    signer: rcgen::Issuer<'static, KeyPair>,
    key: KeyType,
}

impl Issuer {
    /// Creates the root certificate and, if the authority has one, the intermediate. `id` is the id of the authority's
    /// fixture. `start` is the start of the run.
    pub fn create(id: &str, authority: &Authority, start: OffsetDateTime) -> Result<Self, CertError> {
        let make = |source| CertError::Make { name: id.to_owned(), source };
        let root_key = generate(authority.key).map_err(make)?;
        let root_params = ca_params(&authority.common_name, start, u8::from(authority.intermediate));
        let root = root_params.self_signed(&root_key).map_err(make)?;
        let root_pem = root.pem();
        let root_signer = rcgen::Issuer::new(root_params, root_key);
        if !authority.intermediate || authority.self_signed {
            let (signer, key, self_signed) = (root_signer, authority.key, authority.self_signed);
            return Ok(Self { root_pem, intermediate_pem: None, self_signed, signer, key });
        }
        let key = generate(authority.key).map_err(make)?;
        let mut params = ca_params(&format!("{} intermediate", authority.common_name), start, 0);
        params.use_authority_key_identifier_extension = true;
        let intermediate = params.signed_by(&key, &root_signer).map_err(make)?;
        Ok(Self {
            root_pem,
            intermediate_pem: Some(intermediate.pem()),
            self_signed: false,
            signer: rcgen::Issuer::new(params, key),
            key: authority.key,
        })
    }

    /// The root certificate as PEM. Clients trust this certificate.
    pub fn root_pem(&self) -> &str {
        &self.root_pem
    }

    /// The certificates that a server sends after its leaf certificate, as PEM: the intermediate. The text is empty
    /// if there is no intermediate.
    pub fn chain_pem(&self) -> &str {
        self.intermediate_pem.as_deref().unwrap_or_default()
    }

    /// The certificate that issues the leaves (the intermediate or the root), as PEM. An intermediate is followed by
    /// the root.
    pub fn issuing_pem(&self) -> String {
        format!("{}{}", self.chain_pem(), self.root_pem)
    }

    /// Returns the private key that signs the leaves, as PEM. Programs in the environment that issue certificates,
    /// such as cert-manager, need this key.
    pub fn key_pem(&self) -> Secret {
        Secret::new(self.signer.key().serialize_pem())
    }

    pub(super) fn signer(&self) -> &rcgen::Issuer<'static, KeyPair> {
        &self.signer
    }

    /// Whether the leaves of this authority are self-signed: each leaf is signed with its own key, and not with the
    /// authority's key.
    pub(super) fn is_self_signed(&self) -> bool {
        self.self_signed
    }

    pub(super) fn key_type(&self) -> KeyType {
        self.key
    }
}

/// Generates a new key.
pub(super) fn generate(key: KeyType) -> Result<KeyPair, rcgen::Error> {
    match key {
        KeyType::EcdsaP256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
        KeyType::EcdsaP384 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384),
        KeyType::Rsa2048 => KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048),
    }
}

/// Returns the parameters of a CA certificate. They replace the defaults of rcgen, which give every CA the same name
/// and a validity of two millennia. A client that looks up the issuer by name could not distinguish two CAs with the
/// same name.
fn ca_params(common_name: &str, start: OffsetDateTime, intermediates_below: u8) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(intermediates_below));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    params.not_before = start - BEFORE;
    params.not_after = start + AFTER;
    params
}
