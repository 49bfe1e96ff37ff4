//! Waits until a store is ready, and creates its buckets. The connection is pinned: it accepts exactly the certificate
//! that was issued for the store.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use parallax_vocab::Cause;
use parallax_vocab::answer::Reply;
use parallax_vocab::question::{HttpQuestion, Probe, Question, S3Operation, S3Question, View};

use super::error::RunError;
use super::scene::Scene;
use crate::apply::{self, Accepts, Lasting, Unready};
use crate::probe::{ProbeError, Vantage};
use parallax_language::fixture::{self, ReadyWhen, Store};
use parallax_record::Noted as _;

/// The pause between two tries of a question. The code polls because no event reports a store's health or the first
/// answer of a name server.
const AGAIN_AFTER: Duration = Duration::from_millis(50);
/// The time limit of one question of the set-up, in milliseconds.
const QUESTION_MS: u64 = 5_000;
/// If a store does not answer a request of the harness, the request is repeated for at most this time.
const SILENT_FOR: Duration = Duration::from_mins(1);

/// Waits until the store reports that it is healthy, then creates its buckets. Returns `None` if the store became
/// healthy and has its buckets, otherwise the reason why not. The wait ends at the deadline. The wait ends earlier if a
/// permanent refusal has lasted for some time, if the cause that a break declares has lasted for some time, or if a log
/// line shows this declared cause.
pub(super) async fn ready(
    scene: &Scene<'_>,
    client: &kube::Client,
    wanted: &Wanted<'_>,
    declared: Option<&Accepts<'_>>,
) -> Result<Option<Unready>, RunError> {
    let began = Instant::now();
    let cause = tokio::select! {
        asked = answers(scene, wanted, declared) => match asked? {
            None => return Ok(None),
            Some(cause) => cause,
        },
        cause = logged_cause(scene, client, wanted, declared) => cause,
    };
    let evidence = apply::evidence(client, &scene.plan.namespace).await;
    let (what, elapsed) = (wanted.ready.id(wanted.fixture), began.elapsed());
    Ok(Some(Unready { what, cause, waited: elapsed, within: wanted.ready.within.to_duration(), evidence }))
}

/// A store, its fixture, and the entry of the fixture's `ready` section that waits for the store.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    pub(super) fixture: &'a str,
    pub(super) store: &'a Store,
    pub(super) ready: &'a fixture::Ready,
}

/// Asks the store for its health until the store is healthy, then creates its buckets and policies. Returns `None` if
/// all this succeeds. Returns the cause if the store does not become healthy, cannot authorise requests, or does not
/// create a bucket.
async fn answers(
    scene: &Scene<'_>,
    wanted: &Wanted<'_>,
    declared: Option<&Accepts<'_>>,
) -> Result<Option<Cause>, RunError> {
    let Wanted { fixture, store, ready } = *wanted;
    let within = ready.within.to_duration();
    let view = scene.pinned(fixture, store);
    let url = format!("{}{}", store.endpoint, store.health);
    let health = HttpQuestion::new("GET", url.clone());
    let bound = Bound { within, declared, unrecoverable: never };
    let health = Probe::Http(health);
    let unwell = until(&bound, &Vantage::Outside, &view, &health, |reply| match reply {
        Reply::Http(http) if http.status == 200 => Ok(()),
        Reply::Http(http) => {
            let s3 = http.s3_error.as_ref();
            let detail = s3.map_or_else(|| format!("{url}: {}", http.body.trim()), |it| it.message.clone());
            Err(Cause::Status { status: http.status, s3: s3.map(|it| it.code.clone()), detail })
        }
        _ => Err(client("no HTTP answer")),
    });
    if let Some(cause) = unwell.await? {
        return Ok(Some(cause));
    }
    let access = || {
        scene
            .access(fixture, store)
            .map_err(|reason| failed(&scene.plan.namespace, fixture, "no access", reason.into()))
    };
    let root = access()?;
    let authorises = || parallax_probe::store::authorises(store.kind, &store.health, view.clone(), &root);
    if let Err(cause) = again_while(within, |_| true, authorises).await {
        return Ok(Some(cause));
    }
    let made = store.buckets.iter().map(|bucket| {
        let operation = S3Operation::CreateBucket { bucket: bucket.clone() };
        (operation, format!("bucket {bucket} cannot be made"))
    });
    let opened = store.public.iter().map(|bucket| {
        let operation = S3Operation::PutBucketPolicy { bucket: bucket.clone(), policy: readable_by_anybody(bucket) };
        (operation, format!("bucket {bucket} cannot be opened to anybody"))
    });
    for (operation, otherwise) in made.chain(opened) {
        let question = Probe::S3(S3Question { access: access()?, operation, headers: none() });
        let bound = Bound { unrecoverable: is_final, ..bound };
        let refused = until(&bound, &Vantage::Outside, &view, &question, |reply| match reply {
            Reply::S3(s3) => s3.error.as_ref().map_or(Ok(()), |error| {
                let detail = format!("{otherwise}: {}", error.message);
                Err(Cause::Status { status: s3.status, s3: Some(error.code.clone()), detail })
            }),
            _ => Err(client("no S3 answer")),
        });
        if let Some(cause) = refused.await? {
            return Ok(Some(cause));
        }
    }
    for (name, policy) in &store.policies {
        let (access, policy) = (access()?, policy.to_string());
        let put = || parallax_probe::store::put_policy(store.kind, view.clone(), &access, name, &policy);
        let doing = format!("policy {name} cannot be made");
        repeated(put).await.map_err(|cause| failed(&scene.plan.namespace, fixture, &doing, cause.into()))?;
    }
    Ok(None)
}

