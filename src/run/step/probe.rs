//! Runs steps that send a question to a vantage. Sends the question, judges the answer, and checks by the store's
//! witness that the request came from the vantage.

use std::time::Instant;

use parallax_vocab::course::Moment;
use parallax_vocab::event::{Witness, is_of_a_store};
use parallax_vocab::question::Identity;
use parallax_vocab::{Answer, Cause, Question, millis};

use super::{Attempt, Tried, implied};
use crate::run::error::RunError;
use crate::run::existing;
use crate::run::question::Known;
use crate::run::settle::FOR_THE_WITNESS;
use crate::run::token;
use parallax_judge::{Expected, Judgement};
use parallax_language::scenario::action::http::ClientCertificate;
use parallax_language::scenario::action::{Asks, Special};
use parallax_language::scenario::model::Confirmation;

/// Asks the question of a step once, and judges the answer.
pub(super) async fn run(it: &Attempt<'_>, step: &dyn Asks) -> Result<Tried, RunError> {
    let Special { token, token_of, presents, store: _, signs: _, program: _, runs: _ } = step.special();
    let token = token::of_step(it, token, token_of).await?;
    let began = Instant::now();
    let (from, vantage) = it.vantage()?;
    let pod = it.variant.pods.get(from).and_then(|name| it.stage.scene.plan.pods.get(name));
    let variables = pod.map(|pod| pod.env.clone()).unwrap_or_default();
    let known = Known { scene: &it.stage.scene, results: it.results, token, variables: &variables };
    let probe = it.words().question(step, &known).map_err(|reason| it.wrong(reason))?;
    existing::permitted(&it.stage.scene, &probe).map_err(|reason| it.wrong(reason))?;
    let seat = it.stage.vantage(it.variant, from).await.map_err(|reason| it.wrong(reason))?;
    let mut view = seat.view(it.stage.scene.view(vantage)).map_err(|reason| it.wrong(reason))?;
    view.identity = identity(it, presents)?;
    let deadline_ms = millis(it.left);
    let mut question = Question { view, deadline_ms, probe };
    it.effects.asked(&question.probe);
    let answer = seat.ask(question.clone()).await?;
    question.view.identity = None;
    redact(it, &answer);
    let expected = it.expect()?.map_or_else(|| implied(it.step), |expect| Expected::Declared(Box::new(expect)));
    let judgement = parallax_judge::judge(&expected, &answer, &it.results.seen);
    let left = (began + it.left + FOR_THE_WITNESS).saturating_duration_since(Instant::now());
    let witness = it.stage.witness(it.variant, from, &answer, left).await;
    let judgement = disagreement(judgement, witness.as_ref());
    let required = it.variant.variant.scenario.witness == Some(Confirmation::Required);
    let judgement = if required && witness.is_none() { unconfirmed(judgement, &question, &answer) } else { judgement };
    let moments = newest(&answer).into_iter().collect();
    let expect = if let Expected::Declared(expect) = expected { Some(expect) } else { None };
    let (question, answer) = (Some(question), Some(answer));
    let guest = seat.as_ours();
    Ok(Tried { question, answer, guest, witness, expect, moments, ..Tried::judged(judgement) })
}

/// The client certificate, with its private key, that the vantage presents if the server asks for one. `whose` selects
/// the certificate. If `whose` is `None`, the vantage presents no certificate.
pub(super) fn identity(it: &Attempt<'_>, whose: Option<ClientCertificate>) -> Result<Option<Identity>, RunError> {
    match whose {
        Some(ClientCertificate::Administrator) => {
            let own = it.stage.scene.cluster.own("sign in with its administrator's certificate")?;
            own.administrator().map(Some).map_err(|reason| it.wrong(reason))
        }
        None => Ok(None),
    }
}

/// The time at which the newest object of a database's replica was written, according to the listing in the answer.
/// `None` if the answer contains no listing of a replica.
fn newest(answer: &Answer) -> Option<Moment> {
    let survey = answer.reply()?.facts().survey?;
    let what = format!("the store has {}", survey.newest_key.as_ref()?);
    Some(Moment { unix_ms: u64::try_from(survey.newest_unix_ms?).ok()?, what })
}

/// Registers the secrets in an answer with the redactor, before the answer can be written or shown.
fn redact(it: &Attempt<'_>, answer: &Answer) {
    for secret in answer.reply().iter().flat_map(|it| it.secrets()) {
        it.stage.context.redactor.register(&secret);
    }
}

/// Makes the step fail if, according to the witness, the request did not come from the vantage. In this case, even a
/// good answer says nothing about the vantage.
fn disagreement(judgement: Judgement, witness: Option<&Witness>) -> Judgement {
    match (witness, &judgement.cause) {
        (Some(witness), None) if !witness.agrees => {
            let cause = Cause::Mismatch {
                matcher: "witness".to_owned(),
                expected: "a request from where the vantage is".to_owned(),
                seen: format!("the store saw it come from {}", witness.source),
            };
            Judgement { cause: Some(cause), ..judgement }
        }
        _ => judgement,
    }
}

/// Makes the step fail if its answer comes from a store and no witness confirmed who sent the request. The caller uses
/// this function only if the scenario requires such a confirmation.
fn unconfirmed(judgement: Judgement, question: &Question, answer: &Answer) -> Judgement {
    let of_a_store = answer.reply().is_some_and(|reply| is_of_a_store(reply, Some(question)));
    if judgement.cause.is_some() || !of_a_store {
        return judgement;
    }
    let cause = Cause::Mismatch {
        matcher: "witness".to_owned(),
        expected: "a request that the store's own trace confirms".to_owned(),
        seen: "no trace of a store tells of it".to_owned(),
    };
    Judgement { cause: Some(cause), ..judgement }
}

#[cfg(test)]
mod tests {
    use parallax_vocab::Evidence;
    use parallax_vocab::answer::{Reply, StsReply};
    use parallax_vocab::question::{DnsQuestion, Probe, View};

    use super::*;

    #[test]
    fn only_the_answer_of_a_store_needs_its_confirmation() {
        let probe = Probe::Dns(DnsQuestion { name: "a.example.org".to_owned() });
        let question = Question { view: View::default(), deadline_ms: 1, probe };
        let answer = |outcome| Answer { outcome, evidence: Evidence::default() };
        let sts = StsReply { status: 200, error: None, credentials: None, subject: None, request_id: None };
        let nothing = Cause::Client { detail: String::new() };
        let sts = answer(Ok(Reply::Sts(sts)));
        let cause = unconfirmed(Judgement::default(), &question, &sts).cause;
        assert!(matches!(cause, Some(Cause::Mismatch { ref matcher, .. }) if matcher == "witness"), "{cause:?}");
        assert_eq!(unconfirmed(Judgement::default(), &question, &answer(Err(nothing))).cause, None);
    }
}
