//! Treats readiness like an expectation of a step. A break can declare that a part of its environment does not become
//! ready. This module finds these declarations, and reports the verdict of each variant whose environment did not
//! become ready. The flow of such a variant does not run.

use std::time::Duration;

use parallax_vocab::course::Course;
use parallax_vocab::event::{Outcome, READINESS, StepEnded, VariantStarted, Verdict};
use parallax_vocab::{Cause, EventKind, StepId, millis};

use super::Context;
use super::own::NodeEnded;
use super::scene::Scene;
use crate::apply::{self, Declared, Unready};
use parallax_judge::StepResult;
use parallax_language::scenario::model::CLUSTER_READY;
use parallax_plan::{ClusterPlan, EnvironmentPlan, VariantPlan};

/// The entries of the fixtures' `ready` sections that must fail, because a break declares so. Only a break with an
/// environment of its own can declare such a failure, so the environment then has a single variant.
pub(super) fn declared(plan: &EnvironmentPlan) -> Declared<'_> {
    let mut declared = Declared::default();
    for (what, spec) in plan.variants.iter().flat_map(|it| it.variant.readiness_fails()) {
        declared.add(what, Box::new(move |cause| parallax_judge::matches(spec, cause)));
    }
    declared
}

/// The message for a set-up in which some parts of the environment did not become ready.
pub(super) fn not_ready(unready: &[Unready]) -> String {
    let names: Vec<&str> = unready.iter().map(|it| it.what.as_str()).collect();
    format!("{} did not become ready", names.join(", "))
}

/// Returns the failed start of a cluster in the form of an unmet entry of a `ready` section. The start failed because
/// the cluster's node ended. The cause quotes a line of the node's log. `None` if no variant declares that the cluster
/// must not start.
pub(super) fn of_cluster(plan: &ClusterPlan, ended: &NodeEnded, waited: Duration) -> Option<Unready> {
    let fails =
        || plan.environments.iter().flat_map(|it| &it.variants).filter_map(|it| it.variant.fails.get(CLUSTER_READY));
    fails().next()?;
    let NodeEnded { how, lines, within } = ended;
    let cause = |line: &str| Cause::Resource {
        resource: format!("the node of cluster {}", plan.name),
        detail: format!("it {how}: {}", line.trim()),
    };
    let decisive = decisive(lines, |line| fails().any(|spec| parallax_judge::matches(spec, &cause(line))));
    Some(Unready {
        what: CLUSTER_READY.to_owned(),
        cause: cause(decisive.unwrap_or("it said nothing")),
        waited,
        within: *within,
        evidence: lines.clone(),
    })
}

/// The log line that best explains why a node ended: the newest line that matches the declared cause, otherwise the
/// last line.
fn decisive(lines: &[String], is_declared: impl Fn(&str) -> bool) -> Option<&str> {
    let last = || apply::last_words(lines.iter().map(String::as_str));
    last().find(|line| is_declared(line)).or_else(|| last().next())
}

/// Reports the verdicts of variants whose cluster did not start.
pub(super) fn judge_cluster(context: &Context, plan: &ClusterPlan, unready: &Unready) {
    for environment in &plan.environments {
        judge_in(context, &plan.name, environment, std::slice::from_ref(unready));
    }
}

/// Reports the verdicts of variants whose environment did not become ready.
pub(super) fn judge(context: &Context, scene: &Scene<'_>, unready: &[Unready]) {
    judge_in(context, &scene.cluster.name, scene.plan, unready);
}

fn judge_in(context: &Context, cluster: &str, plan: &EnvironmentPlan, unready: &[Unready]) {
    for variant in &plan.variants {
        started(context, cluster, plan, variant);
        let results: Vec<StepResult> = unready.iter().map(|it| say(context, variant, it)).collect();
        end(context, variant, &results, unready);
    }
}

/// Reports the verdicts of the variants that declare a readiness failure. Call this function if everything became
/// ready, so that the declared failure did not happen. Returns whether there are such variants.
pub(super) fn came(context: &Context, scene: &Scene<'_>) -> bool {
    let all = scene.plan.variants.iter();
    let did_not_fail: Vec<&VariantPlan> = all.filter(|it| it.variant.readiness_fails().next().is_some()).collect();
    for variant in &did_not_fail {
        started(context, &scene.cluster.name, scene.plan, variant);
        end(context, variant, &[], &[]);
    }
    !did_not_fail.is_empty()
}

fn started(context: &Context, cluster: &str, plan: &EnvironmentPlan, variant: &VariantPlan) {
    context.sink.say(EventKind::VariantStarted(VariantStarted {
        variant: variant.id.clone(),
        summary: variant.variant.summary.clone(),
        cluster: cluster.to_owned(),
        namespace: plan.namespace.clone(),
        hosts: plan.hosts.clone(),
        file: variant.file.clone(),
    }));
}

/// Records an unmet entry of a fixture's `ready` section, in the form of a failed step.
fn say(context: &Context, variant: &VariantPlan, it: &Unready) -> StepResult {
    let place = variant.places.get(&it.what).cloned().unwrap_or_default();
    let ended = StepEnded {
        variant: variant.id.clone(),
        step: StepId::new(it.what.clone()),
        kind: READINESS.to_owned(),
        from: None,
        verdict: Verdict::Failed,
        cause: Some(it.cause.clone()),
        matchers: Vec::new(),
        attempts: 1,
        took_ms: millis(it.waited),
        deadline_ms: millis(it.within),
        question: None,
        answer: None,
        witness: None,
        course: Course { notes: it.evidence.clone(), ..Course::default() },
        signature: None,
        inside: false,
        blocked_by: Vec::new(),
        place: place.clone(),
    };
    let sentence = parallax_explain::of_step(&ended);
    context.sink.say(EventKind::StepEnded(Box::new(ended)));
    StepResult {
        step: it.what.clone(),
        verdict: Verdict::Failed,
        cause: Some(it.cause.clone()),
        missed: None,
        place,
        sentence,
    }
}

fn end(context: &Context, variant: &VariantPlan, results: &[StepResult], unready: &[Unready]) {
    let inner = &variant.variant;
    let place = |what: &str| variant.places.get(what).cloned().unwrap_or_default();
    let problems = parallax_judge::unready(&inner.fails, results, place);
    let outcome = if problems.is_empty() { Outcome::AsExpected } else { Outcome::NotAsExpected { problems } };
    let took = unready.iter().map(|it| it.waited).max().unwrap_or_default();
    context.verdicts.say(&variant.id, outcome, millis(took));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_declared_line_of_a_node_is_its_reason_if_it_is_among_the_last() {
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        let is_declared = |line: &str| line.contains("flag");
        for (text, expected) in [
            ("flag 1\nflag 2\nends\n\n", Some("flag 2")),
            ("flag\n1\n2\n3\n4\n5", Some("5")),
            ("1\n2", Some("2")),
            ("\n", None),
        ] {
            assert_eq!(decisive(&lines(text), is_declared), expected, "{text:?}");
        }
    }
}
