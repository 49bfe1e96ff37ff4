//! Makes presigned URLs (`SigV4` in the query) and signed forms (`SigV4` over a policy, in the fields of the form).
//! Signing sends no request: the endpoint only determines the host in the URL.
//!
//! The SDK signs whatever it can sign, because applications sign with an SDK too. The SDK cannot sign a URL that is
//! valid for more than seven days, a URL with additional query parameters, or a form. For these three, the probe signs
//! with the crate `aws-sigv4` by S3's rules, so that scenarios can show how the server answers.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::{Duration, SystemTime};

use aws_sdk_s3::Client;
use aws_sdk_s3::config::RuntimeComponents;
use aws_sdk_s3::presigning::{PresignedRequest, PresigningConfig};
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SignatureLocation, SigningSettings,
    UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::base64;
use parallax_vocab::answer::{FORM_SIGNATURE, PresignReply};
use parallax_vocab::percent::encoded;
use parallax_vocab::question::{PostPolicy, PresignQuestion, S3Access};
use parallax_vocab::{Cause, Secret};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::macros::format_description;

use crate::{invalid, s3};

const SDK_LIMIT_S: u64 = 7 * 24 * 3600;

/// Answers a question to presign a URL or a form.
pub(crate) async fn answer(question: &PresignQuestion) -> Result<PresignReply, Cause> {
    // The pattern names each part of the question, without `..`. If somebody adds a part, the compiler reports this
    // line, and they must decide whether the SDK can sign the part.
    let PresignQuestion { method, policy, expires_s, signed_at_s, query, access, bucket, key: _ } = question;
    let method = method.as_str();
    if let Some(why) = access.cannot_be_virtual(bucket) {
        return Err(invalid(format!("cannot presign in virtual-host style: {why}")));
    }
    let at = instant(SystemTime::now(), *signed_at_s)?;
    if let ("POST", Some(policy)) = (method, policy) {
        return form(question, policy, at);
    }
    if !["GET", "PUT", "HEAD", "DELETE"].contains(&method) || policy.is_some() {
        let can = "GET, PUT, HEAD and DELETE can be presigned, and POST with a policy";
        return Err(invalid(format!("cannot presign `{method}`; {can}")));
    }
    if *expires_s <= SDK_LIMIT_S && query.is_empty() { by_sdk(question, at).await } else { by_sigv4(question, at) }
}

fn instant(now: SystemTime, shift_s: i64) -> Result<SystemTime, Cause> {
    let shift = Duration::from_secs(shift_s.unsigned_abs());
    let at = if shift_s < 0 { now.checked_sub(shift) } else { now.checked_add(shift) };
    at.ok_or_else(|| invalid(format!("signing instant {shift_s} s from now is out of range")))
}

async fn by_sdk(question: &PresignQuestion, at: SystemTime) -> Result<PresignReply, Cause> {
    let client = Client::from_conf(s3::config(&question.access)?.http_client(Offline).build());
    let expires = Duration::from_secs(question.expires_s);
    let config = PresigningConfig::builder().start_time(at).expires_in(expires).build();
    let config = config.map_err(|why| invalid(why.to_string()))?;
    let (bucket, key) = (&question.bucket, &question.key);
    let failed = |why: String| invalid(format!("could not presign {} {bucket}/{key}: {why}", question.method));
    let signed = match question.method.as_str() {
        "GET" => client.get_object().bucket(bucket).key(key).presigned(config).await.map_err(|e| failed(words(&e)))?,
        "PUT" => client.put_object().bucket(bucket).key(key).presigned(config).await.map_err(|e| failed(words(&e)))?,
        "HEAD" => {
            client.head_object().bucket(bucket).key(key).presigned(config).await.map_err(|e| failed(words(&e)))?
        }
        _ => client.delete_object().bucket(bucket).key(key).presigned(config).await.map_err(|e| failed(words(&e)))?,
    };
    Ok(reply(&signed))
}

/// An HTTP client that sends nothing, because signing needs no request. Without this client, the SDK would create its
/// own HTTP client, if the build contains one. The SDK's own client reads the system's trust store, which a pod does
/// not have.
#[derive(Clone, Debug)]
struct Offline;

