//! `s3`: does one S3 operation.

use indexmap::IndexMap;
use parallax_vocab::question::{Addressing, S3Operation, S3Question};
use parallax_vocab::{Probe, Secret};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::asking::{Asking, access, texts};
use super::keyed::{Key, Keyed};
use super::nature::AT_ONCE_MS;
use super::{Asks, Implied, Kinded, Nature, OneOf, Rules, Special, no_operation, two_operations, written_as};
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::meaning::Judge;
use crate::scenario::model::{CredentialsOf, Source};
use crate::scenario::parts::{Parts as _, no_parts, parts};
use crate::scenario::template::{Template, Words};

/// Do exactly one S3 operation. Write an object as `bucket/key`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "S3Step")]
struct S3File {
    /// The id of the store's fixture. It can be left out if the scenario has only one store.
    #[serde(default)]
    store: Option<String>,
    /// Put the object `bucket/key`. Needs `body`.
    #[serde(default)]
    put: Option<Template>,
    /// Get the object `bucket/key`.
    #[serde(default)]
    get: Option<Template>,
    /// Read the metadata of the object `bucket/key` (HEAD).
    #[serde(default)]
    head: Option<Template>,
    /// Delete the object `bucket/key`.
    #[serde(default)]
    delete: Option<Template>,
    /// List the keys of `bucket`, or the keys that begin with `prefix` in `bucket/prefix`.
    #[serde(default)]
    list: Option<Template>,
    /// Create the bucket of this name.
    #[serde(default)]
    create_bucket: Option<Template>,
    /// Start a multipart upload of the object `bucket/key`. The upload id can be captured from `/reply/s3/upload_id`.
    #[serde(default)]
    create_upload: Option<Template>,
    /// Complete a multipart upload of the object `bucket/key`. Needs `upload` and `parts`.
    #[serde(default)]
    complete_upload: Option<Template>,
    /// The id of the multipart upload to complete.
    #[serde(default)]
    upload: Option<Template>,
    /// The `ETag` of each part of the upload, in the order of the parts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    parts: Vec<Template>,
    /// The content of the object that `put` writes, as text.
    #[serde(default)]
    body: Option<Template>,
    /// Use the credentials that an earlier `sts` step returned, instead of the store's own. Give the id of that step.
    #[serde(default, rename = "as")]
    as_step: Option<CredentialsOf>,
    /// What happens to the session token of the credentials from `as`. The default is to send it. `dropped` leaves it
    /// out.
    #[serde(default)]
    session_token: Option<SessionToken>,
    /// Additional headers of the request, by name. The signature includes them.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    headers: IndexMap<String, Template>,
    /// Sign with this secret key instead of the store's secret key. This imitates a client with an outdated Secret.
    #[serde(default)]
    secret_key: Option<Template>,
    /// Where the URL has the bucket. The default is `path`.
    #[serde(default)]
    addressing: Option<Addressing>,
}

/// Does one S3 operation.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "S3File")]
pub struct S3Step {
    /// The id of the store's fixture. `None` means the only store of the scenario.
    pub store: Option<String>,
    /// The operation, with the bucket or the object to which it is applied.
    pub operation: Keyed<Operation>,
    /// The id of the multipart upload to complete.
    pub upload: Option<Template>,
    /// The `ETag` of each part of the upload, in the order of the parts.
    pub parts: Vec<Template>,
    /// The content of the object that `put` writes.
    pub body: Option<Template>,
    /// The earlier `sts` step whose credentials are used. `None` means the store's own credentials.
    pub as_step: Option<CredentialsOf>,
    /// What happens to the session token of the temporary credentials. `None` means that the request sends it.
    pub session_token: Option<SessionToken>,
    /// Additional headers of the request, by name. The signature includes them.
    pub headers: IndexMap<String, Template>,
    /// The secret key to sign with. `None` means the store's secret key.
    pub secret_key: Option<Template>,
    /// Where the URL has the bucket. `None` means in the path of the URL.
    pub addressing: Option<Addressing>,
}

/// An S3 operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// The operation `PutObject`.
    Put,
    /// The operation `GetObject`.
    Get,
    /// The operation `HeadObject`.
    Head,
    /// The operation `DeleteObject`.
    Delete,
    /// The operation `ListObjectsV2`.
    List,
    /// The operation `CreateBucket`.
    CreateBucket,
    /// The operation `CreateMultipartUpload`.
    CreateUpload,
    /// The operation `CompleteMultipartUpload`.
    CompleteUpload,
}

