//! Questions to a vantage. A question is complete: the process that answers it takes nothing from its own environment.

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

/// How a vantage sees the network: the certificates it trusts, its name servers, and redirected connections.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct View {
    /// Trusted certificates, PEM. Nothing else is trusted. If the list is empty, no server is trusted.
    #[serde(default)]
    pub trust: Vec<String>,
    /// Accept exactly this leaf certificate (DER) and verify nothing else. The harness uses it for its own set-up
    /// traffic, which must work even when a break makes the certificate invalid. A scenario's steps never set it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<Vec<u8>>,
    /// Name servers to ask; if empty, those of `/etc/resolv.conf` at the vantage, with its search path and `ndots`.
    #[serde(default)]
    pub name_servers: Vec<SocketAddr>,
    /// Connections to `from` are made to `to` instead. URL, `Host` and SNI stay unchanged. This is how an outside
    /// vantage reaches a port that the engine published on loopback.
    #[serde(default)]
    pub detours: Vec<Detour>,
    /// What is presented to a server that asks for a client certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
}

/// A client certificate with its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// The certificate and its intermediates, PEM.
    pub chain: String,
    /// The private key, PEM.
    pub key: Secret,
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
    /// Make a presigned URL. This is offline: the endpoint only determines the host in the URL.
    Presign(PresignQuestion),
    /// Exchange a web identity token for credentials (`AssumeRoleWithWebIdentity`).
    Sts(StsQuestion),
    /// Decode a web identity token, and verify its signature with the keys that its issuer publishes.
    Jwt(JwtQuestion),
    /// Run a program.
    Run(RunQuestion),
    /// Let another client (an SDK, curl, a browser) do what one of the probes above does.
    Client(ClientQuestion),
}

impl Probe {
    /// The HTTP request that is sent, either by our own probe or by another client.
    pub fn http(&self) -> Option<&HttpQuestion> {
        match self {
            Self::Http(http) => Some(http),
            Self::Client(client) => match &client.task {
                ClientTask::Http(http) => Some(http),
                ClientTask::S3(_) | ClientTask::Presign(_) => None,
            },
            Self::Dns(_)
            | Self::Tls(_)
            | Self::S3(_)
            | Self::Presign(_)
            | Self::Sts(_)
            | Self::Jwt(_)
            | Self::Run(_) => None,
        }
    }

    /// The token that is exchanged or read.
    pub fn token(&self) -> Option<&TokenSource> {
        match self {
            Self::Sts(StsQuestion { token, .. }) | Self::Jwt(JwtQuestion { token, .. }) => Some(token),
            Self::Dns(_)
            | Self::Tls(_)
            | Self::Http(_)
            | Self::S3(_)
            | Self::Presign(_)
            | Self::Run(_)
            | Self::Client(_) => None,
        }
    }

    /// Whether a program answers the question. It describes failures in its own words.
    pub fn is_program(&self) -> bool {
        match self {
            Self::Run(_) | Self::Client(_) => true,
            Self::Dns(_)
            | Self::Tls(_)
            | Self::Http(_)
            | Self::S3(_)
            | Self::Presign(_)
            | Self::Sts(_)
            | Self::Jwt(_) => false,
        }
    }

    /// Whether it may change the contents of a store. A program is assumed to do so, because its effects are unknown.
    pub fn may_write(&self) -> bool {
        let by_http = |method: &str| !matches!(method, "GET" | "HEAD" | "OPTIONS");
        match self {
            Self::S3(s3) => s3.operation.writes(),
            Self::Http(http) => by_http(&http.method),
            Self::Client(client) => match &client.task {
                ClientTask::Presign(_) => false,
                ClientTask::S3(s3) => s3.operation.writes(),
                ClientTask::Http(http) => by_http(&http.method),
            },
            Self::Run(_) => true,
            Self::Dns(_) | Self::Tls(_) | Self::Presign(_) | Self::Sts(_) | Self::Jwt(_) => false,
        }
    }
}

/// Resolve `name` as an absolute name. The result with `ndots` and the search path is recorded separately.
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
    /// Server name to send and verify; `host` if absent.
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
    /// Send this as `Host` (`name` or `name:port`), but connect to the host of the URL. This imitates a proxy that
    /// rewrites the header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Further headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Request body, UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Send this form instead of a body, as `multipart/form-data`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub form: Option<Form>,
}

