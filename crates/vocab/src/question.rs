//! What a vantage is asked. A question is complete: nothing is taken from the environment of the process that asks it.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::program::{ClientQuestion, ClientTask, RunQuestion};
use crate::secret::Secret;

/// One question to one vantage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// How this vantage sees the network.
    pub view: View,
    /// The whole question must be answered within this time, in milliseconds.
    pub deadline_ms: u64,
    /// What to do.
    pub probe: Probe,
}

/// How a vantage sees the network: its trust, its name servers, and where its packets really go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct View {
    /// Trusted certificates, PEM. Nothing else is trusted; empty means that no server is.
    #[serde(default)]
    pub trust: Vec<String>,
    /// Accept exactly this leaf certificate (DER) and check nothing else: the harness's own set-up traffic, which a
    /// break of the certificate must not disturb. Never set by a scenario's steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<Vec<u8>>,
    /// Name servers to ask; empty means those of `/etc/resolv.conf` at the place, with its search path and `ndots`.
    #[serde(default)]
    pub name_servers: Vec<SocketAddr>,
    /// Connections to `from` are made to `to` instead. URL, Host and SNI stay as they are: this is how an outside
    /// vantage reaches a port that the engine published on loopback.
    #[serde(default)]
    pub detours: Vec<Detour>,
}

/// A redirected TCP connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Detour {
    /// The address that the name resolved to.
    pub from: SocketAddr,
    /// The address that is dialled.
    pub to: SocketAddr,
}

/// The kinds of probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Probe {
    /// Resolve a name.
    Dns(DnsQuestion),
    /// Do a TLS handshake and read the chain.
    Tls(TlsQuestion),
    /// Send one HTTP request as it is.
    Http(HttpQuestion),
    /// One S3 operation by the AWS SDK for Rust.
    S3(S3Question),
    /// Make a presigned URL. Offline: the endpoint sets the host, wherever one would connect.
    Presign(PresignQuestion),
    /// Exchange a web identity token for credentials (`AssumeRoleWithWebIdentity`).
    Sts(StsQuestion),
    /// Look at a web identity token, and check its signature against the keys that its issuer publishes.
    Jwt(JwtQuestion),
    /// Run a program.
    Run(RunQuestion),
    /// Let a foreign client do what one of the probes above does.
    Client(ClientQuestion),
}

impl Probe {
    /// The HTTP request that is sent, by whatever client.
    pub fn http(&self) -> Option<&HttpQuestion> {
        match self {
            Self::Http(http) => Some(http),
            Self::Client(client) => match &client.task {
                ClientTask::Http(http) => Some(http),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether a program does it, and tells in its own words why it could not.
    pub fn is_program(&self) -> bool {
        matches!(self, Self::Run(_) | Self::Client(_))
    }
}

/// Resolve `name`, as an absolute name (`ndots` and search path are recorded apart).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DnsQuestion {
    /// The host name, without a trailing dot.
    pub name: String,
}

/// Handshake with `host:port`, verifying against the view's trust.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsQuestion {
    /// Name to resolve and connect to.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Server name to send and verify; `host` where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
}

/// One HTTP/1.1 request: no redirects, no proxy, no retries, no cookies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpQuestion {
    /// `GET`, `HEAD`, `PUT`, `POST`, `DELETE`, `OPTIONS`.
    pub method: String,
    /// Absolute URL, sent without normalisation of its query.
    pub url: String,
    /// Send this as `Host` (`name` or `name:port`) to the place that the URL names: what a proxy on the way does that
    /// rewrites it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Further headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Request body, UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

/// Where the store is and who asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct S3Access {
    /// `https://host[:port]`
    pub endpoint: String,
    /// Region to sign for.
    pub region: String,
    /// Access key id.
    pub access_key: String,
    /// Secret access key.
    pub secret_key: Secret,
    /// Session token of temporary credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_token: Option<Secret>,
}

/// One S3 operation, path style.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct S3Question {
    /// Store and credentials.
    pub access: S3Access,
    /// What to do.
    pub operation: S3Operation,
    /// Further headers, signed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
}

/// S3 operations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum S3Operation {
    /// `CreateBucket`; a bucket that exists already and is ours is success.
    CreateBucket {
        /// Bucket name.
        bucket: String,
    },
    /// `PutBucketPolicy`
    PutBucketPolicy {
        /// Bucket name.
        bucket: String,
        /// The policy, JSON.
        policy: String,
    },
    /// `PutObject`
    Put {
        /// Bucket name.
        bucket: String,
        /// Object key.
        key: String,
        /// UTF-8 content.
        body: String,
    },
    /// `GetObject`
    Get {
        /// Bucket name.
        bucket: String,
        /// Object key.
        key: String,
    },
    /// `HeadObject`
    Head {
        /// Bucket name.
        bucket: String,
        /// Object key.
        key: String,
    },
    /// `DeleteObject`
    Delete {
        /// Bucket name.
        bucket: String,
        /// Object key.
        key: String,
    },
    /// `CreateMultipartUpload`
    CreateUpload {
        /// Bucket name.
        bucket: String,
        /// Object key.
        key: String,
    },
    /// `CompleteMultipartUpload`
    CompleteUpload {
        /// Bucket name.
        bucket: String,
        /// Object key.
        key: String,
        /// The upload's id.
        upload: String,
        /// `ETag` of each part, the first part first.
        parts: Vec<String>,
    },
    /// `ListObjectsV2`, first page.
    List {
        /// Bucket name.
        bucket: String,
        /// Key prefix.
        #[serde(default)]
        prefix: String,
    },
    /// `ListObjectsV2`, all pages, of which only the sum is told.
    Survey {
        /// Bucket name.
        bucket: String,
        /// Key prefix.
        #[serde(default)]
        prefix: String,
    },
}

/// Sign a URL (SigV4 in the query).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PresignQuestion {
    /// Store and credentials.
    pub access: S3Access,
    /// `GET`, `PUT`, `HEAD` or `DELETE`.
    pub method: String,
    /// Bucket name.
    pub bucket: String,
    /// Object key.
    pub key: String,
    /// Validity in seconds. Past seven days the SDK refuses; the probe then signs by `aws-sigv4`, so that the server's
    /// own refusal can be seen.
    pub expires_s: u64,
    /// Shift of the signing instant from now, in seconds; negative is the past.
    #[serde(default)]
    pub signed_at_s: i64,
    /// Further query parameters to sign, for example `response-content-disposition`.
    #[serde(default)]
    pub query: BTreeMap<String, String>,
}

/// Where a web identity token comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TokenSource {
    /// A file at the place, read anew for each question: the kubelet replaces it.
    File(String),
    /// The token itself.
    Value(Secret),
}

/// One `AssumeRoleWithWebIdentity`, unsigned, as a form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StsQuestion {
    /// `https://host[:port]`
    pub endpoint: String,
    /// The role to take on.
    pub role_arn: String,
    /// The token.
    pub token: TokenSource,
    /// How long the credentials are to live; as long as the token where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_s: Option<i64>,
    /// A policy (JSON) that narrows what the role allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
}

/// Look at a token from here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JwtQuestion {
    /// The token.
    pub token: TokenSource,
    /// Where the issuer is reached, `https://host[:port]`; the token's own `iss` where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
}
