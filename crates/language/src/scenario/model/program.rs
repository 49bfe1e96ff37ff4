//! Steps that run programs at a vantage: the user's own, and the clients that applications use.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::step::{HttpStep, PresignStep, S3Step};

/// Run a program of one's own at the vantage, in a fresh folder that is its `HOME` and `TMPDIR`. It inherits nothing but
/// `PATH`. At a vantage without an image: in the agent's image, which has no shell, or `outside` on the user's machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ScriptStep {
    /// Program and arguments. No shell is between: for one, write `[sh, -c, "…"]`. `{{ vantage.ca }}` is the path of a file
    /// with the certificates that the vantage trusts; so is the variable `PARALLAX_CA_BUNDLE`.
    #[schemars(length(min = 1))]
    pub run: Vec<String>,
    /// Its environment.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub env: IndexMap<String, String>,
    /// What it reads on standard input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin: Option<String>,
    /// Id of a store's fixture: `AWS_ENDPOINT_URL`, `AWS_REGION`, `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY` are set to
    /// reach it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
}

/// Let a client that applications use do what `presign`, `s3` or `http` would do: exactly one of them. The vantage's image
/// must hold the client, as `clients` and `browser` do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ClientStep {
    /// The client: `aws-sdk-rust`, `aws-cli`, `boto3`, `mc`, `aws-sdk-go-v2`, `aws-sdk-js-v3` and `aws-sdk-java-v2` sign
    /// and speak S3; `curl`, `reqwest` and `browser` open URLs.
    #[serde(rename = "use")]
    pub client: String,
    /// Sign a URL; the step's value is the URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub presign: Option<PresignStep>,
    /// One S3 operation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3: Option<S3Step>,
    /// Send one HTTP request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpStep>,
    /// Let the client find endpoint, region and credentials by its own default chain, as an application does; it is told
    /// none of them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub chain: bool,
    /// Further environment, for what a client is configured by.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub env: IndexMap<String, String>,
    /// The origin of the page whose script asks (`browser`), for example `http://app.example.com`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
}
