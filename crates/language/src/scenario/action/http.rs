//! `http`: sends one HTTP request.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use parallax_vocab::Probe;
use parallax_vocab::question::{self, HttpQuestion};
use schemars::JsonSchema;
use serde::Deserialize;

use super::asking::{Asking, texts};
use super::keyed::{Key, Keyed};
use super::nature::AT_ONCE_MS;
use super::token::{self, TokenSpec};
use super::{Asks, Kinded, Nature, OneOf, Rules, Special, no_operation, two_operations, written_as};
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::meaning::Judge;
use crate::scenario::model::Source;
use crate::scenario::model::reference::FieldsOf;
use crate::scenario::parts::{Leaves, Parts as _, no_parts, parts};
use crate::scenario::template::{Template, Words};

/// Send one HTTP request. Give exactly one of `get`, `put`, `head`, `post` and `delete`, with the URL.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "HttpStep")]
struct HttpFile {
    /// Send a GET request to this URL.
    #[serde(default)]
    get: Option<Template>,
    /// Send a PUT request to this URL.
    #[serde(default)]
    put: Option<Template>,
    /// Send a HEAD request to this URL.
    #[serde(default)]
    head: Option<Template>,
    /// Send a POST request to this URL.
    #[serde(default)]
    post: Option<Template>,
    /// Send a DELETE request to this URL.
    #[serde(default)]
    delete: Option<Template>,
    /// Send this `Host` header (`name` or `name:port`) instead of the URL's host. This imitates a proxy that rewrites
    /// the header. The request still goes to the URL's address.
    #[serde(default)]
    host: Option<Template>,
    /// Send this path instead of the URL's path. This imitates a proxy that adds or removes a prefix, or encodes the
    /// path again.
    #[serde(default)]
    path: Option<Template>,
    /// Additional headers of the request, by name.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    headers: IndexMap<String, Template>,
    /// The body of the request, as text.
    #[serde(default)]
    body: Option<Template>,
    /// Send a form (`multipart/form-data`, as a browser sends it): the names and values of the form's fields. They
    /// replace fields of the same name from `fields-of`.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    form: IndexMap<String, Template>,
    /// Send the fields of the form that an earlier `presign: { post: … }` step signed. Give the id of that step.
    #[serde(default)]
    fields_of: Option<FieldsOf>,
    /// The file that the form uploads. It is the last field of the form and has the name `file`.
    #[serde(default)]
    file: Option<FormFile>,
    /// Send this token as `Authorization: Bearer`. The cluster's apiserver accepts a token with `audience: k3s`.
    #[serde(default)]
    token: Option<Box<TokenSpec>>,
    /// Present this client certificate to a server that asks for one.
    #[serde(default)]
    client_certificate: Option<ClientCertificate>,
}

/// The identity whose client certificate is presented to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ClientCertificate {
    /// The cluster's administrator. The certificate is the one in the kubeconfig that the cluster writes.
    Administrator,
}

/// A file that a form uploads.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FormFile {
    /// The name of the file, for example `cat.png`.
    pub name: Template,
    /// The media type of the file; the default is `application/octet-stream`. S3 does not store this type. It stores
    /// the field `Content-Type` of the form.
    #[serde(default)]
    pub content_type: Option<Template>,
    /// The content of the file, as text.
    pub body: Template,
}

/// Send one HTTP request.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "HttpFile")]
pub struct HttpStep {
    /// The HTTP method of the request, and the URL.
    pub request: Keyed<Method>,
    /// The `Host` header that replaces the URL's host. `None` keeps the URL's host.
    pub host: Option<Template>,
    /// The path that replaces the path of the URL. `None` keeps the URL's path.
    pub path: Option<Template>,
    /// Additional headers of the request, by name.
    pub headers: IndexMap<String, Template>,
    /// The body of the request.
    pub body: Option<Template>,
    /// The fields of the form that the request sends. They replace fields of the same name from `fields_of`.
    pub form: IndexMap<String, Template>,
    /// The earlier `presign` step whose signed fields the request's form sends.
    pub fields_of: Option<FieldsOf>,
    /// The file that the request's form uploads.
    pub file: Option<FormFile>,
    /// The token that the request sends as `Authorization: Bearer`.
    pub token: Option<Box<TokenSpec>>,
    /// The client certificate that the request presents if the server asks for one.
    pub client_certificate: Option<ClientCertificate>,
}

/// An HTTP method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// The method `GET`.
    Get,
    /// The method `PUT`.
    Put,
    /// The method `HEAD`.
    Head,
    /// The method `POST`.
    Post,
    /// The method `DELETE`.
    Delete,
}

impl Key for Method {
    fn key(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Put => "put",
            Self::Head => "head",
            Self::Post => "post",
            Self::Delete => "delete",
        }
    }
}

