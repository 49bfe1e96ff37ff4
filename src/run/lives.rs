//! Checks that the containers of an environment and the agent nodes survived a flow. If one of them ended although no
//! step ended it, the flow's answers say nothing about the declared change. Then the variant gets no verdict.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;

use super::environment::Stage;
use super::error::RunError;
use super::pods::Pods;
use super::side_effects::{Fate, SideEffects};
use crate::apply::{self, ApplyError};
use crate::cluster::LifeBeside;
use crate::probe::lives;
use parallax_engine::Life;
use parallax_plan::VariantPlan;
use parallax_record::Noted as _;
use time::OffsetDateTime;

/// The longest time until the apiserver shows the end of a container. The kubelet checks its containers once a second
/// and then reports their state.
const REPORTED_WITHIN: Duration = Duration::from_secs(3);
/// The namespace of the cluster's name service, and the label of the service's pods. Every answer that a pod gets
/// depends on this service.
const NAME_SERVICE: (&str, &str) = ("kube-system", "k8s-app=kube-dns");
/// The pause between two checks for the end of a container that may not be reported yet.
const AGAIN_AFTER: Duration = Duration::from_millis(300);

/// The state of an environment's containers and of the agent nodes at one moment. The state before the first flow is
/// compared with later states.
#[derive(Debug)]
pub(super) struct Lives {
    pods: Vec<Pod>,
    /// The pods of the cluster's name service.
    names: Vec<Pod>,
    /// The state of each container outside the cluster that the environment uses.
    beside: Vec<LifeBeside>,
    /// The state of each agent node, by name.
    nodes: Vec<(String, Life)>,
}

impl Lives {
    /// Reads the current state of an environment's containers and of the agent nodes.
    pub(super) async fn of(stage: &Stage<'_>) -> Result<Self, RunError> {
        let namespace = &stage.scene.plan.namespace;
        let (pods, names) = futures::future::try_join(listed(stage, namespace, ""), name_service(stage)).await?;
        let images = stage.scene.plan.outside.iter().map(String::as_str);
        let beside = stage.scene.cluster.lives_beside(namespace, images).await?;
        let nodes = stage.scene.cluster.lives_of_nodes().await?;
        Ok(Self { pods, names, beside, nodes })
    }

    /// Begins to track the pods of the namespace during a flow. The tracking begins with the pods in this state.
    pub(super) fn pods(&self, namespace: &str) -> Pods {
        Pods::before(&self.pods, namespace)
    }

    /// The containers and nodes that have ended after this state was read, although no step of the flow ended them.
    /// Each entry is a description of how a container or node ended.
    ///
    /// If a step got no answer, a container may have ended although the kubelet has not reported this yet. `silence` is
    /// the moment at which that step failed. The check is then repeated until the kubelet must have reported the end of
    /// such a container.
    pub(super) async fn ended(
        &self,
        stage: &Stage<'_>,
        (effects, pods): (&SideEffects, &mut Pods),
        silence: Option<Instant>,
    ) -> Result<Vec<String>, RunError> {
        loop {
            let at = OffsetDateTime::now_utc();
            let now = Self::of(stage).await?;
            let mut ended = self.lost(&now, effects, &stage.scene.plan.namespace);
            pods.look(&now.pods, at, effects, None);
            ended.extend(pods.ended().iter().cloned());
            if !ended.is_empty() || silence.is_none_or(|it| it.elapsed() > REPORTED_WITHIN) {
                return Ok(ended);
            }
            // The code polls, because a watch cannot show that nothing happens.
            tokio::time::sleep(AGAIN_AFTER).await;
        }
    }

    fn lost(&self, now: &Self, effects: &SideEffects, namespace: &str) -> Vec<String> {
        let mut ended = lives::ended(&self.pods, &now.pods, |pod| effects.touch(pod, namespace));
        ended.extend(lives::ended(&self.names, &now.names, |pod| effects.touch(pod, NAME_SERVICE.0)));
        for ((name, before), (_, now)) in self.nodes.iter().zip(&now.nodes) {
            ended.extend(alone(before, now, effects.to_node(name)).map(|how| format!("node {name}: {how}")));
        }
        for (before, now) in self.beside.iter().zip(&now.beside) {
            let fate = before.name.as_deref().and_then(|it| effects.to_beside(it));
            ended.extend(alone(&before.life, &now.life, fate).map(|how| format!("{}: {how}", before.title)));
        }
        ended
    }
}

/// The pods of the cluster's name service. In somebody else's cluster, the name service may have other names, and the
/// user may not have the right to see its pods. The list is empty then.
async fn name_service(stage: &Stage<'_>) -> Result<Vec<Pod>, RunError> {
    let pods = listed(stage, NAME_SERVICE.0, NAME_SERVICE.1).await;
    if stage.scene.cluster.is_own() { pods } else { Ok(pods.noted("list the name service").unwrap_or_default()) }
}

