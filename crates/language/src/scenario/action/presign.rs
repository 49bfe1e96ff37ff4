//! `presign`: signing a URL.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;

use super::http::Method;
use super::keyed::Keyed;
use super::{Kinded, Nature, OneOf, Rules, no_operation, two_operations, written_as};
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::duration::Span;
use crate::scenario::meaning::Judge;
use crate::scenario::model::CredentialsOf;
use crate::scenario::parts::parts;
use crate::scenario::template::Template;

/// Sign a URL: exactly one of the methods, with `bucket/key`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "PresignStep")]
struct PresignFile {
    /// Id of the store's fixture; where the scenario has one store only, it is that one.
    #[serde(default)]
    store: Option<String>,
    /// A URL to GET `bucket/key`.
    #[serde(default)]
    get: Option<Template>,
    /// A URL to PUT `bucket/key`.
    #[serde(default)]
    put: Option<Template>,
    /// A URL to HEAD `bucket/key`.
    #[serde(default)]
    head: Option<Template>,
    /// A URL to DELETE `bucket/key`.
    #[serde(default)]
    delete: Option<Template>,
    /// How long the URL is valid, for example `5m`.
    expires: Span,
    /// When it is signed, relative to now: `-1h` is an hour ago.
    #[serde(default)]
    signed: Option<Span>,
    /// Sign for this `https://host[:port]` instead of the store's endpoint.
    #[serde(default)]
    endpoint: Option<Template>,
    /// Sign for this region instead of the store's.
    #[serde(default)]
    region: Option<Template>,
    /// Sign with this secret key instead of the store's: a signer whose Secret is out of date.
    #[serde(default)]
    secret_key: Option<Template>,
    /// Further query parameters to sign.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    query: IndexMap<String, Template>,
    /// Sign with the credentials that this earlier `sts` step gained, instead of the store's own.
    #[serde(default, rename = "as")]
    as_step: Option<CredentialsOf>,
}

/// Sign a URL.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "PresignFile")]
pub struct PresignStep {
    /// Id of the store's fixture, where the scenario has several.
    pub store: Option<String>,
    /// The method, with `bucket/key`.
    pub request: Keyed<Method>,
    /// How long the URL is valid.
    pub expires: Span,
    /// When it is signed, relative to now.
    pub signed: Option<Span>,
    /// What it is signed for instead of the store's endpoint.
    pub endpoint: Option<Template>,
    /// The region instead of the store's.
    pub region: Option<Template>,
    /// The secret key instead of the store's.
    pub secret_key: Option<Template>,
    /// Further query parameters to sign.
    pub query: IndexMap<String, Template>,
    /// Whose credentials it signs with.
    pub as_step: Option<CredentialsOf>,
}

written_as!(PresignStep, PresignFile);
parts!(PresignStep {
    store, request as "", expires, signed, endpoint, region, secret_key, query, as_step as "as",
});

impl TryFrom<PresignFile> for PresignStep {
    type Error = String;

    fn try_from(file: PresignFile) -> Result<Self, String> {
        let PresignFile { store, get, put, head, delete, expires, signed, .. } = file;
        let methods = [(Method::Get, get), (Method::Put, put), (Method::Head, head), (Method::Delete, delete)];
        let request = Keyed::first(methods)?;
        let PresignFile { endpoint, region, secret_key, query, as_step, .. } = file;
        Ok(Self { store, request, expires, signed, endpoint, region, secret_key, query, as_step })
    }
}

impl Kinded for PresignStep {
    const NATURE: Nature = Nature::probe(&["client"]);
    const ONE_OF: &'static [OneOf] = &[OneOf {
        of: "PresignStep",
        what: "method",
        keys: &["get", "put", "head", "delete"],
        none: |it, all| no_operation(it, "method", all),
        two: |it, first, second| two_operations(it, "method", first, second),
    }];
}

impl Rules for PresignStep {
    fn needs_expect(&self) -> bool {
        false
    }

    fn yields(&self) -> bool {
        true
    }

    fn check(&self, judge: &Judge<'_>, errors: &mut Vec<Diagnostic>) {
        self.check_at("presign", judge, errors);
    }
}

/// The longest that a signed URL may be valid, in seconds: seven days.
const LONGEST_URL_S: i64 = 7 * 24 * 3600;

impl PresignStep {
    /// The method that it signs for.
    pub fn method(&self) -> Method {
        self.request.key
    }

    /// Whether every store refuses what it signs, because it is to be valid for too long.
    pub fn is_valid_too_long(&self) -> bool {
        self.expires.as_seconds() > LONGEST_URL_S
    }

    /// What is wrong with it, whoever signs. `at` is where it is written below the step.
    pub(super) fn check_at(&self, at: &str, judge: &Judge<'_>, errors: &mut Vec<Diagnostic>) {
        self.request.check_object(at, judge, errors);
        if self.expires.as_millis() < 1000 {
            let message = format!("a URL cannot be valid for {}", self.expires);
            let fix = "write how long it is valid, 1s or more; for an expired one sign in the past: `signed: -1h`";
            errors.push(judge.error(&format!("/{at}/expires"), message).fix(fix));
        }
        judge.store(at, self.store.as_deref(), errors);
    }
}
