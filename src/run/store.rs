//! A store's own readiness and buckets, over the pinned path.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use parallax_vocab::answer::Reply;
use parallax_vocab::question::{HttpQuestion, Probe, Question, S3Operation, S3Question, TlsQuestion, View};

use super::error::RunError;
use super::scene::Scene;
use crate::fixture::Store;
use crate::probe::Vantage;

/// Between two questions to something that cannot be watched: the store's health, a Service's first endpoint.
const AGAIN_AFTER: Duration = Duration::from_millis(50);
/// One question of the set-up may take this long, in milliseconds.
const QUESTION_MS: u64 = 5_000;
/// A Service's rules reach the node this fast, or something is wrong.
const SERVICE_WITHIN: Duration = Duration::from_secs(20);

/// Waits until the store says that it is wholly ready, then makes its buckets.
pub(super) async fn ready(scene: &Scene<'_>, fixture: &str, store: &Store, within: Duration) -> Result<(), RunError> {
    let view = scene.pinned(fixture, store);
    let url = format!("{}{}", store.endpoint, store.health);
    let health = HttpQuestion {
        method: "GET".to_owned(),
        url: url.clone(),
        host: None,
        headers: std::collections::BTreeMap::default(),
        body: None,
    };
    until(within, &Vantage::Outside, &view, &Probe::Http(health), |reply| match reply {
        Reply::Http(http) if http.status == 200 => Ok(()),
        Reply::Http(http) => Err(format!("{url} answers {}", http.status)),
        _ => Err("no HTTP answer".to_owned()),
    })
    .await
    .map_err(|reason| failed(scene, fixture, "it did not become ready", reason))?;
    for bucket in &store.buckets {
        let access = scene.access(fixture, store).map_err(|reason| failed(scene, fixture, "no access", reason))?;
        let question =
            S3Question { access, operation: S3Operation::CreateBucket { bucket: bucket.clone() }, headers: none() };
        until(within, &Vantage::Outside, &view, &Probe::S3(question), |reply| match reply {
            Reply::S3(s3) if s3.error.is_none() => Ok(()),
            Reply::S3(s3) => Err(s3.error.as_ref().map_or(String::new(), |it| format!("{}: {}", it.code, it.message))),
            _ => Err("no S3 answer".to_owned()),
        })
        .await
        .map_err(|reason| failed(scene, fixture, &format!("bucket {bucket} cannot be made"), reason))?;
    }
    for (name, policy) in &store.policies {
        let access = scene.access(fixture, store).map_err(|reason| failed(scene, fixture, "no access", reason))?;
        let made = parallax_probe::admin::put_policy(view.clone(), &access, name, &policy.to_string()).await;
        made.map_err(|why| failed(scene, fixture, &format!("policy {name} cannot be made"), why.to_string()))?;
    }
    Ok(())
}

fn none() -> BTreeMap<String, String> {
    BTreeMap::new()
}

/// Asks the store something harmless, whatever it answers.
pub(super) async fn nudge(scene: &Scene<'_>, fixture: &str, store: &Store) {
    let Ok(access) = scene.access(fixture, store) else { return };
    let operation = S3Operation::Head { bucket: "parallax".to_owned(), key: "nudge".to_owned() };
    let probe = Probe::S3(S3Question { access, operation, headers: none() });
    let question = Question { view: scene.pinned(fixture, store), deadline_ms: QUESTION_MS, probe };
    drop(Vantage::Outside.ask(question).await);
}

/// Waits until pods reach the store's Service: it has no endpoints for a moment after its pod is ready, and only the
/// answer tells (facts.md §4). By address and pinned, so that neither DNS nor trust plays a part.
pub(super) async fn service_ready(
    scene: &Scene<'_>,
    fixture: &str,
    store: &Store,
    vantage: &Vantage,
) -> Result<(), RunError> {
    let Some(service) = scene.service(fixture, store) else { return Ok(()) };
    let view = View { pin: scene.pinned(fixture, store).pin, ..View::default() };
    let question = TlsQuestion { host: service.ip().to_string(), port: service.port(), server_name: None };
    until(SERVICE_WITHIN, vantage, &view, &Probe::Tls(question), |_| Ok(()))
        .await
        .map_err(|reason| failed(scene, fixture, "pods do not reach its Service", reason))
}

/// Asks again and again until `accept` takes the reply, bounded by `within`. The last thing seen is the error.
pub(super) async fn until(
    within: Duration,
    vantage: &Vantage,
    view: &View,
    probe: &Probe,
    accept: impl Fn(&Reply) -> Result<(), String>,
) -> Result<(), String> {
    let began = Instant::now();
    loop {
        let question = Question { view: view.clone(), deadline_ms: QUESTION_MS, probe: probe.clone() };
        let answer = vantage.ask(question).await.map_err(|error| error.to_string())?;
        let last = match (&answer.reply, &answer.cause) {
            (Some(reply), _) => match accept(reply) {
                Ok(()) => return Ok(()),
                Err(reason) => reason,
            },
            (None, Some(cause)) => cause.to_string(),
            (None, None) => "no answer".to_owned(),
        };
        if began.elapsed() >= within {
            return Err(format!("after {} s the last answer was: {last}", within.as_secs()));
        }
        // Nothing can be watched here: neither MinIO's health nor the node's packet rules give notice.
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}

fn failed(scene: &Scene<'_>, fixture: &str, doing: &str, reason: String) -> RunError {
    RunError::Store {
        store: fixture.to_owned(),
        namespace: scene.plan.namespace.clone(),
        doing: doing.to_owned(),
        reason,
        evidence: Vec::new(),
    }
}
