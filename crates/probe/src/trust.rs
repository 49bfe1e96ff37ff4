//! Verifies certificates for a vantage. The verifier trusts only the certificates in the question, records the server's
//! chain even if it rejects the chain, and classifies the reason of a rejection.

use std::sync::{Arc, Mutex, PoisonError};

use parallax_vocab::{Cause, TlsFault, View};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use crate::invalid;

/// The variable that receives the certificate chain that a server sent, the leaf first.
pub(crate) type Shown = Arc<Mutex<Vec<CertificateDer<'static>>>>;

/// Returns a TLS client configuration for one handshake, and the variable that receives the server's certificate chain.
pub(crate) fn client(view: &View, alpn: &[&str]) -> Result<(ClientConfig, Shown), Cause> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let shown = Shown::default();
    let verifier = Recorder {
        roots: roots(view)?,
        pin: view.pin.clone(),
        algorithms: provider.signature_verification_algorithms,
        shown: shown.clone(),
    };
    let checked = builder(provider)?.with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match &view.identity {
        None => checked.with_no_client_auth(),
        Some(identity) => {
            let unusable = |why: &dyn std::fmt::Display| invalid(format!("the client certificate is unusable: {why}"));
            let chain = CertificateDer::pem_slice_iter(identity.chain.as_bytes()).collect::<Result<Vec<_>, _>>();
            let chain = chain.map_err(|why| unusable(&why))?;
            let key = PrivateKeyDer::from_pem_slice(identity.key.expose().as_bytes()).map_err(|why| unusable(&why))?;
            checked.with_client_auth_cert(chain, key).map_err(|why| unusable(&why))?
        }
    };
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    Ok((config, shown))
}

type Dangerous = rustls::client::danger::DangerousClientConfigBuilder;

fn builder(provider: Arc<CryptoProvider>) -> Result<Dangerous, Cause> {
    // The method is called `dangerous` because a custom verifier could accept any certificate. The verifier of this
    // module uses webpki for every certificate except a pinned one.
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Ok(builder.map_err(|why| invalid(format!("TLS cannot be configured: {why}")))?.dangerous())
}

fn roots(view: &View) -> Result<RootCertStore, Cause> {
    let mut roots = RootCertStore::empty();
    for (number, text) in view.trust.iter().enumerate() {
        let mut found = 0;
        for certificate in CertificateDer::pem_slice_iter(text.as_bytes()) {
            let certificate = certificate.map_err(|why| invalid(format!("trust entry {number} is not PEM: {why}")))?;
            let added = roots.add(certificate);
            added.map_err(|why| invalid(format!("trust entry {number} is not a usable certificate: {why}")))?;
            found += 1;
        }
        if found == 0 {
            return Err(invalid(format!("trust entry {number} holds no certificate")));
        }
    }
    Ok(roots)
}

#[derive(Debug)]
struct Recorder {
    roots: RootCertStore,
    pin: Option<Vec<u8>>,
    algorithms: WebPkiSupportedAlgorithms,
    shown: Shown,
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain = std::iter::once(end_entity).chain(intermediates).map(|der| der.clone().into_owned()).collect();
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = chain;
        if let Some(pin) = &self.pin {
            if pin.as_slice() == end_entity.as_ref() {
                return Ok(ServerCertVerified::assertion());
            }
            return Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure));
        }
        let parsed = ParsedCertificate::try_from(end_entity)?;
        verify_server_cert_signed_by_trust_anchor(&parsed, &self.roots, intermediates, now, self.algorithms.all)?;
        verify_server_name(&parsed, server_name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Classifies an error of rustls. `chain_seen` says whether the server sent a certificate chain. If it sent none, an
/// unreadable message means that the peer does not speak TLS.
pub(crate) fn sort(error: &Error, chain_seen: bool) -> TlsFault {
    match error {
        Error::InvalidCertificate(why) => match why {
            CertificateError::UnknownIssuer => TlsFault::UnknownAuthority,
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => TlsFault::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => TlsFault::NotYetValid,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                TlsFault::NameMismatch
            }
            _ => TlsFault::BadCertificate,
        },
        Error::NoCertificatesPresented => TlsFault::BadCertificate,
        Error::InvalidMessage(_) if !chain_seen => TlsFault::NotTls,
        _ => TlsFault::Handshake,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use parallax_vocab::Secret;
    use parallax_vocab::question::Identity;
    use rustls::{AlertDescription, InvalidMessage};

    use super::*;

    #[test]
    fn rejections_are_classified_with_and_without_context() {
        let at = UnixTime::since_unix_epoch(Duration::from_secs(1));
        let name = ServerName::try_from("a.example.com").unwrap();
        let table = [
            (CertificateError::UnknownIssuer, TlsFault::UnknownAuthority),
            (CertificateError::Expired, TlsFault::Expired),
            (CertificateError::ExpiredContext { time: at, not_after: at }, TlsFault::Expired),
            (CertificateError::NotValidYet, TlsFault::NotYetValid),
            (CertificateError::NotValidYetContext { time: at, not_before: at }, TlsFault::NotYetValid),
            (CertificateError::NotValidForName, TlsFault::NameMismatch),
            (CertificateError::NotValidForNameContext { expected: name, presented: vec![] }, TlsFault::NameMismatch),
            (CertificateError::BadSignature, TlsFault::BadCertificate),
            (CertificateError::InvalidPurpose, TlsFault::BadCertificate),
        ];
        for (why, expected) in table {
            assert_eq!(sort(&Error::InvalidCertificate(why.clone()), true), expected, "{why:?}");
        }
        let garbage = Error::InvalidMessage(InvalidMessage::InvalidContentType);
        assert_eq!(sort(&garbage, false), TlsFault::NotTls);
        assert_eq!(sort(&garbage, true), TlsFault::Handshake);
        assert_eq!(sort(&Error::AlertReceived(AlertDescription::UnrecognisedName), false), TlsFault::Handshake);
    }

    #[test]
    fn a_client_certificate_needs_its_own_key() {
        let pair = || {
            let key = rcgen::KeyPair::generate().unwrap();
            let params = rcgen::CertificateParams::new(vec!["client".to_owned()]).unwrap();
            (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
        };
        let ((chain, key), (_, other)) = (pair(), pair());
        for (chain, key, usable) in [
            (chain.clone(), key.clone(), true),
            (chain.clone(), other, false),
            (String::new(), key, false),
            (chain, String::new(), false),
        ] {
            let identity = Some(Identity { chain, key: Secret::new(key) });
            let made = client(&View { identity, ..View::default() }, &[]);
            match made {
                Ok((config, _)) => assert!(usable && config.client_auth_cert_resolver.has_certs()),
                Err(cause) => assert!(!usable && cause.to_string().contains("client certificate"), "{cause}"),
            }
        }
    }

    #[test]
    fn trust_without_a_certificate_is_a_client_error() {
        for text in ["", "hello", "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n"] {
            let view = View { trust: vec![text.to_owned()], ..View::default() };
            assert!(matches!(client(&view, &[]), Err(Cause::Client { .. })), "{text:?}");
        }
    }
}
