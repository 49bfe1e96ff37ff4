//! `rotate`: issues a new certificate for a fixture, and puts it into the Secret that contains the old certificate.

use std::collections::BTreeMap;

use parallax_vocab::Secret;
use serde_json::json;
use time::OffsetDateTime;

use super::{ActError, Done};
use crate::apply::{Applier, tls_secret};
use crate::certs::{CertError, Issuer, Leaf};
use parallax_language::fixture::Certificate;
use parallax_language::scenario::model::RotateStep;

/// Issues a certificate again, with the fields that a `rotate` step sets. A field that the step does not set has its
/// value from `planned`. Validity times are relative to `start`, the start of the run.
pub fn reissue(
    planned: &Certificate,
    step: &RotateStep,
    issuers: &BTreeMap<String, Issuer>,
    start: OffsetDateTime,
) -> Result<Leaf, CertError> {
    let wanted = Certificate {
        name: planned.name.clone(),
        issuer: step.issuer.clone().unwrap_or_else(|| planned.issuer.clone()),
        names: step
            .names
            .as_ref()
            .map_or_else(|| planned.names.clone(), |names| names.iter().map(|name| name.as_str().to_owned()).collect()),
        not_before: step.not_before.unwrap_or(planned.not_before),
        not_after: step.not_after.unwrap_or(planned.not_after),
        secret: planned.secret.clone(),
        reversed: planned.reversed,
    };
    let issuer = issuers.get(&wanted.issuer);
    let issuer =
        issuer.ok_or(CertError::NoIssuer { certificate: step.certificate.clone(), issuer: wanted.issuer.clone() })?;
    Leaf::issue(&wanted, issuer, start)
}

/// Replaces the leaf certificate and its private key in an existing Secret. Before that, passes the new private key to
/// `redact`, so that the key never appears in the record.
pub async fn rotate(
    applier: &Applier,
    namespace: &str,
    secret: &str,
    leaf: &Leaf,
    redact: &(dyn Fn(&Secret) + Send + Sync),
) -> Result<Done, ActError> {
    redact(&leaf.key_pem);
    let (title, there) = applier.get("v1", "Secret", namespace, secret).await?;
    if there.is_none() {
        return Err(ActError::cause(&title, "it does not exist"));
    }
    applier.apply(&tls_secret(secret, leaf), namespace, "rotate").await?;
    let serial = leaf.serial.clone();
    let summary = format!("{title} holds the certificate {serial}");
    Ok(Done {
        value: Some(serial.clone()),
        summary,
        said: json!({ "serial": serial, "secret": secret }),
        ..Done::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certs;
    use parallax_language::fixture::{Authority, Contributions, KeyType};

    #[test]
    fn what_is_not_said_stays_and_the_serial_is_new() {
        let authority = |name: &str| Contributions {
            authorities: vec![Authority {
                common_name: name.to_owned(),
                intermediate: false,
                self_signed: false,
                key: KeyType::EcdsaP256,
            }],
            ..Contributions::default()
        };
        let fixtures = BTreeMap::from([("ca".to_owned(), authority("One")), ("other".to_owned(), authority("Two"))]);
        let start = OffsetDateTime::from_unix_timestamp(1_800_000_000).expect("an instant");
        let bundle = certs::issue(&fixtures, start).expect("issues");
        let span = |text: &str| text.parse().expect("a span");
        let planned = Certificate {
            name: "serving".to_owned(),
            issuer: "ca".to_owned(),
            names: vec!["minio.example.com".to_owned()],
            not_before: span("-1h"),
            not_after: span("30d"),
            secret: "s".to_owned(),
            reversed: false,
        };
        let step = |issuer: Option<&str>| RotateStep {
            certificate: "store.serving".to_owned(),
            issuer: issuer.map(str::to_owned),
            not_before: None,
            not_after: None,
            names: None,
        };
        let issued = |issuer| reissue(&planned, &step(issuer), &bundle.issuers, start);
        let (one, two, other) =
            (issued(None).expect("one"), issued(None).expect("two"), issued(Some("other")).expect("other"));
        assert_ne!(one.serial, two.serial);
        assert_eq!((&one.root_pem, one.root_pem == other.root_pem), (&two.root_pem, false));
        assert!(issued(Some("none")).is_err());
    }
}
