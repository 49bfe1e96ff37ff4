//! The probe `http`: sends one HTTP request.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::s3::S3Error;
use super::{Addressed, Asked, Names, Outputs, QuestionFacts, Replied, Reply, ReplyFacts, Signed, refusal};
use crate::prober::{self, ProberQuestion};
use crate::secret::Secret;

/// One HTTP/1.1 request. The probe sends the request exactly once. It uses no proxy and no cookies, and follows no
/// redirects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpQuestion {
    /// The method: `GET`, `HEAD`, `PUT`, `POST`, `DELETE` or `OPTIONS`.
    pub method: String,
    /// The absolute URL. Its query is sent exactly as given.
    pub url: String,
    /// The `Host` header of the request (`name` or `name:port`), if it differs from the host of the URL. The connection
    /// still goes to the host of the URL. For the server, the request looks as if a proxy had rewritten this header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Additional headers of the request.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The body of the request, as UTF-8 text; `None` for no body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// The length, in bytes, of a body that the vantage generates and sends instead of `body`. The question contains
    /// only this length. So it fits into a frame (one message to the agent) even if the body is large.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filler_bytes: Option<u64>,
    /// A form that is sent as `multipart/form-data`, in place of a body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub form: Option<Form>,
}

/// A form, sent as a browser sends it: the fields first, the file last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Form {
    /// The names and values of the form's fields.
    pub fields: BTreeMap<String, String>,
    /// The file of the form, sent as the field `file`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<FormFile>,
}

/// The file in a form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FormFile {
    /// The file name that the form sends (`filename`).
    pub name: String,
    /// The media type of the file.
    pub content_type: String,
    /// The content of the file, as UTF-8 text.
    pub body: String,
}

impl HttpQuestion {
    /// Makes a request with only a method and a URL: without a different `Host`, further headers, a body or a form.
    /// Callers set other fields afterwards. So if `HttpQuestion` gets a new field, the callers need no change.
    pub fn new(method: impl Into<String>, url: impl Into<String>) -> Self {
        let (method, url) = (method.into(), url.into());
        Self { method, url, host: None, headers: BTreeMap::new(), body: None, filler_bytes: None, form: None }
    }
}

impl Asked for HttpQuestion {
    fn in_words(&self) -> String {
        let Self { method, url, host, form, headers: _, body: _, filler_bytes: _ } = self;
        let host = host.as_ref().map(|it| format!(" with Host {it}")).unwrap_or_default();
        let form = form.as_ref().map(Form::in_words).unwrap_or_default();
        format!("{method} {url}{host}{form}")
    }

    fn facts(&self) -> QuestionFacts<'_> {
        QuestionFacts {
            address: self.host.as_deref().map_or(Addressed::Url(self.url.as_str().into()), Addressed::Host),
            names: Names::Question,
            http: Some(self),
            signed: Some(Signed::Http(self)),
            token: None,
            signs: None,
            exchange: None,
            is_program: false,
            may_write: self.may_write(),
        }
    }
}

impl HttpQuestion {
    /// Whether the request may change the contents of a store.
    pub(crate) fn may_write(&self) -> bool {
        !matches!(self.method.as_str(), "GET" | "HEAD" | "OPTIONS")
    }
}

impl Form {
    /// Describes the form for reports by the names of its fields. The values of the fields are left out, because one of
    /// them is a signature.
    fn in_words(&self) -> String {
        let Self { fields, file } = self;
        let names: Vec<&str> = fields.keys().map(String::as_str).chain(file.as_ref().map(|_| "file")).collect();
        format!(" with the form fields {}", names.join(", "))
    }
}

/// The reply to an HTTP request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpReply {
    /// The status code of the response.
    pub status: u16,
    /// The headers, with lower-case names. If a header occurs several times, its values are joined with `, `.
    pub headers: BTreeMap<String, String>,
    /// The body, as UTF-8 text. It is cut after [`BODY_LIMIT_BYTES`], and bytes that are not UTF-8 are replaced.
    pub body: String,
    /// The length of the full body in bytes.
    pub body_bytes: u64,
    /// The SHA-256 of the full body, in lower-case hexadecimal.
    pub body_sha256: String,
    /// The S3 error in the body of the reply. If the body contains none, the S3 error in the headers. `None` if the
    /// reply is no S3 error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3_error: Option<S3Error>,
}

/// The largest part of a body that a reply contains, in bytes.
pub const BODY_LIMIT_BYTES: usize = 64 * 1024;

impl Replied for HttpReply {
    fn facts(&self) -> ReplyFacts<'_> {
        ReplyFacts {
            status: Some(self.status),
            s3_error: self.s3_error.as_ref(),
            sts: None,
            addresses: None,
            headers: Some(&self.headers),
            body: Some(&self.body),
            body_cut_from: Some(self.body_bytes).filter(|it| *it > BODY_LIMIT_BYTES as u64),
            keys: None,
            survey: None,
            jwt: None,
            run: None,
            request_id: self.headers.get("x-amz-request-id").map(String::as_str),
            is_refusal_to_show: self.status >= 400,
            is_of_a_store: false,
        }
    }

    fn outputs(&self) -> Outputs<'_> {
        Outputs { signed: None, credentials: None, json: Some(&self.body) }
    }

    fn with_entry(&self, _: &str) -> Option<Reply> {
        None
    }

    fn secrets(&self) -> Vec<Secret> {
        Vec::new()
    }

    fn rows(&self) -> Vec<(&'static str, String)> {
        let said = match &self.s3_error {
            Some(error) => refusal(self.status, Some((&error.code, &error.message))),
            None if self.body.trim().is_empty() => format!("{}, no body", self.status),
            None => format!("{}: {}", self.status, self.body.trim()),
        };
        vec![("server", said)]
    }

    fn shorten(&mut self, question: &ProberQuestion) {
        self.headers.retain(|name, _| question.headers.contains(name));
        if question.body {
            self.body.truncate(self.body.floor_char_boundary(prober::BODY_LIMIT_BYTES));
        } else {
            self.body.clear();
            self.body_sha256.clear();
            self.body_bytes = 0;
        }
    }
}
