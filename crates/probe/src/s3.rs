//! Executes one S3 operation with the AWS SDK for Rust. The SDK makes no retries and reads no configuration from the
//! environment.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Debug;

use aws_credential_types::Credentials;
use aws_sdk_s3::config::interceptors::BeforeTransmitInterceptorContextMut;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Builder, ConfigBag, Intercept, Region, RequestChecksumCalculation, ResponseChecksumValidation,
    RuntimeComponents, StalledStreamProtectionConfig,
};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    BucketLocationConstraint, CompletedMultipartUpload, CompletedPart, CreateBucketConfiguration, Object,
};
use aws_sdk_s3::{Client, Config};
use aws_smithy_runtime_api::box_error::BoxError;
use http::HeaderMap;
use parallax_vocab::answer::{BODY_LIMIT_BYTES, S3Error, S3Reply, Survey};
use parallax_vocab::question::{Addressing, S3Access, S3Operation, S3Question};
use parallax_vocab::{Cause, in_full};

use crate::clock::unix_ms;
use crate::connector::Connector;
use crate::dial::Dialler;
use crate::{invalid, s3_error};

/// The largest size of the keys in a listing, in bytes. The listing must fit into one frame (one message of the agent)
/// together with the rest of the answer. A longer listing is an error and is not truncated.
const LISTING_LIMIT_BYTES: usize = 512 * 1024;

/// The largest number of pages that a listing or a survey (the number and the total size of objects) reads. S3
/// returns at most a thousand objects in a page.
const PAGES_LIMIT: usize = 100;

/// Answers an S3 question.
pub(crate) async fn answer(question: &S3Question, dialler: Dialler) -> Result<S3Reply, Cause> {
    if let Some(why) = question.access.cannot_be_virtual(question.operation.bucket()) {
        return Err(invalid(format!("cannot ask in virtual-host style: {why}")));
    }
    let connector = Connector::new(dialler);
    let headers = Headers::of(&question.headers)?;
    let config = config(&question.access)?.http_client(connector.clone()).interceptor(headers).build();
    let client = Client::from_conf(config);
    let done = operate(&client, &question.access.region, &question.operation).await;
    let last = connector.take_last();
    if let Some(cause) = last.cause {
        return Err(cause);
    }
    let (status, headers) = last.head.unwrap_or_default();
    let mut reply = match done {
        Ok(reply) => reply,
        // The store did not answer with an error. The SDK failed before it sent a request, or it could not parse a
        // successful answer.
        Err(failed) if failed.error.is_none() && !(300..600).contains(&status) => return Err(invalid(failed.words)),
        Err(Failed { error: Some(error), .. }) if s3_error::already_exists(&question.operation, &error.code) => {
            S3Reply { status: 200, ..empty() }
        }
        Err(failed) => S3Reply { error: failed.error, ..empty() },
    };
    if reply.status == 0 {
        reply.status = status;
    }
    if reply.error.is_none() {
        reply.error = crate::store::error_in_headers(reply.status, &headers);
    }
    reply.request_id = header(&headers, "x-amz-request-id");
    reply.etag = header(&headers, "etag").map(|etag| etag.trim_matches('"').to_owned());
    if matches!(question.operation, S3Operation::Get { .. } | S3Operation::Head { .. }) && reply.error.is_none() {
        let declared = header(&headers, "content-length").and_then(|length| length.parse().ok());
        reply.size_bytes = declared.or(reply.size_bytes);
    }
    Ok(reply)
}

/// The question's additional headers. They are added before the SDK signs the request, so the signature covers them.
#[derive(Debug)]
struct Headers(Vec<(String, String)>);

impl Headers {
    fn of(headers: &BTreeMap<String, String>) -> Result<Self, Cause> {
        for (name, value) in headers {
            let sound = name.parse::<http::HeaderName>().is_ok() && value.parse::<http::HeaderValue>().is_ok();
            if !sound {
                return Err(invalid(format!("header `{name}` cannot be sent")));
            }
        }
        Ok(Self(headers.iter().map(|(name, value)| (name.to_lowercase(), value.clone())).collect()))
    }
}

