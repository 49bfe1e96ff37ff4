//! Summarises a certificate for the evidence of an answer.

use std::net::IpAddr;

use aws_lc_rs::digest;
use parallax_vocab::Certificate;
use time::format_description::well_known::Rfc3339;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// Reads a DER certificate. If the certificate cannot be parsed, the subject and the issuer are `unreadable`, and the
/// result contains nothing else but the SHA-256 digest.
pub(crate) fn describe(der: &[u8]) -> Certificate {
    let sha256 = hex::encode(digest::digest(&digest::SHA256, der));
    let Ok((_, parsed)) = X509Certificate::from_der(der) else {
        let unreadable = || "unreadable".to_owned();
        return Certificate {
            subject: unreadable(),
            issuer: unreadable(),
            serial: String::new(),
            names: Vec::new(),
            not_before: String::new(),
            not_after: String::new(),
            sha256,
        };
    };
    let instant = |at: x509_parser::time::ASN1Time| at.to_datetime().format(&Rfc3339).unwrap_or_default();
    Certificate {
        subject: parsed.subject().to_string(),
        issuer: parsed.issuer().to_string(),
        serial: hex::encode(parsed.raw_serial()),
        names: names(&parsed),
        not_before: instant(parsed.validity().not_before),
        not_after: instant(parsed.validity().not_after),
        sha256,
    }
}

fn names(parsed: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(extension)) = parsed.subject_alternative_name() else { return Vec::new() };
    extension.value.general_names.iter().filter_map(name).collect()
}

fn name(general: &GeneralName<'_>) -> Option<String> {
    match general {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let four = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            four.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from)).ok().map(|address| address.to_string())
        }
        _ => None,
    }
}
