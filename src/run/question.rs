//! From a step to a question.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use parallax_vocab::Secret;
use parallax_vocab::program::{ClientQuestion, ClientTask, RunQuestion};
use parallax_vocab::question::{
    DnsQuestion, HttpQuestion, JwtQuestion, PresignQuestion, Probe, S3Access, S3Operation, S3Question, StsQuestion,
    TlsQuestion, TokenSource,
};

use super::kept::{Kept, Words};
use super::scene::Scene;
use crate::apply::TOKEN_FILE;
use parallax_language::scenario::clients::Client;
use parallax_language::scenario::model::{
    ClientStep, HttpStep, PresignStep, S3Step, ScriptStep, SessionToken, Step, StsStep,
};

/// What earlier steps gained, and the token that was made for this one.
struct Gained<'a> {
    kept: &'a Kept,
    /// The step's own token, where it does not take the pod's.
    token: Option<Secret>,
}

/// The question that a probe step asks, with everything filled in. `place` is the environment that the vantage declares, for
/// the programs that run there.
pub(super) fn probe(
    words: &Words<'_>,
    step: &Step,
    token: Option<Secret>,
    place: &IndexMap<String, String>,
) -> Result<Probe, String> {
    let text = |text: &str| words.text(text);
    let scene = words.scene;
    let gained = Gained { kept: words.kept, token };
    let gained = &gained;
    if let Some(dns) = &step.dns {
        return Ok(Probe::Dns(DnsQuestion { name: text(&dns.name)? }));
    }
    if let Some(tls) = &step.tls {
        let server_name = tls.server_name.as_deref().map(text).transpose()?;
        return Ok(Probe::Tls(TlsQuestion { host: text(&tls.host)?, port: tls.port, server_name }));
    }
    if let Some(replica) = &step.replica {
        let (fixture, store) = scene.store(replica.store.as_deref())?;
        let of = text(&replica.of)?;
        let (bucket, prefix) = of.split_once('/').unwrap_or((&of, ""));
        let operation = S3Operation::Survey { bucket: bucket.to_owned(), prefix: prefix.to_owned() };
        return Ok(Probe::S3(S3Question {
            access: scene.access(fixture, store)?,
            operation,
            headers: BTreeMap::new(),
        }));
    }
    if let Some(http) = &step.http {
        return http_question(http, text).map(Probe::Http);
    }
    if let Some(s3) = &step.s3 {
        return s3_question(scene, s3, gained, text).map(Probe::S3);
    }
    if let Some(presign) = &step.presign {
        return presign_question(scene, presign, gained, text).map(Probe::Presign);
    }
    if let Some(sts) = &step.sts {
        return sts_question(scene, sts, gained, text).map(Probe::Sts);
    }
    if let Some(jwt) = &step.jwt {
        let issuer = jwt.issuer.as_deref().map(text).transpose()?;
        return Ok(Probe::Jwt(JwtQuestion { token: gained.token(), issuer }));
    }
    if let Some(script) = &step.script {
        return script_question(scene, script, place, text).map(Probe::Run);
    }
    if let Some(client) = &step.client {
        return client_question(scene, client, gained, place, text).map(Probe::Client);
    }
    Err("it does not ask anything".to_owned())
}

fn script_question(
    scene: &Scene<'_>,
    step: &ScriptStep,
    place: &IndexMap<String, String>,
    text: impl Fn(&str) -> Result<String, String>,
) -> Result<RunQuestion, String> {
    let mut env = variables(place, |it| Ok(it.to_owned()))?;
    if let Some(store) = &step.store {
        env.extend(store_variables(scene, store)?);
    }
    env.extend(variables(&step.env, |it| text(it))?);
    Ok(RunQuestion {
        argv: step.run.iter().map(|it| text(it)).collect::<Result<_, _>>()?,
        env,
        stdin: step.stdin.as_deref().map(&text).transpose()?.map(Secret::new),
    })
}

