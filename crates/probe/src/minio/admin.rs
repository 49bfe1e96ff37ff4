//! The requests of MinIO's admin API that the set-up of an environment needs. They are signed like S3 requests, without
//! an SDK.

use std::time::{Duration, Instant};

use aws_lc_rs::digest;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use parallax_vocab::question::{S3Access, View};
use parallax_vocab::{Cause, millis};

use crate::dial::Dialler;
use crate::http::exchange;
use crate::invalid;
use crate::target::Target;
use crate::trail::Trail;

/// The time limit for one request.
const WITHIN: Duration = Duration::from_secs(10);
/// The largest part of an answer's body that is kept, in bytes.
const KEEP_BYTES: usize = 4096;
/// A policy that each MinIO has from the start.
const BUILT_IN: &str = "readwrite";

/// Creates or replaces the IAM policy (JSON) with the given name.
pub(crate) async fn put_policy(view: View, access: &S3Access, name: &str, policy: &str) -> Result<(), Cause> {
    let name: String = url::form_urlencoded::byte_serialize(name.as_bytes()).collect();
    let path = format!("/minio/admin/v3/add-canned-policy?name={name}");
    match call(view, access, Method::PUT, &path, policy.to_owned()).await? {
        (200, _) => Ok(()),
        (status, detail) => Err(Cause::Status { status, s3: None, detail }),
    }
}

/// Returns `Ok` if MinIO has loaded its policies. Otherwise the cause contains MinIO's answer.
///
/// MinIO reports that it is healthy as soon as it has begun to load its policies (`cmd/iam.go`: `Initialized` is true
/// before `setDefaultCannedPolicies`). Until it has loaded them, it refuses each web identity with "None of the given
/// policies are defined". The result is an error only for the answers that MinIO gives during this time (404 and 503).
/// After any other refusal, the result is `Ok`. The steps of the flow then meet the refusal, and the scenario may test
/// exactly this refusal.
pub(crate) async fn knows_its_policies(view: View, access: &S3Access) -> Result<(), Cause> {
    let path = format!("/minio/admin/v3/info-canned-policy?name={BUILT_IN}");
    match call(view, access, Method::GET, &path, String::new()).await {
        Ok((status @ (404 | 503), body)) => {
            let detail = format!("it is healthy, but it does not know its built-in policy `{BUILT_IN}` yet: {body}");
            Err(Cause::Status { status, s3: None, detail })
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Calls the admin API. Returns the status and the body of the answer.
async fn call(view: View, access: &S3Access, method: Method, path: &str, body: String) -> Result<(u16, String), Cause> {
    let dialler = Dialler::new(view, Trail::begin(), Instant::now() + WITHIN);
    let body = Bytes::from(body);
    let sha256 = hex::encode(digest::digest(&digest::SHA256, &body));
    let (target, request) = request(access, method, path, Full::new(body), sha256)?;
    let received = tokio::time::timeout(WITHIN, exchange(&dialler, &target, request, KEEP_BYTES)).await;
    let waited_ms = millis(WITHIN);
    let received = received.map_err(|_| Cause::Deadline { waited_ms, detail: "no answer".to_owned() })??;
    Ok((received.status, String::from_utf8_lossy(&received.body).into_owned()))
}

/// Makes a signed request for a path of the admin API, and the target to which it must be sent. `sha256` is the
/// hexadecimal digest of the body.
pub(super) fn request<B>(
    access: &S3Access,
    method: Method,
    path: &str,
    body: B,
    sha256: String,
) -> Result<(Target, Request<B>), Cause> {
    let uri: http::Uri = format!("{}{path}", access.endpoint).parse().map_err(|why| invalid(format!("{why}")))?;
    let target = Target::of(&uri)?;
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(http::header::HOST, target.host_header())
        .header("x-amz-content-sha256", &sha256)
        .body(body)
        .map_err(|why| invalid(why.to_string()))?;
    authorise(&mut request, &target, access, sha256)?;
    Ok((target, request))
}

/// Signs a request whose URI is only a path and a query. `sha256` is the hexadecimal digest of the body.
fn authorise<B>(request: &mut Request<B>, target: &Target, access: &S3Access, sha256: String) -> Result<(), Cause> {
    let wrong = |why: String| invalid(format!("the request to the admin API cannot be signed: {why}"));
    let identity = crate::s3::credentials(access).into();
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(&access.region)
        .name("s3")
        .time(std::time::SystemTime::now())
        .settings(SigningSettings::default())
        .build()
        .map_err(|why| wrong(why.to_string()))?
        .into();
    let scheme = if target.tls { "https" } else { "http" };
    let url = format!("{scheme}://{}{}", target.host_header(), request.uri());
    let headers = request.headers().iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap_or_default()));
    let signable = SignableRequest::new(request.method().as_str(), &url, headers, SignableBody::Precomputed(sha256))
        .map_err(|why| wrong(why.to_string()))?;
    let (instructions, _) = sign(signable, &parameters).map_err(|why| wrong(why.to_string()))?.into_parts();
    instructions.apply_to_request_http1x(request);
    Ok(())
}
