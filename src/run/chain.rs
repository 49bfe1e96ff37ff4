//! Collects facts that explain why a store refused to exchange a web identity token: the store's log, and the token's
//! claims. This code changes nothing. If a fact cannot be found out, the code continues without the fact.

use std::time::Duration;

use parallax_vocab::answer::JwtReply;
use parallax_vocab::question::{JwtQuestion, Probe, StsQuestion};
use parallax_vocab::{Cause, Question, StoreKind, millis};
use time::OffsetDateTime;

use super::environment::{LINES_BESIDE, Stage};
use crate::probe::logs::{self, LogQuestion};
use parallax_engine::Written;
use parallax_explain::{Chain, log_words, web_identity};
use parallax_language::fixture::ReadyWhen;
use parallax_language::scenario::model::Step;
use parallax_language::scenario::target::LogTarget;
use parallax_plan::VariantPlan;
use parallax_record::Noted as _;

/// The time limit for collecting the facts of one explanation.
const WITHIN: Duration = Duration::from_secs(3);

/// A sentence that says why the token exchange failed, for example because the token has expired. `None` if the failed
/// step does not exchange a token, or if the facts show no reason.
pub(super) async fn broken_link(
    stage: &Stage<'_>,
    variant: &VariantPlan,
    step: &Step,
    question: &Question,
    cause: &Cause,
) -> Option<String> {
    let asked = question.probe.facts().exchange?;
    let store = stage.scene.store(step.action.special().store).ok();
    let kind = store.map_or(StoreKind::default(), |(_, store)| store.kind);
    let fixture = store.map(|(fixture, _)| fixture);
    let (written, token) = tokio::join!(
        tokio::time::timeout(WITHIN, written(stage, fixture, kind)),
        tokio::time::timeout(WITHIN, token(stage, variant, step, question, asked))
    );
    let (complaint, roles) = written.noted("read in time what the store wrote of its providers").unwrap_or_default();
    let token = token.noted("ask in time what a token says").flatten();
    let now = OffsetDateTime::now_utc().unix_timestamp();
    web_identity(kind, &Chain { role: asked.role_arn.clone(), roles, complaint, token, now }, cause)
}

/// Facts from the store's log: the last error about an identity provider, and the roles that the store created. The
/// roles are `None` if no role was found and a part of the log was not read, because the unread part may contain roles.
async fn written(stage: &Stage<'_>, fixture: Option<&str>, kind: StoreKind) -> (Option<String>, Option<Vec<String>>) {
    let (mut complaint, mut roles) = (None, Vec::new());
    let (Some(fixture), Some(words)) = (fixture, log_words(kind)) else { return (complaint, None) };
    let workload = stage.scene.plan.fixtures[fixture].ready.iter().find_map(|ready| match &ready.when {
        ReadyWhen::Deployment(name) => Some(name.clone()),
        ReadyWhen::Store | ReadyWhen::Objects | ReadyWhen::Admission(_) => None,
    });
    let mut look = |line: &str| {
        if let Some(at) = line.find(words.complaint) {
            complaint = Some(line[at..].trim().to_owned());
        }
        roles.extend(line.split_whitespace().filter(|word| word.starts_with(words.role)).map(str::to_owned));
    };
    let mut whole = false;
    if stage.scene.address_beside(fixture).is_some() {
        match stage.written_beside(fixture, |_| true).await {
            Ok(Written { lines, read }) => {
                for line in &lines {
                    look(line);
                }
                whole = read < LINES_BESIDE;
            }
            Err(why) => tracing::debug!(fixture, why, "cannot read what the store wrote of its providers"),
        }
    }
    let target = workload.map(|name| LogTarget::Deployment(name.clone()));
    if let Some(target) = target {
        let namespace = stage.scene.plan.namespace.clone();
        let without = OffsetDateTime::UNIX_EPOCH..OffsetDateTime::UNIX_EPOCH;
        let question = LogQuestion {
            target,
            namespace,
            container: None,
            previous: false,
            since: None,
            without,
            whole: false,
            seen: Vec::new(),
        };
        let read = logs::read(stage.applier.client(), &question, |line| look(&line.text));
        let extent = read.await.noted("read what the store wrote of its providers");
        whole = extent.is_some_and(|it| it.instances > 0 && it.unread.is_empty());
    }
    roles.sort();
    roles.dedup();
    let is_known = whole || !roles.is_empty();
    (complaint, is_known.then_some(roles))
}

/// The claims of the token, and whether the token's issuer confirms the token. The issuer is asked from the vantage of
/// the failed step. For this question alone, the vantage also trusts the cluster's own CA. Otherwise a vantage without
/// this trust would get no answer from the issuer.
async fn token(
    stage: &Stage<'_>,
    variant: &VariantPlan,
    step: &Step,
    question: &Question,
    asked: &StsQuestion,
) -> Option<JwtReply> {
    let mut view = question.view.clone();
    view.trust.push(stage.scene.cluster.authority.clone());
    let probe = Probe::Jwt(JwtQuestion { token: asked.token.clone(), issuer: None });
    let deadline_ms = millis(WITHIN);
    let vantage = stage.vantage(variant, step.from.as_deref().unwrap_or_default()).await.ok()?;
    let asked = vantage.ask(Question { view, deadline_ms, probe }).await;
    asked.noted("ask what a token says")?.reply()?.facts().jwt.cloned()
}