impl Intercept for Headers {
    fn name(&self) -> &'static str {
        "Headers"
    }

    fn modify_before_signing(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        for (name, value) in &self.0 {
            context.request_mut().headers_mut().insert(name.clone(), value.clone());
        }
        Ok(())
    }
}

/// The SDK's configuration for the store in `access`. The caller adds the HTTP client.
pub(crate) fn config(access: &S3Access) -> Result<Builder, Cause> {
    let endpoint: http::Uri = access
        .endpoint
        .parse()
        .map_err(|why| invalid(format!("endpoint `{}` is not a URL: {why}", access.endpoint)))?;
    crate::target::Target::of(&endpoint)?;
    let off = TimeoutConfig::disabled();
    Ok(Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(access.region.clone()))
        .credentials_provider(credentials(access))
        .endpoint_url(access.endpoint.trim_end_matches('/'))
        .force_path_style(access.addressing == Addressing::Path)
        .retry_config(RetryConfig::disabled())
        // The SDK's own time limits are off, because the question's time limit covers the whole operation.
        .timeout_config(off)
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        // The SDK's default checksums break presigned PUTs, and requests to stores that do not support such checksums
        // (docs/facts.md#default-checksums).
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired))
}

/// The credentials in the question, in the form that the SDK needs.
pub(crate) fn credentials(access: &S3Access) -> Credentials {
    let token = access.session_token.as_ref().map(|token| token.expose().to_owned());
    Credentials::new(&access.access_key, access.secret_key.expose(), token, None, "question")
}

/// A failed request: the server's S3 error, if there is one, and the SDK's message.
pub(crate) struct Failed {
    pub(crate) error: Option<S3Error>,
    pub(crate) words: String,
}

impl<E, R> From<SdkError<E, R>> for Failed
where
    E: ProvideErrorMetadata + Error + 'static,
    R: Debug + 'static,
{
    fn from(error: SdkError<E, R>) -> Self {
        let meta = error.as_service_error().map(ProvideErrorMetadata::meta);
        let refusal = meta.and_then(|meta| {
            let message = meta.message().unwrap_or_default().to_owned();
            meta.code().map(|code| S3Error { code: code.to_owned(), message })
        });
        Self { error: refusal, words: in_full(&error) }
    }
}

fn empty() -> S3Reply {
    S3Reply {
        status: 0,
        error: None,
        body: None,
        keys: Vec::new(),
        survey: None,
        etag: None,
        size_bytes: None,
        upload_id: None,
        request_id: None,
    }
}