impl Key for Operation {
    fn key(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::Get => "get",
            Self::Head => "head",
            Self::Delete => "delete",
            Self::List => "list",
            Self::CreateBucket => "create-bucket",
            Self::CreateUpload => "create-upload",
            Self::CompleteUpload => "complete-upload",
        }
    }
}

/// What happens to the session token of temporary credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SessionToken {
    /// The request leaves the session token out. This imitates a client that supports only an access key and a secret
    /// key.
    Dropped,
}

no_parts!(SessionToken);
written_as!(S3Step, S3File);
parts!(S3Step { store, operation as "", upload, parts, body, as_step as "as", session_token, headers, secret_key, addressing });

impl TryFrom<S3File> for S3Step {
    type Error = String;

    fn try_from(file: S3File) -> Result<Self, String> {
        let S3File { store, put, get, head, delete, list, create_bucket, create_upload, complete_upload, .. } = file;
        let operation = Keyed::first([
            (Operation::Put, put),
            (Operation::Get, get),
            (Operation::Head, head),
            (Operation::Delete, delete),
            (Operation::List, list),
            (Operation::CreateBucket, create_bucket),
            (Operation::CreateUpload, create_upload),
            (Operation::CompleteUpload, complete_upload),
        ])?;
        let S3File { upload, parts, body, as_step, session_token, headers, secret_key, addressing, .. } = file;
        Ok(Self { store, operation, upload, parts, body, as_step, session_token, headers, secret_key, addressing })
    }
}

impl Kinded for S3Step {
    const NATURE: Nature =
        Nature { asserts: true, ..Nature::probe(&["dns", "connect", "tls", "status", "s3", "mismatch", "client"]) };
    const TYPICAL_MS: u64 = AT_ONCE_MS;
    const ONE_OF: &'static [OneOf] = &[OneOf {
        of: "S3Step",
        what: "operation",
        keys: &["put", "get", "head", "delete", "list", "create-bucket", "create-upload", "complete-upload"],
        none: |it, all| no_operation(it, "operation", all),
        two: |it, first, second| two_operations(it, "operation", first, second),
    }];
}

impl Asks for S3Step {
    fn question(&self, words: &Words<'_>, asking: &dyn Asking) -> Result<Probe, String> {
        self.request(words, asking).map(Probe::S3)
    }

    fn special(&self) -> Special<'_> {
        Special {
            store: self.store.as_deref(),
            token: None,
            token_of: None,
            presents: None,
            signs: None,
            program: None,
            runs: None,
        }
    }
}

impl S3Step {
    /// Returns the question that makes a vantage do this operation. Every template reference is replaced by its value.
    pub(super) fn request(&self, words: &Words<'_>, asking: &dyn Asking) -> Result<S3Question, String> {
        let filled = self.filled(words)?;
        let target = filled.operation.text.as_str();
        let (bucket, key) = target.split_once('/').unwrap_or((target, ""));
        let (bucket, key) = (bucket.to_owned(), key.to_owned());
        let text = |it: &Option<Template>| it.as_deref().unwrap_or_default().to_owned();
        let operation = match filled.operation.key {
            Operation::Put => S3Operation::Put { bucket, key, body: text(&filled.body) },
            Operation::Get => S3Operation::Get { bucket, key },
            Operation::Head => S3Operation::Head { bucket, key },
            Operation::Delete => S3Operation::Delete { bucket, key },
            Operation::CreateUpload => S3Operation::CreateUpload { bucket, key },
            Operation::CompleteUpload => {
                let parts = filled.parts.iter().map(ToString::to_string).collect();
                S3Operation::CompleteUpload { bucket, key, upload: text(&filled.upload), parts }
            }
            Operation::List => S3Operation::List { bucket, prefix: key },
            Operation::CreateBucket => S3Operation::CreateBucket { bucket: target.to_owned() },
        };
        let dropped = filled.session_token == Some(SessionToken::Dropped);
        let mut access = access(asking, filled.store.as_deref(), filled.as_step.as_ref(), dropped)?;
        if let Some(secret) = &filled.secret_key {
            access.secret_key = Secret::new(secret.as_str());
        }
        access.addressing = filled.addressing.unwrap_or_default();
        Ok(S3Question { access, operation, headers: texts(&filled.headers) })
    }
}