/// A form as a browser sends it: the fields first, the file last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Form {
    /// Names and values.
    pub fields: BTreeMap<String, String>,
    /// The file, sent as the field `file`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<FormFile>,
}

/// The file of a form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FormFile {
    /// Its name at the sender's.
    pub name: String,
    /// Its media type.
    pub content_type: String,
    /// UTF-8 content.
    pub body: String,
}

impl HttpQuestion {
    /// A request without host, headers or body. With struct update syntax, code that uses it need not change when
    /// `HttpQuestion` gets a field.
    pub fn new(method: impl Into<String>, url: impl Into<String>) -> Self {
        Self { method: method.into(), url: url.into(), host: None, headers: BTreeMap::new(), body: None, form: None }
    }
}

/// The store's endpoint and the client's credentials.
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
    /// `CreateBucket`; a bucket that exists already and belongs to the caller counts as success.
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
        /// `ETag` of each part, in the order of the parts.
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
    /// `ListObjectsV2`, all pages; the reply has only the totals.
    Survey {
        /// Bucket name.
        bucket: String,
        /// Key prefix.
        #[serde(default)]
        prefix: String,
    },
}

impl S3Operation {
    /// Whether it may change the contents of a store.
    fn writes(&self) -> bool {
        match self {
            Self::Get { .. } | Self::Head { .. } | Self::List { .. } | Self::Survey { .. } => false,
            Self::CreateBucket { .. }
            | Self::PutBucketPolicy { .. }
            | Self::Put { .. }
            | Self::Delete { .. }
            | Self::CreateUpload { .. }
            | Self::CompleteUpload { .. } => true,
        }
    }
}

/// Sign a URL (SigV4 in the query), or a form (SigV4 in its fields).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PresignQuestion {
    /// Store and credentials.
    pub access: S3Access,
    /// `GET`, `PUT`, `HEAD` or `DELETE`; `POST` with a `policy`.
    pub method: String,
    /// Bucket name.
    pub bucket: String,
    /// Object key. With a policy, the prefix of the key if the policy leaves the rest open.
    pub key: String,
    /// Validity in seconds. The SDK refuses more than seven days; the probe then signs with `aws-sigv4`, so that a
    /// scenario can show how the server refuses the URL.
    pub expires_s: u64,
    /// Offset of the signing time from now, in seconds; negative is the past.
    #[serde(default)]
    pub signed_at_s: i64,
    /// Further query parameters to sign, for example `response-content-disposition`.
    #[serde(default)]
    pub query: BTreeMap<String, String>,
    /// Sign the permission to send a form, instead of a URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PostPolicy>,
}

/// What a form may send (S3 POST policy), in addition to the bucket and the time limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PostPolicy {
    /// The least and the greatest length of the file, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_length_range: Option<[u64; 2]>,
    /// Fields that must have exactly this value. The signed form contains them.
    #[serde(default)]
    pub equals: BTreeMap<String, String>,
    /// Fields whose value must begin with this text.
    #[serde(default)]
    pub starts_with: BTreeMap<String, String>,
}

impl PresignQuestion {
    /// A question that signs at the current time, without further query parameters and without a policy.
    pub fn new(
        access: S3Access,
        method: impl Into<String>,
        bucket: impl Into<String>,
        key: impl Into<String>,
        expires_s: u64,
    ) -> Self {
        let (method, bucket, key) = (method.into(), bucket.into(), key.into());
        Self { access, method, bucket, key, expires_s, signed_at_s: 0, query: BTreeMap::new(), policy: None }
    }
}

/// Where a web identity token comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TokenSource {
    /// A file at the vantage. It is read again for each question, because the kubelet replaces it.
    File(String),
    /// The token itself.
    Value(Secret),
}

/// One `AssumeRoleWithWebIdentity` call: an unsigned form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StsQuestion {
    /// `https://host[:port]`
    pub endpoint: String,
    /// The role to assume.
    pub role_arn: String,
    /// The token.
    pub token: TokenSource,
    /// Requested lifetime of the credentials; if absent, they live as long as the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_s: Option<i64>,
    /// A session policy (JSON) that restricts what the role allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
}

/// Decode a token and verify it from the vantage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JwtQuestion {
    /// The token.
    pub token: TokenSource,
    /// The issuer's address, `https://host[:port]`; the token's own `iss` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
}