/// The variables by which the AWS SDKs and tools reach a store.
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

fn variables(
    env: &IndexMap<String, String>,
    text: impl Fn(&str) -> Result<String, String>,
) -> Result<BTreeMap<String, Secret>, String> {
    env.iter().map(|(name, value)| Ok((name.clone(), Secret::new(text(value)?)))).collect()
}

fn client_question(
    scene: &Scene<'_>,
    step: &ClientStep,
    gained: &Gained<'_>,
    place: &IndexMap<String, String>,
    text: impl Fn(&str) -> Result<String, String>,
) -> Result<ClientQuestion, String> {
    let client = Client::named(&step.client).ok_or_else(|| format!("`{}` is not a client", step.client))?;
    let task = match (&step.presign, &step.s3, &step.http) {
        (Some(presign), _, _) => ClientTask::Presign(presign_question(scene, presign, gained, &text)?),
        (None, Some(s3), _) => ClientTask::S3(s3_question(scene, s3, gained, &text)?),
        (None, None, Some(http)) => ClientTask::Http(http_question(http, &text)?),
        (None, None, None) => return Err("the client has nothing to do".to_owned()),
    };
    let mut env = variables(place, |it| Ok(it.to_owned()))?;
    env.extend(variables(&step.env, &text)?);
    Ok(ClientQuestion {
        client: client.name.to_owned(),
        program: client.program(),
        trust_in: client.trust_in.to_owned(),
        env,
        chain: step.chain,
        origin: step.origin.as_deref().map(&text).transpose()?,
        task,
    })
}

fn http_question(step: &HttpStep, text: impl Fn(&str) -> Result<String, String>) -> Result<HttpQuestion, String> {
    let (method, url) = only(&step.methods())?;
    let headers = step.headers.iter().map(|(name, value)| Ok((name.clone(), text(value)?)));
    let url = text(url)?;
    let url = match &step.path {
        Some(path) => with_path(&url, &text(path)?)?,
        None => url,
    };
    Ok(HttpQuestion {
        method: method.to_uppercase(),
        url,
        host: step.host.as_deref().map(&text).transpose()?,
        headers: headers.collect::<Result<_, String>>()?,
        body: step.body.as_deref().map(&text).transpose()?,
    })
}

/// A URL with another path, byte for byte, and everything else as it was.
fn with_path(url: &str, path: &str) -> Result<String, String> {
    let (scheme, rest) = url.split_once("://").ok_or_else(|| format!("`{url}` is not a URL"))?;
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let query = rest.find(['?', '#']).map_or("", |at| &rest[at..]);
    Ok(format!("{scheme}://{host}{path}{query}"))
}

impl Gained<'_> {
    fn token(&self) -> TokenSource {
        self.token.clone().map_or_else(|| TokenSource::File(TOKEN_FILE.to_owned()), TokenSource::Value)
    }

    /// The same access with the credentials of an earlier step.
    fn access(&self, access: S3Access, as_step: Option<&str>, dropped: bool) -> Result<S3Access, String> {
        let Some(step) = as_step else { return Ok(access) };
        let gained = self.kept.credentials(step).ok_or_else(|| format!("step `{step}` gained no credentials"))?;
        Ok(S3Access {
            access_key: gained.access_key.clone(),
            secret_key: gained.secret_key.clone(),
            session_token: (!dropped).then(|| gained.session_token.clone()),
            ..access
        })
    }
}

fn sts_question(
    scene: &Scene<'_>,
    step: &StsStep,
    gained: &Gained<'_>,
    text: impl Fn(&str) -> Result<String, String>,
) -> Result<StsQuestion, String> {
    let (_, store) = scene.store(step.store.as_deref())?;
    Ok(StsQuestion {
        endpoint: step.endpoint.as_deref().map_or_else(|| Ok(store.endpoint.clone()), &text)?,
        role_arn: text(&step.role)?,
        token: gained.token(),
        duration_s: step.duration.map(parallax_language::scenario::Span::as_seconds),
        policy: None,
    })
}