impl Method {
    /// Returns the name of the method as HTTP writes it, in upper case.
    pub fn name(self) -> String {
        self.key().to_uppercase()
    }
}

written_as!(HttpStep, HttpFile);

impl TryFrom<HttpFile> for HttpStep {
    type Error = String;

    fn try_from(file: HttpFile) -> Result<Self, String> {
        let HttpFile {
            get,
            put,
            head,
            post,
            delete,
            host,
            path,
            headers,
            body,
            form,
            fields_of,
            file,
            token,
            client_certificate,
        } = file;
        let request = Keyed::first([
            (Method::Get, get),
            (Method::Put, put),
            (Method::Head, head),
            (Method::Post, post),
            (Method::Delete, delete),
        ])?;
        Ok(Self { request, host, path, headers, body, form, fields_of, file, token, client_certificate })
    }
}

no_parts!(ClientCertificate);
parts!(HttpStep { request as "", host, path, headers, body, form, fields_of, file, token, client_certificate });
parts!(FormFile { name, content_type, body });

impl Kinded for HttpStep {
    const NATURE: Nature = Nature::probe(&["dns", "connect", "tls", "status", "s3", "mismatch", "client"]);
    const TYPICAL_MS: u64 = AT_ONCE_MS;
    const ONE_OF: &'static [OneOf] = &[OneOf {
        of: "HttpStep",
        what: "method",
        keys: &["get", "put", "head", "post", "delete"],
        none: |it, all| no_operation(it, "method", all),
        two: |it, first, second| two_operations(it, "method", first, second),
    }];
}

impl Asks for HttpStep {
    fn question(&self, words: &Words<'_>, asking: &dyn Asking) -> Result<Probe, String> {
        self.request(words, asking).map(Probe::Http)
    }

    fn special(&self) -> Special<'_> {
        Special {
            store: None,
            token: self.token.as_deref(),
            token_of: None,
            presents: self.client_certificate,
            signs: None,
            program: None,
            runs: None,
        }
    }
}

impl Rules for HttpStep {
    fn brings(&self) -> Vec<Source> {
        self.of_answer().chain([Source::Connection]).collect()
    }

    fn leaves(&self) -> &'static [Leaves] {
        &[Leaves::Chain]
    }

    fn operation(&self) -> Option<&'static str> {
        Some(self.request.key.key())
    }

    fn check(&self, judge: &Judge<'_>, errors: &mut Vec<Diagnostic>) {
        self.check_at("http", judge, errors);
        if self.token.is_some() {
            token::check("http", self.token.as_deref(), None, judge, errors);
            let given = self.headers.keys().find(|name| name.eq_ignore_ascii_case("authorization"));
            if let Some(name) = given {
                let message = "`token` and this header both say who asks".to_owned();
                errors.push(judge.key_error(&format!("/http/headers/{name}"), message).fix("keep one of the two"));
            }
        }
        if self.path.as_ref().is_some_and(|path| !path.starts_with('/') && !path.starts_with("{{")) {
            let error = judge.error("/http/path", "a path does not begin with `/`".to_owned());
            errors.push(error.fix("write the whole path that is sent, for example `/s3/photos/a.txt`"));
        }
    }
}

impl HttpStep {
    /// Returns the question that makes a vantage send this request. Every template reference is replaced by its value.
    pub(super) fn request(&self, words: &Words<'_>, asking: &dyn Asking) -> Result<HttpQuestion, String> {
        // The patterns below list all fields of the step and of the question, so the compiler reports a new field that
        // is not used here.
        let filled = self.filled(words)?;
        let Self { request, host, path, headers, body, form, fields_of, file, token: _, client_certificate: _ } =
            &filled;
        let mut headers = texts(headers);
        if let Some(token) = asking.token() {
            headers.insert("Authorization".to_owned(), format!("Bearer {}", token.expose()));
        }
        let url = match path {
            Some(path) => with_path(&request.text, path)?,
            None => request.text.to_string(),
        };
        Ok(HttpQuestion {
            method: request.key.name(),
            url,
            host: host.as_ref().map(ToString::to_string),
            headers,
            body: body.as_ref().map(ToString::to_string),
            filler_bytes: None,
            form: form_of(form, fields_of.as_ref(), file.as_ref(), asking)?,
        })
    }
}