async fn operate(client: &Client, region: &str, operation: &S3Operation) -> Result<S3Reply, Failed> {
    let mut reply = empty();
    match operation {
        S3Operation::CreateBucket { bucket } => {
            // S3 rejects a location constraint for its oldest region, `us-east-1`, and requires one for all others.
            let place = (region != "us-east-1").then(|| {
                CreateBucketConfiguration::builder().location_constraint(BucketLocationConstraint::from(region)).build()
            });
            client.create_bucket().bucket(bucket).set_create_bucket_configuration(place).send().await?;
        }
        S3Operation::PutBucketPolicy { bucket, policy } => {
            client.put_bucket_policy().bucket(bucket).policy(policy).send().await?;
        }
        S3Operation::Put { bucket, key, body } => {
            let body = ByteStream::from(body.clone().into_bytes());
            client.put_object().bucket(bucket).key(key).body(body).send().await?;
        }
        S3Operation::Get { bucket, key } => {
            let object = client.get_object().bucket(bucket).key(key).send().await?;
            let bytes = object.body.collect().await.map(aws_sdk_s3::primitives::AggregatedBytes::into_bytes);
            let bytes = bytes.map_err(|why| Failed { error: None, words: why.to_string() })?;
            reply.size_bytes = Some(bytes.len() as u64);
            reply.body = Some(String::from_utf8_lossy(&bytes[..bytes.len().min(BODY_LIMIT_BYTES)]).into_owned());
        }
        S3Operation::Head { bucket, key } => {
            client.head_object().bucket(bucket).key(key).send().await?;
        }
        S3Operation::Delete { bucket, key } => {
            client.delete_object().bucket(bucket).key(key).send().await?;
        }
        S3Operation::CreateUpload { bucket, key } => {
            let upload = client.create_multipart_upload().bucket(bucket).key(key).send().await?;
            reply.upload_id = upload.upload_id().map(str::to_owned);
        }
        S3Operation::CompleteUpload { bucket, key, upload, parts } => {
            let part = |(number, etag): (i32, &String)| {
                CompletedPart::builder().part_number(number).e_tag(etag.as_str()).build()
            };
            let parts = (1..).zip(parts).map(part).collect();
            let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
            let complete = client.complete_multipart_upload().bucket(bucket).key(key).upload_id(upload);
            complete.multipart_upload(parts).send().await?;
        }
        S3Operation::List { bucket, prefix } => {
            let mut length_bytes = 0;
            pages(client, bucket, prefix, |object| {
                let Some(key) = object.key() else { return true };
                // Estimates the length of this key in a frame: the key with escapes, two quotes, and a comma.
                length_bytes += key.escape_default().count() + 3;
                reply.keys.push(key.to_owned());
                length_bytes <= LISTING_LIMIT_BYTES
            })
            .await?;
        }
        S3Operation::Survey { bucket, prefix } => reply.survey = Some(survey(client, bucket, prefix).await?),
    }
    Ok(reply)
}

/// Counts the objects whose keys start with the prefix, and adds up their sizes.
async fn survey(client: &Client, bucket: &str, prefix: &str) -> Result<Survey, Failed> {
    let now_ms = i64::try_from(unix_ms()).unwrap_or(i64::MAX);
    let mut seen = Survey::default();
    pages(client, bucket, prefix, |object| {
        seen.objects += 1;
        seen.bytes += object.size().and_then(|size| u64::try_from(size).ok()).unwrap_or(0);
        let written = object.last_modified().and_then(|it| it.to_millis().ok());
        if written > seen.newest_unix_ms {
            seen.newest_unix_ms = written;
            seen.newest_key = object.key().map(str::to_owned);
        }
        true
    })
    .await?;
    seen.newest_age_ms = seen.newest_unix_ms.map(|at| u64::try_from(now_ms - at).unwrap_or(0));
    Ok(seen)
}

/// Calls `take` for every object whose key starts with the prefix, page by page. `take` returns false if the caller's
/// list has become too long; this function then returns an error. The function also returns an error if it cannot read
/// the listing to its end.
pub(crate) async fn pages(
    client: &Client,
    bucket: &str,
    prefix: &str,
    mut take: impl FnMut(&Object) -> bool,
) -> Result<(), Failed> {
    let mut token: Option<String> = None;
    for _ in 0..PAGES_LIMIT {
        let page = client.list_objects_v2().bucket(bucket).prefix(prefix).set_continuation_token(token.take());
        let page = page.send().await?;
        if !page.contents().iter().all(&mut take) {
            return Err(unread(format!("the listing is longer than {} KiB", LISTING_LIMIT_BYTES >> 10)));
        }
        token = page.next_continuation_token().map(str::to_owned);
        match (page.is_truncated().unwrap_or_default(), &token) {
            (_, Some(_)) => {}
            (false, None) => return Ok(()),
            (true, None) => return Err(unread("the listing is truncated, but has no continuation token".to_owned())),
        }
    }
    Err(unread(format!("there are more than {PAGES_LIMIT} pages of objects")))
}

/// Makes the failure of a listing that is too long or incomplete, although the store answered each request without an
/// error.
fn unread(words: String) -> Failed {
    Failed { error: None, words }
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}
