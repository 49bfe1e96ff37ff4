//! `presign`: signs a URL or a form.

use indexmap::IndexMap;
use parallax_vocab::question::{Addressing, PostPolicy, PresignQuestion};
use parallax_vocab::{Probe, Secret};
use schemars::JsonSchema;
use serde::Deserialize;

use super::asking::{Asking, access, texts};
use super::http::Method;
use super::keyed::{Key, Keyed};
use super::nature::AT_ONCE_MS;
use super::{Asks, Kinded, Nature, OneOf, Rules, Special, Wrong, no_operation, two_operations, written_as};
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::document::join;
use crate::scenario::duration::Span;
use crate::scenario::meaning::Judge;
use crate::scenario::model::CredentialsOf;
use crate::scenario::parts::{Leaves, Parts, See, below, no_parts, parts};
use crate::scenario::template::{Template, Words};

/// Sign a URL or a form. For a URL, give exactly one of `get`, `put`, `head` and `delete`, with `bucket/key`. For a
/// form, give `post`, with the rules for the form's fields.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "PresignStep")]
struct PresignFile {
    /// The id of the store's fixture. It can be left out if the scenario has only one store.
    #[serde(default)]
    store: Option<String>,
    /// Sign a URL with which a client can GET the object `bucket/key`.
    #[serde(default)]
    get: Option<Template>,
    /// Sign a URL with which a client can PUT the object `bucket/key`.
    #[serde(default)]
    put: Option<Template>,
    /// Sign a URL with which a client can HEAD the object `bucket/key`.
    #[serde(default)]
    head: Option<Template>,
    /// Sign a URL with which a client can DELETE the object `bucket/key`.
    #[serde(default)]
    delete: Option<Template>,
    /// A form that sends a file to a bucket (S3 POST policy). The step's value is the URL to which the form is sent. An
    /// `http` step sends the signed fields of the form if its `fields-of` refers to this step.
    #[serde(default)]
    post: Option<PostForm>,
    /// How long the URL or the form is valid, for example `5m`.
    expires: Span,
    /// The time of signing, relative to now: `-1h` is an hour ago. The default is now.
    #[serde(default)]
    signed: Option<Span>,
    /// Sign for this `https://host[:port]` instead of the store's endpoint.
    #[serde(default)]
    endpoint: Option<Template>,
    /// Sign for this region instead of the store's region.
    #[serde(default)]
    region: Option<Template>,
    /// Sign with this secret key instead of the store's secret key. This imitates a signer whose Secret is out of date.
    #[serde(default)]
    secret_key: Option<Template>,
    /// Additional query parameters to sign, by name.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    query: IndexMap<String, Template>,
    /// Sign with the credentials that an earlier `sts` step received, instead of the store's own. Give the id of that
    /// step.
    #[serde(default, rename = "as")]
    as_step: Option<CredentialsOf>,
    /// Where the URL has the bucket. The default is `path`.
    #[serde(default)]
    addressing: Option<Addressing>,
}

/// The rules for a signed form. S3 refuses every field that these rules do not mention, except the file and the fields
/// of the signature.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "PostForm")]
struct PostFormFile {
    /// The bucket to which the form is sent.
    bucket: Template,
    /// The object's key. The signed form contains the key as a field, so the sender of the form cannot choose another
    /// key.
    #[serde(default)]
    key: Option<Template>,
    /// The prefix of the object's key. The sender of the form chooses the rest, in the field `key`.
    #[serde(default)]
    key_prefix: Option<Template>,
    /// The permitted size of the uploaded file, in bytes.
    #[serde(default)]
    content_length_range: Option<LengthRange>,
    /// Additional form fields and their values, for example `success_action_status: "201"`. The signed form contains
    /// these fields.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    equals: IndexMap<String, Template>,
    /// Additional form fields and the prefixes of their values, for example `Content-Type: image/`. The sender of the
    /// form adds these fields, with values that begin with the prefixes.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    starts_with: IndexMap<String, Template>,
}