/// Resolves with the cause when a log line of the store's pods matches the cause that a break declares. Otherwise the
/// future never resolves.
async fn logged_cause(
    scene: &Scene<'_>,
    client: &kube::Client,
    wanted: &Wanted<'_>,
    declared: Option<&Accepts<'_>>,
) -> Cause {
    let Some(declared) = declared else { return std::future::pending().await };
    let readiness = &scene.plan.fixtures[wanted.fixture].ready;
    let deployments = readiness.iter().filter_map(|it| match &it.when {
        ReadyWhen::Deployment(name) => Some(name.as_str()),
        ReadyWhen::Store | ReadyWhen::Objects | ReadyWhen::Admission(_) => None,
    });
    let causes = deployments.map(|name| Box::pin(apply::logged_cause(client, &scene.plan.namespace, name, declared)));
    let causes: Vec<_> = causes.collect();
    if causes.is_empty() {
        return std::future::pending().await;
    }
    futures::future::select_all(causes).await.0
}

fn readable_by_anybody(bucket: &str) -> String {
    let statement = serde_json::json!({
        "Effect": "Allow", "Principal": { "AWS": ["*"] },
        "Action": ["s3:GetObject"], "Resource": [format!("arn:aws:s3:::{bucket}/*")],
    });
    serde_json::json!({ "Version": "2012-10-17", "Statement": [statement] }).to_string()
}

fn client(detail: &str) -> Cause {
    Cause::Client { detail: detail.to_owned() }
}

fn none() -> BTreeMap<String, String> {
    BTreeMap::new()
}

/// Sends the store a harmless request (`HeadObject`) and ignores the answer. A store's trace opens only when it has a
/// first event to show, and this request is such an event. The witness reads from the trace.
pub(super) async fn nudge(scene: &Scene<'_>, fixture: &str, store: &Store) {
    let access = match scene.access(fixture, store) {
        Ok(access) => access,
        Err(why) => return tracing::debug!(fixture, why, "a store is not nudged"),
    };
    let operation = S3Operation::Head { bucket: "parallax".to_owned(), key: "nudge".to_owned() };
    let probe = Probe::S3(S3Question { access, operation, headers: none() });
    let question = Question { view: scene.pinned(fixture, store), deadline_ms: QUESTION_MS, probe };
    Vantage::Outside.ask(question).await.noted("nudge a store");
}

/// Decides when the harness stops repeating a question that gets no accepted reply.
pub(super) struct Bound<'a> {
    /// The longest time for which the question is repeated.
    pub(super) within: Duration,
    /// The cause that a break declares; `None` if no break declares one. If every answer shows this cause for long
    /// enough ([`Lasting`]), the repetition ends.
    pub(super) declared: Option<&'a Accepts<'a>>,
    /// Decides whether a cause is permanent. If every answer shows a permanent cause for long enough ([`Lasting`]), the
    /// repetition ends.
    pub(super) unrecoverable: fn(&Cause) -> bool,
}

