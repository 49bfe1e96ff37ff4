//! `s3`: one operation of S3.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::keyed::{Key, Keyed};
use super::{Implied, Kinded, Nature, OneOf, Rules, no_operation, two_operations, written_as};
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::meaning::Judge;
use crate::scenario::model::{CredentialsOf, Source};
use crate::scenario::parts::{no_parts, parts};
use crate::scenario::template::Template;

/// One S3 operation: exactly one of the operations. Objects are written `bucket/key`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "S3Step")]
struct S3File {
    /// Id of the store's fixture; where the scenario has one store only, it is that one.
    #[serde(default)]
    store: Option<String>,
    /// Put an object: `bucket/key`.
    #[serde(default)]
    put: Option<Template>,
    /// Get an object: `bucket/key`.
    #[serde(default)]
    get: Option<Template>,
    /// Head an object: `bucket/key`.
    #[serde(default)]
    head: Option<Template>,
    /// Delete an object: `bucket/key`.
    #[serde(default)]
    delete: Option<Template>,
    /// List `bucket` or `bucket/prefix`.
    #[serde(default)]
    list: Option<Template>,
    /// Create a bucket.
    #[serde(default)]
    create_bucket: Option<Template>,
    /// Begin a multipart upload of an object: `bucket/key`. Its id is `/reply/s3/upload_id`.
    #[serde(default)]
    create_upload: Option<Template>,
    /// Complete a multipart upload of an object: `bucket/key`, with `upload` and `parts`.
    #[serde(default)]
    complete_upload: Option<Template>,
    /// The id of the upload to complete.
    #[serde(default)]
    upload: Option<Template>,
    /// The `ETag` of each part of the upload, the first part first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    parts: Vec<Template>,
    /// Content to put.
    #[serde(default)]
    body: Option<Template>,
    /// Ask with the credentials that this earlier `sts` step gained, instead of the store's own.
    #[serde(default, rename = "as")]
    as_step: Option<CredentialsOf>,
    /// What becomes of the session token of `as`.
    #[serde(default)]
    session_token: Option<SessionToken>,
    /// Further headers, signed.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    headers: IndexMap<String, Template>,
    /// Sign with this secret key instead of the store's: a client whose Secret is out of date.
    #[serde(default)]
    secret_key: Option<Template>,
}

/// One S3 operation.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "S3File")]
pub struct S3Step {
    /// Id of the store's fixture, where the scenario has several.
    pub store: Option<String>,
    /// The operation, with the bucket or object that it works on.
    pub operation: Keyed<Operation>,
    /// The id of the upload to complete.
    pub upload: Option<Template>,
    /// The `ETag` of each part of the upload.
    pub parts: Vec<Template>,
    /// Content to put.
    pub body: Option<Template>,
    /// Whose credentials it asks with.
    pub as_step: Option<CredentialsOf>,
    /// What becomes of their session token.
    pub session_token: Option<SessionToken>,
    /// Further headers, signed.
    pub headers: IndexMap<String, Template>,
    /// The secret key to sign with instead of the store's.
    pub secret_key: Option<Template>,
}

/// An operation of S3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// `PutObject`
    Put,
    /// `GetObject`
    Get,
    /// `HeadObject`
    Head,
    /// `DeleteObject`
    Delete,
    /// `ListObjectsV2`
    List,
    /// `CreateBucket`
    CreateBucket,
    /// `CreateMultipartUpload`
    CreateUpload,
    /// `CompleteMultipartUpload`
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

/// What becomes of the session token of gained credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SessionToken {
    /// It is left out of the request, as by a client that knows only two keys.
    Dropped,
}

no_parts!(SessionToken);
written_as!(S3Step, S3File);
parts!(S3Step { store, operation as "", upload, parts, body, as_step as "as", session_token, headers, secret_key });

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
        let S3File { upload, parts, body, as_step, session_token, headers, secret_key, .. } = file;
        Ok(Self { store, operation, upload, parts, body, as_step, session_token, headers, secret_key })
    }
}

