//! Builds the question of a step, for each kind that asks a vantage.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use parallax_vocab::Secret;
use parallax_vocab::program::{ClientQuestion, ClientTask, RunQuestion};
use parallax_vocab::question::{
    DnsQuestion, Form, FormFile, HttpQuestion, JwtQuestion, PostPolicy, PresignQuestion, Probe, S3Access, S3Operation,
    S3Question, StsQuestion, TlsQuestion, TokenSource,
};

use super::kept::Kept;
use super::scene::Scene;
use crate::apply::TOKEN_FILE;
use parallax_language::scenario::action::http::{self, ClientCertificate};
use parallax_language::scenario::action::presign::{KeyRule, PostForm, Signs};
use parallax_language::scenario::clients::Client;
use parallax_language::scenario::duration::Span;
use parallax_language::scenario::model::reference::FieldsOf;
use parallax_language::scenario::model::{
    ClientStep, CredentialsOf, DnsStep, HttpStep, JwtStep, Keyed, Operation, PresignStep, ReplicaStep, S3Step,
    ScriptStep, SessionToken, StsStep, Task, TlsStep,
};
use parallax_language::scenario::parts::Parts;
use parallax_language::scenario::template::Template;

/// What is needed to build a question, in addition to the step.
pub(super) struct Asking<'a> {
    pub(super) scene: &'a Scene<'a>,
    /// The results of earlier steps.
    pub(super) kept: &'a Kept,
    /// The step's own token; `None` if it uses the pod's token file.
    pub(super) token: Option<Secret>,
    /// The environment variables that the vantage declares for the programs that run there.
    pub(super) place: &'a IndexMap<String, String>,
}

/// A kind of step that asks a vantage. Its references are replaced before `probe` is called.
pub(super) trait Asks: Parts {
    /// The question.
    fn probe(&self, asking: &Asking<'_>) -> Result<Probe, String>;

    /// Whose certificate is presented to a server that asks for one.
    fn presents(&self) -> Option<ClientCertificate> {
        None
    }
}

impl Asks for DnsStep {
    fn probe(&self, _: &Asking<'_>) -> Result<Probe, String> {
        Ok(Probe::Dns(DnsQuestion { name: self.name.to_string() }))
    }
}

impl Asks for TlsStep {
    fn probe(&self, _: &Asking<'_>) -> Result<Probe, String> {
        let server_name = self.server_name.as_ref().map(ToString::to_string);
        Ok(Probe::Tls(TlsQuestion { host: self.host.to_string(), port: self.port, server_name }))
    }
}

impl Asks for HttpStep {
    fn probe(&self, asking: &Asking<'_>) -> Result<Probe, String> {
        http_question(self, asking).map(Probe::Http)
    }