/// Treats no cause as permanent. This is for [`Bound::unrecoverable`], if only the deadline may end the repetition.
pub(super) fn never(_: &Cause) -> bool {
    false
}

/// Whether a running store refused a request permanently. Every 4xx status is a permanent refusal, except the three
/// that mean that the client should try again later.
fn is_final(cause: &Cause) -> bool {
    matches!(cause, Cause::Status { status, .. } if (400..500).contains(status) && !matches!(status, 408 | 425 | 429))
}

/// Repeats a question until `accept` accepts the reply, and then returns `None`. If `bound` ends the repetition before
/// that, returns the last cause.
pub(super) async fn until(
    bound: &Bound<'_>,
    vantage: &Vantage,
    view: &View,
    probe: &Probe,
    accept: impl Fn(&Reply) -> Result<(), Cause>,
) -> Result<Option<Cause>, ProbeError> {
    let began = Instant::now();
    let (mut as_declared, mut refused) = (Lasting::default(), Lasting::default());
    loop {
        let question = Question { view: view.clone(), deadline_ms: QUESTION_MS, probe: probe.clone() };
        let answer = vantage.ask(question).await?;
        let Err(last) = answer.outcome.and_then(|reply| accept(&reply)) else { return Ok(None) };
        let is_declared = bound.declared.is_some_and(|accepts| accepts(&last));
        let now = Instant::now();
        let as_declared = as_declared.take(is_declared, now);
        let unrecoverable = refused.take((bound.unrecoverable)(&last), now) && !is_declared;
        if as_declared || unrecoverable || began.elapsed() >= bound.within {
            return Ok(Some(last));
        }
        // The code polls, because no event reports a store's health, the first answer of a name server, or a change of
        // the node's packet rules.
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}

/// Repeats a request to a store until the store answers, for at most [`SILENT_FOR`]. On a busy machine, a store may not
/// answer for a moment. This must not make the set-up of a whole environment fail. The requests of the set-up can be
/// repeated without harm.
pub(super) async fn repeated<T, F>(ask: impl Fn() -> F) -> Result<T, Cause>
where
    F: Future<Output = Result<T, Cause>>,
{
    again_while(SILENT_FOR, Cause::is_silence, ask).await
}

/// Repeats a question for at most `within`, as long as the question fails with a cause for which `retry` returns true.
/// Returns the last result.
async fn again_while<T, F>(within: Duration, retry: impl Fn(&Cause) -> bool, ask: impl Fn() -> F) -> Result<T, Cause>
where
    F: Future<Output = Result<T, Cause>>,
{
    let began = Instant::now();
    loop {
        match ask().await {
            Err(cause) if retry(&cause) && began.elapsed() < within => {
                tracing::info!(%cause, "a store is asked again");
                // The code polls, because no event reports that a store answers again, or that it has loaded its
                // policies.
                tokio::time::sleep(AGAIN_AFTER).await;
            }
            other => return other,
        }
    }
}

/// The reason why a store did not do what the harness requested. `is_silence` says whether the store gave no answer at
/// all.
pub(super) struct Refusal {
    reason: String,
    is_silence: bool,
}

impl From<String> for Refusal {
    fn from(reason: String) -> Self {
        Self { reason, is_silence: false }
    }
}

impl From<Cause> for Refusal {
    fn from(cause: Cause) -> Self {
        Self { reason: cause.to_string(), is_silence: cause.is_silence() }
    }
}

/// The error for a store that did not do what the harness requested. `doing` is the request in words, and `why` is the
/// reason.
pub(super) fn failed(namespace: &str, fixture: &str, doing: &str, why: Refusal) -> RunError {
    RunError::Store {
        store: fixture.to_owned(),
        namespace: namespace.to_owned(),
        doing: doing.to_owned(),
        reason: why.reason,
        is_silence: why.is_silence,
        evidence: Vec::new(),
    }
}