/// The rules for the fields of a signed form.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "PostFormFile")]
pub struct PostForm {
    /// The bucket to which the form is sent.
    pub bucket: Template,
    /// The object's key, or the prefix of the object's key.
    pub key: Keyed<KeyRule>,
    /// The permitted size of the uploaded file, in bytes. `None` permits every size.
    pub content_length_range: Option<LengthRange>,
    /// Form fields with fixed values, by the name of the field.
    pub equals: IndexMap<String, Template>,
    /// Form fields whose values must begin with a prefix. An entry maps the name of a field to the prefix.
    pub starts_with: IndexMap<String, Template>,
}

/// How the policy of a form restricts the object's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyRule {
    /// The uploaded object must have exactly this key.
    Key,
    /// The key of the uploaded object must begin with this prefix. The sender of the form chooses the rest of the key.
    Prefix,
}

impl Key for KeyRule {
    fn key(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Prefix => "key-prefix",
        }
    }
}

/// The permitted size of a file that a form uploads, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LengthRange {
    /// The smallest permitted size of the uploaded file, in bytes.
    #[serde(default)]
    pub least: u64,
    /// The largest permitted size of the uploaded file, in bytes.
    pub most: u64,
}

written_as!(PostForm, PostFormFile);
parts!(PostForm { bucket, key as "", content_length_range, equals, starts_with });
no_parts!(LengthRange);

impl TryFrom<PostFormFile> for PostForm {
    type Error = String;

    fn try_from(file: PostFormFile) -> Result<Self, String> {
        let PostFormFile { bucket, key, key_prefix, content_length_range, equals, starts_with } = file;
        let key = Keyed::first([(KeyRule::Key, key), (KeyRule::Prefix, key_prefix)])?;
        Ok(Self { bucket, key, content_length_range, equals, starts_with })
    }
}

/// What a `presign` step signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signs {
    /// The step signs a URL: an HTTP method, with `bucket/key`.
    Url(Keyed<Method>),
    /// The step signs a form: a bucket, and the rules for the fields of the form.
    Form(Box<PostForm>),
}

impl Parts for Signs {
    fn see<'p>(&'p self, at: &mut String, to: &mut See<'_, 'p>) {
        match self {
            Self::Url(it) => it.see(at, to),
            Self::Form(it) => below(at, "post", |at| it.see(at, to)),
        }
    }

    fn filled(&self, words: &Words<'_>) -> Result<Self, String> {
        Ok(match self {
            Self::Url(it) => Self::Url(it.filled(words)?),
            Self::Form(it) => Self::Form(it.filled(words)?),
        })
    }
}

/// Signs a URL, or a form.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "PresignFile")]
pub struct PresignStep {
    /// The id of the store's fixture. `None` means the only store of the scenario.
    pub store: Option<String>,
    /// The URL or the form to sign.
    pub signs: Signs,
    /// How long the URL or the form is valid.
    pub expires: Span,
    /// The moment of signing, relative to now. `None` means now.
    pub signed: Option<Span>,
    /// The endpoint to sign for. `None` means the store's endpoint.
    pub endpoint: Option<Template>,
    /// The region to sign for. The default is the store's region.
    pub region: Option<Template>,
    /// The secret key to sign with. `None` means the store's secret key.
    pub secret_key: Option<Template>,
    /// Additional query parameters to sign, by name.
    pub query: IndexMap<String, Template>,
    /// The earlier `sts` step whose credentials sign the request. `None` means the store's own credentials.
    pub as_step: Option<CredentialsOf>,
    /// Where the URL has the bucket. `None` means in the path of the URL.
    pub addressing: Option<Addressing>,
}

written_as!(PresignStep, PresignFile);
parts!(PresignStep {
    store, signs as "", expires, signed, endpoint, region, secret_key, query, as_step as "as", addressing,
});

impl TryFrom<PresignFile> for PresignStep {
    type Error = String;

    fn try_from(file: PresignFile) -> Result<Self, String> {
        let PresignFile { store, get, put, head, delete, post, expires, signed, .. } = file;
        let methods = [(Method::Get, get), (Method::Put, put), (Method::Head, head), (Method::Delete, delete)];
        let signs = match post {
            Some(form) => Signs::Form(Box::new(form)),
            None => Signs::Url(Keyed::first(methods)?),
        };
        let PresignFile { endpoint, region, secret_key, query, as_step, addressing, .. } = file;
        Ok(Self { store, signs, expires, signed, endpoint, region, secret_key, query, as_step, addressing })
    }
}