impl HttpClient for Offline {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Offline {
    fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::ready(Err(ConnectorError::user("signing sends nothing".into())))
    }
}

fn words(error: &(dyn Error + 'static)) -> String {
    let inner = error.source().map(|source| format!(": {source}")).unwrap_or_default();
    format!("{error}{inner}")
}

fn reply(signed: &PresignedRequest) -> PresignReply {
    let headers: BTreeMap<_, _> = signed.headers().map(|(k, v)| (k.to_lowercase(), v.to_owned())).collect();
    PresignReply { headers, ..PresignReply::new(signed.method(), signed.uri()) }
}

fn by_sigv4(question: &PresignQuestion, at: SystemTime) -> Result<PresignReply, Cause> {
    let failed = |why: String| invalid(format!("could not sign {}/{}: {why}", question.bucket, question.key));
    let mut settings = SigningSettings::default();
    settings.signature_location = SignatureLocation::QueryParams;
    settings.expires_in = Some(Duration::from_secs(question.expires_s));
    settings.percent_encoding_mode = PercentEncodingMode::Single;
    settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    settings.payload_checksum_kind = PayloadChecksumKind::NoHeader;
    let identity = s3::credentials(&question.access).into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(&question.access.region)
        .name("s3")
        .time(at)
        .settings(settings)
        .build()
        .map_err(|why| failed(why.to_string()))?
        .into();
    let url = unsigned(question)?;
    let no_headers = std::iter::empty();
    let signable = SignableRequest::new(&question.method, url.as_str(), no_headers, SignableBody::UnsignedPayload);
    let signable = signable.map_err(|why| failed(words(&why)))?;
    let (instructions, _) = sign(signable, &params).map_err(|why| failed(words(&why)))?.into_parts();
    let mut request = http::Request::builder()
        .method(question.method.as_str())
        .uri(&url)
        .body(())
        .map_err(|why| failed(why.to_string()))?;
    instructions.apply_to_request_http1x(&mut request);
    Ok(PresignReply::new(question.method.clone(), request.uri().to_string()))
}

/// Returns the URL of the object with the question's query parameters, but without a signature.
fn unsigned(question: &PresignQuestion) -> Result<String, Cause> {
    s3::config(&question.access)?;
    let bucket = question.access.bucket_url(&encoded(&question.bucket, false));
    let mut url = format!("{bucket}/{}", encoded(&question.key, true));
    for (number, (name, value)) in question.query.iter().enumerate() {
        url.push(if number == 0 { '?' } else { '&' });
        url.push_str(&encoded(name, false));
        url.push('=');
        url.push_str(&encoded(value, false));
    }
    Ok(url)
}

/// Signs a form for an upload by POST. The fields of the form are the policy, the signature, and the fields to which
/// the policy gives a value.
fn form(question: &PresignQuestion, policy: &PostPolicy, at: SystemTime) -> Result<PresignReply, Cause> {
    s3::config(&question.access)?;
    let failed = |why: &dyn Error| invalid(format!("could not sign a form for {}: {why}", question.bucket));
    let S3Access { endpoint: _, addressing: _, region, access_key, secret_key, session_token } = &question.access;
    let signed = OffsetDateTime::from(at);
    let valid = i64::try_from(question.expires_s).map_err(|why| failed(&why))?;
    let end = signed.checked_add(time::Duration::seconds(valid));
    let end = end.ok_or_else(|| invalid(format!("a form cannot be valid for {valid} s from {signed}")))?;
    let shown = |at: OffsetDateTime, as_written| at.format(as_written).map_err(|why| failed(&why));
    let date = shown(signed, format_description!("[year][month][day]T[hour][minute][second]Z"))?;
    let expiration = shown(end, format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z"))?;

    let mut fields = policy.equals.clone();
    let day = &date[..8];
    let mut add = |name: &str, value: String| fields.insert(name.to_owned(), value);
    add("x-amz-algorithm", "AWS4-HMAC-SHA256".to_owned());
    add("x-amz-credential", format!("{access_key}/{day}/{region}/s3/aws4_request"));
    add("x-amz-date", date.clone());
    if let Some(token) = session_token {
        add("x-amz-security-token", token.expose().to_owned());
    }
    let equal = fields.iter().map(|(name, value)| json!({ name: value }));
    let begin = policy.starts_with.iter().map(|(name, prefix)| json!(["starts-with", format!("${name}"), prefix]));
    let length = policy.content_length_range.map(|[least, most]| json!(["content-length-range", least, most]));
    let conditions: Vec<Value> =
        [json!({ "bucket": question.bucket })].into_iter().chain(equal).chain(begin).chain(length).collect();
    let document = json!({ "expiration": expiration, "conditions": conditions }).to_string();
    let policy = base64::encode(document);
    fields.insert(FORM_SIGNATURE.to_owned(), of_policy(secret_key, at, region, &policy));
    fields.insert("policy".to_owned(), policy);
    let url = question.access.bucket_url(&encoded(&question.bucket, false));
    Ok(PresignReply { fields, ..PresignReply::new("POST", url) })
}

/// Returns the signature of a form's policy. The signature covers the base64 text of the policy, exactly as the form
/// sends it.
fn of_policy(secret_key: &Secret, at: SystemTime, region: &str, policy: &str) -> String {
    let key = v4::generate_signing_key(secret_key.expose(), at, region, "s3");
    v4::calculate_signature(key, policy.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The base64 text of the policy in AWS's own example ("Browser-Based Upload using HTTP POST"). AWS documents the
    /// signature of this policy.
    const POLICY: &[&str] = &[
        "eyAiZXhwaXJhdGlvbiI6ICIyMDE1LTEyLTMwVDEyOjAwOjAwLjAwMFoiLA0KICAiY29uZGl0aW9ucyI6IFsNCiAgICB7ImJ1Y2tl",
        "dCI6ICJzaWd2NGV4YW1wbGVidWNrZXQifSwNCiAgICBbInN0YXJ0cy13aXRoIiwgIiRrZXkiLCAidXNlci91c2VyMS8iXSwNCiAg",
        "ICB7ImFjbCI6ICJwdWJsaWMtcmVhZCJ9LA0KICAgIHsic3VjY2Vzc19hY3Rpb25fcmVkaXJlY3QiOiAiaHR0cDovL3NpZ3Y0ZXhh",
        "bXBsZWJ1Y2tldC5zMy5hbWF6b25hd3MuY29tL3N1Y2Nlc3NmdWxfdXBsb2FkLmh0bWwifSwNCiAgICBbInN0YXJ0cy13aXRoIiwg",
        "IiRDb250ZW50LVR5cGUiLCAiaW1hZ2UvIl0sDQogICAgeyJ4LWFtei1tZXRhLXV1aWQiOiAiMTQzNjUxMjM2NTEyNzQifSwNCiAg",
        "ICB7IngtYW16LXNlcnZlci1zaWRlLWVuY3J5cHRpb24iOiAiQUVTMjU2In0sDQogICAgWyJzdGFydHMtd2l0aCIsICIkeC1hbXot",
        "bWV0YS10YWciLCAiIl0sDQoNCiAgICB7IngtYW16LWNyZWRlbnRpYWwiOiAiQUtJQUlPU0ZPRE5ON0VYQU1QTEUvMjAxNTEyMjkv",
        "dXMtZWFzdC0xL3MzL2F3czRfcmVxdWVzdCJ9LA0KICAgIHsieC1hbXotYWxnb3JpdGhtIjogIkFXUzQtSE1BQy1TSEEyNTYifSwN",
        "CiAgICB7IngtYW16LWRhdGUiOiAiMjAxNTEyMjlUMDAwMDAwWiIgfQ0KICBdDQp9",
    ];

    #[test]
    fn a_policy_is_signed_as_aws_signs_it() {
        // The date of AWS's example, 2015-12-29, as days since 1970.
        let at = SystemTime::UNIX_EPOCH + Duration::from_hours(16_798 * 24);
        let secret = Secret::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
        let signature = of_policy(&secret, at, "us-east-1", &POLICY.concat());
        assert_eq!(signature, "8afdbf4008c03f22c2cd3cdb72e4afbb1f6a588f3255ac628749a66d7f09699e");
    }
}