impl Kinded for S3Step {
    const NATURE: Nature =
        Nature { asserts: true, ..Nature::probe(&["dns", "connect", "tls", "status", "s3", "mismatch", "client"]) };
    const ONE_OF: Option<OneOf> = Some(OneOf {
        of: "S3Step",
        what: "operation",
        keys: &["put", "get", "head", "delete", "list", "create-bucket", "create-upload", "complete-upload"],
        none: |it, all| no_operation(it, "operation", all),
        two: |it, first, second| two_operations(it, "operation", first, second),
    });
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

    /// Success is what a write is expected to have; what a look is expected to see must be said.
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
    /// What is wrong with an operation, whoever does it. `at` is where it is written below the step.
    pub(super) fn check_at(&self, at: &str, judge: &Judge<'_>, errors: &mut Vec<Diagnostic>) {
        self.target(at, judge, errors);
        self.check_upload(at, judge, errors);
        let operation = self.operation.key.key();
        match (self.operation.key, &self.body) {
            (Operation::Put, None) => {
                let error = judge.key_error(&format!("/{at}/put"), "`put` has no `body`".to_owned());
                errors.push(error.fix("add `body:` (content to put)"));
            }
            (Operation::Put, _) | (_, None) => {}
            (_, Some(_)) => {
                let error = judge.key_error(&format!("/{at}/body"), format!("`{operation}` sends no body"));
                errors.push(error.fix("what must come back goes into `expect: { body: … }`"));
            }
        }
        judge.store(at, self.store.as_deref(), errors);
    }

    /// `bucket/key`, `bucket[/prefix]` or `bucket`, as far as it can be judged before references are filled in.
    fn target(&self, at: &str, judge: &Judge<'_>, errors: &mut Vec<Diagnostic>) {
        let target = self.operation.text.as_str();
        let fix = match self.operation.key {
            Operation::List | Operation::CreateBucket if self.operation.text.is_open() => return,
            Operation::List | Operation::CreateBucket if target.contains("://") => "leave the scheme out: `bucket/key`",
            Operation::List => match target.split_once('/') {
                Some((bucket, _)) if !bucket.is_empty() => return,
                None if !target.is_empty() => return,
                _ => "write `bucket` or `bucket/prefix`",
            },
            Operation::CreateBucket if !target.is_empty() && !target.contains('/') => return,
            Operation::CreateBucket => "write the name of a bucket alone",
            _ => return self.operation.check_object(at, judge, errors),
        };
        let key = self.operation.key.key();
        let error = judge.error(&format!("/{at}/{key}"), format!("`{target}` is not what `{key}` works on"));
        errors.push(error.fix(fix));
    }

    /// `upload` and `parts` belong to the one operation that completes an upload.
    fn check_upload(&self, at: &str, judge: &Judge<'_>, errors: &mut Vec<Diagnostic>) {
        let operation = self.operation.key.key();
        let mut wrong = |key: &str, message: String, fix: &str| {
            errors.push(judge.key_error(&format!("/{at}/{key}"), message).fix(fix));
        };
        if at != "s3" && matches!(self.operation.key, Operation::CreateUpload | Operation::CompleteUpload) {
            wrong(operation, format!("clients are not asked to `{operation}`"), "ask with an `s3` step");
        }
        if self.operation.key == Operation::CompleteUpload {
            if self.upload.is_none() {
                let fix = "add `upload:`, captured where it was created: `capture: { upload: /reply/s3/upload_id }`";
                wrong(operation, "it does not say which upload".to_owned(), fix);
            }
            if self.parts.is_empty() {
                let fix = "add `parts:`, captured where they were sent: `capture: { etag: /reply/http/headers/etag }`";
                wrong(operation, "an upload without parts cannot be completed".to_owned(), fix);
            }
            return;
        }
        for (key, given) in [("upload", self.upload.is_some()), ("parts", !self.parts.is_empty())] {
            if given {
                wrong(key, format!("`{operation}` takes no `{key}`"), "it belongs to `complete-upload`");
            }
        }
    }
}