impl Kinded for PresignStep {
    const NATURE: Nature = Nature::probe(&["client"]);
    const TYPICAL_MS: u64 = AT_ONCE_MS;
    const ONE_OF: &'static [OneOf] = &[
        OneOf {
            of: "PresignStep",
            what: "method",
            keys: &["get", "put", "head", "delete", "post"],
            none: |it, all| no_operation(it, "method", all),
            two: |it, first, second| two_operations(it, "method", first, second),
        },
        OneOf {
            of: "PostForm",
            what: "key",
            keys: &["key", "key-prefix"],
            none: |it, all| no_operation(it, "key", all),
            two: |it, first, second| {
                let message = format!("`{}` has two keys: `{first}` and `{second}`", it.key);
                Wrong::key(&format!("/{second}"), message, "leave one of them out")
            },
        },
    ];
}

impl Asks for PresignStep {
    fn question(&self, words: &Words<'_>, asking: &dyn Asking) -> Result<Probe, String> {
        self.request(words, asking).map(Probe::Presign)
    }

    fn special(&self) -> Special<'_> {
        Special {
            store: self.store.as_deref(),
            token: None,
            token_of: None,
            presents: None,
            signs: Some(("presign", self)),
            program: None,
            runs: None,
        }
    }
}

impl PresignStep {
    /// Returns the question that makes a vantage sign this URL or form. Every template reference is replaced by its
    /// value.
    pub(super) fn request(&self, words: &Words<'_>, asking: &dyn Asking) -> Result<PresignQuestion, String> {
        // The patterns below list all fields of the step and of the question, so the compiler reports a new field that
        // is not used here.
        let filled = self.filled(words)?;
        let Self { store, signs, expires, signed, endpoint, region, secret_key, query, as_step, addressing } = &filled;
        let (bucket, key, policy) = match signs {
            Signs::Url(Keyed { text, .. }) => {
                let (bucket, key) = text.split_once('/').ok_or_else(|| format!("`{text}` is not bucket/key"))?;
                (bucket, key, None)
            }
            Signs::Form(form) => (form.bucket.as_str(), form.key.text.as_str(), Some(form.policy())),
        };
        let mut access = access(asking, store.as_deref(), as_step.as_ref(), false)?;
        if let Some(endpoint) = endpoint {
            access.endpoint = endpoint.to_string();
        }
        if let Some(region) = region {
            access.region = region.to_string();
        }
        if let Some(secret) = secret_key {
            access.secret_key = Secret::new(secret.as_str());
        }
        access.addressing = addressing.unwrap_or_default();
        Ok(PresignQuestion {
            access,
            method: filled.method().name(),
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            expires_s: u64::try_from(expires.as_seconds()).map_err(|_| "`expires` is negative".to_owned())?,
            signed_at_s: signed.map_or(0, Span::as_seconds),
            query: texts(query),
            policy,
        })
    }
}

impl PostForm {
    /// Returns the policy of the form: the fields that a sender of the form may send.
    fn policy(&self) -> PostPolicy {
        let Self { bucket: _, key, content_length_range, equals, starts_with } = self;
        let mut policy = PostPolicy {
            content_length_range: content_length_range.map(|it| [it.least, it.most]),
            equals: texts(equals),
            starts_with: texts(starts_with),
        };
        let of_key = match key.key {
            KeyRule::Key => &mut policy.equals,
            KeyRule::Prefix => &mut policy.starts_with,
        };
        of_key.insert("key".to_owned(), key.text.to_string());
        policy
    }
}

impl Rules for PresignStep {
    fn needs_expect(&self) -> bool {
        false
    }

    fn yields(&self) -> bool {
        true
    }

    fn leaves(&self) -> &'static [Leaves] {
        match self.signs {
            Signs::Url(_) => &[],
            Signs::Form(_) => &[Leaves::Fields],
        }
    }

    fn check(&self, judge: &Judge<'_>, errors: &mut Vec<Diagnostic>) {
        self.check_at("presign", judge, errors);
    }
}

