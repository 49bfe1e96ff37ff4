//! Creates server certificates.

use parallax_vocab::Secret;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose};
use time::{Duration, OffsetDateTime};

use super::authority::generate;
use super::{CertError, Issuer};
use parallax_language::fixture::Certificate;

/// A server certificate with its key.
#[derive(Clone, Debug)]
pub struct Leaf {
    /// The leaf and the intermediates as PEM. They have the order in which a server sends them, or a deliberately wrong
    /// order.
    pub chain_pem: String,
    /// The private key as PKCS#8 PEM.
    pub key_pem: Secret,
    /// The root certificate that a client needs to trust the leaf, as PEM. For a self-signed leaf, this is the leaf
    /// itself.
    pub root_pem: String,
    /// The leaf alone as DER. The harness's own set-up connections accept exactly this certificate, and no other.
    pub der: Vec<u8>,
    /// The serial number of the leaf in lower-case hexadecimal. Probes report serial numbers in the same form.
    pub serial: String,
}

impl Leaf {
    /// Issues a certificate. The validity that `wanted` declares is relative to `start`, the start of the run.
    pub fn issue(wanted: &Certificate, issuer: &Issuer, start: OffsetDateTime) -> Result<Self, CertError> {
        let make = |source| CertError::Make { name: wanted.name.clone(), source };
        let mut params = CertificateParams::new(wanted.names.clone()).map_err(make)?;
        params.distinguished_name = rcgen::DistinguishedName::new();
        if let Some(name) = wanted.names.first() {
            params.distinguished_name.push(DnType::CommonName, name.as_str());
        }
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        params.not_before = start + Duration::milliseconds(wanted.not_before.as_millis());
        params.not_after = start + Duration::milliseconds(wanted.not_after.as_millis());
        let key = generate(issuer.key_type()).map_err(make)?;
        let (certificate, root_pem) = if issuer.is_self_signed() {
            let certificate = params.self_signed(&key).map_err(make)?;
            let root_pem = certificate.pem();
            (certificate, root_pem)
        } else {
            (params.signed_by(&key, issuer.signer()).map_err(make)?, issuer.root_pem().to_owned())
        };
        let serial = parsed_serial(certificate.der());
        Ok(Self {
            serial,
            chain_pem: if wanted.reversed {
                format!("{}{}", issuer.chain_pem(), certificate.pem())
            } else {
                format!("{}{}", certificate.pem(), issuer.chain_pem())
            },
            key_pem: Secret::new(key.serialize_pem()),
            root_pem,
            der: certificate.der().to_vec(),
        })
    }
}

/// Returns the serial number of a certificate in hexadecimal. If the number begins with a zero byte, which keeps it
/// positive, this byte is included. The result is empty if the certificate cannot be parsed.
fn parsed_serial(der: &[u8]) -> String {
    use x509_parser::prelude::{FromDer as _, X509Certificate};
    X509Certificate::from_der(der).map(|(_, it)| hex::encode(it.raw_serial())).unwrap_or_default()
}
