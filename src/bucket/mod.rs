//! Stores the files of runs in an S3 bucket, so that machines that share no disk can exchange their records.
//!
//! The endpoint, the region, the credentials and the trusted authorities come from the caller's environment, as for the
//! AWS CLI. This client is independent of the stores under test.

mod place;

use std::path::Path;
use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{Builder, Region, RequestChecksumCalculation, ResponseChecksumValidation};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use parallax_vocab::in_full;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

pub use self::place::Place;

/// The environment variable with the path of a file that contains trusted authorities. The AWS CLI reads the same
/// variable.
const CA_BUNDLE: &str = "AWS_CA_BUNDLE";
/// The region for signatures if the user configures none. Stores other than AWS usually accept any region.
const REGION: &str = "us-east-1";
/// The time limit for one attempt of one request, including the transfer of its body. The SDK repeats an attempt that
/// failed.
const TRY_WITHIN: Duration = Duration::from_mins(2);
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// The largest number of objects in a listing. A folder with more objects is an error.
const OBJECTS_LIMIT: usize = 20_000;
/// The largest size of an object that is read, in bytes. A larger object is an error.
const BYTES_LIMIT: i64 = 1024 * 1024 * 1024;

/// The reason why a bucket could not be used.
#[derive(Debug, thiserror::Error)]
pub enum BucketError {
    /// A request to the store failed.
    #[error(
        "failed to {doing}: {reason}; AWS_ENDPOINT_URL_S3, AWS_ACCESS_KEY_ID and the other variables of the AWS CLI say which store it is and who asks"
    )]
    Request {
        /// The operation that failed, with the address of the object or folder.
        doing: String,
        /// The error of the store or of the connection, in words.
        reason: String,
    },
    /// The file of trusted authorities cannot be used.
    #[error("{CA_BUNDLE} names {path}, which {reason}")]
    Trust {
        /// The path of the file of trusted authorities.
        path: String,
        /// The reason why the file of trusted authorities cannot be used, in words.
        reason: String,
    },
    /// An object is larger than this client reads, or a folder contains more objects than this client lists.
    #[error("{place} has more than {limit}")]
    TooMuch {
        /// The address of the object that is too large, or of the folder that contains too many objects.
        place: String,
        /// The largest allowed size of an object, or the largest allowed number of objects in a folder, with its unit.
        limit: String,
    },
}

/// A folder in a bucket, and a client for it.
#[derive(Clone, Debug)]
pub struct Bucket {
    client: Client,
    place: Place,
}

impl Bucket {
    /// Creates a client for this folder with the settings of the environment. No request is sent.
    pub async fn open(place: Place) -> Result<Self, BucketError> {
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
            .tls_context(trust()?);
        let timeouts =
            TimeoutConfig::builder().connect_timeout(CONNECT_WITHIN).operation_attempt_timeout(TRY_WITHIN).build();
        let loader =
            aws_config::defaults(BehaviorVersion::latest()).http_client(http.build_https()).timeout_config(timeouts);
        let shared = loader.load().await;
        let region = shared.region().cloned().unwrap_or(Region::from_static(REGION));
        // Stores other than AWS often have no DNS name for each bucket, and do not support the checksums that newer AWS
        // SDKs add.
        let is_aws = shared.endpoint_url().is_none() && std::env::var_os("AWS_ENDPOINT_URL_S3").is_none();
        let config = Builder::from(&shared)
            .region(region)
            .force_path_style(!is_aws)
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
        Ok(Self { client: Client::from_conf(config.build()), place })
    }

    /// Stores a file as the object `name` in this folder. An existing object is replaced.
    pub async fn put(&self, name: &str, file: &Path) -> Result<(), BucketError> {
        let to = self.place.join(name);
        let failed = |reason: String| request(format!("put {} to {to}", file.display()), reason);
        let body = ByteStream::from_path(file).await.map_err(|error| failed(in_full(&error)))?;
        let put = self.client.put_object().bucket(to.bucket()).key(to.key()).body(body);
        put.send().await.map_err(|error| failed(words(&error)))?;
        Ok(())
    }