async fn listed(stage: &Stage<'_>, namespace: &str, labels: &str) -> Result<Vec<Pod>, RunError> {
    let pods = lives::pods(stage.applier.client(), namespace, labels).await;
    let error = |source| ApplyError::Api { doing: format!("list the pods of {namespace}"), source };
    pods.map_err(|source| error(source).into())
}

/// Reads the state of the namespace's pods after a step and passes it to `pods`. If the apiserver does not answer, the
/// state is read again after a later step. `acted` is `None` if the step changes nothing; otherwise it says whether
/// the step passed.
pub(super) async fn look(stage: &Stage<'_>, effects: &SideEffects, pods: &mut Pods, acted: Option<bool>) {
    let at = OffsetDateTime::now_utc();
    let now = listed(stage, &stage.scene.plan.namespace, "").await;
    match now.noted("look at the pods after a step") {
        Some(now) => pods.look(&now, at, effects, acted),
        // The state of the pods after the step is not known. Therefore a later end of the pods that the step touched
        // counts as an effect of the step, and is no error.
        None => effects.step_ended(false),
    }
}

/// Describes how a container or node ended, if this is unexpected. `fate` is what the flow did to the container or
/// node. If the flow ended the container or node, it need not run. If the flow started the container or node, it must
/// run.
fn alone(before: &Life, now: &Life, fate: Option<Fate>) -> Option<String> {
    match fate {
        None => before.ended(now),
        Some(Fate::Ended) => None,
        Some(Fate::Started) => now.end(),
    }
}

/// The error of a variant in which a container or node ended although no step ended it. `seen` describes the results of
/// the variant's steps.
pub(super) async fn died(stage: &Stage<'_>, variant: &VariantPlan, ended: Vec<String>, seen: Vec<String>) -> RunError {
    let namespace = stage.scene.plan.namespace.clone();
    let mut evidence = seen;
    evidence.extend(apply::evidence(stage.applier.client(), &namespace).await);
    RunError::Died { variant: variant.id.clone(), namespace, ended, evidence }
}

#[cfg(test)]
mod tests {
    use parallax_language::scenario::model::Step;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_name_service_and_the_outside_network_must_live() {
        let pod = |restarts: i32| -> Pod {
            let status = json!({ "name": "coredns", "image": "", "imageID": "", "ready": true, "restartCount": restarts,
                "state": { "running": {} }, "containerID": format!("{restarts}") });
            let metadata = json!({ "name": "coredns-1", "uid": "a", "labels": { "k8s-app": "kube-dns" } });
            serde_json::from_value(json!({ "metadata": metadata, "status": { "containerStatuses": [status] } }))
                .expect("a pod")
        };
        let world = |runs| LifeBeside {
            title: "the outside network".to_owned(),
            name: None,
            life: Life { runs, began: Some("1".to_owned()), ..Life::default() },
        };
        let lives = |restarts: i32| Lives {
            pods: Vec::new(),
            names: vec![pod(restarts)],
            beside: vec![world(restarts == 0)],
            nodes: Vec::new(),
        };
        let effects = SideEffects::default();
        assert_eq!(lives(0).lost(&lives(0), &effects, "n"), [""; 0]);
        let ended = lives(0).lost(&lives(1), &effects, "n");
        for what in ["container coredns of pod coredns-1", "the outside network"] {
            assert!(ended.iter().any(|it| it.contains(what)), "{what}: {ended:?}");
        }
        // A flow may restart the name service by a step of its own. Then the end of the service's pods is expected.
        let step =
            json!({ "id": "a", "kill": { "pod": "coredns-1", "container": "coredns", "namespace": "kube-system" } });
        let step: Step = serde_json::from_value(step).expect("a step");
        effects.note(step.kind(), step.action.changes().expect("a change"), "n");
        assert_eq!(lives(0).lost(&lives(1), &effects, "n").len(), 1);
    }

    #[test]
    fn a_container_that_the_flow_started_must_run() {
        let runs = Life { runs: true, began: Some("2".to_owned()), ..Life::default() };
        let ended = Life { exit_code: Some(1), began: Some("2".to_owned()), ..Life::default() };
        let never = Life::default();
        for (before, now, fate, dead) in [
            (&runs, &ended, None, true),
            (&runs, &ended, Some(Fate::Ended), false),
            (&runs, &ended, Some(Fate::Started), true),
            // A node or container that a step starts did not run before the flow. It must run after the flow.
            (&never, &ended, None, false),
            (&never, &ended, Some(Fate::Started), true),
            (&never, &runs, Some(Fate::Started), false),
        ] {
            assert_eq!(alone(before, now, fate).is_some(), dead, "{before:?} {now:?} {fate:?}");
        }
    }
}
