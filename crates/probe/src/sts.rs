//! Requests credentials from STS (`AssumeRoleWithWebIdentity`). The default credential chain of an SDK sends the same
//! request. But the probe never repeats the request, and a failure keeps the cause of the layer that failed.

use ::http::header::{CONTENT_TYPE, HeaderValue};
use ::http::{Method, Request, Uri};
use bytes::Bytes;
use http_body_util::Full;
use parallax_vocab::answer::{StsError, StsReply, TemporaryCredentials};
use parallax_vocab::question::StsQuestion;
use parallax_vocab::{Cause, Secret};

use crate::dial::Dialler;
use crate::http::exchange;
use crate::target::Target;
use crate::{invalid, token, xml};

/// The largest size of an answer of STS, in bytes. Credentials and errors are much shorter.
const KEEP_BYTES: usize = 256 * 1024;
/// The version of the STS API that all SDKs send.
const VERSION: &str = "2011-06-15";
const SESSION_NAME: &str = "parallax";

/// Answers a question to STS.
pub(crate) async fn answer(question: &StsQuestion, dialler: &Dialler) -> Result<StsReply, Cause> {
    let token = token::read(&question.token)?;
    let endpoint = format!("{}/", question.endpoint.trim_end_matches('/'));
    let uri: Uri = endpoint.parse().map_err(|why| invalid(format!("endpoint `{endpoint}` is not a URL: {why}")))?;
    let target = Target::of(&uri)?;
    let mut request = Request::new(Full::new(Bytes::from(form(question, &token))));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri;
    let form = HeaderValue::from_static("application/x-www-form-urlencoded");
    request.headers_mut().insert(CONTENT_TYPE, form);
    let received = exchange(dialler, &target, request, KEEP_BYTES).await?;
    let request_id = received.headers.get("x-amz-request-id").and_then(|value| value.to_str().ok());
    let request_id = request_id.map(str::to_owned);
    Ok(StsReply { request_id, ..reply(received.status, &received.body) })
}

fn form(question: &StsQuestion, token: &Secret) -> String {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.append_pair("Action", "AssumeRoleWithWebIdentity");
    form.append_pair("Version", VERSION);
    form.append_pair("RoleArn", &question.role_arn);
    form.append_pair("RoleSessionName", SESSION_NAME);
    form.append_pair("WebIdentityToken", token.expose());
    if let Some(seconds) = question.duration_s {
        form.append_pair("DurationSeconds", &seconds.to_string());
    }
    if let Some(policy) = &question.policy {
        form.append_pair("Policy", policy);
    }
    form.finish()
}

fn reply(status: u16, body: &[u8]) -> StsReply {
    let texts = xml::texts(body).unwrap_or_default();
    let text = |path: &str| texts.get(path).cloned();
    let result =
        |name: &str| text(&format!("AssumeRoleWithWebIdentityResponse/AssumeRoleWithWebIdentityResult/{name}"));
    let credential = |name: &str| result(&format!("Credentials/{name}"));
    let credentials = credential("AccessKeyId").map(|access_key| TemporaryCredentials {
        access_key,
        secret_key: Secret::new(credential("SecretAccessKey").unwrap_or_default()),
        session_token: Secret::new(credential("SessionToken").unwrap_or_default()),
        expires: credential("Expiration").unwrap_or_default(),
    });
    // If the request does not reach the token service of a store, some stores answer with an S3 error document, whose
    // root is `Error`.
    let error = ["ErrorResponse/Error", "Error"].into_iter().find_map(|at| {
        let code = text(&format!("{at}/Code"))?;
        Some(StsError { code, message: text(&format!("{at}/Message")).unwrap_or_default() })
    });
    StsReply { status, error, credentials, subject: result("SubjectFromWebIdentityToken"), request_id: None }
}

#[cfg(test)]
mod tests {
    use parallax_vocab::question::TokenSource;

    use super::*;

    #[test]
    fn credentials_and_refusals_are_read() {
        let given = reply(
            200,
            b"<?xml version=\"1.0\"?><AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
              <AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>A</AccessKeyId><SecretAccessKey>S</SecretAccessKey>\
              <SessionToken>T</SessionToken><Expiration>2030-01-01T00:00:00Z</Expiration></Credentials>\
              <SubjectFromWebIdentityToken>system:serviceaccount:a:b</SubjectFromWebIdentityToken>\
              </AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>",
        );
        let credentials = given.credentials.expect("credentials");
        assert_eq!((credentials.access_key.as_str(), credentials.session_token.expose()), ("A", "T"));
        assert_eq!(given.subject.as_deref(), Some("system:serviceaccount:a:b"));
        let refused = reply(
            400,
            b"<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type></Type>\
              <Code>InvalidParameterValue</Code><Message>no &amp; no</Message></Error></ErrorResponse>",
        );
        let error = refused.error.expect("error");
        assert_eq!((error.code.as_str(), error.message.as_str()), ("InvalidParameterValue", "no & no"));
        assert_eq!(reply(503, b"not XML"), StsReply { status: 503, ..reply(503, b"") });
    }

    #[test]
    fn a_form_is_encoded_and_says_only_what_is_asked() {
        let question = StsQuestion {
            endpoint: "https://a".to_owned(),
            role_arn: "arn:aws:iam::1:role/x".to_owned(),
            token: TokenSource::Value(Secret::new("t")),
            duration_s: None,
            policy: None,
        };
        let form = form(&question, &Secret::new("a.b+c"));
        assert!(form.contains("RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fx"), "{form}");
        assert!(form.contains("WebIdentityToken=a.b%2Bc") && !form.contains("DurationSeconds"), "{form}");
    }
}
