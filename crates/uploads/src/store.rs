//! The store of the uploads, which the application uses through the AWS SDK for Rust.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{self, ProvideCredentials, future};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, RequestChecksumCalculation};
use aws_sdk_s3::error::DisplayErrorContext;
use aws_sdk_s3::operation::head_object::HeadObjectError;
use aws_sdk_s3::presigning::PresigningConfig;

/// The store of the uploads.
pub(crate) struct Store {
    client: Client,
    bucket: String,
    links_for: Duration,
}

impl Store {
    /// Configures the SDK from environment variables. `links_for_s` is the time for which a signed URL is valid, in
    /// seconds.
    pub(crate) async fn from_environment(bucket: String, links_for_s: u32) -> Self {
        let shared = aws_config::load_defaults(BehaviorVersion::latest()).await;
        let mut config = aws_sdk_s3::config::Builder::from(&shared)
            .force_path_style(true)
            // By default, the SDK adds a checksum of the request's body to a presigned URL. But when the SDK signs the
            // URL, it does not have the file that the browser will send. The checksum would be the checksum of an empty
            // body.
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired);
        let variable = |name: &str| std::env::var(name).ok();
        if let (Some(role), Some(token)) = (variable("AWS_ROLE_ARN"), variable("AWS_WEB_IDENTITY_TOKEN_FILE")) {
            let sts = aws_sdk_sts::Client::new(&shared);
            config = config.credentials_provider(ByToken { sts, role, token: token.into() });
        }
        let links_for = Duration::from_secs(links_for_s.into());
        Self { client: Client::from_conf(config.build()), bucket, links_for }
    }

    /// Signs a URL with which a browser can upload one object.
    pub(crate) async fn link(&self, key: &str) -> anyhow::Result<String> {
        let valid = PresigningConfig::expires_in(self.links_for)?;
        let signed = self.client.put_object().bucket(&self.bucket).key(key).presigned(valid).await;
        let signed = signed.map_err(|error| anyhow::anyhow!("{}", DisplayErrorContext(error)));
        Ok(signed.with_context(|| format!("no URL was signed for {key}"))?.uri().to_owned())
    }

    /// Returns the size of an object in bytes. `None` if the store has no such object.
    pub(crate) async fn size(&self, key: &str) -> anyhow::Result<Option<i64>> {
        match self.client.head_object().bucket(&self.bucket).key(key).send().await {
            Ok(found) => Ok(Some(found.content_length().unwrap_or_default())),
            Err(error) if error.as_service_error().is_some_and(HeadObjectError::is_not_found) => Ok(None),
            Err(error) => Err(anyhow::anyhow!("{}", DisplayErrorContext(error)))
                .with_context(|| format!("the store does not say whether {key} exists")),
        }
    }
}

/// Exchanges the pod's token for credentials. The credential chain of aws-config cannot do this exchange with MinIO,
/// because MinIO's answer contains no ARN (docs/facts.md#openid-provider-in-minio).
#[derive(Debug)]
struct ByToken {
    sts: aws_sdk_sts::Client,
    role: String,
    /// The path of the token's file. The kubelet renews the token in this file, so the file is read again for each
    /// exchange.
    token: PathBuf,
}

impl ByToken {
    async fn exchange(&self) -> provider::Result {
        let token = std::fs::read_to_string(&self.token).map_err(CredentialsError::not_loaded)?;
        let request = self.sts.assume_role_with_web_identity().role_arn(&self.role).web_identity_token(token.trim());
        let answer = request.role_session_name("uploads").send().await;
        let answer =
            answer.map_err(|error| CredentialsError::provider_error(DisplayErrorContext(error).to_string()))?;
        let gained = answer.credentials.ok_or_else(|| CredentialsError::invalid_configuration("no credentials"))?;
        let ends = SystemTime::try_from(gained.expiration).map_err(CredentialsError::unhandled)?;
        Ok(Credentials::new(
            gained.access_key_id,
            gained.secret_access_key,
            Some(gained.session_token),
            Some(ends),
            "the pod's token",
        ))
    }
}

impl ProvideCredentials for ByToken {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.exchange())
    }
}