/// The longest time for which a signed URL may be valid, in seconds: seven days.
const LONGEST_URL_S: i64 = 7 * 24 * 3600;

impl PresignStep {
    /// The HTTP method of the signed request.
    pub fn method(&self) -> Method {
        match &self.signs {
            Signs::Url(request) => request.key,
            Signs::Form(_) => Method::Post,
        }
    }

    /// Returns the message and the fix for a step `id` whose URL or form no other step uses.
    pub(in crate::scenario) fn unused(&self, id: &str) -> (String, String) {
        let (what, verb, example) = match &self.signs {
            Signs::Url(_) => ("opens the URL", "open", format!("`http: {{ get: \"{{{{ {id} }}}}\" }}`")),
            Signs::Form(_) => {
                let example = format!("`http: {{ post: \"{{{{ {id} }}}}\", fields-of: {id}, file: … }}`");
                ("sends the form", "send", example)
            }
        };
        (
            format!("no step {what} of step `{id}`, so the step asserts nothing"),
            format!("{verb} it in a later step, for example {example}, or remove the step"),
        )
    }

    /// Whether every store refuses the signed URL because its validity is too long. A form has no such limit: its
    /// policy contains the time at which it expires, and stores accept any time.
    pub fn is_valid_too_long(&self) -> bool {
        matches!(self.signs, Signs::Url(_)) && self.expires.as_seconds() > LONGEST_URL_S
    }

    /// Finds mistakes that do not depend on whether the harness or a client signs. `at` says where this action is
    /// within the step: `presign`, or `client/presign` for a client's task.
    pub(super) fn check_at(&self, at: &str, judge: &Judge<'_>, errors: &mut Vec<Diagnostic>) {
        let what = match &self.signs {
            Signs::Url(request) => {
                request.check_object(at, judge, errors);
                "URL"
            }
            Signs::Form(form) => {
                form.check_at(&format!("{at}/post"), judge, errors);
                if !self.query.is_empty() {
                    let error = judge.key_error(&format!("/{at}/query"), "a form has no query".to_owned());
                    errors.push(error.fix("write fields below `post`, in `equals` or `starts-with`"));
                }
                "form"
            }
        };
        if self.expires.as_millis() < 1000 {
            let message = format!("a {what} cannot be valid for {}", self.expires);
            let fix = "write how long it is valid, 1s or more; for an expired one sign in the past: `signed: -1h`";
            errors.push(judge.error(&format!("/{at}/expires"), message).fix(fix));
        }
        judge.store(at, self.store.as_deref(), errors);
    }
}

/// Fields that a scenario cannot give: the signing code fills them in, or they have their own keys in `post`.
const OF_THE_SIGNATURE: [&str; 8] = [
    "bucket",
    "key",
    "policy",
    "x-amz-algorithm",
    "x-amz-credential",
    "x-amz-date",
    "x-amz-security-token",
    "x-amz-signature",
];

impl PostForm {
    fn check_at(&self, at: &str, judge: &Judge<'_>, errors: &mut Vec<Diagnostic>) {
        let bucket = self.bucket.as_str();
        if !self.bucket.is_open() && (bucket.is_empty() || bucket.contains('/')) {
            let error = judge.error(&format!("/{at}/bucket"), format!("`{bucket}` is not a bucket"));
            errors.push(error.fix("write its name alone; the object's key goes into `key` or `key-prefix`"));
        }
        if let Some(LengthRange { least, most }) = self.content_length_range
            && least > most
        {
            let message = format!("no file has {least} bytes or more and {most} or fewer");
            let error = judge.error(&format!("/{at}/content-length-range"), message);
            errors.push(error.fix("`least` is the smaller one"));
        }
        for (key, fields) in [("equals", &self.equals), ("starts-with", &self.starts_with)] {
            for name in fields.keys().filter(|name| OF_THE_SIGNATURE.contains(&name.to_lowercase().as_str())) {
                let message = format!("the field `{name}` is filled in by this step");
                let error = judge.key_error(&join(&format!("/{at}/{key}"), name), message);
                errors.push(error.fix("`bucket`, `key` and `key-prefix` say what it is to be; leave it out here"));
            }
        }
    }
}