    fn presents(&self) -> Option<ClientCertificate> {
        self.client_certificate
    }
}

impl Asks for S3Step {
    fn probe(&self, asking: &Asking<'_>) -> Result<Probe, String> {
        s3_question(self, asking).map(Probe::S3)
    }
}

impl Asks for PresignStep {
    fn probe(&self, asking: &Asking<'_>) -> Result<Probe, String> {
        presign_question(self, asking).map(Probe::Presign)
    }
}

impl Asks for ReplicaStep {
    fn probe(&self, asking: &Asking<'_>) -> Result<Probe, String> {
        let (fixture, store) = asking.scene.store(self.store.as_deref())?;
        let (bucket, prefix) = self.of.split_once('/').unwrap_or((&self.of, ""));
        let operation = S3Operation::Survey { bucket: bucket.to_owned(), prefix: prefix.to_owned() };
        let access = asking.scene.access(fixture, store)?;
        Ok(Probe::S3(S3Question { access, operation, headers: BTreeMap::new() }))
    }
}

impl Asks for StsStep {
    fn probe(&self, asking: &Asking<'_>) -> Result<Probe, String> {
        let (_, store) = asking.scene.store(self.store.as_deref())?;
        Ok(Probe::Sts(StsQuestion {
            endpoint: self.endpoint.as_deref().unwrap_or(&store.endpoint).to_owned(),
            role_arn: self.role.to_string(),
            token: asking.token(),
            duration_s: self.duration.map(Span::as_seconds),
            policy: None,
        }))
    }
}

impl Asks for JwtStep {
    fn probe(&self, asking: &Asking<'_>) -> Result<Probe, String> {
        let issuer = self.issuer.as_ref().map(ToString::to_string);
        Ok(Probe::Jwt(JwtQuestion { token: asking.token(), issuer }))
    }
}

impl Asks for ScriptStep {
    fn probe(&self, asking: &Asking<'_>) -> Result<Probe, String> {
        let mut env = declared(asking.place);
        if let Some(store) = &self.store {
            env.extend(store_variables(asking.scene, store)?);
        }
        env.extend(variables(&self.env));
        Ok(Probe::Run(RunQuestion {
            argv: self.run.iter().map(ToString::to_string).collect(),
            env,
            stdin: self.stdin.as_deref().map(Secret::new),
        }))
    }
}

impl Asks for ClientStep {
    fn probe(&self, asking: &Asking<'_>) -> Result<Probe, String> {
        let client = Client::named(&self.client).ok_or_else(|| format!("`{}` is not a client", self.client))?;
        let task = match &self.task {
            Task::Presign(presign) => ClientTask::Presign(presign_question(presign, asking)?),
            Task::S3(s3) => ClientTask::S3(s3_question(s3, asking)?),
            Task::Http(http) => ClientTask::Http(http_question(http, asking)?),
        };
        let mut env = declared(asking.place);
        env.extend(variables(&self.env));
        Ok(Probe::Client(ClientQuestion {
            client: client.name.to_owned(),
            program: client.program(),
            trust_in: client.trust_in.to_owned(),
            env,
            chain: self.chain,
            origin: self.origin.as_ref().map(ToString::to_string),
            task,
        }))
    }
}

/// The environment variables that tell AWS SDKs and tools how to reach a store.
fn store_variables(scene: &Scene<'_>, store: &str) -> Result<BTreeMap<String, Secret>, String> {
    let (fixture, store) = scene.store(Some(store))?;
    let access = scene.access(fixture, store)?;
    let variable = |name: &str, value: &str| (name.to_owned(), Secret::new(value));
    Ok(BTreeMap::from([
        variable("AWS_ENDPOINT_URL", &access.endpoint),
        variable("AWS_REGION", &access.region),
        variable("AWS_ACCESS_KEY_ID", &access.access_key),
        ("AWS_SECRET_ACCESS_KEY".to_owned(), access.secret_key),
    ]))
}

fn declared(env: &IndexMap<String, String>) -> BTreeMap<String, Secret> {
    env.iter().map(|(name, value)| (name.clone(), Secret::new(value.as_str()))).collect()
}

fn variables(env: &IndexMap<String, Template>) -> BTreeMap<String, Secret> {
    env.iter().map(|(name, value)| (name.clone(), Secret::new(value.as_str()))).collect()
}

fn texts(map: &IndexMap<String, Template>) -> BTreeMap<String, String> {
    map.iter().map(|(name, value)| (name.clone(), value.to_string())).collect()
}

impl Asking<'_> {
    fn token(&self) -> TokenSource {
        self.token.clone().map_or_else(|| TokenSource::File(TOKEN_FILE.to_owned()), TokenSource::Value)
    }

    /// Access to a store, with the temporary credentials of step `of` if it is given. `dropped` leaves out the session
    /// token.
    fn access(&self, named: Option<&str>, of: Option<&CredentialsOf>, dropped: bool) -> Result<S3Access, String> {
        let (fixture, store) = self.scene.store(named)?;
        let access = self.scene.access(fixture, store)?;
        let Some(step) = of else { return Ok(access) };
        let gained = self.kept.credentials(step).ok_or_else(|| format!("step `{step}` gained no credentials"))?;
        Ok(S3Access {
            access_key: gained.access_key.clone(),
            secret_key: gained.secret_key.clone(),
            session_token: (!dropped).then(|| gained.session_token.clone()),
            ..access
        })
    }
}

fn http_question(step: &HttpStep, asking: &Asking<'_>) -> Result<HttpQuestion, String> {
    // All fields of the step and of the question are named, so that a new field cannot be forgotten.
    let HttpStep { request, host, path, headers, body, form, fields_of, file, token: _, client_certificate: _ } = step;
    let mut headers = texts(headers);
    if let Some(token) = &asking.token {
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
        form: form_of(form, fields_of.as_ref(), file.as_ref(), asking)?,
    })
}