impl Rules for S3Step {
    fn brings(&self) -> Vec<Source> {
        let more = match self.operation.key {
            Operation::Get => Some(Source::Body),
            Operation::List => Some(Source::Listing),
            _ => None,
        };
        [Source::Store].into_iter().chain(more).collect()
    }

    /// A step that writes needs no `expect`, because success is expected. A step that reads must say what it expects to
    /// read.
    fn needs_expect(&self) -> bool {
        matches!(self.operation.key, Operation::Get | Operation::Head | Operation::List)
    }

    fn implied(&self) -> Implied {
        Implied::Success
    }

    fn operation(&self) -> Option<&'static str> {
        Some(self.operation.key.key())
    }

    fn check(&self, judge: &Judge<'_>, errors: &mut Vec<Diagnostic>) {
        self.check_at("s3", judge, errors);
    }
}

impl S3Step {
    /// Checks an operation of an `s3` step or of a client's task. `at` says where the operation is within the step:
    /// `s3` or `client/s3`.
    pub(super) fn check_at(&self, at: &str, judge: &Judge<'_>, errors: &mut Vec<Diagnostic>) {
        self.target(at, judge, errors);
        self.check_upload(at, judge, errors);
        let operation = self.operation.key.key();
        match (self.operation.key, &self.body) {
            (Operation::Put, None) => {
                let error = judge.key_error(&format!("/{at}/put"), "`put` has no `body`".to_owned());
                errors.push(error.fix("add `body:` with the content to put"));
            }
            (Operation::Put, _) | (_, None) => {}
            (_, Some(_)) => {
                let error = judge.key_error(&format!("/{at}/body"), format!("`{operation}` sends no body"));
                errors.push(error.fix("what must come back goes into `expect: { body: … }`"));
            }
        }
        judge.store(at, self.store.as_deref(), errors);
    }

    /// Checks that the target has the form that its operation needs: `bucket/key`, `bucket[/prefix]` or `bucket`. A
    /// target with template references is not checked, because the values of the references are not known yet.
    fn target(&self, at: &str, judge: &Judge<'_>, errors: &mut Vec<Diagnostic>) {
        let target = self.operation.text.as_str();
        let fix = match self.operation.key {
            Operation::List | Operation::CreateBucket if self.operation.text.is_open() => return,
            Operation::List | Operation::CreateBucket if target.contains("://") => {
                "write it without a scheme, for example `bucket`"
            }
            Operation::List => match target.split_once('/') {
                Some((bucket, _)) if !bucket.is_empty() => return,
                None if !target.is_empty() => return,
                _ => "write `bucket` or `bucket/prefix`",
            },
            Operation::CreateBucket if !target.is_empty() && !target.contains('/') => return,
            Operation::CreateBucket => "write only the name of a bucket",
            _ => return self.operation.check_object(at, judge, errors),
        };
        let key = self.operation.key.key();
        let error = judge.error(&format!("/{at}/{key}"), format!("`{target}` is not a valid target for `{key}`"));
        errors.push(error.fix(fix));
    }

    /// Reports `upload` and `parts` if the operation is not `complete-upload`, the only operation that uses them.
    fn check_upload(&self, at: &str, judge: &Judge<'_>, errors: &mut Vec<Diagnostic>) {
        let operation = self.operation.key.key();
        let mut wrong = |key: &str, message: String, fix: &str| {
            errors.push(judge.key_error(&format!("/{at}/{key}"), message).fix(fix));
        };
        if at != "s3" && matches!(self.operation.key, Operation::CreateUpload | Operation::CompleteUpload) {
            wrong(operation, format!("a client cannot do `{operation}`"), "use an `s3` step");
        }
        if self.operation.key == Operation::CompleteUpload {
            if self.upload.is_none() {
                let fix = "add `upload:` with the captured upload id: `capture: { upload: /reply/s3/upload_id }`";
                wrong(operation, "`complete-upload` has no `upload`".to_owned(), fix);
            }
            if self.parts.is_empty() {
                let fix =
                    "add `parts:` with the captured ETag of each part: `capture: { etag: /reply/http/headers/etag }`";
                wrong(operation, "an upload without parts cannot be completed".to_owned(), fix);
            }
            return;
        }
        for (key, given) in [("upload", self.upload.is_some()), ("parts", !self.parts.is_empty())] {
            if given {
                wrong(key, format!("`{operation}` takes no `{key}`"), "only `complete-upload` takes it; remove it");
            }
        }
    }
}