fn s3_question(
    scene: &Scene<'_>,
    step: &S3Step,
    gained: &Gained<'_>,
    text: impl Fn(&str) -> Result<String, String>,
) -> Result<S3Question, String> {
    let (fixture, store) = scene.store(step.store.as_deref())?;
    let (operation, target) = only(&step.operations())?;
    let target = text(target)?;
    let (bucket, key) = match target.split_once('/') {
        Some((bucket, key)) => (bucket.to_owned(), key.to_owned()),
        None => (target.clone(), String::new()),
    };
    let body = step.body.as_deref().map(&text).transpose()?.unwrap_or_default();
    let operation = match operation {
        "put" => S3Operation::Put { bucket, key, body },
        "get" => S3Operation::Get { bucket, key },
        "head" => S3Operation::Head { bucket, key },
        "delete" => S3Operation::Delete { bucket, key },
        "create-upload" => S3Operation::CreateUpload { bucket, key },
        "complete-upload" => {
            let upload = step.upload.as_deref().map(&text).transpose()?.unwrap_or_default();
            let parts = step.parts.iter().map(|etag| text(etag)).collect::<Result<_, _>>()?;
            S3Operation::CompleteUpload { bucket, key, upload, parts }
        }
        "list" => S3Operation::List { bucket, prefix: key },
        "create-bucket" => S3Operation::CreateBucket { bucket: target },
        other => return Err(format!("`{other}` is no operation of S3")),
    };
    let dropped = step.session_token == Some(SessionToken::Dropped);
    let mut access = gained.access(scene.access(fixture, store)?, step.as_step.as_deref(), dropped)?;
    if let Some(secret) = &step.secret_key {
        access.secret_key = Secret::new(text(secret)?);
    }
    let headers = step.headers.iter().map(|(name, value)| Ok((name.clone(), text(value)?)));
    Ok(S3Question { access, operation, headers: headers.collect::<Result<_, String>>()? })
}

fn presign_question(
    scene: &Scene<'_>,
    step: &PresignStep,
    gained: &Gained<'_>,
    text: impl Fn(&str) -> Result<String, String>,
) -> Result<PresignQuestion, String> {
    let (fixture, store) = scene.store(step.store.as_deref())?;
    let (method, target) = only(&step.methods())?;
    let target = text(target)?;
    let (bucket, key) = target.split_once('/').ok_or_else(|| format!("`{target}` is not bucket/key"))?;
    let mut access = gained.access(scene.access(fixture, store)?, step.as_step.as_deref(), false)?;
    if let Some(endpoint) = &step.endpoint {
        access.endpoint = text(endpoint)?;
    }
    if let Some(region) = &step.region {
        access.region = text(region)?;
    }
    if let Some(secret) = &step.secret_key {
        access.secret_key = Secret::new(text(secret)?);
    }
    let query = step.query.iter().map(|(name, value)| Ok((name.clone(), text(value)?)));
    Ok(PresignQuestion {
        access,
        method: method.to_uppercase(),
        bucket: bucket.to_owned(),
        key: key.to_owned(),
        expires_s: u64::try_from(step.expires.as_seconds()).map_err(|_| "`expires` is negative".to_owned())?,
        signed_at_s: step.signed.map_or(0, parallax_language::scenario::duration::Span::as_seconds),
        query: query.collect::<Result<_, String>>()?,
    })
}

fn only<'a>(given: &[(&'static str, &'a str)]) -> Result<(&'static str, &'a str), String> {
    given.first().copied().ok_or_else(|| "it says nothing to do".to_owned())
}

#[cfg(test)]
mod tests {
    use super::with_path;

    #[test]
    fn another_path_leaves_the_rest_of_a_url_as_it_was() {
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
