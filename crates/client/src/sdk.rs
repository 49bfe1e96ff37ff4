//! The client `aws-sdk-rust`: the AWS SDK for Rust, with the default credential chain and HTTP client of aws-config.

use std::time::{Duration, SystemTime};

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region, retry::RetryConfig};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::RequestId as _;
use aws_sdk_s3::presigning::{PresignedRequest, PresigningConfig};
use aws_sdk_s3::primitives::ByteStream;

use crate::outcome::{Outcome, message};
use crate::task::{Access, Addressing, Operation, Presign, S3};

async fn client(access: Option<Access>) -> Client {
    let addressing = access.as_ref().map_or(Addressing::Path, |it| it.addressing);
    let mut loader = aws_config::defaults(BehaviorVersion::latest()).retry_config(RetryConfig::disabled());
    if let Some(it) = access {
        let credentials = Credentials::new(it.key_id, it.secret_key, it.session_token, None, "given");
        loader = loader.region(Region::new(it.region)).endpoint_url(it.endpoint).credentials_provider(credentials);
    }
    let shared = loader.load().await;
    Client::from_conf(
        aws_sdk_s3::config::Builder::from(&shared).force_path_style(addressing == Addressing::Path).build(),
    )
}

/// Signs a URL with the SDK.
pub(crate) async fn presign(task: Presign) -> Outcome {
    if !task.query.is_empty() {
        return Outcome::failed("this client cannot sign additional query parameters");
    }
    match sign(task).await {
        Ok(signed) => Outcome {
            url: Some(signed.uri().to_owned()),
            headers: signed.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            ..Outcome::default()
        },
        Err(error) => Outcome::failed(message(error.as_ref())),
    }
}

async fn sign(task: Presign) -> anyhow::Result<PresignedRequest> {
    let shift = Duration::from_secs(task.signed_at_s.unsigned_abs());
    let now = SystemTime::now();
    let start = if task.signed_at_s < 0 { now - shift } else { now + shift };
    let config =
        PresigningConfig::builder().start_time(start).expires_in(Duration::from_secs(task.expires_s)).build()?;
    let store = client(task.access).await;
    let (bucket, key) = (task.bucket, task.key);
    Ok(match task.method.as_str() {
        "GET" => store.get_object().bucket(bucket).key(key).presigned(config).await?,
        "PUT" => store.put_object().bucket(bucket).key(key).presigned(config).await?,
        "HEAD" => store.head_object().bucket(bucket).key(key).presigned(config).await?,
        _ => store.delete_object().bucket(bucket).key(key).presigned(config).await?,
    })
}

/// Executes one S3 operation with the SDK.
pub(crate) async fn operate(task: S3) -> Outcome {
    let store = client(task.access).await;
    match task.operation {
        Operation::CreateBucket { bucket } => match store.create_bucket().bucket(bucket).send().await {
            Ok(_) => done(None),
            Err(error) => refused(&error),
        },
        Operation::Put { bucket, key, body } => {
            let body = ByteStream::from(body.into_bytes());
            match store.put_object().bucket(bucket).key(key).body(body).send().await {
                Ok(answer) => done(answer.request_id()),
                Err(error) => refused(&error),
            }
        }
        Operation::Get { bucket, key } => match store.get_object().bucket(bucket).key(key).send().await {
            Ok(answer) => {
                let outcome = done(answer.request_id());
                match answer.body.collect().await {
                    Ok(body) => {
                        let body = String::from_utf8_lossy(&body.to_vec()).into_owned();
                        Outcome { body: Some(body), ..outcome }
                    }
                    Err(error) => Outcome::failed(message(&error)),
                }
            }
            Err(error) => refused(&error),
        },
        Operation::Head { bucket, key } => match store.head_object().bucket(bucket).key(key).send().await {
            Ok(answer) => done(answer.request_id()),
            Err(error) => refused(&error),
        },
        Operation::Delete { bucket, key } => match store.delete_object().bucket(bucket).key(key).send().await {
            Ok(answer) => Outcome { status: Some(204), ..done(answer.request_id()) },
            Err(error) => refused(&error),
        },
        Operation::List { bucket, prefix } => {
            let mut pages = store.list_objects_v2().bucket(bucket).prefix(prefix).into_paginator().send();
            let mut listed = Outcome::default();
            while let Some(page) = pages.next().await {
                match page {
                    Ok(page) => {
                        let mut keys = listed.keys;
                        keys.extend(page.contents().iter().filter_map(|object| object.key().map(str::to_owned)));
                        // A listing may need several requests, one for each page. The request id of the last page is
                        // reported for the whole listing.
                        listed = Outcome { keys, ..done(page.request_id()) };
                    }
                    Err(error) => return refused(&error),
                }
            }
            listed
        }
    }
}

fn done(request_id: Option<&str>) -> Outcome {
    let id = request_id.map(|id| ("x-amz-request-id".to_owned(), id.to_owned()));
    Outcome { status: Some(200), headers: id.into_iter().collect(), ..Outcome::default() }
}

/// Returns the outcome of a failed request. If the server answered, the outcome has the status and the error code of
/// the answer. Otherwise, it has the client's error message.
fn refused<E>(error: &SdkError<E>) -> Outcome
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    match error.raw_response() {
        Some(answer) => Outcome {
            status: Some(answer.status().as_u16()),
            code: error.code().unwrap_or_default().to_owned(),
            message: error.message().unwrap_or_default().to_owned(),
            ..Outcome::default()
        },
        None => Outcome::failed(message(error)),
    }
}