    /// Returns the objects in this folder, and in the folders below it, whose key ends with the part `name`. The
    /// result is sorted.
    pub async fn named(&self, name: &str) -> Result<Vec<Place>, BucketError> {
        let failed = |reason: String| request(format!("list {}", self.place), reason);
        let prefix = self.place.folder();
        let list = self.client.list_objects_v2().bucket(self.place.bucket()).prefix(&prefix);
        let mut pages = list.into_paginator().send();
        let (mut found, mut seen) = (Vec::new(), 0);
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| failed(words(&error)))?;
            seen += page.contents().len();
            if seen > OBJECTS_LIMIT {
                return Err(BucketError::TooMuch {
                    place: self.place.to_string(),
                    limit: format!("{OBJECTS_LIMIT} objects"),
                });
            }
            let keys = page.contents().iter().filter_map(|it| it.key()).filter_map(|key| key.strip_prefix(&prefix));
            let keys = keys.filter(|key| key.rsplit('/').next() == Some(name));
            found.extend(keys.map(|key| self.place.join(key)));
        }
        found.sort();
        Ok(found)
    }

    /// Returns the content of an object.
    pub async fn get(&self, from: &Place) -> Result<Vec<u8>, BucketError> {
        let failed = |reason: String| request(format!("get {from}"), reason);
        let object = self.client.get_object().bucket(from.bucket()).key(from.key()).send().await;
        let object = object.map_err(|error| failed(words(&error)))?;
        if object.content_length().is_none_or(|length| length > BYTES_LIMIT) {
            return Err(BucketError::TooMuch { place: from.to_string(), limit: format!("{BYTES_LIMIT} bytes") });
        }
        let body = object.body.collect().await.map_err(|error| failed(in_full(&error)))?;
        Ok(body.to_vec())
    }
}

fn request(doing: String, reason: String) -> BucketError {
    BucketError::Request { doing, reason }
}

/// Returns the code and the message of the store's error if the store answered. Otherwise returns the error with all
/// its causes.
fn words<E, R>(error: &SdkError<E, R>) -> String
where
    E: std::error::Error + ProvideErrorMetadata + 'static,
    R: std::fmt::Debug + 'static,
{
    match (error.code(), error.message()) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        _ => in_full(error),
    }
}

/// Returns the authorities that the client trusts. If `AWS_CA_BUNDLE` is set, these are only the authorities in that
/// file. Otherwise they are the authorities that this machine trusts.
fn trust() -> Result<TlsContext, BucketError> {
    let store = match std::env::var_os(CA_BUNDLE).filter(|path| !path.is_empty()) {
        None => TrustStore::default(),
        Some(path) => {
            let path = Path::new(&path);
            let wrong = |reason: String| BucketError::Trust { path: path.display().to_string(), reason };
            let pem = std::fs::read(path).map_err(|error| wrong(format!("cannot be read: {error}")))?;
            authorities(&pem).map_err(wrong)?;
            TrustStore::empty().with_pem_certificate(pem)
        }
    };
    Ok(TlsContext::builder().with_trust_store(store).build().expect("authorities that were read just now are accepted"))
}

/// Checks that the text contains certificates of authorities. The HTTP client would panic if it got another text.
fn authorities(pem: &[u8]) -> Result<(), String> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| format!("is not PEM: {error}"))?;
        roots.add(certificate).map_err(|error| format!("has a certificate that cannot be trusted: {error}"))?;
    }
    if roots.is_empty() { Err("has no certificate".to_owned()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::authorities;

    #[test]
    fn a_file_of_authorities_that_cannot_be_used_is_refused() {
        let root = rcgen::generate_simple_self_signed(["a.example.com".to_owned()]).expect("a certificate").cert.pem();
        for (text, said) in [
            (root.clone(), ""),
            (root.clone() + &root, ""),
            (String::new(), "has no certificate"),
            ("no PEM at all".to_owned(), "has no certificate"),
            (root.replace("MII", "AAA"), "has a certificate that cannot be trusted"),
            (root.replace("-----END", "--"), "is not PEM"),
        ] {
            let saw = authorities(text.as_bytes()).err().unwrap_or_default();
            assert!(saw.starts_with(said) && saw.is_empty() == said.is_empty(), "{text}: {saw:?}");
        }
    }
}
