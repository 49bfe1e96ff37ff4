//! Checks, without I/O, the TLS Secret whose name is in an annotation of a Service. HAProxy must get only a certificate
//! that it can serve.

use k8s_openapi::api::core::v1::Secret;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer as _, X509Certificate};

const TYPE: &str = "kubernetes.io/tls";

/// Returns the certificates and the key of a TLS Secret as one PEM text, in the form that HAProxy expects. The error
/// is a sentence about what is wrong with the Secret.
pub(super) fn pem(secret: &Secret) -> Result<String, String> {
    let kind = secret.type_.as_deref().unwrap_or("Opaque");
    if kind != TYPE {
        return Err(format!("its type is {kind}, not {TYPE}"));
    }
    let text = |key: &str| {
        let bytes = secret.data.as_ref().and_then(|it| it.get(key)).map(|it| it.0.clone());
        let bytes = bytes.filter(|it| !it.is_empty()).ok_or_else(|| format!("it has no {key}"))?;
        String::from_utf8(bytes).map_err(|_| format!("{key} is not PEM"))
    };
    let (certificates, key) = (text("tls.crt")?, text("tls.key")?);
    check(&certificates, &key)?;
    Ok(format!("{}\n{}\n", certificates.trim_end(), key.trim_end()))
}

fn check(certificates: &str, key: &str) -> Result<(), String> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(certificates.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|why| format!("tls.crt is not PEM: {why}"))?;
    let parsed: Vec<X509Certificate<'_>> = chain
        .iter()
        .map(|it| X509Certificate::from_der(it).map(|(_, it)| it))
        .collect::<Result<_, _>>()
        .map_err(|why| format!("tls.crt holds something that is not a certificate: {why}"))?;
    if parsed.is_empty() {
        return Err("tls.crt holds no certificate".to_owned());
    }
    for pair in parsed.windows(2) {
        let [own, issuer] = pair else { continue };
        if own.issuer() != issuer.subject() {
            return Err(format!(
                "the chain in tls.crt is in the wrong order: after the certificate of {} comes that of {}, but its issuer is {}",
                own.subject(),
                issuer.subject(),
                own.issuer()
            ));
        }
    }
    if key.contains("ENCRYPTED") {
        return Err("tls.key is protected by a passphrase".to_owned());
    }
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|why| format!("tls.key is not PEM: {why}"))?;
    let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).map_err(|why| format!("tls.key: {why}"))?;
    CertifiedKey::new(chain, key).keys_match().map_err(|_| "tls.key does not belong to tls.crt".to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use k8s_openapi::ByteString;
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

    use super::*;

    struct Made {
        leaf: String,
        issuer: String,
        key: String,
    }

    fn made() -> Made {
        let named = |name: &str| {
            let mut params = CertificateParams::new(vec![name.to_owned()]).expect("parameters");
            params.distinguished_name = rcgen::DistinguishedName::new();
            params.distinguished_name.push(DnType::CommonName, name);
            params
        };
        let (authority_key, key) = (KeyPair::generate().expect("a key"), KeyPair::generate().expect("a key"));
        let mut authority = named("Authority");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = authority.self_signed(&authority_key).expect("a root");
        let issuer = Issuer::new(authority, authority_key);
        let leaf = named("s3.example.com").signed_by(&key, &issuer).expect("a leaf");
        Made { leaf: leaf.pem(), issuer: root.pem(), key: key.serialize_pem() }
    }

    fn secret(kind: &str, data: &[(&str, &str)]) -> Secret {
        let data = data.iter().map(|(key, text)| ((*key).to_owned(), ByteString(text.as_bytes().to_vec())));
        Secret { type_: Some(kind.to_owned()), data: Some(data.collect::<BTreeMap<_, _>>()), ..Secret::default() }
    }

    #[test]
    fn a_sound_secret_becomes_one_text() {
        let made = made();
        let chain = format!("{}{}", made.leaf, made.issuer);
        let text = pem(&secret(TYPE, &[("tls.crt", &chain), ("tls.key", &made.key)])).expect("is sound");
        assert_eq!(text.matches("BEGIN CERTIFICATE").count(), 2);
        assert!(text.starts_with(&made.leaf.trim_end().to_owned()) && text.contains("PRIVATE KEY"));
    }

    #[test]
    fn what_is_wrong_with_a_secret_is_named() {
        let (one, two) = (made(), made());
        let reversed = format!("{}{}", one.issuer, one.leaf);
        let encrypted = one.key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
        let order = "the chain in tls.crt is in the wrong order: after the certificate of CN=Authority comes that of \
                     CN=s3.example.com, but its issuer is CN=Authority";
        let wrong = |kind: &str, data: &[(&str, &str)]| pem(&secret(kind, data)).expect_err("is refused");
        let tls = |certificates: &str, key: &str| wrong(TYPE, &[("tls.crt", certificates), ("tls.key", key)]);
        assert_eq!(wrong("Opaque", &[]), "its type is Opaque, not kubernetes.io/tls");
        assert_eq!(wrong(TYPE, &[("tls.crt", &one.leaf)]), "it has no tls.key");
        assert_eq!(tls(&one.leaf, &two.key), "tls.key does not belong to tls.crt");
        assert_eq!(tls(&one.leaf, &encrypted), "tls.key is protected by a passphrase");
        assert_eq!(tls(&reversed, &one.key), order);
        assert_eq!(tls("text", &one.key), "tls.crt holds no certificate");
    }
}
