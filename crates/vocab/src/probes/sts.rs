//! `sts`: exchanges a token for credentials.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Addressed, Asked, Names, Outputs, QuestionFacts, Replied, Reply, ReplyFacts, refusal};
use crate::prober::ProberQuestion;
use crate::secret::Secret;

/// Where a web identity token comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TokenSource {
    /// A file at the vantage. It is read again for each question, because the kubelet replaces it.
    File(String),
    /// The token is given as a value.
    Value(Secret),
}

/// One `AssumeRoleWithWebIdentity` call: an unsigned form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StsQuestion {
    /// The URL of the endpoint: `https://host[:port]`.
    pub endpoint: String,
    /// The ARN of the role to assume.
    pub role_arn: String,
    /// The source of the token.
    pub token: TokenSource,
    /// The requested lifetime of the credentials. If it is absent, they are valid as long as the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_s: Option<i64>,
    /// A session policy (JSON) that restricts what the role allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
}

impl Asked for StsQuestion {
    fn in_words(&self) -> String {
        format!("credentials of {} at {}", self.role_arn, self.endpoint)
    }

    fn facts(&self) -> QuestionFacts<'_> {
        QuestionFacts {
            address: Addressed::Url(&self.endpoint),
            names: Names::Question,
            http: None,
            signed: None,
            token: Some(&self.token),
            signs: None,
            exchange: Some(self),
            is_program: false,
            may_write: false,
        }
    }
}

/// An answer of the security token service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StsReply {
    /// The HTTP status code of the response.
    pub status: u16,
    /// The server's error, if it refused the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<StsError>,
    /// The credentials for which the token was exchanged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<TemporaryCredentials>,
    /// The token's subject, as the server read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The `x-amz-request-id`. It identifies the request in the store's trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// The error of a security token service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StsError {
    /// The error code, for example `InvalidParameterValue`.
    pub code: String,
    /// The message of the server.
    pub message: String,
}

/// Temporary credentials.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TemporaryCredentials {
    /// The id of the access key.
    pub access_key: String,
    /// The secret access key.
    pub secret_key: Secret,
    /// The session token of the credentials.
    pub session_token: Secret,
    /// The time at which the credentials expire, RFC 3339.
    pub expires: String,
}

impl Replied for StsReply {
    fn facts(&self) -> ReplyFacts<'_> {
        // The query of a refused request may contain a token, so the query is not shown.
        ReplyFacts {
            status: Some(self.status),
            s3_error: None,
            sts: Some(self),
            addresses: None,
            headers: None,
            body: None,
            body_cut_from: None,
            keys: None,
            survey: None,
            jwt: None,
            run: None,
            request_id: self.request_id.as_deref(),
            is_refusal_to_show: false,
            is_of_a_store: true,
        }
    }

    fn outputs(&self) -> Outputs<'_> {
        Outputs { signed: None, credentials: self.credentials.as_ref(), json: None }
    }

    fn with_entry(&self, _: &str) -> Option<Reply> {
        None
    }

    fn secrets(&self) -> Vec<Secret> {
        let Some(it) = &self.credentials else { return Vec::new() };
        // The access key is registered too, in the same way as the access keys that the harness creates.
        vec![Secret::new(it.access_key.clone()), it.secret_key.clone(), it.session_token.clone()]
    }

    fn rows(&self) -> Vec<(&'static str, String)> {
        let error = self.error.as_ref().map(|it| (it.code.as_str(), it.message.as_str()));
        vec![("server", refusal(self.status, error))]
    }

    fn shorten(&mut self, _: &ProberQuestion) {}
}