fn form_of(
    form: &IndexMap<String, Template>,
    fields_of: Option<&FieldsOf>,
    file: Option<&FormFile>,
    asking: &dyn Asking,
) -> Result<Option<question::Form>, String> {
    if form.is_empty() && fields_of.is_none() && file.is_none() {
        return Ok(None);
    }
    let mut fields = match fields_of {
        Some(of) => asking.form(of).cloned().ok_or_else(|| format!("step `{of}` signed no form"))?,
        None => BTreeMap::new(),
    };
    fields.extend(texts(form));
    let file = file.map(|it| question::FormFile {
        name: it.name.to_string(),
        content_type: it.content_type.as_deref().unwrap_or("application/octet-stream").to_owned(),
        body: it.body.to_string(),
    });
    Ok(Some(question::Form { fields, file }))
}

/// Replaces the path of a URL and changes nothing else. The new path is used byte for byte, without encoding.
fn with_path(url: &str, path: &str) -> Result<String, String> {
    let (scheme, rest) = url.split_once("://").ok_or_else(|| format!("`{url}` is not a URL"))?;
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let query = rest.find(['?', '#']).map_or("", |at| &rest[at..]);
    Ok(format!("{scheme}://{host}{path}{query}"))
}

impl HttpStep {
    /// Returns the keys of this step that external clients do not support, each with the reason and the fix.
    /// `sends_tokens` says whether the client can send a ServiceAccount's token, which only few clients can.
    pub(super) fn beyond_clients(&self, sends_tokens: bool) -> Vec<(&'static str, &'static str, &'static str)> {
        let Self {
            request: _,
            host: _,
            path,
            headers: _,
            body: _,
            form: _,
            fields_of: _,
            file: _,
            token,
            client_certificate,
        } = self;
        let proxy = "use an `http` step to test a proxy that changes the path";
        let path = path.is_some().then_some(("path", "a client always sends the path of the URL", proxy));
        let form = self.keys_of_form().map(|key| (key, "a client sends no form", "use an `http` step"));
        let signs_in =
            [("token", token.is_some() && !sends_tokens), ("client-certificate", client_certificate.is_some())];
        let signs_in = signs_in.into_iter().filter(|(_, given)| *given);
        let signs_in = signs_in.map(|(key, _)| (key, "a client does not sign in with it", "use an `http` step"));
        path.into_iter().chain(form).chain(signs_in).collect()
    }

    /// Returns the keys that this step gives and that make it send a form.
    fn keys_of_form(&self) -> impl Iterator<Item = &'static str> + use<> {
        let given =
            [("form", !self.form.is_empty()), ("fields-of", self.fields_of.is_some()), ("file", self.file.is_some())];
        given.into_iter().filter_map(|(key, given)| given.then_some(key))
    }

    /// Returns the parts of the answer to this request that matchers can read. These parts are the same whether the
    /// harness or a client sends the request.
    pub(super) fn of_answer(&self) -> impl Iterator<Item = Source> + use<> {
        let body = (self.request.key != Method::Head).then_some(Source::Body);
        [Source::Store, Source::Headers].into_iter().chain(body)
    }

    /// Finds mistakes that do not depend on whether a probe or a client sends the request. `at` says where this action
    /// is within the step: `http`, or `client/http` for a client's task.
    pub(super) fn check_at(&self, at: &str, judge: &Judge<'_>, errors: &mut Vec<Diagnostic>) {
        let (method, url) = (self.request.key.key(), &self.request.text);
        if !(url.starts_with("https://") || url.starts_with("http://") || url.starts_with("{{")) {
            let error = judge.error(&format!("/{at}/{method}"), format!("`{}` is not a URL", url.as_str()));
            errors.push(error.fix("begin it with `https://` or `http://`, or with a template"));
        }
        if self.body.is_some() && !matches!(self.request.key, Method::Put | Method::Post) {
            let error = judge.key_error(&format!("/{at}/body"), format!("`{method}` sends no body"));
            errors.push(error.fix("what must come back goes into `expect: { body: … }`"));
        }
        for key in self.keys_of_form() {
            let at_key = format!("/{at}/{key}");
            if self.request.key != Method::Post {
                let error = judge.key_error(&at_key, format!("`{method}` sends no form"));
                errors.push(error.fix("a form is sent by `post`"));
            } else if self.body.is_some() {
                let error = judge.key_error(&at_key, "a form is the whole body of a request".to_owned());
                errors.push(error.fix("leave `body` out; the file of a form is `file: { name: a.txt, body: … }`"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::with_path;

    #[test]
    fn with_path_changes_only_the_path_of_a_url() {
        for (url, expected) in [
            ("https://a:8443/b/c%20d?X-Amz-Date=1&x=%2F", "https://a:8443/s3/b?X-Amz-Date=1&x=%2F"),
            ("https://a?x=/y", "https://a/s3/b?x=/y"),
            ("https://a", "https://a/s3/b"),
        ] {
            assert_eq!(with_path(url, "/s3/b").as_deref(), Ok(expected));
        }
        assert!(with_path("a/b", "/c").is_err());
    }
}
