//! Presigned URLs: `SigV4` in the query. Signing is offline: the endpoint only determines the host in the URL.
//!
//! The SDK signs whatever it can, because applications sign with an SDK. What it refuses to sign (more than seven days,
//! additional query parameters) is signed by `aws-sigv4` with S3's rules, so that scenarios can show the server's
//! answer.

use std::collections::BTreeMap;
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
use parallax_vocab::Cause;
use parallax_vocab::answer::PresignReply;
use parallax_vocab::percent::encoded;
use parallax_vocab::question::PresignQuestion;

use crate::{invalid, s3};

const SDK_LIMIT_S: u64 = 7 * 24 * 3600;

/// Answers a presign question.
pub(crate) async fn answer(question: &PresignQuestion) -> Result<PresignReply, Cause> {
    let method = question.method.as_str();
    if !["GET", "PUT", "HEAD", "DELETE"].contains(&method) {
        return Err(invalid(format!("cannot presign `{method}`; GET, PUT, HEAD and DELETE can be presigned")));
    }
    let at = instant(SystemTime::now(), question.signed_at_s)?;
    if question.expires_s <= SDK_LIMIT_S && question.query.is_empty() {
        by_sdk(question, at).await
    } else {
        by_sigv4(question, at)
    }
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

/// An HTTP client that sends nothing, for signing. Without it the SDK would make a client of its own, if the build
/// contains one, which reads the machine's trust store; a pod has none.
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

fn words(error: &(dyn std::error::Error + 'static)) -> String {
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

/// The URL without its signature, path style.
fn unsigned(question: &PresignQuestion) -> Result<String, Cause> {
    s3::config(&question.access)?;
    let endpoint = question.access.endpoint.trim_end_matches('/');
    let mut url = format!("{endpoint}/{}/{}", encoded(&question.bucket, false), encoded(&question.key, true));
    for (number, (name, value)) in question.query.iter().enumerate() {
        url.push(if number == 0 { '?' } else { '&' });
        url.push_str(&encoded(name, false));
        url.push('=');
        url.push_str(&encoded(value, false));
    }
    Ok(url)
}