fn form_of(
    form: &IndexMap<String, Template>,
    fields_of: Option<&FieldsOf>,
    file: Option<&http::FormFile>,
    asking: &Asking<'_>,
) -> Result<Option<Form>, String> {
    if form.is_empty() && fields_of.is_none() && file.is_none() {
        return Ok(None);
    }
    let mut fields = match fields_of {
        Some(of) => {
            let signed = asking.kept.presigned.get(&**of).ok_or_else(|| format!("step `{of}` signed no form"))?;
            signed.1.fields.clone()
        }
        None => BTreeMap::new(),
    };
    fields.extend(texts(form));
    let file = file.map(|it| FormFile {
        name: it.name.to_string(),
        content_type: it.content_type.as_deref().unwrap_or("application/octet-stream").to_owned(),
        body: it.body.to_string(),
    });
    Ok(Some(Form { fields, file }))
}

/// Replaces the path of a URL and changes nothing else. The new path is used byte for byte, without encoding.
fn with_path(url: &str, path: &str) -> Result<String, String> {
    let (scheme, rest) = url.split_once("://").ok_or_else(|| format!("`{url}` is not a URL"))?;
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let query = rest.find(['?', '#']).map_or("", |at| &rest[at..]);
    Ok(format!("{scheme}://{host}{path}{query}"))
}

fn s3_question(step: &S3Step, asking: &Asking<'_>) -> Result<S3Question, String> {
    let target = step.operation.text.as_str();
    let (bucket, key) = target.split_once('/').unwrap_or((target, ""));
    let (bucket, key) = (bucket.to_owned(), key.to_owned());
    let text = |it: &Option<Template>| it.as_deref().unwrap_or_default().to_owned();
    let operation = match step.operation.key {
        Operation::Put => S3Operation::Put { bucket, key, body: text(&step.body) },
        Operation::Get => S3Operation::Get { bucket, key },
        Operation::Head => S3Operation::Head { bucket, key },
        Operation::Delete => S3Operation::Delete { bucket, key },
        Operation::CreateUpload => S3Operation::CreateUpload { bucket, key },
        Operation::CompleteUpload => {
            let parts = step.parts.iter().map(ToString::to_string).collect();
            S3Operation::CompleteUpload { bucket, key, upload: text(&step.upload), parts }
        }
        Operation::List => S3Operation::List { bucket, prefix: key },
        Operation::CreateBucket => S3Operation::CreateBucket { bucket: target.to_owned() },
    };
    let dropped = step.session_token == Some(SessionToken::Dropped);
    let mut access = asking.access(step.store.as_deref(), step.as_step.as_ref(), dropped)?;
    if let Some(secret) = &step.secret_key {
        access.secret_key = Secret::new(secret.as_str());
    }
    Ok(S3Question { access, operation, headers: texts(&step.headers) })
}

fn presign_question(step: &PresignStep, asking: &Asking<'_>) -> Result<PresignQuestion, String> {
    // All fields of the step and of the question are named, so that a new field cannot be forgotten.
    let PresignStep { store, signs, expires, signed, endpoint, region, secret_key, query, as_step } = step;
    let (bucket, key, policy) = match signs {
        Signs::Url(Keyed { text, .. }) => {
            let (bucket, key) = text.split_once('/').ok_or_else(|| format!("`{text}` is not bucket/key"))?;
            (bucket, key, None)
        }
        Signs::Form(form) => (form.bucket.as_str(), form.key.text.as_str(), Some(policy_of(form))),
    };
    let mut access = asking.access(store.as_deref(), as_step.as_ref(), false)?;
    if let Some(endpoint) = endpoint {
        access.endpoint = endpoint.to_string();
    }
    if let Some(region) = region {
        access.region = region.to_string();
    }
    if let Some(secret) = secret_key {
        access.secret_key = Secret::new(secret.as_str());
    }
    Ok(PresignQuestion {
        access,
        method: step.method().name(),
        bucket: bucket.to_owned(),
        key: key.to_owned(),
        expires_s: u64::try_from(expires.as_seconds()).map_err(|_| "`expires` is negative".to_owned())?,
        signed_at_s: signed.map_or(0, Span::as_seconds),
        query: texts(query),
        policy,
    })
}

fn policy_of(form: &PostForm) -> PostPolicy {
    let PostForm { bucket: _, key, content_length_range, equals, starts_with } = form;
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
