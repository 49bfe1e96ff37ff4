//! The probe `sts`: exchanges a token for credentials.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Addressed, Asked, Names, Outputs, QuestionFacts, Replied, Reply, ReplyFacts, refusal};
use crate::prober::ProberQuestion;
use crate::secret::Secret;

/// Where a vantage gets a web identity token from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TokenSource {
    /// The token is in a file at the vantage, with this path. The vantage reads the file again for each question,
    /// because the kubelet replaces the token in the file.
    File(String),
    /// The token itself.
    Value(Secret),
}

/// One call of `AssumeRoleWithWebIdentity`. The call is sent as a form without a signature, because the token itself
/// proves who the caller is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StsQuestion {
    /// The URL of the token service: `https://host[:port]`.
    pub endpoint: String,
    /// The ARN of the role to assume.
    pub role_arn: String,
    /// Where the vantage gets the token from.
    pub token: TokenSource,
    /// The requested lifetime of the credentials, in seconds. If it is `None`, the token service decides: the
    /// credentials of MinIO are then valid as long as the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_s: Option<i64>,
    /// A session policy, as a JSON text. The credentials then allow only what both this policy and the role allow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
}

impl Asked for StsQuestion {
    fn in_words(&self) -> String {
        format!("credentials of {} at {}", self.role_arn, self.endpoint)
    }

    fn facts(&self) -> QuestionFacts<'_> {
        QuestionFacts {
            address: Addressed::Url(self.endpoint.as_str().into()),
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

/// The reply of the security token service: credentials or an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StsReply {
    /// The HTTP status code of the response.
    pub status: u16,
    /// The error that the service reported; `None` if it gave credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<StsError>,
    /// The credentials that the service gave; `None` if it refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<TemporaryCredentials>,
    /// The subject (`sub`) of the token, as the service read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The response header `x-amz-request-id`. The store's trace contains the same id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// The error that a security token service reports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StsError {
    /// The error code, for example `InvalidParameterValue`.
    pub code: String,
    /// The error message of the token service.
    pub message: String,
}

/// Temporary credentials that a token service gave for a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TemporaryCredentials {
    /// The id of the access key.
    pub access_key: String,
    /// The secret access key.
    pub secret_key: Secret,
    /// The session token of the credentials.
    pub session_token: Secret,
    /// The time at which the credentials expire, in the format of RFC 3339.
    pub expires: String,
}

impl Replied for StsReply {
    fn facts(&self) -> ReplyFacts<'_> {
        // The query of a refused exchange may contain the token, so the record must not contain the request.
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
        // The id of the access key is in the list too, because the redactor also gets the id of each access key that
        // the harness itself creates.
        vec![Secret::new(it.access_key.clone()), it.secret_key.clone(), it.session_token.clone()]
    }

    fn rows(&self) -> Vec<(&'static str, String)> {
        let error = self.error.as_ref().map(|it| (it.code.as_str(), it.message.as_str()));
        vec![("server", refusal(self.status, error))]
    }

    fn shorten(&mut self, _: &ProberQuestion) {}
}
