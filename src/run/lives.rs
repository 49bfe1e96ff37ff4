//! Whether the environment of a flow lived through it: a store or an agent that died on its own makes every answer of the flow
//! one of something else, whatever was declared.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;

use super::deeds::Deeds;
use super::environment::Stage;
use super::error::RunError;
use crate::apply::{self, ApplyError};
use crate::probe::lives;
use parallax_engine::Life;
use parallax_plan::VariantPlan;

/// The kubelet looks at its containers once a second and tells what it saw: an end is known so much later at most.
const TOLD_WITHIN: Duration = Duration::from_secs(3);
/// Between two looks for an end that is not told yet.
const AGAIN_AFTER: Duration = Duration::from_millis(300);

/// What ran when no flow had begun.
#[derive(Debug)]
pub(super) struct Lives {
    pods: Vec<Pod>,
    /// Containers beside the cluster, by what they are called in words.
    beside: Vec<(String, Life)>,
}

impl Lives {
    /// Looks at an environment.
    pub(super) async fn of(stage: &Stage<'_>) -> Result<Self, RunError> {
        let namespace = &stage.scene.plan.namespace;
        let pods = lives::pods(stage.applier.client(), namespace).await;
        let pods = pods.map_err(|source| ApplyError::Api { doing: format!("list the pods of {namespace}"), source })?;
        let fixtures = stage.scene.plan.fixtures.keys().map(String::as_str);
        let images = stage.scene.plan.outside.iter().map(String::as_str);
        let beside = stage.scene.cluster.lives_beside(namespace, fixtures, images).await?;
        Ok(Self { pods, beside })
    }

    /// What ended on its own since. A silence that a step has just seen may be an end that nobody has told of yet: then
    /// `silence` says when that was.
    pub(super) async fn ended(
        &self,
        stage: &Stage<'_>,
        deeds: &Deeds,
        silence: Option<Instant>,
    ) -> Result<Vec<String>, RunError> {
        loop {
            let now = Self::of(stage).await?;
            let ended = self.lost(&now, |pod| deeds.mean(pod, &stage.scene.plan.namespace));
            if !ended.is_empty() || silence.is_none_or(|it| it.elapsed() > TOLD_WITHIN) {
                return Ok(ended);
            }
            // What is waited for is that nothing comes: no watch tells that.
            tokio::time::sleep(AGAIN_AFTER).await;
        }
    }

    fn lost(&self, now: &Self, meant: impl Fn(&Pod) -> bool) -> Vec<String> {
        let mut ended = lives::ended(&self.pods, &now.pods, meant);
        for ((title, before), (_, now)) in self.beside.iter().zip(&now.beside) {
            ended.extend(before.ended(now).map(|how| format!("{title}: {how}")));
        }
        ended
    }
}

/// The error of a variant in which something ended on its own. `seen` is what its steps came to.
pub(super) async fn died(stage: &Stage<'_>, variant: &VariantPlan, ended: Vec<String>, seen: Vec<String>) -> RunError {
    let namespace = stage.scene.plan.namespace.clone();
    let mut evidence = seen;
    evidence.extend(apply::evidence(stage.applier.client(), &namespace).await);
    RunError::Died { variant: variant.id.clone(), namespace, ended, evidence }
}
